//! The space that undelivered calls take.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::refusals::{Cause, Division, Flow};
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
    /// The length of a new segment, the longest of several logs.
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
    /// Whether it is the cache of a log elsewhere: no call is ever refused because it is full.
    pub is_cache: bool,
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

    /// The space of several logs together. It is full once each of them is.
    pub fn sum(all: impl IntoIterator<Item = Self>) -> Self {
        let add = |sum: Self, one: Self| Self {
            used: sum.used.saturating_add(one.used),
            max: sum.max.saturating_add(one.max),
            parked: sum.parked.saturating_add(one.parked),
            segments: sum.segments.saturating_add(one.segments),
            segment_bytes: sum.segment_bytes.max(one.segment_bytes),
            batches: sum.batches.saturating_add(one.batches),
            full_at: sum.full_at.saturating_add(one.full_at),
            is_full: sum.is_full && one.is_full,
            disk_is_full: sum.disk_is_full || one.disk_is_full,
            refused: sum.refused.saturating_add(one.refused),
            is_cache: sum.is_cache && one.is_cache,
        };
        all.into_iter().reduce(add).unwrap_or_default()
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
/// The percentage of the cap from which rows of imports wait. More than [`PRESSURE_PERCENT`], so that deliveries make room
/// for them, and less than [`FULL_PERCENT`], so that calls find room while they wait.
pub const ROWS_PERCENT: u64 = 85;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn several_logs_are_full_once_each_of_them_is() {
        let usage = |used, full: bool, disk_is_full| Usage {
            used,
            max: 1_000,
            full_at: 950,
            batches: 2,
            segment_bytes: used,
            is_full: full,
            disk_is_full,
            ..Usage::default()
        };
        let sum = Usage::sum([usage(960, true, false), usage(100, false, true)]);
        let expected = Usage {
            used: 1_060,
            max: 2_000,
            full_at: 1_900,
            batches: 4,
            segment_bytes: 960,
            disk_is_full: true,
            ..Usage::default()
        };
        assert_eq!(sum, expected);
        assert!(Usage::sum([usage(960, true, false), usage(950, true, false)]).is_full);
        assert_eq!(Usage::sum([usage(7, true, true)]), usage(7, true, true));
        assert_eq!(Usage::sum([]), Usage::default());
    }

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
