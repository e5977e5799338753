//! The members of a JSON object, in order, each with the text of its value: digits and escapes stay as they
//! are.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The members of an object, in the order of the text.
#[derive(Debug)]
pub struct Members<'t>(pub Vec<(Cow<'t, str>, &'t RawValue)>);

/// A name, copied only if it has escapes.
#[derive(serde::Deserialize)]
struct Name<'t>(#[serde(borrow)] Cow<'t, str>);

impl<'t> Members<'t> {
    /// The members of `text`; `None` if it is not one JSON object.
    pub fn of(text: &'t str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    /// The value of the last member with this name: readers of a line use the last one, too.
    pub fn get(&self, name: &str) -> Option<&'t RawValue> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| *value)
    }

    /// A member's text, or a number or boolean as text. `None` if it is missing, null, empty or has members
    /// of its own.
    pub fn text(&self, name: &str) -> Option<String> {
        let value = self.get(name)?.get();
        match value.as_bytes().first()? {
            b'"' => serde_json::from_str(value).ok().filter(|text: &String| !text.is_empty()),
            b'{' | b'[' | b'n' => None,
            _ => Some(value.to_owned()),
        }
    }

    /// The members of a member.
    pub fn members(&self, name: &str) -> Option<Members<'t>> {
        Members::of(self.get(name)?.get())
    }
}

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct InOrder;
        impl<'de> Visitor<'de> for InOrder {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(InOrder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_their_text() {
        let members =
            Members::of(r#"{"b":1.0e2,"a":"\u00e9","b":12345678901234567890,"n":null,"o":{"x":1}}"#).unwrap();
        let names: Vec<&str> = members.0.iter().map(|(name, _)| &**name).collect();
        assert_eq!(names, ["b", "a", "b", "n", "o"]);
        assert_eq!(members.text("b").unwrap(), "12345678901234567890");
        assert_eq!(members.text("a").unwrap(), "é");
        assert_eq!((members.text("n"), members.text("o"), members.text("none")), (None, None, None));
        assert_eq!(members.members("o").unwrap().text("x").unwrap(), "1");
        assert!(Members::of("[1]").is_none() && Members::of("{").is_none());
    }
}
