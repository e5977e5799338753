//! `receivedAt`: the wall clock, with small steps back smoothed out.

use std::sync::Mutex;
use std::time::Duration;

use crate::lock::lock;
use crate::time::UnixMillis;

/// The longest step back that is smoothed out: `receivedAt` stands still until the clock has caught up.
pub(super) const HELD_OFF_MAX: Duration = Duration::from_secs(60);

/// The result of reading the wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reading {
    /// The `receivedAt` to use.
    pub(super) received_at: UnixMillis,
    /// How far the clock stepped back, if that was too far to smooth out.
    pub(super) stepped_back: Option<Duration>,
}

/// Evaluates one reading, given the last `receivedAt`.
fn decide(last: UnixMillis, wall: UnixMillis) -> Reading {
    let back = last.since(wall);
    if back.is_zero() {
        Reading { received_at: wall, stepped_back: None }
    } else if back <= HELD_OFF_MAX {
        Reading { received_at: last, stepped_back: None }
    } else {
        // Standing still for longer would give hours of calls the same instant, so the clock is trusted.
        Reading { received_at: wall, stepped_back: Some(back) }
    }
}

/// The last `receivedAt` of this process.
#[derive(Debug, Default)]
pub(super) struct ReceivedClock {
    last: Mutex<Option<UnixMillis>>,
}

impl ReceivedClock {
    /// The `receivedAt` of a request whose body is complete when the wall clock shows `wall`.
    pub(super) fn read(&self, wall: UnixMillis) -> Reading {
        let mut last = lock(&self.last);
        let reading = decide(last.unwrap_or(wall), wall);
        *last = Some(reading.received_at);
        reading
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_steps_back_are_smoothed_out_and_large_ones_reported_once() {
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
