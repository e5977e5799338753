//! Describes what a file begins with, so that a later version of it can be recognised.

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

    /// The prefix as a query has it: without its number of rows, which the query has anyway.
    pub fn in_query(&self) -> String {
        format!("{}-{}", self.bytes, self.text)
    }

    /// The prefix of so many rows that a query has. `None`: the text is not that of a prefix.
    pub fn of_query(text: &str, rows: u64) -> Option<Self> {
        let (bytes, text) = text.split_once('-')?;
        Some(Self { rows, bytes: bytes.parse().ok()?, text: text.parse().ok()? })
    }
}
