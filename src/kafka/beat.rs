//! Whether the calls of a thread return. A library whose call hangs keeps everything else of its thread from
//! being done, so the partitions of that thread must go to another process.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::time::whole_millis;

/// A call that has not returned for this long hangs. All calls have time-outs far below.
pub(crate) const HANGS_AFTER: Duration = Duration::from_secs(300);

/// When a thread was last seen between two calls.
#[derive(Debug)]
pub(crate) struct Beat(AtomicU64);

impl Default for Beat {
    /// No call has begun yet.
    fn default() -> Self {
        Self(AtomicU64::new(RESTS))
    }
}

/// No call is under way, whatever the thread waits for.
const RESTS: u64 = u64::MAX;

impl Beat {
    /// The thread is between two calls, at this time of the monotonic clock.
    pub(crate) fn lives(&self, now: Duration) {
        self.0.store(u64::try_from(now.as_millis()).unwrap_or(RESTS - 1), Ordering::Release);
    }

    /// The thread makes no call until it lives again: it waits for something else, or has ended.
    pub(crate) fn rests(&self) {
        self.0.store(RESTS, Ordering::Release);
    }

    /// Whether a call hangs.
    pub(crate) fn hangs(&self, now: Duration) -> bool {
        let at = self.0.load(Ordering::Acquire);
        at != RESTS && whole_millis(now).saturating_sub(at) >= whole_millis(HANGS_AFTER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_rests_or_returns_does_not_hang() {
        let (beat, minutes) = (Beat::default(), |minutes: u64| Duration::from_secs(60 * minutes));
        assert!(!beat.hangs(minutes(1_000)), "it has not begun");
        beat.lives(minutes(10));
        assert!(!beat.hangs(minutes(14)) && beat.hangs(minutes(15)));
        beat.lives(minutes(15));
        assert!(!beat.hangs(minutes(19)));
        beat.rests();
        assert!(!beat.hangs(minutes(1_000)));
    }
}
