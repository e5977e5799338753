//! One object, as described by its key and its metadata. Pure.

use super::bucket::LenAndMetadata;
use super::finding::{BucketFinding, BucketPlace, BucketProblem, Positions};
use crate::object::metadata::Metadata;
use crate::object::{ObjectKey, ParsedObjectKey};
use crate::time::UnixMillis;

/// An object of a batch.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Its key.
    pub key: ObjectKey,
    /// The facts in the key.
    pub at: ParsedObjectKey,
    /// Bytes of gzip.
    pub len: u64,
    /// The facts in its metadata; `None` if it is not credible.
    pub facts: Option<Facts>,
}

/// The facts in metadata about the lines of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentFacts {
    /// Lines.
    pub calls: u64,
    /// Bytes of lines.
    pub bytes: u64,
    /// SHA-256 of the lines, in hexadecimal.
    pub sha256: String,
}

/// The facts in an object's metadata that are not in its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Facts {
    /// Its lines.
    pub content: ContentFacts,
    /// The earliest `receivedAt`.
    pub first_received_at: UnixMillis,
    /// The latest `receivedAt`.
    pub last_received_at: UnixMillis,
    /// The last position.
    pub last_position: u64,
    /// The last position of the object before it.
    pub previous_last_position: Option<u64>,
}

impl Stored {
    /// Compares an object's metadata with its key.
    pub fn new(key: ObjectKey, at: ParsedObjectKey, head: &LenAndMetadata) -> (Self, Vec<BucketFinding>) {
        let mut stored = Self { key, at, len: head.len, facts: None };
        let mut problems = Vec::new();
        if head.len == 0 {
            problems.push(BucketProblem::Damaged("it has no bytes".to_owned()));
        }
        match Metadata::read(&head.metadata) {
            Ok(metadata) => {
                problems.extend(against_key(&stored.at, &metadata));
                stored.facts = facts(&stored.at, &metadata);
            }
            Err(error) => problems.push(BucketProblem::Metadata(error.to_string())),
        }
        let findings = stored.place().with(problems);
        (stored, findings)
    }

    /// Its place.
    pub fn place(&self) -> BucketPlace {
        let first = self.at.first_position;
        let positions = |facts: &Facts| Positions { first, last: facts.last_position };
        BucketPlace {
            source: Some(self.at.source.clone()),
            day: Some(self.at.day),
            stream: Some(self.at.stream.clone()),
            node: Some(self.at.node.clone()),
            spool: Some(self.at.spool_id.clone()),
            key: Some(self.key.clone()),
            positions: self.facts.as_ref().map(positions),
            line: None,
        }
    }

    /// The facts about its lines, if the metadata is credible.
    pub fn content_facts(&self) -> Option<&ContentFacts> {
        self.facts.as_ref().map(|facts| &facts.content)
    }

    /// The metadata as it was, if it is credible.
    pub fn metadata(&self) -> Option<Metadata<'_>> {
        self.facts.as_ref().map(|facts| Metadata {
            calls: facts.content.calls,
            first_received_at: facts.first_received_at,
            last_received_at: facts.last_received_at,
            node: &self.at.node,
            first_position: self.at.first_position,
            last_position: facts.last_position,
            bytes: facts.content.bytes,
            sha256: &facts.content.sha256,
            previous_last_position: facts.previous_last_position,
            lost_calls: 0,
        })
    }
}

fn facts(at: &ParsedObjectKey, metadata: &Metadata<'_>) -> Option<Facts> {
    // Metadata of another object says nothing about this chain.
    (metadata.first_position == at.first_position).then(|| Facts {
        content: ContentFacts {
            calls: metadata.calls,
            bytes: metadata.bytes,
            sha256: metadata.sha256.to_owned(),
        },
        first_received_at: metadata.first_received_at,
        last_received_at: metadata.last_received_at,
        last_position: metadata.last_position,
        previous_last_position: metadata.previous_last_position,
    })
}

fn against_key(at: &ParsedObjectKey, metadata: &Metadata<'_>) -> Vec<BucketProblem> {
    let wrong = |why: &str| BucketProblem::Metadata(why.to_owned());
    let mut problems = Vec::new();
    if metadata.first_position != at.first_position {
        let (theirs, ours) = (metadata.first_position, at.first_position);
        let why = format!("the first position is {theirs} in the metadata, but {ours} in the key");
        problems.push(BucketProblem::Metadata(why));
    }
    // The key's node counts. Releases before 2026-11-25 wrote another one into the metadata if the node was
    // renamed while a sealed object waited. The key contains the time of the first line, which is not always
    // the earliest: clocks step back.
    let times = metadata.first_received_at..=metadata.last_received_at;
    if !times.contains(&at.first_received_at) {
        problems.push(wrong("the time in the key is not between the first and the last call"));
    }
    if times.start().day() != at.day || times.end().day() != at.day {
        problems.push(wrong("its times are on another day"));
    }
    if metadata.lost_calls > 0 {
        problems.push(BucketProblem::Lost(Some(metadata.lost_calls)));
    } else if metadata.calls == 0 {
        problems.push(BucketProblem::Lost(None));
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::BucketString;

    const DAY: i64 = 1_432_684_800_000;

    fn sound() -> Metadata<'static> {
        Metadata {
            calls: 2,
            first_received_at: UnixMillis(DAY + 12_345),
            last_received_at: UnixMillis(DAY + 12_400),
            node: "n1",
            first_position: 7,
            last_position: 9,
            bytes: 20,
            sha256: "00000000000000000000000000000000000000000000000000000000000000ab",
            previous_last_position: Some(6),
            lost_calls: 0,
        }
    }

    fn stored(len: u64, metadata: &Metadata<'_>) -> (Stored, Vec<String>) {
        let bucket = BucketString::parse("bucket").unwrap();
        let key = format!(
            "segment-logs/web/{DAY}/{}-n1-0123456789abcdef0123456789abcdef-00000000000000000007.gz",
            DAY + 12_350
        );
        let at = ParsedObjectKey::of(&bucket, &key).unwrap();
        let pairs = metadata.pairs().into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        let (stored, findings) =
            Stored::new(ObjectKey::listed(key), at, &LenAndMetadata { len, metadata: pairs });
        (stored, findings.iter().map(|finding| finding.problem.to_string()).collect())
    }

    #[test]
    fn metadata_of_a_sound_object_is_reproduced() {
        let (stored, findings) = stored(10, &sound());
        assert_eq!((findings.len(), stored.metadata()), (0, Some(sound())));
    }

    #[test]
    fn metadata_that_does_not_fit_the_key_is_reported() {
        let check = |len, metadata: Metadata<'_>, believed: bool, said: &str| {
            let (stored, findings) = stored(len, &metadata);
            assert_eq!(findings.len(), 1, "{findings:?}");
            assert!(findings[0].contains(said), "{findings:?}");
            assert_eq!(stored.facts.is_some(), believed, "{said}");
        };
        let day = 86_400_000;
        check(0, sound(), true, "it has no bytes");
        check(9, Metadata { first_position: 8, ..sound() }, false, "is 8 in the metadata, but 7 in the key");
        assert_eq!(
            stored(9, &Metadata { node: "n2", ..sound() }).1,
            Vec::<String>::new(),
            "the node was renamed"
        );
        check(
            9,
            Metadata { first_received_at: UnixMillis(DAY + 12_360), ..sound() },
            true,
            "the time in the key",
        );
        check(9, Metadata { last_received_at: UnixMillis(DAY + day), ..sound() }, true, "on another day");
        check(9, Metadata { lost_calls: 1, ..sound() }, true, "1 of its calls were lost");
        check(9, Metadata { calls: 0, ..sound() }, true, "is empty");
        check(9, Metadata { sha256: "x", ..sound() }, false, "forebay-sha256");
    }
}
