//! The answers of `/api/archive`, `/api/archive/objects` and `/api/archive/peek`: days, their objects, and the first
//! lines of one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::deliveries::MissingDeliveries;

/// Days, from the list of deliveries and the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArchiveDays {
    /// The last day first.
    pub days: Vec<ArchiveDay>,
    /// How many there are. Name a source to see more of it.
    pub days_total: u64,
    /// Where the objects of each source go now.
    pub places: BTreeMap<String, ArchivePlace>,
    /// Received-days that are listed.
    pub kept_days: i64,
    /// Since when deliveries are listed.
    pub listed_since_ms: Option<i64>,
    /// What is missing in the list.
    pub missing: MissingDeliveries,
}

/// A source's stream on a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArchiveDay {
    /// The received-day, as the number in its folder name.
    pub day_ms: i64,
    /// The same as a date.
    pub date: String,
    /// The source.
    pub source: String,
    /// The stream.
    pub stream: String,
    /// Objects that this node delivered.
    pub objects: u64,
    /// Lines in them.
    pub calls: u64,
    /// Their bytes as stored.
    pub bytes: u64,
    /// When the last of them was delivered.
    pub last_delivered_at_ms: Option<i64>,
    /// The state of the source's day: `open` (calls are added), `ending` (over, and the last calls may still come),
    /// `over` (some of it, or its marker, is not in the store), `closed`.
    pub state: String,
    /// Why it is not closed, if it is over.
    pub why: Option<String>,
}

/// Where the objects of a source go.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArchivePlace {
    /// The bucket string.
    pub bucket: String,
    /// The endpoint of a store other than AWS.
    pub endpoint_url: Option<String>,
    /// The bucket's region, if configured.
    pub region: Option<String>,
}

/// Objects of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArchiveObjects {
    /// At most 1,000: from the list in the order of delivery, from the bucket in the order of keys.
    pub objects: Vec<ArchiveObject>,
    /// The key to continue after.
    pub next: Option<String>,
    /// `list` or `bucket`.
    pub from: String,
    /// Why the bucket cannot be listed.
    pub denied: Option<Denied>,
    /// What is missing in the list.
    pub missing: MissingDeliveries,
}

/// An object of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ArchiveObject {
    /// Its key.
    pub key: String,
    /// Bytes as stored.
    pub bytes: u64,
    /// Lines in it, if this node delivered it and still lists it.
    pub calls: Option<u64>,
    /// When this node delivered it.
    pub delivered_at_ms: Option<i64>,
    /// When it was stored, as the store says.
    pub last_modified_ms: Option<i64>,
}

/// A request that the store refused, and what would allow it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Denied {
    /// The store's answer.
    pub error: String,
    /// The statements of a policy that allow it, as JSON, to be pasted into its list; empty if none is known to help.
    pub statement: String,
    /// Whose policy needs them.
    pub whom: String,
}

/// The first lines of an object.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Peek {
    /// Its key.
    pub key: String,
    /// At most 20 lines. One that is too long, or no JSON, is a string that says so.
    pub lines: Vec<Box<RawValue>>,
    /// Whether there are more.
    pub more: bool,
    /// Whether personal data is hidden.
    pub masked: bool,
    /// What is wrong with its bytes.
    pub damage: Option<String>,
    /// Why it cannot be read.
    pub denied: Option<Denied>,
}
