//! Notices delivery tasks that panic, and has their work done again after a pause: a batch that is not sealed is looked at
//! as any other, a day is closed again, and a sealed object is put again under its key.
//!
//! Each piece of work has one task. A sealed object without one would wait until the next start, so the seals that are
//! pending are compared with the tasks under way.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::busy::Busy;
use super::conflict::raise_conflict;
use super::upload::{self, Hold};
use super::{Inner, lock};
use crate::alarms::AlarmKind;
use crate::batch::BatchKey;
use crate::spool::delivered_day::DayPlace;
use crate::spool::note::PendingSeal;

/// How often the pending seals are compared with the tasks under way.
const COMPARE_EVERY: Duration = Duration::from_secs(1);

/// What one delivery task works on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Work {
    /// A batch, up to its seal.
    Batch(BatchKey),
    /// A sealed object, by its seal's number.
    Seal(u64),
    /// A day that is over.
    Day(DayPlace),
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Batch(batch) => write!(f, "batch {batch}"),
            Self::Seal(number) => write!(f, "sealed object {number}"),
            Self::Day(place) => write!(f, "day {} of {}", place.day, place.source),
        }
    }
}

/// Panics of the tasks of one piece of work, since it last ended well.
#[derive(Clone, Copy, Debug, Default)]
struct Panics {
    number: u32,
    /// When it is begun again; `None` until the scheduler has noticed the last panic.
    rests_until: Option<Duration>,
}

/// The tasks under way, as far as nothing else knows them, and the panics.
#[derive(Debug, Default)]
pub(super) struct Supervised(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    seals: BTreeSet<u64>,
    panics: BTreeMap<Work, Panics>,
}

/// A task under way. Dropped by a panic, it notes that its work is to be begun again after a pause.
#[derive(Debug)]
pub(super) struct UnderWay {
    inner: Arc<Inner>,
    work: Work,
}

impl UnderWay {
    /// A task begins. `None` where the sealed object has a task already.
    pub(super) fn begin(inner: &Arc<Inner>, work: Work) -> Option<Self> {
        if let Work::Seal(number) = work
            && !lock(&inner.supervised.0).seals.insert(number)
        {
            return None;
        }
        Some(Self { inner: Arc::clone(inner), work })
    }

    /// The batch has been sealed: from here on the task works on the object.
    pub(super) fn sealed(self, number: u64) -> Option<Self> {
        Self::begin(&self.inner, Work::Seal(number))
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let inner = &self.inner;
        if let Work::Day(place) = &self.work {
            lock(&inner.closing).remove(place);
        }
        let mut table = lock(&inner.supervised.0);
        if let Work::Seal(number) = self.work {
            table.seals.remove(&number);
        }
        if std::thread::panicking() {
            let panics = table.panics.entry(self.work.clone()).or_default();
            *panics = Panics { number: panics.number.saturating_add(1), rests_until: None };
            drop(table);
            inner.kick.notify_one();
        } else if table.panics.remove(&self.work).is_some() {
            drop(table);
            inner.parts.alarms.clear(AlarmKind::Task, &self.work.to_string());
        }
    }
}

/// Looks after the delivery tasks.
#[derive(Debug, Default)]
pub(super) struct Supervision {
    compared: Option<Duration>,
}

impl Supervision {
    /// Raises an alarm for each new panic, and begins the sealed objects that have no task.
    pub(super) fn look(&mut self, inner: &Arc<Inner>) {
        notice(inner);
        let now = inner.parts.clock.monotonic();
        if self.compared.is_none_or(|compared| now.saturating_sub(compared) >= COMPARE_EVERY) {
            self.compared = Some(now);
            resume_alone(inner);
        }
    }
}

fn resume_alone(inner: &Arc<Inner>) {
    let numbers = inner.parts.outlet.pending_numbers();
    let alone: Vec<u64> = {
        let table = lock(&inner.supervised.0);
        numbers.into_iter().filter(|number| !table.seals.contains(number)).collect()
    };
    let resting = if alone.is_empty() { BTreeSet::new() } else { resting(inner) };
    for number in alone.into_iter().filter(|number| !resting.contains(&Work::Seal(*number))) {
        if let Some(pending) = inner.parts.outlet.pending_seal(number) {
            resume(inner, pending);
        }
    }
}

fn notice(inner: &Inner) {
    let now = inner.parts.clock.monotonic();
    let mut new = Vec::new();
    for (work, panics) in &mut lock(&inner.supervised.0).panics {
        if panics.rests_until.is_none() {
            let pause = inner.settings.backoff.wait(panics.number, &*inner.parts.random);
            panics.rests_until = Some(now.saturating_add(pause));
            new.push((work.to_string(), panics.number));
        }
    }
    for (subject, number) in new {
        let what = format!(
            "the delivery task panicked, {number} in a row; this is a bug in Forebay, and the log has the panic; the work is \
             begun again after a pause, and nothing is lost"
        );
        inner.parts.alarms.raise(AlarmKind::Task, &subject, what);
    }
}

/// What is not to be begun yet: a task of it has panicked. A batch waits for its sealed object, too.
pub(super) fn resting(inner: &Inner) -> BTreeSet<Work> {
    let now = inner.parts.clock.monotonic();
    let rests = |panics: &Panics| panics.rests_until.is_none_or(|until| now < until);
    let mut resting: BTreeSet<Work> = {
        let table = lock(&inner.supervised.0);
        table.panics.iter().filter(|(_, panics)| rests(panics)).map(|(work, _)| work.clone()).collect()
    };
    let batch_of = |work: &Work| match work {
        Work::Seal(number) => inner.parts.outlet.pending_seal(*number).map(|pending| pending.seal.batch),
        Work::Batch(_) | Work::Day(_) => None,
    };
    let batches: Vec<Work> = resting.iter().filter_map(batch_of).map(Work::Batch).collect();
    resting.extend(batches);
    resting
}

/// Starts a task for each seal that an earlier process left without a commit.
pub(super) fn resume_all(inner: &Arc<Inner>) {
    for pending in inner.parts.outlet.pending_seals() {
        if pending.conflict {
            raise_conflict(inner, &pending);
        }
        resume(inner, pending);
    }
}

/// Starts a task for a sealed object that has none.
fn resume(inner: &Arc<Inner>, pending: PendingSeal) {
    let PendingSeal { seal, parked, .. } = pending;
    // What is parked holds no frames: the batch may go on beside it.
    let busy = if parked.is_none() { Busy::take(inner, &seal.batch) } else { None };
    if parked.is_none() && busy.is_none() {
        // The batch's task has just sealed it, or the object sealed before it comes first.
        return;
    }
    let Some(under_way) = UnderWay::begin(inner, Work::Seal(seal.number)) else { return };
    // A panic after the seal, before its task knew of it: what counts from here on is the object.
    let sealed = Work::Batch(seal.batch.clone());
    if lock(&inner.supervised.0).panics.remove(&sealed).is_some() {
        inner.parts.alarms.clear(AlarmKind::Task, &sealed.to_string());
    }
    let inner_of_task = Arc::clone(inner);
    inner.tasks.spawn(async move {
        let (inner, _under_way) = (inner_of_task, under_way);
        let batch = seal.batch.clone();
        let resumed = async {
            let slots = inner.slots(&seal.destination);
            let hold = match busy {
                Some(busy) => Arc::clone(&slots.sealed)
                    .acquire_owned()
                    .await
                    .ok()
                    .map(|slot| Hold { _busy: busy, _slot: slot }),
                None => None,
            };
            upload::deliver(&inner, seal, None, hold).await
        };
        let outcome = tokio::select! {
            biased;
            () = inner.stop.cancelled() => Ok(()),
            outcome = resumed => outcome,
        };
        if outcome.is_err() {
            tracing::debug!(%batch, "delivery ends: the spool has stopped");
        }
    });
}
