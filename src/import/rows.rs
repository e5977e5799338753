//! Reads the rows of one file.

use super::csv::FoundTypes;
use super::file_error::FileError;
#[cfg(doc)]
use super::importer::ROWS_MAX;
use super::prefix::Prefix;
use super::reject::Reject;
use super::row_hash::RowHash;
use crate::object::Collection;

/// What a row becomes.
#[derive(Debug)]
pub enum Row {
    /// A call, with its hash if rows are known by their content.
    Call(Option<RowHash>),
    /// So many calls, with commas between them: at least one, and at most [`ROWS_MAX`]. They are stored
    /// together.
    Calls(u32),
    /// As [`Row::Calls`], of a row that is not stored if an earlier one has the same hash of what names it.
    Keyed(u32, u128),
    /// No call: its file says that the row is to be left out.
    Skipped,
    /// A call of a corrected row whose id is from a column, with its hash. If another call has the id, the
    /// row is rejected instead, with this rejection.
    Corrected(RowHash, Box<Reject>),
    /// No call, for this reason.
    Rejected(Reject),
    /// A call that equals that of an earlier row of the same file: both have the same id and the same cells.
    Repeat,
}

/// Rows that are skipped between two checks whether anybody still waits for the rest.
pub(super) const SKIPS_AT_ONCE: u64 = 10_000;

/// Reads the rows of a file in order. The same file gives the same rows, whenever it is read.
pub trait RowReader: Send {
    /// Reads the next row. The JSON object of a call (or an object set) is appended to `out`. `None` at the
    /// end. Errors: [`FileError`]: no further row can be read.
    fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<Row>, FileError>;

    /// The collection, if rows become objects and not calls.
    fn collection(&self) -> Option<&Collection> {
        None
    }

    /// Reads cells with the types that were found when the import of the file began.
    /// Errors: [`FileError`]: the file has no such columns.
    fn use_types(&mut self, _found: &FoundTypes) -> Result<(), FileError> {
        Ok(())
    }

    /// Reads rows that were imported before, without making calls of them: later rows are compared with them.
    /// Returns their number, which is less than `rows` only at the end.
    /// Errors: [`FileError`]: no further row can be read.
    fn skip(&mut self, rows: u64) -> Result<u64, FileError>;

    /// Reads rows that are not wanted, without making calls of them. Later rows need not be compared with
    /// them. Errors: [`FileError`]: no further row can be read.
    fn pass_over(&mut self, rows: u64) -> Result<u64, FileError> {
        self.skip(rows)
    }

    /// The most rows that are worth skipping at once: after them the caller looks whether it goes on.
    fn skips_at_once(&self) -> u64 {
        SKIPS_AT_ONCE
    }

    /// What the file begins with, up to the end of the row that was read last. `None` if the reader does not
    /// know, as one whose rows may give several calls.
    fn prefix(&mut self) -> Option<Prefix> {
        None
    }

    /// Whether the row that was read last ends with the file, in the middle of a line: if the file grows,
    /// that will be another row.
    fn is_cut_off(&self) -> bool {
        false
    }
}
