//! Whatever a file or a row holds: no panic, and bounded output.

use proptest::prelude::{Just, ProptestConfig, Strategy, prop, prop_oneof, proptest};

use super::*;
use crate::convert::Strategy as ImportStrategy;

/// Pieces from which files are put together.
fn piece() -> impl Strategy<Value = String> {
    let names = Operator::names().chain(Field::ALL.map(Field::name)).map(|name| format!("\"{name}\""));
    let signs =
        ["{", "}", "[", "]", ",", ":", "1", "-0.5e9", "true", "null", "\"a\"", "\"$1(\"", "\"yyyy\"", " "];
    prop_oneof![
        prop::sample::select(names.collect::<Vec<_>>()),
        prop::sample::select(signs.map(str::to_owned).to_vec()),
    ]
}

/// JSON with operators in every place.
fn tree() -> impl Strategy<Value = String> {
    let names: Vec<String> = Operator::names().map(|name| format!("\"{name}\"")).collect();
    let leaf = prop_oneof![
        Just("\"a\"".to_owned()),
        Just("\"b\"".to_owned()),
        Just("1".to_owned()),
        Just("1e400".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("\"(\"".to_owned()),
        Just("\"$\"".to_owned()),
        Just("\"yMdHhmsSazZXE'\"".to_owned()),
        Just("\"\"".to_owned()),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        let operator = (prop::sample::select(names.clone()), prop::collection::vec(inner.clone(), 0..5));
        prop_oneof![
            4 => operator.prop_map(|(name, args)| format!("[{}]", [vec![name], args].concat().join(","))),
            1 => prop::collection::vec(inner, 0..4).prop_map(|values| {
                let members = values.iter().enumerate().map(|(index, value)| format!("\"m{index}\":{value}"));
                format!("{{{}}}", members.collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

fn run(text: &str, row: &str) {
    for data_type in DataType::ALL {
        for strategy in ImportStrategy::ALL {
            if let Ok(converter) = Converter::load(text.as_bytes(), data_type, strategy, 4_096) {
                let (outcome, calls) = converted(&converter, row);
                assert!(calls.iter().all(|call| call.len() <= 4_096 && !call.contains('\n')), "{outcome:?}");
                for call in calls {
                    serde_json::from_str::<serde::de::IgnoredAny>(&call).unwrap();
                }
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn no_file_makes_it_panic(pieces in prop::collection::vec(piece(), 0..40), row in ".{0,40}") {
        let pieces = pieces.concat();
        run(&pieces, &row);
        run(&file(&pieces), &row);
    }

    #[test]
    fn no_converter_makes_it_panic(source in tree(), a in tree(), b in ".{0,20}") {
        let row = format!("{{\"a\":{a},\"b\":{}}}", serde_json::to_string(&b).unwrap());
        let all: Vec<String> = Field::ALL.iter().map(|field| format!("\"{}\":{source}", field.name())).collect();
        run(&file(&format!("{{{}}}", all.join(","))), &row);
        let fields = r#"{"event_type":["value","e"],"user_id":["value","u"],"insert_id":["value","i"],"groups":["value",{"g":"1"}]"#;
        run(&file(&format!("{fields},\"group_properties\":{{\"x\":{source}}},\"event_properties\":{{\"x\":{source}}}}}")), &row);
    }
}

#[test]
fn a_row_makes_at_most_so_much() {
    // A hundred copies of 64 KiB, made by operators of every kind that copies.
    let copies = |source: &str| vec![source; 100].join(",");
    let numbers = (0..100_000).map(|n| format!(r#""{n}":1"#)).collect::<Vec<_>>().join(",");
    let row =
        format!(r#"{{"a":"{0}","o":{{"x":"{0}"}},"n":{{"{0}{0}":{{{numbers}}}}}}}"#, "x".repeat(65_536));
    for source in [
        format!(r#"["concat",{}]"#, copies("\"a\"")),
        format!(r#"["array",{}]"#, copies("\"o\"")),
        format!(r#"["array",{}]"#, copies(r#"["lower","a"]"#)),
        format!(r#"["array",{}]"#, copies(r#"["exclude_keys","o","y"]"#)),
        r#"["replace_with","x","123456789012345678","a"]"#.to_owned(),
        format!(r#"["path",{{"v":["array",{}]}},"v"]"#, copies("\"a\"")),
        // Each name is made of those above it.
        r#"["flatten_dict","_",["int",-1],"n"]"#.to_owned(),
    ] {
        let fields = format!(
            r#"{{"event_type":["value","e"],"user_id":["value","u"],"event_properties":{{"v":{source}}}}}"#
        );
        let converter = Converter::load(
            file(&fields).as_bytes(),
            DataType::Event,
            ImportStrategy::AppendOnly,
            usize::MAX,
        )
        .unwrap();
        let (outcome, calls) = converted(&converter, &row);
        let Outcome::Rejected(reject) = outcome else { panic!("{source}") };
        assert_eq!((reject.code, calls.len()), ("too-large", 0));
    }
    // Many groups with large properties.
    let fields = r#"{"groups":"g","group_properties":"o"}"#;
    let converter = converter(fields, DataType::GroupProperties, ImportStrategy::AppendOnly);
    let ids: Vec<String> = (0..500).map(|id| id.to_string()).collect();
    let row = format!(r#"{{"g":{{"t":[{}]}},"o":{{"x":"{}"}}}}"#, ids.join(","), "x".repeat(20_000));
    let (outcome, _) = converted(&converter, &row);
    assert!(matches!(outcome, Outcome::Rejected(RowReject { code: "too-large", .. })), "{outcome:?}");
}

#[test]
fn calls_stay_below_the_limit_of_depth() {
    // Objects of the converter around a value that is as deep as a row's may be.
    let levels = 60;
    let fields = format!(
        r#"{{"event_type":["value","e"],"user_id":["value","u"],"user_properties":{}"a"{}}}"#,
        r#"{"n":"#.repeat(levels),
        "}".repeat(levels)
    );
    let converter = converter(&fields, DataType::Event, ImportStrategy::AppendOnly);
    let row = format!(r#"{{"a":{}1{}}}"#, "[".repeat(64), "]".repeat(64));
    let (_, calls) = converted(&converter, &row);
    let mut cursor = crate::json::Cursor::new(calls[0].as_bytes(), 128);
    assert!(cursor.value().is_ok());
    let deep = row.replace("[1]", "[[1]]");
    assert!(matches!(converted(&converter, &deep).0, Outcome::Rejected(RowReject { code: "too-deep", .. })));
}
