//! Reports a lasting condition once a minute, however often it occurs. Pure: the time is passed in.
//!
//! An outage causes thousands of identical failures a minute. The first is reported at once; after that, one
//! line a minute gives their number.

use std::collections::BTreeMap;
use std::time::Duration;

/// The time between two lines about the same thing.
pub const EVERY: Duration = Duration::from_secs(60);
/// Lines a minute over all things, so that a thousand failing buckets do not write a thousand lines.
pub const LINES_MAX: usize = 5;
/// Things that are counted separately. Further ones are counted together.
pub const THINGS_MAX: usize = 1_000;

/// A line that is due, and what was not reported before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Line {
    /// How often it happened since the last line about it, including this time.
    pub times: u64,
    /// How often other things happened that got no line because their minute had no line left.
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
    /// Counts an event at `now` on a clock that never goes back. Returns the line if one is due.
    pub fn happened(&mut self, thing: K, now: Duration) -> Option<Line> {
        if now.saturating_sub(self.minute) >= EVERY {
            (self.minute, self.lines) = (now, 0);
            let (crowded, others) = (self.things.len() >= THINGS_MAX, &mut self.others);
            self.things.retain(|_, thing| {
                let is_recent = thing.reported.is_some_and(|at| now.saturating_sub(at) < EVERY);
                if is_recent || (thing.unreported > 0 && !crowded) {
                    return true;
                }
                // Things that stopped make way for new ones; their counts go to the others.
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
            // It waits for a later minute and is reported then, among the others.
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
    fn things_that_stopped_make_way_for_new_ones() {
        let mut log = OnceAMinute::default();
        for minute in 0..THINGS_MAX {
            let then = at(minute as u64);
            log.happened(minute, then);
            log.happened(minute, then);
        }
        let line = log.happened(THINGS_MAX, at(10_000)).map(|line| line.times);
        assert_eq!(line, Some(1), "a new thing is reported");
    }

    #[test]
    fn the_first_event_is_reported_at_once_and_later_ones_once_a_minute() {
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
        // An hour of a thousand buckets that fail every second.
        for second in 0..3_600 {
            for thing in 0..1_000 {
                lines += usize::from(log.happened(thing, at(second)).is_some());
            }
        }
        assert!((60..=60 * LINES_MAX).contains(&lines), "{lines} lines");
    }

    #[test]
    fn every_event_is_counted() {
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
    fn things_beyond_the_limit_take_no_more_memory() {
        let mut log = OnceAMinute::default();
        for thing in 0..3 * THINGS_MAX {
            log.happened(thing, at(1));
        }
        assert_eq!(log.things.len(), THINGS_MAX);
        log.happened(0, at(200));
        assert!(log.things.len() < 2 * LINES_MAX, "things that stopped long ago must be removed");
    }
}
