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
        self.states.set(row, if succeeded { TaskState::Succeeded } else { TaskState::Failed })
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
    fn the_first_result_counts_and_ends_the_tries() {
        let mut past = Past::new(3).unwrap();
        assert!(past.tried(0, 1) && past.tried(0, 2) && past.tried(2, 1));
        assert!(past.result(0, true));
        assert!(!past.result(0, false) && !past.tried(0, 3));
        assert!(!past.result(3, true) && !past.tried(3, 1));
        assert_eq!((past.results(), past.tried), ((1, 0), BTreeMap::from([(2, 1)])));
    }
}
