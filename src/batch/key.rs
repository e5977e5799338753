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
    /// The stream: calls or rejected items.
    pub stream: Stream,
}

impl fmt::Display for BatchKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stream = match self.stream {
            Stream::Calls => "",
            Stream::Rejected => "_rejected/",
        };
        write!(f, "{stream}{}/{}", self.source, self.day)
    }
}
