//! What is counted of an import since the process began, whatever its settings were meanwhile.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;
use std::time::Duration;

use crate::admin::ImportTotals;
use crate::import::bucket_import::{Became, PassReport, RetryReport};
use crate::import::notifications::MessageBecame;
use crate::lock::lock;
use crate::time::UnixMillis;

/// How long requests are counted.
const HOUR: Duration = Duration::from_secs(3_600);
/// Requests within this time are counted together.
const TOGETHER: Duration = Duration::from_secs(60);

/// The counts of an import. Other settings make another import of it, which goes on with these.
#[derive(Debug, Default)]
pub(super) struct SinceStart {
    totals: Mutex<ImportTotals>,
    messages: Mutex<Messages>,
    /// When requests of listings were made, and how many.
    list_requests: Mutex<VecDeque<(UnixMillis, u64)>>,
}

/// What its queue brought.
#[derive(Clone, Debug, Default)]
pub(super) struct Messages {
    pub(super) received: u64,
    pub(super) last: Option<UnixMillis>,
    pub(super) ended: BTreeMap<MessageBecame, u64>,
}

impl SinceStart {
    /// Counts a pass that ends now.
    pub(super) fn passed(&self, report: &PassReport, now: UnixMillis) {
        self.listed(report.list_requests, now);
        let sum = &mut *lock(&self.totals);
        sum.done += report.files_that(Became::Done);
        sum.rows += report.rows;
        sum.stored += report.stored;
        sum.repeats += report.repeats;
        sum.rejected += report.rejected;
        sum.skipped_rows += report.skipped_rows;
    }

    /// Counts rejected rows that were read again: calls that were stored, and rows that are no longer rejected.
    pub(super) fn retried(&self, report: &RetryReport) {
        let sum = &mut *lock(&self.totals);
        sum.stored_again += report.stored;
        sum.settled += report.outcome.settled;
    }

    /// Counts rejected rows without which a person does.
    pub(super) fn accepted(&self, rows: u64) {
        lock(&self.totals).accepted += rows;
    }

    /// What all passes did, and commands about rejected rows; `None`: nothing.
    pub(super) fn totals(&self) -> Option<ImportTotals> {
        Some(*lock(&self.totals)).filter(|sum| *sum != ImportTotals::default())
    }

    fn listed(&self, requests: u64, now: UnixMillis) {
        let mut listed = lock(&self.list_requests);
        while listed.front().is_some_and(|(at, _)| *at < now.minus(HOUR)) {
            listed.pop_front();
        }
        match listed.back_mut().filter(|(at, _)| *at > now.minus(TOGETHER)) {
            Some((_, count)) => *count += requests,
            None => listed.push_back((now, requests)),
        }
    }

    /// Requests of listings in the last hour.
    pub(super) fn list_requests_of_last_hour(&self, now: UnixMillis) -> u64 {
        lock(&self.list_requests)
            .iter()
            .filter(|(at, _)| *at >= now.minus(HOUR))
            .map(|(_, count)| count)
            .sum()
    }

    /// Counts a message that was received.
    pub(super) fn received(&self, now: UnixMillis) {
        let messages = &mut *lock(&self.messages);
        messages.received += 1;
        messages.last = Some(now);
    }

    /// Counts what became of a message.
    pub(super) fn ended(&self, became: MessageBecame) {
        *lock(&self.messages).ended.entry(became).or_default() += 1;
    }

    /// What the queue brought.
    pub(super) fn messages(&self) -> Messages {
        lock(&self.messages).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::bucket_import::RetryOutcome;

    /// Retries changed what the passes had counted, so after a start there were calls of no rows, and rows that a
    /// person had accepted were nowhere.
    #[test]
    fn rows_that_were_read_again_or_accepted_are_counted_beside_those_of_passes() {
        let counts = SinceStart::default();
        let retried = RetryOutcome { settled: 9, ..RetryOutcome::default() };
        counts.retried(&RetryReport { stored: 7, outcome: retried, ..RetryReport::default() });
        counts.accepted(1);
        let pass = PassReport {
            rows: 20,
            stored: 13,
            repeats: 1,
            rejected: 5,
            skipped_rows: 1,
            ..PassReport::default()
        };
        counts.passed(&pass, UnixMillis(0));
        let all = counts.totals().unwrap();
        assert_eq!(all.rows, all.stored + all.repeats + all.rejected + all.skipped_rows);
        assert_eq!((all.rejected, all.settled, all.stored_again, all.accepted), (5, 9, 7, 1));
    }

    #[test]
    fn requests_of_listings_are_counted_for_an_hour() {
        let (counts, minute) = (SinceStart::default(), |minute: i64| UnixMillis(minute * 60_000));
        let pass = |requests| PassReport { list_requests: requests, ..PassReport::default() };
        counts.passed(&pass(2), minute(0));
        counts.passed(&pass(3), UnixMillis(1_000));
        counts.passed(&pass(7), minute(30));
        let at = |now: i64| counts.list_requests_of_last_hour(minute(now));
        assert_eq!([at(31), at(60), at(61), at(91)], [12, 12, 7, 0]);
    }
}
