//! The `context` of a line: the call's, merged over the envelope's, plus what the collector fills in.

use super::body::ContextSpots;
use super::client::ClientLibraries;
use crate::json::{Span, Splice, Value, ValueKind, unescape, write_text};

/// A `context` that is an object, and the text that contains it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ContextObject<'t> {
    /// The text that the spans point into.
    pub text: &'t [u8],
    /// The place of the object in that text.
    pub span: Span,
    /// The relevant parts of it.
    pub spots: ContextSpots,
    /// Whether this is the call's own context, so that it can be copied in place.
    pub in_place: bool,
}

impl ContextObject<'_> {
    /// The context of a call that sent none.
    pub(super) const EMPTY: ContextObject<'static> = ContextObject {
        text: b"{}",
        span: Span::EMPTY_OBJECT,
        spots: ContextSpots { ip: None, user_agent: None, direct: false, library_name: None, any: false },
        in_place: false,
    };

    /// Whether it names one of these libraries.
    pub(super) fn names_one_of(&self, libraries: &ClientLibraries) -> bool {
        self.spots.library_name.is_some_and(|name| libraries.have(&unescape(name, self.text)))
    }

    /// Copies the object with `splice`, which must be at or before it, and fills in what is missing.
    pub(super) fn fill(&self, splice: &mut Splice<'_>, fills: &Fills<'_>) {
        let mut missing =
            [(fills.ip, "ip", self.spots.ip), (fills.user_agent, "userAgent", self.spots.user_agent)];
        missing.sort_by_key(|(_, _, present)| present.map_or(usize::MAX, |value| value.span.start()));
        let mut any = self.spots.any;
        for (text, name, present) in missing {
            match (text, present) {
                (Some(text), Some(Value { span, kind: ValueKind::Null })) => {
                    write_text(splice.replace(span), text)
                }
                (Some(text), None) => {
                    splice.copy_to(self.span.end().saturating_sub(1));
                    let out = splice.out();
                    out.extend_from_slice(if any { b",\"" } else { b"\"" });
                    out.extend_from_slice(name.as_bytes());
                    out.extend_from_slice(b"\":");
                    write_text(out, text);
                    any = true;
                }
                _ => {}
            }
        }
    }
}

/// What is filled in if a `context` lacks it.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fills<'s> {
    /// `ip`
    pub ip: Option<&'s str>,
    /// `userAgent`
    pub user_agent: Option<&'s str>,
}
