//! How long the topic still keeps what is not delivered.

use std::time::Duration;

use super::position::offset_of;
use crate::time::UnixMillis;

/// Below this much time an alarm is raised: enough for a person to act after a weekend.
pub const ALARM_BELOW: Duration = Duration::from_secs(48 * 3_600);

/// How much clocks may differ without harm.
const CLOCKS_DIFFER: Duration = Duration::from_secs(60);

/// The first record with calls that are not in the store. `None` if nothing waits. `waiting` has the first positions of
/// objects and batches, and `unread` the first position that is not read, unless everything is.
///
/// Windows do not count: if retention takes one, repeats of what it took may be stored, and no call is
/// lost; what was decided before is noted ([`super::repeats`]). A quiet partition has a window that is as old as its
/// log.
pub fn needed_from(waiting: impl Iterator<Item = u64>, unread: Option<u64>) -> Option<u64> {
    waiting.chain(unread).map(offset_of).min()
}

/// The same of a partition that nobody delivers. Its last owner `said` this offset, and `since_then` is the first record that was
/// written [later](written_since), or the log's end. Offsets of a log that was cut begin again at the cut, so only the time says
/// what is new there. That it was cut is known, from `cut_at` on at the latest, or shows by its `end`.
pub fn needed_of_idle(said: u64, since_then: u64, end: u64, cut_at: Option<u64>) -> u64 {
    match cut_at {
        Some(cut_at) => said.min(since_then).min(cut_at),
        None if said > end => said.min(since_then),
        None => said,
    }
}

/// From when on what was written counts as later than what an owner said at `at`: owners and brokers have clocks of their own.
pub fn written_since(at: UnixMillis) -> UnixMillis {
    at.minus(CLOCKS_DIFFER)
}

/// The time left before retention takes the record of [`needed_from`]. `written_at` and `now` are times of the
/// broker.
/// `None`: nothing waits, or retention deletes nothing.
pub fn time_left(
    written_at: Option<UnixMillis>,
    now: UnixMillis,
    retention: Option<Duration>,
) -> Option<Duration> {
    Some(retention?.saturating_sub(now.since(written_at?)))
}

/// Whether too little time is left. A topic that keeps records for less than four days has half of that
/// instead: after that time, sources are refused.
pub fn is_short(left: Duration, retention: Duration) -> bool {
    left < ALARM_BELOW.min(retention / 2)
}

/// The retention that leaves [`ALARM_BELOW`] from now on, and twice the present one at least: what a person
/// is asked to set.
pub fn to_set(left: Duration, retention: Duration) -> Duration {
    (retention * 2).max(retention + ALARM_BELOW.saturating_sub(left))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::position::position;

    const HOUR: Duration = Duration::from_secs(3_600);
    const WEEK: Duration = Duration::from_secs(7 * 86_400);

    /// A partition whose log was shorter than its window had an alarm two days before its retention was over,
    /// although everything was delivered.
    #[test]
    fn only_what_is_not_delivered_is_needed() {
        let check = |waiting: &[u64], unread: Option<u64>, expected: Option<u64>| {
            let found = needed_from(waiting.iter().copied(), unread);
            assert_eq!(found, expected, "{waiting:?} {unread:?}");
        };
        check(&[], None, None);
        check(&[], Some(position(9, 1)), Some(9));
        check(&[position(7, 3), position(5, 9)], Some(position(9, 1)), Some(5));
    }

    /// New calls stood before the place where the cut was noticed, and nothing said in time that Kafka would delete them.
    #[test]
    fn of_a_log_that_was_cut_what_was_written_since_is_needed() {
        assert_eq!(needed_of_idle(100, 95, 120, None), 100, "written a moment before, and delivered");
        assert_eq!(needed_of_idle(100, 40, 60, None), 40, "its end shows it");
        assert_eq!(needed_of_idle(100, 40, 160, Some(120)), 40, "it had grown before that was noticed");
        assert_eq!(needed_of_idle(100, 90, 90, Some(40)), 40, "its owner spoke on, and had not noticed");
        assert_eq!(needed_of_idle(100, 60, 60, Some(u64::MAX)), 60, "nothing came in since");
        assert_eq!(needed_of_idle(30, 40, 60, Some(40)), 30);
    }

    #[test]
    fn time_left_counts_from_when_the_broker_wrote_the_record() {
        let written = UnixMillis(1_700_000_000_000);
        let check = |waited: Duration, retention: Option<Duration>, left: Option<Duration>| {
            assert_eq!(time_left(Some(written), written.plus(waited), retention), left);
        };
        check(HOUR, Some(WEEK), Some(WEEK - HOUR));
        check(WEEK + HOUR, Some(WEEK), Some(Duration::ZERO));
        check(HOUR, None, None);
        assert_eq!(time_left(None, written, Some(WEEK)), None);
        assert_eq!(time_left(Some(written.plus(HOUR)), written, Some(WEEK)), Some(WEEK), "clocks differ");
    }

    #[test]
    fn an_alarm_names_a_retention_that_ends_it() {
        assert!(!is_short(48 * HOUR, WEEK) && is_short(47 * HOUR, WEEK));
        assert!(!is_short(12 * HOUR, 24 * HOUR) && is_short(11 * HOUR, 24 * HOUR), "half of a day");
        for (left, retention) in [(47 * HOUR, WEEK), (Duration::ZERO, 2 * HOUR), (11 * HOUR, 24 * HOUR)] {
            let set = to_set(left, retention);
            assert!(!is_short(left + (set - retention), set), "{left:?} of {retention:?}");
        }
    }
}
