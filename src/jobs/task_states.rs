//! The state of every task of a job: one bit a row, and the rows in flight.

use std::collections::BTreeSet;
use std::ops::Range;

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

/// The states of all tasks of a job, and how many have each. Eight rows a byte: 1.25 MB for ten million, and
/// more for the few that are in flight.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskStates {
    /// Row r has the bit r mod 8 of byte r/8: whether its task has ended or is in flight.
    bytes: Vec<u8>,
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
        let bytes = vec![0; usize::try_from(rows.div_ceil(8)).ok()?];
        Some(Self { bytes, in_flight: BTreeSet::new(), rows, succeeded: 0, failed: 0 })
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
        let (byte, bit) = self.place(row)?;
        Some(match self.bytes.get(byte)? & bit {
            0 => TaskState::Waiting,
            _ if self.in_flight.contains(&row) => TaskState::InFlight,
            _ => TaskState::Ended,
        })
    }

    /// An invocation for the task on this row begins. False, and nothing is changed: the row does not exist, or
    /// its task has ended.
    pub fn begin(&mut self, row: u64) -> bool {
        let may = self.get(row).is_some_and(|before| before != TaskState::Ended);
        if may {
            self.mark(row, true);
            self.in_flight.insert(row);
        }
        may
    }

    /// The task on this row waits for its first or another try. False as for [`TaskStates::begin`].
    pub fn wait(&mut self, row: u64) -> bool {
        let may = self.get(row).is_some_and(|before| before != TaskState::Ended);
        if may {
            self.mark(row, false);
            self.in_flight.remove(&row);
        }
        may
    }

    /// The task on this row has its final result. False as for [`TaskStates::begin`]: a result never changes.
    pub fn end(&mut self, row: u64, succeeded: bool) -> bool {
        let may = self.get(row).is_some_and(|before| before != TaskState::Ended);
        if may {
            self.mark(row, true);
            self.in_flight.remove(&row);
            self.count(succeeded, 1);
        }
        may
    }

    /// The tasks on these rows have their final results, as [`TaskStates::end`] says for each.
    pub fn end_rows(&mut self, rows: Range<u64>, succeeded: bool) {
        let mut row = rows.start;
        while row < rows.end {
            // Eight rows that wait become eight that have ended, at once.
            let whole = (row.is_multiple_of(8) && rows.end - row >= 8).then_some(row / 8);
            let byte = whole.and_then(|byte| self.bytes.get_mut(usize::try_from(byte).ok()?));
            match byte.filter(|byte| **byte == 0 && row.saturating_add(8) <= self.rows) {
                Some(byte) => {
                    *byte = u8::MAX;
                    self.count(succeeded, 8);
                    row += 8;
                }
                None => {
                    self.end(row, succeeded);
                    row += 1;
                }
            }
        }
    }

    /// The first row from this one on whose task is waiting.
    pub fn next_waiting(&self, from: u64) -> Option<u64> {
        let is_waiting = |row: &u64| self.get(*row) == Some(TaskState::Waiting);
        let aligned = from.checked_next_multiple_of(8)?.min(self.rows);
        (from..aligned).find(is_waiting).or_else(|| {
            let begin = usize::try_from(aligned / 8).ok()?;
            let more = self.bytes.get(begin..)?.iter().position(|byte| *byte != u8::MAX)?;
            let first = aligned.saturating_add(8 * u64::try_from(more).ok()?);
            (first..self.rows.min(first.saturating_add(8))).find(is_waiting)
        })
    }

    fn count(&mut self, succeeded: bool, tasks: u64) {
        *(if succeeded { &mut self.succeeded } else { &mut self.failed }) += tasks;
    }

    fn mark(&mut self, row: u64, is_set: bool) {
        let place = self.place(row);
        if let Some((byte, bit)) = place.and_then(|(byte, bit)| Some((self.bytes.get_mut(byte)?, bit))) {
            *byte = if is_set { *byte | bit } else { *byte & !bit };
        }
    }

    /// The byte of a row, and its bit in there.
    fn place(&self, row: u64) -> Option<(usize, u8)> {
        let byte = usize::try_from(row / 8).ok().filter(|_| row < self.rows)?;
        Some((byte, 1 << (row % 8)))
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

    #[test]
    fn eight_rows_take_a_byte() {
        assert_eq!(TaskStates::new(10_000_001).unwrap().bytes.len(), 1_250_001);
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
