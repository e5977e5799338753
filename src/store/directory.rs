//! [`DirectoryStore`]: a store whose objects are files, for emptying a spool without a bucket.
//!
//! An object is a file named by its key; its headers and metadata are in a file next to it, with `.json`
//! appended to the name. A file is renamed to its final name only after it is complete and synced, so an
//! existing file is always complete.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{Attempted, Body, Fault, Head, ObjectStore, Put, PutMode, StoreError, Stored};
use crate::disk::{if_there, own_files};
use crate::lock::lock;
use crate::object::{ObjectKey, S3Location};

/// Bytes copied at a time.
const PIECE_BYTES: usize = 256 * 1_024;

/// Objects as files below a directory.
#[derive(Clone, Debug)]
pub struct DirectoryStore {
    root: PathBuf,
    /// Serialises puts, so that the second of two puts with the same key finds the first object.
    putting: Arc<Mutex<()>>,
}

/// The content of the `.json` file next to an object.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
struct Beside {
    bucket: String,
    key: String,
    content_type: String,
    content_encoding: Option<String>,
    server_side_encryption: Option<String>,
    metadata: BTreeMap<String, String>,
}

impl DirectoryStore {
    /// Opens a store with its objects below `root`, which is created if missing.
    pub fn open(root: &Path) -> io::Result<Self> {
        make_dirs(root)?;
        Ok(Self { root: root.to_owned(), putting: Arc::default() })
    }

    fn place(&self, key: &ObjectKey) -> Result<PathBuf, StoreError> {
        let path = Path::new(key.as_str());
        // Forebay makes the key, but with a prefix chosen by a person.
        if path.components().all(|part| matches!(part, Component::Normal(_))) && !key.as_str().is_empty() {
            Ok(self.root.join(path))
        } else {
            Err(StoreError::local(Fault::Refused, format!("the object key {key} cannot be used as a path")))
        }
    }

    fn put_file(&self, put: &Put) -> Result<Stored, StoreError> {
        let place = self.place(&put.key)?;
        let _one = lock(&self.putting);
        if put.mode == PutMode::CreateOnly && place.try_exists().map_err(|error| refused(&place, &error))? {
            return Err(StoreError::local(Fault::Exists, format!("{} already exists", place.display())));
        }
        let beside = Beside {
            bucket: put.location.bucket.bucket().to_owned(),
            key: put.key.to_string(),
            content_type: "text/plain".to_owned(),
            content_encoding: put.content_encoding.map(str::to_owned),
            server_side_encryption: put.location.encryption.algorithm().map(str::to_owned),
            metadata: put.metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        };
        let json = serde_json::to_vec_pretty(&beside).map_err(|error| refused(&place, &error.into()))?;
        let mut body =
            read_body(&put.body).map_err(|error| StoreError::local(Fault::Local, error.to_string()))?;
        let mut written = || -> io::Result<bool> {
            make_dirs(place.parent().unwrap_or(&self.root))?;
            let staged = temporary_of(&place);
            if write_synced(&staged, &mut *body)? != put.crc32 {
                fs::remove_file(&staged)?;
                return Ok(false);
            }
            // Rename the object last, so that an existing object always has its `.json` file.
            let beside = beside_of(&place);
            write_synced(&temporary_of(&beside), &mut json.as_slice())?;
            name_durably(&beside)?;
            name_durably(&place)?;
            Ok(true)
        };
        match written() {
            Ok(true) => Ok(Stored::default()),
            Ok(false) => {
                Err(StoreError::local(Fault::Digest, "the staged object does not match its checksum"))
            }
            Err(error) => Err(refused(&place, &error)),
        }
    }

    fn head_file(&self, key: &ObjectKey) -> Result<Head, StoreError> {
        let place = self.place(key)?;
        let about = if_there(fs::metadata(&place)).map_err(|error| refused(&place, &error))?;
        let none = || StoreError::local(Fault::NotFound, format!("{} does not exist", place.display()));
        let len = Some(about.ok_or_else(none)?.len());
        let beside = beside_of(&place);
        let read = fs::read(&beside).and_then(|json| Ok(serde_json::from_slice::<Beside>(&json)?));
        // A file of someone else: without metadata it is not Forebay's.
        let read = if_there(read).map_err(|error| refused(&beside, &error))?;
        Ok(Head { len, metadata: read.map(|beside| beside.metadata).unwrap_or_default(), ..Head::default() })
    }
}

impl ObjectStore for DirectoryStore {
    fn put<'a>(&'a self, put: &'a Put) -> Attempted<'a, Stored> {
        let (store, put) = (self.clone(), put.clone());
        Box::pin(blocking(move || store.put_file(&put)))
    }

    fn head<'a>(&'a self, _location: &'a S3Location, key: &'a ObjectKey) -> Attempted<'a, Head> {
        let (store, key) = (self.clone(), key.clone());
        Box::pin(blocking(move || store.head_file(&key)))
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, StoreError> + Send + 'static,
) -> Result<T, StoreError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(StoreError::local(Fault::Transient, error.to_string())))
}

/// File system errors last until a person does something, so they are [`Fault::Refused`].
fn refused(place: &Path, error: &io::Error) -> StoreError {
    StoreError::local(Fault::Refused, format!("{}: {error}", place.display()))
}

fn beside_of(place: &Path) -> PathBuf {
    with_ending(place, ".json")
}

fn temporary_of(place: &Path) -> PathBuf {
    with_ending(place, ".tmp")
}

fn with_ending(place: &Path, ending: &str) -> PathBuf {
    let mut name = place.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

fn read_body(body: &Body) -> io::Result<Box<dyn Read + '_>> {
    match body {
        Body::Bytes(bytes) => Ok(Box::new(bytes.as_ref())),
        Body::File { path, len } => {
            let file = File::open(path)?;
            let found = file.metadata()?.len();
            if found != *len {
                return Err(io::Error::other(format!(
                    "the object's file {} has {found} bytes instead of {len}",
                    path.display()
                )));
            }
            Ok(Box::new(file))
        }
    }
}

/// Creates a directory with its parents, and syncs each parent.
fn make_dirs(dir: &Path) -> io::Result<()> {
    if dir.as_os_str().is_empty() || dir.is_dir() {
        return Ok(());
    }
    let parent = dir.parent().unwrap_or(Path::new(""));
    make_dirs(parent)?;
    match fs::DirBuilder::new().mode(0o700).create(dir) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    own_files::sync_folder_of(dir)
}

/// Writes and syncs a file; returns the CRC-32 of its bytes.
fn write_synced(place: &Path, from: &mut dyn Read) -> io::Result<u32> {
    let mut file = own_files::replace(place, 0o600)?;
    let mut crc32 = crc32fast::Hasher::new();
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let read = from.read(&mut piece)?;
        let bytes = piece.get(..read).unwrap_or(&[]);
        if bytes.is_empty() {
            break;
        }
        crc32.update(bytes);
        file.write_all(bytes)?;
    }
    file.sync_all()?;
    Ok(crc32.finalize())
}

/// Renames a synced temporary file to its final name.
fn name_durably(place: &Path) -> io::Result<()> {
    own_files::rename_durably(&temporary_of(place), place)
}
