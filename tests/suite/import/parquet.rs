//! Parquet files of pyarrow and DuckDB, local and in a store, are read as pyarrow reads them. `parquet_samples.py`
//! made them, and their rows as pyarrow has them.

use std::fs;
use std::path::Path;

use forebay::convert::{Columns, Row};
use forebay::import::reading::local::LocalFile;
use forebay::import::reading::parquet::{ParquetRows, Ranges, RowRead};
use serde_json::Value;

const SAMPLES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/import/samples/parquet");

/// The rows of a file, as JSON.
fn rows_of(open: impl Fn() -> Box<dyn Ranges>) -> Vec<Value> {
    let names = ParquetRows::open(open(), &Columns::default()).unwrap();
    let columns: Columns = names.names().collect();
    let mut rows = ParquetRows::open(open(), &columns).unwrap();
    let mut found = Vec::new();
    loop {
        let mut row = Row::new(&columns);
        match rows.read(&mut row).unwrap() {
            RowRead::End => return found,
            RowRead::Rejected(reject) => panic!("{reject}"),
            RowRead::Row => {}
        }
        let members = columns.names().enumerate().map(|(slot, name)| {
            let mut text = Vec::new();
            row.get(slot).unwrap().write(&mut text);
            (name.to_owned(), serde_json::from_slice(&text).unwrap())
        });
        found.push(Value::Object(members.collect()));
    }
}

fn expected(sample: &Path) -> Vec<Value> {
    let text = fs::read_to_string(sample.with_extension("ndjson")).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[test]
fn local_files_are_read_as_pyarrow_reads_them() {
    let mut count = 0;
    for entry in fs::read_dir(SAMPLES).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ndjson") {
            let file = LocalFile::open(&path.with_extension("parquet")).unwrap();
            assert_eq!(rows_of(|| Box::new(file.clone())), expected(&path), "{}", path.display());
            count += 1;
        }
    }
    assert!(count >= 12, "{count} samples");
}
