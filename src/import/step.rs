//! Gathers the rows of a file into steps.

use super::envelope;
use super::importer::ROWS_MAX;
use super::reject::Reject;
use super::row_errors::OnRowError;
use super::row_hash::RowHash;
use super::rows::{FileError, FileFault, Row, RowReader};
use super::target::Begun;

/// Bytes of calls after which a step is handed over. A call has at most 32 KiB, and the lines of a step must fit
/// into one request of the log.
const STEP_BYTES: usize = 512 * 1_024;

/// The next rows of a file, ready to be handed over.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// The first row covered.
    pub(super) first: u64,
    /// The number of rows covered.
    pub(super) rows: u64,
    /// The rows that are no calls.
    pub(super) rejects: Vec<Reject>,
    /// An envelope of the calls, with their hashes if rows are known by their content.
    pub(super) calls: Vec<u8>,
}

impl Step {
    /// The row after the last one covered.
    pub(super) fn end(&self) -> u64 {
        self.first.saturating_add(self.rows)
    }
}

/// Closes an envelope.
fn write_tail(out: &mut Vec<u8>, hashes: &[RowHash]) {
    out.push(b']');
    for (index, hash) in hashes.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b",\"rowHashes\":[\"" } else { b"\",\"" });
        out.extend_from_slice(hash.to_string().as_bytes());
    }
    if !hashes.is_empty() {
        out.extend_from_slice(b"\"]");
    }
    out.push(b'}');
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

impl RowLimits {
    /// The failure of a file that ends before the wanted rows begin, after so many rows.
    pub fn nothing_in_range(&self, rows: u64) -> FileError {
        let start = self.rows.start;
        let what = format!("--rows begins at row {start}, counted from 0, and the file has {rows} rows");
        FileError::new(FileFault::Local, "E-ROWS-RANGE", what)
    }
}

/// Reads a file's steps.
pub(super) struct Steps<'r> {
    reader: &'r mut dyn RowReader,
    limits: &'r RowLimits,
    next: u64,
    /// Rows before this one are stored already, and only counted: see [`Begun::read_from`].
    stored: u64,
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
        begun: &Begun,
    ) -> Result<Self, FileError> {
        let (done, read_from) = (begun.progress, begun.read_from);
        let skipped = reader.skip(read_from)?;
        if skipped < read_from {
            return Err(FileError::content(
                "E-SHORT",
                format!("it has {skipped} rows, and {} were imported before", done.next_row),
            ));
        }
        let (next, stored, rejected) = (read_from, done.next_row, done.rejected);
        Ok(Self { reader, limits, next, stored, rejected, at_end: false })
    }

    /// The next step; `None` at the end. Its calls are written into `spare`, whose content is lost. Rejected rows that
    /// stop the file are returned beside the error.
    pub(super) fn next(&mut self, spare: Vec<u8>) -> Result<Option<Step>, (FileError, Vec<Reject>)> {
        let mut step = Step { first: self.next, calls: spare, ..Step::default() };
        step.calls.clear();
        step.calls.reserve(STEP_BYTES + 64 * 1_024);
        step.calls.extend_from_slice(&envelope::head(self.reader.collection()));
        let mut calls = 0;
        let mut hashes: Vec<RowHash> = Vec::new();
        let is_stored = self.next < self.stored;
        let end = if is_stored { self.stored } else { self.limits.rows.end };
        let before = self.limits.rows.start.saturating_sub(self.next).min(end.saturating_sub(self.next));
        if before > 0 {
            let skipped = self.reader.skip(before).map_err(|error| (error, Vec::new()))?;
            self.next += skipped;
            self.at_end = skipped < before;
        }
        while !self.at_end
            && self.next < end
            && calls + (step.rejects.len() as u64) < ROWS_MAX
            && step.calls.len() < STEP_BYTES
        {
            let start = step.calls.len();
            if calls > 0 {
                step.calls.push(b',');
            }
            match self.reader.next(&mut step.calls) {
                Ok(Some(Row::Call(hash))) => {
                    calls += 1;
                    hashes.extend(hash);
                }
                Ok(Some(Row::Rejected(reject))) => {
                    step.calls.truncate(start);
                    step.rejects.push(reject);
                    self.rejected += u64::from(!is_stored);
                }
                Ok(None) => {
                    step.calls.truncate(start);
                    self.at_end = true;
                    break;
                }
                Err(error) => return Err((error, step.rejects)),
            }
            // After good rows too: a share is judged first at a certain row, whatever that is. Of rows that are only
            // counted again, all rejected ones are in the sum already.
            let is_judged = self.rejected > 0 && !is_stored;
            if is_judged && self.limits.on_row_error.stops(self.rejected, self.next + 1) {
                return Err((self.too_many(&step.rejects), step.rejects));
            }
            self.next += 1;
        }
        if self.at_end && before > 0 && self.next <= self.limits.rows.start && !is_stored {
            return Err((self.limits.nothing_in_range(self.next), step.rejects));
        }
        step.rows = self.next - step.first;
        write_tail(&mut step.calls, &hashes);
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
