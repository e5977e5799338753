//! Reports read back.

use std::collections::BTreeMap;
use std::error::Error;

use md5::{Digest as _, Md5};
use sha1::Sha1;

use super::report_file::ReportFile;
use super::write::{Report, TaskByRow, manifest_key, remove_staged, write_files};
use crate::jobs::attempts::entry::Change;
use crate::jobs::attempts::log::{AttemptsLog, create};
use crate::jobs::job::crash_disk::{CrashDisk, Dice};
use crate::jobs::job::id::JobId;
use crate::jobs::job::spec::{ReportScope, ReportSpec};
use crate::jobs::job::state::{JobState, Priority};
use crate::jobs::task::{Task, TaskResult};
use crate::time::UnixMillis;

const DATE: UnixMillis = UnixMillis(1_554_486_519_725);

fn job() -> JobId {
    JobId::parse("f8fb9d89-a3aa-461d-bddc-ea6a1b131955").unwrap()
}

/// The rows of a manifest: `key-0`, `key-1`, … Row 13 cannot be read.
struct Rows;

impl TaskByRow for Rows {
    fn task(&mut self, row: u64) -> Result<Task, Box<dyn Error + Send + Sync>> {
        if row == 13 {
            return Err("the block is damaged".into());
        }
        Ok(Task { bucket: "photos".to_owned(), key: format!("key-{row}"), version: None, args: Vec::new() })
    }
}

/// The same, and each task has an argument.
struct RowsWithArgs;

impl TaskByRow for RowsWithArgs {
    fn task(&mut self, row: u64) -> Result<Task, Box<dyn Error + Send + Sync>> {
        let args = vec![("width".to_owned(), "100".to_owned())];
        Rows.task(row).map(|task| Task { args, ..task })
    }
}

#[test]
fn a_report_says_whether_failed_tasks_had_arguments_of_their_own() {
    let check = |rows: &mut dyn TaskByRow, failed: u64, expected: Option<bool>| {
        let results: Vec<TaskResult> = (0..3).map(|row| result(row, row >= failed)).collect();
        let disk = logged(&results);
        let report =
            write_files(&disk, job(), &spec(ReportScope::AllTasks), DATE, rows, 10).unwrap().unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&report.manifest.body).unwrap();
        assert_eq!(manifest.get("FailedTasksHadArgs").map(|said| said == true), expected);
    };
    check(&mut Rows, 3, None);
    check(&mut RowsWithArgs, 0, None);
    check(&mut RowsWithArgs, 1, Some(true));
}

fn result(row: u64, succeeded: bool) -> TaskResult {
    let error_code = if succeeded { String::new() } else { "PermanentFailure".to_owned() };
    TaskResult { row, succeeded, http_status: Some(200), error_code, message: format!("\"{row}\",\n") }
}

/// A log with these results, in their order.
fn logged(results: &[TaskResult]) -> CrashDisk {
    let disk = CrashDisk::new(1);
    let state = JobState::new(Priority::default(), UnixMillis(0));
    create(&disk, job(), &Change { at: UnixMillis(0), state, wish: None }).unwrap();
    let (mut log, _) = AttemptsLog::open(&disk, job(), &mut |_| Ok(())).unwrap();
    for result in results {
        log.append_result(result).unwrap();
    }
    log.sync(UnixMillis(1)).unwrap();
    disk
}

fn spec(scope: ReportScope) -> ReportSpec {
    ReportSpec { bucket: "my-job-reports".to_owned(), prefix: String::new(), scope }
}

fn report(disk: &CrashDisk, scope: ReportScope, rows_per_file: u64) -> Option<Report> {
    write_files(disk, job(), &spec(scope), DATE, &mut Rows, rows_per_file).unwrap()
}

/// The rows of the files, checked against their names, sums and lengths.
fn rows_of(disk: &CrashDisk, files: &[ReportFile], succeeded: bool) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    for file in files.iter().filter(|file| file.succeeded == succeeded) {
        let bytes = disk.bytes(&file.staged);
        assert_eq!(file.bytes, bytes.len() as u64);
        assert_eq!(file.md5[..], Md5::digest(&bytes)[..]);
        assert!(
            file.key.ends_with(&format!("/results/{}.csv", hex::encode(Sha1::digest(&bytes)))),
            "{}",
            file.key
        );
        let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(&*bytes);
        let read: Vec<Vec<String>> =
            reader.records().map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
        assert_eq!(read.len() as u64, file.rows);
        rows.extend(read);
    }
    rows
}

#[test]
fn every_task_stands_once_in_the_order_of_the_log() {
    let results: Vec<TaskResult> = [7, 2, 9, 2, 4, 0].map(|row| result(row, row % 2 == 1)).to_vec();
    let disk = logged(&results);
    let report = report(&disk, ReportScope::AllTasks, 1_000_000).unwrap();
    let row = |n: u64, status: &str, code: &str| {
        ["photos", &format!("key-{n}"), "", status, "200", code, &format!("\"{n}\",\n")]
            .map(str::to_owned)
            .to_vec()
    };
    let expected: Vec<_> = [7, 9].map(|n| row(n, "succeeded", "")).to_vec();
    assert_eq!(rows_of(&disk, &report.files, true), expected);
    let expected: Vec<_> = [2, 4, 0].map(|n| row(n, "failed", "PermanentFailure")).to_vec();
    assert_eq!(rows_of(&disk, &report.files, false), expected);
    assert_eq!((report.files.len(), report.left_out), (2, 0));
}

#[test]
fn the_manifest_is_that_of_the_sample() {
    let disk = logged(&[result(0, true), result(1, false)]);
    let report = report(&disk, ReportScope::AllTasks, 1_000_000).unwrap();
    let sum = |n: usize| hex::encode(report.files[n].md5);
    let expected = format!(
        r#"{{
    "Format": "Report_CSV_20180820",
    "ReportCreationDate": "2019-04-05T17:48:39.725Z",
    "Results": [
        {{
            "TaskExecutionStatus": "succeeded",
            "Bucket": "my-job-reports",
            "MD5Checksum": "{}",
            "Key": "{}"
        }},
        {{
            "TaskExecutionStatus": "failed",
            "Bucket": "my-job-reports",
            "MD5Checksum": "{}",
            "Key": "{}"
        }}
    ],
    "ReportSchema": "Bucket, Key, VersionId, TaskStatus, ErrorCode, HTTPStatusCode, ResultMessage"
}}"#,
        sum(0),
        report.files[0].key,
        sum(1),
        report.files[1].key
    );
    assert_eq!(String::from_utf8(report.manifest.body.clone()).unwrap(), expected);
    assert_eq!(report.manifest.key, format!("job-{}/manifest.json", job()));
    assert_eq!(report.manifest_md5.key, format!("job-{}/manifest.json.md5", job()));
    assert_eq!(report.manifest_md5.body, hex::encode(Md5::digest(&report.manifest.body)).into_bytes());
}

#[test]
fn a_new_file_begins_after_so_many_rows_of_its_status() {
    let results: Vec<TaskResult> = (0..13).map(|row| result(row, row < 9)).collect();
    let disk = logged(&results);
    let report = report(&disk, ReportScope::AllTasks, 3).unwrap();
    let sizes: Vec<(bool, u64)> = report.files.iter().map(|file| (file.succeeded, file.rows)).collect();
    assert_eq!(sizes, [(true, 3), (true, 3), (true, 3), (false, 3), (false, 1)]);
    assert_eq!(rows_of(&disk, &report.files, true).len() + rows_of(&disk, &report.files, false).len(), 13);
}

#[test]
fn the_scope_decides_and_no_task_means_no_report() {
    let disk = logged(&[result(0, true), result(1, false)]);
    let failed = report(&disk, ReportScope::FailedTasksOnly, 10).unwrap();
    assert_eq!((failed.files.len(), failed.files[0].succeeded), (1, false));
    let disk = logged(&[result(0, true)]);
    assert_eq!(report(&disk, ReportScope::FailedTasksOnly, 10).unwrap().files, []);
    assert_eq!(report(&logged(&[]), ReportScope::AllTasks, 10), None);
    // A task was invoked, but none has ended.
    let disk = logged(&[]);
    let (mut log, _) = AttemptsLog::open(&disk, job(), &mut |_| Ok(())).unwrap();
    log.append_attempt(0, 1, "timed out").unwrap();
    log.sync(UnixMillis(2)).unwrap();
    assert_eq!(report(&disk, ReportScope::AllTasks, 10).unwrap().files, []);
}

#[test]
fn a_row_that_cannot_be_read_is_named_and_stops_only_itself() {
    let disk = logged(&[result(12, true), result(13, true), result(14, false)]);
    let report = report(&disk, ReportScope::AllTasks, 10).unwrap();
    assert_eq!((report.left_out, report.left_out_named), (1, vec![(13, "the block is damaged".to_owned())]));
    assert_eq!(report.files.iter().map(|file| file.rows).collect::<Vec<_>>(), [1, 1]);
}

#[test]
fn a_report_that_is_begun_again_has_the_same_bytes() {
    let results: Vec<TaskResult> = (14..700).map(|row| result(row, row % 5 > 0)).collect();
    let disk = logged(&results);
    let staged = |disk: &CrashDisk| -> BTreeMap<String, Vec<u8>> {
        let names = disk.names().into_iter().filter(|name| name.starts_with("report-"));
        names.map(|name| (name.clone(), disk.bytes(&name))).collect()
    };
    let whole = report(&disk, ReportScope::AllTasks, 100).unwrap();
    let bytes = staged(&disk);
    let mut stops = 0;
    for after in 0..40 {
        disk.stop_after(after);
        let outcome = write_files(&disk, job(), &spec(ReportScope::AllTasks), DATE, &mut Rows, 100);
        stops += u64::from(outcome.is_err());
        disk.restart(Dice::new(after).below(2) == 0);
        assert_eq!(
            report(&disk, ReportScope::AllTasks, 100),
            Some(whole.clone()),
            "stopped after {after} changes"
        );
        assert_eq!(staged(&disk), bytes);
    }
    assert!(stops > 20, "{stops}");
    remove_staged(&disk).unwrap();
    assert_eq!(disk.names(), ["log"]);
}

#[test]
fn the_prefix_stands_before_the_job() {
    let check = |prefix: &str, key: &str| {
        assert_eq!(
            manifest_key(prefix, job()),
            format!("{key}job-f8fb9d89-a3aa-461d-bddc-ea6a1b131955/manifest.json")
        );
    };
    check("", "");
    check("ReportPrefix", "ReportPrefix/");
    check("a/b/", "a/b/");
}
