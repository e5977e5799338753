//! A row with ten fields by a converter, beside the plan of `import csv`.

use std::fmt::Write as _;
use std::hint::black_box;
use std::io::Cursor;
use std::ops::Range;
use std::sync::Arc;

use forebay::call::CallKind;
use forebay::convert::{Calls, Converter, DataType, Outcome, Row as Values, RowPlace, Strategy, Value};
use forebay::import::converted::{Conversion, ConvertedRows};
use forebay::import::csv::{CsvOptions, CsvRows, Dialect, FileType, MessageIds, Plan, Record, Records};
use forebay::import::reading::Limits;
use forebay::import::reading::open_file::OpenFile;
use forebay::import::reading::opened::{Opened, Options, Text, open_stream};
use forebay::import::{RowReader, identity};
use forebay::time::UnixMillis;

use crate::number;
use crate::turns::compare;

/// Bytes of calls after which memory is used again, as a step is.
const STEP_BYTES: usize = 512 * 1_024;
const PREFIX: &str = "imp_abcdefghijklmnopqrstuvwxyz_";
/// The columns, by the names of `import csv`, and the fields of a converter.
const FIELDS: [(&str, &str); 10] = [
    ("userId", "user_id"),
    ("event", "event_type"),
    ("timestamp", "time"),
    ("context.device.id", "device_id"),
    ("context.ip", "ip"),
    ("context.location.country", "country"),
    ("context.location.city", "city"),
    ("context.location.region", "region"),
    ("context.locale", "language"),
    ("context.os.name", "os_name"),
];

/// The cells of a row. The converter takes milliseconds, and `import csv` the text of a time.
fn cells(row: u64, time: &str) -> [String; 10] {
    [
        format!("{row}"),
        "test event".to_owned(),
        time.to_owned(),
        format!("device-{row}"),
        format!("175.154.{}.{}", row / 256 % 256, row % 256),
        "Germany".to_owned(),
        "Berlin".to_owned(),
        "BE".to_owned(),
        "de-DE".to_owned(),
        "Android".to_owned(),
    ]
}

fn time_text(row: u64) -> String {
    format!("2019-05-{:02}T20:{:02}:27.940Z", row % 28 + 1, row % 60)
}

fn time_ms(row: u64) -> String {
    (1_556_742_387_940 + row * 1_000).to_string()
}

/// A table for `import csv`.
pub(crate) fn table(rows: u64) -> String {
    let mut text = FIELDS.map(|(column, _)| column).join(",") + "\n";
    for row in 0..rows {
        writeln!(text, "{}", cells(row, &time_text(row)).join(",")).expect("memory");
    }
    text
}

/// The same rows for a converter.
pub(crate) fn converter_table(rows: u64) -> String {
    converter_table_of(0..rows)
}

/// These rows of it.
pub(crate) fn converter_table_of(rows: Range<u64>) -> String {
    let mut text = FIELDS.map(|(_, field)| field).join(",") + "\n";
    for row in rows {
        writeln!(text, "{}", cells(row, &time_ms(row)).join(",")).expect("memory");
    }
    text
}

/// The same rows as JSON lines.
fn json_lines(rows: u64) -> String {
    let mut text = String::new();
    for row in 0..rows {
        let cells = cells(row, &time_ms(row));
        let members = FIELDS.iter().zip(&cells).map(|((_, field), cell)| format!("\"{field}\":\"{cell}\""));
        writeln!(text, "{{{}}}", members.collect::<Vec<_>>().join(",")).expect("memory");
    }
    text
}

/// The text of a converter of files of this type.
pub(crate) fn converter_text(file_type: &str) -> String {
    let fields = FIELDS.map(|(_, field)| format!("\"{field}\":[\"path\",\"{field}\"]"));
    format!(
        r#"{{"converterConfig":{{"fileType":"{file_type}","convertToAmplitudeFunc":{{{}}}}}}}"#,
        fields.join(",")
    )
}

pub(crate) fn converter(file_type: &str) -> Arc<Converter> {
    let text = converter_text(file_type);
    let loaded = Converter::load(text.as_bytes(), DataType::Event, Strategy::AppendOnly, 32 * 1_024);
    Arc::new(loaded.expect("a converter"))
}

pub(crate) fn text(bytes: &bytes::Bytes) -> Text {
    let options = Options { encoding: None, limits: Limits::default(), temporary: std::env::temp_dir() };
    match open_stream(Cursor::new(bytes.clone()), "rows", None, &options).expect("memory") {
        Opened::Text(text) => text,
        Opened::Zip(_) => unreachable!("a text"),
    }
}

/// The rows of a table, as `import csv` reads them.
pub(crate) fn csv_rows(bytes: &bytes::Bytes) -> CsvRows {
    let file = (identity::of_content(&[3; 32], 1), FileType::Calls(CallKind::Track), "rows.csv");
    CsvRows::open("rows.csv", file, text(bytes), &CsvOptions::default()).expect("a table").rows
}

fn converted_rows(bytes: &bytes::Bytes, converter: &Arc<Converter>) -> ConvertedRows {
    let how = Conversion {
        converter: Arc::clone(converter),
        id_prefix: PREFIX.to_owned(),
        sequence_prefix: String::new(),
        now: UnixMillis(1_795_156_200_123),
    };
    ConvertedRows::open("rows", OpenFile::Text(text(bytes)), how).expect("rows")
}

fn read_all(mut rows: impl RowReader) {
    let mut out = Vec::with_capacity(2 * STEP_BYTES);
    while rows.next(&mut out).expect("rows").is_some() {
        if out.len() > STEP_BYTES {
            black_box(&out);
            out.clear();
        }
    }
}

fn records(text: &str) -> (Record, Vec<Record>) {
    let mut records = Records::new(text.as_bytes(), Dialect::default());
    let (mut header, mut all) = (Record::default(), Vec::new());
    records.read_header(&mut header).expect("a table");
    let mut record = Record::default();
    while records.read(&mut record).expect("a table").is_some() {
        all.push(record.clone());
    }
    (header, all)
}

fn convert_cells(converter: &Converter, all: &[Record]) {
    let columns = converter.columns();
    let slots = FIELDS.map(|(_, field)| columns.slot(field.as_bytes()).expect("a column"));
    let (mut calls, mut memory) = (Calls::default(), Values::new(columns));
    for (row, record) in all.iter().enumerate() {
        let mut values: Values<'_> = memory;
        let texts = record.texts();
        for (index, slot) in slots.iter().enumerate() {
            values.set(*slot, Value::Text(texts(index).expect("UTF-8").into()));
        }
        let place = RowPlace { id_prefix: PREFIX, sequence_prefix: "", row: row as u64 };
        let outcome = converter.convert(&values, &place, UnixMillis(1_795_156_200_123), &mut calls);
        assert!(matches!(outcome, Outcome::Calls { count: 1, .. }), "{outcome:?}");
        memory = values.cleared();
        if calls.bytes() > STEP_BYTES {
            black_box(&calls);
            calls.clear();
        }
    }
}

pub(crate) fn measure() {
    let (rows, rounds) = (number("--rows", 200_000), number("--rounds", 9));
    let (table, converter_table, lines) = (table(rows), converter_table(rows), json_lines(rows));
    let (header, all) = records(&table);
    let (_, converter_all) = records(&converter_table);
    let ids = MessageIds::Position(PREFIX.to_owned());
    let plan = Plan::compile(&header, &FileType::Calls(CallKind::Track), &CsvOptions::default(), &ids);
    let plan = plan.expect("a header").0;
    let (csv, json) = (converter("csv"), converter("json"));
    let cells_by_plan = || {
        let mut out = Vec::with_capacity(2 * STEP_BYTES);
        for record in &all {
            plan.write(record, &mut out).expect("a call");
            if out.len() > STEP_BYTES {
                black_box(&out);
                out.clear();
            }
        }
    };
    compare(
        "cells of a row with ten fields to a call",
        rows,
        rounds,
        vec![
            ("plan of import csv", Box::new(cells_by_plan)),
            ("converter", Box::new(|| convert_cells(&csv, &converter_all))),
        ],
    );
    drop((all, converter_all));
    let [table, converter_table, lines] = [table, converter_table, lines].map(bytes::Bytes::from);
    compare(
        "bytes of a file to calls",
        rows,
        rounds,
        vec![
            ("import csv", Box::new(|| read_all(csv_rows(&table)))),
            ("converter, CSV", Box::new(|| read_all(converted_rows(&converter_table, &csv)))),
            ("converter, JSON lines", Box::new(|| read_all(converted_rows(&lines, &json)))),
        ],
    );
}
