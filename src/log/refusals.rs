//! Who is refused because puts fail, and who must leave the spool. Delivery says what fails; the log decides
//! by the rule that it was given.
//!
//! A *flow* is what one source sends to one bucket. A *party* is what fails as a unit: a bucket that accepts
//! no objects at all, or a single source whose objects a bucket refuses.

use std::collections::{BTreeMap, BTreeSet};

use super::seals::PendingSeal;
use crate::sources::SourceId;

/// Why a put failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The store refused the request, perhaps for this source alone.
    Refused,
    /// There was no answer, or an answer that does not depend on the source.
    Unreachable,
}

/// The state of a source at a bucket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowState {
    /// The source's puts fail.
    Failing,
    /// The source sends calls, and its puts are not known to fail.
    Healthy,
    /// The source has sent nothing for long.
    Silent,
}

/// What one source sends to one bucket.
#[derive(Clone, Debug)]
pub struct Flow<W> {
    /// The source.
    pub source: SourceId,
    /// The bucket.
    pub location: W,
    /// Whether new calls of the source go there.
    pub current: bool,
    /// The source's state at the bucket.
    pub standing: FlowState,
    /// The space of the spool that the flow holds.
    pub held: Held,
}

/// What fails together: a bucket with all its sources, or one source alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Party<W> {
    /// A bucket that accepts no objects.
    Location(W),
    /// A source whose objects a bucket refuses, while it accepts those of other sources.
    Source(SourceId, W),
}

/// The parties, what each may hold, and what follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Division<W> {
    /// Bytes that each party may hold. `None` if only the marks of the whole spool count.
    pub allowance: Option<u64>,
    /// What each party holds.
    pub parties: BTreeMap<Party<W>, Held>,
    /// The sources whose calls are refused, each with the party that is the reason.
    pub refused: BTreeMap<SourceId, Party<W>>,
    /// Parties whose batches are sealed, and whose objects are parked, at once.
    pub relieved: BTreeSet<Party<W>>,
    /// Whether every party leaves the oldest segments.
    pub make_room: bool,
}

impl<W> Default for Division<W> {
    fn default() -> Self {
        Self {
            allowance: None,
            parties: BTreeMap::new(),
            refused: BTreeMap::new(),
            relieved: BTreeSet::new(),
            make_room: false,
        }
    }
}

impl<W: Ord + Clone> Division<W> {
    /// The party that a flow belongs to, if it fails.
    pub fn party(&self, source: &SourceId, location: &W) -> Option<Party<W>> {
        let bucket = Party::Location(location.clone());
        if self.parties.contains_key(&bucket) {
            return Some(bucket);
        }
        let alone = Party::Source(source.clone(), location.clone());
        self.parties.contains_key(&alone).then_some(alone)
    }
}

/// Bytes that a line takes in a segment besides its own: frame header, source id, and its share of a block
/// and an index.
pub const FRAME_BYTES: u64 = 80;
/// Bytes that a pending object takes besides its calls: the manifest stores its note twice and keeps as much
/// space after it, and the reserve is as long as the manifest. A note has 600 to 1,000 bytes.
pub const NOTE_BYTES: u64 = 8 * 1_024;

/// Space held by pending calls, in bytes of the spool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    /// Parked objects, and the notes of all sealed ones.
    pub parked: u64,
    /// Frames in segments, sealed or not.
    pub frames: u64,
}

impl Held {
    /// Lines of this total length, in segments.
    pub fn of_lines(lines: u64, bytes: u64) -> Self {
        Self { parked: 0, frames: bytes.saturating_add(lines.saturating_mul(FRAME_BYTES)) }
    }

    /// What a sealed object takes that is not known to be in the store.
    pub fn of_pending(pending: &PendingSeal) -> Self {
        match pending.parked {
            Some(parked) => Self { parked: parked.len.saturating_add(NOTE_BYTES), frames: 0 },
            None => Self { parked: NOTE_BYTES, ..Self::of_lines(pending.seal.frames, pending.seal.bytes) },
        }
    }

    /// The sum.
    pub fn bytes(self) -> u64 {
        self.parked.saturating_add(self.frames)
    }

    /// Adds what is held elsewhere.
    pub fn add(&mut self, other: Self) {
        self.parked = self.parked.saturating_add(other.parked);
        self.frames = self.frames.saturating_add(other.frames);
    }
}
