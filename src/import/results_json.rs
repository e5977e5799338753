//! The result of an import as JSON.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::file_result::{FileResult, Results};
use super::run::FileEnd;
use crate::sources::SourceId;

/// What became of all files, with sums.
#[derive(Debug, serde::Serialize)]
pub struct ResultsJson<'a> {
    files: Vec<JsonFile<'a>>,
    rows: u64,
    calls: BTreeMap<String, u64>,
    rejected: u64,
    repeated: u64,
    not_begun: u64,
    ended: &'static str,
}

#[derive(Debug, serde::Serialize)]
struct JsonFile<'a> {
    name: &'a str,
    ended: &'static str,
    source: Option<&'a str>,
    #[serde(rename = "type")]
    kind: Option<&'a str>,
    rows: u64,
    stored: u64,
    repeated: u64,
    /// Repeated rows that equal an earlier row of the file with the same id.
    equal_rows: u64,
    rejected: u64,
    /// Rows that were rejected in this run, by error code.
    rejected_by_code: BTreeMap<String, u64>,
    refused: u64,
    rows_before: u64,
    rejects: Option<&'a PathBuf>,
    rejects_uploaded: Option<&'a str>,
    other_options: bool,
    /// What was imported of an earlier version of the file.
    note: Option<&'a str>,
    error: Option<JsonError>,
}

#[derive(Debug, serde::Serialize)]
struct JsonError {
    code: String,
    message: String,
}

fn error_of(result: &FileResult) -> Option<JsonError> {
    let (code, message) = match &result.report.end {
        FileEnd::Failed(error) => (error.code.clone(), error.message.full().to_owned()),
        FileEnd::Refused(error) => ("E-REFUSED".to_owned(), error.to_string()),
        _ => return None,
    };
    Some(JsonError { code, message })
}

fn json_of(result: &FileResult) -> JsonFile<'_> {
    let FileResult { report, kind, uploaded, note } = result;
    JsonFile {
        name: &report.name,
        ended: result.ended(),
        source: report.source.as_ref().map(SourceId::as_str),
        kind: kind.as_deref(),
        rows: result.rows(),
        stored: result.since(|progress| progress.stored),
        repeated: result.since(|progress| progress.repeats),
        equal_rows: report.equal_rows,
        rejected: result.since(|progress| progress.rejected),
        rejected_by_code: result.by_code().map(|rows| (rows.code, rows.count)).collect(),
        refused: result.since(|progress| progress.refused),
        rows_before: report.before.next_row,
        rejects: report.rejects.as_ref(),
        rejects_uploaded: uploaded.as_deref(),
        other_options: report.other_options,
        note: note.as_deref(),
        error: error_of(result),
    }
}

impl<'a> ResultsJson<'a> {
    /// The results, which `ended` in these words.
    pub fn of(of: &'a Results, ended: &'static str) -> Self {
        Self {
            files: of.results.iter().map(json_of).collect(),
            rows: of.sum(FileResult::rows),
            calls: of.calls(),
            rejected: of.sum(|result| {
                result.since(|progress| progress.rejected) + result.since(|progress| progress.refused)
            }),
            repeated: of.sum(|result| result.since(|progress| progress.repeats)),
            not_begun: of.not_begun,
            ended,
        }
    }
}
