//! The file system as the spool sees it: a trait, so that a simulation can lose, tear and refuse what a real one would.
//!
//! Names are relative to the spool's directory; `/` separates its few subdirectories.

use std::fmt;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;

use crate::planted::{PlantedBug, planted};

/// A directory tree that holds one spool.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens an existing file for reading and writing.
    ///
    /// # Errors
    /// What the file system says; `NotFound` where there is no such file.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Creates a file, empty, in place of any of that name.
    ///
    /// # Errors
    /// What the file system says.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames a file, replacing any of the new name. It is durable only after [`Disk::sync_dir`].
    ///
    /// # Errors
    /// What the file system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. One that is not there is no error: removals are done again after a crash.
    ///
    /// # Errors
    /// What the file system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names in a directory durable. `""` is the spool's own. It needs no new file handle: a sync that fails stops
    /// the spool, and a lack of handles must not.
    ///
    /// # Errors
    /// What the file system says.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// The files in a directory (not its subdirectories), with their lengths, sorted by name.
    ///
    /// # Errors
    /// What the file system says.
    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>>;

    /// Where a file lies, for those that hand it to somebody else (an upload's body). `None` where files have no path.
    fn path(&self, name: &str) -> Option<PathBuf>;

    /// How many more bytes files may take, as far as the file system tells. `None` where it does not.
    fn free_bytes(&self) -> Option<u64> {
        None
    }
}

/// An open file. Positioned reads and writes, so that many may use it at once.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads up to `buf.len()` bytes at `at`; fewer only at the file's end.
    ///
    /// # Errors
    /// What the file system says. `EINTR` is continued.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes all of `parts`, one after the other, at `at`. Short writes and `EINTR` are continued.
    ///
    /// # Errors
    /// What the file system says; then an unknown part of the bytes is written.
    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()>;

    /// Makes the file's bytes and length durable (`fdatasync`).
    ///
    /// # Errors
    /// What the file system says. It must never be called again on this file then: the kernel may have dropped the
    /// pages, and the second call may lie.
    fn sync(&self) -> io::Result<()>;

    /// The file's length in bytes.
    ///
    /// # Errors
    /// What the file system says.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file holds nothing.
    ///
    /// # Errors
    /// What the file system says.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Reads a whole file.
///
/// # Errors
/// What the file system says.
pub fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// Writes a new file durably: temporary name, sync, rename, directory sync (order O4).
///
/// # Errors
/// What the file system says; the final name is then either absent or as it was.
pub fn write_durably(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    write_temporary(disk, name, &[IoSlice::new(bytes)])?;
    publish(disk, name)
}

/// The first half of [`write_durably`]: nothing uses the file yet. Returns it, open.
///
/// # Errors
/// What the file system says; nothing has changed then but a file that the next start removes.
pub fn write_temporary(disk: &dyn Disk, name: &str, parts: &[IoSlice<'_>]) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.create(&temporary_name(name))?;
    file.write_at(parts, 0)?;
    file.sync()?;
    Ok(file)
}

/// The second half of [`write_durably`].
///
/// # Errors
/// What the file system says; which of the two names a crash leaves is not known then.
pub fn publish(disk: &dyn Disk, name: &str) -> io::Result<()> {
    disk.rename(&temporary_name(name), name)?;
    sync_name(disk, name)
}

/// Makes a file's name durable.
///
/// # Errors
/// What the disk says.
pub fn sync_name(disk: &dyn Disk, name: &str) -> io::Result<()> {
    if planted(PlantedBug::NoDirectorySync) {
        return Ok(());
    }
    disk.sync_dir(name.rsplit_once('/').map_or("", |(dir, _)| dir))
}

/// Under which name a file is written.
pub fn temporary_name(name: &str) -> String {
    format!("{name}.tmp")
}

/// Whether an error means that there is no space: `ENOSPC` or `EDQUOT`.
pub fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether an error means that the process has no file handle left (`EMFILE`) or the machine has none (`ENFILE`).
pub fn is_no_handle(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Reads like [`DiskFile::read_at`], but what the disk cannot read any more (`EIO`) is zero: checksums tell where frames are
/// damaged, and their neighbours are not.
///
/// # Errors
/// What else the file system says.
pub fn read_sound(file: &dyn DiskFile, buf: &mut [u8], at: u64) -> io::Result<usize> {
    read_noting(file, buf, at, &mut false)
}

/// Like [`read_sound`]; sets `unreadable` where bytes are zero because they cannot be read.
///
/// # Errors
/// What else the file system says.
pub fn read_noting(file: &dyn DiskFile, buf: &mut [u8], at: u64, unreadable: &mut bool) -> io::Result<usize> {
    const SECTOR: usize = 4_096;
    let is_damage = |error: &io::Error| error.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
    match file.read_at(buf, at) {
        Err(error) if is_damage(&error) => {}
        read => return read,
    }
    let len = usize::try_from(file.len()?.saturating_sub(at)).unwrap_or(usize::MAX).min(buf.len());
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..len).filter(|rest| !rest.is_empty()) {
        // Up to the next boundary, so that one bad sector costs one sector.
        let into = usize::try_from((at + done as u64) % SECTOR as u64).unwrap_or(0);
        let want = (SECTOR - into).min(rest.len());
        let piece = rest.get_mut(..want).unwrap_or(&mut []);
        match file.read_at(piece, at + done as u64) {
            Err(error) if is_damage(&error) => {
                piece.fill(0);
                *unreadable = true;
            }
            Err(error) => return Err(error),
            Ok(_) => {}
        }
        done += want;
    }
    Ok(len)
}
