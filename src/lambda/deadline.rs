//! When an invocation stops taking rows, and when it gives up what is under way.

use std::time::Duration;

use crate::time::UnixMillis;

/// Values below this instant (2001-09-09) are durations.
const FIRST_INSTANT: u64 = 1_000_000_000_000;

/// The deadline that the runtime's header `lambda-runtime-deadline-ms` means. AWS sends the instant; the
/// emulator of cargo-lambda sends the time that is left.
pub fn deadline_of(header: u64, now: UnixMillis) -> UnixMillis {
    match i64::try_from(header) {
        Ok(at) if header >= FIRST_INSTANT => UnixMillis(at),
        _ => now.plus(Duration::from_millis(header)),
    }
}

/// The instants of one invocation. Their order: `stop`, `cut`, `answer`, the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// From now on no further row is taken.
    pub stop: UnixMillis,
    /// Requests that are still under way are abandoned, as after a kill: what they did is not recorded.
    pub cut: UnixMillis,
    /// The journal is no longer tried: the invocation answers.
    pub answer: UnixMillis,
}

impl Plan {
    /// The plan of an invocation that begins now. It stops `stop_before` before its deadline, but never takes
    /// more than half of its time for that, so that functions with short timeouts work too.
    pub fn new(now: UnixMillis, deadline: UnixMillis, stop_before: Duration) -> Self {
        let margin = stop_before.min(deadline.since(now) / 2);
        let before = |share| deadline.minus(share);
        Self { stop: before(margin), cut: before(margin / 2), answer: before(margin / 8) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deadline_is_an_instant_or_the_time_that_is_left() {
        let now = UnixMillis(1_800_000_000_000);
        assert_eq!(deadline_of(1_800_000_005_000, now), UnixMillis(1_800_000_005_000));
        assert_eq!(deadline_of(600_000, now), UnixMillis(1_800_000_600_000));
        assert_eq!(deadline_of(0, now), now);
        assert_eq!(deadline_of(u64::MAX, now), UnixMillis(i64::MAX));
    }

    #[test]
    fn an_invocation_stops_ten_seconds_early_or_after_half_of_its_time() {
        let check = |seconds: i64, stop_before: u64, (stop, cut, answer): (i64, i64, i64)| {
            let now = UnixMillis(1_800_000_000_000);
            let plan = Plan::new(now, UnixMillis(now.0 + seconds * 1_000), Duration::from_secs(stop_before));
            let after = |at: UnixMillis| at.0 - now.0;
            assert_eq!((after(plan.stop), after(plan.cut), after(plan.answer)), (stop, cut, answer));
        };
        check(900, 10, (890_000, 895_000, 898_750));
        check(20, 10, (10_000, 15_000, 18_750));
        check(5, 10, (2_500, 3_750, 4_688));
        check(900, 60, (840_000, 870_000, 892_500));
        // The deadline has passed already.
        check(-3, 10, (-3_000, -3_000, -3_000));
        check(900, 0, (900_000, 900_000, 900_000));
    }
}
