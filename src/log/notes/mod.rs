//! Notes about calls, and the state that they add up to: where calls go, their seals and commits, days, lost
//! positions and counts.
//!
//! Every log keeps these notes, each durable before it counts. Notes about files belong to the logs that have
//! files.

mod apply;
mod delivered_day;
mod ledger;
mod note;
mod state;

pub use delivered_day::DeliveredDay;
pub use ledger::Tally;
pub(crate) use ledger::{Health, Ledger, ROWS_MAX, counts_of};
pub use note::CallNote;
pub use state::CallState;
pub(crate) use state::FIRST_POSITION;
