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

/// Since when they say so, when one was asked last, by the monotonic clock, and the least end that one has said.
#[derive(Clone, Copy, Debug)]
pub(super) struct Short {
    since: Duration,
    asked: Duration,
    end: u64,
}

impl Short {
    /// One says now that the log ends here. `before` is what others said.
    pub(super) fn said(before: Option<Self>, now: Duration, end: u64) -> Self {
        let before = before.filter(|before| now.saturating_sub(before.asked) <= FORGOTTEN_AFTER);
        let (since, least) = before.map_or((now, end), |before| (before.since, before.end));
        Self { since, asked: now, end: least.min(end) }
    }

    /// Where the log was cut at the latest: what stands behind came in since.
    pub(super) fn end(self) -> u64 {
        self.end
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
            let said = |before, at: &u64| Some(Short::said(before, Duration::from_secs(*at), at / 2));
            at.iter().fold(None, said).unwrap()
        };
        assert!(!said(&[100]).is_cut() && !said(&[100, 115, 129]).is_cut());
        assert!(said(&[100, 115, 130]).is_cut());
        assert!(!said(&[100, 116, 131]).is_cut(), "what others said between is not known");
        assert_eq!(said(&[100, 115, 130]).end(), 50, "the log grows");
        assert_eq!(said(&[100, 116, 131]).end(), 58);
        let one = said(&[100]);
        assert!(one.rests(Duration::from_secs(102)) && !one.rests(Duration::from_secs(103)));
    }
}
