//! What the import of an object depends on, beside its version.

use super::rejected::place::RejectsPlace;
use super::settings::OnChange;
use crate::import::import_id::ImportId;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// What the import of an object depends on, beside its version.
#[derive(Clone, Debug)]
pub(super) struct Rules {
    pub(super) id: ImportId,
    pub(super) source: SourceId,
    pub(super) on_change: OnChange,
    /// A hash of all options.
    pub(super) options: String,
    /// Whether files that are done are imported again.
    pub(super) again: bool,
    /// What names of the import's objects begin with, before their keys.
    pub(super) place: String,
    /// Where rejected rows are kept.
    pub(super) rejects: RejectsPlace,
    pub(super) now: UnixMillis,
}

impl Rules {
    /// The name of an object, for people.
    pub(super) fn name_of(&self, key: &str) -> String {
        format!("{}{key}", self.place)
    }
}
