//! Brokers that say that a log ends before what is known of it: whether it was cut.
//!
//! One that leads no more, and does not know it, says so too, and a client that knows of no other may ask it. That a log was
//! cut is noted for ever, so it must be what all say, for a while, each time to a client that knows nothing of them.

use std::time::Duration;

/// How long they must say so.
const SHORT_FOR: Duration = Duration::from_secs(30);
/// How often one is asked.
const ASK_EVERY: Duration = Duration::from_secs(3);
/// What was said longer ago says nothing of the time between.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(15);

/// Since when they say so, and when one was asked last, by the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub(super) struct Short {
    since: Duration,
    asked: Duration,
}

impl Short {
    /// One says so now. `before` is what others said.
    pub(super) fn said(before: Option<Self>, now: Duration) -> Self {
        let before = before.filter(|before| now.saturating_sub(before.asked) <= FORGOTTEN_AFTER);
        Self { since: before.map_or(now, |before| before.since), asked: now }
    }

    /// Whether all have said so for long enough.
    pub(super) fn is_cut(self) -> bool {
        self.asked.saturating_sub(self.since) >= SHORT_FOR
    }

    /// Whether it is too early to ask again.
    pub(super) fn rests(self, now: Duration) -> bool {
        now.saturating_sub(self.asked) < ASK_EVERY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_was_cut_if_brokers_say_so_again_and_again_for_half_a_minute() {
        let said = |at: &[u64]| {
            let said = |before, at: &u64| Some(Short::said(before, Duration::from_secs(*at)));
            at.iter().fold(None, said).unwrap()
        };
        assert!(!said(&[100]).is_cut() && !said(&[100, 115, 129]).is_cut());
        assert!(said(&[100, 115, 130]).is_cut());
        assert!(!said(&[100, 116, 131]).is_cut(), "what others said between is not known");
        let one = said(&[100]);
        assert!(one.rests(Duration::from_secs(102)) && !one.rests(Duration::from_secs(103)));
    }
}
