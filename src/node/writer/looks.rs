//! What the thread of a partition looks at from time to time, while a term lasts.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::partition::Place;
use crate::delivery::Delivery;
use crate::kafka::owner::Wanted;
use crate::kafka::serve::Served;
use crate::lock::lock;
use crate::log::Accounts as _;
use crate::metrics::kafka::{PartitionLabel, WriterMetrics};
use crate::sources::SourceId;
use crate::time::Clock;

/// A takeover: everything is to be read that the log had when the term began.
pub(super) struct Takeover {
    /// When it began, on the monotonic clock.
    pub(super) since: Duration,
    /// The first position that the log did not have then.
    pub(super) until: u64,
}

impl Takeover {
    /// Notes how long it took, once it is over.
    pub(super) fn look(&self, served: &Served, place: &Place, clock: &Arc<dyn Clock>) {
        let mut took = lock(&place.takeover);
        if took.is_none() && served.read_before() >= self.until {
            *took = Some(clock.monotonic().saturating_sub(self.since));
        }
    }
}

/// Counts of a term, each of which begins at zero, added to those of the process, which only grow.
pub(super) struct Counted<'c> {
    place: &'c Place,
    metrics: &'c WriterMetrics,
    label: PartitionLabel,
    /// Early cuts, second copies and late frames that are added already.
    added: Cell<[u64; 3]>,
}

impl<'c> Counted<'c> {
    pub(super) fn new(place: &'c Place, metrics: &'c WriterMetrics, label: PartitionLabel) -> Self {
        Self { place, metrics, label, added: Cell::default() }
    }

    /// Adds what is new.
    pub(super) fn look(&self, served: &Served, delivery: &Delivery) {
        let progress = served.progress();
        let now = [delivery.progress().cut_early(), progress.copies, progress.late];
        let before = self.added.replace(now);
        let counters = [&self.metrics.cut_early, &self.metrics.second_copies, &self.metrics.late];
        for ((counter, now), before) in counters.into_iter().zip(now).zip(before) {
            counter.get_or_create(&self.label).inc_by(now.saturating_sub(before));
        }
        let [now, ..] = now;
        let [before, ..] = before;
        self.place.cut_early.fetch_add(now.saturating_sub(before), Ordering::AcqRel);
    }
}

/// Tells the delivery of a term which sources are not configured any more: what waits of them is due at once.
pub(super) struct Removed<'r> {
    wanted: std::cell::RefCell<Wanted>,
    delivery: &'r Delivery,
    /// Whether it was told once.
    told: Cell<bool>,
}

impl<'r> Removed<'r> {
    pub(super) fn new(wanted: Wanted, delivery: &'r Delivery) -> Self {
        Self { wanted: wanted.into(), delivery, told: Cell::new(false) }
    }

    /// Tells it at first, and at each change of the configuration.
    pub(super) fn look(&self, served: &Served) {
        let mut wanted = self.wanted.borrow_mut();
        if self.told.replace(true) && !wanted.has_changed().unwrap_or(false) {
            return;
        }
        let configured = Arc::clone(&wanted.borrow_and_update());
        let removed: BTreeSet<SourceId> =
            served.log.known_sources(&|source| !configured.contains_key(source));
        self.delivery.set_removed(removed);
    }
}
