//! The logs of a node, and what they report together: ledgers add up, a day is closed if it is so in every
//! log, and a receipt is found in the log that it names.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;

use crate::delivery::progress::SourceProgress;
use crate::delivery::{Delivery, Flushed};
use crate::log::{DaysReport, OpenBatch, PendingSeal, Report, Reports, Rows, Usage, sum_of_undelivered};
use crate::object::S3Location;
use crate::receipt::Receipt;
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};

/// A log with its delivery.
#[derive(Clone, Debug)]
pub(super) struct NodeLog {
    pub(super) log: Arc<dyn Reports>,
    pub(super) delivery: Delivery,
}

/// An open batch, with the delivery of its log.
pub(super) type NodeBatch<'l> = (OpenBatch, &'l Delivery);

/// All logs of a node.
#[derive(Debug)]
pub(super) struct NodeLogs(Vec<NodeLog>);

impl NodeLogs {
    pub(super) fn new(logs: Vec<NodeLog>) -> Self {
        Self(logs)
    }

    fn logs(&self) -> impl Iterator<Item = &Arc<dyn Reports>> {
        self.0.iter().map(|of| &of.log)
    }

    fn deliveries(&self) -> impl Iterator<Item = &Delivery> {
        self.0.iter().map(|of| &of.delivery)
    }

    /// The space of all.
    pub(super) fn usage(&self) -> Usage {
        Usage::sum(self.logs().map(|log| log.usage()))
    }

    /// The ledger of all. Each log's alarm follows its own differences.
    pub(super) fn ledger(&self, rows: Rows<'_>) -> Report {
        Report::sum(self.0.iter().map(|of| {
            let report = of.log.ledger(rows);
            of.delivery.judge_ledger(&report.differences);
            report
        }))
    }

    /// The days of all.
    pub(super) fn days(&self) -> DaysReport {
        let days =
            |log: &Arc<dyn Reports>| DaysReport { over: log.days_over(), unclosed: log.unclosed_days() };
        DaysReport::sum(self.logs().map(days))
    }

    /// The days whose closing waits in any log, and why.
    pub(super) fn waiting_to_close(&self) -> BTreeMap<(ReceivedDay, SourceId), String> {
        self.deliveries().flat_map(Delivery::waiting_to_close).collect()
    }

    /// By source: the undelivered calls, and when the first was received.
    pub(super) fn undelivered(&self) -> BTreeMap<SourceId, (u64, UnixMillis)> {
        sum_of_undelivered(self.logs().map(|log| log.undelivered()))
    }

    /// When the oldest undelivered call was received.
    pub(super) fn oldest_undelivered(&self) -> Option<UnixMillis> {
        self.logs().filter_map(|log| log.oldest_undelivered()).min()
    }

    /// Every open batch.
    pub(super) fn open_batches<'l>(&'l self) -> Vec<NodeBatch<'l>> {
        let of = |of: &'l NodeLog| of.log.open_batches().into_iter().map(|batch| (batch, &of.delivery));
        self.0.iter().flat_map(of).collect()
    }

    /// Passes each sealed object that the store is not known to have to `visit`, with the delivery of its
    /// log; oldest first in each log. `visit` must not call a log.
    pub(super) fn each_pending_seal<'l>(&'l self, visit: &mut dyn FnMut(&PendingSeal, &'l Delivery)) {
        for of in &self.0 {
            of.log.each_pending_seal(&mut |pending| visit(pending, &of.delivery));
        }
    }

    /// Sources that have undelivered calls, or were delivered.
    pub(super) fn sources(&self) -> BTreeSet<SourceId> {
        let delivered = self.deliveries().flat_map(|delivery| delivery.progress().sources());
        self.logs().flat_map(|log| log.sources()).chain(delivered).collect()
    }

    /// Every source of which a log keeps anything.
    pub(super) fn known_sources(&self) -> BTreeSet<SourceId> {
        self.logs().flat_map(|log| log.known_sources(&|_| true)).collect()
    }

    /// Where new calls of a source go.
    pub(super) fn current_location(&self, source: &SourceId) -> Option<S3Location> {
        self.logs().find_map(|log| log.current_location(source))
    }

    /// The progress of a source.
    pub(super) fn progress(&self, source: &SourceId) -> SourceProgress {
        SourceProgress::sum(self.deliveries().map(|delivery| delivery.progress().of(source)))
    }

    /// Why calls of a source are refused by a log, if they are.
    pub(super) fn why_refused(&self, source: &SourceId) -> Option<String> {
        self.deliveries().find_map(|delivery| delivery.why_refused(source))
    }

    /// One of the failures of puts.
    pub(super) fn what_fails(&self) -> Option<String> {
        self.deliveries().find_map(Delivery::what_fails)
    }

    /// Why a log has stopped, if one has.
    pub(super) fn stopped(&self) -> Option<Arc<str>> {
        self.logs().find_map(|log| log.stopped().borrow().clone())
    }

    /// The log of a receipt.
    pub(super) fn of_receipt(&self, receipt: &Receipt) -> Option<&NodeLog> {
        self.0.iter().find(|of| of.log.spool_id() == receipt.spool_id)
    }

    /// Flushes all logs at once, and waits as [`Delivery::flush`] does.
    pub(super) async fn flush(&self, source: Option<&SourceId>, wait: Duration) -> Flushed {
        let mut flushes = JoinSet::new();
        for delivery in self.deliveries() {
            let (delivery, source) = (delivery.clone(), source.cloned());
            flushes.spawn(async move { delivery.flush(source.as_ref(), wait).await });
        }
        Flushed::sum(flushes.join_all().await)
    }

    /// Brings the gauges of all up to date.
    pub(super) fn refresh_gauges(&self) {
        self.deliveries().for_each(Delivery::refresh_gauges);
    }
}
