//! The operators of texts.

use md5::{Digest as _, Md5};

use super::java_regex::Piece;
use super::source::Replace;
use super::value::{self, Value};
use crate::json::quoted;

/// The result would be longer than it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooLong;

/// The text with its matches replaced, in at most `most` bytes. `None` if the value is no text.
pub(super) fn replaced(
    replace: &Replace,
    value: &Value<'_>,
    most: usize,
) -> Option<Result<Value<'static>, TooLong>> {
    let text = value.text()?;
    let mut out = String::new();
    let mut copied = 0;
    for captures in replace.regex.captures_iter(&text) {
        let Some(whole) = captures.get(0) else { continue };
        out.push_str(text.get(copied..whole.start()).unwrap_or_default());
        for piece in &replace.by {
            match piece {
                Piece::Text(text) => out.push_str(text),
                Piece::Group(group) => {
                    out.push_str(captures.get(*group).map_or("", |found| found.as_str()));
                }
            }
        }
        copied = whole.end();
        if out.len() > most {
            return Some(Err(TooLong));
        }
    }
    out.push_str(text.get(copied..).unwrap_or_default());
    Some(Ok(Value::Text(out.into())))
}

/// The parts of a text, as a list; empty ones, too. `None` if the value is no text.
pub(super) fn split(separator: &str, value: &Value<'_>) -> Option<Value<'static>> {
    let text = value.text()?;
    let mut out = vec![b'['];
    for part in text.split(separator) {
        if out.len() > 1 {
            out.push(b',');
        }
        quoted::write(part.as_bytes(), false, &mut out);
    }
    out.push(b']');
    String::from_utf8(out).ok().map(|list| Value::List(list.into()))
}

/// Whether a text contains a part, or a list the text. Of a number or boolean its text counts.
pub(super) fn contains(part: &str, value: &Value<'_>) -> bool {
    match value {
        Value::List(list) => {
            value::elements(list).iter().any(|element| element.text().is_some_and(|text| text == part))
        }
        other => other.said().is_some_and(|text| text.contains(part)),
    }
}

/// Whether a key is among so many percent of all keys: by the first eight bytes of its MD5. `None` if the key
/// has no text.
pub(super) fn in_sample(percent: f64, key: &Value<'_>) -> Option<bool> {
    let hash = Md5::digest(key.said()?.as_bytes());
    let first = u64::from_be_bytes(*hash.as_slice().first_chunk()?);
    let bucket = u8::try_from(first % 100).ok()?;
    Some(f64::from(bucket) < percent)
}
