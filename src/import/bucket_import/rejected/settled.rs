//! The records that say whether rejected rows of an object are still to be read again.

use crate::import::bucket_import::object_state::ObjectState;
use crate::import::file_id::key_of;
use crate::import::import_id::ImportId;
use crate::import::importer::Importer;
use crate::import::journal::{Journal, JournalError};
use crate::import::record::ImportRecord;
use crate::log::ImportKey;
use crate::sources::SourceId;

/// The records of the files of an object with this name, as far as they have begun. Waits for the disk, and reads
/// the whole journal if the object is an archive. Errors: [`JournalError`]: the journal cannot be read.
pub(in crate::import::bucket_import) fn records_of(
    journal: &dyn Journal,
    importer: &Importer,
    (id, source): (ImportId, &SourceId),
    name: &str,
    state: &ObjectState,
) -> Result<Vec<ImportRecord>, JournalError> {
    if !state.is_archive {
        return Ok(importer.recorded(key_of(state.file, source, Some(id)))?.into_iter().collect());
    }
    // The keys of its entries follow from their names, which only their records have.
    let (mut keys, entries) = (Vec::<ImportKey>::new(), format!("{name}!"));
    journal.each(&mut |record| {
        if let Some(entry) = record.name.strip_prefix(entries.as_str())
            && record.key == key_of(state.file.entry(entry), source, Some(id))
        {
            keys.push(record.key);
        }
    })?;
    let mut records = Vec::with_capacity(keys.len());
    for key in keys {
        records.extend(importer.recorded(key)?);
    }
    Ok(records)
}
