//! `serde_json`'s view of a text, one level at a time: numbers by their literal, names in order, lone
//! surrogates as U+FFFD.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// A value. Arrays and objects hold the text of their elements.
#[derive(Clone, Debug, PartialEq)]
pub enum Level<'t> {
    /// A number, `true`, `false` or `null`, unchanged.
    Literal(&'t str),
    /// The content of a string.
    Text(String),
    /// The elements of an array.
    List(Vec<&'t str>),
    /// The members of an object.
    Object(Vec<(String, &'t str)>),
}

/// The value in `text`, which must be JSON.
pub fn level(text: &str) -> Level<'_> {
    let text = text.trim_matches([' ', '\t', '\r', '\n']);
    match text.as_bytes().first() {
        Some(b'"') => {
            let mut json = serde_json::Deserializer::from_str(text);
            Level::Text(Said::deserialize(&mut json).expect("a string").0)
        }
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(text).expect("an array");
            Level::List(items.into_iter().map(RawValue::get).collect())
        }
        Some(b'{') => Level::Object(serde_json::from_str::<Members<'_>>(text).expect("an object").0),
        _ => Level::Literal(text),
    }
}

/// The members of an object; `None` if `text` is not an object.
pub fn members(text: &str) -> Option<Vec<(String, &str)>> {
    match level(text) {
        Level::Object(members) => Some(members),
        _ => None,
    }
}

/// The content of a string; `None` if `text` is not a string.
pub fn said(text: &str) -> Option<String> {
    match level(text) {
        Level::Text(said) => Some(said),
        _ => None,
    }
}

/// The members that count: of equal names, the last.
pub fn counting<'t>(members: &[(String, &'t str)]) -> Vec<(String, &'t str)> {
    let counts = |index: usize, name: &str| !members.iter().skip(index + 1).any(|(later, _)| later == name);
    members
        .iter()
        .enumerate()
        .filter(|(index, (name, _))| counts(*index, name))
        .map(|(_, m)| m.clone())
        .collect()
}

/// The value of a name among members that count.
pub fn value<'t>(members: &[(String, &'t str)], name: &str) -> Option<&'t str> {
    members.iter().find(|(known, _)| known == name).map(|(_, value)| *value)
}

/// Whether two texts have the same value: the same literals, texts, and names in the same order, including
/// duplicates. Without `ordered`, the names of objects may be in any order.
pub fn same(a: &str, b: &str, ordered: bool) -> bool {
    if a == b {
        return true;
    }
    match (level(a), level(b)) {
        (Level::List(a), Level::List(b)) => {
            a.len() == b.len() && a.iter().zip(&b).all(|(a, b)| same(a, b, ordered))
        }
        (Level::Object(mut a), Level::Object(mut b)) => {
            if !ordered {
                a.sort_by(|(a, _), (b, _)| a.cmp(b));
                b.sort_by(|(a, _), (b, _)| a.cmp(b));
            }
            let same_member =
                |((a, x), (b, y)): (&(String, &str), &(String, &str))| a == b && same(x, y, ordered);
            a.len() == b.len() && a.iter().zip(&b).all(same_member)
        }
        (a, b) => a == b,
    }
}

/// Whether a text contains a lone surrogate, which readers refuse.
pub fn has_lone_surrogate(text: &str) -> bool {
    if !text.contains("\\u") {
        return false;
    }
    match level(text) {
        Level::Literal(_) => false,
        Level::Text(_) => serde_json::from_str::<String>(text).is_err(),
        Level::List(items) => items.into_iter().any(has_lone_surrogate),
        // A name as strict readers read it, then its value.
        Level::Object(members) => {
            serde_json::from_str::<std::collections::HashMap<String, &RawValue>>(text).is_err()
                || members.into_iter().any(|(_, value)| has_lone_surrogate(value))
        }
    }
}

/// `text` as a JSON string.
pub fn quoted(text: &str) -> String {
    serde_json::to_string(text).expect("text can be written")
}

/// The content of a string, parsed so that lone surrogates are preserved.
struct Said(String);

impl<'de> Deserialize<'de> for Said {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = String;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<String, E> {
                Ok(without_surrogates(bytes))
            }
        }
        deserializer.deserialize_bytes(Bytes).map(Said)
    }
}

/// The text of bytes in which surrogates are encoded like characters.
fn without_surrogates(bytes: &[u8]) -> String {
    let mut tidy = Cow::Borrowed(bytes);
    for at in 0..bytes.len() {
        if let Some([0xED, 0xA0..=0xBF, _]) = bytes.get(at..at + 3) {
            tidy.to_mut()[at..at + 3].copy_from_slice("\u{fffd}".as_bytes());
        }
    }
    String::from_utf8(tidy.into_owned()).expect("serde_json gives text")
}

struct Members<'t>(Vec<(String, &'t str)>);

impl<'de: 't, 't> Deserialize<'de> for Members<'t> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<Said, &'de RawValue>()? {
                    members.push((name.0, value.get()));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}
