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

/// Without a look for so long, the whole process was stopped.
const STOPPED_FOR: Duration = Duration::from_secs(10);
/// How long its threads may take to go on then.
const AWAKE_AFTER: Duration = Duration::from_secs(60);

/// Whether the threads of this process had the time to beat: it may have been stopped as a whole.
#[derive(Debug)]
pub(crate) struct Awake {
    looked: Duration,
    not_before: Duration,
}

impl Awake {
    /// Now it is, by the monotonic clock.
    pub(crate) fn at(now: Duration) -> Self {
        Self { looked: now, not_before: Duration::ZERO }
    }

    /// Looks, at this time. Whoever asks does so once a second.
    pub(crate) fn is_awake(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.looked) >= STOPPED_FOR {
            self.not_before = now.saturating_add(AWAKE_AFTER);
        }
        self.looked = now;
        now >= self.not_before
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

    #[test]
    fn a_process_that_was_stopped_has_a_minute_to_come_to_life() {
        let secs = Duration::from_secs;
        let mut awake = Awake::at(secs(100));
        let mut asleep: Vec<u64> = (101..=110).chain(400..500).collect();
        asleep.retain(|now| !awake.is_awake(secs(*now)));
        assert_eq!(asleep, (400..460).collect::<Vec<_>>());
    }
}
