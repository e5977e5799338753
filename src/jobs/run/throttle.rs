//! The shared pause of a job whose function takes no more requests. Pure.

use std::time::Duration;

use crate::destinations::concurrency::Concurrency;
use crate::random::Random;
use crate::retry::Backoff;

/// Pauses without a Retry-After: 1 s, doubling while the function goes on to refuse, at most a minute.
const PAUSES: Backoff = Backoff { first: Duration::from_secs(1), cap: Duration::from_secs(60) };

/// The pause after this machine had nothing left to start an invocation with.
const STARVED_PAUSE: Duration = Duration::from_secs(1);
/// No more invocations than it then had room for run at once for so long. Then more are tried again.
const ROOM_FOR: Duration = Duration::from_secs(60);

/// When invocations may start, and how many may run at once.
#[derive(Debug)]
pub(super) struct Throttle {
    /// Halves when the function refuses, and then grows by one a second.
    concurrency: Concurrency,
    /// No invocation starts before this monotonic time.
    until: Duration,
    /// Pauses in a row, with no request taken between two of them.
    pauses: u32,
    /// How many invocations this machine had room for, and when.
    room: Option<(usize, Duration)>,
}

impl Throttle {
    pub(super) fn new(concurrency: usize) -> Self {
        Self { concurrency: Concurrency::new(concurrency), until: Duration::ZERO, pauses: 0, room: None }
    }

    /// The function refused a request that was sent at this time. Requests that were under way when a pause
    /// began change nothing but its end.
    pub(super) fn refused(
        &mut self,
        sent: Duration,
        asked: Option<Duration>,
        now: Duration,
        random: &dyn Random,
    ) {
        if sent >= self.until {
            self.pauses = self.pauses.saturating_add(1);
            self.concurrency.throttled(now);
            self.until = now.saturating_add(PAUSES.wait(self.pauses, random));
        }
        if let Some(asked) = asked {
            self.until = self.until.max(now.saturating_add(asked));
        }
    }

    /// This machine had nothing left for an invocation that was to start at this time, with so many others in flight.
    pub(super) fn starved(&mut self, sent: Duration, in_flight: u64, now: Duration) {
        let room = usize::try_from(in_flight).unwrap_or(usize::MAX).max(1);
        self.room = Some((room.min(self.room_at(now)), now));
        if sent >= self.until {
            self.until = now.saturating_add(STARVED_PAUSE);
        }
    }

    fn room_at(&self, now: Duration) -> usize {
        let known = self.room.filter(|(_, since)| now.saturating_sub(*since) < ROOM_FOR);
        known.map_or(usize::MAX, |(room, _)| room)
    }

    /// The function took a request that was sent at this time. True: it was sent after the last pause.
    pub(super) fn taken(&mut self, sent: Duration) -> bool {
        // One that was sent before the pause says nothing about the time after it.
        let is_new = sent >= self.until;
        if is_new {
            self.pauses = 0;
        }
        is_new
    }

    /// Until when no invocation may start; `None` if one may now.
    pub(super) fn paused_until(&self, now: Duration) -> Option<Duration> {
        (now < self.until).then_some(self.until)
    }

    /// How many invocations may run at once now, at least one.
    pub(super) fn limit(&mut self, now: Duration) -> usize {
        self.concurrency.limit(now).min(self.room_at(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Most;
    impl Random for Most {
        fn next_u64(&self) -> u64 {
            // Draws nearly the upper bound of each of the waits below.
            499_999
        }
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn refusals_of_requests_that_ran_together_are_one_pause() {
        let mut throttle = Throttle::new(8);
        for ms in 0..8 {
            throttle.refused(at(0), None, at(10 + ms), &Most);
        }
        // The first draws the pause; the seven others were sent before it.
        assert_eq!(throttle.paused_until(at(10)), Some(at(1_010)));
        assert_eq!((throttle.paused_until(at(1_010)), throttle.limit(at(1_010))), (None, 5));
    }

    #[test]
    fn pauses_grow_until_a_request_is_taken() {
        let mut throttle = Throttle::new(8);
        let mut lengths = Vec::new();
        let mut now = at(10_000);
        for _ in 0..8 {
            throttle.refused(now, None, now, &Most);
            let until = throttle.paused_until(now).unwrap();
            lengths.push((until - now).as_millis());
            throttle.taken(now - at(1));
            now = until;
        }
        assert_eq!(lengths.len(), 8);
        assert!(lengths.windows(2).take(6).all(|pair| pair[1] > pair[0]), "{lengths:?}");
        assert!(lengths.iter().all(|length| *length <= 60_000), "{lengths:?}");
        throttle.taken(now);
        throttle.refused(now, None, now, &Most);
        assert!(throttle.paused_until(now).unwrap() - now <= at(1_000));
    }

    #[test]
    fn a_machine_without_room_is_given_what_it_took() {
        let mut throttle = Throttle::new(60);
        // Fifty of sixty find none.
        for failed in 1..=50 {
            throttle.starved(at(0), 60 - failed, at(10 + failed));
        }
        assert_eq!((throttle.paused_until(at(60)), throttle.limit(at(60))), (Some(at(1_011)), 10));
        assert!(throttle.taken(at(1_011)) && !throttle.taken(at(500)));
        assert_eq!(throttle.limit(at(60_059)), 10);
        assert_eq!(throttle.limit(at(60_060)), 60, "more are tried again");
        throttle.starved(at(70_000), 0, at(70_001));
        assert_eq!(throttle.limit(at(70_001)), 1);
    }

    #[test]
    fn the_other_side_may_ask_for_a_longer_pause() {
        let mut throttle = Throttle::new(8);
        throttle.refused(at(0), Some(at(7_000)), at(100), &Most);
        throttle.refused(at(0), Some(at(9_000)), at(200), &Most);
        throttle.refused(at(0), Some(at(1_000)), at(300), &Most);
        assert_eq!(throttle.paused_until(at(300)), Some(at(9_200)));
    }
}
