//! What time it is for the brokers. They delete by their clocks, and days end by theirs and the own one.

use std::time::Duration;

use crate::time::UnixMillis;

/// How far the own clock may be from that of the brokers. Beyond it, an owner ends no day.
pub const OFF_MAX: Duration = Duration::from_secs(30);

/// The clock of the brokers, as the last own note told it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BrokersClock {
    told: UnixMillis,
    /// On the own monotonic clock.
    at: Duration,
}

impl BrokersClock {
    /// A note that has just been written has this time.
    pub fn told(told: UnixMillis, monotonic: Duration) -> Self {
        Self { told, at: monotonic }
    }

    /// The time of the brokers at an instant of the own monotonic clock.
    pub fn time(self, monotonic: Duration) -> UnixMillis {
        self.told.plus(self.age(monotonic))
    }

    /// How long ago it was told.
    pub fn age(self, monotonic: Duration) -> Duration {
        monotonic.saturating_sub(self.at)
    }

    /// How far the own wall clock is off.
    pub fn off(self, wall: UnixMillis, monotonic: Duration) -> Duration {
        let time = self.time(monotonic);
        time.since(wall).max(wall.since(time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer whose clock was a year ahead refused all sources.
    #[test]
    fn a_wall_clock_that_is_wrong_changes_no_time_of_the_brokers() {
        let hour = Duration::from_secs(3_600);
        let (told, year) = (UnixMillis(1_800_000_000_000), 8_760 * hour);
        let clock = BrokersClock::told(told, hour);
        let now = told.plus(2 * hour);
        assert_eq!((clock.time(hour), clock.time(3 * hour), clock.age(3 * hour)), (told, now, 2 * hour));
        for (wall, off) in [(now, Duration::ZERO), (now.plus(year), year), (now.minus(year), year)] {
            assert_eq!(clock.off(wall, 3 * hour), off);
        }
    }
}
