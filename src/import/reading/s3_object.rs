//! An object of [`S3Store`] as [`Ranges`].

use std::sync::Arc;

use bytes::Bytes;

use super::s3::{RangeError, Ranges};
use crate::boxed_future::BoxFuture;
use crate::import::identity::FileIdentity;
use crate::object::{ObjectKey, S3Location};
use crate::store::s3::{ObjectHead, ReadFailure, S3Store};

/// One version of an object, as a HEAD found it.
#[derive(Clone, Debug)]
pub struct S3Object {
    /// The store.
    pub store: Arc<S3Store>,
    /// The bucket, and how to reach it.
    pub location: S3Location,
    /// The whole key.
    pub key: ObjectKey,
    /// What the HEAD said.
    pub head: ObjectHead,
}

impl S3Object {
    /// What a HEAD says now.
    ///
    /// # Errors
    /// [`ReadFailure`].
    pub async fn now(&self) -> Result<ObjectHead, ReadFailure> {
        self.store.head_for_import(&self.location, &self.key, None).await
    }

    /// The identity of the object.
    pub fn identity(&self) -> FileIdentity {
        FileIdentity::S3 {
            bucket: self.location.bucket.bucket().to_owned(),
            key: self.key.as_str().to_owned(),
            version: self.head.version.id.clone(),
            etag: self.head.version.etag.clone(),
            size: self.head.len,
        }
    }
}

impl Ranges for S3Object {
    fn get(&self, from: u64, len: u64) -> BoxFuture<'_, Result<Bytes, RangeError>> {
        Box::pin(async move {
            let range = self.store.get_range(&self.location, &self.key, &self.head.version, from, len);
            range.await.map_err(|failure| match failure {
                ReadFailure::NotFound => RangeError::Missing,
                ReadFailure::Changed => RangeError::Changed,
                ReadFailure::Denied(error) => RangeError::Denied(error.told()),
                ReadFailure::Refused(error) => RangeError::Refused(error.told()),
                ReadFailure::Transient(error) => RangeError::Transient(error.told()),
            })
        })
    }
}
