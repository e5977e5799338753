//! How many invocations run at once: the configured number, and fewer after the service throttles. Pure.

use std::time::Duration;

/// How often the limit grows by one after it was halved.
const GROWS_EVERY: Duration = Duration::from_secs(1);
/// Answers to invocations that ran at once come together: they halve the limit once.
const HALVES_EVERY: Duration = Duration::from_secs(1);

/// The limit of one function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    most: usize,
    limit: usize,
    /// When the limit was last changed.
    changed: Duration,
    halved: Option<Duration>,
}

impl Concurrency {
    /// A limit of `most`, but at least one.
    pub fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { most, limit: most, changed: Duration::ZERO, halved: None }
    }

    /// Sets the most at once.
    pub fn set(&mut self, most: usize) {
        let most = most.max(1);
        if self.limit == self.most || self.limit > most {
            self.limit = most;
        }
        self.most = most;
    }

    /// The limit now.
    pub fn limit(&mut self, now: Duration) -> usize {
        let seconds = now.saturating_sub(self.changed).as_secs() / GROWS_EVERY.as_secs();
        if self.limit < self.most && seconds > 0 {
            let more = usize::try_from(seconds).unwrap_or(usize::MAX);
            self.limit = self.limit.saturating_add(more).min(self.most);
            self.changed = now;
        }
        self.limit
    }

    /// The service throttled.
    pub fn throttled(&mut self, now: Duration) {
        if self.halved.is_some_and(|halved| now.saturating_sub(halved) < HALVES_EVERY) {
            return;
        }
        self.limit = (self.limit(now) / 2).max(1);
        (self.changed, self.halved) = (now, Some(now));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn it_halves_once_for_answers_that_come_together_and_grows_by_one_a_second() {
        let mut concurrency = Concurrency::new(64);
        assert_eq!(concurrency.limit(at(5_000)), 64);
        for ms in 0..50 {
            concurrency.throttled(at(5_000 + ms));
        }
        assert_eq!(concurrency.limit(at(5_050)), 32);
        concurrency.throttled(at(6_010));
        assert_eq!([6_020, 7_010, 9_010].map(|ms| concurrency.limit(at(ms))), [16, 17, 19]);
        assert_eq!(concurrency.limit(at(600_000)), 64);
        concurrency.set(80);
        assert_eq!(concurrency.limit(at(600_000)), 80);
        concurrency.set(64);
        assert_eq!(concurrency.limit(at(600_000)), 64);
        for second in 0..20 {
            concurrency.throttled(at(700_000 + second * 1_000));
        }
        assert!(concurrency.limit(at(719_000)) >= 1);
    }
}
