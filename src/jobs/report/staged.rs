//! A file of a report while it is written: its bytes go to the disk, and its sums are made on the way.

use std::io::{self, IoSlice};
use std::sync::Arc;

use md5::{Digest as _, Md5};
use sha1::Sha1;

use crate::disk::{Disk, DiskFile};

/// Bytes that are written at once.
const WRITE_BYTES: usize = 64 * 1_024;

/// The file.
pub(super) struct Staged {
    name: String,
    file: Arc<dyn DiskFile>,
    written: u64,
    buffer: Vec<u8>,
    sha1: Sha1,
    md5: Md5,
    rows: u64,
}

debug_fields!(Staged { name, written, rows });

/// What the file is once it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Sums {
    pub(super) name: String,
    pub(super) bytes: u64,
    pub(super) rows: u64,
    pub(super) sha1: String,
    pub(super) md5: [u8; 16],
}

impl Staged {
    /// Begins a file, in place of one that an earlier process began. Errors: the disk's error.
    pub(super) fn begin(disk: &dyn Disk, name: String) -> io::Result<Self> {
        let file = disk.create(&name)?;
        let (buffer, sha1, md5) = (Vec::with_capacity(WRITE_BYTES), Sha1::new(), Md5::new());
        Ok(Self { name, file, written: 0, buffer, sha1, md5, rows: 0 })
    }

    /// Rows so far.
    pub(super) fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds a row that `push` appends. Errors: the disk's error.
    pub(super) fn add(&mut self, push: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        push(&mut self.buffer);
        self.rows += 1;
        if self.buffer.len() < WRITE_BYTES { Ok(()) } else { self.write() }
    }

    fn write(&mut self) -> io::Result<()> {
        self.sha1.update(&self.buffer);
        self.md5.update(&self.buffer);
        self.file.write_at(&[IoSlice::new(&self.buffer)], self.written)?;
        self.written += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }

    /// Ends the file. It is not synced: after a crash the report is made again.
    /// Errors: the disk's error.
    pub(super) fn end(mut self) -> io::Result<Sums> {
        self.write()?;
        let (sha1, md5) = (hex::encode(self.sha1.finalize()), self.md5.finalize().into());
        Ok(Sums { name: self.name, bytes: self.written, rows: self.rows, sha1, md5 })
    }
}
