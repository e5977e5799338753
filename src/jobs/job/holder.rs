//! The lock of a job: one process holds it, and its process id stands in it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;

use crate::disk::own_files;

/// The file, in the job's folder.
pub const LOCK: &str = "LOCK";
/// The longest process id, in digits.
const PID_MAX: u64 = 20;

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
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => return Ok(Taken::By(holder(&file)?)),
        Err(TryLockError::Error(error)) => return Err(error),
        Ok(()) => {}
    }
    // The id of an earlier holder goes first, so that nobody reads parts of both.
    file.set_len(0)?;
    file.write_all_at(format!("{}\n", std::process::id()).as_bytes(), 0)?;
    Ok(Taken::Ours(Holder { _lock: file }))
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
}
