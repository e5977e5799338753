//! Shows the spool's ledger on the admin listener.

use crate::admin::{
    Ledger, LedgerCounts, LedgerHour, LedgerRows, LedgerSource, LedgerStatus, LedgerStream, RemovedCounts,
};
use crate::log::{AccountReport, Difference, Removed, Report, Row};
use crate::object::Stream;
use crate::words::rfc3339;

/// The most differences that are listed.
const SHOWN_MAX: usize = 100;
/// The most differences that are listed in the status.
const SHOWN_IN_STATUS: usize = 5;

/// The ledger of all sources, or, without `removed`, of one.
pub(super) fn ledger(report: &Report, removed: Option<&Removed>) -> Ledger {
    let mut totals = Row::default();
    let of_calls = report.accounts.iter().filter(|of| of.account.is_of_calls());
    of_calls.for_each(|of| totals.add(&of.total));
    let removed = removed.filter(|removed| !removed.is_none());
    removed.into_iter().for_each(|removed| totals.add(&removed.calls));
    let mut sources: Vec<LedgerSource> = Vec::new();
    for of in &report.accounts {
        let name = of.account.source.to_string();
        if sources.last().is_none_or(|last| last.source != name) {
            sources.push(LedgerSource { source: name, ..LedgerSource::default() });
        }
        let Some(source) = sources.last_mut() else { continue };
        if of.account.is_of_calls() {
            source.calls = rows(of);
        } else {
            let stream = of.account.stream().to_string();
            source.streams.push(LedgerStream { stream, lines: rows(of) });
        }
    }
    Ledger {
        balanced: report.differences.is_empty(),
        differences: texts(&report.differences, SHOWN_MAX),
        difference_count: report.differences.len() as u64,
        lost_positions: report.lost_positions,
        lost_uncounted: report.lost_uncounted,
        totals: counts(&totals),
        sources,
        removed: removed.map(removed_counts),
    }
}

fn removed_counts(removed: &Removed) -> RemovedCounts {
    RemovedCounts {
        sources: removed.sources,
        calls: counts(&removed.calls),
        object_sets: counts(&removed.objects),
        dead_letters: counts(&removed.all_dead()),
    }
}

fn rows(of: &AccountReport) -> LedgerRows {
    let hours = of.hours.iter();
    let hours = hours.map(|(hour, row)| LedgerHour { hour: rfc3339(hour.start()), counts: counts(row) });
    LedgerRows { totals: counts(&of.total), earlier: counts(&of.earlier), hours: hours.collect() }
}

/// A summary of the ledger.
pub(super) fn summary(report: &Report) -> LedgerStatus {
    let mut all = report.removed.clone();
    report.accounts.iter().for_each(|of| all.add(&of.account, &of.total));
    LedgerStatus {
        balanced: report.differences.is_empty(),
        differences: texts(&report.differences, SHOWN_IN_STATUS),
        totals: counts(&all.calls),
        object_sets: counts(&all.objects),
        dead_letters: counts(&all.all_dead()),
        removed: (!report.removed.is_none()).then(|| removed_counts(&report.removed)),
    }
}

fn texts(differences: &[Difference], most: usize) -> Vec<String> {
    differences.iter().take(most).map(ToString::to_string).collect()
}

/// The counts of a row. If more is delivered than was stored, nothing is pending, and a difference reports
/// this.
pub(super) fn counts(row: &Row) -> LedgerCounts {
    LedgerCounts {
        received: row.received,
        stored: row.stored,
        rejected: row.rejected,
        repeated: row.repeated,
        suppressed: row.suppressed,
        delivered: row.delivered,
        pending: row.pending(&Stream::Calls).unwrap_or(0),
        lost: row.lost,
        rejected_delivered: row.rejected_delivered,
        rejected_pending: row.pending(&Stream::Rejected).unwrap_or(0),
        rejected_lost: row.rejected_lost,
    }
}
