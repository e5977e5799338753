//! How full the spool is, and what takes its space.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use super::SpoolLog;
use crate::batch::BatchKey;
use crate::log::refusals::{Cause, Division, Flow};
use crate::log::{Capacity, NOTE_BYTES};
use crate::object::PutLocation;
use crate::sources::SourceId;
use crate::spool::share::Space;
use crate::spool::shared::lock;
use crate::words::count::percent_of;

/// Shares are calculated from at least this part of the cap, in per cent: a very small spool has little space
/// beside the part that calls never get.
pub(crate) const CALLS_PERCENT_MIN: u64 = 25;

impl Capacity for SpoolLog {
    fn pinning(&self, bytes: u64, sealed_are_stuck: bool) -> Vec<BatchKey> {
        lock(&self.shared.index).pinning(bytes, sealed_are_stuck)
    }

    fn bytes_left(&self) -> u64 {
        self.shared.capped.measure()
    }

    fn disk_is_full(&self) {
        self.shared.disk_full.store(true, Ordering::Release);
        self.shared.wake_housekeeper();
    }

    fn divide(
        &self,
        flows: &[Flow<PutLocation>],
        failing: &BTreeMap<PutLocation, Cause>,
    ) -> Division<PutLocation> {
        (self.shared.options.refusals)(self.space(), flows, failing, &self.refused_sources())
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
}

impl SpoolLog {
    /// The space that the cap leaves for calls, and how much of it they use.
    pub(in crate::spool) fn space(&self) -> Space {
        let (usage, capped) = (self.shared.usage(), &self.shared.capped);
        let segments = lock(&self.shared.index).segment_bytes();
        // The manifest grows in steps, so the space that its notes will take is counted in advance.
        let notes = (self.shared.state().calls.seals.len() as u64).saturating_mul(NOTE_BYTES);
        let files_of_calls = [segments, usage.parked, capped.staged(), capped.manifests().min(notes)];
        let others = files_of_calls.into_iter().fold(usage.used, u64::saturating_sub);
        let others = others.saturating_add(self.shared.wanted_for_segment());
        let cap = usage.max.saturating_sub(others).max(percent_of(usage.max, CALLS_PERCENT_MIN));
        Space { cap, segments, parked: usage.parked.saturating_add(notes) }
    }
}
