//! Writes a call as its line: the client's members as sent, and the collector's own.

use std::borrow::Cow;
use std::cell::OnceCell;

use super::body::{Body, ContextSpots, Item};
use super::check::{Checked, check, is_blank};
use super::client::says_client;
use super::context::{ContextObject, Fills};
use super::envelope::Envelope;
use super::name::{Field, Name, find};
use super::rejected::write_rejected;
use super::times::{Times, not_null};
use super::{CallKind, Limits, LineSink, RejectReason, Stamp, Tally};
use crate::json::{Cursor, ObjectSplice, Span, Splice, Value, ValueKind, unescape};
use crate::random::Random;
use crate::time::UnixMillis;
use crate::words::date::{RFC3339_LEN, rfc3339_within_years};

/// Writes the lines of one request.
#[derive(Debug)]
pub(super) struct LineWriter<'r> {
    text: &'r [u8],
    limits: &'r Limits,
    stamp: &'r Stamp<'r>,
    random: &'r dyn Random,
    envelope: Envelope<'r>,
    received: [u8; RFC3339_LEN],
    /// The client's address as text, set when a call first needs it.
    ip: OnceCell<String>,
    /// The merged text of a context or of integrations. Kept for its capacity.
    merged: Vec<u8>,
    tally: Tally,
}

impl<'r> LineWriter<'r> {
    pub(super) fn new(
        body: &'r Body<'_>,
        limits: &'r Limits,
        stamp: &'r Stamp<'r>,
        random: &'r dyn Random,
    ) -> Self {
        Self {
            text: body.text,
            limits,
            stamp,
            random,
            envelope: Envelope::of(body),
            received: rfc3339_within_years(stamp.received_at),
            ip: OnceCell::new(),
            merged: Vec::new(),
            tally: Tally::default(),
        }
    }

    /// The counts so far.
    pub(super) fn tally(&self) -> Tally {
        self.tally
    }

    /// Writes the line of one item.
    pub(super) fn write(
        &mut self,
        item: &Item,
        members: &[Field],
        route_kind: Option<CallKind>,
        sink: &mut impl LineSink,
    ) {
        if item.too_deep {
            return self.reject(item.value, RejectReason::TooDeep, sink);
        }
        let checked = match check(item.value, members, self.text, route_kind, self.limits) {
            Ok(checked) => checked,
            Err(reason) => return self.reject(item.value, reason, sink),
        };
        let line_max = self.limits.max_event.saturating_add(Limits::LINE_ALLOWANCE);
        // Reject early: merging a context that cannot fit would copy it once for each call.
        if self.envelope.shared_len() > line_max {
            return self.reject(item.value, RejectReason::LineTooLarge, sink);
        }
        let out = sink.line();
        let start = out.len();
        let call = Call { item, members, checked, replaces_type: route_kind.is_some() };
        let (fingerprint, replaced) = self.write_call(out, &call);
        if out.len() - start > line_max {
            out.truncate(start);
            self.write_rejected_into(out, item.value, RejectReason::LineTooLarge);
            return sink.rejected(RejectReason::LineTooLarge);
        }
        sink.call(fingerprint);
        self.tally.surrogates_replaced += replaced;
        self.tally.incomplete += u32::from(checked.incomplete);
    }

    /// Writes an invalid item as a line of the rejected stream.
    pub(super) fn reject(&mut self, item: Value, reason: RejectReason, sink: &mut impl LineSink) {
        self.write_rejected_into(sink.line(), item, reason);
        sink.rejected(reason);
    }

    fn write_rejected_into(&mut self, out: &mut Vec<u8>, item: Value, reason: RejectReason) {
        let value = item.span.of(self.text);
        self.tally.surrogates_replaced +=
            write_rejected(out, self.stamp, reason, None, value, self.limits.max_depth);
    }

    /// Returns the call's fingerprint, and how many lone surrogates were replaced.
    fn write_call(&mut self, out: &mut Vec<u8>, call: &Call<'_>) -> (u128, u32) {
        let Call { item, members, checked, .. } = *call;
        let mut merged = std::mem::take(&mut self.merged);
        let context = self.context_of(item, members, &mut merged);
        let libraries = self.stamp.client_libraries;
        let client = self.stamp.client_side
            || context.is_some_and(|context| context.names_one_of(libraries))
            || says_client(members, self.text);
        let direct = context.is_some_and(|context| context.spots.direct);
        let id = message_id(members, self.text);
        let stamped = Stamped {
            times: Times::of(members, self.text, self.envelope.sent_at, self.stamp.received_at),
            client,
            new_id: id.is_none(),
            fills: Fills { ip: self.client_ip(client || direct), user_agent: self.stamp.user_agent },
            context,
        };
        let replaced = self.write_members(out, call, &stamped);
        // A new id has never been seen before, so such a call cannot be a repeat.
        let fingerprint = id.map_or(0, |id| {
            let time = stamped.times.said.map_or(&[][..], |value| value.span.of(self.text));
            self.stamp.fingerprinter.of(self.stamp.source, &id, checked.kind.name(), time)
        });
        self.merged = merged;
        (fingerprint, replaced)
    }

    /// The address to fill in. The peer of a server library is the customer's server, whose address says
    /// nothing about the user.
    fn client_ip(&self, speaks_for_itself: bool) -> Option<&str> {
        let ip = self.stamp.ip.filter(|_| speaks_for_itself)?;
        Some(self.ip.get_or_init(|| ip.to_string()))
    }

    fn write_members(&self, out: &mut Vec<u8>, call: &Call<'_>, stamped: &Stamped<'_>) -> u32 {
        let mut line = ObjectSplice::new(out, self.text, call.item.value.span, call.item.untidy);
        let mut sent = 0_u32;
        for member in call.members {
            // Only the collector writes positions into lines, so a client's own is dropped even if receipts
            // are off.
            if member.shadowed || matches!(member.label, Name::WriteKey | Name::ForebayPosition) {
                line.leave_out(member.span());
                continue;
            }
            line.keep(member.span());
            sent |= member.label.bit();
            if member.label == Name::Context && stamped.context.is_some_and(|context| context.in_place) {
                stamped.fill_context(&mut line.splice);
            } else if !self.keeps(call, stamped, member) {
                line.splice.replace(member.value.span);
                self.write_value(&mut line.splice, call, stamped, member.label, Some(member.value));
            }
        }
        for (name, text) in OWNED {
            if sent & name.bit() == 0 {
                self.write_value(line.add(text), call, stamped, name, None);
            }
        }
        line.finish()
    }

    /// Whether a member's value stays as the client sent it.
    fn keeps(&self, call: &Call<'_>, stamped: &Stamped<'_>, member: &Field) -> bool {
        let kind = member.value.kind;
        match member.label {
            Name::ReceivedAt | Name::ProjectId | Name::OriginalTimestamp | Name::Timestamp => false,
            Name::Type => !call.replaces_type,
            Name::MessageId => !stamped.new_id,
            Name::SentAt => kind != ValueKind::Null,
            Name::Context => stamped.context.is_none(),
            Name::Integrations => {
                self.envelope.integrations.is_none() || !matches!(kind, ValueKind::Object | ValueKind::Null)
            }
            _ => true,
        }
    }

    /// Writes the collector's value of `name`. `sent` is the client's value, which was skipped.
    fn write_value(
        &self,
        line: &mut Splice<'_>,
        call: &Call<'_>,
        stamped: &Stamped<'_>,
        name: Name,
        sent: Option<Value>,
    ) {
        let tidy = call.item.untidy || self.envelope.untidy;
        match name {
            Name::Type => quote(line, call.checked.kind.name().as_bytes()),
            Name::MessageId => quote(line, &new_message_id(self.stamp.received_at, self.random)),
            Name::ReceivedAt => quote(line, &self.received),
            Name::ProjectId => quote(line, self.stamp.source.as_str().as_bytes()),
            Name::OriginalTimestamp => self.copy_time(line, stamped.times.original, tidy),
            Name::SentAt => self.copy_time(line, stamped.times.sent, tidy),
            Name::Timestamp => quote(line, &rfc3339_within_years(stamped.times.corrected)),
            Name::Channel => quote(line, if stamped.client { b"client" } else { b"server" }),
            Name::Version => line.insert(b"2", false),
            Name::Integrations => self.write_integrations(line, sent, tidy),
            Name::Context => stamped.write_context(line, tidy),
            _ => {}
        }
    }

    fn copy_time(&self, line: &mut Splice<'_>, time: Option<Value>, tidy: bool) {
        match time {
            Some(value) => line.insert(value.span.of(self.text), tidy),
            None => quote(line, &self.received),
        }
    }

    fn write_integrations(&self, line: &mut Splice<'_>, sent: Option<Value>, tidy: bool) {
        let over = sent.filter(|value| value.kind == ValueKind::Object);
        let over = over.map_or(&b"{}"[..], |value| value.span.of(self.text));
        match &self.envelope.integrations {
            Some(merger) => {
                let mut merged = Vec::new();
                merger.write(&mut merged, over);
                line.insert(&merged, tidy);
            }
            None => line.insert(over, tidy),
        }
    }

    /// The context for the line; `None` if the client sent a context that is not an object, which is then
    /// kept.
    fn context_of<'c>(
        &self,
        item: &Item,
        members: &[Field],
        merged: &'c mut Vec<u8>,
    ) -> Option<ContextObject<'c>>
    where
        'r: 'c,
    {
        let sent = not_null(members, Name::Context);
        let over: &[u8] = match (sent, &self.envelope.context) {
            (Some(value), _) if value.kind != ValueKind::Object => return None,
            (Some(value), None) => {
                return Some(ContextObject {
                    text: self.text,
                    span: value.span,
                    spots: item.context,
                    in_place: true,
                });
            }
            (None, None) => return Some(ContextObject::EMPTY),
            (Some(value), Some(_)) => value.span.of(self.text),
            (None, Some(_)) => b"{}",
        };
        merged.clear();
        if let Some(merger) = &self.envelope.context {
            merger.write(merged, over);
        }
        let spots = ContextSpots::read(&mut Cursor::new(merged, usize::MAX)).unwrap_or_default();
        let span = Span::new(0, merged.len());
        Some(ContextObject { text: merged, span, spots, in_place: false })
    }
}

/// A new `messageId`: a UUID of version 7.
pub(super) fn new_message_id(
    received_at: UnixMillis,
    random: &dyn Random,
) -> [u8; uuid::fmt::Hyphenated::LENGTH] {
    let mut bytes = [0; 10];
    for (byte, drawn) in bytes.iter_mut().zip(random.next_u128().to_le_bytes()) {
        *byte = drawn;
    }
    let ms = u64::try_from(received_at.0).unwrap_or(0);
    let id = uuid::Builder::from_unix_timestamp_millis(ms, &bytes).into_uuid();
    let mut text = [0; uuid::fmt::Hyphenated::LENGTH];
    id.hyphenated().encode_lower(&mut text);
    text
}

/// A call about to be written.
#[derive(Clone, Copy)]
struct Call<'c> {
    item: &'c Item,
    members: &'c [Field],
    checked: Checked,
    replaces_type: bool,
}

/// The values that the collector adds to a call.
struct Stamped<'c> {
    times: Times,
    client: bool,
    new_id: bool,
    fills: Fills<'c>,
    context: Option<ContextObject<'c>>,
}

impl Stamped<'_> {
    /// Copies the client's context in place, and fills in what is missing.
    fn fill_context(&self, line: &mut Splice<'_>) {
        if let Some(context) = self.context {
            context.fill(line, &self.fills);
        }
    }

    /// Writes a context from another text.
    fn write_context(&self, line: &mut Splice<'_>, tidy: bool) {
        if let Some(context) = self.context {
            line.insert_edited(context.text, context.span, tidy, |copy| context.fill(copy, &self.fills));
        }
    }
}

/// The members that every line has. Those that the client did not send are added in this order.
const OWNED: [(Name, &str); 11] = [
    (Name::Type, "type"),
    (Name::MessageId, "messageId"),
    (Name::OriginalTimestamp, "originalTimestamp"),
    (Name::SentAt, "sentAt"),
    (Name::ReceivedAt, "receivedAt"),
    (Name::Timestamp, "timestamp"),
    (Name::Context, "context"),
    (Name::Integrations, "integrations"),
    (Name::Channel, "channel"),
    (Name::ProjectId, "projectId"),
    (Name::Version, "version"),
];

/// The call's `messageId`, if it is a string that is not blank.
fn message_id<'t>(members: &[Field], text: &'t [u8]) -> Option<Cow<'t, [u8]>> {
    let id = find(members, Name::MessageId).and_then(Value::text)?;
    Some(unescape(id, text)).filter(|id| !is_blank(id))
}

/// Writes text that needs no escapes.
pub(super) fn quote(line: &mut Splice<'_>, text: &[u8]) {
    let out = line.out();
    out.push(b'"');
    out.extend_from_slice(text);
    out.push(b'"');
}
