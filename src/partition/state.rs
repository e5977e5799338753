//! The state that all notes of a partition add up to.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::block::BlockAt;
use super::note::{Base, Covered, Note, UnreadableNote, VERSION};
use super::position::{FRAMES_MAX, before, offset_of, position};
use crate::batch::BatchKey;
use crate::log::notes::{CallNote, CallState, pairs};
use crate::log::{Lost, LostFrames, PendingSeal, Range};
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};

/// What the first snapshot fixes. A process with another name or group would have another lock, so it stops.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Identity {
    /// `kafka.name`.
    pub name: String,
    /// The group of the writers.
    pub group: String,
    /// The log id, as 32 hexadecimal digits.
    pub log_id: String,
    /// The partition.
    pub partition: u32,
    /// Frames of the window of repeats.
    pub window: u64,
}

impl Identity {
    /// The identity in unit tests.
    #[cfg(test)]
    pub(super) fn of_tests() -> Self {
        Self {
            name: "events".into(),
            group: "forebay".into(),
            log_id: "00".repeat(16),
            partition: 0,
            window: 10,
        }
    }

    /// The transactional id: the lock of the partition.
    pub fn transactional_id(&self) -> String {
        format!("{}-{}-{}", self.name, self.log_id, self.partition)
    }

    /// The node id in the names of its objects.
    pub fn node(&self) -> String {
        format!("{}-{}", self.name, self.partition)
    }

    /// The spool id in the names of its objects: each partition is a log of its own.
    pub fn spool_id(&self) -> String {
        hex::encode(spool_id(&self.log_id, self.partition))
    }
}

/// The spool id of a partition of the log with this id.
pub(super) fn spool_id(log_id: &str, partition: u32) -> [u8; 16] {
    let log_id = hex::decode(log_id).unwrap_or_default();
    let digest = Sha256::new().chain_update(log_id).chain_update(partition.to_le_bytes()).finalize();
    // A digest has 32 bytes.
    digest.first_chunk().copied().unwrap_or_default()
}

/// Of which batches nothing may rely on verdicts any more.
enum Releases {
    Nothing,
    Of(BatchKey),
    OfDay(SourceId, ReceivedDay),
    All,
}

/// The state of a partition.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct State {
    /// The version of notes and rules in force.
    pub version: u32,
    /// Whose it is.
    pub identity: Identity,
    /// What is known of calls.
    pub calls: CallState,
    /// The last base.
    pub base: Base,
    /// The last block that a seal or base covers.
    pub covered: Option<BlockAt>,
    /// Objects that stay in the log: the record from which on the window of each is complete, by seal.
    pub left: BTreeMap<u64, u64>,
    /// The offsets of second copies, from [`State::kept_from`] on.
    pub copies: BTreeSet<u64>,
    /// Positions that nobody reads any more, from [`State::kept_from`] on.
    pub unread: Vec<Range>,
    /// The token of the last term.
    pub term: Option<String>,
    /// The offset of the last base in the notes.
    pub base_at: Option<u64>,
    /// The sources of days whose lines are all in the store, as long as frames of the day are read again. No
    /// other frame of such a day is a line.
    pub settled: BTreeMap<ReceivedDay, BTreeSet<SourceId>>,
    /// Frames that repeat calls, as long as anything relies on that: see [`super::repeats`].
    #[serde(default, with = "pairs", skip_serializing_if = "BTreeMap::is_empty")]
    pub repeats: BTreeMap<BatchKey, Vec<Range>>,
    /// Where an owner has found the log cut.
    pub log_cut: Option<u64>,
}

impl State {
    /// The state of a new partition.
    pub fn new(identity: Identity) -> Self {
        Self {
            version: VERSION,
            identity,
            calls: CallState::new(),
            base: Base { read_from: before(0) + 1, ..Base::default() },
            covered: None,
            left: BTreeMap::new(),
            copies: BTreeSet::new(),
            unread: Vec::new(),
            term: None,
            base_at: None,
            settled: BTreeMap::new(),
            repeats: BTreeMap::new(),
            log_cut: None,
        }
    }

    /// Applies a note that stands at `offset` of the notes. A snapshot has another way: it replaces the state.
    pub fn apply(&mut self, note: Note, offset: u64) {
        let releases = self.released_by(&note);
        match note {
            Note::Snapshot { .. } => {}
            Note::Term(term) => self.term = Some(term.token),
            Note::Call(note) => {
                if let CallNote::Committed { number, .. } = &note {
                    self.left.remove(number);
                }
                self.calls.apply(note);
            }
            Note::Unread(range) => {
                let lost = Lost { first: range.first, last: range.last, frames: LostFrames::Unknown };
                self.calls.apply(CallNote::Lost(lost));
                self.takes_unread(range);
            }
            Note::Covered(covered) => self.covers(covered),
            Note::Base(base) => {
                self.covers(base.covered.clone());
                self.base = *base;
                self.base_at = Some(offset);
            }
            Note::Settled { source, day } => {
                self.settled.entry(day).or_default().insert(source);
            }
            Note::LogCut(offset) => self.log_cut = Some(offset),
            Note::Repeats { batch, ranges } => {
                let known = self.repeats.entry(batch).or_default();
                // An owner that begins anew reads again what stands before the last ones.
                *known = Range::merge(std::mem::take(known).into_iter().chain(ranges));
            }
            Note::Left { number, parked, from } => {
                if self.calls.seals.contains_key(&number) {
                    self.calls.make_room(number, parked);
                    self.left.insert(number, from);
                }
            }
        }
        match releases {
            Releases::Nothing => {}
            Releases::Of(batch) => self.forget_repeats(&|of| *of == batch),
            Releases::OfDay(source, day) => self.forget_repeats(&|of| of.source == source && of.day == day),
            Releases::All => self.forget_repeats(&|_| true),
        }
    }

    /// Of which batches a note may end that anything relies on verdicts.
    fn released_by(&self, note: &Note) -> Releases {
        match note {
            Note::Base(_) => Releases::All,
            Note::Settled { source, day } => Releases::OfDay(source.clone(), *day),
            Note::Call(CallNote::Committed { number, .. }) => match self.calls.seals.get(number) {
                Some(pending) => Releases::Of(pending.seal.batch.clone()),
                None => Releases::Nothing,
            },
            _ => Releases::Nothing,
        }
    }

    /// Forgets the verdicts on which nothing relies any more, of some batches.
    fn forget_repeats(&mut self, of: &dyn Fn(&BatchKey) -> bool) {
        // Ten thousand notes may come here at a midnight, and thousands of objects may be left.
        if !self.repeats.keys().any(of) {
            return;
        }
        let mut repeats = std::mem::take(&mut self.repeats);
        let mut pending: BTreeMap<&BatchKey, u64> = BTreeMap::new();
        for PendingSeal { seal, .. } in self.calls.seals.values() {
            let last = pending.entry(&seal.batch).or_default();
            *last = seal.last.max(*last);
        }
        repeats.retain(|batch, ranges| {
            if !of(batch) {
                return true;
            }
            let is_pending = |position| pending.get(batch).is_some_and(|last| position <= *last);
            ranges.retain(|range| self.relies(batch, range.last, &|| is_pending(range.last)));
            !ranges.is_empty()
        });
        self.repeats = repeats;
    }

    /// Whether what becomes of a frame of a batch is still decided, or was decided and is relied on: it is not counted,
    /// or not released, or in an object that is not in the store.
    pub fn has_verdicts(&self, batch: &BatchKey, position: u64) -> bool {
        let is_pending = || {
            let mut pending = self.calls.seals.values().map(|pending| &pending.seal);
            pending.any(|seal| seal.batch == *batch && position <= seal.last)
        };
        self.relies(batch, position, &is_pending)
    }

    /// [`State::has_verdicts`], if this says whether an object of the batch that ends there or later is pending.
    fn relies(&self, batch: &BatchKey, position: u64, is_pending: &dyn Fn() -> bool) -> bool {
        let is_in_no_object = || self.needs(batch, position) || is_pending();
        // All of a day can be in the store before all of it is counted.
        position >= self.calls.tallied_through()
            || is_in_no_object() && !self.is_settled(&batch.source, batch.day)
    }

    /// Records that nobody reads a range. Records that follow each other are one range, so that a log into which
    /// others write costs no look for each of theirs.
    fn takes_unread(&mut self, range: Range) {
        // To the end of its record, and on from the beginning of the next one.
        let follows = |last: u64| {
            let offset = offset_of(last);
            last == position(offset, FRAMES_MAX as u64) && range.first == position(offset + 1, 1)
        };
        match self.unread.last_mut() {
            Some(known) if follows(known.last) => known.last = range.last,
            _ => self.unread.push(range),
        }
    }

    fn covers(&mut self, covered: Covered) {
        // An owner that still reads what an earlier one has read covers less than that one did.
        self.covered = self.covered.into_iter().chain(covered.last).max_by_key(|at| at.offset);
        self.copies.extend(covered.copies);
    }

    /// The first record that any undelivered object needs, with its window. Retention must reach it.
    pub fn kept_from(&self) -> u64 {
        self.left.values().copied().fold(self.base.window_from, u64::min)
    }

    /// The first offset that the log must have reached, by the notes: they name a block before it, or a day that
    /// ended there. A log that ends before it was cut.
    pub fn reaches(&self) -> u64 {
        let covered = self.covered.map_or(0, |at| at.offset + 1);
        covered.max(self.calls.last_day_end().map_or(0, offset_of))
    }

    /// Whether a frame of a batch is neither released nor left.
    pub fn needs(&self, batch: &BatchKey, position: u64) -> bool {
        position > self.calls.released_through(batch)
    }

    /// Whether a frame of a batch is in a seal, or was.
    pub fn has_sealed(&self, batch: &BatchKey, position: u64) -> bool {
        position <= self.calls.sealed_through(batch)
    }

    /// Whether all lines of a source's day are in the store.
    pub fn is_settled(&self, source: &SourceId, day: ReceivedDay) -> bool {
        self.settled.get(&day).is_some_and(|sources| sources.contains(source))
    }

    /// Whether an owner has decided that a frame is no line: all lines of its day are in objects, and it is
    /// in none, or a note says so. A later owner cannot find that out if retention took some of what fills its windows.
    pub fn is_left_out(&self, batch: &BatchKey, position: u64) -> bool {
        let is_repeat = || {
            // Most frames are behind all that is noted.
            let known = self
                .repeats
                .get(batch)
                .filter(|known| known.last().is_some_and(|last| position <= last.last));
            known
                .is_some_and(|known| known.iter().any(|range| (range.first..=range.last).contains(&position)))
        };
        self.is_settled(&batch.source, batch.day) && !self.has_sealed(batch, position) || is_repeat()
    }

    /// Whether nobody reads a position any more.
    pub fn is_unread(&self, position: u64) -> bool {
        self.unread.iter().any(|range| (range.first..=range.last).contains(&position))
    }

    /// The notes of a snapshot of all this, after forgetting what nobody needs.
    /// Errors: it cannot be written as JSON, which no state is known to cause.
    pub fn snapshot(&mut self, keep_from: UnixMillis) -> serde_json::Result<Vec<Note>> {
        let kept_from = self.kept_from();
        self.copies = self.copies.split_off(&kept_from);
        self.unread.retain(|range| offset_of(range.last) >= kept_from);
        self.settled.retain(|day, _| !self.calls.is_over(*day, before(kept_from)));
        self.repeats.retain(|batch, _| !self.calls.is_over(batch.day, before(kept_from)));
        // A day that has not ended in the log can still get objects, however old it is: a partition may be days
        // behind. What names the object before them stays.
        let ended = self.calls.days_over_at(before(kept_from)).map_or(UnixMillis(0), ReceivedDay::end);
        self.calls.prune(keep_from.min(ended), before(kept_from), None);
        // As in a note.
        Ok(Note::snapshot(&serde_json::to_string(&self)?))
    }
}

/// Adds up notes as they are read.
#[derive(Clone, Debug, Default)]
pub struct Sum {
    state: Option<State>,
    parts: String,
    /// Bytes of notes since the last snapshot began.
    bytes: u64,
}

/// Why notes do not add up.
#[derive(Debug, thiserror::Error)]
pub enum SumError {
    /// A note or snapshot cannot be read.
    #[error(transparent)]
    Unreadable(#[from] UnreadableNote),
    /// The state has a newer version.
    #[error("a newer release wrote the notes (version {0})")]
    Newer(u32),
}

impl Sum {
    /// Takes the next committed record of the notes. Notes before the first snapshot count for nothing.
    /// Errors: [`SumError`]: the partition must stop.
    pub fn takes(&mut self, offset: u64, value: &[u8]) -> Result<Note, SumError> {
        let note = Note::decode(value)?;
        self.bytes += value.len() as u64;
        if let Note::Snapshot { part, of, text } = &note {
            if *part == 1 {
                self.parts.clear();
                self.bytes = 0;
            }
            self.parts.push_str(text);
            if part == of {
                let mut state: State = serde_json::from_str(&self.parts).map_err(UnreadableNote::from)?;
                if state.version > VERSION {
                    return Err(SumError::Newer(state.version));
                }
                // Earlier releases kept them in the order of their notes.
                for known in state.repeats.values_mut() {
                    *known = Range::merge(std::mem::take(known).into_iter());
                }
                self.state = Some(state);
                self.parts.clear();
            }
        } else if let Some(state) = &mut self.state {
            state.apply(note.clone(), offset);
        }
        Ok(note)
    }

    /// The state so far. `None` before the first snapshot.
    pub fn state(&self) -> Option<&State> {
        self.state.as_ref()
    }

    /// Bytes of notes since the last snapshot, without its first part.
    pub fn bytes_since_snapshot(&self) -> u64 {
        self.bytes
    }

    /// The state. `None` if there was no snapshot.
    pub fn into_state(self) -> Option<State> {
        self.state
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Encoded;
    use crate::object::{BucketString, Encryption, ObjectKey, S3Location, Stream};
    use crate::partition::note::TermNote;

    fn identity() -> Identity {
        Identity {
            name: "events".into(),
            group: "forebay".into(),
            log_id: "000102030405060708090a0b0c0d0e0f".into(),
            partition: 3,
            window: 10,
        }
    }

    #[test]
    fn names_follow_from_log_and_partition() {
        let of = identity();
        assert_eq!(of.transactional_id(), "events-000102030405060708090a0b0c0d0e0f-3");
        assert_eq!(of.node(), "events-3");
        let other = Identity { partition: 4, ..of.clone() };
        assert_eq!((of.spool_id().len(), of.spool_id() == other.spool_id()), (32, false));
    }

    #[test]
    fn a_snapshot_is_the_whole_state_and_replaces_another() {
        let mut state = State::new(identity());
        state.apply(
            Note::Term(TermNote { token: "a".into(), version: String::new(), host: String::new() }),
            1,
        );
        let base = Base { window_from: 4, read_from: before(7), ..Base::default() };
        state.apply(Note::Base(Box::new(base)), 2);
        state.apply(Note::Covered(Covered { last: None, copies: vec![3, 5] }), 3);
        // The first day ended before what is kept, the second one after it.
        let day = |n: i64| UnixMillis(n * crate::time::DAY_MS).day();
        for (day, end) in [(day(1), 4), (day(2), 5)] {
            state.apply(Note::Settled { source: SourceId::new("web").unwrap(), day }, 4);
            state.apply(crate::partition::days::end_at(&state, day, end).unwrap(), 4);
        }
        let mut sum = Sum::default();
        for (offset, note) in (0..).zip(State::new(identity()).snapshot(UnixMillis(0)).unwrap()) {
            sum.takes(offset, &note.encode()).unwrap();
        }
        for (offset, note) in (10..).zip(state.snapshot(UnixMillis(0)).unwrap()) {
            sum.takes(offset, &note.encode()).unwrap();
        }
        let sum = sum.into_state().unwrap();
        assert_eq!(sum, state);
        assert_eq!((sum.copies, sum.base_at), (BTreeSet::from([5]), Some(2)));
        assert_eq!(sum.settled.into_keys().collect::<Vec<_>>(), [day(2)]);
    }

    /// Each foreign record cost a look at all of them for each frame.
    #[test]
    fn records_that_nobody_reads_and_that_follow_each_other_are_one_range() {
        let mut state = State::new(identity());
        let whole =
            |offset: u64| Range { first: position(offset, 1), last: position(offset, FRAMES_MAX as u64) };
        let part = Range { first: position(9, 3), last: position(9, 3) };
        for range in [whole(3), whole(4), whole(5), whole(7), part, whole(10)] {
            state.apply(Note::Unread(range), 1);
        }
        let merged = Range { first: position(3, 1), last: position(5, FRAMES_MAX as u64) };
        assert_eq!(state.unread, [merged, whole(7), part, whole(10)]);
    }

    /// Found by seed 290630. A snapshot forgot an old day that had lost calls, although the partition had not read all of
    /// it yet. So the next object of that day did not name the object before it.
    #[test]
    fn a_day_that_has_not_ended_in_the_log_is_kept_however_old_it_is() {
        let mut state = State::new(identity());
        let batch = BatchKey {
            source: SourceId::new("web").unwrap(),
            day: UnixMillis(0).day(),
            stream: Stream::Calls,
        };
        let encoded = Encoded { first: 1, last: before(4), frames: 1, ..Encoded::default() };
        let to = S3Location::new(BucketString::parse("web").unwrap(), Encryption::SseS3);
        let seal = state.calls.seal_of(&batch, &encoded, to, ObjectKey::listed("k")).unwrap();
        state.apply(Note::Call(CallNote::Sealed(seal)), 1);
        let committed = CallNote::Committed { number: 1, applied: None, seal: None, amended: None };
        state.apply(Note::Call(committed), 1);
        let base = Base { window_from: 7, read_from: before(8), ..Base::default() };
        state.apply(Note::Base(Box::new(base)), 2);
        state.snapshot(UnixMillis(9 * crate::time::DAY_MS)).unwrap();
        assert_eq!(state.calls.released_through(&batch), before(4));
        state.apply(crate::partition::days::end_at(&state, batch.day, 6).unwrap(), 3);
        state.snapshot(UnixMillis(9 * crate::time::DAY_MS)).unwrap();
        assert_eq!(state.calls.released_through(&batch), 0);
    }

    #[test]
    fn a_newer_state_is_not_read() {
        let mut state = State { version: VERSION + 1, ..State::new(identity()) };
        let notes = state.snapshot(UnixMillis(0)).unwrap();
        assert!(matches!(Sum::default().takes(0, &notes[0].encode()), Err(SumError::Newer(_))));
    }
}
