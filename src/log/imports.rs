//! The progress of imported files.
//!
//! An importer reads a file from its first row to its last and appends it in steps. Each step names the rows
//! it covers. The log accepts a step only if it begins at the file's next row, and stores the step's calls
//! and the new progress in one block. So a step is either stored as a whole or not at all, and a step that is
//! sent again is refused: each row is stored exactly once, however often an importer, its connection or this
//! process fails.

use std::fmt;
use std::time::Duration;

use super::Stopped;
use super::frame::{Origin, RowKey};
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// Identifies a file and the source that it is imported into.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ImportKey(pub u128);

impl fmt::Display for ImportKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

text_form!(ImportKey, std::num::ParseIntError, |text: &str| u128::from_str_radix(text, 16).map(ImportKey));

/// How far a file is imported, and what became of its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ImportProgress {
    /// The first row that is not covered yet. Rows count from 0.
    pub next_row: u64,
    /// Rows stored as calls.
    pub stored: u64,
    /// Rows whose calls were stored before, within the dedupe window.
    pub repeats: u64,
    /// Rows that the log stored in the rejected stream.
    pub refused: u64,
    /// Rows that the importer found not to be calls.
    pub rejected: u64,
    /// The text of the rows before the next one, if the importer says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<TextBefore>,
}

/// What a file begins with, up to a row, so that whoever reads it again knows whether it still does. The log
/// keeps it with the progress, and does not look into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TextBefore {
    /// The length of the text, in bytes; at least 1.
    pub bytes: u64,
    /// Its id.
    pub id: [u8; 16],
}

/// Length in bytes of an encoded [`ImportProgress`]. A text of no bytes is none.
const PROGRESS_LEN: usize = NUMBERS_LEN + 8 + 16;
/// That of its numbers. Frames of earlier releases end with them.
const NUMBERS_LEN: usize = 40;

impl ImportProgress {
    /// As it is stored in a frame of [`FrameKind::ImportProgress`](super::frame::FrameKind::ImportProgress):
    /// its numbers, little-endian, in the order of the fields, and the text.
    pub(crate) fn encode(&self) -> [u8; PROGRESS_LEN] {
        let mut bytes = [0; PROGRESS_LEN];
        let numbers = [self.next_row, self.stored, self.repeats, self.refused, self.rejected];
        for (place, number) in bytes.chunks_exact_mut(8).zip(numbers) {
            place.copy_from_slice(&number.to_le_bytes());
        }
        if let (Some(text), Some(place)) = (self.text, bytes.last_chunk_mut::<24>()) {
            place[..8].copy_from_slice(&text.bytes.to_le_bytes());
            place[8..].copy_from_slice(&text.id);
        }
        bytes
    }

    /// The progress in a frame's payload; `None` if it is too short.
    pub(crate) fn decode(payload: &[u8]) -> Option<Self> {
        let mut numbers = payload.chunks_exact(8).map(|bytes| bytes.try_into().map_or(0, u64::from_le_bytes));
        Some(Self {
            next_row: numbers.next()?,
            stored: numbers.next()?,
            repeats: numbers.next()?,
            refused: numbers.next()?,
            rejected: numbers.next()?,
            text: payload.get(NUMBERS_LEN..PROGRESS_LEN).and_then(TextBefore::decode),
        })
    }

    /// Takes over `other` if it is further. Progress only grows.
    pub(crate) fn advance(&mut self, other: Self) {
        if other.next_row >= self.next_row {
            *self = other;
        }
    }

    /// What was added to `before`.
    pub(crate) fn since(self, before: Self) -> Self {
        Self { text: self.text, ..self.with(before, u64::saturating_sub) }
    }

    /// This and `more`.
    pub(crate) fn plus(self, more: Self) -> Self {
        self.with(more, u64::saturating_add)
    }

    fn with(self, other: Self, of: fn(u64, u64) -> u64) -> Self {
        Self {
            next_row: of(self.next_row, other.next_row),
            stored: of(self.stored, other.stored),
            repeats: of(self.repeats, other.repeats),
            refused: of(self.refused, other.refused),
            rejected: of(self.rejected, other.rejected),
            text: other.text,
        }
    }
}

impl TextBefore {
    fn decode(bytes: &[u8]) -> Option<Self> {
        let (len, id) = bytes.split_first_chunk()?;
        let bytes = u64::from_le_bytes(*len);
        (bytes > 0).then_some(Self { bytes, id: id.try_into().ok()? })
    }
}

/// Rows of a file that one request covers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ImportStep {
    /// The file's number and the rows covered.
    pub origin: Origin,
    /// How many of them the importer found not to be calls.
    pub rejected: u64,
    /// How many of them the importer knew as stored before.
    pub known: u64,
    /// What the file begins with, up to their end.
    pub text: Option<TextBefore>,
}

/// An import that the log knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct OpenImport {
    /// Its number: `file` in the [`Origin`] of its frames.
    pub file: u64,
    /// The file and its source.
    pub key: ImportKey,
    /// Its durable progress.
    pub progress: ImportProgress,
}

/// The files that are being imported.
pub trait Imports: Send + Sync + fmt::Debug {
    /// Begins an import at `progress`, or continues it if the log knows `key`: then the log's own progress
    /// counts. Waits for the disk.
    fn begin_import(&self, key: ImportKey, progress: ImportProgress) -> Result<OpenImport, Stopped>;

    /// The imports that the log knows, by number.
    fn open_imports(&self) -> Vec<OpenImport>;

    /// Forgets imports whose progress is recorded elsewhere. Further steps of these files are refused. Waits
    /// for the disk.
    fn end_imports(&self, files: &[u64]) -> Result<(), Stopped>;

    /// Whether rows may be appended now. Near its bound, a log keeps the rest of its space for calls: rows can wait.
    fn has_room_for_rows(&self) -> bool;

    /// Which rows of a source are to be stored, by hashes of what names them: `None` for a row that repeats
    /// one of these or one that was received within `window` before `now`; for others the key that the row's
    /// frame must have. Between this and the append of the rows, no other rows with keys may be appended.
    /// Waits for the disk. Errors: [`RowsUnknown`]: none of them may be stored now.
    fn rows_to_store(
        &self,
        source: &SourceId,
        rows: &[u128],
        now: UnixMillis,
        window: Duration,
    ) -> Result<Vec<Option<RowKey>>, RowsUnknown>;
}

/// Why a log does not know which rows it has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RowsUnknown {
    /// What is kept of rows has no more space.
    #[error(
        "the insert_ids that are kept for the comparison of rows have reached their part of the spool, a tenth of \
         spool.max_bytes ({max} bytes), so rows with an insert_id wait: raise spool.max_bytes, or set \
         insert_id_window = \"0 s\" for imports whose rows need not be compared; the oldest are removed after 8 days"
    )]
    Full {
        /// How many bytes it may take.
        max: u64,
    },
    /// A file with what is kept of rows is missing or damaged.
    #[error(
        "the file {file} in the spool's directory, with the insert_ids of {keys} rows, cannot be used: {what}. Rows with \
         an insert_id wait, because they may repeat those: restore the file and restart, or set insert_id_window to \
         less than the time since {newest}, or to \"0 s\" if repeats may be stored. Without that they go on when \
         {newest} is longer ago than the window"
    )]
    Damaged {
        /// Its name.
        file: String,
        /// What is wrong.
        what: String,
        /// How many rows it has.
        keys: u64,
        /// When the newest of them was received, as in RFC 3339.
        newest: String,
    },
    /// The disk failed, and may not fail the next time.
    #[error(
        "the insert_ids that are kept for the comparison of rows cannot be used now, so rows with an insert_id wait: {0}"
    )]
    Unread(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_reads_back_as_encoded() {
        let text = Some(TextBefore { bytes: 5, id: [7; 16] });
        let progress =
            ImportProgress { next_row: 1, stored: 2, repeats: 3, refused: 4, rejected: u64::MAX, text };
        let without = ImportProgress { text: None, ..progress };
        for progress in [progress, without] {
            assert_eq!(ImportProgress::decode(&progress.encode()), Some(progress));
        }
        // Of a release that knew no text.
        assert_eq!(ImportProgress::decode(&progress.encode()[..NUMBERS_LEN]), Some(without));
        assert_eq!(ImportProgress::decode(&[0; NUMBERS_LEN - 1]), None);
        assert_eq!(ImportProgress::decode(&[]), None);
    }

    #[test]
    fn progress_never_goes_back() {
        let at = |next_row| ImportProgress { next_row, ..ImportProgress::default() };
        let mut progress = at(5);
        progress.advance(at(3));
        assert_eq!(progress, at(5));
        progress.advance(at(9));
        assert_eq!(progress, at(9));
    }

    #[test]
    fn a_key_is_stored_as_hexadecimal_digits() {
        let key = ImportKey(0xAB);
        let text = serde_json::to_string(&key).unwrap();
        assert_eq!(text, "\"000000000000000000000000000000ab\"");
        assert_eq!(serde_json::from_str::<ImportKey>(&text).unwrap(), key);
    }
}
