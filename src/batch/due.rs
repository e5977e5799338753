//! Decides when a batch is due, from the batch and two clocks.

use std::time::Duration;

use crate::time::{ReceivedDay, UnixMillis};

/// How long after its end a received-day's batches are due: calls of requests still in flight then belong to
/// it.
pub const AFTER_DAY: Duration = Duration::from_secs(60);

/// The percentage of `max_bytes` that an object due only for its size must reach; otherwise the batch keeps
/// filling.
pub const FULL_PERCENT: u64 = 95;

/// How far behind the end of a log its reader may be while times count from when calls were received. A
/// reader further behind catches up, and its batches should be full objects, not crumbs.
pub const NEAR_END: Duration = Duration::from_secs(10);

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

/// The instant of a check, and what the log says of itself then.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// The wall clock.
    pub wall: UnixMillis,
    /// The monotonic clock.
    pub monotonic: Duration,
    /// How far the reader of the log is behind its end: zero in a log whose frames are open as soon as they
    /// are stored.
    pub behind: Duration,
}

impl Now {
    /// Whether times count from when calls were received: see [`NEAR_END`].
    pub fn is_near_end(&self) -> bool {
        self.behind <= NEAR_END
    }
}

/// The monotonic instants at which a batch is due by age.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline {
    /// Counted from when its first call was received.
    by_received: Duration,
    /// Counted from when its first call was read from the log.
    by_read: Duration,
}

impl Deadline {
    /// The one that counts now.
    pub fn at(&self, now: &Now) -> Duration {
        if now.is_near_end() { self.by_received } else { self.by_read }
    }
}

impl DueRule {
    /// When a batch is due by age, if its first call was read only now. The age counts from when that call
    /// was received, not from the start of the process: the time that has passed on the wall clock is
    /// subtracted, so a restart does not begin a new hour.
    pub fn deadline(&self, first_received_at: UnixMillis, now: &Now) -> Deadline {
        let age = now.wall.since(first_received_at);
        let wait = match self.align_minute {
            None => self.max_age,
            Some(minute) => until_minute(first_received_at, minute),
        };
        Deadline {
            by_received: now.monotonic.saturating_add(wait.saturating_sub(age)),
            by_read: now.monotonic.saturating_add(self.max_age),
        }
    }

    /// The latest time at which a batch becomes due by itself, unless the log's reader falls behind.
    pub fn due_at(&self, day: ReceivedDay, first_received_at: UnixMillis, now: &Now) -> UnixMillis {
        let deadline = self.deadline(first_received_at, now).at(now);
        let by_age = now.wall.plus(deadline.saturating_sub(now.monotonic));
        let by_day = if now.is_near_end() { by_age.min(day.end().plus(AFTER_DAY)) } else { by_age };
        by_day.max(first_received_at)
    }

    /// Whether a batch is due by itself, and why.
    pub fn decide(
        &self,
        day: ReceivedDay,
        deadline: Deadline,
        estimated_bytes: u64,
        now: &Now,
    ) -> Option<Reason> {
        // Size comes last: a batch that is due only for its size keeps filling if its object turns out not to
        // be full.
        if now.is_near_end() && now.wall >= day.end().plus(AFTER_DAY) {
            Some(Reason::DayOver)
        } else if now.monotonic >= deadline.at(now) {
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

    /// A log that is read to its end.
    fn now(wall: UnixMillis, monotonic: Duration) -> Now {
        Now { wall, monotonic, behind: Duration::ZERO }
    }

    #[test]
    fn age_counts_from_the_call_not_from_the_start_of_the_process() {
        let first = UnixMillis(1_000_000_000_000);
        let check = |already: u64, wait: u64| {
            let wall = first.plus(Duration::from_secs(already));
            let now = now(wall, Duration::from_secs(50));
            let deadline = RULE.deadline(first, &now).at(&now);
            assert_eq!(deadline, now.monotonic + Duration::from_secs(wait), "{already}");
        };
        check(0, 3_600);
        check(3_000, 600);
        check(9_000, 0);
        // A wall clock that is behind the call: no longer than max_age.
        let now = now(UnixMillis(0), Duration::ZERO);
        assert_eq!(RULE.deadline(first, &now).at(&now), RULE.max_age);
    }

    #[test]
    fn an_aligned_minute_is_the_next_one_on_the_clock() {
        let rule = DueRule { align_minute: Some(40), ..RULE };
        let hour = 3_600_000 * 400_000_i64;
        let check = |minute: i64, wait_minutes: u64| {
            let first = UnixMillis(hour + minute * 60_000);
            let now = now(first, Duration::ZERO);
            let deadline = rule.deadline(first, &now).at(&now);
            assert_eq!(deadline, Duration::from_secs(wait_minutes * 60), "{minute}");
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
        let deadline = Deadline { by_received: later, by_read: later };
        let decide = |bytes, wall, monotonic| RULE.decide(day, deadline, bytes, &now(wall, monotonic));
        assert_eq!(decide(0, noon, Duration::ZERO), None);
        assert_eq!(decide(100_000_000, noon, Duration::ZERO), Some(Reason::Size));
        assert_eq!(decide(99_999_999, noon, later), Some(Reason::Age));
        assert_eq!(decide(0, day.end().plus(Duration::from_millis(59_999)), Duration::ZERO), None);
        assert_eq!(decide(0, day.end().plus(AFTER_DAY), Duration::ZERO), Some(Reason::DayOver));
        assert!(RULE.is_full(95_000_000) && !RULE.is_full(94_999_999));
    }

    #[test]
    fn a_batch_of_a_log_that_is_read_late_is_due_max_age_after_it_was_read() {
        let noon = UnixMillis(1_432_684_800_000).plus(Duration::from_secs(43_200));
        let (day, read_at) = (noon.day(), Duration::from_secs(7));
        // Its first call was received three hours before it was read, and the day ended meanwhile.
        let read = Now { wall: day.end().plus(AFTER_DAY), monotonic: read_at, behind: 3 * RULE.max_age };
        for rule in [RULE, DueRule { align_minute: Some(5), ..RULE }] {
            let deadline = rule.deadline(noon, &read);
            let decide = |bytes, after: Duration, behind: Duration| {
                let monotonic = read_at + after;
                rule.decide(day, deadline, bytes, &Now { monotonic, behind, ..read })
            };
            let far = NEAR_END + Duration::from_millis(1);
            assert_eq!(decide(0, Duration::ZERO, far), None, "neither age nor the day's end");
            assert_eq!(decide(RULE.max_bytes, Duration::ZERO, far), Some(Reason::Size));
            assert_eq!(decide(0, RULE.max_age - Duration::from_millis(1), far), None);
            assert_eq!(decide(0, RULE.max_age, far), Some(Reason::Age));
            assert_eq!(decide(0, Duration::ZERO, NEAR_END), Some(Reason::DayOver), "it has caught up");
            let same_day = Now { wall: noon.plus(4 * RULE.max_age), behind: NEAR_END, ..read };
            let by_age = rule.decide(day, rule.deadline(noon, &same_day), 0, &same_day);
            assert_eq!(by_age, Some(Reason::Age), "the time since it was received counts again");
            assert_eq!(rule.due_at(day, noon, &same_day), same_day.wall);
            assert_eq!(rule.due_at(day, noon, &read), read.wall.plus(RULE.max_age));
        }
    }

    /// The clocks of those who received the calls may be ahead.
    #[test]
    fn a_time_in_the_future_delays_no_batch() {
        let read = Now { wall: UnixMillis(1_000_000_000_000), monotonic: Duration::ZERO, behind: NEAR_END };
        let received = read.wall.plus(1_000 * RULE.max_age);
        let deadline = RULE.deadline(received, &read);
        for behind in [NEAR_END, 2 * NEAR_END] {
            assert_eq!(deadline.at(&Now { behind, ..read }), RULE.max_age, "{behind:?}");
        }
    }
}
