//! Reading a bucket for a person who looks at it: single requests, without a retry.

use std::fmt;

use bytes::Bytes;

use super::StoreError;
use super::s3::{ListFrom, ListPage};
use crate::boxed_future::BoxFuture;
use crate::object::{ObjectKey, S3Location};

/// The first bytes of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beginning {
    /// The bytes.
    pub bytes: Bytes,
    /// Whether these are all.
    pub is_whole: bool,
}

/// A store that can be read. Delivery needs none of it, so the rights for it may be missing.
pub trait BucketReader: Send + Sync + fmt::Debug {
    /// One page of the bucket's keys.
    fn list<'a>(
        &'a self,
        location: &'a S3Location,
        from: ListFrom<'a>,
    ) -> BoxFuture<'a, Result<ListPage, StoreError>>;

    /// The first bytes of an object, at most `len` (at least one).
    fn beginning<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        len: usize,
    ) -> BoxFuture<'a, Result<Beginning, StoreError>>;
}
