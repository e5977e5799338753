//! What a collector reports for a receipt: `GET /api/receipt` answers it and `forebay receipt` reads it.

use serde::{Deserialize, Serialize};

/// The state of a receipt's positions. Times are Unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReceiptStatus {
    /// The id of this collector's spool. Receipts of other spools are unknown to the collector.
    pub spool_id: String,
    /// Where the source's objects go now, as a bucket string; `None` if there is no such source.
    pub bucket: Option<String>,
    /// Whether repeats have positions, too: then what is nowhere may be one. So it is in a log over Kafka.
    pub repeats_have_positions: bool,
    /// The receipt's positions in order, without a gap; empty if the receipt is of another spool.
    pub positions: Vec<PositionsStatus>,
}

/// Consecutive positions with the same state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PositionsStatus {
    /// The first position.
    pub first: u64,
    /// The last position.
    pub last: u64,
    /// The state of these positions.
    pub state: ReceiptState,
    /// The stream, if known: `calls` or `rejected`.
    pub stream: Option<String>,
    /// Why the items were rejected.
    pub reason: Option<String>,
    /// When the first call of the batch was received.
    pub since_ms: Option<i64>,
    /// Lines of the batch that are in no object yet.
    pub batch_lines: Option<u64>,
    /// The latest time at which the batch is due.
    pub due_ms: Option<i64>,
    /// The object into which these positions are sealed, as `bucket/key`. There is only one, unless two
    /// parked objects both span them.
    pub objects: Vec<String>,
    /// Why the object is not in the store yet.
    pub waiting: Option<String>,
}

/// The state of a position.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptState {
    /// In a batch, and in no object yet.
    Pending,
    /// In a sealed object that is being delivered.
    Sealed,
    /// In a parked object, which waits for its bucket in a file of its own.
    Parked,
    /// In a sealed object whose key another object has: a person must resolve the conflict.
    Conflict,
    /// Damaged and no longer readable.
    Lost,
    /// The spool has not reached this position.
    NotGiven,
    /// Not in the spool: delivered, or in no batch of this source and day.
    NotHere,
    /// A state that only newer collectors know.
    #[default]
    #[serde(other)]
    Unknown,
}
