//! What the journal of this instance knows of claims, so that a pass need not ask for each.
//!
//! A note is kept by the import's id and the claim's name, as a JSON object.

use super::form::{Checked as _, Claim, ClaimState, claim_name};
use crate::import::import_id::ImportId;
use crate::import::import_names::{NameError, named};
use crate::import::journal::{Change, Journal, JournalError};
use crate::import::kept::{KeptOf, KeptValue};
use crate::import::shared_progress::Tag;
use crate::time::UnixMillis;

/// The version of the written form.
const VERSION: u32 = 1;

/// What is known of a claim.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Note {
    pub(super) version: u32,
    /// The version of the claim that was read or written last.
    pub(super) tag: String,
    /// When it was written, as the store says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) since: Option<UnixMillis>,
    pub(super) found: Found,
}

/// What was found of a claim.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Found {
    /// It belongs to an instance.
    Claim(Owned),
    /// It cannot be read, for this reason.
    Damaged(String),
    /// It was there, and belonged to this instance; now it is gone.
    Missing(Owned),
}

/// Whose a file is.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Owned {
    pub(super) key: String,
    pub(super) instance: String,
    pub(super) etag: String,
    pub(super) size: u64,
    pub(super) state: ClaimState,
    pub(super) revision: u64,
}

/// A file that another instance has claimed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimedFile {
    /// The file's key.
    pub key: String,
    /// Its length in bytes, as the instance met it.
    pub size: u64,
    /// Whose it is: the id of a spool.
    pub instance: String,
    /// When the claim was written, as the store says.
    pub since: Option<UnixMillis>,
    /// Whether all of its rows are in the bucket.
    pub is_delivered: bool,
}

impl Note {
    /// What the bytes of a claim with this name say.
    pub(super) fn of_bytes(bytes: &[u8], tag: &Tag, since: Option<UnixMillis>, of: (ImportId, &str)) -> Self {
        let (import, name) = of;
        let found = match Claim::read(bytes) {
            Ok(claim) if claim.import != import || claim_name(&claim.key) != name => {
                Found::Damaged("it is the claim of another file".to_owned())
            }
            Ok(claim) => Found::Claim(Owned::of(&claim)),
            Err(what) => Found::Damaged(what),
        };
        Self { version: VERSION, tag: tag.0.clone(), since, found }
    }

    /// What a claim that was just written says.
    pub(super) fn of_claim(claim: &Claim, tag: &Tag) -> Self {
        Self { version: VERSION, tag: tag.0.clone(), since: None, found: Found::Claim(Owned::of(claim)) }
    }

    /// The same claim, which is gone.
    pub(super) fn missing(self) -> Self {
        let found = match self.found {
            Found::Claim(owned) => Found::Missing(owned),
            other => other,
        };
        Self { found, ..self }
    }

    /// The version of it that a write replaces.
    pub(super) fn tag(&self) -> Tag {
        Tag(self.tag.clone())
    }

    /// What is kept of the claim with this name. Waits for the disk.
    /// Errors: [`JournalError`]: the journal cannot be read, or keeps something else.
    pub(super) fn read(
        journal: &dyn Journal,
        import: ImportId,
        name: &str,
    ) -> Result<Option<Self>, JournalError> {
        let Some(json) = journal.kept(KeptOf::Claim, &by(import, name))? else { return Ok(None) };
        Self::of_json(name, &json).map(Some)
    }

    fn of_json(name: &str, json: &[u8]) -> Result<Self, JournalError> {
        let unreadable = |what: &dyn std::fmt::Display| {
            JournalError::of(format!("what it keeps of the claim {name} cannot be read: {what}"))
        };
        let note: Self = serde_json::from_slice(json).map_err(|error| unreadable(&error))?;
        if note.version != VERSION {
            let what = format!("it has version {}, and this release knows {VERSION}", note.version);
            return Err(unreadable(&what));
        }
        Ok(note)
    }

    /// Keeps notes by their names, or removes them, all at once. Waits for the disk.
    /// Errors: [`JournalError`]: nothing has changed.
    pub(super) fn write(
        journal: &dyn Journal,
        import: ImportId,
        notes: &[(String, Option<Self>)],
    ) -> Result<(), JournalError> {
        if notes.is_empty() {
            return Ok(());
        }
        let mut kept = Vec::with_capacity(notes.len());
        for (name, note) in notes {
            let by = by(import, name);
            kept.push(match note {
                Some(note) => KeptValue::json(KeptOf::Claim, by, note).map_err(JournalError::of)?,
                None => KeptValue { kind: KeptOf::Claim, by, value: None },
            });
        }
        journal.change(Change { kept: &kept, ..Change::default() })
    }

    /// Passes the notes of an import to `each` in the order of their names, from `from` on, until it returns
    /// false. Waits for the disk. Errors: [`JournalError`]: the journal cannot be read, or keeps something
    /// else.
    pub(super) fn each_from(
        journal: &dyn Journal,
        import: ImportId,
        from: &str,
        each: &mut dyn FnMut(&str, Self) -> bool,
    ) -> Result<(), JournalError> {
        let (of_import, mut failed) = (by(import, ""), None);
        journal.kept_from(KeptOf::Claim, &by(import, from), &mut |by, json| {
            let Some(name) = by.strip_prefix(of_import.as_str()) else { return false };
            match Self::of_json(name, json) {
                Ok(note) => each(name, note),
                Err(error) => {
                    failed = Some(error);
                    false
                }
            }
        })?;
        failed.map_or(Ok(()), Err)
    }
}

impl Owned {
    fn of(claim: &Claim) -> Self {
        Self {
            key: claim.key.clone(),
            instance: claim.instance.clone(),
            etag: claim.etag.clone(),
            size: claim.size,
            state: claim.state,
            revision: claim.revision,
        }
    }
}

fn by(import: ImportId, name: &str) -> String {
    format!("{import}/{name}")
}

/// The instance that has claimed a file, if it is not `instance`. Waits for the disk.
/// Errors: [`JournalError`]: the journal cannot be read.
pub fn elsewhere(
    journal: &dyn Journal,
    import: ImportId,
    key: &str,
    instance: &str,
) -> Result<Option<String>, JournalError> {
    let note = Note::read(journal, import, &claim_name(key))?;
    Ok(note.and_then(|note| match note.found {
        Found::Claim(owned) if owned.instance != instance && owned.state != ClaimState::Released => {
            Some(owned.instance)
        }
        _ => None,
    }))
}

/// The files of the import with this name that others than `instance` have claimed, at most so many, and how
/// many there are. Waits for the disk. Errors: [`NameError`]: the journal cannot be read.
pub fn claimed_files(
    journal: &dyn Journal,
    name: &str,
    instance: &str,
    most: usize,
) -> Result<(Vec<ClaimedFile>, u64), NameError> {
    let Some(import) = named(journal, name)? else { return Ok((Vec::new(), 0)) };
    let (mut files, mut total) = (Vec::new(), 0);
    Note::each_from(journal, import.id, "", &mut |_, note| {
        if let Found::Claim(Owned { key, instance: of, size, state, .. }) = note.found
            && of != instance
            && state != ClaimState::Released
        {
            total += 1;
            if files.len() < most {
                let is_delivered = state == ClaimState::Delivered;
                files.push(ClaimedFile { key, size, instance: of, since: note.since, is_delivered });
            }
        }
        true
    })?;
    Ok((files, total))
}
