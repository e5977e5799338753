//! Judges at each look what fails, who is refused for it, and which alarms are true.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::health::{Cause, named};
use super::share::{Division, Lane, Party, Standing, divide};
use super::{Inner, Slots, Way, lock, way_to};
use crate::alarms::AlarmKind;
use crate::batch::BatchKey;
use crate::object::Destination;
use crate::once_a_minute::Line;
use crate::planted::{PlantedBug, planted};
use crate::sources::SourceId;
use crate::spool::{Held, OpenBatch};
use crate::store::{Fault, StoreError};

/// Alarms about destinations that stand for as long as puts fail.
const FAILING_KINDS: [AlarmKind; 2] = [AlarmKind::Refused, AlarmKind::Unreachable];
/// How long nobody must have been refused before that alarm ends. Around a mark, clients are refused and taken in turns.
const REFUSING_ENDS_AFTER: Duration = Duration::from_secs(60);
/// How long a sealed object of a destination that takes nothing keeps a place that others wait for.
const LEAVES_PLACE_AFTER: Duration = Duration::from_secs(10);
/// What the alarm is about where everybody is refused.
const EVERYBODY: &str = "every source";
/// How long to rest after a judgement, for each source judged: it takes some microseconds, so a few per cent of a core.
const REST_PER_LANE: Duration = Duration::from_micros(100);
/// The longest rest. A source may go on for so long after its share is used.
const REST_MAX: Duration = Duration::from_secs(1);
const MB: u64 = 1_000_000;

/// Who was refused lately.
#[derive(Debug, Default)]
pub(super) struct Refusing {
    /// When each subject of an alarm was last refused.
    lately: BTreeMap<String, Duration>,
    /// Requests that were refused for want of room until the last look.
    for_space: u64,
    /// When it is judged again.
    next: Duration,
}

impl Inner {
    /// Counts a put that failed.
    pub(super) fn put_failed(&self, source: &SourceId, to: &Destination, error: &StoreError) {
        let cause = match error.fault {
            Fault::Refused | Fault::NoAccess | Fault::Expired => Cause::Refused,
            _ => Cause::Unreachable,
        };
        let now = self.parts.clock.monotonic();
        lock(&self.health).failed(source, to, cause, &error.to_string(), now);
    }

    /// Counts something that happens again and again. Returns the line that is due, if one is.
    pub(super) fn happened(&self, what: &'static str, to_whom: &str) -> Option<Line> {
        lock(&self.lasting).happened((what, to_whom.to_owned()), self.parts.clock.monotonic())
    }

    /// Judges what fails, tells the spool whom to refuse, and brings the alarms up to date. `open` are all open batches.
    pub(super) fn judge(&self, open: &[OpenBatch]) {
        let now = self.parts.clock.monotonic();
        if now < lock(&self.refusing).next {
            return;
        }
        let (division, lanes) = self.divide(open, now);
        let rest = REST_PER_LANE.saturating_mul(u32::try_from(lanes).unwrap_or(u32::MAX)).min(REST_MAX);
        lock(&self.refusing).next = now.saturating_add(rest);
        let mut refused: BTreeSet<SourceId> = division.refused.keys().cloned().collect();
        if planted(PlantedBug::NothingRefused) {
            refused.clear();
        }
        let outlet = &self.parts.outlet;
        if outlet.refused_sources() != refused {
            outlet.refuse(refused);
        }
        self.alarm_what_fails(now);
        self.alarm_who_is_refused(&division, now);
        *lock(&self.division) = Arc::new(division);
        self.parts.alarms.repeat(now);
    }

    /// What each that fails may hold, and of how many sources that was made out.
    fn divide(&self, open: &[OpenBatch], now: Duration) -> (Division<Way>, usize) {
        let conflicts = lock(&self.conflicts).clone();
        if lock(&self.health).is_well() && conflicts.is_empty() {
            return (Division::default(), 0);
        }
        let outlet = &self.parts.outlet;
        let current: BTreeMap<SourceId, Destination> = outlet.current_destinations().into_iter().collect();
        let mut held: BTreeMap<(SourceId, Destination), Held> = BTreeMap::new();
        for (source, noted, of_seals) in outlet.held() {
            let to = current.get(&source).filter(|to| to.bucket == noted.bucket).cloned().unwrap_or(noted);
            held.entry((source, to)).or_default().add(of_seals);
        }
        let mut health = lock(&self.health);
        // There is no time to see whether the next try fares better.
        health.be_strict(outlet.is_under_pressure());
        health.keep(|source, to| held.contains_key(&(source.clone(), to.clone())), now);
        for (source, to) in &current {
            held.entry((source.clone(), to.clone())).or_default();
        }
        for batch in open {
            let source = &batch.key.source;
            let Some(to) = current.get(source) else { continue };
            let of_batch = Held::of_lines(batch.frames, batch.bytes);
            held.entry((source.clone(), to.clone())).or_default().add(of_batch);
        }
        let removed = lock(&self.removed).clone();
        let mut lanes: BTreeMap<(SourceId, Way), Lane<Way>> = BTreeMap::new();
        for ((source, to), held) in held {
            if held != Held::default() {
                health.heard(&source, now);
            }
            let standing = match () {
                () if conflicts.contains(&source) || health.is_failing(&source, &to) => Standing::Failing,
                () if health.is_silent(&source, now) => Standing::Silent,
                () => Standing::Healthy,
            };
            let is_current = !removed.contains(&source) && current.get(&source) == Some(&to);
            let way = way_to(&to);
            // Destinations that differ in what cannot fail are one.
            let lane = lanes.entry((source.clone(), way.clone())).or_insert(Lane {
                source,
                way,
                current: false,
                standing,
                held: Held::default(),
            });
            lane.current |= is_current;
            lane.held.add(held);
            if standing == Standing::Failing {
                lane.standing = standing;
            }
        }
        let failing = health.failing_destinations();
        drop(health);
        let lanes: Vec<Lane<Way>> = lanes.into_values().collect();
        (divide(outlet.space(), &lanes, &failing, &outlet.refused_sources()), lanes.len())
    }

    /// Raises an alarm for each destination at which puts fail, and ends those that are not true any more.
    fn alarm_what_fails(&self, now: Duration) {
        let alarms = &self.parts.alarms;
        let wrong = lock(&self.health).wrong(now);
        for wrong in &wrong {
            alarms.raise(wrong.kind, &wrong.subject, wrong.what.clone());
        }
        let is_true =
            |kind, subject: &str| wrong.iter().any(|wrong| wrong.kind == kind && wrong.subject == subject);
        for (kind, subject) in alarms.subjects(&FAILING_KINDS) {
            if !is_true(kind, &subject) {
                alarms.clear(kind, &subject);
            }
        }
    }

    /// Raises an alarm as soon as clients are refused, and ends it once nobody has been refused for a minute.
    fn alarm_who_is_refused(&self, division: &Division<Way>, now: Duration) {
        let outlet = &self.parts.outlet;
        let mut refusing = lock(&self.refusing);
        let for_space = outlet.refused_for_space();
        let mut refused: Vec<(String, String)> = Vec::new();
        if outlet.is_full() || for_space > refusing.for_space {
            let usage = outlet.usage();
            let failing = lock(&self.health).in_words();
            let because = failing.map_or_else(
                || "see the other alarms for what keeps objects from the store".to_owned(),
                |failing| format!("it is full because {failing}"),
            );
            let what = format!(
                "calls of every source are answered 503 spool_full: the spool has no room ({} MB of {} MB); {because}; they are \
                 taken again once deliveries make room; more space: spool.max_bytes, or a larger disk",
                usage.used / MB,
                usage.max / MB,
            );
            refused.push((EVERYBODY.to_owned(), what));
        }
        refusing.for_space = for_space;
        let mut of_party: BTreeMap<&Party<Way>, Vec<&SourceId>> = BTreeMap::new();
        for (source, party) in &division.refused {
            of_party.entry(party).or_default().push(source);
        }
        for (party, sources) in of_party {
            let (sources, why) = (named(sources.into_iter()), why_refused(division, party));
            refused.push((name(party), format!("calls of {sources} are answered {why}")));
        }
        let alarms = &self.parts.alarms;
        for (subject, what) in refused {
            alarms.raise(AlarmKind::Refusing, &subject, what);
            refusing.lately.insert(subject, now);
        }
        refusing.lately.retain(|subject, at| {
            let lately = now.saturating_sub(*at) < REFUSING_ENDS_AFTER;
            if !lately {
                alarms.clear(AlarmKind::Refusing, subject);
            }
            lately
        });
    }

    /// Why calls of a source are refused, where they are.
    pub(super) fn why_refused(&self, source: &SourceId) -> Option<String> {
        let division = Arc::clone(&lock(&self.division));
        division.refused.get(source).map(|party| why_refused(&division, party))
    }

    /// The batches that are sealed because what fails has to leave the segments, sorted like `open`.
    pub(super) fn batches_that_leave(&self, open: &[OpenBatch]) -> Vec<BatchKey> {
        let division = Arc::clone(&lock(&self.division));
        if division.relieved.is_empty() && !division.make_room {
            return Vec::new();
        }
        let outlet = &self.parts.outlet;
        let current: BTreeMap<SourceId, Destination> = outlet.current_destinations().into_iter().collect();
        let pinning: BTreeSet<BatchKey> =
            if division.make_room { outlet.pinning_oldest().into_iter().collect() } else { BTreeSet::new() };
        let leaves = |batch: &&OpenBatch| {
            let source = &batch.key.source;
            let Some(to) = current.get(source) else { return false };
            let party = division.party(source, &way_to(to));
            party.is_some_and(|party| division.relieved.contains(&party) || pinning.contains(&batch.key))
        };
        open.iter().filter(leaves).map(|batch| batch.key.clone()).collect()
    }

    /// The sources of open batches that a put of has failed where their calls go now.
    pub(super) fn failing_sources(&self, open: &[OpenBatch]) -> BTreeSet<SourceId> {
        let current = self.parts.outlet.current_destinations();
        let waiting: BTreeSet<&SourceId> = open.iter().map(|batch| &batch.key.source).collect();
        let health = lock(&self.health);
        let fails = |(source, to): &&(SourceId, Destination)| {
            waiting.contains(source) && health.has_failed(source, to)
        };
        current.iter().filter(fails).map(|(source, _)| source.clone()).collect()
    }

    /// Whether an object that was sealed `waited` ago is parked, because its puts fail and what it holds is needed.
    pub(super) fn must_leave(
        &self,
        source: &SourceId,
        to: &Destination,
        slots: &Slots,
        waited: Duration,
    ) -> bool {
        let division = Arc::clone(&lock(&self.division));
        let pressure = self.parts.outlet.is_under_pressure();
        let party = if division.parties.is_empty() { None } else { division.party(source, &way_to(to)) };
        let Some(party) = party else {
            // One failure makes no party, but the next try comes late enough.
            return pressure && lock(&self.health).has_failed(source, to);
        };
        // What fails leaves the places of its destination to sources that may be taken: at once where others are.
        let others_are_taken = matches!(party, Party::Source(..)) || waited >= LEAVES_PLACE_AFTER;
        let blocks_others = others_are_taken && slots.sealed.available_permits() == 0;
        pressure || division.make_room || blocks_others || division.relieved.contains(&party)
    }
}

/// The error code, why it is answered, and what to do.
fn why_refused(division: &Division<Way>, party: &Party<Way>) -> String {
    let held = division.parties.get(party).copied().unwrap_or_default().bytes();
    let (way, of_whom) = match party {
        Party::Destination(way) => (way, ""),
        Party::Source(_, way) => (way, " of this source"),
    };
    format!(
        "503 destination_full: {} takes nothing{of_whom}; what waits for it has {} MB of the spool, and its share is {} MB; fix \
         the destination (`forebay check` shows how)",
        name_of(way),
        held / MB,
        division.part.unwrap_or_default() / MB
    )
}

fn name(party: &Party<Way>) -> String {
    match party {
        Party::Destination(way) => name_of(way),
        Party::Source(source, way) => format!("{source} to {}", name_of(way)),
    }
}

fn name_of((bucket, role, key): &Way) -> String {
    let role = role.as_ref().map_or_else(String::new, |role| format!(" as {role}"));
    let key = key.as_ref().map_or_else(String::new, |key| format!(" under {key}"));
    format!("{bucket}{role}{key}")
}
