//! Gathers the rows of a file into steps.

use super::importer::ROWS_MAX;
use super::reject::Reject;
use super::row_errors::OnRowError;
use super::rows::{FileError, Row, RowReader};
use crate::log::ImportProgress;

/// Bytes of calls after which a step is handed over. A call has at most 32 KiB, and the lines of a step must fit
/// into one request of the log.
const STEP_BYTES: usize = 512 * 1_024;
const HEAD: &[u8] = b"{\"batch\":[";
const TAIL: &[u8] = b"]}";

/// The next rows of a file, ready to be handed over.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// The first row covered.
    pub(super) first: u64,
    /// The number of rows covered.
    pub(super) rows: u64,
    /// The rows that are no calls.
    pub(super) rejects: Vec<Reject>,
    /// An envelope of the calls.
    pub(super) calls: Vec<u8>,
}

impl Step {
    /// The row after the last one covered.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(self.rows)
    }
}

/// Which rows of a file to import, and when to give the file up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RowLimits {
    /// Rows outside are passed over.
    pub rows: std::ops::Range<u64>,
    /// What rejected rows lead to.
    pub on_row_error: OnRowError,
}

impl Default for RowLimits {
    fn default() -> Self {
        Self { rows: 0..u64::MAX, on_row_error: OnRowError::default() }
    }
}

/// Reads a file's steps.
pub(super) struct Steps<'r> {
    reader: &'r mut dyn RowReader,
    limits: &'r RowLimits,
    next: u64,
    rejected: u64,
    /// Whether the reader has come to its end, not only to that of the wanted rows.
    pub(super) at_end: bool,
}

impl<'r> Steps<'r> {
    /// The steps after what is imported. The reader stands at the file's first row.
    ///
    /// # Errors
    /// [`FileError`], also if the file now has fewer rows than were imported.
    pub(super) fn after(
        reader: &'r mut dyn RowReader,
        limits: &'r RowLimits,
        done: ImportProgress,
    ) -> Result<Self, FileError> {
        let skipped = reader.skip(done.next_row)?;
        if skipped < done.next_row {
            return Err(FileError::content(
                "E-SHORT",
                format!("it has {skipped} rows, and {} were imported before", done.next_row),
            ));
        }
        Ok(Self { reader, limits, next: done.next_row, rejected: done.rejected, at_end: false })
    }

    /// The next step; `None` at the end. Rejected rows that stop the file are returned beside the error.
    pub(super) fn next(&mut self) -> Result<Option<Step>, (FileError, Vec<Reject>)> {
        let mut step =
            Step { first: self.next, calls: Vec::with_capacity(STEP_BYTES + 64 * 1_024), ..Step::default() };
        step.calls.extend_from_slice(HEAD);
        let mut calls = 0;
        let before = self.limits.rows.start.saturating_sub(self.next);
        if before > 0 {
            let skipped = self.reader.skip(before).map_err(|error| (error, Vec::new()))?;
            self.next += skipped;
            self.at_end = skipped < before;
        }
        while !self.at_end
            && self.next < self.limits.rows.end
            && calls + (step.rejects.len() as u64) < ROWS_MAX
            && step.calls.len() < STEP_BYTES
        {
            let start = step.calls.len();
            if calls > 0 {
                step.calls.push(b',');
            }
            match self.reader.next(&mut step.calls) {
                Ok(Some(Row::Call)) => calls += 1,
                Ok(Some(Row::Rejected(reject))) => {
                    step.calls.truncate(start);
                    step.rejects.push(reject);
                    self.rejected += 1;
                    if self.limits.on_row_error.stops(self.rejected, self.next + 1) {
                        return Err((self.too_many(&step.rejects), step.rejects));
                    }
                }
                Ok(None) => {
                    step.calls.truncate(start);
                    self.at_end = true;
                    break;
                }
                Err(error) => return Err((error, step.rejects)),
            }
            self.next += 1;
        }
        step.rows = self.next - step.first;
        step.calls.extend_from_slice(TAIL);
        Ok((step.rows > 0).then_some(step))
    }

    fn too_many(&self, rejects: &[Reject]) -> FileError {
        let last =
            rejects.last().map(|reject| format!("; the last: line {}: {}", reject.line, reject.message));
        FileError::content(
            "E-ROWS",
            format!(
                "{} of {} rows are rejected, more than --on-row-error allows{}",
                self.rejected,
                self.next + 1,
                last.unwrap_or_default()
            ),
        )
    }
}
