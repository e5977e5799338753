//! What a term says of itself, as alarms.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::alarms::{AlarmKind, Alarms};
use crate::kafka::serve::{Progress, STUCK_AFTER, Served};
use crate::partition::brokers_clock::OFF_MAX;
use crate::partition::left::LEFT_MAX;
use crate::sources::SourceId;
use crate::time::Clock;
use crate::words::counted;

/// How often a term is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long it must have had room until the alarm ends.
const ROOM_FOR: Duration = Duration::from_secs(60);
/// Objects in the log below which the alarm about their number ends.
const LEFT_AGAIN: usize = LEFT_MAX / 20 * 19;

/// Ranges of offsets in words, of so many: `0 to 6, 9`.
fn offsets(ranges: &[(u64, u64)], of: usize) -> String {
    let words = |(first, last): &(u64, u64)| {
        if first == last { first.to_string() } else { format!("{first} to {last}") }
    };
    let shown = ranges.iter().map(words).collect::<Vec<_>>().join(", ");
    match of.saturating_sub(ranges.len()) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// Watches one term. It belongs to the thread that serves the term.
pub(super) struct Watch<'a> {
    alarms: &'a Alarms,
    name: String,
    clock: &'a Arc<dyn Clock>,
    seen: RefCell<Seen>,
}

#[derive(Default)]
struct Seen {
    next: Duration,
    without_bucket: BTreeSet<SourceId>,
    room: Room,
}

/// Whether a cache has had no room for so long that it is an alarm.
#[derive(Default)]
struct Room {
    is_alarm: bool,
    /// Since when it has been otherwise at each look.
    since: Option<Duration>,
}

impl Room {
    fn look(&mut self, is_full: bool, now: Duration) -> bool {
        if is_full == self.is_alarm {
            self.since = None;
            return self.is_alarm;
        }
        let lasts = if self.is_alarm { ROOM_FOR } else { STUCK_AFTER };
        if now.saturating_sub(*self.since.get_or_insert(now)) >= lasts {
            (self.is_alarm, self.since) = (is_full, None);
        }
        self.is_alarm
    }
}

impl<'a> Watch<'a> {
    /// Watches the term of a partition with this name.
    pub(super) fn new(alarms: &'a Alarms, name: String, clock: &'a Arc<dyn Clock>) -> Self {
        Self { alarms, name, clock, seen: RefCell::default() }
    }

    /// Raises and clears alarms, once a second. Returns whether a second has passed.
    pub(super) fn look(&self, served: &Served) -> bool {
        let mut seen = self.seen.borrow_mut();
        let now = self.clock.monotonic();
        if now < seen.next {
            return false;
        }
        seen.next = now.saturating_add(LOOK_EVERY);
        let Progress { lost, lost_at, left, differing, without_bucket, brokers, is_full, .. } =
            served.progress();
        let subject_of_lost = format!("lost calls of {}", self.name);
        if lost == 0 {
            // A snapshot forgets them once nothing before them is needed any more.
            self.alarms.clear(AlarmKind::Damage, &subject_of_lost);
        } else {
            let what = format!(
                "{} of {} can no longer be read: the calls that were not delivered there are lost. Offsets {}",
                counted(lost as u64, "range of records", "ranges of records"),
                self.name,
                offsets(&lost_at, lost)
            );
            // It stands longer than the term: a partition that begins again clears what it has under its own name.
            self.alarms.raise(AlarmKind::Damage, &subject_of_lost, what);
        }
        if differing > 0 {
            let what = format!(
                "{} of {} {} built from the log with other lines than were sealed, and not put: the calls stay in Kafka. \
                 Raise retention.ms, so that they are kept, and report this",
                counted(differing as u64, "object", "objects"),
                self.name,
                if differing == 1 { "was" } else { "were" }
            );
            self.alarms.raise(AlarmKind::Damage, &self.objects(), what);
        } else {
            self.alarms.clear(AlarmKind::Damage, &self.objects());
        }
        for source in without_bucket.difference(&seen.without_bucket) {
            let what = format!(
                "calls of {source} wait in {}: the configuration does not have this source; configure it, or its \
                 calls fill the cache",
                self.name
            );
            self.alarms.raise(AlarmKind::Configuration, &self.subject(source), what);
        }
        for source in seen.without_bucket.difference(&without_bucket) {
            self.alarms.clear(AlarmKind::Configuration, &self.subject(source));
        }
        seen.without_bucket = without_bucket;
        if left >= LEFT_MAX {
            let what = format!(
                "{left} objects wait in the log for buckets that refuse them, as many as may: {} is not read until some are \
                 delivered; fix the buckets, which their own alarms name. After half of the log's retention, collectors \
                 refuse what would go there",
                self.name
            );
            self.alarms.raise(AlarmKind::Refused, &self.name, what);
        } else if left < LEFT_AGAIN {
            self.alarms.clear(AlarmKind::Refused, &self.name);
        }
        if seen.room.look(is_full && left < LEFT_MAX, now) {
            let what = format!(
                "the cache has had no room for minutes, so {} is not read: fix what other alarms name; if there are none, free \
                 space on the disk of kafka.cache_dir, or set kafka.cache_bytes to more. After half of the log's retention, \
                 collectors refuse what would go there",
                self.name
            );
            self.alarms.raise(AlarmKind::Refusing, &self.name, what);
        } else {
            self.alarms.clear(AlarmKind::Refusing, &self.name);
        }
        let off = brokers.map_or(Duration::ZERO, |brokers| brokers.off(self.clock.wall(), now));
        if off > OFF_MAX {
            let what = format!(
                "the clock differs by {} s from that of the brokers: no day of {} ends",
                off.as_secs(),
                self.name
            );
            self.alarms.raise(AlarmKind::Clock, &self.name, what);
        } else {
            self.alarms.clear(AlarmKind::Clock, &self.name);
        }
        true
    }

    /// The term is over: what it said of itself counts no more. What is lost stays so.
    pub(super) fn end(&self) {
        let seen = self.seen.borrow();
        for source in &seen.without_bucket {
            self.alarms.clear(AlarmKind::Configuration, &self.subject(source));
        }
        self.alarms.clear(AlarmKind::Damage, &self.objects());
        self.alarms.clear(AlarmKind::Clock, &self.name);
        self.alarms.clear(AlarmKind::Refused, &self.name);
        self.alarms.clear(AlarmKind::Refusing, &self.name);
    }

    fn objects(&self) -> String {
        format!("objects of {}", self.name)
    }

    fn subject(&self, source: &SourceId) -> String {
        format!("{source} in {}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_named_and_the_rest_counted() {
        assert_eq!(offsets(&[(0, 6), (9, 9)], 2), "0 to 6, 9");
        assert_eq!(offsets(&[(3, 3)], 4), "3 and 3 more");
    }

    /// A cache that fills and is emptied is no alarm, and one alarm does not become many.
    #[test]
    fn a_cache_without_room_is_an_alarm_after_minutes() {
        let mut room = Room::default();
        let mut looks = |secs: std::ops::Range<u64>, is_full: bool| {
            secs.map(|second| room.look(is_full, Duration::from_secs(second))).collect::<BTreeSet<_>>()
        };
        assert_eq!(looks(0..299, true), [false].into());
        assert_eq!(looks(299..300, false), [false].into());
        assert_eq!(looks(300..600, true), [false].into(), "it counts anew");
        assert_eq!(looks(600..700, true), [true].into());
        assert_eq!(looks(700..760, false), [true].into());
        assert_eq!(looks(760..761, true), [true].into());
        assert_eq!(looks(761..821, false), [true].into());
        assert_eq!(looks(821..822, false), [false].into());
    }
}
