//! What undelivered calls hold of the spool, for whom, and who is refused for it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use super::outlet::Outlet;
use super::shared::{lock, percent_of};
use crate::batch::BatchKey;
use crate::object::Destination;
use crate::sources::SourceId;

/// What a line takes in a segment beyond its own bytes: the frame's header, the source id, its part of a block and an index.
pub const FRAME_BYTES: u64 = 80;

/// What a pending object takes beyond its calls, in bytes: the manifest notes it twice, leaves as much room after it, and its
/// reserve is as long.
pub const NOTE_BYTES: u64 = 5 * 1_024;

/// What is held for somebody, in bytes of the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Parked objects, and the notes of all sealed ones.
    pub parked: u64,
    /// Frames in segments, sealed or not.
    pub frames: u64,
}

impl Held {
    /// Lines of so many bytes, in segments.
    pub fn of_lines(lines: u64, bytes: u64) -> Self {
        Self { parked: 0, frames: bytes.saturating_add(lines.saturating_mul(FRAME_BYTES)) }
    }

    /// All of it.
    pub fn bytes(self) -> u64 {
        self.parked.saturating_add(self.frames)
    }

    /// Adds what is held elsewhere.
    pub fn add(&mut self, other: Self) {
        self.parked = self.parked.saturating_add(other.parked);
        self.frames = self.frames.saturating_add(other.frames);
    }
}

/// How full the spool is, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// Its cap, without what is there whether calls wait or not (the index of what was seen, the manifest of an empty spool),
    /// and without what must be left for the next segment.
    pub cap: u64,
    /// Segments in use.
    pub segments: u64,
    /// Parked objects, and the notes of all sealed ones.
    pub parked: u64,
}

/// Per cent of the cap that shares are counted of at least: on a very small spool little is left beside what calls never get.
pub const CALLS_PERCENT_MIN: u64 = 25;

impl Outlet {
    /// What sealed objects hold that are not known to be in the store, by source and the destination noted in their seals.
    pub fn held(&self) -> Vec<(SourceId, Destination, Held)> {
        let state = self.shared.state();
        let mut held: BTreeMap<(&SourceId, &Destination), Held> = BTreeMap::new();
        for pending in state.seals.values() {
            let seal = &pending.seal;
            held.entry((&seal.batch.source, &seal.destination)).or_default().add(match pending.parked {
                Some(parked) => Held { parked: parked.len.saturating_add(NOTE_BYTES), frames: 0 },
                None => Held { parked: NOTE_BYTES, ..Held::of_lines(seal.frames, seal.bytes) },
            });
        }
        held.into_iter().map(|((source, to), held)| (source.clone(), to.clone(), held)).collect()
    }

    /// What the spool's cap leaves for calls, and what they take of it.
    pub fn space(&self) -> Space {
        let (usage, capped) = (self.usage(), &self.shared.capped);
        let segments = lock(&self.shared.index).segment_bytes();
        // The manifest grows by leaps: what its notes will take is taken already.
        let notes = (self.shared.state().seals.len() as u64).saturating_mul(NOTE_BYTES);
        let files_of_calls = [segments, usage.parked, capped.staged(), capped.manifests().min(notes)];
        let others = files_of_calls.into_iter().fold(usage.used, u64::saturating_sub);
        let others = others.saturating_add(self.shared.wanted_for_segment());
        let cap = usage.max.saturating_sub(others).max(percent_of(usage.max, CALLS_PERCENT_MIN));
        Space { cap, segments, parked: usage.parked.saturating_add(notes) }
    }

    /// The batches with unsealed frames in the oldest closed segment that has some, whether the spool is under pressure or
    /// not.
    pub fn pinning_oldest(&self) -> Vec<BatchKey> {
        lock(&self.shared.index).pinning(1, true)
    }

    /// From now on only these sources are refused for what waits for their destinations.
    pub fn refuse(&self, sources: BTreeSet<SourceId>) {
        let mut refused = lock(&self.shared.full_sources);
        let any = !sources.is_empty();
        *refused = sources;
        // With the lock held: who sees a source refused finds it in the list.
        self.shared.any_full_source.store(any, Ordering::Release);
    }

    /// The sources that are refused for what waits for their destinations.
    pub fn refused_sources(&self) -> BTreeSet<SourceId> {
        lock(&self.shared.full_sources).clone()
    }

    /// Requests that were refused since the start because the spool had no room for anybody.
    pub fn refused_for_space(&self) -> u64 {
        self.shared.refused_for_space.load(Ordering::Acquire)
    }
}
