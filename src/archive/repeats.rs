//! Calls that stand twice, as far as the collector could have seen it. Pure.
//!
//! The collector finds a repeat within its dedupe window: 24 h, and 2,097,152 calls of all sources. A line does not show its
//! position, but its object does, within bounds: line `k` of `n` stands at `first + k` or later, and at
//! `last - (n - 1 - k)` or earlier. Two lines are compared where they surely stood within one window.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::lines::Prints;

/// Positions of one window: what the collector keeps at most.
pub const POSITIONS_MAX: u64 = 2 * 1_024 * 1_024;
/// Seconds of one window.
pub const SECONDS_MAX: u32 = 24 * 3_600;

/// Calls that are kept of all spools of a source together, at up to 100 bytes each. Above, the spools that are not at hand
/// keep the newest of theirs: a client sends again soon, or not at all.
pub const KEPT_MAX: usize = 3 * 1_024 * 1_024;

/// What was seen lately of one source, by spool: each has a dedupe of its own.
#[derive(Debug)]
pub struct Windows {
    by_spool: BTreeMap<String, Window>,
    kept_max: usize,
}

impl Default for Windows {
    fn default() -> Self {
        Self { by_spool: BTreeMap::new(), kept_max: KEPT_MAX }
    }
}

impl Windows {
    /// Forgets everything: another source begins.
    pub fn clear(&mut self) {
        self.by_spool.clear();
    }

    /// Takes in the next object of a spool.
    pub fn take(&mut self, spool: &str, object: &Object<'_>) -> Vec<Repeats> {
        let window = self.by_spool.entry(spool.to_owned()).or_default();
        let found = window.take(object);
        let (own, newest) = (window.len(), window.newest());
        self.by_spool.retain(|_, window| newest.saturating_sub(window.newest()) < SECONDS_MAX);
        let others: usize = self.by_spool.values().map(Window::len).sum::<usize>() - own;
        if own + others > self.kept_max {
            let share = self.kept_max.saturating_sub(own) / (self.by_spool.len() - 1).max(1);
            let others = self.by_spool.iter_mut().filter(|(of, _)| *of != spool);
            others.for_each(|(_, window)| window.keep_newest(share));
        }
        found
    }

    /// Calls that are kept.
    pub fn len(&self) -> usize {
        self.by_spool.values().map(Window::len).sum()
    }

    /// Whether none is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What was seen lately of one source in one spool: at most what lies within [`POSITIONS_MAX`], and one object.
#[derive(Debug, Default)]
struct Window {
    /// Print, and the first position of the object with the first copy.
    known: HashMap<u64, u64>,
    /// In the order of positions.
    order: VecDeque<Entry>,
}

#[derive(Debug)]
struct Entry {
    print: u64,
    /// Where the line stands at the earliest.
    low: u64,
    seconds: u32,
}

/// An object whose lines are compared with those before it.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// Its first position.
    pub first: u64,
    /// Its last.
    pub last: u64,
    /// Its lines.
    pub lines: u64,
    /// What is seen of them.
    pub prints: &'a Prints,
}

/// Repeats of one kind in one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// Whether the client's time is seen to be the same.
    pub certain: bool,
    /// The number of the first, from 1.
    pub line: u64,
    /// The first position of the object that has the first copy of it.
    pub of: u64,
    /// How many.
    pub count: u64,
}

impl Window {
    fn take(&mut self, object: &Object<'_>) -> Vec<Repeats> {
        let Object { first, last, lines, prints } = *object;
        let mut found: [Option<Repeats>; 2] = [None, None];
        for (at, print) in (0_u64..).zip(prints.iter()) {
            let Some(print) = print else { continue };
            let low = first.saturating_add(at);
            let high = last.saturating_sub(lines.saturating_sub(at.saturating_add(1)));
            self.forget(high, print.seconds);
            let timed = self.insert(print.timed, low, print.seconds, first);
            let untimed = print.untimed.and_then(|print_| self.insert(print_, low, print.seconds, first));
            let (certain, of) = match (timed, untimed) {
                (Some(of), _) => (true, of),
                (None, Some(of)) => (false, of),
                (None, None) => continue,
            };
            let [sure, unsure] = &mut found;
            let repeats = if certain { sure } else { unsure };
            repeats.get_or_insert(Repeats { certain, line: at + 1, of, count: 0 }).count += 1;
        }
        found.into_iter().flatten().collect()
    }

    fn len(&self) -> usize {
        self.order.len()
    }

    /// When the newest was received, in seconds.
    fn newest(&self) -> u32 {
        self.order.back().map_or(0, |entry| entry.seconds)
    }

    fn keep_newest(&mut self, count: usize) {
        let old = self.order.len().saturating_sub(count);
        for entry in self.order.drain(..old) {
            self.known.remove(&entry.print);
        }
        self.order.shrink_to_fit();
        self.known.shrink_to_fit();
    }

    /// Where the first copy stands, if there is one; else this is it.
    fn insert(&mut self, print: u64, low: u64, seconds: u32, object: u64) -> Option<u64> {
        let known = self.known.get(&print).copied();
        if known.is_none() {
            self.known.insert(print, object);
            self.order.push_back(Entry { print, low, seconds });
        }
        known
    }

    fn forget(&mut self, high: u64, seconds: u32) {
        while let Some(oldest) = self.order.front() {
            let within = high.saturating_sub(oldest.low) < POSITIONS_MAX
                && seconds.saturating_sub(oldest.seconds) < SECONDS_MAX;
            if within {
                break;
            }
            self.known.remove(&oldest.print);
            self.order.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::lines::Print;
    use super::*;

    fn print(timed: u64, untimed: Option<u64>, seconds: u32) -> Option<Print> {
        Some(Print { timed, untimed, seconds })
    }

    impl Window {
        fn took(&mut self, first: u64, last: u64, prints: &[Option<Print>]) -> Vec<Repeats> {
            let prints: Prints = prints.iter().copied().collect();
            self.take(&Object { first, last, lines: prints.len() as u64, prints: &prints })
        }
    }

    impl Windows {
        fn took(&mut self, spool: &str, first: u64, last: u64, prints: &[Option<Print>]) -> Vec<Repeats> {
            let prints: Prints = prints.iter().copied().collect();
            self.take(spool, &Object { first, last, lines: prints.len() as u64, prints: &prints })
        }
    }

    #[test]
    fn a_repeat_is_found_once_it_is_sure_to_be_one() {
        let mut window = Window::default();
        let sure = |line, of, count| Repeats { certain: true, line, of, count };
        let unsure = |line, of, count| Repeats { certain: false, line, of, count };
        assert_eq!(window.took(1, 3, &[print(1, None, 0), None, print(2, Some(9), 0)]), []);
        assert_eq!(
            window.took(10, 12, &[print(3, None, 1), print(1, None, 1), print(2, Some(9), 1)]),
            [sure(2, 1, 2)]
        );
        assert_eq!(window.took(20, 20, &[print(4, Some(9), 2)]), [unsure(1, 1, 1)]);
        // A retry whose first copy left the client in the millisecond that it was made.
        assert_eq!(window.took(30, 30, &[print(2, None, 3)]), [sure(1, 1, 1)]);
    }

    #[test]
    fn what_may_stand_outside_the_window_is_not_held_against_it() {
        let check = |first: u64, last: u64, seconds: u32, found: bool| {
            let mut window = Window::default();
            window.took(1, 1, &[print(1, None, 0)]);
            assert_eq!(
                window.took(first, last, &[print(1, None, seconds)]).len(),
                usize::from(found),
                "{first} {seconds}"
            );
        };
        check(POSITIONS_MAX, POSITIONS_MAX, 0, true);
        check(POSITIONS_MAX + 1, POSITIONS_MAX + 1, 0, false);
        // Where the one line of an object stands is known no better than where the object does.
        check(10, POSITIONS_MAX + 1, 0, false);
        check(2, 2, SECONDS_MAX - 1, true);
        check(2, 2, SECONDS_MAX, false);
    }

    #[test]
    fn memory_is_that_of_a_window() {
        let mut window = Window::default();
        for step in 0..5_000 {
            window.took(step * 1_024 + 1, step * 1_024 + 1, &[print(step + 1, None, 0)]);
        }
        assert_eq!(window.len() as u64, POSITIONS_MAX / 1_024);
        assert_eq!(window.known.len(), window.len());
    }

    #[test]
    fn many_spools_share_what_is_kept_and_old_ones_go() {
        let mut windows = Windows { kept_max: 400, ..Windows::default() };
        let prints = |from: u64| -> Vec<_> { (0..100).map(|at| print(from + at, None, 0)).collect() };
        for (at, spool) in (0..).zip(["a", "b", "c", "d", "e", "f"]) {
            assert_eq!(windows.took(spool, 1, 100, &prints(at * 100 + 1)), []);
            assert!(windows.len() <= 400, "{spool}");
        }
        let newest = [print(100, None, 5), print(1, None, 5)];
        let found = windows.took("a", 101, 102, &newest);
        assert_eq!(found, [Repeats { certain: true, line: 1, of: 1, count: 1 }], "the newest are kept");
        assert_eq!(windows.took("b", 2_000, 2_000, &[print(1, None, SECONDS_MAX + 10)]), []);
        assert_eq!(windows.len(), 1, "all others are too old");
        windows.clear();
        assert!(windows.is_empty());
    }
}
