//! Reads a set of rejected rows, in the order of their numbers.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use crate::disk::own_files;
use crate::import::file_error::{FileError, FileFault};
use crate::import::reject::Reject;
use crate::import::rejects_file::RejectLines;
use crate::words::Told;

/// The rows of a set.
#[derive(Debug)]
pub(super) struct KeptRows {
    path: PathBuf,
    lines: RejectLines<File>,
    last: Option<u64>,
    /// The row after the last one that the file with the rows has.
    end: u64,
}

/// What a set has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SetContent {
    /// The number of rows.
    pub(super) rows: u64,
    /// A hash of their numbers.
    pub(super) hash: String,
}

impl KeptRows {
    /// Opens a set of rows before the row `end`; `None`: there is none. Waits for the disk.
    /// Errors: [`FileError`]: it cannot be read.
    pub(super) fn open(path: &Path, end: u64) -> Result<Option<Self>, FileError> {
        match own_files::open(path, OpenOptions::new().read(true)) {
            Ok(file) => {
                let lines = RejectLines::new(file);
                Ok(Some(Self { path: path.to_owned(), lines, last: None, end }))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(unread(path, &error)),
        }
    }

    /// The next row. Waits for the disk. Errors: [`FileError`]: the set cannot be read, or is damaged.
    pub(super) fn next(&mut self) -> Result<Option<Reject>, FileError> {
        let line = self.lines.next().map_err(|error| unread(&self.path, &error))?;
        let Some(line) = line else { return Ok(None) };
        let reject: Reject = serde_json::from_slice(line).map_err(|error| unread(&self.path, &error))?;
        if self.last.is_some_and(|last| reject.row <= last) || reject.row >= self.end {
            let what = format!("row {} is not one that was kept there, or stands twice", reject.row);
            return Err(unread(&self.path, &what));
        }
        self.last = Some(reject.row);
        Ok(Some(reject))
    }

    /// Reads all rows. Waits for the disk. Errors: as of [`KeptRows::next`].
    pub(super) fn content(mut self) -> Result<SetContent, FileError> {
        let (mut rows, mut hasher) = (0, blake3::Hasher::new());
        while let Some(reject) = self.next()? {
            rows += 1;
            hasher.update(&reject.row.to_be_bytes());
        }
        Ok(SetContent { rows, hash: hasher.finalize().to_hex().chars().take(32).collect() })
    }
}

fn unread(path: &Path, error: &dyn std::fmt::Display) -> FileError {
    let what = format!(
        "the rejected rows in {} cannot be read: {error}; put back what was written there, or import the file again",
        path.display()
    );
    FileError::new(FileFault::Local, "E-REJECTS", Told::plain(what))
}
