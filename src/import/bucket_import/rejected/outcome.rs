//! What became of the rows of a set.

use super::kept_rows::KeptRows;
use super::retry_rows::RetryRows;
use crate::import::file_error::{FileError, FileFault};
use crate::import::reject_counts::RejectCounts;
use crate::import::rows::Row;
use crate::words::Told;

/// What became of rows that were rejected before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RetryOutcome {
    /// Rows that are no longer rejected.
    pub settled: u64,
    /// Rows that are rejected again.
    pub rejected: u64,
    /// The first by the code that they were rejected with.
    pub settled_by_code: RejectCounts,
    /// The others by their code now.
    pub rejected_by_code: RejectCounts,
}

impl RetryOutcome {
    /// Compares a set with the rows of it that were rejected again. Waits for the disk.
    /// Errors: [`FileError`]: a set cannot be read.
    pub(super) fn of(mut set: KeptRows, mut again: Option<KeptRows>) -> Result<Self, FileError> {
        let mut outcome = Self::default();
        let mut rejected = again.as_mut().map_or(Ok(None), KeptRows::next)?;
        while let Some(before) = set.next()? {
            if rejected.as_ref().is_some_and(|rejected| rejected.row == before.row) {
                outcome.rejected += 1;
                outcome.rejected_by_code.count(rejected.as_slice());
                rejected = again.as_mut().map_or(Ok(None), KeptRows::next)?;
            } else {
                outcome.settled += 1;
                outcome.settled_by_code.count(std::slice::from_ref(&before));
            }
        }
        match rejected {
            None => Ok(outcome),
            Some(rejected) => {
                let what = format!("row {} was rejected again, and is not in the set before", rejected.row);
                Err(FileError::new(FileFault::Local, "E-REJECTS", Told::plain(what)))
            }
        }
    }

    /// Reads rows, and stores nothing. Blocks. Errors: [`FileError`]: not all rows can be read.
    pub(super) fn tried(rows: &mut RetryRows, is_left: impl Fn() -> bool) -> Result<Self, FileError> {
        let (mut outcome, mut calls) = (Self::default(), Vec::new());
        while !is_left() {
            calls.clear();
            match rows.read(&mut calls)? {
                None => break,
                Some((_, Row::Rejected(now))) => {
                    outcome.rejected += 1;
                    outcome.rejected_by_code.count(&[now]);
                }
                Some((before, _)) => {
                    outcome.settled += 1;
                    outcome.settled_by_code.count(&[before]);
                }
            }
        }
        Ok(outcome)
    }

    /// Adds the outcome of other rows.
    pub(super) fn add(&mut self, other: &Self) {
        self.settled += other.settled;
        self.rejected += other.rejected;
        self.settled_by_code.add(&other.settled_by_code);
        self.rejected_by_code.add(&other.rejected_by_code);
    }
}
