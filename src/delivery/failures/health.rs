//! Records the failed puts of each source to each bucket. Pure: callers pass the time.
//!
//! Each source has its own record for each bucket, so that a success of one source does not clear the
//! failures of another. All logs of a process share the records: what one log learns of a bucket holds for
//! the others.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::alarms::AlarmKind;
use crate::delivery::logs::LogNumber;
use crate::delivery::put::put_locations::{PutLocation, put_location};
use crate::delivery::settings::{REFUSALS_BEFORE_ALARM, UNREACHABLE_BEFORE_ALARM};
pub(crate) use crate::log::refusals::Cause;
use crate::object::S3Location;
use crate::sources::SourceId;
use crate::words::{about_seconds, first_few};

/// Failed puts in a row after which a source counts as failing at a bucket. One or two are common.
pub(crate) const FAILURES_BEFORE_FAILING: u32 = 3;
/// How long a put may be in flight, while its bucket accepts nothing else, before the source counts as
/// failing.
pub(crate) const STALLED_AFTER: Duration = Duration::from_secs(60);
/// A source counts as silent after it has had nothing in the spool and nothing delivered for this long.
const SILENT_AFTER: Duration = Duration::from_secs(3_600);
/// Maximum number of sources that an alarm names.
const NAMED_MAX: usize = 3;

/// Failures of a source at a bucket since its last success there.
#[derive(Clone, Debug)]
struct Failures {
    failures: u32,
    /// Of these, the last ones in a row that were refusals.
    refusals: u32,
    /// When the first of them came.
    since: Duration,
    /// The cause of the last of them.
    cause: Cause,
    why: String,
    /// The logs that have something that waits for these puts.
    logs: BTreeSet<LogNumber>,
}

impl Failures {
    fn none(since: Duration, cause: Cause, why: String) -> Self {
        Self { failures: 0, refusals: 0, since, cause, why, logs: BTreeSet::new() }
    }

    fn is_failing(&self, strict: bool) -> bool {
        strict || self.failures >= FAILURES_BEFORE_FAILING
    }

    fn alarm(&self, now: Duration) -> Option<AlarmKind> {
        if self.refusals >= REFUSALS_BEFORE_ALARM {
            return Some(AlarmKind::Refused);
        }
        let long = now.saturating_sub(self.since) >= UNREACHABLE_BEFORE_ALARM;
        long.then_some(AlarmKind::Unreachable)
    }
}

/// The failures of all sources at all buckets.
#[derive(Debug, Default)]
pub(crate) struct Health {
    failing: BTreeMap<(SourceId, S3Location), Failures>,
    /// When each bucket last accepted something.
    taken: BTreeMap<PutLocation, Duration>,
    /// When each source last had something in the spool or was delivered.
    heard: BTreeMap<SourceId, Duration>,
}

/// An alarm that is due now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Wrong {
    pub(crate) kind: AlarmKind,
    /// The bucket.
    pub(crate) subject: String,
    /// The sources whose puts fail there, and why the last one failed.
    pub(crate) what: String,
    /// When the first of these puts failed.
    pub(crate) since: Duration,
}

impl Health {
    /// Records a put of a log that failed.
    pub(in crate::delivery) fn failed(
        &mut self,
        log: LogNumber,
        (source, to): (&SourceId, &S3Location),
        cause: Cause,
        why: &str,
        now: Duration,
    ) {
        let new = || Failures::none(now, cause, String::new());
        let failing = self.failing.entry((source.clone(), to.clone())).or_insert_with(new);
        failing.logs.insert(log);
        failing.failures = failing.failures.saturating_add(1);
        // The alarm says what fails now: a store that has gone away refuses nothing any more.
        failing.refusals = if cause == Cause::Refused { failing.refusals.saturating_add(1) } else { 0 };
        failing.cause = cause;
        why.clone_into(&mut failing.why);
    }

    /// Records that a put which began at `began` is still in flight. If it has been in flight for long, and
    /// the bucket accepted nothing else meanwhile, its source counts as failing.
    pub(in crate::delivery) fn under_way(
        &mut self,
        log: LogNumber,
        source: &SourceId,
        to: &S3Location,
        began: Duration,
        now: Duration,
    ) {
        let taken = self.taken.get(&put_location(to)).is_some_and(|taken| *taken >= began);
        if taken || now.saturating_sub(began) < STALLED_AFTER {
            return;
        }
        let new = || {
            let why = format!("a put has had no answer for {}", about_seconds(STALLED_AFTER.as_secs()));
            Failures::none(began, Cause::Unreachable, why)
        };
        let failing = self.failing.entry((source.clone(), to.clone())).or_insert_with(new);
        failing.logs.insert(log);
        failing.failures = failing.failures.max(FAILURES_BEFORE_FAILING);
    }

    /// Records a put that succeeded. Returns whether puts of the source failed there before.
    pub(crate) fn taken(&mut self, source: &SourceId, to: &S3Location, now: Duration) -> bool {
        self.taken.insert(put_location(to), now);
        self.heard(source, now);
        // Usually there are no failures, and then the key need not be copied.
        !self.failing.is_empty() && self.failing.remove(&(source.clone(), to.clone())).is_some()
    }

    /// Records that a source has something in the spool, or was delivered.
    pub(crate) fn heard(&mut self, source: &SourceId, now: Duration) {
        match self.heard.get_mut(source) {
            Some(at) => *at = now,
            None => drop(self.heard.insert(source.clone(), now)),
        }
    }

    /// Whether a source has been silent for long.
    pub(crate) fn is_silent(&self, source: &SourceId, now: Duration) -> bool {
        self.heard.get(source).is_none_or(|at| now.saturating_sub(*at) >= SILENT_AFTER)
    }

    /// Whether no put fails.
    pub(crate) fn is_well(&self) -> bool {
        self.failing.is_empty()
    }

    /// Whether the last put of a source to a bucket failed.
    pub(crate) fn has_failed(&self, source: &SourceId, to: &S3Location) -> bool {
        !self.failing.is_empty() && self.failing.contains_key(&(source.clone(), to.clone()))
    }

    /// Whether the puts of a source to a bucket fail. `strict`: one failure is enough.
    pub(crate) fn is_failing(&self, source: &SourceId, to: &S3Location, strict: bool) -> bool {
        !self.failing.is_empty()
            && self
                .failing
                .get(&(source.clone(), to.clone()))
                .is_some_and(|failing| failing.is_failing(strict))
    }

    /// Notes for which sources and buckets something `waits` in a log. Forgets failures for which nothing
    /// waits in any log, and everything else that is old.
    pub(in crate::delivery) fn keep(
        &mut self,
        log: LogNumber,
        waits: impl Fn(&SourceId, &S3Location) -> bool,
        now: Duration,
    ) {
        self.failing.retain(|(source, to), failing| {
            if waits(source, to) {
                failing.logs.insert(log);
            } else {
                failing.logs.remove(&log);
            }
            !failing.logs.is_empty()
        });
        self.heard.retain(|_, at| now.saturating_sub(*at) < SILENT_AFTER);
        let failing = &self.failing;
        self.taken.retain(|location, at| {
            now.saturating_sub(*at) < SILENT_AFTER
                || failing.keys().any(|(_, to)| put_location(to) == *location)
        });
    }

    /// The buckets that accept nothing from any source, and why.
    ///
    /// A bucket that cannot be reached fails for all sources. A refusal may concern one source alone. So
    /// a bucket that refuses puts is included only if it refuses at least two sources and has accepted
    /// none since, or if it has accepted nothing lately. `strict`: one failure is enough.
    pub(crate) fn failing_locations(&self, strict: bool) -> BTreeMap<PutLocation, Cause> {
        let mut refused: BTreeMap<PutLocation, usize> = BTreeMap::new();
        let mut failing = BTreeMap::new();
        for ((_, to), what) in self.failing.iter().filter(|(_, what)| what.is_failing(strict)) {
            let location = put_location(to);
            let taken = self.taken.get(&location);
            if taken.is_some_and(|taken| *taken > what.since) {
                continue;
            }
            let sources = refused.entry(location.clone()).or_default();
            *sources += 1;
            match what.cause {
                Cause::Unreachable => drop(failing.insert(location, what.cause)),
                Cause::Refused if *sources > 1 || taken.is_none() => {
                    failing.entry(location).or_insert(what.cause);
                }
                Cause::Refused => {}
            }
        }
        failing
    }

    /// Describes one of the failures, even before it raises an alarm.
    pub(crate) fn in_words(&self) -> Option<String> {
        let ((source, to), failing) = self.failing.iter().max_by_key(|(_, failing)| failing.failures)?;
        Some(format!("puts of {source} to {to} fail: {}", failing.why))
    }

    /// The alarms that are due now in a log: one for each bucket and kind, for all sources that fail there,
    /// also in other logs.
    pub(in crate::delivery) fn wrong(&self, log: LogNumber, now: Duration) -> Vec<Wrong> {
        let mut of: BTreeMap<(AlarmKind, String), Vec<(&SourceId, &Failures)>> = BTreeMap::new();
        for ((source, to), failing) in &self.failing {
            if let Some(kind) = failing.alarm(now) {
                of.entry((kind, to.to_string())).or_default().push((source, failing));
            }
        }
        of.retain(|_, of| of.iter().any(|(_, failing)| failing.logs.contains(&log)));
        let wrong = of.into_iter().map(|((kind, subject), of)| {
            let why = of.last().map_or("", |(_, failing)| &failing.why);
            let since = of.iter().map(|(_, failing)| failing.since).min().unwrap_or(now);
            let sources = named(of.iter().map(|(source, _)| *source));
            let what = match kind {
                AlarmKind::Refused => format!("the store takes no objects of {sources}"),
                _ => format!("no put of {sources} succeeds"),
            };
            let what = format!("{what}: {why}; nothing is lost: the puts are retried until they succeed");
            Wrong { kind, subject, what, since }
        });
        wrong.collect()
    }
}

/// The first few sources by name, and how many more there are.
pub(crate) fn named<'a>(sources: impl Iterator<Item = &'a SourceId>) -> String {
    first_few(sources, NAMED_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::logs::Logs;
    use crate::object::{BucketString, Encryption};

    fn source(name: &str) -> SourceId {
        SourceId::new(name).unwrap()
    }

    fn to(bucket: &str) -> S3Location {
        S3Location::new(BucketString::parse(bucket).unwrap(), Encryption::SseS3)
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// What happens to one log.
    struct Story(Health, LogNumber);

    fn story() -> Story {
        Story(Health::default(), LogNumber::default())
    }

    impl Story {
        fn fails(&mut self, name: &str, bucket: &str, cause: Cause, times: u32, seconds: u64) {
            for _ in 0..times {
                self.0.failed(self.1, (&source(name), &to(bucket)), cause, "403", at(seconds));
            }
        }

        fn takes(&mut self, name: &str, bucket: &str, seconds: u64) {
            self.0.taken(&source(name), &to(bucket), at(seconds));
        }

        fn check(&self, what: &str, sources: &[(&str, &str)], locations: &[&str]) {
            self.check_if(false, what, sources, locations);
        }

        fn check_if(&self, strict: bool, what: &str, sources: &[(&str, &str)], locations: &[&str]) {
            for name in ["a", "b"] {
                for bucket in ["one", "two"] {
                    let failing = self.0.is_failing(&source(name), &to(bucket), strict);
                    assert_eq!(failing, sources.contains(&(name, bucket)), "{what}: {name} to {bucket}");
                }
            }
            let expected: BTreeSet<PutLocation> =
                locations.iter().map(|bucket| put_location(&to(bucket))).collect();
            assert_eq!(
                self.0.failing_locations(strict).into_keys().collect::<BTreeSet<_>>(),
                expected,
                "{what}"
            );
        }
    }

    #[test]
    fn one_sources_success_does_not_clear_anothers_failure() {
        let mut story = story();
        story.fails("a", "one", Cause::Refused, 2, 10);
        story.check("two refusals are common", &[], &[]);
        story.check_if(true, "under pressure one is enough", &[("a", "one")], &["one"]);
        story.fails("a", "one", Cause::Refused, 1, 11);
        for second in 0..300 {
            story.takes("b", "one", 12 + second);
            story.check("one is refused, the other taken", &[("a", "one")], &[]);
            assert_eq!(story.0.wrong(story.1, at(12)).len(), 1, "its alarm lasts");
        }
        story.takes("a", "two", 400);
        story.check("a success elsewhere changes nothing here", &[("a", "one")], &[]);
        story.takes("a", "one", 401);
        story.check("its success", &[], &[]);
        assert!(story.0.wrong(story.1, at(402)).is_empty() && story.0.is_well());
    }

    #[test]
    fn a_bucket_fails_if_it_takes_nothing_from_any_source() {
        let mut story = story();
        story.takes("b", "one", 5);
        story.fails("a", "one", Cause::Refused, 3, 10);
        story.check("one refused source may be refused alone", &[("a", "one")], &[]);
        story.fails("b", "one", Cause::Refused, 3, 11);
        story.check("two are refused", &[("a", "one"), ("b", "one")], &["one"]);
        story.takes("b", "one", 12);
        story.check("one is taken again", &[("a", "one")], &[]);
        story.fails("b", "two", Cause::Refused, 3, 12);
        story.check("nothing was ever taken", &[("a", "one"), ("b", "two")], &["two"]);
        story.takes("b", "two", 12);
        story.fails("a", "two", Cause::Unreachable, 3, 13);
        story.check("it cannot be reached", &[("a", "one"), ("a", "two")], &["two"]);
        assert_eq!(story.0.failing_locations(false)[&put_location(&to("two"))], Cause::Unreachable);
        story.fails("b", "two", Cause::Refused, 3, 13);
        assert_eq!(
            story.0.failing_locations(false)[&put_location(&to("two"))],
            Cause::Unreachable,
            "one is enough"
        );
        story.takes("b", "two", 14);
        story.check("it took something of another source", &[("a", "one"), ("a", "two")], &[]);
    }

    #[test]
    fn a_put_without_an_answer_fails_after_a_minute_in_which_nothing_was_taken() {
        let mut story = story();
        let under_way = |story: &mut Story, began, now| {
            story.0.under_way(story.1, &source("a"), &to("one"), at(began), at(now));
        };
        under_way(&mut story, 10, 69);
        story.check("it is slow", &[], &[]);
        under_way(&mut story, 10, 70);
        story.check("it hangs", &[("a", "one")], &["one"]);
        story.takes("a", "one", 71);
        story.check("it was taken", &[], &[]);
        story.takes("b", "one", 100);
        under_way(&mut story, 80, 200);
        story.check("it is slow, but others are taken", &[], &[]);
    }

    #[test]
    fn an_alarm_names_its_sources_and_lasts_until_nothing_waits() {
        let mut story = story();
        for name in ["a", "b", "c", "d", "e"] {
            story.fails(name, "one", Cause::Refused, 3, 10);
        }
        let wrong = story.0.wrong(story.1, at(11));
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        assert_eq!((wrong[0].kind, wrong[0].subject.as_str()), (AlarmKind::Refused, "one"));
        assert!(
            wrong[0].what.starts_with("the store takes no objects of a, b, c and 2 more: 403;"),
            "{wrong:?}"
        );
        story.0.keep(story.1, |source, _| source.as_str() == "e", at(12));
        assert!(story.0.wrong(story.1, at(12))[0].what.contains("of e:"));
        story.0.keep(story.1, |_, _| false, at(12));
        assert!(story.0.wrong(story.1, at(12)).is_empty());
    }

    #[test]
    fn a_failure_is_known_to_all_logs_and_lasts_while_it_waits_in_one_of_them() {
        let logs = Logs::default();
        let (one, other) = (logs.begin(), logs.begin());
        let mut story = Story(Health::default(), one);
        story.fails("a", "one", Cause::Refused, 3, 10);
        story.0.keep(other, |_, _| false, at(10));
        story.check("what fails in one log fails in each", &[("a", "one")], &["one"]);
        let alarmed = |story: &Story| [one, other].map(|log| story.0.wrong(log, at(11)).len());
        assert_eq!(alarmed(&story), [1, 0], "the other has nothing that waits");
        story.1 = other;
        story.fails("b", "one", Cause::Refused, 3, 11);
        assert_eq!(alarmed(&story), [1, 1]);
        let [of_one, of_other] = [one, other].map(|log| story.0.wrong(log, at(11)));
        assert_eq!(of_one, of_other, "one text for one bucket");
        story.0.keep(one, |_, _| false, at(12));
        assert_eq!(alarmed(&story), [0, 1]);
        story.check("the first log has ended", &[("b", "one")], &["one"]);
        story.0.keep(one, |source, _| source.as_str() == "b", at(13));
        story.0.keep(other, |_, _| false, at(13));
        assert_eq!(alarmed(&story), [1, 0], "it waits in the first log alone");
        story.takes("b", "one", 14);
        assert!(story.0.is_well());
    }

    #[test]
    fn no_success_for_a_minute_is_an_alarm_of_its_own() {
        let mut story = story();
        story.fails("a", "one", Cause::Unreachable, 100, 10);
        assert!(story.0.wrong(story.1, at(69)).is_empty(), "a short outage is no alarm");
        assert_eq!(story.0.wrong(story.1, at(70))[0].kind, AlarmKind::Unreachable);
        assert_eq!(story.0.in_words().unwrap(), "puts of a to one fail: 403");
    }

    #[test]
    fn a_source_is_silent_after_an_hour() {
        let mut health = Health::default();
        assert!(health.is_silent(&source("a"), at(1)), "it never sent anything");
        health.heard(&source("a"), at(1));
        assert!(!health.is_silent(&source("a"), at(3_600)) && health.is_silent(&source("a"), at(3_601)));
    }
}
