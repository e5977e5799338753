//! Bodies that are invalid, or look invalid.

use super::*;

#[test]
fn a_body_that_is_not_a_json_object_is_refused() {
    let check = |body: &str| {
        for example in [&TRACK, &BATCH] {
            let error = example.error(body.as_bytes());
            assert!(matches!(error, BodyError::InvalidJson { .. }), "{body:?}: {error:?}");
        }
    };
    ["", " \n", "null", "[]", "1", "\"x\"", "true", "\u{feff}", "nul"].into_iter().for_each(check);
    ["{", r#"{"a"#, r#"{"a":1"#, r#"{"batch":[{"type":"page"}"#, r#"{"batch":[{"type":"page"},]}"#]
        .into_iter()
        .for_each(check);
    ["{} x", "{}{}", "{},", r#"{"a":1}]"#].into_iter().for_each(check);
    [
        r#"{"a":NaN}"#, r#"{"a":Infinity}"#, r#"{"a":-Infinity}"#, r#"{"a":1/**/}"#, "{}//", r#"{'a':1}"#,
        "{a:1}",
    ]
    .into_iter()
    .for_each(check);
    [r#"{"a":01}"#, r#"{"a":1.}"#, r#"{"a":"\x"}"#, "{\"a\":\"\n\"}", r#"{"a":"\u12"}"#]
        .into_iter()
        .for_each(check);
    ["context", "batch", "integrations", "x"].into_iter().for_each(|name| {
        check(&format!(r#"{{"{name}":{{"library":{{"name":}}}}}}"#));
        check(&format!(r#"{{"{name}":[1,2}}"#));
        check(&format!(r#"{{"{name}":{{"ip" "x"}}}}"#));
    });
}

#[test]
fn an_error_says_what_is_wrong_and_where() {
    let check = |body: &[u8], expected: &str| assert_eq!(TRACK.error(body).to_string(), expected);
    check(b"", "the body is empty at byte 0");
    check(b" [1]", "the body is not a JSON object at byte 1");
    check(br#"{"a":1,}"#, "expected a name in double quotes at byte 7");
    check(b"\xEF\xBB\xBF{\"a\":}", "expected a value at byte 8");
    check(b"{\"a\":\"\xff\"}", "the body is not UTF-8 at byte 6");
    check(b"\xEF\xBB\xBF{\"a\":\"\xc3\"}", "the body is not UTF-8 at byte 9");
    check(br#"{"a":[[[[[[[[1]]]]]]]]}"#, "arrays and objects are nested deeper than 8 at byte 12");
    check(
        format!(r#"{{"x":"{}"}}"#, "x".repeat(1_000)).as_bytes(),
        "the call is 1008 bytes long; the limit is 1000 bytes",
    );
    assert_eq!(BATCH.error(b"{}").to_string(), "`batch` is missing or is not an array");
}

#[test]
fn text_that_is_not_utf8_is_refused_anywhere() {
    for bad in [&b"\xff"[..], b"\x80", b"\xc0\x80", b"\xed\xa0\x80", b"\xf5\x80\x80\x80", b"\xe2\x82"] {
        for (before, after) in [("{\"a\":\"", "\"}"), ("{\"", "\":1}"), ("", "{}"), ("{}", "")] {
            let body = [before.as_bytes(), bad, after.as_bytes()].concat();
            assert_eq!(TRACK.error(&body), BodyError::InvalidUtf8 { at: before.len() }, "{body:?}");
        }
    }
}

#[test]
fn depth_is_bounded_everywhere() {
    let limits = Limits { max_event: 1_000_000, ..Limits::default() };
    let example = Example { limits, ..TRACK };
    let nested = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
    assert_eq!(example.lines(&format!(r#"{{"a":{}}}"#, nested(100))).0.calls.len(), 1);
    assert!(Request::parse(format!(r#"{{"a":{}}}"#, nested(127)).as_bytes(), example.shape, &limits).is_ok());
    let objects = format!("{}1{}", r#"{"a":"#.repeat(300), "}".repeat(300));
    for deep in [nested(128), "[".repeat(100_000), objects] {
        for before in [
            r#"{"a":"#,
            r#"{"context":"#,
            r#"{"context":{"library":"#,
            r#"{"batch":{"a":"#,
            r#"{"batch":[],"context":"#,
            r#"{"batch":[{"type":"page"}],"x":"#,
        ] {
            let error = example.error(format!("{before}{deep}").as_bytes());
            assert!(matches!(error, BodyError::TooDeep { limit: 128, .. }), "{before}: {error:?}");
        }
    }
    assert_eq!(
        example.error("[".repeat(100_000).as_bytes()).to_string(),
        "the body is not a JSON object at byte 0"
    );
}

/// Items that are deep, or only look deep, each with the reason for which it is rejected.
fn hostile(depth: usize) -> Vec<(String, Option<&'static str>)> {
    let arrays = |count: usize| format!("{}{}", "[".repeat(count), "]".repeat(count));
    let objects = |count: usize| format!("{}1{}", r#"{"a":"#.repeat(count), "}".repeat(count));
    let call = |rest: &str| format!(r#"{{"type":"page",{rest}}}"#);
    vec![
        (call(&format!(r#""x":{}"#, arrays(depth - 1))), None),
        (call(&format!(r#""x":{}"#, arrays(depth))), Some("too_deep")),
        (call(&format!(r#""context":{{"library":{}}}"#, objects(depth))), Some("too_deep")),
        (call(&format!(r#""writeKey":"secret","x":{},"y":"\"\n""#, objects(1_000))), Some("too_deep")),
        (format!(r#"{{"x":{} , "type":"page"}}"#, arrays(20_000)), Some("too_deep")),
        (arrays(depth + 1), Some("too_deep")),
        (arrays(depth), Some("not_an_object")),
        (call(&format!(r#""x":"{}""#, "[{".repeat(300))), None),
        (call(&format!(r#""{}\"{}":1"#, "]}".repeat(300), "[".repeat(300))), None),
        (call(&format!(r#""x":[{}]"#, vec!["[[[]]]"; 400].join(","))), None),
    ]
}

#[test]
fn an_item_that_is_nested_too_deeply_is_rejected_alone() {
    let limits = Limits { max_event: 1_000_000, max_calls: 100, max_depth: 128, ..BATCH.limits };
    for example in [Example { limits, ..BATCH }, Example { limits, ..TRACK }] {
        let hostile = hostile(limits.max_depth);
        // One neighbour before each item and after it, found by its id.
        let mut items = Vec::new();
        for (index, (item, _)) in hostile.iter().enumerate() {
            items.push(format!(r#"{{"type":"track","event":"e","messageId":"n{index}"}}"#));
            items.push(item.clone());
        }
        items.push(r#"{"type":"track","event":"e","messageId":"last"}"#.to_owned());
        let body = format!(r#"{{"batch":[{}],"writeKey":"k"}}"#, items.join(" ,\n"));
        let request = Request::parse(body.as_bytes(), example.shape, &limits).unwrap();
        assert_eq!(request.write_key().as_deref(), Some("k"));
        for (index, item) in items.iter().enumerate() {
            assert_eq!(request.item(index), Some(item.as_bytes()));
        }
        let mut lines = Lines { checks_json: false, ..Lines::default() };
        example.write(&request, &mut lines);
        let mut ids: Vec<String> = Vec::new();
        for (_, line) in &lines.calls {
            let id = line.split_once(r#""messageId":""#).unwrap().1.split('"').next().unwrap();
            ids.extend(Some(id.to_owned()).filter(|id| id.len() < 5));
        }
        let expected: Vec<String> =
            (0..hostile.len()).map(|index| format!("n{index}")).chain(["last".to_owned()]).collect();
        assert_eq!(ids, expected);
        let reasons: Vec<&str> = lines.rejected.iter().map(|(reason, _)| reason.slug()).collect();
        let expected: Vec<&str> = hostile.iter().filter_map(|(_, reason)| *reason).collect();
        assert_eq!(reasons, expected);
        assert_eq!(lines.calls.len() + lines.rejected.len(), request.lines());
        let written: usize = lines.calls.iter().map(|(_, line)| line.len()).sum();
        assert!(written <= request.lines_len());
    }
}

#[test]
fn what_is_nested_too_deeply_is_kept_as_text_without_its_write_key() {
    // Lines are checked with a parser that bounds the depth.
    let limits = Limits { max_event: 1_000_000, max_depth: 128, ..BATCH.limits };
    let example = Example { limits, ..BATCH };
    let deep = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
    let body = format!(r#"{{"batch":[{{"type":"page","writeKey":"k","x":{deep},"y":"\ud800"}}]}}"#);
    let (lines, tally) = example.lines(&body);
    assert_eq!((lines.calls.len(), lines.rejected.len(), tally.surrogates_replaced), (0, 1, 1));
    assert_eq!(lines.rejected[0].1["reason"], "too_deep");
    let kept = format!(r#"{{"type":"page","x":{deep},"y":"\ufffd"}}"#);
    assert_eq!(lines.rejected[0].1["value"].as_str(), Some(kept.as_str()));
    // The key of the first item counts, however deep it is: otherwise its neighbours were refused.
    assert_eq!(
        Request::parse(body.as_bytes(), example.shape, &limits).unwrap().write_key().as_deref(),
        Some("k")
    );
}

#[test]
fn the_text_of_what_is_nested_too_deeply_is_cut_if_it_grows_beyond_a_block() {
    let limits = Limits { max_event: 1_000_000, max_depth: 128, ..BATCH.limits };
    let example = Example { limits, ..BATCH };
    for filler in [r#"\""#, r"\\", r"\u0001", "é", "x"] {
        let deep = format!("{}1{}", r#"{"a":"#.repeat(200), "}".repeat(200));
        let item = format!(r#"{{"type":"page","x":{deep},"y":"{}"}}"#, filler.repeat(20_000));
        let (lines, _) = example.lines(&format!(r#"{{"batch":[{item}]}}"#));
        let line = &lines.rejected[0].1;
        let value = line["value"].as_str().unwrap();
        assert!(item.starts_with(value) && line.to_string().len() < item.len() / 4 * 7 + 300, "{filler}");
        let is_cut = value.len() < item.len();
        assert_eq!(line["valueBytes"].as_u64(), is_cut.then_some(item.len() as u64), "{filler}");
        assert_eq!(is_cut, [r#"\""#, r"\\"].contains(&filler), "{filler}");
    }
}

#[test]
fn items_that_cannot_be_told_apart_refuse_the_whole_body() {
    let limits = Limits { max_event: 1_000_000, max_depth: 128, ..BATCH.limits };
    let example = Example { limits, ..BATCH };
    let call = r#"{"type":"page"}"#;
    for bad in [
        format!(r#"{{"type":"page","x":{}"#, "[".repeat(500)),
        format!(r#"{{"type":"page","x":{}{}}}"#, "[".repeat(500), "]".repeat(499)),
        format!(r#"{{"type":"page","x":{}{}}}"#, "[".repeat(500), "]".repeat(501)),
        format!(r#"{{"type":"page","x":{}{}}}"#, "[".repeat(500), "}".repeat(500)),
        format!(r#"{{"type":"page","x":{}"}}"#, "[".repeat(500)),
        "[".repeat(100_000),
    ] {
        let error = example.error(format!(r#"{{"batch":[{call},{bad},{call}]}}"#).as_bytes());
        assert!(matches!(error, BodyError::InvalidJson { .. }), "{bad:.40}: {error:?}");
    }
}

#[test]
fn a_single_call_has_a_length_limit_and_the_limit_itself_is_allowed() {
    // White space around the call does not count.
    let body = |len: usize| format!(" {{\"type\":\"page\",\"x\":\"{}\"}}\n", "x".repeat(len - 22));
    for example in [&TRACK, &BATCH] {
        assert_eq!(example.lines(&body(1_000)).0.calls.len(), 1);
        let error = example.error(body(1_001).as_bytes());
        assert_eq!(error, BodyError::EventTooLarge { len: 1_001, limit: 1_000 });
    }
}

#[test]
fn a_batch_route_needs_a_batch_or_a_call_of_a_known_type() {
    for body in
        ["{}", r#"{"batch":{}}"#, r#"{"batch":null}"#, r#"{"type":"merge"}"#, r#"{"type":1,"batch":"x"}"#]
    {
        assert_eq!(BATCH.error(body.as_bytes()), BodyError::NoBatch, "{body}");
    }
}

#[test]
fn a_byte_order_mark_is_removed() {
    let line = TRACK.text("\u{feff}{\"a\":1}");
    assert!(line.starts_with(r#"{"a":1,"#), "{line}");
    // Only one, and only at the beginning.
    assert!(Request::parse("\u{feff}\u{feff}{}".as_bytes(), TRACK.shape, &TRACK.limits).is_err());
}

#[test]
fn one_call_becomes_one_line_whatever_its_white_space() {
    let body = "\r\n{\n\t\"messageId\": \"m\",\r\n  \"context\" : {\n \"a b\" : [ 1,\n2 ]\n},\n\"timestamp\":\n{\n},\"x\":\"\\n\"\n}\n";
    let example = Example { client_side: true, ip: Some("1.2.3.4"), ..TRACK };
    let line = example.text(body);
    let expected = concat!(
        r#"{"messageId":"m","context":{"a b":[1,2],"ip":"1.2.3.4"},"#,
        r#""timestamp":"2019-06-21T16:33:26.158Z","x":"\n","#,
    );
    assert!(line.starts_with(expected), "{line}");
    let envelope = "{\n\"context\":{\n\"a\":1\n},\"sentAt\":[\n1],\"integrations\":{\n},\"batch\":[\n{\"type\":\"page\"}]}";
    let line = BATCH.line(envelope);
    assert_eq!((&line["context"], &line["sentAt"]), (&json!({"a": 1}), &json!([1])));
}

#[test]
fn spaces_between_tokens_are_kept() {
    let line = TRACK.text(r#"{"messageId": "m", "a": [1, 2]}"#);
    assert!(line.starts_with(r#"{"messageId": "m", "a": [1, 2],"#), "{line}");
}

#[test]
fn lone_surrogates_are_replaced_and_counted() {
    let check = |body: &str, expected: &str, count: u32| {
        let (lines, tally) = TRACK.lines(body);
        let line = &lines.calls[0].1;
        assert!(line.starts_with(expected), "{body} became {line}");
        assert_eq!(tally.surrogates_replaced, count, "{body}");
    };
    check(r#"{"a":"\ud800"}"#, r#"{"a":"\ufffd","#, 1);
    check(r#"{"\uDC00":{"\ud8FF":["x\ud801y"]}}"#, r#"{"\ufffd":{"\ufffd":["x\ufffdy"]},"#, 3);
    check(r#"{"a":"\ud83d\ude00"}"#, r#"{"a":"\ud83d\ude00","#, 0);
    check(r#"{"a":"\ud83d\ud83d\ude00"}"#, r#"{"a":"\ufffd\ud83d\ude00","#, 1);
    check(r#"{"messageId":"\ud800"}"#, r#"{"messageId":"\ufffd","#, 1);
    let (lines, tally) =
        BATCH.lines(r#"{"context":{"c":"\ud800"},"batch":[{"type":"page"},{"type":"page"},"\udfff"]}"#);
    assert_eq!((lines.calls.len(), tally.surrogates_replaced), (2, 3));
}

#[test]
fn texts_that_only_look_invalid_are_kept() {
    let check = |value: &str| {
        let line = TRACK.text(&format!(r#"{{"v":{value}}}"#));
        assert!(line.starts_with(&format!(r#"{{"v":{value},"#)), "{line}");
    };
    check("1234567890123456789012345678901234567890");
    check("0.123456789012345678901234567890");
    check("-0.0");
    check("1.0e2");
    check(r#""\u0000""#);
    check(r#"{"\u0000":1}"#);
    check("\"\u{2028}\u{2029}\u{7f}\"");
    check(r#""\\ud800 \\n""#);
}

#[test]
fn a_number_beyond_every_range_keeps_its_text() {
    // serde_json, with which the sink parses each line, refuses the number, so this test compares the text.
    let body = format!(r#"{{"v":1e999,"n":"{}"}}"#, "x".repeat(10));
    let request = Request::parse(body.as_bytes(), TRACK.shape, &TRACK.limits).unwrap();
    let mut sink = Lines { checks_json: false, ..Lines::default() };
    TRACK.write(&request, &mut sink);
    assert!(sink.calls[0].1.starts_with(r#"{"v":1e999,"n":"#));
}
