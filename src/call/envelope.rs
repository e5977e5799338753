//! The fields that an envelope gives to all of its calls.

use super::body::Body;
use super::name::Name;
use crate::json::{Merger, Value, ValueKind};

/// The members of an envelope that apply to its calls. All others are ignored.
#[derive(Debug, Default)]
pub(super) struct Envelope<'r> {
    /// `sentAt`, if it is not null.
    pub sent_at: Option<Value>,
    /// `context`, if it is an object: each call's own is merged over it.
    pub context: Option<Merger<'r>>,
    /// `integrations`, if it is an object: each call's own is merged over it, one level deep.
    pub integrations: Option<Merger<'r>>,
    /// Whether it contains text that must not reach a line unchanged.
    pub untidy: bool,
    shared_len: usize,
}

impl<'r> Envelope<'r> {
    /// Reads the envelope of a body; empty if the body is a single call.
    pub(super) fn of(body: &'r Body<'_>) -> Self {
        if body.batch.is_none() {
            return Self::default();
        }
        let object = |name| object_of(body, name);
        Self {
            sent_at: body.top_value(Name::SentAt).filter(|value| value.kind != ValueKind::Null),
            context: object(Name::Context).and_then(|text| Merger::new(text, Merger::LEVELS_MAX)),
            integrations: object(Name::Integrations).and_then(|text| Merger::new(text, 1)),
            untidy: body.top.untidy,
            shared_len: Self::shared_len_of(body),
        }
    }

    /// The length, in bytes, of the envelope's parts that go into the line of each call.
    pub(super) fn shared_len(&self) -> usize {
        self.shared_len
    }

    /// The same length, computed from a body before its envelope is read.
    pub(super) fn shared_len_of(body: &Body<'_>) -> usize {
        if body.batch.is_none() {
            return 0;
        }
        [Name::Context, Name::Integrations]
            .into_iter()
            .filter_map(|name| object_of(body, name))
            .map(<[u8]>::len)
            .sum()
    }
}

fn object_of<'r>(body: &'r Body<'_>, name: Name) -> Option<&'r [u8]> {
    body.top_value(name).filter(|value| value.kind == ValueKind::Object).map(|value| value.span.of(body.text))
}
