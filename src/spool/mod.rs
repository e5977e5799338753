//! The durable local log that calls are written to before they are acknowledged.

pub mod appender;
pub mod frame;
pub mod request_frames;

pub use appender::{AppendError, Appended, Appender};
pub use request_frames::RequestFrames;
