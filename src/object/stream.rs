//! Streams: the kinds of lines that are delivered apart from each other.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::sources::{SourceId, SourceIdError};
use crate::words::outside_text_within;

/// The longest name of a collection, in bytes.
pub const COLLECTION_MAX: usize = 100;
/// The largest number of object and dead-letter streams, counted for each source, in one spool. A client
/// could otherwise make a batch, and an object in the bucket, for each name that it invents.
pub const NAMED_STREAMS_MAX: usize = 1_000;
/// How much of an invalid name is shown, in bytes.
const SHOWN_MAX: usize = 80;

/// The name of a collection of objects: `[a-z](?:[a-z_]{0,98}[a-z])?`, as the public Objects clients check
/// it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Collection(Arc<str>);

/// A text is not the name of a collection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the collection \"{0}\" must be 1 to 100 of a-z and _, beginning and ending with a letter")]
pub struct CollectionError(String);

impl Collection {
    /// Checks that `text` is the name of a collection.
    /// Errors: [`CollectionError`] with the text and the expected form.
    pub fn new(text: &str) -> Result<Self, CollectionError> {
        let legal = |b: u8| b.is_ascii_lowercase() || b == b'_';
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_lowercase);
        let bytes = text.as_bytes();
        if bytes.len() > COLLECTION_MAX
            || !edge(bytes.first())
            || !edge(bytes.last())
            || !text.bytes().all(legal)
        {
            return Err(CollectionError(outside_text_within(text, SHOWN_MAX).to_string()));
        }
        Ok(Self(text.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

shown_as_text!(Collection);

impl fmt::Debug for Collection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Collection({})", self.0)
    }
}

/// A kind of lines. Each source and received-day has a batch for each of its streams, and each stream has a
/// chain of positions and a sum in the closed day of its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Stream {
    /// Calls: `segment-logs/<source-id>/<received-day>/`.
    Calls,
    /// Items that are not valid, sent in an accepted request:
    /// `segment-logs/_rejected/<source-id>/<received-day>/`.
    Rejected,
    /// The objects of a collection: `segment-logs/_objects/<collection>/<source-id>/<received-day>/`.
    Objects(Collection),
    /// Calls that a destination could not take:
    /// `segment-logs/_dlq/<destination>/<source-id>/<received-day>/`. A destination's name has the form of a
    /// source id.
    Dead(SourceId),
}

impl Stream {
    /// Whether its lines are dead letters.
    pub fn is_dead(&self) -> bool {
        matches!(self, Self::Dead(_))
    }

    /// Whether a second reader of the log wants its lines: calls and object sets.
    pub fn is_followed(&self) -> bool {
        matches!(self, Self::Calls | Self::Objects(_))
    }

    /// The folders between `segment-logs/` and the source's folder. Each ends with a slash; calls have none.
    pub fn folder(&self) -> String {
        match self {
            Self::Calls => String::new(),
            Self::Rejected => "_rejected/".to_owned(),
            Self::Objects(collection) => format!("{OBJECTS_FOLDER}{collection}/"),
            Self::Dead(destination) => format!("{DEAD_FOLDER}{destination}/"),
        }
    }

    /// The stream with this [`Self::folder`] at the beginning of `inside`, and what follows it.
    pub(super) fn of_folder(inside: &str) -> Option<(Self, &str)> {
        if let Some(rest) = inside.strip_prefix("_rejected/") {
            return Some((Self::Rejected, rest));
        }
        if let Some(rest) = inside.strip_prefix(OBJECTS_FOLDER) {
            let (name, rest) = rest.split_once('/')?;
            return Some((Self::Objects(Collection::new(name).ok()?), rest));
        }
        if let Some(rest) = inside.strip_prefix(DEAD_FOLDER) {
            let (name, rest) = rest.split_once('/')?;
            return Some((Self::Dead(SourceId::new(name).ok()?), rest));
        }
        Some((Self::Calls, inside))
    }

    /// The name of an object or dead-letter stream; empty for the others.
    pub fn name(&self) -> &str {
        match self {
            Self::Calls | Self::Rejected => "",
            Self::Objects(collection) => collection.as_str(),
            Self::Dead(destination) => destination.as_str(),
        }
    }

    /// Whether it is one of the streams that every source has: calls and rejected items.
    pub fn is_plain(&self) -> bool {
        matches!(self, Self::Calls | Self::Rejected)
    }

    /// The stream whose account in the ledger counts this stream's lines: calls and rejected items share one.
    pub fn account(&self) -> Self {
        if *self == Self::Rejected { Self::Calls } else { self.clone() }
    }
}

/// The folder of all collections, in `segment-logs/`.
pub const OBJECTS_FOLDER: &str = "_objects/";
/// The folder of all dead letters, in `segment-logs/`.
pub const DEAD_FOLDER: &str = "_dlq/";

/// `calls`, `rejected`, `objects/rooms`, `dead/my-function`.
impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Calls => f.write_str("calls"),
            Self::Rejected => f.write_str("rejected"),
            Self::Objects(collection) => write!(f, "objects/{collection}"),
            Self::Dead(destination) => write!(f, "dead/{destination}"),
        }
    }
}

/// A text is not a stream.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// It begins with no kind of stream.
    #[error("\"{0}\" is no stream: calls, rejected, objects/<collection> or dead/<destination>")]
    Unknown(String),
    /// The collection has no valid name.
    #[error(transparent)]
    Collection(#[from] CollectionError),
    /// The destination has no valid name.
    #[error("the destination of dead letters: {0}")]
    Destination(String),
}

impl From<SourceIdError> for StreamError {
    fn from(error: SourceIdError) -> Self {
        Self::Destination(error.to_string())
    }
}

impl FromStr for Stream {
    type Err = StreamError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            None if text == "calls" => Ok(Self::Calls),
            None if text == "rejected" => Ok(Self::Rejected),
            Some(("objects", name)) => Ok(Self::Objects(Collection::new(name)?)),
            Some(("dead", name)) => Ok(Self::Dead(SourceId::new(name)?)),
            _ => Err(StreamError::Unknown(outside_text_within(text, SHOWN_MAX).to_string())),
        }
    }
}

text_form!(Stream, StreamError, str::parse);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_has_the_form_that_the_clients_check() {
        let long = "a".repeat(100);
        for name in ["rooms", "a", "a_b", "a__b", &long] {
            assert_eq!(Collection::new(name).unwrap().as_str(), name);
        }
        for name in [
            "",
            "_rooms",
            "rooms_",
            "_",
            "Rooms",
            "rooms1",
            "ro oms",
            "ro-oms",
            "r/s",
            "é",
            &format!("{long}a"),
        ] {
            assert!(Collection::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_stream_is_parsed_from_its_text_and_from_its_folder() {
        let streams = ["calls", "rejected", "objects/rooms", "dead/My-function_1"];
        for text in streams {
            let stream: Stream = text.parse().unwrap();
            assert_eq!(stream.to_string(), text);
            let json = serde_json::to_string(&stream).unwrap();
            assert_eq!(json, format!("\"{text}\""));
            assert_eq!(serde_json::from_str::<Stream>(&json).unwrap(), stream);
            let inside = format!("{}web/0/x.gz", stream.folder());
            assert_eq!(Stream::of_folder(&inside), Some((stream, "web/0/x.gz")));
        }
        for text in
            ["", "Calls", "objects", "objects/", "objects/a/b", "objects/A", "dead/", "dead/_x", "x/y"]
        {
            assert!(text.parse::<Stream>().is_err(), "{text}");
        }
        for folder in ["_objects/A/web/0/x", "_objects/rooms", "_dlq/_x/web/0/x"] {
            assert_eq!(Stream::of_folder(folder), None, "{folder}");
        }
    }
}
