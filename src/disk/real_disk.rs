//! The real file system.
//!
//! A spool that has no file handle left for the next segment or a note refuses calls. So the directories are
//! opened at the start, and a few handles are held in reserve for files that the spool opens.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use rustix::fs::FlockOperation;

use crate::disk::{Disk, DiskFile, if_there, is_no_handle, own_files, write_zeros};
use crate::lock::lock;

/// Subdirectories of a spool.
pub const SUBDIRECTORIES: [&str; 4] = ["staging", "parked", "quarantine", "queued"];

/// Handles held in reserve: for two segments, a new manifest, an index, fingerprints, and files that are
/// read, staged and parked at the same time.
const RESERVED_HANDLES: usize = 16;
/// `IOV_MAX` of Linux: the maximum number of parts of one `pwritev`.
const WRITE_PARTS_MAX: usize = 1_024;

/// Why a spool directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// It cannot be made or opened.
    #[error("cannot use the spool directory {0}")]
    Unusable(PathBuf, #[source] io::Error),
    /// Another process holds its lock.
    #[error("the spool {0} is in use by another process; stop that process first, or use another directory")]
    Locked(PathBuf),
}

/// A spool directory, locked while this value exists.
#[derive(Debug)]
pub struct RealDisk {
    root: PathBuf,
    lock: File,
    /// The spool's own directory and its subdirectories, by name.
    directories: Vec<(&'static str, File)>,
    reserve: Reserve,
}

/// Handles that nothing else in the process can take.
#[derive(Debug, Default)]
struct Reserve(Mutex<Vec<OwnedFd>>);

impl Reserve {
    /// Opens a file. If there is no handle for it, gives up handles of the reserve.
    fn with_handle<T>(&self, of: &File, mut open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        loop {
            let opened = open();
            match &opened {
                // Other threads may take the handle that was given up, so this may repeat.
                Err(error) if is_no_handle(error) && self.give_up() => {}
                Err(_) => return opened,
                Ok(_) => {
                    self.fill(of);
                    return opened;
                }
            }
        }
    }

    fn give_up(&self) -> bool {
        self.held().pop().is_some()
    }

    /// Fills the reserve again, as far as handles are available. They are duplicates of any open file.
    fn fill(&self, of: &File) {
        let mut held = self.held();
        while held.len() < RESERVED_HANDLES {
            let Ok(handle) = rustix::io::fcntl_dupfd_cloexec(of, 0) else { break };
            held.push(handle);
        }
    }

    fn held(&self) -> MutexGuard<'_, Vec<OwnedFd>> {
        lock(&self.0)
    }
}

/// The missing directories above `root`, from the bottom up.
fn missing_parents(root: &Path, is_there: impl Fn(&Path) -> bool) -> Vec<&Path> {
    let above = root.ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty());
    above.take_while(|dir| !is_there(dir)).collect()
}

impl RealDisk {
    /// Opens and locks a spool directory, making it (0700) if it is missing.
    pub fn open(root: &Path) -> Result<Self, DirectoryError> {
        let unusable = |cause| DirectoryError::Unusable(root.to_owned(), cause);
        let made = missing_parents(root, |dir| dir.is_dir());
        let mut builder = fs::DirBuilder::new();
        builder.recursive(true).mode(0o700);
        builder.create(root).map_err(unusable)?;
        for dir in SUBDIRECTORIES {
            builder.create(root.join(dir)).map_err(unusable)?;
        }
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(root.join("LOCK"))
            .map_err(unusable)?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(DirectoryError::Locked(root.to_owned()));
            }
            Err(errno) => return Err(unusable(errno.into())),
        }
        let open_dir = |dir: &'static str| Ok((dir, File::open(root.join(dir))?));
        let directories: io::Result<Vec<_>> = [""].into_iter().chain(SUBDIRECTORIES).map(open_dir).collect();
        let directories = directories.map_err(unusable)?;
        let disk = Self { root: root.to_owned(), lock, directories, reserve: Reserve::default() };
        disk.reserve.fill(&disk.lock);
        disk.sync_dir("").map_err(unusable)?;
        // The directory's own name must survive a power cut too, and so must those of parents made with it.
        for dir in std::iter::once(root).chain(made) {
            own_files::sync_folder_of(dir).map_err(unusable)?;
        }
        Ok(disk)
    }

    fn with_handle<T>(&self, open: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        self.reserve.with_handle(&self.lock, open)
    }
}

impl Disk for RealDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.root.join(name);
        let file = self.with_handle(|| OpenOptions::new().read(true).write(true).open(&path))?;
        Ok(Arc::new(RealFile(file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let path = self.root.join(name);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        let file = self.with_handle(|| options.open(&path))?;
        Ok(Arc::new(RealFile(file)))
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "this is the durable rename's first half; callers sync the directory"
    )]
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.root.join(from), self.root.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        if_there(fs::remove_file(self.root.join(name))).map(drop)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        match self.directories.iter().find(|(known, _)| *known == dir) {
            Some((_, open)) => open.sync_all(),
            None => self.with_handle(|| File::open(self.root.join(dir)))?.sync_all(),
        }
    }

    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        self.with_handle(|| files_in(&self.root.join(dir)))
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.root.join(name))
    }

    fn is_in_place(&self) -> bool {
        let inode = |about: &fs::Metadata| (about.dev(), about.ino());
        match (self.lock.metadata(), fs::metadata(self.root.join("LOCK"))) {
            (Ok(ours), Ok(found)) => inode(&ours) == inode(&found),
            (_, Err(error)) => error.kind() != io::ErrorKind::NotFound,
            (Err(_), Ok(_)) => true,
        }
    }

    fn free_bytes(&self) -> Option<u64> {
        let about = rustix::fs::statvfs(&self.root).ok()?;
        Some(about.f_bavail.saturating_mul(about.f_frsize))
    }
}

#[derive(Debug)]
struct RealFile(File);

impl DiskFile for RealFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        read_up_to(&self.0, buf, at)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        let mut at = at;
        for parts in parts.chunks(WRITE_PARTS_MAX) {
            at = write_parts(&self.0, parts, at)?;
        }
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        use rustix::fs::{FallocateFlags, fallocate};
        use rustix::io::Errno;
        match rustix::io::retry_on_intr(|| fallocate(&self.0, FallocateFlags::empty(), 0, len)) {
            // Not every file system can.
            Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::INVAL) => write_zeros(self, 0, len),
            allocated => Ok(allocated?),
        }
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

/// The files in a directory with their lengths, sorted by name.
pub(crate) fn files_in(dir: &Path) -> io::Result<Vec<(String, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let about = entry.metadata()?;
        // The spool's names are all ASCII; other files are ignored.
        if let (true, Ok(name)) = (about.is_file(), entry.file_name().into_string()) {
            files.push((name, about.len()));
        }
    }
    files.sort();
    Ok(files)
}

/// Reads until `buf` is full or the file ends.
pub(crate) fn read_up_to(file: &File, buf: &mut [u8], at: u64) -> io::Result<usize> {
    let mut done = 0;
    while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, at + done as u64) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Writes `parts` (at most [`WRITE_PARTS_MAX`]) and returns the offset after them.
fn write_parts(file: &File, parts: &[IoSlice<'_>], at: u64) -> io::Result<u64> {
    let written = loop {
        match rustix::io::pwritev(file, parts, at) {
            Ok(written) => break written,
            Err(rustix::io::Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    };
    write_rest(file, parts, at, written)
}

/// Writes the rest after a short write (which is rare: a full disk, a signal), part by part.
fn write_rest(file: &File, parts: &[IoSlice<'_>], at: u64, mut written: usize) -> io::Result<u64> {
    let total: usize = parts.iter().map(|part| part.len()).sum();
    let mut skip = written;
    for part in parts {
        let rest = part.get(skip..).unwrap_or(&[]);
        skip = skip.saturating_sub(part.len());
        if !rest.is_empty() && written < total {
            file.write_all_at(rest, at + written as u64)?;
            written += rest.len();
        }
    }
    Ok(at + total as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rest_of_a_short_write_is_written_wherever_it_stopped() {
        let parts = [&b"abc"[..], b"", b"defg", b"h"].map(IoSlice::new);
        for written in 0..=8 {
            let file = tempfile::tempfile().unwrap();
            file.write_all_at(&b"..abcdefgh"[..2 + written], 0).unwrap();
            assert_eq!(write_rest(&file, &parts, 2, written).unwrap(), 10);
            let mut bytes = [0; 10];
            file.read_exact_at(&mut bytes, 0).unwrap();
            assert_eq!(
                (&bytes, file.metadata().unwrap().len()),
                (b"..abcdefgh", 10),
                "short by {}",
                8 - written
            );
        }
    }

    #[test]
    fn space_for_zeros_is_taken_at_once() {
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(dir.path()).unwrap();
        let file = disk.create("a").unwrap();
        file.allocate(3 * 1_024 * 1_024).unwrap();
        let about = fs::metadata(dir.path().join("a")).unwrap();
        assert_eq!(about.len(), 3 * 1_024 * 1_024);
        assert!(about.blocks() * 512 >= about.len(), "{} blocks", about.blocks());
        file.write_at(&[IoSlice::new(b"b")], 1_000).unwrap();
        let bytes = crate::disk::read_all(&*file).unwrap();
        assert!(bytes.iter().enumerate().all(|(at, byte)| *byte == if at == 1_000 { b'b' } else { 0 }));
    }

    #[test]
    fn missing_parent_directories_are_found() {
        let check = |root: &str, there: &[&str], expected: &[&str]| {
            let made =
                missing_parents(Path::new(root), |dir| there.iter().any(|known| Path::new(known) == dir));
            assert_eq!(made, expected.iter().map(Path::new).collect::<Vec<_>>(), "{root}");
        };
        check("/a/b/c/spool", &["/", "/a"], &["/a/b/c", "/a/b"]);
        check("/a/spool", &["/", "/a"], &[]);
        check("x/y/spool", &[], &["x/y", "x"]);
        check("spool", &[], &[]);
        let dir = tempfile::tempdir().unwrap();
        drop(RealDisk::open(&dir.path().join("a/b/spool")).unwrap());
    }

    #[test]
    fn reserved_handles_are_given_up_when_needed_and_taken_back_later() {
        use rustix::io::Errno;
        let dir = tempfile::tempdir().unwrap();
        let disk = RealDisk::open(dir.path()).unwrap();
        let held = || disk.reserve.held().len();
        assert_eq!(held(), RESERVED_HANDLES);
        // Another thread takes the first two handles that are given up.
        let mut tries = 0;
        let opened = disk.with_handle(|| {
            tries += 1;
            if tries <= 3 { Err(Errno::MFILE.into()) } else { Ok(held()) }
        });
        assert_eq!((opened.unwrap(), held()), (RESERVED_HANDLES - 3, RESERVED_HANDLES));
        let refused = disk.with_handle(|| Err::<(), _>(Errno::NFILE.into())).unwrap_err();
        assert!(is_no_handle(&refused));
        assert_eq!(held(), 0);
        disk.list("").unwrap();
        assert_eq!(held(), RESERVED_HANDLES);
        // Other errors use no handle.
        assert!(disk.open("none").is_err());
        assert_eq!(held(), RESERVED_HANDLES);
    }

    #[test]
    fn a_directory_is_locked_and_many_parts_are_written_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("spool");
        let disk = RealDisk::open(&root).unwrap();
        assert!(matches!(RealDisk::open(&root), Err(DirectoryError::Locked(_))));
        let file = disk.create("x").unwrap();
        let parts: Vec<Vec<u8>> = (0..3_000_u32).map(|i| i.to_le_bytes().to_vec()).collect();
        let slices: Vec<IoSlice<'_>> = parts.iter().map(|part| IoSlice::new(part)).collect();
        file.write_at(&slices, 5).unwrap();
        file.sync().unwrap();
        let mut read = vec![0; 20_000];
        assert_eq!(file.read_at(&mut read, 5).unwrap(), 12_000);
        assert_eq!(read[..12_000], parts.concat());
        assert_eq!(disk.list("").unwrap(), [("LOCK".to_owned(), 0), ("x".to_owned(), 12_005)]);
        drop(disk);
        RealDisk::open(&dir.path().join("spool")).unwrap();
    }
}
