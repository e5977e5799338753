//! The answer of `/api/days`: the days that are not closed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Days of sources that have calls in the spool or objects in the store, and are not closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days {
    /// The last day that can get no more calls, as the number in its folder name.
    pub over_through: Option<i64>,
    /// The unclosed days, in the order of day and source.
    pub unclosed: Vec<UnclosedDay>,
    /// Of which part of a log in Kafka these are the days. Absent: of a whole spool.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<DaysOfLog>,
}

/// The part of a log in Kafka that a process knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DaysOfLog {
    /// The topic of the log.
    pub topic: String,
    /// How many partitions it has. `None`: no broker has said it yet.
    pub partitions: Option<u32>,
    /// The partitions whose terms this process delivers. A day that is not listed is closed in them, or has no calls
    /// that were written until this time of the brokers (Unix milliseconds). `None`: nothing is known yet. A collector
    /// has none.
    pub read_through: BTreeMap<u32, Option<i64>>,
}

/// A day that is not closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnclosedDay {
    /// The source.
    pub source: String,
    /// The received-day, as the number in its folder name.
    pub day: i64,
    /// The received-day as a date.
    pub date: String,
    /// `open`, `delivering`, `closing` or `unsure`.
    pub stage: String,
    /// Why the day is not closed yet, if something prevents it.
    pub why: Option<String>,
}
