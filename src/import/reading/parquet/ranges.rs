//! Where the bytes of a parquet file come from.

use std::fmt;
use std::io;

use bytes::Bytes;

use crate::import::reading::ReadingError;
use crate::import::reading::local::LocalFile;
use crate::import::reading::ranged::Ranged;

/// One file, or one version of an object, that is read in ranges. Reading blocks.
pub trait Ranges: fmt::Debug + Send + Sync {
    /// Its size in bytes.
    fn size(&self) -> u64;

    /// Reads exactly these bytes. Errors: they cannot be read.
    fn read(&self, from: u64, len: usize) -> io::Result<Bytes>;

    /// Reads several ranges, at once if that is faster. Errors: one of them cannot be read.
    fn read_all(&self, wanted: &[(u64, usize)]) -> io::Result<Vec<Bytes>> {
        wanted.iter().map(|(from, len)| self.read(*from, *len)).collect()
    }

    /// How many bytes of a column are read at once; at least 1.
    fn piece_bytes(&self) -> usize {
        1024 * 1024
    }
}

#[cfg(test)]
impl Ranges for Bytes {
    fn size(&self) -> u64 {
        self.len() as u64
    }

    fn read(&self, from: u64, len: usize) -> io::Result<Bytes> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        let range = from..from.saturating_add(len);
        match self.get(range.clone()) {
            Some(_) => Ok(self.slice(range)),
            None => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }
}

/// Bytes of the file are wanted that it does not have.
fn checked_len(from: u64, len: usize, size: u64) -> io::Result<u64> {
    let len = len as u64;
    match from.checked_add(len) {
        Some(to) if to <= size => Ok(len),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

impl Ranges for LocalFile {
    fn size(&self) -> u64 {
        LocalFile::size(self)
    }

    /// Errors: also if the file changed since it was opened.
    fn read(&self, from: u64, len: usize) -> io::Result<Bytes> {
        checked_len(from, len, LocalFile::size(self))?;
        let mut bytes = vec![0; len];
        self.read_exact_at(&mut bytes, from)?;
        self.check_unchanged()?;
        Ok(bytes.into())
    }
}

impl Ranges for Ranged {
    fn size(&self) -> u64 {
        self.object().len
    }

    /// Errors carry a [`ReadingError`].
    fn read(&self, from: u64, len: usize) -> io::Result<Bytes> {
        let mut read = self.read_all(&[(from, len)])?;
        read.pop().ok_or_else(|| ReadingError::Changed.into())
    }

    fn read_all(&self, wanted: &[(u64, usize)]) -> io::Result<Vec<Bytes>> {
        let size = self.object().len;
        let wanted: io::Result<Vec<(u64, u64)>> =
            wanted.iter().map(|(from, len)| Ok((*from, checked_len(*from, *len, size)?))).collect();
        self.ranges(&wanted?).map_err(io::Error::from)
    }

    fn piece_bytes(&self) -> usize {
        usize::try_from(self.settings().range_bytes).unwrap_or(usize::MAX)
    }
}
