//! What is to happen to imported objects, and what of it an object allows. Pure.

use super::entry::{AfterEntry, Kept};
use super::report::AfterWaits;
use crate::object::{KEY_BYTES_MAX, ObjectKey};
use crate::store::changer::{COPY_BYTES_MAX, TAGS_MAX, Tags};

/// The name of the tag.
pub(super) const TAG: &str = "forebay-imported";

/// What happens to an object once all of its rows are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// It gets the tag `forebay-imported` with the import's name.
    Tag,
    /// It is moved below this prefix.
    Move(String),
    /// It is deleted.
    Delete,
}

impl After {
    /// Its name in the configuration.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Tag => "tag",
            Self::Move(_) => "move",
            Self::Delete => "delete",
        }
    }
}

/// The key that an object gets below `to`: what its key has after the folder of the import's prefix.
pub fn moved_key(prefix: &str, to: &str, key: &str) -> String {
    format!("{to}{}", key.strip_prefix(folder_of(prefix)).unwrap_or(key))
}

/// The folder of an import's prefix: what the keys of moved objects lose.
pub(super) fn folder_of(prefix: &str) -> &str {
    prefix.rfind('/').and_then(|slash| prefix.get(..=slash)).unwrap_or_default()
}

/// What is done with an object that is still the imported one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Tag,
    Move(ObjectKey),
    Delete,
}

/// What is next for the object with this key. The store is not asked. Errors: why nothing is.
pub(super) fn next(after: &After, prefix: &str, key: &str, entry: &AfterEntry) -> Result<Step, AfterWaits> {
    match (&entry.kept, after) {
        (Some(Kept::Rejected(_)), _) => Err(AfterWaits::Rejected),
        (Some(Kept::Changed), _) => Err(AfterWaits::Changed),
        (None, After::Tag) => Ok(Step::Tag),
        (None, After::Delete) => Ok(Step::Delete),
        (None, After::Move(_)) if entry.size > COPY_BYTES_MAX => Err(AfterWaits::TooLarge),
        (None, After::Move(to)) => match moved_key(prefix, to, key) {
            long if long.len() > KEY_BYTES_MAX => Err(AfterWaits::LongKey),
            key => Ok(Step::Move(ObjectKey::listed(key))),
        },
    }
}

/// The tags of an object with that of an import.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Tagged {
    /// It has the tag already.
    Already,
    /// These take the place of its tags.
    With(Tags),
    /// It has as many others as an object may have.
    TooMany,
}

/// Adds the tag of an import. A tag of this name has its place already.
pub(super) fn tagged(mut tags: Tags, import: &str) -> Tagged {
    match tags.iter().position(|(name, _)| name == TAG) {
        Some(at) if tags.get(at).is_some_and(|(_, value)| value == import) => return Tagged::Already,
        Some(at) => drop(tags.remove(at)),
        None if tags.len() >= TAGS_MAX => return Tagged::TooMany,
        None => {}
    }
    tags.push((TAG.to_owned(), import.to_owned()));
    Tagged::With(tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_keeps_its_name_below_the_folder_of_the_prefix() {
        let check = |prefix: &str, key: &str, expected: &str| {
            assert_eq!(moved_key(prefix, "done/", key), expected, "{prefix} {key}");
        };
        check("in/", "in/a.json", "done/a.json");
        check("in/", "in/b/a.json", "done/b/a.json");
        check("", "in/a.json", "done/in/a.json");
        check("in/orders", "in/orders-1/a.json", "done/orders-1/a.json");
        check("orders", "orders-1/a.json", "done/orders-1/a.json");
    }

    #[test]
    fn what_is_next_follows_from_the_setting_and_the_entry() {
        let to = || After::Move("done/".to_owned());
        let check = |after: &After, size: u64, kept: Option<Kept>, expected: Result<Step, AfterWaits>| {
            let entry = AfterEntry::due("a", size).with(kept);
            assert_eq!(next(after, "in/", "in/a", &entry), expected, "{after:?} {entry:?}");
        };
        check(&After::Tag, COPY_BYTES_MAX + 1, None, Ok(Step::Tag));
        check(&After::Delete, COPY_BYTES_MAX + 1, None, Ok(Step::Delete));
        check(&to(), COPY_BYTES_MAX, None, Ok(Step::Move(ObjectKey::listed("done/a".to_owned()))));
        check(&to(), COPY_BYTES_MAX + 1, None, Err(AfterWaits::TooLarge));
        check(&After::Move("d".repeat(KEY_BYTES_MAX)), 5, None, Err(AfterWaits::LongKey));
        for after in [After::Tag, After::Delete, to()] {
            check(&after, 5, Some(Kept::Rejected(3)), Err(AfterWaits::Rejected));
            check(&after, 5, Some(Kept::Changed), Err(AfterWaits::Changed));
        }
    }

    #[test]
    fn a_tag_is_added_to_those_that_are_there() {
        let tags = |names: &[(&str, &str)]| -> Tags {
            names.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let check = |before: &[(&str, &str)], expected| assert_eq!(tagged(tags(before), "orders"), expected);
        check(&[], Tagged::With(tags(&[(TAG, "orders")])));
        check(&[("a", "b")], Tagged::With(tags(&[("a", "b"), (TAG, "orders")])));
        check(&[(TAG, "orders"), ("a", "b")], Tagged::Already);
        check(&[(TAG, "users"), ("a", "b")], Tagged::With(tags(&[("a", "b"), (TAG, "orders")])));
        let names: Vec<String> = (0..TAGS_MAX).map(|number| number.to_string()).collect();
        let mut full: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
        check(&full, Tagged::TooMany);
        full[3] = (TAG, "users");
        assert!(matches!(tagged(tags(&full), "orders"), Tagged::With(tags) if tags.len() == TAGS_MAX));
    }
}
