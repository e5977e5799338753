//! Members of an object that is being written. A comma precedes each but the first: the one after the bracket
//! with which the text ends. No value ends with this bracket.

use crate::json::quoted;

/// [`fragment`] of a name that needs no escapes.
macro_rules! named {
    ($name:literal) => {
        concat!(",\"", $name, "\":").as_bytes()
    };
}
pub(super) use named;

/// What precedes a member's value: a comma, the name in quotes and a colon.
pub(super) fn fragment(name: &str) -> Box<[u8]> {
    let mut fragment = vec![b','];
    quoted::write(name.as_bytes(), false, &mut fragment);
    fragment.push(b':');
    fragment.into()
}

/// Appends a fragment, without its comma for the first member.
#[inline]
pub(super) fn begin(fragment: &[u8], out: &mut Vec<u8>) {
    let comma = usize::from(out.last() == Some(&b'{'));
    out.extend_from_slice(fragment.get(comma..).unwrap_or_default());
}

/// Appends the same for a name that needs no escapes.
#[inline]
pub(super) fn begin_named(name: &str, out: &mut Vec<u8>) {
    out.extend_from_slice(if out.last() == Some(&b'{') { b"\"" } else { b",\"" });
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
}

/// Appends a member whose value is a text.
#[inline]
pub(super) fn text_member(fragment: &[u8], text: &str, out: &mut Vec<u8>) {
    begin(fragment, out);
    quoted::write(text.as_bytes(), quoted::is_plain(text.as_bytes()), out);
}
