//! A separate file system on a loop device. Needs root, which can also cut its power.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::fs::FallocateFlags;

use super::tools::{on_path, skipped};
use super::wait;

/// How long the last process may take to close its files.
const UNMOUNT_TIMEOUT: Duration = Duration::from_secs(20);

/// How often a foreign file checks for freed space.
const GROW_EVERY: Duration = Duration::from_millis(1);

/// Shuts a file system down as a power cut would: nothing in memory is written, not even the journal.
/// `FS_IOC_SHUTDOWN` with `FS_SHUTDOWN_FLAGS_NOLOGFLUSH`; xfs uses the same number.
const POWER_CUT: &str = "import fcntl, os, struct, sys; \
                         fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";

/// A kind of file system.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Ext4,
    Xfs,
}

impl Kind {
    fn mkfs(self) -> (&'static str, &'static [&'static str]) {
        match self {
            Self::Ext4 => ("mkfs.ext4", &["-q", "-F"]),
            Self::Xfs => ("mkfs.xfs", &["-q", "-f"]),
        }
    }
}

/// The file system. Unmounted when dropped.
#[derive(Debug)]
pub(crate) struct LoopDisk {
    image: PathBuf,
    at: PathBuf,
    python: PathBuf,
}

/// A foreign file that takes the free space of a disk. It stays when dropped.
#[derive(Debug)]
pub(crate) struct Filler {
    path: PathBuf,
    file: File,
    len: u64,
}

impl Filler {
    /// The largest piece taken at once, and the smallest.
    const PIECE_MAX: u64 = 64 * 1_024 * 1_024;
    const PIECE_MIN: u64 = 4_096;

    /// Creates the file that [`Filler::fill`] fills: a full xfs may have no space for a new one.
    pub(crate) fn make(disk: &Path) {
        Self::take(&disk.join("filler"), 0);
    }

    /// Takes all free space.
    pub(crate) fn fill(disk: &Path) -> Self {
        let mut filler = Self::take(&disk.join("filler"), 0);
        filler.grow();
        filler
    }

    /// Takes so many bytes.
    pub(crate) fn take(path: &Path, bytes: u64) -> Self {
        let file = File::create(path).unwrap();
        if bytes > 0 {
            rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, bytes).unwrap();
        }
        Self { file, path: path.to_owned(), len: bytes }
    }

    /// Takes the space that is free now, to the last block.
    pub(crate) fn grow(&mut self) {
        let mut before = None;
        while before != Some(self.len) {
            before = Some(self.len);
            self.allocate();
            self.write();
        }
    }

    fn allocate(&mut self) {
        let mut piece = Self::PIECE_MAX;
        while piece >= Self::PIECE_MIN {
            match rustix::fs::fallocate(&self.file, FallocateFlags::empty(), self.len, piece) {
                Ok(()) => self.len += piece,
                Err(rustix::io::Errno::NOSPC) => piece /= 2,
                Err(rustix::io::Errno::INTR) => {}
                Err(error) => panic!("{}: {error}", self.path.display()),
            }
        }
    }

    /// xfs refuses to allocate the last blocks, but accepts written bytes in them.
    fn write(&mut self) {
        let before = self.len;
        loop {
            match self.file.write_at(&[1; 1_024], self.len) {
                Ok(written) => self.len += written as u64,
                Err(error) if error.kind() == ErrorKind::StorageFull => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{}: {error}", self.path.display()),
            }
        }
        if self.len > before {
            // Only then it is known what they took.
            self.file.sync_data().unwrap();
        }
    }

    /// Leaves so many bytes free, and takes the rest.
    pub(crate) fn leave(&mut self, bytes: u64) {
        self.grow();
        self.len = self.len.saturating_sub(bytes);
        self.file.set_len(self.len).unwrap();
        self.file.sync_data().unwrap();
    }

    /// From now on, takes freed space at once.
    pub(crate) fn keep_growing(mut self) -> Growing {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let stop = Arc::clone(&stop);
            move || {
                while !stop.load(Ordering::Relaxed) {
                    self.grow();
                    std::thread::sleep(GROW_EVERY);
                }
                self
            }
        });
        Growing { stop, thread: Some(thread) }
    }

    /// Frees all of it.
    pub(crate) fn remove(self) {
        fs::remove_file(&self.path).unwrap();
    }
}

/// A foreign file that grows whenever it can. It stays when dropped, at its present size.
#[derive(Debug)]
pub(crate) struct Growing {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Filler>>,
}

impl Growing {
    /// Stops the growth.
    pub(crate) fn stop(mut self) -> Filler {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().expect("a filler that does not panic")
    }
}

impl Drop for Growing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// Takes all inodes of a disk with empty files. Returns the folder with these files.
pub(crate) fn take_inodes(disk: &Path) -> PathBuf {
    let folder = disk.join("empty-files");
    fs::create_dir(&folder).unwrap();
    let error = (0..).find_map(|nth: u64| File::create(folder.join(nth.to_string())).err()).unwrap();
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    folder
}

/// Checks that no further byte fits.
pub(crate) fn assert_full(disk: &Path) {
    let path = disk.join("one-byte-more");
    let error = File::create(&path).and_then(|mut file| file.write_all(&[1])).expect_err("a full disk");
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    match fs::remove_file(&path) {
        // xfs has no space for the file's inode either.
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        removed => removed.unwrap(),
    }
}

impl LoopDisk {
    /// Makes a file system of so many bytes below `folder` and mounts it. `None`, with a message, if that is
    /// not possible.
    ///
    /// # Panics
    ///
    /// In CI, if a program that it needs is missing.
    pub(crate) fn mount(kind: Kind, bytes: u64, folder: &Path) -> Option<Self> {
        Self::mount_with(kind, bytes, folder, &[])
    }

    /// Like [`LoopDisk::mount`], with more arguments for `mkfs`.
    ///
    /// # Panics
    ///
    /// Like [`LoopDisk::mount`].
    pub(crate) fn mount_with(kind: Kind, bytes: u64, folder: &Path, mkfs_arguments: &[&str]) -> Option<Self> {
        let (mkfs, arguments) = kind.mkfs();
        let (mkfs, python) = (on_path(mkfs)?, on_path("python3")?);
        let disk = Self { image: folder.join("image"), at: folder.join("disk"), python };
        fs::create_dir(&disk.at).unwrap();
        File::create(&disk.image).and_then(|image| image.set_len(bytes)).unwrap();
        let made = Command::new(mkfs).args(arguments).args(mkfs_arguments).arg(&disk.image).output();
        let mounted = made.and_then(|made| if made.status.success() { disk.try_mount() } else { Ok(made) });
        match mounted {
            Ok(output) if output.status.success() => Some(disk),
            other => {
                skipped(&format!("cannot mount {kind:?} here ({other:?})"));
                None
            }
        }
    }

    fn try_mount(&self) -> io::Result<Output> {
        Command::new("mount").args(["-o", "loop"]).args([&self.image, &self.at]).output()
    }

    /// The mount point.
    pub(crate) fn path(&self) -> &Path {
        &self.at
    }

    /// The size in bytes, as shown by `df`.
    pub(crate) fn size(&self) -> u64 {
        let about = rustix::fs::statvfs(&self.at).unwrap();
        about.f_blocks * about.f_frsize
    }

    /// Free bytes, without those reserved for root.
    pub(crate) fn free(&self) -> u64 {
        let about = rustix::fs::statvfs(&self.at).unwrap();
        about.f_bavail * about.f_frsize
    }

    /// Cuts the power: from now on every access fails, and unsynced data is gone.
    pub(crate) fn cut(&self) {
        let cut = Command::new(&self.python).args(["-c", POWER_CUT]).arg(&self.at).output().unwrap();
        assert!(cut.status.success(), "{cut:?}");
    }

    /// From now on nothing can be changed on it. No file may be open for writing.
    pub(crate) fn make_read_only(&self) {
        let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&self.at).output().unwrap();
        assert!(remounted.status.success(), "{remounted:?}");
    }

    /// Unmounts the file system as soon as it is unused, and mounts it again.
    pub(crate) async fn restart(&self) {
        wait::until("the file system to be unmounted", UNMOUNT_TIMEOUT, async || {
            let output = Command::new("umount").arg(&self.at).output().unwrap();
            output.status.success().then_some(())
        })
        .await;
        let mounted = self.try_mount().unwrap();
        assert!(mounted.status.success(), "{mounted:?}");
    }
}

impl Drop for LoopDisk {
    fn drop(&mut self) {
        // Detached at once, because the program may still be ending.
        let ended = Command::new("umount").arg("--lazy").arg(&self.at).status();
        if !ended.as_ref().is_ok_and(std::process::ExitStatus::success) {
            eprintln!("{} stays mounted: {ended:?}", self.at.display());
        }
    }
}
