//! The function of AWS Lambda: when an invocation must stop, and what it answers; and the [`function`] that
//! does so. Which files an event means is read by `import/notifications`.
//!
//! Nothing here knows the runtime of AWS Lambda or the environment. Outside [`function`] nothing waits, reads
//! or writes.

mod answer;
mod batch_answer;
mod deadline;
pub mod function;

pub use crate::import::notifications::{
    BatchEvent, BatchTask, Event, Message, Notified, Record, continuation,
};
pub use answer::{Ended, FileResult, Unit, answer};
pub use batch_answer::{TaskEnd, batch_answer, task_end};
pub use deadline::{Plan, deadline_of};
