//! `forebay destinations replay`: stored calls are sent to a destination's functions again.

use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::json;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::args::{FROM_FORM, ReplayArgs, ReplayFrom};
use super::failed_calls::FailedCalls;
use crate::archive::bucket::Got;
use crate::archive::{Archive, Objects, Span, StoredLines};
use crate::cli::args::ReachArgs;
use crate::cli::equipment::NodeEquipment;
use crate::cli::failure::{Failure, INTERRUPTED};
use crate::cli::print_json::print_json;
use crate::cli::serve::load;
use crate::cli::spool::meter::Meter;
use crate::cli::verify::{access_settings, destination_of};
use crate::config::{Config, Environment, destinations_of};
use crate::destinations::invoke::Equipment as _;
use crate::destinations::progress::Progress;
use crate::destinations::replay::{Replay, ReplayDeps, StoredLine};
use crate::destinations::settings::DestinationSettings;
use crate::object::replay_note::{Lines, NOTE_BYTES_MAX, ReplayNote};
use crate::object::{ObjectKey, Stream};
use crate::runtime::shutdown::{Shutdown, StageWords};
use crate::runtime::{SystemClock, SystemRandom};
use crate::sources::SourceId;
use crate::store::s3::S3Store;
use crate::time::{Clock, UnixMillis};
use crate::words::{counted, grouped, outside_text, rfc3339};

/// The reader's name in the role's session.
const SESSION: &str = "replay";
const STAGE_WORDS: StageWords =
    StageWords { orderly: "waiting for the invocations under way", immediate: "stopping at once" };
/// The longest object that is read, in bytes as stored: many times that of a batch.
const OBJECT_BYTES_MAX: u64 = 1 << 30;
/// Objects whose calls are being sent at a time.
const OPEN_OBJECTS_MAX: usize = 64;
/// Requests to the bucket at a time.
const REQUESTS: u16 = 4;
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
    let (settings, config) = found(args)?;
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
    let sender = Sender { args, replay, failed, counts, clock, open: VecDeque::new(), noted: Ok(()) };
    let ended = sender.run(&shelves, stop).await;
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

/// The destination, and the whole configuration if the file has one.
fn found(args: &ReplayArgs) -> Result<(DestinationSettings, Option<Config>), Failure> {
    let (all, config) = match load(&args.config) {
        Ok((_, loaded)) => (loaded.config.destinations.clone(), Some(loaded.config)),
        // As `dev --config` reads it: the file has nothing but destinations.
        Err(failure) => match destinations_of(&args.config, &Environment::of_process()) {
            Ok((all, unused)) if unused.is_empty() && !all.is_empty() => (all, None),
            _ => return Err(failure),
        },
    };
    Ok((super::testing::named(&args.config, &args.name, all)?, config))
}

/// Where stored calls are.
#[derive(Debug)]
struct Shelves {
    store: Arc<S3Store>,
    /// The streams of each source, with its bucket.
    shelves: Vec<(Arc<Archive>, SourceId, Vec<Stream>)>,
}

impl Shelves {
    async fn open(
        args: &ReplayArgs,
        settings: &DestinationSettings,
        config: Option<&Config>,
    ) -> Result<Self, Failure> {
        let reach = ReachArgs {
            config: None,
            endpoint_url: args.endpoint_url.clone(),
            region: None,
            path_style: args.path_style,
            concurrency: REQUESTS,
        };
        let taken = |source: &SourceId| {
            let of_it = settings.selection.sources.as_ref().is_none_or(|sources| sources.contains(source));
            of_it && args.source.as_ref().is_none_or(|only| only == source)
        };
        let store = Arc::new(S3Store::new(access_settings(&reach, config, SESSION)).await);
        let archive = |bucket, source: Option<&SourceId>| {
            let destination = destination_of(&reach, bucket, source, config);
            let (store, requests) = (Arc::clone(&store), usize::from(REQUESTS));
            Arc::new(Archive::new(store, destination, requests, Arc::new(SystemRandom)))
        };
        let mut shelves = Vec::new();
        let dead = Stream::Dead(settings.name.clone());
        match (&args.from, &args.bucket, config) {
            (ReplayFrom::File(_), ..) => {}
            (_, Some(bucket), _) => {
                let all = archive(bucket, args.source.as_ref());
                let found = all.sources().await?;
                for source in found.sources.into_iter().filter(taken) {
                    let streams = found.streams.get(&source).into_iter().flatten();
                    let streams = wanted(args, &dead, streams.cloned());
                    shelves.push((Arc::clone(&all), source, streams));
                }
            }
            (_, None, Some(config)) => {
                for source in config.sources.iter().filter(|source| taken(&source.id)) {
                    let of_it = archive(&source.destination.bucket, Some(&source.id));
                    let streams = match args.from {
                        ReplayFrom::Dlq => vec![dead.clone()],
                        _ => wanted(args, &dead, of_it.streams().await?.into_iter()),
                    };
                    shelves.push((of_it, source.id.clone(), streams));
                }
                if let (true, Some(source)) = (shelves.is_empty(), &args.source) {
                    let what = format!("{} takes no calls of a source {source}", settings.name);
                    return Err(Failure::usage(what));
                }
            }
            (_, None, None) => {
                return Err(Failure::usage(format!(
                    "{} names no bucket: add --bucket, and --endpoint-url for a store other than AWS",
                    args.config.display()
                )));
            }
        }
        Ok(Self { store, shelves })
    }
}

/// The streams to read, of those that there may be.
fn wanted(args: &ReplayArgs, dead: &Stream, found: impl Iterator<Item = Stream>) -> Vec<Stream> {
    if args.from == ReplayFrom::Dlq {
        return vec![dead.clone()];
    }
    let objects = found.filter(|stream| matches!(stream, Stream::Objects(_)));
    let all: BTreeSet<Stream> = objects.chain([Stream::Calls]).collect();
    all.into_iter().collect()
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
    /// Lines that were given, and their positions, in order: first line, first position, count.
    runs: Vec<(u64, u64, u64)>,
    /// Lines that were not given although they were not sent before.
    left: Vec<u64>,
    /// The position of the last call that was given until then.
    last: u64,
}

/// What the reading of an object or file ends with.
enum Read {
    /// It was read as far as it can be.
    Whole,
    /// A signal came.
    Stopped,
}

/// What became of the calls.
#[derive(Debug)]
struct Sent {
    delivered: u64,
    given: u64,
    not_taken: u64,
    objects: u64,
    failed: Vec<(String, u64, String)>,
    failed_file: Option<PathBuf>,
    /// Objects that could not be read, or not to their end.
    unreadable: Vec<String>,
    /// Why what was delivered could not be noted.
    not_noted: Option<String>,
    /// Where a signal stopped it.
    stopped_in: Option<String>,
}

struct Sender<'a> {
    args: &'a ReplayArgs,
    replay: Replay,
    failed: Arc<FailedCalls>,
    counts: Arc<Counts>,
    clock: Arc<dyn Clock>,
    open: VecDeque<Open>,
    noted: Result<(), String>,
}

impl Sender<'_> {
    async fn run(mut self, shelves: &Shelves, stop: &CancellationToken) -> Result<Sent, Failure> {
        let mut unreadable = Vec::new();
        let read = match &self.args.from {
            ReplayFrom::File(path) => self.file(path, &mut unreadable, stop).await,
            ReplayFrom::Dlq | ReplayFrom::Time(_) => self.bucket(shelves, &mut unreadable, stop).await,
        };
        let finished = match read {
            Ok(None) if !self.args.dry_run => tokio::select! {
                finished = self.replay.finishes_through(count(&self.counts.given)) => finished,
                () = stop.cancelled() => Ok(()),
            },
            _ => Ok(()),
        };
        // Whatever else happened, what was delivered is noted.
        self.replay.stop().await;
        while let Some(open) = self.open.pop_front() {
            self.settle(open).await?;
        }
        finished.map_err(|died| Failure::failed(died.to_string()))?;
        let stopped_in = read?.or_else(|| stop.is_cancelled().then(|| "the last calls".to_owned()));
        let failed = self.failed.by_class();
        Ok(Sent {
            delivered: self.replay.functions().iter().map(|one| one.seen().succeeded()).sum(),
            given: count(&self.counts.given),
            not_taken: count(&self.counts.not_taken),
            objects: count(&self.counts.objects),
            failed: failed.into_iter().map(|(class, (n, what))| (class.to_string(), n, what)).collect(),
            failed_file: self.failed.written(),
            unreadable,
            not_noted: self.noted.err(),
            stopped_in,
        })
    }

    /// Sends the calls of a file. Returns where a signal stopped it.
    async fn file(
        &mut self,
        path: &Path,
        unreadable: &mut Vec<String>,
        stop: &CancellationToken,
    ) -> Result<Option<String>, Failure> {
        let unread = |error: io::Error| {
            let hint = if error.kind() == io::ErrorKind::NotFound { FROM_FORM } else { "it cannot be read" };
            Failure::usage(format!("--from {}: {error}; {hint}", path.display()))
        };
        let lines = StoredLines::new(File::open(path).map_err(unread)?).map_err(unread)?;
        let name = path.display().to_string();
        let mut open = Given::default();
        let read = self.lines(&name, lines, (None, None), &mut open, unreadable, stop).await?;
        self.counts.objects.fetch_add(1, Ordering::Relaxed);
        Ok(matches!(read, Read::Stopped).then_some(name))
    }

    /// Sends the calls of buckets. Returns where a signal stopped it.
    async fn bucket(
        &mut self,
        shelves: &Shelves,
        unreadable: &mut Vec<String>,
        stop: &CancellationToken,
    ) -> Result<Option<String>, Failure> {
        let span = match self.args.from {
            ReplayFrom::Time(from) => Span { from: Some(from.day()), to: self.args.to.map(UnixMillis::day) },
            ReplayFrom::Dlq | ReplayFrom::File(_) => Span::default(),
        };
        for (archive, source, streams) in &shelves.shelves {
            for stream in streams {
                let mut objects = Objects::new(archive, stream, source, span);
                while let Some(listed) = objects.next().await? {
                    if stop.is_cancelled() {
                        return Ok(Some(listed.key.to_string()));
                    }
                    let key = listed.key;
                    let read = self.object(archive, (source, stream), &key, unreadable, stop).await?;
                    if let Read::Stopped = read {
                        return Ok(Some(key.to_string()));
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
        unreadable: &mut Vec<String>,
        stop: &CancellationToken,
    ) -> Result<Read, Failure> {
        let note = Some(())
            .filter(|()| self.args.from == ReplayFrom::Dlq)
            .and_then(|()| ReplayNote::key(archive.bucket(), key));
        let before = match &note {
            Some(note) if !self.args.again => self.note(archive, note).await?,
            _ => None,
        };
        if before.as_ref().is_some_and(Lines::is_empty) {
            return Ok(Read::Whole);
        }
        let pieces = match archive.bytes(key, OBJECT_BYTES_MAX).await? {
            Got::Read(Some(pieces)) => pieces,
            Got::Read(None) => {
                unreadable.push(format!("{key}: it is longer than any that Forebay writes"));
                return Ok(Read::Whole);
            }
            // Its retention may have ended.
            Got::Gone => return Ok(Read::Whole),
            Got::Archived(why) | Got::Damaged(why) => {
                unreadable.push(format!("{key}: {why}"));
                return Ok(Read::Whole);
            }
        };
        self.counts.objects.fetch_add(1, Ordering::Relaxed);
        let mut given = Given::default();
        let lines = StoredLines::of_pieces(pieces)?;
        let known = (Some(known), before.as_ref());
        let read = self.lines(key.as_str(), lines, known, &mut given, unreadable, stop).await;
        if self.args.dry_run {
            return read;
        }
        self.open.push_back(Open {
            archive: Arc::clone(archive),
            // Of a damaged object nothing is noted: its other lines may be read later.
            noted: note.filter(|_| !given.is_damaged).map(|note| (note, key.clone())),
            runs: given.runs,
            left: given.left,
            last: count(&self.counts.given),
        });
        read
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
        unreadable: &mut Vec<String>,
        stop: &CancellationToken,
    ) -> Result<Read, Failure> {
        let mut is_stopped = false;
        for line in lines {
            let (number, line) = match line {
                Ok(line) => line,
                Err(error) => {
                    given.is_damaged = true;
                    unreadable.push(format!("{name}: {error}"));
                    break;
                }
            };
            if before.is_some_and(|remaining| !remaining.has(number)) {
                continue;
            }
            let Some(stored) = StoredLine::of(&line, known) else {
                given.is_damaged = true;
                unreadable.push(format!("{name}: line {number} is no call or dead letter"));
                continue;
            };
            if is_stopped || !self.is_wanted(&stored) {
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
                () = stop.cancelled() => {
                    is_stopped = true;
                    given.left.push(number);
                    continue;
                }
                position = self.replay.give(stored.call) => position,
            };
            match position.map_err(|died| Failure::failed(died.to_string()))? {
                Some(position) => {
                    given.add(number, position);
                    self.counts.given.fetch_add(1, Ordering::Relaxed);
                }
                None => drop(self.counts.not_taken.fetch_add(1, Ordering::Relaxed)),
            }
        }
        Ok(if is_stopped { Read::Stopped } else { Read::Whole })
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
                self.replay.finishes_through(last).await.map_err(|died| Failure::failed(died.to_string()))?;
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
        let mut remaining: BTreeSet<u64> = open.left.into_iter().collect();
        for (line, position, len) in open.runs {
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

/// Lines of one object that were given.
#[derive(Debug, Default)]
struct Given {
    runs: Vec<(u64, u64, u64)>,
    left: Vec<u64>,
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

impl Sent {
    fn failed(&self) -> u64 {
        self.failed.iter().map(|(_, count, _)| count).sum()
    }

    fn text(&self, args: &ReplayArgs) -> String {
        let calls = |count| counted(count, "call", "calls");
        let name = &args.name;
        let mut text = match (args.dry_run, self.given, self.not_taken) {
            (true, ..) => format!("{name}: would send {}\n", calls(self.given)),
            (false, 0, 0) => format!("{name}: nothing to send\n"),
            (false, ..) => format!("{name}: {} delivered\n", calls(self.delivered)),
        };
        let mut line = |said: String| {
            text.push_str("  ");
            text.push_str(&said);
            text.push('\n');
        };
        for (class, count, what) in &self.failed {
            line(format!("failed: {} with {class}; the first: {}", calls(*count), outside_text(what)));
        }
        if self.not_taken > 0 {
            line(format!("not for this destination, as it is configured now: {}", calls(self.not_taken)));
        }
        for one in &self.unreadable {
            line(format!("unreadable: {}", outside_text(one)));
        }
        match &self.failed_file {
            Some(file) => line(format!(
                "calls that failed are in {}: fix the cause, then send them with --from {}",
                file.display(),
                file.display()
            )),
            None if self.failed() > 0 => {
                line("calls that failed stay dead letters: fix the cause, then run this again".to_owned());
            }
            None => {}
        }
        if let Some(why) = &self.not_noted {
            line(format!(
                "note: the next replay sends these calls again, because they could not be noted: {why}"
            ));
        }
        text
    }

    fn json(&self, args: &ReplayArgs) -> serde_json::Value {
        let failed = self
            .failed
            .iter()
            .map(|(class, count, what)| json!({ "class": class, "count": count, "first": what }));
        json!({
            "destination": args.name.as_str(),
            "dryRun": args.dry_run,
            "calls": self.given,
            "delivered": self.delivered,
            "failed": failed.collect::<Vec<_>>(),
            "failedFile": self.failed_file,
            "notTaken": self.not_taken,
            "objects": self.objects,
            "unreadable": self.unreadable,
            "notNoted": self.not_noted,
            "stoppedIn": self.stopped_in,
        })
    }

    fn result(&self, args: &ReplayArgs) -> Result<(), Failure> {
        if let Some(place) = &self.stopped_in {
            let how = match args.from {
                ReplayFrom::Dlq => "run it again: what was delivered is noted".to_owned(),
                ReplayFrom::Time(from) => format!(
                    "run it again; what was delivered since {} is then sent again, unless you narrow it with --source \
                     and --from",
                    rfc3339(from)
                ),
                ReplayFrom::File(_) => "run it again; what was delivered is then sent again".to_owned(),
            };
            return Err(Failure::with_code(INTERRUPTED, format!("stopped in {place}; {how}")));
        }
        match (self.failed(), self.unreadable.len()) {
            (0, 0) => Ok(()),
            (0, many) => Err(Failure::failed(format!("{many} could not be read whole"))),
            (failed, _) => Err(Failure::failed(format!("{} failed", counted(failed, "call", "calls")))),
        }
    }
}
