//! Objects at the end of a call that is being written: members are added, and user property operations are
//! told from properties.

use std::collections::HashSet;

use crate::json::{Member, unescape};

use super::object_text::begin_named;
use super::value::Value;

/// Operations on user properties, which Amplitude applies. Other names are properties.
const OPERATIONS: [&str; 9] =
    ["$set", "$setOnce", "$add", "$append", "$prepend", "$unset", "$preInsert", "$postInsert", "$remove"];

/// Ends a member that was begun at `before`, and whose object begins at `start` if it `has` one: adds `more`
/// to the object. A member without either is taken back.
pub(super) fn end_member(
    (before, start): (usize, usize),
    has: bool,
    more: &[(&str, Value<'_>)],
    out: &mut Vec<u8>,
) {
    if !has && more.is_empty() {
        out.truncate(before);
        return;
    }
    if !has {
        out.extend_from_slice(b"{}");
    }
    if !more.is_empty() {
        add(more, start, out);
    }
}

/// Adds members to the object that begins at `start` and ends `out`. A member that it has already is
/// replaced.
fn add(added: &[(&str, Value<'_>)], start: usize, out: &mut Vec<u8>) {
    let has =
        |text: &[u8], name: &str| memchr::memmem::find(text, format!("\"{name}\"").as_bytes()).is_some();
    let written = out.get(start..).unwrap_or_default();
    if added.iter().any(|(name, _)| has(written, name)) {
        let text = out.split_off(start);
        let is_added =
            |member: &Member| added.iter().any(|(name, _)| *unescape(member.name, &text) == *name.as_bytes());
        write_members(&text, |member| !is_added(member), out);
    }
    out.pop();
    // The object may have had blanks before its bracket.
    while out.last() == Some(&b' ') {
        out.pop();
    }
    for (name, value) in added {
        begin_named(name, out);
        value.write(out);
    }
    out.push(b'}');
}

/// Writes the members of an object that count and are kept, as an object.
fn write_members(text: &[u8], is_kept: impl Fn(&Member) -> bool, out: &mut Vec<u8>) {
    let members = Member::all_of(text, usize::MAX).unwrap_or_default();
    out.push(b'{');
    for member in members.iter().filter(|member| !member.shadowed && is_kept(member)) {
        if out.last() != Some(&b'{') {
            out.push(b',');
        }
        out.extend_from_slice(member.span().of(text));
    }
    out.push(b'}');
}

/// Tells operations from properties in the object that begins at `start` and ends `out`: it keeps the
/// properties, and what `$set` sets. Returns the object of the operations, if there are any. Without
/// properties the object itself is taken away.
pub(super) fn split_operations(start: usize, out: &mut Vec<u8>) -> Option<Vec<u8>> {
    let written = out.get(start..).unwrap_or_default();
    // Names are compared unescaped.
    let may_have =
        memchr::memchr(b'$', written).is_some() || memchr::memmem::find(written, b"\\u0024").is_some();
    if !may_have {
        return None;
    }
    let operation = |member: &Member, text: &[u8]| {
        let name = unescape(member.name, text);
        OPERATIONS.iter().copied().find(|operation| *operation.as_bytes() == *name)
    };
    let members = Member::all_of(written, usize::MAX).unwrap_or_default();
    if !members.iter().any(|member| !member.shadowed && operation(member, written).is_some()) {
        return None;
    }
    let text = out.split_off(start);
    let mut operations = Vec::new();
    write_members(&text, |member| operation(member, &text).is_some(), &mut operations);
    // What is set counts more than a plain property of the same name.
    let set = members.iter().find(|member| !member.shadowed && operation(member, &text) == Some("$set"));
    let set = set.map(|member| member.value.span.of(&text)).filter(|set| set.starts_with(b"{"));
    let set_members = set.map(|set| Member::all_of(set, usize::MAX).unwrap_or_default()).unwrap_or_default();
    let of_set = set.unwrap_or_default();
    let set_names: HashSet<_> = set_members.iter().map(|member| unescape(member.name, of_set)).collect();
    let is_set = |member: &Member| set_names.contains(&unescape(member.name, &text));
    write_members(&text, |member| operation(member, &text).is_none() && !is_set(member), out);
    if let Some(set) = set {
        out.pop();
        for member in set_members.iter().filter(|member| !member.shadowed) {
            if out.last() != Some(&b'{') {
                out.push(b',');
            }
            out.extend_from_slice(member.span().of(set));
        }
        out.push(b'}');
    }
    if out.get(start..) == Some(b"{}") {
        out.truncate(start);
    }
    Some(operations)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn added_members_replace_those_that_are_there() {
        let check = |object: &str, expected: &str| {
            let mut out = format!("<{object}").into_bytes();
            add(
                &[("price", Value::Number("1.10".into())), ("currency", Value::Text("EUR".into()))],
                1,
                &mut out,
            );
            assert_eq!(String::from_utf8(out).unwrap(), format!("<{expected}"), "{object}");
        };
        check("{}", r#"{"price":1.10,"currency":"EUR"}"#);
        check("{ }", r#"{"price":1.10,"currency":"EUR"}"#);
        check(r#"{ "a":1 }"#, r#"{ "a":1,"price":1.10,"currency":"EUR"}"#);
        check(
            r#"{"price":5,"a":{"price":6},"currency":null}"#,
            r#"{"a":{"price":6},"price":1.10,"currency":"EUR"}"#,
        );
    }

    #[test]
    fn operations_are_told_from_properties() {
        let check = |object: &str, properties: &str, operations: Option<&str>| {
            let mut out = format!("<{object}").into_bytes();
            let found = split_operations(1, &mut out).map(|text| String::from_utf8(text).unwrap());
            assert_eq!(found.as_deref(), operations, "{object}");
            assert_eq!(String::from_utf8(out).unwrap(), format!("<{properties}"), "{object}");
        };
        check(r#"{"a":1}"#, r#"{"a":1}"#, None);
        check(r#"{"a":"$5","$x":1}"#, r#"{"a":"$5","$x":1}"#, None);
        check(r#"{"$add":{"n":1}}"#, "", Some(r#"{"$add":{"n":1}}"#));
        check(
            r#"{"a":1,"$set":{"b":2.50},"$unset":{"c":"-"}}"#,
            r#"{"a":1,"b":2.50}"#,
            Some(r#"{"$set":{"b":2.50},"$unset":{"c":"-"}}"#),
        );
        check(r#"{"a":1,"$set":{"a":2}}"#, r#"{"a":2}"#, Some(r#"{"$set":{"a":2}}"#));
        check(r#"{"$set":5,"a":1}"#, r#"{"a":1}"#, Some(r#"{"$set":5}"#));
        check(r#"{"\u0024set":{"a":1}}"#, r#"{"a":1}"#, Some(r#"{"\u0024set":{"a":1}}"#));
    }
}
