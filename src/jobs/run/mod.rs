//! The run of one job: rows in, invocations under way, results out.
//!
//! [`decide`] says what to do next and what an end changes; [`verdict()`] says what an end means. [`Runner`]
//! does it: it reads rows, keeps invocations in flight, waits, and records results in groups, each of which
//! one sync covers.

pub mod decide;
pub mod lost_rows;
pub mod past;
mod rows_ahead;
mod throttle;
pub mod verdict;

use std::fmt;
use std::future::pending;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::task::coop::consume_budget;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, Sleep, sleep};

use self::decide::{Decisions, End, Entry, Limits, Next, Progress, Try};
use self::past::Past;
use self::rows_ahead::RowsAhead;
pub use self::rows_ahead::RowsRead;
use self::verdict::{Told, Verdict, verdict};
use crate::boxed_future::BoxFuture;
use crate::jobs::answer::Expected;
use crate::jobs::attempts::group::Entries;
use crate::jobs::handlers::Handler;
use crate::jobs::invocation::{JobCall, new_invocation_id};
use crate::jobs::task::Task;
use crate::jobs::task_rows::TaskBlock;
use crate::lock::lock;
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
    /// As many rows as are read at once, among them the row `first`, counted from 0. `None`: there is no such row.
    /// Errors: the copy cannot be read.
    fn read(&self, first: u64) -> BoxFuture<'_, io::Result<Option<RowsRead>>>;
}

/// Where results and spent tries are kept.
pub trait Results: Send + Sync + fmt::Debug {
    /// Makes entries durable, in their order: when this returns, a sync covers them. One call runs at a time,
    /// with at most [`decide::UNRECORDED_MAX`] entries and as many invocations as may run at once.
    /// Errors: they are not durable. The run ends, and nothing more is recorded.
    fn record<'a>(&'a self, entries: &'a Entries) -> BoxFuture<'a, io::Result<()>>;
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
    rows: Arc<dyn Rows>,
    results: Arc<dyn Results>,
    shared: Arc<Shared>,
    progress: watch::Sender<Progress>,
}

/// What a runner shares with its workers. A worker runs one try after the other: going through the runner
/// after each would cost a third of the rate of a handler behind HTTP.
#[derive(Debug)]
struct Shared {
    call: JobCall,
    handler: Arc<dyn Handler>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    core: Mutex<Core>,
    /// The runner has something to do: a group has begun or is full, or rows are to be read.
    woken: Notify,
}

#[derive(Debug)]
struct Core {
    decisions: Decisions,
    ahead: RowsAhead,
    group: Group,
    /// Tries that were started, and whose rows have to be read first.
    unread: Vec<Try>,
}

/// Entries that are being recorded.
type Recording = BoxFuture<'static, (io::Result<()>, Entries)>;

impl Runner {
    /// A runner for the tasks that have no result in `past`.
    pub fn new(parts: Parts, past: Past, limits: Limits) -> Self {
        let Parts { call, handler, rows, results, clock, random } = parts;
        let decisions = Decisions::new(past, limits);
        let progress = watch::Sender::new(decisions.progress());
        let core =
            Core { decisions, ahead: RowsAhead::default(), group: Group::default(), unread: Vec::new() };
        let shared = Shared { call, handler, clock, random, core: Mutex::new(core), woken: Notify::new() };
        Self { rows, results, shared: Arc::new(shared), progress }
    }

    /// How far the job is, now and after each change.
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// Runs until the job has ended or `stop` is true; tasks in flight then end first. After [`End::Stopped`]
    /// it may be called again: tasks keep their tries. Not cancel-safe: dropped half-way, it ends the
    /// invocations in flight, and may not be called again.
    /// Errors: rows cannot be read, or results not recorded. The job then goes on from the recorded results,
    /// with a new runner.
    pub async fn run(&mut self, mut stop: watch::Receiver<bool>) -> Result<End, RunError> {
        let shared = Arc::clone(&self.shared);
        lock(&shared.core).decisions.go_on();
        let mut workers = JoinSet::new();
        let mut recording: Option<Recording> = None;
        let mut alarm = Alarm::default();
        let mut is_heard = true;
        loop {
            if *stop.borrow_and_update() {
                lock(&shared.core).decisions.stop();
            }
            let wake = match self.start_workers(&mut workers).await? {
                Next::Ended(end) => {
                    self.publish();
                    return Ok(end);
                }
                Next::Start(_) => None,
                Next::Wait(until) => until,
            };
            let now = shared.clock.monotonic();
            let group_due = {
                let mut core = lock(&shared.core);
                let is_idle = core.decisions.progress().in_flight == 0;
                if recording.is_none() && core.group.is_due(now, is_idle) {
                    recording = Some(self.record(core.group.take()));
                }
                core.group.due().filter(|_| recording.is_none())
            };
            self.publish();
            alarm.set([wake, group_due].into_iter().flatten().min(), now);
            tokio::select! {
                Some(ended) = workers.join_next() => {
                    ended.map_err(RunError::Ended)?;
                    while let Some(ended) = workers.try_join_next() {
                        ended.map_err(RunError::Ended)?;
                    }
                }
                () = shared.woken.notified() => {}
                (result, recorded) = finished(&mut recording) => {
                    recording = None;
                    result.map_err(RunError::Results)?;
                    let mut core = lock(&shared.core);
                    core.decisions.recorded(recorded.counts());
                    core.group.give_back(recorded);
                }
                () = alarm.rings() => {}
                changed = stop.changed(), if is_heard => is_heard = changed.is_ok(),
            }
        }
    }

    /// Starts a worker for each try that may start now, and says what follows.
    async fn start_workers(&self, workers: &mut JoinSet<()>) -> Result<Next, RunError> {
        loop {
            let wanted = lock(&self.shared.core).ahead.wanted();
            if let Some(first) = wanted {
                let read = self.read(first).await?;
                lock(&self.shared.core).ahead.add(first, read);
            }
            let (of, block) = {
                let mut core = lock(&self.shared.core);
                let of = match core.unread.pop() {
                    Some(of) => of,
                    None => match core.decisions.next(self.shared.clock.monotonic()) {
                        Next::Start(of) => of,
                        other => return Ok(other),
                    },
                };
                (of, core.ahead.take(of.row))
            };
            let block = match block {
                Some(block) => block,
                None => self.block(of.row).await?,
            };
            match block {
                Some(block) => _ = workers.spawn(work(Arc::clone(&self.shared), of, block)),
                None => lock(&self.shared.core).decisions.lost(of.row),
            }
        }
    }

    /// The block of the task on a row that was not read ahead; `None`: the row is lost.
    async fn block(&self, row: u64) -> Result<Option<Arc<TaskBlock>>, RunError> {
        let is_new = lock(&self.shared.core).ahead.is_new(row);
        let read = self.read(row).await?;
        if !is_new {
            return match read.ok_or(RunError::NoRow { row })? {
                RowsRead::Tasks(block) => Ok(Some(block)),
                RowsRead::Lost(_) => Ok(None),
            };
        }
        let mut core = lock(&self.shared.core);
        core.ahead.add(row, read);
        core.ahead.take(row).ok_or(RunError::NoRow { row })
    }

    async fn read(&self, row: u64) -> Result<Option<RowsRead>, RunError> {
        self.rows.read(row).await.map_err(|cause| RunError::Rows { row, cause })
    }

    fn record(&self, entries: Entries) -> Recording {
        let results = Arc::clone(&self.results);
        Box::pin(async move { (results.record(&entries).await, entries) })
    }

    fn publish(&self) {
        let now = lock(&self.shared.core).decisions.progress();
        self.progress.send_if_modified(|before| std::mem::replace(before, now) != now);
    }
}

/// Runs a try, and then others as long as some may start whose rows were read.
async fn work(shared: Arc<Shared>, of: Try, block: Arc<TaskBlock>) {
    let mut next = Some((of, block));
    while let Some((of, block)) = next {
        // The task is made by the thread that drops it: memory that goes from thread to thread costs more.
        next = match block.task(of.row) {
            Some(task) => {
                drop(block);
                let (verdict, ignored) = shared.try_once(of, &task).await;
                shared.ended(of, verdict, ignored)
            }
            None => shared.lost(of.row),
        };
        // A handler may answer without ever waiting: others must have their turn.
        consume_budget().await;
    }
}

impl Shared {
    /// One try of one task. A handler that panics fails the try, not the job.
    async fn try_once(&self, of: Try, task: &Task) -> (Verdict, u64) {
        let invocation = match self.call.invocation(of.row, task, new_invocation_id(&*self.random)) {
            Ok(invocation) => invocation,
            Err(error) => return (Verdict::Final(Told::failed(None, error.to_string())), 0),
        };
        let Ok(ended) = caught(self.handler.invoke(&invocation)).await else {
            return (Verdict::Temporary(Told::failed(None, PANICKED.to_owned())), 0);
        };
        let (invocation_id, task_id) = (&*invocation.id, &*invocation.task_id);
        let form = self.handler.answer_form();
        verdict(ended, Expected { schema: self.call.schema, invocation_id, task_id, form })
    }

    /// A try has ended. Gives the next one for the same worker; `None` if the runner has to look.
    fn ended(&self, of: Try, verdict: Verdict, ignored: u64) -> Option<(Try, Arc<TaskBlock>)> {
        let now = self.clock.monotonic();
        let mut core = lock(&self.core);
        if let Some(entry) = core.decisions.ended(of, verdict, ignored, now, &*self.random)
            && core.group.add(&entry, now)
        {
            self.woken.notify_one();
        }
        self.next(&mut core, now)
    }

    /// The row of a task cannot be read after all.
    fn lost(&self, row: u64) -> Option<(Try, Arc<TaskBlock>)> {
        let now = self.clock.monotonic();
        let mut core = lock(&self.core);
        core.decisions.lost(row);
        self.next(&mut core, now)
    }

    /// The next try that may start now and whose row was read.
    fn next(&self, core: &mut Core, now: Duration) -> Option<(Try, Arc<TaskBlock>)> {
        let next = loop {
            let Next::Start(of) = core.decisions.next(now) else { break None };
            match core.ahead.take(of.row) {
                Some(Some(block)) => break Some((of, block)),
                Some(None) => core.decisions.lost(of.row),
                None => {
                    core.unread.push(of);
                    break None;
                }
            }
        };
        if core.ahead.wanted().is_some() {
            self.woken.notify_one();
        }
        next
    }
}

async fn finished(recording: &mut Option<Recording>) -> (io::Result<()>, Entries) {
    match recording {
        Some(recording) => recording.await,
        None => pending().await,
    }
}

/// Entries that the next sync covers.
#[derive(Debug, Default)]
struct Group {
    entries: Entries,
    count: usize,
    /// When the first of them came.
    since: Duration,
    /// Memory of a group that was recorded.
    spare: Entries,
}

impl Group {
    /// Adds an entry. True: the runner has to know, because the group has begun or is full.
    /// The entry is written down by the thread that made it: memory that goes from thread to thread costs more.
    fn add(&mut self, entry: &Entry, now: Duration) -> bool {
        if self.entries.is_empty() {
            self.since = now;
        }
        entry.add_to(&mut self.entries);
        self.count += 1;
        matches!(self.count, 1 | SYNC_AFTER)
    }

    fn give_back(&mut self, mut recorded: Entries) {
        recorded.clear();
        self.spare = recorded;
    }

    fn due(&self) -> Option<Duration> {
        (!self.entries.is_empty()).then(|| self.since.saturating_add(SYNC_EVERY))
    }

    /// With nothing in flight, nothing is worth waiting for.
    fn is_due(&self, now: Duration, is_idle: bool) -> bool {
        let is_full = self.count >= SYNC_AFTER;
        self.due().is_some_and(|due| is_full || is_idle || due <= now)
    }

    fn take(&mut self) -> Entries {
        self.count = 0;
        std::mem::replace(&mut self.entries, std::mem::take(&mut self.spare))
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
