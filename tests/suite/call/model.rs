//! The rules for a line, implemented the slow way: with trees of values, and chrono for the times.

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::{Map, Value, json};

use super::RECEIVED;

/// The line of `call`. `made_id` is the `messageId` that it gets if it has none; `kind` is that of its route.
pub(super) fn line(
    call: &Map<String, Value>,
    envelope: &Map<String, Value>,
    kind: Option<&str>,
    client_side: bool,
    made_id: &Value,
) -> Value {
    let mut line = call.clone();
    line.remove("writeKey");
    if let Some(kind) = kind {
        line.insert("type".into(), kind.into());
    }
    if call.get("messageId").and_then(Value::as_str).is_none_or(|id| id.trim().is_empty()) {
        line.insert("messageId".into(), made_id.clone());
    }
    set_times(&mut line, call, envelope);
    set_context(&mut line, call, envelope, client_side);
    if let Some(shared @ Value::Object(_)) = envelope.get("integrations") {
        match call.get("integrations") {
            None | Some(Value::Null) => drop(line.insert("integrations".into(), shared.clone())),
            Some(Value::Object(own)) => {
                let mut merged = shared.as_object().unwrap().clone();
                merged.extend(own.clone());
                line.insert("integrations".into(), merged.into());
            }
            Some(_) => {}
        }
    }
    line.entry("integrations").or_insert(json!({}));
    line.insert("projectId".into(), "src".into());
    line.entry("version").or_insert(2.into());
    Value::Object(line)
}

fn set_times(line: &mut Map<String, Value>, call: &Map<String, Value>, envelope: &Map<String, Value>) {
    let received = shown(RECEIVED.0);
    let some = |object: &Map<String, Value>, name: &str| object.get(name).filter(|v| !v.is_null()).cloned();
    let sent = some(call, "sentAt").or_else(|| some(envelope, "sentAt"));
    let said = some(call, "timestamp").or_else(|| some(call, "originalTimestamp"));
    let original = said.or_else(|| sent.clone()).unwrap_or_else(|| json!(received));
    let sent = sent.unwrap_or_else(|| json!(received));
    let in_range = |ms: &i64| (0..253_402_300_800_000).contains(ms);
    let original_ms = read(&original);
    let timestamp = read(&sent)
        .zip(original_ms)
        .map(|(sent, original)| RECEIVED.0 - (sent - original))
        .filter(in_range)
        .or(original_ms.filter(in_range))
        .unwrap_or(RECEIVED.0);
    line.insert("receivedAt".into(), received.into());
    line.insert("originalTimestamp".into(), original);
    line.insert("sentAt".into(), sent);
    line.insert("timestamp".into(), shown(timestamp).into());
}

fn set_context(
    line: &mut Map<String, Value>,
    call: &Map<String, Value>,
    envelope: &Map<String, Value>,
    client_side: bool,
) {
    let mut context = match call.get("context") {
        None | Some(Value::Null) => json!({}),
        Some(own) => own.clone(),
    };
    if let (Some(Value::Object(shared)), Value::Object(own)) = (envelope.get("context"), &context) {
        context = merged(shared, own).into();
    }
    let library = context.pointer("/library/name").and_then(Value::as_str).unwrap_or("");
    let says = call.get("channel").and_then(Value::as_str);
    let client = client_side
        || library == "analytics.js"
        || library.starts_with("analytics-ios")
        || says.is_some_and(|channel| ["browser", "web", "client", "mobile"].contains(&channel));
    line.entry("channel").or_insert(if client { "client" } else { "server" }.into());
    let direct = context.get("direct") == Some(&Value::Bool(true));
    if let Value::Object(context) = &mut context
        && (client || direct)
        && context.get("ip").is_none_or(Value::is_null)
    {
        context.insert("ip".into(), "192.0.2.7".into());
    }
    line.insert("context".into(), context);
}

fn merged(base: &Map<String, Value>, over: &Map<String, Value>) -> Map<String, Value> {
    let mut result = base.clone();
    for (name, value) in over {
        let value = match (base.get(name), value) {
            (Some(Value::Object(base)), Value::Object(over)) => merged(base, over).into(),
            _ => value.clone(),
        };
        result.insert(name.clone(), value);
    }
    result
}

fn read(time: &Value) -> Option<i64> {
    match time {
        Value::String(text) => DateTime::parse_from_rfc3339(text).ok().map(|time| time.timestamp_millis()),
        Value::Number(number) => match number.to_string().len() {
            10 => number.as_i64().map(|seconds| seconds * 1_000),
            13 => number.as_i64(),
            _ => None,
        },
        _ => None,
    }
}

fn shown(ms: i64) -> String {
    DateTime::<Utc>::from_timestamp_millis(ms).unwrap().to_rfc3339_opts(SecondsFormat::Millis, true)
}
