//! Reports what lasts once a minute, however often it happens. Pure: the time is passed in.
//!
//! An outage makes thousands of failures a minute that all say the same. The first is reported at once; after that one
//! line a minute says how many there were.

use std::collections::BTreeMap;
use std::time::Duration;

/// Between two lines about the same thing.
pub const EVERY: Duration = Duration::from_secs(60);
/// Lines a minute, over all things: a thousand destinations that fail make no thousand lines.
pub const LINES_MAX: usize = 5;
/// Things whose happenings are counted apart. Those of further ones are counted together.
pub const THINGS_MAX: usize = 1_000;

/// A line that is due, and what was not reported before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// How often it happened since the last line about it, this time included.
    pub times: u64,
    /// Happenings of other things that got no line for want of room in their minute.
    pub others: u64,
}

/// When each thing was last reported.
#[derive(Debug)]
pub struct OnceAMinute<K> {
    things: BTreeMap<K, Thing>,
    /// When the minute began whose lines are counted.
    minute: Duration,
    lines: usize,
    others: u64,
}

#[derive(Debug, Default)]
struct Thing {
    reported: Option<Duration>,
    unreported: u64,
}

impl<K> Default for OnceAMinute<K> {
    fn default() -> Self {
        Self { things: BTreeMap::new(), minute: Duration::ZERO, lines: 0, others: 0 }
    }
}

impl<K: Ord> OnceAMinute<K> {
    /// Counts a happening at `now` on a clock that never goes back. Returns the line where one is due.
    pub fn happened(&mut self, thing: K, now: Duration) -> Option<Line> {
        if now.saturating_sub(self.minute) >= EVERY {
            (self.minute, self.lines) = (now, 0);
            let (crowded, others) = (self.things.len() >= THINGS_MAX, &mut self.others);
            self.things.retain(|_, thing| {
                let is_recent = thing.reported.is_some_and(|at| now.saturating_sub(at) < EVERY);
                if is_recent || (thing.unreported > 0 && !crowded) {
                    return true;
                }
                // What has stopped must not take the place of what is new: that it happened is told with the others.
                *others += thing.unreported;
                false
            });
        }
        if self.things.len() >= THINGS_MAX && !self.things.contains_key(&thing) {
            self.others += 1;
            return None;
        }
        let thing = self.things.entry(thing).or_default();
        thing.unreported += 1;
        if thing.reported.is_some_and(|at| now.saturating_sub(at) < EVERY) {
            return None;
        }
        if self.lines >= LINES_MAX {
            // It waits for a later minute, and is told of there.
            self.others += std::mem::take(&mut thing.unreported);
            return None;
        }
        self.lines += 1;
        thing.reported = Some(now);
        Some(Line { times: std::mem::take(&mut thing.unreported), others: std::mem::take(&mut self.others) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn what_has_stopped_makes_room_for_what_is_new() {
        let mut log = OnceAMinute::default();
        for minute in 0..THINGS_MAX {
            let then = at(minute as u64);
            log.happened(minute, then);
            log.happened(minute, then);
        }
        let line = log.happened(THINGS_MAX, at(10_000)).map(|line| line.times);
        assert_eq!(line, Some(1), "a new thing is told of");
    }

    #[test]
    fn the_first_is_reported_at_once_and_the_others_once_a_minute() {
        let mut log = OnceAMinute::default();
        let mut check = |seconds, expected: Option<(u64, u64)>| {
            let line = log.happened("bucket", at(seconds)).map(|line| (line.times, line.others));
            assert_eq!(line, expected, "at {seconds} s");
        };
        check(5, Some((1, 0)));
        check(6, None);
        check(64, None);
        check(65, Some((3, 0)));
        check(66, None);
        check(200, Some((2, 0)));
    }

    #[test]
    fn many_things_share_the_lines_of_a_minute() {
        let mut log = OnceAMinute::default();
        let mut lines = 0;
        // An hour of a thousand destinations that fail each second.
        for second in 0..3_600 {
            for thing in 0..1_000 {
                lines += usize::from(log.happened(thing, at(second)).is_some());
            }
        }
        assert!((60..=60 * LINES_MAX).contains(&lines), "{lines} lines");
    }

    #[test]
    fn nothing_that_happened_goes_uncounted() {
        let mut log = OnceAMinute::default();
        let (mut happened, mut told) = (0, 0);
        for second in 0..1_000 {
            for thing in 0..20 {
                happened += 1;
                let line = log.happened(thing, at(second));
                told += line.map_or(0, |line| line.times + line.others);
            }
        }
        let waiting: u64 = log.things.values().map(|thing| thing.unreported).sum();
        assert_eq!(told + waiting + log.others, happened);
    }

    #[test]
    fn more_things_than_are_kept_apart_take_no_more_memory() {
        let mut log = OnceAMinute::default();
        for thing in 0..3 * THINGS_MAX {
            log.happened(thing, at(1));
        }
        assert_eq!(log.things.len(), THINGS_MAX);
        log.happened(0, at(200));
        assert!(log.things.len() < 2 * LINES_MAX, "what is long over is forgotten");
    }
}
