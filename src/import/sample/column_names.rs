//! The names of the columns that rows have.

use std::collections::HashSet;

/// The most names that are kept.
const NAMES_MAX: usize = 10_000;

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
