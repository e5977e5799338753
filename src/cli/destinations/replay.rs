//! `forebay destinations replay`: stored calls are sent to a destination's functions again.

mod failed_calls;
mod sent;
mod shelves;

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use self::failed_calls::FailedCalls;
use self::sent::Sent;
use self::shelves::Shelves;
use super::args::{FROM_FORM, ReplayArgs, ReplayFrom};
use super::configured::{configured, named};
use crate::archive::bucket::Got;
use crate::archive::{Archive, Objects, Span, StoredLines};
use crate::cli::failure::{Failure, INTERRUPTED};
use crate::cli::print_json::print_json;
use crate::cli::spool::meter::Meter;
use crate::config::Environment;
use crate::destinations::invoke::Equipment as _;
use crate::destinations::progress::Progress;
use crate::destinations::replay::{Replay, ReplayDeps, StoredLine};
use crate::node::equipment::NodeEquipment;
use crate::object::replay_note::{Lines, NOTE_BYTES_MAX, ReplayNote};
use crate::object::{ObjectKey, Stream};
use crate::runtime::shutdown::{Shutdown, StageWords};
use crate::runtime::{SystemClock, SystemRandom};
use crate::sources::SourceId;
use crate::time::{Clock, UnixMillis};
use crate::words::{counted, grouped};

const STAGE_WORDS: StageWords =
    StageWords { orderly: "waiting for the invocations under way", immediate: "stopping at once" };
/// The longest object that is read, in bytes as stored: many times that of a batch.
const OBJECT_BYTES_MAX: u64 = 1 << 30;
/// Objects whose calls are being sent at a time.
const OPEN_OBJECTS_MAX: usize = 64;
/// How often people see how far it is.
const SHOW_EVERY: Duration = Duration::from_millis(500);
/// How often the log says how far it is.
const LOG_EVERY: Duration = Duration::from_secs(60);

/// Sends stored calls again, and prints what became of them.
///
/// # Errors
/// [`Failure`]: see the exit codes of the command.
pub(super) async fn run(args: &ReplayArgs, out: &mut (dyn Write + Send)) -> Result<(), Failure> {
    let shutdown = Shutdown::new();
    let _signals = shutdown.listen_saying(STAGE_WORDS)?;
    tokio::select! {
        done = replay(args, &shutdown.orderly, out) => done,
        () = shutdown.immediate.cancelled() => Err(Failure::with_code(
            INTERRUPTED,
            "stopped at once: what was delivered last is not noted, and the next replay sends it again",
        )),
    }
}

async fn replay(
    args: &ReplayArgs,
    stop: &CancellationToken,
    out: &mut (dyn Write + Send),
) -> Result<(), Failure> {
    check(args)?;
    let (destinations, config) = configured(&args.config)?;
    let settings = named(&args.config, &args.name, destinations)?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock::new());
    let shelves = Shelves::open(args, &settings, config.as_ref()).await?;
    let equipment = NodeEquipment {
        store: Arc::clone(&shelves.store),
        environment: Environment::of_process(),
        clock: Arc::clone(&clock),
    };
    let default = || PathBuf::from(format!("replay-{}-{}.ndjson", args.name, clock.wall().0));
    let path = args.failed.clone().or_else(|| (args.from != ReplayFrom::Dlq).then(default));
    if let Some(path) = path.as_deref().filter(|path| path.exists()) {
        return Err(Failure::usage(format!("--failed {}: the file exists already", path.display())));
    }
    let failed = Arc::new(FailedCalls::new(path));
    let deps = ReplayDeps {
        invoke: equipment.invoker(&settings)?,
        letters: Arc::<FailedCalls>::clone(&failed),
        clock: Arc::clone(&clock),
        random: Arc::new(SystemRandom),
    };
    let replay = Replay::start(settings, deps);
    let counts = Arc::new(Counts::default());
    let shown = tokio::spawn(show(Arc::clone(&counts), replay.functions()));
    let shown = AbortOnDropHandle::new(shown);
    let sender = Sender {
        args,
        stop,
        replay,
        failed,
        counts,
        clock,
        open: VecDeque::new(),
        unreadable: Vec::new(),
        noted: Ok(()),
    };
    let ended = sender.run(&shelves).await;
    drop(shown);
    let sent = ended?;
    match args.json {
        true => print_json(out, &sent.json(args))?,
        false => out.write_all(sent.text(args).as_bytes())?,
    }
    sent.result(args)
}

/// Options that do not fit each other.
fn check(args: &ReplayArgs) -> Result<(), Failure> {
    let is_time = matches!(args.from, ReplayFrom::Time(_));
    let wrong = |what: &str| Err(Failure::usage(what.to_owned()));
    match (&args.from, args.to) {
        (ReplayFrom::Time(from), Some(to)) if to <= *from => return wrong("--to must be later than --from"),
        (ReplayFrom::Time(_), _) | (_, None) => {}
        (_, Some(_)) => return wrong("--to goes with --from TIME only"),
    }
    if args.class.is_some() && is_time {
        return wrong(
            "--class is the cause of dead letters: it goes with --from DLQ, or a file with dead letters",
        );
    }
    if args.again && args.from != ReplayFrom::Dlq {
        return wrong("--again goes with --from DLQ only");
    }
    Ok(())
}

/// What was counted, also for those who watch.
#[derive(Debug, Default)]
struct Counts {
    objects: AtomicU64,
    given: AtomicU64,
    not_taken: AtomicU64,
}

fn count(of: &AtomicU64) -> u64 {
    of.load(Ordering::Relaxed)
}

/// Shows how far it is.
async fn show(counts: Arc<Counts>, functions: Vec<Arc<Progress>>) {
    let mut meter = Meter::new("replayed");
    let clock = SystemClock::new();
    let mut log_at = clock.monotonic() + LOG_EVERY;
    let mut every = tokio::time::interval(SHOW_EVERY);
    loop {
        every.tick().await;
        let (mut delivered, mut dead, mut in_flight, mut failing) = (0, 0, 0, None);
        for function in &functions {
            let seen = function.seen();
            delivered += seen.succeeded();
            dead += seen.all_dead();
            in_flight += seen.in_flight;
            failing = failing.or_else(|| seen.failing.as_ref().map(|failure| failure.class));
        }
        let state = failing.map_or(String::new(), |class| format!("; now: {class}"));
        let text = format!(
            "{} of {} calls delivered, {} failed, {}, {in_flight} in flight{state}",
            grouped(delivered),
            grouped(count(&counts.given)),
            grouped(dead),
            counted(count(&counts.objects), "object", "objects")
        );
        meter.show(&text);
        if clock.monotonic() >= log_at {
            log_at = clock.monotonic() + LOG_EVERY;
            tracing::info!("{text}");
        }
    }
}

/// An object, or a file, whose calls are being sent.
#[derive(Debug)]
struct Open {
    archive: Arc<Archive>,
    /// The key of its note, and its own; `None` if nothing is noted.
    noted: Option<(ObjectKey, ObjectKey)>,
    given: Given,
    /// The position of the last call that was given until then.
    last: u64,
}

struct Sender<'a> {
    args: &'a ReplayArgs,
    stop: &'a CancellationToken,
    replay: Replay,
    failed: Arc<FailedCalls>,
    counts: Arc<Counts>,
    clock: Arc<dyn Clock>,
    open: VecDeque<Open>,
    /// Objects that could not be read, or not to their end.
    unreadable: Vec<String>,
    /// Why what was delivered can no longer be noted.
    noted: Result<(), String>,
}

impl Sender<'_> {
    async fn run(mut self, shelves: &Shelves) -> Result<Sent, Failure> {
        let read = match &self.args.from {
            ReplayFrom::File(path) => self.file(path).await,
            ReplayFrom::Dlq | ReplayFrom::Time(_) => self.bucket(shelves).await,
        };
        let finished = match read {
            Ok(None) if !self.args.dry_run => tokio::select! {
                finished = self.replay.finishes_through(count(&self.counts.given)) => finished,
                () = self.stop.cancelled() => Ok(()),
            },
            _ => Ok(()),
        };
        // Calls that were delivered are noted even if the reading failed or was stopped.
        self.replay.stop().await;
        while let Some(open) = self.open.pop_front() {
            self.settle(open).await?;
        }
        finished?;
        let stopped_in = read?.or_else(|| self.stop.is_cancelled().then(|| "the last calls".to_owned()));
        let failed = self.failed.by_class();
        Ok(Sent {
            delivered: self.replay.functions().iter().map(|one| one.seen().succeeded()).sum(),
            given: count(&self.counts.given),
            not_taken: count(&self.counts.not_taken),
            objects: count(&self.counts.objects),
            failed: failed.into_iter().map(|(class, (n, what))| (class.to_string(), n, what)).collect(),
            failed_file: self.failed.written(),
            unreadable: self.unreadable,
            not_noted: self.noted.err(),
            stopped_in,
        })
    }

    /// Sends the calls of a file. Returns where a signal stopped it.
    async fn file(&mut self, path: &Path) -> Result<Option<String>, Failure> {
        let unread = |error: io::Error| {
            let hint = if error.kind() == io::ErrorKind::NotFound { FROM_FORM } else { "it cannot be read" };
            Failure::usage(format!("--from {}: {error}; {hint}", path.display()))
        };
        let lines = StoredLines::new(File::open(path).map_err(unread)?).map_err(unread)?;
        let name = path.display().to_string();
        self.lines(&name, lines, (None, None), &mut Given::default()).await?;
        self.counts.objects.fetch_add(1, Ordering::Relaxed);
        Ok(self.stop.is_cancelled().then_some(name))
    }

    /// Sends the calls of buckets. Returns where a signal stopped it.
    async fn bucket(&mut self, shelves: &Shelves) -> Result<Option<String>, Failure> {
        let span = match self.args.from {
            ReplayFrom::Time(from) => Span { from: Some(from.day()), to: self.args.to.map(UnixMillis::day) },
            ReplayFrom::Dlq | ReplayFrom::File(_) => Span::default(),
        };
        for (archive, source, streams) in &shelves.shelves {
            for stream in streams {
                let mut objects = Objects::new(archive, stream, source, span);
                while let Some(listed) = objects.next().await? {
                    self.object(archive, (source, stream), &listed.key).await?;
                    if self.stop.is_cancelled() {
                        return Ok(Some(listed.key.to_string()));
                    }
                    self.settle_finished().await?;
                }
            }
        }
        Ok(None)
    }

    async fn object(
        &mut self,
        archive: &Arc<Archive>,
        known: (&SourceId, &Stream),
        key: &ObjectKey,
    ) -> Result<(), Failure> {
        let note = match self.args.from {
            ReplayFrom::Dlq => ReplayNote::key(archive.bucket(), key),
            ReplayFrom::Time(_) | ReplayFrom::File(_) => None,
        };
        let before = match &note {
            Some(note) if !self.args.again => self.note(archive, note).await?,
            _ => None,
        };
        if before.as_ref().is_some_and(Lines::is_empty) {
            return Ok(());
        }
        let unreadable = match archive.bytes(key, OBJECT_BYTES_MAX).await? {
            Got::Read(Some(pieces)) => {
                self.counts.objects.fetch_add(1, Ordering::Relaxed);
                let lines = StoredLines::of_pieces(pieces)?;
                let mut given = Given::default();
                let read = self.lines(key.as_str(), lines, (Some(known), before.as_ref()), &mut given).await;
                if !self.args.dry_run {
                    self.open.push_back(Open {
                        archive: Arc::clone(archive),
                        // Of a damaged object nothing is noted: its other lines may be read later.
                        noted: note.filter(|_| !given.is_damaged).map(|note| (note, key.clone())),
                        given,
                        last: count(&self.counts.given),
                    });
                }
                return read;
            }
            // Its retention may have ended.
            Got::Gone => return Ok(()),
            Got::Read(None) => "it is longer than any that Forebay writes".to_owned(),
            Got::Archived(why) | Got::Damaged(why) => why,
        };
        self.unreadable.push(format!("{key}: {unreadable}"));
        Ok(())
    }

    /// The lines of an object that still have to be sent, if some were sent before.
    async fn note(&self, archive: &Archive, key: &ObjectKey) -> Result<Option<Lines>, Failure> {
        let unusable = |why: &str| {
            let text =
                "a note about what was sent again cannot be used; the object's dead letters are all sent";
            tracing::warn!(note = %key, why, "{text}");
            Ok(None)
        };
        match archive.bytes(key, NOTE_BYTES_MAX).await? {
            Got::Read(Some(pieces)) => match ReplayNote::read(&pieces.concat()) {
                Ok(note) => Ok(Some(note.remaining)),
                Err(why) => unusable(&why),
            },
            Got::Read(None) => unusable("it is too long"),
            Got::Archived(why) | Got::Damaged(why) => unusable(&why),
            Got::Gone => Ok(None),
        }
    }

    /// Gives the calls of lines.
    async fn lines(
        &mut self,
        name: &str,
        lines: StoredLines<'_>,
        (known, before): (Option<(&SourceId, &Stream)>, Option<&Lines>),
        given: &mut Given,
    ) -> Result<(), Failure> {
        for line in lines {
            let (number, line) = match line {
                Ok(line) => line,
                Err(error) => {
                    given.is_damaged = true;
                    self.unreadable.push(format!("{name}: {error}"));
                    break;
                }
            };
            if before.is_some_and(|remaining| !remaining.has(number)) {
                continue;
            }
            let Some(stored) = StoredLine::of(&line, known) else {
                given.is_damaged = true;
                self.unreadable.push(format!("{name}: line {number} is no call or dead letter"));
                continue;
            };
            if self.stop.is_cancelled() || !self.is_wanted(&stored) {
                given.left.push(number);
                continue;
            }
            if self.args.dry_run {
                let taken = self.replay.function_of(&stored.call).is_some();
                let count = if taken { &self.counts.given } else { &self.counts.not_taken };
                count.fetch_add(1, Ordering::Relaxed);
                continue;
            }
            let position = tokio::select! {
                biased;
                () = self.stop.cancelled() => {
                    given.left.push(number);
                    continue;
                }
                position = self.replay.give(stored.call) => position,
            };
            match position? {
                Some(position) => {
                    given.add(number, position);
                    self.counts.given.fetch_add(1, Ordering::Relaxed);
                }
                // Another configuration may take it.
                None => {
                    given.left.push(number);
                    self.counts.not_taken.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    fn is_wanted(&self, stored: &StoredLine) -> bool {
        let of_class = self.args.class.as_ref().is_none_or(|class| stored.class.as_ref() == Some(class));
        let of_source = self.args.source.as_ref().is_none_or(|only| *only == stored.call.source);
        let in_time = match (&self.args.from, stored.received_at) {
            (ReplayFrom::Time(from), Some(at)) => at >= *from && self.args.to.is_none_or(|to| at < to),
            (ReplayFrom::Time(_), None) => false,
            _ => true,
        };
        of_class && of_source && in_time
    }

    /// Notes what of finished objects was delivered, and waits if too many are not finished.
    async fn settle_finished(&mut self) -> Result<(), Failure> {
        while let Some(oldest) = self.open.front() {
            let last = oldest.last;
            if self.replay.finished_through() < last {
                if self.open.len() < OPEN_OBJECTS_MAX {
                    break;
                }
                tokio::select! {
                    finished = self.replay.finishes_through(last) => finished?,
                    () = self.stop.cancelled() => break,
                }
            }
            if let Some(open) = self.open.pop_front() {
                self.settle(open).await?;
            }
        }
        Ok(())
    }

    /// Notes what of an object was delivered.
    async fn settle(&mut self, open: Open) -> Result<(), Failure> {
        let failed = self.failed.take(open.last);
        let Some((note, object)) = open.noted else { return Ok(()) };
        let finished = self.replay.finished_through();
        let mut remaining: BTreeSet<u64> = open.given.left.into_iter().collect();
        for (line, position, len) in open.given.runs {
            let failed = failed.range(position..position + len).copied();
            let unfinished = (finished + 1).max(position)..position + len;
            remaining.extend(failed.chain(unfinished).map(|at| line + (at - position)));
        }
        let mut lines = Lines::default();
        remaining.into_iter().for_each(|line| lines.push(line));
        let text = ReplayNote::new(&object, self.clock.wall(), lines).text().map_err(io::Error::from)?;
        if self.noted.is_ok() {
            self.noted = open.archive.put_note(note, text).await.map_err(|error| error.to_string());
        }
        Ok(())
    }
}

/// What of one object or file was given.
#[derive(Debug, Default)]
struct Given {
    /// Lines, and their positions, in order: first line, first position, count.
    runs: Vec<(u64, u64, u64)>,
    /// Lines that were not given although they were not sent before.
    left: Vec<u64>,
    /// Whether some could not be read.
    is_damaged: bool,
}

impl Given {
    fn add(&mut self, line: u64, position: u64) {
        match self.runs.last_mut() {
            Some((first, at, len)) if *first + *len == line && *at + *len == position => *len += 1,
            _ => self.runs.push((line, position, 1)),
        }
    }
}
