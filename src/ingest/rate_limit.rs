//! Limits how fast each source may send: one token bucket per source, off by default.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use crate::lock::lock;
use crate::sources::SourceId;

/// How many seconds' worth of calls a source may send at once after a pause.
const BURST_SECONDS: f64 = 2.0;
/// Number of buckets kept. A dropped bucket starts full again.
const BUCKETS_MAX: usize = 20_000;

/// One source's bucket: the calls that it may send now. A negative level is a debt.
#[derive(Clone, Copy, Debug, PartialEq)]
struct TokenBucket {
    level: f64,
    at: Duration,
}

impl TokenBucket {
    fn full(rate: f64, at: Duration) -> Self {
        Self { level: rate * BURST_SECONDS, at }
    }

    /// Takes `calls` if the bucket is not in debt. A request larger than the bucket is accepted once and
    /// leaves a debt. Otherwise returns the time until the debt is paid.
    fn take(&mut self, calls: u32, rate: f64, now: Duration) -> Result<(), Duration> {
        let since = now.saturating_sub(self.at).as_secs_f64();
        self.level = (self.level + since * rate).min(rate * BURST_SECONDS);
        self.at = now;
        if self.level < 0.0 {
            return Err(Duration::try_from_secs_f64(-self.level / rate).unwrap_or(Duration::MAX));
        }
        self.level -= f64::from(calls);
        Ok(())
    }
}

/// All sources' buckets.
#[derive(Debug)]
pub(super) struct RateLimit {
    rate: f64,
    buckets: Mutex<HashMap<SourceId, TokenBucket>>,
}

impl RateLimit {
    /// Allows `calls_per_second` to each source.
    pub(super) fn new(calls_per_second: u32) -> Self {
        Self { rate: f64::from(calls_per_second.max(1)), buckets: Mutex::default() }
    }

    /// Forgets the bucket of a source.
    pub(super) fn forget(&self, source: &SourceId) {
        lock(&self.buckets).remove(source);
    }

    /// Takes `calls` of a source from its bucket. Errors: how long the source should wait.
    pub(super) fn take(&self, source: &SourceId, calls: u32, now: Duration) -> Result<(), Duration> {
        let mut buckets = lock(&self.buckets);
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(source) {
            buckets.clear();
        }
        let full = || TokenBucket::full(self.rate, now);
        buckets.entry(source.clone()).or_insert_with(full).take(calls, self.rate, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_may_burst_then_keeps_its_rate_without_affecting_others() {
        let limit = RateLimit::new(10);
        let (web, ios) = (SourceId::new("web").unwrap(), SourceId::new("ios").unwrap());
        let at = Duration::from_secs;
        assert_eq!(
            limit.take(&web, 50, at(100)),
            Ok(()),
            "a request larger than the bucket is accepted once"
        );
        assert_eq!(limit.take(&web, 1, at(100)), Err(at(3)));
        assert_eq!(limit.take(&ios, 1, at(100)), Ok(()));
        assert_eq!(limit.take(&web, 1, at(102)), Err(at(1)));
        assert_eq!(limit.take(&web, 1, at(103)), Ok(()));
        assert_eq!(
            limit.take(&web, 20, at(10_000)),
            Ok(()),
            "a pause fills the bucket, but not beyond its capacity"
        );
        assert_eq!(limit.take(&web, 1, at(10_000)), Ok(()));
        assert!(limit.take(&web, 1, at(10_000)).is_err());
    }
}
