//! What the rooms of an open spool share: the disk, the index, the manifest, and whether all is well.

use std::collections::BTreeSet;
use std::io;
use std::ops::Deref;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::capped_disk::CappedDisk;
use super::disk::{self, Disk, DiskFile};
use super::frame::Salt;
use super::ident::Ident;
use super::index::Index;
use super::manifest::{MANIFEST_BYTES, Manifest};
use super::note::Note;
use super::state::State;
use crate::metrics::Metrics;
use crate::once_a_minute::{Line, OnceAMinute};
use crate::sources::SourceId;
use crate::time::Clock;

/// How a spool is run.
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    /// Its cap, in bytes: no more than this is ever in its directory. A smaller disk is a smaller cap.
    pub max_bytes: u64,
    /// Length of a segment, in bytes. A cap below eight of them makes segments shorter: see [`segment_len`].
    pub segment_bytes: u64,
    /// How long a fingerprint is remembered.
    pub dedupe_window: Duration,
    /// Fingerprints remembered at most.
    pub dedupe_max: usize,
    /// The node id, where one is set; else the first 8 digits of the spool id.
    pub node: Option<String>,
    /// Refuse to start where damage is found, instead of going on with a named hole.
    pub stop_on_corruption: bool,
    /// A manifest longer than this is written anew when it is also four times as long as its first note.
    pub compact_bytes: u64,
    /// Length of the manifest's file and of its reserve, at least, in bytes.
    pub manifest_bytes: u64,
}

impl Default for SpoolOptions {
    fn default() -> Self {
        Self {
            max_bytes: 20_000_000_000,
            segment_bytes: 64 * 1_024 * 1_024,
            dedupe_window: Duration::from_secs(86_400),
            dedupe_max: super::seen::SEEN_MAX,
            node: None,
            stop_on_corruption: false,
            compact_bytes: 1_024 * 1_024,
            manifest_bytes: MANIFEST_BYTES,
        }
    }
}

/// Quarters of a segment that are kept free when a segment is made: an object of what a segment holds is staged, and copied
/// when it is parked.
const KEPT_FREE_QUARTERS: u64 = 9;
/// Per cent of what the cap leaves beside parked objects. Above it the batches that pin the oldest segments become due.
pub const PRESSURE_PERCENT: u64 = 70;
/// Per cent of the cap at which every append is refused.
pub const FULL_PERCENT: u64 = 95;
/// Segments that should fit under the cap.
const SEGMENTS_UNDER_CAP: u64 = 8;
/// Segments are not made shorter than this, unless they are configured so, in bytes: the longest block must fit.
const SEGMENT_BYTES_MIN: u64 = 8 * 1_024 * 1_024;

/// The length of new segments under a cap: as configured, or half of that as often as it takes until eight fit. With fewer,
/// the one that is written to and the next one would take most of the space.
pub fn segment_len(configured: u64, cap: u64) -> u64 {
    let least = configured.min(SEGMENT_BYTES_MIN);
    let halves = std::iter::successors(Some(configured), |len| Some(len / 2));
    let mut longer = halves.take_while(|len| *len >= least);
    longer.find(|len| *len <= cap / SEGMENTS_UNDER_CAP).unwrap_or(least)
}

/// Bytes that must be left for a segment of so many bytes to be made.
pub const fn wanted_for_segment(segment_bytes: u64) -> u64 {
    segment_bytes.saturating_add((segment_bytes / 4).saturating_mul(KEPT_FREE_QUARTERS))
}

/// Bytes of a spool with this cap that calls never get: its manifest, the reserve, and what must be left for a segment.
pub fn beside_calls(segment_bytes: u64, cap: u64) -> u64 {
    (2 * MANIFEST_BYTES).saturating_add(wanted_for_segment(segment_len(segment_bytes, cap)))
}

/// How many bytes a spool with this cap holds when it is full.
pub const fn full_mark(cap: u64) -> u64 {
    cap / 100 * FULL_PERCENT
}

/// So many per cent of `whole`, rounded down.
pub fn percent_of(whole: u64, percent: u64) -> u64 {
    u64::try_from(u128::from(whole) * u128::from(percent) / 100).unwrap_or(u64::MAX)
}

/// The next segment, made and synced before it is needed.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) number: u64,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) len: u64,
}

/// Whether the commit loop can go on to a next segment.
#[derive(Debug, Default)]
pub(super) struct NextSegment {
    /// The segment, once it is made.
    pub(super) prepared: Option<Prepared>,
    /// None can be made: the cap is reached or the disk is full.
    pub(super) no_space: bool,
    /// The open segment is full.
    pub(super) wanted: bool,
}

/// How much space a spool uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all files in the spool's directory.
    pub used: u64,
    /// The cap in force: what is configured, or what the disk can hold, where that is less.
    pub max: u64,
    /// Of `used`: parked objects.
    pub parked: u64,
    /// Segments in use.
    pub segments: usize,
}

impl Usage {
    /// Whether `used` has reached `percent` of the cap.
    pub fn reaches(&self, percent: u64) -> bool {
        self.used.saturating_mul(100) >= self.max.saturating_mul(percent)
    }

    /// How many bytes must go to end the pressure; 0 without pressure. Parked objects cause none: nothing that is delivered
    /// from a segment makes them fewer.
    pub fn excess(&self) -> u64 {
        let (used, max) = (self.used.saturating_sub(self.parked), self.max.saturating_sub(self.parked));
        used.saturating_sub(max / 100 * PRESSURE_PERCENT)
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    /// The same disk: what it holds, and its cap.
    pub(super) capped: Arc<CappedDisk>,
    /// Length of a new segment, in bytes.
    pub(super) segment_bytes: u64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) ident: Ident,
    pub(super) options: SpoolOptions,
    pub(super) index: Mutex<Index>,
    /// Held while a note is written and synced. What the notes say is had by [`Shared::state`], without that wait.
    pub(super) manifest: Mutex<Manifest>,
    state: Arc<Mutex<State>>,
    pub(super) next_segment: Mutex<NextSegment>,
    next_changed: Condvar,
    /// The position that the next frame will get.
    pub(super) next_position: AtomicU64,
    /// The cap is reached, or the disk is full and the open segment too.
    pub(super) full: AtomicBool,
    /// A file found no space, and there is none yet for a segment.
    pub(super) disk_full: AtomicBool,
    /// Notes that found no space.
    not_noted: Mutex<OnceAMinute<()>>,
    /// Sources that are refused for what waits for their destinations.
    pub(super) full_sources: Mutex<BTreeSet<SourceId>>,
    pub(super) any_full_source: AtomicBool,
    /// Bytes of objects that are staged in memory.
    pub(super) staged_in_memory: Arc<AtomicUsize>,
    /// What may last, and is logged once a minute.
    pub(super) lasting: Mutex<OnceAMinute<&'static str>>,
    /// Objects that could not be parked.
    pub(super) not_parked: Mutex<OnceAMinute<()>>,
    /// Requests refused because there was no room for anybody.
    pub(super) refused_for_space: AtomicU64,
    /// Held while a group is committed: whoever takes it knows that no commit is under way that began before.
    pub(super) commit_gate: Mutex<()>,
    /// No call is stored with an earlier `receivedAt`: the days before are over. In milliseconds, [`i64::MIN`] for none.
    pub(super) not_before: AtomicI64,
    /// Counts up when frames were added, sealed or released.
    pub(super) changes: watch::Sender<u64>,
    poison: watch::Sender<Option<Arc<str>>>,
    wake: Mutex<bool>,
    woken: Condvar,
}

/// Locks a mutex. A thread that panicked inside poisons the spool on its own way out, so the mutex's mark adds nothing.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(super) fn new(
        capped: Arc<CappedDisk>,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        ident: Ident,
        options: SpoolOptions,
        manifest: Manifest,
    ) -> Self {
        let not_before = manifest.state().days_over.map_or(i64::MIN, |through| through.end().0);
        Self {
            disk: Arc::<CappedDisk>::clone(&capped),
            segment_bytes: segment_len(options.segment_bytes, capped.cap()),
            capped,
            clock,
            metrics,
            ident,
            options,
            index: Mutex::new(Index::default()),
            state: manifest.shared_state(),
            manifest: Mutex::new(manifest),
            next_segment: Mutex::new(NextSegment::default()),
            next_changed: Condvar::new(),
            next_position: AtomicU64::new(1),
            full: AtomicBool::new(false),
            disk_full: AtomicBool::new(false),
            not_noted: Mutex::default(),
            full_sources: Mutex::new(BTreeSet::new()),
            any_full_source: AtomicBool::new(false),
            staged_in_memory: Arc::default(),
            lasting: Mutex::default(),
            not_parked: Mutex::default(),
            refused_for_space: AtomicU64::new(0),
            commit_gate: Mutex::new(()),
            not_before: AtomicI64::new(not_before),
            changes: watch::Sender::new(0),
            poison: watch::Sender::new(None),
            wake: Mutex::new(false),
            woken: Condvar::new(),
        }
    }

    /// What all notes say that are on disk. Locks are taken in this order: manifest, state, index.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn salt(&self, segment: u64) -> Salt {
        Salt::new(&self.ident.spool_id, segment)
    }

    /// Stops the spool for good: what is on disk is no longer known, and only a recovery can find out.
    pub(super) fn poison(&self, what: &str, error: &dyn std::fmt::Display) {
        let first = self.poison.send_if_modified(|poison| {
            let first = poison.is_none();
            poison.get_or_insert_with(|| format!("{what}: {error}").into());
            first
        });
        if first {
            tracing::error!(%error, "the spool has stopped: {what}; restart to recover what is on disk");
        }
        self.wake_housekeeper();
        self.set_next(|_| ());
    }

    pub(super) fn is_poisoned(&self) -> bool {
        self.poison.borrow().is_some()
    }

    pub(super) fn poisoned(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.poison.subscribe()
    }

    /// Appends notes to the manifest, durably.
    pub(super) fn note(&self, notes: Vec<Note>) -> Result<(), Stopped> {
        self.note_and(notes, |_, _| ())
    }

    /// Appends notes to the manifest, durably, and changes the index, as the state is then, before anybody else sees either.
    pub(super) fn note_and<T>(
        &self,
        notes: Vec<Note>,
        change: impl FnOnce(&State, &mut Index) -> T,
    ) -> Result<T, Stopped> {
        self.note_what(|_| notes, change)
    }

    /// The same, with notes that are made of the state as it is when nobody else can append one.
    pub(super) fn note_what<T>(
        &self,
        notes: impl FnOnce(&State) -> Vec<Note>,
        change: impl FnOnce(&State, &mut Index) -> T,
    ) -> Result<T, Stopped> {
        let _guard = PanicGuard(self);
        let mut manifest = lock(&self.manifest);
        // Looked at and stopped while it is held: nothing may be written behind a note whose sync failed.
        if self.is_poisoned() {
            return Err(Stopped);
        }
        let notes = notes(&manifest.state());
        let noted = manifest.append_and(notes, |state| {
            let mut index = lock(&self.index);
            // They only ever grow.
            index.ledger.lost_positions = index.ledger.lost_positions.max(state.ledger.lost_positions);
            change(state, &mut index)
        });
        noted.map_err(|error| self.not_noted(&error))
    }

    /// A note could not be written. Lack of space is no reason to stop: nothing was written, and it is done again later.
    pub(super) fn not_noted(&self, error: &io::Error) -> Stopped {
        if !disk::is_no_space(error) {
            return self.stop("write the manifest", error);
        }
        self.disk_full.store(true, Ordering::Release);
        if let Some(line) = lock(&self.not_noted).happened((), self.clock.monotonic()) {
            let times = line.times;
            tracing::error!(%error, times, "the disk is full and the spool's manifest cannot grow: deliveries wait; free some space");
        }
        Stopped
    }

    pub(super) fn stop(&self, what: &str, error: &io::Error) -> Stopped {
        self.poison(what, error);
        Stopped
    }

    pub(super) fn usage(&self) -> Usage {
        let index = lock(&self.index);
        let (parked, segments) = (index.parked.values().sum(), index.segments.len());
        drop(index);
        let (used, cap) = (self.capped.used(), self.capped.cap());
        // Where the disk is the cap it grows with what is found to fit after all.
        let max = if self.capped.is_smaller_than_configured() { cap.max(used) } else { cap };
        Usage { used, max, parked, segments }
    }

    /// [`wanted_for_segment`], for a segment of this spool.
    pub(super) fn wanted_for_segment(&self) -> u64 {
        wanted_for_segment(self.segment_bytes)
    }

    /// How many bytes of segments must go to make room: 0 where there is enough.
    pub(super) fn pressure(&self) -> u64 {
        let excess = self.usage().excess();
        if self.disk_full.load(Ordering::Acquire) { excess.max(1) } else { excess }
    }

    /// Counts what may last, and returns the line where one is due.
    pub(super) fn happened(&self, what: &'static str) -> Option<Line> {
        lock(&self.lasting).happened(what, self.clock.monotonic())
    }

    pub(super) fn changed(&self) {
        self.changes.send_modify(|count| *count += 1);
    }

    pub(super) fn wake_housekeeper(&self) {
        *lock(&self.wake) = true;
        self.woken.notify_one();
    }

    /// Waits until somebody wakes the housekeeper, at most `at_most`.
    pub(super) fn wait_for_wake(&self, at_most: Duration) {
        let (mut woken, _) = self
            .woken
            .wait_timeout_while(lock(&self.wake), at_most, |woken| !*woken)
            .unwrap_or_else(PoisonError::into_inner);
        *woken = false;
    }

    /// Changes what is known of the next segment and tells the commit loop.
    pub(super) fn set_next(&self, change: impl FnOnce(&mut NextSegment)) {
        change(&mut lock(&self.next_segment));
        self.next_changed.notify_all();
    }

    /// Waits until there is a next segment. `false` where there will be none for now.
    pub(super) fn wait_for_next(&self) -> bool {
        self.wake_housekeeper();
        let unknown =
            |next: &mut NextSegment| next.prepared.is_none() && !next.no_space && !self.is_poisoned();
        let next = self.next_changed.wait_while(lock(&self.next_segment), unknown);
        next.unwrap_or_else(PoisonError::into_inner).prepared.is_some()
    }

    pub(super) fn next_position(&self) -> u64 {
        self.next_position.load(Ordering::Acquire)
    }
}

/// Stops the spool if one of its threads panics, or whoever changes the manifest: nobody may be answered 200 by a loop that is
/// gone, wait for it, or go on with a state that the disk does not have.
pub(super) struct PanicGuard<S: Deref<Target = Shared>>(pub(super) S);

impl<S: Deref<Target = Shared>> Drop for PanicGuard<S> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("a task of the spool panicked", &"this is a bug in Forebay");
        }
    }
}

/// It is not noted. Mostly the spool has stopped, since a write or sync failed: [`super::Outlet::stopped`] says why, and only
/// a restart helps. Else the disk is full, nothing has changed, and it can be done again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the spool has stopped, or its disk is full; the log says which")]
pub struct Stopped;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_segments_fit_under_a_cap_if_they_are_not_too_short() {
        let mib = |n: u64| n * 1_024 * 1_024;
        let check = |configured: u64, cap: u64, len: u64| {
            assert_eq!(segment_len(mib(configured), mib(cap)), mib(len), "{configured} {cap}");
        };
        check(64, 20_000, 64);
        check(64, 512, 64);
        check(64, 511, 32);
        check(64, 200, 16);
        check(64, 100, 8);
        check(64, 10, 8);
        check(8, 10, 8);
        check(1_024, 20_000, 1_024);
        // Shorter ones are for tests.
        assert_eq!(segment_len(4_096, 10_000), 4_096);
    }

    #[test]
    fn pressure_counts_what_parked_objects_leave() {
        let check = |used: u64, parked: u64, excess: u64| {
            let usage = Usage { used, max: 1_000, parked, segments: 0 };
            assert_eq!(usage.excess(), excess, "{used} {parked}");
        };
        check(700, 0, 0);
        check(701, 0, 1);
        check(950, 0, 250);
        // A spool that is full of parked objects presses nobody.
        check(800, 800, 0);
        check(840, 800, 0);
        check(941, 800, 1);
    }
}
