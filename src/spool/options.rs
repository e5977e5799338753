//! The options of a spool, and the sizes that follow from its cap.

use std::io;
use std::time::Duration;

use crate::log::{FULL_PERCENT, NewStreams};
use crate::spool::manifest::MANIFEST_BYTES;
use crate::spool::share::{self, Rule};

/// Maximum number of fingerprints remembered. With the table they take 56 MiB, and as much again for imported
/// rows.
pub(crate) const SEEN_MAX: usize = 2 * 1_024 * 1_024;

/// A file in the spool's directory that is not the spool's: the list of deliveries, which bounds itself. It
/// does not count against the cap.
pub const DELIVERIES: &str = "deliveries.redb";

/// The options of a spool.
#[derive(Clone, Debug)]
pub struct SpoolOptions {
    /// Its cap: the maximum number of bytes in its directory. A smaller disk means a smaller cap.
    pub max_bytes: u64,
    /// Length of a segment, in bytes. Segments are shorter if the cap is below eight of them: see
    /// `segment_len`.
    pub segment_bytes: u64,
    /// How long a fingerprint is remembered.
    pub dedupe_window: Duration,
    /// Maximum number of fingerprints remembered: of calls that were sent, and as many of imported rows.
    pub dedupe_max: usize,
    /// The node id; by default the first 8 digits of the spool id.
    pub node: Option<String>,
    /// Refuse to start if damage is found, instead of reporting it and continuing.
    pub stop_on_corruption: bool,
    /// A manifest longer than this is replaced if it is also four times as long as its first note.
    pub compact_bytes: u64,
    /// Minimum length of the manifest's file and of its reserve, in bytes.
    pub manifest_bytes: u64,
    /// Frames after this position are kept for the second reader ([`Follow`](crate::log::Follow)), if there
    /// is one.
    pub hold_after: Option<u64>,
    /// Who is refused when puts fail.
    pub refusals: Rule,
    /// Which streams of objects and dead letters may begin.
    pub new_streams: NewStreams,
    /// What the segments hold.
    pub holds: Holds,
}

/// What segments hold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Holds {
    /// The only copy of what was acknowledged. Each block is synced before it counts. Frames that cannot be
    /// read are lost: their positions are named, those that no block has among them, and the segment is kept
    /// apart.
    #[default]
    OnlyCopy,
    /// A cache of another log, which numbered the frames and is read again if any of them is missing. No
    /// block is synced. A read that meets damage ends with [`CacheDamaged`] and names nothing as lost:
    /// positions that no block has need not have had a frame. It keeps no accounts and no days,
    /// and its ledger says nothing.
    Cache,
}

/// Frames of a cache cannot be read: what it was filled from must be read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("segment {segment} of the cache is damaged; its frames must be read again from the log")]
pub struct CacheDamaged {
    /// The segment's number.
    pub segment: u64,
}

impl Holds {
    /// Decides about damage in a segment. `Ok`: the frames are lost.
    /// Errors: [`CacheDamaged`], inside an error of the kind `InvalidData`.
    pub(super) fn judge(self, segment: u64) -> io::Result<()> {
        match self {
            Self::OnlyCopy => Ok(()),
            Self::Cache => Err(io::Error::new(io::ErrorKind::InvalidData, CacheDamaged { segment })),
        }
    }
}

impl Default for SpoolOptions {
    fn default() -> Self {
        Self {
            max_bytes: 20_000_000_000,
            segment_bytes: 64 * 1_024 * 1_024,
            dedupe_window: Duration::from_secs(86_400),
            dedupe_max: SEEN_MAX,
            node: None,
            stop_on_corruption: false,
            compact_bytes: 1_024 * 1_024,
            manifest_bytes: MANIFEST_BYTES,
            hold_after: None,
            refusals: share::divide,
            new_streams: NewStreams::default(),
            holds: Holds::default(),
        }
    }
}

/// Space that must stay free when a segment is made, in quarters of a segment: an object with the contents of
/// a whole segment is staged, and copied when it is parked.
const KEPT_FREE_QUARTERS: u64 = 9;
/// Number of segments that should fit under the cap.
const SEGMENTS_UNDER_CAP: u64 = 8;
/// Minimum length of segments in bytes, unless they are configured shorter: the longest block must fit.
const SEGMENT_BYTES_MIN: u64 = 8 * 1_024 * 1_024;

/// The length of new segments under a cap: the configured length, halved until eight segments fit. With
/// fewer, the open and the next segment would take most of the space.
pub(super) fn segment_len(configured: u64, cap: u64) -> u64 {
    let least = configured.min(SEGMENT_BYTES_MIN);
    let halves = std::iter::successors(Some(configured), |len| Some(len / 2));
    let mut longer = halves.take_while(|len| *len >= least);
    longer.find(|len| *len <= cap / SEGMENTS_UNDER_CAP).unwrap_or(least)
}

/// Bytes that must be free before a segment of this length is made.
pub(super) const fn wanted_for_segment(segment_bytes: u64) -> u64 {
    segment_bytes.saturating_add((segment_bytes / 4).saturating_mul(KEPT_FREE_QUARTERS))
}

/// Bytes of a spool with this cap that calls never get: its manifest, the reserve, and the space kept free
/// for a segment.
pub(crate) fn beside_calls(segment_bytes: u64, cap: u64) -> u64 {
    (2 * MANIFEST_BYTES).saturating_add(wanted_for_segment(segment_len(segment_bytes, cap)))
}

/// The number of bytes at which a spool with this cap is full.
pub(super) const fn full_mark(cap: u64) -> u64 {
    cap / 100 * FULL_PERCENT
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_shrink_until_eight_fit_under_the_cap() {
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
        // Shorter segments are for tests.
        assert_eq!(segment_len(4_096, 10_000), 4_096);
    }
}
