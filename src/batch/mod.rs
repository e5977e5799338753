//! Which batch a line belongs to, and when a batch is due. Pure.

pub mod due;
pub mod key;

pub use due::{AFTER_DAY, Deadline, DueRule, NEAR_END, Now, Reason};
pub use key::BatchKey;
