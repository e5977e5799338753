//! Which keys of a bucket imports read, and which ones nobody imports.

use crate::object::BucketString;

use super::problem::ConfigProblem;
use super::raw::Table;
use super::reader::Reader;

/// What an import writes beside calls.
pub(super) const REJECTED_ROWS: &str = "the rejected rows";
pub(super) const JOURNAL: &str = "the journal";
/// The same where it moves its files.
pub(super) const MOVED_FILES: &str = "the moved files";

/// The keys of a bucket that begin with a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Keys {
    /// The store, if it is not AWS.
    pub(super) endpoint: Option<String>,
    /// The bucket's name.
    pub(super) bucket: String,
    /// What the keys begin with.
    pub(super) prefix: String,
}

impl Keys {
    /// The keys below `s3://bucket/prefix/`.
    pub(super) fn below(endpoint: Option<String>, url: &str) -> Option<Self> {
        let bucket = BucketString::parse(url.strip_prefix("s3://")?).ok()?;
        let prefix = if bucket.prefix().is_empty() { String::new() } else { format!("{}/", bucket.prefix()) };
        Some(Self { endpoint, bucket: bucket.bucket().to_owned(), prefix })
    }

    /// Whether one of the two has all keys of the other.
    fn overlap(&self, other: &Self) -> bool {
        self.contain(other) || other.contain(self)
    }

    /// Whether all of the other keys are among these.
    fn contain(&self, other: &Self) -> bool {
        self.endpoint == other.endpoint
            && self.bucket == other.bucket
            && other.prefix.starts_with(self.prefix.as_str())
    }
}

/// What one import has to do with keys.
pub(super) struct OfImport<'t> {
    pub(super) table: &'t Table,
    pub(super) name: String,
    /// The keys that it reads.
    pub(super) reads: Keys,
    /// The keys that it writes: its journal, its rejected rows, and the files that it has moved.
    pub(super) writes: Vec<(&'static str, Keys)>,
    /// Whether files are moved or deleted once they are imported.
    pub(super) removes: bool,
}

/// Checks that no import reads only what this configuration writes, and that none removes what another reads.
/// `objects`: the keys of the objects that calls go to, with what they are called.
pub(super) fn check(
    imports: &[OfImport<'_>],
    objects: Vec<(String, Keys)>,
    problems: &mut Vec<ConfigProblem>,
) {
    check_moves(imports, &objects, problems);
    check_places(imports, &objects, problems);
    let of_imports = imports.iter().flat_map(|import| {
        import.writes.iter().map(|(what, keys)| (format!("{what} of import {}", import.name), keys.clone()))
    });
    let written: Vec<(String, Keys)> = objects.into_iter().chain(of_imports).collect();
    for import in imports {
        if let Some((what, keys)) = written.iter().find(|(_, keys)| keys.contain(&import.reads)) {
            let key = if import.table.entries.contains_key("prefix") { "prefix" } else { "bucket" };
            let what = format!(
                "E-IMPORT-LOOP: nothing would be left to import: keys that begin with {:?} are {what}, and are never \
                 imported",
                keys.prefix
            );
            Reader::new(import.table, problems).refuse(key, what);
        }
    }
    for (index, import) in imports.iter().enumerate().filter(|(_, import)| import.removes) {
        let others = imports.iter().enumerate().filter(|(other, _)| *other != index).map(|(_, other)| other);
        let overlaps = |other: &&OfImport<'_>| other.reads.overlap(&import.reads);
        if let Some(other) = others.into_iter().find(overlaps) {
            let what = format!(
                "would take files away from import {}, which reads the same keys: {} and {} need prefixes of their own",
                other.name, import.name, other.name
            );
            Reader::new(import.table, problems).refuse("after", what);
        }
    }
}

/// Checks that no import moves files to where the objects of a source are.
fn check_moves(imports: &[OfImport<'_>], objects: &[(String, Keys)], problems: &mut Vec<ConfigProblem>) {
    for import in imports.iter().filter(|import| import.removes) {
        let moved = import.writes.iter().filter(|(what, _)| *what == MOVED_FILES).map(|(_, keys)| keys);
        let among = |keys: &Keys| objects.iter().find(|(_, objects)| objects.overlap(keys));
        if let Some((what, _)) = moved.into_iter().find_map(among) {
            let what = format!("would put files among {what}: choose another prefix");
            Reader::new(import.table, problems).refuse("after", what);
        }
    }
}

/// Checks that what imports write has places of its own: neither the objects of a source nor different things of
/// imports lie in one another. Imports may share a journal, or a place for rejected rows: each has a folder there.
fn check_places(imports: &[OfImport<'_>], objects: &[(String, Keys)], problems: &mut Vec<ConfigProblem>) {
    let mut taken: Vec<(&str, &str, &Keys)> = Vec::new();
    for import in imports {
        for (what, keys) in &import.writes {
            let key = match *what {
                REJECTED_ROWS => "rejects",
                JOURNAL => "journal",
                _ => "after",
            };
            let among = objects.iter().find(|(_, objects)| objects.contain(keys));
            if let Some((objects, _)) = among.filter(|_| *what != MOVED_FILES) {
                let what = format!("would put files among {objects}: choose another prefix");
                Reader::new(import.table, problems).refuse(key, what);
            }
            let collides = |(other, _, of_other): &&(&str, &str, &Keys)| {
                let may_be_shared = other == what && (*what == MOVED_FILES || *of_other == keys);
                !may_be_shared && keys.overlap(of_other)
            };
            if let Some((other, name, _)) = taken.iter().find(collides) {
                let what = format!(
                    "would mix {what} with {other} of import {name}: choose two prefixes so that neither is inside the other"
                );
                Reader::new(import.table, problems).refuse(key, what);
            }
            taken.push((*what, import.name.as_str(), keys));
        }
    }
}
