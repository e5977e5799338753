//! Reads a request's body: its calls, its write key, and the lines that the calls become.

use std::borrow::Cow;

use super::body::{Body, BodyError};
use super::check::kind_of;
use super::envelope::Envelope;
use super::line::LineWriter;
use super::name::{Name, find};
use super::stamp::{Stamp, Tally};
use super::{CallKind, Limits, LineSink, RejectReason, Shape};
use crate::json::{Value, unescape};
use crate::random::Random;

/// A parsed body: the places of its calls in the unchanged text.
#[derive(Debug)]
pub struct Request<'b> {
    body: Body<'b>,
    limits: Limits,
    /// The kind that the route gives to a single call.
    route_kind: Option<CallKind>,
}

impl<'b> Request<'b> {
    /// Parses a decompressed body. Errors: [`BodyError`]: the whole request is answered 400.
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
