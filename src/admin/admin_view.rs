//! What the rest of the process gives to the admin side.

use std::time::Duration;

use crate::boxed_future::BoxFuture;
use crate::receipt::Receipt;
use crate::sources::SourceId;

use super::conflicts::{AskedDecision, NotResolved, Resolved};
use super::days::Days;
use super::history::History;
use super::ledger::Ledger;
use super::node_status::NodeStatus;
use super::receipt_status::ReceiptStatus;
use super::sdks::SdkAddress;
use super::status::Status;

/// What the process shows of itself, and what an operator can do. All methods except `flush`, `receipt` and
/// `resolve` return at once.
pub trait AdminView: Send + Sync {
    /// Whether the process can take calls.
    /// Errors: the reasons why it cannot, one sentence each; at least one.
    fn ready(&self) -> Result<(), Vec<String>>;

    /// The whole state.
    fn status(&self) -> Status;

    /// Samples of the last ten minutes.
    fn history(&self) -> History;

    /// The process, its machine and its configuration.
    fn node(&self) -> NodeStatus;

    /// Where SDKs reach the collector, and the write key of a source, or a placeholder for the key.
    fn sdk_address(&self, source: Option<&SourceId>) -> Result<SdkAddress, AdminError>;

    /// The days that are not closed, of one source or of all.
    fn days(&self, source: Option<&SourceId>) -> Days;

    /// The ledger, of one source or of all.
    fn ledger(&self, source: Option<&SourceId>) -> Result<Ledger, AdminError>;

    /// Makes the buffered calls of one source, or of all, due, and waits at most `wait` until they are
    /// delivered. Dropping the future ends only the wait: due batches are delivered anyway.
    fn flush(
        &self,
        source: Option<SourceId>,
        wait: Duration,
    ) -> BoxFuture<'_, Result<FlushOutcome, AdminError>>;

    /// Looks up the state of the calls of a receipt. Waits for the disk.
    fn receipt(&self, receipt: Receipt) -> BoxFuture<'_, Result<ReceiptStatus, AdminError>>;

    /// Notes what a person decided about a conflict of a partition. Waits for brokers. Dropping the future ends only
    /// the wait. A process without partitions refuses.
    fn resolve(&self, _asked: AskedDecision) -> BoxFuture<'_, Result<Resolved, NotResolved>> {
        Box::pin(std::future::ready(Err(NotResolved::NoPartitions)))
    }

    /// Updates the gauges that are not kept current (ages, time left), before metrics are rendered.
    fn refresh_metrics(&self);
}

/// The result of a flush when the wait ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FlushOutcome {
    /// Objects that were sealed.
    pub sealed: u64,
    /// Sealed objects that the store has confirmed.
    pub delivered: u64,
    /// Due batches that are not delivered yet. They will be delivered without another request.
    pub pending: u64,
}

/// Why the process does not show or do what is asked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdminError {
    /// No such source, now, in the ledger or in the spool.
    #[error("there is no source {0}")]
    UnknownSource(SourceId),
    /// The spool has stopped, or the process is shutting down (which delivers buffered calls by itself).
    #[error("the spool has stopped")]
    Stopped,
    /// A collector in front of Kafka holds nothing that it has acknowledged.
    #[error("a collector in front of Kafka holds no calls: ask the writers of the log (--admin)")]
    OfWriters,
    /// A receipt could not be looked up.
    #[error("the spool could not be read: {0}")]
    Unread(String),
}
