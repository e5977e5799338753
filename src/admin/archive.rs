//! The answers of `/api/archive`, `/api/archive/objects` and `/api/archive/peek`: days, their objects, and
//! the first lines of one object.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::deliveries::MissingDeliveries;

/// Days, from the list of deliveries and the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ArchiveDays {
    /// Days, the latest first.
    pub days: Vec<ArchiveDay>,
    /// The number of all days, listed or not. A request for one source lists more of its days.
    pub days_total: u64,
    /// Where the objects of each source go now.
    pub places: BTreeMap<String, ArchivePlace>,
    /// The number of received-days that the list of deliveries keeps.
    pub kept_days: i64,
    /// Since when deliveries are listed (Unix milliseconds).
    pub listed_since_ms: Option<i64>,
    /// What is missing in the list of deliveries.
    pub missing: MissingDeliveries,
}

/// A source's stream on a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ArchiveDay {
    /// The received-day, as the number in its folder name.
    pub day_ms: i64,
    /// The received-day as a date.
    pub date: String,
    /// The source.
    pub source: String,
    /// The stream.
    pub stream: String,
    /// Objects that this node delivered.
    pub objects: u64,
    /// Lines in these objects.
    pub calls: u64,
    /// Bytes of these objects as stored.
    pub bytes: u64,
    /// When the last of these objects was delivered (Unix milliseconds).
    pub last_delivered_at_ms: Option<i64>,
    /// The state of the source's day: `open` (calls are added), `ending` (over, and the last calls may still
    /// come), `over` (some of it, or its marker, is not in the store), `closed`.
    pub state: String,
    /// Why the day is not closed, if it is over.
    pub why: Option<String>,
}

/// Where the objects of a source go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ArchivePlace {
    /// The bucket string.
    pub bucket: String,
    /// The endpoint of a store other than AWS.
    pub endpoint_url: Option<String>,
    /// The bucket's region, if configured.
    pub region: Option<String>,
}

/// Objects of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ArchiveObjects {
    /// At most 1,000 objects: from the list in the order of delivery, from the bucket in the order of keys.
    pub objects: Vec<ArchiveObject>,
    /// The key after which the next request continues.
    pub next: Option<String>,
    /// Where the objects are listed from: `list` or `bucket`.
    pub from: String,
    /// Why the bucket cannot be listed.
    pub denied: Option<Denied>,
    /// What is missing in the list of deliveries.
    pub missing: MissingDeliveries,
}

/// An object of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ArchiveObject {
    /// The object's key.
    pub key: String,
    /// Bytes as stored.
    pub bytes: u64,
    /// Lines in the object, if this node delivered it and still lists it.
    pub calls: Option<u64>,
    /// When this node delivered the object (Unix milliseconds).
    pub delivered_at_ms: Option<i64>,
    /// When the object was stored, as the store says (Unix milliseconds).
    pub last_modified_ms: Option<i64>,
}

/// A request that the store refused, and what would allow it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Denied {
    /// The store's answer.
    pub error: String,
    /// The policy statements that allow the request, as JSON, to be pasted into a policy's list; empty if
    /// none is known to help.
    pub statement: String,
    /// Whose policy needs the statements.
    pub whom: String,
}

/// The first lines of an object.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Peek {
    /// The object's key.
    pub key: String,
    /// At most 20 lines. A line that is too long or not JSON is replaced by a string that says so.
    pub lines: Vec<Box<RawValue>>,
    /// Whether the object has more lines.
    pub more: bool,
    /// Whether personal data is hidden.
    pub masked: bool,
    /// What is wrong with the object's bytes.
    pub damage: Option<String>,
    /// Why the object cannot be read.
    pub denied: Option<Denied>,
}
