//! Writes and looks into the JSON of rows and calls.

use std::collections::BTreeSet;

use crate::import::column_names::names_of;
use crate::json::quoted;

/// An object with these members.
pub(super) fn object_text<'m>(members: impl Iterator<Item = (&'m str, &'m str)>) -> String {
    let mut json = vec![b'{'];
    for (name, value) in members {
        if json.len() > 1 {
            json.push(b',');
        }
        quoted::write(name.as_bytes(), false, &mut json);
        json.push(b':');
        quoted::write(value.as_bytes(), false, &mut json);
    }
    json.push(b'}');
    String::from_utf8(json).unwrap_or_default()
}

/// Those of some names that an object has as members.
pub(super) fn names_among(object: &str, names: &[&'static str]) -> BTreeSet<&'static str> {
    let found = names_of(object);
    names.iter().copied().filter(|name| found.iter().any(|found| found == name)).collect()
}

/// The time of a call.
pub(super) fn timestamp_of(call: &[u8]) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Call {
        timestamp: Option<String>,
    }
    serde_json::from_slice::<Call>(call).ok()?.timestamp
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_times_are_found() {
        assert_eq!(object_text([("a", "1"), ("b\"", "x\ny")].into_iter()), r#"{"a":"1","b\"":"x\ny"}"#);
        assert_eq!(
            names_among(r#"{"price":1}"#, &["price", "revenue"]).into_iter().collect::<Vec<_>>(),
            ["price"]
        );
        assert_eq!(timestamp_of(br#"{"a":{"timestamp":"no"},"timestamp":"yes"}"#).as_deref(), Some("yes"));
        assert_eq!(timestamp_of(br#"{"a":1}"#), None);
    }
}
