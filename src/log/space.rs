//! The space that undelivered calls take.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::refusals::{Cause, Division, Flow};
use super::seals::PendingSeal;
use crate::batch::BatchKey;
use crate::object::PutLocation;
use crate::sources::SourceId;

/// How full the log is, which batches to deliver to free space, and which sources to refuse.
pub trait Capacity {
    /// How many more bytes the log may take.
    fn bytes_left(&self) -> u64;

    /// Reports that a file found no space. Batches that free space then become due.
    fn disk_is_full(&self);

    /// The batches with unsealed frames in the oldest closed segments that together have `bytes`. A segment
    /// all of whose frames are sealed counts among them, unless `sealed_are_stuck`: its objects may then be
    /// unable to leave.
    fn pinning(&self, bytes: u64, sealed_are_stuck: bool) -> Vec<BatchKey>;

    /// Who is to be refused, and who must leave, by the rule that the log was given. `failing` lists the
    /// locations that accept nothing from any source. Changes nothing.
    fn divide(
        &self,
        flows: &[Flow<PutLocation>],
        failing: &BTreeMap<PutLocation, Cause>,
    ) -> Division<PutLocation>;

    /// Refuses exactly these sources from now on, because too much waits for their buckets.
    fn refuse(&self, sources: BTreeSet<SourceId>);

    /// The sources that are refused because too much waits for their buckets.
    fn refused_sources(&self) -> BTreeSet<SourceId>;
}

/// How much space a spool uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Bytes of all files in the spool's directory.
    pub used: u64,
    /// The cap in force: the configured one, or the disk's capacity if that is less.
    pub max: u64,
    /// The bytes of parked objects among `used`.
    pub parked: u64,
    /// Segments in use.
    pub segments: usize,
    /// The length of a new segment.
    pub segment_bytes: u64,
    /// Batches with undelivered frames.
    pub batches: usize,
    /// `used` at which all appends are refused.
    pub full_at: u64,
    /// Whether all appends are refused for lack of space.
    pub is_full: bool,
    /// Whether a file found no space, and there is still not enough for a segment.
    pub disk_is_full: bool,
    /// Requests refused since the start because there was no space for any source.
    pub refused: u64,
}

impl Usage {
    /// How long the log lasts at `bytes_per_second` of lines without deliveries; `None` if the rate is 0 or
    /// the log is full.
    pub fn time_left(&self, bytes_per_second: f64) -> Option<Duration> {
        let left = self.full_at.saturating_sub(self.used);
        #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
        (!self.is_full && bytes_per_second > 0.0)
            .then(|| Duration::try_from_secs_f64(left as f64 / bytes_per_second).unwrap_or(Duration::MAX))
    }

    /// How many bytes of segments to free to end the pressure; 0 without pressure. A full disk is pressure.
    pub fn bytes_to_free(&self) -> u64 {
        let excess = self.excess();
        if self.disk_is_full { excess.max(1) } else { excess }
    }

    /// Whether `used` has reached `percent` of the cap.
    pub fn reaches(&self, percent: u64) -> bool {
        self.used.saturating_mul(100) >= self.max.saturating_mul(percent)
    }

    /// The bytes above [`PRESSURE_PERCENT`]. Parked objects cause no pressure, because delivering from
    /// segments does not remove them.
    fn excess(&self) -> u64 {
        let (used, max) = (self.used.saturating_sub(self.parked), self.max.saturating_sub(self.parked));
        used.saturating_sub(max / 100 * PRESSURE_PERCENT)
    }
}

/// Per cent of the cap, less parked objects, above which the batches that hold the oldest segments become
/// due.
pub const PRESSURE_PERCENT: u64 = 70;
/// Per cent of the cap at which every append is refused.
pub const FULL_PERCENT: u64 = 95;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_counts_only_the_space_that_parked_objects_leave() {
        let check = |used: u64, parked: u64, excess: u64| {
            let usage = Usage { used, max: 1_000, parked, ..Usage::default() };
            assert_eq!(usage.excess(), excess, "{used} {parked}");
        };
        check(700, 0, 0);
        check(701, 0, 1);
        check(950, 0, 250);
        // Parked objects alone cause no pressure.
        check(800, 800, 0);
        check(840, 800, 0);
        check(941, 800, 1);
    }
}
