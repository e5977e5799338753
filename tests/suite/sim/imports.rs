//! Imported files: their rows, what their readers sent and were answered, and what the log must know of them.
//!
//! The taking side is that of production ([`Importer`]) over [`SimJournal`]. A reader gives up waiting for an
//! answer, sends a step a second time while the first is in flight, stops and continues, and shares its file
//! with another reader.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use forebay::boxed_future::BoxFuture;
use forebay::import::journal::JournalError;
use forebay::import::{
    Begin, Begun, End, ImportSources, Importer, ImporterDeps, NoSource, OptionsHash, Outcome, Rows,
    RowsTaken, Standing, Target as _, TargetError, WantedSource,
};
use forebay::ingest::{Ingest, IngestDeps, IngestSettings};
use forebay::log::{Append, AppendError, Appended, ImportKey, ImportProgress, RequestFrames};
use forebay::metrics::Metrics;
use forebay::object::Stream;
use forebay::planted_bugs::{PlantedBug, plant, planted};
use forebay::sources::SourceId;
use forebay::time::{Clock, UnixMillis};

use super::clients::Clients;
use super::journal::SimJournal;
use super::passing::{HandedOver, PassClock};
use super::process::{Process, Seeded};
use super::world::{Violation, World};
use crate::support::sim_disk::Dice;
use crate::support::trace::Trace;

/// Bytes of a row's frame, at most.
const ROW_BYTES_MAX: u64 = 600;

/// What a row is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A call. A later row may be the same call.
    Call,
    /// The same call as an earlier row.
    Again(usize),
    /// An item that intake stores in the rejected stream.
    Refused,
    /// An item that the reader finds not to be a call.
    Rejected,
    /// Neither: the reader passes over it.
    Empty,
}

#[derive(Debug)]
struct File {
    id: String,
    source: usize,
    kinds: Vec<Kind>,
    /// The message of the first row. Those of the others follow.
    first_message: usize,
    /// The row after the last one sent.
    sent: u64,
    /// The row after the last one that an answer, or a progress, called stored.
    acknowledged: u64,
    /// Whether the end of the import was acknowledged.
    ended: bool,
    /// The progress of a file that is imported.
    done: Option<ImportProgress>,
    /// Steps in flight in this life.
    in_flight: u64,
}

/// What a reader does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Idle,
    Open { key: ImportKey, next: u64 },
    Waits { rows: Rows, attempt: u64 },
}

#[derive(Debug)]
struct Reader {
    file: usize,
    stage: Stage,
}

#[derive(Debug, Default)]
struct State {
    files: Vec<File>,
    readers: Vec<Reader>,
    life: u64,
    attempts: u64,
    /// Whether damage may have reached what the log knows of the files.
    damaged: bool,
    wrong: Option<Violation>,
}

/// All files and their readers. Clones share their state.
#[derive(Clone, Debug)]
pub(super) struct Imports {
    state: Arc<Mutex<State>>,
    trace: Trace,
}

/// Notes which lines are queued, and with which `receivedAt`: intake chooses it.
#[derive(Debug)]
struct Noting {
    appender: Arc<dyn Append>,
    clients: Clients,
}

impl Append for Noting {
    fn not_before(&self) -> UnixMillis {
        self.appender.not_before()
    }

    fn append(&self, frames: RequestFrames) -> BoxFuture<'_, Result<Appended, AppendError>> {
        self.clients.queued(&frames);
        self.appender.append(frames)
    }
}

/// Finds every source by its id.
#[derive(Debug)]
pub(super) struct ById;

impl ImportSources for ById {
    fn find(&self, wanted: &WantedSource) -> Result<SourceId, NoSource> {
        match wanted {
            WantedSource::Id(id) => Ok(id.clone()),
            _ => Err(NoSource::UnknownKey),
        }
    }
}

impl File {
    fn draw(dice: &mut Dice, number: usize, clients: &Clients) -> Self {
        let mut kinds = Vec::new();
        let mut calls: Vec<usize> = Vec::new();
        for row in 0..3 + dice.index(50) {
            let kind = match dice.below(12) {
                0 => Kind::Refused,
                1 => Kind::Rejected,
                2 => Kind::Empty,
                3 if !calls.is_empty() => Kind::Again(dice.of(&calls)),
                _ => Kind::Call,
            };
            if kind == Kind::Call {
                calls.push(row);
            }
            kinds.push(kind);
        }
        // 26 characters of base32.
        let id = format!("{}{}", ["b", "c", "d", "e"][number], "a".repeat(25));
        Self {
            id,
            source: dice.index(clients.sources.len()),
            first_message: clients.add_messages(kinds.len()),
            kinds,
            sent: 0,
            acknowledged: 0,
            ended: false,
            done: None,
            in_flight: 0,
        }
    }

    fn rows(&self) -> u64 {
        self.kinds.len() as u64
    }

    /// Checks what is said to be stored of the file.
    fn check(&mut self, progress: ImportProgress, damaged: bool) -> Result<(), Violation> {
        let next = usize::try_from(progress.next_row).unwrap();
        if progress.next_row > self.sent {
            return Err(format!("I10: {progress:?}, but only {} rows were sent", self.sent));
        }
        if progress.next_row < self.acknowledged && !damaged {
            return Err(format!("I10: {progress:?}, but {} rows were acknowledged", self.acknowledged));
        }
        self.acknowledged = self.acknowledged.max(progress.next_row);
        let count = |of: fn(&Kind) -> bool| self.kinds[..next].iter().filter(|kind| of(kind)).count() as u64;
        let calls = count(|kind| matches!(kind, Kind::Call | Kind::Again(_)));
        let expected = (calls, count(|kind| *kind == Kind::Refused), count(|kind| *kind == Kind::Rejected));
        let said = (progress.stored + progress.repeats, progress.refused, progress.rejected);
        if said != expected && !damaged {
            return Err(format!("I10: {progress:?}, but calls, refused and rejected rows are {expected:?}"));
        }
        Ok(())
    }

    /// The next step: its rows, and its body. `copy` numbers the copy of a row's message.
    fn step(&self, rows: Rows, copy: &mut dyn FnMut(usize, Stream) -> usize) -> String {
        let mut items = Vec::new();
        for row in rows.first..rows.first + rows.rows {
            let row = usize::try_from(row).unwrap();
            let (call, of) = match self.kinds[row] {
                Kind::Call => ("track", row),
                Kind::Again(of) => ("track", of),
                Kind::Refused => ("dance", row),
                Kind::Rejected | Kind::Empty => continue,
            };
            let stream = if call == "track" { Stream::Calls } else { Stream::Rejected };
            let message = self.first_message + row;
            let copy = copy(message, stream);
            // Only calls that come twice have an id: that any other is stored once is not for its id to
            // ensure.
            let twice = self.kinds.contains(&Kind::Again(of));
            let id = if twice { format!(",\"messageId\":\"{}-{of}\"", self.id) } else { String::new() };
            items.push(format!(
                "{{\"type\":\"{call}\",\"event\":\"e\",\"userId\":\"u\",\"message\":{message},\"copy\":{copy}{id}}}"
            ));
        }
        format!("{{\"batch\":[{}]}}", items.join(","))
    }
}

impl State {
    fn violated(&mut self, checked: Result<(), Violation>) {
        self.wrong = self.wrong.take().or(checked.err());
    }
}

impl Imports {
    /// Draws the files of a world; none if it imports nothing.
    pub(super) fn draw(dice: &mut Dice, wanted: bool, clients: &Clients, trace: Trace) -> Self {
        let mut state = State::default();
        for number in 0..if wanted { 1 + dice.index(3) } else { 0 } {
            state.files.push(File::draw(dice, number, clients));
            for _ in 0..=u64::from(dice.chance(500)) {
                state.readers.push(Reader { file: number, stage: Stage::Idle });
            }
        }
        Self { state: Arc::new(Mutex::new(state)), trace }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lock().files.is_empty()
    }

    /// The first violation that an answer showed, if any.
    pub(super) fn wrong(&self) -> Option<Violation> {
        self.lock().wrong.clone()
    }

    /// From here on the log may know less of a file than was acknowledged.
    pub(super) fn may_be_damaged(&self) {
        self.lock().damaged = true;
    }

    /// Ends a life: steps in flight get no answer.
    pub(super) fn end_life(&self) {
        let mut state = self.lock();
        state.life += 1;
        state.files.iter_mut().for_each(|file| file.in_flight = 0);
        state.readers.iter_mut().for_each(|reader| reader.stage = Stage::Idle);
    }

    /// Whether every file is imported.
    pub(super) fn are_done(&self) -> bool {
        self.lock().files.iter().all(|file| file.done.is_some())
    }

    fn begin(&self, reader: usize, importer: &Importer, sources: &[SourceId]) {
        let mut state = self.lock();
        let (at, damaged) = (state.readers[reader].file, state.damaged);
        let file = &state.files[at];
        let begin = Begin {
            file: file.id.parse().unwrap(),
            name: "rows.csv".to_owned(),
            bytes: None,
            source: WantedSource::Id(sources[file.source].clone()),
            import: None,
            insert_id_window: None,
            options: OptionsHash::of(b"o"),
            types: None,
            limits: String::new(),
            by_content: false,
            retry_of: None,
            force: false,
            place: None,
            version: None,
        };
        let begun = importer.begin_now(&begin);
        self.trace.note("begin", &format!("{:?}", begun.as_ref().map(|begun| begun.progress)), &[at as u64]);
        let (checked, stage) = match begun {
            Ok(Begun { import, progress, standing, .. }) => {
                let file = &mut state.files[at];
                let mut checked = file.check(progress, damaged);
                if standing == Standing::Done {
                    file.done = Some(progress);
                }
                let is_done = standing == Standing::Done && progress.next_row == file.rows();
                if file.ended && !is_done {
                    checked = Err(format!("I10: an imported file begins again: {standing:?}, {progress:?}"));
                }
                let what = match standing {
                    Standing::New => "an import begun",
                    Standing::Continued => "an import continued",
                    Standing::Done => "an imported file known",
                };
                self.trace.count(what);
                let stage = Stage::Open { key: import, next: progress.next_row };
                (checked, if standing == Standing::Done { Stage::Idle } else { stage })
            }
            Err(TargetError::Later { .. }) => (Ok(()), Stage::Idle),
            Err(error) => (Err(format!("I10: a file cannot be begun: {error}")), Stage::Idle),
        };
        state.readers[reader].stage = stage;
        state.violated(checked);
    }

    /// Ends an import, unless a step is in flight: the end would wait for it, and this thread must store it.
    fn end(&self, reader: usize, key: ImportKey, outcome: Outcome, importer: &Importer) {
        let mut state = self.lock();
        let at = state.readers[reader].file;
        if state.files[at].in_flight > 0 {
            return;
        }
        let is_done = outcome == Outcome::Done;
        let ended = off_the_runtime(|| importer.end_now(End::of(key, outcome)));
        self.trace.note("end", &format!("{ended:?}"), &[at as u64, u64::from(is_done)]);
        let checked = match ended {
            Ok(()) => {
                state.files[at].ended |= is_done;
                self.trace.count(if is_done { "an import ended" } else { "an import stopped" });
                Ok(())
            }
            Err(TargetError::Later { .. } | TargetError::NotOpen) => Ok(()),
            Err(error) => Err(format!("I10: an import cannot be ended: {error}")),
        };
        state.readers[reader].stage = Stage::Idle;
        state.violated(checked);
    }

    /// Sends a step in its own task, which waits for the answer.
    fn send(&self, reader: usize, rows: Rows, importer: Arc<Importer>, clients: &Clients) {
        let mut state = self.lock();
        state.attempts += 1;
        let (attempt, life, at) = (state.attempts, state.life, state.readers[reader].file);
        state.readers[reader].stage = Stage::Waits { rows, attempt };
        let file = &mut state.files[at];
        file.in_flight += 1;
        file.sent = file.sent.max(rows.first + rows.rows);
        let body = file.step(rows, &mut |message, stream| clients.add_copy(message, file.source, stream));
        self.trace.note("rows", "", &[at as u64, rows.first, rows.rows, attempt]);
        let imports = self.clone();
        tokio::spawn(async move {
            let answer = importer.rows(rows, body.into()).await;
            imports.answered((reader, at), (life, attempt), rows, answer);
        });
    }

    fn answered(
        &self,
        (reader, at): (usize, usize),
        (life, attempt): (u64, u64),
        rows: Rows,
        answer: Result<RowsTaken, TargetError>,
    ) {
        self.trace.note("rows answered", &format!("{answer:?}"), &[at as u64, attempt]);
        let mut state = self.lock();
        let (damaged, ended) = (state.damaged, u64::from(life == state.life));
        let file = &mut state.files[at];
        file.in_flight = file.in_flight.saturating_sub(ended);
        let end = rows.first + rows.rows;
        let mut checked = Ok(());
        let stage = match answer {
            Ok(RowsTaken { progress }) => {
                self.trace.count("rows taken");
                if rows.first < file.acknowledged && !damaged {
                    checked = Err(format!("I10: rows from {} on are stored a second time", rows.first));
                } else if progress.next_row != end {
                    checked = Err(format!("I10: {progress:?} after {rows:?}"));
                } else {
                    checked = file.check(progress, damaged);
                }
                Stage::Open { key: rows.import, next: progress.next_row }
            }
            Err(TargetError::OtherRow) => {
                self.trace.count("rows refused for their first row");
                Stage::Idle
            }
            Err(TargetError::NotOpen) => {
                self.trace.count("rows refused because the import is closed");
                Stage::Idle
            }
            Err(TargetError::Later { .. }) => Stage::Open { key: rows.import, next: rows.first },
            Err(error) => {
                checked = Err(format!("I10: rows cannot be taken: {error}"));
                Stage::Idle
            }
        };
        // The reader may have given up on this answer, or wait for that of another attempt.
        if state.readers[reader].stage == (Stage::Waits { rows, attempt }) {
            state.readers[reader].stage = stage;
        }
        state.violated(checked);
    }

    /// What a reader does, and the rows of its file. `None` if the file is known to be imported.
    fn stage(&self, reader: usize) -> Option<(Stage, u64)> {
        let state = self.lock();
        let Reader { file, stage } = &state.readers[reader];
        let file = &state.files[*file];
        let finished = *stage == Stage::Idle && file.done.is_some();
        (!finished).then_some((*stage, file.rows()))
    }

    /// Begins again: the reader was restarted, or its answer is lost.
    fn restart(&self, reader: usize) {
        self.lock().readers[reader].stage = Stage::Idle;
    }

    fn readers(&self) -> usize {
        self.lock().readers.len()
    }

    /// The rows of a file that belong to the step of so many rows.
    fn rows(&self, reader: usize, key: ImportKey, first: u64, rows: u64) -> Rows {
        let state = self.lock();
        let file = &state.files[state.readers[reader].file];
        let rows = rows.min(file.rows() - first);
        let kinds = file.kinds.iter().skip(usize::try_from(first).unwrap());
        let rejected = kinds.take(usize::try_from(rows).unwrap()).filter(|kind| **kind == Kind::Rejected);
        Rows { import: key, first, rows, rejected: rejected.count() as u64, repeats: 0, prefix: None }
    }
}

impl World {
    /// Some readers go on.
    pub(super) async fn import_some(&mut self, process: &mut Process) -> Result<(), Violation> {
        if self.imports.is_empty() || !self.import_dice.chance(700) {
            return Ok(());
        }
        for _ in 0..=self.import_dice.log(3) {
            let reader = self.import_dice.index(self.imports.readers());
            self.reader_goes_on(reader, process, true)?;
        }
        tokio::task::yield_now().await;
        Ok(())
    }

    /// All readers go on, without trouble. Returns whether every file is imported.
    pub(super) async fn import_all(&mut self, process: &mut Process) -> Result<bool, Violation> {
        for reader in 0..self.imports.readers() {
            self.reader_goes_on(reader, process, false)?;
        }
        tokio::task::yield_now().await;
        Ok(self.imports.are_done())
    }

    fn reader_goes_on(
        &mut self,
        reader: usize,
        process: &mut Process,
        trouble: bool,
    ) -> Result<(), Violation> {
        let Some(importer) = self.importer(process)? else { return Ok(()) };
        let rows_max = (self.group_max() / ROW_BYTES_MAX).max(1);
        let (dice, imports) = (&mut self.import_dice, &self.imports);
        let mut comes = |of_thousand| trouble && dice.chance(of_thousand);
        match imports.stage(reader) {
            None if comes(100) => imports.begin(reader, &importer, &self.clients.sources),
            None => {}
            Some((Stage::Idle, _)) => imports.begin(reader, &importer, &self.clients.sources),
            Some((Stage::Open { .. }, _)) if comes(60) => imports.restart(reader),
            Some((Stage::Open { key, .. }, _)) if comes(60) => {
                imports.end(reader, key, Outcome::Stopped, &importer);
            }
            Some((Stage::Open { key, next }, rows)) if next == rows => {
                imports.end(reader, key, Outcome::Done, &importer);
            }
            Some((Stage::Open { key, next }, _)) => {
                let rows = imports.rows(reader, key, next, 1 + dice.below(rows_max));
                imports.send(reader, rows, importer, &self.clients);
            }
            Some((Stage::Waits { .. }, _)) if comes(150) => {
                self.trace.count("a reader that gave up waiting");
                imports.restart(reader);
            }
            Some((Stage::Waits { rows, .. }, _)) if comes(100) => {
                self.trace.count("rows sent twice");
                imports.send(reader, rows, importer, &self.clients);
            }
            Some((Stage::Waits { .. }, _)) => {}
        }
        Ok(())
    }

    /// The taking side of this process. `None` if trouble keeps it from starting.
    pub(super) fn importer(&self, process: &mut Process) -> Result<Option<Arc<Importer>>, Violation> {
        if process.importer.is_none() && (!self.imports.is_empty() || self.bucket.is_some()) {
            let troubles = || self.disk.failures() + self.disk.space_missed() + process.disk.handles_missed();
            let before = troubles();
            match self.new_importer(process) {
                Ok(importer) => process.importer = Some(Arc::new(importer)),
                Err(_) if !process.disk.is_alive() || troubles() > before => {
                    self.trace.count("a start without imports");
                }
                Err(error) => return Err(format!("I10: nothing can be imported: {error}")),
            }
        }
        Ok(process.importer.clone())
    }

    fn new_importer(&self, process: &Process) -> Result<Importer, JournalError> {
        let clock: Arc<dyn Clock> = match &process.baton {
            Some(baton) => Arc::new(PassClock(Arc::clone(baton))),
            None => Arc::new(self.clock.clone()),
        };
        // The ids that it makes decide nothing.
        let random = Arc::new(Seeded(Mutex::new(Dice(self.imports.lock().life))));
        let appender: Arc<dyn Append> = match &process.baton {
            Some(baton) => {
                Arc::new(HandedOver { appender: process.spool.appender(), baton: Arc::clone(baton) })
            }
            None => Arc::new(Noting { appender: process.spool.appender(), clients: self.clients.clone() }),
        };
        let metrics = Metrics::new();
        let deps = IngestDeps {
            clock: Arc::clone(&clock),
            random,
            metrics: metrics.clone(),
            appender,
            fingerprinter: process.spool.fingerprinter(),
            live: Arc::default(),
        };
        let ingest = Arc::new(Ingest::new(deps, IngestSettings::default()));
        let journal = Arc::new(SimJournal::open(&process.disk)?);
        let deps = ImporterDeps { ingest, imports: process.spool.imports(), journal, clock, metrics };
        Ok(Importer::new(deps, Arc::new(ById)))
    }

    /// Each row must be in the bucket once, and the progress must count what is there. `stored` are the
    /// copies of each message.
    pub(super) fn check_imports(&self, stored: &BTreeMap<usize, Vec<usize>>) -> Result<(), Violation> {
        let state = self.imports.lock();
        for file in &state.files {
            let message = |row: usize| file.first_message + row;
            let copies = |row: usize| stored.get(&message(row)).map_or(&[][..], Vec::as_slice);
            let count = |of: fn(&Kind) -> bool| {
                let rows = file.kinds.iter().enumerate().filter(|(_, kind)| of(kind));
                rows.map(|(row, _)| copies(row).len() as u64).sum::<u64>()
            };
            for (row, kind) in file.kinds.iter().enumerate() {
                let there = copies(row);
                if there.len() > 1 {
                    let hit = self.damage.manifest_rotted || there.iter().any(|copy| self.damage.hit(*copy));
                    if !hit {
                        return Err(format!("I10: row {row} of {} is stored as copies {there:?}", file.id));
                    }
                    self.trace.count("a row doubled after damage");
                }
                let call = match kind {
                    Kind::Call | Kind::Refused => row,
                    Kind::Again(earlier) => *earlier,
                    Kind::Rejected | Kind::Empty => continue,
                };
                let is_same = |row: &usize| *row == call || file.kinds[*row] == Kind::Again(call);
                let same = || (0..file.kinds.len()).filter(is_same);
                if same().any(|row| !copies(row).is_empty()) {
                    continue;
                }
                let mut sent = same().flat_map(|row| self.clients.copies_of(message(row)));
                if !self.is_replaced_unknown() && !sent.any(|copy| self.damage.excuses(copy)) {
                    return Err(format!("I10: row {row} of {} is in no object", file.id));
                }
                self.trace.count("a lost row named");
            }
            let Some(progress) = file.done.filter(|_| !state.damaged) else { continue };
            if progress.repeats > 0 {
                self.trace.count("a file with rows that repeat calls");
            }
            let there = (
                count(|kind| matches!(kind, Kind::Call | Kind::Again(_))),
                count(|kind| *kind == Kind::Refused),
            );
            if (progress.stored, progress.refused) != there {
                return Err(format!("I10: {progress:?}, but stored and refused rows are {there:?}"));
            }
        }
        Ok(())
    }
}

/// Runs work that waits on a thread that may wait, and waits for it.
fn off_the_runtime<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    let runtime = tokio::runtime::Handle::current();
    let bug = PlantedBug::ALL.into_iter().find(|bug| planted(*bug));
    let work = move || {
        plant(bug);
        // Simulated time runs with the runtime's clock.
        let _runtime = runtime.enter();
        work()
    };
    std::thread::scope(|scope| scope.spawn(work).join()).unwrap()
}
