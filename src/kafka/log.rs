//! A term of a partition as a [`Log`](crate::log::Log). Notes are asked of the thread that owns the term; all else
//! is read from what is known, and frames from the cache.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::asks::{Ask, Asks};
use super::kept::Kept;
use super::known::Shared;
use crate::batch::BatchKey;
use crate::lock::lock;
use crate::log::notes::CallNote;
use crate::log::notes::locate::locate;
use crate::log::refusals::{Cause, Division, Flow};
use crate::log::{
    Accounts, Amend, Batches, Capacity, Closable, DayInBucket, DayStage, Days, Decision, Encoded, Held,
    KeptBytes, KeptObject, Located, Locations, OpenBatch, Parked, PendingSeal, Range, Report, Rows, Seal,
    Seals, Status, Stopped, Usage, Visit,
};
use crate::object::gzip::GzipLines;
use crate::object::{AppliedEncryption, ObjectKey, PutLocation, S3Location};
use crate::receipt::Receipt;
use crate::sources::SourceId;
use crate::spool::CacheDamaged;
use crate::time::{ReceivedDay, UnixMillis};

/// A term of a partition, for those that deliver it and report on it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct PartitionLog {
    pub(super) shared: Arc<Shared>,
    pub(super) kept: Arc<Kept>,
    pub(super) asks: Asks,
    /// The sources that are refused because too much of the cache waits for their buckets: none, as a rule.
    pub(super) refused: Arc<Mutex<BTreeSet<SourceId>>>,
}

impl PartitionLog {
    /// The cache cannot be used: the term ends, and the log is read again.
    fn broken(&self, why: String) -> Stopped {
        tracing::warn!(why, "the cache of a partition cannot be used; its log is read again");
        self.asks.tell(Ask::Broken(why));
        Stopped
    }
}

/// How a person decides about a conflict, in words that follow "until a person".
pub(super) fn how_to_decide(partition: u32, seal: u64) -> String {
    format!("decides with `forebay kafka resolve --partition {partition} --seal {seal} --action ACTION`")
}

/// Why a person's decision is not noted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotDecided {
    /// The term is over.
    Stopped,
    /// The seal has no conflict; these have one.
    NotWaiting(Vec<u64>),
}

impl PartitionLog {
    /// Notes what a person decided about the conflict of a seal, and returns the seal as it is put from now on.
    /// Waits for brokers. The delivery learns of it only from its
    /// [`decided`](crate::delivery::Delivery::decided).
    /// Errors: [`NotDecided`]. With `Stopped` the decision may be noted or not.
    pub fn decide(&self, seal: u64, decision: Decision) -> Result<PendingSeal, NotDecided> {
        let decided = self.asks.ask(|answer| Ask::Decide { number: seal, decision, answer });
        let decided = decided.map_err(|Stopped| NotDecided::Stopped)?;
        decided.map(|pending| *pending).map_err(NotDecided::NotWaiting)
    }
}

impl Status for PartitionLog {
    fn spool_id(&self) -> String {
        self.shared.read().state.identity.spool_id()
    }

    fn node(&self) -> String {
        self.shared.read().state.identity.node()
    }

    fn stopped(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.shared.stopped()
    }

    fn usage(&self) -> Usage {
        // A cache that is full pauses reading, and refuses nobody.
        Usage { is_full: false, refused: 0, is_cache: true, ..self.shared.cache.usage() }
    }

    fn ledger(&self, rows: Rows<'_>) -> Report {
        self.shared.ledger(rows)
    }

    fn oldest_undelivered(&self) -> Option<UnixMillis> {
        let known = self.shared.read();
        let pending = known.state.calls.seals.values().map(|pending| pending.seal.first_received_at).min();
        // But for a moment after a commit, its seals are some of the pending ones.
        pending.into_iter().chain(self.shared.cache.oldest_undelivered()).min()
    }

    fn open_batches(&self) -> Vec<OpenBatch> {
        self.shared.open_batches()
    }

    fn each_pending_seal(&self, visit: &mut dyn FnMut(&PendingSeal)) {
        self.shared.read().state.calls.seals.values().for_each(visit);
    }

    fn days_over(&self) -> Option<ReceivedDay> {
        self.shared.read().state.calls.days_over
    }

    fn unclosed_days(&self) -> BTreeMap<(ReceivedDay, SourceId), DayStage> {
        let known = self.shared.read();
        let open = self.shared.cache.open_batches();
        known.state.calls.unclosed_days(open.iter().map(|batch| &batch.key), known.read_before)
    }
}

impl Batches for PartitionLog {
    fn behind(&self) -> Duration {
        self.shared.behind()
    }

    fn open_batch(&self, key: &BatchKey) -> Option<OpenBatch> {
        self.shared.open_batch(key)
    }

    fn read(&self, key: &BatchKey, after: u64, through: u64, visit: &mut Visit<'_>) -> io::Result<()> {
        let of_amended = |pending: &PendingSeal| {
            let seal = &pending.seal;
            pending.amended.is_some() && seal.batch == *key && (seal.first, seal.last) == (after + 1, through)
        };
        if self.shared.read().state.calls.seals.values().any(of_amended) {
            // Its lines are lost by a note that counts, whatever the cache still has.
            return Ok(());
        }
        // Frames that are released meanwhile cannot be read either. Only damage says something of the others.
        let is_damage = |error: &io::Error| error.get_ref().is_some_and(|inner| inner.is::<CacheDamaged>());
        self.shared.cache.read(key, after, through, visit).inspect_err(|error| {
            if is_damage(error) {
                self.broken(error.to_string());
            }
        })
    }

    fn positions_at(&self, batch: &OpenBatch, offsets: &[u64]) -> io::Result<Vec<u64>> {
        self.shared.cache.positions_at(batch, offsets)
    }

    fn end_of_oldest(&self, _batch: &BatchKey, _after: u64) -> Option<u64> {
        // A spool that is nearly full makes objects of single segments, because calls keep coming. Here reading
        // pauses instead, and objects stay full.
        None
    }

    fn recount(&self, batch: &OpenBatch, bytes: u64) {
        self.shared.cache.recount(batch, bytes);
    }

    fn note_lost(&self, lost: &[Range]) -> Result<(), Stopped> {
        // A cache loses nothing: what it cannot read is in the log.
        if lost.is_empty() { Ok(()) } else { Err(self.broken(format!("it lost {lost:?}"))) }
    }

    fn give_up(&self, batch: &OpenBatch, _lost: &[Range]) -> Result<(), Stopped> {
        Err(self.broken(format!("it has no frames of {}", batch.key)))
    }
}

impl Seals for PartitionLog {
    fn seal(
        &self,
        batch: &BatchKey,
        encoded: &Encoded,
        location: S3Location,
        object_key: ObjectKey,
    ) -> Result<Seal, Stopped> {
        self.asks.ask(|answer| Ask::Seal {
            batch: batch.clone(),
            encoded: Box::new(encoded.clone()),
            location: Box::new(location),
            key: object_key,
            answer,
        })
    }

    fn pending_seal(&self, number: u64) -> Option<PendingSeal> {
        self.shared.read().state.calls.seals.get(&number).cloned()
    }

    fn is_at_hand(&self, number: u64) -> bool {
        self.shared.can_make(number) || self.kept.has(number)
    }

    fn commit(&self, seal: &Seal, applied: Option<AppliedEncryption>) -> Result<(), Stopped> {
        self.asks.ask(|answer| Ask::Commit { number: seal.number, applied, answer })?;
        self.kept.stored(seal);
        Ok(())
    }

    fn make_room(&self, seal: &Seal, object: &mut dyn io::Read, parked: Parked) -> Result<bool, Stopped> {
        let file = self.kept.copy(seal, object, parked.len);
        let is_left = self.asks.ask(|answer| Ask::Leave { number: seal.number, parked, answer })?;
        if let Some(file) = file.filter(|_| is_left) {
            self.kept.insert(seal, file, self.shared.clock.monotonic());
        }
        Ok(is_left)
    }

    fn open_for_put(&self, seal: &Seal) -> io::Result<KeptObject> {
        let is_amended = self.pending_seal(seal.number).is_some_and(|pending| pending.amended.is_some());
        if !is_amended {
            return self.kept.open(seal.number);
        }
        // Its lines are lost. It is put without lines, so that the chain stays whole.
        let bytes = GzipLines::new(Vec::new(), 0, u64::MAX).finish()?.out;
        Ok(KeptObject { crc32: crc32fast::hash(&bytes), bytes: KeptBytes::Memory(bytes) })
    }

    fn makes_again(&self, number: u64) -> bool {
        self.kept.lets_damaged_go(number, self.shared.clock.monotonic())
    }

    fn conflict(&self, seal: &Seal) -> Result<(), Stopped> {
        let note = Box::new(CallNote::Conflict { number: seal.number });
        self.asks.ask(|answer| Ask::Note { note, answer })
    }

    fn how_to_decide(&self, number: u64) -> String {
        how_to_decide(self.shared.read().state.identity.partition, number)
    }

    fn amend(&self, seal: &Seal, amend: Amend) -> Result<(), Stopped> {
        // The log has all lines of an object, or the owner has noted that they are lost.
        let known = self.pending_seal(seal.number).and_then(|pending| pending.amended);
        if known.is_some_and(|known| known.sha256 == amend.sha256) {
            return Ok(());
        }
        Err(self.broken(format!("it has other lines of {} than were sealed", seal.object_key)))
    }

    fn restored(&self, seal: &Seal) -> Result<(), Stopped> {
        let note = Box::new(CallNote::Restored { number: seal.number });
        self.asks.ask(|answer| Ask::Note { note, answer })
    }

    fn lost_of(&self, seal: &Seal) -> Vec<Range> {
        vec![seal.range()]
    }
}

impl Locations for PartitionLog {
    fn location(&self, source: &SourceId, position: u64) -> Option<(S3Location, Option<u64>)> {
        let known = self.shared.read();
        known.state.calls.location(source, position).map(|(location, until)| (location.clone(), until))
    }

    fn current_location(&self, source: &SourceId) -> Option<S3Location> {
        let known = self.shared.read();
        known.state.calls.location(source, u64::MAX).map(|(location, _)| location.clone())
    }

    fn current_locations(&self) -> Vec<(SourceId, S3Location)> {
        let known = self.shared.read();
        let current = |(source, known): (&SourceId, &Vec<(u64, S3Location)>)| {
            Some((source.clone(), known.last()?.1.clone()))
        };
        known.state.calls.locations.iter().filter_map(current).collect()
    }

    fn moved_sources(&self) -> BTreeSet<SourceId> {
        let known = self.shared.read();
        let moved = known.state.calls.locations.iter().filter(|(_, known)| known.len() > 1);
        moved.map(|(source, _)| source.clone()).collect()
    }
}

impl Accounts for PartitionLog {
    fn undelivered(&self) -> BTreeMap<SourceId, (u64, UnixMillis)> {
        self.shared.undelivered()
    }

    fn sources(&self) -> Vec<SourceId> {
        self.shared.undelivered().into_keys().collect()
    }

    fn known_sources(&self, wanted: &dyn Fn(&SourceId) -> bool) -> BTreeSet<SourceId> {
        let waiting = self.shared.undelivered().into_keys();
        let known = self.shared.read();
        let known = known.state.calls.known_sources().filter(|source| wanted(source)).cloned();
        known.chain(waiting.filter(|source| wanted(source))).collect()
    }

    fn forget(&self, _: &BTreeSet<SourceId>) -> Result<BTreeSet<SourceId>, Stopped> {
        // A collector may still have the source, so nobody knows that none of its frames will come.
        Ok(BTreeSet::new())
    }

    fn locate(&self, receipt: &Receipt) -> io::Result<Vec<Located>> {
        let next = self.shared.read().read_before;
        locate(self, &*self.shared, next, receipt)
    }
}

impl Days for PartitionLog {
    fn end_days(&self, through: ReceivedDay) -> Result<(), Stopped> {
        self.asks.ask(|answer| Ask::EndDays { through, answer })
    }

    fn note_clock(&self, from: UnixMillis, to: UnixMillis) -> Result<(), Stopped> {
        self.asks.ask(|answer| Ask::Note { note: Box::new(CallNote::Clock { from, to }), answer })
    }

    fn day_locations(&self) -> Vec<(SourceId, S3Location)> {
        let known = self.shared.read();
        let days = known.state.calls.days.iter();
        days.map(|(place, day)| (place.source.clone(), day.location.clone())).collect()
    }

    fn closable(&self, wanted: &mut dyn FnMut(&DayInBucket, &S3Location) -> bool) -> Vec<Closable> {
        self.shared.closable(wanted)
    }

    fn closed(&self, place: &DayInBucket) -> Result<(), Stopped> {
        self.asks.ask(|answer| Ask::Closed { place: place.clone(), answer })
    }
}

impl Capacity for PartitionLog {
    fn bytes_left(&self) -> u64 {
        self.shared.cache.bytes_left()
    }

    fn disk_is_full(&self) {
        self.shared.cache.disk_is_full();
    }

    fn pinning(&self, bytes: u64, _sealed_are_stuck: bool) -> Vec<BatchKey> {
        // What is sealed can always leave the cache: it stays in the log. So no other batch is cut for it.
        self.shared.cache.pinning(bytes, false)
    }

    fn divide(
        &self,
        flows: &[Flow<PutLocation>],
        failing: &BTreeMap<PutLocation, Cause>,
    ) -> Division<PutLocation> {
        // What is left in the log takes nothing of the cache. Who is refused follows from the log's retention, and
        // collectors refuse: a writer takes what was acknowledged.
        let flow = |flow: &Flow<PutLocation>| Flow { held: Held { parked: 0, ..flow.held }, ..flow.clone() };
        let flows: Vec<Flow<PutLocation>> = flows.iter().map(flow).collect();
        Division { refused: BTreeMap::new(), ..self.shared.cache.divide(&flows, failing) }
    }

    fn refuse(&self, sources: BTreeSet<SourceId>) {
        *lock(&self.refused) = sources;
    }

    fn refused_sources(&self) -> BTreeSet<SourceId> {
        lock(&self.refused).clone()
    }
}
