//! Parquet files of pyarrow and DuckDB, local and in a store, are read as pyarrow reads them. `parquet_samples.py`
//! made them, and their rows as pyarrow has them.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use ::parquet::data_type::{ByteArray, ByteArrayType};
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use bytes::Bytes;

use forebay::convert::{Columns, Row};
use forebay::import::FileEnd;
use forebay::import::bucket_import::{BucketImport, PassReport};
use forebay::import::reading::local::LocalFile;
use forebay::import::reading::parquet::{ParquetRows, Ranges, RowRead};
use forebay::import::reading::ranged::Ranged;
use forebay::import::reading::s3::RangeSettings;
use forebay::import::reading::s3_object::S3Object;
use forebay::object::ObjectKey;
use forebay::runtime::SystemRandom;
use forebay::store::fake::{FakeStore, Step};
use serde_json::Value;

use super::bucket::{
    archive, calls, check_events, files, import_as, killed_at, location, passed, put, skipped,
};
use super::importer::{Node, node};

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

#[test]
fn objects_are_read_as_pyarrow_reads_them_in_small_ranges() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for name in ["pyarrow_zstd", "pyarrow_delta_2", "duckdb_V1"] {
        let path = Path::new(SAMPLES).join(name).with_extension("parquet");
        let store = FakeStore::new();
        let object = runtime.block_on(async {
            put(&store, "a.parquet", fs::read(&path).unwrap()).await;
            let key = ObjectKey::listed("a.parquet".to_owned());
            Arc::new(S3Object::find(Arc::new(store.clone()), location(), key, None).await.unwrap())
        });
        let settings = RangeSettings { range_bytes: 700, ..RangeSettings::new(Arc::new(SystemRandom)) };
        let ranged = Ranged::new(object, runtime.handle().clone(), settings);
        assert_eq!(rows_of(|| Box::new(ranged.clone())), expected(&path), "{name}");
        assert!(store.ranges().iter().all(|range| range.len <= 700), "{name}");
    }
}

/// A file with these columns of texts, of which some may be null, in row groups of a thousand rows.
fn file<'t>(columns: &[&str], rows: usize, cell: impl Fn(&str, usize) -> Option<String> + 't) -> Vec<u8> {
    let fields: String = columns.iter().map(|name| format!("optional binary {name} (UTF8); ")).collect();
    let schema = Arc::new(parse_message_type(&format!("message rows {{ {fields} }}")).unwrap());
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    let all: Vec<usize> = (0..rows).collect();
    for group in all.chunks(1_000) {
        let mut written = writer.next_row_group().unwrap();
        for name in columns {
            let cells: Vec<Option<String>> = group.iter().map(|row| cell(name, *row)).collect();
            let levels: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
            let values: Vec<ByteArray> = cells.iter().flatten().map(|cell| cell.as_str().into()).collect();
            let mut column = written.next_column().unwrap().unwrap();
            column.typed::<ByteArrayType>().write_batch(&values, Some(&levels), None).unwrap();
            column.close().unwrap();
        }
        written.close().unwrap();
    }
    writer.into_inner().unwrap()
}

/// A file with the columns of events. Of a hundred rows one has no user, and one is to be left out.
fn events_file(name: &str, columns: &[&str], rows: usize) -> Vec<u8> {
    file(columns, rows, |column, row| match column {
        "e" => Some(format!("{name} {row}")),
        "u" => (row % 100 != 7).then(|| "u".to_owned()),
        "no" => (row % 100 == 8).then(|| "true".to_owned()),
        "country" => Some("DE".to_owned()),
        other => Some(format!("{other} {row} {}", "x".repeat(50))),
    })
}

fn events(name: &str, rows: usize) -> impl Iterator<Item = String> {
    (0..rows).filter(|row| !matches!(row % 100, 7 | 8)).map(move |row| format!("{name} {row}"))
}

/// An import of the files of this format whose names contain a word.
fn import(node: &Node, name: &str, format: &str, word: &str) -> BucketImport {
    let text = format!(
        r#"{{"converterConfig":{{"fileType":"{format}","ignoreEventFlag":"left_out","convertToAmplitudeFunc":{{
            "event_type":"e","user_id":"u","left_out":"no","country":"country"}}}},
            "keyValidatorConfig":{{"filterPattern":".*{word}.*"}}}}"#
    );
    import_as(node, name, "in/", &text)
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// The names of the files that failed, and why.
fn errors(report: &PassReport) -> Vec<(String, String)> {
    let error = |end: &FileEnd| match end {
        FileEnd::Failed(error) => error.to_string(),
        other => format!("{other:?}"),
    };
    report.not_done.iter().map(|file| (file.name.clone(), error(&file.end))).collect()
}

const COLUMNS: [&str; 3] = ["e", "u", "no"];
/// Rows of the largest file: three steps.
const ROWS: usize = 4_500;

/// Parquet as it is, in gzip, zstd and zip, with columns that differ, beside JSON and what is no parquet.
async fn filled() -> FakeStore {
    let store = FakeStore::new();
    put(&store, "in/a.parquet", events_file("a", &COLUMNS, ROWS)).await;
    // Other columns, in another order.
    put(&store, "in/b.parquet.gz", gzip(&events_file("b", &["x", "u", "country", "e", "no"], 150))).await;
    let c = events_file("c", &["u", "e"], 7);
    put(&store, "in/c.parquet.zst", zstd::encode_all(c.as_slice(), 1).unwrap()).await;
    let d = [("1.parquet", events_file("d", &COLUMNS, 7)), ("2", events_file("f", &COLUMNS, 7))];
    put(&store, "in/d.parquet.zip", archive(&d)).await;
    put(&store, "in/j.json", "{\"e\":\"j 0\",\"u\":\"u\"}\n").await;
    let cut = events_file("cut", &COLUMNS, 100);
    put(&store, "in/p.parquet", cut[..cut.len() - 300].to_vec()).await;
    put(&store, "in/q.parquet", "[{\"e\":\"q\",\"u\":\"u\"}]").await;
    put(&store, "in/r.parquet", b"Obj\x01\x04\x14avro.codec".to_vec()).await;
    put(&store, "in/s.parquet.gz", gzip(b"{\"e\":\"s\",\"u\":\"u\"}\n")).await;
    store
}

fn all_events() -> impl Iterator<Item = String> {
    let small = ["c", "d", "f"].into_iter().flat_map(|name| events(name, 7));
    events("a", ROWS).chain(events("b", 150)).chain(small)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_of_a_bucket_are_imported_beside_others() {
    let (node, store) = (node(), filled().await);
    let report = passed(&node, &store, import(&node, "tables", "parquet", "parquet")).await;
    assert_eq!(files(&report), [("done", 5), ("failed", 4)], "{report:?}");
    assert_eq!(skipped(&report), [("foreign", 1)]);
    let rows = (ROWS + 150 + 21) as u64;
    assert_eq!((report.rows, report.rejected, report.skipped_rows), (rows, 47, 47), "{report:?}");
    check_events(&node, all_events());
    let countries = calls(&node).iter().filter(|call| call["context"]["location"]["country"] == "DE").count();
    assert_eq!(countries, events("b", 150).count(), "a column that only one file has");
    let errors = errors(&report);
    for (key, expected) in [
        ("p", "E-PARQUET: "),
        ("q", "E-FORMAT: the file looks like JSON, and the converter reads parquet"),
        ("r", "E-FORMAT: the file is Avro, and the converter reads parquet"),
        ("s", "E-FORMAT: the file looks like JSON"),
    ] {
        let name = format!("s3://lake/in/{key}.");
        let error = errors.iter().find_map(|(file, error)| file.starts_with(&name).then_some(error));
        assert!(error.is_some_and(|error| error.starts_with(expected)), "{key}: {errors:?}");
    }
    let json = passed(&node, &store, import(&node, "lines", "json", "json")).await;
    assert_eq!(files(&json), [("done", 1)], "{json:?}");
    check_events(&node, all_events().chain(["j 0".to_owned()]));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_at_any_step_each_row_is_stored_once() {
    let store = filled().await;
    // Three steps of the first file, and one of each other.
    for (steps, stores_last) in
        [(0, true), (1, false), (1, true), (2, false), (2, true), (3, true), (6, false)]
    {
        let node = node();
        let first = import(&node, "tables", "parquet", "parquet");
        let node = killed_at(node, &store, first, steps, stores_last).await;
        let report = passed(&node, &store, import(&node, "tables", "parquet", "parquet")).await;
        assert_eq!(files(&report).last(), Some(&("failed", 4)), "{steps} {stores_last}: {report:?}");
        check_events(&node, all_events());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_needed_columns_are_read_and_a_failing_store_loses_nothing() {
    let (node, store) = (node(), FakeStore::new());
    let wide = |column: &str, row: usize| match column {
        "e" => Some(format!("a {row}")),
        "u" => Some("u".to_owned()),
        _ => Some(
            (0..40_u64)
                .map(|at| format!("{:x}", (row as u64 * 41 + at).wrapping_mul(0x9E37_79B9_7F4A_7C15)))
                .collect(),
        ),
    };
    let bytes = Bytes::from(file(&["w1", "e", "w2", "u", "w3"], 2_500, wide));
    put(&store, "in/a.parquet", bytes.clone()).await;
    // The listing, the head, and the first four bytes; then the end of the file.
    store.script_reads([
        Step::Proper,
        Step::Proper,
        Step::Cut(2),
        Step::SLOW_DOWN,
        Step::Proper,
        Step::Cut(1_000),
        Step::SLOW_DOWN,
    ]);
    let report = passed(
        &node,
        &store,
        BucketImport { max_size: u64::MAX, ..import(&node, "t", "parquet", "parquet") },
    )
    .await;
    assert_eq!(files(&report), [("done", 1)], "{report:?}");
    check_events(&node, (0..2_500).map(|row| format!("a {row}")));
    let read: u64 = store.ranges().iter().map(|range| range.len).sum();
    assert!(read < bytes.len() as u64 / 3, "{read} of {} bytes", bytes.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_read_is_an_error_of_the_file_that_needs_it() {
    let (node, store) = (node(), FakeStore::new());
    for name in ["interval", "encrypted", "pyarrow_empty"] {
        let path = Path::new(SAMPLES).join(name).with_extension("parquet");
        put(&store, &format!("in/{name}.parquet"), fs::read(path).unwrap()).await;
    }
    let text = |column: &str| {
        format!(
            r#"{{"converterConfig":{{"fileType":"parquet","convertToAmplitudeFunc":{{
                "event_type":["value","e"],"user_id":"i32","event_properties":{{"x":"{column}"}}}}}}}}"#
        )
    };
    let report = passed(&node, &store, import_as(&node, "needs", "in/", &text("iv"))).await;
    assert_eq!(files(&report), [("done", 1), ("failed", 2)], "{report:?}");
    let errors = errors(&report);
    let has = |part: &str| errors.iter().any(|(_, error)| error.contains(part));
    assert!(has("column iv has INTERVAL") && has("it is encrypted"), "{errors:?}");
    let report = passed(&node, &store, import_as(&node, "does not", "in/", &text("none"))).await;
    assert_eq!((files(&report), report.stored), (vec![("done", 2), ("failed", 1)], 40), "{report:?}");
}
