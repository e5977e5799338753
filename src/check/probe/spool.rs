//! Examines the spool's directory. Test files are unlinked before they are written, so nothing stays behind.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::FlockOperation;

use super::holders;
use crate::check::holder::Held;
use crate::check::spool::{Directory, SpoolFacts};
use crate::runtime::filesystem;
use crate::time::Clock;

/// The number of timed syncs.
const SYNCS: usize = 15;
/// Bytes written before each sync.
const SYNC_BYTES: usize = 4_096;
/// The depth to which a spool's files are counted: its directory and the few below it.
const DEPTH: usize = 2;

/// Examines a directory.
pub(crate) fn look(dir: &Path, clock: &dyn Clock) -> SpoolFacts {
    examined(dir, clock).unwrap_or_else(|(at, error)| SpoolFacts {
        directory: Directory::Unusable { at, why: error.to_string() },
        filesystem: Err(error.to_string()),
        free: Err(error.to_string()),
        used: 0,
        syncs: Err(error.to_string()),
    })
}

/// A failure, and the directory that it is about.
type Failed = (PathBuf, io::Error);

fn examined(dir: &Path, clock: &dyn Clock) -> Result<SpoolFacts, Failed> {
    let (there, held) = nearest(dir)?;
    let file = nameless_file(&there, clock).map_err(|error| (there.clone(), error))?;
    let used = if held.is_some() { bytes_in(&there, DEPTH) } else { 0 };
    let directory = match held {
        Some(held) => Directory::Writable { held },
        None => Directory::CanBeMade(there.clone()),
    };
    let free = rustix::fs::statvfs(&there).map(|about| about.f_bavail.saturating_mul(about.f_frsize));
    Ok(SpoolFacts {
        directory,
        filesystem: filesystem::of(&there).map_err(|error| error.to_string()),
        free: free.map_err(|error| error.to_string()),
        used,
        syncs: time_syncs(&file, clock)
            .map_err(|error| format!("write and sync in {}: {error}", there.display())),
    })
}

/// The directory and who holds it, or its nearest existing parent.
fn nearest(dir: &Path) -> Result<(PathBuf, Option<Held>), Failed> {
    for (steps, at) in dir.ancestors().enumerate() {
        let at = if at.as_os_str().is_empty() { Path::new(".") } else { at };
        match fs::metadata(at) {
            Ok(about) if about.is_dir() => {
                let held = (steps == 0).then(|| held(at)).transpose();
                return held.map(|held| (at.to_owned(), held)).map_err(|error| (at.to_owned(), error));
            }
            Ok(_) => return Err((at.to_owned(), io::Error::from(io::ErrorKind::NotADirectory))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err((at.to_owned(), error)),
        }
    }
    Err((dir.to_owned(), io::Error::from(io::ErrorKind::NotFound)))
}

/// Who holds the spool's lock. The lock is released at once: a collector that starts at that
/// very moment would report that the spool is in use, and start at its next attempt.
fn held(dir: &Path) -> io::Result<Held> {
    let lock = match File::open(dir.join("LOCK")) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Held::No),
        Err(error) => return Err(error),
    };
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(Held::No),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(Held::By(holders::of_lock(&lock))),
        Err(errno) => Err(errno.into()),
    }
}

/// A file that is unlinked before anything is written to it.
fn nameless_file(dir: &Path, clock: &dyn Clock) -> io::Result<File> {
    let name = dir.join(format!(".forebay-check-{}-{}", std::process::id(), clock.wall().0));
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&name)?;
    fs::remove_file(&name)?;
    Ok(file)
}

fn time_syncs(mut file: &File, clock: &dyn Clock) -> io::Result<Vec<Duration>> {
    let piece = [0x5A; SYNC_BYTES];
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        file.write_all(&piece)?;
        let begun = clock.monotonic();
        file.sync_data()?;
        times.push(clock.monotonic().saturating_sub(begun));
    }
    Ok(times)
}

/// Bytes of the files in a directory. Unreadable files count as zero.
fn bytes_in(dir: &Path, depth: usize) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    let mut bytes = 0_u64;
    for entry in entries.flatten() {
        let Ok(about) = entry.metadata() else { continue };
        let more = if about.is_dir() && depth > 1 { bytes_in(&entry.path(), depth - 1) } else { about.len() };
        bytes = bytes.saturating_add(more);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::real_disk::RealDisk;
    use crate::runtime::SystemClock;

    #[test]
    fn examining_a_directory_leaves_it_unchanged() {
        let clock = SystemClock::new();
        let dir = tempfile::tempdir().unwrap();
        let spool = dir.path().join("a/spool");
        let before = look(&spool, &clock);
        assert_eq!(before.directory, Directory::CanBeMade(dir.path().to_owned()));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "no file is left behind");

        let held = RealDisk::open(&spool).unwrap();
        let found = look(&spool, &clock).directory;
        let Directory::Writable { held: Held::By(Some(holder)) } = found else { panic!("{found:?}") };
        assert_eq!(holder.pid, std::process::id());
        drop(held);
        fs::write(spool.join("staging/x"), [0; 1_000]).unwrap();
        let names =
            || fs::read_dir(&spool).unwrap().map(|entry| entry.unwrap().file_name()).collect::<Vec<_>>();
        let there = names();
        let found = look(&spool, &clock);
        assert_eq!(found.directory, Directory::Writable { held: Held::No });
        assert_eq!(found.used, 1_000);
        assert_eq!(found.syncs.unwrap().len(), SYNCS);
        assert!(found.free.unwrap() > 0 && found.filesystem.is_ok());
        assert_eq!(names(), there, "no file is left behind");
        RealDisk::open(&spool).expect("the lock is released");

        fs::write(dir.path().join("file"), "").unwrap();
        let on_a_file = look(&dir.path().join("file"), &clock);
        assert!(matches!(on_a_file.directory, Directory::Unusable { .. }), "{on_a_file:?}");
    }
}
