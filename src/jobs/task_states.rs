//! The state of every task of a job: two bits a row.

use std::ops::Range;

/// The state of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskState {
    /// It has no result: it never ran, or waits for another try.
    Waiting,
    /// An invocation for it runs.
    InFlight,
    /// It has succeeded. Final.
    Succeeded,
    /// It has failed for good. Final.
    Failed,
}

impl TaskState {
    fn bits(self) -> u8 {
        match self {
            Self::Waiting => 0,
            Self::InFlight => 1,
            Self::Succeeded => 2,
            Self::Failed => 3,
        }
    }

    fn of_bits(bits: u8) -> Self {
        match bits & 3 {
            0 => Self::Waiting,
            1 => Self::InFlight,
            2 => Self::Succeeded,
            _ => Self::Failed,
        }
    }
}

/// The states of all tasks of a job, and how many have each. Four rows a byte: 2.5 MB for ten million.
#[derive(Clone, PartialEq, Eq)]
pub struct TaskStates {
    /// Row r has the bits 2(r mod 4) and the next of byte r/4.
    bytes: Vec<u8>,
    rows: u64,
    in_flight: u64,
    succeeded: u64,
    failed: u64,
}

debug_fields!(TaskStates { rows, in_flight, succeeded, failed });

impl TaskStates {
    /// The states of so many tasks, all waiting. `None`: they do not fit into the memory that can be
    /// addressed.
    pub fn new(rows: u64) -> Option<Self> {
        let bytes = vec![0; usize::try_from(rows.div_ceil(4)).ok()?];
        Some(Self { bytes, rows, in_flight: 0, succeeded: 0, failed: 0 })
    }

    /// The number of tasks.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Tasks whose invocation runs.
    pub fn in_flight(&self) -> u64 {
        self.in_flight
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
        let (byte, shift) = self.place(row)?;
        Some(TaskState::of_bits(self.bytes.get(byte)? >> shift))
    }

    /// Changes the state of the task on this row. False, and nothing is changed: the row does not exist, or
    /// its task has a final result, which never changes.
    pub fn set(&mut self, row: u64, state: TaskState) -> bool {
        let Some(((byte, shift), before)) = self.place(row).zip(self.get(row)) else { return false };
        if matches!(before, TaskState::Succeeded | TaskState::Failed) {
            return false;
        }
        if let Some(byte) = self.bytes.get_mut(byte) {
            *byte = (*byte & !(3 << shift)) | (state.bits() << shift);
        }
        self.in_flight -= u64::from(before == TaskState::InFlight);
        match state {
            TaskState::Waiting => {}
            TaskState::InFlight => self.in_flight += 1,
            TaskState::Succeeded => self.succeeded += 1,
            TaskState::Failed => self.failed += 1,
        }
        true
    }

    /// Changes the states of the tasks on these rows, as [`TaskStates::set`] does for each.
    pub fn set_rows(&mut self, rows: Range<u64>, state: TaskState) {
        let mut row = rows.start;
        while row < rows.end {
            // Four rows that wait become four that have ended, at once.
            let whole = (row.is_multiple_of(4) && rows.end - row >= 4).then_some(row / 4);
            let byte = whole.and_then(|byte| self.bytes.get_mut(usize::try_from(byte).ok()?));
            let count = match (byte, state) {
                (Some(byte), TaskState::Succeeded | TaskState::Failed) if *byte == 0 => {
                    *byte = state.bits() * 0b0101_0101;
                    *(if state == TaskState::Succeeded { &mut self.succeeded } else { &mut self.failed }) +=
                        4;
                    4
                }
                _ => {
                    self.set(row, state);
                    1
                }
            };
            row += count;
        }
    }

    /// The first row from this one on whose task is waiting.
    pub fn next_waiting(&self, from: u64) -> Option<u64> {
        let is_waiting = |row: &u64| self.get(*row) == Some(TaskState::Waiting);
        let aligned = from.checked_next_multiple_of(4)?.min(self.rows);
        (from..aligned).find(is_waiting).or_else(|| {
            let begin = usize::try_from(aligned / 4).ok()?;
            // A pair of bits that are both 0.
            let has_waiting = |byte: &u8| !(byte | byte >> 1) & 0b0101_0101 != 0;
            let more = self.bytes.get(begin..)?.iter().position(has_waiting)?;
            let first = aligned.saturating_add(4 * u64::try_from(more).ok()?);
            (first..self.rows.min(first.saturating_add(4))).find(is_waiting)
        })
    }

    fn place(&self, row: u64) -> Option<(usize, u32)> {
        let byte = usize::try_from(row / 4).ok().filter(|_| row < self.rows)?;
        let shift = u32::try_from(row % 4).ok()? * 2;
        Some((byte, shift))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::TaskState::{Failed, InFlight, Succeeded, Waiting};
    use super::*;

    #[test]
    fn a_final_result_never_changes() {
        let mut states = TaskStates::new(5).unwrap();
        assert!(states.set(4, InFlight) && states.set(4, Failed));
        for state in [Waiting, InFlight, Succeeded, Failed] {
            assert!(!states.set(4, state), "{state:?}");
        }
        assert_eq!((states.get(4), states.failed(), states.executed()), (Some(Failed), 1, 1));
        assert!(!states.set(5, InFlight));
        assert_eq!((states.get(5), states.in_flight()), (None, 0));
    }

    #[test]
    fn the_next_waiting_row_is_found() {
        let mut states = TaskStates::new(6).unwrap();
        for (row, state) in [(0, Succeeded), (1, InFlight), (3, Failed), (5, Succeeded)] {
            assert!(states.set(row, state));
        }
        let next = [0, 2, 3, 5, 6, u64::MAX].map(|from| states.next_waiting(from));
        assert_eq!(next, [Some(2), Some(2), Some(4), None, None, None]);
    }

    #[test]
    fn four_rows_take_a_byte() {
        assert_eq!(TaskStates::new(10_000_001).unwrap().bytes.len(), 2_500_001);
    }

    proptest! {
        #[test]
        fn states_and_counts_are_those_of_a_list(
            changes in proptest::collection::vec((0_u64..13, 0_u8..4), 0..200),
        ) {
            let mut states = TaskStates::new(11).unwrap();
            let mut list = [Waiting; 11];
            for (row, bits) in changes {
                let state = TaskState::of_bits(bits);
                let place = list.get_mut(usize::try_from(row).unwrap());
                let place = place.filter(|before| !matches!(before, Succeeded | Failed));
                prop_assert_eq!(states.set(row, state), place.is_some());
                place.into_iter().for_each(|place| *place = state);
            }
            for (row, state) in (0..).zip(list) {
                prop_assert_eq!(states.get(row), Some(state));
            }
            for from in 0..13 {
                let waits = |row: &usize| list.get(*row) == Some(&Waiting);
                let next = (usize::try_from(from).unwrap()..11).find(waits).map(|row| row as u64);
                prop_assert_eq!(states.next_waiting(from), next);
            }
            let count = |state| u64::try_from(list.iter().filter(|it| **it == state).count()).unwrap();
            prop_assert_eq!(
                (states.in_flight(), states.succeeded(), states.failed()),
                (count(InFlight), count(Succeeded), count(Failed))
            );
        }
    }
}
