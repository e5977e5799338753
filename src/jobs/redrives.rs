//! Tasks that wait for another try, by the time when it is due.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::random::Random;
use crate::retry::Backoff;
use crate::time::whole_millis;

/// The wait after the n-th try: 2^n s less up to a half of it, at most five minutes.
pub const REDRIVES: Backoff = Backoff { first: Duration::from_secs(2), cap: Duration::from_secs(300) };

/// Tasks that may wait for a redrive at once: 24 bytes each, 2.4 MB. At the bound no task starts for the
/// first time until a redrive has started, so a job whose function fails for a while keeps its pace to that
/// of its redrives instead of its memory growing with the manifest.
pub const WAITING_MAX: usize = 100_000;

/// A task that is due for a try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Due {
    /// The row of its object.
    pub row: u64,
    /// How often it was tried.
    pub tries: u32,
}

/// The tasks that wait. Only their rows are kept: what a task needs is read again from the manifest's copy.
#[derive(Debug, Default)]
pub struct Redrives {
    /// (due in milliseconds of the monotonic clock, row, tries), the earliest first.
    waiting: BinaryHeap<Reverse<(u64, u64, u32)>>,
}

impl Redrives {
    /// The number of tasks that wait.
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Lets a task wait that was tried so often. `now` is the monotonic time.
    pub fn add(&mut self, row: u64, tries: u32, now: Duration, random: &dyn Random) {
        let due = now.saturating_add(REDRIVES.wait(tries, random));
        // Rounded up: a task must not be due before its time.
        self.waiting.push(Reverse((whole_millis(due).saturating_add(1), row, tries)));
    }

    /// Takes the task that has been due for longest; `None` if none is due.
    pub fn take(&mut self, now: Duration) -> Option<Due> {
        let Reverse((due, row, tries)) = *self.waiting.peek()?;
        if due > whole_millis(now) {
            return None;
        }
        self.waiting.pop();
        Some(Due { row, tries })
    }

    /// When the next task is due.
    pub fn next_due(&self) -> Option<Duration> {
        self.waiting.peek().map(|Reverse((due, ..))| Duration::from_millis(*due))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Fixed(u64);
    impl Random for Fixed {
        fn next_u64(&self) -> u64 {
            self.0
        }
    }

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_wait_doubles_up_to_five_minutes() {
        let check = |tries, least_ms, most_ms| {
            let mut redrives = Redrives::default();
            redrives.add(7, tries, at(0), &Fixed(0));
            assert_eq!(redrives.take(at(least_ms)), None, "try {tries}");
            assert_eq!(redrives.take(at(most_ms)), Some(Due { row: 7, tries }), "try {tries}");
        };
        check(1, 1_000, 2_000);
        check(2, 2_000, 4_000);
        check(5, 16_000, 32_000);
        check(8, 128_000, 256_000);
        check(9, 150_000, 300_001);
        check(1_000, 150_000, 300_001);
    }

    #[test]
    fn tasks_come_in_the_order_of_their_time_and_never_before_it() {
        let mut redrives = Redrives::default();
        assert_eq!(redrives.next_due(), None);
        redrives.add(1, 3, at(0), &Fixed(0));
        redrives.add(2, 1, at(0), &Fixed(0));
        redrives.add(3, 1, at(500), &Fixed(0));
        let mut taken = Vec::new();
        while let Some(due) = redrives.next_due() {
            assert_eq!(redrives.take(due - at(1)), None);
            taken.extend(redrives.take(due).map(|due| due.row));
        }
        assert_eq!((taken, redrives.len(), redrives.is_empty()), (vec![2, 3, 1], 0, true));
    }

    #[test]
    fn the_bound_holds_in_memory_as_documented() {
        assert_eq!(size_of::<Reverse<(u64, u64, u32)>>() * WAITING_MAX, 2_400_000);
    }
}
