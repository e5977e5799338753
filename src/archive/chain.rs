//! Checks that the objects of one chain follow each other: one spool, source, received-day and stream. Pure.

use super::finding::{BucketFinding, BucketPlace, BucketProblem, Positions};
use super::object::Stored;
use crate::object::ObjectKey;

/// What is known of the previous object.
enum Before<'a> {
    /// It ends at `last`.
    Ends { last: u64, key: &'a ObjectKey },
    /// Its metadata is not credible; it begins at `first`.
    Unknown { first: u64 },
}

/// Compares objects with each other, in the order of their first positions.
pub fn check(objects: &[Stored]) -> Vec<BucketFinding> {
    let mut findings = Vec::new();
    let mut before: Option<Before<'_>> = None;
    for object in objects {
        let first = object.at.first_position;
        let Some(facts) = &object.facts else {
            before = Some(Before::Unknown { first });
            continue;
        };
        findings.extend(follows(before.as_ref(), object, facts.previous_last_position));
        let furthest = match before {
            Some(Before::Ends { last, key }) if last > facts.last_position => Before::Ends { last, key },
            _ => Before::Ends { last: facts.last_position, key: &object.key },
        };
        before = Some(furthest);
    }
    findings
}

/// What is wrong between an object and the previous one.
fn follows(before: Option<&Before<'_>>, object: &Stored, previous: Option<u64>) -> Option<BucketFinding> {
    let at = |problem| Some(BucketFinding { place: object.place(), problem });
    match (before, previous) {
        (None, None) => None,
        (None, Some(last)) => Some(missing(object, 0, last)),
        (Some(Before::Ends { last, key }), _) if object.at.first_position <= *last => {
            at(BucketProblem::Overlaps((*key).clone()))
        }
        (Some(Before::Ends { last, .. }), Some(previous)) if previous == *last => None,
        (Some(Before::Ends { last, .. }), Some(previous)) if previous > *last => {
            Some(missing(object, last + 1, previous))
        }
        (Some(Before::Ends { last, .. }), Some(says)) => at(BucketProblem::Forks { says, stands: *last }),
        (Some(Before::Ends { last, .. }), None) => at(BucketProblem::BeginsAgain(*last)),
        // The metadata of the neighbours is consistent if it leaves space for the unknown object between
        // them.
        (Some(Before::Unknown { first }), Some(previous)) if previous >= *first => None,
        (Some(Before::Unknown { first }), Some(says)) => at(BucketProblem::Forks { says, stands: *first }),
        (Some(Before::Unknown { first }), None) => at(BucketProblem::BeginsAgain(*first)),
    }
}

/// The finding for positions that no object in the chain of `beside` contains.
pub fn missing(beside: &Stored, first: u64, last: u64) -> BucketFinding {
    let place = BucketPlace { key: None, positions: Some(Positions { first, last }), ..beside.place() };
    BucketFinding { place, problem: BucketProblem::Missing }
}

#[cfg(test)]
mod tests {
    use super::super::day::tests::stored;
    use super::*;

    /// First, last and previous position of each object; no last position if its metadata is not credible.
    type Objects<'a> = &'a [(u64, Option<u64>, Option<u64>)];

    fn check(objects: Objects<'_>, expected: &[&str]) {
        let chain: Vec<Stored> = objects
            .iter()
            .map(|(first, last, previous)| {
                let mut object = stored("web", 0, *first, last.unwrap_or(*first), *previous);
                if last.is_none() {
                    object.facts = None;
                }
                object
            })
            .collect();
        let found: Vec<String> = super::check(&chain)
            .into_iter()
            .map(|finding| match finding.place.positions {
                Some(Positions { first, last }) => format!("{} {first}-{last}", finding.problem.kind()),
                None => finding.problem.kind().to_owned(),
            })
            .collect();
        assert_eq!(found, expected, "{objects:?}");
    }

    #[test]
    fn each_object_must_follow_the_previous_one() {
        check(&[], &[]);
        check(&[(1, Some(4), None)], &[]);
        // Gaps in positions are normal: those positions belong to other sources.
        check(&[(7, Some(9), None), (20, Some(21), Some(9)), (40, Some(40), Some(21))], &[]);
        check(&[(20, Some(21), Some(9))], &["missing 0-9"]);
        check(&[(7, Some(9), None), (40, Some(40), Some(21))], &["missing 10-21"]);
        check(
            &[(7, Some(9), None), (40, Some(40), Some(21)), (50, Some(51), Some(45))],
            &["missing 10-21", "missing 41-45"],
        );
        check(&[(7, Some(9), None), (40, Some(41), None)], &["begins_again 40-41"]);
        check(&[(7, Some(9), None), (20, Some(30), Some(9)), (40, Some(41), Some(9))], &["fork 40-41"]);
        check(&[(7, Some(9), None), (9, Some(12), Some(6))], &["overlap 9-12"]);
        check(&[(7, Some(30), None), (9, Some(12), Some(6)), (40, Some(41), Some(30))], &["overlap 9-12"]);
        check(&[(7, Some(30), None), (7, Some(30), None)], &["overlap 7-30"]);
    }

    #[test]
    fn an_object_without_credible_metadata_may_fill_only_its_own_gap() {
        check(&[(7, Some(9), None), (20, None, None), (40, Some(41), Some(30))], &[]);
        check(&[(20, None, None), (40, Some(41), Some(20))], &[]);
        check(&[(7, Some(9), None), (20, None, None), (40, Some(41), Some(9))], &["fork 40-41"]);
        check(&[(20, None, None), (40, Some(41), None)], &["begins_again 40-41"]);
    }
}
