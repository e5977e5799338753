//! Finds the object of a bucket that an imported file is of: the file may be an entry of an archive.

use super::object_state::ObjectState;
use super::rejected::find::objects_named;
use crate::import::journal::{Journal, JournalError};
use crate::import::record::ImportRecord;

/// The key of the object that a file of a bucket is of; `None`: it is not known. Waits for the disk.
/// Errors: [`JournalError`]: the journal cannot be read.
pub(in crate::import) fn object_key_of(
    journal: &dyn Journal,
    record: &ImportRecord,
) -> Result<Option<String>, JournalError> {
    let place = record.name.strip_prefix("s3://").and_then(|name| name.split_once('/'));
    let Some((id, (_, name))) = record.import.zip(place) else { return Ok(None) };
    // An object that could not be opened has no entries, and may have no record.
    let Some(file) = record.file.filter(|_| name.contains('!')) else { return Ok(Some(name.to_owned())) };
    let mut known = Vec::new();
    for (object, entry) in objects_named(name) {
        let Some(state) = ObjectState::read(journal, id, object)? else { continue };
        if entry.map_or(state.file, |entry| state.file.entry(entry)) == file {
            return Ok(Some(object.to_owned()));
        }
        known.push(object.to_owned());
    }
    // The object was replaced since: it is the only one that the name can mean.
    Ok(known.pop().filter(|_| known.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::file_id::FileId;
    use crate::import::import_id::ImportId;
    use crate::import::journal::LocalJournal;
    use crate::log::{ImportKey, ImportProgress};
    use crate::time::UnixMillis;

    #[test]
    fn a_name_with_a_mark_is_that_of_an_object_or_of_an_entry() {
        let journal = LocalJournal::over(redb::backends::InMemoryBackend::new()).unwrap();
        let (id, file) =
            (ImportId::of_bits(7), |text: &str| FileId::of_bytes([u8::try_from(text.len()).unwrap(); 16]));
        for (key, is_archive) in [("in/a.zip", true), ("in/b!c.json", false), ("in/b", true)] {
            let mut state = ObjectState::open("e", 5, file(key));
            state.is_archive = is_archive;
            state.write(&journal, id, key).unwrap();
        }
        let check = |name: &str, file: Option<FileId>, expected: Option<&str>| {
            let none = ImportRecord::of_progress(ImportKey(1), ImportProgress::default(), UnixMillis(0));
            let record = ImportRecord { import: Some(id), file, name: name.to_owned(), ..none };
            assert_eq!(object_key_of(&journal, &record).unwrap().as_deref(), expected, "{name}");
        };
        check("s3://lake/in/x.json", Some(file("other")), Some("in/x.json"));
        check("s3://lake/in/a.zip!x!y", Some(file("in/a.zip").entry("x!y")), Some("in/a.zip"));
        check("s3://lake/in/b!c.json", Some(file("in/b!c.json")), Some("in/b!c.json"));
        check("s3://lake/in/b!c.json", Some(file("in/b").entry("c.json")), Some("in/b"));
        check("s3://lake/in/b!c.json", Some(file("before")), None);
        check("s3://lake/in/a.zip!x", Some(file("before")), Some("in/a.zip"));
        check("s3://lake/in/b!c.json", None, Some("in/b!c.json"));
        check("2 rejected rows of s3://lake/in/a.zip!x", None, None);
    }
}
