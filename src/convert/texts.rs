//! The operators of texts.

use std::ops::Range;

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
    // Appends what precedes a match, and what takes its place.
    let mut put = |range: Range<usize>, group: &dyn Fn(usize) -> Option<Range<usize>>| {
        out.push_str(text.get(copied..range.start).unwrap_or_default());
        for piece in &replace.by {
            out.push_str(match piece {
                Piece::Text(text) => text,
                Piece::Group(number) => group(*number).and_then(|range| text.get(range)).unwrap_or_default(),
            });
            // One match may be named many times.
            if out.len() > most {
                return Err(TooLong);
            }
        }
        copied = range.end;
        if out.len() > most { Err(TooLong) } else { Ok(()) }
    };
    // Finding groups takes much longer than finding matches.
    let put_all = if replace.by.iter().any(|piece| matches!(piece, Piece::Group(1..))) {
        replace.regex.captures_iter(&text).try_for_each(|captures| {
            let of_group = |number| captures.get(number).map(|found| found.range());
            captures.get(0).map_or(Ok(()), |whole| put(whole.range(), &of_group))
        })
    } else {
        replace.regex.find_iter(&text).try_for_each(|found| put(found.range(), &|_| Some(found.range())))
    };
    if put_all.is_err() {
        return Some(Err(TooLong));
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
