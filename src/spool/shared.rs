//! The state that the parts of an open spool share: disk, index, manifest, and whether the spool has stopped.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::ops::{Deref, DerefMut};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::watch;

use crate::disk::{self, Disk, DiskFile};
use crate::lock::{wait_while, wait_while_at_most};
use crate::log::frame::Salt;
use crate::log::notes::{CallNote, CallState, NoteKeeper};
use crate::log::{Lost, Range, Stopped, Usage};
use crate::metrics::Metrics;
use crate::once_a_minute::{Line, OnceAMinute};
use crate::sources::SourceId;
use crate::spool::capped_disk::CappedDisk;
use crate::spool::format::ident::Ident;
use crate::spool::format::key_run::run_name;
use crate::spool::index::Index;
use crate::spool::manifest::note::Note;
use crate::spool::manifest::state::State;
use crate::spool::manifest::{FileNote, Manifest};
use crate::spool::options::{SpoolOptions, full_mark, segment_len, wanted_for_segment};
use crate::spool::row_keys::{NewRun, RowKeys};
use crate::time::Clock;
// A thread that panics while it holds a lock poisons the spool itself, so the mutex's own poisoning adds
// nothing.
pub(super) use crate::lock::lock;

/// The next segment, made and synced in advance.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) number: u64,
    pub(super) file: Arc<dyn DiskFile>,
    pub(super) len: u64,
}

/// The segments that the commit loop can move to.
#[derive(Debug, Default)]
pub(super) struct NextSegments {
    /// Segments that are made, oldest first.
    pub(super) prepared: VecDeque<Prepared>,
    /// How many of them only dead letters may begin. While a second reader keeps frames, one: giving up calls
    /// is what empties a spool that is full of them.
    pub(super) set_aside: usize,
    /// Whether no more can be made, because the cap is reached or the disk is full.
    pub(super) no_space: bool,
    /// How many must be prepared before calls can be stored.
    pub(super) wanted: usize,
}

impl NextSegments {
    /// How many are still to be made.
    pub(super) fn missing(&self) -> usize {
        (1 + self.set_aside).saturating_sub(self.prepared.len())
    }

    /// Whether calls are refused, because they need a segment that cannot be made.
    pub(super) fn block(&self) -> bool {
        self.no_space && self.prepared.len() < self.wanted
    }
}

#[derive(Debug)]
pub(super) struct Shared {
    pub(super) disk: Arc<dyn Disk>,
    /// The same disk, with its counts and its cap.
    pub(super) capped: Arc<CappedDisk>,
    /// Length of a new segment, in bytes.
    pub(super) segment_bytes: u64,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) ident: Ident,
    pub(super) options: SpoolOptions,
    pub(super) index: Mutex<Index>,
    /// Held while a note is written and synced. To read the state without that wait, use [`Shared::state`].
    pub(super) manifest: Mutex<Manifest>,
    state: Arc<Mutex<State>>,
    pub(super) next: Mutex<NextSegments>,
    next_changed: Condvar,
    /// The position that the next frame will get.
    pub(super) next_position: AtomicU64,
    /// Whether calls are refused: the cap is reached, or the disk and the open segment are full.
    pub(super) full: AtomicBool,
    /// Whether a file found no space, and there is still not enough for a segment.
    pub(super) disk_full: AtomicBool,
    /// Limits the log lines about notes that found no space.
    not_noted: Mutex<OnceAMinute<()>>,
    /// Sources that are refused because too much waits for their buckets.
    pub(super) full_sources: Mutex<BTreeSet<SourceId>>,
    pub(super) any_full_source: AtomicBool,
    /// Bytes of objects staged in memory.
    pub(super) staged_in_memory: Arc<AtomicUsize>,
    /// Limits the log lines about lasting conditions to one a minute.
    pub(super) lasting: Mutex<OnceAMinute<&'static str>>,
    /// Limits the log lines about objects that could not be parked.
    pub(super) not_parked: Mutex<OnceAMinute<()>>,
    /// Requests refused because the spool was full.
    pub(super) refused_for_space: AtomicU64,
    /// The keys of imported rows.
    pub(super) row_keys: RowKeys,
    /// Whether the spool's identity says that there may be such keys.
    pub(super) may_have_row_keys: AtomicBool,
    /// Held while a group is committed. Acquiring it proves that all commits begun earlier have ended.
    pub(super) commit_gate: Mutex<()>,
    /// Calls with an earlier `receivedAt` are refused, because their days are over. In milliseconds;
    /// [`i64::MIN`] for none.
    pub(super) not_before: AtomicI64,
    poison: watch::Sender<Option<Arc<str>>>,
    wake: Mutex<bool>,
    woken: Condvar,
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
        let mut index = Index::default();
        index.held_after = options.hold_after;
        let ident_has_keys = ident.has_row_keys();
        let set_aside = usize::from(options.hold_after.is_some());
        let not_before = manifest.state().calls.days_over.map_or(i64::MIN, |through| through.end().0);
        let row_keys = {
            let files = &manifest.state().files;
            let (disk, runs) = (Arc::<CappedDisk>::clone(&capped), files.key_runs.values());
            RowKeys::of_notes(disk, ident.spool_id, runs, files.next_key_run)
        };
        Self {
            disk: Arc::<CappedDisk>::clone(&capped),
            segment_bytes: segment_len(options.segment_bytes, capped.cap()),
            capped,
            clock,
            metrics,
            ident,
            options,
            index: Mutex::new(index),
            state: manifest.shared_state(),
            manifest: Mutex::new(manifest),
            next: Mutex::new(NextSegments { set_aside, ..NextSegments::default() }),
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
            may_have_row_keys: AtomicBool::new(ident_has_keys),
            row_keys,
            commit_gate: Mutex::new(()),
            not_before: AtomicI64::new(not_before),
            poison: watch::Sender::new(None),
            wake: Mutex::new(false),
            woken: Condvar::new(),
        }
    }

    /// The state of all notes on disk. Lock order: commit gate, manifest, state, index.
    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    pub(super) fn salt(&self, segment: u64) -> Salt {
        Salt::new(&self.ident.spool_id, segment)
    }

    /// Stops the spool for good. The contents of the disk are no longer known, and only a recovery can find
    /// out.
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

    /// Appends notes to the manifest durably.
    pub(super) fn note(&self, notes: Vec<impl Into<Note>>) -> Result<(), Stopped> {
        self.note_and(notes, |_, _| ())
    }

    /// As [`Shared::note`], and changes the index, given the new state, before any other thread sees either.
    pub(super) fn note_and<T>(
        &self,
        notes: Vec<impl Into<Note>>,
        change: impl FnOnce(&State, &mut Index) -> T,
    ) -> Result<T, Stopped> {
        self.note_from(|_| (notes, ()), |(), state, index| change(state, index))
    }

    /// As [`Shared::note_and`], with notes made from the state while no other note can be appended. `change`
    /// also gets what `decide` found.
    pub(super) fn note_from<N: Into<Note>, D, T>(
        &self,
        decide: impl FnOnce(&State) -> (Vec<N>, D),
        change: impl FnOnce(D, &State, &mut Index) -> T,
    ) -> Result<T, Stopped> {
        let _guard = PanicGuard(self);
        let mut manifest = lock(&self.manifest);
        // Checked while the manifest is locked: nothing may be written after a note whose sync failed.
        if self.is_poisoned() {
            return Err(Stopped);
        }
        let (notes, found) = decide(&manifest.state());
        let noted = manifest.append(notes, |state| {
            let mut index = lock(&self.index);
            index.ledger.learn_lost(&state.calls.ledger);
            change(found, state, &mut index)
        });
        noted.map_err(|error| self.not_noted(&error))
    }

    /// Handles a note that could not be written. Lack of space is no reason to stop: nothing was written, and
    /// the note is retried later.
    pub(super) fn not_noted(&self, error: &io::Error) -> Stopped {
        if !disk::is_no_space(error) {
            return self.stop("write the manifest", error);
        }
        self.disk_full.store(true, Ordering::Release);
        if let Some(line) = lock(&self.not_noted).happened((), self.clock.monotonic()) {
            tracing::error!(
                %error,
                times = line.times,
                "the disk is full and the spool's manifest cannot grow: deliveries wait; free some space"
            );
        }
        Stopped
    }

    pub(super) fn stop(&self, what: &str, error: &io::Error) -> Stopped {
        if error.kind() == io::ErrorKind::NotFound && !self.disk.is_in_place() {
            return self.stop_for_removed("the spool's directory");
        }
        self.poison(what, error);
        Stopped
    }

    /// Stops the spool because `what` is not in place any more.
    pub(super) fn stop_for_removed(&self, what: &str) -> Stopped {
        self.poison(&format!("find {what}"), &"it was removed or replaced while Forebay was running");
        Stopped
    }

    /// Removes a file. The spool stops if that fails.
    pub(super) fn remove(&self, name: &str, what: &str) -> Result<(), Stopped> {
        self.disk.remove(name).map_err(|error| self.stop(what, &error))
    }

    /// Notes a run of keys and uses it, and removes the files of those that it replaces. The keys of all
    /// frames up to `through` are in runs then. Errors: [`Stopped`]: it is not noted, and the caller still
    /// has its keys.
    pub(super) fn use_key_run(&self, new: NewRun, through: u64) -> Result<(), Stopped> {
        let (added, removed) = (new.note(), new.replaces.clone());
        let note = FileNote::KeyRuns { added: Some(added), removed: removed.clone(), through };
        if let Err(stopped) = self.note(vec![note]) {
            // After a failed sync, nobody knows whether it is noted.
            if !self.is_poisoned() {
                self.row_keys.remove_unused(added.number);
            }
            return Err(stopped);
        }
        self.row_keys.replace(new);
        removed.iter().try_for_each(|number| self.remove(&run_name(*number), "remove merged insert_ids"))
    }

    /// Shows what there is of keys.
    pub(super) fn show_row_keys(&self) {
        let held = self.row_keys.held();
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        self.metrics.insert_ids.set(number(held.keys));
        self.metrics.insert_id_bytes.set(number(held.bytes));
        self.metrics.insert_id_files_damaged.set(number(held.damaged));
    }

    pub(super) fn usage(&self) -> Usage {
        let index = lock(&self.index);
        let (parked, segments) = (index.parked.values().sum(), index.segments.len());
        let batches = index.batches.len();
        drop(index);
        let (used, cap) = (self.capped.used(), self.capped.cap());
        // If the disk is the limit, more may fit than its free space suggested, and the spool is full only
        // when the disk is.
        let is_disk = self.capped.is_smaller_than_configured();
        let max = if is_disk { cap.max(used) } else { cap };
        Usage {
            used,
            max,
            parked,
            segments,
            segment_bytes: self.segment_bytes,
            batches,
            full_at: if is_disk { max } else { full_mark(max) },
            is_full: self.full.load(Ordering::Acquire),
            disk_is_full: self.disk_full.load(Ordering::Acquire),
            refused: self.refused_for_space.load(Ordering::Acquire),
            is_cache: false,
        }
    }

    /// [`wanted_for_segment`], for a segment of this spool.
    pub(super) fn wanted_for_segment(&self) -> u64 {
        wanted_for_segment(self.segment_bytes)
    }

    /// Counts a lasting condition. Returns a log line when one is due.
    pub(super) fn happened(&self, what: &'static str) -> Option<Line> {
        lock(&self.lasting).happened(what, self.clock.monotonic())
    }

    pub(super) fn wake_housekeeper(&self) {
        *lock(&self.wake) = true;
        self.woken.notify_one();
    }

    /// Waits until the housekeeper is woken, for `at_most` at most.
    pub(super) fn wait_for_wake(&self, at_most: Duration) {
        *wait_while_at_most(&self.woken, lock(&self.wake), at_most, |woken| !*woken) = false;
    }

    /// Changes the state of the next segments and notifies the commit loop.
    pub(super) fn set_next(&self, change: impl FnOnce(&mut NextSegments)) {
        change(&mut lock(&self.next));
        self.next_changed.notify_all();
    }

    /// Waits until so many segments are prepared. Returns `false` if they cannot be made for now.
    pub(super) fn wait_for_next(&self, wanted: usize) -> bool {
        self.wake_housekeeper();
        let unknown =
            |next: &mut NextSegments| next.prepared.len() < wanted && !next.no_space && !self.is_poisoned();
        wait_while(&self.next_changed, lock(&self.next), unknown).prepared.len() >= wanted
    }

    pub(super) fn next_position(&self) -> u64 {
        self.next_position.load(Ordering::Acquire)
    }
}

impl NoteKeeper for Shared {
    type Open = Index;

    fn read<T>(&self, read: impl FnOnce(&CallState) -> T) -> T {
        read(&self.state().calls)
    }

    fn open(&self) -> impl DerefMut<Target = Index> + '_ {
        lock(&self.index)
    }

    fn append_from<D, T>(
        &self,
        decide: impl FnOnce(&CallState) -> (Vec<CallNote>, D),
        then: impl FnOnce(D, &CallState, &mut Index) -> T,
    ) -> Result<T, Stopped> {
        let decide = |state: &State| decide(&state.calls);
        self.note_from(decide, |found, state, index| then(found, &state.calls, index))
    }

    fn lost_at(&self, range: Range) -> Lost {
        range.into()
    }

    fn stop_for_bug(&self, what: &str) -> Stopped {
        self.poison(what, &"this is a bug in Forebay");
        Stopped
    }
}

/// Stops the spool if one of its threads, or a thread that changes the manifest, panics. Otherwise requests
/// could wait for a commit loop that has ended, or work could go on with a state that is not on disk.
pub(super) struct PanicGuard<S: Deref<Target = Shared>>(pub(super) S);

impl<S: Deref<Target = Shared>> Drop for PanicGuard<S> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.poison("a task of the spool panicked", &"this is a bug in Forebay");
        }
    }
}
