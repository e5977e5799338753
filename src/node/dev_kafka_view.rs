//! Shows a collector and the writers of its log, which run in one process, as one.

use std::sync::Arc;
use std::time::Duration;

use super::kafka_collector::view::CollectorView;
use super::writer::view::WriterView;
use crate::admin::{
    AdminError, AdminView, AskedDecision, Days, FlushOutcome, History, KafkaStatus, Ledger, NodeStatus,
    NotResolved, ReceiptStatus, Resolved, SdkAddress, Status,
};
use crate::boxed_future::BoxFuture;
use crate::receipt::Receipt;
use crate::sources::SourceId;

/// What is shown of a process that takes calls and delivers them.
#[derive(Debug)]
pub(super) struct DevKafkaView {
    pub(super) intake: Arc<CollectorView>,
    pub(super) writers: Arc<WriterView>,
}

impl AdminView for DevKafkaView {
    fn ready(&self) -> Result<(), Vec<String>> {
        let mut reasons: Vec<String> = Vec::new();
        for side in [self.intake.ready(), self.writers.ready()] {
            for reason in side.err().unwrap_or_default() {
                if !reasons.contains(&reason) {
                    reasons.push(reason);
                }
            }
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    fn status(&self) -> Status {
        let (taken, delivered) = (self.intake.status(), self.writers.status());
        let sending = taken.kafka.and_then(|kafka| kafka.sending);
        // The counts and alarms of the process are in both.
        Status {
            ready: self.ready().is_ok(),
            not_ready: self.ready().err().unwrap_or_default(),
            refusals: taken.refusals,
            refused_requests: taken.refused_requests,
            kafka: delivered.kafka.map(|kafka| KafkaStatus { role: "dev".to_owned(), sending, ..kafka }),
            ..delivered
        }
    }

    fn history(&self) -> History {
        self.writers.history()
    }

    fn node(&self) -> NodeStatus {
        let (taken, delivered) = (self.intake.node(), self.writers.node());
        NodeStatus { put: delivered.put, put_failures: delivered.put_failures, ..taken }
    }

    fn sdk_address(&self, source: Option<&SourceId>) -> Result<SdkAddress, AdminError> {
        self.intake.sdk_address(source)
    }

    fn days(&self, source: Option<&SourceId>) -> Days {
        self.writers.days(source)
    }

    fn ledger(&self, source: Option<&SourceId>) -> Result<Ledger, AdminError> {
        self.writers.ledger(source)
    }

    fn flush(
        &self,
        source: Option<SourceId>,
        wait: Duration,
    ) -> BoxFuture<'_, Result<FlushOutcome, AdminError>> {
        self.writers.flush(source, wait)
    }

    fn receipt(&self, receipt: Receipt) -> BoxFuture<'_, Result<ReceiptStatus, AdminError>> {
        self.writers.receipt(receipt)
    }

    fn resolve(&self, asked: AskedDecision) -> BoxFuture<'_, Result<Resolved, NotResolved>> {
        self.writers.resolve(asked)
    }

    fn refresh_metrics(&self) {
        self.writers.refresh_metrics();
        self.intake.refresh_metrics();
        // Both set it for their own side.
        self.intake.set_ready(self.ready().is_ok());
    }
}
