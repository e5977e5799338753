//! The function of AWS Lambda: when an invocation must stop, and what it answers; and the [`function`] that
//! does so. Which files an event means is read by `import/notifications`.
//!
//! Nothing here knows the runtime of AWS Lambda or the environment. Outside [`function`] nothing waits, reads
//! or writes.

mod answer;
mod deadline;
pub mod function;

pub use crate::import::notifications::{Event, Message, Notified, Record, continuation};
pub use answer::{Ended, FileResult, Unit, answer};
pub use deadline::{Plan, deadline_of};
