//! The ledger as gauges.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;

use super::ledger_view;
use super::removed_sources::removed_name;
use crate::admin::LedgerCounts;
use crate::lock::lock;
use crate::log::{AccountKey, Report, Row};
use crate::metrics::{AccountLabel, Metrics, StreamAccountLabel};

/// The name of a gauge of the ledger: the source, and the stream unless it is that of the calls.
type LedgerSeries = (String, Option<String>);

/// The accounts whose gauges exist.
#[derive(Debug, Default)]
pub(super) struct LedgerGauges(Mutex<BTreeSet<LedgerSeries>>);

impl LedgerGauges {
    /// Shows the ledger as gauges, and removes the gauges of accounts that are forgotten. `report` makes a report of
    /// all totals.
    pub(super) fn refresh(&self, metrics: &Metrics, report: impl FnOnce() -> Report) {
        // The lock stays held, so that of two scrapes at once none shows again what the other has removed.
        let mut shown = lock(&self.0);
        let rows = ledger_series(&report());
        for (source, stream) in shown.iter().filter(|series| !rows.contains_key(*series)) {
            for (account, _) in accounts(&LedgerCounts::default()) {
                let source = source.clone();
                match stream.clone() {
                    None => metrics.ledger_calls.remove(&AccountLabel { source, account }),
                    Some(stream) => {
                        metrics.ledger_streams.remove(&StreamAccountLabel { source, stream, account })
                    }
                };
            }
        }
        for ((source, stream), row) in &rows {
            for (account, lines) in accounts(&ledger_view::counts(row)) {
                let lines = i64::try_from(lines).unwrap_or(i64::MAX);
                let source = source.clone();
                match stream.clone() {
                    None => {
                        let label = AccountLabel { source, account };
                        metrics.ledger_calls.get_or_create(&label).set(lines);
                    }
                    Some(stream) => {
                        let label = StreamAccountLabel { source, stream, account };
                        metrics.ledger_streams.get_or_create(&label).set(lines);
                    }
                }
            }
        }
        *shown = rows.into_keys().collect();
    }
}

/// The ledger's totals by the gauges that show them. Forgotten sources have a name that no source can have.
fn ledger_series(report: &Report) -> BTreeMap<LedgerSeries, Row> {
    let stream_of = |account: &AccountKey| (!account.is_of_calls()).then(|| account.stream().to_string());
    let of_sources =
        report.accounts.iter().map(|of| ((of.account.source.to_string(), stream_of(&of.account)), of.total));
    let mut rows: BTreeMap<LedgerSeries, Row> = of_sources.collect();
    let removed = &report.removed;
    if !removed.is_none() {
        let name = removed_name(removed.sources);
        let dead = removed.dead.iter().map(|(destination, row)| (Some(format!("dead/{destination}")), row));
        let objects = Some(&removed.objects).filter(|row| !row.is_zero());
        let streams = objects.map(|row| (Some("objects".to_owned()), row)).into_iter().chain(dead);
        let all = std::iter::once((None, &removed.calls)).chain(streams);
        rows.extend(all.map(|(stream, row)| ((name.clone(), stream), *row)));
    }
    rows
}

/// The counts that are gauges, with the names of their accounts.
fn accounts(counts: &LedgerCounts) -> [(&'static str, u64); 8] {
    [
        ("received", counts.received),
        ("stored", counts.stored),
        ("rejected", counts.rejected),
        ("repeated", counts.repeated),
        ("suppressed", counts.suppressed),
        ("delivered", counts.delivered),
        ("pending", counts.pending),
        ("lost", counts.lost),
    ]
}
