//! What the admin side is given by the rest of the process.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use crate::receipt::Receipt;
use crate::sources::SourceId;

use super::days::Days;
use super::ledger::Ledger;
use super::receipt_status::ReceiptStatus;
use super::status::Status;

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What the process shows of itself, and lets an operator do. Every method but `flush` and `receipt` answers at once.
pub trait AdminView: Send + Sync {
    /// Whether it can take calls.
    ///
    /// # Errors
    /// Why not, one sentence each; at least one.
    fn ready(&self) -> Result<(), Vec<String>>;

    /// The state of everything.
    fn status(&self) -> Status;

    /// The days that are not closed, of one source or of all.
    fn days(&self, source: Option<&SourceId>) -> Days;

    /// The ledger, of one source or of all.
    ///
    /// # Errors
    /// [`UnknownSource`].
    fn ledger(&self, source: Option<&SourceId>) -> Result<Ledger, UnknownSource>;

    /// Makes what is buffered (of one source, or of all) due, and waits up to `wait` until it is delivered.
    ///
    /// Dropping the future only ends the waiting: what was made due is delivered anyway.
    fn flush(
        &self,
        source: Option<SourceId>,
        wait: Duration,
    ) -> BoxFuture<'_, Result<FlushOutcome, FlushError>>;

    /// Where the calls stand that a receipt is for. Waits for the disk.
    fn receipt(&self, receipt: Receipt) -> BoxFuture<'_, Result<ReceiptStatus, ReceiptUnread>>;

    /// Brings gauges that are not kept current (ages, time left) up to date, before metrics are rendered.
    fn refresh_metrics(&self);
}

/// What a flush has come to when the wait ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct FlushOutcome {
    /// Objects that were sealed.
    pub sealed: u64,
    /// Those of them that the store has confirmed.
    pub delivered: u64,
    /// Batches that were due and are not delivered yet. They will be, without asking again.
    pub pending: u64,
}

/// No such source, now or in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownSource(pub SourceId);

/// Why a receipt could not be looked for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the spool could not be read: {0}")]
pub struct ReceiptUnread(pub String);

/// Why nothing was flushed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FlushError {
    /// No such source, now or in the spool.
    #[error("there is no source {0}")]
    UnknownSource(SourceId),
    /// The spool has stopped, or the process is stopping (which delivers what is buffered by itself).
    #[error("the spool has stopped")]
    Stopped,
}
