//! From the log of a job and its rows to the files of its report.

use std::error::Error;
use std::io;

use md5::{Digest as _, Md5};

use super::csv_row::push_row;
use super::manifest_json::manifest_json;
use super::report_file::ReportFile;
use super::seen_rows::SeenRows;
use super::staged::{Staged, Sums};
use crate::disk::Disk;
use crate::jobs::attempts::LogError;
use crate::jobs::attempts::replay::{Visit, read};
use crate::jobs::job::id::JobId;
use crate::jobs::job::spec::{ReportScope, ReportSpec};
use crate::jobs::task::{Task, TaskResult};
use crate::time::UnixMillis;

/// Rows of one file. The next row of its status begins another file.
pub const ROWS_PER_FILE: u64 = 1_000_000;
/// Rows that are named if their task cannot be read. The others are counted.
pub const LEFT_OUT_NAMED_MAX: usize = 16;
/// The prefix of the names of staged files.
const STAGED: &str = "report-";

/// The tasks of a job, by the rows of its manifest.
pub trait TaskByRow {
    /// The task of a row. Rows are asked for in the order in which tasks ended.
    /// Errors: the row cannot be read, as in a damaged block. The report is written without it.
    fn task(&mut self, row: u64) -> Result<Task, Box<dyn Error + Send + Sync>>;
}

/// Why a report cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The disk reported an error.
    #[error("write the report of job {0} to the job's folder")]
    Disk(JobId, #[source] io::Error),
    /// The log cannot be read.
    #[error("make the report of job {0}")]
    Log(JobId, #[source] LogError),
}

/// An object that is small enough for memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportObject {
    /// Its object key.
    pub key: String,
    /// Its bytes.
    pub body: Vec<u8>,
}

/// A report: what is to be stored, in this order. All objects are encrypted with SSE-S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The bucket's name.
    pub bucket: String,
    /// The files of results: those of the tasks that succeeded first.
    pub files: Vec<ReportFile>,
    /// `manifest.json`.
    pub manifest: ReportObject,
    /// `manifest.json.md5`.
    pub manifest_md5: ReportObject,
    /// The number of tasks that are left out, because their row of the manifest cannot be read.
    pub left_out: u64,
    /// The first [`LEFT_OUT_NAMED_MAX`] of them, by row, each with the reason.
    pub left_out_named: Vec<(u64, String)>,
}

/// The key of `manifest.json` of a job's report. A prefix may end with a slash.
pub fn manifest_key(prefix: &str, job: JobId) -> String {
    format!("{}manifest.json", folder(prefix, job))
}

fn folder(prefix: &str, job: JobId) -> String {
    match prefix.strip_suffix('/').unwrap_or(prefix) {
        "" => format!("job-{job}/"),
        prefix => format!("{prefix}/job-{job}/"),
    }
}

/// Makes the report of a job whose tasks have ended. Its files are staged beside the log; [`remove_staged`]
/// removes them once they are stored. `date` is
/// [`report_date`](crate::jobs::job::state::JobState::report_date). `None`: no task was ever invoked, so that
/// there is none.
/// Errors: [`ReportError`].
pub fn write_report(
    disk: &dyn Disk,
    job: JobId,
    to: &ReportSpec,
    date: UnixMillis,
    rows: &mut dyn TaskByRow,
) -> Result<Option<Report>, ReportError> {
    write_files(disk, job, to, date, rows, ROWS_PER_FILE)
}

/// Passes each row that the report of a job has, or will have, to `each`: of the tasks that have ended by now, in the order
/// of the log. Returns the number of tasks that are left out, because their row of the manifest cannot be read.
/// Errors: [`ReportError`], that of `each` among them.
pub fn each_row(
    disk: &dyn Disk,
    job: JobId,
    scope: ReportScope,
    rows: &mut dyn TaskByRow,
    each: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> Result<u64, ReportError> {
    let (mut text, mut left_out) = (Vec::new(), 0);
    let mut add = |result: &TaskResult| {
        let Ok(task) = rows.task(result.row) else {
            left_out += 1;
            return Ok(());
        };
        text.clear();
        push_row(&mut text, &task, result);
        each(&text)
    };
    each_result(disk, job, scope, &mut add)?;
    Ok(left_out)
}

/// Passes the result of each task of the scope that has ended to `add`, once. Whether a task was ever invoked.
fn each_result(
    disk: &dyn Disk,
    job: JobId,
    scope: ReportScope,
    add: &mut dyn FnMut(&TaskResult) -> io::Result<()>,
) -> Result<bool, ReportError> {
    let mut seen = SeenRows::default();
    let replayed = read(disk, job, &mut |visit| match visit {
        Visit::Results(result, count) => {
            let in_scope = scope == ReportScope::AllTasks || !result.succeeded;
            result.of_rows(count).try_for_each(|result| {
                let is_first = seen.add(result.row);
                if is_first && in_scope { add(&result.to_result()) } else { Ok(()) }
            })
        }
        Visit::Attempt(_) => Ok(()),
    });
    let replayed = replayed.map_err(|error| ReportError::Log(job, error))?;
    Ok(replayed.succeeded + replayed.failed + replayed.attempts > 0)
}

pub(super) fn write_files(
    disk: &dyn Disk,
    job: JobId,
    to: &ReportSpec,
    date: UnixMillis,
    rows: &mut dyn TaskByRow,
    rows_per_file: u64,
) -> Result<Option<Report>, ReportError> {
    let on_disk = |error| ReportError::Disk(job, error);
    remove_staged(disk).map_err(on_disk)?;
    let mut writer = Writer {
        disk,
        rows_per_file,
        open: [None, None],
        ended: [Vec::new(), Vec::new()],
        failed_had_args: false,
        left_out: 0,
        left_out_named: Vec::new(),
    };
    if !each_result(disk, job, to.scope, &mut |result| writer.add(result, rows))? {
        return Ok(None);
    }
    let folder = folder(&to.prefix, job);
    let ended = writer.end().map_err(on_disk)?;
    let files = ended.into_iter().map(|(succeeded, sums)| ReportFile {
        key: format!("{folder}results/{}.csv", sums.sha1),
        succeeded,
        staged: sums.name,
        bytes: sums.bytes,
        rows: sums.rows,
        md5: sums.md5,
    });
    let files: Vec<ReportFile> = files.collect();
    let body = manifest_json(&to.bucket, date, &files, writer.failed_had_args);
    let body = body.map_err(|error| on_disk(error.into()))?;
    let key = manifest_key(&to.prefix, job);
    let md5 = hex::encode(Md5::digest(&body)).into_bytes();
    Ok(Some(Report {
        bucket: to.bucket.clone(),
        files,
        manifest_md5: ReportObject { key: format!("{key}.md5"), body: md5 },
        manifest: ReportObject { key, body },
        left_out: writer.left_out,
        left_out_named: writer.left_out_named,
    }))
}

/// Removes the staged files of a report. Errors: the disk's error.
pub fn remove_staged(disk: &dyn Disk) -> io::Result<()> {
    for (name, _) in disk.list("")? {
        if name.starts_with(STAGED) {
            disk.remove(&name)?;
        }
    }
    Ok(())
}

/// The files of both statuses: failed ones at 0, succeeded ones at 1.
struct Writer<'a> {
    disk: &'a dyn Disk,
    rows_per_file: u64,
    open: [Option<Staged>; 2],
    ended: [Vec<Sums>; 2],
    failed_had_args: bool,
    left_out: u64,
    left_out_named: Vec<(u64, String)>,
}

impl Writer<'_> {
    fn add(&mut self, result: &TaskResult, rows: &mut dyn TaskByRow) -> io::Result<()> {
        let task = match rows.task(result.row) {
            Ok(task) => task,
            Err(error) => {
                self.left_out += 1;
                if self.left_out_named.len() < LEFT_OUT_NAMED_MAX {
                    self.left_out_named.push((result.row, crate::words::with_causes(&*error).to_string()));
                }
                return Ok(());
            }
        };
        self.failed_had_args |= !result.succeeded && !task.args.is_empty();
        let [failed, succeeded] = &mut self.open;
        let [failed_ended, succeeded_ended] = &mut self.ended;
        let (open, ended, status) = match result.succeeded {
            true => (succeeded, succeeded_ended, "succeeded"),
            false => (failed, failed_ended, "failed"),
        };
        if open.as_ref().is_some_and(|file| file.rows() >= self.rows_per_file)
            && let Some(full) = open.take()
        {
            ended.push(full.end()?);
        }
        let file = match open {
            Some(file) => file,
            none => {
                none.insert(Staged::begin(self.disk, format!("{STAGED}{status}-{:06}.csv", ended.len() + 1))?)
            }
        };
        file.add(|to| push_row(to, &task, result))
    }

    /// Ends all files: those of the tasks that succeeded come first.
    fn end(&mut self) -> io::Result<Vec<(bool, Sums)>> {
        let mut all = Vec::new();
        for (open, ended) in self.open.iter_mut().zip(&mut self.ended) {
            ended.extend(open.take().map(Staged::end).transpose()?);
        }
        for (succeeded, ended) in [false, true].into_iter().zip(&mut self.ended).rev() {
            all.extend(ended.drain(..).map(|sums| (succeeded, sums)));
        }
        Ok(all)
    }
}
