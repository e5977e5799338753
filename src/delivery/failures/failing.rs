//! Records which puts fail, and which sources are refused as a consequence.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::health::{Cause, Health};
use crate::batch::BatchKey;
use crate::delivery::logs::LogNumber;
use crate::delivery::put::put_locations::{self, PutLocation, put_location};
use crate::lock::lock;
use crate::log::refusals::{Division, Party};
use crate::log::{Log, OpenBatch};
use crate::object::S3Location;
use crate::sources::SourceId;
use crate::store::{Fault, StoreError};
use crate::words::about_bytes;

/// How long a sealed object keeps a place that others wait for if its bucket accepts nothing.
const LEAVES_PLACE_AFTER: Duration = Duration::from_secs(10);

/// What fails, as puts report it and as the last check of a log judged it. It outlives a panic of the
/// scheduler.
///
/// Order of locks: `refusing` before `health`. The others are never held together.
#[derive(Debug)]
pub(crate) struct Failing {
    log: LogNumber,
    /// Which puts fail, of all logs.
    health: Arc<Mutex<Health>>,
    /// Whether one failure is enough to count as failing: under pressure there is no time to wait for the
    /// result of the next try.
    strict: AtomicBool,
    /// How much of the spool each failing party may hold, as of the last check.
    division: Mutex<Arc<Division<PutLocation>>>,
    /// Which sources were refused lately.
    refusing: Mutex<Refusing>,
    /// Sources with an upload conflict: nothing is put for them.
    conflicts: Mutex<BTreeSet<SourceId>>,
}

/// Recent refusals.
#[derive(Debug, Default)]
pub(crate) struct Refusing {
    /// When each subject of an alarm was last refused.
    pub(crate) lately: BTreeMap<String, Duration>,
    /// Requests refused because the spool was full, up to the last check.
    pub(crate) for_space: u64,
    /// When failures are judged again.
    pub(crate) next: Duration,
}

impl Failing {
    pub(in crate::delivery) fn new(log: LogNumber, health: &Arc<Mutex<Health>>) -> Self {
        Self {
            log,
            health: Arc::clone(health),
            strict: AtomicBool::new(false),
            division: Mutex::default(),
            refusing: Mutex::default(),
            conflicts: Mutex::default(),
        }
    }

    /// The log whose puts these are.
    pub(in crate::delivery) fn log(&self) -> LogNumber {
        self.log
    }

    pub(crate) fn be_strict(&self, strict: bool) {
        self.strict.store(strict, Ordering::Release);
    }

    pub(crate) fn is_strict(&self) -> bool {
        self.strict.load(Ordering::Acquire)
    }

    /// Whether the puts of a source to a bucket fail.
    pub(crate) fn is_failing(&self, source: &SourceId, to: &S3Location) -> bool {
        self.health().is_failing(source, to, self.is_strict())
    }

    /// Records that a put which began at `began` is still in flight.
    pub(crate) fn under_way(&self, source: &SourceId, to: &S3Location, began: Duration, now: Duration) {
        self.health().under_way(self.log, source, to, began, now);
    }

    pub(crate) fn health(&self) -> MutexGuard<'_, Health> {
        lock(&self.health)
    }

    pub(crate) fn refusing(&self) -> MutexGuard<'_, Refusing> {
        lock(&self.refusing)
    }

    pub(crate) fn division(&self) -> Arc<Division<PutLocation>> {
        Arc::clone(&lock(&self.division))
    }

    pub(crate) fn set_division(&self, division: Division<PutLocation>) {
        *lock(&self.division) = Arc::new(division);
    }

    /// Counts a put that failed.
    pub(crate) fn put_failed(&self, source: &SourceId, to: &S3Location, error: &StoreError, now: Duration) {
        let cause = match error.fault {
            Fault::Refused | Fault::NoAccess | Fault::Expired => Cause::Refused,
            _ => Cause::Unreachable,
        };
        self.health().failed(self.log, (source, to), cause, error.with_remedy().masked(), now);
    }

    /// Records that a source has an upload conflict: nothing is put for it until a person has decided.
    pub(crate) fn set_conflict(&self, source: &SourceId) {
        lock(&self.conflicts).insert(source.clone());
    }

    /// Records that no conflict of a source waits for a person any more.
    pub(crate) fn clear_conflict(&self, source: &SourceId) {
        lock(&self.conflicts).remove(source);
    }

    pub(crate) fn has_conflict(&self, source: &SourceId) -> bool {
        lock(&self.conflicts).contains(source)
    }

    pub(crate) fn conflicts(&self) -> BTreeSet<SourceId> {
        lock(&self.conflicts).clone()
    }

    /// Why calls of a source are refused, if they are, and what to do.
    pub(crate) fn why_refused(&self, source: &SourceId) -> Option<String> {
        let division = self.division();
        division.refused.get(source).map(|party| why_refused(&division, party))
    }

    /// The batches to seal because failing parties have to leave the segments, sorted like `open`.
    pub(crate) fn batches_that_leave(&self, log: &dyn Log, open: &[OpenBatch]) -> Vec<BatchKey> {
        let division = self.division();
        if division.relieved.is_empty() && !division.make_room {
            return Vec::new();
        }
        let current: BTreeMap<SourceId, S3Location> = log.current_locations().into_iter().collect();
        let pinning: BTreeSet<BatchKey> =
            if division.make_room { log.pinning_oldest().into_iter().collect() } else { BTreeSet::new() };
        let leaves = |batch: &&OpenBatch| {
            let source = &batch.key.source;
            let Some(to) = current.get(source) else { return false };
            let party = division.party(source, &put_location(to));
            party.is_some_and(|party| division.relieved.contains(&party) || pinning.contains(&batch.key))
        };
        open.iter().filter(leaves).map(|batch| batch.key.clone()).collect()
    }

    /// The sources of open batches whose last put failed at the bucket to which their calls go now.
    pub(crate) fn failing_sources(&self, log: &dyn Log, open: &[OpenBatch]) -> BTreeSet<SourceId> {
        let current = log.current_locations();
        let waiting: BTreeSet<&SourceId> = open.iter().map(|batch| &batch.key.source).collect();
        let health = self.health();
        let fails = |(source, to): &&(SourceId, S3Location)| {
            waiting.contains(source) && health.has_failed(source, to)
        };
        current.iter().filter(fails).map(|(source, _)| source.clone()).collect()
    }

    /// Whether an object that was sealed `waited` ago must be parked, because its puts fail and the space or
    /// place that it holds is needed. `pressure`: the spool needs space. `places_left`: how many more sealed
    /// objects its bucket may have.
    pub(crate) fn must_leave(
        &self,
        source: &SourceId,
        to: &S3Location,
        (pressure, places_left): (bool, usize),
        waited: Duration,
    ) -> bool {
        let division = self.division();
        let party =
            if division.parties.is_empty() { None } else { division.party(source, &put_location(to)) };
        let Some(party) = party else {
            // A single failure does not make a failing party. Under pressure it is enough to park, because
            // the next try may come late.
            return pressure && self.health().has_failed(source, to);
        };
        // A failing object leaves its place to sources whose puts may succeed: at once if the bucket
        // accepts others.
        let others_are_taken = matches!(party, Party::Source(..)) || waited >= LEAVES_PLACE_AFTER;
        let blocks_others = others_are_taken && places_left == 0;
        pressure || division.make_room || blocks_others || division.relieved.contains(&party)
    }
}

/// The error code, its reason, and what to do.
pub(crate) fn why_refused(division: &Division<PutLocation>, party: &Party<PutLocation>) -> String {
    let held = division.parties.get(party).copied().unwrap_or_default().bytes();
    let (location, of_whom) = match party {
        Party::Location(location) => (location, ""),
        Party::Source(_, location) => (location, " of this source"),
    };
    format!(
        "503 destination_full: {} accepts no objects{of_whom}; the calls that wait for it use {} of the spool, and their \
         share is {}; fix the bucket: its alarm and `forebay check` say how",
        put_locations::in_words(location),
        about_bytes(held),
        about_bytes(division.allowance.unwrap_or_default())
    )
}

/// A party, as the subject of an alarm.
pub(crate) fn name(party: &Party<PutLocation>) -> String {
    match party {
        Party::Location(location) => put_locations::in_words(location),
        Party::Source(source, location) => format!("{source} to {}", put_locations::in_words(location)),
    }
}
