//! Judges, at each check, what fails, which sources are refused because of it, and which alarms are due.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::failing::{name, why_refused};
use super::health::named;
use crate::alarms::AlarmKind;
use crate::delivery::put::put_locations::{PutLocation, put_location};
use crate::delivery::shared::Shared;
use crate::log::refusals::{Division, Flow, FlowState, Party};
use crate::log::{FULL_PERCENT, Held, Log, OpenBatch};
use crate::object::S3Location;
use crate::planted_bugs::{PlantedBug, planted};
use crate::sources::SourceId;
use crate::words::about_bytes;

/// Alarms about buckets, which last as long as puts fail.
const FAILING_KINDS: [AlarmKind; 2] = [AlarmKind::Refused, AlarmKind::Unreachable];
/// The alarm about refused clients ends after this long without a refusal. Near a limit, clients are
/// alternately refused and accepted.
const REFUSING_ENDS_AFTER: Duration = Duration::from_secs(60);
/// The subject of the alarm if every source is refused.
const EVERYBODY: &str = "every source";
/// How long to rest after judging, for each flow judged. A flow takes some microseconds, so judging takes a
/// few per cent of a core.
const REST_PER_FLOW: Duration = Duration::from_micros(100);
/// The longest rest. A source may continue for this long after its share is used.
const REST_MAX: Duration = Duration::from_secs(1);

/// Judges what fails, has the log refuse the sources that are over their allowance, and updates the alarms.
/// `open` are all open batches.
pub(in crate::delivery) fn judge(shared: &Shared, open: &[OpenBatch]) {
    let now = shared.deps.clock.monotonic();
    if now < shared.failing.refusing().next {
        return;
    }
    let (division, flows) = divide_now(shared, open, now);
    let rest = REST_PER_FLOW.saturating_mul(u32::try_from(flows).unwrap_or(u32::MAX)).min(REST_MAX);
    shared.failing.refusing().next = now.saturating_add(rest);
    let mut refused: BTreeSet<SourceId> = division.refused.keys().cloned().collect();
    if planted(PlantedBug::NothingRefused) {
        refused.clear();
    }
    let log = &shared.deps.log;
    if log.refused_sources() != refused {
        log.refuse(refused);
    }
    alarm_what_fails(shared, now);
    alarm_who_is_refused(shared, &division, now);
    shared.failing.set_division(division);
    shared.deps.alarms.repeat(now);
}

/// What each failing party may hold, and the number of flows from which this was computed.
fn divide_now(shared: &Shared, open: &[OpenBatch], now: Duration) -> (Division<PutLocation>, usize) {
    let conflicts = shared.failing.conflicts();
    if shared.failing.health().is_well() && conflicts.is_empty() {
        return (Division::default(), 0);
    }
    let log = &shared.deps.log;
    let removed = shared.requests.removed();
    let current: BTreeMap<SourceId, S3Location> = log.current_locations().into_iter().collect();
    let mut held = held_by_seals(&**log, &current);
    let mut health = shared.failing.health();
    let strict = log.is_under_pressure();
    shared.failing.be_strict(strict);
    let waits = |source: &SourceId, to: &S3Location| held.contains_key(&(source.clone(), to.clone()));
    health.keep(shared.failing.log(), waits, now);
    add_open(&mut held, &current, open);
    let mut flows: BTreeMap<(SourceId, PutLocation), Flow<PutLocation>> = BTreeMap::new();
    for ((source, to), held) in held {
        if held != Held::default() {
            health.heard(&source, now);
        }
        let standing = match () {
            () if conflicts.contains(&source) || health.is_failing(&source, &to, strict) => {
                FlowState::Failing
            }
            () if health.is_silent(&source, now) => FlowState::Silent,
            () => FlowState::Healthy,
        };
        let is_current = !removed.contains(&source) && current.get(&source) == Some(&to);
        let location = put_location(&to);
        // Buckets that differ only in settings that cannot fail are one flow.
        let flow = flows.entry((source.clone(), location.clone())).or_insert(Flow {
            source,
            location,
            current: false,
            standing,
            held: Held::default(),
        });
        flow.current |= is_current;
        flow.held.add(held);
        if standing == FlowState::Failing {
            flow.standing = standing;
        }
    }
    let failing = health.failing_locations(strict);
    drop(health);
    let flows: Vec<Flow<PutLocation>> = flows.into_values().collect();
    (log.divide(&flows, &failing), flows.len())
}

/// What sealed objects hold, by source and by the bucket to which they are put now.
fn held_by_seals(
    log: &dyn Log,
    current: &BTreeMap<SourceId, S3Location>,
) -> BTreeMap<(SourceId, S3Location), Held> {
    let mut held: BTreeMap<(SourceId, S3Location), Held> = BTreeMap::new();
    for (source, noted, of_seals) in log.held() {
        let to = current.get(&source).filter(|to| to.bucket == noted.bucket).cloned().unwrap_or(noted);
        held.entry((source, to)).or_default().add(of_seals);
    }
    held
}

/// Adds every configured source, and what the open batches hold.
fn add_open(
    held: &mut BTreeMap<(SourceId, S3Location), Held>,
    current: &BTreeMap<SourceId, S3Location>,
    open: &[OpenBatch],
) {
    for (source, to) in current {
        held.entry((source.clone(), to.clone())).or_default();
    }
    for batch in open {
        let source = &batch.key.source;
        let Some(to) = current.get(source) else { continue };
        let of_batch = Held::of_lines(batch.frames, batch.bytes);
        held.entry((source.clone(), to.clone())).or_default().add(of_batch);
    }
}

/// Raises an alarm for each bucket at which puts fail, and clears those that no longer apply.
fn alarm_what_fails(shared: &Shared, now: Duration) {
    let alarms = &shared.deps.alarms;
    let wrong = shared.failing.health().wrong(shared.failing.log(), now);
    let configured: BTreeSet<String> = if wrong.is_empty() {
        BTreeSet::new()
    } else {
        shared.deps.log.current_locations().iter().map(|(_, to)| to.to_string()).collect()
    };
    for wrong in &wrong {
        let fix = if configured.contains(&wrong.subject) {
            "`forebay check` prints the exact setting or statement"
        } else {
            "these objects were sealed for a bucket that is no longer configured: let the bucket take them, or stop Forebay \
             and run `forebay spool drain SPOOL --to FOLDER`, which writes them to a folder"
        };
        alarms.raise_of(wrong.kind, &wrong.subject, format!("{}; {fix}", wrong.what), wrong.since);
    }
    let is_true =
        |kind, subject: &str| wrong.iter().any(|wrong| wrong.kind == kind && wrong.subject == subject);
    for (kind, subject) in alarms.subjects(&FAILING_KINDS) {
        if !is_true(kind, &subject) {
            alarms.clear(kind, &subject);
        }
    }
}

/// Raises an alarm as soon as clients are refused, and clears it after a minute without refusals.
fn alarm_who_is_refused(shared: &Shared, division: &Division<PutLocation>, now: Duration) {
    let log = &shared.deps.log;
    let mut refusing = shared.failing.refusing();
    let usage = log.usage();
    let mut refused: Vec<(String, String)> = Vec::new();
    if usage.is_full || usage.refused > refusing.for_space {
        let failing = shared.failing.health().in_words();
        let because = failing.map_or_else(
            || "the other alarms say why objects do not reach the store".to_owned(),
            |failing| format!("it is full because {failing}"),
        );
        // In a small spool the reserve is a large part.
        let rest = match () {
            () if usage.reaches(FULL_PERCENT) => "",
            () if usage.disk_is_full => " in use, and the disk is full",
            () => " in use; the rest is reserved for making objects",
        };
        let what = format!(
            "calls of every source are answered 503 spool_full: the spool has no space left ({} of {}{rest}); {because}; calls \
             are accepted again when deliveries free space; for more space, raise spool.max_bytes or use a larger disk",
            about_bytes(usage.used),
            about_bytes(usage.max),
        );
        refused.push((EVERYBODY.to_owned(), what));
    }
    refusing.for_space = usage.refused;
    let mut of_party: BTreeMap<&Party<PutLocation>, Vec<&SourceId>> = BTreeMap::new();
    for (source, party) in &division.refused {
        of_party.entry(party).or_default().push(source);
    }
    for (party, sources) in of_party {
        let (sources, why) = (named(sources.into_iter()), why_refused(division, party));
        refused.push((name(party), format!("calls of {sources} are answered {why}")));
    }
    let alarms = &shared.deps.alarms;
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
