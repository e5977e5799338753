//! The names of the columns that rows have.

use std::collections::HashSet;
use std::sync::Mutex;

use crate::convert::Columns;
use crate::json::{Member, unescape};
use crate::lock::lock;

/// The most names that are kept.
const NAMES_MAX: usize = 10_000;
/// The most bytes of a name that [`ColumnsMet`] keeps.
const NAME_BYTES_MAX: usize = 100;
/// The most brackets of a row that may be open at once: the scanner of rows has checked it before.
const DEPTH_MAX: usize = 128;

/// Names, in the order in which they were met first.
#[derive(Clone, Debug, Default)]
pub(super) struct ColumnNames {
    names: Vec<String>,
    known: HashSet<String>,
}

impl ColumnNames {
    pub(super) fn add(&mut self, name: &str) {
        if !self.known.contains(name) && self.names.len() < NAMES_MAX {
            self.names.push(name.to_owned());
            self.known.insert(name.to_owned());
        }
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.known.contains(name)
    }

    /// Whether names may be missing.
    pub(super) fn is_full(&self) -> bool {
        self.names.len() >= NAMES_MAX
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &str> {
        self.names.iter().map(String::as_str)
    }
}

/// The names of an object's members, in order. Nothing for what is no object.
pub(super) fn names_of(object: &str) -> Vec<String> {
    let members = Member::all_of(object.as_bytes(), DEPTH_MAX).unwrap_or_default();
    let name =
        |member: &Member| String::from_utf8_lossy(&unescape(member.name, object.as_bytes())).into_owned();
    members.iter().filter(|member| !member.shadowed).map(name).collect()
}

/// The names of the columns that the files of an import have: all of tables, and those of the first rows of
/// JSON lines.
#[derive(Debug, Default)]
pub struct ColumnsMet(Mutex<ColumnNames>);

impl ColumnsMet {
    /// Notes columns. Members of JSON whose names look like values are no columns: they may be personal data.
    pub(super) fn note<'n>(&self, names: impl Iterator<Item = &'n str>) {
        let mut met = lock(&self.0);
        names.filter(|name| looks_like_name(name)).for_each(|name| met.add(name));
    }

    /// How many of them a converter does not read, and the first `most` of these, in the order in which they
    /// were met.
    pub fn unused(&self, read: &Columns, most: usize) -> (u64, Vec<String>) {
        let met = lock(&self.0);
        let unused = || met.iter().filter(|name| read.slot(name.as_bytes()).is_none());
        (unused().count() as u64, unused().take(most).map(str::to_owned).collect())
    }
}

fn looks_like_name(text: &str) -> bool {
    let is_of_name =
        |one: char| one.is_alphanumeric() || matches!(one, '_' | '-' | '.' | '$' | ' ' | ':' | '/');
    let begins = text.chars().next().is_some_and(|first| first.is_alphabetic() || matches!(first, '_' | '$'));
    begins && text.len() <= NAME_BYTES_MAX && text.chars().all(is_of_name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_members_are_found() {
        assert_eq!(names_of(r#"{"a":1,"\u0062":2,"a":3}"#), ["b", "a"]);
        assert_eq!(names_of("[1]"), Vec::<String>::new());
    }

    #[test]
    fn columns_that_a_converter_does_not_read_are_known_and_values_are_no_columns() {
        let met = ColumnsMet::default();
        met.note(["user", "Straße", "a@example.com", "4711", "plan name", "user"].into_iter());
        let unused = |read: &[&str], most| met.unused(&read.iter().copied().collect(), most);
        let both = vec!["Straße".to_owned(), "plan name".to_owned()];
        assert_eq!(unused(&["user", "other"], 9), (2, both.clone()));
        assert_eq!(unused(&["user", "other"], 1), (2, both[..1].to_vec()));
        assert_eq!(unused(&["user", "Straße", "plan name"], 9), (0, Vec::new()));
    }
}
