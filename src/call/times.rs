//! The three times of a call: what the client sent, and what the collector derives from it.

use super::name::{Field, Name, find};
use super::timestamp::{corrected, parse};
use crate::json::{Value, ValueKind, unescape};
use crate::time::UnixMillis;

/// The times of one call.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// The client's `timestamp`, else its `originalTimestamp`.
    pub said: Option<Value>,
    /// The value to copy into `originalTimestamp`; `None`: `receivedAt`.
    pub original: Option<Value>,
    /// The value to copy into `sentAt`; `None`: `receivedAt`.
    pub sent: Option<Value>,
    /// `timestamp`.
    pub corrected: UnixMillis,
}

impl Times {
    /// Reads a call's times. `envelope_sent` is the `sentAt` of its envelope.
    pub(super) fn of(
        members: &[Field],
        text: &[u8],
        envelope_sent: Option<Value>,
        received: UnixMillis,
    ) -> Self {
        let said = not_null(members, Name::Timestamp).or_else(|| not_null(members, Name::OriginalTimestamp));
        let sent = not_null(members, Name::SentAt).or(envelope_sent);
        let original = said.or(sent);
        let time = |value: Option<Value>| value.map_or(Some(received), |value| time_of(value, text));
        Self { said, original, sent, corrected: corrected(received, time(sent), time(original)) }
    }
}

/// The value of the member `name`, if it is not null.
pub(super) fn not_null(members: &[Field], name: Name) -> Option<Value> {
    find(members, name).filter(|value| value.kind != ValueKind::Null)
}

fn time_of(value: Value, text: &[u8]) -> Option<UnixMillis> {
    match value.text() {
        Some(inner) => parse(&unescape(inner, text)),
        None => Some(value)
            .filter(|value| value.kind == ValueKind::Number)
            .and_then(|value| parse(value.span.of(text))),
    }
}
