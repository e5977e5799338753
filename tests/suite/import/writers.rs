//! Tables of other writers, such as pandas, DuckDB, PostgreSQL and Excel: each row is what the writer's own
//! reader reads, or is rejected by name. `tests/fixtures/csv-writers/make.py` makes them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::path::{Path, PathBuf};

use forebay::import::csv::{CsvOptions, CsvRows, FileType, OpenedCsv, Types, parse_schema};
use forebay::import::reading::opened::{Opened, Options, open_stream};
use forebay::import::reading::{Limits, text::encoding};
use forebay::import::{FileError, Row, RowReader};
use serde_json::{Map, Value, json};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/csv-writers")
}

fn opened(case: &Value, file: &str) -> Result<OpenedCsv, FileError> {
    let bytes = fs::read(folder().join(file)).unwrap();
    let reading = Options {
        encoding: case["encoding"].as_str().and_then(|name| encoding(name).unwrap()),
        limits: Limits::default(),
        temporary: std::env::temp_dir(),
    };
    let opened = open_stream(Cursor::new(bytes), file, None, &reading).unwrap();
    let Opened::Text(text) = opened else { panic!("{file} is an archive") };
    let byte = |name: &str| case[name].as_str().and_then(|text| text.bytes().next());
    let usual = CsvOptions::default();
    let (types, rules) = match case["types"].is_null() {
        true => (Types::String, usual.rules.clone()),
        false => {
            let schema = parse_schema(&case["types"].to_string()).unwrap();
            (Types::Schema(schema.types), schema.rules)
        }
    };
    let quote = if case.get("quote").is_some() { byte("quote") } else { usual.quote };
    let options =
        CsvOptions { delimiter: byte("delimiter"), escape: byte("escape"), quote, types, rules, ..usual };
    let id = "unw446h7bvkguk7rnc2jjbggs4".parse().unwrap();
    CsvRows::open(file, (id, FileType::try_from("track".to_owned()).unwrap(), file), text, &options)
}

/// The rows as calls without type and messageId, or as `{"rejected": CODE}`.
fn rows_of(mut rows: CsvRows) -> Vec<Value> {
    let mut found = Vec::new();
    let mut call = Vec::new();
    while let Some(row) = rows.next(&mut call).unwrap() {
        found.push(match row {
            Row::Rejected(reject) => json!({"rejected": reject.code}),
            Row::Repeat => json!("repeated"),
            Row::Calls(_) | Row::Keyed(..) | Row::Skipped => panic!("a row of a table is one call"),
            Row::Call(_) | Row::Corrected(..) => {
                let mut call: Map<String, Value> = serde_json::from_slice(&call).unwrap();
                call.remove("type");
                call.remove("messageId");
                Value::Object(call)
            }
        });
        call.clear();
    }
    found
}

/// What cells by the names of their columns mean.
fn nested(cells: &BTreeMap<String, Option<String>>) -> Value {
    let mut call = json!({});
    for (name, cell) in cells {
        let Some(cell) = cell else { continue };
        let place = name.split('.').fold(&mut call, |place, part| &mut place[part]);
        *place = json!(cell);
    }
    call
}

#[test]
fn every_table_of_another_writer_is_read_as_its_own_reader_reads_it() {
    let cases: Vec<Value> = serde_json::from_slice(&fs::read(folder().join("cases.json")).unwrap()).unwrap();
    assert!(cases.len() >= 20, "{}", cases.len());
    for case in &cases {
        let file = case["file"].as_str().unwrap();
        let opened = opened(case, file);
        if let Some(code) = case["refused"].as_str() {
            assert_eq!(opened.unwrap_err().code, code, "{file}");
            continue;
        }
        let expected: Vec<Value> = fs::read_to_string(folder().join(format!("{file}.jsonl")))
            .unwrap()
            .lines()
            .map(|line| {
                let cells: BTreeMap<String, Option<String>> = serde_json::from_str(line).unwrap();
                nested(&cells)
            })
            .collect();
        assert!(!expected.is_empty(), "{file}");
        let opened = opened.unwrap_or_else(|error| panic!("{file}: {error}"));
        let found = rows_of(opened.rows);
        assert_eq!(found, expected, "{file}, by {}", case["writer"]);
    }
}
