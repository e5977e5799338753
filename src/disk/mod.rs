//! The file system as the spool sees it: a trait, so that a simulation can lose, tear and refuse as a real
//! disk would.
//!
//! Names are relative to the spool's directory; `/` separates its subdirectories.

pub mod own_files;
pub mod read_only;
pub mod real_disk;

use std::fmt;
use std::io::{self, IoSlice};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use crate::planted_bugs::{PlantedBug, planted};

/// A directory tree that holds one spool.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Opens an existing file for reading and writing.
    /// Errors: the file system's error; `NotFound` if there is no such file.
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Creates an empty file, replacing any file of that name.
    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>>;

    /// Renames a file, replacing any file of the new name. It is durable only after [`Disk::sync_dir`].
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file. A missing file is no error, because removals are repeated after a crash.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes the names in a directory durable. `""` is the spool's own directory. It needs no new file
    /// handle: a failed sync stops the spool, and a lack of handles must not do that.
    fn sync_dir(&self, dir: &str) -> io::Result<()>;

    /// The files in a directory (not its subdirectories), with their lengths, sorted by name.
    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>>;

    /// The path of a file, for callers that pass it on (as an upload's body). `None` if files have no path.
    fn path(&self, name: &str) -> Option<PathBuf>;

    /// Whether the directory is still found under its path. Files that are open can be used even if it is
    /// not, and the next start would not find them.
    fn is_in_place(&self) -> bool {
        true
    }

    /// How many more bytes files may take, according to the file system. `None` if it does not report that.
    fn free_bytes(&self) -> Option<u64> {
        None
    }
}

/// An open file. Reads and writes are positioned, so that it can be used concurrently.
pub trait DiskFile: Send + Sync + fmt::Debug {
    /// Reads up to `buf.len()` bytes at `at`; fewer only at the end of the file.
    /// Errors: the file system's error. `EINTR` is retried.
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize>;

    /// Writes all of `parts`, one after the other, at `at`. Short writes and `EINTR` are continued.
    /// Errors: the file system's error. An unknown part of the bytes is then written.
    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()>;

    /// Gives an empty file this length, with space on the disk for all of it. Its bytes are zeros. Unlike zeros that are
    /// written, they may leave work to each sync of what is written over them.
    /// Errors: the file system's error. The length is then unknown.
    fn allocate(&self, len: u64) -> io::Result<()> {
        write_zeros(self, 0, len)
    }

    /// Makes the file's bytes and length durable (`fdatasync`).
    /// Errors: the file system's error. Never call it again on this file then: the kernel may have dropped
    /// the pages, and a second call may wrongly succeed.
    fn sync(&self) -> io::Result<()>;

    /// The file's length in bytes.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file is empty.
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }
}

/// Where objects are staged before their put.
#[derive(Clone, Debug)]
pub struct StagingDisk {
    /// Files go into its directory `staging`.
    pub disk: Arc<dyn Disk>,
    /// The number of bytes of objects staged in memory in place of a file, for whoever must keep as much
    /// space free.
    pub in_memory: Arc<AtomicUsize>,
}

/// Reads a whole file.
pub fn read_all(file: &dyn DiskFile) -> io::Result<Vec<u8>> {
    let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
    let mut bytes = vec![0; len];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(bytes)
}

/// [`fill`] writes pieces of at most this many bytes.
pub const FILL_PIECE: u64 = 1_024 * 1_024;
/// The length of the block that [`fill`] repeats. It is part of the program, so that it takes no memory.
pub const FILL_BLOCK: usize = 64 * 1_024;

/// Writes `len` zeros at `at`.
pub fn write_zeros<F: DiskFile + ?Sized>(file: &F, at: u64, len: u64) -> io::Result<()> {
    static ZEROS: [u8; FILL_BLOCK] = [0; FILL_BLOCK];
    fill(file, &ZEROS, at, len)
}

/// Writes `len` bytes at `at`: `block`, again and again.
pub fn fill<F: DiskFile + ?Sized>(file: &F, block: &[u8; FILL_BLOCK], at: u64, len: u64) -> io::Result<()> {
    let (mut at, end) = (at, at.saturating_add(len));
    while at < end {
        let piece_end = end.min(at.saturating_add(FILL_PIECE));
        let rest = |from: u64| usize::try_from(piece_end - from).unwrap_or(FILL_BLOCK);
        let part = |from: u64| IoSlice::new(block.get(..rest(from)).unwrap_or(block));
        let parts: Vec<_> = (at..piece_end).step_by(FILL_BLOCK).map(part).collect();
        file.write_at(&parts, at)?;
        at = piece_end;
    }
    Ok(())
}

/// Writes a new file durably: temporary name, sync, rename, directory sync (order O4).
/// Errors: the file system's error. The final name is then either absent or unchanged.
pub fn write_durably(disk: &dyn Disk, name: &str, bytes: &[u8]) -> io::Result<()> {
    write_temporary(disk, name, &[IoSlice::new(bytes)])?;
    publish(disk, name)
}

/// The first half of [`write_durably`], after which nothing uses the file yet. Returns the open file.
/// Errors: the file system's error. Nothing has changed then, except for a file that the next start removes.
pub fn write_temporary(disk: &dyn Disk, name: &str, parts: &[IoSlice<'_>]) -> io::Result<Arc<dyn DiskFile>> {
    let file = disk.create(&temporary_name(name))?;
    file.write_at(parts, 0)?;
    file.sync()?;
    Ok(file)
}

/// The second half of [`write_durably`].
/// Errors: the file system's error. It is then unknown which of the two names a crash leaves.
pub fn publish(disk: &dyn Disk, name: &str) -> io::Result<()> {
    disk.rename(&temporary_name(name), name)?;
    sync_name(disk, name)
}

/// Makes a file's name durable.
pub fn sync_name(disk: &dyn Disk, name: &str) -> io::Result<()> {
    if planted(PlantedBug::NoDirectorySync) {
        return Ok(());
    }
    disk.sync_dir(name.rsplit_once('/').map_or("", |(dir, _)| dir))
}

/// The name of a file while it is being written.
pub fn temporary_name(name: &str) -> String {
    format!("{name}.tmp")
}

/// `None` if an error says that there is no such file or directory.
pub fn if_there<T>(found: io::Result<T>) -> io::Result<Option<T>> {
    match found {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        found => found.map(Some),
    }
}

/// Whether an error means that there is no space: `ENOSPC` or `EDQUOT`.
pub fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether an error means that the process (`EMFILE`) or the machine (`ENFILE`) has no file handle left.
pub fn is_no_handle(error: &io::Error) -> bool {
    use rustix::io::Errno;
    [Errno::MFILE, Errno::NFILE].iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// Whether this process gets no file handle in this moment: for failures of libraries that do not say what they lacked.
pub fn has_no_handle() -> bool {
    std::fs::File::open("/dev/null").is_err_and(|error| is_no_handle(&error))
}

/// Reads like [`DiskFile::read_at`], but reads bytes that the disk can no longer return (`EIO`) as zeros.
/// Checksums then show which frames are damaged, and their neighbours are kept.
/// Errors: any other error of the file system.
pub fn read_sound(file: &dyn DiskFile, buf: &mut [u8], at: u64) -> io::Result<usize> {
    read_noting(file, buf, at, &mut false)
}

/// Like [`read_sound`], and sets `unreadable` if bytes are zeros because they cannot be read.
/// Errors: any other error of the file system.
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
        // Up to the next boundary, so that one bad sector costs one sector only.
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
