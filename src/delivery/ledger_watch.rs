//! Checks whether the ledger of the spool balances, and raises an alarm if it does not.

use std::time::Duration;

use super::shared::Shared;
use crate::alarms::AlarmKind;
use crate::log::Difference;
use crate::words::counted;

/// How often the ledger is checked. Checking 10,000 sources takes some milliseconds.
const EVERY: Duration = Duration::from_secs(10);
/// The subject of the alarm.
const SUBJECT: &str = "counts";

/// When the next check is due.
#[derive(Debug, Default)]
pub(super) struct LedgerWatch {
    next: Duration,
}

impl LedgerWatch {
    /// Checks the ledger, if that is due.
    pub(super) fn look(&mut self, shared: &Shared) {
        let now = shared.deps.clock.monotonic();
        if now >= self.next {
            self.next = now.saturating_add(EVERY);
            judge(shared, &shared.deps.log.ledger_differences());
        }
    }
}

/// Raises the alarm if there are differences, and clears it if there are none.
pub(super) fn judge(shared: &Shared, differences: &[Difference]) {
    shared.deps.metrics.ledger_difference.set(i64::try_from(differences.len()).unwrap_or(i64::MAX));
    let Some(first) = differences.first() else {
        shared.deps.alarms.clear(AlarmKind::Ledger, SUBJECT);
        return;
    };
    let what = format!(
        "the ledger does not balance: {}, the first: {first}; calls may be missing, duplicated or miscounted: see \
         /api/ledger, check the bucket with `forebay verify`, and report this with the log",
        counted(differences.len() as u64, "difference", "differences")
    );
    shared.deps.alarms.raise(AlarmKind::Ledger, SUBJECT, what);
}
