//! The gauges of the spool and of what waits in it.

use std::time::Duration;

use super::shared::Shared;

/// Brings the gauges up to date.
pub(super) fn refresh(shared: &Shared) {
    let (log, metrics) = (&shared.deps.log, &shared.deps.metrics);
    let usage = log.usage();
    let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    metrics.spool_bytes.set(gauge(usage.used));
    metrics.spool_max_bytes.set(gauge(usage.max));
    metrics.parked_bytes.set(gauge(usage.parked));
    metrics.open_batches.set(i64::try_from(usage.batches).unwrap_or(i64::MAX));
    let now = shared.deps.clock.wall();
    let oldest = log.oldest_undelivered().map_or(Duration::ZERO, |at| now.since(at));
    metrics.oldest_undelivered_seconds.set(oldest.as_secs_f64());
}
