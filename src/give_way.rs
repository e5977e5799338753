//! Lets a thread that computes for long offer its core to the threads that answer requests.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

use crate::time::Clock;

/// Bytes of lines between two offers: an encoder's work of a tenth of a millisecond, or two of them at
/// leisure.
const EVERY: usize = 32 * 1_024;
/// A thread waits for others for at most this many times the duration of its own work.
const WAITS_FOR_WORK: u32 = 9;

/// When a thread of low priority, such as an encoder, offers its core to others. Low priority alone is not
/// enough: the kernel lets a thread keep its core for some milliseconds, even if others wait, and an answer
/// would be delayed by as much.
///
/// A thread that always offers its core gets almost no time if other threads are always busy. So it offers
/// its core only while it has had at least a tenth of the time; otherwise it relies on its low priority,
/// which leaves it about as much. Its work therefore takes at most about ten times as long as on an idle
/// machine.
#[derive(Debug)]
pub struct GiveWay<'c> {
    clock: &'c dyn Clock,
    bytes: usize,
    began: Duration,
    worked_before: Duration,
}

impl<'c> GiveWay<'c> {
    /// Begins the measurement for one piece of work, such as an object, which the calling thread does from
    /// now on.
    pub fn new(clock: &'c dyn Clock) -> Self {
        Self { clock, bytes: 0, began: clock.monotonic(), worked_before: thread_time() }
    }

    /// Call this after each `bytes` of lines.
    pub fn after(&mut self, bytes: usize) {
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

/// Whether a thread offers its core. `passed` is the time since it began, `worked` its own processor time.
fn gives_way(passed: Duration, worked: Duration) -> bool {
    passed <= worked * (1 + WAITS_FOR_WORK)
}

/// Processor time of this thread.
fn thread_time() -> Duration {
    // A thread's time is never negative.
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoder_keeps_a_tenth_of_the_time() {
        let ms = Duration::from_millis;
        assert!(gives_way(ms(0), ms(0)));
        assert!(gives_way(ms(50), ms(50)), "alone on its core");
        assert!(gives_way(ms(1_000), ms(100)));
        assert!(!gives_way(ms(1_001), ms(100)));
    }

    #[test]
    fn the_time_of_a_working_thread_grows() {
        let before = thread_time();
        while thread_time() == before {
            std::hint::spin_loop();
        }
    }
}
