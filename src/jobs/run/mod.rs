//! The run of one job: rows in, invocations under way, results out.
//!
//! [`decide`] says what to do next and what an end changes; [`verdict`] says what an end means. [`Runner`] does it: it
//! reads rows, keeps invocations in flight, waits, and records results in groups, each of which one sync covers.

pub mod decide;
pub mod past;
mod row_reader;
mod throttle;
pub mod verdict;

use std::fmt;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Sleep, sleep};

use self::decide::{Decisions, End, Entry, Limits, Next, Progress, Try};
use self::past::Past;
use self::row_reader::RowReader;
use self::verdict::{Told, Verdict, verdict};
use crate::boxed_future::BoxFuture;
use crate::jobs::answer::Expected;
use crate::jobs::handlers::Handler;
use crate::jobs::invocation::{JobCall, new_invocation_id};
use crate::jobs::task::Task;
use crate::random::Random;
use crate::tasks::caught;
use crate::time::Clock;

/// How long an entry waits for the sync that covers it, unless nothing else is under way.
pub const SYNC_EVERY: Duration = Duration::from_millis(200);
/// Entries after which a sync begins at once.
const SYNC_AFTER: usize = 4_096;
/// What a task is told whose handler panicked.
const PANICKED: &str = "the handler failed by a fault of this program: see its log";

/// The rows of a job's manifest.
pub trait Rows: Send + Sync + fmt::Debug {
    /// The tasks of the rows from `first` (counted from 0) on, in order: at most `most`, and fewer only at the end.
    /// Errors: the copy of the manifest cannot be read or is damaged.
    fn read(&self, first: u64, most: usize) -> BoxFuture<'_, io::Result<Vec<Task>>>;
}

/// Where results and spent tries are kept.
pub trait Results: Send + Sync + fmt::Debug {
    /// Makes entries durable, in their order: when this returns, a sync covers them. One call runs at a time, with at
    /// most [`decide::UNRECORDED_MAX`] entries and as many invocations as may run at once.
    /// Errors: they are not durable. The run ends, and nothing more is recorded.
    fn record<'a>(&'a self, entries: &'a [Entry]) -> BoxFuture<'a, io::Result<()>>;
}

/// Why a run cannot go on. Tasks in flight have no result, and run again when the job is started again.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The manifest's copy cannot be read.
    #[error("cannot read row {} of the manifest's copy", .row.saturating_add(1))]
    Rows {
        /// The row, from 0.
        row: u64,
        /// Why.
        #[source]
        cause: io::Error,
    },
    /// The manifest's copy has fewer rows than the job.
    #[error("the manifest's copy has no row {}: it is damaged, so make a new job", .row.saturating_add(1))]
    NoRow {
        /// The row, from 0.
        row: u64,
    },
    /// Results cannot be made durable.
    #[error("cannot record results of tasks; run the job again once the disk takes writes")]
    Results(#[source] io::Error),
    /// The runtime ends.
    #[error("an invocation was ended by the end of this process")]
    Ended(#[source] JoinError),
}

/// What a run works with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// What all requests have in common.
    pub call: JobCall,
    /// Runs the function.
    pub handler: Arc<dyn Handler>,
    /// The rows of the manifest.
    pub rows: Arc<dyn Rows>,
    /// Where results are kept.
    pub results: Arc<dyn Results>,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Chance: ids of invocations, and the lengths of waits.
    pub random: Arc<dyn Random>,
}

/// The runner of one job.
#[derive(Debug)]
pub struct Runner {
    call: Arc<JobCall>,
    handler: Arc<dyn Handler>,
    rows: RowReader,
    results: Arc<dyn Results>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    decisions: Decisions,
    progress: watch::Sender<Progress>,
}

/// A try that has ended.
struct Done {
    of: Try,
    verdict: Verdict,
    ignored: u64,
}

/// Entries that are being recorded.
type Recording = BoxFuture<'static, (io::Result<()>, Vec<Entry>)>;

impl Runner {
    /// A runner for the tasks that have no result in `past`.
    pub fn new(parts: Parts, past: Past, limits: Limits) -> Self {
        let decisions = Decisions::new(past, limits);
        let progress = watch::Sender::new(decisions.progress());
        Self {
            call: Arc::new(parts.call),
            handler: parts.handler,
            rows: RowReader::new(parts.rows),
            results: parts.results,
            clock: parts.clock,
            random: parts.random,
            decisions,
            progress,
        }
    }

    /// How far the job is, now and after each change.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Runs until the job has ended or `stop` is true; tasks in flight then end first. After [`End::Stopped`] it may be
    /// called again: tasks keep their tries. Not cancel-safe: dropped half-way, it ends the invocations in flight.
    /// Errors: rows cannot be read, or results not recorded. The job then goes on from the recorded results, with a new
    /// runner.
    pub async fn run(&mut self, mut stop: watch::Receiver<bool>) -> Result<End, RunError> {
        self.decisions.go_on();
        let mut flight = JoinSet::new();
        let mut group = Group::default();
        let mut recording: Option<Recording> = None;
        let mut alarm = Alarm::default();
        let mut is_heard = true;
        loop {
            if *stop.borrow_and_update() {
                self.decisions.stop();
            }
            let wake = match self.start_tries(&mut flight).await? {
                Next::Ended(end) => {
                    self.publish();
                    return Ok(end);
                }
                Next::Start(_) => None,
                Next::Wait(until) => until,
            };
            let now = self.clock.monotonic();
            if recording.is_none() && group.is_due(now, flight.is_empty()) {
                recording = Some(self.record(group.take()));
            }
            self.publish();
            let group_due = group.due().filter(|_| recording.is_none());
            alarm.set([wake, group_due].into_iter().flatten().min(), now);
            tokio::select! {
                Some(done) = flight.join_next() => {
                    self.take(done, &mut group)?;
                    while let Some(done) = flight.try_join_next() {
                        self.take(done, &mut group)?;
                    }
                }
                (result, recorded) = finished(&mut recording) => {
                    recording = None;
                    result.map_err(RunError::Results)?;
                    self.decisions.recorded(&recorded);
                }
                () = alarm.rings() => {}
                changed = stop.changed(), if is_heard => is_heard = changed.is_ok(),
            }
        }
    }

    /// Starts what may start now, and says what follows.
    async fn start_tries(&mut self, flight: &mut JoinSet<Done>) -> Result<Next, RunError> {
        loop {
            let of = match self.decisions.next(self.clock.monotonic()) {
                Next::Start(of) => of,
                other => return Ok(other),
            };
            let task = self.rows.task(of.row).await?;
            let id = new_invocation_id(&*self.random);
            flight.spawn(try_once(Arc::clone(&self.handler), Arc::clone(&self.call), of, task, id));
        }
    }

    fn take(&mut self, done: Result<Done, JoinError>, group: &mut Group) -> Result<(), RunError> {
        let Done { of, verdict, ignored } = done.map_err(RunError::Ended)?;
        let now = self.clock.monotonic();
        if let Some(entry) = self.decisions.ended(of, verdict, ignored, now, &*self.random) {
            group.add(entry, now);
        }
        Ok(())
    }

    fn record(&self, entries: Vec<Entry>) -> Recording {
        let results = Arc::clone(&self.results);
        Box::pin(async move { (results.record(&entries).await, entries) })
    }

    fn publish(&self) {
        let now = self.decisions.progress();
        self.progress.send_if_modified(|before| std::mem::replace(before, now) != now);
    }
}

async fn finished(recording: &mut Option<Recording>) -> (io::Result<()>, Vec<Entry>) {
    match recording {
        Some(recording) => recording.await,
        None => pending().await,
    }
}

/// One try of one task. A handler that panics fails the try, not the job.
async fn try_once(handler: Arc<dyn Handler>, call: Arc<JobCall>, of: Try, task: Task, id: String) -> Done {
    let invocation = match call.invocation(of.row, &task, id) {
        Ok(invocation) => invocation,
        Err(error) => {
            let verdict = Verdict::Final(Told::failed(None, error.to_string()));
            return Done { of, verdict, ignored: 0 };
        }
    };
    let Ok(ended) = caught(handler.invoke(&invocation)).await else {
        let verdict = Verdict::Temporary(Told::failed(None, PANICKED.to_owned()));
        return Done { of, verdict, ignored: 0 };
    };
    let (invocation_id, task_id) = (&*invocation.id, &*invocation.task_id);
    let (verdict, ignored) = verdict(ended, Expected { schema: call.schema, invocation_id, task_id });
    Done { of, verdict, ignored }
}

/// Entries that the next sync covers.
#[derive(Debug, Default)]
struct Group {
    entries: Vec<Entry>,
    /// When the first of them came.
    since: Duration,
}

impl Group {
    fn add(&mut self, entry: Entry, now: Duration) {
        if self.entries.is_empty() {
            self.since = now;
        }
        self.entries.push(entry);
    }

    fn due(&self) -> Option<Duration> {
        (!self.entries.is_empty()).then(|| self.since.saturating_add(SYNC_EVERY))
    }

    /// With nothing in flight, nothing is worth waiting for.
    fn is_due(&self, now: Duration, is_idle: bool) -> bool {
        let is_full = self.entries.len() >= SYNC_AFTER;
        self.due().is_some_and(|due| is_full || is_idle || due <= now)
    }

    fn take(&mut self) -> Vec<Entry> {
        std::mem::take(&mut self.entries)
    }
}

/// A timer that is set again only when its time changes: most turns of the loop leave it as it is.
#[derive(Debug, Default)]
struct Alarm {
    at: Option<Duration>,
    timer: Option<Pin<Box<Sleep>>>,
}

impl Alarm {
    fn set(&mut self, at: Option<Duration>, now: Duration) {
        if self.at == at {
            return;
        }
        self.at = at;
        let Some(at) = at else { return };
        let wait = at.saturating_sub(now);
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(Instant::now() + wait),
            None => self.timer = Some(Box::pin(sleep(wait))),
        }
    }

    /// Returns once, at the time that was set; never without one.
    async fn rings(&mut self) {
        match (&mut self.timer, self.at) {
            (Some(timer), Some(_)) => timer.await,
            _ => pending().await,
        }
        self.at = None;
    }
}

#[cfg(test)]
mod tests;
