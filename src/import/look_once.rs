//! Which imports of buckets have something to look for: each looks once, and again after a note.

use std::collections::HashSet;
use std::sync::Mutex;

use super::import_id::ImportId;
use crate::lock::lock;

/// The imports that have looked, and of which nothing was noted since. When a process begins, none has.
#[derive(Debug, Default)]
pub(super) struct LookOnce(Mutex<HashSet<ImportId>>);

impl LookOnce {
    /// Notes that an import has to look again.
    pub(super) fn note(&self, import: ImportId) {
        lock(&self.0).remove(&import);
    }

    /// Whether an import has to look. Whoever asks looks now.
    pub(super) fn look(&self, import: ImportId) -> bool {
        lock(&self.0).insert(import)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_looked_at_once_and_after_each_note() {
        let (look_once, one, two) = (LookOnce::default(), ImportId::of_bits(1), ImportId::of_bits(2));
        assert_eq!([look_once.look(one), look_once.look(one), look_once.look(two)], [true, false, true]);
        look_once.note(one);
        assert_eq!([look_once.look(two), look_once.look(one)], [false, true]);
    }
}
