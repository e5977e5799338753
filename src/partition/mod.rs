//! A partition of a log that others write is a spool: everything after it is a function of an ordered log and
//! of notes. This room has what is decided of that, and does nothing: records, answers of brokers, times and
//! random numbers are passed in.
//!
//! - **Format:** [`block`] (the value of a record), [`position`], [`note`].
//! - **Collectors:** [`producing`] numbers blocks and answers requests; [`spread`] chooses partitions;
//!   [`receipts`] name the lines of a request; [`fingerprints`] have the same key at all collectors.
//! - **The lock:** [`opening`] begins a term, [`answer`] says what an answer of the broker means for it.
//! - **Reading:** [`reader`] with [`window`], [`numbers`], [`late`] and [`trail`]; [`open`] has what is read and not
//!   released, [`repeats`] what later owners must know of it.
//! - **What stays:** [`state`], and what is noted: [`days`], [`destinations`], [`left`], [`gone`], [`group`].
//! - **Room:** [`share`] divides the cache, [`retention`] says for how long the topic keeps what waits,
//!   [`growth`] makes [`topics`] and adds partitions, and [`seen`] is what brokers say of them.

pub mod answer;
pub mod block;
pub mod brokers_clock;
pub mod days;
pub mod destinations;
pub mod fingerprints;
pub mod gone;
pub mod group;
pub mod growth;
pub mod late;
pub mod left;
pub mod lines;
pub mod note;
pub mod numbers;
pub mod open;
pub mod opening;
pub mod position;
pub mod producing;
pub mod reader;
pub mod receipts;
pub mod repeats;
pub mod retention;
pub mod seen;
pub mod share;
pub mod spread;
pub mod state;
pub mod topics;
pub mod trail;
pub mod window;
#[cfg(test)]
mod written;
