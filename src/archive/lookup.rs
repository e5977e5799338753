//! Finds the lines of a receipt: lists its day, then reads the objects that may contain the lines.

use std::sync::Arc;

use super::bucket::{Archive, ArchiveError, Got};
use super::finding::{BucketFinding, BucketProblem};
use super::lines::{Expected, Sighting};
use super::listing::Days;
use super::object::Stored;
use super::verify_bucket::{expected, judge_content};
use crate::object::{ObjectKey, ParsedObjectKey};
use crate::receipt::Receipt;

/// An object that spans positions of a receipt, read to its end.
#[derive(Debug)]
pub struct HeldBy {
    /// The object.
    pub object: Stored,
    /// Its lines that belong to the receipt.
    pub lines: Vec<Sighting>,
    /// What is wrong with the object.
    pub findings: Vec<BucketFinding>,
}

/// The lines of a receipt in a bucket.
#[derive(Debug, Default)]
pub struct Lookup {
    /// Every object that was read, first calls, then rejected items.
    pub objects: Vec<HeldBy>,
    /// Objects that may contain lines of the receipt but cannot be read, with the reasons.
    pub unreadable: Vec<(ObjectKey, String)>,
}

impl Archive {
    /// Finds the lines at the positions of `receipt`. Keeps the listing of its day and the found lines in
    /// memory.
    pub async fn lookup(self: &Arc<Self>, receipt: &Receipt) -> Result<Lookup, ArchiveError> {
        let listing = Days::of_day(self, &receipt.source, receipt.day).await?;
        let mut lookup = Lookup::default();
        let mut found = 0;
        let mut objects = listing.objects;
        objects.retain(|(at, _)| at.spool_id == receipt.spool_id);
        for (at, listed) in may_span(objects, receipt) {
            if found >= receipt.positions() {
                break;
            }
            let head = match self.head(&listed.key).await? {
                Got::Read(head) => head,
                Got::Gone => continue,
                Got::Archived(why) | Got::Damaged(why) => {
                    lookup.unreadable.push((listed.key, why));
                    continue;
                }
            };
            let (object, mut findings) = Stored::new(listed.key, at, &head);
            if object.facts.as_ref().is_some_and(|facts| facts.last_position < receipt.first) {
                continue;
            }
            let wanted = Expected { wanted: Some((receipt.first, receipt.last)), ..expected(&object) };
            let content = match self.read(&object.key, &wanted, &std::hash::RandomState::new()).await? {
                Got::Read(content) => content,
                Got::Gone => continue,
                Got::Archived(why) | Got::Damaged(why) => {
                    lookup.unreadable.push((object.key, why));
                    continue;
                }
            };
            findings.extend(judge_content(&object.place(), object.content_facts(), &content));
            found += content.found.len() as u64;
            lookup.objects.push(HeldBy { object, lines: content.found, findings });
        }
        Ok(lookup)
    }
}

impl HeldBy {
    /// Whether its content matches its metadata. Lines that were lost before the put do not count.
    pub fn is_sound(&self) -> bool {
        self.findings.iter().all(|finding| matches!(finding.problem, BucketProblem::Lost(_)))
    }
}

/// The objects that may span positions of a receipt: an object ends before the next one of its stream begins.
fn may_span<T>(mut objects: Vec<(ParsedObjectKey, T)>, receipt: &Receipt) -> Vec<(ParsedObjectKey, T)> {
    objects.sort_by(|(a, _), (b, _)| (&a.stream, a.first_position).cmp(&(&b.stream, b.first_position)));
    let mut spans = Vec::new();
    let mut objects = objects.into_iter().peekable();
    while let Some((at, object)) = objects.next() {
        let next = objects.peek().filter(|(next, _)| next.stream == at.stream);
        let ends_before = next.is_some_and(|(next, _)| next.first_position <= receipt.first);
        if at.first_position <= receipt.last && !ends_before {
            spans.push((at, object));
        }
    }
    spans
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::Stream;
    use crate::sources::SourceId;
    use crate::time::UnixMillis;

    #[test]
    fn only_objects_that_may_span_a_position_are_read() {
        let day = UnixMillis(1_432_684_800_000);
        let place = |stream, first_position| ParsedObjectKey {
            stream,
            source: SourceId::new("web").unwrap(),
            day: day.day(),
            first_received_at: day,
            node: "n1".to_owned(),
            spool_id: "0123456789abcdef0123456789abcdef".to_owned(),
            first_position,
        };
        let objects = || {
            [(Stream::Rejected, 12), (Stream::Calls, 30), (Stream::Calls, 1), (Stream::Calls, 20)]
                .map(|(stream, first)| (place(stream, first), first))
                .to_vec()
        };
        let check = |first, last, expected: &[u64]| {
            let at = place(Stream::Calls, 1);
            let receipt = Receipt { source: at.source, day: at.day, spool_id: at.spool_id, first, last };
            let read: Vec<u64> =
                may_span(objects(), &receipt).into_iter().map(|(_, object)| object).collect();
            assert_eq!(read, expected, "{first} to {last}");
        };
        check(1, 1, &[1]);
        check(11, 11, &[1]);
        check(12, 19, &[1, 12]);
        check(19, 20, &[1, 20, 12]);
        check(20, 29, &[20, 12]);
        check(29, 40, &[20, 30, 12]);
        check(99, 99, &[30, 12]);
    }
}
