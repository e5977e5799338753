//! The lines of the rejected stream.

use super::{RejectReason, Stamp};
use crate::json::{Cursor, Member, ObjectSplice, ScanError, Span, Splice, text_within, unescape, write_text};
use crate::object::Collection;
use crate::words::date::rfc3339_within_years;

/// Writes `value`, the scanned text of a rejected item, with the reason, and with the collection if it is an
/// object of an object set. The text stays as sent, except that it becomes one line without lone surrogates
/// and, if it is a JSON object, without `writeKey`: a write key never reaches a line.
///
/// A value with which the line would be nested deeper than `depth_max` becomes a string that holds its text.
/// Otherwise nobody whose parser bounds the depth, as most do, could read the line, nor its neighbours in the
/// same file.
///
/// Returns how many lone surrogates were replaced.
pub(super) fn write_rejected(
    out: &mut Vec<u8>,
    stamp: &Stamp<'_>,
    reason: RejectReason,
    collection: Option<&Collection>,
    value: &[u8],
    depth_max: usize,
) -> u32 {
    out.extend_from_slice(b"{\"receivedAt\":\"");
    out.extend_from_slice(&rfc3339_within_years(stamp.received_at));
    out.extend_from_slice(b"\",\"projectId\":\"");
    out.extend_from_slice(stamp.source.as_str().as_bytes());
    out.extend_from_slice(b"\",\"reason\":\"");
    out.extend_from_slice(reason.slug().as_bytes());
    if let Some(collection) = collection {
        out.extend_from_slice(b"\",\"collection\":\"");
        out.extend_from_slice(collection.as_str().as_bytes());
    }
    out.extend_from_slice(b"\",\"value\":");
    let within_line = depth_max.saturating_sub(1);
    let replaced = if matches!(Cursor::new(value, within_line).value(), Err(ScanError::TooDeep { .. })) {
        let mut text = Vec::with_capacity(value.len());
        let replaced = write_without_write_key(&mut text, value);
        let text = String::from_utf8_lossy(&text);
        // Quotes take two bytes, line feeds six: with the text of the longest body, the request would not fit
        // into a block.
        let kept = text_within(&text, value.len() / 4 * 7);
        write_text(out, kept);
        if kept.len() < text.len() {
            out.extend_from_slice(b",\"valueBytes\":");
            out.extend_from_slice(text.len().to_string().as_bytes());
        }
        replaced
    } else {
        write_without_write_key(out, value)
    };
    out.push(b'}');
    replaced
}

fn write_without_write_key(out: &mut Vec<u8>, value: &[u8]) -> u32 {
    let Ok(members) = Member::all_of(value, usize::MAX) else {
        let mut copy = Splice::new(out, value, 0, true);
        copy.copy_to(value.len());
        return copy.replaced();
    };
    let mut copy = ObjectSplice::new(out, value, Span::new(0, value.len()), true);
    for member in members {
        if *unescape(member.name, value) == *b"writeKey" {
            copy.leave_out(member.span());
        } else {
            copy.keep(member.span());
        }
    }
    copy.finish()
}
