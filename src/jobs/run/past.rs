//! What is known of a job's tasks when its run begins: recorded results, and tries that were spent.

use std::collections::BTreeMap;

use super::decide::End;
use crate::jobs::task_states::{TaskState, TaskStates};
use crate::jobs::threshold::Threshold;

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

    /// How the run has ended already, if no task of it may start any more.
    pub fn end(&self, threshold: Threshold) -> Option<End> {
        let (executed, failed) = (self.states.executed(), self.states.failed());
        // A job that had failed before it was started again has still failed.
        if threshold.is_crossed(executed, failed) {
            return Some(End::TooManyFailed { executed, failed });
        }
        (executed == self.states.rows()).then_some(End::Complete)
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
    fn a_run_that_needs_no_task_has_ended() {
        let threshold = Threshold { min_tasks: 2, percent: 50 };
        let end = |succeeded, failed| {
            let mut past = Past::new(4).unwrap();
            (0..succeeded + failed).for_each(|row| assert!(past.result(row, row < succeeded)));
            past.end(threshold)
        };
        assert_eq!((end(0, 0), end(3, 0), end(0, 1), end(1, 1)), (None, None, None, None));
        assert_eq!((end(4, 0), end(2, 2)), (Some(End::Complete), Some(End::Complete)));
        assert_eq!(end(1, 2), Some(End::TooManyFailed { executed: 3, failed: 2 }));
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
