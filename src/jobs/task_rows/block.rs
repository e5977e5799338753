//! A block of rows as it was read: a task is decoded where it is needed.

use std::ops::Range;

use super::row_code::{self, RowPlace};
use crate::jobs::task::Task;

/// The rows of a block. Its checksum was right.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskBlock {
    first: u64,
    body: Vec<u8>,
    places: Vec<RowPlace>,
}

debug_fields!(TaskBlock { first });

impl TaskBlock {
    /// The rows of this body. `None`: it does not have so many.
    pub(super) fn of(first: u64, body: Vec<u8>, rows: u32) -> Option<Self> {
        let places = row_code::places(&body, rows)?;
        Some(Self { first, body, places })
    }

    /// A block of these tasks. `None`: one of them is longer than a row can be.
    pub fn of_tasks(first: u64, tasks: &[Task]) -> Option<Self> {
        let mut body = Vec::new();
        let mut before = None;
        for task in tasks {
            row_code::encode(&mut body, task, before).ok()?;
            before = Some(task.bucket.as_str());
        }
        Self::of(first, body, u32::try_from(tasks.len()).ok()?)
    }

    /// Its rows.
    pub fn rows(&self) -> Range<u64> {
        self.first..self.first.saturating_add(self.places.len() as u64)
    }

    /// The task on this row. `None`: the row is not in the block, or is no text.
    pub fn task(&self, row: u64) -> Option<Task> {
        let at = usize::try_from(row.checked_sub(self.first)?).ok()?;
        row_code::decode(&self.body, *self.places.get(at)?)
    }
}
