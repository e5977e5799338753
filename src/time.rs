//! Wall-clock times, received-days and the clock, which is always passed in.

use std::fmt;
use std::time::Duration;

/// Milliseconds in a UTC day. Unix time has no leap seconds, so a day is always this long.
pub const DAY_MS: i64 = 86_400_000;

/// The whole milliseconds of a length of time; at most `u64::MAX`.
pub fn whole_millis(length: Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// An instant of UTC wall-clock time, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct UnixMillis(pub i64);

impl UnixMillis {
    /// The received-day that contains this instant.
    pub fn day(self) -> ReceivedDay {
        // The very first day may begin before the smallest representable instant.
        ReceivedDay(self.0.div_euclid(DAY_MS).saturating_mul(DAY_MS))
    }

    /// This instant moved by `delta`, saturating at the ends of the range.
    pub fn plus(self, delta: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(delta.as_millis()).unwrap_or(i64::MAX)))
    }

    /// This instant moved back by `delta`, saturating at the ends of the range.
    pub fn minus(self, delta: Duration) -> Self {
        Self(self.0.saturating_sub(i64::try_from(delta.as_millis()).unwrap_or(i64::MAX)))
    }

    /// How long this instant is after `earlier`; zero if it is not after it.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }
}

/// The UTC day on which calls were received: the Unix time of its midnight, in milliseconds.
///
/// It is part of the object key (`segment-logs/<source-id>/<received-day>/`) and is shown as that number.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(transparent)]
pub struct ReceivedDay(i64);

impl ReceivedDay {
    /// The day's midnight.
    pub fn start(self) -> UnixMillis {
        UnixMillis(self.0)
    }

    /// The first instant after the day.
    pub fn end(self) -> UnixMillis {
        UnixMillis(self.0.saturating_add(DAY_MS))
    }
}

impl fmt::Display for ReceivedDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The source of time. Production has one clock (`runtime::SystemClock`); tests advance their own.
pub trait Clock: Send + Sync + fmt::Debug {
    /// UTC wall-clock time. It may step in either direction.
    fn wall(&self) -> UnixMillis;

    /// Time since a fixed instant of this process. It never goes back; every timeout, deadline and backoff
    /// uses it.
    fn monotonic(&self) -> Duration;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whole_milliseconds_are_rounded_down() {
        let check = |length, millis| assert_eq!(whole_millis(length), millis, "{length:?}");
        check(Duration::from_micros(1_999), 1);
        check(Duration::from_secs(2), 2_000);
        check(Duration::MAX, u64::MAX);
    }

    #[test]
    fn a_day_is_the_midnight_at_or_before_an_instant() {
        let check = |ms: i64, day: i64| assert_eq!(UnixMillis(ms).day().start(), UnixMillis(day), "{ms}");
        check(1_432_771_199_999, 1_432_684_800_000);
        check(1_432_684_800_000, 1_432_684_800_000);
        check(0, 0);
        check(-1, -DAY_MS);
        // Found by fuzzing: its midnight overflowed.
        check(i64::MIN, i64::MIN);
        check(i64::MAX, i64::MAX / DAY_MS * DAY_MS);
    }
}
