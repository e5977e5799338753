//! What a process in front of or behind a log over Kafka says of it: a part of `GET /api/status`.
//!
//! Units are those of [`Status`](super::Status). An offset is Kafka's number of a record in its partition.

use serde::{Deserialize, Serialize};

/// A log over Kafka, as one process sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KafkaStatus {
    /// `collector` or `writer`; `dev` for both in one process.
    pub role: String,
    /// The topic of the calls.
    pub topic: String,
    /// The group of the writers.
    pub group: String,
    /// The log's id, 32 hexadecimal digits; `None` until it is known.
    pub log_id: Option<String>,
    /// Partitions of the log; `None` until a broker has said it.
    pub partitions: Option<u32>,
    /// For how long the log keeps its records; `None` if it deletes none, or has not said it.
    pub retention_seconds: Option<u64>,
    /// What a collector sends; `None` for a writer.
    pub sending: Option<SendingStatus>,
    /// The caches of a writer; `None` for a collector.
    pub cache: Option<KafkaCacheStatus>,
    /// The partitions that are assigned to this process, in order.
    pub owned: Vec<PartitionStatus>,
    /// The others, in order, as their owners told the group. Empty until the group has answered.
    pub elsewhere: Vec<ElsewhereStatus>,
    /// When this process last heard that, by its clock: every ten seconds while the group answers.
    pub heard_ms: Option<i64>,
}

/// What a collector sends, since the process started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SendingStatus {
    /// Bytes of frames that have no report yet.
    pub waiting_bytes: u64,
    /// Partitions of which a block is without a report for longer than a request may wait.
    pub silent: Vec<u32>,
    /// Blocks that brokers have acknowledged.
    pub blocks: u64,
    /// Requests that were answered 503 although their calls may be stored.
    pub unknown: u64,
    /// Requests of which nothing was sent: no room, or an owner refuses the source.
    pub refused: u64,
    /// Producers that failed and were replaced.
    pub producers_failed: u64,
}

/// The caches of a writer's partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KafkaCacheStatus {
    /// Bytes in use.
    pub used_bytes: u64,
    /// `kafka.cache_bytes`.
    pub max_bytes: u64,
    /// Objects an hour that small sources get, at the rate of the last minutes; `None` while it is not known.
    pub objects_an_hour: Option<u64>,
}

/// One partition that is assigned to this process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PartitionStatus {
    /// Its number.
    pub partition: u32,
    /// `begins`, `delivers`, `waits` (its notes cannot be read yet) or `stopped`.
    pub standing: String,
    /// Why it waits or is stopped, and what to do.
    pub why: Option<String>,
    /// Terms that began in this process.
    pub terms: u64,
    /// Terms among them that the brokers ended.
    pub ended: u64,
    /// How long the last takeover took, until everything was read that the log had then.
    pub takeover_seconds: Option<u64>,
    /// The first offset that is not read.
    pub read_offset: u64,
    /// The log's end as it was seen last.
    pub end_offset: Option<u64>,
    /// How old the record is that was read last, while more is to be read; 0 at the log's end.
    pub lag_seconds: u64,
    /// The first offset that is needed: Kafka must keep the log from there on.
    pub kept_from_offset: u64,
    /// How long Kafka keeps the first record with calls that are not delivered; `None` if nothing waits, or it is not
    /// known.
    pub time_left_seconds: Option<u64>,
    /// Whether that is so little that an alarm is raised.
    pub time_is_short: bool,
    /// What needs it.
    pub pinned_by: Option<PinStatus>,
    /// Objects that are left in the log, because their buckets refuse them.
    pub left_objects: u64,
    /// Batches that were cut early because the cache was full to 70 %.
    pub cut_early: u64,
    /// Bytes of the cache in use.
    pub cache_used_bytes: u64,
    /// The partition's share of the cache.
    pub cache_max_bytes: u64,
    /// How far back repeats are found, at the rate of the last minutes; `None` while it is not known.
    pub window_seconds: Option<u64>,
    /// Blocks that stand in the log twice, since the term began.
    pub second_copies: u64,
    /// Calls that came after the end of their day and count for the next one, since the term began.
    pub late: u64,
    /// Sources that the configuration does not have, whose calls wait.
    pub without_bucket: Vec<String>,
}

/// A partition that is not assigned to this process, as the last owner told the group. An owner tells every ten seconds
/// while it delivers the partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ElsewhereStatus {
    /// Its number.
    pub partition: u32,
    /// The host of the owner; `None` if none has told it: nobody had the partition, or its release does not tell it.
    pub owner: Option<String>,
    /// When the owner told it, by its clock.
    pub told_ms: Option<i64>,
    /// How old the record is that was read last, while more is to be read; `None` if that is not known.
    pub lag_seconds: Option<u64>,
    /// How long Kafka keeps the first record with calls that are not delivered; `None` if nothing waits, or it is not
    /// known.
    pub time_left_seconds: Option<u64>,
    /// What needs it. What it waits for is known by the owner alone.
    pub pinned_by: Option<PinStatus>,
}

/// What keeps a partition from going on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PinStatus {
    /// The source whose calls are oldest.
    pub source: String,
    /// When the oldest of them was received.
    pub since_ms: i64,
    /// What they wait for: age or size, a put, a bucket that refuses. Empty if that is not known here.
    pub waits_for: String,
}
