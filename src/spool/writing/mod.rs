//! Appending: the commit loop, the segments it writes to, and the thread that makes and releases segments.

pub(super) mod appender;
pub(super) mod housekeeper;
pub(super) mod seen;
pub(super) mod writer;
