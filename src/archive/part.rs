//! A part of an import, as described by its key and its metadata. Pure.

use std::collections::BTreeMap;

use super::bucket::LenAndMetadata;
use super::finding::{BucketFinding, BucketPlace, BucketProblem};
use super::object::ContentFacts;
use crate::object::metadata::ImportedMetadata;
use crate::object::{ObjectKey, ParsedPartKey};

/// An object that was made of the rows of a file without a spool. It is in no chain, so nothing shows whether
/// one is missing; each that is there is examined like every other object.
#[derive(Clone, Debug)]
pub struct StoredPart {
    /// Its key.
    pub key: ObjectKey,
    /// The facts in the key.
    pub at: ParsedPartKey,
    /// Bytes of gzip.
    pub len: u64,
    /// The facts in its metadata about its lines; `None` if it is not credible.
    pub facts: Option<ContentFacts>,
}

impl StoredPart {
    /// Compares a part's metadata with its key.
    pub fn new(key: ObjectKey, at: ParsedPartKey, head: &LenAndMetadata) -> (Self, Vec<BucketFinding>) {
        let mut part = Self { key, at, len: head.len, facts: None };
        let mut problems = Vec::new();
        if head.len == 0 {
            problems.push(BucketProblem::Damaged("it has no bytes".to_owned()));
        }
        let wrong = |why: &str| BucketProblem::Metadata(why.to_owned());
        match ImportedMetadata::read(&head.metadata) {
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

/// Parts of one file that hold the same rows as another: their lines are the same, or the rows of one reach
/// into those of the next. A file that was put again, at another time, is another one. Rows that were
/// rejected do not show in a part, so where there are many, one may reach further than it seems.
pub fn same_rows(parts: &[StoredPart]) -> Vec<BucketFinding> {
    let mut files: BTreeMap<_, Vec<&StoredPart>> = BTreeMap::new();
    for part in parts {
        files.entry((&part.at.stream, part.at.received_at, &part.at.file)).or_default().push(part);
    }
    let mut findings = Vec::new();
    for mut parts in files.into_values() {
        parts.sort_by_key(|part| (part.at.first_row, &part.key));
        let mut known: BTreeMap<&str, &StoredPart> = BTreeMap::new();
        let mut before: Option<(&StoredPart, u64)> = None;
        for part in parts {
            let Some(facts) = &part.facts else { continue };
            let reaches_here = before.filter(|(_, end)| *end > part.at.first_row).map(|(part, _)| part);
            let same = known.get(facts.sha256.as_str()).copied().or(reaches_here);
            if let Some(same) = same {
                findings.extend(part.place().with([BucketProblem::SameRows(same.key.clone())]));
            }
            known.entry(&facts.sha256).or_insert(part);
            // Each call is one of its rows; rejected ones are not counted.
            let end = part.at.first_row.saturating_add(facts.calls);
            if before.is_none_or(|(_, reached)| reached < end) {
                before = Some((part, end));
            }
        }
    }
    findings
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
        stored_from(7, len, pairs)
    }

    fn stored_from(first_row: u64, len: u64, pairs: &[(&str, String)]) -> (StoredPart, Vec<String>) {
        let at = ParsedPartKey {
            stream: Stream::Calls,
            source: SourceId::new("web").unwrap(),
            received_at: AT,
            file: "unw446h7bvkguk7rnc2jjbggs4".to_owned(),
            first_row,
        };
        let key = at.key(&BucketString::parse("lake").unwrap());
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        let (part, findings) = StoredPart::new(key, at, &LenAndMetadata { len, metadata: pairs });
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

    #[test]
    fn rows_that_are_there_twice_are_found() {
        let part = |first_row, calls, hash: char| {
            let sha256 = hash.to_string().repeat(64);
            let metadata = ImportedMetadata { calls, received_at: AT, bytes: 1_000, sha256: &sha256 };
            stored_from(first_row, 9, &metadata.pairs()).0
        };
        let rows = |parts: &[StoredPart]| -> Vec<u64> {
            let row = |finding: &BucketFinding| {
                assert_eq!(finding.problem.kind(), "same_rows");
                parts.iter().find(|part| Some(&part.key) == finding.place.key.as_ref()).unwrap().at.first_row
            };
            same_rows(parts).iter().map(row).collect()
        };
        // Some rows were rejected; the parts come in any order.
        assert_eq!(rows(&[part(200, 50, 'c'), part(0, 90, 'a'), part(100, 100, 'b')]), [0_u64; 0]);
        assert_eq!(rows(&[part(0, 90, 'a'), part(100, 90, 'b'), part(300, 90, 'a')]), [300]);
        assert_eq!(rows(&[part(0, 90, 'a'), part(89, 1, 'b'), part(90, 1, 'c')]), [89]);
        assert_eq!(rows(&[part(0, 90, 'a'), part(10, 5, 'b'), part(50, 5, 'c')]), [10, 50]);
        let mut other = part(0, 90, 'a');
        other.at.file = "another".to_owned();
        other.key = other.at.key(&BucketString::parse("lake").unwrap());
        assert_eq!(rows(&[part(0, 90, 'a'), other]), [0_u64; 0]);
        let mut again = part(0, 90, 'a');
        again.at.received_at = UnixMillis(AT.0 + 2_000);
        again.key = again.at.key(&BucketString::parse("lake").unwrap());
        assert_eq!(rows(&[part(0, 90, 'a'), again]), [0_u64; 0]);
    }
}
