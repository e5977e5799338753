//! Random bodies are accepted exactly if `serde_json` accepts them, and give the lines of the model.

use std::fmt::Write as _;

use forebay::call::{CallKind, Limits, Request, Shape};
use proptest::collection::{btree_map, vec};
use proptest::option::of as optional;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::{lines_of, model};

const LIMITS: Limits = Limits {
    max_event: 1_024 * 1_024,
    max_calls: 2_500,
    max_depth: 128,
    validation: forebay::call::Validation::Permissive,
};

/// Any value, with everything that JSON allows.
fn value() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        "[ -~]{0,12}",
        any::<String>(),
        select(vec!["\u{0}", "\u{2028}", "😀", "\n\r\t\"\\/"]).prop_map(String::from)
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (-1e9..1e9).prop_map(Value::from),
        text.clone().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map(text.clone(), inner, 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn time() -> impl Strategy<Value = Value> {
    let listed = [
        json!("2026-11-20T06:23:32.701Z"),
        json!("2026-11-20T06:25:40+02:00"),
        json!("2026-11-20T06:25:40.018766-05:30"),
        json!("0001-01-01T00:00:00Z"),
        json!("9999-12-31T23:59:59.999Z"),
        json!("not a date"),
        json!(""),
        json!(1_795_155_812),
        json!(1_795_155_812_701_i64),
        json!(-1),
        Value::Null,
    ];
    prop_oneof![8 => select(listed.to_vec()), 1 => value()]
}

fn context() -> impl Strategy<Value = Value> {
    let library = prop_oneof![
        select(vec![
            json!({"name": "analytics.js"}),
            json!({"name": "analytics-ios"}),
            json!({"version": "1"}),
            json!({"name": "x"})
        ]),
        value(),
    ];
    let ip = select(vec![Value::Null, json!("0.0.0.0"), json!("9.9.9.9")]);
    let object = (
        btree_map("[a-c]", value(), 0..3),
        optional(library),
        optional(ip),
        optional(any::<bool>()),
        optional(btree_map("[a-c]", value(), 0..3)),
    )
        .prop_map(|(others, library, ip, direct, nested)| {
            let mut context: Map<String, Value> = others.into_iter().collect();
            let nested = nested.map(|nested| Value::Object(nested.into_iter().collect()));
            let known =
                [("library", library), ("ip", ip), ("direct", direct.map(Value::from)), ("app", nested)];
            context.extend(known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
            Value::Object(context)
        });
    prop_oneof![6 => object, 1 => Just(Value::Null), 1 => value()]
}

/// A call, or something close to one.
fn call() -> impl Strategy<Value = Map<String, Value>> {
    let kind = prop_oneof![8 => select(vec![json!("track"), json!("page"), json!("identify")]), 1 => value()];
    let id = prop_oneof![4 => "[a-z0-9-]{1,12}".prop_map(Value::from), 1 => value(), 1 => Just(json!(" "))];
    let known = (
        optional(kind),
        optional(id.clone()),
        optional(id),
        optional(time()),
        optional(time()),
        optional(time()),
        optional(context()),
        optional(prop_oneof![context(), value()]),
        optional(value()),
    );
    (btree_map("[a-f]{1,2}", value(), 0..6), known, any::<bool>()).prop_map(|(others, known, owned)| {
        let (kind, id, user, timestamp, original, sent, context, integrations, version) = known;
        let known = [
            ("type", kind),
            ("messageId", id),
            ("userId", user),
            ("timestamp", timestamp),
            ("originalTimestamp", original),
            ("sentAt", sent),
            ("context", context),
            ("integrations", integrations),
            ("version", version),
            ("receivedAt", owned.then(|| json!(1))),
            ("projectId", owned.then(|| json!("x"))),
            ("writeKey", owned.then(|| json!("k"))),
        ];
        let mut call: Map<String, Value> = others.into_iter().collect();
        call.extend(known.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
        call
    })
}

/// An envelope without its calls, and the calls.
fn envelope() -> impl Strategy<Value = (Map<String, Value>, Vec<Map<String, Value>>)> {
    (call(), vec(call(), 0..5)).prop_map(|(mut envelope, calls)| {
        envelope.remove("type");
        (envelope, calls)
    })
}

/// Writes a value with white space, line breaks and escapes as `style` says, which a `serde_json` writer
/// never does.
fn write(out: &mut String, value: &Value, style: &mut impl Iterator<Item = u8>) {
    blank(out, style);
    match value {
        Value::Array(items) => {
            out.push('[');
            for (index, item) in items.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                write(out, item, style);
            }
            blank(out, style);
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (index, (name, value)) in members.iter().enumerate() {
                if index > 0 {
                    out.push(',');
                }
                blank(out, style);
                write_text(out, name, style);
                blank(out, style);
                out.push(':');
                write(out, value, style);
            }
            blank(out, style);
            out.push('}');
        }
        Value::String(text) => write_text(out, text, style),
        other => write!(out, "{other}").unwrap(),
    }
    blank(out, style);
}

fn blank(out: &mut String, style: &mut impl Iterator<Item = u8>) {
    out.push_str(match style.next().unwrap_or(0) {
        1..=20 => " ",
        21..=24 => "\n\t",
        25 => "\r\n",
        _ => "",
    });
}

fn write_text(out: &mut String, text: &str, style: &mut impl Iterator<Item = u8>) {
    out.push('"');
    for character in text.chars() {
        let mut units = [0; 2];
        match (character, style.next().unwrap_or(0)) {
            (_, 0..=12) => {
                for unit in character.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04X}").unwrap();
                }
            }
            ('\n', 13..=90) => out.push_str("\\n"),
            ('"' | '\\', _) | ('/', 13..=90) => out.extend(['\\', character]),
            ('\0'..='\u{1f}', _) => write!(out, "\\u{:04x}", u32::from(character)).unwrap(),
            _ => out.push(character),
        }
    }
    out.push('"');
}

/// A body with this value, in the style of these bytes.
fn body(value: &Value, style: &[u8]) -> String {
    let mut body = String::new();
    // Without bytes the style is plain.
    let style: Vec<u8> = if style.is_empty() { vec![200] } else { style.to_vec() };
    write(&mut body, value, &mut style.into_iter().cycle());
    body
}

/// The `messageId` of a line.
fn id_of(line: &Value) -> Value {
    line["messageId"].clone()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn a_single_call_becomes_the_line_of_the_model(
        call in call(),
        style in vec(any::<u8>(), 0..64),
        client_side in any::<bool>(),
    ) {
        let text = body(&Value::Object(call.clone()), &style);
        // serde_json does not keep fractions exactly, so both sides use the value that it reads.
        let call: Map<String, Value> = serde_json::from_str(&text).unwrap();
        let request = Request::parse(text.as_bytes(), Shape::Single(CallKind::Group), &LIMITS).unwrap();
        let (lines, _) = lines_of(&request, client_side);
        prop_assert_eq!(lines.closed.len(), 1);
        let line: Value = serde_json::from_str(&lines.closed[0].1).unwrap();
        let expected = model::line(&call, &Map::new(), Some("group"), client_side, &id_of(&line));
        prop_assert_eq!(line, expected, "{}", text);
    }

    #[test]
    fn the_calls_of_an_envelope_become_the_lines_of_the_model(
        (shared, calls) in envelope(),
        style in vec(any::<u8>(), 0..64),
    ) {
        let mut whole = shared;
        whole.insert("batch".into(), calls.into_iter().map(Value::Object).collect());
        let text = body(&Value::Object(whole), &style);
        let shared: Map<String, Value> = serde_json::from_str(&text).unwrap();
        let calls: Vec<Map<String, Value>> = serde_json::from_value(shared["batch"].clone()).unwrap();
        let request = Request::parse(text.as_bytes(), Shape::Envelope, &LIMITS).unwrap();
        let (lines, _) = lines_of(&request, false);
        prop_assert_eq!(lines.closed.len(), calls.len());
        for (call, (reason, line)) in calls.iter().zip(&lines.closed) {
            let line: Value = serde_json::from_str(line).unwrap();
            let known = ["track", "page", "identify"].map(Value::from).contains(&call.get("type").cloned().unwrap_or_default());
            prop_assert_eq!(reason.is_none(), known);
            if known {
                let expected = model::line(call, &shared, None, false, &id_of(&line));
                prop_assert_eq!(line, expected, "{}", text);
            } else {
                let mut kept = call.clone();
                kept.remove("writeKey");
                prop_assert_eq!(&line["value"], &Value::Object(kept));
            }
        }
    }

    /// `serde_json` only checks the grammar here ([`IgnoredAny`]): like the collector, it accepts lone
    /// surrogates and numbers of any size. The depth never comes near a limit.
    #[test]
    fn a_damaged_body_is_accepted_exactly_if_serde_json_accepts_it(
        (shared, calls) in envelope(),
        style in vec(any::<u8>(), 0..64),
        damage in vec((any::<Index>(), 0..4_u8, damaging_byte()), 1..4),
    ) {
        let mut whole = shared;
        whole.insert("batch".into(), calls.into_iter().map(Value::Object).collect());
        let mut bytes = body(&Value::Object(whole), &style).into_bytes();
        for (at, how, byte) in damage {
            let at = at.index(bytes.len().max(1));
            match how {
                0 if at < bytes.len() => drop(bytes.remove(at)),
                1 => bytes.insert(at, byte),
                2 => bytes.truncate(at),
                _ => bytes.iter_mut().skip(at).take(1).for_each(|old| *old = byte),
            }
        }
        let request = Request::parse(&bytes, Shape::Single(CallKind::Page), &LIMITS);
        let theirs = std::str::from_utf8(&bytes).is_ok_and(|text| {
            text.trim_start().starts_with('{') && serde_json::from_str::<IgnoredAny>(text).is_ok()
        });
        prop_assert_eq!(request.is_ok(), theirs, "{}", String::from_utf8_lossy(&bytes));
        if let Ok(request) = request {
            for (_, line) in lines_of(&request, false).0.closed {
                prop_assert!(serde_json::from_str::<IgnoredAny>(&line).is_ok(), "{}", line);
            }
        }
    }
}

/// A byte that usually has a meaning in JSON.
fn damaging_byte() -> impl Strategy<Value = u8> {
    let telling = br#"{}[]:,"\ue0129.-+tfnE /'"#.to_vec();
    prop_oneof![6 => select(telling), 1 => any::<u8>(), 1 => 0..32_u8]
}
