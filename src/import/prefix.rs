//! Describes what a file begins with, so that a later version of it can be recognised.

use std::fmt;
use std::str::FromStr;

use super::file_id::FileId;
use crate::log::{ImportProgress, TextBefore};

/// What a file begins with: the text of its first rows, and of its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Prefix {
    /// The number of rows.
    pub rows: u64,
    /// The length of the decoded text, in bytes.
    pub bytes: u64,
    /// The id of that text.
    pub text: FileId,
}

/// The length and the id of a text that ends with a row, as written in a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PrefixText {
    /// See [`Prefix::bytes`].
    pub bytes: u64,
    /// See [`Prefix::text`].
    pub text: FileId,
}

impl Prefix {
    /// The text for the log, which keeps it beside its number of rows.
    pub(super) fn text_before(&self) -> TextBefore {
        TextBefore { bytes: self.bytes, id: self.text.bytes() }
    }

    /// The prefix of all rows that are stored, if the log has it.
    pub(super) fn of_progress(progress: ImportProgress) -> Option<Self> {
        let TextBefore { bytes, id } = progress.text?;
        Some(Self { rows: progress.next_row, bytes, text: FileId::of_bytes(id) })
    }

    /// The prefix without its number of rows.
    pub fn in_query(&self) -> PrefixText {
        PrefixText { bytes: self.bytes, text: self.text }
    }
}

impl PrefixText {
    /// The prefix with its number of rows.
    pub fn of_rows(self, rows: u64) -> Prefix {
        Prefix { rows, bytes: self.bytes, text: self.text }
    }
}

impl fmt::Display for PrefixText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.bytes, self.text)
    }
}

/// Why a text is not that of a prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a prefix is its length in bytes, a hyphen and the id of its text")]
pub struct NoPrefix;

impl FromStr for PrefixText {
    type Err = NoPrefix;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (bytes, text) = text.split_once('-').ok_or(NoPrefix)?;
        let bytes = bytes.parse().map_err(|_| NoPrefix)?;
        Ok(Self { bytes, text: text.parse().map_err(|_| NoPrefix)? })
    }
}
