//! Imports one file: a thread reads the file into steps, and each step is handed to the target while the next
//! is read.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::counters::Counters;
use super::end::{End, Outcome};
use super::file_error::{FileError, FileFault};
use super::own_thread::on_own_thread;
use super::reading::typed;
use super::reject::Reject;
use super::reject_counts::RejectCounts;
use super::rejects_file::{RejectsFile, RejectsOf, RejectsOwner, TakenRejects};
use super::rejects_room::RejectsRoom;
use super::rows::RowReader;
use super::step::{RowLimits, Step, Steps};
use super::target::{Begin, Begun, Rows, RowsTaken, Standing, Target, TargetError};
use crate::boxed_future::BoxFuture;
use crate::log::ImportProgress;
use crate::sources::SourceId;
use crate::words::{Told, counted};

/// Steps that are read ahead of the one that is being handed over.
const STEPS_AHEAD: usize = 2;
/// The time that a stopped import waits for its reader, which may be waiting for the network. The reader then
/// ends by itself.
const READER_ENDS: Duration = Duration::from_secs(1);
/// The first and the longest wait before a retry.
const WAIT_FIRST: Duration = Duration::from_secs(1);
const WAIT_MAX: Duration = Duration::from_secs(300);

/// Opens a file at its first row.
pub type OpenRows = Arc<dyn Fn() -> Result<Box<dyn RowReader>, FileError> + Send + Sync>;

/// Checks that a file is still as it was when it was opened. Blocks.
pub type CheckUnchanged = Arc<dyn Fn() -> Result<(), FileError> + Send + Sync>;

/// A file to import.
#[derive(Clone)]
pub struct Job {
    /// What the target needs to know of the file.
    pub begin: Begin,
    /// Opens the file.
    pub open: OpenRows,
    /// Called once all rows are stored: the file is read ahead, and may have grown since its end was read.
    /// `None`: after a change nothing remembers which rows are stored.
    pub unchanged: Option<CheckUnchanged>,
    /// Which rows to import.
    pub limits: RowLimits,
    /// The path of the file for rejected rows.
    pub rejects: PathBuf,
    /// How rejected rows are numbered there.
    pub rejects_of: RejectsOf,
    /// The owner of the file for rejected rows.
    pub rejects_owner: RejectsOwner,
    /// The most rows per second.
    pub rate: Option<u32>,
    /// The room for rejected rows; `None`: it has no bound.
    pub rejects_room: Option<Arc<RejectsRoom>>,
    /// Takes the rejected rows instead of the file, where no disk outlives the process.
    pub reject_sink: Option<Arc<dyn RejectSink>>,
    /// Bytes of calls after which a step is handed over, if each step becomes an object of its own. `None`:
    /// steps are as large as a request.
    pub part_bytes: Option<usize>,
    /// How long a file that cannot be read for now is tried before its import ends for now, so that others have their turn.
    /// `None`: without end.
    pub patience: Option<Duration>,
}

/// Whether rejected rows are kept.
pub type Kept<'a> = BoxFuture<'a, Result<(), FileError>>;

/// Takes rejected rows where no file can keep them.
pub trait RejectSink: Send + Sync + std::fmt::Debug {
    /// Keeps the rejected rows of the step that begins at the row `first`. After a crash the same step comes
    /// again, with the same rows.
    fn keep<'a>(&'a self, job: &'a Job, first: u64, rejects: &'a [Reject]) -> Kept<'a>;
}

debug_fields!(Job { begin });

/// How the import of a file ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum FileEnd {
    /// All rows of the file are imported.
    Done,
    /// All rows of the file were imported before this run.
    DoneBefore,
    /// The file cannot be read to its end.
    Failed(FileError),
    /// The target refuses the file.
    Refused(TargetError),
    /// All wanted rows are imported, and the file has more.
    RangeDone,
    /// The import was stopped; the same command continues it.
    #[default]
    Stopped,
}

/// What became of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileReport {
    /// The file's name.
    pub name: String,
    /// How the import ended.
    pub end: FileEnd,
    /// The source of the calls; `None` if the import did not begin.
    pub source: Option<SourceId>,
    /// The progress before this run.
    pub before: ImportProgress,
    /// The progress now.
    pub progress: ImportProgress,
    /// The file with the rejected rows, if there are any.
    pub rejects: Option<PathBuf>,
    /// Whether the rows were imported before, with other options.
    pub other_options: bool,
    /// Rows of this run that equal an earlier row of the file with the same id.
    pub equal_rows: u64,
    /// Rows of this run that are to be left out.
    pub skipped_rows: u64,
    /// What the import waited for after its last step, masked; `None`: for nothing.
    pub waited_for: Option<String>,
    /// The rejected rows of this run by their code.
    pub by_code: RejectCounts,
    /// Rows that were rejected before this run and that a person does without since.
    pub settled: u64,
}

impl FileReport {
    /// The report of a file that ended before a row was read.
    pub fn new(name: String, end: FileEnd) -> Self {
        Self { name, end, ..Self::default() }
    }
}

/// Imports a file.
///
/// Whatever may succeed later is retried without limit. The log says why the import waits, once for each
/// reason. Not cancel-safe: stop the import with `stop`, and it ends with the step that is being stored.
pub async fn import_file(
    job: &Job,
    target: &dyn Target,
    counters: &Counters,
    stop: &CancellationToken,
) -> FileReport {
    let mut run = Run {
        job,
        target,
        counters,
        stop,
        waited: Waits::default(),
        pace: job.rate.map(Pace::new),
        report: FileReport::new(job.begin.name.clone(), FileEnd::Stopped),
        rejects: RejectCounts::default(),
        last_rejects: RejectCounts::default(),
    };
    let mut begin = job.begin.clone();
    let mut first = true;
    run.report.end = loop {
        let taken = match run.take_rejects().await {
            Ok(taken) => taken,
            Err(error) => break FileEnd::Failed(error),
        };
        let begun = match run.begin(&begin).await {
            Ok(begun) => begun,
            Err(end) => break end,
        };
        // A later begin must not force: rows that this run imported must not be imported again.
        begin.force = false;
        run.report.source = Some(begun.source.clone());
        let known = std::mem::replace(&mut run.report.progress, begun.progress);
        if std::mem::take(&mut first) {
            run.report.before = begun.progress;
        } else {
            // Another importer of the same file stored these rows.
            run.report.before = run.report.before.plus(begun.progress.since(known));
        }
        run.report.other_options = begun.other_options;
        if begun.standing == Standing::Done {
            break if run.report.before == begun.progress { FileEnd::DoneBefore } else { FileEnd::Done };
        }
        match run.steps(&begun, taken).await {
            Some(end) => {
                run.end(&begun, &end).await;
                break match end {
                    FileEnd::Failed(error) if error.fault == FileFault::Changed => {
                        FileEnd::Failed(changed(&error, run.report.progress.next_row, begun.keeps_prefix))
                    }
                    end => end,
                };
            }
            // Another importer was faster, or the import was closed: this one begins again at the row where
            // it is now.
            None => continue,
        }
    };
    run.report.by_code = run.rejects;
    run.report.by_code.add(&run.last_rejects);
    run.report
}

struct Run<'r> {
    job: &'r Job,
    target: &'r dyn Target,
    counters: &'r Counters,
    stop: &'r CancellationToken,
    waited: Waits,
    pace: Option<Pace>,
    report: FileReport,
    /// Rejected rows of the steps that were handed over.
    rejects: RejectCounts,
    /// Rejected rows that made the file fail.
    last_rejects: RejectCounts,
}

/// The result of reading a file.
type ReadEnd = Result<FileEnd, (FileError, Vec<Reject>)>;

impl Run<'_> {
    async fn begin(&mut self, begin: &Begin) -> Result<Begun, FileEnd> {
        loop {
            match self.target.begin(begin.clone()).await {
                Ok(begun) => return Ok(begun),
                Err(TargetError::Later { after, why }) => self.wait(after, why.masked()).await?,
                Err(error) => return Err(FileEnd::Refused(error)),
            }
        }
    }

    /// Hands over the steps of the file. `None`: the caller begins again.
    async fn steps(&mut self, begun: &Begun, taken: Option<TakenRejects>) -> Option<FileEnd> {
        let mut rejects = None;
        if let Some(taken) = taken {
            let (of, wanted) = (self.job.rejects_of.clone(), &self.job.limits.rows);
            let reread = begun.progress.next_row.max(wanted.start)..wanted.end;
            rejects = match self.with_rejects(move || taken.open(&of, &reread)).await {
                Ok(Some(rejects)) => Some(rejects),
                Ok(None) => return None,
                Err(error) => return Some(FileEnd::Failed(error)),
            };
        }
        // An earlier run of the import may have rejected rows, even if this one has none.
        self.report.rejects = rejects.as_ref().and_then(|rejects| rejects.path()).map(PathBuf::from);
        let (sender, mut steps) = mpsc::channel(STEPS_AHEAD);
        // The memory of a step goes back to the thread that needs it next. Given to the allocator on another
        // thread, it would stay resident for a while, and a fast import would use ten times as much.
        let (spare, mut spares) = mpsc::channel(STEPS_AHEAD + 2);
        let reading = {
            let (job, begun) = (self.job.clone(), begun.clone());
            on_own_thread(move || read(&job, &begun, &sender, &mut spares))
        };
        let ended = loop {
            // The import stops at once while nothing is being stored: the reader may be waiting for the
            // network.
            let Some(step) = self.stop.run_until_cancelled(steps.recv()).await else {
                break Some(Some(FileEnd::Stopped));
            };
            let Some(mut step) = step else { break None };
            // Steps that are only counted again have their rejected rows in the file already.
            let is_new = step.first >= begun.progress.next_row;
            let new = if is_new { step.rejects.clone() } else { Vec::new() };
            if let Err(end) = self.keep(&mut rejects, step.first, new).await {
                break Some(Some(end));
            }
            if let Some(pace) = &mut self.pace
                && self.stop.run_until_cancelled(pace.wait(step.rows)).await.is_none()
            {
                break Some(Some(FileEnd::Stopped));
            }
            if step.cut_off
                && let end @ (FileEnd::Failed(_) | FileEnd::Stopped) = self.done_if_unchanged().await
            {
                break Some(Some(end));
            }
            match self.store(begun, &mut step, &mut rejects).await {
                Ok(Some(calls)) => {
                    if is_new {
                        self.rejects.count(&step.rejects);
                        self.report.equal_rows += step.repeats;
                        self.report.skipped_rows += step.skipped;
                        self.target.left_out(&begun.source, step.skipped);
                    }
                    give_back(calls, &spare);
                }
                Ok(None) => break Some(None),
                Err(end) => break Some(Some(end)),
            }
        };
        drop(steps);
        if ended == Some(Some(FileEnd::Stopped)) {
            // The rows of the reader are not needed. The reader soon finds that nobody takes its steps.
            drop(tokio::time::timeout(READER_ENDS, reading).await);
            return ended.flatten();
        }
        let read = reading.await;
        if let Some(ended) = ended {
            return ended;
        }
        let end = match read {
            Ok(Ok(FileEnd::Done)) => self.done_if_unchanged().await,
            Ok(Ok(end)) => end,
            Ok(Err((error, last))) => {
                let first = self.report.progress.next_row;
                self.last_rejects = RejectCounts::default();
                self.last_rejects.count(&last);
                if let Err(FileEnd::Failed(unkept)) = self.keep(&mut rejects, first, last).await {
                    tracing::warn!(error = unkept.masked(), "the last rejected rows are not kept");
                }
                if error.fault == FileFault::Transient && !self.waited.is_longer_than(self.job.patience) {
                    return self.wait(Duration::ZERO, error.message.masked()).await.err();
                }
                FileEnd::Failed(error)
            }
            Err(error) => FileEnd::Failed(error),
        };
        Some(end)
    }

    /// The end of a file whose rows are all read.
    async fn done_if_unchanged(&mut self) -> FileEnd {
        let Some(unchanged) = self.job.unchanged.clone() else { return FileEnd::Done };
        loop {
            let unchanged = Arc::clone(&unchanged);
            let looked = on_own_thread(move || unchanged()).await;
            let error = match looked.and_then(|looked| looked) {
                Ok(()) => return FileEnd::Done,
                Err(error) => error,
            };
            if error.fault != FileFault::Transient || self.waited.is_longer_than(self.job.patience) {
                return FileEnd::Failed(error);
            }
            if let Err(stopped) = self.wait(Duration::ZERO, error.message.masked()).await {
                return stopped;
            }
        }
    }

    async fn take_rejects(&self) -> Result<Option<TakenRejects>, FileError> {
        if self.job.reject_sink.is_some() {
            return Ok(None);
        }
        let (path, owner) = (self.job.rejects.clone(), self.job.rejects_owner.clone());
        self.with_rejects(move || TakenRejects::take(&path, &owner).map(Some)).await
    }

    async fn with_rejects<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, FileError> {
        let done = tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(error.into()));
        done.map_err(|error| no_rejects(&self.job.rejects, &error))
    }

    /// Keeps rejected rows before the step that covers them is handed over: after that, they are not read
    /// again.
    async fn keep(
        &mut self,
        file: &mut Option<RejectsFile>,
        first: u64,
        rejects: Vec<Reject>,
    ) -> Result<(), FileEnd> {
        if rejects.is_empty() {
            return Ok(());
        }
        if let Some(sink) = &self.job.reject_sink {
            loop {
                match sink.keep(self.job, first, &rejects).await {
                    // The step comes again if the import is stopped during the wait.
                    Err(error) if error.fault == FileFault::Transient => {
                        self.wait(Duration::ZERO, error.message.masked()).await?;
                    }
                    done => return done.map_err(FileEnd::Failed),
                }
            }
        }
        let Some(mut kept) = file.take() else { return Ok(()) };
        let room = self.job.rejects_room.clone();
        let add = move || kept.add_within(&rejects, room.as_deref()).map(|()| kept);
        let kept = self.with_rejects(add).await.map_err(FileEnd::Failed)?;
        self.report.rejects = kept.path().map(PathBuf::from);
        *file = Some(kept);
        Ok(())
    }

    /// Hands over one step, without the calls whose ids other calls have: their rows are rejected. Returns
    /// the memory of the step; `None`: its rows are not the next ones.
    async fn store(
        &mut self,
        begun: &Begun,
        step: &mut Step,
        rejects: &mut Option<RejectsFile>,
    ) -> Result<Option<Bytes>, FileEnd> {
        loop {
            let calls = Bytes::from(std::mem::take(&mut step.calls));
            let call = match self.hand_over(begun, step, &calls).await {
                Err(FileEnd::Refused(TargetError::IdTaken(call))) => call,
                taken => return taken.map(|is_taken| is_taken.then_some(calls)),
            };
            step.calls = calls.into();
            let reject = step.reject(call).ok_or(FileEnd::Refused(TargetError::IdTaken(call)))?;
            self.keep(rejects, step.first, vec![reject]).await?;
            let rejected = self.report.progress.rejected + step.rejects.len() as u64;
            if self.job.limits.on_row_error.stops(rejected, step.end()) {
                self.last_rejects = RejectCounts::default();
                self.last_rejects.count(&step.rejects);
                return Err(FileEnd::Failed(self.job.limits.too_many(rejected, step.end(), &step.rejects)));
            }
        }
    }

    /// Hands over one step. `Ok(false)`: the step's rows are not the next ones.
    async fn hand_over(&mut self, begun: &Begun, step: &Step, calls: &Bytes) -> Result<bool, FileEnd> {
        let rows = Rows {
            import: begun.import,
            first: step.first,
            rows: step.rows,
            rejected: step.rejects.len() as u64,
            repeats: step.repeats,
            // Older nodes do not know prefixes.
            prefix: step.prefix.filter(|_| begun.keeps_prefix),
        };
        let end = step.end();
        loop {
            match self.target.rows(rows, calls.clone()).await {
                Ok(RowsTaken { progress }) => {
                    self.took(progress);
                    (self.waited, self.report.waited_for) = (Waits::default(), None);
                    return Ok(true);
                }
                Err(TargetError::Later { after, why }) => self.wait(after, why.masked()).await?,
                Err(TargetError::OtherRow | TargetError::NotOpen) => {
                    let again = self.begin(&Begin { force: false, ..self.job.begin.clone() }).await?;
                    let next = again.read_from;
                    if next == end && again.standing != Standing::Done {
                        // The step was stored, and the answer was lost.
                        self.took(again.progress);
                        return Ok(true);
                    }
                    if next != rows.first || again.import != begun.import || again.standing == Standing::Done
                    {
                        return Ok(false);
                    }
                }
                Err(error) => return Err(FileEnd::Refused(error)),
            }
        }
    }

    fn took(&mut self, now: ImportProgress) {
        let before = std::mem::replace(&mut self.report.progress, now);
        let more = |of: fn(&ImportProgress) -> u64| of(&now).saturating_sub(of(&before));
        self.counters.change(|counts| {
            counts.rows += more(|progress| progress.next_row);
            counts.stored += more(|progress| progress.stored);
            counts.rejected += more(|progress| progress.rejected + progress.refused);
            counts.repeats += more(|progress| progress.repeats);
        });
    }

    async fn end(&mut self, begun: &Begun, end: &FileEnd) {
        let outcome = match end {
            FileEnd::Done => Outcome::Done,
            FileEnd::Failed(error) if error.fault == FileFault::Content => {
                Outcome::Failed { code: error.code.clone(), message: error.message.clone() }
            }
            _ => Outcome::Stopped,
        };
        let is_changed = matches!(end, FileEnd::Failed(error) if error.fault == FileFault::Changed);
        let lasting = outcome != Outcome::Stopped || (is_changed && begun.keeps_prefix);
        let (rejects, last_rejects) = (self.rejects.clone(), self.last_rejects.clone());
        // The path is absolute, because its readers are in another folder, and perhaps on another machine.
        let rejects_file = self.report.rejects.as_deref().map(|path| {
            std::path::absolute(path).unwrap_or_else(|_| path.to_owned()).to_string_lossy().into_owned()
        });
        let version = self.job.begin.version.map(|version| version.file);
        let (import, skipped) = (begun.import, self.report.skipped_rows);
        let end = End { import, outcome, rejects, last_rejects, skipped, rejects_file, version };
        loop {
            let (after, why): (_, Told) = match self.target.end(end.clone()).await {
                Ok(()) => return,
                // The target finds the progress of a stopped import in its log. What a changed file begins
                // with is recorded nowhere else, so that is retried.
                Err(TargetError::Later { after, why }) if lasting => (after, why),
                // The import was closed to make room for others, or the answer to an earlier try was lost.
                Err(TargetError::NotOpen) if lasting => {
                    match self.begin(&Begin { force: false, ..self.job.begin.clone() }).await {
                        Ok(begun) if begun.standing != Standing::Done => {
                            (Duration::ZERO, "the import was closed before its end was recorded".into())
                        }
                        Ok(_) | Err(_) => return,
                    }
                }
                Err(error) => {
                    tracing::debug!(error = error.masked(), "the end of an import is not recorded");
                    return;
                }
            };
            if self.wait(after, why.masked()).await.is_err() {
                return;
            }
        }
    }

    /// Waits before a retry.
    async fn wait(&mut self, at_least: Duration, why: &str) -> Result<(), FileEnd> {
        self.report.waited_for = Some(why.to_owned());
        self.waited.wait(at_least, why, self.stop).await.ok_or(FileEnd::Stopped)
    }
}

/// Reads a file into steps, until the end of the file or until nobody takes them. Returns which came first.
fn read(
    job: &Job,
    begun: &Begun,
    steps: &mpsc::Sender<Step>,
    spares: &mut mpsc::Receiver<Vec<u8>>,
) -> ReadEnd {
    let failed = |error| (error, Vec::new());
    let mut reader = (job.open)().map_err(failed)?;
    if begun.keeps_types && begun.standing == Standing::Continued {
        // Without types, a program began the import that found the type of each cell.
        reader.use_types(&begun.types.clone().unwrap_or_default()).map_err(failed)?;
    }
    let is_left = || steps.is_closed();
    let read = Steps::after(&mut *reader, &job.limits, begun, job.part_bytes, &is_left);
    let Some(mut read) = read.map_err(failed)? else { return Ok(FileEnd::Stopped) };
    while let Some(step) = read.next(spares.try_recv().unwrap_or_default())? {
        if steps.blocking_send(step).is_err() {
            return Ok(FileEnd::Stopped);
        }
    }
    // Rows outside of a range can still be imported, so the file is not done.
    let whole = job.limits.rows == RowLimits::default().rows;
    Ok(if read.at_end && whole { FileEnd::Done } else { FileEnd::RangeDone })
}

/// Gives the memory of a step to the reader, if nobody else uses it and the reader has not ended.
fn give_back(calls: Bytes, to: &mpsc::Sender<Vec<u8>>) {
    if let (Ok(calls), Ok(place)) = (calls.try_into_mut(), to.try_reserve()) {
        place.send(calls.into());
    }
}

/// The failure of a file that changed while it was read: which rows are stored, and what the next import
/// does.
fn changed(error: &FileError, rows: u64, keeps_prefix: bool) -> FileError {
    let what = error.message.masked();
    let rows = counted(rows, "row", "rows");
    let next = match keeps_prefix {
        true => {
            "the next import continues after them if the file still begins with them, and otherwise imports all rows"
        }
        false => "the next import takes it for another file and imports all of its rows",
    };
    let hint = "import it again when it is written";
    let told = Told::plain(format!("{what}. Its first {rows} are imported; {next}: {hint}"));
    FileError::new(error.fault, &error.code, told)
}

fn no_rejects(path: &std::path::Path, error: &io::Error) -> FileError {
    // The first rejected row makes the import read the file to describe how its rows are read, so the error
    // may be the file's.
    if let Some(of_file) = typed::<FileError>(error) {
        return of_file.clone();
    }
    let what = format!("{} cannot be used for rejected rows: {error}", path.display());
    // No error of the rejects file quotes a line of it.
    FileError::new(FileFault::Local, "E-REJECTS", Told::plain(what))
}

/// The waits before retries, and the reason that was logged last.
#[derive(Debug, Default)]
pub struct Waits {
    last: Duration,
    all: Duration,
    why: String,
}

impl Waits {
    /// Waits before a retry: longer each time, from a second to five minutes. Logs `why`, once for each
    /// reason in a row. `None`: it was stopped meanwhile.
    pub async fn wait(&mut self, at_least: Duration, why: &str, stop: &CancellationToken) -> Option<()> {
        self.last = self.last.saturating_mul(2).clamp(WAIT_FIRST, WAIT_MAX);
        if self.why != why {
            why.clone_into(&mut self.why);
            tracing::warn!("waiting before a retry: {why}");
        }
        let wait = self.last.max(at_least).min(WAIT_MAX);
        self.all = self.all.saturating_add(wait);
        stop.run_until_cancelled(tokio::time::sleep(wait)).await
    }

    /// Whether all waits in a row took longer than this. `None`: nothing is too long.
    pub fn is_longer_than(&self, patience: Option<Duration>) -> bool {
        patience.is_some_and(|patience| self.all > patience)
    }
}

/// Limits the rate of rows.
#[derive(Debug)]
struct Pace {
    rows_per_second: u32,
    next: Instant,
}

impl Pace {
    fn new(rows_per_second: u32) -> Self {
        Self { rows_per_second: rows_per_second.max(1), next: Instant::now() }
    }

    async fn wait(&mut self, rows: u64) {
        tokio::time::sleep_until(self.next).await;
        #[expect(clippy::cast_precision_loss, reason = "a step has thousands of rows")]
        let takes = Duration::from_secs_f64(rows as f64 / f64::from(self.rows_per_second));
        self.next = self.next.max(Instant::now()) + takes;
    }
}
