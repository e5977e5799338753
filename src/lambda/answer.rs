//! What an invocation answers, once every file was tried.

use serde_json::{Value, json};

use crate::words::{counted, outside_text_within};

/// The most failures that an error names; the log has all of them.
const NAMED_MAX: usize = 100;

/// How much of a name, and of a reason, is shown, in bytes.
const SHOWN_MAX: usize = 1_100;

/// How a file ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It did not fail; this says how it ended: `done`, `done before`, `continued`, `ignored`.
    Done(&'static str),
    /// The import failed, for this reason.
    Failed(String),
    /// The invocation stopped before.
    Unfinished {
        /// The next row; `None` if the file was not opened.
        row: Option<u64>,
        /// What the import waited for, if it waited.
        why: Option<String>,
    },
}

/// What became of one file, or of a record that names none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileResult {
    /// The file, for people: `s3://bucket/key`.
    pub name: String,
    /// How the file ended.
    pub ended: Ended,
    /// Rows taken by this invocation.
    pub rows: u64,
    /// All rows of the file so far, also those of earlier invocations.
    pub all_rows: u64,
    /// Rows that are no calls, among all rows of the file so far.
    pub rejected: u64,
}

/// Files that succeed or fail together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// The id of the message that names them, in an event of a queue.
    pub message: Option<String>,
    /// What became of them.
    pub files: Vec<FileResult>,
}

impl FileResult {
    /// The result of a file or record without rows.
    pub fn unopened(name: String, ended: Ended) -> Self {
        Self { name, ended, rows: 0, all_rows: 0, rejected: 0 }
    }
}

impl Unit {
    fn failures(&self) -> impl Iterator<Item = (&FileResult, &str)> {
        self.files.iter().filter_map(|file| match &file.ended {
            Ended::Done(_) => None,
            Ended::Failed(why) => Some((file, why.as_str())),
            Ended::Unfinished { .. } => Some((file, "E-UNFINISHED: not finished")),
        })
    }
}

/// The answer to an invocation. In an event of a queue, messages that failed are named for their redelivery.
/// Errors: the text of an error that names every file that failed and why, if the files stand together.
pub fn answer(units: &[Unit]) -> Result<Value, String> {
    if units.iter().any(|unit| unit.message.is_some()) {
        let failed = units.iter().filter(|unit| unit.failures().next().is_some());
        let ids = failed.filter_map(|unit| unit.message.as_ref());
        let failed: Vec<Value> = ids.map(|id| json!({ "itemIdentifier": id })).collect();
        return Ok(json!({ "batchItemFailures": failed }));
    }
    let failures: Vec<(&FileResult, &str)> = units.iter().flat_map(Unit::failures).collect();
    if failures.is_empty() {
        let shown = |file: &FileResult| {
            let Ended::Done(ended) = file.ended else { return None };
            Some(json!({ "name": file.name, "ended": ended, "rows": file.rows, "rejected": file.rejected }))
        };
        let files: Vec<Value> = units.iter().flat_map(|unit| &unit.files).filter_map(shown).collect();
        return Ok(json!({ "files": files }));
    }
    let all: usize = units.iter().map(|unit| unit.files.len()).sum();
    let mut text = format!("{} of {} failed", failures.len(), counted(all as u64, "file", "files"));
    for (file, why) in failures.iter().take(NAMED_MAX) {
        text += &format!(
            "; {}: {}",
            outside_text_within(&file.name, SHOWN_MAX),
            outside_text_within(why, SHOWN_MAX)
        );
    }
    if failures.len() > NAMED_MAX {
        text += &format!("; and {} more, which the log names", failures.len() - NAMED_MAX);
    }
    Err(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, ended: Result<&'static str, &str>) -> FileResult {
        let ended = ended.map_or_else(|why| Ended::Failed(why.to_owned()), Ended::Done);
        FileResult { name: name.to_owned(), ended, rows: 2, all_rows: 2, rejected: 1 }
    }

    fn unit(message: Option<&str>, files: Vec<FileResult>) -> Unit {
        Unit { message: message.map(str::to_owned), files }
    }

    #[test]
    fn files_of_a_notification_fail_together_and_each_failure_is_named() {
        let good = file("s3://b/good.csv", Ok("done"));
        let answered = answer(&[unit(None, vec![good.clone()])]);
        let said =
            json!({ "files": [{ "name": "s3://b/good.csv", "ended": "done", "rows": 2, "rejected": 1 }] });
        assert_eq!(answered, Ok(said));
        let (one, two) = (file("s3://b/1.csv", Err("E-X: one")), file("s3://b/2.csv", Err("E-Y: two")));
        let error = answer(&[unit(None, vec![one, good, two])]).unwrap_err();
        assert_eq!(error, "2 of 3 files failed; s3://b/1.csv: E-X: one; s3://b/2.csv: E-Y: two");
        let many = vec![file("s3://b/1.csv", Err("E-X")); 102];
        assert!(answer(&[unit(None, many)]).unwrap_err().ends_with("; and 2 more, which the log names"));
        assert_eq!(answer(&[unit(None, Vec::new())]), Ok(json!({ "files": [] })));
    }

    #[test]
    fn messages_of_a_queue_fail_alone() {
        let bad = || file("s3://b/bad.csv", Err("E-X"));
        let good = || file("s3://b/good.csv", Ok("done"));
        let check = |units: &[Unit], failed: &[&str]| {
            let failed: Vec<_> = failed.iter().map(|id| json!({ "itemIdentifier": id })).collect();
            assert_eq!(answer(units), Ok(json!({ "batchItemFailures": failed })));
        };
        let one = |files| unit(Some("1"), files);
        check(&[one(vec![good()]), unit(Some("2"), vec![good(), bad()])], &["2"]);
        check(&[one(vec![bad(), bad()])], &["1"]);
        check(&[one(vec![good()])], &[]);
    }
}
