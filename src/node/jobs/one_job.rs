//! One job, from its specification to its report. A job that an earlier process left goes on where it
//! stopped.

mod last_step;
mod opening;
mod preparing;
mod running;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::spawn_blocking;
use tokio::time::{Interval, sleep};
use tokio_util::sync::CancellationToken;

use self::opening::{Opened, open_to_run, open_to_wait, tell_of_damage};
use super::job_error::JobError;
use super::job_handle::JobHandle;
use super::job_progress::JobProgress;
use super::outcome::Outcome;
use super::tools::{JobTools, ToolsFrom};
use crate::jobs::attempts::replay::Replayed;
use crate::jobs::job::folder::HeldJob;
use crate::jobs::job::id::JobId;
use crate::jobs::job::live_state::{EventError, LiveState, ObeyError};
use crate::jobs::job::spec::JobSpec;
use crate::jobs::job::state::JobState;
use crate::jobs::job::status::{PausedBy, Status};
use crate::jobs::job::transition::{Event, is_unconfirmed};
use crate::jobs::job::troubles::{TroubleOf, Troubles};
use crate::jobs::joined::LoggedResults;
use crate::jobs::manifest;
use crate::jobs::run::Runner;
use crate::jobs::run::decide::{Progress, end_of};
use crate::jobs::run::past::Past;
use crate::jobs::task_rows::TaskRows;
use crate::lock::lock;
use crate::random::Random;
use crate::time::Clock;
use crate::words::with_causes;

/// How often the requests beside a job are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What a job gets from its process.
#[derive(Clone, Debug)]
pub struct Around {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// Ends the work in order: invocations in flight end first.
    pub stop: CancellationToken,
    /// Where a job waits for its turn among others; `None`: it is the only one, and each turn is its own.
    pub turns: Option<Turns>,
}

/// The turns of several jobs in one process. Slots are given by [`JobHandle::apply`].
#[derive(Clone, Debug)]
pub struct Turns {
    /// One permit for each manifest that may be read at once.
    pub preparing: Arc<Semaphore>,
    /// Woken whenever a job has changed, so that slots are decided again.
    pub changed: Arc<Notify>,
}

/// A job whose run in this process is over.
#[derive(Debug)]
pub struct JobEnd {
    /// How it ended, or that it did not.
    pub outcome: Outcome,
    /// Its state.
    pub state: JobState,
    /// Why it failed, in full: the state keeps the beginning.
    pub why: Option<String>,
    /// What the handler left when it was closed.
    pub left: Option<String>,
}

/// One job that this process holds.
#[derive(Debug)]
pub struct OneJob {
    from: ToolsFrom,
    /// What it works with, if that was needed already.
    tools: Option<JobTools>,
    around: Around,
    handle: JobHandle,
    live: Arc<Mutex<LiveState>>,
    /// The same state, where results are recorded.
    results: LoggedResults,
    troubles: Arc<Troubles>,
    /// The copy of the manifest, once there is one and it is needed.
    rows: Option<Arc<TaskRows>>,
    /// What was done before, until the tasks start.
    past: Option<Past>,
    runner: Option<Runner>,
    /// Whether this process made the job, so that standard input is that of its manifest.
    is_new: bool,
    why: Option<String>,
    shown: watch::Sender<JobProgress>,
    /// The last one: whoever holds the job next finds nothing that is still removed.
    held: HeldJob,
}

/// Nothing that still runs on another thread writes into the job's log once the job may be held by others.
impl Drop for OneJob {
    fn drop(&mut self) {
        lock(&self.live).log().end();
    }
}

impl OneJob {
    /// Opens a job that is held. `is_new`: this process made it. Among several jobs it asks for its slot
    /// again, and keeps in memory no more than its state until it gets it.
    /// Errors: [`JobError`].
    pub async fn open(
        held: HeldJob,
        is_new: bool,
        tools: impl Into<ToolsFrom>,
        around: Around,
    ) -> Result<Self, JobError> {
        let (disk, id, now) = (Arc::clone(&held.disk), held.id, around.clock.wall());
        let is_one_of_many = around.turns.is_some();
        let opened = spawn_blocking(move || match is_one_of_many {
            true => open_to_wait(&*disk, id, now),
            false => open_to_run(&*disk, id, now),
        });
        let Opened { live, replayed, rows, past } = opened.await??;
        tell_of_damage(id, &replayed);
        let Replayed { succeeded, failed, .. } = replayed;
        let tasks =
            Progress { total: live.state().total.unwrap_or(0), succeeded, failed, ..Progress::default() };
        let status = live.state().status;
        let shown = watch::Sender::new(JobProgress { status, reading: manifest::Progress::default(), tasks });
        let live = Arc::new(Mutex::new(live));
        let handle = JobHandle::new(id, held.spec.made_at, Arc::clone(&live), shown.subscribe());
        let troubles = Arc::new(Troubles::new(id, Arc::clone(&held.disk), Arc::clone(&around.clock)));
        let results = LoggedResults {
            live: Arc::clone(&live),
            clock: Arc::clone(&around.clock),
            troubles: Arc::clone(&troubles),
            stop: around.stop.clone(),
            settling: Arc::default(),
        };
        Ok(Self {
            from: tools.into(),
            tools: None,
            around,
            handle,
            live,
            results,
            troubles,
            rows: rows.map(Arc::new),
            past,
            runner: None,
            is_new,
            why: None,
            shown,
            held,
        })
    }

    /// How far it is, now and after each change.
    pub fn progress(&self) -> watch::Receiver<JobProgress> {
        self.shown.subscribe()
    }

    /// The job for other parts of this process.
    pub fn handle(&self) -> JobHandle {
        self.handle.clone()
    }

    /// Its id.
    pub fn id(&self) -> JobId {
        self.held.id
    }

    /// What it was asked to do.
    pub fn spec(&self) -> &JobSpec {
        &self.held.spec
    }

    /// Whether nothing is left of it but its end: no task of it runs any more.
    pub fn needs_no_task(&self) -> bool {
        let status = self.state().status;
        let has_ended = |past: &Past| end_of(past, self.threshold()).is_some();
        status.is_ending() || status.is_final() || self.past.as_ref().is_some_and(has_ended)
    }

    /// Gives a job that was opened without it what runs its tasks.
    pub fn give(&mut self, tools: JobTools) {
        self.from = tools.into();
    }

    /// Does nothing but obey for so long, or until a person cancels the job or the process is stopped: after a
    /// failure. It asks for no slot meanwhile, and others see `why`.
    /// Errors: [`JobError`].
    pub async fn rest(&mut self, length: Duration, why: &str) -> Result<(), JobError> {
        self.troubles.shows(TroubleOf::Run, why);
        let until = self.around.clock.monotonic().saturating_add(length);
        let before = self.state().status;
        self.handle.set_resting(true);
        while self.around.clock.monotonic() < until && !self.around.stop.is_cancelled() {
            self.obey().await?;
            let status = self.state().status;
            if status != before && status.is_ending() {
                break;
            }
            self.wait().await;
        }
        self.handle.set_resting(false);
        self.troubles.forget(TroubleOf::Run);
        self.tell_of_change();
        Ok(())
    }

    /// Runs it until it has ended or is stopped. Not cancel-safe: dropped half-way, it ends the invocations
    /// in flight, as a crash would.
    /// Errors: [`JobError`].
    pub async fn run(self) -> Result<JobEnd, JobError> {
        let given = self.from.given().map(|tools| Arc::clone(&tools.handler));
        let ended = self.work().await;
        let left = match given {
            Some(handler) => handler.close().await.err(),
            None => None,
        };
        ended.map(|end| JobEnd { left, ..end })
    }

    async fn work(mut self) -> Result<JobEnd, JobError> {
        let mut told = None;
        loop {
            self.obey().await?;
            let state = self.state();
            self.shown.send_modify(|shown| shown.status = state.status);
            if self.around.stop.is_cancelled() && !state.status.is_ending() {
                return Ok(self.end());
            }
            match state.status {
                Status::New | Status::Preparing => self.prepare_in_turn().await?,
                Status::Ready | Status::Paused(PausedBy::Preemption) => match self.around.turns {
                    Some(_) => self.wait().await,
                    None => self.apply(state.status, Event::SlotGiven).await?,
                },
                Status::Suspended if is_unconfirmed(&state, self.around.clock.wall()) => {
                    self.apply(state.status, Event::Unconfirmed).await?;
                }
                status @ (Status::Suspended | Status::Paused(PausedBy::Person)) => {
                    if told != Some(status) {
                        told = Some(status);
                        let wish = if status == Status::Suspended { "confirm" } else { "resume" };
                        let (job, folder) = (self.held.id, &self.held.option);
                        tracing::info!(%job, "the job waits for `forebay batch {wish} {job}{folder}`");
                    }
                    // Stopped: the loop sees it.
                    self.wait().await;
                }
                // No task was started: a person changed their mind before.
                Status::Pausing(_) if self.runner.is_none() => {
                    self.apply(state.status, Event::TasksAtRest).await?;
                }
                Status::Active | Status::Pausing(_) => self.run_tasks().await?,
                Status::Completing | Status::Cancelling | Status::Failing => {
                    if !self.report(&state).await? {
                        return Ok(self.end());
                    }
                }
                Status::Complete | Status::Cancelled | Status::Failed => return Ok(self.end()),
            }
        }
    }

    /// Waits until the requests beside the job are due to be looked at, or somebody wants the job to look.
    /// A job of a server drops what it does not need meanwhile, so that its programs do not run.
    async fn wait(&mut self) {
        if self.around.turns.is_some() {
            (self.tools, self.runner, self.rows, self.past) = (None, None, None, None);
        }
        tokio::select! {
            () = sleep(LOOK_EVERY) => {}
            () = self.handle.nudged() => {}
            () = self.around.stop.cancelled() => {}
        }
    }

    fn end(mut self) -> JobEnd {
        let (state, failed) = {
            let mut live = lock(&self.live);
            (live.state().clone(), live.log().synced().failed)
        };
        JobEnd { outcome: Outcome::of(&state, failed), state, why: self.why.take(), left: None }
    }

    fn state(&self) -> JobState {
        lock(&self.live).state().clone()
    }

    /// What the job works with. It is made when it is needed first.
    async fn tools(&mut self) -> Result<JobTools, JobError> {
        let tools = match self.tools.take() {
            Some(tools) => tools,
            None => self.from.tools(&self.held.spec, self.held.id).await?,
        };
        self.tools = Some(tools.clone());
        Ok(tools)
    }

    /// Applies an event that was decided on in this status: it is durable when this returns. If another part
    /// of the process has changed the status meanwhile, and it is not allowed any more, nothing happens: whoever
    /// runs the job looks again.
    async fn apply(&self, decided_in: Status, event: Event) -> Result<(), JobError> {
        let (live, at, id) = (Arc::clone(&self.live), self.around.clock.wall(), self.held.id);
        let applied = spawn_blocking(move || lock(&live).apply(&event, at).map(|state| state.status));
        match applied.await? {
            Err(EventError::Refused(refusal)) if refusal.status != decided_in => return Ok(()),
            Err(EventError::Log(error)) if error.is_no_space() => return self.settle().await,
            Err(error) => return Err(error.into()),
            Ok(status) => tracing::info!(job = %id, %status, "the job has changed"),
        }
        self.tell_of_change();
        Ok(())
    }

    /// Waits for a full disk, until the job has to stop. Then what was appended to the log is durable, and in force;
    /// whoever runs the job looks again.
    async fn settle(&self) -> Result<(), JobError> {
        self.results.settle().await?;
        let (id, status) = (self.held.id, self.state().status);
        tracing::info!(job = %id, %status, "the job has changed, now that its disk has space");
        self.tell_of_change();
        Ok(())
    }

    /// Lets the other jobs of this process know.
    fn tell_of_change(&self) {
        if let Some(turns) = &self.around.turns {
            turns.changed.notify_one();
        }
    }

    /// Obeys the requests that other processes have put beside the job.
    /// Errors: [`JobError`].
    pub async fn obey(&self) -> Result<(), JobError> {
        if let Some(why) = self.handle.broken() {
            return Err(JobError::Elsewhere(why));
        }
        let (live, disk) = (Arc::clone(&self.live), Arc::clone(&self.held.disk));
        let (at, job) = (self.around.clock.wall(), self.held.id);
        let obeyed = match spawn_blocking(move || lock(&live).obey(&*disk, at)).await? {
            Ok(obeyed) => obeyed,
            Err(ObeyError::Log(error)) if error.is_no_space() => return self.settle().await,
            Err(ObeyError::Log(error)) => return Err(error.into()),
            Err(error) => {
                self.troubles.waits(TroubleOf::Requests, &format!("requests wait: {}", with_causes(&error)));
                return Ok(());
            }
        };
        self.troubles.is_over(TroubleOf::Requests);
        if !obeyed.wishes.is_empty() {
            self.tell_of_change();
        }
        for (wish, answer) in obeyed.wishes {
            tracing::info!(%job, request = ?wish, ?answer, "a request beside the job is answered");
        }
        for (name, error) in obeyed.broken {
            tracing::warn!(%job, name, error = with_causes(&error), "removed a file that is no request");
        }
        Ok(())
    }
}

/// The code of a job that failed because its report is not in its bucket.
pub const REPORT_NOT_STORED: &str = "ReportNotStored";

/// Returns when the requests beside a job are due to be looked at, or somebody wants that.
async fn due(look: &mut Interval, handle: &JobHandle) {
    tokio::select! {
        _ = look.tick() => {}
        () = handle.nudged() => {}
    }
}
