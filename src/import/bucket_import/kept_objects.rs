//! How many objects of an import the journal knows, for a person who asks while nothing works with it.

use super::object_state::{ObjectState, Stage};
use crate::import::import_names::{NameError, named};
use crate::import::journal::Journal;

/// Objects of an import, by how far they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeptObjects {
    /// Those that are imported.
    pub done: u64,
    /// Those that are not read before a person lets them begin again.
    pub given_up: u64,
    /// Those that have begun and go on.
    pub begun: u64,
}

impl KeptObjects {
    /// Those of the import with this name. Waits for the disk, and reads the states of all its objects.
    /// Errors: [`NameError`]: the journal cannot be read.
    pub fn of(journal: &dyn Journal, name: &str) -> Result<Self, NameError> {
        let mut kept = Self::default();
        let Some(import) = named(journal, name)? else { return Ok(kept) };
        ObjectState::each_from(journal, import.id, "", &mut |key, json| {
            let state = ObjectState::of_json(key, json)?;
            let count = match state.stage {
                // Nobody has to do anything.
                Stage::Gone if state.is_accepted => return Ok(true),
                Stage::Done => &mut kept.done,
                Stage::Poison | Stage::Changed | Stage::Gone => &mut kept.given_up,
                Stage::Open | Stage::Waiting => &mut kept.begun,
            };
            *count += 1;
            Ok(true)
        })?;
        Ok(kept)
    }
}
