//! The mark of a moved object, in its metadata: from where it was moved. An instance that does not know the prefixes of
//! others, or of an earlier spool, sees it before it reads the first row. It says something of this object alone, so
//! whoever can write an object can keep no other from being imported.
//!
//! The value is `<bytes of the prefix it was moved to>-<hash>-<folder it was in before>`, the folder percent-encoded. The
//! hash covers the bucket and the key, so the mark of an object that a person copies to another key means nothing.
//!
//! Of an object that imports have moved more than once, another entry has the folders of the earlier moves,
//! `<hash>-<folder>,<folder>`: releases that do not know it still read the mark.

use std::borrow::Cow;
use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::action::folder_of;
use crate::import::file_id::first_128_bits;

/// The name, without `x-amz-meta-`.
pub(super) const MARK: &str = "forebay-moved";
/// The name of the entry with the folders of earlier moves, without `x-amz-meta-`.
pub(super) const BEFORE: &str = "forebay-moved-before";
/// What stands for itself.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'/');

/// Where an object was before it was moved.
#[derive(Debug, PartialEq, Eq)]
pub(in super::super) struct MovedFrom {
    /// Its key then.
    pub(in super::super) key: String,
    /// The folder of the prefix of the import that moved it. Empty: the whole bucket.
    folder: String,
}

/// The value of the mark of an object of this bucket that an import with this prefix moves from one key to another.
pub(super) fn mark(bucket: &str, prefix: &str, (from, to): (&str, &str)) -> String {
    let folder = if from.starts_with(folder_of(prefix)) { folder_of(prefix) } else { "" };
    let name = from.strip_prefix(folder).unwrap_or(from);
    written((bucket, to), to.len().saturating_sub(name.len()), folder)
}

fn written((bucket, key): (&str, &str), to: usize, folder: &str) -> String {
    let folder = utf8_percent_encode(folder, PLAIN).to_string();
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"forebay moved 1").update(&(to as u64).to_be_bytes());
    for text in [bucket, key, &folder] {
        hasher.update(&(text.len() as u64).to_be_bytes()).update(text.as_bytes());
    }
    format!("{to}-{:032x}-{folder}", u128::from_be_bytes(first_128_bits(&hasher)))
}

/// Where the object with this metadata was before it was moved; `None`: it was not moved to this place.
pub(in super::super) fn moved_from(
    metadata: &BTreeMap<String, String>,
    (bucket, key): (&str, &str),
) -> Option<MovedFrom> {
    let text = metadata.get(MARK)?;
    let mut parts = text.splitn(3, '-');
    let to: usize = parts.next()?.parse().ok()?;
    let folder = percent_decode_str(parts.nth(1)?).decode_utf8().ok()?;
    if *text != written((bucket, key), to, &folder) {
        return None;
    }
    let (_, name) = key.split_at_checked(to)?;
    Some(MovedFrom { key: format!("{folder}{name}"), folder: folder.into_owned() })
}

/// The folders in which the object with this metadata was each time before it was moved, the last one first.
pub(super) fn folders_of(metadata: &BTreeMap<String, String>, (bucket, key): (&str, &str)) -> Vec<String> {
    let Some(moved) = moved_from(metadata, (bucket, key)) else { return Vec::new() };
    let mut folders = vec![moved.folder];
    if let Some((hash, list)) = metadata.get(BEFORE).and_then(|text| text.split_once('-'))
        && hash == hash_of_list((bucket, key), list)
    {
        let decoded = list.split(',').filter_map(|folder| percent_decode_str(folder).decode_utf8().ok());
        folders.extend(decoded.map(Cow::into_owned));
    }
    folders
}

/// The entry of an object of this bucket with these folders of earlier moves; `None`: there are none.
pub(super) fn before((bucket, key): (&str, &str), folders: &[String]) -> Option<String> {
    let encoded = |folder: &String| utf8_percent_encode(folder, PLAIN).to_string();
    let mut list: Vec<String> = folders.iter().map(encoded).collect();
    // An object that goes round among three imports has each folder once.
    list.sort();
    list.dedup();
    let text = list.join(",");
    (!list.is_empty()).then(|| format!("{}-{text}", hash_of_list((bucket, key), &text)))
}

fn hash_of_list((bucket, key): (&str, &str), list: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"forebay moved before 1");
    for text in [bucket, key, list] {
        hasher.update(&(text.len() as u64).to_be_bytes()).update(text.as_bytes());
    }
    format!("{:032x}", u128::from_be_bytes(first_128_bits(&hasher)))
}

#[cfg(test)]
mod tests {
    use super::super::action::moved_key;
    use super::*;

    #[test]
    fn a_mark_says_where_an_object_was_and_counts_for_its_own_key_alone() {
        let check = |prefix: &str, from: &str, to: &str| {
            let key = moved_key(prefix, to, from);
            let value = mark("lake", prefix, (from, &key));
            assert!(value.is_ascii(), "{value}");
            let marked = |value: &str| BTreeMap::from([(MARK.to_owned(), value.to_owned())]);
            let expected = MovedFrom { key: from.to_owned(), folder: folder_of(prefix).to_owned() };
            assert_eq!(moved_from(&marked(&value), ("lake", &key)), Some(expected), "{value}");
            for (bucket, other) in [("lake", from), ("lake", "in/done/z"), ("pond", &key)] {
                assert_eq!(moved_from(&marked(&value), (bucket, other)), None, "{bucket} {other}");
            }
            for at in 0..value.len() {
                let mut damaged = value.clone().into_bytes();
                damaged[at] ^= 1;
                let damaged = String::from_utf8(damaged).unwrap();
                assert_eq!(moved_from(&marked(&damaged), ("lake", &key)), None, "{damaged}");
            }
            assert_eq!(moved_from(&BTreeMap::new(), ("lake", &key)), None);
        };
        check("in/", "in/a.json", "in/done/");
        check("in/", "in/day-1/a.json", "done/");
        check("", "a.json", "done/");
        check("in-größe %/orders", "in-größe %/orders-1/ü.json", "in-größe %/ö/");
        check("orders", "orders-1/a.json", "done/");
    }

    #[test]
    fn the_folders_of_earlier_moves_are_kept_for_their_own_key_alone() {
        let of = |folders: &[&str]| folders.iter().map(|folder| (*folder).to_owned()).collect::<Vec<_>>();
        let marked = |key: &str, folders: &[&str]| {
            let mut metadata = BTreeMap::from([(MARK.to_owned(), mark("lake", "mid/", ("mid/a", key)))]);
            metadata.extend(before(("lake", key), &of(folders)).map(|value| (BEFORE.to_owned(), value)));
            metadata
        };
        for folders in [vec![], vec!["in/"], vec![""], vec!["", "in-größe, %/ö/"]] {
            let metadata = marked("fin/a", &folders);
            let expected = [vec!["mid/"], folders].concat();
            assert_eq!(folders_of(&metadata, ("lake", "fin/a")), of(&expected), "{metadata:?}");
            assert!(metadata.values().all(|value| value.is_ascii()), "{metadata:?}");
            for other in [("lake", "fin/b"), ("pond", "fin/a")] {
                assert_eq!(folders_of(&metadata, other), [""; 0], "{metadata:?}");
            }
            let Some(value) = metadata.get(BEFORE) else { continue };
            for at in 0..value.len() {
                let mut damaged = value.clone().into_bytes();
                damaged[at] ^= 1;
                let mut metadata = metadata.clone();
                metadata.insert(BEFORE.to_owned(), String::from_utf8(damaged).unwrap());
                assert_eq!(folders_of(&metadata, ("lake", "fin/a")), ["mid/"], "{metadata:?}");
            }
        }
        assert_eq!(
            before(("lake", "k"), &of(&["b/", "a/", "b/"])),
            before(("lake", "k"), &of(&["a/", "b/"]))
        );
    }
}
