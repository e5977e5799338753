//! The page about converters: each of its examples gives what the page says.

use std::collections::BTreeSet;

use forebay::call::Limits;
use forebay::convert::{Calls, Converter, DataType, Field, Operator, Outcome, Row, RowPlace, Strategy};
use forebay::time::UnixMillis;
use serde_json::Value;
use serde_json::value::RawValue;

const PAGE: &str = include_str!("../../docs/converter.md");
const PLACE: RowPlace<'static> = RowPlace { id_prefix: "imp_", sequence_prefix: "0/a", row: 0 };
const NOW: UnixMillis = UnixMillis(1_709_294_400_250);

/// The blocks of the page with this label, each on one line.
fn blocks(label: &str) -> Vec<String> {
    let fence = format!("```json {label}\n");
    let blocks = PAGE.split(fence.as_str()).skip(1);
    blocks.map(|rest| rest.split("```").next().unwrap().replace('\n', " ")).collect()
}

fn load(text: &str) -> Converter {
    let max = Limits::default().max_event;
    Converter::load(text.as_bytes(), DataType::Event, Strategy::AppendOnly, max)
        .unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// The one call of a row.
fn call(converter: &Converter, row: &str) -> String {
    let (mut read, mut calls) = (Row::new(converter.columns()), Calls::default());
    read.read_json(converter.columns(), row).unwrap();
    let outcome = converter.convert(&read, &PLACE, NOW, &mut calls);
    assert!(matches!(outcome, Outcome::Calls { count: 1, .. }), "{outcome:?}");
    String::from_utf8(calls.iter().next().unwrap().to_vec()).unwrap()
}

#[test]
fn each_converter_of_the_page_gives_its_call() {
    let (converters, rows, calls) = (blocks("converter"), blocks("row"), blocks("call"));
    assert!(!converters.is_empty() && converters.len() == rows.len() && rows.len() == calls.len());
    for ((converter, row), expected) in converters.iter().zip(&rows).zip(&calls) {
        let converter = load(converter);
        assert!(converter.unused_fields().is_empty());
        let found: Value = serde_json::from_str(&call(&converter, row)).unwrap();
        assert_eq!(found, serde_json::from_str::<Value>(expected).unwrap());
    }
}

/// The cells of the tables of operators: names, example, result.
fn operators() -> Vec<(Vec<&'static str>, &'static str, &'static str)> {
    let mut all = Vec::new();
    let tables = PAGE.split("| operator | what it gives | example | result |\n").skip(1);
    for line in tables.flat_map(|table| table.lines().take_while(|line| line.starts_with('|'))) {
        let cells: Vec<&str> = line.split(" | ").map(|cell| cell.trim_matches(['|', ' '])).collect();
        if let [names, _, example, result] = cells[..]
            && names != "---"
        {
            let names = names.split(", ").map(|name| name.trim_matches('`')).collect();
            all.push((names, example.trim_matches('`'), result.trim_matches('`')));
        }
    }
    all
}

#[test]
fn each_operator_of_the_page_gives_its_result() {
    let row = &blocks("example")[0];
    for (_, example, expected) in operators() {
        let converter = load(&format!(
            r#"{{"converterConfig":{{"fileType":"json","convertToAmplitudeFunc":{{"event_type":["value","e"],
            "user_id":["value","u"],"event_properties":{{"x":{example}}}}}}}}}"#
        ));
        let call = call(&converter, row);
        let properties = serde_json::from_str::<Properties<'_>>(&call).unwrap().properties;
        assert_eq!(properties.x.get(), expected, "{example}");
    }
}

#[derive(serde::Deserialize)]
struct Properties<'c> {
    #[serde(borrow)]
    properties: One<'c>,
}

#[derive(serde::Deserialize)]
struct One<'c> {
    #[serde(borrow)]
    x: &'c RawValue,
}

#[test]
fn the_page_has_every_operator_and_every_field() {
    let listed: BTreeSet<String> =
        operators().into_iter().flat_map(|(names, ..)| names).map(|name| name.replace('\\', "")).collect();
    let known: BTreeSet<String> = Operator::names().map(str::to_owned).collect();
    assert_eq!(listed, known);
    for field in Field::ALL {
        assert!(PAGE.contains(&format!("`{}`", field.name())), "{}", field.name());
    }
}
