//! The state of every task of a job: at most one bit a row, and the rows in flight.

use std::collections::BTreeSet;
use std::ops::Range;

use super::row_bits::RowBits;

/// The state of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It has no result: it never ran, or waits for another try.
    Waiting,
    /// An invocation for it runs.
    InFlight,
    /// It has succeeded, or failed for good. Final.
    Ended,
}

/// The states of all tasks of a job, and how many have each. At most a bit a row, 1.25 MB for ten million, and
/// more for the few that are in flight.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskStates {
    /// Whether its task has ended or is in flight.
    bits: RowBits,
    in_flight: BTreeSet<u64>,
    rows: u64,
    succeeded: u64,
    failed: u64,
}

debug_fields!(TaskStates { rows, in_flight, succeeded, failed });

impl TaskStates {
    /// The states of so many tasks, all waiting. `None`: they do not fit into the memory that can be
    /// addressed.
    pub fn new(rows: u64) -> Option<Self> {
        usize::try_from(rows.div_ceil(8)).ok()?;
        Some(Self { bits: RowBits::default(), in_flight: BTreeSet::new(), rows, succeeded: 0, failed: 0 })
    }

    /// The number of tasks.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Tasks whose invocation runs.
    pub fn in_flight(&self) -> u64 {
        u64::try_from(self.in_flight.len()).unwrap_or(u64::MAX)
    }

    /// Tasks that have succeeded.
    pub fn succeeded(&self) -> u64 {
        self.succeeded
    }

    /// Tasks that have failed for good.
    pub fn failed(&self) -> u64 {
        self.failed
    }

    /// Tasks with a final result.
    pub fn executed(&self) -> u64 {
        self.succeeded.saturating_add(self.failed)
    }

    /// The state of the task on this row; `None` beyond the last row.
    pub fn get(&self, row: u64) -> Option<TaskState> {
        if row >= self.rows {
            return None;
        }
        Some(match self.bits.get(row) {
            false => TaskState::Waiting,
            true if self.in_flight.contains(&row) => TaskState::InFlight,
            true => TaskState::Ended,
        })
    }

    /// An invocation for the task on this row begins. False, and nothing is changed: the row does not exist, or
    /// its task has ended.
    pub fn begin(&mut self, row: u64) -> bool {
        let may = self.get(row).is_some_and(|before| before != TaskState::Ended);
        if may {
            self.bits.set(row, true);
            self.in_flight.insert(row);
        }
        may
    }

    /// The task on this row waits for its first or another try. False as for [`TaskStates::begin`].
    pub fn wait(&mut self, row: u64) -> bool {
        let may = self.get(row).is_some_and(|before| before != TaskState::Ended);
        if may {
            self.bits.set(row, false);
            self.in_flight.remove(&row);
        }
        may
    }

    /// The task on this row has its final result. False as for [`TaskStates::begin`]: a result never changes.
    pub fn end(&mut self, row: u64, succeeded: bool) -> bool {
        let may = self.get(row).is_some_and(|before| before != TaskState::Ended);
        if may {
            self.bits.set(row, true);
            self.in_flight.remove(&row);
            self.count(succeeded, 1);
        }
        may
    }

    /// The tasks on these rows have their final results, as [`TaskStates::end`] says for each.
    pub fn end_rows(&mut self, rows: Range<u64>, succeeded: bool) {
        let mut row = rows.start;
        while row < rows.end {
            // Many rows that wait become as many that have ended, at once.
            let many = self.bits.set_many(row, rows.end.min(self.rows).saturating_sub(row));
            if many > 0 {
                self.count(succeeded, many);
                row += many;
            } else {
                self.end(row, succeeded);
                row += 1;
            }
        }
    }

    /// The first row from this one on whose task is waiting.
    pub fn next_waiting(&self, from: u64) -> Option<u64> {
        self.bits.first_clear(from, self.rows)
    }

    fn count(&mut self, succeeded: bool, tasks: u64) {
        *(if succeeded { &mut self.succeeded } else { &mut self.failed }) += tasks;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::TaskState::{Ended, InFlight, Waiting};
    use super::*;

    #[test]
    fn a_final_result_never_changes() {
        let mut states = TaskStates::new(5).unwrap();
        assert!(states.begin(4) && states.end(4, false));
        assert!(!states.begin(4) && !states.wait(4) && !states.end(4, true));
        assert_eq!((states.get(4), states.failed(), states.executed()), (Some(Ended), 1, 1));
        assert!(!states.begin(5) && !states.wait(5) && !states.end(5, true));
        assert_eq!((states.get(5), states.in_flight()), (None, 0));
    }

    #[test]
    fn the_next_waiting_row_is_found() {
        let mut states = TaskStates::new(6).unwrap();
        assert!(states.end(0, true) && states.begin(1) && states.end(3, false) && states.end(5, true));
        let next = [0, 2, 3, 5, 6, u64::MAX].map(|from| states.next_waiting(from));
        assert_eq!(next, [Some(2), Some(2), Some(4), None, None, None]);
        let mut states = TaskStates::new(20).unwrap();
        states.end_rows(1..17, true);
        assert_eq!([0, 1, 8, 17, 19].map(|from| states.next_waiting(from)), [0, 17, 17, 17, 19].map(Some));
    }

    proptest! {
        #[test]
        fn states_and_counts_are_those_of_a_list(
            changes in proptest::collection::vec((0_u64..21, 0_u8..5, 1_u64..20), 0..200),
        ) {
            let mut states = TaskStates::new(19).unwrap();
            let (mut list, mut succeeded, mut failed) = ([Waiting; 19], 0, 0);
            for (row, change, more) in changes {
                let is_open = |list: &[TaskState; 19], row: u64| {
                    list.get(usize::try_from(row).unwrap()).is_some_and(|before| *before != Ended)
                };
                let may = is_open(&list, row);
                let mut set = |row: u64, state: TaskState| {
                    if is_open(&list, row) {
                        list[usize::try_from(row).unwrap()] = state;
                        match change {
                            2 | 4 => succeeded += 1,
                            3 => failed += 1,
                            _ => {}
                        }
                    }
                };
                match change {
                    0 => prop_assert_eq!(states.wait(row), may),
                    1 => prop_assert_eq!(states.begin(row), may),
                    2 | 3 => prop_assert_eq!(states.end(row, change == 2), may),
                    _ => states.end_rows(row..row + more, true),
                }
                match change {
                    0 => set(row, Waiting),
                    1 => set(row, InFlight),
                    2 | 3 => set(row, Ended),
                    _ => (row..row + more).for_each(|row| set(row, Ended)),
                }
            }
            for (row, state) in (0..).zip(list) {
                prop_assert_eq!(states.get(row), Some(state));
            }
            for from in 0..21 {
                let waits = |row: &usize| list.get(*row) == Some(&Waiting);
                let next = (usize::try_from(from).unwrap()..19).find(waits).map(|row| row as u64);
                prop_assert_eq!(states.next_waiting(from), next);
            }
            let in_flight = u64::try_from(list.iter().filter(|it| **it == InFlight).count()).unwrap();
            prop_assert_eq!(
                (states.in_flight(), states.succeeded(), states.failed()),
                (in_flight, succeeded, failed)
            );
        }
    }
}
