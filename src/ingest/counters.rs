//! Each source's counters, looked up once: making a label for every request would cost more than counting.

use std::collections::HashMap;
use std::sync::{Arc, RwLock};

use prometheus_client::metrics::counter::Counter;

use crate::call::Tally;
use crate::live::{LiveView, Sample, SeenSource};
use crate::lock::{read, write};
use crate::log::RequestFrames;
use crate::metrics::{Metrics, ReasonLabel, SourceLabel};
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// Number of sources whose counters are cached. Further sources are counted too, a little more slowly.
const READY_MAX: usize = 10_000;

/// The counters of one source.
#[derive(Debug)]
pub(super) struct SourceCounters {
    received: Counter,
    stored: Counter,
    repeated: Counter,
    /// What the live view has seen of it. `None` above its limit of sources.
    pub(super) seen: Option<Arc<SeenSource>>,
}

/// What one request adds, recorded before its frames are passed on.
#[derive(Debug)]
pub(super) struct RequestCount {
    source: SourceId,
    received_at: UnixMillis,
    /// Whether its valid items are object sets.
    sets_objects: bool,
    /// Valid items.
    pub(super) calls: u32,
    rejected: Vec<(&'static str, u32)>,
    tally: Tally,
}

impl RequestCount {
    /// Records the contents of `frames`.
    pub(super) fn of(frames: &RequestFrames, tally: Tally) -> Self {
        Self {
            source: frames.source().clone(),
            received_at: frames.received_at(),
            sets_objects: !frames.stream().is_plain(),
            calls: frames.calls(),
            rejected: frames.rejected_by_reason().map(|(reason, count)| (reason.slug(), count)).collect(),
            tally,
        }
    }

    /// Items that are not valid calls.
    pub(super) fn rejected(&self) -> u32 {
        self.rejected.iter().map(|(_, count)| *count).sum()
    }
}

/// Counts requests that were stored.
#[derive(Debug)]
pub(super) struct Counters {
    metrics: Metrics,
    live: Arc<LiveView>,
    ready: RwLock<HashMap<SourceId, Arc<SourceCounters>>>,
}

impl Counters {
    /// Counts into `metrics` and `live`.
    pub(super) fn new(metrics: Metrics, live: Arc<LiveView>) -> Self {
        Self { metrics, live, ready: RwLock::default() }
    }

    /// Counts a request whose frames are on stable storage, and shows the copies of its lines.
    pub(super) fn stored(
        &self,
        request: &RequestCount,
        source: &SourceCounters,
        repeats: u32,
        sample: Option<Sample>,
    ) {
        let new = request.calls.saturating_sub(repeats);
        self.live.stored(request.calls, request.rejected());
        if let Some(seen) = &source.seen {
            seen.received(request.received_at);
            if let Some(sample) = sample {
                self.live.show(sample, seen, repeats > 0 && new == 0);
            }
        }
        if request.sets_objects {
            self.stored_objects(request, new, repeats);
        } else {
            source.received.inc_by(u64::from(request.calls) + u64::from(request.rejected()));
            source.stored.inc_by(u64::from(new));
            if repeats > 0 {
                source.repeated.inc_by(u64::from(repeats));
            }
        }
        for (reason, count) in &request.rejected {
            let label = ReasonLabel { source: request.source.as_str().to_owned(), reason };
            self.metrics.rejected.get_or_create(&label).inc_by(u64::from(*count));
        }
        if request.tally.incomplete > 0 {
            self.metrics.incomplete.inc_by(u64::from(request.tally.incomplete));
        }
        if request.tally.surrogates_replaced > 0 {
            self.metrics.surrogates_replaced.inc_by(u64::from(request.tally.surrogates_replaced));
        }
    }

    /// Counts object sets. Rejected ones are received items of the source, as in the ledger.
    fn stored_objects(&self, request: &RequestCount, new: u32, repeats: u32) {
        let label = SourceLabel { source: request.source.as_str().to_owned() };
        let counts = [
            (&self.metrics.object_sets_received, request.calls),
            (&self.metrics.object_sets_stored, new),
            (&self.metrics.object_sets_repeated, repeats),
            (&self.metrics.received, request.rejected()),
        ];
        for (family, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            family.get_or_create(&label).inc_by(u64::from(count));
        }
    }

    /// Forgets the counters of a source that is no longer configured. Its metrics are folded elsewhere.
    pub(super) fn forget(&self, source: &SourceId) {
        write(&self.ready).remove(source);
        self.live.forget(source);
    }

    /// The counters of a source.
    pub(super) fn of_source(&self, source: &SourceId) -> Arc<SourceCounters> {
        if let Some(ready) = read(&self.ready).get(source) {
            return Arc::clone(ready);
        }
        let label = SourceLabel { source: source.as_str().to_owned() };
        let made = Arc::new(SourceCounters {
            received: self.metrics.received.get_or_create(&label).clone(),
            stored: self.metrics.stored.get_or_create(&label).clone(),
            repeated: self.metrics.repeated.get_or_create(&label).clone(),
            seen: self.live.source(source),
        });
        let mut ready = write(&self.ready);
        if ready.len() < READY_MAX {
            ready.insert(source.clone(), Arc::clone(&made));
        }
        made
    }
}
