//! Reads a request's body: its calls, its write key, and the lines that the calls become.

use std::borrow::Cow;
use std::net::IpAddr;

use super::body::Body;
use super::check::kind_of;
use super::envelope::Envelope;
use super::line::LineWriter;
use super::name::{Name, find};
use super::{CallKind, ClientLibraries, Fingerprinter, Limits, LineSink, RejectReason, Shape};
use crate::json::{Value, unescape};
use crate::object::stream::CollectionError;
use crate::random::Random;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// Why a whole body is refused with 400; nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// Not JSON, or not an object at the top.
    #[error("{what} at byte {at}")]
    InvalidJson {
        /// What was wrong.
        what: &'static str,
        /// Where, in bytes from the beginning of the body.
        at: usize,
    },
    /// Not UTF-8.
    #[error("the body is not UTF-8 at byte {at}")]
    InvalidUtf8 {
        /// Where.
        at: usize,
    },
    /// Arrays and objects nested deeper than the limit, outside the items of a batch.
    #[error("arrays and objects are nested deeper than {limit} at byte {at}")]
    TooDeep {
        /// The limit.
        limit: usize,
        /// Where.
        at: usize,
    },
    /// A batch route without a `batch` array, and the body is not a call of a known type either.
    #[error("`batch` is missing or is not an array")]
    NoBatch,
    /// A request that sets objects has no `objects` array.
    #[error("`objects` is missing or is not an array")]
    NoObjects,
    /// A request that sets objects has no `collection`.
    #[error("`collection` is missing or is not a string")]
    NoCollection,
    /// The collection has no valid name.
    #[error(transparent)]
    Collection(#[from] CollectionError),
    /// A call on a single route that is longer than `max_event`.
    #[error("the call is {len} bytes long; the limit is {limit} bytes")]
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
    /// Whether the request shows that a client sent it: by a route that only client-side libraries use
    /// (letter routes, `/v1/b`, the pixel), or by an `Origin` header.
    pub client_side: bool,
    /// Libraries whose calls come from clients, regardless of what the request shows.
    pub client_libraries: &'a ClientLibraries,
    /// `context.userAgent` for calls that have none: pixels only.
    pub user_agent: Option<&'a str>,
    /// Makes the dedupe fingerprints.
    pub fingerprinter: &'a Fingerprinter,
}

/// Counts made while lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls that were stored although strict validation would reject them.
    pub incomplete: u32,
    /// Lone surrogate escapes replaced by `\ufffd`.
    pub surrogates_replaced: u32,
}

/// A parsed body: the places of its calls in the unchanged text.
#[derive(Debug)]
pub struct Request<'b> {
    body: Body<'b>,
    limits: Limits,
    /// The kind that the route gives to a single call.
    route_kind: Option<CallKind>,
}

impl<'b> Request<'b> {
    /// Parses a decompressed body.
    ///
    /// # Errors
    /// [`BodyError`]: the whole request is answered 400.
    pub fn parse(body: &'b [u8], shape: Shape, limits: &Limits) -> Result<Self, BodyError> {
        let body = Body::read(body, limits.max_calls, limits.max_depth)?;
        let route_kind = match shape {
            Shape::Single(kind) => Some(kind),
            Shape::Envelope | Shape::ObjectSets => None,
        };
        if body.batch.is_none() {
            if route_kind.is_none() && kind_of(body.top_members(), body.text).is_err() {
                return Err(BodyError::NoBatch);
            }
            let len = body.top.value.span.len();
            if len > limits.max_event {
                return Err(BodyError::EventTooLarge { len, limit: limits.max_event });
            }
        }
        Ok(Self { body, limits: *limits, route_kind })
    }

    /// The write key in the body: `writeKey` of the envelope or call, otherwise that of the first item.
    /// Trimmed; never empty.
    pub fn write_key(&self) -> Option<Cow<'b, str>> {
        let batch = self.body.batch.as_ref();
        let first = || {
            let batch = batch?;
            find(batch.members_of(batch.items.first()?), Name::WriteKey)
        };
        let key = |value: Value| trimmed(unescape(value.text()?, self.body.text));
        self.body.top_value(Name::WriteKey).and_then(key).or_else(|| first().and_then(key))
    }

    /// How many lines will be written: calls and rejected items.
    pub fn lines(&self) -> usize {
        self.body.batch.as_ref().map_or(1, |batch| batch.items.len() + batch.beyond.len())
    }

    /// The text of the item that becomes line `index`, as sent.
    pub fn item(&self, index: usize) -> Option<&'b [u8]> {
        let value = match &self.body.batch {
            None => Some(self.body.top.value).filter(|_| index == 0),
            Some(batch) => match batch.items.get(index) {
                Some(item) => Some(item.value),
                None => batch.beyond.get(index.checked_sub(batch.items.len())?).copied(),
            },
        };
        Some(value?.span.of(self.body.text))
    }

    /// An estimate of the lines' length in bytes, usually slightly too high. Used to reserve memory, and to
    /// refuse a request whose envelope would multiply beyond what can be stored. Costs no time.
    pub fn lines_len(&self) -> usize {
        let shared = Envelope::shared_len_of(&self.body);
        // What is nested too deeply is written as text, in which quotes and backslashes take two bytes.
        let too_deep = self.body.batch.as_ref().map_or(0, |batch| batch.too_deep_len);
        self.body.text.len() + too_deep + self.lines() * (STAMP_LEN + shared)
    }

    /// Writes one line per call into `sink`, in order. Rejected items become lines of the rejected stream.
    pub fn write_lines(&self, stamp: &Stamp<'_>, random: &dyn Random, sink: &mut impl LineSink) -> Tally {
        let mut writer = LineWriter::new(&self.body, &self.limits, stamp, random);
        match &self.body.batch {
            None => writer.write(&self.body.top, self.body.top_members(), self.route_kind, sink),
            Some(batch) => {
                for item in &batch.items {
                    writer.write(item, batch.members_of(item), None, sink);
                }
                for item in &batch.beyond {
                    writer.reject(*item, RejectReason::TooManyCalls, sink);
                }
            }
        }
        writer.tally()
    }
}

/// What the collector adds to most lines, in bytes: five names with their times, ids and constants.
const STAMP_LEN: usize = 320;

/// A write key without surrounding white space; `None` if nothing is left.
pub(super) fn trimmed(said: Cow<'_, [u8]>) -> Option<Cow<'_, str>> {
    let key = match said {
        Cow::Borrowed(said) => Cow::Borrowed(std::str::from_utf8(said).ok()?.trim()),
        Cow::Owned(said) => Cow::Owned(String::from_utf8(said).ok()?.trim().to_owned()),
    };
    Some(key).filter(|key| !key.is_empty())
}

#[cfg(test)]
mod tests;
