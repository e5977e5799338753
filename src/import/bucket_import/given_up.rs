//! Files that are given up: a line in the log for each, and a place in the list of files also for objects
//! that could not be opened, which have no record.

use super::object_state::{ObjectState, Stage};
use super::report::Became;
use crate::import::file_id::key_of;
use crate::import::import_names::{NameError, NamedImport, named};
use crate::import::journal::Journal;
use crate::import::kept::KeptOf;
use crate::import::record::{ATTEMPTS_MAX, ImportRecord, ImportState};
use crate::import::run::{FileEnd, FileReport};
use crate::log::ImportProgress;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// How an object is kept that is given up. The text is looked for before the whole is read: most objects of a
/// bucket are done.
const POISON: &[u8] = b"\"stage\":\"poison\"";

/// Logs each file that has just been given up, with the reason.
pub(super) fn log(import: &str, ends: &[(Became, FileReport)]) {
    for (_, report) in ends.iter().filter(|(became, _)| *became == Became::Poison) {
        let why = match &report.end {
            FileEnd::Failed(error) => error.masked(),
            FileEnd::Refused(error) => error.masked(),
            _ => continue,
        };
        tracing::warn!(import, "{} is given up: {why}", report.name);
    }
}

/// Passes to `each` what the list of files shows of each object that was given up because it could not be
/// opened: of the import with this name, or of all. Waits for the disk, and reads the states of all objects.
/// Errors: [`NameError`]: the journal cannot be read.
pub(in crate::import) fn each_unopened(
    journal: &dyn Journal,
    name: Option<&str>,
    each: &mut dyn FnMut(ImportRecord),
) -> Result<(), NameError> {
    let names = match name {
        Some(name) => vec![name.to_owned()],
        None => journal.kept_by(KeptOf::Name)?,
    };
    for name in names {
        let Some(NamedImport { id, fixed: Some(fixed), .. }) = named(journal, &name)? else { continue };
        let Ok(source) = SourceId::new(&fixed.source) else { continue };
        ObjectState::each_from(journal, id, "", &mut |key, json| {
            if memchr::memmem::find(json, POISON).is_none() {
                return Ok(true);
            }
            let state = ObjectState::of_json(key, json)?;
            if state.stage != Stage::Poison || state.attempts < ATTEMPTS_MAX {
                return Ok(true);
            }
            let of_file = key_of(state.file, &source, Some(id));
            let none = || ImportRecord::of_progress(of_file, ImportProgress::default(), UnixMillis(0));
            // It has a record if it could be opened before.
            let record = journal.read(of_file)?.unwrap_or_else(none);
            each(ImportRecord {
                source: Some(source.clone()),
                import: Some(id),
                name: format!("s3://{}/{key}", fixed.bucket),
                bytes: Some(state.size),
                state: ImportState::Poison,
                attempts: state.attempts,
                error: state.error,
                ..record
            });
            Ok(true)
        })?;
    }
    Ok(())
}
