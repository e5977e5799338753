//! What `forebay lambda` decides: which files an event means, when an invocation must stop, and what it answers.
//!
//! Nothing here knows the runtime of AWS Lambda, S3 or the import.

mod answer;
mod deadline;
mod event;
mod key;

pub use answer::{FileResult, Unit, answer};
pub use deadline::{Plan, deadline_of};
pub use event::{BadRecord, Event, EventError, Message, Notified, Record, continuation};
pub use key::{BadKey, decoded, encoded};
