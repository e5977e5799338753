//! The ids of what was acknowledged, in a file, so that what a collector loses can be counted.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

/// A file with one `messageId` a line.
#[derive(Debug)]
pub(crate) struct Acked(Mutex<BufWriter<File>>);

impl Acked {
    /// A new file, in place of an old one.
    ///
    /// # Errors
    /// Where it cannot be created.
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

    /// Hands everything to the system.
    ///
    /// # Errors
    /// Where the file cannot be written.
    pub(super) fn finish(&self) -> io::Result<()> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).flush()
    }
}
