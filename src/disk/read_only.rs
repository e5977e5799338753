//! A spool directory opened for reading only: nothing in it is made, changed or removed, not even its lock
//! file.

use std::fs::{self, File};
use std::io::{self, IoSlice};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FlockOperation;

use crate::disk::real_disk::{files_in, read_up_to};
use crate::disk::{Disk, DiskFile, if_there};

/// Why a directory cannot be read as a spool.
#[derive(Debug, thiserror::Error)]
pub enum LookError {
    /// The directory is missing or cannot be read.
    #[error("cannot read {0}")]
    Unreadable(PathBuf, #[source] io::Error),
    /// It is not a spool.
    #[error(
        "{0} is not a spool: it has no IDENT file, and no IDENT.copy; give the directory that is set as `spool.dir` (for \
         `forebay dev`, the folder `spool` in its data directory)"
    )]
    NotASpool(PathBuf),
    /// A running process holds its lock.
    #[error("the spool {0} is in use by a running process; stop it first, or use `forebay status`")]
    Locked(PathBuf),
}

/// A spool directory for reading. While this value exists, no process can begin to use the spool.
#[derive(Debug)]
pub struct ReadOnlyDisk {
    root: PathBuf,
    _lock: Option<File>,
}

impl ReadOnlyDisk {
    /// Opens the directory of a spool that no process uses.
    pub fn open(root: &Path) -> Result<Self, LookError> {
        let unreadable = |cause| LookError::Unreadable(root.to_owned(), cause);
        fs::read_dir(root).map_err(unreadable)?;
        if !["IDENT", "IDENT.copy"].iter().any(|name| root.join(name).is_file()) {
            return Err(LookError::NotASpool(root.to_owned()));
        }
        // A copy may have no lock file, and then nothing can hold it.
        let lock = if_there(File::open(root.join("LOCK"))).map_err(unreadable)?;
        match lock.as_ref().map(|lock| rustix::fs::flock(lock, FlockOperation::NonBlockingLockShared)) {
            None | Some(Ok(())) => Ok(Self { root: root.to_owned(), _lock: lock }),
            Some(Err(rustix::io::Errno::WOULDBLOCK)) => Err(LookError::Locked(root.to_owned())),
            Some(Err(errno)) => Err(unreadable(errno.into())),
        }
    }
}

fn refused() -> io::Error {
    io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "the spool is opened for reading only")
}

impl Disk for ReadOnlyDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Ok(Arc::new(ReadOnlyFile(File::open(self.root.join(name))?)))
    }

    fn create(&self, _name: &str) -> io::Result<Arc<dyn DiskFile>> {
        Err(refused())
    }

    fn rename(&self, _from: &str, _to: &str) -> io::Result<()> {
        Err(refused())
    }

    fn remove(&self, _name: &str) -> io::Result<()> {
        Err(refused())
    }

    fn sync_dir(&self, _dir: &str) -> io::Result<()> {
        Err(refused())
    }

    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        Ok(if_there(files_in(&self.root.join(dir)))?.unwrap_or_default())
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.root.join(name))
    }
}

#[derive(Debug)]
struct ReadOnlyFile(File);

impl DiskFile for ReadOnlyFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        read_up_to(&self.0, buf, at)
    }

    fn write_at(&self, _parts: &[IoSlice<'_>], _at: u64) -> io::Result<()> {
        Err(refused())
    }

    fn sync(&self) -> io::Result<()> {
        Err(refused())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}
