//! A part of a file, read from its beginning to its end.

use std::io::{self, Read};

use crate::import::reading::ReadingError;
use crate::import::reading::local::LocalFile;

/// A part of a file.
#[derive(Debug)]
pub(super) struct Section {
    pub(super) file: LocalFile,
    pub(super) at: u64,
    pub(super) end: u64,
}

impl Read for Section {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.end.saturating_sub(self.at)).unwrap_or(usize::MAX);
        let len = buf.len().min(left);
        let read = self.file.read_at(buf.get_mut(..len).unwrap_or_default(), self.at)?;
        if read == 0 && len > 0 {
            return Err(ReadingError::Changed.into());
        }
        self.at += read as u64;
        Ok(read)
    }
}
