//! From evaluated fields to calls.

use super::*;

use DataType::{Event, GroupProperties, Profiles, UserProperties};
use Strategy::{AppendOnly, Mirror};

/// Every field from a column of its own name.
fn all_fields() -> String {
    let fields: Vec<String> =
        Field::ALL.iter().map(|field| format!("\"{0}\":\"{0}\"", field.name())).collect();
    format!("{{{}}}", fields.join(","))
}

#[track_caller]
fn check(data_type: DataType, strategy: Strategy, row: &str, expected: &[&str]) {
    let converter = converter(&all_fields(), data_type, strategy);
    let (outcome, calls) = converted(&converter, row);
    assert_eq!(calls, expected, "{row}: {outcome:?}");
    for call in &calls {
        let json: serde_json::Value = serde_json::from_str(call).unwrap();
        assert!(!call.contains('\n') && json.is_object());
    }
}

#[track_caller]
fn check_rejected(data_type: DataType, strategy: Strategy, row: &str, code: &str, message: &str) {
    let converter = converter(&all_fields(), data_type, strategy);
    let (outcome, calls) = converted(&converter, row);
    let Outcome::Rejected(reject) = outcome else { panic!("{row}: {outcome:?} {calls:?}") };
    assert_eq!((reject.code, reject.message.as_str()), (code, message), "{row}");
    assert!(calls.is_empty());
}

#[test]
fn each_field_has_its_place() {
    let row = r#"{"event_type":"buy","user_id":5,"device_id":"d\"","time":1645066434189,
        "event_properties":{"a":1.10,"price":"other"},"user_properties":{"p":[1]},"groups":{"org":["a","b"]},
        "group_properties":{"ignored":true},"price":"1.10","quantity":2,"revenue":"x","productId":"P",
        "revenueType":null,"currency":"EUR","app_version":"3.1","start_version":"1","paying":true,
        "platform":"iOS","device_brand":"B","device_manufacturer":"M","device_model":"m","os_name":"o",
        "os_version":"17.0","carrier":"c","language":"de","user_agent":"UA","ip":"10.0.0.1","country":"DE",
        "region":"BE","city":"Berlin","dma":"d","location_lat":52.5200,"location_lng":"13.4","idfa":"","adid":"A",
        "idfv":"V","android_id":"N","android_app_set_id":"S","session_id":"-1","event_id":12345678901234567890,
        "plan":{"branch":"b","source":"s","version":"v"},"partner_id":"p1","ingestion_metadata":{"x":1}}"#;
    let context = concat!(
        r#""context":{"eventId":12345678901234567890,"groups":{"org":["a","b"]},"ip":"10.0.0.1","locale":"de","#,
        r#""userAgent":"UA","app":{"version":"3.1"},"device":{"id":"d\"","type":"iOS","brand":"B","#,
        r#""manufacturer":"M","model":"m","idfa":"","adid":"A","advertisingId":"A","idfv":"V","androidId":"N","#,
        r#""androidAppSetId":"S"},"os":{"name":"o","version":"17.0"},"network":{"carrier":"c"},"#,
        r#""location":{"country":"DE","region":"BE","city":"Berlin","dma":"d","latitude":52.5200,"longitude":"13.4"},"#,
        r#""plan":{"branch":"b","source":"s","version":"v"},"partnerId":"p1","ingestionMetadata":{"x":1}"#
    );
    let head =
        r#""messageId":"imp_k_7","userId":"5","anonymousId":"d\"","timestamp":"2022-02-17T02:53:54.189Z""#;
    let properties = concat!(
        r#""properties":{"a":1.10,"price":1.10,"quantity":2,"revenue":"x","productId":"P","#,
        r#""revenueType":null,"currency":"EUR"}"#
    );
    let track =
        format!(r#"{{"type":"track",{head},"event":"buy",{properties},{context},"traits":{{"p":[1]}}}}}}"#);
    check(Event, AppendOnly, row, &[&track]);
    let traits = r#""traits":{"p":[1],"start_version":"1","paying":true}"#;
    let identify = format!(r#"{{"type":"identify",{head},{traits},{context}}}}}"#);
    check(UserProperties, AppendOnly, row, &[&identify]);
}

#[test]
fn times_are_those_of_other_imports() {
    let timestamp = |time: &str| {
        let converter = converter(&all_fields(), Event, AppendOnly);
        let row = format!(r#"{{"event_type":"e","user_id":"u","time":{time}}}"#);
        let (outcome, calls) = converted(&converter, &row);
        match outcome {
            Outcome::Rejected(reject) => reject.code.to_owned(),
            _ => {
                let call: serde_json::Value = serde_json::from_str(&calls[0]).unwrap();
                call["timestamp"].as_str().unwrap_or("none").to_owned()
            }
        }
    };
    let check = |time: &str, expected: &str| assert_eq!(timestamp(time), expected, "{time}");
    check("1645066434189", "2022-02-17T02:53:54.189Z");
    check("\"1645066434189\"", "2022-02-17T02:53:54.189Z");
    check("1645066434", "2022-02-17T02:53:54.000Z");
    // A fraction of a second was lost.
    check("1709294400.25", "2024-03-01T12:00:00.250Z");
    check("\"1709294400.25\"", "2024-03-01T12:00:00.250Z");
    check("1.645066434189E12", "2022-02-17T02:53:54.189Z");
    check("1645066434189.0", "2022-02-17T02:53:54.189Z");
    check("\"2022-02-17T02:53:54+01:00\"", "2022-02-17T01:53:54.000Z");
    check("null", "none");
    check("\"\"", "none");
    check("5", "bad-time");
    check("\"soon\"", "bad-time");
    check("true", "bad-time");
    check("{}", "bad-time");
    check("\"1969-12-31\"", "bad-time");
}

#[test]
fn a_time_that_an_operator_gives_is_in_milliseconds() {
    let fields = r#"{"event_type":"e","user_id":"u","time":["iso_time_to_ms","t"]}"#;
    let converter = converter(fields, Event, AppendOnly);
    let (_, calls) = converted(&converter, r#"{"e":"e","u":"u","t":"1971-01-01T00:00:00Z"}"#);
    assert!(calls[0].contains(r#""timestamp":"1971-01-01T00:00:00.000Z""#), "{calls:?}");
}

#[test]
fn rows_without_what_a_call_needs_are_rejected() {
    let check = check_rejected;
    let ids = "the row has no user_id or device_id";
    check(Event, AppendOnly, "{}", "missing:event_type", "the row has no event_type");
    check(Event, AppendOnly, r#"{"event_type":"e"}"#, "missing:user_id", ids);
    check(Event, AppendOnly, r#"{"event_type":"e","user_id":null,"device_id":""}"#, "missing:user_id", ids);
    check(Event, AppendOnly, r#"{"event_type":"$identify","user_id":" "}"#, "missing:user_id", ids);
    check(
        Event,
        AppendOnly,
        r#"{"event_type":"","user_id":"u"}"#,
        "missing:event_type",
        "the row has no event_type",
    );
    check(
        Event,
        AppendOnly,
        r#"{"event_type":"e","user_id":["u"]}"#,
        "bad-type",
        r#"user_id is not a text: ["u"]"#,
    );
    check(
        Event,
        AppendOnly,
        r#"{"event_type":"e","user_id":"u","event_properties":"{\"a\":1}"}"#,
        "bad-type",
        r#"event_properties is not an object: "{\"a\":1}" (for JSON in a text use parse_json_element)"#,
    );
    check(
        Event,
        AppendOnly,
        r#"{"event_type":"e","user_id":"u","user_properties":[1]}"#,
        "bad-type",
        "user_properties is not an object: [1]",
    );
    check(
        Event,
        AppendOnly,
        r#"{"event_type":"e","user_id":"u","time":"soon"}"#,
        "bad-time",
        r#"time is not a time (ISO 8601, or Unix time of 1990 to 2099): "soon""#,
    );
    check(UserProperties, AppendOnly, r#"{"device_id":"d"}"#, "missing:user_id", "the row has no user_id");
    check(Profiles, Mirror, r#"{"device_id":"d"}"#, "missing:user_id", "the row has no user_id");
    check(Event, Mirror, r#"{"device_id":"d","insert_id":"i"}"#, "missing:user_id", "the row has no user_id");
    check(Event, Mirror, r#"{"user_id":"u"}"#, "missing:insert_id", "the row has no insert_id");
    check(
        Event,
        Mirror,
        r#"{"user_id":"u","insert_id":"i","event_type":"e","mutation_type":"upsert"}"#,
        "bad-mutation",
        r#"mutation_type is none of INSERT, UPDATE, DELETE: "upsert""#,
    );
    check(GroupProperties, AppendOnly, r#"{"user_id":"u"}"#, "missing:groups", "the row has no groups");
    check(
        GroupProperties,
        AppendOnly,
        r#"{"groups":{"org":"a"}}"#,
        "missing:group_properties",
        "the row has no group_properties",
    );
    check(
        GroupProperties,
        AppendOnly,
        r#"{"groups":{"org":[null,""]},"group_properties":{}}"#,
        "missing:groups",
        "the row has no group in groups",
    );
    check(
        GroupProperties,
        AppendOnly,
        r#"{"groups":{"org":{"x":1}},"group_properties":{}}"#,
        "bad-type",
        r#"the group "org" is not a text: {"x":1}"#,
    );
    check(
        GroupProperties,
        AppendOnly,
        r#"{"groups":"a","group_properties":{}}"#,
        "bad-type",
        r#"groups is not an object: "a""#,
    );
    check(Event, AppendOnly, "[]", "bad-json", "the line is not a JSON object: []");
    let long = format!(r#"{{"event_type":"{}","user_id":"u"}}"#, "x".repeat(33_000));
    let message = "the call has 33,062 bytes of JSON; the limit is 32,768";
    check(Event, AppendOnly, &long, "too-large", message);
}

#[test]
fn one_value_of_a_group_is_one_call() {
    let row = r#"{"groups":{"org":"A","team":["x",7,null]},"group_properties":{"n":1.0}}"#;
    let group = |id: &str, of: &str, message: &str| {
        format!(
            concat!(
                r#"{{"type":"group","messageId":"imp_k_7{}","anonymousId":"{}","groupId":"{}","traits":{{"n":1.0}},"#,
                r#""context":{{"groups":{{"org":"A","team":["x",7,null]}},"groupType":"{}"}}}}"#
            ),
            message, id, id, of
        )
    };
    let expected = [group("A", "org", ""), group("x", "team", "_1"), group("7", "team", "_2")];
    check(GroupProperties, AppendOnly, row, &expected.each_ref().map(String::as_str));
    for name in ["$groupidentify", "$groupIdentify"] {
        let row = row.replacen('{', &format!(r#"{{"event_type":"{name}","#), 1);
        check(Event, AppendOnly, &row, &expected.each_ref().map(String::as_str));
    }
    let with_user = r#"{"user_id":"u","groups":{"org":"A"},"group_properties":{"$set":{"n":1}}}"#;
    let expected = concat!(
        r#"{"type":"group","messageId":"imp_k_7","userId":"u","groupId":"A","traits":{"$set":{"n":1}},"#,
        r#""context":{"groups":{"org":"A"},"groupType":"org"}}"#
    );
    check(GroupProperties, AppendOnly, with_user, &[expected]);
}

#[test]
fn user_property_operations_are_kept_apart_from_traits() {
    let row = r#"{"event_type":"$identify","user_id":"u",
        "user_properties":{"a":1,"$set":{"b":2.50},"$add":{"n":1},"$preInsert":{"l":"x"}}}"#;
    let expected = concat!(
        r#"{"type":"identify","messageId":"imp_k_7","userId":"u","traits":{"a":1,"b":2.50},"#,
        r#""context":{"userPropertyOperations":{"$set":{"b":2.50},"$add":{"n":1},"$preInsert":{"l":"x"}}}}"#
    );
    check(Event, AppendOnly, row, &[expected]);
    check(UserProperties, AppendOnly, row, &[expected]);
    let track = concat!(
        r#"{"type":"track","messageId":"imp_k_7","userId":"u","event":"e","#,
        r#""context":{"traits":{"a":1,"b":2.50},"#,
        r#""userPropertyOperations":{"$set":{"b":2.50},"$add":{"n":1},"$preInsert":{"l":"x"}}}}"#
    );
    check(Event, AppendOnly, &row.replace("$identify", "e"), &[track]);
    let only = r#"{"user_id":"u","user_properties":{"$unset":{"a":"-"}}}"#;
    let expected = concat!(
        r#"{"type":"identify","messageId":"imp_k_7","userId":"u","#,
        r#""context":{"userPropertyOperations":{"$unset":{"a":"-"}}}}"#
    );
    check(UserProperties, AppendOnly, only, &[expected]);
    let bare = r#"{"type":"identify","messageId":"imp_k_7","userId":"u"}"#;
    check(UserProperties, AppendOnly, r#"{"user_id":"u"}"#, &[bare]);
    check(UserProperties, AppendOnly, r#"{"user_id":"u","user_properties":null}"#, &[bare]);
}

#[test]
fn an_event_updates_its_user_only_if_it_is_told_to() {
    let event = |sync: &str| {
        let row = r#"{"event_type":"e","user_id":"u","time":1645066434,"user_properties":{"a":1}"#;
        format!("{row}{sync}}}")
    };
    let track = concat!(
        r#"{"type":"track","messageId":"imp_k_7","userId":"u","timestamp":"2022-02-17T02:53:54.000Z","#,
        r#""event":"e","context":{"traits":{"a":1}}}"#
    );
    let identify = concat!(
        r#"{"type":"identify","messageId":"imp_k_7_identify","userId":"u","#,
        r#""timestamp":"2022-02-17T02:53:54.000Z","traits":{"a":1}}"#
    );
    for alone in ["", r#","$skip_user_properties_sync":true"#, r#","$skip_user_properties_sync":null"#] {
        check(Event, AppendOnly, &event(alone), &[track]);
    }
    for both in [r#","$skip_user_properties_sync":false"#, r#","$skip_user_properties_sync":"false""#] {
        check(Event, AppendOnly, &event(both), &[identify, track]);
    }
    let none = r#"{"event_type":"e","user_id":"u","$skip_user_properties_sync":false}"#;
    let plain = r#"{"type":"track","messageId":"imp_k_7","userId":"u","event":"e"}"#;
    check(Event, AppendOnly, none, &[plain]);
}

#[test]
fn mutations_are_one_line_each_with_key_and_sequence() {
    let row = r#"{"event_type":"e","user_id":"u\"","insert_id":1.50,"user_properties":{"$set":{"a":1}},
        "mutation_type":"DELETE"}"#;
    let expected = concat!(
        r#"{"type":"track","messageId":"imp_k_7","userId":"u\"","event":"e","#,
        r#""context":{"insertId":1.50,"traits":{"$set":{"a":1}},"mutation":{"op":"DELETE","#,
        r#""key":"[\"u\\\"\",\"1.50\"]","seq":"1709294400000/in/a.json/000000000007"}}}"#
    );
    check(Event, Mirror, row, &[expected]);
    let profile = r#"{"user_id":"u","user_properties":{"a":1,"$add":{"b":2}}}"#;
    let expected = concat!(
        r#"{"type":"identify","messageId":"imp_k_7","userId":"u","traits":{"a":1,"$add":{"b":2}},"#,
        r#""context":{"profile":true,"mutation":{"op":"UPDATE","key":"[\"u\"]","#,
        r#""seq":"1709294400000/in/a.json/000000000007"}}}"#
    );
    check(Profiles, Mirror, profile, &[expected]);
    let inserted = profile.replacen('{', r#"{"mutation_type":"INSERT","#, 1);
    check(Profiles, Mirror, &inserted, &[&expected.replace("UPDATE", "INSERT")]);
    assert_eq!(sequence_prefix(1_709_294_400, "in/a b.json"), "0001709294400/in/a b.json");
}

#[test]
fn rows_with_an_insert_id_are_known_by_it_and_the_device() {
    let converter = converter(&all_fields(), Event, AppendOnly);
    let key = |row: &str| match converted(&converter, row) {
        (Outcome::Calls { key, .. }, calls) => {
            let call: serde_json::Value = serde_json::from_str(&calls[0]).unwrap();
            (key, call["messageId"].as_str().unwrap().to_owned())
        }
        other => panic!("{other:?}"),
    };
    let row = |ids: &str| format!(r#"{{"event_type":"e","user_id":"u",{ids}}}"#);
    let (first, id) = key(&row(r#""insert_id":"i","device_id":"d""#));
    assert!(id.starts_with("amp_") && id.len() == 30, "{id}");
    let same = row(r#""insert_id":"i","device_id":"d","event_properties":{"other":1}"#);
    assert_eq!(key(&same), (first, id));
    assert_ne!(key(&row(r#""insert_id":"i","device_id":"e""#)).0, first);
    assert_ne!(key(&row(r#""insert_id":"id","device_id":"""#)).0, first);
    assert_eq!(key(&row(r#""insert_id":"i""#)), key(&row(r#""insert_id":"i","device_id":null"#)));
    assert_eq!(key(&row(r#""insert_id":null"#)), (None, "imp_k_7".to_owned()));
}

#[test]
fn flagged_rows_are_skipped() {
    let text = |fields: &str| {
        format!(
            r#"{{"converterConfig":{{"fileType":"json","ignoreEventFlag":"$ignore","convertToAmplitudeFunc":{fields}}}}}"#
        )
    };
    let load = |fields: &str| Converter::load(text(fields).as_bytes(), Event, AppendOnly, 1_024).unwrap();
    let by_field = load(r#"{"event_type":"e","user_id":"u","$ignore":["eq","e",["value","ping"]]}"#);
    assert!(by_field.unused_fields().is_empty());
    assert_eq!(converted(&by_field, r#"{"e":"ping"}"#).0, Outcome::Skipped);
    assert_eq!(converted(&by_field, r#"{"e":"p","u":"u"}"#).1.len(), 1);
    assert_eq!(by_field.missing_flag(), None);
    // The flag is a field of the converter. A column of that name means nothing.
    let without = load(r#"{"event_type":"e","user_id":"u"}"#);
    assert_eq!(converted(&without, r#"{"e":"e","u":"u","$ignore":true}"#).1.len(), 1);
    assert_eq!(without.missing_flag(), Some("$ignore"));
    // It was in force, and no row was skipped.
    let problems = |fields: &str| {
        Converter::load(text(fields).as_bytes(), Event, AppendOnly, 1_024).unwrap_err().to_string()
    };
    let mistyped = problems(r#"{"event_type":"e","user_id":"u","$ingore":"x"}"#);
    assert!(
        mistyped.contains(
            "/converterConfig/ignoreEventFlag: unknown field \"$ignore\" (did you mean \"$ingore\"?)"
        ),
        "{mistyped}"
    );
    let mistyped = problems(r#"{"event_typ":"e","user_id":"u"}"#);
    assert!(
        mistyped.contains(
            "without event_type: add that field (\"event_typ\" is no field: did you mean \"event_type\"?)"
        ),
        "{mistyped}"
    );
}

#[test]
fn fields_without_a_place_are_listed_and_their_columns_not_read() {
    let unused = |data_type: DataType, strategy: Strategy| {
        let fields = all_fields().replacen('{', r#"{"nickname":"only_here","#, 1);
        let converter = converter(&fields, data_type, strategy);
        assert_eq!(converter.columns().slot(b"only_here"), None);
        converter.unused_fields().join(" ")
    };
    assert_eq!(unused(Event, AppendOnly), "nickname mutation_type");
    assert_eq!(unused(Event, Mirror), "nickname $skip_user_properties_sync");
    let of_events = "event_properties group_properties price quantity revenue productId revenueType currency";
    assert_eq!(
        unused(UserProperties, AppendOnly),
        format!("nickname {of_events} $skip_user_properties_sync mutation_type")
    );
    assert_eq!(unused(Profiles, Mirror), format!("nickname {of_events} $skip_user_properties_sync"));
    assert_eq!(
        unused(GroupProperties, AppendOnly),
        "nickname event_properties price quantity revenue productId revenueType currency start_version \
         paying $skip_user_properties_sync mutation_type"
    );
}

#[test]
fn a_person_can_look_at_the_fields() {
    let converter = converter(
        r#"{"event_type":"e","user_id":["any","u"],"quantity":["add","q"],"other":"x"}"#,
        Event,
        AppendOnly,
    );
    let line = r#"{"e":"\u0065","q":"1.5"}"#;
    let mut row = Row::new(converter.columns());
    row.read_json(converter.columns(), line).unwrap();
    let fields = converter.fields_of(&row, NOW);
    let shown: Vec<String> = fields
        .values
        .iter()
        .map(|(name, json)| format!("{name}={}", json.as_deref().unwrap_or("-")))
        .collect();
    assert_eq!(shown, [r#"event_type="\u0065""#, "user_id=-", "quantity=1"]);
    assert!(fields.has_dropped_fractions && fields.unread.is_empty());
}

/// What is left out of a call shows. What another source replaces, what is missing, and what makes a
/// condition false is not left out.
#[test]
fn values_that_no_operator_can_use_are_told() {
    let check = |source: &str, row: &str, expected: &[&str]| {
        let fields = format!(
            r#"{{"event_type":"e","user_id":"u","time":["iso_time_to_ms","t"],"event_properties":{{"a":{source}}}}}"#
        );
        let converter = converter(&fields, Event, AppendOnly);
        let mut read = Row::new(converter.columns());
        read.read_json(converter.columns(), row).unwrap();
        let unread = converter.fields_of(&read, NOW).unread;
        let unread: Vec<String> =
            unread.iter().map(|unread| format!("{} {}", unread.operator.name(), unread.value)).collect();
        assert_eq!(unread, expected, "{source} {row}");
    };
    check(r#"["iso_time_to_ms","x"]"#, r#"{"x":"soon"}"#, &[r#"iso_time_to_ms "soon""#]);
    check(r#"["parse_time_to_ms","yyyy","x"]"#, r#"{"x":"soon"}"#, &[r#"parse_time_to_ms "soon""#]);
    check(r#"["add","x",["int",1]]"#, r#"{"x":"one"}"#, &[r#"add "one""#]);
    check(r#"["dividef",["int",1],"x"]"#, r#"{"x":0}"#, &["dividef 0"]);
    check(r#"["lower","x"]"#, r#"{"x":5}"#, &["lowercase 5"]);
    check(r#"["parse_json_element","x"]"#, r#"{"x":"{"}"#, &[r#"parse_json_element "{""#]);
    check(r#"["replace_with","a","b","x"]"#, r#"{"x":[1]}"#, &["replace_with [1]"]);
    check(r#"["concat","x",["split","/","x"]]"#, r#"{"x":"a"}"#, &[r#"concat ["a"]"#]);
    check(r#"["exclude_keys","x","b"]"#, r#"{"x":"a"}"#, &[r#"exclude_keys "a""#]);
    check(r#"{"b":["lower","x"]}"#, r#"{"x":5}"#, &["lowercase 5"]);
    // In `any`, the source that has a value may still leave out a member.
    let any = r#"["any",["iso_time_to_ms","x"],{"b":["lower","y"]}]"#;
    check(any, r#"{"x":"soon","y":5}"#, &["lowercase 5"]);
    check(any, r#"{"x":"soon","y":"A"}"#, &[]);
    check(r#"["condition",["lower","x"],"u"]"#, r#"{"x":5}"#, &[]);
    for missing in ["{}", r#"{"x":null}"#, r#"{"x":""}"#, r#"{"x":" "}"#] {
        check(r#"["iso_time_to_ms","x"]"#, missing, &[]);
    }
    check(r#""x""#, r#"{"t":"soon"}"#, &[]);
}

/// A call without a time would get that of the import.
#[test]
fn a_time_that_an_operator_cannot_read_rejects_the_row() {
    let check = |source: &str, row: &str, expected: &str| {
        let fields = format!(r#"{{"event_type":"e","user_id":"u","time":{source}}}"#);
        let row = format!(r#"{{"e":"e","u":"u",{row}}}"#);
        let found = match converted(&converter(&fields, Event, AppendOnly), &row) {
            (Outcome::Rejected(reject), _) => format!("{}: {}", reject.code, reject.message),
            (_, calls) => {
                let call: serde_json::Value = serde_json::from_str(&calls[0]).unwrap();
                call["timestamp"].as_str().unwrap_or("none").to_owned()
            }
        };
        assert_eq!(found, expected, "{source} {row}");
    };
    let iso = r#"["iso_time_to_ms","t"]"#;
    check(iso, r#""t":"2024-03-01T00:00:00Z""#, "2024-03-01T00:00:00.000Z");
    for unread in ["yesterday", "2026-02-30", "2026-02-03T10:00:00+25:00", "01/11/2026 12:00"] {
        let expected = format!("bad-time: iso_time_to_ms cannot read the time: \"{unread}\"");
        check(iso, &format!("\"t\":\"{unread}\""), &expected);
    }
    check(iso, r#""t":1645066434189"#, "bad-time: iso_time_to_ms cannot read the time: 1645066434189");
    for missing in [r#""x":1"#, r#""t":null"#, r#""t":"""#, r#""t":" ""#] {
        check(iso, missing, "none");
    }
    check(
        r#"["parse_time_to_ms","M/d/yyyy","t"]"#,
        r#""t":"13/1/2021""#,
        r#"bad-time: parse_time_to_ms cannot read the time: "13/1/2021""#,
    );
    check(
        r#"["int96_time_to_ms","t"]"#,
        r#""t":"AA==""#,
        r#"bad-time: int96_time_to_ms cannot read the time: "AA==""#,
    );
    check(r#"["divide","t",["int",1000]]"#, r#""t":"x""#, r#"bad-time: divide cannot read the time: "x""#);
    check(r#"["divide",["int",5],"t"]"#, r#""t":0"#, "bad-time: divide cannot read the time: 0");
    // Whoever wants such rows without their times says so.
    let other = r#"["any",["iso_time_to_ms","t"],["iso_time_to_ms","s"]]"#;
    check(other, r#""t":"soon","s":"2024-03-01""#, "2024-03-01T00:00:00.000Z");
    check(r#"["any",["iso_time_to_ms","t"],["value",null]]"#, r#""t":"soon""#, "none");
}

/// Cells of CSV are texts, and columns of parquet have types.
#[test]
fn rows_of_other_formats_are_converted() {
    let fields = r#"{"event_type":"e","user_id":"u","time":"t","session_id":"s","price":"p","event_properties":
        {"text":"u","int":"u64","float":"f","none":"nan","list":"l","sum":["addf","f","cell"],"yes":["not","b"]}}"#;
    let converter = converter(fields, Event, AppendOnly);
    let mut row = Row::new(converter.columns());
    for (name, value) in [
        ("e", Value::Text("open \"it\"".into())),
        ("u", Value::Int(-5)),
        ("t", Value::Int(1_645_066_434_189)),
        ("s", Value::Text("-1".into())),
        ("p", Value::Text("1.10".into())),
        ("u64", Value::of_int(i128::from(u64::MAX))),
        ("f", Value::Float(0.5)),
        ("nan", Value::Float(f64::NAN)),
        ("l", Value::of_json("[1.0, {\"a\":null}]".into()).unwrap()),
        ("cell", Value::Text(" 2 ".into())),
        ("b", Value::Bool(false)),
    ] {
        row.set(converter.columns().slot(name.as_bytes()).unwrap(), value);
    }
    let mut calls = Calls::default();
    assert_eq!(converter.convert(&row, &PLACE, NOW, &mut calls), Outcome::Calls { count: 1, key: None });
    let expected = concat!(
        r#"{"type":"track","messageId":"imp_k_7","userId":"-5","timestamp":"2022-02-17T02:53:54.189Z","#,
        r#""event":"open \"it\"","properties":{"text":-5,"int":18446744073709551615,"float":0.5,"none":null,"#,
        r#""list":[1.0, {"a":null}],"sum":2.5,"yes":true,"price":1.10}}"#
    );
    assert_eq!(calls.iter().collect::<Vec<_>>(), [expected.as_bytes()]);
}
