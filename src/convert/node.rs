//! A converter file as a tree, with the digits of its numbers.

use std::fmt::Write as _;

use crate::json::{Cursor, ScanError, ValueKind, quoted, unescape};

/// The most brackets of a converter file that may be open at once.
pub(super) const DEPTH_MAX: usize = 64;

/// A value of the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    /// The members of an object. Of equal names only the last is here.
    Object(Vec<(String, Node)>),
    /// The elements of a list.
    List(Vec<Node>),
    /// A string.
    Text(String),
    /// A number, as typed.
    Number(String),
    /// `true` or `false`.
    Bool(bool),
    /// `null`
    Null,
}

impl Node {
    /// Reads a whole text. Errors: a message with the line and column, if it is not one JSON value or nested
    /// deeper than [`DEPTH_MAX`].
    pub(super) fn read(text: &str) -> Result<Self, String> {
        let mut cursor = Cursor::new(text.as_bytes(), DEPTH_MAX);
        let read = Self::next(&mut cursor).and_then(|node| cursor.finish().map(|()| node));
        read.map_err(|error| {
            let (at, what) = match error {
                ScanError::Syntax { what, at } => (at, format!("the file is not JSON: {what}")),
                ScanError::TooDeep { at } => (at, format!("nested deeper than {DEPTH_MAX} levels")),
            };
            let before = text.get(..at).unwrap_or(text);
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            format!("{what} (line {line}, column {column})")
        })
    }

    /// The depth of the recursion is bounded by the cursor's limit.
    fn next(cursor: &mut Cursor<'_>) -> Result<Self, ScanError> {
        let text = cursor.text();
        let said = |said: crate::json::Text| String::from_utf8_lossy(&unescape(said, text)).into_owned();
        match cursor.peek() {
            Some(b'{') => {
                let mut members: Vec<(String, Self)> = Vec::new();
                let mut places = std::collections::HashMap::new();
                cursor.enter()?;
                while let Some(name) = cursor.next_name()? {
                    let (name, value) = (said(name), Self::next(cursor)?);
                    // The last of equal names counts, where the first one stands.
                    let place = *places.entry(name.clone()).or_insert(members.len());
                    match members.get_mut(place) {
                        Some(member) => member.1 = value,
                        None => members.push((name, value)),
                    }
                }
                Ok(Self::Object(members))
            }
            Some(b'[') => {
                let mut elements = Vec::new();
                cursor.enter()?;
                while cursor.next_element()? {
                    elements.push(Self::next(cursor)?);
                }
                Ok(Self::List(elements))
            }
            _ => {
                let value = cursor.value()?;
                let raw = || String::from_utf8_lossy(value.span.of(text)).into_owned();
                Ok(match (value.text(), value.kind) {
                    (Some(inner), _) => Self::Text(said(inner)),
                    (None, ValueKind::Number) => Self::Number(raw()),
                    (None, ValueKind::True) => Self::Bool(true),
                    (None, ValueKind::False) => Self::Bool(false),
                    (None, _) => Self::Null,
                })
            }
        }
    }

    /// A string.
    pub(super) fn text(text: &str) -> Self {
        Self::Text(text.to_owned())
    }

    /// The node as JSON, on one line.
    pub(super) fn json(&self) -> String {
        let mut out = Vec::new();
        self.write(&mut out);
        String::from_utf8(out).unwrap_or_default()
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Object(members) => {
                out.push(b'{');
                for (index, (name, value)) in members.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    quoted::write(name.as_bytes(), false, out);
                    out.push(b':');
                    value.write(out);
                }
                out.push(b'}');
            }
            Self::List(elements) => {
                out.push(b'[');
                for (index, element) in elements.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    element.write(out);
                }
                out.push(b']');
            }
            Self::Text(text) => quoted::write(text.as_bytes(), false, out),
            Self::Number(digits) => out.extend_from_slice(digits.as_bytes()),
            Self::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Self::Null => out.extend_from_slice(b"null"),
        }
    }

    /// The node as a message shows it: its JSON, cut.
    pub(super) fn shown(&self) -> String {
        let json = self.json();
        let mut shown = String::new();
        // Writing to a string cannot fail.
        write!(shown, "{}", crate::words::outside_text_within(&json, 64)).unwrap_or_default();
        shown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digits_and_the_last_of_equal_names_are_kept() {
        let text = "{\"a\":1, \"b\":[1.10,12345678901234567890,true,null],\n\"\\u0061\":\"x\\ny\"}";
        let node = Node::read(text).unwrap();
        assert_eq!(node.json(), r#"{"a":"x\ny","b":[1.10,12345678901234567890,true,null]}"#);
    }

    #[test]
    fn errors_name_the_line_and_column() {
        let check = |text: &str, error: &str| assert_eq!(Node::read(text).unwrap_err(), error, "{text}");
        check(
            "{\"a\":1,\n \"b\":2,}",
            "the file is not JSON: expected a name in double quotes (line 2, column 8)",
        );
        check("{} x", "the file is not JSON: text after the end of the value (line 1, column 4)");
        check(&"[".repeat(65), "nested deeper than 64 levels (line 1, column 65)");
    }
}
