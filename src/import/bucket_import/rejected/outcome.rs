//! What became of the rows of a set.

use super::kept_rows::KeptRows;
use super::retry_rows::RetryRows;
use crate::import::file_error::{FileError, FileFault};
use crate::import::reject::Reject;
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

/// How far a round came that was stopped.
#[derive(Debug)]
pub(super) struct Begun {
    /// Its first rows, which it has read.
    pub(super) rows: u64,
    /// Those of them that were rejected again, and perhaps some of the rows after them.
    pub(super) again: Option<KeptRows>,
    /// Whether it had another converter: rows that it rejected again meet that of now.
    pub(super) is_other: bool,
}

impl RetryOutcome {
    /// Compares a set with the rows of it that were rejected again. Waits for the disk.
    /// Errors: [`FileError`]: a set cannot be read.
    pub(super) fn of(set: KeptRows, again: Option<KeptRows>) -> Result<Self, FileError> {
        match Self::compared(set, again, u64::MAX)? {
            (outcome, None) => Ok(outcome),
            (_, Some(rejected)) => {
                let what = format!("row {} was rejected again, and is not in the set before", rejected.row);
                Err(FileError::new(FileFault::Local, "E-REJECTS", Told::plain(what)))
            }
        }
    }

    /// The same of the first rows of a set, which a round has read that did not end. Waits for the disk.
    /// Errors: [`FileError`]: a set cannot be read.
    pub(super) fn so_far(set: KeptRows, again: Option<KeptRows>, rows: u64) -> Result<Self, FileError> {
        Self::compared(set, again, rows).map(|(outcome, _)| outcome)
    }

    /// What became of the first rows of a set, and the first row of `again` that is none of them.
    fn compared(
        mut set: KeptRows,
        mut again: Option<KeptRows>,
        rows: u64,
    ) -> Result<(Self, Option<Reject>), FileError> {
        let mut outcome = Self::default();
        let mut rejected = again.as_mut().map_or(Ok(None), KeptRows::next)?;
        for _ in 0..rows {
            let Some(before) = set.next()? else { break };
            match rejected.take_if(|rejected| rejected.row == before.row) {
                Some(now) => {
                    outcome.rejected(&now);
                    rejected = again.as_mut().map_or(Ok(None), KeptRows::next)?;
                }
                None => outcome.settled(&before),
            }
        }
        Ok((outcome, rejected))
    }

    /// Reads rows, and stores nothing. Blocks. Errors: [`FileError`]: not all rows can be read.
    pub(super) fn tried(
        rows: &mut RetryRows,
        mut begun: Begun,
        is_left: impl Fn() -> bool,
    ) -> Result<Self, FileError> {
        let (mut outcome, mut calls, mut place) = (Self::default(), Vec::new(), 0);
        let next = |again: &mut Option<KeptRows>| again.as_mut().map_or(Ok(None), KeptRows::next);
        let mut rejected = next(&mut begun.again)?;
        while !is_left() {
            calls.clear();
            let Some((before, row)) = rows.read(&mut calls)? else { break };
            let again = rejected.take_if(|rejected| rejected.row == before.row);
            if again.is_some() {
                rejected = next(&mut begun.again)?;
            }
            match (again, row) {
                (None, _) if place < begun.rows => outcome.settled(&before),
                (Some(now), _) if place < begun.rows && !begun.is_other => outcome.rejected(&now),
                (_, Row::Rejected(now)) => outcome.rejected(&now),
                _ => outcome.settled(&before),
            }
            place += 1;
        }
        Ok(outcome)
    }

    fn settled(&mut self, before: &Reject) {
        self.settled += 1;
        self.settled_by_code.count(std::slice::from_ref(before));
    }

    fn rejected(&mut self, now: &Reject) {
        self.rejected += 1;
        self.rejected_by_code.count(std::slice::from_ref(now));
    }

    /// Of an outcome that a further round continues, what stays: the rows that are no longer rejected.
    pub(super) fn lasting(self) -> Self {
        Self { rejected: 0, rejected_by_code: RejectCounts::default(), ..self }
    }

    /// Adds the outcome of other rows.
    pub fn add(&mut self, other: &Self) {
        self.settled += other.settled;
        self.rejected += other.rejected;
        self.settled_by_code.add(&other.settled_by_code);
        self.rejected_by_code.add(&other.rejected_by_code);
    }
}
