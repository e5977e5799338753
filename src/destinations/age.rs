//! How long calls have waited: measured as other timers are, so that a step of the wall clock makes no call
//! old. Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::time::UnixMillis;

/// How often it is noted at first how far the log has come. Between two notes the wall clock decides.
const NOTE_EVERY: Duration = Duration::from_secs(1);
/// Notes that are kept; then every other one is forgotten, and they are made half as often.
const NOTES_MAX: usize = 4_096;

/// When the calls of a log came, on the monotonic clock.
#[derive(Debug)]
pub struct Ages {
    /// What both clocks said at first.
    start: (Duration, UnixMillis),
    /// How far the log had come, and when.
    notes: VecDeque<(Duration, u64)>,
    every: Duration,
}

/// How long a call has waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waiting {
    before: Duration,
    since: Duration,
}

impl Waiting {
    /// A call that had waited `before` at the monotonic time `since`.
    pub fn new(before: Duration, since: Duration) -> Self {
        Self { before, since }
    }

    /// How long it has waited at a monotonic time.
    pub fn age(&self, now: Duration) -> Duration {
        self.before.saturating_add(now.saturating_sub(self.since))
    }
}

impl Ages {
    /// Of a log that ends at a position. Of what it holds by then only the wall clock knows how old it is.
    pub fn new(end: u64, monotonic: Duration, wall: UnixMillis) -> Self {
        Self { start: (monotonic, wall), notes: VecDeque::from([(monotonic, end)]), every: NOTE_EVERY }
    }

    /// Notes how far the log has come.
    pub fn note(&mut self, end: u64, now: Duration) {
        let Some((at, last)) = self.notes.back().copied() else { return };
        if end == last || now.saturating_sub(at) < self.every {
            return;
        }
        if self.notes.len() >= NOTES_MAX {
            self.every = self.every.saturating_mul(2);
            let mut index = 0;
            self.notes.retain(|_| {
                index += 1;
                index % 2 == 1
            });
        }
        self.notes.push_back((now, end));
    }

    /// How long a call has waited that was received at `received_at`. What the wall clock says holds as far
    /// as it agrees with when the log was seen without the call and with it.
    pub fn waiting(
        &self,
        position: u64,
        received_at: UnixMillis,
        (now, wall): (Duration, UnixMillis),
    ) -> Waiting {
        let with = self.notes.partition_point(|(_, end)| *end < position);
        let (start, wall_then) = self.start;
        let Some((without, _)) = with.checked_sub(1).and_then(|index| self.notes.get(index)) else {
            return Waiting::new(wall_then.since(received_at), start);
        };
        let most = now.saturating_sub(*without);
        let least = self.notes.get(with).map_or(Duration::ZERO, |(at, _)| now.saturating_sub(*at));
        Waiting::new(wall.since(received_at).clamp(least, most.max(least)), now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: UnixMillis = UnixMillis(1_700_000_000_000);

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn later(seconds: i64) -> UnixMillis {
        UnixMillis(NOON.0 + seconds * 1_000)
    }

    #[test]
    fn a_step_of_the_wall_clock_makes_no_call_older_or_younger() {
        let mut ages = Ages::new(100, at(50), NOON);
        for (end, second) in [(110, 60), (120, 70), (130, 80)] {
            ages.note(end, at(second));
        }
        for step in [0, 5 * 3_600, -5 * 3_600] {
            let age = |position, received: i64, step| {
                let wall = later(40 + step);
                ages.waiting(position, later(received), (at(90), wall)).age(at(90)).as_secs()
            };
            assert_eq!(age(100, -7, step), 47, "it was there at the start");
            assert!((20..=30).contains(&age(115, 15, step)), "{}", age(115, 15, step));
            assert_eq!(age(115, 15, 0), 25);
            // Received after the step.
            assert_eq!(age(131, 35 + step, step), 5);
            assert!(age(131, 35, step) <= 10);
        }
        assert_eq!(Waiting::new(at(5), at(90)).age(at(100)), at(15));
    }

    #[test]
    fn notes_are_bounded() {
        let mut ages = Ages::new(0, at(0), NOON);
        for second in 1..100_000 {
            ages.note(second, at(second));
        }
        assert!(ages.notes.len() <= NOTES_MAX);
        let age = ages.waiting(50_000, NOON, (at(100_000), later(9_000_000))).age(at(100_000));
        assert!((at(49_900)..at(50_100)).contains(&age), "{age:?}");
    }
}
