//! How long to wait before the next try: capped exponential backoff with full jitter.

use std::time::Duration;

use crate::random::Random;

/// The shape of a backoff. It never gives up: Forebay delivers what it has acknowledged, however long it
/// takes.
#[derive(Clone, Copy, Debug)]
pub struct Backoff {
    /// Upper bound of the first wait.
    pub first: Duration,
    /// Upper bound of every wait.
    pub cap: Duration,
}

impl Backoff {
    /// Deliveries to a store: 200 ms, doubling, at most 60 s.
    pub const DELIVERY: Self = Self { first: Duration::from_millis(200), cap: Duration::from_secs(60) };

    /// The wait after `tries` failed tries: between half of min(cap, first × 2^(tries-1)) and all of it.
    /// Drawn from zero, tries of one object could come 10 ms apart, however often it had failed.
    pub fn wait(&self, tries: u32, random: &dyn Random) -> Duration {
        let micros = u64::try_from(self.bound(tries).as_micros()).unwrap_or(u64::MAX).max(1);
        let floor = micros / 2;
        Duration::from_micros(floor + random.next_u64() % (micros - floor) + 1)
    }

    /// The upper bound of the wait after `tries` failed tries: min(cap, first × 2^(tries-1)).
    pub fn bound(&self, tries: u32) -> Duration {
        let doublings = tries.saturating_sub(1).min(31);
        self.first.saturating_mul(1 << doublings).min(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(u64);
    impl Random for Fixed {
        fn next_u64(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn waits_double_up_to_the_cap_and_are_never_zero() {
        let longest = |tries: u32| {
            // `bound - 1` is the largest remainder, so it draws the bound itself.
            let bound = Backoff::DELIVERY.bound(tries);
            Backoff::DELIVERY.wait(tries, &Fixed(u64::try_from(bound.as_micros()).unwrap() - 1))
        };
        assert_eq!(longest(1), Duration::from_millis(200));
        assert_eq!(longest(2), Duration::from_millis(400));
        assert_eq!(longest(9), Duration::from_millis(51_200));
        assert_eq!(longest(10), Duration::from_secs(60));
        assert_eq!(longest(1_000), Duration::from_secs(60));
        for (tries, least) in [(1, 100), (2, 200), (5, 1_600), (50, 30_000)] {
            assert!(Backoff::DELIVERY.wait(tries, &Fixed(0)) > Duration::from_millis(least), "{tries}");
        }
    }
}
