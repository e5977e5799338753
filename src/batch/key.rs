//! What identifies a batch: one source, one received-day, one stream.

use std::fmt;

use crate::object::Stream;
use crate::sources::SourceId;
use crate::time::ReceivedDay;

/// Lines with the same key become one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct BatchKey {
    /// The source.
    pub source: SourceId,
    /// The UTC day on which the collector received the calls.
    pub day: ReceivedDay,
    /// The stream.
    pub stream: Stream,
}

impl fmt::Display for BatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}/{}", self.stream.folder(), self.source, self.day)
    }
}
