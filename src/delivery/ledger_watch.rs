//! Looks whether the two sides of the spool's ledger meet, and raises an alarm where they do not.

use std::time::Duration;

use super::Inner;
use crate::alarms::AlarmKind;
use crate::spool::ledger::Difference;

/// How often it is looked. A look at 10,000 sources takes some milliseconds.
const EVERY: Duration = Duration::from_secs(10);
/// What the alarm is about.
const SUBJECT: &str = "counts";

/// When the next look is due.
#[derive(Debug, Default)]
pub(super) struct LedgerWatch {
    next: Duration,
}

impl LedgerWatch {
    /// Looks, where that is due.
    pub(super) fn look(&mut self, inner: &Inner) {
        let now = inner.parts.clock.monotonic();
        if now >= self.next {
            self.next = now.saturating_add(EVERY);
            inner.judge_ledger(&inner.parts.outlet.ledger_differences());
        }
    }
}

impl Inner {
    /// Raises the alarm where there are differences, and takes it back where there are none.
    pub(super) fn judge_ledger(&self, differences: &[Difference]) {
        self.parts.metrics.ledger_difference.set(i64::try_from(differences.len()).unwrap_or(i64::MAX));
        let Some(first) = differences.first() else {
            self.parts.alarms.clear(AlarmKind::Ledger, SUBJECT);
            return;
        };
        let what = format!(
            "the ledger does not balance, in {} places, the first: {first}; calls may be missing or doubled, or are counted \
             wrong: see /api/ledger, hold the bucket against it with `forebay verify`, and report it with the log",
            differences.len()
        );
        self.parts.alarms.raise(AlarmKind::Ledger, SUBJECT, what);
    }
}
