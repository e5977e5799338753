//! JSON that keeps the order of members as written, because policies are read by people.
//!
//! `serde_json` can keep the order too, but only with a feature that would change every map of the program.

use std::fmt;

use serde::de::{MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A JSON value, as far as policies use them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tree {
    Object(Vec<(String, Tree)>),
    List(Vec<Tree>),
    Text(String),
    Number(u64),
}

impl Tree {
    /// The member of this name.
    pub(super) fn member(&self, name: &str) -> Option<&Tree> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// The text, if the value is one.
    pub(super) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }

    /// Whether any text in it contains `word`.
    pub(super) fn mentions(&self, word: &str) -> bool {
        match self {
            Self::Object(members) => members.iter().any(|(_, value)| value.mentions(word)),
            Self::List(items) => items.iter().any(|item| item.mentions(word)),
            Self::Text(text) => text.contains(word),
            Self::Number(_) => false,
        }
    }
}

impl Serialize for Tree {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Object(members) => {
                serializer.collect_map(members.iter().map(|(name, value)| (name, value)))
            }
            Self::List(items) => items.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(number) => serializer.serialize_u64(*number),
        }
    }
}

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Tree;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object, a list, a text or a whole number")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        std::iter::from_fn(|| map.next_entry().transpose()).collect::<Result<_, _>>().map(Tree::Object)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Tree, A::Error> {
        std::iter::from_fn(|| list.next_element().transpose()).collect::<Result<_, _>>().map(Tree::List)
    }
    fn visit_str<E>(self, text: &str) -> Result<Tree, E> {
        Ok(Tree::Text(text.to_owned()))
    }
    fn visit_u64<E>(self, number: u64) -> Result<Tree, E> {
        Ok(Tree::Number(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_and_values_survive() {
        let text = r#"{"b":["x",{"a":1}],"a":{"Null":"tr\"ue","B":[]}}"#;
        let tree: Tree = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&tree).unwrap(), text);
        assert_eq!(tree.member("a").and_then(|a| a.member("Null")).and_then(Tree::text), Some("tr\"ue"));
        assert!(tree.mentions("ue") && !tree.mentions("Null"), "names are not values");
    }
}
