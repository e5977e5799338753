//! What keys begin with that are never imported.

use std::collections::BTreeSet;
use std::sync::{Arc, RwLock};

use crate::lock::{read, write};

/// What keys in a bucket begin with that are never imported. The part that a configuration names is shared: it can
/// grow while an import reads files, because another import may begin to move files there.
#[derive(Clone, Debug, Default)]
pub struct Never {
    configured: Arc<RwLock<Vec<String>>>,
    noted: Vec<String>,
}

impl Never {
    /// Adds what a configuration names, for each clone of this. Nothing is taken away: what was moved to a prefix is still
    /// there when the configuration no longer names it.
    pub fn learn(&self, configured: impl IntoIterator<Item = String>) {
        let mut known = write(&self.configured);
        for prefix in configured {
            if !known.contains(&prefix) {
                known.push(prefix);
            }
        }
    }

    /// What the configuration names.
    pub fn configured(&self) -> Vec<String> {
        read(&self.configured).clone()
    }

    /// Adds prefixes to this one alone.
    pub(super) fn extend(&mut self, noted: Vec<String>) {
        self.noted.extend(noted);
    }

    /// Whether a key begins with one of them.
    pub(super) fn has(&self, key: &str) -> bool {
        let begins = |prefix: &String| key.starts_with(prefix.as_str());
        self.noted.iter().any(begins) || read(&self.configured).iter().any(begins)
    }

    /// All of them, each once.
    pub(super) fn all(&self) -> BTreeSet<String> {
        self.noted.iter().cloned().chain(self.configured()).collect()
    }
}

impl From<Vec<String>> for Never {
    fn from(configured: Vec<String>) -> Self {
        Self { configured: Arc::new(RwLock::new(configured)), noted: Vec::new() }
    }
}

impl PartialEq for Never {
    fn eq(&self, other: &Self) -> bool {
        self.all() == other.all()
    }
}

impl Eq for Never {}
