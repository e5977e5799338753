//! Where a manifest is read, and the files that it names.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::runtime::Handle;

use crate::import::reading::ReadingError;
use crate::import::reading::s3::{BACKOFF, RangeReader, RangeSettings, TRIES_MAX};
use crate::import::reading::s3_object::S3Object;
use crate::jobs::missing_bucket::missing_bucket;
use crate::jobs::store_advice::{Use, advised};
use crate::object::{BucketString, ObjectKey, S3Location};
use crate::random::Random;
use crate::store::reader::StoreReader;
use crate::store::{Outlook, StoreError};
use crate::words::{Told, outside_key};

/// A file that is open for reading. A failed read of it carries a [`ReadingError`] where it is known why.
pub struct OpenFile {
    /// Its bytes, as stored.
    pub bytes: Box<dyn Read + Send>,
    /// Its length, if that is known.
    pub len: Option<u64>,
    /// Its ETag, if it is in a store.
    pub etag: Option<String>,
    /// Its `Content-Encoding`.
    pub content_encoding: Option<String>,
}

debug_fields!(OpenFile { len, etag });

/// A manifest and the files that it may name. All of it blocks.
pub trait ManifestFiles: fmt::Debug {
    /// The manifest's name in messages.
    fn name(&self) -> String;

    /// Opens the manifest. Errors: why it cannot be read.
    fn manifest(&self) -> Result<OpenFile, ReadingError>;

    /// Opens the file with this name in the manifest's folder. Errors: why it cannot be read.
    fn beside(&self, name: &str) -> Result<OpenFile, ReadingError>;

    /// Opens an object. Errors: why it cannot be read.
    fn object(&self, bucket: &str, key: &str) -> Result<OpenFile, ReadingError>;
}

/// Objects of a store, of which the version is pinned when they are opened: an object that changes during the
/// read is [`ReadingError::Changed`].
#[derive(Clone, Debug)]
pub struct StoredFiles {
    /// The store.
    pub store: Arc<dyn StoreReader>,
    /// How buckets are reached: the role and the region are those of this location.
    pub location: S3Location,
    /// Where requests run. Not the thread that reads.
    pub runtime: Handle,
    /// Draws the lengths of waits between tries.
    pub random: Arc<dyn Random>,
}

impl StoredFiles {
    /// Opens an object, or its version with this id. Errors: why it cannot be read.
    pub fn open(&self, bucket: &str, key: &str, version: Option<&str>) -> Result<OpenFile, ReadingError> {
        let refused = |what: &str| ReadingError::Refused(Told::plain(what));
        let bucket = BucketString::parse(bucket).map_err(|error| refused(error.what()))?;
        // Another bucket may be in another region, and belong to somebody else.
        let location = match bucket.bucket() == self.location.bucket.bucket() {
            true => self.location.clone(),
            false => S3Location { region: None, expected_bucket_owner: None, ..self.location.clone() },
        };
        let location = S3Location { bucket, ..location };
        let key = ObjectKey::listed(key);
        let found = self.runtime.block_on(self.find(&location, &key, version));
        let object = found.map_err(|error| unread(error, &location, &key, version.is_some()))?;
        let (len, etag) = (object.len, object.version.etag.clone());
        let content_encoding = object.content_encoding.clone();
        let settings = RangeSettings::new(Arc::clone(&self.random));
        let bytes = Box::new(RangeReader::new(Arc::new(object), self.runtime.clone(), settings));
        Ok(OpenFile { bytes, len: Some(len), etag: Some(etag), content_encoding })
    }

    /// The present version of an object, or this one.
    async fn find(
        &self,
        location: &S3Location,
        key: &ObjectKey,
        version: Option<&str>,
    ) -> Result<S3Object, StoreError> {
        let mut tries = 0;
        loop {
            let error = match self.store.head_of(location, key, version).await {
                Ok(head) => {
                    let store = Arc::clone(&self.store);
                    return S3Object::find(store, location.clone(), key.clone(), Some(&head)).await;
                }
                Err(error) => error,
            };
            tries += 1;
            if error.outlook() == Outlook::Missing {
                // The answer to a HEAD has no code: the bucket may be what is missing.
                return Err(missing_bucket(&*self.store, location).await.unwrap_or(error));
            }
            if tries >= TRIES_MAX || error.outlook() != Outlook::Passing {
                return Err(error);
            }
            tokio::time::sleep(BACKOFF.wait(tries, self.random.as_ref())).await;
        }
    }
}

/// Why an object cannot be read, with what fixes it.
fn unread(error: StoreError, location: &S3Location, key: &ObjectKey, is_version: bool) -> ReadingError {
    let used = Use::Manifest { bucket: location.bucket.bucket(), key: key.as_str(), is_version };
    let advised = advised(&error, used, location.role.as_ref());
    match ReadingError::from(error) {
        ReadingError::Denied(_) => ReadingError::Denied(advised),
        ReadingError::Refused(_) => ReadingError::Refused(advised),
        ReadingError::Unanswered(_) => ReadingError::Unanswered(advised),
        other => other,
    }
}

/// A manifest in a store.
#[derive(Clone, Debug)]
pub struct StoredManifest {
    /// Reads the store.
    pub files: StoredFiles,
    /// The manifest's bucket.
    pub bucket: String,
    /// The manifest's key, plain.
    pub key: String,
    /// The manifest's version; `None`: the present one.
    pub version: Option<String>,
}

impl ManifestFiles for StoredManifest {
    fn name(&self) -> String {
        format!("s3://{}/{}", self.bucket, outside_key(&self.key))
    }

    fn manifest(&self) -> Result<OpenFile, ReadingError> {
        self.files.open(&self.bucket, &self.key, self.version.as_deref())
    }

    fn beside(&self, name: &str) -> Result<OpenFile, ReadingError> {
        let folder = self.key.rsplit_once('/').map_or("", |(folder, _)| folder);
        let slash = if self.key.contains('/') { "/" } else { "" };
        self.files.open(&self.bucket, &format!("{folder}{slash}{name}"), None)
    }

    fn object(&self, bucket: &str, key: &str) -> Result<OpenFile, ReadingError> {
        self.files.open(bucket, key, None)
    }
}

/// A manifest on this machine, or on standard input. The objects that it names are in a store.
#[derive(Clone, Debug)]
pub struct LocalManifest {
    /// The file; `None`: standard input.
    pub path: Option<PathBuf>,
    /// Reads the store; `None`: there is none, as for a job without AWS. An inventory or a report needs one.
    pub files: Option<StoredFiles>,
}

impl ManifestFiles for LocalManifest {
    fn name(&self) -> String {
        let shown = |path: &PathBuf| outside_key(&path.display().to_string()).to_string();
        self.path.as_ref().map_or_else(|| "standard input".to_owned(), shown)
    }

    fn manifest(&self) -> Result<OpenFile, ReadingError> {
        match &self.path {
            Some(path) => local(path),
            None => {
                let bytes = Box::new(io::stdin());
                Ok(OpenFile { bytes, len: None, etag: None, content_encoding: None })
            }
        }
    }

    fn beside(&self, name: &str) -> Result<OpenFile, ReadingError> {
        let path = self.path.as_ref().ok_or(ReadingError::Missing)?;
        local(&path.with_file_name(name))
    }

    fn object(&self, bucket: &str, key: &str) -> Result<OpenFile, ReadingError> {
        let none = "the manifest names objects, and there is no store to read them from";
        let files = self.files.as_ref().ok_or_else(|| ReadingError::Refused(Told::plain(none)))?;
        files.open(bucket, key, None)
    }
}

/// Opens a local file.
fn local(path: &Path) -> Result<OpenFile, ReadingError> {
    let unread = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => ReadingError::Missing,
        io::ErrorKind::PermissionDenied => ReadingError::Denied(Told::plain(error.to_string())),
        _ => ReadingError::Refused(Told::plain(error.to_string())),
    };
    let file = File::open(path).map_err(unread)?;
    let about = file.metadata().map_err(unread)?;
    if about.is_dir() {
        return Err(ReadingError::Refused(Told::plain("it is a folder")));
    }
    // A pipe has no length.
    let len = about.is_file().then_some(about.len());
    Ok(OpenFile { bytes: Box::new(file), len, etag: None, content_encoding: None })
}
