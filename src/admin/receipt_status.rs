//! What a collector says of a receipt, as `GET /api/receipt` answers it and `forebay receipt` reads it.

use serde::{Deserialize, Serialize};

/// Where the positions of a receipt stand. Instants are Unix milliseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ReceiptStatus {
    /// The id of this collector's spool. Of another spool's receipt it knows nothing.
    pub spool_id: String,
    /// Where the source's objects go now, as a bucket string; `None` where it has no such source.
    pub bucket: Option<String>,
    /// In order, without a gap; none where the receipt is another spool's.
    pub positions: Vec<PositionsStatus>,
}

/// Positions, one behind the other, that stand alike.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PositionsStatus {
    /// The first.
    pub first: u64,
    /// The last.
    pub last: u64,
    /// Where they stand.
    pub state: ReceiptState,
    /// `calls` or `rejected`, where that is known.
    pub stream: Option<String>,
    /// Why they were rejected.
    pub reason: Option<String>,
    /// When the first call of their batch was received.
    pub since_ms: Option<i64>,
    /// Lines of their batch that are in no object yet.
    pub batch_lines: Option<u64>,
    /// When their batch is due at the latest.
    pub due_ms: Option<i64>,
    /// The object they are sealed into, as `bucket/key`. There is one, unless two parked objects both span them.
    pub objects: Vec<String>,
    /// Why it is not in the store yet.
    pub waiting: Option<String>,
}

/// Where a position stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReceiptState {
    /// In a batch, and in no object yet.
    Pending,
    /// In an object that is on its way.
    Sealed,
    /// In an object that waits in a file of its own for its destination.
    Parked,
    /// In an object whose key another object has: it waits for a person.
    Conflict,
    /// It was damaged and can no longer be read.
    Lost,
    /// The spool has not come so far.
    NotGiven,
    /// Not in the spool: delivered, or in no batch of this source and day.
    NotHere,
    /// A newer collector says something else.
    #[default]
    #[serde(other)]
    Unknown,
}
