//! How many calls are sampled. Pure.
//!
//! There are two budgets. The first is for whatever comes. Under load the busiest sources would use it up, so a
//! second one is kept for sources of which nothing was sampled in the last second.

use std::time::Duration;

/// Calls a second that are sampled while someone watches: more than a person can read.
pub const PER_SECOND: u32 = 100;
/// Calls a second that are sampled while nobody does, so that the page has something to show when it opens.
pub const PER_SECOND_UNWATCHED: u32 = 10;
/// Calls that are sampled at once after a pause: twice an SDK's usual batch.
pub const BURST: u32 = 200;
/// A source is quiet if nothing of it was sampled for this long.
pub const QUIET_AFTER: Duration = Duration::from_secs(1);

/// What may be sampled now.
#[derive(Clone, Debug)]
pub struct Pace {
    all: Budget,
    quiet: Budget,
}

/// Calls that may be taken. It grows by a rate, up to [`BURST`].
#[derive(Clone, Copy, Debug)]
struct Budget {
    level: f64,
    at: Duration,
}

/// What [`Pace::take`] allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allowed {
    /// So many calls, at least one.
    Calls(u32),
    /// None. Sources that are not quiet need not ask before this time.
    NotBefore(Duration),
}

impl Budget {
    fn take(&mut self, wanted: u32, rate: f64, now: Duration) -> Allowed {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.level = (self.level + passed * rate).min(f64::from(BURST));
        self.at = now;
        let whole = (0..=wanted.min(BURST)).rev().find(|calls| f64::from(*calls) <= self.level);
        match whole.unwrap_or(0) {
            0 => {
                let wait = Duration::try_from_secs_f64((1.0 - self.level) / rate).unwrap_or(Duration::ZERO);
                Allowed::NotBefore(now.saturating_add(wait))
            }
            calls => {
                self.level -= f64::from(calls);
                Allowed::Calls(calls)
            }
        }
    }
}

impl Pace {
    /// Full budgets at `now`.
    pub fn new(now: Duration) -> Self {
        let full = Budget { level: f64::from(BURST), at: now };
        Self { all: full, quiet: full }
    }

    /// Takes up to `wanted` calls of one request. `watched`: someone watches. `quiet`: nothing of its source was
    /// sampled for [`QUIET_AFTER`].
    pub fn take(&mut self, wanted: u32, watched: bool, quiet: bool, now: Duration) -> Allowed {
        let rate = f64::from(if watched { PER_SECOND } else { PER_SECOND_UNWATCHED });
        match self.all.take(wanted, rate, now) {
            Allowed::NotBefore(_) if quiet => self.quiet.take(1, rate, now),
            allowed => allowed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(allowed: Allowed) -> u32 {
        match allowed {
            Allowed::Calls(calls) => calls,
            Allowed::NotBefore(_) => 0,
        }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_is_followed_by_the_rate() {
        for (watched, rate) in [(true, PER_SECOND), (false, PER_SECOND_UNWATCHED)] {
            let mut pace = Pace::new(ms(0));
            assert_eq!(pace.take(1_000, watched, false, ms(0)), Allowed::Calls(BURST));
            let sampled: u32 =
                (1..=100_000).map(|at| calls(pace.take(50, watched, false, ms(at / 10)))).sum();
            let expected = rate * 10;
            assert!((expected - 2..=expected).contains(&sampled), "{sampled} in 10 s, watched: {watched}");
        }
    }

    #[test]
    fn an_empty_budget_says_when_it_has_a_call_again() {
        let mut pace = Pace::new(ms(0));
        pace.take(BURST, true, false, ms(0));
        let Allowed::NotBefore(at) = pace.take(1, true, false, ms(3)) else { panic!("it is empty") };
        assert_eq!(at, ms(10));
        assert_eq!(pace.take(5, true, false, at), Allowed::Calls(1));
    }

    #[test]
    fn a_quiet_source_is_seen_beside_a_busy_one() {
        let mut pace = Pace::new(ms(0));
        let mut quiet_seen = 0;
        for at in 0..10_000 {
            pace.take(100, true, false, ms(at));
            if at % 1_000 == 500 {
                quiet_seen += calls(pace.take(1, true, true, ms(at)));
            }
        }
        assert_eq!(quiet_seen, 10);
    }
}
