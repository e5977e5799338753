//! How full the spool is, and what takes its space.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::SpoolLog;
use crate::batch::BatchKey;
use crate::disk::Disk;
use crate::log::{Capacity, Held, NOTE_BYTES, Space, Usage};
use crate::object::Destination;
use crate::sources::SourceId;
use crate::spool::options::full_mark;
use crate::spool::shared::lock;
use crate::words::count::percent_of;

/// If less than this many segments of space is left, the spool is emptied segment by segment. This is one
/// segment more than is kept free for objects.
const TIGHT_SEGMENTS: u64 = 4;
/// Shares are calculated from at least this part of the cap, in per cent: a very small spool has little space
/// beside the part that calls never get.
pub(crate) const CALLS_PERCENT_MIN: u64 = 25;

impl Capacity for SpoolLog {
    fn under_pressure(&self) -> Vec<BatchKey> {
        match self.shared.pressure() {
            0 => Vec::new(),
            _ if self.is_tight() => self.pinning_oldest(),
            bytes => lock(&self.shared.index).pinning(bytes, self.is_disk_full()),
        }
    }

    fn is_tight(&self) -> bool {
        self.is_under_pressure() && self.room() < TIGHT_SEGMENTS * self.shared.segment_bytes
    }

    fn is_too_tight_for_two(&self) -> bool {
        self.is_tight() && self.room() < 2 * self.shared.segment_bytes
    }

    fn pinning_oldest_unsealed(&self) -> Vec<BatchKey> {
        lock(&self.shared.index).pinning(1, false)
    }

    fn is_under_pressure(&self) -> bool {
        self.shared.pressure() > 0
    }

    fn room(&self) -> u64 {
        self.shared.capped.measure()
    }

    fn disk_is_full(&self) {
        self.shared.disk_full.store(true, Ordering::Release);
        self.shared.wake_housekeeper();
    }

    fn staged_in_memory(&self) -> Arc<AtomicUsize> {
        Arc::clone(&self.shared.staged_in_memory)
    }

    fn disk(&self) -> &Arc<dyn Disk> {
        &self.shared.disk
    }

    fn usage(&self) -> Usage {
        self.shared.usage()
    }

    fn is_full(&self) -> bool {
        self.shared.full.load(Ordering::Acquire)
    }

    fn time_left(&self, bytes_per_second: f64) -> Option<Duration> {
        if self.is_full() {
            return None;
        }
        let usage = self.usage();
        // If the disk is the limit, the spool is full only when the disk is.
        let is_disk = self.shared.capped.is_smaller_than_configured();
        let full = if is_disk { usage.max } else { full_mark(usage.max) };
        let left = full.saturating_sub(usage.used);
        #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
        (bytes_per_second > 0.0)
            .then(|| Duration::try_from_secs_f64(left as f64 / bytes_per_second).unwrap_or(Duration::MAX))
    }

    fn held(&self) -> Vec<(SourceId, Destination, Held)> {
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

    fn space(&self) -> Space {
        let (usage, capped) = (self.usage(), &self.shared.capped);
        let segments = lock(&self.shared.index).segment_bytes();
        // The manifest grows in steps, so the space that its notes will take is counted in advance.
        let notes = (self.shared.state().seals.len() as u64).saturating_mul(NOTE_BYTES);
        let files_of_calls = [segments, usage.parked, capped.staged(), capped.manifests().min(notes)];
        let others = files_of_calls.into_iter().fold(usage.used, u64::saturating_sub);
        let others = others.saturating_add(self.shared.wanted_for_segment());
        let cap = usage.max.saturating_sub(others).max(percent_of(usage.max, CALLS_PERCENT_MIN));
        Space { cap, segments, parked: usage.parked.saturating_add(notes) }
    }

    fn pinning_oldest(&self) -> Vec<BatchKey> {
        lock(&self.shared.index).pinning(1, true)
    }

    fn refuse(&self, sources: BTreeSet<SourceId>) {
        let mut refused = lock(&self.shared.full_sources);
        let any = !sources.is_empty();
        *refused = sources;
        // Set while the lock is held, so that a reader of the flag finds the sources in the list.
        self.shared.any_full_source.store(any, Ordering::Release);
    }

    fn refused_sources(&self) -> BTreeSet<SourceId> {
        lock(&self.shared.full_sources).clone()
    }

    fn refused_for_space(&self) -> u64 {
        self.shared.refused_for_space.load(Ordering::Acquire)
    }
}

impl SpoolLog {
    /// Whether the disk has no space for another segment.
    fn is_disk_full(&self) -> bool {
        self.shared.disk_full.load(Ordering::Acquire)
    }
}
