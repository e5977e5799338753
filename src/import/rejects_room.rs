//! The room for rejected rows in a folder: what is beyond it is counted and not kept.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use super::import_id::ImportId;
use super::reject::RAW_MAX;
use crate::lock::lock;

/// Bytes that the description of a file takes, about.
const DESCRIPTION_BYTES: u64 = 512;
/// Bytes that the line of a row takes at most, about: its text, the reason, and the description of its file.
pub(super) const LINE_MAX: u64 = RAW_MAX as u64 + 4 * DESCRIPTION_BYTES;

/// The rooms of all imports, whoever finds their files: a pass, or notifications.
#[derive(Debug, Default)]
pub(super) struct RejectsRooms(Mutex<HashMap<ImportId, Arc<RejectsRoom>>>);

impl RejectsRooms {
    /// The room of an import. Another folder or bound is another room.
    pub(super) fn of(&self, import: ImportId, folder: PathBuf, max: u64) -> Arc<RejectsRoom> {
        let mut rooms = lock(&self.0);
        let known = rooms.get(&import).filter(|room| room.folder == folder && room.max == max);
        let room = known.map_or_else(|| Arc::new(RejectsRoom::new(folder, max)), Arc::clone);
        rooms.insert(import, Arc::clone(&room));
        room
    }
}

/// The room that an import has for rejected rows. The folder is measured when the first of them comes.
#[derive(Debug)]
pub struct RejectsRoom {
    folder: PathBuf,
    max: u64,
    used: Mutex<Option<u64>>,
    not_kept: AtomicU64,
}

impl RejectsRoom {
    /// At most so many bytes in a folder.
    pub fn new(folder: PathBuf, max: u64) -> Self {
        Self { folder, max, used: Mutex::default(), not_kept: AtomicU64::new(0) }
    }

    /// How many rows found no room since the last time.
    pub fn take_not_kept(&self) -> u64 {
        self.not_kept.swap(0, Ordering::Relaxed)
    }

    /// Measures the folder again when the next row comes: files may have been removed.
    pub fn measure_again(&self) {
        *lock(&self.used) = None;
    }

    /// Takes room for the line of a row, and for a new file if it is the first one. Without room the row is
    /// counted. Waits for the disk. Errors: the folder cannot be read.
    pub(super) fn take(&self, line_bytes: usize, is_first: bool) -> io::Result<bool> {
        let mut used = lock(&self.used);
        let before = match *used {
            Some(used) => used,
            None => bytes_in(&self.folder)?,
        };
        let more = line_bytes as u64 + if is_first { DESCRIPTION_BYTES } else { 0 };
        let after = before.saturating_add(more);
        let has_room = after <= self.max;
        *used = Some(if has_room { after } else { before });
        if !has_room {
            self.not_kept.fetch_add(1, Ordering::Relaxed);
        }
        Ok(has_room)
    }
}

/// The bytes of the files in a folder; none if there is no folder. Waits for the disk.
/// Errors: the folder cannot be read.
pub fn bytes_in(folder: &Path) -> io::Result<u64> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error),
    };
    let mut bytes: u64 = 0;
    for entry in entries {
        match entry?.metadata() {
            Ok(about) if about.is_file() => bytes = bytes.saturating_add(about.len()),
            Ok(_) => {}
            // Another import of the process has just ended with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_in_the_folder_counts_and_rows_without_room_are_counted() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("rejects");
        assert_eq!(bytes_in(&folder).unwrap(), 0);
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("a.ndjson"), [b'x'; 600]).unwrap();
        let room = RejectsRoom::new(folder.clone(), 600 + 100 + DESCRIPTION_BYTES);
        let taken = [(60, true), (60, true), (40, false), (1, false)]
            .map(|(bytes, first)| room.take(bytes, first).unwrap());
        assert_eq!((taken, room.take_not_kept()), ([true, false, true, false], 2));
        fs::remove_file(folder.join("a.ndjson")).unwrap();
        room.measure_again();
        assert_eq!((room.take(60, true).unwrap(), room.take_not_kept()), (true, 0));
    }

    #[test]
    fn who_finds_files_of_one_import_has_one_room() {
        let (rooms, one) = (RejectsRooms::default(), ImportId::of_bits(1));
        let room = rooms.of(one, PathBuf::from("a"), 5);
        assert!(Arc::ptr_eq(&room, &rooms.of(one, PathBuf::from("a"), 5)));
        assert!(!Arc::ptr_eq(&room, &rooms.of(ImportId::of_bits(2), PathBuf::from("a"), 5)));
        assert!(!Arc::ptr_eq(&room, &rooms.of(one, PathBuf::from("a"), 6)));
    }
}
