//! Objects of listings that a look has shown to be moved by an import. As long as a listing shows the same
//! version, it needs no second look, for the life of the process.

use std::collections::HashSet;
use std::sync::Mutex;

use super::file_id::first_128_bits;
use super::import_id::ImportId;
use crate::lock::lock;
use crate::store::reader::Listed;

/// The most objects that are remembered, each with 16 bytes. At the limit all are forgotten, and looked at
/// again.
const MOST: usize = 1_000_000;

/// The objects, as hashes of what listings show of them.
#[derive(Debug)]
pub(super) struct SeenMoved {
    seen: Mutex<HashSet<u128>>,
    most: usize,
}

/// What decides whether a moved object was one of an import before.
#[derive(Clone, Copy, Debug)]
pub(super) struct MovedOf([u8; 32]);

impl Default for SeenMoved {
    fn default() -> Self {
        Self { seen: Mutex::default(), most: MOST }
    }
}

impl SeenMoved {
    /// Remembers that the object of a listing was moved.
    pub(super) fn note(&self, of: &MovedOf, listed: &Listed) {
        let Some(hash) = of.hash(listed) else { return };
        let mut seen = lock(&self.seen);
        if seen.len() >= self.most {
            seen.clear();
        }
        seen.insert(hash);
    }

    /// Whether the object of a listing was moved, as far as this is remembered.
    pub(super) fn has(&self, of: &MovedOf, listed: &Listed) -> bool {
        let seen = lock(&self.seen);
        !seen.is_empty() && of.hash(listed).is_some_and(|hash| seen.contains(&hash))
    }
}

impl MovedOf {
    /// That of an import with these settings.
    pub(super) fn new<'s>(import: ImportId, settings: impl Iterator<Item = &'s str>) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"forebay seen moved 1").update(import.to_string().as_bytes());
        settings.for_each(|setting| add(&mut hasher, setting));
        Self(*hasher.finalize().as_bytes())
    }

    /// What a listing shows of an object. `None`: too little to tell versions apart.
    fn hash(&self, listed: &Listed) -> Option<u128> {
        let (etag, at) = (listed.etag.as_deref()?, listed.last_modified?);
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        add(&mut hasher, listed.key.as_str());
        add(&mut hasher, etag);
        hasher.update(&listed.len.to_be_bytes()).update(&at.0.to_be_bytes());
        Some(u128::from_be_bytes(first_128_bits(&hasher)))
    }
}

fn add(hasher: &mut blake3::Hasher, text: &str) {
    hasher.update(&(text.len() as u64).to_be_bytes()).update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::object::ObjectKey;
    use crate::time::UnixMillis;

    fn listed(key: &str, etag: &str, len: u64, at: i64) -> Listed {
        Listed {
            key: ObjectKey::listed(key.to_owned()),
            len,
            last_modified: Some(UnixMillis(at)),
            etag: Some(etag.to_owned()),
            storage_class: None,
            is_restored: false,
        }
    }

    #[test]
    fn an_object_is_remembered_only_in_the_version_that_was_seen_and_for_the_same_settings() {
        let (seen, id) = (SeenMoved::default(), ImportId::of_bits(1));
        let of = MovedOf::new(id, ["lake", "in/"].into_iter());
        seen.note(&of, &listed("k", "\"a\"", 5, 1_000));
        assert!(seen.has(&of, &listed("k", "\"a\"", 5, 1_000)));
        for other in [
            listed("l", "\"a\"", 5, 1_000),
            listed("k", "\"b\"", 5, 1_000),
            listed("k", "\"a\"", 6, 1_000),
            listed("k", "\"a\"", 5, 2_000),
            Listed { etag: None, ..listed("k", "\"a\"", 5, 1_000) },
            Listed { last_modified: None, ..listed("k", "\"a\"", 5, 1_000) },
        ] {
            assert!(!seen.has(&of, &other), "{other:?}");
            // What a listing does not show is not remembered either.
            if other.etag.is_none() || other.last_modified.is_none() {
                seen.note(&of, &other);
                assert!(!seen.has(&of, &other), "{other:?}");
            }
        }
        for settings in [["lake", "in"], ["lak", "ein/"], ["pond", "in/"]] {
            let others = MovedOf::new(id, settings.into_iter());
            assert!(!seen.has(&others, &listed("k", "\"a\"", 5, 1_000)), "{settings:?}");
        }
        let others = MovedOf::new(ImportId::of_bits(2), ["lake", "in/"].into_iter());
        assert!(!seen.has(&others, &listed("k", "\"a\"", 5, 1_000)));
    }

    #[test]
    fn at_the_limit_all_are_forgotten() {
        let seen = SeenMoved { most: 2, ..SeenMoved::default() };
        let of = MovedOf::new(ImportId::of_bits(1), std::iter::empty());
        let has = || ["a", "b", "c"].map(|key| seen.has(&of, &listed(key, "e", 1, 1)));
        for (key, expected) in
            [("a", [true, false, false]), ("b", [true, true, false]), ("c", [false, false, true])]
        {
            seen.note(&of, &listed(key, "e", 1, 1));
            assert_eq!(has(), expected);
        }
    }
}
