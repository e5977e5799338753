//! The names that the collector knows at the top level of a call or envelope.

use crate::json::{Member, Text, Value, unescape};

/// A member of a call or envelope.
pub(super) type Field = Member<Name>;

/// A name at the top level of a call or envelope.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Name {
    AnonymousId,
    Batch,
    Channel,
    Context,
    Event,
    ForebayPosition,
    GroupId,
    Integrations,
    MessageId,
    OriginalTimestamp,
    PreviousId,
    ProjectId,
    ReceivedAt,
    SentAt,
    Timestamp,
    Type,
    UserId,
    Version,
    WriteKey,
    /// Any other name: its member is copied unchanged.
    Other,
}

impl Name {
    /// One bit for each name, to note which ones occurred.
    pub(super) fn bit(self) -> u32 {
        1 << (self as u32)
    }

    /// The [`Name`] for the text of a name.
    pub(super) fn of(name: Text, text: &[u8]) -> Self {
        // Avoids an owned name here: freeing it would cost something in every arm of the match.
        if name.escaped { Self::said(&unescape(name, text)) } else { Self::said(name.span.of(text)) }
    }

    fn said(name: &[u8]) -> Self {
        match name {
            b"anonymousId" => Self::AnonymousId,
            b"batch" => Self::Batch,
            b"channel" => Self::Channel,
            b"context" => Self::Context,
            b"event" => Self::Event,
            b"forebayPosition" => Self::ForebayPosition,
            b"groupId" => Self::GroupId,
            b"integrations" => Self::Integrations,
            b"messageId" => Self::MessageId,
            b"originalTimestamp" => Self::OriginalTimestamp,
            b"previousId" => Self::PreviousId,
            b"projectId" => Self::ProjectId,
            b"receivedAt" => Self::ReceivedAt,
            b"sentAt" => Self::SentAt,
            b"timestamp" => Self::Timestamp,
            b"type" => Self::Type,
            b"userId" => Self::UserId,
            b"version" => Self::Version,
            b"writeKey" => Self::WriteKey,
            _ => Self::Other,
        }
    }
}

/// The value of the last member called `name`.
pub(super) fn find(members: &[Field], name: Name) -> Option<Value> {
    members.iter().find(|member| member.label == name && !member.shadowed).map(|member| member.value)
}
