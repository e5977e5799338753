//! Compares a call's line with `serde_json`'s view of the same call. The first byte chooses the way
//! ([`Way`]). The second chooses whether lines carry their positions, and whether the rest is a body as typed
//! or choices for a generated body that is always JSON.
//!
//! - Every member of the call has an equal value in the line, in the order sent: numbers digit for digit, of
//!   equal names the last. Only the collector's own members differ, and they follow the rules, implemented
//!   here a second time.
//! - Invalid items are in the rejected stream for the true reason, as sent except for their write key.
//! - No line has a lone surrogate, a write key, a duplicate name at the top level, or a control character.

use std::str;

use forebay::call::Validation;
use forebay::log::frame::FrameKind;

use super::choices::Choices;
use super::json::{Level, counting, has_lone_surrogate, level, members, quoted, said, same, value};
use super::request::{IP, RECEIVED, RECEIVED_TEXT, USER_AGENT, Way, read_back, stamped};

mod build;

type Members<'t> = Vec<(String, &'t str)>;

/// The position of a request's first line.
const FIRST_POSITION: u64 = 99_999_999_998;
const KINDS: [&str; 6] = ["track", "identify", "page", "screen", "group", "alias"];
/// The members of every line.
const OWNED: [&str; 11] = [
    "type", "messageId", "originalTimestamp", "sentAt", "receivedAt", "timestamp", "context", "integrations",
    "channel", "projectId", "version",
];
/// Beginnings of the names of libraries whose peer is the user's own device.
const CLIENT_LIBRARIES: [&str; 9] = [
    "analytics-ios",
    "analytics-android",
    "analytics-kotlin",
    "analytics-swift",
    "analytics-react-native",
    "@segment/analytics-react-native",
    "Analytics-CSharp",
    "analytics_flutter",
    "com.rudderstack.",
];
/// Names of such libraries that must match completely.
const CLIENT_LIBRARIES_WHOLE: [&str; 3] = ["analytics.js", "rudder.android", "rudder.ios"];
/// The values of `channel` that mean that a client sent the call.
const CLIENT_CHANNELS: [&str; 4] = ["browser", "web", "client", "mobile"];

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut choices = Choices::of(input);
    let way = Way::of(choices.byte());
    let how = choices.byte();
    let say_positions = how & 2 != 0;
    if how & 1 != 0 {
        let body = build::body(&mut choices);
        check(way, body.as_bytes(), say_positions);
    } else {
        check(way, choices.rest(), say_positions);
    }
}

fn check(way: Way, body: &[u8], say_positions: bool) {
    let Ok(request) = way.parse(body) else { return };
    let text = str::from_utf8(body.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(body))
        .expect("a body that is not UTF-8 was accepted");
    let top = counting(&members(text).expect("a body that is not an object was accepted"));
    let (frames, _) = way.frames(&request, say_positions);
    let stored = stamped(&frames, FIRST_POSITION);
    let mut position = FIRST_POSITION;
    let mut lines = read_back(&stored).map(|frame| {
        let line = str::from_utf8(frame.payload).expect("a line is UTF-8");
        assert!(line.bytes().all(|byte| byte >= b' '), "a control character in {line:?}");
        assert!(!has_lone_surrogate(line), "a lone surrogate in {line}");
        assert_eq!(frame.position, position);
        let said_position = format!(r#","forebayPosition":"{position:020}"}}"#);
        position += 1;
        match line.strip_suffix(&said_position) {
            Some(line) if say_positions => (frame.kind, format!("{line}}}")),
            _ => {
                assert!(!say_positions, "a line without its position: {line}");
                (frame.kind, line.to_owned())
            }
        }
    });
    match value(&top, "batch").map(level) {
        Some(Level::List(items)) => {
            for (index, item) in items.into_iter().enumerate() {
                let (kind, line) = lines.next().expect("a line for each item");
                check_item(way, item, Some(&top), index >= way.limits.max_calls, kind, &line);
            }
        }
        _ => {
            let (kind, line) = lines.next().expect("a line for the call");
            let text = text.trim_matches([' ', '\t', '\r', '\n']);
            check_item(way, text, None, false, kind, &line);
        }
    }
    assert!(lines.next().is_none(), "more lines than items");
}

fn check_item(
    way: Way,
    item: &str,
    envelope: Option<&Members<'_>>,
    beyond: bool,
    kind: FrameKind,
    line: &str,
) {
    let reason = if beyond { Some("too_many_calls") } else { reason_to_reject(way, item, envelope) };
    let line = members(line).expect("a line is an object");
    match (kind, reason) {
        (FrameKind::Call, None) => {
            let call = counting(&members(item).expect("a call is an object"));
            check_line(way, &call, envelope, &line);
        }
        (FrameKind::Rejected, found) => {
            let said_reason = said(value(&line, "reason").expect("a reason")).expect("a text");
            // The length of the line is not computed a second time here.
            assert!(
                found == Some(said_reason.as_str()) || (found.is_none() && said_reason == "line_too_large"),
                "rejected as {said_reason}, not {found:?}: {item}"
            );
            let names: Vec<&str> = line.iter().map(|(name, _)| name.as_str()).collect();
            assert_eq!(names, ["receivedAt", "projectId", "reason", "value"]);
            let kept = value(&line, "value").expect("a value");
            if depth(item) >= way.limits.max_depth {
                // Its text: the line is one level deeper. Comparing every level of it would recurse as deep.
                let kept = said(kept).expect("what is nested too deeply is kept as text");
                assert_eq!(depth(&without_write_key(item)), depth(&kept));
                assert!(members(&kept).is_none_or(|kept| kept.iter().all(|(name, _)| name != "writeKey")));
                return;
            }
            assert!(same(&without_write_key(item), kept, true), "{item}\nis kept as\n{kept}");
        }
        (kind, reason) => panic!("{kind:?}, but should be rejected as {reason:?}: {item}"),
    }
}

fn without_write_key(item: &str) -> String {
    match members(item) {
        Some(members) => {
            object(members.iter().filter(|(name, _)| name != "writeKey").map(|(n, v)| (n.as_str(), *v)))
        }
        None => item.to_owned(),
    }
}

fn object<'m>(members: impl Iterator<Item = (&'m str, &'m str)>) -> String {
    let members: Vec<String> = members.map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
    format!("{{{}}}", members.join(","))
}

/// How many brackets are open at once.
fn depth(json: &str) -> usize {
    let (mut open, mut deepest, mut in_string, mut escaped) = (0_usize, 0, false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = in_string,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => open += 1,
            b'}' | b']' if !in_string => open -= 1,
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest
}

fn reason_to_reject(way: Way, item: &str, envelope: Option<&Members<'_>>) -> Option<&'static str> {
    if envelope.is_some() && depth(item) > way.limits.max_depth {
        return Some("too_deep");
    }
    let Some(call) = members(item) else { return Some("not_an_object") };
    let call = counting(&call);
    if item.len() > way.limits.max_event {
        return Some("event_too_large");
    }
    let kind = match (way.kind, envelope) {
        (Some(kind), None) => kind.name().to_owned(),
        _ => match value(&call, "type").and_then(said) {
            None => return Some("missing_type"),
            Some(kind) if !KINDS.contains(&kind.as_str()) => return Some("unknown_type"),
            Some(kind) => kind,
        },
    };
    if way.limits.validation == Validation::Permissive {
        return None;
    }
    let is_id = |name: &str| {
        value(&call, name).is_some_and(|id| match level(id) {
            Level::Text(said) => !said.trim().is_empty(),
            Level::Literal(literal) => {
                literal.starts_with(['-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
            }
            Level::List(_) | Level::Object(_) => false,
        })
    };
    let has_event = value(&call, "event").and_then(said).is_some_and(|event| !event.is_empty());
    match kind.as_str() {
        _ if !is_id("userId") && !is_id("anonymousId") => Some("missing_id"),
        "track" if !has_event => Some("missing_event"),
        "group" if !is_id("groupId") => Some("missing_group_id"),
        "alias" if !is_id("previousId") || !is_id("userId") => Some("missing_previous_id"),
        _ => None,
    }
}

/// Compares a line with its call.
fn check_line(way: Way, call: &Members<'_>, envelope: Option<&Members<'_>>, line: &Members<'_>) {
    let not_null = |members: &Members<'_>, name: &str| {
        value(members, name).filter(|value| *value != "null").map(str::to_owned)
    };
    let received = quoted(RECEIVED_TEXT);
    let said_time = not_null(call, "timestamp").or_else(|| not_null(call, "originalTimestamp"));
    let sent = not_null(call, "sentAt").or_else(|| not_null(envelope?, "sentAt"));
    let original = said_time.or_else(|| sent.clone());
    let (context, client) = context(way, call, envelope);
    let mut expected: Vec<(String, String)> = call
        .iter()
        .filter(|(name, _)| name != "writeKey" && name != "forebayPosition")
        .map(|(name, value)| (name.clone(), (*value).to_owned()))
        .collect();
    for name in OWNED {
        let own = value(call, name);
        let made = match name {
            "type" => way.kind.filter(|_| envelope.is_none()).map(|kind| quoted(kind.name())),
            "messageId" => match own.and_then(said) {
                Some(id) if !id.trim().is_empty() => None,
                _ => Some(made_id(line)),
            },
            "originalTimestamp" => Some(original.clone().unwrap_or_else(|| received.clone())),
            "sentAt" => Some(sent.clone().unwrap_or_else(|| received.clone())),
            "receivedAt" => Some(received.clone()),
            "timestamp" => Some(timestamp(line, sent.as_deref(), original.as_deref())),
            "context" => context.clone(),
            "integrations" => integrations(own, envelope),
            "channel" if own.is_none() => Some(quoted(if client { "client" } else { "server" })),
            "projectId" => Some(quoted("src")),
            "version" if own.is_none() => Some("2".to_owned()),
            _ => None,
        };
        match (made, expected.iter_mut().find(|(known, _)| known == name)) {
            (Some(made), Some((_, value))) => *value = made,
            (Some(made), None) => expected.push((name.to_owned(), made)),
            (None, known) => assert!(known.is_some(), "no rule gives {name}"),
        }
    }
    let names = |members: &mut dyn Iterator<Item = String>| members.collect::<Vec<_>>();
    assert_eq!(
        names(&mut line.iter().map(|(name, _)| name.clone())),
        names(&mut expected.iter().map(|(name, _)| name.clone())),
        "the members of the line differ"
    );
    for ((name, found), (_, expected)) in line.iter().zip(&expected) {
        // Merged objects have an order of their own.
        let ordered = envelope.is_none() || (name != "context" && name != "integrations");
        assert!(same(expected, found, ordered), "{name}: {expected}\nbecame\n{found}");
    }
}

/// The id that the line was given: a UUID of version 7.
fn made_id(line: &Members<'_>) -> String {
    let id = value(line, "messageId").expect("a line has an id");
    let uuid = uuid::Uuid::parse_str(&said(id).expect("an id is a text")).expect("a made id is a UUID");
    assert_eq!(uuid.get_version_num(), 7);
    id.to_owned()
}

/// The corrected time, if this file can parse the client's times; otherwise the line's own value, if it is a
/// time.
fn timestamp(line: &Members<'_>, sent: Option<&str>, original: Option<&str>) -> String {
    let found = value(line, "timestamp").expect("a line has a timestamp");
    let time = chrono::DateTime::parse_from_rfc3339(&said(found).expect("a text")).expect("RFC 3339");
    assert!(
        found.len() == 26 && found.ends_with("Z\"") && (1970..=9999).contains(&chrono::Datelike::year(&time))
    );
    let (Some(sent), Some(original)) = (read_time(sent), read_time(original)) else {
        return found.to_owned();
    };
    let in_range = |ms: &i64| (0..253_402_300_800_000).contains(ms);
    let corrected =
        sent.zip(original).map(|(sent, original)| RECEIVED.0 - (sent - original)).filter(in_range);
    let ms = corrected.or(original.filter(in_range)).unwrap_or(RECEIVED.0);
    let expected = chrono::DateTime::from_timestamp_millis(ms).expect("a time in range");
    quoted(&expected.to_rfc3339_opts(chrono::SecondsFormat::Millis, true))
}

/// A client's time in milliseconds: `Some(None)` if it is certainly invalid, `None` if this file cannot parse
/// it.
fn read_time(time: Option<&str>) -> Option<Option<i64>> {
    let Some(time) = time else { return Some(Some(RECEIVED.0)) };
    match level(time) {
        Level::List(_) | Level::Object(_) | Level::Literal("true" | "false") => Some(None),
        Level::Literal(number) if number.bytes().all(|b| b.is_ascii_digit()) => match number.len() {
            10 => Some(number.parse::<i64>().ok().map(|seconds| seconds * 1_000)),
            13 => Some(number.parse().ok()),
            _ => None,
        },
        Level::Literal(_) => None,
        Level::Text(text) => {
            let plain = |text: &str| {
                let shape: String = text.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
                let fraction = shape.strip_prefix("9999-99-99T99:99:99")?.trim_start_matches(['.', '9']);
                let seconds = text.get(17..19)?;
                (["Z", "+99:99", "-99:99"].contains(&fraction) && seconds < "60").then_some(())
            };
            plain(&text)?;
            let fraction = text.get(19..).unwrap_or_default().strip_prefix('.').unwrap_or_default();
            let digits = fraction.bytes().take_while(u8::is_ascii_digit).count();
            let dots = text.matches('.').count();
            if dots != usize::from(digits > 0) || digits > 9 {
                return None;
            }
            let read = chrono::DateTime::parse_from_rfc3339(&text).ok()?;
            Some(Some(read.timestamp_millis()))
        }
    }
}

/// Whether the request or the call itself shows that a client sent it.
fn from_client(way: Way, call: &Members<'_>) -> bool {
    let says = value(call, "channel").and_then(said);
    way.client_side || says.is_some_and(|channel| CLIENT_CHANNELS.contains(&&*channel))
}

/// The line's context, if it differs from the call's own; and whether the call is of a client-side library.
fn context(way: Way, call: &Members<'_>, envelope: Option<&Members<'_>>) -> (Option<String>, bool) {
    let own = value(call, "context").filter(|own| *own != "null");
    let Some(own) = members(own.unwrap_or("{}")) else { return (None, from_client(way, call)) };
    let shared = envelope.and_then(|envelope| members(value(envelope, "context")?));
    let merged = shared.map(|shared| merged(&shared, &own, usize::MAX));
    let mut context: Vec<(String, String)> = match &merged {
        Some(text) => members(text).expect("an object"),
        None => own,
    }
    .into_iter()
    .map(|(name, value)| (name, value.to_owned()))
    .collect();
    let last =
        |name: &str| context.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.clone());
    let library = last("library").and_then(|library| said(value(&counting(&members(&library)?), "name")?));
    let known = |name: &str| {
        CLIENT_LIBRARIES_WHOLE.contains(&name)
            || CLIENT_LIBRARIES.iter().any(|library| name.starts_with(library))
    };
    let client = from_client(way, call) || library.is_some_and(|name| known(&name));
    let direct = last("direct").is_some_and(|direct| direct == "true");
    let fills = [("ip", IP, way.ip && (client || direct)), ("userAgent", USER_AGENT, way.user_agent)];
    for (name, text, filled) in fills {
        match context.iter_mut().rev().find(|(known, _)| known == name) {
            Some((_, value)) if filled && value == "null" => *value = quoted(text),
            None if filled => context.push((name.to_owned(), quoted(text))),
            _ => {}
        }
    }
    let text = object(context.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    (Some(text), client)
}

/// The line's integrations, if they differ from the call's own.
fn integrations(own: Option<&str>, envelope: Option<&Members<'_>>) -> Option<String> {
    let shared = envelope.and_then(|envelope| members(value(envelope, "integrations")?));
    match (shared, own) {
        (None, None) => Some("{}".to_owned()),
        (Some(shared), None | Some("null")) => Some(merged(&shared, &Vec::new(), 1)),
        (Some(shared), Some(own)) => Some(merged(&shared, &members(own)?, 1)),
        (None, Some(_)) => None,
    }
}

/// Merges two objects: the overlaid values win, and objects in both are merged in turn, so many levels deep.
fn merged(base: &Members<'_>, over: &Members<'_>, levels: usize) -> String {
    let (base, over) = (counting(base), counting(over));
    let mut result: Vec<(String, String)> = Vec::new();
    for (name, text) in &over {
        let nested =
            value(&base, name).filter(|_| levels > 1).and_then(|below| members(below).zip(members(text)));
        let text = nested.map_or_else(|| (*text).to_owned(), |(below, own)| merged(&below, &own, levels - 1));
        result.push((name.clone(), text));
    }
    let rest = base.iter().filter(|(name, _)| value(&over, name).is_none());
    result.extend(rest.map(|(name, text)| (name.clone(), (*text).to_owned())));
    object(result.iter().map(|(name, text)| (name.as_str(), text.as_str())))
}
