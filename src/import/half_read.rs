//! Which imports of buckets may have files that are not done: only they look whether these are still there.

use std::collections::HashSet;
use std::sync::Mutex;

use super::import_id::ImportId;
use crate::lock::lock;

/// The imports that surely have none. When a process begins, nothing is sure.
#[derive(Debug, Default)]
pub(super) struct HalfRead(Mutex<HashSet<ImportId>>);

impl HalfRead {
    /// Notes that an import may have some.
    pub(super) fn note(&self, import: ImportId) {
        lock(&self.0).remove(&import);
    }

    /// Whether an import may have some. Whoever asks looks now, so later it has none but those that are noted since.
    pub(super) fn look(&self, import: ImportId) -> bool {
        lock(&self.0).insert(import)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_looked_at_once_and_after_each_note() {
        let (half_read, one, two) = (HalfRead::default(), ImportId::of_bits(1), ImportId::of_bits(2));
        assert_eq!([half_read.look(one), half_read.look(one), half_read.look(two)], [true, false, true]);
        half_read.note(one);
        assert_eq!([half_read.look(two), half_read.look(one)], [false, true]);
    }
}
