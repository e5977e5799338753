//! What an envelope gives its calls, and which of its items are rejected.

use super::*;

/// Sends `call` in an envelope with additional `members`; returns the member `name` of its line.
fn shared(call: &str, members: &str, name: &str) -> Json {
    let body = format!(r#"{{{members},"batch":[{{"type":"page"{call}}}]}}"#);
    BATCH.line(&body).get(name).cloned().unwrap_or(Json::Null)
}

#[test]
fn a_context_is_merged_deeply_and_the_calls_own_wins() {
    let check = |call: &str, envelope: &str, expected: Json| {
        assert_eq!(shared(call, envelope, "context"), expected, "{call} in {envelope}");
    };
    let envelope = r#""context":{"app":{"name":"a","build":1},"locale":"en","ip":"9.9.9.9"}"#;
    check("", envelope, json!({"app": {"name": "a", "build": 1}, "locale": "en", "ip": "9.9.9.9"}));
    check(
        r#","context":null"#,
        envelope,
        json!({"app": {"name": "a", "build": 1}, "locale": "en", "ip": "9.9.9.9"}),
    );
    check(
        r#","context":{"app":{"build":2,"x":[]},"locale":null}"#,
        envelope,
        json!({"app": {"build": 2, "x": [], "name": "a"}, "locale": null, "ip": "9.9.9.9"}),
    );
    check(r#","context":{"app":"s"}"#, envelope, json!({"app": "s", "locale": "en", "ip": "9.9.9.9"}));
    check(r#","context":[1]"#, envelope, json!([1]));
    for ignored in ["null", "1", "[]", "\"x\""] {
        check(r#","context":{"a":1}"#, &format!(r#""context":{ignored}"#), json!({"a": 1}));
        check("", &format!(r#""context":{ignored}"#), json!({}));
    }
    check("", r#""context":{"a":1},"context":{"b":2}"#, json!({"b": 2}));
}

#[test]
fn fills_depend_on_the_merged_context() {
    let example = Example { ip: Some("1.2.3.4"), ..BATCH };
    let check = |call: &str, envelope: &str, channel: &str, ip: Json| {
        let body = format!(r#"{{"context":{envelope},"batch":[{{"type":"page","context":{call}}}]}}"#);
        let line = example.line(&body);
        let found = (&line["channel"], line["context"].get("ip").unwrap_or(&Json::Null));
        assert_eq!(found, (&json!(channel), &ip), "{body}");
    };
    let browser = r#"{"library":{"name":"analytics.js"}}"#;
    check("{}", browser, "client", json!("1.2.3.4"));
    check(r#"{"library":{"version":"1"}}"#, browser, "client", json!("1.2.3.4"));
    check(r#"{"library":{"name":"x"}}"#, browser, "server", Json::Null);
    check(r#"{"ip":"5.5.5.5"}"#, browser, "client", json!("5.5.5.5"));
    check(r#"{"direct":true,"ip":null}"#, "{}", "server", json!("1.2.3.4"));
    check("{}", r#"{"direct":true,"ip":"6.6.6.6"}"#, "server", json!("6.6.6.6"));
}

#[test]
fn integrations_are_merged_one_level_deep() {
    let check = |call: &str, envelope: &str, expected: Json| {
        assert_eq!(shared(call, envelope, "integrations"), expected, "{call} in {envelope}");
    };
    let envelope = r#""integrations":{"All":true,"A":{"x":1}}"#;
    check("", envelope, json!({"All": true, "A": {"x": 1}}));
    check(r#","integrations":{}"#, envelope, json!({"All": true, "A": {"x": 1}}));
    check(r#","integrations":null"#, envelope, json!({"All": true, "A": {"x": 1}}));
    check(r#","integrations":{"A":{"y":2}}"#, envelope, json!({"All": true, "A": {"y": 2}}));
    check(r#","integrations":[]"#, envelope, json!([]));
    check(r#","integrations":{"All":false}"#, r#""integrations":null"#, json!({"All": false}));
    check(r#","integrations":null"#, r#""integrations":null"#, Json::Null);
    check("", r#""integrations":7"#, json!({}));
}

#[test]
fn sent_at_is_the_calls_own_or_the_envelopes() {
    let check = |call: &str, envelope: &str, expected: Json| {
        assert_eq!(shared(call, envelope, "sentAt"), expected, "{call} in {envelope}");
    };
    check("", r#""sentAt":"e""#, json!("e"));
    check(r#","sentAt":"c""#, r#""sentAt":"e""#, json!("c"));
    check(r#","sentAt":null"#, r#""sentAt":"e""#, json!("e"));
    check("", r#""sentAt":null"#, json!(RECEIVED));
    check("", r#""sentAt":"e","sentAt":null"#, json!(RECEIVED));
    check("", r#""sentAt":{"a":[1]}"#, json!({"a": [1]}));
}

#[test]
fn no_other_member_of_an_envelope_reaches_a_line() {
    let body = concat!(
        r#"{"messageId":"e","timestamp":"2000-01-01","sequence":1,"userId":"e","writeKey":"k","type":"track","#,
        r#""batch":[{"type":"page","messageId":"m","writeKey":"k"}]}"#,
    );
    let line = BATCH.line(body);
    let names = line.keys().map(String::as_str).collect::<Vec<_>>().join(" ");
    let expected = "channel context integrations messageId originalTimestamp projectId receivedAt sentAt timestamp type version";
    assert_eq!(names, expected);
    assert_eq!((&line["messageId"], &line["type"]), (&json!("m"), &json!("page")));
}

#[test]
fn either_shape_works_on_either_route() {
    let kinds = |example: &Example, body: &str| -> Vec<Json> {
        let lines = example.lines(body).0;
        lines
            .calls
            .iter()
            .map(|(_, line)| serde_json::from_str::<Json>(line).unwrap()["type"].clone())
            .collect()
    };
    let envelope = r#"{"batch":[{"type":"page"},{"type":"group"}]}"#;
    assert_eq!(kinds(&TRACK, envelope), ["page", "group"]);
    assert_eq!(kinds(&BATCH, envelope), ["page", "group"]);
    assert_eq!(kinds(&TRACK, r#"{"type":"page"}"#), ["track"]);
    assert_eq!(kinds(&BATCH, r#"{"type":"page"}"#), ["page"]);
    assert_eq!(kinds(&BATCH, r#"{"type":"page","batch":7}"#), ["page"]);
    assert_eq!(kinds(&TRACK, r#"{"batch":7}"#), ["track"]);
    assert_eq!(kinds(&BATCH, r#"{"batch":[{"type":"page"}],"batch":[]}"#), [Json::Null; 0]);
    assert_eq!(kinds(&BATCH, r#"{"batch":[]}"#), [Json::Null; 0]);
    assert_eq!(BATCH.error(br#"{"batch":[{"type":"page"}],"batch":1}"#), BodyError::NoBatch);
}

#[test]
fn invalid_items_are_rejected_with_the_reason() {
    let check = |item: &str, reason: RejectReason, value: Json| {
        let body = format!(r#"{{"writeKey":"k","batch":[{{"type":"page"}},{item},{{"type":"alias"}}]}}"#);
        let (lines, tally) = BATCH.lines(&body);
        assert_eq!(lines.calls.len(), 2, "{item}");
        let expected = json!({
            "receivedAt": RECEIVED, "projectId": "src", "reason": reason.slug(), "value": value,
        });
        assert_eq!(lines.rejected, [(reason, expected)], "{item}");
        assert_eq!(tally.incomplete, 2);
    };
    check("null", RejectReason::NotAnObject, Json::Null);
    check("1.50", RejectReason::NotAnObject, json!(1.5));
    check("[ 1,\n\"\\n\" ]", RejectReason::NotAnObject, json!([1, "\n"]));
    check(r#""\ud800""#, RejectReason::NotAnObject, json!("\u{fffd}"));
    check("{}", RejectReason::MissingType, json!({}));
    check(
        r#"{"writeKey":"k","a":{"writeKey":1},"write\u004bey":"k","b":2}"#,
        RejectReason::MissingType,
        json!({"a": {"writeKey": 1}, "b": 2}),
    );
    check(r#"{"type":"merge"}"#, RejectReason::UnknownType, json!({"type": "merge"}));
    let long = "x".repeat(1_000);
    check(
        &format!(r#"{{"type":"page","x":"{long}"}}"#),
        RejectReason::EventTooLarge,
        json!({"type": "page", "x": long}),
    );
}

#[test]
fn an_item_of_exactly_the_limit_is_stored() {
    let body = |len: usize| format!(r#"{{"batch":[ {{"type":"page","x":"{}"}} ]}}"#, "x".repeat(len - 22));
    assert_eq!(BATCH.lines(&body(1_000)).0.calls.len(), 1);
    assert_eq!(BATCH.lines(&body(1_001)).0.rejected[0].0, RejectReason::EventTooLarge);
}

#[test]
fn calls_beyond_the_limit_are_rejected() {
    let call = r#"{"type":"page","writeKey":"k"}"#;
    let body = format!(r#"{{"batch":[{call},{call},{call},{call},5]}}"#);
    let (lines, _) = BATCH.lines(&body);
    assert_eq!(lines.calls.len(), 3);
    let rejected: Vec<_> = lines.rejected.iter().map(|(reason, line)| (*reason, &line["value"])).collect();
    let reason = RejectReason::TooManyCalls;
    assert_eq!(rejected, [(reason, &json!({"type": "page"})), (reason, &json!(5))]);
}

#[test]
fn a_line_that_grows_too_long_is_rejected() {
    let line_max = BATCH.limits.max_event + Limits::LINE_ALLOWANCE;
    let body = |shared: usize, own: usize| {
        let (shared, own) = ("s".repeat(shared), "o".repeat(own));
        format!(r#"{{"context":{{"s":"{shared}"}},"batch":[{{"type":"page","own":"{own}"}}]}}"#)
    };
    let (lines, _) = BATCH.lines(&body(100, 0));
    let rest = lines.calls[0].1.len() - 100;
    assert_eq!(BATCH.lines(&body(line_max - rest, 0)).0.calls.len(), 1);
    // One byte too many; then a context that cannot fit into any line.
    for (shared, own) in [(line_max - rest + 1, 0), (line_max - rest, 1), (line_max * 2, 3)] {
        let (lines, _) = BATCH.lines(&body(shared, own));
        assert!(lines.calls.is_empty());
        let (reason, line) = &lines.rejected[0];
        assert_eq!(*reason, RejectReason::LineTooLarge);
        assert_eq!(line["value"], json!({"type": "page", "own": "o".repeat(own)}));
    }
}

#[test]
fn strict_validation_rejects_incomplete_calls() {
    let body = r#"{"batch":[{"type":"page","userId":"u"},{"type":"page"},{"type":"track","userId":1}]}"#;
    let (lines, tally) = BATCH.lines(body);
    assert_eq!((lines.calls.len(), tally.incomplete), (3, 2));
    let limits = Limits { validation: Validation::Strict, ..BATCH.limits };
    let (lines, tally) = Example { limits, ..BATCH }.lines(body);
    assert_eq!((lines.calls.len(), tally.incomplete), (1, 0));
    let reasons: Vec<_> = lines.rejected.iter().map(|(reason, _)| *reason).collect();
    assert_eq!(reasons, [RejectReason::MissingId, RejectReason::MissingEvent]);
}
