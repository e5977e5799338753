//! The spool's ledger, as shown by the admin listener.

use crate::admin::{Ledger, LedgerCounts, LedgerHour, LedgerSource, LedgerStatus};
use crate::log::{Difference, Report, Row};
use crate::object::Stream;
use crate::sources::SourceId;
use crate::words::rfc3339;

/// The most differences that are listed.
const SHOWN_MAX: usize = 100;
/// The most differences that are listed in the status.
const SHOWN_IN_STATUS: usize = 5;

/// The whole ledger.
pub(super) fn ledger(report: &Report) -> Ledger {
    let mut totals = Row::default();
    report.sources.iter().for_each(|source| totals.add(&source.total));
    Ledger {
        balanced: report.differences.is_empty(),
        differences: texts(&report.differences, SHOWN_MAX),
        difference_count: report.differences.len() as u64,
        lost_positions: report.lost_positions,
        totals: counts(&totals),
        sources: report
            .sources
            .iter()
            .map(|source| LedgerSource {
                source: source.source.to_string(),
                totals: counts(&source.total),
                earlier: counts(&source.earlier),
                hours: source
                    .hours
                    .iter()
                    .map(|(hour, row)| LedgerHour { hour: rfc3339(hour.start()), counts: counts(row) })
                    .collect(),
            })
            .collect(),
    }
}

/// A summary of the ledger.
pub(super) fn summary(totals: &[(SourceId, Row)], differences: &[Difference]) -> LedgerStatus {
    let mut all = Row::default();
    totals.iter().for_each(|(_, row)| all.add(row));
    LedgerStatus {
        balanced: differences.is_empty(),
        differences: texts(differences, SHOWN_IN_STATUS),
        totals: counts(&all),
    }
}

fn texts(differences: &[Difference], most: usize) -> Vec<String> {
    differences.iter().take(most).map(ToString::to_string).collect()
}

/// A row's counts. If more is delivered than was stored, nothing is pending, and a difference reports this.
pub(super) fn counts(row: &Row) -> LedgerCounts {
    LedgerCounts {
        received: row.received,
        stored: row.stored,
        rejected: row.rejected,
        repeated: row.repeated,
        suppressed: row.suppressed,
        delivered: row.delivered,
        pending: row.pending(Stream::Calls).unwrap_or(0),
        lost: row.lost,
        rejected_delivered: row.rejected_delivered,
        rejected_pending: row.pending(Stream::Rejected).unwrap_or(0),
        rejected_lost: row.rejected_lost,
    }
}
