//! The lock of a job: one process holds it, and its process id stands in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::thread::sleep;
use std::time::Duration;

use crate::disk::own_files;

/// The file, in the job's folder.
pub const LOCK: &str = "LOCK";
/// The longest process id, in digits.
const PID_MAX: u64 = 20;
/// How often the lock is tried again because others look at it.
const LOOKS_MAX: u32 = 200;
/// About how long a look takes at most.
const LOOK_TAKES: Duration = Duration::from_millis(1);

/// A job that this process holds, while this value exists.
#[derive(Debug)]
pub struct Holder {
    _lock: File,
}

/// Whether a process got the lock.
#[derive(Debug)]
pub enum Taken {
    /// This process has it now.
    Ours(Holder),
    /// Another process has it: its id, if it has written it already.
    By(Option<u32>),
}

/// Takes the lock in the folder of a job, if no process has it.
/// Errors: the file system's error; `NotFound` if there is no such folder.
pub fn take(folder: &Path) -> io::Result<Taken> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = own_files::open(&folder.join(LOCK), &mut options)?;
    let mut looks = 0;
    loop {
        match file.try_lock() {
            Ok(()) => break,
            Err(TryLockError::WouldBlock) if looks < LOOKS_MAX && is_only_looked_at(&file)? => {
                looks += 1;
                sleep(LOOK_TAKES);
            }
            Err(TryLockError::WouldBlock) => return Ok(Taken::By(holder(&file)?)),
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
    // The id of an earlier holder goes first, so that nobody reads parts of both.
    file.set_len(0)?;
    file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0)?;
    Ok(Taken::Ours(Holder { _lock: file }))
}

/// Whether nobody holds the lock but processes that see in this moment whether one does.
fn is_only_looked_at(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// The process that holds the job, if one does; `Some(None)` if it has not written its id yet.
/// Errors: the file system's error.
pub fn holder_of(folder: &Path) -> io::Result<Option<Option<u32>>> {
    let Some(file) =
        crate::disk::if_there(own_files::open(&folder.join(LOCK), OpenOptions::new().read(true)))?
    else {
        return Ok(None);
    };
    match file.try_lock_shared() {
        Ok(()) => Ok(None),
        Err(TryLockError::WouldBlock) => holder(&file).map(Some),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn holder(mut file: &File) -> io::Result<Option<u32>> {
    let mut text = String::new();
    // Whatever is no number is no process id.
    match file.by_ref().take(PID_MAX).read_to_string(&mut text) {
        Err(error) if error.kind() != io::ErrorKind::InvalidData => Err(error),
        _ => Ok(text.strip_suffix('\n').and_then(|id| id.parse().ok())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_process_holds_a_job_and_others_learn_its_id() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(holder_of(dir.path()).unwrap(), None);
        // An earlier holder with a longer id.
        std::fs::write(dir.path().join(LOCK), "99999999999\n").unwrap();
        assert_eq!(holder_of(dir.path()).unwrap(), None);
        let Taken::Ours(held) = take(dir.path()).unwrap() else { panic!("held by nobody") };
        let ours = std::process::id();
        assert!(matches!(take(dir.path()).unwrap(), Taken::By(Some(id)) if id == ours));
        assert_eq!(holder_of(dir.path()).unwrap(), Some(Some(ours)));
        drop(held);
        assert_eq!(holder_of(dir.path()).unwrap(), None);
        assert!(matches!(take(dir.path()).unwrap(), Taken::Ours(_)));
        let missing = take(&dir.path().join("none")).unwrap_err();
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }
    #[test]
    fn a_look_at_the_lock_keeps_nobody_from_taking_it() {
        let dir = tempfile::tempdir().unwrap();
        drop(take(dir.path()).unwrap());
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            let looks = scope.spawn(|| {
                let mut looks = 0;
                while !done.load(std::sync::atomic::Ordering::Relaxed) {
                    holder_of(dir.path()).unwrap();
                    looks += 1;
                }
                looks
            });
            let all_ours = (0..300).all(|_| matches!(take(dir.path()), Ok(Taken::Ours(_))));
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(all_ours);
            assert!(looks.join().unwrap() > 0);
        });
    }
}
