//! The server's files, and the order in which they are synced.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use super::meta::{BucketMeta, ObjectMeta, UploadMeta};
use super::settings::DevS3Error;
use crate::disk::own_files;

pub(super) const BUCKETS: &str = "buckets";
pub(super) const OBJECTS: &str = "objects";
pub(super) const UPLOADS: &str = "uploads";
const BODIES: &str = "bodies";
const TMP: &str = "tmp";

/// The data directory, locked for the lifetime of this value.
#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
    _lock: File,
}

/// Everything found on disk.
#[derive(Debug, Default)]
pub(super) struct Loaded {
    pub(super) buckets: Vec<BucketMeta>,
    pub(super) objects: Vec<ObjectMeta>,
    pub(super) uploads: Vec<UploadMeta>,
}

type Result<T> = std::result::Result<T, DevS3Error>;

fn failed(what: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> DevS3Error {
    let path = path.to_owned();
    move |cause| DevS3Error::Disk(what, path, cause)
}

impl Disk {
    /// Locks the directory, and creates what is missing.
    pub(super) fn open(root: &Path) -> Result<Self> {
        for name in ["", BUCKETS, OBJECTS, UPLOADS, BODIES, TMP] {
            let dir = root.join(name);
            own_files::make_folders(&dir).map_err(failed("create the directory", &dir))?;
        }
        sync_dir(root)?;
        let path = root.join("lock");
        let mut options = fs::OpenOptions::new();
        let lock = own_files::open(&path, options.write(true).create(true).truncate(false).mode(0o600));
        let lock = lock.map_err(failed("create the file", &path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { root: root.to_owned(), _lock: lock }),
            Err(fs::TryLockError::WouldBlock) => Err(DevS3Error::InUse(root.to_owned())),
            Err(fs::TryLockError::Error(cause)) => Err(failed("lock the file", &path)(cause)),
        }
    }

    /// Reads everything, and removes bodies left by a crash that no object or part names.
    pub(super) fn load(&self) -> Result<Loaded> {
        let loaded = Loaded {
            buckets: self.read_all(BUCKETS)?,
            objects: self.read_all(OBJECTS)?,
            uploads: self.read_all(UPLOADS)?,
        };
        let of_objects = loaded.objects.iter().map(|object| object.body.as_str());
        let of_parts =
            loaded.uploads.iter().flat_map(|upload| upload.parts.values()).map(|part| part.body.as_str());
        let named: BTreeSet<&str> = of_objects.chain(of_parts).collect();
        for path in self.files(BODIES)? {
            let is_named =
                path.file_name().and_then(|name| name.to_str()).is_some_and(|name| named.contains(name));
            if !is_named {
                fs::remove_file(&path).map_err(failed("remove the file", &path))?;
            }
        }
        for path in self.files(TMP)? {
            fs::remove_file(&path).map_err(failed("remove the file", &path))?;
        }
        Ok(loaded)
    }

    /// Where a body is received.
    pub(super) fn tmp(&self, id: &str) -> PathBuf {
        self.root.join(TMP).join(id)
    }

    /// Where the body of an object or part is kept.
    pub(super) fn body(&self, id: &str) -> PathBuf {
        self.root.join(BODIES).join(id)
    }

    /// Moves a received and synced body to its place.
    pub(super) fn keep_body(&self, id: &str) -> Result<()> {
        rename_durably(&self.tmp(id), &self.body(id), &self.root.join(BODIES))
    }

    /// Removes a body. If that fails, the next start removes it.
    pub(super) fn drop_body(&self, id: &str) {
        if let Err(err) = fs::remove_file(self.body(id)) {
            tracing::warn!(%err, body = id, "could not remove a body of the S3 server: the next start removes it");
        }
    }

    /// Writes the file of a bucket, an object or an upload.
    pub(super) fn write(&self, dir: &str, name: &str, value: &impl Serialize) -> Result<()> {
        let dir = self.root.join(dir);
        let path = dir.join(format!("{name}.json"));
        let tmp = self.tmp(&format!("{name}.json"));
        let bytes = serde_json::to_vec(value)
            .map_err(|cause| failed("write the file", &path)(std::io::Error::other(cause)))?;
        let written = own_files::replace(&tmp, 0o600).and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        });
        written.map_err(failed("write the file", &tmp))?;
        rename_durably(&tmp, &path, &dir)
    }

    /// Removes such a file.
    pub(super) fn remove(&self, dir: &str, name: &str) -> Result<()> {
        let dir = self.root.join(dir);
        let path = dir.join(format!("{name}.json"));
        fs::remove_file(&path).map_err(failed("remove the file", &path))?;
        sync_dir(&dir)
    }

    fn read_all<T: DeserializeOwned>(&self, dir: &str) -> Result<Vec<T>> {
        let read = |path: PathBuf| {
            let bytes = fs::read(&path).map_err(failed("read the file", &path))?;
            serde_json::from_slice(&bytes).map_err(|cause| DevS3Error::Damaged(path, cause))
        };
        self.files(dir)?.into_iter().map(read).collect()
    }

    fn files(&self, dir: &str) -> Result<Vec<PathBuf>> {
        let dir = self.root.join(dir);
        let paths = fs::read_dir(&dir).and_then(|entries| {
            entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<PathBuf>>>()
        });
        paths.map_err(failed("read the directory", &dir))
    }
}

/// The name of an object's file. A bucket name contains no zero byte, so no two objects share one.
pub(super) fn digest(bucket: &str, key: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(bucket);
    hasher.update([0]);
    hasher.update(key);
    hex::encode(hasher.finalize())
}

#[expect(clippy::disallowed_methods, reason = "the directory is synced right after")]
fn rename_durably(from: &Path, to: &Path, dir: &Path) -> Result<()> {
    fs::rename(from, to).map_err(failed("rename to", to))?;
    sync_dir(dir)
}

/// Without this, a power failure can lose the new name although the file's bytes survive.
fn sync_dir(dir: &Path) -> Result<()> {
    File::open(dir).and_then(|dir| dir.sync_all()).map_err(failed("sync the directory", dir))
}
