//! Notices that the wall clock was set back, by comparing it with the monotonic clock.

use std::time::Duration;

use crate::time::UnixMillis;

/// Steps back up to this long are usual for time services, and are ignored.
pub(super) const UNNOTICED: Duration = Duration::from_secs(60);

/// The last reading of both clocks.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockWatch {
    wall: UnixMillis,
    monotonic: Duration,
}

impl ClockWatch {
    /// Starts with a reading of both clocks.
    pub(super) fn new(wall: UnixMillis, monotonic: Duration) -> Self {
        Self { wall, monotonic }
    }

    /// Takes the next reading. Returns what the wall clock should have shown, if it is more than
    /// [`UNNOTICED`] behind.
    pub(super) fn read(&mut self, wall: UnixMillis, monotonic: Duration) -> Option<UnixMillis> {
        let expected = self.wall.plus(monotonic.saturating_sub(self.monotonic));
        *self = Self { wall, monotonic };
        (expected.since(wall) > UNNOTICED).then_some(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_step_back_is_noticed_and_only_once() {
        let at = |seconds: i64| UnixMillis(seconds * 1_000);
        let mut watch = ClockWatch::new(at(1_000), Duration::from_secs(5));
        assert_eq!(watch.read(at(1_010), Duration::from_secs(15)), None);
        assert_eq!(watch.read(at(9_000), Duration::from_secs(16)), None, "a step forward");
        assert_eq!(watch.read(at(8_950), Duration::from_secs(20)), None, "a short step back");
        assert_eq!(watch.read(at(100), Duration::from_secs(21)), Some(at(8_951)));
        assert_eq!(watch.read(at(101), Duration::from_secs(22)), None);
    }
}
