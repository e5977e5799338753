//! A disk that asks before a change, which then waits or fails.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

use forebay::disk::{Disk, DiskFile};

/// A change of a disk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Change<'c> {
    Write,
    /// Of the file with this name.
    Sync(&'c str),
    SyncDir,
    Remove(&'c str),
}

type Before = dyn Fn(Change<'_>) -> io::Result<()> + Send + Sync;

struct HookedDisk {
    disk: Arc<dyn Disk>,
    before: Arc<Before>,
}

struct HookedFile {
    name: String,
    file: Arc<dyn DiskFile>,
    before: Arc<Before>,
}

/// This disk. It calls `before` with each change. What that returns as an error is that of the change, which is
/// not made.
pub(crate) fn hooked_disk(
    disk: Arc<dyn Disk>,
    before: impl Fn(Change<'_>) -> io::Result<()> + Send + Sync + 'static,
) -> Arc<dyn Disk> {
    Arc::new(HookedDisk { disk, before: Arc::new(before) })
}

impl HookedDisk {
    fn file(&self, name: &str, file: Arc<dyn DiskFile>) -> Arc<dyn DiskFile> {
        Arc::new(HookedFile { name: name.to_owned(), file, before: Arc::clone(&self.before) })
    }
}

impl fmt::Debug for HookedDisk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.disk.fmt(f)
    }
}

impl fmt::Debug for HookedFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.fmt(f)
    }
}

impl Disk for HookedDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(name, self.disk.open(name)?))
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(self.file(name, self.disk.create(name)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.disk.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        (self.before)(Change::Remove(name))?;
        self.disk.remove(name)
    }
    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        (self.before)(Change::SyncDir)?;
        self.disk.sync_dir(dir)
    }
    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        self.disk.list(dir)
    }
    fn path(&self, name: &str) -> Option<PathBuf> {
        self.disk.path(name)
    }
}

impl DiskFile for HookedFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        self.file.read_at(buf, at)
    }
    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        (self.before)(Change::Write)?;
        self.file.write_at(parts, at)
    }
    fn sync(&self) -> io::Result<()> {
        (self.before)(Change::Sync(&self.name))?;
        self.file.sync()
    }
    fn len(&self) -> io::Result<u64> {
        self.file.len()
    }
}
