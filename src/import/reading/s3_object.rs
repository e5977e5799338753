//! One version of an object in a store.

use std::sync::Arc;

use crate::import::file_id::FileId;
use crate::import::identity;
use crate::object::{ObjectKey, S3Location};
use crate::store::reader::StoreReader;
use crate::store::{Head, ObjectVersion, StoreError};

/// One version of an object, as a HEAD found it.
#[derive(Clone, Debug)]
pub struct S3Object {
    /// The store.
    pub store: Arc<dyn StoreReader>,
    /// The bucket, and how to reach it.
    pub location: S3Location,
    /// The whole key.
    pub key: ObjectKey,
    /// The object's version.
    pub version: ObjectVersion,
    /// The object's length in bytes.
    pub len: u64,
    /// The object's `Content-Encoding`.
    pub content_encoding: Option<String>,
}

impl S3Object {
    /// The version that a HEAD found earlier, or the current one.
    /// Errors: [`StoreError`]; also if the store gives no entity tag.
    pub async fn find(
        store: Arc<dyn StoreReader>,
        location: S3Location,
        key: ObjectKey,
        found: Option<&Head>,
    ) -> Result<Self, StoreError> {
        let head = match found {
            Some(found) => found.clone(),
            None => store.head_of(&location, &key, None).await?,
        };
        let (version, len) = head.pinned()?;
        Ok(Self {
            store,
            location,
            key,
            version: version.clone(),
            len,
            content_encoding: head.content_encoding,
        })
    }

    /// Whether this version is the current one. Errors: [`StoreError`]: the store cannot be asked.
    pub async fn is_current(&self) -> Result<bool, StoreError> {
        let now = self.store.head_of(&self.location, &self.key, None).await?;
        Ok(*now.pinned()?.0 == self.version)
    }

    /// The id of the object, and that of its place.
    pub fn ids(&self) -> (FileId, FileId) {
        identity::of_object(self.location.bucket.bucket(), self.key.as_str(), &self.version, self.len)
    }
}
