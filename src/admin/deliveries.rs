//! The answer of `/api/deliveries`: what waits for its store, and what was delivered.
//!
//! Times are Unix milliseconds (`…_ms`), durations whole seconds (`…_seconds`), sizes bytes (`…_bytes` or `bytes`).

use serde::{Deserialize, Serialize};

use super::status::Applied;

/// Sealed objects, and delivered ones.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Deliveries {
    /// Sealed objects that are not in the store: the oldest ones.
    pub pending: Vec<PendingObject>,
    /// How many there are.
    pub pending_total: u64,
    /// Delivered objects, the last one first.
    pub delivered: Vec<DeliveredObject>,
    /// Since when deliveries are listed; `None` if nothing was delivered yet.
    pub listed_since_ms: Option<i64>,
    /// What is missing in the list of deliveries.
    pub missing: MissingDeliveries,
}

/// Why a list of deliveries is shorter than what was delivered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MissingDeliveries {
    /// Objects that are no longer listed one by one, because the list was full. The sums of their days have them.
    pub dropped: u64,
    /// Sums that are no longer listed, because there were too many.
    pub sums_dropped: u64,
    /// Objects that were never listed: too many came at once, or the list could not be written.
    pub missed: u64,
    /// Why the list cannot be read or written now.
    pub problem: Option<String>,
}

/// A sealed object that is not known to be in the store.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PendingObject {
    /// The source.
    pub source: String,
    /// The stream: `calls`, `rejected`, `objects/<collection>`.
    pub stream: String,
    /// The received-day, as the number in its folder name.
    pub day_ms: i64,
    /// Where it goes, as a bucket string.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Lines in it.
    pub calls: u64,
    /// Bytes of its lines, before compression.
    pub bytes: u64,
    /// Always true.
    pub sealed: bool,
    /// `putting` (or waiting for its turn), `waiting` for the next try, `parked` in a file of its own, or `conflict`.
    pub state: String,
    /// Why it is not in the store, if a put failed since the process started.
    pub error: Option<String>,
    /// The class of that failure: a label of `forebay_upload_failures`.
    pub class: Option<String>,
    /// When its puts began to fail.
    pub since_ms: Option<i64>,
    /// When the next try begins.
    pub next_try_ms: Option<i64>,
    /// Puts since the process started.
    pub tries: u32,
    /// When its first line was received.
    pub first_received_at_ms: i64,
}

/// A delivered object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DeliveredObject {
    /// When its commit was noted.
    pub delivered_at_ms: i64,
    /// The source.
    pub source: String,
    /// The stream.
    pub stream: String,
    /// The received-day, as the number in its folder name.
    pub day_ms: i64,
    /// Where it is, as a bucket string.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Lines in it.
    pub calls: u64,
    /// Bytes as stored.
    pub bytes: u64,
    /// The server-side encryption that the store reported.
    pub encryption: Option<Applied>,
    /// When its first line was received.
    pub first_received_at_ms: i64,
    /// From then to its delivery.
    pub seconds_to_deliver: u64,
    /// Milliseconds that the put took; `None` if the store had it from an earlier try.
    pub put_ms: Option<u64>,
    /// Why its batch was due, if known: `age`, `size`, `day_end`, `flush`, `moved`, `pressure` or `shutdown`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}
