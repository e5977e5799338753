//! The state of a running process: `GET /api/status` answers it and `forebay status` reads it.
//!
//! Times are Unix milliseconds (`…_ms`), durations whole seconds (`…_seconds`), sizes bytes (`…_bytes`).
//! Fields that a newer or older process does not send are read as their default.

use serde::{Deserialize, Serialize};

use super::ledger::{LedgerCounts, LedgerStatus};

/// The whole state.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Status {
    /// The program's version.
    pub version: String,
    /// The process's wall clock.
    pub now_ms: i64,
    /// How long the process has been running.
    pub uptime_seconds: u64,
    /// This node's name in object keys.
    pub node: String,
    /// The spool's id, 32 hexadecimal digits.
    pub spool_id: String,
    /// Whether it can take calls.
    pub ready: bool,
    /// Why it cannot take calls.
    pub not_ready: Vec<String>,
    /// Problems that do not stop it from taking calls: lost positions in the spool, a wrong clock.
    pub degraded: Vec<String>,
    /// Faults that need attention.
    pub alarms: Vec<Alarm>,
    /// The spool.
    pub spool: SpoolStatus,
    /// Batches with calls that are not sealed.
    pub open_batches: u64,
    /// The age of the oldest undelivered call; `None` if everything is delivered.
    pub oldest_undelivered_seconds: Option<u64>,
    /// Calls since the process started, over all sources, also those that were removed meanwhile.
    pub totals: Totals,
    /// Requests that were refused as a whole since the process started, the last kind first.
    pub refusals: Vec<Refusals>,
    /// The proxy for S3, as set in the environment.
    pub s3_proxy: Option<String>,
    /// The ledger, since the spool was created; `None` from a process that keeps none.
    pub ledger: Option<LedgerStatus>,
    /// Sealed objects that are not known to be in the store.
    pub sealed_objects: u64,
    /// Every source that is configured or has something in the spool.
    pub sources: Vec<SourceStatus>,
}

/// A fault that does not fix itself, or has lasted for a long time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Alarm {
    /// The kind, from a closed list.
    pub kind: String,
    /// What it concerns: a source, a bucket, a file.
    pub subject: String,
    /// What happened, to what, and what to do.
    pub what: String,
    /// Since when.
    pub since_ms: i64,
}

/// The spool's size.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SpoolStatus {
    /// Bytes in use, including parked objects.
    pub used_bytes: u64,
    /// The cap.
    pub max_bytes: u64,
    /// Files that hold calls.
    pub segments: u64,
    /// Parked objects.
    pub parked_bytes: u64,
    /// How long the spool would last without deliveries, at the rate of the last minute; `None` if nothing
    /// comes in, the rate is not known yet, or the spool is full.
    pub seconds_left: Option<u64>,
    /// Bytes of lines per second in the last minute; `None` until the node has run for a few seconds.
    pub incoming_bytes_per_second: Option<u64>,
    /// Whether all calls are refused for lack of space.
    pub is_full: bool,
}

/// Calls since the process started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// In requests that were answered 200.
    pub received: u64,
    /// Stored in the spool.
    pub stored: u64,
    /// Repeats of stored calls.
    pub repeated: u64,
    /// Sent to the rejected stream.
    pub rejected: u64,
    /// In objects that the store has confirmed.
    pub delivered: u64,
}

/// Requests that were refused as a whole, by the error code in their answers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refusals {
    /// The code, such as `invalid_write_key`.
    pub code: String,
    /// The HTTP status of the last answer.
    pub status: u16,
    /// The message of the last answer.
    pub message: String,
    /// How many.
    pub requests: u64,
    /// When the last one came.
    pub last_ms: i64,
}

/// One source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceStatus {
    /// Its id.
    pub id: String,
    /// Where its objects go, as a bucket string.
    pub bucket: String,
    /// The requested server-side encryption: `none`, `sse-s3`, `kms` and the key.
    pub encryption: String,
    /// The role that is assumed for it.
    pub role: Option<String>,
    /// Calls since the process started.
    pub totals: Totals,
    /// The ledger of its calls, since the spool was made.
    pub ledger: LedgerCounts,
    /// The ledgers of its object and dead-letter streams, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamStatus>,
    /// When a request was last received, since the process started.
    pub last_received_ms: Option<i64>,
    /// The SDKs seen in samples of its calls, the last one first.
    pub libraries: Vec<LibraryStatus>,
    /// Its batches that are not sealed, oldest first; the first few of them.
    pub batches: Vec<BatchStatus>,
    /// Calls in the spool that are not delivered.
    pub pending_calls: u64,
    /// The age of the oldest of these calls.
    pub oldest_undelivered_seconds: Option<u64>,
    /// The object delivered last, since the process started.
    pub last_object: Option<LastObject>,
    /// What it waits for beyond becoming due: a retry, an upload slot, a person.
    pub waiting: Option<String>,
    /// The last failed put, until one succeeds.
    pub last_error: Option<String>,
    /// When the first put failed since one succeeded.
    pub last_error_since_ms: Option<i64>,
    /// Set while its calls are refused because the spool has no space left.
    pub refused: Option<Refused>,
    /// Its requests that were refused because the spool had no space left, since the process started.
    pub requests_refused: u64,
}

/// An SDK that a source uses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LibraryStatus {
    /// `context.library.name`.
    pub name: String,
    /// `context.library.version`.
    pub version: String,
    /// When it was last seen in a sample.
    pub last_seen_ms: i64,
}

/// A batch that is not sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchStatus {
    /// `calls`, `rejected`, `objects/<collection>` or `dead/<destination>`.
    pub stream: String,
    /// Its received-day.
    pub day_ms: i64,
    /// Lines in it.
    pub calls: u64,
    /// Bytes of these lines.
    pub bytes: u64,
    /// The estimated size of its object.
    pub object_bytes_estimate: u64,
    /// When its first line was received.
    pub first_received_at_ms: i64,
    /// The latest time at which it becomes due: by age, or because its day is over.
    pub due_at_ms: i64,
}

/// An object or dead-letter stream of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamStatus {
    /// `objects/<collection>` or `dead/<destination>`.
    pub stream: String,
    /// Its ledger, since the spool was made.
    pub ledger: LedgerCounts,
}

/// Why the calls of a source are refused.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Refused {
    /// The error code in the answers: `spool_full` or `destination_full`.
    pub code: String,
    /// Why, and what to do.
    pub why: String,
}

/// A delivered object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LastObject {
    /// Its key.
    pub key: String,
    /// When the store confirmed it.
    pub delivered_at_ms: i64,
    /// Bytes as stored.
    pub bytes: u64,
    /// Calls in it.
    pub calls: u64,
    /// The server-side encryption that the store reports; `None` if it reports nothing.
    pub encryption: Option<Applied>,
}

/// The encryption that a store reports for an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Applied {
    /// `AES256`, `aws:kms`; `None` if the store names none.
    pub algorithm: Option<String>,
    /// The key's ARN.
    pub kms_key: Option<String>,
    /// Whether the bucket key was used.
    pub bucket_key: bool,
}
