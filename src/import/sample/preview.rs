//! What the first rows of files would become, for people and programs.

use serde_json::value::RawValue;

use super::field_counts::FieldCounts;
use crate::import::file_error::FileFault;

/// What the first rows of files would become.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Preview {
    /// The files that were looked at.
    pub files: Vec<PreviewedFile>,
    /// Further files that were found and not looked at, as far as they are known.
    pub files_left: usize,
    /// Rows that were read.
    pub rows: u64,
    /// Calls that they would become.
    pub calls: u64,
    /// Rows that the converter's flag would skip.
    pub skipped: u64,
    /// Rows that would be rejected.
    pub rejected: u64,
    /// The rejected rows by their codes.
    pub rejected_by_code: Vec<RejectsByCode>,
    /// Some rows, each with its calls.
    pub samples: Vec<SampleRow>,
    /// The fields of the converter, and what their values are.
    pub fields: Vec<FieldCounts>,
    /// Columns that the converter does not read.
    pub unused_columns: Vec<String>,
    /// Columns that the converter reads and no row has.
    pub missing_columns: Vec<String>,
    /// Fields of the converter that have no place in a call.
    pub unused_fields: Vec<String>,
    /// The ids of rows, if rows with equal ones are dropped.
    pub insert_ids: Option<InsertIds>,
    /// The largest call.
    pub largest_call: Option<LargestCall>,
    /// What a person should look at.
    pub warnings: Vec<String>,
}

/// A file that was looked at.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct PreviewedFile {
    /// The file's name.
    pub name: String,
    /// How the file is compressed.
    pub compression: &'static str,
    /// Rows that were read.
    pub rows: u64,
    /// Whether the file has more rows.
    pub has_more: bool,
    /// The earliest and the latest time of its calls.
    pub times: Option<(String, String)>,
    /// Why the file cannot be read, or not further.
    pub error: Option<String>,
    /// The kind of that error.
    #[serde(skip)]
    pub fault: Option<FileFault>,
}

/// Rejected rows with one code.
#[derive(Clone, Debug, serde::Serialize)]
pub struct RejectsByCode {
    /// The code.
    pub code: String,
    /// How many rows have it.
    pub rows: u64,
    /// The file of the first one.
    pub file: String,
    /// Its line, from 1.
    pub line: u64,
    /// Why it is rejected.
    pub message: String,
}

/// A row beside its calls.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SampleRow {
    /// The file's name.
    pub file: String,
    /// The row's number, from 0.
    pub row: u64,
    /// Its line, from 1.
    pub line: u64,
    /// The row as JSON; `None`: it is not one JSON object.
    pub source: Option<Box<RawValue>>,
    /// The row as text, if it is not one JSON object; cut.
    pub text: Option<String>,
    /// Its calls.
    pub calls: Vec<Box<RawValue>>,
    /// Whether the converter's flag skips the row.
    pub skipped: bool,
    /// Why the row is rejected.
    pub rejected: Option<SampleReject>,
}

/// Why a sample is rejected.
#[derive(Clone, Debug, serde::Serialize)]
pub struct SampleReject {
    /// For programs.
    pub code: String,
    /// For people.
    pub message: String,
}

/// How far the ids of rows differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct InsertIds {
    /// Rows that have one.
    pub rows: u64,
    /// Rows whose `insert_id` and `device_id` an earlier row has: they would be dropped.
    pub repeated: u64,
    /// Rows without one.
    pub without: u64,
}

/// The largest call.
#[derive(Clone, Debug, serde::Serialize)]
pub struct LargestCall {
    /// Its length, in bytes of JSON.
    pub bytes: usize,
    /// The file's name.
    pub file: String,
    /// The row's number, from 0.
    pub row: u64,
}
