//! The lock under which servers make the jobs of one folder. Of two requests with one token the second finds the job of
//! the first, whichever server of the folder each is sent to.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::disk::own_files;

/// The file, beside the folders of the jobs. It stays empty.
pub const CREATING: &str = "CREATING";
/// How often the lock is tried, and the time between: ten seconds in all. Its holder syncs a few small files.
const TRIES_MAX: u32 = 1_000;
const TRY_EVERY: Duration = Duration::from_millis(10);

/// The lock, while this value exists.
#[derive(Debug)]
pub struct CreationLock {
    _file: File,
}

/// Takes the lock in the folder of all jobs. Blocks while another server makes a job.
/// Errors: the file system's error, or that server does not end (`TimedOut`).
pub(super) fn take(jobs: &Path) -> io::Result<CreationLock> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    let file = own_files::open(&jobs.join(CREATING), &mut options)?;
    for _ in 0..TRIES_MAX {
        match file.try_lock() {
            Ok(()) => return Ok(CreationLock { _file: file }),
            Err(TryLockError::WouldBlock) => sleep(TRY_EVERY),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    let what = "another process makes a job there and has not ended for ten seconds; end it if it hangs, and ask again";
    Err(io::Error::new(io::ErrorKind::TimedOut, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_one_waits_for_the_first() {
        let dir = tempfile::tempdir().unwrap();
        let first = take(dir.path()).unwrap();
        std::thread::scope(|scope| {
            let second = scope.spawn(|| take(dir.path()).map(drop));
            sleep(TRY_EVERY * 5);
            assert!(!second.is_finished());
            drop(first);
            second.join().unwrap().unwrap();
        });
        assert_eq!(take(&dir.path().join("none")).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
