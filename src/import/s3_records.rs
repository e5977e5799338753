//! The records of [`SharedProgress`](super::SharedProgress) as small objects in S3, one for each file.

use std::sync::Arc;

use bytes::Bytes;

use super::shared_progress::{SharedRecords, Stored, Tag, WriteError};
use crate::boxed_future::BoxFuture;
use crate::log::ImportKey;
use crate::object::{ObjectKey, S3Location};
use crate::store::s3::{ReadFailure, S3Store};
use crate::store::{Body, Fault, ObjectStore as _, Put, PutMode, StoreError};
use crate::words::Told;

/// The most bytes of a record. It has a file's name, which S3 limits to 1,024 bytes.
const RECORD_MAX: u64 = 64 * 1_024;
/// How often a record is read again that changes while it is read.
const READS_MAX: usize = 5;

/// Records below a prefix of a bucket.
#[derive(Debug)]
pub struct S3Records {
    store: Arc<S3Store>,
    location: S3Location,
    prefix: String,
}

impl S3Records {
    /// Records below `prefix` (which ends in `/` or is empty), in a store that keeps conditions: without them two
    /// importers would import one file. One put shows it, which must fail.
    ///
    /// # Errors
    /// [`WriteError`].
    pub async fn open(store: Arc<S3Store>, location: S3Location, prefix: String) -> Result<Self, WriteError> {
        let records = Self { store, location, prefix };
        let put = records.put("conditions".to_owned(), Bytes::new());
        match records.store.replace(&put, "\"00000000000000000000000000000000\"").await {
            Ok(_) => Err(WriteError::Refused(
                "this store ignores the condition If-Match, so it cannot keep two importers from one file"
                    .into(),
            )),
            Err(error) => match failed(error) {
                WriteError::Changed => Ok(records),
                other => Err(other),
            },
        }
    }

    fn put(&self, name: String, bytes: Bytes) -> Put {
        Put {
            location: self.location.clone(),
            key: ObjectKey::listed(format!("{}{name}", self.prefix)),
            crc32: crc32fast::hash(&bytes),
            body: Body::Bytes(bytes),
            content_encoding: None,
            metadata: Vec::new(),
            tags: Vec::new(),
            mode: PutMode::CreateOnly,
        }
    }
}

fn name_of(key: ImportKey) -> String {
    format!("{key}.json")
}

fn failed(error: StoreError) -> WriteError {
    match (error.fault, error.status) {
        // 404 answers a condition on an object that is not there. It is also that of a missing bucket.
        (Fault::Exists, _) => WriteError::Changed,
        (_, Some(404)) if error.code.as_deref() == Some("NoSuchKey") => WriteError::Changed,
        (Fault::Refused, Some(401 | 403)) | (Fault::NoAccess, _) => WriteError::Refused(denied(&error)),
        (Fault::Refused | Fault::Local | Fault::NotFound, _) => WriteError::Refused(error.told()),
        (Fault::Transient | Fault::Busy | Fault::Digest | Fault::Expired | Fault::Region, _) => {
            WriteError::Unknown(error.told())
        }
    }
}

fn denied(error: &StoreError) -> Told {
    let what = "access denied; it needs s3:GetObject and s3:PutObject below its prefix, and s3:ListBucket: ";
    Told::plain(what).and(&error.told())
}

impl SharedRecords for S3Records {
    fn read(&self, key: ImportKey) -> BoxFuture<'_, Result<Option<Stored>, WriteError>> {
        Box::pin(async move {
            let key = self.put(name_of(key), Bytes::new()).key;
            let unread = |failure| match failure {
                ReadFailure::Denied(error) => WriteError::Refused(denied(&error)),
                ReadFailure::Refused(error) => WriteError::Refused(error.told()),
                other => WriteError::Unknown(other.told()),
            };
            for _ in 0..READS_MAX {
                let head = match self.store.head_for_import(&self.location, &key, None).await {
                    Err(ReadFailure::NotFound) => return Ok(None),
                    head => head.map_err(unread)?,
                };
                if head.len == 0 || head.len > RECORD_MAX {
                    let what = format!("{key} is not a record of Forebay's");
                    return Err(WriteError::Refused(Told::plain(what)));
                }
                let range = self.store.get_range(&self.location, &key, &head.version, 0, head.len).await;
                match range {
                    Ok(bytes) if bytes.len() as u64 == head.len => {
                        return Ok(Some((bytes, Tag(head.version.etag))));
                    }
                    Ok(_) | Err(ReadFailure::Changed | ReadFailure::NotFound) => {}
                    Err(failure) => return Err(unread(failure)),
                }
            }
            Err(WriteError::Unknown(Told::plain(format!("{key} changes again and again"))))
        })
    }

    fn write(
        &self,
        key: ImportKey,
        record: Bytes,
        replaces: Option<Tag>,
    ) -> BoxFuture<'_, Result<Tag, WriteError>> {
        Box::pin(async move {
            let put = self.put(name_of(key), record);
            let stored = match &replaces {
                Some(tag) => self.store.replace(&put, &tag.0).await,
                None => self.store.put(&put).await,
            };
            let stored = stored.map_err(failed)?;
            stored.etag.map(Tag).ok_or_else(|| WriteError::Refused("the store's answer names no ETag".into()))
        })
    }
}
