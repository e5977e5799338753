//! The files of one folder, as a [`Disk`]: those of a job.
//!
//! `disk::real_disk` is for spools: it makes their subdirectories, and keeps file handles in reserve for
//! them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::{Disk, DiskFile, if_there};

/// The files of a folder that exists. Names have no subdirectories.
#[derive(Clone, Debug)]
pub struct FolderDisk {
    root: PathBuf,
    /// Files are opened for reading alone, and nothing is changed.
    is_read_only: bool,
}

impl FolderDisk {
    /// The files of the folder at `root`.
    pub fn of(root: &Path) -> Self {
        Self { root: root.to_owned(), is_read_only: false }
    }

    /// The same for reading alone: the folder may be on a file system that is mounted read-only.
    pub fn to_look(root: &Path) -> Self {
        Self { root: root.to_owned(), is_read_only: true }
    }

    /// Errors: the folder is opened for reading alone.
    fn writable(&self) -> io::Result<()> {
        match self.is_read_only {
            true => Err(io::Error::new(io::ErrorKind::ReadOnlyFilesystem, "it is opened for reading only")),
            false => Ok(()),
        }
    }
}

impl Disk for FolderDisk {
    fn open(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        let file = OpenOptions::new().read(true).write(!self.is_read_only).open(self.root.join(name))?;
        Ok(Arc::new(FolderFile(file)))
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn DiskFile>> {
        self.writable()?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        Ok(Arc::new(FolderFile(options.open(self.root.join(name))?)))
    }

    #[expect(clippy::disallowed_methods, reason = "callers sync the directory, as the trait says")]
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.writable()?;
        fs::rename(self.root.join(from), self.root.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.writable()?;
        if_there(fs::remove_file(self.root.join(name))).map(drop)
    }

    fn sync_dir(&self, dir: &str) -> io::Result<()> {
        File::open(self.root.join(dir))?.sync_all()
    }

    fn list(&self, dir: &str) -> io::Result<Vec<(String, u64)>> {
        let mut files = Vec::new();
        for entry in fs::read_dir(self.root.join(dir))? {
            let entry = entry?;
            // A file may be removed meanwhile, such as an answer by the process that waited for it.
            let Some(about) = if_there(entry.metadata())? else { continue };
            if let (true, Ok(name)) = (about.is_file(), entry.file_name().into_string()) {
                files.push((name, about.len()));
            }
        }
        files.sort();
        Ok(files)
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        Some(self.root.join(name))
    }
}

#[derive(Debug)]
struct FolderFile(File);

impl DiskFile for FolderFile {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let mut done = 0;
        while let Some(rest) = buf.get_mut(done..).filter(|rest| !rest.is_empty()) {
            match self.0.read_at(rest, at + done as u64) {
                Ok(0) => break,
                Ok(read) => done += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    fn write_at(&self, parts: &[IoSlice<'_>], at: u64) -> io::Result<()> {
        let mut at = at;
        for part in parts {
            self.0.write_all_at(part, at)?;
            at += part.len() as u64;
        }
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::{read_all, write_durably};

    #[test]
    fn files_are_written_listed_and_removed() {
        let dir = tempfile::tempdir().unwrap();
        let disk = FolderDisk::of(dir.path());
        write_durably(&disk, "b", b"bytes").unwrap();
        let file = disk.create("a").unwrap();
        file.write_at(&[IoSlice::new(b"one"), IoSlice::new(b""), IoSlice::new(b"two")], 2).unwrap();
        file.sync().unwrap();
        fs::create_dir(dir.path().join("folder")).unwrap();
        assert_eq!(disk.list("").unwrap(), [("a".to_owned(), 8), ("b".to_owned(), 5)]);
        assert_eq!(read_all(&*disk.open("a").unwrap()).unwrap(), b"\0\0onetwo");
        disk.remove("a").unwrap();
        disk.remove("a").unwrap();
        assert_eq!(disk.open("a").unwrap_err().kind(), io::ErrorKind::NotFound);
        assert_eq!(disk.path("b"), Some(dir.path().join("b")));
        let looking = FolderDisk::to_look(dir.path());
        let file = looking.open("b").unwrap();
        assert_eq!(read_all(&*file).unwrap(), b"bytes");
        assert!(file.write_at(&[IoSlice::new(b"x")], 0).is_err() && looking.create("c").is_err());
        assert!(looking.remove("b").is_err() && looking.rename("b", "c").is_err());
        assert_eq!(looking.list("").unwrap(), [("b".to_owned(), 5)]);
    }
}
