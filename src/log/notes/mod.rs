//! Notes about calls, and the state that they add up to: where calls go, their seals and commits, days, lost
//! positions and counts.
//!
//! Every log keeps these notes, each durable before it counts, with a `NoteKeeper` of its own. What the notes
//! mean, and which one comes next, is the same for all. Notes about files belong to the logs that have files.

pub(crate) mod accounts;
mod day_ends;
pub(crate) mod days;
mod delivered_day;
mod keeper;
mod ledger;
pub(crate) mod locate;
pub(crate) mod locations;
mod note;
pub(crate) mod seals;
mod state;
#[cfg(test)]
mod tests;

pub use delivered_day::{DeliveredDay, MarkerOf};
pub(crate) use keeper::{NoteKeeper, OpenFrames};
pub use ledger::Tally;
pub(crate) use ledger::{Health, Ledger, ROWS_MAX, counts_of};
pub use note::CallNote;
pub use state::CallState;
pub(crate) use state::FIRST_POSITION;
pub(crate) use state::pairs;
