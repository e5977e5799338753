//! Decides what becomes of an object that a listing shows, before anything of it is read.

use super::after::mark::MovedFrom;
use super::never::Never;
use super::settings::BucketImport;
use crate::convert::FilePattern;
use crate::store::reader::Listed;
use crate::time::UnixMillis;

closed_list! {
    /// Why an object is not imported.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
    pub enum Skip by slug {
        /// Forebay keeps it there: an object of its own, or rejected rows.
        Own = "own",
        /// It stands for a folder.
        Folder = "folder",
        /// The converter's pattern does not match the key.
        Foreign = "foreign",
        /// It has no bytes.
        Empty = "empty",
        /// It is smaller than files of this import are.
        TooSmall = "too_small",
        /// It is larger than files of this import are.
        TooLarge = "too_large",
        /// It is archived, and not restored.
        Archived = "archived",
        /// It was stored before the first moment that counts.
        Old = "old",
        /// It was deleted after the listing.
        Missing = "missing",
        /// Another version of it is imported, wholly or in part.
        Changed = "changed",
    }
}

/// Storage classes whose objects cannot be read before they are restored.
const ARCHIVES: [&str; 2] = ["GLACIER", "DEEP_ARCHIVE"];

/// What of an import's settings decides about an object.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'w> {
    /// What the keys of the import begin with.
    pub prefix: &'w str,
    /// The pattern of its keys.
    pub pattern: Option<&'w FilePattern>,
    /// What keys in this bucket begin with that are never imported.
    pub never: &'w Never,
    /// The smallest and the largest file, in bytes.
    pub sizes: (u64, u64),
    /// Objects that were stored before are not imported.
    pub modified_after: Option<UnixMillis>,
}

impl Skip {
    /// Whether a half-read object is skipped, too. Settings no longer stop it, or its other rows would be left out in
    /// silence; an object that cannot be read waits.
    pub(super) fn is_for_half_read(self) -> bool {
        matches!(self, Self::Archived | Self::Missing | Self::Changed)
    }
}

impl<'w> Wanted<'w> {
    /// What of these settings decides.
    pub fn of(import: &'w BucketImport) -> Self {
        Self {
            prefix: &import.prefix,
            pattern: import.converter.file().pattern.as_ref(),
            never: &import.never,
            sizes: (import.min_size, import.max_size),
            modified_after: import.modified_after,
        }
    }

    /// Why an object with this key is not imported, whatever it is.
    pub(super) fn skips_name(&self, key: &str) -> Option<Skip> {
        if self.never.has(key) {
            Some(Skip::Own)
        } else if key.ends_with('/') || key.ends_with("_$folder$") {
            Some(Skip::Folder)
        } else if self.pattern.is_some_and(|pattern| !pattern.matches(key, self.prefix)) {
            Some(Skip::Foreign)
        } else {
            None
        }
    }

    /// Whether an object that was moved was one of the import before, as far as its key shows.
    pub(super) fn was_wanted(&self, moved: &MovedFrom) -> bool {
        moved.key.starts_with(self.prefix) && self.skips_name(&moved.key).is_none()
    }

    /// Why an object is not imported. `None`: it is.
    pub fn skips(&self, listed: &Listed) -> Option<Skip> {
        let (smallest, largest) = self.sizes;
        let is_archive = |class: &String| {
            ARCHIVES.iter().any(|archive| archive.eq_ignore_ascii_case(class)) && !listed.is_restored
        };
        let is_old = |(at, after): (UnixMillis, UnixMillis)| at < after;
        if let Some(why) = self.skips_name(listed.key.as_str()) {
            Some(why)
        } else if listed.last_modified.zip(self.modified_after).is_some_and(is_old) {
            Some(Skip::Old)
        } else if listed.len == 0 {
            Some(Skip::Empty)
        } else if listed.len < smallest {
            Some(Skip::TooSmall)
        } else if listed.len > largest {
            Some(Skip::TooLarge)
        } else if listed.storage_class.as_ref().is_some_and(is_archive) {
            Some(Skip::Archived)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::convert::{Converter, DataType, Strategy};
    use crate::object::ObjectKey;

    fn listed(key: &str, len: u64) -> Listed {
        Listed {
            key: ObjectKey::listed(key.to_owned()),
            len,
            last_modified: Some(UnixMillis(1_000)),
            etag: None,
            storage_class: None,
            is_restored: false,
        }
    }

    #[test]
    fn each_reason_has_its_objects() {
        let text = br#"{"converterConfig":{"fileType":"json","convertToAmplitudeFunc":
            {"event_type":["path","e"],"user_id":["path","u"]}},
            "keyValidatorConfig":{"filterPattern":".*[.]json"}}"#;
        let converter = Converter::load(text, DataType::Event, Strategy::AppendOnly, 32_768).unwrap();
        let never = Never::from(vec!["out/segment-logs/".to_owned(), "in/rejects/".to_owned()]);
        let wanted = Wanted {
            prefix: "in/",
            pattern: converter.file().pattern.as_ref(),
            never: &never,
            sizes: (5, 10),
            modified_after: None,
        };
        let check = |listed: Listed, expected: Option<Skip>| {
            assert_eq!(wanted.skips(&listed), expected, "{listed:?}");
        };
        check(listed("in/a.json", 5), None);
        check(listed("in/a.json", 10), None);
        check(listed("in/a.json", 4), Some(Skip::TooSmall));
        check(listed("in/a.json", 11), Some(Skip::TooLarge));
        check(listed("in/a.json", 0), Some(Skip::Empty));
        check(listed("in/a.csv", 5), Some(Skip::Foreign));
        check(listed("in/", 0), Some(Skip::Folder));
        check(listed("in/b/", 7), Some(Skip::Folder));
        check(listed("in/b_$folder$", 0), Some(Skip::Folder));
        check(listed("in/rejects/a.json", 5), Some(Skip::Own));
        check(listed("out/segment-logs/web/a.json", 5), Some(Skip::Own));
        check(listed("out/segment-logs2/a.json", 5), None);
        let class = |class: &str, is_restored| Listed {
            storage_class: Some(class.to_owned()),
            is_restored,
            ..listed("in/a.json", 5)
        };
        check(class("GLACIER", false), Some(Skip::Archived));
        check(class("DEEP_ARCHIVE", false), Some(Skip::Archived));
        check(class("DEEP_ARCHIVE", true), None);
        check(class("GLACIER_IR", false), None);
        check(class("STANDARD_IA", false), None);
        let since =
            |at| Wanted { modified_after: Some(UnixMillis(at)), ..wanted }.skips(&listed("in/a.json", 5));
        assert_eq!([since(1_000), since(1_001)], [None, Some(Skip::Old)]);
    }
}
