//! The room for rejected rows in a folder: what is beyond it is counted and not kept.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::lock::lock;

/// Bytes that the description of a file takes, about.
const DESCRIPTION_BYTES: u64 = 512;

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

    /// How many rows found no room so far.
    pub fn not_kept(&self) -> u64 {
        self.not_kept.load(Ordering::Relaxed)
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
        let room = RejectsRoom::new(folder, 600 + 100 + DESCRIPTION_BYTES);
        let taken = [(60, true), (60, true), (40, false), (1, false)]
            .map(|(bytes, first)| room.take(bytes, first).unwrap());
        assert_eq!((taken, room.not_kept()), ([true, false, true, false], 2));
    }
}
