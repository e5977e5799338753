//! Rows of parquet to JSON: our reader, beside the row iterator of the `parquet` crate, once with a tree for each row,
//! as the crate does it, and once without.

use std::fs;
use std::hint::black_box;
use std::io;
use std::io::Write as _;
use std::sync::Arc;

use ::parquet::basic::{Compression, ZstdLevel};
use ::parquet::data_type::{BoolType, ByteArray, ByteArrayType, DoubleType, Int64Type};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::reader::{FileReader as _, SerializedFileReader};
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::record::Field;
use ::parquet::schema::parser::parse_message_type;
use bytes::Bytes;
use forebay::convert::{Columns, Row};
use forebay::import::reading::parquet::{ParquetRows, Ranges, RowRead};
use serde_json::Value;

use crate::duckdb::DuckDb;
use crate::turns::{Stage, compare};
use crate::{argument, number, turns};

const GROUP_ROWS: u64 = 100_000;
const SCHEMA: &str = "message rows {
    required binary user_id (UTF8); required binary event (UTF8); required int64 time;
    optional binary country (UTF8); optional binary city (UTF8); optional binary device (UTF8);
    optional double price; optional int64 quantity; optional boolean is_new; optional binary text (UTF8);
}";

/// A file in memory.
#[derive(Debug)]
struct InMemory(Bytes);

impl Ranges for InMemory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, from: u64, len: usize) -> io::Result<Bytes> {
        let from = usize::try_from(from).map_err(io::Error::other)?;
        Ok(self.0.slice(from..from + len))
    }
}

fn file(rows: u64) -> Bytes {
    let schema = Arc::new(parse_message_type(SCHEMA).expect("a schema"));
    let zstd = Compression::ZSTD(ZstdLevel::default());
    let properties = Arc::new(WriterProperties::builder().set_compression(zstd).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).expect("memory");
    for first in (0..rows).step_by(usize::try_from(GROUP_ROWS).expect("a number")) {
        let group: Vec<u64> = (first..rows.min(first + GROUP_ROWS)).collect();
        // Every tenth value of an optional column is null.
        let levels: Vec<i16> = group.iter().map(|row| i16::from(row % 10 != 3)).collect();
        let some = || group.iter().copied().filter(|row| row % 10 != 3);
        let number = |row: u64| i64::try_from(row).expect("a number");
        let texts = |text: &dyn Fn(u64) -> String, all: &mut dyn Iterator<Item = u64>| -> Vec<ByteArray> {
            all.map(|row| text(row).as_str().into()).collect()
        };
        let mut written = writer.next_row_group().expect("memory");
        for column in 0..10 {
            let mut next = written.next_column().expect("memory").expect("a column");
            let optional = (column > 2).then_some(&levels[..]);
            let done = match column {
                2 => {
                    let values: Vec<i64> = group.iter().map(|row| 1_556_742_387_940 + number(*row)).collect();
                    next.typed::<Int64Type>().write_batch(&values, optional, None)
                }
                6 => {
                    let values: Vec<f64> = some()
                        .map(|row| f64::from(u16::try_from(row % 10_000).unwrap_or(0)) / 100.0)
                        .collect();
                    next.typed::<DoubleType>().write_batch(&values, optional, None)
                }
                7 => {
                    let values: Vec<i64> = some().map(|row| number(row % 7)).collect();
                    next.typed::<Int64Type>().write_batch(&values, optional, None)
                }
                8 => {
                    let values: Vec<bool> = some().map(|row| row % 2 == 0).collect();
                    next.typed::<BoolType>().write_batch(&values, optional, None)
                }
                _ => {
                    let text: &dyn Fn(u64) -> String = match column {
                        0 => &|row| format!("user-{row}"),
                        1 => &|row| if row % 3 == 0 { "viewed".to_owned() } else { "bought".to_owned() },
                        3 => &|_| "Germany".to_owned(),
                        4 => &|row| format!("city {}", row % 300),
                        5 => &|row| format!("device {}", row % 5_000),
                        _ => &|row| format!("a longer text with the number {row} in \"quotes\""),
                    };
                    let values = if column > 2 {
                        texts(text, &mut some())
                    } else {
                        texts(text, &mut group.iter().copied())
                    };
                    next.typed::<ByteArrayType>().write_batch(&values, optional, None)
                }
            };
            done.expect("memory");
            next.close().expect("memory");
        }
        written.close().expect("memory");
    }
    writer.into_inner().expect("memory").into()
}

fn ours(file: &Bytes, columns: &Columns) {
    let mut rows = ParquetRows::open(Box::new(InMemory(file.clone())), columns).expect("parquet");
    let (mut out, mut memory) = (Vec::new(), Row::new(columns));
    loop {
        let mut row: Row<'_> = memory;
        match rows.read(&mut row).expect("parquet") {
            RowRead::End => return,
            RowRead::Rejected(why) => panic!("{why}"),
            RowRead::Row => row.write(columns, &mut out),
        }
        memory = row.cleared();
        black_box(&out);
        out.clear();
    }
}

/// A value as JSON, as a program would write it.
fn write(field: &Field, out: &mut Vec<u8>) {
    let done = match field {
        Field::Null => out.write_all(b"null"),
        Field::Bool(bool) => write!(out, "{bool}"),
        Field::Long(long) => write!(out, "{long}"),
        Field::Double(double) => serde_json::to_writer(&mut *out, double).map_err(io::Error::other),
        Field::Str(text) => serde_json::to_writer(&mut *out, text).map_err(io::Error::other),
        other => panic!("{other:?}"),
    };
    done.expect("memory");
}

fn theirs(file: &Bytes) {
    let reader = SerializedFileReader::new(file.clone()).expect("parquet");
    let mut out = Vec::new();
    for row in reader.get_row_iter(None).expect("parquet") {
        let row = row.expect("parquet");
        out.push(b'{');
        for (at, (name, field)) in row.get_column_iter().enumerate() {
            if at > 0 {
                out.push(b',');
            }
            serde_json::to_writer(&mut out, name).expect("memory");
            out.push(b':');
            write(field, &mut out);
        }
        out.push(b'}');
        black_box(&out);
        out.clear();
    }
}

/// A tree for each row, as `to_json_value` of the crate makes it.
fn their_values(file: &Bytes) {
    let reader = SerializedFileReader::new(file.clone()).expect("parquet");
    let value = |field: &Field| match field {
        Field::Null => Value::Null,
        Field::Bool(bool) => Value::Bool(*bool),
        Field::Long(long) => Value::from(*long),
        Field::Double(double) => Value::from(*double),
        Field::Str(text) => Value::String(text.clone()),
        other => panic!("{other:?}"),
    };
    let mut out = Vec::new();
    for row in reader.get_row_iter(None).expect("parquet") {
        let row = row.expect("parquet");
        let members = row.get_column_iter().map(|(name, field)| (name.clone(), value(field)));
        serde_json::to_writer(&mut out, &Value::Object(members.collect())).expect("memory");
        black_box(&out);
        out.clear();
    }
}

pub(crate) fn measure() {
    let (rows, rounds) = (number("--rows", 200_000), number("--rounds", 9));
    let file = file(rows);
    let all = ParquetRows::open(Box::new(InMemory(file.clone())), &Columns::default()).expect("parquet");
    let columns: Columns = all.names().collect();
    let dir = tempfile::tempdir().expect("a folder");
    let mut duckdb = argument("--duckdb").map(|python| {
        let (stored, written) = (dir.path().join("rows.parquet"), dir.path().join("rows.json"));
        fs::write(&stored, &file).expect("a disk");
        DuckDb::start(&python, &stored, &written)
    });
    let mut stages: Vec<Stage<'_>> = vec![
        ("row iterator of the crate", Box::new(|| their_values(&file))),
        ("the same, written by hand", Box::new(|| theirs(&file))),
        ("our reader", Box::new(|| ours(&file, &columns))),
    ];
    if let Some(duckdb) = &mut duckdb {
        stages.push(("DuckDB, one thread, to a file", Box::new(|| duckdb.convert())));
    }
    compare("a row of parquet with ten columns to JSON", rows, rounds, stages);
    drop(duckdb);
    turns::count_too(0);
}
