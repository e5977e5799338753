use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::*;
use crate::call::CallKind;
use crate::import::csv::{Dialect, Item, Records, Types, parse_schema};

/// What the tests vary.
struct PlanOptions {
    kind: FileType,
    types: Types,
    time_columns: Vec<String>,
    empty: Empty,
    arrays: bool,
    strict: bool,
    message_id: MessageIds,
}

fn options(kind: CallKind) -> PlanOptions {
    let CsvOptions { types, time_columns, empty, arrays, strict, .. } = CsvOptions::default();
    let (kind, message_id) = (FileType::Calls(kind), MessageIds::Position("imp_f_".to_owned()));
    PlanOptions { kind, types, time_columns, empty, arrays, strict, message_id }
}

fn compile(header: &Record, options: PlanOptions) -> Result<(Plan, Vec<Told>), FileError> {
    let PlanOptions { kind, types, time_columns, empty, arrays, strict, message_id } = options;
    let csv = CsvOptions { types, time_columns, empty, arrays, strict, ..CsvOptions::default() };
    Plan::compile(header, &kind, &csv, &message_id)
}

/// The calls of a text, and the codes of bad rows.
fn calls(options: PlanOptions, text: &str) -> Vec<String> {
    let mut records = Records::new(text.as_bytes(), Dialect::default());
    let mut record = Record::default();
    assert_eq!(records.read_header(&mut record).unwrap(), Some(Item::Record));
    let plan = compile(&record, options).unwrap().0;
    let mut calls = Vec::new();
    let mut out = b"kept".to_vec();
    while let Some(item) = records.read(&mut record).unwrap() {
        let result = match item {
            Item::Record => plan.write(&record, &mut out),
            Item::Broken(error) => Err(error),
        };
        calls.push(match result {
            Ok(()) => String::from_utf8(out.split_off(4)).unwrap(),
            Err(error) => error.code().to_owned(),
        });
        assert_eq!(out, b"kept");
    }
    calls
}

fn warnings(options: PlanOptions, names: &[&str]) -> Vec<String> {
    let (_, warnings) = compile(&Record::of_fields(names), options).unwrap();
    warnings.iter().map(|warning| warning.full().to_owned()).collect()
}

fn refused(options: PlanOptions, names: &[&str]) -> String {
    compile(&Record::of_fields(names), options).unwrap_err().to_string()
}

/// One call of a track file with `userId` and `event`, without what these and the messageId give.
fn rest_of_call(options: PlanOptions, names: &str, cells: &str) -> String {
    let call = calls(options, &format!("userId,event,{names}\nu,e,{cells}\n")).remove(0);
    let start = r#"{"type":"track","messageId":"imp_f_0","userId":"u","event":"e""#;
    call.strip_prefix(start).map_or(call.clone(), |rest| rest.trim_start_matches(',').to_owned())
}

#[test]
fn the_documented_track_file_becomes_calls() {
    let text = "\
userId,name,event,properties.plan,properties.accountType,context.ip,context.device.id,timestamp
1,Tyler Ortiz,test event,bronze,Facebook,175.154.50.123,1,2019-05-11T20:32:27.940Z
2,Jacob Johnson,test event,silver,Twitter,40.110.228.56,2,2019-05-12T20:32:27.940Z
3,Ally Sweeney,test event,gold,Instagram,175.155.243.133,3,2019-05-13T20:32:27.940Z
4,Jasmin Christian,test event,platinum,Pinterest,112.252.20.73,4,2019-05-14T20:32:27.940Z
";
    let expected = [
        r#"{"type":"track","messageId":"imp_f_0","userId":"1","name":"Tyler Ortiz","event":"test event","properties":{"plan":"bronze","accountType":"Facebook"},"context":{"ip":"175.154.50.123","device":{"id":"1"}},"timestamp":"2019-05-11T20:32:27.940Z"}"#,
        r#"{"type":"track","messageId":"imp_f_1","userId":"2","name":"Jacob Johnson","event":"test event","properties":{"plan":"silver","accountType":"Twitter"},"context":{"ip":"40.110.228.56","device":{"id":"2"}},"timestamp":"2019-05-12T20:32:27.940Z"}"#,
        r#"{"type":"track","messageId":"imp_f_2","userId":"3","name":"Ally Sweeney","event":"test event","properties":{"plan":"gold","accountType":"Instagram"},"context":{"ip":"175.155.243.133","device":{"id":"3"}},"timestamp":"2019-05-13T20:32:27.940Z"}"#,
        r#"{"type":"track","messageId":"imp_f_3","userId":"4","name":"Jasmin Christian","event":"test event","properties":{"plan":"platinum","accountType":"Pinterest"},"context":{"ip":"112.252.20.73","device":{"id":"4"}},"timestamp":"2019-05-14T20:32:27.940Z"}"#,
    ];
    assert_eq!(calls(options(CallKind::Track), text), expected);
    // Ids, addresses and names stay strings.
    let inferred = PlanOptions { types: Types::Infer, ..options(CallKind::Track) };
    assert_eq!(calls(inferred, text), expected);
}

#[test]
fn the_documented_identify_file_becomes_calls() {
    let text = "\
userId,traits.name,traits.plan,traits.accountType,traits.email
   1,Tyler Ortiz,bronze,Facebook,TO@example.com
   2,Jacob Johnson,silver,Twitter,JJ@example.com
";
    // The document indents the rows; a value is kept as it is.
    let expected = [
        r#"{"type":"identify","messageId":"imp_f_0","userId":"   1","traits":{"name":"Tyler Ortiz","plan":"bronze","accountType":"Facebook","email":"TO@example.com"}}"#,
        r#"{"type":"identify","messageId":"imp_f_1","userId":"   2","traits":{"name":"Jacob Johnson","plan":"silver","accountType":"Twitter","email":"JJ@example.com"}}"#,
    ];
    assert_eq!(calls(options(CallKind::Identify), text), expected);
    let unindented = calls(options(CallKind::Identify), &text.replace("   ", ""));
    assert_eq!(unindented, expected.map(|call| call.replace("\"   ", "\"")));
    assert_eq!(
        calls(
            options(CallKind::Identify),
            "userId,traits.name,traits.plan,traits.accountType,traits.email\n3,Ally Sweeney,gold,Instagram,AS@example.com\n4,Jasmin Christian,platinum,Pinterest,JC@example.com\n"
        ),
        [
            r#"{"type":"identify","messageId":"imp_f_0","userId":"3","traits":{"name":"Ally Sweeney","plan":"gold","accountType":"Instagram","email":"AS@example.com"}}"#,
            r#"{"type":"identify","messageId":"imp_f_1","userId":"4","traits":{"name":"Jasmin Christian","plan":"platinum","accountType":"Pinterest","email":"JC@example.com"}}"#,
        ]
    );
}

#[test]
fn paths_become_one_object_each_in_the_order_of_the_header() {
    let check = |names: &str, cells: &str, expected: &str| {
        assert_eq!(rest_of_call(options(CallKind::Track), names, cells), expected, "{names}: {cells}");
    };
    check("a.b,c,a.d", "1,2,3", r#""a":{"b":"1","d":"3"},"c":"2"}"#);
    check("a.b.c,a.d", "1,2", r#""a":{"b":{"c":"1"},"d":"2"}}"#);
    check("a\\.b,c d", "1,2", r#""a.b":"1","c d":"2"}"#);
    check("items.0.sku", "x", r#""items":{"0":{"sku":"x"}}}"#);
    check("x:json", "\"[1]\"", r#""x:json":"[1]"}"#);
    check("traits.a", "1", r#""context":{"traits":{"a":"1"}}}"#);
    check("\"é\"\"\",b", "\"q\"\"\\\n\t\u{1}é\",2", "\"é\\\"\":\"q\\\"\\\\\\n\\t\\u0001é\",\"b\":\"2\"}");
    check("_metadata.bundled", "x", r#""_metadata":{"bundled":"x"}}"#);
}

#[test]
fn empty_cells_are_omitted_with_their_objects_or_written() {
    let check = |empty: Empty, cells: &str, expected: &str| {
        let options = PlanOptions { empty, ..options(CallKind::Track) };
        assert_eq!(rest_of_call(options, "a.b.c,a.d,timestamp,at.createdAt,e.f", cells), expected, "{cells}");
    };
    check(Empty::Omit, ",,,,", "}");
    check(Empty::Omit, ",1,,,", r#""a":{"d":"1"}}"#);
    check(Empty::Omit, "1,,,,", r#""a":{"b":{"c":"1"}}}"#);
    check(Empty::Omit, ",,1970-01-01,,1", r#""timestamp":"1970-01-01T00:00:00.000Z","e":{"f":"1"}}"#);
    check(Empty::Omit, " ,, , ,", r#""a":{"b":{"c":" "}}}"#);
    check(Empty::String, ",,,,", r#""a":{"b":{"c":""},"d":""},"at":{"createdAt":""},"e":{"f":""}}"#);
    check(Empty::Null, ",,,,", r#""a":{"b":{"c":null},"d":null},"at":{"createdAt":null},"e":{"f":null}}"#);
}

#[test]
fn times_are_rewritten_and_never_guessed() {
    let check = |names: &str, cells: &str, expected: &str| {
        let options = PlanOptions {
            time_columns: vec!["seen".to_owned(), "b.whole".to_owned()],
            ..options(CallKind::Track)
        };
        assert_eq!(rest_of_call(options, names, cells), expected, "{names}: {cells}");
    };
    let at = "\"2019-05-11T20:32:27.000Z\"";
    check("timestamp", "1557606747", &format!("\"timestamp\":{at}}}"));
    check(
        "traits.createdAt",
        "2019-05-11 20:32:27",
        &format!("\"context\":{{\"traits\":{{\"createdAt\":{at}}}}}}}"),
    );
    check("a.b.timestamp", "1557606747000", &format!("\"a\":{{\"b\":{{\"timestamp\":{at}}}}}}}"));
    check(
        "x.seen,b.whole",
        "1557606747,1557606747",
        &format!("\"x\":{{\"seen\":{at}}},\"b\":{{\"whole\":{at}}}}}"),
    );
    check("whole,createdat", "1557606747,1", r#""whole":"1557606747","createdat":"1"}"#);
    check("timestamp", "soon", "bad-time");
    check("a.b.createdAt", "1970-01-01", r#""a":{"b":{"createdAt":"1970-01-01T00:00:00.000Z"}}}"#);
}

#[test]
fn a_call_needs_its_ids_and_names() {
    let check = |kind: CallKind, strict: bool, names: &str, cells: &str, expected: &str| {
        let found = calls(PlanOptions { strict, ..options(kind) }, &format!("{names}\n{cells}\n")).remove(0);
        let found = if found.starts_with('{') { "" } else { &found };
        assert_eq!(found, expected, "{kind:?} {names}: {cells}");
    };
    use CallKind::{Alias, Group, Identify, Page, Screen, Track};
    check(Track, false, "event,userId,anonymousId", "e,,a", "");
    check(Track, false, "event,userId,anonymousId", "e,u,", "");
    check(Track, false, "event,userId,anonymousId", "e, ,\u{a0}", "missing:userId");
    check(Track, false, "event,userId", " ,u", "missing:event");
    check(Track, true, "event,userId,anonymousId", "e,,a", "missing:userId");
    for kind in [Page, Screen] {
        check(kind, false, "anonymousId,name", "a,", "");
        check(kind, true, "userId,name", "u,", "missing:name");
        check(kind, true, "userId,name", "u,n", "");
    }
    check(Identify, false, "anonymousId,x", "a,", "");
    check(Identify, false, "anonymousId,x", ",x", "missing:userId");
    check(Identify, true, "userId,anonymousId", ",x", "missing:userId");
    check(Group, false, "groupId,anonymousId", "g,a", "");
    check(Group, true, "groupId,anonymousId", "g,a", "");
    check(Group, false, "groupId,anonymousId", ",a", "missing:groupId");
    check(Group, false, "groupId,anonymousId", "g,", "missing:userId");
    check(Alias, false, "previousId,userId", "p,u", "");
    check(Alias, false, "previousId,userId", ",u", "missing:previousId");
    check(Alias, false, "previousId,userId,anonymousId", "p,,a", "missing:userId");
}

#[test]
fn a_file_without_a_needed_column_is_refused() {
    assert_eq!(
        refused(options(CallKind::Track), &["userId", "e_vent"]),
        "E-CSV-MISSING: a track file needs a column event; the file has userId, e_vent; did you mean event \
         by \"e_vent\"? \
         (check the header and --delimiter, or give a column another name with --map COLUMN=NAME; without a header, give all \
         names with --columns)"
    );
    let check = |options: PlanOptions, names: &[&str], needed: &str| {
        let error = refused(options, names);
        assert!(error.contains(&format!("needs a column {needed};")), "{error}");
    };
    let strict = |kind| PlanOptions { strict: true, ..options(kind) };
    check(options(CallKind::Identify), &["traits.a"], "userId or anonymousId");
    check(options(CallKind::Alias), &["userId", "anonymousId"], "previousId");
    check(options(CallKind::Group), &["groupId", "userId.x"], "userId or anonymousId");
    check(strict(CallKind::Identify), &["anonymousId"], "userId");
    check(strict(CallKind::Page), &["userId"], "name");
    for name in ["USER_ID", "User_ID", "user_id", "User Id", "user-id"] {
        let error = refused(options(CallKind::Track), &["event", name]);
        assert!(error.contains(&format!("; did you mean userId by \"{name}\"? (")), "{error}");
    }
    let by_order = || PlanOptions {
        message_id: MessageIds::Column("orderId".to_owned()),
        ..options(CallKind::Identify)
    };
    assert!(refused(by_order(), &["userId", "order_id"]).contains("did you mean orderId by \"order_id\"?"));
    // In other letters the name is there, and so is that of --id-from.
    let read = warnings(options(CallKind::Track), &["event", "anonymousId", "userID"]);
    assert_eq!(read, ["column \"userID\" is read as \"userId\": only the case of its letters differs"]);
    assert!(compile(&Record::of_fields(["userId", "OrderID"]), by_order()).is_ok());
    let two = refused(by_order(), &["userId", "OrderID", "ORDERID"]);
    assert!(two.contains("columns \"OrderID\" and \"ORDERID\" both differ from \"orderId\""), "{two}");
    let by_column = MessageIds::Column("order".to_owned());
    check(PlanOptions { message_id: by_column, ..options(CallKind::Identify) }, &["userId"], "\"order\"");
}

#[test]
fn message_ids_come_from_a_column_or_the_position() {
    let check = |message_id: MessageIds, text: &str, expected: &[&str]| {
        let found: Vec<String> = calls(PlanOptions { message_id, ..options(CallKind::Identify) }, text)
            .into_iter()
            .map(|call| match serde_json::from_str::<Value>(&call) {
                Ok(call) => {
                    assert_eq!(call.as_object().unwrap().len(), 3 + usize::from(call.get("order").is_some()));
                    call["messageId"].as_str().unwrap().to_owned()
                }
                Err(_) => call,
            })
            .collect();
        assert_eq!(found, expected, "{text}");
    };
    let position = || MessageIds::Position("imp_\"_".to_owned());
    check(position(), "userId\na\nb\n", &["imp_\"_0", "imp_\"_1"]);
    check(
        position(),
        "messageId,userId\n\"m\"\"1\",a\n,b\n \n ,c\n",
        &["m\"1", "imp_\"_1", "width", "imp_\"_3"],
    );
    let column = || MessageIds::Column(" order ".to_owned());
    check(column(), "userId,order\na,7\nb, \n", &["7", "missing:messageId"]);
    check(column(), "userId,order,messageId\na,7,m\n", &["7"]);
    let by_column = |name: &str| PlanOptions {
        message_id: MessageIds::Column(name.to_owned()),
        ..options(CallKind::Identify)
    };
    assert_eq!(
        warnings(by_column("order"), &["userId", "order", "messageId"]),
        ["column \"messageId\" is ignored: --id-from names another column"]
    );
    assert!(warnings(by_column("messageId"), &["userId", "messageId"]).is_empty());
}

#[test]
fn the_number_in_a_position_is_that_of_the_record() {
    let mut record = Record::of_fields(["u"]);
    let (plan, _) = compile(&Record::of_fields(["userId"]), options(CallKind::Identify)).unwrap();
    for number in [0, 9, 10, 1_234_567_890, u64::MAX] {
        record.number = number;
        let mut out = Vec::new();
        plan.write(&record, &mut out).unwrap();
        let expected = json!({"type": "identify", "messageId": format!("imp_f_{number}"), "userId": "u"});
        assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
    }
}

#[test]
fn a_column_that_forebay_owns_is_ignored_with_a_warning() {
    let names = [
        "userId", "event", "type", "receivedAt", "sentAt", "originalTimestamp", "projectId", "channel",
        "version", "writeKey", "forebayPosition", "a",
    ];
    assert_eq!(warnings(options(CallKind::Track), &names).len(), 9);
    let text = format!("{}\nu,e,1,2,3,4,5,6,7,8,9,x\n", names.join(","));
    let call = r#"{"type":"track","messageId":"imp_f_0","userId":"u","event":"e","a":"x"}"#;
    assert_eq!(calls(options(CallKind::Track), &text), [call]);
}

#[test]
fn columns_that_exclude_each_other_are_refused() {
    let check = |names: &[&str], expected: &str| {
        let mut all = vec!["userId", "event"];
        all.extend(names);
        assert_eq!(refused(options(CallKind::Track), &all), expected, "{names:?}");
    };
    check(
        &["a", "a.b"],
        "E-CSV-CONFLICT: columns \"a\" and \"a.b\" do not go together: \"a\" would be a value and an object",
    );
    check(
        &["a.b.c", "a.b"],
        "E-CSV-CONFLICT: columns \"a.b.c\" and \"a.b\" do not go together: \"b\" would be a value and an object",
    );
    check(
        &["traits.a", "context.traits.a.b"],
        "E-CSV-CONFLICT: columns \"traits.a\" and \"context.traits.a.b\" do not go together: \
         \"a\" would be a value and an object",
    );
    check(
        &["context.traits.a", "traits.a"],
        "E-CSV-CONFLICT: columns \"context.traits.a\" and \"traits.a\" do not go together: \
         both have the same place in the call",
    );
    check(
        &["context", "traits.a"],
        "E-CSV-CONFLICT: columns \"context\" and \"traits.a\" do not go together: \
         \"context\" would be a value and an object",
    );
    check(
        &["messageId.a"],
        "E-CSV-CONFLICT: columns \"messageId\" and \"messageId.a\" do not go together: \
         \"messageId\" would be a value and an object",
    );
}

#[test]
fn text_does_not_replace_an_object() {
    for name in ["properties", "context", "traits", "integrations", "context.traits"] {
        let check = |cell: &str, expected: &str| {
            for empty in [Empty::Omit, Empty::String, Empty::Null] {
                let found = rest_of_call(PlanOptions { empty, ..options(CallKind::Track) }, name, cell);
                assert!(found.ends_with(expected), "{name}, {cell}: {found}");
            }
        };
        check("text", "bad-type");
        check("[1]", "bad-type");
        check("null", "bad-type");
        check("\"{\"\"a\"\": 1}\"", if name.ends_with("traits") { ":{\"a\":1}}}" } else { ":{\"a\":1}}" });
        let empty = rest_of_call(PlanOptions { empty: Empty::String, ..options(CallKind::Track) }, name, "");
        assert!(!empty.contains("\"\""), "{empty}");
    }
    // Nor does a list.
    let arrays = PlanOptions { arrays: true, ..options(CallKind::Track) };
    assert_eq!(
        rest_of_call(arrays, "properties.0,properties.1", "a,b"),
        r#""properties":{"0":"a","1":"b"}}"#
    );
    let schema = parse_schema(r#"{"properties":"string","timestamp":"int"}"#).unwrap().types;
    let typed = PlanOptions { types: Types::Schema(schema), ..options(CallKind::Track) };
    assert_eq!(
        warnings(typed, &["userId", "event", "properties", "timestamp"]),
        [
            "column \"properties\" stays a JSON object whatever the schema says",
            "column \"timestamp\" stays a time whatever the schema says",
        ]
    );
}

#[test]
fn a_number_that_may_not_be_a_time_is_rejected_unless_it_is_declared() {
    for cell in ["45678", "43596.85", "2019.0", "201905.0"] {
        assert_eq!(rest_of_call(options(CallKind::Track), "timestamp", cell), "bad-time", "{cell}");
        assert_eq!(
            rest_of_call(options(CallKind::Track), "properties.createdAt", cell),
            "bad-time",
            "{cell}"
        );
    }
    let known = rest_of_call(options(CallKind::Track), "timestamp", "20190511203227.0");
    assert_eq!(known, r#""timestamp":"2019-05-11T20:32:27.000Z"}"#);
    for types in [r#"{"timestamp":"excel_days"}"#, r#"{"properties.createdAt":"excel_days"}"#] {
        let typed = PlanOptions {
            types: Types::Schema(parse_schema(types).unwrap().types),
            ..options(CallKind::Track)
        };
        let name = types.split('"').nth(1).unwrap();
        let found = rest_of_call(typed, name, "43596.85");
        assert!(found.contains("\"2019-05-11T20:24:00.000Z\""), "{found}");
    }
}

#[test]
fn a_row_whose_cells_are_not_known_is_rejected() {
    let text = |rows: &str| calls(options(CallKind::Identify), &format!("userId,x\n{rows}"));
    assert_eq!(text("1,\"a, \\\"b\\\"\"\n"), ["quote"]);
    assert_eq!(text("1, \"a\"\n"), ["quote"]);
    assert_eq!(text("1,\"a\" \n"), ["quote"]);
    // A carriage return alone cuts a row: neither half is right, and the rows around it are.
    let found = text("1,a\n2,b\rc\n3,d\r\n4,e\r\r\n5,\"f\rg\"\n");
    let codes: Vec<&str> = found.iter().map(|call| if call.starts_with('{') { "" } else { call }).collect();
    assert_eq!(codes, ["", "line-break", "line-break", "", "", ""]);
    let found = calls(options(CallKind::Identify), "userId,x\r1,a\r2,b\r");
    assert!(found.iter().all(|call| call.starts_with('{')), "{found:?}");
}

#[test]
fn a_wrong_width_says_what_may_be_the_reason() {
    let message = |row: &str| {
        let (mut records, mut record) = (Records::new(row.as_bytes(), Dialect::default()), Record::default());
        records.read(&mut record).unwrap();
        let names = Record::of_fields(["userId", "event"]);
        let plan = compile(&names, options(CallKind::Track)).unwrap().0;
        plan.write(&record, &mut Vec::new()).unwrap_err().to_string()
    };
    assert_eq!(message("u"), "expected 2 fields, got 1");
    assert!(message("u,e\\,f").contains("pass --escape '\\'"));
    assert!(message("u,e,").contains("the row ends with a delimiter"));
    assert_eq!(message("u,e,f"), "expected 2 fields, got 3");
}

#[test]
fn numbered_names_become_arrays() {
    let arrays = || PlanOptions { arrays: true, ..options(CallKind::Track) };
    let check = |names: &str, cells: &str, expected: &str| {
        assert_eq!(rest_of_call(arrays(), names, cells), expected, "{names}: {cells}");
    };
    check("i.0.sku,i.0.n,i.1.sku", "a,1,b", r#""i":[{"sku":"a","n":"1"},{"sku":"b"}]}"#);
    check("i.1,i.0,x", "b,a,", r#""i":["a","b"]}"#);
    check("i.0,i.1,i.2", ",b,", r#""i":[null,"b"]}"#);
    check("i.0.a,i.1.a,i.2.a", ",,c", r#""i":[null,null,{"a":"c"}]}"#);
    check("i.0,i.1,x", ",,1", r#""x":"1"}"#);
    check("i.0.0.a,i.0.1.a", ",b", r#""i":[[null,{"a":"b"}]]}"#);
    check("0,1", "a,b", r#""0":"a","1":"b"}"#);
    check("x:json,y:json", "\"[1, {\"\"a\"\":\n2}]\",1", r#""x":[1,{"a":2}],"y":"1"}"#);
    check("x:json", "[1", "bad-type");
    let ten: Vec<String> = (0..11).map(|index| format!("i.{index}")).collect();
    check(&ten.join(","), "0,1,2,3,4,5,6,7,8,9,10", r#""i":["0","1","2","3","4","5","6","7","8","9","10"]}"#);
    let kept = PlanOptions { empty: Empty::Null, ..arrays() };
    assert_eq!(rest_of_call(kept, "i.0.a,i.1", ","), r#""i":[{"a":null},null]}"#);
    let refused = |names: &[&str], expected: &str| {
        let mut all = vec!["userId", "event"];
        all.extend(names);
        let expected = format!("E-CSV-CONFLICT: the parts of {expected} (or leave --arrays away)");
        assert_eq!(refused(arrays(), &all), expected);
    };
    refused(&["p.i.0", "p.i.2"], "\"p.i\" are no array: element 1 is missing; the next one is 2");
    refused(
        &["i.999999999999999999999"],
        "\"i\" are no array: element 0 is missing; the next one is 999999999999999999999",
    );
    refused(&["i.00"], "\"i\" are no array: element 0 is missing; the next one is 00");
    refused(&["i.0", "i.a"], "\"i\" are no array: some have numbers and some have names");
}

#[test]
fn types_are_as_declared_or_inferred() {
    let schema =
        parse_schema(r#"{"p.n":"int","p.at":"time","userId":"int","createdAt":"string","none":"int"}"#)
            .unwrap()
            .types;
    let declared = || PlanOptions { types: Types::Schema(schema.clone()), ..options(CallKind::Track) };
    assert_eq!(
        rest_of_call(declared(), "p.n,p.at,p.x,createdAt", "7,1970-01-01,1,1"),
        r#""p":{"n":7,"at":"1970-01-01T00:00:00.000Z","x":"1"},"createdAt":"1"}"#
    );
    assert_eq!(rest_of_call(declared(), "p.n", "x"), "bad-type");
    assert_eq!(rest_of_call(declared(), "p.n", " "), "}");
    let time_columns = vec!["timestamp".to_owned(), "seen".to_owned()];
    assert_eq!(
        warnings(
            PlanOptions { time_columns, ..declared() },
            &["userId", "event", "p.n", "p.at", "createdAt"]
        ),
        [
            "the file has no column \"none\", which --types names",
            "the file has no column \"seen\", which --time-columns names",
            "column \"userId\" stays text whatever the schema says: it is an id or a name",
        ]
    );
    let inferred = || PlanOptions { types: Types::Infer, ..options(CallKind::Track) };
    assert_eq!(
        rest_of_call(inferred(), "a,b,c,d,context.ip,name,integrations.X.id", "1,true,007,1.5,1,2,3"),
        r#""a":1,"b":true,"c":"007","d":1.5,"context":{"ip":"1"},"name":"2","integrations":{"X":{"id":3}}}"#
    );
    assert_eq!(
        rest_of_call(
            options(CallKind::Track),
            "integrations.All,integrations.A B,integrations.C.d",
            "FALSE,true,x"
        ),
        r#""integrations":{"All":false,"A B":true,"C":{"d":"x"}}}"#
    );
}

#[test]
fn a_row_of_another_width_or_not_of_utf8_is_no_call() {
    assert_eq!(calls(options(CallKind::Identify), "userId,a\n1\n1,2,3\n"), ["width", "width"]);
    let (plan, _) = compile(&Record::of_fields(["userId", "a"]), options(CallKind::Identify)).unwrap();
    let mut out = Vec::new();
    let error = plan.write(&Record::of_fields([b"u".as_slice(), b"\xFF\xFE"]), &mut out).unwrap_err();
    assert_eq!(
        (error.code(), error.to_string().as_str()),
        (
            "utf8",
            "column a is not UTF-8: \"\u{fffd}\u{fffd}\" (if the file has another encoding, pass --encoding)"
        )
    );
    assert!(out.is_empty());
}

#[test]
fn a_call_has_a_longest_length() {
    let rest = r#"{"type":"identify","messageId":"imp_f_0","userId":""}"#.len();
    let longest = "1".repeat(Limits::default().max_event - rest);
    let found = calls(options(CallKind::Identify), &format!("userId\n{longest}\n{longest}1\n"));
    assert_eq!((found[0].len(), found[1].as_str()), (Limits::default().max_event, "too-large"));
}

#[test]
fn a_header_of_many_columns_is_compiled() {
    let names: Vec<String> = (0..9_999).map(|index| format!("p.{}.c{index}", index % 7)).collect();
    let mut all = vec!["userId"];
    all.extend(names.iter().map(String::as_str));
    let (plan, _) = compile(&Record::of_fields(&all), options(CallKind::Identify)).unwrap();
    let mut out = Vec::new();
    let mut cells = vec!["u"; 10_000];
    cells[5_000] = "";
    let error = plan.write(&Record::of_fields(&cells), &mut out).unwrap_err();
    assert_eq!(error.code(), "too-large");
}

/// The same call, by way of a tree. Without arrays, types and times.
fn reference(names: &[&str], cells: &[String], empty: Empty) -> Result<Value, &'static str> {
    let cell = |name: &str| names.iter().position(|other| *other == name).map_or("", |index| &cells[index]);
    if cell("event").trim().is_empty() {
        return Err("missing:event");
    }
    if cell("userId").trim().is_empty() && cell("anonymousId").trim().is_empty() {
        return Err("missing:userId");
    }
    let mut call = Map::new();
    call.insert("type".to_owned(), "track".into());
    call.insert("messageId".to_owned(), "imp_f_0".into());
    for (name, cell) in names.iter().zip(cells) {
        let value = match (cell.is_empty(), empty) {
            (true, Empty::Omit) => continue,
            (true, Empty::Null) => Value::Null,
            _ if name.starts_with("integrations") && cell.eq_ignore_ascii_case("true") => true.into(),
            _ => cell.clone().into(),
        };
        let name =
            name.strip_prefix("traits.").map_or((*name).to_owned(), |rest| format!("context.traits.{rest}"));
        let mut object = &mut call;
        let mut parts: Vec<&str> = name.split('.').collect();
        let last = parts.pop().unwrap();
        for part in parts {
            object = object.entry(part).or_insert_with(|| json!({})).as_object_mut().unwrap();
        }
        object.insert(last.to_owned(), value);
    }
    Ok(Value::Object(call))
}

#[test]
fn a_text_may_look_like_an_empty_object() {
    let made = calls(options(CallKind::Identify), "userId,\\.\nu,{}\n");
    assert!(made[0].contains(r#"".":"{}""#), "{made:?}");
}

fn has_empty_object(value: &Value) -> bool {
    match value {
        Value::Object(members) => members.is_empty() || members.values().any(has_empty_object),
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    #[test]
    fn a_call_is_what_a_tree_would_give(
        order in Just(["userId", "anonymousId", "event", "a", "b.c", "b.d.e", "b.d.f", "b.g", "h.i.j", "traits.k",
            "context.ip", "context.traits.l", "integrations.All", "integrations.M", "ü\" x"]).prop_shuffle(),
        used in 3_usize..15,
        cells in proptest::collection::vec(
            prop_oneof![Just(String::new()), Just("true".to_owned()), "[a \"\\\\\\x00-\\x1F\u{7f}é😀]{0,8}"], 15),
        empty in prop_oneof![Just(Empty::Omit), Just(Empty::String), Just(Empty::Null)],
    ) {
        let mut names: Vec<&str> = order.into_iter().take(used).collect();
        for needed in ["userId", "event"] {
            if !names.contains(&needed) {
                names.push(needed);
            }
        }
        let cells: Vec<String> = cells.into_iter().cycle().take(names.len()).collect();
        let (plan, warnings) = compile(&Record::of_fields(&names), PlanOptions { empty, ..options(CallKind::Track) }).unwrap();
        prop_assert!(warnings.is_empty());
        let mut out = Vec::new();
        let result = plan.write(&Record::of_fields(&cells), &mut out);
        match reference(&names, &cells, empty) {
            Ok(expected) => {
                prop_assert_eq!(result, Ok(()));
                prop_assert!(!out.contains(&b'\n'));
                prop_assert_eq!(serde_json::from_slice::<Value>(&out).unwrap(), expected);
            }
            Err(code) => prop_assert_eq!(result.unwrap_err().code(), code),
        }
    }

    #[test]
    fn any_cells_and_names_give_json_or_an_error(
        names in proptest::collection::vec("[ab01.:\\\\]{0,6}(:json)?", 0..6),
        cells in proptest::collection::vec(proptest::collection::vec(
            prop_oneof![Just(b'['), Just(b'{'), Just(b'"'), Just(b'1'), Just(b'.'), Just(b'-'), any::<u8>()], 0..6), 8),
        arrays in any::<bool>(),
        infer in any::<bool>(),
        empty in prop_oneof![Just(Empty::Omit), Just(Empty::String), Just(Empty::Null)],
    ) {
        let mut all = vec!["userId".to_owned()];
        all.extend(names);
        let types = if infer { Types::Infer } else { Types::String };
        let options = PlanOptions { arrays, types, empty, ..options(CallKind::Identify) };
        if let Ok((plan, _)) = compile(&Record::of_fields(&all), options) {
            let mut out = Vec::new();
            let cells = cells.iter().take(all.len());
            match plan.write(&Record::of_fields(cells), &mut out) {
                Ok(()) => {
                    let call: Value = serde_json::from_slice(&out).unwrap();
                    prop_assert_eq!(&call["type"], "identify");
                    prop_assert!(arrays || !has_empty_object(&call), "{}", call);
                }
                Err(_) => prop_assert!(out.is_empty()),
            }
        }
    }
}

/// The objects of a text of the collection `rooms`.
fn objects(text: &str) -> Vec<String> {
    let rooms = FileType::try_from("objects/rooms".to_owned()).unwrap();
    calls(PlanOptions { kind: rooms, arrays: true, ..options(CallKind::Track) }, text)
}

#[test]
fn the_columns_of_an_object_file_are_properties() {
    let found = objects(
        "id,name,geo.lat,type,createdAt,items.0\n2561341,Beach,21.9,room,1557606747,x\n007,,,,,\n,n,,,,\n\"x\",y\n",
    );
    assert_eq!(
        found,
        [
            r#"{"messageId":"imp_f_0","id":"2561341","properties":{"name":"Beach","geo_lat":"21.9","type":"room","createdAt":"2019-05-11T20:32:27.000Z","items_0":"x"}}"#,
            r#"{"messageId":"imp_f_1","id":"007"}"#,
            "missing:id",
            "width",
        ]
    );
}

#[test]
fn an_object_that_the_collector_would_reject_is_rejected_with_its_row() {
    let long = "x".repeat(40_000);
    let id = "1".repeat(101);
    assert_eq!(objects(&format!("id,a\n1,{long}\n{id},b\n")), ["too-large", "too-large"]);
    let quotes = "\"\"".repeat(17_000);
    assert_eq!(objects(&format!("id,a\n1,\"{quotes}\"\n")), ["too-large"], "with its escapes");
    let wide = objects(&format!("id,{}\n1{}\n", names(20), format!(",{}", "x".repeat(20_000)).repeat(20)));
    assert_eq!(wide, ["too-large"], "an object fits into one request");
    let rooms = || PlanOptions {
        kind: FileType::try_from("objects/rooms".to_owned()).unwrap(),
        ..options(CallKind::Track)
    };
    assert_eq!(
        refused(rooms(), &["id", "a.b", "a_b"]),
        "E-CSV-CONFLICT: columns \"a.b\" and \"a_b\" do not go together: both would be the property \"a_b\""
    );
    let schema = parse_schema(r#"{"a":"json"}"#).unwrap().types;
    let json = PlanOptions { types: Types::Schema(schema), ..rooms() };
    assert!(refused(json, &["id", "a"]).contains("column \"a\" is json"));
    assert!(refused(rooms(), &["name"]).starts_with("E-CSV-MISSING: an object file needs a column id;"));
    let infer = PlanOptions { types: Types::Infer, ..rooms() };
    assert_eq!(
        calls(infer, "id,n\n7,7\n"),
        [r#"{"messageId":"imp_f_0","id":"7","properties":{"n":7}}"#],
        "an id stays text"
    );
}

fn names(count: usize) -> String {
    (0..count).map(|n| format!("c{n}")).collect::<Vec<_>>().join(",")
}
