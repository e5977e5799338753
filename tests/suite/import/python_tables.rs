//! Tables written by Python's `csv` in every dialect come back as they were written.

use std::fs;
use std::process::Command;

use forebay::import::csv::{Dialect, Item, Record, Records};
use serde_json::{Value, json};

use crate::support::tools::{on_path, stdout_of};

/// Tables of one run. The script takes the dialects in turn.
const TABLES: usize = 3_000;
/// Seed of the script's generator.
const SEED: u64 = 1;

#[tokio::test(flavor = "multi_thread")]
async fn any_table_that_python_writes_is_read_back() {
    let Some(python) = on_path("python3") else { return };
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(python);
    command
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/import/python_tables.py"))
        .arg(folder.path())
        .args([TABLES.to_string(), SEED.to_string()]);
    stdout_of(command).await;
    let list = fs::read_to_string(folder.path().join("tables.ndjson")).expect("the list of tables");
    let mut tables = 0;
    for line in list.lines() {
        let table: Value = serde_json::from_str(line).expect("a line of JSON");
        let file = table["file"].as_str().expect("a file's name");
        let text = fs::read(folder.path().join(file)).expect("a table");
        let found = read_back(&text, dialect_of(&table));
        assert_eq!(found, table["cells"], "{table}\n{:?}", String::from_utf8_lossy(&text));
        tables += 1;
    }
    assert!(tables > TABLES / 2, "Python itself read back only {tables} of {TABLES}");
}

fn dialect_of(table: &Value) -> Dialect {
    let byte = |name: &str| table[name].as_str().and_then(|text| text.bytes().next());
    let delimiter = byte("delimiter").expect("a delimiter");
    Dialect { delimiter, quote: byte("quote"), escape: byte("escape"), ..Dialect::default() }
}

/// The rows of a text; the error's text in place of a region that is no row.
fn read_back(text: &[u8], dialect: Dialect) -> Value {
    let mut records = Records::new(text, dialect);
    let mut record = Record::default();
    let mut rows = Vec::new();
    while let Some(item) = records.read(&mut record).expect("bytes in memory") {
        rows.push(match item {
            Item::Record => record.iter().map(String::from_utf8_lossy).collect(),
            Item::Broken(error) => json!(error.to_string()),
        });
    }
    Value::Array(rows)
}
