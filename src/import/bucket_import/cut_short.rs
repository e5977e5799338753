//! Ends files before their last row: their object is gone, or another one has its key.

use super::object_state::ObjectState;
use super::rejected::settled::records_of;
use super::rules::Rules;
use crate::import::file_error::{FileError, FileFault};
use crate::import::importer::Importer;
use crate::import::journal::{Journal, JournalError};
use crate::import::record::{ImportRecord, ImportState};
use crate::log::ImportProgress;
use crate::time::UnixMillis;
use crate::words::{Told, counted};

/// Says in the records of an object's files that the rest of them is never read, and logs it if rows are stored. Returns
/// why. `ended`: the state of those that are not done, one of [`ImportState::is_cut_short`]. Waits for the disk.
/// Errors: [`JournalError`]: some say so, and others not; the same again goes on.
pub(super) fn cut_short(
    journal: &dyn Journal,
    importer: &Importer,
    rules: &Rules,
    (name, state): (&str, &ObjectState),
    ended: ImportState,
) -> Result<FileError, JournalError> {
    let records = records_of(journal, importer, (rules.id, &rules.source), name, state)?;
    let progress = records.iter().fold(ImportProgress::default(), |sum, record| sum.plus(record.progress));
    // What a file that began again had stored before stays, and is not counted here.
    let is_again = records.iter().any(|record| record.generation > 0);
    let error = why(ended, progress, is_again);
    let mut is_new = false;
    for record in records.iter().filter(|record| record.state != ImportState::Done) {
        importer.settle(record.key)?;
        let kept = rules.rejects.kept(rules.id, record);
        importer.change_record(record.key, |record| {
            end(record, ended, &error, rules.now);
            // A process that was killed has not told it.
            record.rejects_file = record.rejects_file.take().or(kept);
        })?;
        if record.state != ended {
            importer.count_cut_short(ended);
            is_new = true;
        }
    }
    if is_new && progress.next_row > 0 {
        tracing::warn!("{name}: {}", error.masked());
    }
    Ok(error)
}

fn end(record: &mut ImportRecord, ended: ImportState, error: &FileError, now: UnixMillis) {
    if record.state == ended {
        return;
    }
    (record.state, record.attempts) = (ended, 0);
    (record.error, record.ended_at) = (Some(error.into()), Some(now));
}

/// Why the rest of a file is never read. `progress`: how far it was read. `is_again`: rows of it were read before that,
/// too.
pub(super) fn why(ended: ImportState, progress: ImportProgress, is_again: bool) -> FileError {
    let (rows, calls) =
        (counted(progress.next_row, "row", "rows"), counted(progress.stored, "call", "calls"));
    let first = match progress.next_row {
        0 => "No row of it was read".to_owned(),
        _ if is_again => format!(
            "What was stored of it before it began again stays; {rows} of it were read again ({calls} stored)"
        ),
        _ => format!("{rows} of it were read ({calls} stored)"),
    };
    let (fault, code, what) = match ended {
        ImportState::Gone => (
            FileFault::Missing,
            "E-MISSING",
            format!("the object is gone. {first}, and the rest is not there"),
        ),
        ImportState::Replaced => {
            let what = format!(
                "it was replaced before its end. {first}; the new content is imported as another file"
            );
            (FileFault::Changed, "E-CHANGED", what)
        }
        _ => {
            let what = format!("it was replaced before its end. {first}; the new content is not imported");
            (FileFault::Changed, "E-CHANGED", what)
        }
    };
    FileError::new(fault, code, Told::plain(what))
}
