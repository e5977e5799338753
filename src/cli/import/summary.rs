//! The result of an import: for people, as JSON, and as an exit code.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use super::resume;
use crate::cli::failure::{self, Failure};
use crate::cli::print_json::print_json;
use crate::import::file_result::{FileResult, Results};
use crate::import::{FileEnd, FileFault, FileReport, TargetError};
use crate::words::{counted, grouped, outside_text};

/// The code of rows whose id another row of their file has.
const ID_TAKEN: &str = "id-taken";

/// The whole result as JSON.
#[derive(serde::Serialize)]
struct Json<'a> {
    files: Vec<JsonFile<'a>>,
    rows: u64,
    calls: BTreeMap<String, u64>,
    rejected: u64,
    repeated: u64,
    not_begun: u64,
    ended: &'static str,
}

#[derive(serde::Serialize)]
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

#[derive(serde::Serialize)]
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
        source: report.source.as_ref().map(crate::sources::SourceId::as_str),
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

/// Says what became of all files.
#[derive(Debug, Default)]
pub(super) struct Summary(pub(super) Results);

impl Summary {
    fn sum(&self, of: impl Fn(&FileResult) -> u64) -> u64 {
        self.0.results.iter().map(of).sum()
    }

    fn calls(&self) -> BTreeMap<String, u64> {
        let mut calls = BTreeMap::new();
        for result in &self.0.results {
            if let Some(kind) = &result.kind {
                *calls.entry(kind.clone()).or_default() += result.since(|progress| progress.stored);
            }
        }
        calls
    }

    /// Whether the import was stopped before its end.
    pub(super) fn is_stopped(&self) -> bool {
        self.0.not_begun > 0 || self.0.results.iter().any(|result| result.report.end == FileEnd::Stopped)
    }

    /// Prints the result as JSON.
    pub(super) fn print_json(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let json = Json {
            files: self.0.results.iter().map(json_of).collect(),
            rows: self.sum(FileResult::rows),
            calls: self.calls(),
            rejected: self.sum(|result| {
                result.since(|progress| progress.rejected) + result.since(|progress| progress.refused)
            }),
            repeated: self.sum(|result| result.since(|progress| progress.repeats)),
            not_begun: self.0.not_begun,
            ended: match self.code() {
                0 => "done",
                failure::SOME_REJECTED => "done, some rows rejected",
                failure::INTERRUPTED => "stopped",
                _ => "failed",
            },
        };
        print_json(out, &json)
    }

    /// Prints the result for people.
    pub(super) fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let before = self.sum(|result| u64::from(result.report.end == FileEnd::DoneBefore));
        let mut files = counted(self.0.results.len() as u64, "file", "files");
        if before > 0 {
            files += &format!(" ({} imported before)", grouped(before));
        }
        let calls = self.calls().into_iter().filter(|(_, count)| *count > 0);
        let calls: Vec<String> = calls.map(|(kind, count)| format!("{} {kind}", grouped(count))).collect();
        writeln!(out, "{files}, {}", counted(self.sum(FileResult::rows), "row", "rows"))?;
        if !calls.is_empty() {
            writeln!(out, "  calls:    {}", calls.join(", "))?;
        }
        let repeated = self.sum(|result| result.since(|progress| progress.repeats));
        if repeated > 0 {
            let equal = self.sum(|result| result.report.equal_rows).min(repeated);
            let before = repeated - equal;
            let why = match (equal, before) {
                (0, _) => "stored before, not stored again".to_owned(),
                (_, 0) => "equal to an earlier row with the same id, stored once".to_owned(),
                (equal, before) => format!(
                    "{} equal to an earlier row with the same id, {} stored before; not stored again",
                    grouped(equal),
                    grouped(before)
                ),
            };
            writeln!(out, "  repeated: {} ({why})", grouped(repeated))?;
        }
        for result in &self.0.results {
            let FileReport { name, progress, rejects, end, .. } = &result.report;
            let place = rejects.as_ref().map_or_else(String::new, |path| format!(": {}", path.display()));
            let copy = result.uploaded.as_ref().map_or_else(String::new, |url| format!(" and {url}"));
            let when = if *end == FileEnd::DoneBefore { " (before)" } else { "" };
            let rejected = match progress.rejected {
                0 if rejects.is_none() => continue,
                // The rejected rows stopped the file before a step was stored, so they are not counted.
                0 => "rows".to_owned(),
                rows => grouped(rows),
            };
            writeln!(out, "  rejected: {rejected} of {}{when}{place}{copy}", outside_text(name))?;
        }
        for result in &self.0.results {
            for taken in result.by_code().filter(|rows| rows.code == ID_TAKEN) {
                writeln!(
                    out,
                    "            {} of them {}: an earlier row has the same id and other values, and rows with one id \
                     are one call; give each an id of its own, or import without --id-from column",
                    grouped(taken.count),
                    taken.code
                )?;
            }
        }
        for result in self.0.results.iter().filter(|result| result.report.progress.refused > 0) {
            let of = &result.report;
            writeln!(
                out,
                "  refused:  {} of {}: the collector's limits are tighter, such as max_event; the rows are below \
                 segment-logs/_rejected/, each with its reason",
                grouped(of.progress.refused),
                outside_text(&of.name)
            )?;
        }
        for result in &self.0.results {
            let name = outside_text(&result.report.name);
            if let Some(note) = &result.note {
                writeln!(out, "  note:     {name}: {note}")?;
            }
            match &result.report.end {
                FileEnd::Failed(error) => writeln!(out, "  failed:   {name}: {error}")?,
                FileEnd::Refused(error) => writeln!(out, "  failed:   {name}: {error}")?,
                FileEnd::Stopped => {
                    let rows = counted(result.report.progress.next_row, "row", "rows");
                    writeln!(out, "  stopped:  {name} after {rows}")?;
                }
                FileEnd::DoneBefore if result.report.other_options => writeln!(
                    out,
                    "  note:     {name} was imported before with other options; --force imports it again with these"
                )?,
                FileEnd::Done | FileEnd::DoneBefore | FileEnd::RangeDone => {}
            }
        }
        if self.0.not_begun > 0 {
            writeln!(out, "  stopped:  {} not begun", counted(self.0.not_begun, "file", "files"))?;
        }
        Ok(())
    }

    /// The exit code.
    fn code(&self) -> u8 {
        if self.is_stopped() {
            // The person who stopped the import knows that it is not complete, and the files that failed are
            // listed.
            return failure::INTERRUPTED;
        }
        let of_file = |result: &FileResult| match &result.report.end {
            FileEnd::Failed(error) if error.fault == FileFault::Denied => failure::DENIED,
            FileEnd::Refused(TargetError::Denied(_)) => failure::DENIED,
            FileEnd::Refused(TargetError::NoSource(_)) => failure::WRONG_USAGE,
            FileEnd::Failed(_) | FileEnd::Refused(_) => failure::FAILED,
            end if result.rejected() > 0 && *end != FileEnd::DoneBefore => failure::SOME_REJECTED,
            _ => 0,
        };
        let codes: Vec<u8> = self.0.results.iter().map(of_file).collect();
        let worst_first = [failure::DENIED, failure::WRONG_USAGE, failure::FAILED, failure::SOME_REJECTED];
        worst_first.into_iter().find(|code| codes.contains(code)).unwrap_or(0)
    }

    /// The failure that the command ends with, if any. The text says what to do.
    pub(super) fn failure(&self) -> Option<Failure> {
        let text = match self.code() {
            0 => return None,
            failure::SOME_REJECTED if self.0.results.iter().any(|result| result.report.rejects.is_some()) => {
                "some rows were rejected; correct them in the files above, and run `forebay import \
                 retry-rejects FILE`"
                    .to_owned()
            }
            failure::SOME_REJECTED => "some rows were refused by the collector".to_owned(),
            failure::INTERRUPTED => return Some(resume::stopped()),
            failure::DENIED => "access denied".to_owned(),
            _ => "some files were not imported".to_owned(),
        };
        Some(Failure::with_code(self.code(), text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::FileError;

    fn result(end: FileEnd) -> FileResult {
        let mut result = FileResult::not_opened("track_1.csv".to_owned(), end);
        result.kind = Some("track".to_owned());
        result
    }

    fn summary(result: FileResult) -> Summary {
        Summary(Results { results: vec![result], not_begun: 0 })
    }

    fn printed(summary: &Summary) -> String {
        let mut out = Vec::new();
        summary.print(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_file_that_failed_because_of_rejected_rows_names_their_file() {
        let mut failed = result(FileEnd::Failed(FileError::content("E-ROWS", "1 of 1 rows are rejected")));
        failed.report.rejects = Some("state/rejects/x.ndjson".into());
        assert_eq!(
            printed(&summary(failed)),
            "1 file, 0 rows\n  rejected: rows of track_1.csv: state/rejects/x.ndjson\n  failed:   track_1.csv: E-ROWS: \
             1 of 1 rows are rejected\n"
        );
    }

    #[test]
    fn whatever_else_happened_a_signal_is_exit_130() {
        let failed = || result(FileEnd::Failed(FileError::content("E-CSV-HEADER", "why")));
        assert_eq!(summary(failed()).code(), failure::FAILED);
        let stopped = Summary(Results { results: vec![failed(), result(FileEnd::Stopped)], not_begun: 0 });
        assert_eq!(stopped.code(), failure::INTERRUPTED);
        let between = Summary(Results { results: vec![result(FileEnd::Done)], not_begun: 2 });
        assert_eq!(between.code(), failure::INTERRUPTED);
        assert_eq!(printed(&between), "1 file, 0 rows\n  stopped:  2 files not begun\n");
        assert_eq!(summary(result(FileEnd::Done)).code(), 0);
    }

    #[test]
    fn options_that_were_not_applied_are_noted() {
        let mut before = result(FileEnd::DoneBefore);
        assert_eq!(printed(&summary(result(FileEnd::DoneBefore))), "1 file (1 imported before), 0 rows\n");
        before.report.other_options = true;
        assert!(
            printed(&summary(before)).contains("track_1.csv was imported before with other options; --force")
        );
    }
}
