//! What the scheduler watches beside the batches: the gauges of the spool, its ledger, and the wall clock.

use std::time::Duration;

use super::shared::Shared;
use crate::alarms::AlarmKind;
use crate::log::Difference;
use crate::time::UnixMillis;
use crate::words::counted;

/// How often the ledger is checked. Checking 10,000 sources takes some milliseconds.
const LEDGER_EVERY: Duration = Duration::from_secs(10);
/// The subject of the alarm about it.
const SUBJECT: &str = "counts";
/// Steps back up to this long are usual for time services, and are ignored.
pub(super) const UNNOTICED: Duration = Duration::from_secs(60);

/// Brings the gauges of the spool, and of what waits in it, up to date.
pub(super) fn refresh_gauges(shared: &Shared) {
    let (usage, oldest) = (shared.deps.log.usage(), shared.deps.log.oldest_undelivered());
    shared.read(|reading| (reading.usage, reading.oldest_undelivered) = (usage, oldest));
}

/// When the next check of the ledger is due.
#[derive(Debug, Default)]
pub(super) struct LedgerWatch {
    next: Duration,
}

impl LedgerWatch {
    /// Checks the ledger, if that is due.
    pub(super) fn look(&mut self, shared: &Shared) {
        let now = shared.deps.clock.monotonic();
        if now >= self.next {
            self.next = now.saturating_add(LEDGER_EVERY);
            judge_ledger(shared, &shared.deps.log.ledger_differences());
        }
    }
}

/// Raises the alarm if there are differences, and clears it if there are none.
pub(super) fn judge_ledger(shared: &Shared, differences: &[Difference]) {
    shared.read(|reading| reading.differences = differences.len());
    let Some(first) = differences.first() else {
        shared.deps.alarms.clear(AlarmKind::Ledger, SUBJECT);
        return;
    };
    let what = format!(
        "the ledger does not balance: {}, the first: {first}; calls may be missing, duplicated or miscounted: see \
         /api/ledger, check the bucket with `forebay verify BUCKET`, and report this with the log",
        counted(differences.len() as u64, "difference", "differences")
    );
    shared.deps.alarms.raise(AlarmKind::Ledger, SUBJECT, what);
}

/// The last reading of both clocks. Notices that the wall clock was set back, by comparing them.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockWatch {
    wall: UnixMillis,
    monotonic: Duration,
}

impl ClockWatch {
    /// Starts with a reading of both clocks.
    pub(super) fn new(wall: UnixMillis, monotonic: Duration) -> Self {
        Self { wall, monotonic }
    }

    /// Takes the next reading. Returns what the wall clock should have shown, if it is more than
    /// [`UNNOTICED`] behind.
    pub(super) fn read(&mut self, wall: UnixMillis, monotonic: Duration) -> Option<UnixMillis> {
        let expected = self.wall.plus(monotonic.saturating_sub(self.monotonic));
        *self = Self { wall, monotonic };
        (expected.since(wall) > UNNOTICED).then_some(expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_long_step_back_is_noticed_and_only_once() {
        let at = |seconds: i64| UnixMillis(seconds * 1_000);
        let mut watch = ClockWatch::new(at(1_000), Duration::from_secs(5));
        assert_eq!(watch.read(at(1_010), Duration::from_secs(15)), None);
        assert_eq!(watch.read(at(9_000), Duration::from_secs(16)), None, "a step forward");
        assert_eq!(watch.read(at(8_950), Duration::from_secs(20)), None, "a short step back");
        assert_eq!(watch.read(at(100), Duration::from_secs(21)), Some(at(8_951)));
        assert_eq!(watch.read(at(101), Duration::from_secs(22)), None);
    }
}
