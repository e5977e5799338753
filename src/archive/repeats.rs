//! Finds calls that are stored twice although the collector could have recognised the repeat. Pure.
//!
//! The collector recognises a repeat within its dedupe window: 24 h, and 2,097,152 calls of all sources. A
//! log with a shorter window says so in its markers. A
//! line does not contain its position, but its object limits it: line `k` of `n` has at least position
//! `first + k` and at most `last - (n - 1 - k)`. Two lines are compared only if they were certainly within
//! one window.

use std::collections::{BTreeMap, HashMap, VecDeque};

use super::lines::Prints;

/// Positions in one window, unless a marker names fewer: the most calls that the collector remembers.
pub const POSITIONS_MAX: u64 = 2 * 1_024 * 1_024;
/// Seconds in one window.
pub const SECONDS_MAX: u32 = 24 * 3_600;

/// The most calls kept for all spools of a source, at up to 100 bytes each. Above it, spools other than the
/// current one keep only their newest calls: a client retries soon or not at all.
pub const KEPT_MAX: usize = 3 * 1_024 * 1_024;

/// Recent calls of one source, by spool, because each spool has its own dedupe.
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
    /// Forgets everything, before another source.
    pub fn clear(&mut self) {
        self.by_spool.clear();
    }

    /// Adds the next object of a spool, and returns its repeats. `positions` is the number of positions
    /// within which the spool recognises repeats, if its markers say so; above [`POSITIONS_MAX`] it has no
    /// effect, or a marker could ask for any amount of memory.
    pub fn take(&mut self, spool: &str, positions: Option<u64>, object: &Object<'_>) -> Vec<Repeats> {
        let window = self.by_spool.entry(spool.to_owned()).or_default();
        window.positions = positions.unwrap_or(POSITIONS_MAX).min(POSITIONS_MAX);
        let found = window.take(object);
        let (own, newest) = (window.len(), window.newest());
        self.by_spool.retain(|_, window| newest.saturating_sub(window.newest()) < SECONDS_MAX);
        if self.len() > self.kept_max {
            let share = self.kept_max.saturating_sub(own) / (self.by_spool.len() - 1).max(1);
            let others = self.by_spool.iter_mut().filter(|(of, _)| *of != spool);
            others.for_each(|(_, window)| window.keep_newest(share));
        }
        found
    }

    /// The number of calls kept.
    fn len(&self) -> usize {
        self.by_spool.values().map(Window::len).sum()
    }
}

/// Recent calls of one source in one spool: at most those within `positions`, plus one object.
#[derive(Debug)]
struct Window {
    /// Lines this many positions apart are not compared.
    positions: u64,
    /// Maps a print to the first position of the object that contains the original.
    known: HashMap<u64, u64>,
    /// In the order of positions.
    order: VecDeque<Entry>,
}

impl Default for Window {
    fn default() -> Self {
        Self { positions: POSITIONS_MAX, known: HashMap::new(), order: VecDeque::new() }
    }
}

#[derive(Debug)]
struct Entry {
    print: u64,
    /// The lowest possible position of the line.
    low: u64,
    seconds: u32,
}

/// An object whose lines are compared with earlier ones.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// Its first position.
    pub first: u64,
    /// Its last position.
    pub last: u64,
    /// Its lines.
    pub lines: u64,
    /// The prints of its lines.
    pub prints: &'a Prints,
}

/// Repeats of one kind in one object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeats {
    /// Whether the client's time is known to be the same.
    pub certain: bool,
    /// The line number of the first, from 1.
    pub line: u64,
    /// The first position of the object that contains its original.
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
            let [sure, unsure] = &mut found;
            let (certain, of, repeats) = match (timed, untimed) {
                (Some(of), _) => (true, of, sure),
                (None, Some(of)) => (false, of, unsure),
                (None, None) => continue,
            };
            repeats.get_or_insert(Repeats { certain, line: at + 1, of, count: 0 }).count += 1;
        }
        found.into_iter().flatten().collect()
    }

    fn len(&self) -> usize {
        self.order.len()
    }

    /// The time at which the newest call was received, in seconds.
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

    /// The first position of the object that contains the original. If there is none, this call is recorded
    /// as the original.
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
            let within = high.saturating_sub(oldest.low) < self.positions
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

    fn all(prints: &[Option<Print>]) -> Prints {
        let mut all = Prints::default();
        prints.iter().for_each(|print| all.push(*print));
        all
    }

    impl Window {
        fn took(&mut self, first: u64, last: u64, prints: &[Option<Print>]) -> Vec<Repeats> {
            let prints = all(prints);
            self.take(&Object { first, last, lines: prints.len() as u64, prints: &prints })
        }
    }

    impl Windows {
        fn took(&mut self, spool: &str, first: u64, last: u64, prints: &[Option<Print>]) -> Vec<Repeats> {
            let prints = all(prints);
            self.take(spool, None, &Object { first, last, lines: prints.len() as u64, prints: &prints })
        }
    }

    #[test]
    fn only_certain_repeats_are_found() {
        let mut window = Window::default();
        let sure = |line, of, count| Repeats { certain: true, line, of, count };
        let unsure = |line, of, count| Repeats { certain: false, line, of, count };
        assert_eq!(window.took(1, 3, &[print(1, None, 0), None, print(2, Some(9), 0)]), []);
        assert_eq!(
            window.took(10, 12, &[print(3, None, 1), print(1, None, 1), print(2, Some(9), 1)]),
            [sure(2, 1, 2)]
        );
        assert_eq!(window.took(20, 20, &[print(4, Some(9), 2)]), [unsure(1, 1, 1)]);
        // A retry whose first copy was sent in the millisecond in which it was created.
        assert_eq!(window.took(30, 30, &[print(2, None, 3)]), [sure(1, 1, 1)]);
    }

    #[test]
    fn calls_possibly_outside_the_window_are_not_compared() {
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
        // The position of an object's only line is known only as precisely as the object's range.
        check(10, POSITIONS_MAX + 1, 0, false);
        check(2, 2, SECONDS_MAX - 1, true);
        check(2, 2, SECONDS_MAX, false);
    }

    #[test]
    fn a_log_that_says_its_window_is_compared_within_it() {
        let check = |window: Option<u64>, second: u64, found: bool| {
            let mut windows = Windows::default();
            windows.take(
                "a",
                window,
                &Object { first: 1, last: 1, lines: 1, prints: &all(&[print(1, None, 0)]) },
            );
            let again = all(&[print(1, None, 0)]);
            let again = Object { first: second, last: second, lines: 1, prints: &again };
            assert_eq!(windows.take("a", window, &again).len(), usize::from(found), "{window:?} {second}");
        };
        check(Some(262_144), 262_144, true);
        check(Some(262_144), 262_145, false);
        check(None, 262_145, true);
        check(None, POSITIONS_MAX + 1, false);
        check(Some(u64::MAX), POSITIONS_MAX, true);
        check(Some(u64::MAX), POSITIONS_MAX + 1, false);
        check(Some(0), 2, false);
    }

    #[test]
    fn memory_is_bounded_by_the_window() {
        let mut window = Window::default();
        for step in 0..5_000 {
            window.took(step * 1_024 + 1, step * 1_024 + 1, &[print(step + 1, None, 0)]);
        }
        assert_eq!(window.len() as u64, POSITIONS_MAX / 1_024);
        assert_eq!(window.known.len(), window.len());
    }

    #[test]
    fn many_spools_share_the_limit_and_old_ones_are_dropped() {
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
        assert_eq!(windows.len(), 0);
    }
}
