//! What a batch is of: one source, one received-day, one stream.

use std::fmt;

use crate::object::Stream;
use crate::sources::SourceId;
use crate::time::ReceivedDay;

/// Lines with the same key become one object.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct BatchKey {
    /// The source.
    pub source: SourceId,
    /// The day in which the collector received the calls.
    pub day: ReceivedDay,
    /// Calls, or what was rejected.
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
