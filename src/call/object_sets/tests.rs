use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::*;
use crate::call::{ClientLibraries, Fingerprinter};
use crate::sources::SourceId;
use crate::time::UnixMillis;

#[derive(Debug)]
struct Fixed;

impl Random for Fixed {
    fn next_u64(&self) -> u64 {
        7
    }
}

#[derive(Default)]
struct Lines {
    buffer: Vec<u8>,
    start: usize,
    sets: Vec<(u128, String)>,
    rejected: Vec<(RejectReason, Json)>,
}

impl Lines {
    fn close(&mut self) -> String {
        let line = String::from_utf8(self.buffer[self.start..].to_vec()).unwrap();
        assert!(!line.contains(['\n', '\r', '\t']), "{line}");
        serde_json::from_str::<Json>(&line).unwrap_or_else(|cause| panic!("{cause}: {line}"));
        line
    }
}

impl LineSink for Lines {
    fn line(&mut self) -> &mut Vec<u8> {
        self.start = self.buffer.len();
        &mut self.buffer
    }

    fn call(&mut self, fingerprint: u128) {
        let line = self.close();
        self.sets.push((fingerprint, line));
    }

    fn rejected(&mut self, reason: RejectReason) {
        let line = self.close();
        self.rejected.push((reason, serde_json::from_str(&line).unwrap()));
    }

    fn discard(&mut self) {
        self.buffer.truncate(self.start);
    }
}

fn written(request: &ObjectSets<'_>, len_max: usize) -> (Lines, Option<Tally>) {
    let source = SourceId::new("web").unwrap();
    let fingerprinter = Fingerprinter::new([1; 16]);
    let stamp = Stamp {
        received_at: UnixMillis(1_561_134_806_158),
        source: &source,
        ip: None,
        client_side: false,
        client_libraries: &ClientLibraries::default(),
        user_agent: None,
        fingerprinter: &fingerprinter,
    };
    let mut lines = Lines::default();
    let tally = request.write_lines(&stamp, &Fixed, len_max, &mut lines);
    (lines, tally)
}

fn lines(body: &str) -> Lines {
    let request = ObjectSets::parse(body.as_bytes(), 3, &Limits::default()).unwrap();
    let (lines, tally) = written(&request, usize::MAX);
    assert!(tally.is_some());
    assert_eq!(lines.sets.len() + lines.rejected.len(), request.lines(), "{body}");
    lines
}

/// The lines of these objects of the collection `rooms`.
fn rooms(objects: &str) -> Lines {
    lines(&format!(r#"{{"collection":"rooms","objects":[{objects}]}}"#))
}

#[test]
fn the_documented_object_becomes_a_line() {
    let object = r#"{"id":"2561341","properties":{"name":"Charming Beach Room Facing Ocean","location":"Lihue, HI","review_count":47}}"#;
    let found = rooms(object);
    assert_eq!(
        found.sets,
        [(
            0,
            "{\"collection\":\"rooms\",\"id\":\"2561341\",\"properties\":{\"name\":\"Charming Beach Room Facing Ocean\",\
             \"location\":\"Lihue, HI\",\"review_count\":47},\"messageId\":\"016b7aed-7b8e-7000-8000-000000000700\",\
             \"receivedAt\":\"2019-06-21T16:33:26.158Z\",\"projectId\":\"web\"}"
                .replace("016b7aed-7b8e-7000-8000-000000000700", &new_id())
        )]
    );
}

fn new_id() -> String {
    String::from_utf8(new_message_id(UnixMillis(1_561_134_806_158), &Fixed).to_vec()).unwrap()
}

#[test]
fn nested_properties_are_flattened_and_digits_stay() {
    let check = |properties: &str, expected: &str| {
        let found = rooms(&format!(r#"{{"id":1,"properties":{properties}}}"#));
        assert_eq!(found.rejected, [], "{properties}");
        let line = &found.sets[0].1;
        assert!(line.contains(&format!("\"id\":\"1\",\"properties\":{expected},\"")), "{line}");
    };
    check(r#"{"a":{"b":1.50,"c":{"d":"x"}},"e":null}"#, r#"{"a_b":1.50,"a_c_d":"x","e":null}"#);
    check(
        r#"{ "a" :
        { "b" : 12345678901234567890 , "c" : { } } , "d" : [ ] }"#
            .replace(", \"d\" : [ ]", "")
            .as_str(),
        r#"{"a_b":12345678901234567890}"#,
    );
    check(r#"{"":{"":1}}"#, r#"{"_":1}"#);
    check(r#"{"a\"b":"\ud800","é":true}"#, r#"{"a\"b":"\ufffd","é":true}"#);
    check("null", "{}");
    check("{}", "{}");
}

#[test]
fn a_message_id_makes_a_repeat_recognisable_and_other_members_stay() {
    let found = rooms(
        r#"{"messageId":"m1","id":"1","timestamp":"2019","collection":"x","projectId":"y","receivedAt":1,"writeKey":"k","forebayPosition":"0"},
           {"messageId":"m1","id":"1"},{"messageId":"m2","id":"1"}"#,
    );
    let prints: Vec<u128> = found.sets.iter().map(|(print, _)| *print).collect();
    assert_eq!(prints[0], prints[1]);
    assert!(prints[0] != 0 && prints[2] != 0 && prints[0] != prints[2]);
    let other = lines(r#"{"objects":[{"messageId":"m1","id":"1"}],"collection":"hotels"}"#);
    assert_ne!(other.sets[0].0, prints[0], "of another collection");
    let line: Json = serde_json::from_str(&found.sets[0].1).unwrap();
    assert_eq!(
        line,
        json!({"messageId": "m1", "timestamp": "2019", "collection": "rooms", "id": "1", "properties": {},
            "receivedAt": "2019-06-21T16:33:26.158Z", "projectId": "web"})
    );
}

#[test]
fn an_invalid_object_is_kept_with_the_reason_and_loses_no_other() {
    let long = "x".repeat(PROPERTY_BYTES_MAX - 2);
    let check = |object: &str, reason: RejectReason| {
        let found = rooms(&format!(r#"{{"id":"1"}},{object},{{"id":"3"}}"#));
        assert_eq!(found.sets.len(), 2, "{object}");
        assert_eq!(found.rejected[0].0, reason, "{object}");
        assert_eq!(found.rejected[0].1["reason"], reason.slug());
        let value: Json = serde_json::from_str(object).unwrap();
        assert_eq!(found.rejected[0].1["value"], value);
    };
    check("7", RejectReason::NotAnObject);
    check("{}", RejectReason::MissingObjectId);
    for id in ["null", "true", "\" \"", "{}", "[1]"] {
        check(&format!(r#"{{"id":{id}}}"#), RejectReason::MissingObjectId);
    }
    check(&format!(r#"{{"id":"{}"}}"#, "é".repeat(101)), RejectReason::ObjectIdTooLong);
    for properties in ["7", "[]", r#"{"a":[]}"#, r#"{"a":{"b":[1]}}"#, r#"{"a_b":1,"a":{"b":2}}"#] {
        check(&format!(r#"{{"id":"1","properties":{properties}}}"#), RejectReason::BadProperties);
    }
    check(&format!(r#"{{"id":"1","properties":{{"a":"{long}"}}}}"#), RejectReason::PropertyTooLarge);
    let fits = rooms(&format!(
        r#"{{"id":"{}","properties":{{"a":"{}"}}}}"#,
        "é".repeat(100),
        long.get(1..).unwrap()
    ));
    assert_eq!((fits.sets.len(), fits.rejected.len()), (1, 0));
    let found = rooms(r#"{"id":"1"},{"id":"2"},{"id":"3"},{"id":"4","writeKey":"k"}"#);
    assert_eq!(found.rejected[0].0, RejectReason::TooManyObjects);
    assert_eq!(found.rejected[0].1["value"], json!({"id": "4"}), "a write key never reaches a line");
}

#[test]
fn flattened_names_cannot_multiply_a_body() {
    let name = "n".repeat(100_000);
    let inner: Vec<String> = (0..100).map(|n| format!("\"{n}\":1")).collect();
    let object = format!(r#"{{"id":"1","properties":{{"{name}":{{{}}}}}}}"#, inner.join(","));
    let found = rooms(&object);
    assert_eq!(found.rejected[0].0, RejectReason::LineTooLarge);
    let name = "n".repeat(4_000);
    let object = format!(r#"{{"id":"1","properties":{{"{name}":{{{}}}}}}}"#, inner.join(","));
    let body = format!(r#"{{"collection":"rooms","objects":[{object},{object},{object}]}}"#);
    let request = ObjectSets::parse(body.as_bytes(), 100, &Limits::default()).unwrap();
    assert!(written(&request, 2_000_000).1.is_some());
    assert!(
        written(&request, 600_000).1.is_none(),
        "the request is refused before its lines fill the memory"
    );
}

#[test]
fn a_body_that_is_no_request_says_why() {
    let check = |body: &str, expected: &str| {
        let error = ObjectSets::parse(body.as_bytes(), 3, &Limits::default()).unwrap_err();
        assert_eq!(error.to_string(), expected, "{body}");
    };
    check("", "the body is empty at byte 0");
    check("[]", "the body is not a JSON object at byte 0");
    check(r#"{"collection":"rooms","objects":[}"#, "expected a value at byte 33");
    check(r#"{"collection":"rooms"}"#, "`objects` is missing or is not an array");
    check(r#"{"collection":"rooms","objects":{}}"#, "`objects` is missing or is not an array");
    check(r#"{"objects":[]}"#, "`collection` is missing or is not a string");
    check(r#"{"collection":7,"objects":[]}"#, "`collection` is missing or is not a string");
    check(
        r#"{"collection":"Rooms","objects":[]}"#,
        "the collection \"Rooms\" must be 1 to 100 of a-z and _, beginning and ending with a letter",
    );
    let body = r#"{"writeKey":" k ","collection":"rooms","objects":[]}"#;
    let request = ObjectSets::parse(body.as_bytes(), 3, &Limits::default()).unwrap();
    assert_eq!((request.write_key().as_deref(), request.lines()), (Some("k"), 0));
}

/// Flattens as the documented client does.
fn flattened(prefix: &str, value: &Map<String, Json>, into: &mut Vec<(String, Json)>) {
    for (name, value) in value {
        let name = if prefix.is_empty() { name.clone() } else { format!("{prefix}_{name}") };
        match value {
            Json::Object(inner) => flattened(&name, inner, into),
            other => into.push((name, other.clone())),
        }
    }
}

fn properties() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        "[ -~é\n]{0,6}".prop_map(Json::from)
    ];
    let tree = leaf.prop_recursive(4, 24, 4, |inner| {
        prop::collection::btree_map("[a-c\"é]{1,3}", inner, 0..4).prop_map(|map| json!(map))
    });
    prop::collection::btree_map("[a-c\"é]{1,3}", tree, 0..4).prop_map(|map| json!(map))
}

proptest! {
    #[test]
    fn any_properties_are_flattened_or_rejected_whole(properties in properties(), pretty in any::<bool>()) {
        let object = json!({"id": "1", "properties": properties});
        let text = if pretty { serde_json::to_string_pretty(&object) } else { serde_json::to_string(&object) };
        let found = rooms(&text.unwrap());
        let mut expected = Vec::new();
        flattened("", properties.as_object().unwrap(), &mut expected);
        let map: Map<String, Json> = expected.iter().cloned().collect();
        if map.len() < expected.len() {
            prop_assert_eq!(found.rejected[0].0, RejectReason::BadProperties);
        } else {
            let line: Json = serde_json::from_str(&found.sets[0].1).unwrap();
            prop_assert_eq!(&line["properties"], &Json::Object(map));
        }
    }
}
