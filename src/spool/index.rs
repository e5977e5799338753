//! Undelivered frames, by batch. No payload is kept, only counters and where the frames are.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::batch::BatchKey;
use crate::log::notes::{Ledger, OpenFrames};
use crate::log::{Difference, Seal};
use crate::planted_bugs::{PlantedBug, planted};
use crate::sources::SourceId;
use crate::spool::format::runs::{Run, Runs, Stretch};
use crate::spool::format::seen_file::Fingerprints;
use crate::spool::imports::RunningImports;
use crate::time::UnixMillis;

/// A batch that is not completely delivered.
#[derive(Clone, Debug, Default)]
pub(super) struct Batch {
    /// Its unreleased frames by segment, oldest first.
    pub stretches: VecDeque<Stretch>,
    /// Everything up to here is sealed.
    pub sealed_through: u64,
    /// Frames after `sealed_through`.
    pub open_frames: u64,
    /// Their bytes as lines.
    pub open_bytes: u64,
    /// Position of the first open frame. It may be too low between a seal and [`Index::first_open`], and is
    /// exact otherwise.
    pub first_open: u64,
    /// When the first open frame was received.
    pub first_received_at: UnixMillis,
    /// Incremented when `first_received_at` changes, so that deadlines can be kept outside the index.
    pub generation: u64,
}

impl Batch {
    /// The last position of the batch.
    pub(super) fn last(&self) -> u64 {
        self.stretches.back().map_or(0, |stretch| stretch.last)
    }
}

/// A segment with unreleased frames.
#[derive(Clone, Debug, Default)]
pub(super) struct SegmentState {
    /// Its length in bytes.
    pub len: u64,
    /// Whether it gets no more frames.
    pub closed: bool,
    /// Whether its fingerprints are on disk (or need not be).
    pub seen_kept: bool,
    /// Whether damage was found in it. It then goes to quarantine when it is released.
    pub damaged: bool,
    /// Batches with unreleased frames in it.
    pub pending: usize,
    /// First position; 0 while it is empty.
    pub first: u64,
    /// Last position; 0 while it is empty.
    pub last: u64,
    /// No line that a second reader wants is after this position. A segment of dead letters alone has none.
    pub followed_through: u64,
    /// Its fingerprints, from closing until they are on disk. `None` if they must be read from its frames.
    pub fingerprints: Option<Fingerprints>,
}

/// A run of new, durable frames of one batch.
#[derive(Clone, Copy, Debug)]
pub(super) struct Added {
    /// The run.
    pub run: Run,
    /// Bytes as lines, with their `\n`.
    pub bytes: u64,
    /// When they were received.
    pub received_at: UnixMillis,
}

/// All undelivered batches and all segments.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// Batches with unreleased frames.
    pub batches: BTreeMap<BatchKey, Batch>,
    /// Segments with frames, or open.
    pub segments: BTreeMap<u64, SegmentState>,
    /// Bytes of parked objects by source.
    pub parked: BTreeMap<SourceId, u64>,
    /// The ledger. It is part of the index so that both are read and changed under one lock.
    pub ledger: Ledger,
    /// The progress of imports.
    pub imports: RunningImports,
    /// Frames after this position are kept for the second reader.
    pub held_after: Option<u64>,
    /// The last position that is durable, also if its segment is released.
    pub durable_through: u64,
    generations: u64,
}

impl Index {
    /// Records the positions of a block, including those of frames that belong to no batch: a position
    /// outside every segment would look lost.
    pub(super) fn cover(&mut self, segment: u64, first: u64, last: u64) {
        let state = self.segments.entry(segment).or_default();
        if state.first == 0 {
            state.first = first;
        }
        state.first = state.first.min(first);
        state.last = state.last.max(last);
        self.durable_through = self.durable_through.max(last);
    }

    /// Gathers the counts and the progress of imports since the last call for the next tally. It covers every
    /// frame up to `through`.
    pub(super) fn gather(&mut self, through: u64) {
        let mut imports = self.imports.take_new();
        if planted(PlantedBug::ProgressNotTallied) {
            imports.clear();
        }
        self.ledger.gather(through, imports);
    }

    /// The differences between the ledger's two sides.
    pub(super) fn differences(&self) -> Vec<Difference> {
        self.ledger.differences(self.batches.iter().map(|(key, batch)| (key, batch.open_frames)))
    }

    /// Adds frames that are now durable.
    pub(super) fn add(&mut self, segment: u64, key: &BatchKey, added: Added) {
        let Added { run, bytes, received_at } = added;
        self.cover(segment, run.first, run.last());
        if key.stream.is_followed()
            && let Some(state) = self.segments.get_mut(&segment)
        {
            state.followed_through = state.followed_through.max(run.last());
        }
        // Nearly always the batch is known, and its key is not copied.
        let batch = match self.batches.get_mut(key) {
            Some(batch) => batch,
            // Most batches lie in one segment, and there may be very many of them.
            None => self
                .batches
                .entry(key.clone())
                .or_insert_with(|| Batch { stretches: VecDeque::with_capacity(1), ..Batch::default() }),
        };
        if batch.open_frames == 0 {
            batch.first_received_at = received_at;
            batch.first_open = run.first;
            self.generations += 1;
            batch.generation = self.generations;
        }
        batch.open_frames += u64::from(run.frames);
        batch.open_bytes += bytes;
        match batch.stretches.back_mut().filter(|stretch| stretch.segment == segment) {
            Some(stretch) => {
                stretch.last = run.last();
                stretch.frames += u64::from(run.frames);
                stretch.bytes += bytes;
                if let Runs::Open(runs) = &mut stretch.runs {
                    join(runs, run);
                }
            }
            None => {
                batch.stretches.push_back(stretch(segment, added));
                if let Some(state) = self.segments.get_mut(&segment) {
                    state.pending += 1;
                }
            }
        }
    }

    /// Adds the stretch of a segment that gets no more frames. Call it in the order of segments. Frames up to
    /// `sealed` are sealed.
    pub(super) fn restore(&mut self, key: &BatchKey, stretch: Stretch, sealed: u64) {
        let batch = self.batches.entry(key.clone()).or_insert_with(|| Batch {
            sealed_through: sealed,
            first_open: stretch.first,
            first_received_at: stretch.first_received_at,
            ..Batch::default()
        });
        if let Some(state) = self.segments.get_mut(&stretch.segment) {
            state.pending += 1;
        }
        batch.stretches.push_back(stretch);
    }

    /// Records that frames of a batch are sealed through `last`. [`Index::first_open`] then sets the first
    /// frame after them.
    pub(super) fn seal(&mut self, key: &BatchKey, last: u64, frames: u64, bytes: u64) {
        let Some(batch) = self.batches.get_mut(key) else { return };
        batch.sealed_through = last;
        batch.open_frames = batch.open_frames.saturating_sub(frames);
        batch.open_bytes = batch.open_bytes.saturating_sub(bytes);
        if batch.last() <= last {
            // Zero, because lost frames of the range were also counted as open when they were stored.
            (batch.open_frames, batch.open_bytes) = (0, 0);
        }
        batch.first_open = batch.first_open.max(last + 1);
    }

    /// Corrects the bytes of a batch that ends at `last`, unless frames were added since.
    pub(super) fn recount(&mut self, key: &BatchKey, last: u64, bytes: u64) {
        if let Some(batch) = self.batches.get_mut(key).filter(|batch| batch.last() == last) {
            batch.open_bytes = bytes;
        }
    }

    /// Releases a batch through `through` because no frame after its last seal can be read, unless frames
    /// were added since.
    pub(super) fn give_up(&mut self, key: &BatchKey, through: u64) {
        let Some(batch) = self.batches.get_mut(key).filter(|batch| batch.last() <= through) else { return };
        (batch.open_frames, batch.open_bytes) = (0, 0);
        self.release(key, through);
    }

    /// Sets the first frame after a batch's last seal, and when it was received.
    pub(super) fn first_open(&mut self, key: &BatchKey, position: u64, at: UnixMillis) {
        let Some(batch) = self.batches.get_mut(key) else { return };
        batch.first_open = position;
        batch.first_received_at = at;
        self.generations += 1;
        batch.generation = self.generations;
    }

    /// Closed segments that neither a batch nor the second reader pins.
    pub(super) fn releasable(&self) -> Vec<u64> {
        self.segments
            .iter()
            .filter(|(_, state)| state.closed && state.pending == 0 && state.seen_kept && !self.holds(state))
            .map(|(number, _)| *number)
            .collect()
    }

    /// Whether the second reader has not read all of a segment.
    fn holds(&self, state: &SegmentState) -> bool {
        self.held_after.is_some_and(|after| state.followed_through > after)
    }

    /// Closed segments that only the second reader pins, in the order of positions.
    fn held(&self) -> impl Iterator<Item = &SegmentState> {
        self.segments.values().filter(|state| state.closed && state.pending == 0 && self.holds(state))
    }

    /// Bytes of closed segments that only the second reader pins.
    pub(super) fn held_bytes(&self) -> u64 {
        self.held().map(|state| state.len).sum()
    }

    /// The last position of the oldest of these segments that together have `bytes`, or of all if they are
    /// fewer.
    pub(super) fn held_end(&self, bytes: u64) -> u64 {
        let mut rest = bytes;
        let needed = self.held().take_while(|state| {
            let is_needed = rest > 0;
            rest = rest.saturating_sub(state.len);
            is_needed
        });
        needed.last().map_or(0, |state| state.last)
    }

    /// The batches with unsealed frames in the oldest closed segments that together have `bytes`. Sealing a
    /// batch of the segment being written would free nothing.
    ///
    /// A completely sealed segment counts as being delivered, unless `sealed_are_stuck`: it may then wait for
    /// a failing bucket, and there may be no space to park its objects.
    pub(super) fn pinning(&self, bytes: u64, sealed_are_stuck: bool) -> Vec<BatchKey> {
        let mut unsealed: BTreeMap<u64, Vec<&BatchKey>> = BTreeMap::new();
        for (key, batch) in self.batches.iter().filter(|(_, batch)| batch.open_frames > 0) {
            for stretch in batch.stretches.iter().filter(|stretch| stretch.last > batch.sealed_through) {
                unsealed.entry(stretch.segment).or_default().push(key);
            }
        }
        let (mut freed, mut pinning) = (0, BTreeSet::new());
        for (number, state) in self.segments.iter().filter(|(_, state)| state.closed && state.pending > 0) {
            if freed >= bytes {
                break;
            }
            let keys = unsealed.get(number);
            if keys.is_some() || !sealed_are_stuck {
                freed += state.len;
            }
            pinning.extend(keys.into_iter().flatten().map(|key| (*key).clone()));
        }
        pinning.into_iter().collect()
    }

    /// Bytes of segments in use.
    pub(super) fn segment_bytes(&self) -> u64 {
        self.segments.values().map(|state| state.len).sum()
    }

    /// Every source with an undelivered batch.
    pub(super) fn sources(&self) -> BTreeSet<SourceId> {
        self.batches.keys().map(|key| key.source.clone()).collect()
    }
}

impl OpenFrames for Index {
    fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    fn batches(&self) -> impl Iterator<Item = (&BatchKey, u64, UnixMillis)> {
        self.batches.iter().map(|(key, batch)| (key, batch.open_frames, batch.first_received_at))
    }

    fn read_before(&self) -> u64 {
        u64::MAX
    }

    fn holds(&self, batch: &BatchKey, position: u64) -> bool {
        let spans = |stretch: &Stretch| (stretch.first..=stretch.last).contains(&position);
        self.batches.get(batch).is_some_and(|batch| batch.stretches.iter().any(spans))
    }

    fn sealed(&mut self, seal: &Seal) {
        self.seal(&seal.batch, seal.last, seal.frames, seal.bytes);
    }

    fn release(&mut self, key: &BatchKey, through: u64) {
        let Some(batch) = self.batches.get_mut(key) else { return };
        while batch.stretches.front().is_some_and(|stretch| stretch.last <= through) {
            if let Some(stretch) = batch.stretches.pop_front()
                && let Some(state) = self.segments.get_mut(&stretch.segment)
            {
                state.pending = state.pending.saturating_sub(1);
            }
        }
        if batch.stretches.is_empty() {
            self.batches.remove(key);
        }
    }

    fn settle(&mut self, key: &BatchKey) -> u64 {
        let open = self.batches.get(key).map_or(0, |batch| batch.open_frames);
        if open == 0 { self.ledger.settle(key) } else { 0 }
    }

    fn gather(&mut self) {
        self.gather(self.durable_through);
    }
}

fn stretch(segment: u64, added: Added) -> Stretch {
    Stretch {
        segment,
        first: added.run.first,
        last: added.run.last(),
        frames: u64::from(added.run.frames),
        bytes: added.bytes,
        first_received_at: added.received_at,
        runs: Runs::Open(vec![added.run]),
    }
}

/// Appends a run, or extends the last one if the new run continues it.
fn join(runs: &mut Vec<Run>, run: Run) {
    if !runs.last_mut().is_some_and(|last| last.join(&run)) {
        runs.push(run);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Stream;

    fn key(source: &str) -> BatchKey {
        BatchKey { source: SourceId::new(source).unwrap(), day: UnixMillis(0).day(), stream: Stream::Calls }
    }

    fn added(offset: u32, first: u64, frames: u32) -> Added {
        let run = Run { offset, len: frames * 10, first, frames };
        Added { run, bytes: u64::from(frames) * 8, received_at: UnixMillis(i64::try_from(first).unwrap()) }
    }

    #[test]
    fn a_segment_is_held_up_to_its_last_line_that_is_followed() {
        let dead = || BatchKey { stream: Stream::Dead(SourceId::new("crm").unwrap()), ..key("a") };
        let mut index = Index { held_after: Some(0), ..Index::default() };
        index.add(1, &key("a"), added(0, 1, 2));
        index.add(1, &dead(), added(20, 3, 2));
        index.add(2, &dead(), added(0, 5, 2));
        assert_eq!((index.segments[&1].followed_through, index.segments[&2].followed_through), (2, 0));
        for key in [key("a"), dead()] {
            index.release(&key, 6);
        }
        for state in index.segments.values_mut() {
            (state.closed, state.seen_kept) = (true, true);
        }
        assert_eq!(index.releasable(), [2]);
        index.held_after = Some(2);
        assert_eq!(index.releasable(), [1, 2]);
    }

    #[test]
    fn a_segment_is_pinned_until_all_its_batches_are_released() {
        let mut index = Index::default();
        index.add(1, &key("a"), added(0, 1, 2));
        index.add(1, &key("a"), added(20, 3, 1));
        index.add(1, &key("b"), added(30, 4, 1));
        index.add(2, &key("a"), added(0, 5, 1));
        for number in [1, 2] {
            let state = index.segments.get_mut(&number).unwrap();
            (state.closed, state.seen_kept) = (true, true);
        }
        let Runs::Open(runs) = &index.batches[&key("a")].stretches[0].runs else { panic!("open") };
        assert_eq!(runs.len(), 1, "neighbouring runs are joined");
        for number in [1, 2] {
            index.segments.get_mut(&number).unwrap().len = 100;
        }
        assert_eq!(index.pinning(1, false), [key("a"), key("b")]);
        assert_eq!(index.pinning(200, false), [key("a"), key("b")]);
        index.release(&key("a"), 2);
        assert_eq!(index.releasable(), [0_u64; 0], "a stretch is released only as a whole");
        index.release(&key("a"), 4);
        index.release(&key("b"), 4);
        assert_eq!(index.releasable(), [1]);
        assert_eq!(index.batches[&key("a")].last(), 5);
        index.release(&key("a"), 5);
        assert_eq!(index.releasable(), [1, 2]);
        assert!(index.batches.is_empty());
    }

    #[test]
    fn pressure_is_on_batches_whose_delivery_frees_a_segment() {
        let mut index = Index::default();
        for (segment, source) in [(1, "a"), (2, "b"), (3, "c")] {
            index.add(segment, &key(source), added(0, segment, 1));
            index.segments.get_mut(&segment).unwrap().len = 100;
        }
        let check = |index: &Index, bytes: u64, disk_is_full: bool, expected: &[&str]| {
            let expected: Vec<BatchKey> = expected.iter().map(|source| key(source)).collect();
            assert_eq!(index.pinning(bytes, disk_is_full), expected, "{bytes} {disk_is_full}");
        };
        check(&index, 1_000, true, &[]);
        index.segments.get_mut(&1).unwrap().closed = true;
        check(&index, 1_000, true, &["a"]);
        index.segments.get_mut(&2).unwrap().closed = true;
        check(&index, 1, false, &["a"]);
        check(&index, 101, false, &["a", "b"]);
        index.seal(&key("a"), 1, 1, 8);
        // Sealed frames are being delivered. On a full disk they may be stuck.
        check(&index, 100, false, &[]);
        check(&index, 101, false, &["b"]);
        check(&index, 1, true, &["b"]);
    }

    #[test]
    fn frames_after_a_seal_stay_open() {
        let mut index = Index::default();
        index.add(1, &key("a"), added(0, 1, 5));
        let before = index.batches[&key("a")].generation;
        index.seal(&key("a"), 3, 3, 24);
        index.first_open(&key("a"), 4, UnixMillis(4));
        let batch = &index.batches[&key("a")];
        assert_eq!((batch.open_frames, batch.open_bytes, batch.sealed_through), (2, 16, 3));
        assert_eq!(batch.first_received_at, UnixMillis(4));
        assert!(batch.generation > before);
    }
}
