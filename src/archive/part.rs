//! A part of an import, as described by its key and its metadata. Pure.

use std::collections::BTreeMap;

use super::finding::{BucketFinding, BucketPlace, BucketProblem};
use super::object::ContentFacts;
use crate::object::metadata::ImportedMetadata;
use crate::object::{ImportedPlace, ObjectKey};

/// An object that was made of the rows of a file without a spool. It is in no chain, so nothing shows whether one
/// is missing; each that is there is examined like every other object.
#[derive(Clone, Debug)]
pub struct StoredPart {
    /// Its key.
    pub key: ObjectKey,
    /// The facts in the key.
    pub at: ImportedPlace,
    /// Bytes of gzip.
    pub len: u64,
    /// The facts in its metadata about its lines; `None` if it is not credible.
    pub facts: Option<ContentFacts>,
}

impl StoredPart {
    /// Compares a part's metadata with its key.
    pub fn new(
        key: ObjectKey,
        at: ImportedPlace,
        len: u64,
        metadata: &BTreeMap<String, String>,
    ) -> (Self, Vec<BucketFinding>) {
        let mut part = Self { key, at, len, facts: None };
        let mut problems = Vec::new();
        if len == 0 {
            problems.push(BucketProblem::Damaged { why: "it has no bytes".to_owned() });
        }
        let wrong = |why: &str| BucketProblem::Metadata { why: why.to_owned() };
        match ImportedMetadata::read(metadata) {
            Ok(metadata) => {
                if metadata.received_at != part.at.received_at {
                    problems.push(wrong("its time is another one than that in the key"));
                }
                if metadata.calls == 0 {
                    problems.push(wrong("it has no calls: Forebay puts no such part"));
                }
                part.facts = Some(ContentFacts {
                    calls: metadata.calls,
                    bytes: metadata.bytes,
                    sha256: metadata.sha256.to_owned(),
                });
            }
            Err(error) => problems.push(wrong(&error.to_string())),
        }
        let findings = part.place().with(problems);
        (part, findings)
    }

    /// Its place.
    pub fn place(&self) -> BucketPlace {
        BucketPlace {
            source: Some(self.at.source.clone()),
            day: Some(self.at.received_at.day()),
            stream: Some(self.at.stream.clone()),
            key: Some(self.key.clone()),
            ..BucketPlace::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::{BucketString, Stream};
    use crate::sources::SourceId;
    use crate::time::UnixMillis;

    const AT: UnixMillis = UnixMillis(1_432_684_812_345);
    const SHA256: &str = "00000000000000000000000000000000000000000000000000000000000000ab";

    fn stored(len: u64, pairs: &[(&str, String)]) -> (StoredPart, Vec<String>) {
        let at = ImportedPlace {
            stream: Stream::Calls,
            source: SourceId::new("web").unwrap(),
            received_at: AT,
            file: "unw446h7bvkguk7rnc2jjbggs4".to_owned(),
            first_row: 7,
        };
        let key = at.key(&BucketString::parse("lake").unwrap());
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let (part, findings) = StoredPart::new(key, at, len, &pairs);
        (part, findings.iter().map(|finding| finding.problem.to_string()).collect())
    }

    #[test]
    fn metadata_that_does_not_fit_a_part_is_reported() {
        let sound = ImportedMetadata { calls: 2, received_at: AT, bytes: 20, sha256: SHA256 };
        let (part, findings) = stored(9, &sound.pairs());
        assert_eq!((findings, part.facts.map(|facts| facts.calls)), (Vec::new(), Some(2)));
        let check = |len, metadata: &[(&str, String)], said: &str| {
            let (_, findings) = stored(len, metadata);
            assert_eq!(findings.len(), 1, "{said}: {findings:?}");
            assert!(findings[0].contains(said), "{said}: {findings:?}");
        };
        check(0, &sound.pairs(), "it has no bytes");
        let later = ImportedMetadata { received_at: UnixMillis(AT.0 + 1), ..sound.clone() };
        check(9, &later.pairs(), "another one than that in the key");
        check(9, &ImportedMetadata { calls: 0, ..sound.clone() }.pairs(), "no calls");
        check(9, &ImportedMetadata { calls: 11, ..sound.clone() }.pairs(), "more calls than their bytes");
        check(9, &sound.pairs()[1..], "forebay-calls is missing");
        let mut two_times = sound.pairs();
        two_times[2].1 = later.pairs()[2].1.clone();
        check(9, &two_times, "the first and the last call");
    }
}
