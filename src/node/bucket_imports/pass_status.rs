//! What a pass found, for people.

use crate::admin::{FileNotDone, PassFailure, PassStatus};
use crate::import::FileEnd;
use crate::import::bucket_import::{Became, NotDone, PassError, PassReport};
use crate::store::Outlook;
use crate::time::UnixMillis;
use crate::words::counted;

/// A pass that has ended.
#[derive(Debug)]
pub(super) struct Made {
    pub(super) began: UnixMillis,
    pub(super) ended: UnixMillis,
    /// Whether it was stopped before its end.
    pub(super) stopped: bool,
    pub(super) report: Result<PassReport, CannotPass>,
}

/// Why a pass could not go on.
#[derive(Debug)]
pub(super) enum CannotPass {
    /// The settings cannot be used; the text says what to do.
    Settings(String),
    /// It met this.
    Met(PassError),
}

/// What a pass of an import found. With `full`, error texts also have what files contain and stores said.
pub(super) fn pass_status(import: &str, made: &Made, full: bool) -> PassStatus {
    let status = PassStatus {
        import: import.to_owned(),
        began_ms: made.began.0,
        ended_ms: made.ended.0,
        stopped: made.stopped,
        ..PassStatus::default()
    };
    let report = match &made.report {
        Ok(report) => report,
        Err(error) => return PassStatus { failed: Some(failure(error, full)), ..status },
    };
    PassStatus {
        listed: report.listed,
        list_requests: report.list_requests,
        known: report.known,
        skipped: report.skipped.iter().map(|(why, count)| (why.slug().to_owned(), *count)).collect(),
        files: report.files.iter().map(|(became, count)| (became.slug().to_owned(), *count)).collect(),
        not_begun: report.not_begun,
        rows: report.rows,
        stored: report.stored,
        rejected: report.rejected,
        skipped_rows: report.skipped_rows,
        not_done: report.not_done.iter().map(|file| not_done(file, full)).collect(),
        ..status
    }
}

fn not_done(file: &NotDone, full: bool) -> FileNotDone {
    let NotDone { name, became, end } = file;
    FileNotDone { name: name.clone(), became: became.slug().to_owned(), error: error_of(end, full) }
}

pub(super) fn error_of(end: &FileEnd, full: bool) -> Option<String> {
    Some(match (end, full) {
        (FileEnd::Failed(error), true) => error.to_string(),
        (FileEnd::Failed(error), false) => error.masked(),
        (FileEnd::Refused(error), true) => error.to_string(),
        (FileEnd::Refused(error), false) => error.masked(),
        _ => return None,
    })
}

/// Why a pass could not go on.
pub(super) fn failure(error: &CannotPass, full: bool) -> PassFailure {
    let (kind, what) = match error {
        CannotPass::Settings(what) => ("settings", what.clone()),
        CannotPass::Met(PassError::List { bucket, prefix, cause }) => {
            let remedy = cause.reader_remedy().map_or_else(String::new, |remedy| format!("; {remedy}"));
            let told = cause.told();
            let what = format!("s3://{bucket}/{prefix} cannot be listed: {}{remedy}", told.shown(full));
            (if cause.outlook() == Outlook::Denied { "denied" } else { "refused" }, what)
        }
        CannotPass::Met(PassError::Name(error)) => ("settings", error.to_string()),
        CannotPass::Met(PassError::Journal(error)) => ("journal", error.to_string()),
    };
    PassFailure { kind: kind.to_owned(), what }
}

/// What a person must fix before more files of a pass are read: those that the store refuses.
pub(super) fn refused_files(import: &str, report: &PassReport) -> Option<String> {
    let count = report.files_that(Became::Denied) + report.files_that(Became::Refused);
    if count == 0 {
        return None;
    }
    // The report names only the first files that are not done, and those may all be others.
    let refused = |file: &&NotDone| matches!(file.became, Became::Denied | Became::Refused);
    let first = report.not_done.iter().find(refused).map_or_else(String::new, |first| {
        format!(", the first {}: {}", first.name, error_of(&first.end, false).unwrap_or_default())
    });
    Some(format!(
        "import {import} cannot read {}{first}. Allow its role or credentials to read them (s3:GetObject, and kms:Decrypt if \
         they are encrypted); each pass retries them",
        counted(count, "file", "files")
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::{FileError, FileFault};

    #[test]
    fn files_that_are_refused_are_told_of_although_the_report_does_not_name_them() {
        let mut report = PassReport::default();
        assert_eq!(refused_files("orders", &report), None);
        report.files.extend([(Became::Failed, 1_000), (Became::Denied, 2)]);
        let what = refused_files("orders", &report).unwrap();
        assert!(what.starts_with("import orders cannot read 2 files. Allow its role"), "{what}");
        let error = FileError::new(FileFault::Local, "E-DENIED", "no");
        let (name, end) = ("s3://lake/a".to_owned(), FileEnd::Failed(error));
        report.not_done.push(NotDone { name, became: Became::Denied, end });
        let what = refused_files("orders", &report).unwrap();
        assert!(
            what.starts_with("import orders cannot read 2 files, the first s3://lake/a: E-DENIED"),
            "{what}"
        );
    }
}
