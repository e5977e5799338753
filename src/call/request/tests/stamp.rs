//! What the collector fills in: one table for each field.

use super::*;

#[test]
fn an_empty_call_gets_every_field() {
    let expected = concat!(
        r#"{"type":"track","messageId":"ID","#,
        r#""originalTimestamp":"2019-06-21T16:33:26.158Z","sentAt":"2019-06-21T16:33:26.158Z","#,
        r#""receivedAt":"2019-06-21T16:33:26.158Z","timestamp":"2019-06-21T16:33:26.158Z","#,
        r#""context":{},"integrations":{},"channel":"server","projectId":"src","version":2}"#,
    );
    let text = TRACK.text("{}");
    let id = TRACK.line("{}")["messageId"].as_str().unwrap().to_owned();
    assert_eq!(text.replace(&id, "ID"), expected);
    let id = uuid::Uuid::parse_str(&id).unwrap();
    assert_eq!(id.get_version_num(), 7);
    assert_eq!(id.get_timestamp().unwrap().to_unix(), (1_561_134_806, 158_000_000));
}

#[test]
fn the_clients_members_keep_their_bytes_and_order() {
    let body = concat!(
        r#"{ "receivedAt":1, "z" : [1e300, -0.0 ,12345678901234567890],"timestamp":"2019-06-21T16:33:26.060Z","#,
        r#""a":"\u2603\u003c☃\/\u0000","writeKey":"k","messageId":"m1", "sentAt":"2019-06-21T16:33:26.060Z","#,
        r#""projectId":{}, "type":"page","userId":null,"_metadata":{"writeKey":"kept"},"channel":"mobile","#,
        r#""version":1.0,"integrations":{"All": false},"context":{ "ip":"0.0.0.0" },"originalTimestamp":"x" }"#,
    );
    let expected = concat!(
        r#"{"receivedAt":"2019-06-21T16:33:26.158Z", "z" : [1e300, -0.0 ,12345678901234567890],"#,
        r#""timestamp":"2019-06-21T16:33:26.158Z",""#,
        r#"a":"\u2603\u003c☃\/\u0000","messageId":"m1", "sentAt":"2019-06-21T16:33:26.060Z","#,
        r#""projectId":"src", "type":"track","userId":null,"_metadata":{"writeKey":"kept"},"channel":"mobile","#,
        r#""version":1.0,"integrations":{"All": false},"context":{ "ip":"0.0.0.0" },"#,
        r#""originalTimestamp":"2019-06-21T16:33:26.060Z"}"#,
    );
    let example = Example { client_side: true, ip: Some("10.0.0.1"), ..TRACK };
    assert_eq!(example.text(body), expected);
}

#[test]
fn message_ids_are_kept_or_made() {
    let kept = |id: &str| {
        let line = TRACK.text(&format!(r#"{{"messageId":{id}}}"#));
        assert!(line.starts_with(&format!(r#"{{"messageId":{id},"#)), "{line}");
    };
    kept(r#""m""#);
    kept(r#"" m\u0041 ""#);
    kept(&format!("\"{}\"", "m".repeat(900)));
    for made in ["null", "1", "true", "{}", r#"["m"]"#, r#""""#, r#"" \t\u00a0""#] {
        let line = TRACK.line(&format!(r#"{{"messageId":{made}}}"#));
        let id = line["messageId"].as_str().unwrap();
        assert_eq!(uuid::Uuid::parse_str(id).unwrap().get_version_num(), 7, "{made}");
        assert_eq!(id, id.to_lowercase());
    }
    let two = BATCH.lines(r#"{"batch":[{"type":"page"},{"type":"page"}]}"#).0;
    assert_ne!(two.calls[0].1, two.calls[1].1);
}

#[test]
fn times_are_kept_corrected_and_filled_in() {
    let check = |members: &str, original: Json, sent: Json, timestamp: &str| {
        let line = TRACK.line(&format!("{{{members}}}"));
        let found = (&line["originalTimestamp"], &line["sentAt"], &line["timestamp"]);
        assert_eq!(found, (&original, &sent, &json!(timestamp)), "{members}");
        assert_eq!(line["receivedAt"], json!(RECEIVED));
    };
    let (ten, eleven) = ("2019-06-21T10:00:00.000Z", "2019-06-21T11:00:00.000Z");
    check("", json!(RECEIVED), json!(RECEIVED), RECEIVED);
    check(
        r#""timestamp":"2019-06-21T10:00:00.000Z","sentAt":"2019-06-21T11:00:00.000Z""#,
        json!(ten),
        json!(eleven),
        "2019-06-21T15:33:26.158Z",
    );
    check(r#""timestamp":"2019-06-21T10:00:00.000Z""#, json!(ten), json!(RECEIVED), ten);
    check(r#""timestamp":"2019-06-21T10:00:00.000Z","sentAt":null"#, json!(ten), json!(RECEIVED), ten);
    check(r#""timestamp":"2019-06-21T10:00:00.000Z","sentAt":"x""#, json!(ten), json!("x"), ten);
    check(r#""sentAt":"2019-06-21T10:00:00.000Z""#, json!(ten), json!(ten), RECEIVED);
    check(r#""timestamp":null,"sentAt":"2019-06-21T10:00:00.000Z""#, json!(ten), json!(ten), RECEIVED);
    check(r#""originalTimestamp":"2019-06-21T10:00:00.000Z""#, json!(ten), json!(RECEIVED), ten);
    check(
        r#""originalTimestamp":"2019-06-21T10:00:00.000Z","timestamp":"2019-06-21T11:00:00Z""#,
        json!("2019-06-21T11:00:00Z"),
        json!(RECEIVED),
        eleven,
    );
    check(r#""originalTimestamp":null"#, json!(RECEIVED), json!(RECEIVED), RECEIVED);
    check(r#""timestamp":"not a date""#, json!("not a date"), json!(RECEIVED), RECEIVED);
    check(r#""timestamp":-1"#, json!(-1), json!(RECEIVED), RECEIVED);
    check(r#""timestamp":{"a":1}"#, json!({"a": 1}), json!(RECEIVED), RECEIVED);
    check(r#""timestamp":1561111200"#, json!(1_561_111_200), json!(RECEIVED), ten);
    check(r#""timestamp":1561111200000"#, json!(1_561_111_200_000_i64), json!(RECEIVED), ten);
    check(
        r#""timestamp":"2019-06-21\u005410:00:00\u005a""#,
        json!("2019-06-21T10:00:00Z"),
        json!(RECEIVED),
        ten,
    );
    check(
        r#""timestamp":"9999-12-31T00:00:00Z""#,
        json!("9999-12-31T00:00:00Z"),
        json!(RECEIVED),
        "9999-12-31T00:00:00.000Z",
    );
    check(r#""timestamp":"0000-01-01""#, json!("0000-01-01"), json!(RECEIVED), RECEIVED);
}

#[test]
fn an_ip_is_filled_in_for_client_side_calls_that_have_none() {
    let check = |context: &str, client_side: bool, ip: Option<&'static str>, expected: &str| {
        let example = Example { client_side, ip, ..TRACK };
        let line = example.text(&format!(r#"{{"context":{context},"messageId":"m"}}"#));
        let start = format!(r#"{{"context":{expected},"messageId":"m","#);
        assert!(line.starts_with(&start), "{context} became {line}");
    };
    let ip = Some("67.160.210.48");
    check("{}", true, ip, r#"{"ip":"67.160.210.48"}"#);
    check("{ }", true, ip, r#"{ "ip":"67.160.210.48"}"#);
    check(r#"{"a":1}"#, true, ip, r#"{"a":1,"ip":"67.160.210.48"}"#);
    check(r#"{"ip":null,"a":1}"#, true, ip, r#"{"ip":"67.160.210.48","a":1}"#);
    check(r#"{"ip":"1.1.1.1"}"#, true, ip, r#"{"ip":"1.1.1.1"}"#);
    check(r#"{"ip":"0.0.0.0"}"#, true, ip, r#"{"ip":"0.0.0.0"}"#);
    check(r#"{"ip":""}"#, true, ip, r#"{"ip":""}"#);
    check(r#"{"\u0069p":"1.1.1.1"}"#, true, ip, r#"{"\u0069p":"1.1.1.1"}"#);
    check("null", true, ip, r#"{"ip":"67.160.210.48"}"#);
    check("null", false, ip, "{}");
    check("[1]", true, ip, "[1]");
    check("\"x\"", true, ip, "\"x\"");
    check("{}", true, None, "{}");
    check("{}", true, Some("2001:db8::1"), r#"{"ip":"2001:db8::1"}"#);
    check("{}", false, ip, "{}");
    check(r#"{"direct":true}"#, false, ip, r#"{"direct":true,"ip":"67.160.210.48"}"#);
    check(r#"{"direct":"true"}"#, false, ip, r#"{"direct":"true"}"#);
    check(r#"{"direct":true,"direct":false}"#, false, ip, r#"{"direct":true,"direct":false}"#);
    let browser = r#"{"library":{"name":"analytics.js"}"#;
    check(&format!("{browser}}}"), false, ip, &format!(r#"{browser},"ip":"67.160.210.48"}}"#));
    let server = r#"{"library":{"name":"analytics-node"}}"#;
    check(server, false, ip, server);
}

#[test]
fn a_client_channel_marks_a_client_side_call() {
    let has_ip = |channel: &str| {
        let example = Example { ip: Some("67.160.210.48"), ..TRACK };
        let line = example.line(&format!(r#"{{"channel":{channel},"messageId":"m"}}"#));
        assert_eq!(line["channel"], serde_json::from_str::<Json>(channel).unwrap());
        line["context"]["ip"] == "67.160.210.48"
    };
    for channel in [r#""browser""#, r#""web""#, r#""client""#, r#""mobile""#, r#""w\u0065b""#] {
        assert!(has_ip(channel), "{channel}");
    }
    for channel in [r#""server""#, r#""Web""#, r#""""#, "null", "1", r#"["web"]"#] {
        assert!(!has_ip(channel), "{channel}");
    }
}

#[test]
fn the_channel_follows_from_the_library_or_the_route() {
    let check = |members: &str, client_side: bool, expected: Json| {
        let line = Example { client_side, ..TRACK }.line(&format!("{{{members}}}"));
        assert_eq!(line["channel"], expected, "{members}");
    };
    check("", false, json!("server"));
    check("", true, json!("client"));
    check(r#""channel":"browser""#, false, json!("browser"));
    check(r#""context":{"library":{"name":"rudder.android"}}"#, false, json!("client"));
    check(r#""context":{"library":{"name":"rudder.android2"}}"#, false, json!("server"));
    check(r#""channel":null"#, false, Json::Null);
    for name in [
        "analytics.js",
        "analytics-ios",
        "analytics-android",
        "analytics-kotlin",
        "analytics-swift",
        "@segment/analytics-react-native",
        "Analytics-CSharp",
        "analytics\\u002ejs",
    ] {
        check(
            &format!(r#""context":{{"library":{{"version":"1","name":"{name}"}}}}"#),
            false,
            json!("client"),
        );
    }
    for library in [
        r#"{"name":"analytics-python"}"#,
        r#"{"name":"analytics.js.evil"}"#,
        r#"{"name":null}"#,
        r#""analytics.js""#,
        r#"{"name":["analytics.js"]}"#,
        r#"{"name":"analytics.js","name":"x"}"#,
        r#"{"name":"analytics.js"},"library":1"#,
    ] {
        check(&format!(r#""context":{{"library":{library}}}"#), false, json!("server"));
    }
    check(r#""context":{"library":{"name":"analytics.js"}},"context":{}"#, false, json!("server"));
    check(r#""context":{"library":{"name":"analytics.js"}},"context":null"#, false, json!("server"));
}

#[test]
fn a_pixels_user_agent_is_filled_in() {
    let check = |context: &str, expected: &str| {
        let example = Example { user_agent: Some("M\"1\""), ip: Some("1.2.3.4"), client_side: true, ..TRACK };
        let line = example.text(&format!(r#"{{"context":{context}}}"#));
        assert!(line.starts_with(&format!(r#"{{"context":{expected},"#)), "{context} became {line}");
    };
    check("{}", r#"{"ip":"1.2.3.4","userAgent":"M\"1\""}"#);
    check(r#"{"userAgent":"x"}"#, r#"{"userAgent":"x","ip":"1.2.3.4"}"#);
    check(r#"{"userAgent":null,"ip":null}"#, r#"{"userAgent":"M\"1\"","ip":"1.2.3.4"}"#);
    check(r#"{"ip":null,"userAgent":null}"#, r#"{"ip":"1.2.3.4","userAgent":"M\"1\""}"#);
    check(r#"{"userAgent":null}"#, r#"{"userAgent":"M\"1\"","ip":"1.2.3.4"}"#);
}

#[test]
fn the_last_of_equal_names_is_kept() {
    let check = |body: &str, expected: &str| {
        let line = TRACK.text(body);
        assert!(line.starts_with(expected), "{body} became {line}");
    };
    check(r#"{"x":1,"messageId":"m","x":2,"y":0}"#, r#"{"messageId":"m","x":2,"y":0,"#);
    check(r#"{"messageId":"a","messageId":"b"}"#, r#"{"messageId":"b","#);
    check(r#"{"receivedAt":1,"x":1,"received\u0041t":2}"#, r#"{"x":1,"received\u0041t":"2019"#);
    check(r#"{"x":{"a":1,"a":2}}"#, r#"{"x":{"a":1,"a":2},"#);
    check(r#"{"writeKey":"a","x":1,"writeKey":"b"}"#, r#"{"x":1,"type":"#);
    check(r#"{"writeKey":"a"}"#, r#"{"type":"#);
    let line = TRACK.text(r#"{"type":1,"\u0074ype":2,"context":1,"context":{"b":2}}"#);
    assert!(line.starts_with(r#"{"\u0074ype":"track","context":{"b":2},"messageId""#), "{line}");
}

#[test]
fn a_fingerprint_covers_the_id_the_type_and_the_clients_time() {
    let base = r#"{"messageId":"m","timestamp":"t"}"#;
    let same = |body: &str| assert_eq!(TRACK.fingerprint(body), TRACK.fingerprint(base), "{body}");
    let other = |body: &str| {
        assert!(![0, TRACK.fingerprint(base)].contains(&TRACK.fingerprint(body)), "{body}");
    };
    same(r#"{"sentAt":"later","timestamp":"t","messageId":"\u006d","type":"x"}"#);
    same(r#"{"messageId":"m","originalTimestamp":"t"}"#);
    same(r#"{"messageId":"m","timestamp":null,"originalTimestamp":"t"}"#);
    other(r#"{"messageId":"m","timestamp":"u"}"#);
    other(r#"{"messageId":"m"}"#);
    other(r#"{"messageId":"n","timestamp":"t"}"#);
    let page = Example { shape: Shape::Single(CallKind::Page), ..TRACK };
    assert_ne!(page.fingerprint(base), TRACK.fingerprint(base));
    for made in [r#"{"timestamp":"t"}"#, r#"{"messageId":" ","timestamp":"t"}"#] {
        assert_eq!(TRACK.fingerprint(made), 0, "{made}");
    }
}
