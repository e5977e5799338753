//! Hides personal data in a line: who the user is, and where from. Pure.
//!
//! The members below are hidden by name, wherever they stand, so that neither a nested context nor a rejected item
//! shows them. Everything else stays byte for byte.

use super::members::Members;
use serde_json::value::RawValue;

/// What stands in place of a hidden value.
pub const HIDDEN: &str = "[hidden]";
/// Names of hidden members, in lower case and without `_` and `-`.
const NAMES: [&str; 12] = [
    "userid",
    "anonymousid",
    "previousid",
    "traits",
    "ip",
    "ipaddress",
    "email",
    "phone",
    "advertisingid",
    "token",
    "address",
    // A pixel's query that could not be read holds the whole call.
    "query",
];
/// Levels of nesting that are looked into. What lies deeper is hidden as a whole.
const DEPTH_MAX: usize = 32;

/// `line`, a JSON text, with personal data hidden. A text that is not JSON is hidden as a whole.
pub fn mask(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    value(line, 0, &mut out);
    out
}

/// As [`mask`]; `object_set`: the line is one of an object stream, whose properties are the traits of its object.
pub fn mask_line(line: &str, object_set: bool) -> String {
    if !object_set {
        return mask(line);
    }
    let Some(members) = Members::of(line) else { return quoted(HIDDEN) };
    let mut out = String::with_capacity(line.len());
    object(&members, 0, &|name| name == "properties" || is_personal(name), &mut out);
    out
}

fn value(text: &str, depth: usize, out: &mut String) {
    match text.trim_start().as_bytes().first() {
        Some(b'{' | b'[') if depth >= DEPTH_MAX => out.push_str(&quoted(HIDDEN)),
        Some(b'{') => match Members::of(text) {
            Some(members) => object(&members, depth, &is_personal, out),
            None => out.push_str(&quoted(HIDDEN)),
        },
        Some(b'[') => match serde_json::from_str::<Vec<&RawValue>>(text) {
            Ok(items) => {
                out.push('[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(',');
                    }
                    value(item.get(), depth + 1, out);
                }
                out.push(']');
            }
            Err(_) => out.push_str(&quoted(HIDDEN)),
        },
        _ if serde_json::from_str::<&RawValue>(text).is_ok() => out.push_str(text),
        _ => out.push_str(&quoted(HIDDEN)),
    }
}

fn object(members: &Members<'_>, depth: usize, hides: &dyn Fn(&str) -> bool, out: &mut String) {
    out.push('{');
    for (index, (name, member)) in members.0.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&quoted(name));
        out.push(':');
        // Null says that nothing was sent, and no more.
        if hides(name) && member.get() != "null" {
            out.push_str(&quoted(HIDDEN));
        } else {
            value(member.get(), depth + 1, out);
        }
    }
    out.push('}');
}

fn is_personal(name: &str) -> bool {
    let plain: String =
        name.chars().filter(|c| !matches!(c, '_' | '-')).flat_map(char::to_lowercase).collect();
    NAMES.contains(&plain.as_str())
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn personal_data_is_hidden_wherever_it_stands() {
        let check = |line: &str, expected: &str| assert_eq!(mask(line), expected, "{line}");
        check(r#"{"userId":"u1","event":"A"}"#, r#"{"userId":"[hidden]","event":"A"}"#);
        check(r#"{"userId":12,"previousId":["x"]}"#, r#"{"userId":"[hidden]","previousId":"[hidden]"}"#);
        check(r#"{"anonymousId":null}"#, r#"{"anonymousId":null}"#);
        check(r#"{"traits":{"a":1},"n":1.0e2}"#, r#"{"traits":"[hidden]","n":1.0e2}"#);
        check(
            r#"{"context":{"ip":"192.0.2.1","traits":{"email":"a@b"},"library":{"name":"x"}}}"#,
            r#"{"context":{"ip":"[hidden]","traits":"[hidden]","library":{"name":"x"}}}"#,
        );
        check(
            r#"{"reason":"r","value":[{"user_id":"u"},7]}"#,
            r#"{"reason":"r","value":[{"user_id":"[hidden]"},7]}"#,
        );
        check(r#"{"anonymous-id":"x","USERID":"y"}"#, r#"{"anonymous-id":"[hidden]","USERID":"[hidden]"}"#);
        check(r#"{"\u0075serId":"u"}"#, r#"{"userId":"[hidden]"}"#);
        check(r#"{"a":12345678901234567890,"b":"\u00e9"}"#, r#"{"a":12345678901234567890,"b":"\u00e9"}"#);
        check("not json", r#""[hidden]""#);
        check(r#"{"userId":"u""#, r#""[hidden]""#);
    }

    #[test]
    fn deep_nesting_is_hidden_as_a_whole() {
        let deep = format!("{}{}{}", "[".repeat(100), r#"{"userId":"u1"}"#, "]".repeat(100));
        let masked = mask(&deep);
        assert!(!masked.contains("u1") && masked.contains(HIDDEN), "{masked}");
    }

    #[test]
    fn the_properties_of_an_object_set_are_hidden() {
        let line = r#"{"id":"7","collection":"rooms","properties":{"name":"Beach"}}"#;
        assert_eq!(mask_line(line, true), r#"{"id":"7","collection":"rooms","properties":"[hidden]"}"#);
        assert_eq!(mask_line(line, false), line);
    }
}
