//! The logs that are delivered in this process, and the gauges that add up over them.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::lock::lock;
use crate::log::Usage;
use crate::metrics::Metrics;
use crate::time::UnixMillis;

/// One delivery of one log. A log that begins again gets another number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LogNumber(u64);

/// What gauges show of one log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Reading {
    pub(super) usage: Usage,
    pub(super) oldest_undelivered: Option<UnixMillis>,
    /// Differences between the two sides of its ledger.
    pub(super) differences: usize,
}

impl Reading {
    fn sum(all: impl Iterator<Item = Self> + Clone) -> Self {
        Self {
            usage: Usage::sum(all.clone().map(|one| one.usage)),
            oldest_undelivered: all.clone().filter_map(|one| one.oldest_undelivered).min(),
            differences: all.map(|one| one.differences).sum(),
        }
    }
}

/// Every log whose delivery has not ended.
#[derive(Debug, Default)]
pub(super) struct Logs(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    readings: BTreeMap<LogNumber, Reading>,
    last: LogNumber,
}

impl Logs {
    /// Adds a log.
    pub(super) fn begin(&self) -> LogNumber {
        let mut known = lock(&self.0);
        known.last = LogNumber(known.last.0 + 1);
        let log = known.last;
        known.readings.insert(log, Reading::default());
        log
    }

    /// Changes what is read of a log, and shows the sum over all. Does nothing for a log that has ended.
    pub(super) fn read(
        &self,
        log: LogNumber,
        (metrics, now): (&Metrics, UnixMillis),
        read: impl FnOnce(&mut Reading),
    ) {
        // Locked until the gauges are set, so that they show the newest sum.
        let mut known = lock(&self.0);
        if let Some(reading) = known.readings.get_mut(&log) {
            read(reading);
            show(&known, metrics, now);
        }
    }

    /// Removes a log whose delivery has ended, also from the gauges.
    pub(super) fn end(&self, log: LogNumber, (metrics, now): (&Metrics, UnixMillis)) {
        let mut known = lock(&self.0);
        known.readings.remove(&log);
        show(&known, metrics, now);
    }
}

fn show(known: &Known, metrics: &Metrics, now: UnixMillis) {
    let Reading { usage, oldest_undelivered, differences } = Reading::sum(known.readings.values().copied());
    let gauge = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    // Who is told that a spool fills must not be told of a cache, which always does.
    let (used, max) = if usage.is_cache { (0, 0) } else { (usage.used, usage.max) };
    metrics.spool_bytes.set(gauge(used));
    metrics.spool_max_bytes.set(gauge(max));
    metrics.parked_bytes.set(gauge(usage.parked));
    metrics.open_batches.set(count(usage.batches));
    metrics.ledger_difference.set(count(differences));
    let oldest = oldest_undelivered.map_or(Duration::ZERO, |at| now.since(at));
    metrics.oldest_undelivered_seconds.set(oldest.as_secs_f64());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_add_up_over_the_logs_that_have_not_ended() {
        let (logs, metrics, now) = (Logs::default(), Metrics::new(), UnixMillis(50_000));
        let (one, other) = (logs.begin(), logs.begin());
        let read = |log, used, batches, oldest: i64, differences| {
            logs.read(log, (&metrics, now), |reading| {
                let usage = Usage { used, batches, ..Usage::default() };
                let oldest_undelivered = Some(UnixMillis(oldest));
                *reading = Reading { usage, oldest_undelivered, differences };
            });
        };
        let check = |used, batches, seconds: f64, differences| {
            let shown =
                (metrics.spool_bytes.get(), metrics.open_batches.get(), metrics.ledger_difference.get());
            assert_eq!(shown, (used, batches, differences));
            assert_eq!(metrics.oldest_undelivered_seconds.get().to_bits(), seconds.to_bits());
        };
        read(one, 100, 3, 40_000, 1);
        check(100, 3, 10.0, 1);
        read(other, 50, 1, 20_000, 1);
        check(150, 4, 30.0, 2);
        logs.end(other, (&metrics, now));
        check(100, 3, 10.0, 1);
        read(other, 50, 1, 20_000, 1);
        check(100, 3, 10.0, 1);
        logs.end(one, (&metrics, now));
        check(0, 0, 0.0, 0);
        let cache = Usage { used: 90, max: 100, batches: 2, is_cache: true, ..Usage::default() };
        let of_cache = Reading { usage: cache, oldest_undelivered: None, differences: 0 };
        logs.read(logs.begin(), (&metrics, now), |reading| *reading = of_cache);
        check(0, 2, 0.0, 0);
        assert_eq!(metrics.spool_max_bytes.get(), 0, "an alert about a full spool would fire");
    }
}
