//! A file system of its own on a loop device: for root, who may cut its power.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use super::tools::{on_path, skipped};
use super::wait;

/// How long the last process may take to let go of its files.
const UNMOUNT_TIMEOUT: Duration = Duration::from_secs(20);

/// Shuts a file system down as a power cut would: nothing that waits in memory is written, the journal included.
/// `FS_IOC_SHUTDOWN` with `FS_SHUTDOWN_FLAGS_NOLOGFLUSH`; xfs has the same number for it.
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

/// The file system. Dropped, it is unmounted.
#[derive(Debug)]
pub(crate) struct LoopDisk {
    image: PathBuf,
    at: PathBuf,
    python: PathBuf,
}

impl LoopDisk {
    /// Makes one of so many bytes below `folder` and mounts it. `None`, loudly, where that is not possible.
    ///
    /// # Panics
    ///
    /// In CI, where a program that it needs is missing.
    pub(crate) fn mount(kind: Kind, bytes: u64, folder: &Path) -> Option<Self> {
        let (mkfs, arguments) = kind.mkfs();
        let (mkfs, python) = (on_path(mkfs)?, on_path("python3")?);
        let disk = Self { image: folder.join("image"), at: folder.join("disk"), python };
        fs::create_dir(&disk.at).unwrap();
        File::create(&disk.image).and_then(|image| image.set_len(bytes)).unwrap();
        let made = Command::new(mkfs).args(arguments).arg(&disk.image).output();
        let mounted = made.and_then(|made| if made.status.success() { disk.try_mount() } else { Ok(made) });
        match mounted {
            Ok(output) if output.status.success() => Some(disk),
            other => {
                skipped(&format!("no {kind:?} can be mounted here ({other:?})"));
                None
            }
        }
    }

    fn try_mount(&self) -> io::Result<Output> {
        Command::new("mount").args(["-o", "loop"]).args([&self.image, &self.at]).output()
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> &Path {
        &self.at
    }

    /// Cuts its power: from now on it refuses everything, and what was not synced is gone.
    pub(crate) fn cut(&self) {
        let cut = Command::new(&self.python).args(["-c", POWER_CUT]).arg(&self.at).output().unwrap();
        assert!(cut.status.success(), "{cut:?}");
    }

    /// Unmounts it, once nobody uses it any more, and mounts it again.
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
        // Detached at once, although the program may still be ending.
        let ended = Command::new("umount").arg("--lazy").arg(&self.at).status();
        if !ended.as_ref().is_ok_and(std::process::ExitStatus::success) {
            eprintln!("{} stays mounted: {ended:?}", self.at.display());
        }
    }
}
