//! What an invocation by a job of S3 Batch Operations answers: a result for each task.

use serde_json::{Value, json};

use super::answer::{Ended, FileResult};
use crate::import::notifications::{BatchEvent, BatchTask, IMPORTED_BEFORE, nothing_text, rows_text};
use crate::words::{grouped, outside_text_within};

/// How much of a text is answered, in bytes: less than a report keeps, so that its end is not lost.
const TEXT_MAX: usize = 1_000;

/// How one task ended. The texts stand in the report of the job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TaskEnd {
    /// Its object is imported.
    Succeeded(String),
    /// It may succeed later.
    Temporary(String),
    /// It fails however often it is tried.
    Permanent(String),
}

/// How the task ended whose object has these files. `goes_on`: what is not finished goes on where it stopped.
pub fn task_end(files: &[FileResult], goes_on: bool) -> TaskEnd {
    let named = |file: &FileResult, why: &str| match files {
        [_] => why.to_owned(),
        _ => format!("{}: {why}", file.name),
    };
    for file in files {
        if let Ended::Failed(why) = &file.ended {
            return TaskEnd::Permanent(named(file, why));
        }
    }
    for file in files {
        let Ended::Unfinished { row, why } = &file.ended else { continue };
        let at =
            row.map_or_else(|| "before its first row".to_owned(), |row| format!("at row {}", grouped(row)));
        return match (why, goes_on) {
            (Some(why), _) => {
                TaskEnd::Temporary(named(file, &format!("E-UNFINISHED: it waited {at}: {why}")))
            }
            (None, true) => {
                let what = format!("E-UNFINISHED: its time was over {at}; it goes on there");
                TaskEnd::Temporary(named(file, &what))
            }
            (None, false) => {
                let what = format!(
                    "E-UNFINISHED: its time was over {at}, and each try begins at the first row: set FOREBAY_JOURNAL, \
                     or give the function a longer timeout"
                );
                TaskEnd::Permanent(named(file, &what))
            }
        };
    }
    let ended = |file: &FileResult| match file.ended {
        Ended::Done(how) => how,
        Ended::Failed(_) | Ended::Unfinished { .. } => "",
    };
    let all = |how: &str| files.iter().all(|file| ended(file) == how);
    TaskEnd::Succeeded(match files.first().map(ended) {
        None => nothing_text("it has no files"),
        Some("done before") if all("done before") => nothing_text(IMPORTED_BEFORE),
        Some(how @ ("ignored" | "missing")) if all(how) => nothing_text(how),
        Some(_) => rows_text(
            files.iter().map(|file| file.all_rows).sum(),
            files.iter().map(|file| file.rejected).sum(),
        ),
    })
}

/// The answer to an event whose tasks ended like this.
pub fn batch_answer(event: &BatchEvent, ends: &[TaskEnd]) -> Value {
    let result = |(task, end): (&BatchTask, &TaskEnd)| {
        let (code, text) = match end {
            TaskEnd::Succeeded(text) => ("Succeeded", text),
            TaskEnd::Temporary(text) => ("TemporaryFailure", text),
            TaskEnd::Permanent(text) => ("PermanentFailure", text),
        };
        let text = outside_text_within(text, TEXT_MAX).to_string();
        json!({ "taskId": task.id, "resultCode": code, "resultString": text })
    };
    json!({
        "invocationSchemaVersion": event.schema,
        "treatMissingKeysAs": "PermanentFailure",
        "invocationId": event.invocation,
        "results": event.tasks.iter().zip(ends).map(result).collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(ended: Ended, all_rows: u64, rejected: u64) -> FileResult {
        FileResult { name: "s3://b/f.zip!1.csv".to_owned(), ended, rows: 1, all_rows, rejected }
    }

    fn unfinished(row: Option<u64>, why: Option<&str>) -> FileResult {
        file(Ended::Unfinished { row, why: why.map(str::to_owned) }, 5, 0)
    }

    #[test]
    fn a_task_ends_as_its_files_do() {
        let done = |how: &'static str| file(Ended::Done(how), 5, 2);
        let failed = || file(Ended::Failed("E-CSV-HEADER: no".to_owned()), 0, 0);
        let check = |files: &[FileResult], goes_on: bool, expected: TaskEnd| {
            assert_eq!(task_end(files, goes_on), expected, "{files:?}");
        };
        let said = |text: &str| TaskEnd::Succeeded(text.to_owned());
        check(&[done("done")], false, said("rows=5 rejected=2"));
        check(&[done("done"), done("done before")], false, said("rows=10 rejected=4"));
        check(&[done("done before"), done("done")], false, said("rows=10 rejected=4"));
        check(&[done("done before"), done("done before")], false, said("rows=0 (imported before)"));
        check(&[done("ignored")], false, said("rows=0 (ignored)"));
        check(&[done("missing")], false, said("rows=0 (missing)"));
        check(&[failed()], true, TaskEnd::Permanent("E-CSV-HEADER: no".to_owned()));
        let named = TaskEnd::Permanent("s3://b/f.zip!1.csv: E-CSV-HEADER: no".to_owned());
        check(&[unfinished(None, None), done("done"), failed()], true, named);
    }

    #[test]
    fn what_is_not_finished_is_tried_again_if_that_helps() {
        let text = |file: FileResult, goes_on: bool| match task_end(&[file], goes_on) {
            TaskEnd::Temporary(text) => format!("temporary {text}"),
            other => format!("{other:?}"),
        };
        assert_eq!(
            text(unfinished(Some(1_200), None), true),
            "temporary E-UNFINISHED: its time was over at row 1,200; it goes on there"
        );
        assert!(text(unfinished(Some(1_200), None), false).starts_with("Permanent(\"E-UNFINISHED: "));
        // What it waited for may pass, with a journal or without one.
        for goes_on in [true, false] {
            assert_eq!(
                text(unfinished(None, Some("503 SlowDown")), goes_on),
                "temporary E-UNFINISHED: it waited before its first row: 503 SlowDown"
            );
        }
    }

    #[test]
    fn every_task_of_an_event_has_its_result() {
        let task = |id: &str| BatchTask { id: id.to_owned(), object: Err(String::new()) };
        let tasks = vec![task("1"), task("2"), task("3")];
        let event = BatchEvent { schema: "2.0".to_owned(), invocation: "i".to_owned(), tasks };
        let ends = [
            TaskEnd::Succeeded(rows_text(3, 1)),
            TaskEnd::Temporary("later\u{1b}".to_owned()),
            TaskEnd::Permanent("x".repeat(2_000)),
        ];
        let answer = batch_answer(&event, &ends);
        assert_eq!(answer["invocationSchemaVersion"], "2.0");
        assert_eq!(answer["invocationId"], "i");
        assert_eq!(answer["treatMissingKeysAs"], "PermanentFailure");
        let results = answer["results"].as_array().unwrap();
        let code = |n: usize| (results[n]["taskId"].as_str(), results[n]["resultCode"].as_str());
        assert_eq!(code(0), (Some("1"), Some("Succeeded")));
        assert_eq!(results[0]["resultString"], "rows=3 rejected=1");
        assert_eq!(code(1), (Some("2"), Some("TemporaryFailure")));
        assert_eq!(results[1]["resultString"], "later\\u{1b}");
        assert_eq!(code(2), (Some("3"), Some("PermanentFailure")));
        assert!(results[2]["resultString"].as_str().unwrap().len() <= 1_024);
        assert_eq!(results.len(), 3);
    }
}
