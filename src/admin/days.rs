//! The answer of `/api/days`: the days that are not closed.

use serde::{Deserialize, Serialize};

/// Days of sources that have calls in the spool or objects in the store, and are not closed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days {
    /// The last day that can get no more calls, as the number in its folder name.
    pub over_through: Option<i64>,
    /// The unclosed days, in the order of day and source.
    pub unclosed: Vec<UnclosedDay>,
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
