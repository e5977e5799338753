//! The thread that owns a term: it reads the log, and answers those that deliver it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::asks::{Ask, Asks};
use super::beat::Beat;
use super::cache::Unusable;
use super::kept::Kept as KeptObjects;
pub use super::known::STUCK_AFTER;
use super::known::Shared;
use super::log::{PartitionLog, how_to_decide};
use super::owner::{End, Kept, Owner};
use super::reading::Looked;
use super::rebuild::Rebuild;
use super::records::{NotRead, Records};
use super::settings::Settings;
use super::trim::delete_notes_before;
use super::upkeep::Due;
use super::witness::Witness;
use crate::disk::StagingDisk;
use crate::log::OpenBatch;
use crate::partition::answer::TransactionError;
use crate::partition::brokers_clock::BrokersClock;
use crate::partition::group::{Metadata, refused};
use crate::partition::opening::Stop;
use crate::partition::position::{before, offset_of};
use crate::partition::retention::needed_from;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// Asks that are answered at once.
const ASKS_AT_ONCE: usize = 256;
/// Ranges of lost records that are named to people.
const LOST_NAMED: usize = 5;
/// How long the owner waits for an ask if there is nothing to read. A writer has many partitions that are idle.
const IDLE: Duration = Duration::from_millis(50);
/// How long it waits for a record. With less than a millisecond, the library spins.
const READ: Duration = Duration::from_millis(1);

/// A term that is served, as others see it. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Served {
    /// What is delivered.
    pub log: PartitionLog,
    /// Where its objects are staged.
    pub staging: StagingDisk,
    cache_bytes: Arc<AtomicU64>,
    /// When the thread that builds left objects was last between two calls.
    builds: Arc<Beat>,
    witness: Arc<Witness>,
}

/// The work of the thread that owns a term.
#[derive(Debug)]
pub struct Serving {
    owner: Owner,
    asks: Receiver<Ask>,
    served: Served,
    settings: Settings,
    passes: Arc<Mutex<()>>,
}

/// What a term says of itself, for people and for the group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The term's token.
    pub term: String,
    /// The first position that is not read.
    pub read_before: u64,
    /// Bytes of records that this term has read.
    pub bytes: u64,
    /// Frames of them, those of second copies excepted.
    pub frames: u64,
    /// Frames among them that came after the end of their day.
    pub late: u64,
    /// Blocks that were read and stand in the log twice.
    pub copies: u64,
    /// Producers whose last block is not known any more, when a new owner would begin.
    pub forgotten: u64,
    /// How far the reader is behind the log's end.
    pub behind: Duration,
    /// When the last record that this term has read was written, by the brokers' clock.
    pub read_at: Option<UnixMillis>,
    /// The first record that any undelivered object needs.
    pub kept_from: u64,
    /// Objects that stay in the log because their buckets refuse them.
    pub left: usize,
    /// Objects among them that were built with other lines than were sealed, and are not put.
    pub differing: usize,
    /// Ranges of positions that were lost.
    pub lost: usize,
    /// The first and last offset of some of them.
    pub lost_at: Vec<(u64, u64)>,
    /// Whether nothing is read because the cache has no room.
    pub is_full: bool,
    /// Sources whose calls wait because neither the notes nor the configuration say where they go.
    pub without_bucket: BTreeSet<SourceId>,
    /// The clock of the brokers, by the last note of this process.
    pub brokers: Option<BrokersClock>,
}

/// What needs the oldest record that is kept.
#[derive(Clone, Debug)]
pub struct Pin {
    /// Whose calls are in it.
    pub source: SourceId,
    /// When the first of them was received.
    pub since: UnixMillis,
    /// What they wait for.
    pub what: Pinned,
}

/// What calls wait for.
#[derive(Clone, Debug)]
pub enum Pinned {
    /// Their batch is not due.
    Open(Box<OpenBatch>),
    /// The configuration does not say where they go.
    NoBucket,
    /// A put.
    Put,
    /// Their bucket refuses them, so their object stays in the log.
    Left,
    /// A person: another object has the key of their object. How the person decides.
    Conflict(String),
}

impl Served {
    /// Changes how many bytes the cache may take.
    pub fn set_cache_bytes(&self, max: u64) {
        self.cache_bytes.store(max, Ordering::Release);
        self.log.kept.set_cache_bytes(max);
    }

    /// Whether a call of the thread that builds left objects does not return.
    pub fn builder_hangs(&self, now: Duration) -> bool {
        self.builds.hangs(now)
    }

    /// The first position that is not read, or waits for space in the cache.
    pub fn read_before(&self) -> u64 {
        self.log.shared.read().read_before
    }

    /// The id of the log, and how many frames back repeats are found.
    pub fn identity(&self) -> (String, u64) {
        let known = self.log.shared.read();
        (known.state.identity.log_id.clone(), known.state.identity.window)
    }

    /// Others have asked the log in vain for a while, or it answers again.
    pub fn set_silent(&self, is_silent: bool) {
        self.log.shared.write().is_silent = is_silent;
    }

    /// Looks with another reader of the partition whether the log still has what was read of it at the look before; less
    /// often while nothing is read. Returns false if it has something else: the partition stops (`log_cut`). `now` is of
    /// the monotonic clock.
    /// Errors: [`NotRead`]: it is not known.
    pub fn looks_back(&self, log: &mut Records, now: Duration) -> Result<bool, NotRead> {
        let last = self.log.shared.read().last;
        self.witness.look(log, last, now)
    }

    /// The first record with calls that are not in the store; `None` if nothing waits.
    pub fn needed_from(&self) -> Option<u64> {
        let known = self.log.shared.read();
        let pending = known.state.calls.seals.values().map(|pending| pending.seal.first);
        let open = self.log.shared.cache.open_batches().into_iter().map(|batch| batch.first);
        needed_from(pending.chain(open), known.unread_from())
    }

    /// What needs the oldest record that is kept. `None` if nothing waits.
    pub fn pin(&self) -> Option<Pin> {
        let known = self.log.shared.read();
        let pending = known.state.calls.seals.values().map(|pending| {
            let what = match pending {
                _ if pending.conflict => {
                    Pinned::Conflict(how_to_decide(known.state.identity.partition, pending.seal.number))
                }
                _ if known.state.left.contains_key(&pending.seal.number) => Pinned::Left,
                _ => Pinned::Put,
            };
            (pending.seal.first, pending.seal.batch.source.clone(), pending.seal.first_received_at, what)
        });
        let open = self.log.shared.cache.open_batches().into_iter().map(|batch| {
            let is_known = known.state.calls.location(&batch.key.source, u64::MAX).is_some();
            let what = if is_known { Pinned::Open(Box::new(batch.clone())) } else { Pinned::NoBucket };
            (batch.first, batch.key.source, batch.first_received_at, what)
        });
        let oldest = pending.chain(open).min_by_key(|(first, ..)| *first);
        oldest.map(|(_, source, since, what)| Pin { source, since, what })
    }

    /// Where the term is.
    pub fn progress(&self) -> Progress {
        let shared = &self.log.shared;
        let (behind, without_bucket) = (shared.behind(), shared.without_location());
        let known = shared.read();
        let lost_at = known.state.calls.lost.iter().map(|lost| (offset_of(lost.first), offset_of(lost.last)));
        Progress {
            term: known.state.term.clone().unwrap_or_default(),
            read_before: known.read_before,
            bytes: known.bytes,
            frames: known.frames,
            late: known.late,
            copies: known.copies,
            forgotten: known.state.base.numbers.forgotten(),
            behind,
            read_at: known.read_at,
            kept_from: known.state.kept_from(),
            left: known.state.left.len(),
            differing: self.log.kept.differing(&known.state.left),
            lost: known.state.calls.lost.len(),
            lost_at: lost_at.take(LOST_NAMED).collect(),
            is_full: known.full_since.is_some(),
            without_bucket,
            brokers: known.brokers,
        }
    }

    /// What the owner tells the group: the first record that it needs, and the sources that collectors refuse.
    /// `half_ago` is the first record that was written half of the retention ago or later, if there is any.
    pub fn told(&self, half_ago: Option<u64>) -> (u64, Metadata) {
        let oldest = half_ago.map(|half_ago| (self.oldest(), half_ago));
        let known = self.log.shared.read();
        let is_old = |position: u64| half_ago.is_some_and(|half_ago| position < before(half_ago));
        let named = oldest.map_or_else(|| Some(Vec::new()), |(oldest, half_ago)| refused(oldest, half_ago));
        let is_unread = known.unknown_from(self.log.shared.clock.monotonic()).is_some_and(is_old);
        let metadata = Metadata {
            log_id: known.state.identity.log_id.clone(),
            base_at: known.state.base_at,
            refuses_all: is_unread || named.is_none(),
            refused: named.unwrap_or_default(),
            owner: None,
        };
        (known.state.kept_from(), metadata)
    }

    /// For each source, the first position that is read and in no object in the store.
    fn oldest(&self) -> BTreeMap<SourceId, u64> {
        let known = self.log.shared.read();
        let pending = known.state.calls.seals.values();
        let pending = pending.map(|pending| (pending.seal.batch.source.clone(), pending.seal.first));
        let open = self.log.shared.cache.open_batches();
        let open = open.into_iter().map(|batch| (batch.key.source, batch.first));
        let mut oldest = BTreeMap::new();
        for (source, position) in pending.chain(open) {
            let first = oldest.entry(source).or_insert(position);
            *first = position.min(*first);
        }
        oldest
    }
}

impl Serving {
    /// Serves a term. `passes` is the same for all terms of a process.
    pub fn new(owner: Owner, settings: &Settings, passes: &Arc<Mutex<()>>) -> Self {
        let (asks, receiver) = Asks::new();
        let (staging, max) = (owner.staging(), owner.cache.deps().max_bytes);
        let kept = Arc::new(KeptObjects::new(staging.clone(), max));
        let log = PartitionLog { shared: Arc::clone(&owner.shared), kept, asks, refused: Arc::default() };
        let served = Served {
            log,
            staging,
            cache_bytes: Arc::new(AtomicU64::new(max)),
            builds: Arc::new(Beat::default()),
            witness: Arc::new(Witness::of(owner.reader.last())),
        };
        Self { owner, asks: receiver, served, settings: settings.clone(), passes: Arc::clone(passes) }
    }

    /// The term as others see it.
    pub fn served(&self) -> Served {
        self.served.clone()
    }

    /// Reads and answers until the term ends, or `goes_on` says no, which is asked at each turn. Returns why it
    /// ended, and what the next term of this process may use. From then on nobody gets an answer.
    pub fn run(self, goes_on: &dyn Fn() -> bool) -> (Result<(), End>, Option<Kept>) {
        let Self { mut owner, asks, served, settings, passes } = self;
        let rebuild = Rebuild {
            settings: settings.clone(),
            shared: Arc::clone(&owner.shared),
            kept: Arc::clone(&served.log.kept),
            asks: served.log.asks.clone(),
            passes,
            beat: Arc::clone(&served.builds),
        };
        let ends = AtomicBool::new(false);
        let name = format!("kafka-left-{}", owner.shared.read().state.identity.partition);
        let over = Over { ends: &ends, shared: Arc::clone(&owner.shared), kept: &served.log.kept };
        let ended = std::thread::scope(|scope| {
            // Dropped also by a panic: nobody waits for an answer then, and the other thread ends.
            let (asks, over) = (asks, over);
            let builder = std::thread::Builder::new().name(name);
            let builds = builder.spawn_scoped(scope, || rebuild.run(&|| !ends.load(Ordering::Acquire)));
            let ended = match builds {
                Ok(_) => {
                    let ended = turns(&mut owner, &asks, &served, &settings, goes_on);
                    ends_as(ended, served.witness.still_there())
                }
                Err(error) => {
                    Err(End::Cache(Unusable(format!("no thread for objects that stay in the log: {error}"))))
                }
            };
            let why = match &ended {
                Ok(()) => "the partition was given up".to_owned(),
                Err(end) => end.to_string(),
            };
            owner.shared.stop(&why);
            drop((asks, over));
            ended
        });
        let kept = match &ended {
            Ok(()) | Err(End::Over(_)) => owner.end(),
            Err(End::Stopped(stop)) => {
                note_stop(&mut owner, stop);
                None
            }
            Err(End::Cache(_) | End::Shrunk(_)) => None,
        };
        (ended, kept)
    }
}

/// Ends the work of the other thread of a term when it is dropped.
struct Over<'s> {
    ends: &'s AtomicBool,
    shared: Arc<Shared>,
    kept: &'s KeptObjects,
}

impl Drop for Over<'_> {
    fn drop(&mut self) {
        // Whoever has ended in order has said why before.
        self.shared.stop("the thread of the partition has panicked");
        self.ends.store(true, Ordering::Release);
        self.kept.wake();
    }
}

/// Later owners must stop too, even if retention deletes what shows that the log was cut.
fn note_stop(owner: &mut Owner, stop: &Stop) {
    if let Some(note) = stop.note()
        && let Err(error) = owner.note(vec![note])
    {
        tracing::debug!(%error, "why the partition stops could not be noted");
    }
}

/// How a term ended, if its log is still there or was cut. Whoever was fenced can note nothing, and the log may be another one
/// by now, which the next term finds out.
fn ends_as(ended: Result<(), End>, log: Result<(), Stop>) -> Result<(), End> {
    match (ended, log) {
        (ended, Ok(())) | (ended @ Err(End::Over(TransactionError::Fenced)), Err(_)) => ended,
        (_, Err(stop)) => Err(stop.into()),
    }
}

fn turns(
    owner: &mut Owner,
    asks: &Receiver<Ask>,
    served: &Served,
    settings: &Settings,
    goes_on: &dyn Fn() -> bool,
) -> Result<(), End> {
    let mut due = Due::new(owner.shared.clock.monotonic());
    owner.note_waiting_locations()?;
    let mut idle = false;
    while goes_on() {
        let first = if idle {
            asks.recv_timeout(IDLE)
        } else {
            asks.try_recv().map_err(|_| RecvTimeoutError::Timeout)
        };
        if let Ok(first) = first {
            let more = asks.try_iter().take(ASKS_AT_ONCE);
            owner.answer(std::iter::once(first).chain(more).collect::<Vec<_>>())?;
        }
        served.witness.still_there()?;
        owner.set_cache_bytes(served.cache_bytes.load(Ordering::Acquire))?;
        if let Some(before) = owner.upkeep(&mut due)? {
            let partition = owner.shared.read().state.identity.partition;
            // Without that right, or while brokers are away, notes only grow.
            if let Err(error) = delete_notes_before(settings, partition, before) {
                tracing::warn!(%error, "notes that a snapshot has replaced were not deleted");
            }
        }
        idle = owner.read(READ)? != Looked::Record;
    }
    served.witness.still_there()?;
    // A new owner has less to read again.
    owner.base().map(drop)
}
