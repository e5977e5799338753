//! Decides when a batch is due, from the batch and two clocks.

use std::time::Duration;

use crate::time::{ReceivedDay, UnixMillis};

/// How long after its end a received-day's batches are due: calls of requests still in flight then belong to
/// it.
pub const AFTER_DAY: Duration = Duration::from_secs(60);

/// The percentage of `max_bytes` that an object due only for its size must reach; otherwise the batch keeps
/// filling.
pub const FULL_PERCENT: u64 = 95;

closed_list! {
    /// Why a batch is due.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Reason by slug {
        /// Its object is estimated to have reached `max_bytes`.
        Size = "size",
        /// `max_age` has passed, or the aligned minute has come.
        Age = "age",
        /// Its received-day is over.
        DayOver = "day_end",
        /// An operator requested it.
        Asked = "flush",
        /// The source was removed, or has another bucket.
        Retargeted = "moved",
        /// The spool needs the space, or too many batches are open.
        Pressure = "pressure",
        /// The process is shutting down.
        Shutdown = "shutdown",
    }
}

/// When batches are due.
#[derive(Clone, Copy, Debug)]
pub struct DueRule {
    /// The largest object, in bytes.
    pub max_bytes: u64,
    /// How long after its first call was received a batch is due.
    pub max_age: Duration,
    /// The minute of each hour (0 to 59) at which batches are due, instead of by age.
    pub align_minute: Option<u8>,
}

impl DueRule {
    /// The monotonic time at which a batch is due by age. The age counts from the first call, not from the
    /// start of the process: the time that has passed on the wall clock is subtracted, so a restart does not
    /// begin a new hour.
    pub fn deadline(&self, first_received_at: UnixMillis, wall: UnixMillis, monotonic: Duration) -> Duration {
        let age = wall.since(first_received_at);
        let wait = match self.align_minute {
            None => self.max_age,
            Some(minute) => until_minute(first_received_at, minute),
        };
        monotonic.saturating_add(wait.saturating_sub(age))
    }

    /// Whether a batch is due by itself, and why.
    pub fn decide(
        &self,
        day: ReceivedDay,
        deadline: Duration,
        estimated_bytes: u64,
        wall: UnixMillis,
        monotonic: Duration,
    ) -> Option<Reason> {
        // Size comes last: a batch that is due only for its size keeps filling if its object turns out not to
        // be full.
        if wall >= day.end().plus(AFTER_DAY) {
            Some(Reason::DayOver)
        } else if monotonic >= deadline {
            Some(Reason::Age)
        } else if estimated_bytes >= self.max_bytes {
            Some(Reason::Size)
        } else {
            None
        }
    }

    /// Whether an object of `bytes` is full enough to be sealed for its size alone.
    pub fn is_full(&self, bytes: u64) -> bool {
        bytes.saturating_mul(100) >= self.max_bytes.saturating_mul(FULL_PERCENT)
    }
}

/// The time from `at` until the clock next shows `minute`; a whole hour if it just did.
fn until_minute(at: UnixMillis, minute: u8) -> Duration {
    const HOUR_MS: i64 = 3_600_000;
    let into = at.0.rem_euclid(HOUR_MS);
    let target = i64::from(minute) * 60_000;
    let wait = if target > into { target - into } else { target + HOUR_MS - into };
    Duration::from_millis(u64::try_from(wait).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULE: DueRule =
        DueRule { max_bytes: 100_000_000, max_age: Duration::from_secs(3_600), align_minute: None };

    #[test]
    fn age_counts_from_the_call_not_from_the_start_of_the_process() {
        let first = UnixMillis(1_000_000_000_000);
        let check = |already: u64, wait: u64| {
            let wall = first.plus(Duration::from_secs(already));
            let now = Duration::from_secs(50);
            assert_eq!(RULE.deadline(first, wall, now), now + Duration::from_secs(wait), "{already}");
        };
        check(0, 3_600);
        check(3_000, 600);
        check(9_000, 0);
        // A wall clock that is behind the call: no longer than max_age.
        assert_eq!(RULE.deadline(first, UnixMillis(0), Duration::ZERO), RULE.max_age);
    }

    #[test]
    fn an_aligned_minute_is_the_next_one_on_the_clock() {
        let rule = DueRule { align_minute: Some(40), ..RULE };
        let hour = 3_600_000 * 400_000_i64;
        let check = |minute: i64, wait_minutes: u64| {
            let first = UnixMillis(hour + minute * 60_000);
            assert_eq!(
                rule.deadline(first, first, Duration::ZERO),
                Duration::from_secs(wait_minutes * 60),
                "{minute}"
            );
        };
        check(0, 40);
        check(39, 1);
        check(40, 60);
        check(50, 50);
    }

    #[test]
    fn each_reason_alone_makes_a_batch_due() {
        let noon = UnixMillis(1_432_684_800_000).plus(Duration::from_secs(43_200));
        let (day, later) = (noon.day(), Duration::from_secs(100));
        let decide = |bytes, wall, monotonic| RULE.decide(day, later, bytes, wall, monotonic);
        assert_eq!(decide(0, noon, Duration::ZERO), None);
        assert_eq!(decide(100_000_000, noon, Duration::ZERO), Some(Reason::Size));
        assert_eq!(decide(99_999_999, noon, later), Some(Reason::Age));
        assert_eq!(decide(0, day.end().plus(Duration::from_millis(59_999)), Duration::ZERO), None);
        assert_eq!(decide(0, day.end().plus(AFTER_DAY), Duration::ZERO), Some(Reason::DayOver));
        assert!(RULE.is_full(95_000_000) && !RULE.is_full(94_999_999));
    }
}
