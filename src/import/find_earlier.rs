//! Finds earlier versions of a file in the journal.

use super::file_id::{FileId, first_128_bits, key_of};
use super::journal::{Journal, JournalError};
use super::prefix::Prefix;
use super::record::{ImportRecord, ImportState};
use super::target::{Begin, Earlier, TargetError, unwritten};
use crate::log::ImportKey;
use crate::sources::SourceId;

/// What the journal knows of earlier versions of a file that has no record. `recorded` gives the record of an
/// import, with what the log knows of it. Waits for the disk.
pub(super) fn earlier(
    journal: &dyn Journal,
    begin: &Begin,
    source: &SourceId,
    recorded: &dyn Fn(ImportKey) -> Result<Option<ImportRecord>, JournalError>,
) -> Result<Option<Earlier>, JournalError> {
    let key = key_of(begin.file, source, begin.import);
    let place = match begin.place {
        Some(place) if !begin.force && journal.read(key)?.is_none() => place_key(place, source),
        _ => return Ok(None),
    };
    let read = |key: u128| journal.linked(key)?.map(recorded).transpose().map(Option::flatten);
    if let Some(file) = read(key.0)?.and_then(|record| record.file) {
        return Ok(Some(Earlier::Known { file }));
    }
    Ok(read(place)?.and_then(|record| unfinished(&record, begin)))
}

/// What a later version of the file has to know of an import that did not reach the end.
fn unfinished(record: &ImportRecord, begin: &Begin) -> Option<Earlier> {
    let rows = record.progress.next_row;
    if record.state == ImportState::Done || rows == 0 {
        return None;
    }
    let other_options = !begin.options.is(&record.options);
    let prefix = if other_options { None } else { stored_prefix(record, begin) };
    record.file.map(|file| Earlier::Unfinished { file, rows, prefix, other_options })
}

/// The prefix of an unfinished import, if it covers all rows that are stored, and no others.
fn stored_prefix(record: &ImportRecord, begin: &Begin) -> Option<Prefix> {
    let is_counted = !begin.by_content || record.counted == record.progress.next_row;
    let is_open = record.state != ImportState::Done;
    record.prefix.filter(|prefix| is_open && is_counted && prefix.rows == record.progress.next_row)
}

/// The keys to link with an import that begins: that of its place, and that of the version of the file that
/// continues it. Failures of the earlier version are forgotten. Waits for the disk.
/// Errors: [`TargetError`]: the version does not continue what `known` says.
pub(super) fn links(
    journal: &dyn Journal,
    known: Option<&mut ImportRecord>,
    begin: &Begin,
    (key, source): (ImportKey, &SourceId),
) -> Result<Vec<(u128, ImportKey)>, TargetError> {
    let mut links: Vec<_> = begin.place.map(|place| (place_key(place, source), key)).into_iter().collect();
    let Some(version) = &begin.version else { return Ok(links) };
    let version_key = key_of(version.file, source, begin.import);
    if journal.linked(version_key.0).map_err(unwritten)? != Some(key) {
        let continues =
            known.filter(|record| version.prefix.is_some() && stored_prefix(record, begin) == version.prefix);
        let Some(record) = continues else {
            let why = "another command imports an earlier version of this file: run this one again after it";
            return Err(TargetError::Refused(why.into()));
        };
        record.forget_failures();
        record.version = Some(version.file);
    }
    links.push((version_key.0, key));
    Ok(links)
}

/// The key in the journal of a place and a source.
fn place_key(place: FileId, source: &SourceId) -> u128 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(b"forebay place 1\0").update(&place.bytes()).update(source.as_str().as_bytes());
    u128::from_be_bytes(first_128_bits(&hasher))
}
