//! Divides the spool among failing buckets and sources: how much each of them may hold, and which
//! sources are refused beyond that. Pure.
//!
//! This is the rule of a spool that is given no other. While other sources are served, all parties together
//! may hold [`FAILING_PERCENT`] of the spool's cap, each an equal allowance. Only a party that holds more
//! than its allowance is refused.
//!
//! Before a party is refused, its batches are sealed and parked, so that its allowance holds compressed bytes
//! ([`Division::relieved`]). A party also leaves the segments that others need: it is sealed and parked
//! before a healthy batch would be due for pressure ([`MAKE_ROOM_PERCENT`]).

use std::collections::{BTreeMap, BTreeSet};

use crate::log::Held;
use crate::log::refusals::{Cause, Division, Flow, FlowState, Party};
use crate::object::PutLocation;
use crate::sources::SourceId;
use crate::words::count::percent_of;

/// Per cent of the spool's cap that all parties together may hold while any source is healthy.
pub const FAILING_PERCENT: u64 = 25;
/// The same while no other source is healthy, but some have been silent for long: they need space when they
/// come back.
pub const FAILING_BESIDE_SILENT_PERCENT: u64 = 85;
/// Per cent of the cap without parked bytes. If segments use this much, failing parties leave the segments
/// that they pin. It is less than the mark at which all batches are under pressure.
pub const MAKE_ROOM_PERCENT: u64 = 50;
/// Per cent of an allowance. A refused party is accepted again below it, so that it is not alternately
/// refused and accepted.
const TAKEN_AGAIN_PERCENT: u64 = 90;
/// Per cent of an allowance without its parked bytes. Frames beyond it are sealed and parked.
const RELIEF_PERCENT: u64 = 70;
/// Per cent of an allowance. Fewer frames are not worth an object.
const RELIEF_LEAST_PERCENT: u64 = 10;

/// Who is refused, and who leaves, if so much of a spool's space is used: what delivery knows about puts, the
/// locations that accept nothing from any source, and the sources that are refused now.
pub type Rule = fn(
    Space,
    &[Flow<PutLocation>],
    &BTreeMap<PutLocation, Cause>,
    &BTreeSet<SourceId>,
) -> Division<PutLocation>;

/// The space of the spool, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Space {
    /// The cap, less what the spool takes even if no call waits (fingerprints, the manifest of an empty
    /// spool), and less what must stay free for the next segment.
    pub cap: u64,
    /// Segments in use.
    pub segments: u64,
    /// Parked objects, and the notes of all sealed ones.
    pub parked: u64,
}

/// Whether `part` has reached `percent` of `whole`.
fn reaches(part: u64, whole: u64, percent: u64) -> bool {
    u128::from(part) * 100 >= u128::from(whole) * u128::from(percent)
}

/// Divides the spool among the failing parties. `failing` lists the buckets that accept nothing from any
/// source, `refused_before` the sources that are refused now.
pub fn divide<W: Ord + Clone>(
    space: Space,
    flows: &[Flow<W>],
    failing: &BTreeMap<W, Cause>,
    refused_before: &BTreeSet<SourceId>,
) -> Division<W> {
    let party = |flow: &Flow<W>| match flow.standing {
        _ if failing.contains_key(&flow.location) => Some(Party::Location(flow.location.clone())),
        FlowState::Failing => Some(Party::Source(flow.source.clone(), flow.location.clone())),
        FlowState::Healthy | FlowState::Silent => None,
    };
    let (mut parties, mut sources) = (BTreeMap::new(), BTreeMap::new());
    let (mut any_healthy, mut any_silent) = (false, false);
    for flow in flows {
        match party(flow) {
            Some(party) => {
                parties.entry(party.clone()).or_insert_with(Held::default).add(flow.held);
                // Refusals of others need not concern this source: its own put will show that.
                let tells = flow.standing == FlowState::Failing
                    || failing.get(&flow.location) == Some(&Cause::Unreachable);
                if flow.current && tells {
                    sources.insert(&flow.source, party);
                }
            }
            None => {
                any_healthy |= flow.current && flow.standing == FlowState::Healthy;
                any_silent |= flow.current && flow.standing == FlowState::Silent;
            }
        }
    }
    let percent = match (any_healthy, any_silent) {
        (true, _) => Some(FAILING_PERCENT),
        (false, true) => Some(FAILING_BESIDE_SILENT_PERCENT),
        (false, false) => None,
    };
    let allowance = percent.map(|percent| percent_of(space.cap, percent) / (parties.len() as u64).max(1));
    let Some(allowance) = allowance.filter(|_| !parties.is_empty()) else {
        return Division { parties, ..Division::default() };
    };
    let is_over = |party: &Party<W>, percent| {
        parties.get(party).is_some_and(|held: &Held| reaches(held.bytes(), allowance, percent))
    };
    let refused = sources.into_iter().filter(|(source, party)| {
        is_over(party, if refused_before.contains(source) { TAKEN_AGAIN_PERCENT } else { 100 })
    });
    let wants_relief = |held: &Held| {
        reaches(held.frames, allowance.saturating_sub(held.parked), RELIEF_PERCENT)
            && reaches(held.frames, allowance, RELIEF_LEAST_PERCENT)
    };
    Division {
        allowance: Some(allowance),
        refused: refused.map(|(source, party)| (source.clone(), party)).collect(),
        relieved: parties
            .iter()
            .filter(|(_, held)| wants_relief(held))
            .map(|(party, _)| party.clone())
            .collect(),
        make_room: any_healthy
            && reaches(space.segments, space.cap.saturating_sub(space.parked), MAKE_ROOM_PERCENT),
        parties,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CAP: u64 = 1_000;

    fn source(name: &str) -> SourceId {
        SourceId::new(name).unwrap()
    }

    fn flow(name: &str, location: u8, standing: FlowState, parked: u64, frames: u64) -> Flow<u8> {
        Flow { source: source(name), location, current: true, standing, held: Held { parked, frames } }
    }

    fn space(segments: u64) -> Space {
        Space { cap: CAP, segments, parked: 0 }
    }

    use FlowState::{Failing, Healthy, Silent};

    fn unreachable(locations: &[u8]) -> BTreeMap<u8, Cause> {
        locations.iter().map(|location| (*location, Cause::Unreachable)).collect()
    }

    fn check(what: &str, flows: &[Flow<u8>], failing: &[u8], refused: &[&str]) {
        let division = divide(space(0), flows, &unreachable(failing), &BTreeSet::new());
        let names: Vec<&str> = division.refused.keys().map(SourceId::as_str).collect();
        assert_eq!(names, refused, "{what}: {division:?}");
    }

    #[test]
    fn only_a_failing_party_over_its_part_is_refused() {
        check("nothing fails", &[flow("a", 1, Healthy, 900, 0)], &[], &[]);
        let healthy = flow("z", 2, Healthy, 0, 700);
        let beside = |flows: &[Flow<u8>]| [flows, std::slice::from_ref(&healthy)].concat();
        check("below its allowance", &beside(&[flow("a", 1, Failing, 200, 49)]), &[1], &[]);
        check("at its allowance", &beside(&[flow("a", 1, Failing, 200, 50)]), &[1], &["a"]);
        check("frames alone count", &beside(&[flow("a", 1, Failing, 0, 250)]), &[1], &["a"]);
        // If a bucket takes nothing, all its sources are refused, even those that have not tried yet.
        let six = beside(&[flow("a", 1, Failing, 200, 0), flow("b", 1, Healthy, 0, 50)]);
        check("all of a bucket", &six, &[1], &["a", "b"]);
        // A source that is refused alone is a party of its own.
        check("one of a bucket", &six, &[], &[]);
        let one = beside(&[flow("a", 1, Failing, 250, 0), flow("b", 1, Healthy, 0, 50)]);
        check("one of a bucket, over its allowance", &one, &[], &["a"]);
    }

    #[test]
    fn a_source_whose_own_puts_were_not_refused_is_not_refused_for_others() {
        let flows =
            [flow("a", 1, Failing, 250, 0), flow("b", 1, Healthy, 0, 50), flow("z", 2, Healthy, 0, 0)];
        let refused = |cause| {
            let division = divide(space(0), &flows, &BTreeMap::from([(1, cause)]), &BTreeSet::new());
            division.refused.into_keys().collect::<Vec<_>>()
        };
        assert_eq!(refused(Cause::Refused), [source("a")]);
        assert_eq!(refused(Cause::Unreachable), [source("a"), source("b")], "the bucket cannot be reached");
        let alone = [flow("a", 1, Failing, 900, 0), flow("b", 1, Healthy, 0, 50)];
        let division = divide(space(0), &alone, &BTreeMap::from([(1, Cause::Refused)]), &BTreeSet::new());
        assert_eq!(division.allowance, None, "no source is known to be served");
    }

    #[test]
    fn each_party_has_an_equal_part() {
        let flows = [
            flow("a", 1, Failing, 125, 0),
            flow("b", 2, Failing, 60, 0),
            flow("c", 2, Failing, 60, 0),
            flow("z", 3, Healthy, 0, 0),
        ];
        // Two parties: 125 each.
        check("a bucket is one party", &flows, &[1, 2], &["a"]);
        // Three parties: 83 each.
        check("each source alone is one", &flows, &[], &["a"]);
        let division = divide(space(0), &flows, &unreachable(&[1, 2]), &BTreeSet::new());
        assert_eq!((division.allowance, division.parties.len()), (Some(125), 2));
    }

    #[test]
    fn the_whole_spool_may_be_used_if_no_source_is_healthy() {
        let all = [flow("a", 1, Failing, 940, 0), flow("b", 1, Failing, 0, 0)];
        check("all fail", &all, &[1], &[]);
        let silent = flow("z", 2, Silent, 0, 0);
        let beside_silent = [all.as_slice(), std::slice::from_ref(&silent)].concat();
        check("one is silent", &beside_silent, &[1], &["a", "b"]);
        let less = [flow("a", 1, Failing, 849, 0), silent];
        check("space is left for a silent source", &less, &[1], &[]);
    }

    #[test]
    fn a_source_is_not_refused_for_a_bucket_that_it_left() {
        let old = Flow { current: false, ..flow("a", 1, Failing, 500, 0) };
        let flows = [old, flow("a", 2, Healthy, 0, 10)];
        check("it goes elsewhere now", &flows, &[1], &[]);
    }

    #[test]
    fn a_refused_source_is_taken_again_well_below_its_part() {
        let healthy = flow("z", 2, Healthy, 0, 0);
        let refused = |held, before: &[&str]| {
            let flows = [flow("a", 1, Failing, held, 0), healthy.clone()];
            let before = before.iter().map(|name| source(name)).collect();
            !divide(space(0), &flows, &unreachable(&[1]), &before).refused.is_empty()
        };
        assert!(!refused(249, &[]) && refused(249, &["a"]));
        assert!(refused(225, &["a"]) && !refused(224, &["a"]));
    }

    #[test]
    fn a_party_is_parked_before_it_is_refused_if_that_is_worth_an_object() {
        let healthy = flow("z", 2, Healthy, 0, 0);
        let relieved = |parked, frames| {
            let flows = [flow("a", 1, Failing, parked, frames), healthy.clone()];
            !divide(space(0), &flows, &unreachable(&[1]), &BTreeSet::new()).relieved.is_empty()
        };
        assert!(!relieved(0, 174) && relieved(0, 175));
        assert!(!relieved(150, 69) && relieved(150, 70));
        // The last tenth of an allowance is not parked in small pieces.
        assert!(!relieved(240, 9) && !relieved(240, 24) && relieved(240, 25));
    }

    #[test]
    fn a_failing_party_leaves_segments_before_others_need_them() {
        let make_room = |segments, standing| {
            let flows = [flow("a", 1, Failing, 0, 1), flow("z", 2, standing, 0, 0)];
            divide(space(segments), &flows, &unreachable(&[1]), &BTreeSet::new()).make_room
        };
        assert!(!make_room(499, Healthy) && make_room(500, Healthy));
        assert!(!make_room(900, Failing), "no other source needs them");
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let flows = [flow("a", 1, Failing, u64::MAX, u64::MAX), flow("z", 2, Healthy, u64::MAX, u64::MAX)];
        let space = Space { cap: u64::MAX, segments: u64::MAX, parked: u64::MAX };
        let division = divide(space, &flows, &unreachable(&[1]), &BTreeSet::new());
        assert!(division.refused.contains_key(&source("a")) && division.make_room);
    }

    fn any_cause() -> impl Strategy<Value = Cause> {
        prop_oneof![Just(Cause::Refused), Just(Cause::Unreachable)]
    }

    fn any_flow() -> impl Strategy<Value = Flow<u8>> {
        let standing = prop_oneof![Just(Failing), Just(Healthy), Just(Silent)];
        (0..12_u8, 0..4_u8, any::<bool>(), standing, 0..400_u64, 0..400_u64).prop_map(
            |(name, location, current, standing, parked, frames)| Flow {
                current,
                ..flow(&format!("s{name}"), location, standing, parked, frames)
            },
        )
    }

    proptest! {
        #[test]
        fn no_healthy_source_is_refused_and_the_parts_are_kept(
            mut flows in proptest::collection::vec(any_flow(), 0..20),
            failing in proptest::collection::btree_map(0..4_u8, any_cause(), 0..4),
            before in proptest::collection::btree_set(0..12_u8, 0..12),
            segments in 0..CAP,
        ) {
            // A source has at most one current flow.
            let mut seen = BTreeSet::new();
            flows.iter_mut().for_each(|flow| flow.current &= seen.insert(flow.source.clone()));
            let before = before.into_iter().map(|name| source(&format!("s{name}"))).collect();
            let division = divide(space(segments), &flows, &failing, &before);
            let fails = |flow: &Flow<u8>| {
                flow.standing == Failing || failing.get(&flow.location) == Some(&Cause::Unreachable)
            };
            let healthy = |flow: &Flow<u8>| {
                flow.current && !fails(flow) && !failing.contains_key(&flow.location) && flow.standing == Healthy
            };
            for flow in flows.iter().filter(|flow| flow.current) {
                if !fails(flow) {
                    prop_assert!(!division.refused.contains_key(&flow.source), "a healthy source is refused");
                }
            }
            for party in division.refused.values().chain(&division.relieved) {
                let held = division.parties[party].bytes();
                prop_assert!(reaches(held, division.allowance.unwrap(), 1), "a party that holds nothing");
            }
            // The allowances together do not exceed the share of what fails, and every party over its own is
            // refused.
            if flows.iter().any(healthy) && !division.parties.is_empty() {
                let allowance = division.allowance.unwrap();
                prop_assert!(allowance * division.parties.len() as u64 <= CAP * FAILING_PERCENT / 100);
                for flow in flows.iter().filter(|flow| flow.current && fails(flow)) {
                    let party = division.party(&flow.source, &flow.location).unwrap();
                    if division.parties[&party].bytes() >= allowance {
                        prop_assert_eq!(division.refused.get(&flow.source), Some(&party));
                    }
                }
            } else {
                prop_assert!(!division.make_room);
            }
            let none = flows.iter().all(|flow| !flow.current || fails(flow));
            prop_assert!(!none || division.refused.is_empty(), "there is no other source, and one is refused");
        }
    }
}
