//! An encoder lets others have its core.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::time::Clock;

/// Bytes of lines between two offers: a tenth of a millisecond's work, or two of them at leisure.
const EVERY: usize = 32 * 1_024;
/// For how many times its work an object waits for others at most.
const WAITS_FOR_WORK: u32 = 9;

/// When an encoder offers its core to others. Low priority alone is not enough: the kernel leaves a core to the thread that has
/// it for some milliseconds, whoever is waiting, and an answer would wait as long.
///
/// Beside others that always have something to do, who offers gets next to nothing. So one that has had less than a tenth of
/// its time offers nothing until it has: then the tenth that low priority leaves it is its own, and an object takes at most
/// some ten times as long as it would alone.
#[derive(Debug)]
pub(super) struct GiveWay<'c> {
    clock: &'c dyn Clock,
    bytes: usize,
    began: Duration,
    worked_before: Duration,
}

impl<'c> GiveWay<'c> {
    /// For one object, which the calling thread begins now.
    pub(super) fn new(clock: &'c dyn Clock) -> Self {
        Self { clock, bytes: 0, began: clock.monotonic(), worked_before: thread_time() }
    }

    /// After the next `bytes` of lines.
    pub(super) fn after(&mut self, bytes: usize) {
        self.bytes += bytes;
        if self.bytes < EVERY {
            return;
        }
        self.bytes = 0;
        let passed = self.clock.monotonic().saturating_sub(self.began);
        if gives_way(passed, thread_time().saturating_sub(self.worked_before)) {
            std::thread::yield_now();
        }
    }
}

/// Whether an encoder that has `worked` so much of what has `passed` gives way.
fn gives_way(passed: Duration, worked: Duration) -> bool {
    passed <= worked * (1 + WAITS_FOR_WORK)
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    // Neither is ever negative.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenth_of_the_time_is_its_own() {
        let ms = Duration::from_millis;
        assert!(gives_way(ms(0), ms(0)));
        assert!(gives_way(ms(50), ms(50)), "alone on its core");
        assert!(gives_way(ms(1_000), ms(100)));
        assert!(!gives_way(ms(1_001), ms(100)));
    }

    #[test]
    fn a_thread_knows_how_long_it_worked() {
        let before = thread_time();
        while thread_time() == before {
            std::hint::spin_loop();
        }
    }
}
