//! What a term says of itself, as alarms.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::alarms::{AlarmKind, Alarms};
use crate::kafka::serve::{Progress, Served};
use crate::partition::brokers_clock::OFF_MAX;
use crate::partition::left::LEFT_MAX;
use crate::sources::SourceId;
use crate::time::Clock;
use crate::words::counted;

/// How often a term is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);

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
        let Progress { lost, left, without_bucket, brokers, .. } = served.progress();
        if lost > 0 {
            let what = format!(
                "{} of {} can no longer be read: the calls there are lost; the log names them",
                counted(lost as u64, "range of positions", "ranges of positions"),
                self.name
            );
            self.alarms.raise(AlarmKind::Damage, &self.name, what);
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
                "{left} objects wait in the log for buckets that refuse them, as many as may: once the cache is full, {} is not \
                 read any more; fix the buckets, which their own alarms name",
                self.name
            );
            self.alarms.raise(AlarmKind::Refused, &self.name, what);
        } else {
            self.alarms.clear(AlarmKind::Refused, &self.name);
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
        self.alarms.clear(AlarmKind::Clock, &self.name);
        self.alarms.clear(AlarmKind::Refused, &self.name);
    }

    fn subject(&self, source: &SourceId) -> String {
        format!("{source} in {}", self.name)
    }
}
