//! What the thread that owns a term knows, for all threads that deliver it. Only the owner changes it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::sync::watch;

use super::counts::Counts;
use crate::batch::BatchKey;
use crate::lock;
use crate::log::notes::locate::Places;
use crate::log::notes::{CallState, Tally};
use crate::log::{Closable, DayInBucket, Difference, Log, OpenBatch, Report, Rows};
use crate::object::S3Location;
use crate::partition::block::BlockAt;
use crate::partition::brokers_clock::BrokersClock;
use crate::partition::days;
use crate::partition::position::before;
use crate::partition::reader::Reader;
use crate::partition::state::State;
use crate::sources::SourceId;
use crate::time::{Clock, UnixMillis};

/// What is known of a partition.
#[derive(Debug)]
pub(super) struct Known {
    /// What the notes that count add up to.
    pub(super) state: State,
    /// The seals whose frames are all in the cache, by number.
    pub(super) sealed: BTreeSet<u64>,
    /// The first position that is not read, or waits for space in the cache.
    pub(super) read_before: u64,
    /// The last block that was read, or that notes name.
    pub(super) last: Option<BlockAt>,
    /// When the last record that was read was written to the log.
    pub(super) read_at: Option<UnixMillis>,
    /// Whether everything that the log had is read, when its end was met.
    pub(super) at_end: bool,
    /// Whether the log does not answer others: nobody knows whether it has more by now.
    pub(super) is_silent: bool,
    /// What is read and in no tally.
    pub(super) counts: Counts,
    /// The clock of the brokers, by the last note.
    pub(super) brokers: Option<BrokersClock>,
    /// Bytes of records that were read.
    pub(super) bytes: u64,
    /// Frames of them, those of second copies excepted.
    pub(super) frames: u64,
    /// Frames among them that came after the end of their day.
    pub(super) late: u64,
    /// Blocks that were read and stand in the log twice.
    pub(super) copies: u64,
    /// Whether the cache does not have what state and counts say yet.
    pub(super) is_between: bool,
    /// Since when nothing is read, because the cache has no room or too many objects stay in the log, by the monotonic
    /// clock.
    pub(super) full_since: Option<Duration>,
}

/// How long nothing may be read before the partition counts as stuck: deliveries make room sooner, if all is well.
pub const STUCK_AFTER: Duration = Duration::from_secs(300);

impl Known {
    /// What is known when a term begins.
    pub(super) fn new(state: State, reader: &Reader, counts: Counts) -> Self {
        Self {
            state,
            sealed: BTreeSet::new(),
            read_before: reader.read_before(),
            last: reader.last(),
            read_at: None,
            at_end: false,
            is_silent: false,
            counts,
            brokers: None,
            bytes: 0,
            frames: 0,
            late: 0,
            copies: 0,
            is_between: true,
            full_since: None,
        }
    }

    /// The first position that is not read and may have calls; `None` if everything is read. A new owner reads what fills
    /// its windows first, and that is delivered.
    pub(super) fn unread_from(&self) -> Option<u64> {
        (!self.has_read_all()).then(|| self.read_before.saturating_add(1).max(self.state.base.read_from))
    }

    /// Whether everything that the log has is read.
    pub(super) fn has_read_all(&self) -> bool {
        self.at_end && !self.is_silent
    }

    /// The first position that no owner has read. An earlier owner may have read further than this one, and has then
    /// named the sources whose calls wait. If this owner is stuck, it cannot name them, so only its own reading counts.
    pub(super) fn unknown_from(&self, now: Duration) -> Option<u64> {
        let is_stuck = self.full_since.is_some_and(|since| now.saturating_sub(since) >= STUCK_AFTER);
        let told = if is_stuck { 0 } else { self.state.calls.tallied_through().saturating_add(1) };
        self.unread_from().map(|unread| unread.max(told))
    }

    /// Batches with seals whose frames are not all read: those frames look unsealed in the cache.
    pub(super) fn half_read(&self) -> BTreeSet<&BatchKey> {
        let pending = self.state.calls.seals.values().map(|pending| &pending.seal);
        let unknown = pending
            .filter(|seal| !self.sealed.contains(&seal.number) && self.state.needs(&seal.batch, seal.last));
        unknown.map(|seal| &seal.batch).collect()
    }
}

impl Places for Shared {
    fn read_state<T>(&self, read: impl FnOnce(&CallState) -> T) -> T {
        read(&self.read().state.calls)
    }

    fn batches(&self) -> Vec<BatchKey> {
        let known = self.read();
        let sealed = known.state.calls.seals.values().map(|pending| pending.seal.batch.clone());
        sealed.chain(self.cache.open_batches().into_iter().map(|batch| batch.key)).collect()
    }

    fn holds(&self, batch: &BatchKey, position: u64) -> bool {
        self.read().state.needs(batch, position)
    }

    fn stores_late(&self) -> bool {
        true
    }
}

/// What all threads of a term share.
pub(super) struct Shared {
    known: RwLock<Known>,
    /// The frames.
    pub(super) cache: Arc<dyn Log>,
    pub(super) clock: Arc<dyn Clock>,
    stopped: watch::Sender<Option<Arc<str>>>,
    /// The ledger's differences as they were found last.
    differences: Mutex<Vec<Difference>>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("cache", &self.cache).finish_non_exhaustive()
    }
}

impl Shared {
    pub(super) fn new(known: Known, cache: Arc<dyn Log>, clock: Arc<dyn Clock>) -> Arc<Self> {
        let (known, stopped) = (RwLock::new(known), watch::Sender::new(None));
        Arc::new(Self { known, cache, clock, stopped, differences: Mutex::default() })
    }

    /// Reads what is known. The owner waits meanwhile, so it must not take long.
    pub(super) fn read(&self) -> RwLockReadGuard<'_, Known> {
        lock::read(&self.known)
    }

    /// Changes what is known: for the owner alone.
    pub(super) fn write(&self) -> RwLockWriteGuard<'_, Known> {
        lock::write(&self.known)
    }

    /// The term is over, for this reason.
    pub(super) fn stop(&self, why: &str) {
        self.stopped.send_if_modified(|stopped| {
            let first = stopped.is_none();
            stopped.get_or_insert_with(|| why.into());
            first
        });
    }

    /// Holds the reason once the term is over.
    pub(super) fn stopped(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.stopped.subscribe()
    }

    /// Batches with frames that can be sealed, sorted by key.
    pub(super) fn open_batches(&self) -> Vec<OpenBatch> {
        let known = self.read();
        let half_read = known.half_read();
        // Read while nothing can be noted: a frame that is sealed now is open in the cache, or in a seal.
        let mut open = self.cache.open_batches();
        open.retain(|batch| !half_read.contains(&batch.key));
        open
    }

    /// A batch with frames that can be sealed.
    pub(super) fn open_batch(&self, key: &BatchKey) -> Option<OpenBatch> {
        let known = self.read();
        if known.half_read().contains(key) { None } else { self.cache.open_batch(key) }
    }

    /// Sources whose frames wait because nobody knows their bucket.
    pub(super) fn without_location(&self) -> BTreeSet<SourceId> {
        let known = self.read();
        let open = self.cache.open_batches().into_iter().map(|batch| batch.key.source);
        open.filter(|source| known.state.calls.location(source, u64::MAX).is_none()).collect()
    }

    /// Days whose markers can be put.
    pub(super) fn closable(
        &self,
        wanted: &mut dyn FnMut(&DayInBucket, &S3Location) -> bool,
    ) -> Vec<Closable> {
        let known = self.read();
        let open = self.cache.open_batches();
        let keys = open.iter().map(|batch| &batch.key);
        days::closable(&known.state, keys, known.read_before, wanted)
    }

    /// Whether the object of a pending seal can be made of the cache. An amended one has no lines.
    pub(super) fn can_make(&self, number: u64) -> bool {
        let known = self.read();
        let pending = known.state.calls.seals.get(&number);
        pending.is_some_and(|pending| pending.amended.is_some()) || known.sealed.contains(&number)
    }

    /// By source: frames that are read and in no object in the store, or in a seal, and when the first of them was
    /// received.
    pub(super) fn undelivered(&self) -> BTreeMap<SourceId, (u64, UnixMillis)> {
        let known = self.read();
        let half_read = known.half_read();
        let pending = known.state.calls.seals.values().map(|pending| &pending.seal);
        let pending = pending.map(|seal| (seal.batch.source.clone(), seal.frames, seal.first_received_at));
        let open = self.cache.open_batches().into_iter().filter(|batch| !half_read.contains(&batch.key));
        let open = open.map(|batch| (batch.key.source, batch.frames, batch.first_received_at));
        let mut by_source: BTreeMap<SourceId, (u64, UnixMillis)> = BTreeMap::new();
        for (source, frames, at) in pending.chain(open) {
            let sum = by_source.entry(source).or_insert((0, at));
            *sum = (sum.0 + frames, sum.1.min(at));
        }
        by_source
    }

    /// How far the reader is behind the log's end. What it has not found out yet counts as far.
    pub(super) fn behind(&self) -> Duration {
        let known = self.read();
        match known.read_at {
            _ if known.has_read_all() => Duration::ZERO,
            _ if known.at_end => Duration::MAX,
            None => Duration::MAX,
            Some(at) => self.clock.wall().since(at),
        }
    }

    /// The ledger, with what is in no tally yet. Its two sides are compared once everything is read that a seal
    /// covers: before that, objects of an earlier owner are counted as delivered, and their frames not at all.
    pub(super) fn ledger(&self, rows: Rows<'_>) -> Report {
        let known = self.read();
        let mut ledger = known.state.calls.ledger.clone();
        ledger.add_tally(&Tally {
            through: known.read_before.saturating_sub(1),
            rows: known.counts.rows(),
            ..Tally::default()
        });
        let mut differences = lock::lock(&self.differences);
        if !known.is_between && known.read_before >= before(known.state.reaches()) {
            for pending in known.state.calls.seals.values() {
                ledger.seal(&pending.seal.batch, &pending.seal.hours());
            }
            let open = self.cache.open_batches();
            *differences = ledger.differences(open.iter().map(|batch| (&batch.key, batch.frames)));
            if ledger.lost_uncounted > 0 {
                // An earlier owner may have counted what the log has lost since: nobody knows how much.
                differences.retain(|difference| !matches!(difference, Difference::Open { .. }));
            }
        }
        Report { differences: differences.clone(), ..ledger.report(rows) }
    }
}
