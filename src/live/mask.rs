//! Hides personal data in a line: who the user is, and where from. Pure.
//!
//! The members below are hidden by name, wherever they stand, so that neither a nested context nor a rejected
//! item shows them. Everything else stays byte for byte.

use serde_json::value::RawValue;

use crate::json::Members;
use crate::object::Stream;

/// What stands in place of a hidden value.
pub const HIDDEN: &str = "[hidden]";
/// Names of hidden members, in lower case and without `_` and `-`.
const NAMES: &[&str] = &[
    "userid", "userids", "anonymousid", "anonid", "previousid", "externalid", "externalids", "distinctid",
    "deviceid", "traits", "trait", "usertraits", "userproperties", "ip", "ips", "ipv4", "ipv6", "ipaddress",
    "clientip", "userip", "remoteip", "remoteaddr", "remoteaddress", "xforwardedfor", "email", "emails",
    "mail", "emailaddress", "phone", "phonenumber", "username", "firstname", "lastname", "fullname",
    "birthday", "address", "token", "devicetoken", "advertisingid", "idfa", "idfv",
    // Its name is often that of its owner.
    "device",
];
/// Members of calls about users that say who the user is.
const NAMES_OF_USERS: [&str; 5] = ["name", "event", "from", "to", "groupid"];
/// Members of a line of an object stream that say nothing about the object.
const PLAIN_OF_OBJECTS: [&str; 5] = ["collection", "messageId", "receivedAt", "projectId", "forebayPosition"];
/// Members of a line of the rejected stream that the collector wrote, without the item.
const PLAIN_OF_REJECTED: [&str; 4] = ["receivedAt", "projectId", "reason", "collection"];
/// Levels of nesting that are looked into. What lies deeper is hidden as a whole.
const DEPTH_MAX: usize = 32;

/// A line of `stream` with personal data hidden. A text that is not JSON is hidden as a whole. Of an object
/// only its collection is shown: it may be a user. Of a rejected item that is no object nothing is shown:
/// it may be a whole call as a text.
pub fn mask_line(line: &str, stream: &Stream) -> String {
    let Some(members) = Members::of(line) else { return quoted(HIDDEN) };
    let mut out = String::with_capacity(line.len());
    match stream {
        Stream::Objects(_) => object(&members, 0, &|name| !PLAIN_OF_OBJECTS.contains(&name), &mut out),
        Stream::Rejected => rejected(&members, &mut out),
        Stream::Calls | Stream::Dead(_) => call(&members, &mut out),
    }
    out
}

/// In a call about a user, its names are the user's.
fn call(members: &Members<'_>, out: &mut String) {
    let kind = members.text("type").unwrap_or_default().to_lowercase();
    let about_user = !matches!(kind.as_str(), "track" | "page" | "screen" | "group");
    let hides_type = !is_word(&members.text("type").unwrap_or_default());
    let hides = |name: &str| {
        is_personal(name)
            || (about_user && NAMES_OF_USERS.contains(&plain(name).as_str()))
            || (hides_type && name == "type")
    };
    object(members, 0, &hides, out);
}

fn rejected(members: &Members<'_>, out: &mut String) {
    let of_objects = members.get("collection").is_some();
    each_member(members, out, &mut |name, member, out| match Members::of(member) {
        _ if PLAIN_OF_REJECTED.contains(&name) => value(member, 1, out),
        Some(item) if !of_objects => call(&item, out),
        Some(_) | None => out.push_str(&quoted(HIDDEN)),
    });
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
    each_member(members, out, &mut |name, member, out| {
        // Null says that nothing was sent, and no more.
        if hides(name) && member != "null" {
            out.push_str(&quoted(HIDDEN));
        } else {
            value(member, depth + 1, out);
        }
    });
}

/// Writes an object with the same names. `write` gets each member's name and text, and writes its value.
fn each_member(members: &Members<'_>, out: &mut String, write: &mut dyn FnMut(&str, &str, &mut String)) {
    out.push('{');
    for (index, (name, member)) in members.0.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        out.push_str(&quoted(name));
        out.push(':');
        write(name, member.get(), out);
    }
    out.push('}');
}

/// Whether a text is a single word, as the type of a call is.
pub(super) fn is_word(text: &str) -> bool {
    text.len() <= 32 && text.chars().all(|c| c.is_ascii_alphabetic() || c == '_' || c == '-')
}

fn is_personal(name: &str) -> bool {
    NAMES.contains(&plain(name).as_str())
}

/// A name in lower case, of letters and digits alone: `User_ID` and `user.id` are `userid`.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A JSON text, with personal data hidden.
    fn mask(text: &str) -> String {
        let mut out = String::new();
        value(text, 0, &mut out);
        out
    }

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
    fn what_a_stream_holds_decides_what_is_hidden() {
        let check = |stream: &str, line: &str, expected: &str| {
            assert_eq!(mask_line(line, &stream.parse().unwrap()), expected, "{stream}: {line}");
        };
        check(
            "objects/rooms",
            r#"{"id":"a@b","collection":"rooms","properties":{"name":"Beach"},"name":"x"}"#,
            r#"{"id":"[hidden]","collection":"rooms","properties":"[hidden]","name":"[hidden]"}"#,
        );
        let track = r#"{"type":"track","event":"A","name":"n"}"#;
        check("calls", track, track);
        check("calls", r#"{"type":"identify","name":"Ann"}"#, r#"{"type":"identify","name":"[hidden]"}"#);
        check("calls", r#"{"type":"alias","from":"a"}"#, r#"{"type":"alias","from":"[hidden]"}"#);
        check("calls", r#"{"type":"a b","n":1}"#, r#"{"type":"[hidden]","n":1}"#);
        check("calls", "not json", r#""[hidden]""#);
        check("rejected", r#"{"reason":"r","value":"userId=u1"}"#, r#"{"reason":"r","value":"[hidden]"}"#);
        check("rejected", r#"{"reason":"r","value":["u1"]}"#, r#"{"reason":"r","value":"[hidden]"}"#);
        check(
            "rejected",
            r#"{"reason":"r","value":{"type":"Identify","name":"Ann","user.id":"u1","n":1}}"#,
            r#"{"reason":"r","value":{"type":"Identify","name":"[hidden]","user.id":"[hidden]","n":1}}"#,
        );
        check(
            "rejected",
            r#"{"reason":"r","collection":"users","value":{"id":"u1","properties":{"name":"Ann"}}}"#,
            r#"{"reason":"r","collection":"users","value":"[hidden]"}"#,
        );
    }
}
