//! Finds files with rejected rows that are not settled.

use crate::import::bucket_import::object_state::ObjectState;
use crate::import::import_id::ImportId;
use crate::import::importer::Importer;
use crate::import::journal::{Journal, JournalError};
use crate::import::objects_in_use::ObjectInUse;
use crate::import::record::{ImportRecord, ImportState};
use crate::log::ImportKey;

/// A file with rejected rows that are not settled.
#[derive(Debug)]
pub(super) enum FoundFile {
    /// Its rows can be read again.
    Rejects(Box<FileWithRejects>),
    /// Its import has not reached the end. The name, and the key.
    NotDone(String, String),
    /// Another object has its key. The name, and the key.
    Replaced(String, String),
    /// Its object is gone. The name, and the key.
    Gone(String, String),
    /// It is being read. The name.
    InUse(String),
}

impl FoundFile {
    /// The name of the file, and the key of its object.
    pub(super) fn object(&self) -> Option<(&str, &str)> {
        match self {
            Self::Rejects(file) => Some((&file.record.name, &file.key)),
            Self::NotDone(name, key) | Self::Replaced(name, key) | Self::Gone(name, key) => Some((name, key)),
            Self::InUse(_) => None,
        }
    }
}

/// A file that is done.
#[derive(Debug)]
pub(super) struct FileWithRejects {
    /// The key of the object.
    pub(super) key: String,
    pub(super) state: ObjectState,
    pub(super) record: ImportRecord,
    /// No pass begins to read it as long as this is kept.
    pub(super) _in_use: ObjectInUse,
}

/// The files of an import with rejected rows that are not settled. Reads the whole journal.
/// Errors: [`JournalError`]: the journal cannot be read.
pub(in crate::import::bucket_import) fn with_rejects(
    journal: &dyn Journal,
    importer: &Importer,
    id: ImportId,
) -> Result<Vec<ImportKey>, JournalError> {
    // The log knows more of imports that are open, and nothing of those that the journal lacks.
    let logged = importer.logged_progress();
    let mut found = Vec::new();
    journal.each(&mut |mut record| {
        if record.import != Some(id) {
            return;
        }
        if let Some(progress) = logged.get(&record.key) {
            record.advance(*progress);
        }
        if record.unsettled_rejects() > 0 {
            found.push((record.first_seen, record.key));
        }
    })?;
    found.sort_unstable();
    Ok(found.into_iter().map(|(_, key)| key).collect())
}

/// The objects that a file with this name can be of: the key of each, and the entry if it is an archive. A key may contain
/// the character that stands between an archive and its entry.
pub(in crate::import::bucket_import) fn objects_named(
    name: &str,
) -> impl Iterator<Item = (&str, Option<&str>)> {
    let archives = name.match_indices('!').filter_map(|(at, _)| Some((name.get(..at)?, name.get(at + 1..))));
    std::iter::once((name, None)).chain(archives)
}

/// Looks at a file of an import, and takes its object. `place` is what names of its files begin with before
/// their keys. `None`: nothing of it is left to be settled, or it is not of an object. Waits for the disk.
/// Errors: [`JournalError`]: the journal cannot be read.
pub(super) fn found(
    journal: &dyn Journal,
    importer: &Importer,
    id: ImportId,
    (place, file): (&str, ImportKey),
) -> Result<Option<FoundFile>, JournalError> {
    let turn = importer.objects().turn();
    let Some(record) = importer.recorded(file)? else { return Ok(None) };
    if record.unsettled_rejects() == 0 {
        return Ok(None);
    }
    let name = record.name.clone();
    let Some(rest) = name.strip_prefix(place) else { return Ok(None) };
    let (mut key, mut of_key) = (None, None);
    for (object, entry) in objects_named(rest) {
        let Some(state) = ObjectState::read(journal, id, object)? else { continue };
        of_key.get_or_insert_with(|| object.to_owned());
        let file = entry.map_or(state.file, |entry| state.file.entry(entry));
        if record.file == Some(file) && state.is_archive == entry.is_some() {
            key = Some((object.to_owned(), state));
            break;
        }
    }
    let Some((key, state)) = key else { return Ok(of_key.map(|key| FoundFile::Replaced(name, key))) };
    match record.state {
        ImportState::Done => {}
        ImportState::Changed | ImportState::Replaced => return Ok(Some(FoundFile::Replaced(name, key))),
        ImportState::Gone => return Ok(Some(FoundFile::Gone(name, key))),
        ImportState::Reading | ImportState::Failed | ImportState::Poison => {
            return Ok(Some(FoundFile::NotDone(name, key)));
        }
    }
    Ok(Some(match turn.take(id, &key) {
        Some(in_use) => FoundFile::Rejects(Box::new(FileWithRejects { key, state, record, _in_use: in_use })),
        None => FoundFile::InUse(name),
    }))
}
