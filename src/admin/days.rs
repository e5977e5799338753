//! What `/api/days` tells: the days that are not closed.

use serde::{Deserialize, Serialize};

/// Days of sources that have calls in the spool or objects in the store, and are not closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days {
    /// The last day to which no call is added any more, as the number that its folder is named by.
    pub over_through: Option<i64>,
    /// By day and source.
    pub unclosed: Vec<UnclosedDay>,
}

/// A day that is not closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UnclosedDay {
    /// The source.
    pub source: String,
    /// The received-day, as the number that its folder is named by.
    pub day: i64,
    /// The received-day as a date.
    pub date: String,
    /// `open`, `delivering`, `closing` or `unsure`.
    pub stage: String,
    /// Why it is not closed yet, where something stands in the way.
    pub why: Option<String>,
}
