//! Rows of a manifest's copy that were read ahead of their tasks. Pure: the runner reads.

use std::collections::VecDeque;

use crate::jobs::task::Task;

/// More rows are read once no more than so many are there. A block of the copy comes at once.
const ROWS_LOW: usize = 256;

/// New rows, which are asked for nearly in their order.
#[derive(Debug, Default)]
pub(super) struct RowsAhead {
    /// The row of the first task of `ahead`.
    first: u64,
    ahead: VecDeque<Option<Task>>,
    /// The end of the manifest was read.
    is_end: bool,
}

impl RowsAhead {
    /// The task on this row, if it was read ahead; `Some(None)`: its row is lost. Tasks on rows before it are left
    /// out: they are done, or are read again by themselves.
    pub(super) fn take(&mut self, row: u64) -> Option<Option<Task>> {
        let skipped = usize::try_from(row.checked_sub(self.first)?).unwrap_or(usize::MAX);
        if skipped >= self.ahead.len() {
            return None;
        }
        self.ahead.drain(..skipped);
        self.first = row.saturating_add(1);
        self.ahead.pop_front()
    }

    /// Whether this row comes after all that were read ahead.
    pub(super) fn is_new(&self, row: u64) -> bool {
        row >= self.end()
    }

    /// The row from which more are to be read now. `None`: enough are there, or there are no more.
    pub(super) fn wanted(&self) -> Option<u64> {
        (self.ahead.len() <= ROWS_LOW && !self.is_end).then(|| self.end())
    }

    /// Adds the tasks that were read from this row on.
    pub(super) fn add(&mut self, first: u64, tasks: Vec<Option<Task>>) {
        self.is_end = tasks.is_empty();
        if first != self.end() {
            self.ahead.clear();
            self.first = first;
        }
        self.ahead.extend(tasks);
    }

    fn end(&self) -> u64 {
        self.first.saturating_add(u64::try_from(self.ahead.len()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(rows: std::ops::Range<u64>) -> Vec<Option<Task>> {
        let task = |row: u64| Task { bucket: "b".into(), key: row.to_string(), version: None, args: vec![] };
        rows.map(|row| Some(task(row))).collect()
    }

    fn key(rows: &mut RowsAhead, row: u64) -> String {
        rows.take(row).unwrap().unwrap().key
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
        rows.add(1_400, tasks(1_400..1_500));
        assert_eq!((rows.take(1_010), rows.wanted()), (None, Some(1_500)));
        rows.add(1_500, Vec::new());
        assert_eq!(rows.wanted(), None, "the end was read");
        assert_eq!(key(&mut rows, 1_401), "1401");
    }
}
