//! Writes the ids of acknowledged calls to a file, so that calls lost by a collector can be counted.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A file with one `messageId` per line.
#[derive(Debug)]
pub(crate) struct Acked(Mutex<BufWriter<File>>);

impl Acked {
    /// Creates the file, replacing an old one.
    ///
    /// # Errors
    /// If it cannot be created.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self(Mutex::new(BufWriter::new(File::create(path)?))))
    }

    pub(super) fn write<'i>(&self, ids: impl Iterator<Item = &'i [u8]>) -> io::Result<()> {
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for id in ids {
            file.write_all(id)?;
            file.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Writes all buffered ids to the file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub(super) fn finish(&self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}
