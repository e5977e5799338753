//! The list of this node's deliveries, for people: what was delivered in the last days, object by object and
//! as sums of each day.
//!
//! Nothing depends on it. Delivery hands over each object and goes on; a thread writes what was handed over,
//! at most once a second. So a crash loses the last second of the list, and no call. If the file is damaged
//! or cannot be written, the list is empty, a line a minute and every answer say why, and delivery goes on
//! (decision 0170).
//!
//! # Bounds
//!
//! Objects and sums are kept for [`KEPT_DAYS`] received-days, at most [`OBJECTS_MAX`] objects and
//! [`SUMS_MAX`] sums; the oldest go first, and [`About`] says how many went early. An object counts once, by
//! its key.

mod database;
mod list;

pub use database::{About, DayKey, DaySum};
pub use list::{Deliveries, Unlisted};

/// Received-days that are kept, with the present one.
pub const KEPT_DAYS: i64 = 35;
/// Objects that are kept one by one: at most about 80 MB of disk.
pub const OBJECTS_MAX: u64 = 100_000;
/// Sums of a source's stream on a day that are kept: at most about 40 MB of disk.
pub const SUMS_MAX: u64 = 200_000;

#[cfg(test)]
mod tests;
