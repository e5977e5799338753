//! What became of the rejected rows of a file after its import: they may be read again in rounds, each of which
//! leaves fewer of them, or by a person who corrected them in their file. Each of these is an import of its own.

use crate::log::ImportKey;
use crate::words::is_zero;

/// The rounds of a file, as its record has them.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Retries {
    /// Rounds that have ended. The rows that are still rejected are kept for the next one.
    pub(super) rounds: u32,
    /// Rows that were rejected and became calls since, repeat others, or are left out by the converter or by a person.
    pub(super) settled: u64,
    /// Of these, rows that neither became calls nor repeat others: a person does without them.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) accepted: u64,
    /// A hash of the numbers of the rows of the round under way; empty: none is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) under_way: String,
    /// The first row of each object of the store that keeps rows of the next round; empty: a file on this
    /// machine keeps them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) in_store: Vec<u64>,
    /// The import that rejected the rows of this one. That import has those that are rejected again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) of: Option<ImportKey>,
    /// Whether the import is a round of another one, which has the rows that it rejected again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) is_round: bool,
    /// How many rows of this import are settled in the record of that one.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(super) noted: u64,
}

impl Retries {
    /// Whether nothing has become of them.
    pub(super) fn are_none(&self) -> bool {
        *self == Self::default()
    }
}
