//! The ledger, as answered by `GET /api/ledger`: for each source and hour, what came in and what became of
//! it.

use serde::{Deserialize, Serialize};

use crate::words::is_zero;

/// The whole ledger at one instant.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    /// Whether the two sides of every equation agree, for all sources.
    pub balanced: bool,
    /// The first 100 mismatches, one sentence each.
    pub differences: Vec<String>,
    /// The number of all mismatches.
    pub difference_count: u64,
    /// Positions of the spool that were ever noted as lost. Not every one of them held a call.
    pub lost_positions: u64,
    /// Further lost positions. Nobody knows whether they held calls.
    #[serde(skip_serializing_if = "is_zero")]
    pub lost_uncounted: u64,
    /// Totals of the calls of the sources shown; if all are shown, also of sources that were removed.
    pub totals: LedgerCounts,
    /// By source.
    pub sources: Vec<LedgerSource>,
    /// The sum of sources that were removed and forgotten. `None` without any, and in the ledger of one
    /// source.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<RemovedCounts>,
}

/// The summed counts of forgotten sources, which were removed from the configuration and have nothing
/// waiting.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RemovedCounts {
    /// How often a source was forgotten since the spool was created.
    pub sources: u64,
    /// Calls and rejected items of these sources.
    pub calls: LedgerCounts,
    /// Object sets of these sources.
    pub object_sets: LedgerCounts,
    /// Dead letters of these sources.
    pub dead_letters: LedgerCounts,
}

/// One source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerSource {
    /// The source's id.
    pub source: String,
    /// The source's calls.
    #[serde(flatten)]
    pub calls: LedgerRows,
    /// The source's object and dead-letter streams, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<LedgerStream>,
}

/// One object or dead-letter stream of a source. Its lines are counted as calls; the counts of rejected items
/// are not used.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerStream {
    /// `objects/<collection>` or `dead/<destination>`.
    pub stream: String,
    /// The stream's lines.
    #[serde(flatten)]
    pub lines: LedgerRows,
}

/// The ledger of a source's calls, or of a stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerRows {
    /// Totals.
    pub totals: LedgerCounts,
    /// The sum of old hours with nothing pending.
    pub earlier: LedgerCounts,
    /// The other hours, oldest first.
    pub hours: Vec<LedgerHour>,
}

/// One hour of one source or stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LedgerHour {
    /// When the hour begins (RFC 3339, UTC). A call belongs to the hour of its `receivedAt`.
    pub hour: String,
    /// The hour's counts.
    #[serde(flatten)]
    pub counts: LedgerCounts,
}

/// Counts with two equations: `received = stored + rejected + repeated + suppressed`, and
/// `stored = delivered + pending + lost`, which holds for rejected items, too.
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
    /// Stored calls that are not delivered yet.
    pub pending: u64,
    /// Stored calls that can no longer be read.
    pub lost: u64,
    /// Rejected items in objects that the store has confirmed.
    pub rejected_delivered: u64,
    /// Rejected items that are not delivered yet.
    pub rejected_pending: u64,
    /// Rejected items that can no longer be read.
    pub rejected_lost: u64,
}

/// A summary of the ledger, as part of the status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LedgerStatus {
    /// Whether the two sides of every equation agree.
    pub balanced: bool,
    /// The first mismatches.
    pub differences: Vec<String>,
    /// Totals of the calls of all sources, since the spool was created.
    pub totals: LedgerCounts,
    /// Totals of the object sets of all sources and collections.
    pub object_sets: LedgerCounts,
    /// Totals of the dead letters of all destinations.
    pub dead_letters: LedgerCounts,
    /// What removed sources have left in these totals. `None` without any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub removed: Option<RemovedCounts>,
}
