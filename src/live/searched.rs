//! What a filter searches of a call: what is shown of it, as a person reads it. Pure.

use crate::json::Members;
use crate::json::without_escapes;

/// Members of a call's JSON that are searched, beside its line.
const SEARCHED: [&str; 8] = ["source", "stream", "type", "name", "user", "reason", "reason_text", "library"];

/// The searched text of a call, from its JSON: without escapes and in lower case.
pub fn searched(json: &str) -> String {
    let Some(members) = Members::of(json) else { return String::new() };
    let mut text = String::with_capacity(json.len());
    for part in SEARCHED.iter().filter_map(|name| members.text(name)) {
        text.push_str(&part.to_lowercase());
        text.push('\n');
    }
    if let Some(line) = members.get("line") {
        let line = without_escapes(line.get()).to_lowercase();
        // A word is found across the end of a line.
        text.extend(line.chars().map(|c| if c.is_control() { ' ' } else { c }));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_searched_as_they_are_read() {
        let check = |line: &str, text: &str| {
            assert_eq!(searched(&format!(r#"{{"line":{line}}}"#)), text.to_lowercase(), "{line}");
        };
        check(r#"{"city":"Z\u00fcrich"}"#, r#"{"city":"Zürich"}"#);
        check(r#""say \"hi\"\n\\ \/""#, r#""say "hi" \ /""#);
        check(r#""\ud83d\ude00!""#, "\"😀!\"");
        check(r#""\ud83d alone""#, "\"\u{fffd} alone\"");
        check(r#"["plain",1]"#, r#"["plain",1]"#);
    }

    #[test]
    fn names_around_a_call_are_not_searched() {
        let json =
            r#"{"id":1,"at_ms":7,"source":"web","type":"track","name":"Sa\"y","user":null,"line":{"A":"Ü"}}"#;
        assert_eq!(searched(json), "web\ntrack\nsa\"y\n{\"a\":\"ü\"}");
    }
}
