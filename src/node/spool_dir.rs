//! Checks the directory of a spool before it is opened.

use std::path::Path;

use super::error::NodeError;
use crate::disk::own_files;
use crate::disk::read_only::ReadOnlyDisk;
use crate::disk::real_disk::RealDisk;
use crate::runtime::filesystem::{self, Trust};
use crate::spool::offline::ViewError;

/// Reports a folder of data that others than its owner may use. The folder's mode stays: a person may have
/// meant it, and the volumes of a cluster are open to the group of their pod.
pub fn notice_if_open(dir: &Path) {
    match own_files::open_to_others(dir) {
        Ok(Some(mode)) => tracing::warn!(
            dir = %dir.display(),
            mode,
            "the directory is open to others than its owner; unless that is meant, run chmod 700"
        ),
        Ok(None) => {}
        Err(error) => tracing::warn!(%error, dir = %dir.display(), "the directory's mode could not be read"),
    }
}

/// Checks that `dir` is a spool that no process uses: opening a directory for writing turns it into a spool.
/// Errors: [`NodeError`]: the directory is not a spool, or is in use.
pub fn is_closed_spool(dir: &Path) -> Result<(), NodeError> {
    drop(ReadOnlyDisk::open(dir).map_err(ViewError::from)?);
    Ok(())
}

/// Opens a spool directory; refuses or warns if its file system is not known to be safe.
/// Errors: [`NodeError`]: the directory cannot be used; the text says what to do.
pub fn open_disk(dir: &Path, refuse_unsafe: bool) -> Result<RealDisk, NodeError> {
    // The file system is found before anything is created in the directory.
    let found = filesystem::of_nearest(dir);
    if let Ok((name, Trust::Unsafe)) = &found
        && refuse_unsafe
    {
        return Err(NodeError::UnsafeFilesystem(dir.to_owned(), (*name).to_owned()));
    }
    let disk = RealDisk::open(dir)?;
    notice_if_open(dir);
    match found {
        Ok((name, Trust::Unsafe | Trust::Unknown)) => {
            tracing::warn!(dir = %dir.display(), filesystem = name, "the spool is on a file system that Forebay is not tested on");
            Ok(disk)
        }
        Ok((_, Trust::Tested)) => Ok(disk),
        Err(error) => {
            tracing::warn!(%error, dir = %dir.display(), "the spool's file system could not be determined");
            Ok(disk)
        }
    }
}
