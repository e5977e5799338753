//! The result of an import: for people, as JSON, and as an exit code.

use std::io::Write;

use super::resume;
use crate::cli::failure::{self, Failure};
use crate::cli::print_json::print_json;
use crate::import::file_result::{FileResult, Results};
use crate::import::results_json::ResultsJson;
use crate::import::{FileEnd, FileFault, FileReport, TargetError};
use crate::words::{counted, grouped, outside_text};

/// The code of rows whose id another row of their file has.
const ID_TAKEN: &str = "id-taken";

/// Says what became of all files.
#[derive(Debug, Default)]
pub(super) struct Summary(pub(super) Results);

impl Summary {
    /// Prints the result as JSON.
    pub(super) fn print_json(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let ended = match self.code() {
            0 => "done",
            failure::SOME_REJECTED => "done, some rows rejected",
            failure::INTERRUPTED => "stopped",
            _ => "failed",
        };
        print_json(out, &ResultsJson::of(&self.0, ended))
    }

    /// Prints the result for people.
    pub(super) fn print(&self, out: &mut dyn Write) -> std::io::Result<()> {
        let before = self.0.sum(|result| u64::from(result.report.end == FileEnd::DoneBefore));
        let mut files = counted(self.0.results.len() as u64, "file", "files");
        if before > 0 {
            files += &format!(" ({} imported before)", grouped(before));
        }
        let calls = self.0.calls().into_iter().filter(|(_, count)| *count > 0);
        let calls: Vec<String> = calls.map(|(kind, count)| format!("{} {kind}", grouped(count))).collect();
        writeln!(out, "{files}, {}", counted(self.0.sum(FileResult::rows), "row", "rows"))?;
        if !calls.is_empty() {
            writeln!(out, "  calls:    {}", calls.join(", "))?;
        }
        let repeated = self.0.sum(|result| result.since(|progress| progress.repeats));
        if repeated > 0 {
            let equal = self.0.sum(|result| result.report.equal_rows).min(repeated);
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
        if self.0.is_stopped() {
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
