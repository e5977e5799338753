//! The space that undelivered calls take.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use crate::batch::BatchKey;
use crate::disk::Disk;
use crate::object::Destination;
use crate::sources::SourceId;

/// How full the log is, which batches to deliver to free space, and which sources to refuse.
pub trait Capacity {
    /// How much space is used.
    fn usage(&self) -> Usage;

    /// How many more bytes the log may take.
    fn room(&self) -> u64;

    /// How long the log lasts at `bytes_per_second` of lines without deliveries; `None` if the rate is 0 or
    /// the log is full.
    fn time_left(&self, bytes_per_second: f64) -> Option<Duration>;

    /// Whether all appends are refused for lack of space.
    fn is_full(&self) -> bool;

    /// Reports that a file found no space. Batches that free space then become due.
    fn disk_is_full(&self);

    /// Whether space is needed: sealed objects should be parked.
    fn is_under_pressure(&self) -> bool;

    /// Whether the remaining space may be only enough for the objects of one more segment, staged and parked.
    /// Segments are then emptied one by one, because objects that free no segment would use up the rest.
    fn is_tight(&self) -> bool;

    /// [`is_tight`](Self::is_tight), and the remaining space may be too small for two segments' worth.
    fn is_too_tight_for_two(&self) -> bool;

    /// The batches to deliver so that enough segments are released to end the pressure, oldest first. Empty
    /// without pressure.
    fn under_pressure(&self) -> Vec<BatchKey>;

    /// The batches with unsealed frames in the oldest closed segment that has any, whether or not there is
    /// pressure.
    fn pinning_oldest(&self) -> Vec<BatchKey>;

    /// The batches with unsealed frames in the oldest closed segment; empty if all its frames are sealed.
    fn pinning_oldest_unsealed(&self) -> Vec<BatchKey>;

    /// The space that pending objects take, by source and the destination recorded in their seals.
    fn held(&self) -> Vec<(SourceId, Destination, Held)>;

    /// The space that the cap leaves for calls, and how much of it they use.
    fn space(&self) -> Space;

    /// Refuses exactly these sources from now on, because too much waits for their destinations.
    fn refuse(&self, sources: BTreeSet<SourceId>);

    /// The sources that are refused because too much waits for their destinations.
    fn refused_sources(&self) -> BTreeSet<SourceId>;

    /// Requests refused since the start because there was no space for any source.
    fn refused_for_space(&self) -> u64;

    /// The disk for staging objects and reading parked ones.
    fn disk(&self) -> &Arc<dyn Disk>;

    /// The number of bytes of objects staged in memory. Parking them would take as much space.
    fn staged_in_memory(&self) -> Arc<AtomicUsize>;
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
}

impl Usage {
    /// Whether `used` has reached `percent` of the cap.
    pub fn reaches(&self, percent: u64) -> bool {
        self.used.saturating_mul(100) >= self.max.saturating_mul(percent)
    }

    /// How many bytes to free to end the pressure; 0 without pressure. Parked objects cause no pressure,
    /// because delivering from segments does not remove them.
    pub fn excess(&self) -> u64 {
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
/// space after it, and the reserve is as long as the manifest.
pub const NOTE_BYTES: u64 = 5 * 1_024;

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

/// The space of the spool, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// The cap, less what the spool takes even if no call waits (fingerprints, the manifest of an empty
    /// spool), and less what must stay free for the next segment.
    pub cap: u64,
    /// Segments in use.
    pub segments: u64,
    /// Parked objects, and the notes of all sealed ones.
    pub parked: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pressure_counts_only_the_space_that_parked_objects_leave() {
        let check = |used: u64, parked: u64, excess: u64| {
            let usage = Usage { used, max: 1_000, parked, segments: 0 };
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
