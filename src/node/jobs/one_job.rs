//! One job, from its specification to its report. A job that an earlier process left goes on where it
//! stopped.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::outcome::Outcome;
use super::prepare::ManifestReader;
use super::reporting::{NotStored, ReportStore};
use super::tools::JobTools;
use crate::disk::{Disk, is_no_handle, is_no_space};
use crate::jobs::attempts::LogError;
use crate::jobs::attempts::peek::peek;
use crate::jobs::attempts::replay::Replayed;
use crate::jobs::invocation::JobCall;
use crate::jobs::job::folder::HeldJob;
use crate::jobs::job::id::JobId;
use crate::jobs::job::live_state::{EventError, LiveState, ObeyError};
use crate::jobs::job::spec::{JobSpec, ManifestPlace};
use crate::jobs::job::state::JobState;
use crate::jobs::job::status::{Failure, FailureClass, PausedBy, Status};
use crate::jobs::job::transition::{Event, Refusal, is_unconfirmed};
use crate::jobs::job::troubles::{TroubleOf, Troubles};
use crate::jobs::joined::{LoggedResults, ReportRows, SettleError, StoredRows, open_with_past};
use crate::jobs::manifest::{self, ManifestError};
use crate::jobs::report::write::{Report, ReportError, remove_staged, write_report};
use crate::jobs::run::decide::{End, Limits, Progress};
use crate::jobs::run::past::Past;
use crate::jobs::run::{Parts, RunError, Runner};
use crate::jobs::task_rows::{ROWS, TaskRows, TaskRowsError};
use crate::jobs::threshold::Threshold;
use crate::lock::lock;
use crate::random::Random;
use crate::store::Outlook;
use crate::time::Clock;
use crate::words::causes::chain;
use crate::words::{counted, grouped, with_causes};

/// How often the requests beside a job are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long the end of a reading that was halted is waited for: it may wait for standard input.
const HALT_WAIT: Duration = Duration::from_secs(2);

/// Why a job cannot go on in this process. Nothing is lost: what is recorded counts, and its id lets it go
/// on.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// Its log cannot be used.
    #[error(transparent)]
    Log(#[from] LogError),
    /// The copy of its manifest cannot be read.
    #[error(transparent)]
    Rows(#[from] TaskRowsError),
    /// Its manifest cannot be copied to the disk of this machine.
    #[error(transparent)]
    Copy(ManifestError),
    /// Its tasks cannot go on.
    #[error(transparent)]
    Run(#[from] RunError),
    /// The files of its report cannot be written.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// The files of its report cannot be read.
    #[error("read the files of the report")]
    Staged(#[source] io::Error),
    /// A fault of the program.
    #[error("{0}: a fault of this program")]
    Refused(#[from] Refusal),
    /// A thread panicked, or the process ends.
    #[error("a thread of the job ended early")]
    Thread(#[from] JoinError),
}

impl From<SettleError> for JobError {
    fn from(error: SettleError) -> Self {
        match error {
            SettleError::Log(error) => Self::Log(error),
            SettleError::Thread(error) => Self::Thread(error),
        }
    }
}

impl From<EventError> for JobError {
    fn from(error: EventError) -> Self {
        match error {
            EventError::Refused(refusal) => Self::Refused(refusal),
            EventError::Log(error) => Self::Log(error),
        }
    }
}

/// How far a job is.
#[derive(Clone, Debug)]
pub struct JobProgress {
    /// Where it stands.
    pub status: Status,
    /// How far the reading of its manifest is, while it is Preparing.
    pub reading: manifest::Progress,
    /// How far its tasks are.
    pub tasks: Progress,
}

/// What a job gets from its process.
#[derive(Clone, Debug)]
pub struct Around {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
    /// Ends the work in order: invocations in flight end first.
    pub stop: CancellationToken,
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
}

/// One job that this process holds.
#[derive(Debug)]
pub struct OneJob {
    held: HeldJob,
    tools: JobTools,
    around: Around,
    live: Arc<Mutex<LiveState>>,
    /// The same state, where results are recorded.
    results: LoggedResults,
    troubles: Arc<Troubles>,
    /// The copy of the manifest, once there is one.
    rows: Option<Arc<TaskRows>>,
    /// What was done before, until the tasks start.
    past: Option<Past>,
    runner: Option<Runner>,
    /// Whether this process made the job, so that standard input is that of its manifest.
    is_new: bool,
    why: Option<String>,
    shown: watch::Sender<JobProgress>,
}

impl OneJob {
    /// Opens a job that is held. `is_new`: this process made it.
    /// Errors: [`JobError`].
    pub async fn open(
        held: HeldJob,
        is_new: bool,
        tools: JobTools,
        around: Around,
    ) -> Result<Self, JobError> {
        let (disk, id, now) = (Arc::clone(&held.disk), held.id, around.clock.wall());
        let opened = spawn_blocking(move || {
            let state = peek(&*disk, id)?.state;
            let is_copied = state.total.is_some() && !state.status.is_final();
            let rows = if is_copied { Some(TaskRows::open(&*disk, ROWS)?) } else { None };
            let (live, replayed, past) =
                open_with_past(&*disk, id, rows.as_ref().map_or(0, TaskRows::len), now)?;
            Ok::<_, JobError>((rows, live, replayed, past))
        });
        let (rows, live, replayed, past) = opened.await??;
        tell_of_damage(id, &replayed);
        let (succeeded, failed) = past.results();
        let tasks =
            Progress { total: live.state().total.unwrap_or(0), succeeded, failed, ..Progress::default() };
        let status = live.state().status;
        let shown = watch::Sender::new(JobProgress { status, reading: manifest::Progress::default(), tasks });
        let (live, past) = (Arc::new(Mutex::new(live)), rows.is_some().then_some(past));
        let rows = rows.map(Arc::new);
        let troubles = Arc::new(Troubles::new(id, Arc::clone(&held.disk), Arc::clone(&around.clock)));
        let results = LoggedResults {
            live: Arc::clone(&live),
            clock: Arc::clone(&around.clock),
            troubles: Arc::clone(&troubles),
            stop: around.stop.clone(),
        };
        let (runner, why) = (None, None);
        Ok(Self { held, tools, around, live, results, troubles, rows, past, runner, is_new, why, shown })
    }

    /// How far it is, now and after each change.
    pub fn progress(&self) -> watch::Receiver<JobProgress> {
        self.shown.subscribe()
    }

    /// Its id.
    pub fn id(&self) -> JobId {
        self.held.id
    }

    /// What it was asked to do.
    pub fn spec(&self) -> &JobSpec {
        &self.held.spec
    }

    /// Runs it until it has ended or is stopped. Not cancel-safe: dropped half-way, it ends the invocations
    /// in flight, as a crash would.
    /// Errors: [`JobError`].
    pub async fn run(mut self) -> Result<JobEnd, JobError> {
        let mut told = None;
        loop {
            self.obey().await?;
            let state = self.state();
            self.shown.send_modify(|shown| shown.status = state.status);
            if self.around.stop.is_cancelled() && !state.status.is_ending() {
                return Ok(self.end());
            }
            match state.status {
                Status::New | Status::Preparing => self.prepare().await?,
                // A server with several jobs gives its slots here.
                Status::Ready | Status::Paused(PausedBy::Preemption) => self.apply(Event::SlotGiven).await?,
                Status::Suspended if is_unconfirmed(&state, self.around.clock.wall()) => {
                    self.apply(Event::Unconfirmed).await?;
                }
                status @ (Status::Suspended | Status::Paused(PausedBy::Person)) => {
                    if told != Some(status) {
                        told = Some(status);
                        let wish = if status == Status::Suspended { "confirm" } else { "resume" };
                        let job = self.held.id;
                        tracing::info!(%job, "the job waits for `forebay batch {wish} {job}`");
                    }
                    // Stopped: the loop sees it.
                    self.around.stop.run_until_cancelled(sleep(LOOK_EVERY)).await;
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

    fn end(self) -> JobEnd {
        let (state, failed) = {
            let mut live = lock(&self.live);
            (live.state().clone(), live.log().synced().failed)
        };
        JobEnd { outcome: Outcome::of(&state, failed), state, why: self.why }
    }

    fn state(&self) -> JobState {
        lock(&self.live).state().clone()
    }

    /// Applies an event: it is durable when this returns.
    async fn apply(&self, event: Event) -> Result<(), JobError> {
        let (live, at, id) = (Arc::clone(&self.live), self.around.clock.wall(), self.held.id);
        let applied = spawn_blocking(move || lock(&live).apply(&event, at).map(|state| state.status));
        let status = match applied.await? {
            Err(EventError::Log(error)) if error.is_no_space() => {
                self.results.settle().await?;
                self.state().status
            }
            applied => applied?,
        };
        tracing::info!(job = %id, %status, "the job has changed");
        Ok(())
    }

    /// Obeys the requests that other processes have put beside the job.
    async fn obey(&self) -> Result<(), JobError> {
        let (live, disk) = (Arc::clone(&self.live), Arc::clone(&self.held.disk));
        let (at, job) = (self.around.clock.wall(), self.held.id);
        let obeyed = match spawn_blocking(move || lock(&live).obey(&*disk, at)).await? {
            Ok(obeyed) => obeyed,
            Err(ObeyError::Log(error)) if error.is_no_space() => return Ok(self.results.settle().await?),
            Err(ObeyError::Log(error)) => return Err(error.into()),
            Err(error) => {
                self.troubles.waits(TroubleOf::Requests, &format!("requests wait: {}", with_causes(&error)));
                return Ok(());
            }
        };
        self.troubles.is_over(TroubleOf::Requests);
        for (wish, answer) in obeyed.wishes {
            tracing::info!(%job, request = ?wish, ?answer, "a request beside the job is answered");
        }
        for (name, error) in obeyed.broken {
            tracing::warn!(%job, name, error = with_causes(&error), "removed a file that is no request");
        }
        Ok(())
    }

    /// Copies the manifest. A copy that is there is whole: an earlier process ended right after it was made.
    async fn prepare(&mut self) -> Result<(), JobError> {
        if self.state().status == Status::New {
            self.apply(Event::PreparingStarted).await?;
        }
        let disk = Arc::clone(&self.held.disk);
        match TaskRows::open(&*disk, ROWS) {
            Ok(rows) => return self.prepared(rows).await,
            Err(TaskRowsError::Missing(_)) => {}
            Err(error) => {
                let error = with_causes(&error);
                tracing::warn!(job = %self.held.id, error, "the manifest is copied once more");
            }
        }
        if self.held.spec.manifest.place == ManifestPlace::StandardInput && !self.is_new {
            let what = "the manifest was on standard input of a command that ended before it was copied; make the job again";
            return self
                .fails_by(Failure::new(FailureClass::Manifest, "ManifestUnreadable", what), what)
                .await;
        }
        let store = Arc::clone(&self.tools.store) as _;
        let reader =
            ManifestReader::of(&self.held.spec, store, Handle::current(), Arc::clone(&self.around.random));
        let reader = match reader {
            Ok(reader) => reader,
            Err(error) => {
                let text = with_causes(&error);
                let failure = Failure::new(FailureClass::Manifest, "InvalidManifest", &text);
                return self.fails_by(failure, &text).await;
            }
        };
        let halt = Arc::clone(&reader.halt);
        self.shown.send_modify(|shown| {
            (shown.status, shown.reading) = (Status::Preparing, reader.progress.clone());
        });
        let mut copying = spawn_blocking(move || {
            let copied = reader.copy(&*disk);
            (reader, copied)
        });
        let mut look = interval(LOOK_EVERY);
        look.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let copied = loop {
            tokio::select! {
                copied = &mut copying => break copied?,
                _ = look.tick() => self.obey().await?,
                () = self.around.stop.cancelled() => {}
            }
            if self.around.stop.is_cancelled() || self.state().status != Status::Preparing {
                halt.store(true, Ordering::Relaxed);
                match timeout(HALT_WAIT, &mut copying).await {
                    Ok(copied) => break copied?,
                    // The thread finds `halt` when its read ends, and publishes nothing.
                    Err(_) => return Ok(()),
                }
            }
        };
        if self.state().status != Status::Preparing {
            return Ok(());
        }
        match copied {
            (_, Ok(read)) => {
                let (job, form) = (self.held.id, read.form.as_str());
                let (tasks, markers) = (read.tasks, read.delete_markers);
                tracing::info!(%job, form, tasks, markers, "the manifest is copied");
                if let Some(why) = read.not_compared {
                    tracing::warn!(%job, why, "the manifest was not compared with its checksum");
                }
                self.prepared(TaskRows::open(&*self.held.disk, ROWS)?).await
            }
            (_, Err(ManifestError::Taker(_))) if halt.load(Ordering::Relaxed) => Ok(()),
            (reader, Err(error)) => match reader.failure(&error) {
                Some(failure) => self.fails_by(failure, &with_causes(&error)).await,
                None => Err(JobError::Copy(error)),
            },
        }
    }

    async fn prepared(&mut self, rows: TaskRows) -> Result<(), JobError> {
        let total = rows.len();
        let Some(past) = Past::new(total) else {
            let what = format!("{} tasks do not fit into the memory of this machine", grouped(total));
            return self
                .fails_by(Failure::new(FailureClass::Manifest, "InvalidManifestContent", &what), &what)
                .await;
        };
        let needs_confirmation = self.held.spec.confirmation_required;
        self.apply(Event::Prepared { total, needs_confirmation }).await?;
        (self.rows, self.past) = (Some(Arc::new(rows)), Some(past));
        self.shown.send_modify(|shown| shown.tasks.total = total);
        Ok(())
    }

    async fn fails_by(&mut self, failure: Failure, why: &str) -> Result<(), JobError> {
        self.why = Some(format!("{}: {}", failure.code, bare(why, &failure.code)));
        self.apply(Event::ManifestFailed(failure)).await
    }

    fn new_runner(&mut self) -> Result<Runner, JobError> {
        let (rows, past) = match (&self.rows, self.past.take()) {
            (Some(rows), Some(past)) => (Arc::clone(rows), past),
            _ => return Err(TaskRowsError::Missing(ROWS.to_owned()).into()),
        };
        let JobSpec { schema, user_arguments, concurrency, max_attempts, .. } = &self.held.spec;
        let limits = Limits {
            concurrency: usize::try_from(*concurrency).unwrap_or(usize::MAX),
            max_attempts: *max_attempts,
            threshold: Threshold {
                min_tasks: self.held.spec.failure_min_tasks,
                percent: u8::try_from(self.held.spec.failure_percent).unwrap_or(100),
            },
            ..Limits::default()
        };
        let parts = Parts {
            call: JobCall {
                job: self.held.id.to_string(),
                schema: *schema,
                arguments: user_arguments.clone(),
            },
            handler: Arc::clone(&self.tools.handler),
            rows: Arc::new(StoredRows(rows)),
            results: Arc::new(self.results.clone()),
            clock: Arc::clone(&self.around.clock),
            random: Arc::clone(&self.around.random),
        };
        Ok(Runner::new(parts, past, limits))
    }

    /// Runs tasks until all have ended, the job has to stop, or a person wants it to.
    async fn run_tasks(&mut self) -> Result<(), JobError> {
        let mut runner = match self.runner.take() {
            Some(runner) => runner,
            None => self.new_runner()?,
        };
        let mut progress = runner.progress();
        let end = {
            let (halt, halted) = watch::channel(false);
            let running = runner.run(halted);
            tokio::pin!(running);
            let mut look = interval(LOOK_EVERY);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    end = &mut running => break end?,
                    _ = look.tick() => {
                        self.obey().await?;
                        let status = self.state().status;
                        self.shown.send_modify(|shown| shown.status = status);
                        let is_over = status != Status::Active;
                        halt.send_if_modified(|halt| is_over && !std::mem::replace(halt, true));
                        self.tell_of_want(progress.borrow().starved);
                    }
                    () = self.around.stop.cancelled(), if !*halt.borrow() => {
                        halt.send_replace(true);
                    }
                    Ok(()) = progress.changed() => {
                        let tasks = *progress.borrow_and_update();
                        self.show(tasks);
                    }
                }
            }
        };
        let tasks = *progress.borrow_and_update();
        self.show(tasks);
        self.troubles.is_over(TroubleOf::Handles);
        self.tools.handler.rest();
        self.runner = Some(runner);
        let status = self.state().status;
        // A cancelled job stays cancelled, however its last tasks ended.
        match (end, status) {
            (End::Complete, Status::Active | Status::Pausing(_)) => self.apply(Event::AllTasksEnded).await,
            (End::TooManyFailed { executed, failed }, Status::Active | Status::Pausing(_)) => {
                let failure = self.too_many_failed(executed, failed);
                self.why = Some(failure.to_string());
                self.apply(Event::ThresholdPassed(failure)).await
            }
            (End::RowsLost(lost), Status::Active | Status::Pausing(_)) => {
                let reason = format!("{lost}; make a job of these rows");
                let failure = Failure::new(FailureClass::Other, "ManifestCopyDamaged", &reason);
                self.why = Some(failure.to_string());
                self.apply(Event::RowsLost(failure)).await
            }
            (End::Refused(refusal), Status::Active | Status::Pausing(_)) => {
                self.why = Some(refusal.to_string());
                let reason = format!("{}; {}", refusal.what, refusal.remedy);
                let failure = Failure::new(FailureClass::Access, refusal.class.slug(), &reason);
                self.apply(Event::AccessFailed(failure)).await
            }
            (End::Stopped, Status::Pausing(_)) => self.apply(Event::TasksAtRest).await,
            _ => Ok(()),
        }
    }

    fn show(&self, tasks: Progress) {
        let was_starved = self.shown.borrow().tasks.starved;
        self.shown.send_modify(|shown| shown.tasks = tasks);
        if was_starved != tasks.starved {
            self.tell_of_want(tasks.starved);
        }
    }

    fn tell_of_want(&self, is_starved: bool) {
        match is_starved {
            true => _ = self.troubles.waits(TroubleOf::Handles, NO_HANDLES),
            false => self.troubles.is_over(TroubleOf::Handles),
        }
    }

    fn too_many_failed(&self, executed: u64, failed: u64) -> Failure {
        let reason = format!(
            "{} of {} failed, more than {} %; no more were started",
            grouped(failed),
            counted(executed, "task", "tasks"),
            self.held.spec.failure_percent
        );
        Failure::new(FailureClass::Other, "TooManyTasksFailed", &reason)
    }

    /// Writes the report, and puts it into its bucket. What this machine lacks for it is waited for. False: the process
    /// is being ended before it is there.
    async fn report(&mut self, state: &JobState) -> Result<bool, JobError> {
        loop {
            let (of, what) = match self.report_once(state).await {
                Err(error) if lacks(&error, is_no_space) => (TroubleOf::Disk, NO_SPACE_FOR_REPORT),
                Err(error) if lacks(&error, is_no_handle) => (TroubleOf::Handles, NO_HANDLES),
                reported => return reported,
            };
            self.troubles.waits(of, what);
            if self.around.stop.run_until_cancelled(sleep(LOOK_EVERY)).await.is_none() {
                return Ok(false);
            }
        }
    }

    async fn report_once(&mut self, state: &JobState) -> Result<bool, JobError> {
        let Some(report) = self.written(state).await? else {
            self.apply(Event::ReportWritten).await?;
            return Ok(true);
        };
        let Around { clock, random, stop } = &self.around;
        self.troubles.is_over(TroubleOf::Disk);
        self.troubles.is_over(TroubleOf::Handles);
        let (store, troubles) = (&*self.tools.store, &*self.troubles);
        let store = ReportStore { store, clock: &**clock, random: &**random, stop, troubles };
        match store.put(report, &self.held.spec, Arc::clone(&self.held.disk)).await {
            Ok(()) => {}
            Err(NotStored::Stopped) => return Ok(false),
            Err(NotStored::Disk(error)) => return Err(JobError::Staged(error)),
            Err(error @ NotStored::Store { .. }) => {
                let NotStored::Store { cause, .. } = &error else { return Ok(false) };
                let class = match cause.outlook() {
                    Outlook::Passing => FailureClass::Unreachable,
                    _ => FailureClass::Access,
                };
                let failure = Failure::new(class, REPORT_NOT_STORED, &error.to_string());
                self.why.get_or_insert(format!("{REPORT_NOT_STORED}: {error}"));
                self.apply(Event::ReportFailed(failure)).await?;
                return Ok(true);
            }
        }
        self.apply(Event::ReportWritten).await?;
        // They would be removed with the job in any case.
        if let Err(error) = remove_staged(&*self.held.disk) {
            tracing::warn!(job = %self.held.id, %error, "files of the report stay in the job's folder");
        }
        Ok(true)
    }

    /// The files of the report; `None`: none is due.
    async fn written(&self, state: &JobState) -> Result<Option<Report>, JobError> {
        let (Some(to), Some(_)) = (self.held.spec.report.clone(), state.total) else { return Ok(None) };
        let (disk, job) = (Arc::clone(&self.held.disk), self.held.id);
        let date = state.report_date.unwrap_or(state.since);
        let written = spawn_blocking(move || {
            let disk: &dyn Disk = &*disk;
            let mut rows = ReportRows::of(TaskRows::open(disk, ROWS)?);
            Ok::<_, JobError>(write_report(disk, job, &to, date, &mut rows)?)
        });
        let report = written.await??;
        if let Some(report) = &report
            && report.left_out > 0
        {
            let first = report.left_out_named.first().map_or("", |(_, why)| why.as_str());
            tracing::warn!(%job, tasks = report.left_out, first, "tasks are left out of the report: their rows are damaged");
        }
        Ok(report)
    }
}

const NO_SPACE_FOR_REPORT: &str =
    "the disk of the job's folder is full: its report waits; free space, and the job goes on by itself";
const NO_HANDLES: &str = "this process gets no more file handles, processes or memory: tasks wait, and no try is counted; raise \
                          the limits (ulimit -n, ulimit -u), or run the job with a lower --concurrency";

/// Whether a cause of an error is one that this machine lacks.
fn lacks(error: &JobError, is_it: impl Fn(&io::Error) -> bool) -> bool {
    chain(error).filter_map(|error| error.downcast_ref::<io::Error>()).any(is_it)
}

/// The code of a job that failed because its report is not in its bucket.
pub const REPORT_NOT_STORED: &str = "ReportNotStored";

/// A text without the code at its beginning.
fn bare<'a>(text: &'a str, code: &str) -> &'a str {
    text.strip_prefix(code).map_or(text, |rest| rest.trim_start_matches([':', ' ']))
}

fn tell_of_damage(job: JobId, replayed: &Replayed) {
    let damage = &replayed.damage;
    if damage.ranges > 0 {
        let (ranges, bytes, first) = (damage.ranges, damage.bytes, damage.named.first());
        tracing::error!(
            %job, ranges, bytes, ?first,
            "the log of the job is damaged; results in these bytes are lost, and their tasks run again"
        );
    }
    if replayed.torn_bytes > 0 {
        tracing::info!(%job, bytes = replayed.torn_bytes, "what a crash left at the end of the log is cut off");
    }
}
