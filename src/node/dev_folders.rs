//! Makes and deletes the folders of dev mode. Folders are marked when they are created, so that a reset
//! deletes nothing else.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::error::NodeError;
use super::spool_dir::{notice_if_open, open_disk};
use crate::disk::own_files;
use crate::jobs::job::folder::{BATCH, JobsFolder};
use crate::words::with_causes;

/// The folders in the data directory: of calls, of objects, of jobs.
const FOLDERS: [&str; 3] = ["spool", "s3", BATCH];
/// The file that marks a folder.
const MARK: &str = "MADE-BY-FOREBAY-DEV";
const MARK_TEXT: &str = "`forebay dev --reset` deletes this folder.\n";

/// Creates and marks the missing folders. Existing ones stay as they are.
/// Errors: [`NodeError`]: a folder cannot be created.
pub(super) fn make(data_dir: &Path) -> Result<(), NodeError> {
    for dir in FOLDERS.map(|name| data_dir.join(name)) {
        if is_empty(&dir)? {
            let made = own_files::make_folders(&dir).and_then(|()| {
                let mark = OpenOptions::new().write(true).create_new(true).mode(0o600).open(dir.join(MARK));
                mark?.write_all(MARK_TEXT.as_bytes())
            });
            made.map_err(unusable("create", &dir))?;
        }
        // The spool's folder is left out here: opening the spool reports it.
        if dir.ends_with("s3") {
            notice_if_open(&dir);
        }
    }
    Ok(())
}

/// Deletes all folders or none. Each must have been created by dev mode, and no process may use it.
/// Errors: [`NodeError`]: a folder is not marked, is in use, or cannot be deleted.
pub(super) fn reset(data_dir: &Path) -> Result<(), NodeError> {
    let mut made: Vec<PathBuf> = Vec::new();
    for name in FOLDERS {
        let dir = data_dir.join(name);
        if is_empty(&dir)? {
            continue;
        }
        if !dir.join(MARK).is_file() {
            return Err(NodeError::Other(format!(
                "{} has no file {MARK}, so `forebay dev` may not have created it: nothing is deleted; delete it yourself, or choose \
                 another --data-dir",
                dir.display()
            )));
        }
        // The lock of the spool shows whether another process uses it.
        if name == "spool" {
            drop(open_disk(&dir, false)?);
        }
        // `batch run` may use the folder of jobs while no `dev` runs.
        if name == BATCH {
            refuse_held_jobs(data_dir)?;
        }
        made.push(dir);
    }
    made.iter().try_for_each(|dir| delete(dir).map_err(unusable("delete", dir)))
}

fn refuse_held_jobs(data_dir: &Path) -> Result<(), NodeError> {
    let jobs = JobsFolder::open(data_dir).and_then(|jobs| jobs.list());
    let jobs = jobs.map_err(|error| NodeError::Other(with_causes(&error)))?.jobs;
    match jobs.iter().find(|job| job.holder.is_some()) {
        Some(job) => Err(NodeError::Other(format!(
            "a process works on job {} in {}: nothing is deleted; end that process first",
            job.id,
            data_dir.join(BATCH).display()
        ))),
        None => Ok(()),
    }
}

/// Deletes a folder, and its mark last: if something cannot be deleted, the next reset can continue.
fn delete(dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        if entry.file_name() == MARK {
            continue;
        }
        let path = entry.path();
        if entry.file_type()?.is_dir() { fs::remove_dir_all(path)? } else { fs::remove_file(path)? }
    }
    fs::remove_dir_all(dir)
}

/// Whether a folder is empty or missing.
fn is_empty(dir: &Path) -> Result<bool, NodeError> {
    match fs::read_dir(dir) {
        Ok(mut entries) => Ok(entries.next().is_none()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(unusable("read", dir)(error)),
    }
}

fn unusable(what: &'static str, dir: &Path) -> impl FnOnce(io::Error) -> NodeError {
    move |cause| NodeError::DataDir(what, dir.to_owned(), cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::job::id::JobId;
    use crate::jobs::job::spec_checks::tests::described;

    #[test]
    fn folders_are_for_their_owner_only() {
        use std::os::unix::fs::PermissionsExt as _;
        let dir = tempfile::tempdir().unwrap();
        let data_dir = dir.path().join("new/data");
        make(&data_dir).unwrap();
        for folder in ["..", ".", "spool", "s3", "batch"] {
            let mode = fs::metadata(data_dir.join(folder)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o700, "{folder}");
        }
    }

    #[test]
    fn reset_deletes_all_folders_of_dev_or_none() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        reset(dir.path()).unwrap();
        make(dir.path()).unwrap();
        make(dir.path()).unwrap();
        fs::write(at("s3/object"), "x").unwrap();
        fs::write(at("note"), "mine").unwrap();
        reset(dir.path()).unwrap();
        assert!(FOLDERS.iter().all(|folder| !at(folder).exists()) && at("note").exists());

        make(dir.path()).unwrap();
        fs::remove_dir_all(at("s3")).unwrap();
        fs::create_dir(at("s3")).unwrap();
        fs::write(at("s3/precious"), "mine").unwrap();
        make(dir.path()).unwrap();
        let said = reset(dir.path()).unwrap_err().to_string();
        assert!(said.contains("s3 has no file") && said.contains("nothing is deleted"), "{said}");
        assert!(at("s3/precious").exists() && at("spool").exists() && at("batch").exists());
    }

    #[test]
    fn reset_deletes_jobs_but_not_one_that_a_process_holds() {
        let dir = tempfile::tempdir().unwrap();
        make(dir.path()).unwrap();
        let (id, spec) = (JobId::from_bytes([1; 16]), described());
        let held = JobsFolder::open(dir.path()).unwrap().make(id, &spec).unwrap();
        let said = reset(dir.path()).unwrap_err().to_string();
        assert!(said.contains(&id.to_string()) && said.contains("nothing is deleted"), "{said}");
        assert!(dir.path().join("spool").exists() && dir.path().join(BATCH).join(id.to_string()).exists());
        drop(held);
        reset(dir.path()).unwrap();
        assert!(!dir.path().join(BATCH).exists());
    }
}
