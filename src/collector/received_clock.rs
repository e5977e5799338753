//! `receivedAt`: the wall clock, which never goes back by a little.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use crate::time::UnixMillis;

/// Steps back up to this long are held off: `receivedAt` stands still until the clock has caught up.
pub(super) const HELD_OFF_MAX: Duration = Duration::from_secs(60);

/// What a reading of the wall clock becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// The `receivedAt` to use.
    pub(super) received_at: UnixMillis,
    /// How far the clock stepped back, where that was too far to hold off.
    pub(super) stepped_back: Option<Duration>,
}

/// Decides on one reading, given the last `receivedAt`.
fn decide(last: UnixMillis, wall: UnixMillis) -> Reading {
    let back = last.since(wall);
    if back.is_zero() {
        Reading { received_at: wall, stepped_back: None }
    } else if back <= HELD_OFF_MAX {
        Reading { received_at: last, stepped_back: None }
    } else {
        // Standing still for so long would put hours of calls on one instant: believe the clock.
        Reading { received_at: wall, stepped_back: Some(back) }
    }
}

/// The last `receivedAt` of this process.
#[derive(Debug, Default)]
pub(super) struct ReceivedClock {
    last: Mutex<Option<UnixMillis>>,
}

impl ReceivedClock {
    /// The `receivedAt` for a request whose body is complete when the wall clock shows `wall`.
    pub(super) fn read(&self, wall: UnixMillis) -> Reading {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let reading = decide(last.unwrap_or(wall), wall);
        *last = Some(reading.received_at);
        reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_steps_back_are_held_off_and_large_ones_believed_once() {
        let clock = ReceivedClock::default();
        let check = |wall: i64, received_at: i64, stepped_back: Option<u64>| {
            let expected = Reading {
                received_at: UnixMillis(received_at),
                stepped_back: stepped_back.map(Duration::from_millis),
            };
            assert_eq!(clock.read(UnixMillis(wall)), expected, "{wall}");
        };
        check(1_000_000, 1_000_000, None);
        check(1_000_001, 1_000_001, None);
        check(1_000_000, 1_000_001, None);
        check(940_001, 1_000_001, None);
        check(940_000, 940_000, Some(60_001));
        check(940_000, 940_000, None);
        check(i64::from(i32::MAX) * 1_000, 2_147_483_647_000, None);
        check(0, 0, Some(2_147_483_647_000));
    }
}
