//! A request's body, read: its calls, its write key, and the lines they become.

use std::borrow::Cow;
use std::net::IpAddr;

use super::{Fingerprinter, Limits, LineSink, Shape};
use crate::random::Random;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// Why a whole body is refused: 400, nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not JSON, or not an object at the top.
    #[error("{what} at byte {at}")]
    InvalidJson {
        /// What was wrong.
        what: &'static str,
        /// Where, in bytes from the body's beginning.
        at: usize,
    },
    /// Not UTF-8.
    #[error("the body is not UTF-8 at byte {at}")]
    InvalidUtf8 {
        /// Where.
        at: usize,
    },
    /// Arrays and objects nested deeper than the limit.
    #[error("arrays and objects are nested deeper than {limit} at byte {at}")]
    TooDeep {
        /// The limit.
        limit: usize,
        /// Where.
        at: usize,
    },
    /// A batch route without a `batch` array (and the body is no call of a known type).
    #[error("`batch` is missing or is not an array")]
    NoBatch,
    /// A call on a single route that is longer than `max_event`.
    #[error("the call has {len} bytes, more than the {limit} that one call may have")]
    EventTooLarge {
        /// Its length.
        len: usize,
        /// The limit.
        limit: usize,
    },
}

/// What the collector adds to each call of a request.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// When the request's body was complete.
    pub received_at: UnixMillis,
    /// The source: `projectId`.
    pub source: &'a SourceId,
    /// The client's address: `context.ip` of client-side calls that have none.
    pub ip: Option<IpAddr>,
    /// Whether the route is one that only client-side libraries use (letter routes, `/v1/b`, the pixel).
    pub client_route: bool,
    /// `context.userAgent` for calls that have none: pixels only.
    pub user_agent: Option<&'a str>,
    /// Makes the dedupe fingerprints.
    pub fingerprinter: &'a Fingerprinter,
}

/// What was noticed while lines were written, to be counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Stored although strict validation would reject them.
    pub incomplete: u32,
    /// Lone surrogate escapes replaced by `\ufffd`.
    pub surrogates_replaced: u32,
}

/// A body that was read: spans of its calls. Nothing is rebuilt.
#[derive(Debug)]
pub struct Request<'b> {
    body: &'b [u8],
}

impl<'b> Request<'b> {
    /// Reads a decompressed body.
    ///
    /// # Errors
    /// [`BodyError`]: the whole request is answered 400.
    pub fn parse(body: &'b [u8], shape: Shape, limits: &Limits) -> Result<Self, BodyError> {
        let _ = (shape, limits);
        Ok(Self { body })
    }

    /// The write key in the body: `writeKey` of the envelope or call, else that of the first item. Trimmed; never empty.
    pub fn write_key(&self) -> Option<Cow<'b, str>> {
        None
    }

    /// Writes one line for each call into `sink`, in order, and what is no call as a line of the rejected stream.
    pub fn write_lines(&self, stamp: &Stamp<'_>, random: &dyn Random, sink: &mut impl LineSink) -> Tally {
        let _ = (stamp, random, sink, self.body);
        Tally::default()
    }
}
