//! The state of a running process: `GET /api/status` answers it and `forebay status` reads it.
//!
//! Times are Unix milliseconds (`…_ms`), durations whole seconds (`…_seconds`), sizes bytes (`…_bytes`).
//! Fields that a newer or older process does not send are read as their default.

use serde::{Deserialize, Serialize};

use super::bucket_imports::BucketImportStatus;
use super::kafka_status::KafkaStatus;
use super::ledger::{LedgerCounts, LedgerStatus};
use crate::live::{Library, RefusedKind, RefusedList};
use crate::object::AppliedEncryption;

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
    /// Whether the process can take calls.
    pub ready: bool,
    /// Why the process cannot take calls.
    pub not_ready: Vec<String>,
    /// Problems that do not stop the process from taking calls: lost positions in the spool, a wrong clock.
    pub degraded: Vec<String>,
    /// Faults that need attention.
    pub alarms: Vec<Alarm>,
    /// The spool.
    pub spool: SpoolStatus,
    /// Batches with calls that are not sealed.
    pub open_batches: u64,
    /// The age of the oldest undelivered call; `None` if everything is delivered.
    pub oldest_undelivered_seconds: Option<u64>,
    /// Calls since the process started, over all sources, including those that were removed meanwhile.
    pub totals: Totals,
    /// Requests that were refused as a whole since the process started, the latest kind first.
    pub refusals: Vec<RefusedKind>,
    /// The same requests by cause and client: the groups with the latest requests.
    pub refused_requests: RefusedList,
    /// The proxy for S3, as set in the environment.
    pub s3_proxy: Option<String>,
    /// The address of the S3 server of dev mode, which readers of its bucket use; `None` for other nodes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dev_s3: Option<String>,
    /// The ledger, since the spool was created; `None` from a process that keeps none.
    pub ledger: Option<LedgerStatus>,
    /// Sealed objects that are not known to be in the store.
    pub sealed_objects: u64,
    /// Every source that is configured or has something in the spool.
    pub sources: Vec<SourceStatus>,
    /// The destinations that are behind or have dead letters left, in the order of their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub destinations: Vec<DestinationBehind>,
    /// Every configured import of a bucket, in the order of their names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub imports: Vec<BucketImportStatus>,
    /// The log over Kafka that takes the place of the spool; `None` for a process without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<KafkaStatus>,
}

/// A destination that has not taken everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DestinationBehind {
    /// The destination's name.
    pub name: String,
    /// Calls that wait for it.
    pub waiting: u64,
    /// Dead letters that no replay has delivered yet.
    pub dead_left: u64,
}

/// A fault that does not fix itself, or has lasted for a long time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Alarm {
    /// The kind, from a closed list.
    pub kind: String,
    /// What the alarm concerns: a source, a bucket, a file.
    pub subject: String,
    /// What happened, to what, and what to do.
    pub what: String,
    /// When the fault began.
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
    /// Bytes of parked objects.
    pub parked_bytes: u64,
    /// How long the spool would last without deliveries, at the rate of the last minute; `None` if nothing
    /// comes in, the rate is not known yet, or the spool is full.
    pub seconds_left: Option<u64>,
    /// Bytes of lines per second in the last minute; `None` until the node has run for a few seconds.
    pub incoming_bytes_per_second: Option<u64>,
    /// Whether all calls are refused for lack of space.
    pub is_full: bool,
}

/// Calls since the process started. A writer of a log over Kafka answers no requests: of these it counts what it
/// has delivered alone. What became of the calls that it reads is in the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Totals {
    /// Calls in requests that were answered 200.
    pub received: u64,
    /// Calls stored in the spool.
    pub stored: u64,
    /// Repeats of stored calls.
    pub repeated: u64,
    /// Items sent to the rejected stream.
    pub rejected: u64,
    /// Calls in objects that the store has confirmed.
    pub delivered: u64,
}

/// One source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SourceStatus {
    /// The source's id.
    pub id: String,
    /// Where the source's objects go, as a bucket string.
    pub bucket: String,
    /// The requested server-side encryption: `none`, `sse-s3`, `kms` and the key.
    pub encryption: String,
    /// The role that is assumed for the bucket.
    pub role: Option<String>,
    /// Calls since the process started.
    pub totals: Totals,
    /// The ledger of the source's calls, since the spool was made.
    pub ledger: LedgerCounts,
    /// The ledgers of the source's object and dead-letter streams, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub streams: Vec<StreamStatus>,
    /// When a request was last received, since the process started.
    pub last_received_ms: Option<i64>,
    /// The SDKs seen in samples of the source's calls, the latest first.
    pub libraries: Vec<Library>,
    /// The first few of the source's batches that are not sealed, oldest first.
    pub batches: Vec<BatchStatus>,
    /// Calls in the spool that are not delivered.
    pub pending_calls: u64,
    /// The age of the oldest undelivered call.
    pub oldest_undelivered_seconds: Option<u64>,
    /// The object delivered last, since the process started.
    pub last_object: Option<LastObject>,
    /// What the source's due batches wait for: a retry, an upload slot, a person.
    pub waiting: Option<String>,
    /// The last failed put, until one succeeds.
    pub last_error: Option<String>,
    /// When the first put failed since the last success.
    pub last_error_since_ms: Option<i64>,
    /// Set while its calls are refused because the spool has no space left.
    pub refused: Option<Refused>,
    /// Requests of the source that were refused because the spool had no space left, since the process
    /// started.
    pub requests_refused: u64,
}

/// A batch that is not sealed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BatchStatus {
    /// `calls`, `rejected`, `objects/<collection>` or `dead/<destination>`.
    pub stream: String,
    /// The batch's received-day.
    pub day_ms: i64,
    /// Lines in the batch.
    pub calls: u64,
    /// Bytes of these lines.
    pub bytes: u64,
    /// The estimated size of the batch's object, in bytes.
    pub object_bytes_estimate: u64,
    /// When the batch's first line was received.
    pub first_received_at_ms: i64,
    /// The latest time at which the batch becomes due: by age, or because its day is over.
    pub due_at_ms: i64,
}

/// An object or dead-letter stream of a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct StreamStatus {
    /// `objects/<collection>` or `dead/<destination>`.
    pub stream: String,
    /// The stream's ledger, since the spool was made.
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
    /// The object's key.
    pub key: String,
    /// When the store confirmed the object.
    pub delivered_at_ms: i64,
    /// Bytes as stored.
    pub bytes: u64,
    /// Calls in the object.
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

impl From<AppliedEncryption> for Applied {
    fn from(applied: AppliedEncryption) -> Self {
        let AppliedEncryption { algorithm, kms_key, bucket_key } = applied;
        Self { algorithm, kms_key, bucket_key }
    }
}
