use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use ::parquet::data_type::Int32Type;
use ::parquet::file::writer::SerializedFileWriter;
use ::parquet::schema::parser::parse_message_type;
use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::convert::{Columns, Row};
use crate::import::file_error::{FileError, FileFault};
use crate::import::reading::ReadingError;

/// Files of pyarrow and DuckDB, each beside what pyarrow reads of it:
/// `tests/suite/import/parquet_samples.py`.
fn sample(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/suite/import/samples/parquet").join(name)
}

fn bytes_of(name: &str) -> Bytes {
    fs::read(sample(name)).unwrap().into()
}

fn opened(bytes: Bytes, columns: &Columns) -> Result<ParquetRows, ParquetFault> {
    ParquetRows::open(Box::new(bytes), columns)
}

/// All columns of a file.
fn all(bytes: &Bytes) -> Result<Columns, ParquetFault> {
    let rows = opened(bytes.clone(), &Columns::default())?;
    Ok(rows.names().collect())
}

/// The rows that are left, each as JSON, or as the code of its reject.
fn lines(rows: &mut ParquetRows, columns: &Columns) -> Result<Vec<String>, ParquetFault> {
    let mut lines = Vec::new();
    let mut spare = Row::new(columns);
    loop {
        let mut row = spare.cleared();
        let read = rows.read(&mut row)?;
        match &read {
            RowRead::End => return Ok(lines),
            RowRead::Rejected(reject) => lines.push(reject.code.to_owned()),
            RowRead::Row => {
                let mut line = Vec::new();
                for (slot, name) in columns.names().enumerate() {
                    let Some(value) = row.get(slot) else { continue };
                    line.extend(if line.is_empty() { b"{" } else { b"," });
                    line.extend(serde_json::to_vec(name).unwrap());
                    line.push(b':');
                    value.write(&mut line);
                }
                lines.push(if line.is_empty() {
                    "{}".into()
                } else {
                    String::from_utf8(line).unwrap() + "}"
                });
            }
        }
        spare = row.cleared();
    }
}

fn all_lines(bytes: &Bytes) -> Result<Vec<String>, ParquetFault> {
    let columns = all(bytes)?;
    lines(&mut opened(bytes.clone(), &columns)?, &columns)
}

fn said(fault: ParquetFault) -> String {
    FileError::from(fault).to_string()
}

#[test]
fn every_sample_is_read_as_pyarrow_reads_it() {
    let mut count = 0;
    for file in fs::read_dir(sample("")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "ndjson") {
            continue;
        }
        let expected = fs::read_to_string(&path).unwrap();
        let bytes = Bytes::from(fs::read(path.with_extension("parquet")).unwrap());
        let found = all_lines(&bytes).unwrap();
        for (row, (found, expected)) in found.iter().zip(expected.lines()).enumerate() {
            assert_eq!(found, expected, "row {row} of {}", path.display());
        }
        assert_eq!(found.len(), expected.lines().count());
        count += 1;
    }
    assert!(count >= 12, "{count} samples");
}

#[test]
fn rows_are_passed_over_from_any_place_to_any_other() {
    for name in ["pyarrow_zstd.parquet", "pyarrow_brotli.parquet", "duckdb_V1.parquet"] {
        let bytes = bytes_of(name);
        let (columns, whole) = (all(&bytes).unwrap(), all_lines(&bytes).unwrap());
        let mut at = BTreeSet::from([0, 1, 16, 17, 18, 34, 39, 40, 41]);
        at.extend([33, 35]);
        for skipped in &at {
            let mut rows = opened(bytes.clone(), &columns).unwrap();
            assert_eq!(rows.skip(*skipped).unwrap(), (*skipped).min(40));
            assert_eq!(rows.position(), (*skipped).min(40));
            let found = lines(&mut rows, &columns).unwrap();
            assert_eq!(found, whole[usize::try_from(*skipped).unwrap().min(40)..], "{name} from {skipped}");
            // After a row was read, within its batch and beyond.
            let mut rows = opened(bytes.clone(), &columns).unwrap();
            rows.read(&mut Row::new(&columns)).unwrap();
            rows.skip(*skipped).unwrap();
            let found = lines(&mut rows, &columns).unwrap();
            assert_eq!(found, whole[usize::try_from(skipped + 1).unwrap().min(40)..], "{name} 1 + {skipped}");
        }
    }
}

#[test]
fn needed_columns_are_found_by_name_and_others_are_missing() {
    let bytes = bytes_of("pyarrow_none.parquet");
    let columns: Columns = ["s", "other", "b"].into_iter().collect();
    let mut rows = opened(bytes.clone(), &columns).unwrap();
    assert_eq!((rows.len(), rows.is_empty()), (40, false));
    let mut row = Row::new(&columns);
    assert_eq!(rows.read(&mut row).unwrap(), RowRead::Row);
    assert_eq!((row.get(0).is_some(), row.get(1), row.get(2).is_some()), (true, None, true));
    // Without a needed column, rows are still counted.
    let none: Columns = ["other"].into_iter().collect();
    let mut rows = opened(bytes, &none).unwrap();
    assert_eq!(lines(&mut rows, &none).unwrap(), vec!["{}"; 40]);
}

#[test]
fn what_cannot_be_read_is_refused_only_if_it_is_needed() {
    let bytes = bytes_of("interval.parquet");
    let needed: Columns = ["i32"].into_iter().collect();
    assert_eq!(lines(&mut opened(bytes.clone(), &needed).unwrap(), &needed).unwrap().len(), 40);
    assert_eq!(
        said(all_lines(&bytes).unwrap_err()),
        "E-PARQUET-TYPE: the parquet file cannot be read: column iv has INTERVAL, which cannot be read"
    );
    let encrypted = said(opened(bytes_of("encrypted.parquet"), &needed).unwrap_err());
    assert!(encrypted.ends_with("it is encrypted; write it without encryption"), "{encrypted}");
}

/// The last column of a name counted, whatever the others had. Nothing says which one is meant.
#[test]
fn several_columns_of_a_name_are_refused_only_if_it_is_needed() {
    let text = "message m { required int32 a; required int32 b; required int32 a; required int32 a; }";
    let mut bytes = Vec::new();
    let schema = Arc::new(parse_message_type(text).unwrap());
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut value = 0;
    while let Some(mut column) = group.next_column().unwrap() {
        value += 1;
        column.typed::<Int32Type>().write_batch(&[value], None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    let (bytes, other): (Bytes, Columns) = (bytes.into(), ["b"].into_iter().collect());
    assert_eq!(lines(&mut opened(bytes.clone(), &other).unwrap(), &other).unwrap(), ["{\"b\":2}"]);
    let needed: Columns = ["b", "a"].into_iter().collect();
    let says = "E-PARQUET-DUPCOL: the parquet file cannot be read: the file has 3 columns \"a\", and the converter reads it: \
                give each of them a name of its own";
    assert_eq!(said(opened(bytes.clone(), &needed).unwrap_err()), says);
    let whole = |needed| ParquetRows::open_whole(Box::new(bytes.clone()), needed);
    assert_eq!(said(whole(&needed).unwrap_err()), says);
    // A preview says so of columns that the converter does not read.
    let WholeRows { mut rows, columns, unread } = whole(&other).unwrap();
    assert_eq!(unread, ["the file has 3 columns \"a\""]);
    assert_eq!(lines(&mut rows, &columns).unwrap(), ["{\"b\":2}"]);
}

/// The last member counted.
#[test]
fn a_struct_with_two_members_of_a_name_is_refused_only_if_it_is_needed() {
    let text = "message m { required int32 b; required group a { required group c { required int32 x; required int32 x; } } }";
    let mut bytes = Vec::new();
    let schema = Arc::new(parse_message_type(text).unwrap());
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    while let Some(mut column) = group.next_column().unwrap() {
        column.typed::<Int32Type>().write_batch(&[2], None, None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.close().unwrap();
    let (bytes, other): (Bytes, Columns) = (bytes.into(), ["b"].into_iter().collect());
    assert_eq!(lines(&mut opened(bytes.clone(), &other).unwrap(), &other).unwrap(), ["{\"b\":2}"]);
    let needed: Columns = ["a"].into_iter().collect();
    let says = "E-PARQUET-DUPCOL: the parquet file cannot be read: column a has several members of one name: give each of \
                them a name of its own";
    assert_eq!(said(opened(bytes, &needed).unwrap_err()), says);
}

#[test]
fn numbers_that_json_does_not_have_are_counted() {
    let bytes = bytes_of("pyarrow_zstd.parquet");
    let columns: Columns = ["f64"].into_iter().collect();
    let mut rows = opened(bytes, &columns).unwrap();
    let nulls = lines(&mut rows, &columns).unwrap().iter().filter(|line| line.contains("null")).count();
    assert!(rows.not_in_json() > 0 && rows.not_in_json() < nulls as u64);
}

#[test]
fn a_file_that_is_cut_off_is_an_error() {
    let bytes = bytes_of("pyarrow_gzip.parquet");
    for len in 0..bytes.len() {
        let cut = bytes.slice(..len);
        assert!(said(all_lines(&cut).unwrap_err()).starts_with("E-PARQUET: "), "{len}");
    }
}

/// Every sample, with one bit flipped in each of 100 places and in each of the last 100 bytes.
#[test]
fn a_flipped_bit_anywhere_gives_an_error_or_as_many_rows() {
    let (mut read, mut refused) = (0, 0);
    for file in fs::read_dir(sample("")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "parquet") {
            continue;
        }
        let whole = fs::read(&path).unwrap();
        let rows = whole_rows(&Bytes::from(whole.clone())).map(|rows| rows.len()).ok();
        let step = whole.len().div_ceil(100);
        let places = (0..whole.len()).step_by(step).chain(whole.len().saturating_sub(100)..whole.len());
        for (number, at) in places.enumerate() {
            let mut flipped = whole.clone();
            flipped[at] ^= 1 << (number % 8);
            match whole_rows(&flipped.into()) {
                Ok(found) => {
                    assert_eq!(Some(found.len()), rows, "{} with byte {at} flipped", path.display());
                    read += 1;
                }
                Err(fault) => {
                    assert!(said(fault).starts_with("E-PARQUET"), "{} {at}", path.display());
                    refused += 1;
                }
            }
        }
    }
    assert!(read > 300 && refused > 300, "{read} {refused}");
}

/// The rows with all columns that can be read.
fn whole_rows(bytes: &Bytes) -> Result<Vec<String>, ParquetFault> {
    let WholeRows { mut rows, columns, .. } =
        ParquetRows::open_whole(Box::new(bytes.clone()), &Columns::default())?;
    lines(&mut rows, &columns)
}

#[test]
fn a_page_that_claims_too_many_bytes_is_refused_before_they_are_reserved() {
    let mut bytes = bytes_of("pyarrow_none.parquet").to_vec();
    // The first page: its type, and its bytes as a number of five digits of seven bits.
    assert_eq!(bytes[4..6], [0x15, 0]);
    let columns: Columns = ["b"].into_iter().collect();
    let claim = [0x15, 0, 0x15, 0xFE, 0xFF, 0xFF, 0xFF, 0x0F];
    bytes[4..4 + claim.len()].copy_from_slice(&claim);
    let mut rows = opened(bytes.into(), &columns).unwrap();
    let refused = said(lines(&mut rows, &columns).unwrap_err());
    assert!(refused.contains("a page of it has 2,147,483,647 bytes, and at most 134,217,728"), "{refused}");
    // An error is no end.
    assert!(said(lines(&mut rows, &columns).unwrap_err()).contains("an earlier part of it"));
    assert!(said(rows.skip(1).unwrap_err()).contains("an earlier part of it"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn flipped_bits_never_lose_rows_in_silence(
        file in 0_usize..4,
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0_u32..8, any::<bool>()), 1..4),
    ) {
        let name = ["pyarrow_zstd", "pyarrow_none", "pyarrow_delta_1", "duckdb_V2"][file];
        let mut bytes = bytes_of(&format!("{name}.parquet")).to_vec();
        for (at, bit, in_footer) in flips {
            let len = bytes.len();
            let from = if in_footer { len - len.min(2_000) } else { 0 };
            bytes[from + at.index(len - from)] ^= 1 << bit;
        }
        let bytes = Bytes::from(bytes);
        if let Ok(found) = all_lines(&bytes) {
            prop_assert_eq!(found.len(), 40);
            for line in found.iter().filter(|line| line.starts_with('{')) {
                serde_json::from_str::<serde::de::IgnoredAny>(line).unwrap();
            }
        }
    }
}

/// A store that fails, and one that fails after the footer was read.
#[test]
fn a_failure_of_the_store_keeps_its_reason() {
    #[derive(Debug)]
    struct Failing(Bytes, u64);
    impl Ranges for Failing {
        fn size(&self) -> u64 {
            self.0.len() as u64
        }

        fn read(&self, from: u64, len: usize) -> io::Result<Bytes> {
            if from < self.1 {
                return Err(ReadingError::Changed.into());
            }
            Ranges::read(&self.0, from, len)
        }

        fn read_all(&self, wanted: &[(u64, usize)]) -> io::Result<Vec<Bytes>> {
            // Nothing is read ahead, so that the failure comes while a page is decoded.
            Ok(vec![Bytes::new(); wanted.len()])
        }
    }
    let bytes = bytes_of("pyarrow_none.parquet");
    let columns = all(&bytes).unwrap();
    let changed = |fault: ParquetFault| FileError::from(fault).fault == FileFault::Changed;
    assert!(changed(ParquetRows::open(Box::new(Failing(bytes.clone(), u64::MAX)), &columns).unwrap_err()));
    let failing = Failing(Bytes::from([vec![0; 200_000], bytes.to_vec()].concat()), 60_000);
    // The places in the footer are those of the file without what stands before it.
    let mut rows = ParquetRows::open(Box::new(failing), &columns).unwrap();
    assert!(changed(lines(&mut rows, &columns).unwrap_err()));
}

#[test]
fn lists_and_maps_have_several_forms() {
    let check = |field: &str, expected: &str| {
        let schema = parse_message_type(&format!("message m {{ {field} }}")).unwrap();
        let found = match shape::shape_of(&schema.get_fields()[0]) {
            Ok((node, kinds)) => {
                assert_eq!(node.leaves, 0..kinds.len());
                shown(&node)
            }
            Err(what) => what,
        };
        assert_eq!(found, expected, "{field}");
    };
    check("required int32 a;", "v0");
    check("optional int32 a;", "v1");
    check("repeated int32 a;", "[v1]0/1/1");
    check("optional group a (LIST) { repeated group list { optional int32 element; } }", "[v3]1/2/1");
    check("required group a (LIST) { repeated int32 element; }", "[v1]0/1/1");
    check("optional group a (LIST) { repeated group array { required int32 x; } }", "[{v2}2]1/2/1");
    check("optional group a (LIST) { repeated group a_tuple { required int32 x; } }", "[{v2}2]1/2/1");
    check(
        "optional group a (LIST) { repeated group e { required int32 x; required int32 y; } }",
        "[{v2v2}2]1/2/1",
    );
    check(
        "optional group a (LIST) { repeated group array (LIST) { repeated int32 array; } }",
        "[[v3]2/3/2]1/2/1",
    );
    check(
        "required group a (MAP) { repeated group k { required int32 key; optional int32 value; } }",
        "<v1v2>0/1/1",
    );
    check(
        "optional group a (MAP_KEY_VALUE) { repeated group map { required binary k (UTF8); } }",
        "<v2>1/2/1",
    );
    check("optional group a { optional group b { required int32 c; } }", "{{v2}2}1");
    check("required group a { required fixed_len_byte_array(12) i (INTERVAL); }", "INTERVAL");
    check(
        "required group a (MAP) { repeated group k { required group key { required int32 x; } } }",
        "a map whose keys are lists or structs",
    );
    let deep = (0..65)
        .fold("required int32 x;".to_owned(), |within, at| format!("required group g{at} {{ {within} }}"));
    check(&deep, "values nested deeper than 64 levels");
}

fn shown(node: &shape::Node) -> String {
    let levels =
        |repeated: &shape::Repeated| format!("{}/{}/{}", node.present, repeated.some, repeated.again);
    match &node.form {
        shape::Form::Leaf => format!("v{}", node.present),
        shape::Form::Struct(members) => {
            let members: String = members.iter().map(|(_, member)| shown(member)).collect();
            format!("{{{members}}}{}", node.present)
        }
        shape::Form::List(repeated, element) => format!("[{}]{}", shown(element), levels(repeated)),
        shape::Form::Map(repeated, key, value) => {
            let value = value.as_ref().map_or(String::new(), |value| shown(value));
            format!("<{}{value}>{}", shown(key), levels(repeated))
        }
    }
}

#[test]
fn readers_may_move_between_threads() {
    fn check<T: Send>() {}
    check::<ParquetRows>();
    check::<Arc<dyn Ranges>>();
}
