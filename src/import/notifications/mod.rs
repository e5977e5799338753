//! Notifications of new objects: what a message means, what becomes of it, and how messages of a queue are
//! received until their objects are imported. Tasks of S3 Batch Operations are one more kind of event.
//!
//! `event`, `batch_event`, `fate` and `set_up` are pure. The objects are imported by `bucket_import`, in the same way as in a pass,
//! and with the same journal.

mod batch_event;
mod count;
mod event;
mod fate;
mod given_back;
mod key;
mod receive;
mod record;
pub mod set_up;

pub use batch_event::{BatchEvent, BatchTask, IMPORTED_BEFORE, TASKS_MAX, nothing_text, rows_text};
pub use count::{COUNT_EVERY, count};
pub use event::{Event, EventError, Message, Notified, continuation, notified_in};
pub use fate::{Fate, MessageBecame, RecordEnd, fate, of_files};
pub use receive::{HIDDEN, MessageEnded, RecordEnded, Watch, receive};
pub use record::Record;
