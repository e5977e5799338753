//! Looks at the batches and starts a task for each that is due.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::busy::Busy;
use super::clock_watch::ClockWatch;
use super::closing::Closing;
use super::encode::{self, Job, LEVEL_AT_LEISURE, LEVEL_UNDER_LOAD, Made};
use super::ledger_watch::LedgerWatch;
use super::settings::{DiskWork, LOOK_EVERY};
use super::staging::Staged;
use super::supervise::{self, Supervision, UnderWay, Work};
use super::upload::Hold;
use super::{Inner, lock, measure, upload};
use crate::batch::{BatchKey, Reason};
use crate::object::{Destination, ObjectKey, ObjectName};
use crate::planted::{PlantedBug, PlantedPanic, panic_if_planted, planted};
use crate::sources::SourceId;
use crate::spool::disk::is_no_space;
use crate::spool::note::Seal;
use crate::spool::outlet::{FirstOpen, OPEN_BATCHES_MAX};
use crate::spool::{OpenBatch, Stopped};
use crate::time::UnixMillis;

/// Bytes that an object may have however little room is left.
const OBJECT_BYTES_MIN: u64 = 64 * 1_024;
/// Why nothing can be sealed or committed on a full disk.
const NO_SPACE_FOR_NOTE: &str = "the disk is full and the spool's manifest cannot grow: free some space";
/// What could not be noted for want of space is noted again after this long.
const NOTE_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long to rest after a look, for each batch looked at: a look at one takes well under a microsecond, so however many
/// there are, looking takes at most one per cent of a core.
const REST_PER_BATCH: Duration = Duration::from_micros(100);
/// The longest rest: a kick waits for it too.
const REST_MAX: Duration = Duration::from_secs(1);

pub(super) async fn run(inner: Arc<Inner>) {
    let mut deadlines = Deadlines::default();
    let mut closing = Closing::default();
    let mut stopped = inner.parts.outlet.stopped();
    let mut clock_watch = ClockWatch::new(inner.parts.clock.wall(), inner.parts.clock.monotonic());
    let mut ledger_watch = LedgerWatch::default();
    let mut supervision = Supervision::default();
    loop {
        panic_if_planted(PlantedPanic::Scheduler);
        supervision.look(&inner);
        note_clock_step(&inner, &mut clock_watch);
        if inner.settings.close_days {
            closing.look(&inner);
        }
        ledger_watch.look(&inner);
        let batches = look(&inner, &mut deadlines);
        inner.refresh_gauges();
        let rest = REST_PER_BATCH.saturating_mul(u32::try_from(batches).unwrap_or(u32::MAX)).min(REST_MAX);
        let kicked = async {
            tokio::time::sleep(rest).await;
            inner.kick.notified().await;
        };
        tokio::select! {
            // In order, here and below: the same events lead to the same steps, and an end goes before more work.
            biased;
            () = inner.stop.cancelled() => return,
            gone = stopped.wait_for(Option::is_some) => {
                // The spool has stopped: no seal could be written, so nothing more may be put.
                drop(gone);
                inner.stop.cancel();
                return;
            }
            () = kicked => {}
            () = tokio::time::sleep(LOOK_EVERY.max(rest)) => {}
        }
    }
}

/// A wall clock that was set back is believed, and noted: it explains what a day's objects look like.
fn note_clock_step(inner: &Arc<Inner>, watch: &mut ClockWatch) {
    let to = inner.parts.clock.wall();
    if let Some(from) = watch.read(to, inner.parts.clock.monotonic()) {
        // Nothing waits for it: a spool that has stopped says so to everybody.
        let inner_of_task = Arc::clone(inner);
        inner.tasks.spawn(async move {
            let (inner, outlet) = (&inner_of_task, inner_of_task.parts.outlet.clone());
            tokio::select! {
                biased;
                () = inner.stop.cancelled() => {}
                _ = noted(inner, None, move || outlet.note_clock(from, to)) => {}
            }
        });
    }
}

/// Starts a task for each batch that is due and has none. Returns how many batches there are.
fn look(inner: &Arc<Inner>, deadlines: &mut Deadlines) -> usize {
    // Before the batches: a flush asks for what is open, and would be forgotten where it is not seen yet.
    let asked = lock(&inner.asked).clone();
    let open = inner.parts.outlet.open_batches();
    let batches = open.len();
    inner.forget_estimates(&open);
    inner.judge(&open);
    // Where hardly anything is left, what fails may take it only for what frees a segment.
    let failing = if inner.parts.outlet.is_tight() { inner.failing_sources(&open) } else { BTreeSet::new() };
    let pressed = pressed(inner, &open, &failing);
    let view = View::now(inner, &open, asked);
    let resting = supervise::resting(inner);
    let deadlines = deadlines
        .of(&open, |batch| inner.settings.rule.deadline(batch.first_received_at, view.wall, view.monotonic));
    for (batch, deadline) in open.into_iter().zip(deadlines) {
        let is_pressed = pressed.binary_search(&batch.key).is_ok();
        let reason = match view.reason(inner, &batch, deadline) {
            // What is due for its size alone may fill on, and under pressure it must not.
            None | Some(Reason::Size) if is_pressed => Some(Reason::Pressure),
            Some(_) if failing.contains(&batch.key.source) => is_pressed.then_some(Reason::Pressure),
            reason => reason,
        };
        if !resting.is_empty() && resting.contains(&Work::Batch(batch.key.clone())) {
            continue;
        }
        if reason.is_none() {
            measure::begin(inner, &batch);
        } else if let Some(reason) = reason
            && let Some(busy) = Busy::take(inner, &batch.key)
            && let Some(under_way) = UnderWay::begin(inner, Work::Batch(batch.key.clone()))
        {
            let inner_of_task = Arc::clone(inner);
            inner.tasks.spawn(async move { deliver(inner_of_task, batch, reason, busy, under_way).await });
        }
    }
    batches
}

/// The batches that are due for want of space or because too many are open, sorted.
fn pressed(inner: &Inner, open: &[OpenBatch], failing: &BTreeSet<SourceId>) -> Vec<BatchKey> {
    let outlet = &inner.parts.outlet;
    let mut pressed = outlet.under_pressure();
    if outlet.is_too_tight_for_two() {
        let oldest = outlet.pinning_oldest_unsealed();
        pressed.retain(|key| oldest.contains(key) || !failing.contains(&key.source));
    }
    pressed.extend(inner.batches_that_leave(open));
    if open.len() > OPEN_BATCHES_MAX {
        let mut by_last: Vec<&OpenBatch> = open.iter().collect();
        by_last.sort_by_key(|batch| batch.last);
        pressed.extend(by_last.iter().take(open.len() - OPEN_BATCHES_MAX).map(|batch| batch.key.clone()));
    }
    pressed.sort();
    pressed
}

/// What a look judges batches by: the same instant and the same wishes for all of them.
struct View {
    wall: UnixMillis,
    monotonic: Duration,
    shutting_down: bool,
    asked: BTreeMap<BatchKey, u64>,
    removed: BTreeSet<SourceId>,
    moved: BTreeSet<SourceId>,
}

impl View {
    fn now(inner: &Inner, open: &[OpenBatch], mut asked: BTreeMap<BatchKey, u64>) -> Self {
        let find = |key: &BatchKey| {
            open.binary_search_by(|batch| batch.key.cmp(key)).ok().and_then(|at| open.get(at))
        };
        let done = asked
            .extract_if(.., |key, through| find(key).is_none_or(|batch| batch.first > *through))
            .collect();
        forget(&mut lock(&inner.asked), done);
        Self {
            wall: inner.parts.clock.wall(),
            monotonic: inner.parts.clock.monotonic(),
            shutting_down: inner.shutting_down.load(Ordering::Acquire),
            asked,
            removed: lock(&inner.removed).clone(),
            moved: inner.parts.outlet.moved_sources(),
        }
    }

    fn reason(&self, inner: &Inner, batch: &OpenBatch, deadline: Duration) -> Option<Reason> {
        if self.shutting_down {
            return Some(Reason::Shutdown);
        }
        if !self.asked.is_empty() && self.asked.contains_key(&batch.key) {
            return Some(Reason::Asked);
        }
        let source = &batch.key.source;
        if !self.removed.is_empty() && self.removed.contains(source) {
            return Some(Reason::Retargeted);
        }
        let goes_on =
            |place: Option<(Destination, Option<u64>)>| place.is_some_and(|(_, until)| until.is_some());
        if !self.moved.is_empty()
            && self.moved.contains(source)
            && goes_on(inner.parts.outlet.destination(source, batch.first))
        {
            return Some(Reason::Retargeted);
        }
        let rule = inner.settings.rule;
        rule.decide(batch.key.day, deadline, inner.estimate(batch), self.wall, self.monotonic)
    }
}

/// Takes out of `asked` what is done, unless more was asked for meanwhile.
fn forget(asked: &mut BTreeMap<BatchKey, u64>, done: BTreeMap<BatchKey, u64>) {
    for (key, through) in done {
        if asked.get(&key) == Some(&through) {
            asked.remove(&key);
        }
    }
}

/// The monotonic instants at which batches are due by age. They are computed once: a wall clock that steps moves none.
#[derive(Debug, Default)]
struct Deadlines(Vec<(BatchKey, u64, Duration)>);

impl Deadlines {
    /// The deadlines of `open`, which is sorted by key; `compute` gives those that are new or stale.
    fn of(&mut self, open: &[OpenBatch], compute: impl Fn(&OpenBatch) -> Duration) -> Vec<Duration> {
        let mut known = std::mem::take(&mut self.0).into_iter().peekable();
        for batch in open {
            while known.next_if(|(key, ..)| *key < batch.key).is_some() {}
            let (key, deadline) = match known.next_if(|(key, ..)| *key == batch.key) {
                Some((key, generation, deadline)) if generation == batch.generation => (key, deadline),
                Some((key, ..)) => (key, compute(batch)),
                None => (batch.key.clone(), compute(batch)),
            };
            self.0.push((key, batch.generation, deadline));
        }
        self.0.iter().map(|(.., deadline)| *deadline).collect()
    }
}

/// Encodes, seals and uploads one object of a due batch.
async fn deliver(inner: Arc<Inner>, batch: OpenBatch, reason: Reason, busy: Busy, under_way: UnderWay) {
    let outcome = tokio::select! {
        biased;
        () = inner.stop.cancelled() => Ok(()),
        outcome = one_object(&inner, &batch, reason, busy, under_way) => outcome,
    };
    if outcome.is_err() {
        tracing::debug!(batch = %batch.key, "delivery ends: the spool has stopped");
    }
}

async fn one_object(
    inner: &Arc<Inner>,
    batch: &OpenBatch,
    reason: Reason,
    busy: Busy,
    under_way: UnderWay,
) -> Result<(), Stopped> {
    panic_if_planted(PlantedPanic::Delivery);
    let place = blocking(inner, {
        let (inner, batch) = (Arc::clone(inner), batch.clone());
        move || place_of(&inner, &batch)
    })
    .await?;
    let (destination, until) = match place {
        Place::At(destination, until) => (destination, until),
        Place::Nothing => return Ok(()),
        Place::Unknown | Place::Held => {
            tokio::time::sleep(inner.settings.backoff.wait(3, &*inner.parts.random)).await;
            return Ok(());
        }
    };
    let slots = inner.slots(&destination);
    let Ok(sealed_slot) = Arc::clone(&slots.sealed).acquire_owned().await else { return Ok(()) };
    let hold = Hold { _busy: busy, _slot: sealed_slot };
    // Boxed: it takes kilobytes, and thousands of batches may wait for a slot at once.
    Box::pin(object_at(inner, batch, reason, (hold, under_way), (destination, until))).await
}

/// One object of what goes to one destination, up to the position that goes elsewhere.
async fn object_at(
    inner: &Arc<Inner>,
    batch: &OpenBatch,
    reason: Reason,
    (hold, under_way): (Hold, UnderWay),
    (destination, until): (Box<Destination>, Option<u64>),
) -> Result<(), Stopped> {
    let Ok(encoder) = inner.encoders.acquire().await else { return Ok(()) };
    let outlet = &inner.parts.outlet;
    let end_of_segment = match reason {
        Reason::Pressure if outlet.is_tight() => outlet.end_of_oldest(&batch.key, batch.sealed_through),
        _ => None,
    };
    let end_of_segment = end_of_segment.unwrap_or(u64::MAX);
    let job = Job {
        key: batch.key.clone(),
        after: batch.sealed_through,
        through: until.map_or(u64::MAX, |until| until - 1).min(end_of_segment),
        max_bytes: inner.settings.rule.max_bytes,
        // What has grown beyond an object is behind, for whatever reason it is due.
        level: match reason {
            Reason::Size | Reason::Pressure => LEVEL_UNDER_LOAD,
            _ if inner.settings.rule.is_full(inner.estimate(batch)) => LEVEL_UNDER_LOAD,
            _ => LEVEL_AT_LEISURE,
        },
    };
    let made = in_background(inner, {
        let (inner, job) = (Arc::clone(inner), job.clone());
        move || Ok(encode_job(&inner, &job))
    })
    .await?;
    drop(encoder);
    let sealed = blocking(inner, {
        let (inner, batch) = (Arc::clone(inner), batch.clone());
        move || seal_made(&inner, &batch, &job, made, *destination, reason)
    });
    let sealed = match sealed.await {
        Err(Stopped) if !outlet.is_stopped() => {
            inner.progress.waiting(&batch.key.source, NO_SPACE_FOR_NOTE.to_owned());
            Encoding::Failed
        }
        sealed => sealed?,
    };
    match sealed {
        Encoding::Sealed(sealed) => {
            let (seal, staged) = *sealed;
            // Held until the object is delivered. A resumed task cannot have it: it would need the batch.
            let Some(_under_way) = under_way.sealed(seal.number) else { return Ok(()) };
            upload::deliver(inner, seal, Some(staged), Some(hold)).await
        }
        Encoding::FillsOn => Ok(()),
        Encoding::Failed => {
            tokio::time::sleep(inner.settings.backoff.wait(3, &*inner.parts.random)).await;
            Ok(())
        }
    }
}

/// Where the first frame of a batch that is not sealed goes.
enum Place {
    /// There, up to the first position that goes elsewhere.
    At(Box<Destination>, Option<u64>),
    /// There is no such frame: those that there were cannot be read, which is noted.
    Nothing,
    /// That cannot be said for now.
    Unknown,
    /// The object sealed before is neither stored nor parked: its task died, and it comes first.
    Held,
}

fn place_of(inner: &Inner, batch: &OpenBatch) -> Result<Place, Stopped> {
    let (outlet, source) = (&inner.parts.outlet, &batch.key.source);
    if outlet.has_unparked_seal(&batch.key) {
        return Ok(Place::Held);
    }
    let why = match outlet.first_open(batch) {
        Ok(FirstOpen::At(first)) => match outlet.destination(source, first) {
            Some((destination, until)) => return Ok(Place::At(Box::new(destination), until)),
            None => "no destination is noted for this source; configure it again to deliver what it has"
                .to_owned(),
        },
        Ok(FirstOpen::Nothing { lost }) => {
            // Nothing unrelated waits for what is gone: its segments can go to quarantine.
            outlet.give_up(batch, &lost)?;
            return Ok(Place::Nothing);
        }
        Err(error) => format!("read the spool: {error}"),
    };
    if let Some(line) = inner.happened("find the place", source.as_str()) {
        tracing::error!(batch = %batch.key, times = line.times, others = line.others, "waiting to deliver: {why}");
    }
    inner.progress.waiting(source, why);
    Ok(Place::Unknown)
}

/// Runs work that waits for the disk off the runtime's threads.
pub(super) async fn blocking<T: Send + 'static>(
    inner: &Arc<Inner>,
    work: impl FnOnce() -> Result<T, Stopped> + Send + 'static,
) -> Result<T, Stopped> {
    ended(on_disk(inner, work)).await
}

/// Does work that notes something, again and again while there is no space for the note: what it tells of is done.
pub(super) async fn noted<T: Send + 'static>(
    inner: &Arc<Inner>,
    source: Option<&SourceId>,
    work: impl Fn() -> Result<T, Stopped> + Clone + Send + 'static,
) -> Result<T, Stopped> {
    loop {
        match blocking(inner, work.clone()).await {
            Err(Stopped) if !inner.parts.outlet.is_stopped() => {
                if let Some(source) = source {
                    inner.progress.waiting(source, NO_SPACE_FOR_NOTE.to_owned());
                }
                tokio::time::sleep(NOTE_AGAIN_AFTER).await;
            }
            outcome => return outcome,
        }
    }
}

/// Does work that computes, where that gives way to answers.
pub(super) async fn in_background<T: Send + 'static>(
    inner: &Arc<Inner>,
    work: impl FnOnce() -> Result<T, Stopped> + Send + 'static,
) -> Result<T, Stopped> {
    let task = match (inner.settings.disk_work, &inner.parts.background) {
        (DiskWork::OnThreads, Some(background)) => inner.tasks.spawn_blocking_on(work, background),
        _ => on_disk(inner, work),
    };
    ended(task).await
}

async fn ended<T>(task: JoinHandle<Result<T, Stopped>>) -> Result<T, Stopped> {
    match task.await {
        Ok(outcome) => outcome,
        Err(error) => match error.try_into_panic() {
            // The task dies with its step: its work is begun again after a pause.
            Ok(panic) => std::panic::resume_unwind(panic),
            // The process is ending.
            Err(_cancelled) => Err(Stopped),
        },
    }
}

/// Begins work that waits for the disk. It is tracked, so that a shutdown waits for what is being written even when the
/// task that asked for it is gone.
pub(super) fn on_disk<T: Send + 'static>(
    inner: &Inner,
    work: impl FnOnce() -> T + Send + 'static,
) -> JoinHandle<T> {
    match inner.settings.disk_work {
        DiskWork::OnThreads => inner.tasks.spawn_blocking(work),
        DiskWork::InPlace => inner.tasks.spawn(async move { work() }),
    }
}

/// What came of an encoding.
enum Encoding {
    /// An object, sealed.
    Sealed(Box<(Seal, Staged)>),
    /// Size alone made the batch due, and it is not full yet (or has nothing).
    FillsOn,
    /// It could not be staged, or its seal not noted; nothing is sealed, so nothing is at stake.
    Failed,
}

fn encode_job(inner: &Inner, job: &Job) -> io::Result<Made> {
    panic_if_planted(PlantedPanic::Encoder);
    let (outlet, clock) = (&inner.parts.outlet, &*inner.parts.clock);
    let encode = |max_bytes: u64| {
        let job = Job { max_bytes: job.max_bytes.min(max_bytes), ..job.clone() };
        encode::encode(outlet, &inner.staging, clock, &job)
    };
    // An object is staged, and copied when it is parked: one that finds no room for its copy would keep its segments. That the
    // spool is not under pressure now does not mean that there is room for both.
    let half = || outlet.room() / 2;
    let in_memory = inner.settings.object_in_memory_max as u64;
    let mut most = half().max(OBJECT_BYTES_MIN).min(job.max_bytes);
    let made = loop {
        let made = encode(most);
        let least = match &made {
            // Meanwhile calls, or other objects, took the space that it needs.
            Ok(Made::Object(object)) if object.staged.len > outlet.room() => in_memory.max(OBJECT_BYTES_MIN),
            // A full disk is emptied by delivering: what fits in memory can still go.
            Err(error) if is_no_space(error) => {
                outlet.disk_is_full();
                in_memory
            }
            _ => break made,
        };
        if most <= least {
            break made;
        }
        drop(made);
        // Each try is for less, so that there is a last one whatever the others do.
        most = half().min(most / 2).max(least);
    };
    match made {
        // Its first line alone is longer.
        Ok(Made::Nothing { .. }) if most < job.max_bytes => encode(u64::MAX),
        made => made,
    }
}

fn seal_made(
    inner: &Inner,
    batch: &OpenBatch,
    job: &Job,
    made: io::Result<Made>,
    destination: Destination,
    reason: Reason,
) -> Result<Encoding, Stopped> {
    let outlet = &inner.parts.outlet;
    let object = match made {
        Ok(Made::Object(object)) => object,
        Ok(Made::Nothing { .. }) => return Ok(Encoding::FillsOn),
        Err(error) => {
            if let Some(line) = inner.happened("stage", job.key.source.as_str()) {
                let (times, others) = (line.times, line.others);
                tracing::warn!(%error, batch = %job.key, times, others, "an object could not be staged; it is retried");
            }
            inner.progress.waiting(&batch.key.source, format!("stage an object: {error}"));
            return Ok(Encoding::Failed);
        }
    };
    let encoded = &object.encoded;
    inner.learn(batch, encoded.bytes, object.staged.len);
    let whole = encoded.next_received_at.is_none() && job.through == u64::MAX;
    if reason == Reason::Size && whole && !inner.settings.rule.is_full(object.staged.len) {
        // Lines that rotted are still counted, and with them it would seem full at every look.
        outlet.recount(batch, encoded.bytes);
        return Ok(Encoding::FillsOn);
    }
    outlet.note_lost(&object.lost)?;
    let object_key = ObjectKey::of_batch(
        &destination.bucket,
        job.key.stream,
        &job.key.source,
        if planted(PlantedBug::DayFromUploadTime) { inner.parts.clock.wall().day() } else { job.key.day },
        ObjectName {
            first_received_at: encoded.named_at,
            node: &outlet.node(),
            spool_id: &outlet.spool_id(),
            first_position: encoded.first,
        },
    );
    let seal = outlet.seal(&job.key, encoded, destination, object_key)?;
    tracing::debug!(seal = seal.number, batch = %job.key, ?reason, calls = seal.frames, "sealed");
    Ok(Encoding::Sealed(Box::new((seal, object.staged))))
}
