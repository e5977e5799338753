//! The files of a job as its runner and its report use them: rows from the copy of its manifest, results into
//! its log. A full disk is waited for.

use std::collections::VecDeque;
use std::error::Error;
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use super::attempts::LogError;
use super::attempts::group::Entries;
use super::attempts::replay::{Replayed, Visit, read};
use super::job::id::JobId;
use super::job::live_state::LiveState;
use super::job::troubles::{TroubleOf, Troubles};
use super::report::write::TaskByRow;
use super::run::past::Past;
use super::run::{Results, Rows, RowsRead};
use super::task::Task;
use super::task_rows::{ROWS, TaskBlock, TaskRows, TaskRowsError};
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
    fn read(&self, first: u64) -> BoxFuture<'_, io::Result<Option<RowsRead>>> {
        Box::pin(async move {
            match self.block(first).await {
                Ok(block) => Ok(Some(RowsRead::Tasks(Arc::new(block)))),
                Err(TaskRowsError::DamagedRows { rows, .. }) => Ok(Some(RowsRead::Lost(first..rows.end))),
                Err(TaskRowsError::NoRow { .. }) => Ok(None),
                Err(error) => Err(io::Error::other(error)),
            }
        })
    }
}

impl StoredRows {
    /// The block with this row. The memory is that of the task that asks: each of the many threads that wait for the
    /// disk would keep some.
    async fn block(&self, row: u64) -> Result<TaskBlock, TaskRowsError> {
        let place = self.0.place_of(row)?;
        let (rows, of, memory) = (Arc::clone(&self.0), place.clone(), place.memory());
        let read = spawn_blocking(move || rows.read(&of, memory)).await;
        let ended =
            |error: JoinError| TaskRowsError::Disk { name: ROWS.to_owned(), cause: io::Error::other(error) };
        self.0.parse(&place, read.map_err(ended)??)
    }
}

/// Rows for the report.
#[derive(Debug)]
pub struct ReportRows {
    rows: TaskRows,
    /// The blocks that were read lately; the latest is last.
    blocks: VecDeque<TaskBlock>,
}

impl ReportRows {
    /// Rows of this copy of a manifest.
    pub fn of(rows: TaskRows) -> Self {
        Self { rows, blocks: VecDeque::new() }
    }

    fn kept(&self, row: u64) -> Option<Task> {
        self.blocks.iter().rev().find(|block| block.rows().contains(&row))?.task(row)
    }
}

impl TaskByRow for ReportRows {
    fn task(&mut self, row: u64) -> Result<Task, Box<dyn Error + Send + Sync>> {
        if let Some(task) = self.kept(row) {
            return Ok(task);
        }
        let block = self.rows.block_of(row)?;
        if self.blocks.len() >= BLOCKS_KEPT {
            self.blocks.pop_front();
        }
        self.blocks.push_back(block);
        let none = TaskRowsError::NoRow { row, rows: self.rows.len() };
        Ok(self.kept(row).ok_or(none)?)
    }
}

/// How often a full disk is tried again.
const FULL_RETRY_EVERY: Duration = Duration::from_secs(1);
const FULL: &str = "the disk of the job's folder is full: no more tasks start until their results can be recorded; free \
                    space, and the job goes on by itself";

/// Results and spent tries, kept in the log of the job.
#[derive(Clone, Debug)]
pub struct LoggedResults {
    /// The state of the job, with its log.
    pub live: Arc<Mutex<LiveState>>,
    /// Says when.
    pub clock: Arc<dyn Clock>,
    /// What the job waits for.
    pub troubles: Arc<Troubles>,
    /// Ends the wait for a full disk.
    pub stop: CancellationToken,
    /// Held while the log is written: who waits for it needs no thread, and finds its results written, too.
    pub settling: Arc<tokio::sync::Mutex<()>>,
}

/// Why the log is not settled.
#[derive(Debug, thiserror::Error)]
pub enum SettleError {
    /// It cannot be written.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The process ends.
    #[error("a thread of the job ended early")]
    Thread(#[from] JoinError),
}

impl LoggedResults {
    /// Makes durable what was appended to the log, and puts in force what a full disk did not take. A full disk is
    /// waited for, until the job has to stop.
    /// Errors: [`SettleError`].
    pub async fn settle(&self) -> Result<(), SettleError> {
        // A task of its own: whoever waits here may not be asked to go on while another waits for its turn.
        let of = self.clone();
        tokio::spawn(async move { of.settle_in_turn().await }).await?
    }

    async fn settle_in_turn(&self) -> Result<(), SettleError> {
        let _turn = self.settling.lock().await;
        loop {
            if lock(&self.live).is_settled() {
                return Ok(());
            }
            let (live, at) = (Arc::clone(&self.live), self.clock.wall());
            match spawn_blocking(move || lock(&live).settle(at)).await? {
                Ok(()) => {
                    self.troubles.is_over(TroubleOf::Disk);
                    return Ok(());
                }
                Err(error) if error.is_no_space() && !self.stop.is_cancelled() => {
                    self.troubles.waits(TroubleOf::Disk, FULL);
                    self.stop.run_until_cancelled(sleep(FULL_RETRY_EVERY)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

impl Results for LoggedResults {
    fn record<'a>(&'a self, entries: &'a Entries) -> BoxFuture<'a, io::Result<()>> {
        Box::pin(async move {
            let mut next = Some(0);
            while let Some(from) = next {
                next = lock(&self.live).log().append_entries(entries, from).map_err(io::Error::other)?;
                self.settle().await.map_err(io::Error::other)?;
            }
            Ok(())
        })
    }
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
        Visit::Results(result, count) => past.results_of(result.row, *count, result.succeeded),
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
    use crate::jobs::job::live_state::EventError;
    use crate::jobs::job::state::{JobState, Priority};
    use crate::jobs::job::status::{PausedBy, Status};
    use crate::jobs::job::transition::Event;
    use crate::jobs::job::troubles::read;
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
        for (row, block) in [(1_020, 0..1_024), (1_024, 1_024..2_048), (2_999, 2_048..3_000)] {
            let read = rows.read(row).await.unwrap();
            let Some(RowsRead::Tasks(read)) = read else { panic!("{read:?}") };
            assert_eq!((read.rows(), read.task(row)), (block, Some(task(row))));
        }
        assert!(rows.read(3_000).await.unwrap().is_none());
        let mut of_report = ReportRows::of(rows_of(&disk, 20_000));
        for row in [0, 19_999, 1, 10_000, 0, 19_998].into_iter().chain((0..20_000).rev().step_by(777)) {
            assert_eq!(of_report.task(row).unwrap(), task(row));
        }
        assert!(of_report.blocks.len() <= BLOCKS_KEPT);
        assert!(of_report.task(20_000).unwrap_err().to_string().contains("row 20,001"));
    }

    fn result(row: u64) -> TaskResult {
        let (http_status, error_code) = (Some(200), String::new());
        TaskResult { row, succeeded: true, http_status, error_code, message: "m".to_owned() }
    }

    fn results_of(disk: &CrashDisk, job: JobId, live: LiveState) -> LoggedResults {
        let clock = Arc::new(SystemClock::new());
        let troubles = Troubles::new(job, Arc::new(disk.clone()), Arc::<SystemClock>::clone(&clock) as _);
        let (live, troubles) = (Arc::new(Mutex::new(live)), Arc::new(troubles));
        LoggedResults { live, clock, troubles, stop: CancellationToken::new(), settling: Arc::default() }
    }

    /// The log of a job of three rows that is Active.
    fn active(disk: &CrashDisk, job: JobId) -> LiveState {
        let at = UnixMillis(5);
        let status = Status::Active;
        let state = JobState { status, total: Some(3), ..JobState::new(Priority::default(), at) };
        create(disk, job, &Change { at, state, wish: None }).unwrap();
        open_with_past(disk, job, 3, at).unwrap().0
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_disk_is_waited_for_and_nothing_is_lost_or_there_twice() {
        for seed in 0..20 {
            let (disk, job) = (CrashDisk::new(seed), JobId::random(&Dice::new(2)));
            let results = results_of(&disk, job, active(&disk, job));
            disk.fill(true);
            let mut entries = Entries::default();
            [0, 2].into_iter().for_each(|row| entries.result(&result(row)));
            let mut recording = results.record(&entries);
            tokio::select! {
                biased;
                ended = &mut recording => panic!("{ended:?}"),
                () = sleep(Duration::from_secs(100)) => {}
            }
            let told = read(&disk).unwrap();
            assert!(told.len() == 1 && told[0].what.contains("free space"), "{told:?}");
            // A change is not in force while it is not in the log.
            let at = UnixMillis(6);
            let refused = lock(&results.live).apply(&Event::PauseAsked, at).unwrap_err();
            assert!(matches!(&refused, EventError::Log(error) if error.is_no_space()), "{refused}");
            assert_eq!(lock(&results.live).state().status, Status::Active);
            disk.fill(false);
            recording.await.unwrap();
            assert_eq!(lock(&results.live).state().status, Status::Pausing(PausedBy::Person));
            assert_eq!(read(&disk).unwrap(), []);
            drop(results);
            let (live, replayed, past) = open_with_past(&disk, job, 3, at).unwrap();
            assert_eq!((past.results(), replayed.succeeded, replayed.damage.ranges), ((2, 0), 2, 0));
            assert_eq!(live.state().status, Status::Paused(PausedBy::Person));
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stop_ends_the_wait_for_a_full_disk() {
        let (disk, job) = (CrashDisk::new(7), JobId::random(&Dice::new(2)));
        let results = results_of(&disk, job, active(&disk, job));
        disk.fill(true);
        results.stop.cancel();
        let mut entries = Entries::default();
        entries.result(&result(0));
        assert!(results.record(&entries).await.is_err());
    }

    #[tokio::test]
    async fn results_and_spent_tries_count_after_a_restart() {
        let (disk, job) = (CrashDisk::new(2), JobId::random(&Dice::new(2)));
        let at = UnixMillis(5);
        let first = Change { at, state: JobState::new(Priority::default(), at), wish: None };
        create(&disk, job, &first).unwrap();
        let (live, ..) = open_with_past(&disk, job, 3, at).unwrap();
        let results = results_of(&disk, job, live);
        let mut entries = Entries::default();
        entries.result(&result(0));
        [1, 2].into_iter().for_each(|tries| entries.attempt(2, tries, "why"));
        entries.result(&result(7));
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
