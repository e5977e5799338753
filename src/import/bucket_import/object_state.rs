//! What the journal keeps of an object that an import has begun: which version, and how far it is.
//!
//! It is kept by the id of the import and the key in the bucket, as a JSON object. The records of the object's
//! files have the progress; this shows that a key came back with another version.

use crate::import::file_id::FileId;
use crate::import::import_id::ImportId;
use crate::import::journal::{Change, Journal, JournalError};
use crate::import::kept::{KeptOf, KeptValue};

/// The version of the written form.
const VERSION: u32 = 1;

/// How far the import of an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Stage {
    /// It has begun; its result is not recorded.
    Open,
    /// It did not reach the end, and will go on. Of an archive, it is known whether calls are stored.
    Waiting,
    /// Each of its files is imported.
    Done,
    /// It is given up with the options of `given_up_with`.
    Poison,
}

/// What is kept of an object.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ObjectState {
    version: u32,
    /// The object's entity tag, without quotes.
    etag: String,
    /// The object's length in bytes.
    pub(super) size: u64,
    /// The id of the object.
    pub(super) file: FileId,
    pub(super) stage: Stage,
    /// Whether it is an archive. Each entry then has a record of its own.
    pub(super) is_archive: bool,
    /// Whether calls of it are stored, as far as that is known.
    pub(super) has_calls: bool,
    /// How often the object could not be opened.
    #[serde(default)]
    pub(super) attempts: u32,
    /// A hash of the options with which the object was given up.
    #[serde(default)]
    pub(super) given_up_with: String,
}

/// What an object is to the version that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It goes on, or begins.
    Wanted,
    /// It is imported.
    Done,
    /// It is given up, and nothing has changed since.
    Poison,
    /// The journal has another version of the key, and calls of that version are stored.
    Changed,
    /// The journal has another version of the key. Its record shows whether calls of that version are stored.
    Unsure,
}

impl ObjectState {
    /// The state of an object whose import begins.
    pub(super) fn open(etag: &str, size: u64, file: FileId) -> Self {
        Self {
            version: VERSION,
            etag: bare(etag).to_owned(),
            size,
            file,
            stage: Stage::Open,
            is_archive: false,
            has_calls: false,
            attempts: 0,
            given_up_with: String::new(),
        }
    }

    /// Whether this is the state of the version with this tag and length.
    pub(super) fn is_of(&self, etag: &str, size: u64) -> bool {
        self.etag == bare(etag) && self.size == size
    }

    /// What an object with this tag and length is, to an import with these options.
    pub(super) fn standing(&self, etag: &str, size: u64, options: &str) -> Standing {
        match (self.is_of(etag, size), self.stage) {
            (true, Stage::Done) => Standing::Done,
            (true, Stage::Poison) if self.given_up_with == options => Standing::Poison,
            (true, _) => Standing::Wanted,
            (false, Stage::Done) => Standing::Changed,
            (false, _) if self.has_calls => Standing::Changed,
            // The results of its files were not recorded. Each file has a record, and there may be many.
            (false, Stage::Open) if self.is_archive => Standing::Changed,
            // That none of its files has a call was seen before it was noted.
            (false, _) if self.is_archive => Standing::Wanted,
            (false, _) => Standing::Unsure,
        }
    }

    /// The state of the object with this key, if its import has begun. Waits for the disk.
    /// Errors: [`JournalError`]: the journal cannot be read, or keeps something else.
    pub(super) fn read(
        journal: &dyn Journal,
        import: ImportId,
        key: &str,
    ) -> Result<Option<Self>, JournalError> {
        let Some(json) = journal.kept(KeptOf::Object, &by(import, key))? else { return Ok(None) };
        let unreadable = |what: &dyn std::fmt::Display| {
            JournalError::of(format!("what it keeps of the object {key} cannot be read: {what}"))
        };
        let state: Self = serde_json::from_slice(&json).map_err(|error| unreadable(&error))?;
        match state.version {
            VERSION => Ok(Some(state)),
            other => Err(unreadable(&format!("it has version {other}, and this release knows {VERSION}"))),
        }
    }

    /// Keeps the state of the object with this key. Waits for the disk.
    /// Errors: [`JournalError`]: nothing has changed.
    pub(super) fn write(
        &self,
        journal: &dyn Journal,
        import: ImportId,
        key: &str,
    ) -> Result<(), JournalError> {
        let value = KeptValue::json(KeptOf::Object, by(import, key), self).map_err(JournalError::of)?;
        journal.change(Change { kept: &[value], ..Change::default() })
    }
}

/// The text by which the state is found. Of one import, the order is that of a listing.
fn by(import: ImportId, key: &str) -> String {
    format!("{import}/{key}")
}

/// A tag without its quotes, which not every answer has.
pub(super) fn bare(etag: &str) -> &str {
    etag.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::journal::LocalJournal;

    fn state(stage: Stage) -> ObjectState {
        let file = "unw446h7bvkguk7rnc2jjbggs4".parse().unwrap();
        ObjectState { stage, ..ObjectState::open("\"a\"", 5, file) }
    }

    #[test]
    fn a_version_that_is_met_later_counts_only_if_nothing_is_stored() {
        let check = |state: ObjectState, same: Standing, other: Standing| {
            assert_eq!(state.standing("a", 5, "o"), same, "{state:?}");
            assert_eq!(state.standing("\"b\"", 5, "o"), other, "{state:?}");
            assert_eq!(state.standing("\"a\"", 6, "o"), other, "{state:?}");
        };
        check(state(Stage::Done), Standing::Done, Standing::Changed);
        check(state(Stage::Open), Standing::Wanted, Standing::Unsure);
        check(state(Stage::Waiting), Standing::Wanted, Standing::Unsure);
        check(state(Stage::Poison), Standing::Wanted, Standing::Unsure);
        let given_up = ObjectState { given_up_with: "o".to_owned(), ..state(Stage::Poison) };
        check(given_up, Standing::Poison, Standing::Unsure);
        for stage in [Stage::Open, Stage::Waiting] {
            let stored = ObjectState { has_calls: true, ..state(stage) };
            check(stored, Standing::Wanted, Standing::Changed);
        }
        let archive = |stage| ObjectState { is_archive: true, ..state(stage) };
        check(archive(Stage::Open), Standing::Wanted, Standing::Changed);
        check(archive(Stage::Waiting), Standing::Wanted, Standing::Wanted);
        check(archive(Stage::Poison), Standing::Wanted, Standing::Wanted);
    }

    #[test]
    fn a_state_is_kept_for_its_import_and_key() {
        let journal = LocalJournal::over(redb::backends::InMemoryBackend::new()).unwrap();
        let (one, two) = (ImportId::of_bits(1), ImportId::of_bits(2));
        let done = state(Stage::Done);
        assert_eq!(ObjectState::read(&journal, one, "a").unwrap(), None);
        done.write(&journal, one, "a").unwrap();
        assert_eq!(ObjectState::read(&journal, one, "a").unwrap(), Some(done));
        assert_eq!(ObjectState::read(&journal, one, "b").unwrap(), None);
        assert_eq!(ObjectState::read(&journal, two, "a").unwrap(), None);
        let value = KeptValue { kind: KeptOf::Object, by: by(one, "a"), value: Some(b"{}".to_vec()) };
        journal.change(Change { kept: &[value], ..Change::default() }).unwrap();
        assert!(ObjectState::read(&journal, one, "a").is_err(), "damage is no new object");
    }
}
