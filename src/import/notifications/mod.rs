//! Notifications of new objects: what a message means, what becomes of it, and how messages of a queue are
//! received until their objects are imported.
//!
//! `event`, `fate` and `set_up` are pure. The objects are imported by `bucket_import`, in the same way as in a pass,
//! and with the same journal.

mod event;
mod fate;
mod given_back;
mod key;
mod receive;
pub mod set_up;

pub use event::{Event, EventError, Message, Notified, Record, continuation, notified_in};
pub use fate::{Fate, MessageBecame, RecordEnd, fate, of_files};
pub use receive::{HIDDEN, MessageEnded, RecordEnded, Watch, receive};
