//! How many calls are sampled. Pure.
//!
//! There are three budgets. The first is for valid calls of any source. Under load the busiest sources
//! would use it up, so the second is for sources without a sample in the last second. The third is for
//! rejected items: they are few, and people look for them.

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
    rejected: Budget,
}

/// Calls that may be taken. It grows by a rate, up to [`BURST`].
#[derive(Clone, Copy, Debug)]
struct Budget {
    level: f64,
    at: Duration,
}

/// What a request has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Its valid calls.
    pub calls: u32,
    /// Its rejected items.
    pub rejected: u32,
    /// Whether nothing of its source was sampled for [`QUIET_AFTER`].
    pub quiet: bool,
}

/// Leave to copy some calls of a request: at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// How many valid ones.
    pub calls: u32,
    /// How many rejected ones.
    pub rejected: u32,
}

impl Budget {
    fn take(&mut self, wanted: u32, rate: f64, now: Duration) -> u32 {
        let passed = now.saturating_sub(self.at).as_secs_f64();
        self.level = (self.level + passed * rate).min(f64::from(BURST));
        self.at = now;
        let calls = (0..=wanted.min(BURST)).rev().find(|calls| f64::from(*calls) <= self.level);
        let calls = calls.unwrap_or(0);
        self.level -= f64::from(calls);
        calls
    }

    /// When it has a call again.
    fn next(&self, rate: f64, now: Duration) -> Duration {
        let wait = Duration::try_from_secs_f64((1.0 - self.level) / rate).unwrap_or(Duration::ZERO);
        now.saturating_add(wait)
    }
}

impl Pace {
    /// Full budgets at `now`.
    pub fn new(now: Duration) -> Self {
        let full = Budget { level: f64::from(BURST), at: now };
        Self { all: full, quiet: full, rejected: full }
    }

    /// Takes up to as many as `wanted` of one request. `watched`: someone watches.
    /// Errors: no calls may be taken; sources that are not quiet need not ask before this time, unless for
    /// rejected items.
    pub fn take(&mut self, wanted: Wanted, watched: bool, now: Duration) -> Result<Turn, Duration> {
        let rate = f64::from(if watched { PER_SECOND } else { PER_SECOND_UNWATCHED });
        let calls = self.all.take(wanted.calls, rate, now);
        let rejected = self.rejected.take(wanted.rejected, rate, now);
        if calls > 0 || rejected > 0 {
            return Ok(Turn { calls, rejected });
        }
        match if wanted.quiet { self.quiet.take(1, rate, now) } else { 0 } {
            0 => Err(self.all.next(rate, now)),
            one if wanted.calls == 0 => Ok(Turn { calls: 0, rejected: one }),
            one => Ok(Turn { calls: one, rejected: 0 }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calls(allowed: Result<Turn, Duration>) -> u32 {
        allowed.map_or(0, |Turn { calls, rejected }| calls + rejected)
    }

    fn of(calls: u32) -> Wanted {
        Wanted { calls, rejected: 0, quiet: false }
    }

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_burst_is_followed_by_the_rate() {
        for (watched, rate) in [(true, PER_SECOND), (false, PER_SECOND_UNWATCHED)] {
            let mut pace = Pace::new(ms(0));
            assert_eq!(pace.take(of(1_000), watched, ms(0)), Ok(Turn { calls: BURST, rejected: 0 }));
            let sampled: u32 = (1..=100_000).map(|at| calls(pace.take(of(50), watched, ms(at / 10)))).sum();
            let expected = rate * 10;
            assert!((expected - 2..=expected).contains(&sampled), "{sampled} in 10 s, watched: {watched}");
        }
    }

    #[test]
    fn an_empty_budget_says_when_it_has_a_call_again() {
        let mut pace = Pace::new(ms(0));
        calls(pace.take(of(BURST), true, ms(0)));
        let Err(at) = pace.take(of(1), true, ms(3)) else { panic!("it is empty") };
        assert_eq!(at, ms(10));
        assert_eq!(pace.take(of(5), true, at), Ok(Turn { calls: 1, rejected: 0 }));
    }

    #[test]
    fn a_quiet_source_is_seen_beside_a_busy_one() {
        let mut pace = Pace::new(ms(0));
        let mut quiet_seen = 0;
        for at in 0..10_000 {
            calls(pace.take(of(100), true, ms(at)));
            if at % 1_000 == 500 {
                quiet_seen += calls(pace.take(Wanted { quiet: true, ..of(1) }, true, ms(at)));
            }
        }
        assert_eq!(quiet_seen, 10);
    }

    #[test]
    fn rejected_items_are_seen_beside_a_busy_source() {
        // The common budget always has a call or two left for a small request.
        for flood in [1, 100] {
            let (mut pace, mut seen) = (Pace::new(ms(0)), 0);
            for at in 0..10_000 {
                calls(pace.take(of(flood), true, ms(at * 5)));
                if at % 80 == 40 {
                    let mixed = Wanted { calls: 5, rejected: 10, quiet: false };
                    if let Ok(Turn { rejected, .. }) = pace.take(mixed, true, ms(at * 5)) {
                        seen += rejected;
                    }
                }
            }
            assert_eq!(seen, 125 * 10, "beside requests of {flood}");
        }
    }

    #[test]
    fn a_request_of_rejected_items_alone_makes_its_source_seen() {
        let mut pace = Pace::new(ms(0));
        calls(pace.take(Wanted { calls: BURST, rejected: BURST, quiet: false }, true, ms(0)));
        let bad = Wanted { calls: 0, rejected: 3, quiet: true };
        assert_eq!(pace.take(bad, true, ms(1)), Ok(Turn { calls: 0, rejected: 1 }));
    }
}
