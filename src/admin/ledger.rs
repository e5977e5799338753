//! The ledger, as `GET /api/ledger` answers it: for each source and hour, what came in and what became of it.

use serde::{Deserialize, Serialize};

/// Everything, of one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Ledger {
    /// Whether the two sides of every equation meet, for all sources.
    pub balanced: bool,
    /// Where they do not: a sentence each, the first 100.
    pub differences: Vec<String>,
    /// How many such places there are in all.
    pub difference_count: u64,
    /// Positions of the spool that were ever noted as lost. Not each held a call.
    pub lost_positions: u64,
    /// Over all sources that are shown.
    pub totals: LedgerCounts,
    /// By source.
    pub sources: Vec<LedgerSource>,
}

/// One source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerSource {
    /// Its id.
    pub source: String,
    /// All of it.
    pub totals: LedgerCounts,
    /// Hours that are long past and of which nothing is pending, in one.
    pub earlier: LedgerCounts,
    /// The other hours, oldest first.
    pub hours: Vec<LedgerHour>,
}

/// One hour of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerHour {
    /// When the hour begins (RFC 3339, UTC). Calls belong to the hour of their `receivedAt`.
    pub hour: String,
    /// Its counts.
    #[serde(flatten)]
    pub counts: LedgerCounts,
}

/// `received = stored + rejected + repeated + suppressed`, `stored = delivered + pending + lost`, and the same for what was
/// rejected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerCounts {
    /// Items of answered requests.
    pub received: u64,
    /// Calls stored.
    pub stored: u64,
    /// Items stored in the rejected stream.
    pub rejected: u64,
    /// Repeats of stored calls.
    pub repeated: u64,
    /// Calls that a rule kept from being stored.
    pub suppressed: u64,
    /// Stored calls in objects that the store has confirmed.
    pub delivered: u64,
    /// Stored calls that wait for that.
    pub pending: u64,
    /// Stored calls that can no longer be read.
    pub lost: u64,
    /// Rejected items in objects that the store has confirmed.
    pub rejected_delivered: u64,
    /// Rejected items that wait for that.
    pub rejected_pending: u64,
    /// Rejected items that can no longer be read.
    pub rejected_lost: u64,
}

/// The ledger in short, as it stands in the status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerStatus {
    /// Whether the two sides of every equation meet.
    pub balanced: bool,
    /// Where they do not, the first of them.
    pub differences: Vec<String>,
    /// Over all sources, since the spool was made.
    pub totals: LedgerCounts,
}
