//! Rows of a manifest's copy that were read ahead of their tasks. Pure: the runner reads.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use crate::jobs::task_rows::TaskBlock;

/// More rows are read once no more than so many are there. A block of the copy comes at once.
const ROWS_LOW: u64 = 256;

/// Rows that were read at once.
#[derive(Clone, Debug)]
pub enum RowsRead {
    /// Their tasks.
    Tasks(Arc<TaskBlock>),
    /// The copy of the manifest is damaged there.
    Lost(Range<u64>),
}

impl RowsRead {
    /// Which.
    pub fn rows(&self) -> Range<u64> {
        match self {
            Self::Tasks(block) => block.rows(),
            Self::Lost(rows) => rows.clone(),
        }
    }
}

/// New rows, which are asked for nearly in their order.
#[derive(Debug, Default)]
pub(super) struct RowsAhead {
    /// Rows before this one are not here any more.
    first: u64,
    /// Each begins where the one before ends.
    read: VecDeque<RowsRead>,
    /// The end of the manifest was read.
    is_end: bool,
}

impl RowsAhead {
    /// The block of the task on this row, if it was read ahead; `Some(None)`: its row is lost. Tasks on rows before it
    /// are left out: they are done, or are read again by themselves.
    pub(super) fn take(&mut self, row: u64) -> Option<Option<Arc<TaskBlock>>> {
        if row < self.first || self.is_new(row) {
            return None;
        }
        while self.read.front().is_some_and(|read| read.rows().end <= row) {
            self.read.pop_front();
        }
        self.first = row.saturating_add(1);
        self.read.front().map(|read| match read {
            RowsRead::Tasks(block) => Some(Arc::clone(block)),
            RowsRead::Lost(_) => None,
        })
    }

    /// Whether this row comes after all that were read ahead.
    pub(super) fn is_new(&self, row: u64) -> bool {
        row >= self.end()
    }

    /// The row from which more are to be read now. `None`: enough are there, or there are no more.
    pub(super) fn wanted(&self) -> Option<u64> {
        let end = self.end();
        (end - self.first <= ROWS_LOW && !self.is_end).then_some(end)
    }

    /// Adds what was read from this row on; `None`: there is no such row.
    pub(super) fn add(&mut self, first: u64, read: Option<RowsRead>) {
        self.is_end = read.is_none();
        if first != self.end() {
            self.read.clear();
            self.first = first;
        }
        self.read.extend(read);
    }

    fn end(&self) -> u64 {
        self.read.back().map_or(self.first, |read| read.rows().end.max(self.first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::task::Task;

    fn tasks(rows: Range<u64>) -> Option<RowsRead> {
        let task = |row: u64| Task { bucket: "b".into(), key: row.to_string(), version: None, args: vec![] };
        let tasks: Vec<Task> = rows.clone().map(task).collect();
        Some(RowsRead::Tasks(Arc::new(TaskBlock::of_tasks(rows.start, &tasks).unwrap())))
    }

    fn key(rows: &mut RowsAhead, row: u64) -> String {
        rows.take(row).unwrap().unwrap().task(row).unwrap().key
    }

    #[test]
    fn each_row_is_that_which_was_asked_for() {
        let mut rows = RowsAhead::default();
        assert_eq!((rows.take(0), rows.wanted()), (None, Some(0)));
        rows.add(0, tasks(0..512));
        assert_eq!(rows.wanted(), None);
        for row in (0..200).chain(250..300) {
            assert_eq!(key(&mut rows, row), row.to_string());
        }
        assert_eq!((rows.take(220), rows.is_new(511), rows.is_new(512)), (None, false, true));
        assert_eq!(rows.wanted(), Some(512));
        rows.add(512, tasks(512..1_024));
        for row in [300, 511, 512, 1_000] {
            assert_eq!(key(&mut rows, row), row.to_string());
        }
        assert_eq!(rows.take(1_024), None);
        // A run that goes on begins within a block.
        rows.add(1_430, tasks(1_400..1_500));
        assert_eq!((rows.take(1_010), rows.take(1_420), rows.wanted()), (None, None, Some(1_500)));
        rows.add(1_500, Some(RowsRead::Lost(1_500..1_510)));
        rows.add(1_510, None);
        assert_eq!(rows.wanted(), None, "the end was read");
        assert_eq!(key(&mut rows, 1_431), "1431");
        assert_eq!((rows.take(1_505), rows.take(1_510)), (Some(None), None));
    }
}
