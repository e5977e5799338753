//! Runs the lanes: reads the log, sends calls, writes dead letters, and keeps how far each lane has finished.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::class::Class;
use super::dead_letter;
use super::invoke::{Invoke, Invoked, Outgoing};
use super::lane::{Fate, Lane, LaneSettings, Now};
use super::outcome::Failure;
use super::positions::{LaneId, Positions};
use super::records::{Record, Records};
use super::select::{Head, Selection};
use crate::call::LineSink as _;
use crate::lock::lock;
use crate::log::{Append, AppendError, Follow, Go, Place, Read, RequestFrames};
use crate::object::Stream;
use crate::once_a_minute::OnceAMinute;
use crate::random::Random;
use crate::sources::SourceId;
use crate::tasks::{Panicked, caught};
use crate::time::{Clock, UnixMillis};

/// Lines that are read at a time.
const READ_LINES: usize = 1_000;
/// Bytes of lines that are read at a time.
const READ_BYTES: usize = 1 << 20;
/// How often an idle lane looks for new lines: the log does not say when it grows.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How often a lane looks for calls that have become too old.
const EXPIRE_EVERY: Duration = Duration::from_secs(1);
/// Calls that become dead letters at a time because they are too old.
const EXPIRE_MOST: usize = 100;
/// How often positions are written.
const KEEP_EVERY: Duration = Duration::from_secs(1);
/// How long to wait before a dead letter that the log did not take is tried again.
const BURY_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What lanes work with.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The log to follow.
    pub follow: Arc<dyn Follow>,
    /// Where dead letters go.
    pub append: Arc<dyn Append>,
    /// What sends.
    pub invoke: Arc<dyn Invoke>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub random: Arc<dyn Random>,
}

/// One function of one destination, as configured.
#[derive(Clone, Debug)]
pub struct LaneConfig {
    /// Which.
    pub id: LaneId,
    /// What it takes.
    pub selection: Selection,
    /// How it works.
    pub settings: LaneSettings,
}

/// What a lane has done since it started, for people and metrics.
#[derive(Debug, Default)]
pub struct Progress {
    finished_through: AtomicU64,
    invoked: AtomicU64,
    failed: AtomicU64,
    dead: AtomicU64,
    lost: AtomicU64,
    records: Mutex<Records>,
}

impl Progress {
    /// Everything up to here is finished.
    pub fn finished_through(&self) -> u64 {
        self.finished_through.load(Ordering::Acquire)
    }

    /// Invocations that succeeded.
    pub fn invoked(&self) -> u64 {
        self.invoked.load(Ordering::Relaxed)
    }

    /// Invocations that failed.
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Calls that became dead letters.
    pub fn dead(&self) -> u64 {
        self.dead.load(Ordering::Relaxed)
    }

    /// Positions that could not be read, because the log is damaged there.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// The last invocations.
    pub fn records(&self) -> std::sync::MutexGuard<'_, Records> {
        lock(&self.records)
    }
}

/// Runs lanes until `stop`, and then notes how far they have come. Calls in flight are sent again at the next start.
///
/// A lane that the positions do not know begins with the next line of the log; one that is no longer configured is
/// forgotten.
///
/// # Errors
/// The disk's error. No lane has begun then.
pub async fn run(
    parts: Parts,
    lanes: Vec<LaneConfig>,
    positions: Positions,
    progress: &BTreeMap<LaneId, Arc<Progress>>,
    stop: CancellationToken,
) -> io::Result<()> {
    let now = parts.follow.durable_through();
    let mut finished = BTreeMap::new();
    for lane in &lanes {
        finished.insert(lane.id.clone(), positions.finished_through(&lane.id).unwrap_or(now));
    }
    // Held before the first line is read, and noted before the log may release less.
    parts.follow.hold_after(finished.values().copied().chain(positions.lowest()).min());
    let (mut positions, kept_first) = keep(positions, finished.clone()).await;
    kept_first?;
    parts.follow.hold_after(positions.lowest());
    let mut tasks = JoinSet::new();
    let mut shown: BTreeMap<LaneId, Arc<Progress>> = BTreeMap::new();
    for lane in lanes {
        let from = finished.get(&lane.id).copied().unwrap_or(now);
        let progress = progress.get(&lane.id).cloned().unwrap_or_default();
        progress.finished_through.store(from, Ordering::Release);
        shown.insert(lane.id.clone(), Arc::clone(&progress));
        tasks.spawn(LaneTask::new(parts.clone(), lane, from, progress).run(stop.clone()));
    }
    let mut not_kept = OnceAMinute::default();
    let mut ticks = tokio::time::interval(KEEP_EVERY);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    while !stop.is_cancelled() {
        tokio::select! {
            () = stop.cancelled() => {}
            _ = ticks.tick() => {}
        }
        if stop.is_cancelled() {
            while tasks.join_next().await.is_some() {}
        }
        let finished = shown.iter().map(|(id, progress)| (id.clone(), progress.finished_through())).collect();
        let result;
        (positions, result) = keep(positions, finished).await;
        if let Err(error) = result
            && let Some(line) = not_kept.happened((), parts.clock.monotonic())
        {
            tracing::warn!(
                %error,
                times = line.times,
                "the positions of destinations cannot be written: the spool keeps what they finish meanwhile"
            );
        }
        // Only what is noted may be released.
        parts.follow.hold_after(positions.lowest());
    }
    Ok(())
}

async fn keep(mut positions: Positions, finished: BTreeMap<LaneId, u64>) -> (Positions, io::Result<()>) {
    let kept = tokio::task::spawn_blocking(move || {
        let kept = positions.keep(finished);
        (positions, kept)
    });
    match kept.await {
        Ok(kept) => kept,
        // A panic here is a bug; without the positions nothing can go on safely.
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// A call that was read and is not finished.
#[derive(Clone, Debug)]
struct Taken {
    position: u64,
    source: SourceId,
    received_at: UnixMillis,
    head: Head,
    line: Bytes,
}

/// What was read at a time.
struct Chunk {
    place: Place,
    taken: Vec<Taken>,
    lost: u64,
}

enum Ended {
    Invoked { position: u64, attempt: u32, took: Duration, invoked: Invoked },
    Buried { position: u64, result: Result<(), AppendError> },
}

struct LaneTask {
    parts: Parts,
    config: Arc<LaneConfig>,
    lane: Lane,
    place: Place,
    calls: BTreeMap<u64, Taken>,
    flying: JoinSet<Ended>,
    progress: Arc<Progress>,
    names: (Arc<str>, Arc<str>),
    expire_at: Duration,
}

impl LaneTask {
    fn new(parts: Parts, config: LaneConfig, finished: u64, progress: Arc<Progress>) -> Self {
        let names = (config.id.destination.as_str().into(), config.id.function.as_str().into());
        Self {
            parts,
            lane: Lane::new(finished, config.settings),
            config: Arc::new(config),
            place: Place::after(finished),
            calls: BTreeMap::new(),
            flying: JoinSet::new(),
            progress,
            names,
            expire_at: Duration::ZERO,
        }
    }

    async fn run(mut self, stop: CancellationToken) {
        while !stop.is_cancelled() {
            self.read().await;
            self.expire();
            let next = self.send();
            self.progress.finished_through.store(self.lane.finished_through(), Ordering::Release);
            let now = self.parts.clock.monotonic();
            let wait = next.map_or(LOOK_EVERY, |at| at.saturating_sub(now)).min(LOOK_EVERY);
            tokio::select! {
                biased;
                () = stop.cancelled() => {}
                Some(ended) = self.flying.join_next() => {
                    self.ended(ended);
                    while let Some(ended) = self.flying.try_join_next() {
                        self.ended(ended);
                    }
                }
                () = tokio::time::sleep(wait) => {}
            }
        }
        self.flying.abort_all();
        self.progress.finished_through.store(self.lane.finished_through(), Ordering::Release);
    }

    /// Reads what the window has room for.
    async fn read(&mut self) {
        if !self.lane.window().has_room() || self.parts.follow.durable_through() <= self.place.through {
            return;
        }
        let (follow, place, config) = (Arc::clone(&self.parts.follow), self.place, Arc::clone(&self.config));
        let read = tokio::task::spawn_blocking(move || read_chunk(&*follow, place, &config)).await;
        match read.map_err(io::Error::other).and_then(|read| read) {
            Ok(Chunk { place, taken, lost }) => {
                self.place = place;
                for call in taken {
                    let (position, len) = (call.position, call.line.len());
                    self.lane.window().add(position, call.received_at, call.head.user.clone(), len);
                    self.calls.insert(position, call);
                }
                self.lane.window().read_through(place.through);
                self.progress.lost.fetch_add(lost, Ordering::Relaxed);
            }
            Err(error) => {
                tracing::error!(%error, lane = ?self.config.id, "a destination cannot read the spool; it is tried again");
                tokio::time::sleep(EXPIRE_EVERY).await;
            }
        }
    }

    /// Sends what may be sent. Returns when something else may be.
    fn send(&mut self) -> Option<Duration> {
        loop {
            let (position, attempt) = match self.lane.next(self.parts.clock.monotonic()) {
                Now::Send { position, attempt } => (position, attempt),
                Now::WaitUntil(at) => return Some(at),
                Now::Wait => return None,
            };
            let Some(call) = self.calls.get(&position) else {
                tracing::error!(position, "a destination lost a call in memory; this is a bug in Forebay");
                self.lane.buried(position);
                continue;
            };
            let outgoing = Outgoing {
                destination: Arc::clone(&self.names.0),
                function: Arc::clone(&self.names.1),
                source: call.source.clone(),
                attempt,
                line: call.line.clone(),
            };
            let (invoke, clock) = (Arc::clone(&self.parts.invoke), Arc::clone(&self.parts.clock));
            self.flying.spawn(async move {
                let began = clock.monotonic();
                let invoked = caught(invoke.invoke(&outgoing)).await.unwrap_or_else(|Panicked| {
                    let what = "sending it panicked; this is a bug in Forebay".to_owned();
                    Invoked::failed(Class::Unavailable, what)
                });
                Ended::Invoked { position, attempt, took: clock.monotonic().saturating_sub(began), invoked }
            });
        }
    }

    fn ended(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            Ok(Ended::Invoked { position, attempt, took, invoked }) => {
                self.invoked(position, attempt, took, invoked);
            }
            Ok(Ended::Buried { position, result: Ok(()) }) => {
                self.progress.dead.fetch_add(1, Ordering::Relaxed);
                self.lane.buried(position);
                self.calls.remove(&position);
            }
            Ok(Ended::Buried { position, result: Err(error) }) => {
                tracing::warn!(%error, position, "a dead letter could not be stored; it is tried again");
                let again = self.parts.clock.monotonic().saturating_add(BURY_AGAIN_AFTER);
                self.lane.not_buried(position, again);
            }
            Err(error) => tracing::error!(%error, "a task of a destination ended; this is a bug in Forebay"),
        }
    }

    fn invoked(&mut self, position: u64, attempt: u32, took: Duration, invoked: Invoked) {
        let (now, wall) = (self.parts.clock.monotonic(), self.parts.clock.wall());
        let Invoked { result, request_id, version, log_tail } = invoked;
        if let Some(call) = self.calls.get(&position) {
            let failed = result.as_ref().err().map(|failure| (failure.class, failure.what.clone()));
            self.progress.records().push(Record {
                at: wall,
                source: call.source.clone(),
                kind: call.head.kind.clone(),
                message_id: call.head.message_id.clone(),
                attempt,
                millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
                failed,
                request_id,
                version,
                log_tail,
            });
        }
        let counted = if result.is_ok() { &self.progress.invoked } else { &self.progress.failed };
        counted.fetch_add(1, Ordering::Relaxed);
        match self.lane.ended((position, attempt), result, (now, wall), &*self.parts.random) {
            Fate::Done => drop(self.calls.remove(&position)),
            Fate::Again => {}
            Fate::Dead(failure) => self.bury(position, &failure),
        }
    }

    fn expire(&mut self) {
        let now = self.parts.clock.monotonic();
        if now < self.expire_at {
            return;
        }
        self.expire_at = now.saturating_add(EXPIRE_EVERY);
        let (old, cause) = self.lane.expired(self.parts.clock.wall(), EXPIRE_MOST);
        if old.len() == EXPIRE_MOST {
            self.expire_at = now;
        }
        for position in old {
            self.bury(position, &cause);
        }
    }

    /// Stores a dead letter. The call is finished once it is durable.
    fn bury(&mut self, position: u64, failure: &Failure) {
        let Some(call) = self.calls.get(&position) else { return self.lane.buried(position) };
        let attempts = self.lane.window().attempts(position);
        let frames = dead_letter(&self.config.id, failure, attempts, call, self.parts.clock.wall());
        let append = Arc::clone(&self.parts.append);
        self.flying.spawn(async move {
            let result = match frames {
                Some(frames) => append.append(frames).await.map(drop),
                None => Err(AppendError::Stopped),
            };
            Ended::Buried { position, result }
        });
    }
}

/// A dead letter as a request to the log. `None` if the destination's name or the line is not valid.
fn dead_letter(
    lane: &LaneId,
    failure: &Failure,
    attempts: u32,
    call: &Taken,
    now: UnixMillis,
) -> Option<RequestFrames> {
    let name = SourceId::new(&lane.destination).ok()?;
    let line = dead_letter::line(lane, failure, attempts, &call.line).ok()?;
    let mut frames = RequestFrames::new(call.source.clone(), now, line.len());
    frames.set_stream(Stream::Dead(name));
    frames.line().extend_from_slice(&line);
    frames.call(dead_letter::fingerprint(lane, call.position));
    Some(frames)
}

fn read_chunk(follow: &dyn Follow, mut place: Place, config: &LaneConfig) -> io::Result<Chunk> {
    let (mut taken, mut bytes, mut lost, mut seen) = (Vec::new(), 0, 0, 0);
    follow.follow(&mut place, &mut |read| {
        match read {
            Read::Lost(range) => lost += range.last - range.first + 1,
            Read::Frame(frame) => {
                seen += 1;
                if let Some(call) = taken_from(&frame, config) {
                    bytes += call.line.len();
                    taken.push(call);
                }
            }
        }
        let enough = taken.len() >= READ_LINES || bytes >= READ_BYTES || seen >= 10 * READ_LINES;
        Ok(if enough { Go::Stop } else { Go::On })
    })?;
    Ok(Chunk { place, taken, lost })
}

/// A frame as a call for the lane, if it is one.
fn taken_from(frame: &crate::log::frame::Frame<'_>, config: &LaneConfig) -> Option<Taken> {
    let stream = frame.stream()?;
    let source = SourceId::new(frame.source).ok()?;
    let line = std::str::from_utf8(frame.payload).ok()?;
    let head = Head::of(&stream, line)?;
    let function = config.selection.function_for(&source, &head)?;
    (function == config.id.function).then(|| Taken {
        position: frame.position,
        source,
        received_at: frame.received_at,
        head,
        line: Bytes::copy_from_slice(frame.payload),
    })
}
