//! Copies a file without a name, or without random access, to a temporary file.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};

use super::local::LocalFile;
use crate::disk::own_files;
use crate::import::file_id::FileId;
use crate::import::identity;

/// The bytes that are copied at a time.
const COPY_BYTES: usize = 256 * 1024;

/// The most names that are tried for a temporary file.
const NAMES_MAX: u64 = 1_000;

/// A copy cannot be made. The file that is copied is not at fault.
#[derive(Debug, thiserror::Error)]
#[error("{what} {}: {cause}", dir.display())]
pub struct NoCopy {
    what: String,
    dir: PathBuf,
    cause: io::Error,
}

/// A copy in a temporary file, which is deleted when it is closed.
#[derive(Debug)]
pub struct Copied {
    /// The copy.
    pub file: LocalFile,
    /// The id of the copy's content.
    pub id: FileId,
}

impl Copied {
    /// Copies a reader's bytes to their end into an unlinked file in the folder `dir`: nothing stays behind,
    /// even after `kill -9`. The disk must have room for the raw bytes.
    /// Errors: those of the reader, and of the folder: not writable, or full.
    pub fn to_folder(source: &mut dyn Read, dir: &Path) -> io::Result<Self> {
        own_files::make_folders(dir).map_err(explained("cannot make the folder", dir))?;
        let mut file = nameless_file(dir)?;
        let mut hash = blake3::Hasher::new();
        let mut buf = vec![0; COPY_BYTES];
        loop {
            let read = match source.read(&mut buf) {
                Ok(0) => break,
                Ok(read) => buf.get(..read).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            hash.update(read);
            file.write_all(read).map_err(explained("cannot copy it to a file in", dir))?;
        }
        let file = LocalFile::of_open(file)?;
        Ok(Self { id: identity::of_content(hash.finalize().as_bytes(), file.size()), file })
    }
}

/// Says what could not be done in a folder.
pub(crate) fn explained(what: &str, dir: &Path) -> impl Fn(io::Error) -> io::Error {
    move |cause| io::Error::new(cause.kind(), NoCopy { what: what.to_owned(), dir: dir.to_owned(), cause })
}

/// Makes a file that is unlinked before anything is written to it.
pub(crate) fn nameless_file(dir: &Path) -> io::Result<File> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    let explain = explained("cannot make a temporary file in", dir);
    for _ in 0..NAMES_MAX {
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = dir.join(format!(".forebay-import-{}-{number}", process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => {
                fs::remove_file(&path).map_err(explain)?;
                return Ok(file);
            }
            // A process that was killed between the two calls left this name.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(explain(error)),
        }
    }
    Err(explain(io::ErrorKind::AlreadyExists.into()))
}

#[cfg(test)]
mod tests {
    use super::super::test_bytes::{Dribble, rows};
    use super::*;

    #[test]
    fn the_same_bytes_are_the_same_file_and_nothing_stays_behind() {
        let dir = tempfile::tempdir().unwrap();
        let bytes = rows(30_000);
        let copy = |bytes: &[u8], size| Copied::to_folder(&mut Dribble(bytes, size), dir.path()).unwrap();
        let first = copy(&bytes, 1 << 20);
        let second = copy(&bytes, 777);
        assert_eq!(first.id, second.id);
        assert_ne!(copy(&bytes[1..], 777).id, first.id);
        let mut read = Vec::new();
        second.file.reader().read_to_end(&mut read).unwrap();
        assert!(read == bytes);
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_missing_folder_is_made_and_an_impossible_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        Copied::to_folder(&mut io::empty(), &dir.path().join("new/folder")).unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "").unwrap();
        let error = Copied::to_folder(&mut io::empty(), &file.join("folder")).unwrap_err();
        assert!(error.to_string().contains("file/folder"), "{error}");
    }
}
