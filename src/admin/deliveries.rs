//! The answer of `/api/deliveries`: what waits for its store, and what was delivered.
//!
//! Times are Unix milliseconds (`…_ms`), durations whole seconds (`…_seconds`), sizes bytes (`…_bytes` or
//! `bytes`).

use serde::Serialize;

use super::status::Applied;

/// Sealed objects, and delivered ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Deliveries {
    /// The oldest sealed objects that are not in the store.
    pub pending: Vec<PendingObject>,
    /// The number of all sealed objects that are not in the store.
    pub pending_total: u64,
    /// Delivered objects, the latest first.
    pub delivered: Vec<DeliveredObject>,
    /// Since when deliveries are listed; `None` if nothing was delivered yet.
    pub listed_since_ms: Option<i64>,
    /// What is missing in the list of deliveries.
    pub missing: MissingDeliveries,
}

/// Why a list of deliveries is shorter than what was delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MissingDeliveries {
    /// Objects that are no longer listed one by one, because the list was full. The sums of their days
    /// include them.
    pub dropped: u64,
    /// Sums of days that are no longer listed, because there were too many.
    pub sums_dropped: u64,
    /// Objects that were never listed: too many came at once, or the list could not be written.
    pub missed: u64,
    /// Why the list cannot be read or written now.
    pub problem: Option<String>,
}

/// A sealed object that is not known to be in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PendingObject {
    /// The source.
    pub source: String,
    /// The stream: `calls`, `rejected`, `objects/<collection>`.
    pub stream: String,
    /// The received-day, as the number in its folder name.
    pub day_ms: i64,
    /// Where the object goes, as a bucket string.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// Lines in the object.
    pub calls: u64,
    /// Bytes of the object's lines, before compression.
    pub bytes: u64,
    /// Always true.
    pub sealed: bool,
    /// The state: `putting` (or waiting for its turn), `waiting` for the next attempt, `parked` in a file of
    /// its own, or `conflict`.
    pub state: String,
    /// Why the object is not in the store, if a put failed since the process started.
    pub error: Option<String>,
    /// The class of the failed put: a label of `forebay_upload_failures`.
    pub class: Option<String>,
    /// When the object's puts began to fail.
    pub since_ms: Option<i64>,
    /// When the next put begins.
    pub next_try_ms: Option<i64>,
    /// Puts of the object since the process started.
    pub tries: u32,
    /// When the object's first line was received.
    pub first_received_at_ms: i64,
}

/// A delivered object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct DeliveredObject {
    /// When the object's commit was noted.
    pub delivered_at_ms: i64,
    /// The source.
    pub source: String,
    /// The stream.
    pub stream: String,
    /// The received-day, as the number in its folder name.
    pub day_ms: i64,
    /// Where the object is, as a bucket string.
    pub bucket: String,
    /// The object's key.
    pub key: String,
    /// Lines in the object.
    pub calls: u64,
    /// Bytes as stored.
    pub bytes: u64,
    /// The server-side encryption that the store reported.
    pub encryption: Option<Applied>,
    /// When the object's first line was received.
    pub first_received_at_ms: i64,
    /// Seconds from the reception of the first line to the delivery.
    pub seconds_to_deliver: u64,
    /// Milliseconds that the put took; `None` if the store had the object from an earlier put.
    pub put_ms: Option<u64>,
    /// Why the batch was due, if known: `age`, `size`, `day_end`, `flush`, `moved`, `pressure` or `shutdown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
