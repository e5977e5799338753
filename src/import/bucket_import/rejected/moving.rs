//! Moves the rejected rows of files that are done into the store that they belong in. Until then, and as long as
//! the store refuses them, they are in the folder.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::find::{FileWithRejects, FoundFile, found};
use super::in_store::RejectsInStore;
use super::kept_rows::KeptRows;
use super::set::{Set, remove};
use crate::import::bucket_import::object_import::{ObjectImport, on_disk};
use crate::import::bucket_import::report::PassReport;
use crate::import::file_error::{FileError, FileFault};
use crate::import::file_id::{FileId, key_of};
use crate::import::journal::{Journal, JournalError};
use crate::import::rejects_room::{LINE_MAX, bytes_in};

/// The part of the room that must be free before a folder that was full no longer is: one of so many.
const FREE_PART: u64 = 10;

impl ObjectImport {
    /// Moves rejected rows to where they belong, and says whether there is room for more.
    pub(in crate::import::bucket_import) async fn look_after_rejects(&self, report: &mut PassReport) {
        report.rejects_not_moved = self.move_rejects().await;
        report.rejects_not_kept = self.room.take_not_kept();
        report.rejects_full = report.rejects_not_kept > 0 || self.lacks_room().await;
    }

    /// Whether the folder lacks room: a tenth of it if it was full, or room for one row if nobody knows, as after a
    /// start. A folder that is nearly full and never was takes rows.
    async fn lacks_room(&self) -> bool {
        let place = &self.import.rejects;
        let tenth = place.max_bytes / FREE_PART;
        let wanted = match place.was_full {
            Some(false) => return false,
            Some(true) => tenth,
            None => LINE_MAX.min(tenth),
        };
        let folder = place.of(self.id);
        let bytes = tokio::task::spawn_blocking(move || bytes_in(&folder)).await;
        // If the folder cannot be read, nothing is known to be better.
        let bytes = bytes.unwrap_or_else(|error| Err(error.into())).unwrap_or(u64::MAX);
        bytes > place.max_bytes - wanted
    }

    /// Moves the rejected rows of all files that are done. Returns why some of them stay in the folder, if that is
    /// so: the next pass tries again.
    async fn move_rejects(&self) -> Option<FileError> {
        let store = self.import.rejects.in_store.clone()?;
        let folder = self.import.rejects.of(self.id);
        let sets = tokio::task::spawn_blocking(move || sets_in(&folder)).await;
        let sets = match sets.unwrap_or_else(|error| Err(error.into())) {
            Ok(sets) => sets,
            Err(error) => return Some(FileError::new(FileFault::Local, "E-REJECTS", error.to_string())),
        };
        let mut first = None;
        for (path, file) in sets {
            if self.deps.stop.is_cancelled() {
                return None;
            }
            if let Err(error) = self.move_set(&store, &path, file).await {
                let is_of_store = error.fault != FileFault::Local;
                first.get_or_insert(error);
                // The others of the same store would meet the same.
                if is_of_store {
                    break;
                }
            }
        }
        first
    }

    async fn move_set(&self, store: &RejectsInStore, path: &Path, file: FileId) -> Result<(), FileError> {
        let unrecorded =
            |error: JournalError| FileError::new(FileFault::Local, "E-IMPORT-JOURNAL", error.to_string());
        let (importer, id, place) = (Arc::clone(&self.deps.importer), self.id, self.name_of(""));
        let key = key_of(file, &self.import.source, Some(id));
        let find = move |journal: &dyn Journal| found(journal, &importer, id, (&place, key));
        let found = on_disk(&self.deps.journal, find).await.map_err(unrecorded)?;
        let Some(FoundFile::Rejects(file)) = found else { return Ok(()) };
        let FileWithRejects { record, .. } = &*file;
        let Some(file) = record.file else { return Ok(()) };
        let set = Set { file, generation: record.generation, rounds: record.retries.rounds };
        if self.import.rejects.file(id, set) != path {
            return Ok(());
        }
        // Rows that are there already came back for a round.
        let firsts = if record.retries.in_store.is_empty() {
            let Some(rows) = KeptRows::open(path, record.progress.next_row)? else { return Ok(()) };
            store.put(id, set, rows).await?
        } else {
            record.retries.in_store.clone()
        };
        let (importer, path) = (Arc::clone(&self.deps.importer), path.to_owned());
        let moved = move |_: &dyn Journal| {
            importer.change_record(key, |record| {
                record.retries.in_store = firsts;
                record.rejects_file = None;
            })?;
            remove(&path);
            Ok(())
        };
        on_disk(&self.deps.journal, moved).await.map_err(unrecorded)
    }
}

/// The sets in a folder. Waits for the disk.
pub(super) fn sets_in(folder: &Path) -> std::io::Result<Vec<(PathBuf, FileId)>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut sets = Vec::new();
    for entry in entries {
        let path = entry?.path();
        sets.extend(Set::named(&path).map(|file| (path, file)));
    }
    Ok(sets)
}
