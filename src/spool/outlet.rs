//! The way out of the spool: what is to be delivered, and the notes that say how far that has come.
//!
//! Order O2: a seal is synced before the first byte of its object is uploaded. Order O3: the store's success is verified
//! before the commit is synced, and only then may a segment go.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use tokio::sync::watch;

use super::disk::Disk;
use super::index::Batch;
use super::ledger::{Difference, Hours, Report, Row};
use super::note::{Amend, Note, PendingSeal, Seal};
pub use super::parked::parked_name;
use super::reader::{self, Go, Read};
use super::scan::Range;
use super::shared::{PanicGuard, Shared, Stopped, Usage, full_mark, lock};
use super::state::State;
use crate::batch::BatchKey;
use crate::object::{AppliedEncryption, Destination, ObjectKey};
use crate::planted::{PlantedBug, planted};
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// So many segments are left where a spool is emptied segment by segment: one more than are kept free for objects.
const TIGHT_SEGMENTS: u64 = 4;
/// Open batches at most; above, those that were added to least recently become due.
pub const OPEN_BATCHES_MAX: usize = 20_000;

/// A batch with frames that are not sealed, as delivery sees it.
#[derive(Clone, Debug)]
pub struct OpenBatch {
    /// Source, day and stream.
    pub key: BatchKey,
    /// Frames not sealed.
    pub frames: u64,
    /// Their bytes as lines.
    pub bytes: u64,
    /// When the first of them was received.
    pub first_received_at: UnixMillis,
    /// Everything up to here is sealed.
    pub sealed_through: u64,
    /// The position of the first of them: where it is not exact, it is too low.
    pub first: u64,
    /// The last position.
    pub last: u64,
    /// Changes when `first_received_at` does: what was computed from it is then stale.
    pub generation: u64,
}

impl OpenBatch {
    fn of(key: &BatchKey, batch: &Batch) -> Self {
        Self {
            key: key.clone(),
            frames: batch.open_frames,
            bytes: batch.open_bytes,
            first_received_at: batch.first_received_at,
            sealed_through: batch.sealed_through,
            first: batch.first_open,
            last: batch.last(),
            generation: batch.generation,
        }
    }
}

/// What is known of a range once it has been encoded: all that a seal needs but its number and its place in the chain.
#[derive(Clone, Debug)]
pub struct Encoded {
    /// First position.
    pub first: u64,
    /// Last position.
    pub last: u64,
    /// Lines.
    pub frames: u64,
    /// Bytes of lines.
    pub bytes: u64,
    /// SHA-256 of the lines, in hexadecimal.
    pub sha256: String,
    /// `receivedAt` of the first line, which names the object.
    pub named_at: UnixMillis,
    /// The earliest `receivedAt`.
    pub first_received_at: UnixMillis,
    /// The latest `receivedAt`.
    pub last_received_at: UnixMillis,
    /// Encoder and level.
    pub encoder: String,
    /// `receivedAt` of the first line that did not fit any more, where there is one.
    pub next_received_at: Option<UnixMillis>,
    /// Lines by the hour in which they were received.
    pub hours: Hours,
}

/// What a batch has behind its last seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FirstOpen {
    /// The position of the first frame that can be read.
    At(u64),
    /// No frame can be read.
    Nothing {
        /// The positions of those that cannot.
        lost: Vec<Range>,
    },
}

/// The way out of an open spool. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Outlet {
    pub(super) shared: Arc<Shared>,
}

impl Outlet {
    /// Every batch with frames that are not sealed.
    pub fn open_batches(&self) -> Vec<OpenBatch> {
        let index = lock(&self.shared.index);
        let open = index.batches.iter().filter(|(_, batch)| batch.open_frames > 0);
        open.map(|(key, batch)| OpenBatch::of(key, batch)).collect()
    }

    /// One batch, if it has frames that are not sealed.
    pub fn open_batch(&self, key: &BatchKey) -> Option<OpenBatch> {
        let index = lock(&self.shared.index);
        index.batches.get(key).filter(|batch| batch.open_frames > 0).map(|batch| OpenBatch::of(key, batch))
    }

    /// The batches to be delivered so that segments go, oldest first: as many as it takes to end the pressure. None where
    /// there is no pressure.
    pub fn under_pressure(&self) -> Vec<BatchKey> {
        match self.shared.pressure() {
            0 => Vec::new(),
            _ if self.is_tight() => self.pinning_oldest(),
            bytes => lock(&self.shared.index).pinning(bytes, self.is_disk_full()),
        }
    }

    /// Whether what is left may just do for what a segment holds, staged and parked. Then segments are emptied one by one: objects
    /// that free none would take what is left, and nothing could be parked any more.
    pub fn is_tight(&self) -> bool {
        self.is_under_pressure() && self.room() < TIGHT_SEGMENTS * self.shared.segment_bytes
    }

    /// The same, where what is left may not do for what two segments hold.
    pub fn is_too_tight_for_two(&self) -> bool {
        self.is_tight() && self.room() < 2 * self.shared.segment_bytes
    }

    /// The batches with unsealed frames in the oldest closed segment; none where all of it is sealed.
    pub fn pinning_oldest_unsealed(&self) -> Vec<BatchKey> {
        lock(&self.shared.index).pinning(1, false)
    }

    /// The last position of the batch in the oldest segment in which it has frames behind `after`.
    pub fn end_of_oldest(&self, batch: &BatchKey, after: u64) -> Option<u64> {
        let index = lock(&self.shared.index);
        let parts = &index.batches.get(batch)?.parts;
        parts.iter().map(|part| part.last).find(|last| *last > after)
    }

    /// Whether the spool is so full that sealed objects should be parked.
    pub fn is_under_pressure(&self) -> bool {
        self.shared.pressure() > 0
    }

    /// How many more bytes the spool may take.
    pub fn room(&self) -> u64 {
        self.shared.capped.look()
    }

    /// Whether the disk has no space for another segment.
    pub fn is_disk_full(&self) -> bool {
        self.shared.disk_full.load(std::sync::atomic::Ordering::Acquire)
    }

    /// Notes that a file found no space: what frees some is due.
    pub fn disk_is_full(&self) {
        self.shared.disk_full.store(true, std::sync::atomic::Ordering::Release);
        self.shared.wake_housekeeper();
    }

    /// When the oldest frame was received that is in no object yet; parked objects count too.
    pub fn oldest_undelivered(&self) -> Option<UnixMillis> {
        let state = self.shared.state();
        let sealed = state.seals.values().map(|pending| pending.seal.first_received_at).min();
        // With the state held: what is being sealed would be in neither.
        let open = lock(&self.shared.index).oldest_open();
        drop(state);
        open.into_iter().chain(sealed).min()
    }

    /// Looks for a batch's first frame that is not sealed.
    ///
    /// # Errors
    /// What the disk says.
    pub fn first_open(&self, batch: &OpenBatch) -> io::Result<FirstOpen> {
        let (mut first, mut lost) = (None, Vec::new());
        self.read(&batch.key, batch.sealed_through, u64::MAX, &mut |read| {
            match read {
                Read::Lost(range) => lost.push(range),
                Read::Frame(frame) => {
                    first = Some(frame.position);
                    return Ok(Go::Stop);
                }
            }
            Ok(Go::On)
        })?;
        Ok(first.map_or(FirstOpen::Nothing { lost }, FirstOpen::At))
    }

    /// Lets go of a batch of which no frame behind its last seal can be read: what is lost is noted, durably, and pins
    /// nothing any more. Must be called only while no sealed object of the batch waits unparked.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn give_up(&self, batch: &OpenBatch, lost: &[Range]) -> Result<(), Stopped> {
        self.note_lost(lost)?;
        let through = lost.iter().map(|range| range.last).max().unwrap_or(0).max(batch.sealed_through);
        let mut index = lock(&self.shared.index);
        index.give_up(&batch.key, through);
        let lost = index.settle(&batch.key);
        drop(index);
        say_lost(&batch.key, lost);
        self.shared.changed();
        self.shared.wake_housekeeper();
        Ok(())
    }

    /// Hands the durable frames of `key` with `after < position <= through`, in order, to `visit`.
    ///
    /// # Errors
    /// What the disk says, or what `visit` says.
    pub fn read(
        &self,
        key: &BatchKey,
        after: u64,
        through: u64,
        visit: &mut dyn FnMut(Read<'_>) -> io::Result<Go>,
    ) -> io::Result<()> {
        reader::read(&self.shared, key, after, through, visit)
    }

    /// Takes in how many bytes of lines a batch was found to have behind its last seal, unless more has come since `batch` was
    /// looked at.
    pub fn recount(&self, batch: &OpenBatch, bytes: u64) {
        lock(&self.shared.index).recount(&batch.key, batch.last, bytes);
    }

    /// Fixes what one object holds and where it goes, durably.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn seal(
        &self,
        batch: &BatchKey,
        encoded: &Encoded,
        destination: Destination,
        object_key: ObjectKey,
    ) -> Result<Seal, Stopped> {
        let _guard = PanicGuard(&*self.shared);
        let mut manifest = lock(&self.shared.manifest);
        if self.shared.is_poisoned() {
            return Err(Stopped);
        }
        let state = self.shared.state();
        let seal = Seal {
            number: state.next_seal.max(1),
            batch: batch.clone(),
            first: encoded.first,
            last: encoded.last,
            frames: encoded.frames,
            bytes: encoded.bytes,
            sha256: encoded.sha256.clone(),
            first_received_at: encoded.first_received_at,
            last_received_at: encoded.last_received_at,
            encoder: encoded.encoder.clone(),
            previous_last: state.previous_last(batch, &destination.bucket),
            destination,
            object_key,
            hours: lock(&self.shared.index).ledger.place(batch, encoded.hours.clone()),
        };
        let sealed_before = state.cursors.get(batch).is_some_and(|cursor| seal.first <= cursor.sealed);
        drop(state);
        if sealed_before {
            self.shared.poison("a range would be sealed twice", &"this is a bug in Forebay");
            return Err(Stopped);
        }
        let noted = manifest.append_and(vec![Note::Sealed(seal.clone())], |_| {
            let mut index = lock(&self.shared.index);
            index.seal(batch, seal.last, seal.frames, seal.bytes);
            index.ledger.seal(batch, &seal.hours());
            index.settle(batch)
        });
        let lost = noted.map_err(|error| self.shared.not_noted(&error))?;
        drop(manifest);
        say_lost(batch, lost);
        self.look_behind(batch, seal.last);
        if planted(PlantedBug::UnlinkBeforeCommit) {
            lock(&self.shared.index).release(&seal.batch, seal.last);
            self.shared.wake_housekeeper();
        }
        self.shared.changed();
        Ok(seal)
    }

    /// What is left behind a seal has an age of its own: with that of what was sealed it would be due at once, and again,
    /// in crumbs.
    fn look_behind(&self, batch: &BatchKey, sealed: u64) {
        let mut rest = None;
        let read = self.read(batch, sealed, u64::MAX, &mut |read| {
            let Read::Frame(frame) = read else { return Ok(Go::On) };
            rest = Some((frame.position, frame.received_at));
            Ok(Go::Stop)
        });
        if let Err(error) = read {
            tracing::warn!(%error, %batch, "the rest of a batch cannot be read now; its age is counted from now");
            rest = Some((sealed + 1, self.shared.clock.wall()));
        }
        if let Some((position, at)) = rest {
            lock(&self.shared.index).first_open(batch, position, at);
        }
    }

    /// Seals whose objects are not known to be in the store, oldest first.
    pub fn pending_seals(&self) -> Vec<PendingSeal> {
        self.shared.state().seals.values().cloned().collect()
    }

    /// Their numbers.
    pub fn pending_numbers(&self) -> Vec<u64> {
        self.shared.state().seals.keys().copied().collect()
    }

    /// Whether a sealed object of this batch still holds its frames: it is neither in the store nor parked.
    pub fn has_unparked_seal(&self, batch: &BatchKey) -> bool {
        let state = self.shared.state();
        state.seals.values().any(|pending| pending.parked.is_none() && pending.seal.batch == *batch)
    }

    /// One pending seal.
    pub fn pending_seal(&self, number: u64) -> Option<PendingSeal> {
        self.shared.state().seals.get(&number).cloned()
    }

    /// Notes that the object is in the store, durably, with what the store said of its encryption, and lets go of its frames.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn commit(&self, seal: &Seal, applied: Option<AppliedEncryption>) -> Result<(), Stopped> {
        let pending = self.pending_seal(seal.number);
        let amended = pending.as_ref().and_then(|pending| pending.amended.clone()).map(Box::new);
        let seal_again = Some(Box::new(seal.clone()));
        let committed = Note::Committed { number: seal.number, applied, seal: seal_again, amended };
        self.shared.note_and(vec![committed], |state, index| {
            if let Some(pending) = &pending {
                index.ledger.deliver(&seal.batch, &pending.seal.hours(), &pending.hours());
            }
            index.release(&seal.batch, state.released_through(&seal.batch));
        })?;
        self.shared.changed();
        self.shared.wake_housekeeper();
        if let Some(parked) = pending.and_then(|pending| pending.parked) {
            self.unpark(seal, parked);
        }
        Ok(())
    }

    /// Notes that another object has the seal's key: it waits for a person.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn conflict(&self, seal: &Seal) -> Result<(), Stopped> {
        self.shared.note(vec![Note::Conflict { number: seal.number }])
    }

    /// Notes positions that can no longer be read, unless they are noted already.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn note_lost(&self, lost: &[Range]) -> Result<(), Stopped> {
        if lost.is_empty() {
            return Ok(());
        }
        // Several may meet the same damage at once.
        let new = |state: &State| {
            let new = lost.iter().filter(|range| !state.lost.contains(range));
            new.map(|range| Note::Lost(*range)).collect::<Vec<Note>>()
        };
        let tell = |notes: Vec<Note>| {
            for note in &notes {
                tracing::error!(?note, "the spool is damaged: these positions can no longer be read");
            }
            notes
        };
        self.shared.note_what(|state| tell(new(state)), |_, _| ())
    }

    /// The positions at which a seal's frames were lost, none of which is left: those of its range that are noted as lost
    /// where that can be all of them, else the whole range.
    pub fn lost_of(&self, seal: &Seal) -> Vec<Range> {
        let known = Range::merge(self.shared.state().lost.iter().copied());
        let within: Vec<Range> =
            known.into_iter().filter_map(|range| range.within(seal.first, seal.last)).collect();
        let positions = within.iter().map(|range| range.last - range.first + 1).fold(0, u64::saturating_add);
        if positions >= seal.frames { within } else { vec![Range { first: seal.first, last: seal.last }] }
    }

    /// Notes what is left of a sealed range of which frames were lost.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn amend(&self, seal: &Seal, amend: Amend) -> Result<(), Stopped> {
        let mut notes: Vec<Note> = amend.lost.iter().map(|range| Note::Lost(*range)).collect();
        notes.push(Note::Amended { number: seal.number, amend });
        self.shared.note(notes)
    }

    /// Notes that the store has all that was sealed: what was noted as lost of it is not.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn restored(&self, seal: &Seal) -> Result<(), Stopped> {
        self.shared.note(vec![Note::Restored { number: seal.number }])
    }

    /// The ledger, and whether its sides meet: all of one instant. `only` leaves out the rows of other sources.
    pub fn ledger(&self, only: Option<&SourceId>) -> Report {
        let index = lock(&self.shared.index);
        let differences = index.differences();
        Report { differences, ..index.ledger.report(only) }
    }

    /// The ledger's totals of each source, and where its two sides do not meet: all of one instant.
    pub fn ledger_summary(&self) -> (Vec<(SourceId, Row)>, Vec<Difference>) {
        let index = lock(&self.shared.index);
        (index.ledger.totals(), index.differences())
    }

    /// Where the ledger's two sides do not meet.
    pub fn ledger_differences(&self) -> Vec<Difference> {
        lock(&self.shared.index).differences()
    }

    /// The count of bytes of objects that are staged in memory: parked, they would take as much space.
    pub fn staged_in_memory(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.shared.staged_in_memory)
    }

    /// The disk, for staged and parked files.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.shared.disk
    }

    /// How much space the spool uses.
    pub fn usage(&self) -> Usage {
        self.shared.usage()
    }

    /// Batches with undelivered frames.
    pub fn batches_in_use(&self) -> usize {
        lock(&self.shared.index).batches.len()
    }

    /// Frames that are in no object in the store yet, and when the first was received, by source.
    pub fn undelivered(&self) -> BTreeMap<SourceId, (u64, UnixMillis)> {
        let mut by_source: BTreeMap<SourceId, (u64, UnixMillis)> = BTreeMap::new();
        let mut add = |source: &SourceId, frames: u64, at: UnixMillis| {
            let known = by_source.entry(source.clone()).or_insert((0, at));
            *known = (known.0 + frames, known.1.min(at));
        };
        let state = self.shared.state();
        for pending in state.seals.values() {
            add(&pending.seal.batch.source, pending.seal.frames, pending.seal.first_received_at);
        }
        let index = lock(&self.shared.index);
        drop(state);
        for (key, batch) in index.batches.iter().filter(|(_, batch)| batch.open_frames > 0) {
            add(&key.source, batch.open_frames, batch.first_received_at);
        }
        by_source
    }

    /// Sources with undelivered frames.
    pub fn sources(&self) -> Vec<SourceId> {
        lock(&self.shared.index).sources().into_iter().collect()
    }

    /// The node id, as it stands in object names.
    pub fn node(&self) -> String {
        let default = || self.shared.ident.spool_id_hex().chars().take(8).collect();
        self.shared.options.node.clone().unwrap_or_else(default)
    }

    /// The spool id, as it stands in object names.
    pub fn spool_id(&self) -> String {
        self.shared.ident.spool_id_hex()
    }

    /// Changes whenever frames were added, sealed or released.
    pub fn changes(&self) -> watch::Receiver<u64> {
        self.shared.changes.subscribe()
    }

    /// Holds the reason once the spool has stopped.
    pub fn stopped(&self) -> watch::Receiver<Option<Arc<str>>> {
        self.shared.poisoned()
    }

    /// Whether the spool has stopped for good. Where [`Stopped`] is returned and it has not, a note found no space.
    pub fn is_stopped(&self) -> bool {
        self.shared.is_poisoned()
    }

    /// Notes a step of the wall clock.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn note_clock(&self, from: UnixMillis, to: UnixMillis) -> Result<(), Stopped> {
        self.shared.note(vec![Note::Clock { from, to }])
    }

    /// Whether calls are refused for want of space.
    pub fn is_full(&self) -> bool {
        self.shared.full.load(std::sync::atomic::Ordering::Acquire)
    }

    /// How long the spool lasts at `bytes_per_second` of lines without deliveries; `None` at no rate, and where it is full.
    pub fn time_left(&self, bytes_per_second: f64) -> Option<Duration> {
        if self.is_full() {
            return None;
        }
        let usage = self.usage();
        // Where the disk is the cap it is the mark, too.
        let is_disk = self.shared.capped.is_smaller_than_configured();
        let full = if is_disk { usage.max } else { full_mark(usage.max) };
        let left = full.saturating_sub(usage.used);
        #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
        (bytes_per_second > 0.0)
            .then(|| Duration::try_from_secs_f64(left as f64 / bytes_per_second).unwrap_or(Duration::MAX))
    }
}

fn say_lost(batch: &BatchKey, frames: u64) {
    if frames > 0 {
        tracing::error!(%batch, frames, "stored lines of this batch can no longer be read; the ledger counts them as lost");
    }
}
