//! A term of a partition, while it lasts. Every note counts before anything is done on its strength; a note that
//! the brokers refused, or did not answer, ends the term.
//!
//! It belongs to one thread. Other threads see what it has made `known`, and ask for the rest.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::begin::Term;
use super::cache::{Cache, CacheDeps, Shrunk, Unusable};
use super::counts::Counts;
use super::known::{Known, Shared};
use super::lock::Lock;
use super::records::Records;
use super::settings::{NoClient, Sees, Settings};
use super::short::Short;
use crate::disk::StagingDisk;
use crate::log::Seal;
use crate::partition::answer::TransactionError;
use crate::partition::brokers_clock::BrokersClock;
use crate::partition::days::GRACE;
use crate::partition::destinations::{self, Buckets};
use crate::partition::note::Note;
use crate::partition::opening::Stop;
use crate::partition::reader::Reader;
use crate::sources::SourceId;

/// Why a term is over.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The brokers ended it: if the partition is still assigned, begin another one.
    #[error("the term is over")]
    Over(#[from] TransactionError),
    /// The partition stops until a person acts.
    #[error(transparent)]
    Stopped(#[from] Stop),
    /// The cache cannot be used: begin a term without it.
    #[error(transparent)]
    Cache(#[from] Unusable),
    /// The share of the cache is much smaller than it was: begin a term with a smaller cache.
    #[error(transparent)]
    Shrunk(#[from] Shrunk),
}

/// The bucket of each source, as the configuration says now.
pub type Wanted = watch::Receiver<Arc<Buckets>>;

/// What a process keeps of a term that is over, for its next one.
#[derive(Debug)]
pub struct Kept {
    /// The term's token.
    pub token: String,
    cache: Cache,
    reader: Reader,
    counts: Counts,
}

/// A term of a partition.
#[derive(Debug)]
pub struct Owner {
    pub(super) lock: Lock,
    pub(super) shared: Arc<Shared>,
    pub(super) cache: Cache,
    pub(super) reader: Reader,
    pub(super) log: Records,
    settings: Settings,
    /// Where the log begins, as far as was asked.
    pub(super) log_begins: u64,
    /// Brokers say that the log ends before what is known of it.
    pub(super) short: Option<Short>,
    pub(super) wanted: Wanted,
    /// Bytes of notes since the last snapshot.
    pub(super) notes_bytes: u64,
    /// The end of the next seal that is not read yet.
    next_seal: u64,
    /// How long after a day it is ended.
    pub(super) day_grace: Duration,
    /// Since when nothing is read, or when objects to leave were last looked for, by the monotonic clock. `known` has the
    /// beginning of the pause.
    pub(super) full_since: Option<Duration>,
    /// Whether the next term of this process may use the cache.
    pub(super) keeps_cache: bool,
}

/// Why the work of a term could not begin.
#[derive(Debug, thiserror::Error)]
pub enum NotOwned {
    /// A client could not be made.
    #[error(transparent)]
    NoClient(#[from] NoClient),
    /// The cache could not be made.
    #[error(transparent)]
    Cache(#[from] Unusable),
    /// The term was over before it was worked on.
    #[error(transparent)]
    Ended(#[from] End),
}

impl Owner {
    /// Works on a term that has begun. A cache that was kept is used only if the term says so; else `deps`
    /// make a new one, from an empty folder. Notes the buckets of known sources that differ from `wanted`.
    /// Errors: [`NotOwned`].
    pub fn new(
        settings: &Settings,
        term: Term,
        kept: Option<Kept>,
        wanted: Wanted,
        deps: impl FnOnce() -> Result<CacheDeps, Unusable>,
    ) -> Result<Self, NotOwned> {
        let Term { lock, state, brokers, notes_bytes, keeps_cache, .. } = term;
        let log = Records::new(settings, &settings.topic, state.identity.partition, Sees::All)?;
        let (cache, reader, mut counts) = match kept.filter(|_| keeps_cache) {
            Some(Kept { cache, mut reader, counts, .. }) => {
                reader.based(&state.base);
                (cache, reader, counts)
            }
            None => (Cache::new(deps()?)?, Reader::of_base(&state), Counts::default()),
        };
        let clock = Arc::clone(&cache.deps().clock);
        counts.forget_tallied(state.calls.tallied_through());
        let mut known = Known::new(state, &reader, counts);
        known.brokers = brokers;
        let shared = Shared::new(known, cache.log(), clock);
        let day_grace = GRACE;
        let mut owner = Self {
            lock,
            shared,
            cache,
            reader,
            log,
            log_begins: 0,
            settings: settings.clone(),
            short: None,
            wanted,
            notes_bytes,
            next_seal: 0,
            day_grace,
            full_since: None,
            keeps_cache: true,
        };
        owner.follow_state()?;
        owner.note_changed_locations()?;
        Ok(owner)
    }

    /// The same owner, which ends a day this long after it.
    pub fn with_day_grace(self, day_grace: Duration) -> Self {
        Self { day_grace, ..self }
    }

    /// Ends the work on a term. What is kept serves the next term of this process, if nobody else has owned
    /// the partition in between.
    pub fn end(self) -> Option<Kept> {
        let Self { shared, cache, reader, keeps_cache, .. } = self;
        if !keeps_cache {
            return None;
        }
        let known = shared.read();
        let token = known.state.term.clone()?;
        Some(Kept { token, cache, reader, counts: known.counts.clone() })
    }

    /// Where objects of this partition are staged.
    pub(super) fn staging(&self) -> StagingDisk {
        self.cache.staging()
    }

    /// Another client of the log, which knows nothing of its brokers.
    pub(super) fn asks_others(&mut self) -> Result<(), NoClient> {
        self.log = Records::new(&self.settings, &self.settings.topic, self.partition(), Sees::All)?;
        Ok(())
    }

    /// Changes the most bytes of the cache.
    /// Errors: [`End`], if that needs another cache.
    pub(super) fn set_cache_bytes(&mut self, max: u64) -> Result<(), End> {
        Ok(self.cache.set_max_bytes(max)?)
    }

    /// Commits notes, and brings the cache to what they say. They count once this has succeeded, and only then
    /// does anyone learn of them.
    /// Errors: [`End`].
    pub(super) fn note(&mut self, notes: Vec<Note>) -> Result<(), End> {
        if notes.is_empty() {
            return Ok(());
        }
        let noted = self.lock.note(&notes)?;
        let at = noted.last().and_then(|noted| noted.at);
        self.notes_bytes += noted.iter().map(|noted| noted.bytes as u64).sum::<u64>();
        let mut known = self.shared.write();
        known.is_between = true;
        let monotonic = self.shared.clock.monotonic();
        known.brokers = at.map(|at| BrokersClock::told(at, monotonic)).or(known.brokers);
        for (note, noted) in notes.into_iter().zip(noted) {
            known.state.apply(note, noted.offset);
        }
        drop(known);
        Ok(self.follow_state()?)
    }

    /// The first position that is not in the cache. What waits for space is read, and not in it.
    fn in_cache_before(&self) -> u64 {
        self.cache.waits_from().unwrap_or(u64::MAX).min(self.reader.read_before())
    }

    /// Shows others what is read, as [`Owner::follow_state`] does if no note is new: a look at all seals would
    /// take too long for each record, while a bucket refuses for days.
    pub(super) fn follow_reading(&mut self) -> Result<(), Unusable> {
        let read = self.in_cache_before();
        if read > self.next_seal {
            return self.follow_state();
        }
        let mut known = self.shared.write();
        known.read_before = read;
        known.is_between = self.cache.waits_from().is_some();
        Ok(())
    }

    /// Brings the cache to what the notes say: seals whose frames it has read, and what is released. Then others
    /// may see it.
    pub(super) fn follow_state(&mut self) -> Result<(), Unusable> {
        let read = self.in_cache_before();
        let (mut over, mut seals): (Vec<u64>, Vec<Seal>) = (Vec::new(), Vec::new());
        {
            let known = self.shared.read();
            let (pending, left) = (&known.state.calls.seals, &known.state.left);
            let waits = |number: &u64| pending.contains_key(number) && !left.contains_key(number);
            let ends = pending.values().map(|pending| pending.seal.last);
            self.next_seal = ends.filter(|last| *last >= read).min().unwrap_or(u64::MAX);
            over.extend(self.cache.sealed().filter(|number| !waits(number)));
            for pending in pending.values() {
                let seal = &pending.seal;
                let is_here = seal.last < read && known.state.needs(&seal.batch, seal.last);
                if is_here && !self.cache.has_sealed(seal.number) {
                    seals.push(seal.clone());
                }
            }
        }
        over.into_iter().try_for_each(|number| self.cache.forget(number))?;
        seals.iter().try_for_each(|seal| self.cache.seal(seal))?;
        let mut known = self.shared.write();
        known.sealed = self.cache.sealed().collect();
        known.read_before = read;
        known.is_between = self.cache.waits_from().is_some();
        Ok(())
    }

    /// Those of these sources of which the notes know no bucket: nearly always none.
    pub(super) fn without_noted_location<'f>(
        &self,
        sources: impl IntoIterator<Item = &'f SourceId>,
    ) -> BTreeSet<SourceId> {
        let known = self.shared.read();
        let locations = &known.state.calls.locations;
        sources.into_iter().filter(|source| !locations.contains_key(*source)).cloned().collect()
    }

    /// Notes the buckets of sources whose frames wait for one: their configuration is new, or the term before ended
    /// before it could note them.
    /// Errors: [`End`].
    pub(super) fn note_waiting_locations(&mut self) -> Result<(), End> {
        let firsts = self.cache.firsts();
        let new = self.without_noted_location(firsts.iter().map(|(batch, _)| &batch.source));
        self.note_locations(&new)
    }

    /// Notes the buckets of sources that the notes know, where the configuration says something else.
    /// Errors: [`End`].
    pub(super) fn note_changed_locations(&mut self) -> Result<(), End> {
        self.wanted.mark_unchanged();
        let known = self.shared.read().state.calls.locations.keys().cloned().collect();
        self.note_locations(&known)
    }

    /// Notes the buckets of these sources, as the configuration says them, where the notes say something else.
    /// Errors: [`End`].
    pub(super) fn note_locations(&mut self, sources: &BTreeSet<SourceId>) -> Result<(), End> {
        // Seen it is only once all sources were looked at: `upkeep` learns of a change, whatever is read before.
        let wanted = Arc::clone(&self.wanted.borrow());
        let concerned = sources.iter().filter_map(|source| Some((source, wanted.get(source)?)));
        let notes = destinations::to_note(&self.shared.read().state, self.reader.next(), concerned);
        self.note(notes)
    }
}
