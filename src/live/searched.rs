//! What a filter searches of a call: what is shown of it, as a person reads it. Pure.

use super::members::Members;

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
        text.push_str(&unescaped(line.get()).to_lowercase());
    }
    text
}

/// A JSON text with its escapes replaced by what they mean.
fn unescaped(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some((plain, escape)) = rest.split_once('\\') {
        out.push_str(plain);
        let mut after = escape.chars();
        match after.next() {
            Some('u') => {
                let unit = |text: &str| u16::from_str_radix(text.get(..4)?, 16).ok();
                let first = unit(after.as_str());
                after = after.as_str().get(4..).unwrap_or_default().chars();
                let second = after.as_str().strip_prefix("\\u").and_then(unit);
                let pair = first.zip(second).and_then(|(first, second)| {
                    char::decode_utf16([first, second]).next().and_then(Result::ok)
                });
                match (first.map(|first| char::decode_utf16([first]).next().and_then(Result::ok)), pair) {
                    (Some(Some(alone)), _) => out.push(alone),
                    (_, Some(pair)) => {
                        out.push(pair);
                        after = after.as_str().get(6..).unwrap_or_default().chars();
                    }
                    _ => out.push(char::REPLACEMENT_CHARACTER),
                }
            }
            Some('n' | 't' | 'r' | 'b' | 'f') => out.push(' '),
            Some(other) => out.push(other),
            None => {}
        }
        rest = after.as_str();
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_searched_as_they_are_read() {
        let check = |json: &str, text: &str| assert_eq!(unescaped(json), text, "{json}");
        check(r#"{"city":"Z\u00fcrich"}"#, r#"{"city":"Zürich"}"#);
        check(r#""say \"hi\"\n\\ \/""#, r#""say "hi" \ /""#);
        check(r#""\ud83d\ude00!""#, "\"😀!\"");
        check(r#""\ud83d alone \u12""#, "\"\u{fffd} alone \u{fffd}");
        check("plain", "plain");
    }

    #[test]
    fn names_around_a_call_are_not_searched() {
        let json =
            r#"{"id":1,"at_ms":7,"source":"web","type":"track","name":"Sa\"y","user":null,"line":{"A":"Ü"}}"#;
        assert_eq!(searched(json), "web\ntrack\nsa\"y\n{\"a\":\"ü\"}");
    }
}
