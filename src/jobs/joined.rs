//! The files of a job as its runner and its report use them: rows from the copy of its manifest, results into
//! its log.

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex};

use tokio::task::spawn_blocking;

use super::attempts::LogError;
use super::attempts::log::AttemptsLog;
use super::attempts::replay::{Replayed, Visit, read};
use super::job::id::JobId;
use super::job::live_state::LiveState;
use super::report::write::TaskByRow;
use super::run::decide::Entry;
use super::run::past::Past;
use super::run::{Results, Rows};
use super::task::Task;
use super::task_rows::{TaskRows, TaskRowsError};
use crate::boxed_future::BoxFuture;
use crate::disk::Disk;
use crate::lock::lock;
use crate::time::{Clock, UnixMillis};

/// Blocks that a report keeps in memory: tasks end nearly in the order of their rows, as many apart as run at
/// once.
const BLOCKS_KEPT: usize = 16;

/// Rows for the runner.
#[derive(Clone, Debug)]
pub struct StoredRows(pub Arc<TaskRows>);

impl Rows for StoredRows {
    fn read(&self, first: u64, most: usize) -> BoxFuture<'_, io::Result<Vec<Task>>> {
        let rows = Arc::clone(&self.0);
        let read = move || {
            let rows = rows.from(first).take(most);
            rows.map(|row| row.map(|(_, task)| task).map_err(io::Error::other)).collect()
        };
        Box::pin(async move { spawn_blocking(read).await.map_err(io::Error::other)? })
    }
}

/// Rows for the report.
#[derive(Debug)]
pub struct ReportRows {
    rows: TaskRows,
    /// The first row of each block that was read lately, and its tasks; the latest is last.
    blocks: VecDeque<(u64, Vec<Task>)>,
}

impl ReportRows {
    /// Rows of this copy of a manifest.
    pub fn of(rows: TaskRows) -> Self {
        Self { rows, blocks: VecDeque::new() }
    }

    fn kept(&self, row: u64) -> Option<&Task> {
        self.blocks.iter().rev().find_map(|(first, tasks)| {
            let at = usize::try_from(row.checked_sub(*first)?).ok()?;
            tasks.get(at)
        })
    }
}

impl TaskByRow for ReportRows {
    fn task(&mut self, row: u64) -> Result<Task, Box<dyn Error + Send + Sync>> {
        if let Some(task) = self.kept(row) {
            return Ok(task.clone());
        }
        let block = self.rows.block_of(row)?;
        if self.blocks.len() >= BLOCKS_KEPT {
            self.blocks.pop_front();
        }
        self.blocks.push_back(block);
        let none = TaskRowsError::NoRow { row, rows: self.rows.len() };
        Ok(self.kept(row).cloned().ok_or(none)?)
    }
}

/// Results and spent tries, kept in the log of the job.
#[derive(Clone, Debug)]
pub struct LoggedResults {
    /// The state of the job, with its log.
    pub live: Arc<Mutex<LiveState>>,
    /// Says when.
    pub clock: Arc<dyn Clock>,
}

impl Results for LoggedResults {
    fn record<'a>(&'a self, entries: &'a [Entry]) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            let mut left = entries;
            loop {
                let appended = append(lock(&self.live).log(), left).map_err(io::Error::other)?;
                left = left.get(appended..).unwrap_or_default();
                let (live, at) = (Arc::clone(&self.live), self.clock.wall());
                let synced = spawn_blocking(move || lock(&live).log().sync(at).map(drop));
                synced.await.map_err(io::Error::other)?.map_err(io::Error::other)?;
                if left.is_empty() {
                    return Ok(());
                }
            }
        })
    }
}

/// Appends entries until the log wants a sync first. How many were appended.
fn append(log: &mut AttemptsLog, entries: &[Entry]) -> Result<usize, LogError> {
    for (at, entry) in entries.iter().enumerate() {
        let appended = match entry {
            Entry::Result(result) => log.append_result(result).map(drop),
            Entry::Tried { row, tries, cause } => log.append_attempt(*row, *tries, cause),
        };
        match appended {
            Ok(()) => {}
            Err(LogError::SyncFirst(_)) if at > 0 => return Ok(at),
            Err(error) => return Err(error),
        }
    }
    Ok(entries.len())
}

/// Opens the log of a job of so many rows: its state, and the results and spent tries that it has.
/// Errors: [`LogError`]; also a job that is too large for this machine.
pub fn open_with_past(
    disk: &dyn Disk,
    job: JobId,
    rows: u64,
    now: UnixMillis,
) -> Result<(LiveState, Replayed, Past), LogError> {
    let mut past = new_past(job, rows)?;
    let (live, replayed) = LiveState::open(disk, job, now, &mut |visit| note(&mut past, &visit))?;
    Ok((live, replayed, past))
}

/// The results and spent tries that the log of a job of so many rows has. No task of the job may run.
/// Errors: [`LogError`]; also a job that is too large for this machine.
pub fn past_of(disk: &dyn Disk, job: JobId, rows: u64) -> Result<Past, LogError> {
    let mut past = new_past(job, rows)?;
    read(disk, job, &mut |visit| note(&mut past, &visit))?;
    Ok(past)
}

fn new_past(job: JobId, rows: u64) -> Result<Past, LogError> {
    let too_large = || io::Error::other(format!("{rows} tasks do not fit into the memory of this machine"));
    Past::new(rows).ok_or_else(|| LogError::Visitor(job, too_large()))
}

/// A second result of a row does not count, nor does one of a row that the manifest does not have.
fn note(past: &mut Past, visit: &Visit<'_>) -> io::Result<()> {
    match visit {
        Visit::Result(result) => _ = past.result(result.row, result.succeeded),
        Visit::Attempt(attempt) => _ = past.tried(attempt.row, attempt.attempts),
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::attempts::entry::Change;
    use crate::jobs::attempts::log::create;
    use crate::jobs::job::crash_disk::{CrashDisk, Dice};
    use crate::jobs::job::state::{JobState, Priority};
    use crate::jobs::run::decide::{Decisions, Limits, Next, Try};
    use crate::jobs::task::TaskResult;
    use crate::jobs::task_rows::TaskRowsWriter;
    use crate::runtime::SystemClock;

    fn task(row: u64) -> Task {
        Task { bucket: "bucket".to_owned(), key: format!("k{row}"), version: None, args: Vec::new() }
    }

    fn rows_of(disk: &CrashDisk, count: u64) -> TaskRows {
        let mut writer = TaskRowsWriter::create(disk, "rows").unwrap();
        (0..count).for_each(|row| writer.push(&task(row)).unwrap());
        writer.finish().unwrap();
        TaskRows::open(disk, "rows").unwrap()
    }

    #[tokio::test]
    async fn rows_are_read_for_the_runner_and_the_report() {
        let disk = CrashDisk::new(1);
        let rows = StoredRows(Arc::new(rows_of(&disk, 3_000)));
        assert_eq!(rows.read(1_020, 8).await.unwrap(), (1_020..1_028).map(task).collect::<Vec<_>>());
        assert_eq!(rows.read(2_999, 8).await.unwrap(), [task(2_999)]);
        assert!(rows.read(3_000, 8).await.unwrap().is_empty());
        let mut of_report = ReportRows::of(rows_of(&disk, 20_000));
        for row in [0, 19_999, 1, 10_000, 0, 19_998].into_iter().chain((0..20_000).rev().step_by(777)) {
            assert_eq!(of_report.task(row).unwrap(), task(row));
        }
        assert!(of_report.blocks.len() <= BLOCKS_KEPT);
        assert!(of_report.task(20_000).unwrap_err().to_string().contains("row 20,001"));
    }

    #[tokio::test]
    async fn results_and_spent_tries_count_after_a_restart() {
        let (disk, job) = (CrashDisk::new(2), JobId::random(&Dice::new(2)));
        let at = UnixMillis(5);
        let first = Change { at, state: JobState::new(Priority::default(), at), wish: None };
        create(&disk, job, &first).unwrap();
        let (live, ..) = open_with_past(&disk, job, 3, at).unwrap();
        let results = LoggedResults { live: Arc::new(Mutex::new(live)), clock: Arc::new(SystemClock::new()) };
        let result = |row| TaskResult {
            row,
            succeeded: true,
            http_status: Some(200),
            error_code: String::new(),
            message: "m".to_owned(),
        };
        let tried = |tries| Entry::Tried { row: 2, tries, cause: "why".to_owned() };
        let entries = [Entry::Result(result(0)), tried(1), tried(2), Entry::Result(result(7))];
        results.record(&entries).await.unwrap();
        drop(results);
        let (_, replayed, past) = open_with_past(&disk, job, 3, at).unwrap();
        assert_eq!((past.results(), replayed.attempts), ((1, 0), 2));
        let mut decisions = Decisions::new(past, Limits::default());
        let mut started = Vec::new();
        while let Next::Start(Try { row, attempt, .. }) = decisions.next(std::time::Duration::ZERO) {
            started.push((row, attempt));
        }
        assert_eq!(started, [(1, 1), (2, 3)]);
    }
}
