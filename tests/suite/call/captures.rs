//! Requests captured from real SDKs.

use std::collections::BTreeMap;
use std::io::Read;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use forebay::call::{CallKind, Limits, Request, Shape};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{lines_of, model};

/// The shape of a route, and whether only clients use it.
fn route(path: &str) -> Option<(Shape, bool)> {
    let kind = match path {
        "/v1/batch" => return Some((Shape::Envelope, false)),
        "/v1/b" => return Some((Shape::Envelope, true)),
        "/v1/t" => CallKind::Track,
        "/v1/i" => CallKind::Identify,
        "/v1/p" => CallKind::Page,
        "/v1/s" => CallKind::Screen,
        "/v1/g" => CallKind::Group,
        "/v1/a" => CallKind::Alias,
        _ => return None,
    };
    Some((Shape::Single(kind), true))
}

fn body_of(captured: &Value) -> Vec<u8> {
    match captured.get("bodyGzipBase64").and_then(Value::as_str) {
        Some(packed) => {
            let mut body = Vec::new();
            let packed = STANDARD.decode(packed).unwrap();
            flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut body).unwrap();
            body
        }
        None => captured["body"].as_str().unwrap().as_bytes().to_vec(),
    }
}

/// Members whose text the collector may rewrite.
const OWNED: [&str; 7] =
    ["receivedAt", "originalTimestamp", "sentAt", "timestamp", "context", "projectId", "writeKey"];

/// Checks that every line of `captures` is what the model gives, and that members which are not the
/// collector's own keep the bytes that were sent. Returns the number of lines of each type.
fn check(captures: &str) -> BTreeMap<String, usize> {
    let mut seen = BTreeMap::new();
    for captured in captures.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
        let path = captured["url"].as_str().unwrap();
        let Some((shape, client_side)) = route(path).filter(|_| captured["method"] == "POST") else {
            continue;
        };
        let body = body_of(&captured);
        let request = Request::parse(&body, shape, &Limits::default()).unwrap();
        let sent: Map<String, Value> = serde_json::from_slice(&body).unwrap();
        let raw: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(&body).unwrap();
        let (calls, raw_calls, envelope) = match sent.get("batch") {
            Some(batch) => {
                let raw_calls = serde_json::from_str(raw["batch"].get()).unwrap();
                (serde_json::from_value(batch.clone()).unwrap(), raw_calls, sent)
            }
            None => (vec![sent], vec![raw], Map::new()),
        };
        let kind = match shape {
            Shape::Single(kind) if envelope.is_empty() => Some(kind.name()),
            _ => None,
        };
        let (lines, tally) = lines_of(&request, client_side);
        assert_eq!(lines.closed.len(), calls.len(), "{path}");
        assert_eq!((tally.incomplete, tally.surrogates_replaced), (0, 0), "{path}");
        for ((call, raw), (reason, line)) in calls.iter().zip(&raw_calls).zip(&lines.closed) {
            assert_eq!(*reason, None);
            let expected = model::line(call, &envelope, kind, client_side, &Value::Null);
            assert_eq!(serde_json::from_str::<Value>(line).unwrap(), expected, "{line}");
            let raw_line: BTreeMap<String, Box<RawValue>> = serde_json::from_str(line).unwrap();
            for (name, value) in raw.iter().filter(|(name, _)| !OWNED.contains(&name.as_str())) {
                assert_eq!(raw_line[name].get(), value.get(), "{name} of {line}");
            }
            assert!(!line.contains("WRITEKEY"), "{line}");
            *seen.entry(expected["type"].as_str().unwrap().to_owned()).or_default() += 1;
        }
        let in_body = request.write_key();
        assert!(in_body.is_none() || in_body.as_deref() == Some("WRITEKEY"), "{in_body:?}");
    }
    seen
}

#[track_caller]
fn check_types(seen: &BTreeMap<String, usize>) {
    let types: Vec<&str> = seen.keys().map(String::as_str).collect();
    assert_eq!(types, ["alias", "group", "identify", "page", "screen", "track"]);
}

#[test]
fn calls_of_the_browser_sdk_arrive() {
    check_types(&check(include_str!("../../fixtures/captures/browser.jsonl")));
}

#[test]
fn calls_of_the_node_sdks_arrive() {
    let captures = include_str!("../../fixtures/captures/node.jsonl");
    check_types(&check(captures));
    assert!(captures.contains("12345678901234567000"), "the captures hold a large integer");
}

#[test]
fn calls_of_the_python_sdks_arrive_with_large_integers_and_all_kinds_of_text() {
    let captures = include_str!("../../fixtures/captures/python.jsonl");
    check_types(&check(captures));
    let first: Value = serde_json::from_str(captures.lines().next().unwrap()).unwrap();
    let body = body_of(&first);
    let request = Request::parse(&body, Shape::Envelope, &Limits::default()).unwrap();
    let (lines, _) = lines_of(&request, false);
    let track = lines.closed.iter().find(|(_, line)| line.contains(r#""Order Completed""#)).unwrap();
    assert!(track.1.contains(r#""big": 12345678901234567890"#), "{}", track.1);
    let line: Value = serde_json::from_str(&track.1).unwrap();
    assert_eq!((&line["userId"], &line["anonymousId"]), (&json!("u1"), &Value::Null));
    assert_eq!(line["messageId"], json!("b6b48226-0333-4ec5-8fd5-077ec6e645eb"));
}

#[test]
fn text_that_is_not_ascii_keeps_its_bytes() {
    let mut seen = 0;
    for captures in [
        include_str!("../../fixtures/captures/python.jsonl"),
        include_str!("../../fixtures/captures/node.jsonl"),
    ] {
        for captured in captures.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()) {
            let body = body_of(&captured);
            let Ok(request) = Request::parse(&body, Shape::Envelope, &Limits::default()) else { continue };
            let (lines, _) = lines_of(&request, false);
            let body = std::str::from_utf8(&body).unwrap();
            let foreign: String = body.chars().filter(|character| !character.is_ascii()).collect();
            let arrived: String = lines
                .closed
                .iter()
                .flat_map(|(_, line)| line.chars().filter(|character| !character.is_ascii()))
                .collect();
            assert_eq!(arrived, foreign);
            seen += foreign.chars().count();
            if body.contains(r"\u") {
                let escapes = |text: &str| text.matches(r"\u").count();
                let arrived: usize = lines.closed.iter().map(|(_, line)| escapes(line)).sum();
                assert_eq!(arrived, escapes(body));
                seen += arrived;
            }
        }
    }
    assert!(seen > 0, "the captures hold text that is not ASCII");
}
