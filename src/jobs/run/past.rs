//! What is known of a job's tasks when its run begins: recorded results, and tries that were spent.

use std::collections::BTreeMap;

use crate::jobs::task_states::{TaskState, TaskStates};

/// The recorded past of a job.
#[derive(Debug)]
pub struct Past {
    pub(super) states: TaskStates,
    /// How often tasks were tried that have no result. No more of them than may wait for a redrive and run at
    /// once.
    pub(super) tried: BTreeMap<u64, u32>,
}

impl Past {
    /// A job of so many rows that has not run. `None`: its states do not fit into the memory that can be
    /// addressed.
    pub fn new(rows: u64) -> Option<Self> {
        Some(Self { states: TaskStates::new(rows)?, tried: BTreeMap::new() })
    }

    /// A task has its final result. The first result of a row counts. False: it has one already, or the job
    /// has no such row.
    pub fn result(&mut self, row: u64, succeeded: bool) -> bool {
        if !self.tried.is_empty() {
            self.tried.remove(&row);
        }
        self.states.end(row, succeeded)
    }

    /// So many tasks from a row on have a final result. As [`Past::result`] for each of them.
    pub fn results_of(&mut self, first: u64, count: u64, succeeded: bool) {
        if count == 1 {
            self.result(first, succeeded);
            return;
        }
        let rows = first..first.saturating_add(count).min(self.states.rows());
        if rows.is_empty() {
            return;
        }
        if !self.tried.is_empty() {
            self.tried.retain(|row, _| !rows.contains(row));
        }
        self.states.end_rows(rows, succeeded);
    }

    /// A task was tried so often, and has no result. False: it has one, or the job has no such row.
    pub fn tried(&mut self, row: u64, tries: u32) -> bool {
        let waits = self.states.get(row) == Some(TaskState::Waiting);
        if waits {
            self.tried.insert(row, tries);
        }
        waits
    }

    /// Tasks that have succeeded, and tasks that have failed.
    pub fn results(&self) -> (u64, u64) {
        (self.states.succeeded(), self.states.failed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_many_rows_are_those_of_each() {
        for (first, count) in
            [(0, 1), (0, 40), (3, 9), (4, 8), (5, 2), (30, 100), (39, u64::MAX), (40, 3), (u64::MAX, 5)]
        {
            let (mut at_once, mut one_by_one) = (Past::new(40).unwrap(), Past::new(40).unwrap());
            for past in [&mut at_once, &mut one_by_one] {
                past.result(6, false);
                [5, 7, 38].into_iter().for_each(|row| assert!(past.tried(row, 2)));
            }
            at_once.results_of(first, count, true);
            (first..first.saturating_add(count).min(50)).for_each(|row| _ = one_by_one.result(row, true));
            assert_eq!(at_once.states, one_by_one.states, "{first} {count}");
            assert_eq!(at_once.tried, one_by_one.tried, "{first} {count}");
        }
    }

    #[test]
    fn the_first_result_counts_and_ends_the_tries() {
        let mut past = Past::new(3).unwrap();
        assert!(past.tried(0, 1) && past.tried(0, 2) && past.tried(2, 1));
        assert!(past.result(0, true));
        assert!(!past.result(0, false) && !past.tried(0, 3));
        assert!(!past.result(3, true) && !past.tried(3, 1));
        assert_eq!((past.results(), past.tried), ((1, 0), BTreeMap::from([(2, 1)])));
    }
}
