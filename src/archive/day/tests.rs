//! Tests of days as tables: their content and the resulting findings.

use super::*;
use crate::archive::object::Facts;
use crate::object::ParsedObjectKey;

const DAY: i64 = 1_432_684_800_000;
const SHA256: &str = "00000000000000000000000000000000000000000000000000000000000000ab";

fn bucket() -> BucketString {
    BucketString::parse("bucket/a").unwrap()
}

/// An object of a spool whose id repeats one digit.
pub(crate) fn stored(source: &str, spool: u8, first: u64, last: u64, previous: Option<u64>) -> Stored {
    let at = ParsedObjectKey {
        stream: Stream::Calls,
        source: SourceId::new(source).unwrap(),
        day: UnixMillis(DAY).day(),
        first_received_at: UnixMillis(DAY + 1),
        node: format!("n{spool}"),
        spool_id: spool.to_string().repeat(32),
        first_position: first,
    };
    let facts = Facts {
        content: ContentFacts { calls: 1, bytes: 10, sha256: SHA256.to_owned() },
        first_received_at: UnixMillis(DAY + 1),
        last_received_at: UnixMillis(DAY + 2),
        last_position: last,
        previous_last_position: previous,
    };
    Stored { key: at.key(&bucket()), at, len: 5, facts: Some(facts) }
}

/// The marker that a spool would write for these objects.
fn marker(spool: u8, objects: &[Stored]) -> FoundMarker {
    let mut streams: BTreeMap<Stream, Closing> = BTreeMap::new();
    for object in objects {
        let closing = streams.entry(object.at.stream.clone()).or_default();
        closing.push(&bucket(), &object.key, &object.metadata().unwrap());
    }
    let at = ParsedMarkerKey {
        source: SourceId::new("web").unwrap(),
        day: UnixMillis(DAY).day(),
        node: format!("n{spool}"),
        spool_id: spool.to_string().repeat(32),
    };
    let said = ClosedMarker {
        version: 1,
        source: at.source.clone(),
        day: at.day,
        node: at.node.clone(),
        spool: at.spool_id.clone(),
        streams: streams.into_iter().filter_map(|(stream, sum)| Some((stream, sum.sum()?.clone()))).collect(),
        previous_day: None,
        repeats_within: None,
    };
    FoundMarker { at, said: Ok(said) }
}

fn rules() -> Rules {
    Rules { now: UnixMillis(DAY + 10 * 86_400_000), markers_since: None, allow_foreign: false }
}

fn day(objects: Vec<Stored>, markers: Vec<FoundMarker>) -> Day {
    Day {
        source: SourceId::new("web").unwrap(),
        day: Some(UnixMillis(DAY).day()),
        objects,
        markers,
        imported: Sum::default(),
        foreign: Vec::new(),
        foreign_more: 0,
        findings: Vec::new(),
    }
}

fn judged(day: Day, rules: &Rules) -> (DayState, Vec<String>) {
    let (report, _) = judge(&bucket(), day, rules);
    let findings = report.findings.iter().map(|finding| match finding.place.positions {
        Some(Positions { first, last }) => format!("{} {first}-{last}", finding.problem.kind()),
        None => finding.problem.kind().to_owned(),
    });
    (report.state, findings.collect())
}

fn check(what: &str, objects: Vec<Stored>, markers: Vec<FoundMarker>, state: DayState, expected: &[&str]) {
    assert_eq!(
        judged(day(objects, markers), &rules()),
        (state, expected.iter().map(|kind| (*kind).to_owned()).collect()),
        "{what}"
    );
}

fn three() -> Vec<Stored> {
    vec![stored("web", 1, 1, 4, None), stored("web", 1, 8, 9, Some(4)), stored("web", 1, 12, 20, Some(9))]
}

fn without(mut objects: Vec<Stored>, at: usize) -> Vec<Stored> {
    objects.remove(at);
    objects
}

#[test]
fn a_day_is_closed_when_each_spool_has_a_matching_marker() {
    let second = || stored("web", 2, 1, 30, None);
    check("no marker", three(), vec![], DayState::Open, &[]);
    check("marked", three(), vec![marker(1, &three())], DayState::Closed, &[]);
    let both = [three(), vec![second()]].concat();
    check("one of two", both.clone(), vec![marker(1, &three())], DayState::Open, &[]);
    check("both", both, vec![marker(1, &three()), marker(2, &[second()])], DayState::Closed, &[]);
    let mut reversed = three();
    reversed.reverse();
    check("in any order", reversed, vec![marker(1, &three())], DayState::Closed, &[]);
    check("empty", vec![], vec![marker(1, &[])], DayState::Closed, &[]);
}

#[test]
fn missing_objects_are_named_by_their_positions() {
    let marked = || vec![marker(1, &three())];
    check("first", without(three(), 0), vec![], DayState::Broken, &["missing 0-4"]);
    check("middle", without(three(), 1), vec![], DayState::Broken, &["missing 5-9"]);
    check("last, without a marker to prove it", without(three(), 2), vec![], DayState::Open, &[]);
    check("first, marked", without(three(), 0), marked(), DayState::Broken, &["missing 0-4"]);
    check("middle, marked", without(three(), 1), marked(), DayState::Broken, &["missing 5-9"]);
    check("last, marked", without(three(), 2), marked(), DayState::Broken, &["missing 10-20"]);
    check("all, marked", vec![], marked(), DayState::Broken, &["missing 1-20"]);
    check(
        "middle and last, marked",
        vec![three().remove(0), stored("web", 1, 12, 13, Some(9))],
        marked(),
        DayState::Broken,
        &["missing 5-9", "missing 14-20"],
    );
}

#[test]
fn a_marker_that_differs_is_a_finding() {
    let mut other = three();
    other[1].facts.as_mut().unwrap().content.sha256 = SHA256.replace("ab", "cd");
    check("different content", other, vec![marker(1, &three())], DayState::Broken, &["marker_differs"]);
    let late = [three(), vec![stored("web", 1, 30, 31, Some(20))]].concat();
    check("a later object", late, vec![marker(1, &three())], DayState::Broken, &["marker_differs"]);
    let mut rejected = stored("web", 1, 5, 5, None);
    rejected.at.stream = Stream::Rejected;
    let more = [three(), vec![rejected]].concat();
    check(
        "another stream",
        more.clone(),
        vec![marker(1, &three())],
        DayState::Broken,
        &["marker_differs 5-5"],
    );
    check("both streams", more.clone(), vec![marker(1, &more)], DayState::Closed, &[]);
    let illegible = FoundMarker { said: Err("torn".into()), ..marker(1, &three()) };
    check("illegible", three(), vec![illegible], DayState::Broken, &["marker"]);
}

#[test]
fn a_second_chain_start_is_accepted_if_a_marker_proves_the_day() {
    let again = || vec![stored("web", 1, 1, 4, None), stored("web", 1, 8, 9, None)];
    check("without", again(), vec![], DayState::Broken, &["begins_again 8-9"]);
    check("with", again(), vec![marker(1, &again())], DayState::Closed, &[]);
}

#[test]
fn a_missing_marker_is_a_finding_after_the_grace_period() {
    let of = |markers_since: Option<i64>, after_end: i64| {
        let rules = Rules {
            now: UnixMillis(DAY + 86_400_000 + after_end),
            markers_since: markers_since.map(|days| UnixMillis(DAY + days * 86_400_000).day()),
            ..rules()
        };
        judged(day(three(), vec![]), &rules)
    };
    let hour = 3_600_000;
    assert_eq!(of(None, 100 * hour), (DayState::Open, vec![]), "the bucket has no markers");
    assert_eq!(of(Some(1), 100 * hour), (DayState::Open, vec![]), "markers began later");
    assert_eq!(of(Some(0), -1), (DayState::Open, vec![]), "the day is not over");
    assert_eq!(of(Some(0), hour - 1), (DayState::Open, vec![]), "the marker may still come");
    assert_eq!(of(Some(-3), hour), (DayState::Broken, vec!["no_marker".to_owned()]));
}

#[test]
fn foreign_objects_are_findings_unless_allowed() {
    let foreign = |objects: Vec<Stored>| Day {
        foreign: vec![ObjectKey::listed("a/segment-logs/web/x.gz")],
        foreign_more: 2,
        ..day(objects, vec![])
    };
    let allow = Rules { allow_foreign: true, ..rules() };
    let (report, _) = judge(&bucket(), foreign(three()), &rules());
    assert_eq!((report.state, report.findings(), report.foreign), (DayState::Broken, 3, 3));
    assert_eq!(judged(foreign(three()), &allow), (DayState::Open, vec![]));
    assert_eq!(judged(foreign(vec![]), &allow), (DayState::Foreign, vec![]));
}

#[test]
fn parts_of_imports_are_counted_and_prove_nothing() {
    let imported = Sum { objects: 2, calls: 4, bytes: 80, stored_bytes: 10 };
    let with = |objects: Vec<Stored>| Day { imported, ..day(objects, vec![]) };
    let (report, _) = judge(&bucket(), with(vec![]), &rules());
    assert_eq!((report.state, report.imported, report.findings()), (DayState::Imported, imported, 0));
    assert_eq!(judged(with(three()), &rules()), (DayState::Open, vec![]));
}

#[test]
fn objects_are_returned_chain_by_chain() {
    let mixed = vec![three().remove(2), stored("web", 2, 5, 5, None), three().remove(0)];
    let (report, objects) = judge(&bucket(), day(mixed, vec![]), &rules());
    let order: Vec<u64> = objects.iter().map(|object| object.at.first_position).collect();
    assert_eq!(order, [1, 12, 5]);
    let sum = Sum { objects: 3, calls: 3, bytes: 30, stored_bytes: 15 };
    assert_eq!(report.streams, [(Stream::Calls, sum)].into_iter().collect());
    assert_eq!(report.unclosed.len(), 2);
}
