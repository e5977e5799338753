//! Reads the rows of a set from their file again, through a converter.

use super::kept_rows::KeptRows;
use crate::import::converted::ConvertedRows;
use crate::import::file_error::{FileError, FileFault};
use crate::import::file_id::FileId;
use crate::import::reject::{Reject, Retried};
use crate::import::rows::{Row, RowReader};
use crate::words::Told;

/// The rows of a set, as their file has them. The number of a row is its place in the set; its messageId follows
/// from its place in the file.
pub(super) struct RetryRows {
    set: KeptRows,
    rows: ConvertedRows,
    /// The id of the round.
    round: FileId,
    /// The place in the set of the next row.
    next: u64,
    /// The row that the file's reader is at.
    at: u64,
}

impl RetryRows {
    /// Both must be at their first row.
    pub(super) fn new(set: KeptRows, rows: ConvertedRows, round: FileId) -> Self {
        Self { set, rows, round, next: 0, at: 0 }
    }

    /// The next row of the set as it was rejected, and what it becomes now; `None` at the end. Blocks.
    /// Errors: [`FileError`]: no further row can be read.
    pub(super) fn read(&mut self, out: &mut Vec<u8>) -> Result<Option<(Reject, Row)>, FileError> {
        let Some(before) = self.set.next()? else { return Ok(None) };
        let ahead = before.row.saturating_sub(self.at);
        let row = if self.rows.skip(ahead)? < ahead { None } else { self.rows.next(out)? };
        self.at = before.row.saturating_add(1);
        let place = Retried { file: self.round, row: self.next };
        self.next += 1;
        match row {
            Some(Row::Rejected(reject)) => {
                Ok(Some((before, Row::Rejected(Reject { retried: Some(place), ..reject }))))
            }
            Some(row) => Ok(Some((before, row))),
            None => {
                let what = format!("it ends before row {}, which was rejected", before.row);
                Err(FileError::new(FileFault::Local, "E-SHORT", Told::plain(what)))
            }
        }
    }
}

impl RowReader for RetryRows {
    fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<Row>, FileError> {
        Ok(self.read(out)?.map(|(_, row)| row))
    }

    fn skip(&mut self, rows: u64) -> Result<u64, FileError> {
        for skipped in 0..rows {
            if self.set.next()?.is_none() {
                return Ok(skipped);
            }
            self.next += 1;
        }
        Ok(rows)
    }
}
