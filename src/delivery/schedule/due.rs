//! Decides which batches are due, and why.
//!
//! [`View::reason`] and [`Deadlines`] compute; [`View::now`] reads the clocks and the log once per check, for
//! all batches.

use std::collections::{BTreeMap, BTreeSet};

use crate::batch::{BatchKey, Deadline, DueRule, Now, Reason};
use crate::delivery::shared::Shared;
use crate::delivery::tasks_under_way::Work;
use crate::log::OpenBatch;
use crate::object::S3Location;
use crate::sources::SourceId;

/// Maximum number of open batches. Above it, the batches that have gone longest without a new line become
/// due.
pub(crate) const OPEN_BATCHES_MAX: usize = 20_000;

/// The facts by which one check judges all batches: the same instant and the same requests for all of them.
pub(crate) struct View {
    now: Now,
    rule: DueRule,
    shutting_down: bool,
    /// Batches that flushes requested, each with the last requested position.
    asked: BTreeMap<BatchKey, u64>,
    /// Sources that are no longer configured.
    removed: BTreeSet<SourceId>,
    /// Sources whose frames have more than one bucket.
    moved: BTreeSet<SourceId>,
    /// Batches that are due because space is short or too many are open, sorted.
    pressed: Vec<BatchKey>,
    /// Sources whose puts fail. They may use the last space only for objects that free a segment.
    failing: BTreeSet<SourceId>,
    /// Work that panicked and is not restarted yet.
    resting: BTreeSet<Work>,
}

/// The clocks, and how far the log is read.
pub(in crate::delivery) fn now(shared: &Shared) -> Now {
    let (clock, log) = (&shared.deps.clock, &shared.deps.log);
    Now { wall: clock.wall(), monotonic: clock.monotonic(), behind: log.behind() }
}

impl View {
    /// `open` lists all open batches, sorted by key. `asked` must be read before `open`: a request for a
    /// batch that is not in `open` is forgotten, because it is taken for done.
    pub(crate) fn now(shared: &Shared, open: &[OpenBatch], mut asked: BTreeMap<BatchKey, u64>) -> Self {
        let log = &shared.deps.log;
        let failing =
            if log.is_tight() { shared.failing.failing_sources(&**log, open) } else { BTreeSet::new() };
        let pressed = pressed(shared, open, &failing);
        let done = extract_done(&mut asked, open);
        shared.requests.forget(done);
        Self {
            now: now(shared),
            rule: shared.settings.rule,
            shutting_down: shared.requests.is_shutting_down(),
            asked,
            removed: shared.requests.removed(),
            moved: log.moved_sources(),
            pressed,
            failing,
            resting: resting(shared),
        }
    }

    /// When a batch is due by age, if it was not seen before.
    pub(crate) fn deadline(&self, batch: &OpenBatch) -> Deadline {
        self.rule.deadline(batch.first_received_at, &self.now)
    }

    /// Whether work on a batch panicked and its pause is not over.
    pub(crate) fn rests(&self, batch: &BatchKey) -> bool {
        !self.resting.is_empty() && self.resting.contains(&Work::Batch(batch.clone()))
    }

    /// Why a batch is due, if it is. `place` gives the bucket of a frame of the batch's source and the
    /// first position that has another; `estimate` gives the bytes of the object that the batch would become.
    /// Both are called only if needed.
    pub(crate) fn reason(
        &self,
        batch: &OpenBatch,
        deadline: Deadline,
        place: impl FnOnce() -> Option<(S3Location, Option<u64>)>,
        estimate: impl FnOnce() -> u64,
    ) -> Option<Reason> {
        let is_pressed = self.pressed.binary_search(&batch.key).is_ok();
        match self.reason_of_its_own(batch, deadline, place, estimate) {
            // A batch that is due for its size alone may continue to fill. Under pressure it may not.
            None | Some(Reason::Size) if is_pressed => Some(Reason::Pressure),
            Some(_) if self.failing.contains(&batch.key.source) => is_pressed.then_some(Reason::Pressure),
            reason => reason,
        }
    }

    fn reason_of_its_own(
        &self,
        batch: &OpenBatch,
        deadline: Deadline,
        place: impl FnOnce() -> Option<(S3Location, Option<u64>)>,
        estimate: impl FnOnce() -> u64,
    ) -> Option<Reason> {
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
        if !self.moved.is_empty()
            && self.moved.contains(source)
            && place().is_some_and(|(_, until)| until.is_some())
        {
            return Some(Reason::Retargeted);
        }
        self.rule.decide(batch.key.day, deadline, estimate(), &self.now)
    }
}

/// The batches that are due because space is short or too many are open, sorted.
fn pressed(shared: &Shared, open: &[OpenBatch], failing: &BTreeSet<SourceId>) -> Vec<BatchKey> {
    let log = &shared.deps.log;
    let mut pressed = log.under_pressure();
    if log.is_too_tight_for_two() {
        let oldest = log.pinning_oldest_unsealed();
        pressed.retain(|key| oldest.contains(key) || !failing.contains(&key.source));
    }
    pressed.extend(shared.failing.batches_that_leave(&**log, open));
    pressed.extend(beyond_the_most(open));
    pressed.sort();
    pressed
}

/// The batches beyond [`OPEN_BATCHES_MAX`]: those whose last line is the oldest.
fn beyond_the_most(open: &[OpenBatch]) -> Vec<BatchKey> {
    let Some(beyond) = open.len().checked_sub(OPEN_BATCHES_MAX).filter(|beyond| *beyond > 0) else {
        return Vec::new();
    };
    let mut by_last: Vec<&OpenBatch> = open.iter().collect();
    by_last.sort_by_key(|batch| batch.last);
    by_last.into_iter().take(beyond).map(|batch| batch.key.clone()).collect()
}

/// Removes the requests whose positions are sealed from `asked`, and returns them.
fn extract_done(asked: &mut BTreeMap<BatchKey, u64>, open: &[OpenBatch]) -> BTreeMap<BatchKey, u64> {
    let find =
        |key: &BatchKey| open.binary_search_by(|batch| batch.key.cmp(key)).ok().and_then(|at| open.get(at));
    asked.extract_if(.., |key, through| find(key).is_none_or(|batch| batch.first > *through)).collect()
}

/// Work that must not be restarted yet, because its task panicked. A batch also rests while its sealed object
/// does.
fn resting(shared: &Shared) -> BTreeSet<Work> {
    let mut resting = shared.under_way.resting();
    let batch_of = |work: &Work| match work {
        Work::Seal(number) => shared.deps.log.pending_seal(*number).map(|pending| pending.seal.batch),
        Work::Batch(_) | Work::Day(_) => None,
    };
    let batches: Vec<Work> = resting.iter().filter_map(batch_of).map(Work::Batch).collect();
    resting.extend(batches);
    resting
}

/// The monotonic instants at which batches are due by age. Each is computed once, at the first check after the
/// batch's first frame was read, so a step of the wall clock moves none.
#[derive(Debug, Default)]
pub(crate) struct Deadlines(Vec<(BatchKey, u64, Deadline)>);

impl Deadlines {
    /// The deadlines of `open`, which is sorted by key. `compute` gives those that are new or stale.
    pub(crate) fn of(
        &mut self,
        open: &[OpenBatch],
        compute: impl Fn(&OpenBatch) -> Deadline,
    ) -> Vec<Deadline> {
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
