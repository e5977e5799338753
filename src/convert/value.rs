//! One value: of a row as its file has it, or made by an operator.

use std::borrow::Cow;

use super::decimal::Decimal;
use crate::json::{self, Cursor, Member, ValueKind, quoted, tidy_into, unescape, write_float, write_number};
use crate::words::outside_text_within;

/// The most brackets that may be open at once in a row's value, or in a text that is parsed as JSON. With a
/// converter's own depth, a call stays below the limit of calls, which is 128.
pub const VALUE_DEPTH_MAX: usize = 64;

/// A value. What only passes through keeps its digits and escapes, because no number and no tree is built.
/// A reader of another format gives lists and objects as their JSON text, and long whole numbers as digits.
#[derive(Clone, Debug, PartialEq)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A number; without a value in JSON (infinite, or none) it is written as `null`.
    Float(f64),
    /// A number as JSON writes it.
    Number(Cow<'a, str>),
    /// A text, without quotes and escapes.
    Text(Cow<'a, str>),
    /// A JSON string, with its quotes and escapes.
    Quoted(Cow<'a, str>),
    /// The JSON text of an object.
    Object(Cow<'a, str>),
    /// The JSON text of a list.
    List(Cow<'a, str>),
}

impl<'a> Value<'a> {
    /// The value at a place of JSON text that was scanned.
    pub(super) fn scanned(text: &'a str, value: json::Value) -> Self {
        let raw = Cow::Borrowed(text.get(value.span.start()..value.span.end()).unwrap_or_default());
        match value.kind {
            ValueKind::Object => Self::Object(raw),
            ValueKind::Array => Self::List(raw),
            ValueKind::Plain | ValueKind::Escaped => Self::Quoted(raw),
            ValueKind::Number => Self::Number(raw),
            ValueKind::True => Self::Bool(true),
            ValueKind::False => Self::Bool(false),
            ValueKind::Null => Self::Null,
        }
    }

    /// Reads JSON text. `None` if it is not one JSON value, or nested deeper than [`VALUE_DEPTH_MAX`].
    pub fn of_json(text: Cow<'a, str>) -> Option<Self> {
        let mut cursor = Cursor::new(text.as_bytes(), VALUE_DEPTH_MAX);
        let value = cursor.value().ok().filter(|value| value.span.end() <= Cursor::TEXT_MAX)?;
        cursor.finish().ok()?;
        Some(part(&text, value))
    }

    /// The whole number; as digits, if it is long.
    pub fn of_int(int: i128) -> Self {
        i64::try_from(int).map_or_else(|_| Self::Number(Cow::Owned(int.to_string())), Self::Int)
    }

    /// The same value without a copy of its text.
    pub(super) fn borrowed(&self) -> Value<'_> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(*value),
            Self::Int(value) => Value::Int(*value),
            Self::Float(value) => Value::Float(*value),
            Self::Number(text) => Value::Number(Cow::Borrowed(text)),
            Self::Text(text) => Value::Text(Cow::Borrowed(text)),
            Self::Quoted(text) => Value::Quoted(Cow::Borrowed(text)),
            Self::Object(text) => Value::Object(Cow::Borrowed(text)),
            Self::List(text) => Value::List(Cow::Borrowed(text)),
        }
    }

    /// The same value with a text of its own.
    pub(super) fn into_owned<'o>(self) -> Value<'o> {
        let owned = |text: Cow<'a, str>| Cow::Owned(text.into_owned());
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Int(value) => Value::Int(value),
            Self::Float(value) => Value::Float(value),
            Self::Number(text) => Value::Number(owned(text)),
            Self::Text(text) => Value::Text(owned(text)),
            Self::Quoted(text) => Value::Quoted(owned(text)),
            Self::Object(text) => Value::Object(owned(text)),
            Self::List(text) => Value::List(owned(text)),
        }
    }

    /// Bytes of text that the value holds.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Number(text)
            | Self::Text(text)
            | Self::Quoted(text)
            | Self::Object(text)
            | Self::List(text) => text.len(),
            Self::Null | Self::Bool(_) | Self::Int(_) | Self::Float(_) => 8,
        }
    }

    /// The content of a string; `None` for anything else.
    pub(super) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Quoted(raw) => Some(unquoted(raw)),
            _ => None,
        }
    }

    /// A string, number or boolean as text. `None` for null, objects and lists.
    pub(super) fn said(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Number(digits) => Some(Cow::Borrowed(digits)),
            Self::Int(int) => Some(Cow::Owned(int.to_string())),
            Self::Float(float) => float.is_finite().then(|| Cow::Owned(format!("{float:?}"))),
            Self::Bool(value) => Some(Cow::Borrowed(if *value { "true" } else { "false" })),
            _ => self.text(),
        }
    }

    /// As [`Value::said`], without a copy where the value borrows its text.
    pub(super) fn into_said(self) -> Option<Cow<'a, str>> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text),
            Self::Quoted(Cow::Borrowed(raw)) => Some(unquoted(raw)),
            other => other.said().map(|text| Cow::Owned(text.into_owned())),
        }
    }

    /// Whether the value counts as true: `true` itself, or that word in any case. Everything else is false.
    pub(super) fn is_true(&self) -> bool {
        match self {
            Self::Bool(value) => *value,
            Self::Text(_) | Self::Quoted(_) => {
                self.text().is_some_and(|text| text.eq_ignore_ascii_case("true"))
            }
            _ => false,
        }
    }

    /// The number that the value is or that its text says; null counts as zero. `None` for anything else.
    pub(super) fn decimal(&self) -> Option<Decimal> {
        match self {
            Self::Null => Some(Decimal::of_int(0)),
            Self::Int(int) => Some(Decimal::of_int(i128::from(*int))),
            Self::Bool(_) | Self::Object(_) | Self::List(_) => None,
            Self::Float(_) | Self::Number(_) | Self::Text(_) | Self::Quoted(_) => {
                Decimal::parse(self.said()?.trim_ascii())
            }
        }
    }

    /// Appends the value as JSON, on one line.
    #[inline]
    pub fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Self::Int(int) => {
                if *int < 0 {
                    out.push(b'-');
                }
                write_number(out, int.unsigned_abs());
            }
            Self::Float(float) if float.is_finite() => write_float(out, *float),
            Self::Float(_) => out.extend_from_slice(b"null"),
            Self::Number(text) | Self::Quoted(text) => out.extend_from_slice(text.as_bytes()),
            Self::Text(text) => quoted::write(text.as_bytes(), quoted::is_plain(text.as_bytes()), out),
            Self::Object(text) | Self::List(text) => {
                // White space between tokens may hold line breaks. The loop has no early end, so that it
                // becomes vector instructions.
                if text.bytes().fold(false, |found, byte| found | (byte < 0x20)) {
                    tidy_into(out, text.as_bytes());
                } else {
                    out.extend_from_slice(text.as_bytes());
                }
            }
        }
    }
}

/// The content of a JSON string.
fn unquoted(raw: &str) -> Cow<'_, str> {
    let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Cow::Borrowed(inner);
    }
    let text = json::Text { span: json::Span::new(0, inner.len()), escaped: true };
    Cow::Owned(String::from_utf8_lossy(&unescape(text, inner.as_bytes())).into_owned())
}

/// A part of a text: borrowed where the text is.
fn part<'a>(of: &Cow<'a, str>, found: json::Value) -> Value<'a> {
    match of {
        Cow::Borrowed(text) => Value::scanned(text, found),
        Cow::Owned(text) => Value::scanned(text, found).into_owned(),
    }
}

/// The member of an object with this name: of equal names the last.
pub(super) fn member<'a>(object: &Cow<'a, str>, name: &str) -> Option<Value<'a>> {
    let bytes = object.as_bytes();
    let mut cursor = Cursor::new(bytes, usize::MAX);
    cursor.enter().ok()?;
    let mut found = None;
    while let Some(text) = cursor.next_name().ok()? {
        let is_it = if text.escaped {
            *unescape(text, bytes) == *name.as_bytes()
        } else {
            text.span.of(bytes) == name.as_bytes()
        };
        let value = cursor.value().ok()?;
        if is_it {
            found = Some(value);
        }
    }
    found.map(|found| part(object, found))
}

/// The element of a list at this index.
pub(super) fn element<'a>(list: &Cow<'a, str>, index: usize) -> Option<Value<'a>> {
    let mut cursor = Cursor::new(list.as_bytes(), usize::MAX);
    cursor.enter().ok()?;
    let mut at = 0;
    while cursor.next_element().ok()? {
        let value = cursor.value().ok()?;
        if at == index {
            return Some(part(list, value));
        }
        at += 1;
    }
    None
}

/// The elements of a list.
pub(super) fn elements(list: &str) -> Vec<Value<'_>> {
    let mut cursor = Cursor::new(list.as_bytes(), usize::MAX);
    let mut found = Vec::new();
    if cursor.enter().is_err() {
        return found;
    }
    while cursor.next_element() == Ok(true) {
        let Ok(value) = cursor.value() else { break };
        found.push(Value::scanned(list, value));
    }
    found
}

/// The members of an object that count, in order: of equal names the last.
pub(super) fn members(object: &str) -> Vec<(Cow<'_, str>, Value<'_>)> {
    let members = Member::all_of(object.as_bytes(), usize::MAX).unwrap_or_default();
    let counting = members.into_iter().filter(|member| !member.shadowed);
    counting
        .map(|member| {
            let name = match unescape(member.name, object.as_bytes()) {
                Cow::Borrowed(_) => {
                    let span = member.name.span;
                    Cow::Borrowed(object.get(span.start()..span.end()).unwrap_or_default())
                }
                Cow::Owned(name) => Cow::Owned(String::from_utf8_lossy(&name).into_owned()),
            };
            (name, Value::scanned(object, member.value))
        })
        .collect()
}

/// Writes an object of these members.
pub(super) fn object_of<'m>(members: impl IntoIterator<Item = (&'m str, &'m Value<'m>)>, out: &mut Vec<u8>) {
    out.push(b'{');
    for (name, value) in members {
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        quoted::write(name.as_bytes(), false, out);
        out.push(b':');
        value.write(out);
    }
    out.push(b'}');
}

/// A value as a message shows it.
pub(super) fn shown(value: &Value<'_>) -> String {
    let mut json = Vec::new();
    value.write(&mut json);
    outside_text_within(&String::from_utf8_lossy(&json), 64).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(value: &Value<'_>) -> String {
        let mut out = Vec::new();
        value.write(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_passes_through_is_unchanged() {
        let check = |text: &str, expected: &str| {
            let value = Value::of_json(Cow::Borrowed(text)).unwrap();
            assert_eq!(written(&value), expected, "{text}");
            assert_eq!(written(&value.into_owned()), expected, "{text}");
        };
        check("1.10", "1.10");
        check("12345678901234567890123", "12345678901234567890123");
        check(r#""\u00e9\n""#, r#""\u00e9\n""#);
        check("{\"a\":\n [1.0e2] }", r#"{"a":[1.0e2]}"#);
        check("null", "null");
        assert_eq!(written(&Value::Text("a\"\n".into())), r#""a\"\n""#);
        assert_eq!(written(&Value::Float(3.0)), "3.0");
        assert_eq!(written(&Value::Float(f64::NAN)), "null");
        for int in [0, -1, 10, i128::from(i64::MIN), i128::from(i64::MAX), i128::MAX] {
            assert_eq!(written(&Value::of_int(int)), int.to_string());
        }
        for text in ["", "{", "1 2", "nul", &"[".repeat(65)] {
            assert_eq!(Value::of_json(Cow::Borrowed(text)), None, "{text}");
        }
    }

    #[test]
    fn the_last_of_equal_names_is_found() {
        let object = Cow::Borrowed(r#"{"a":1,"b":[5,"x"],"\u0061":{"c":2.50}}"#);
        let found = member(&object, "a").unwrap();
        assert_eq!(written(&found), r#"{"c":2.50}"#);
        assert_eq!(member(&object, "none"), None);
        let Some(Value::List(list)) = member(&object, "b") else { panic!() };
        assert_eq!(element(&list, 1).unwrap().text().unwrap(), "x");
        assert_eq!(element(&list, 2), None);
        let names: Vec<_> = members(&object).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["b", "a"]);
    }
}
