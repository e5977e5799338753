//! The object store: one narrow trait, the S3 client behind it, and how its answers are understood.
//!
//! A store tries once. Whether and when to try again is decided by `delivery`, which knows what was sealed.

pub mod directory;
pub mod fake;
pub mod fault;
pub mod region;
pub mod s3;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;

use crate::object::{AppliedEncryption, Destination, ObjectKey};

/// A future that a trait object can return.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Whether a put may replace an object of the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutMode {
    /// `If-None-Match: *`: 412 where the key exists.
    CreateOnly,
    /// A plain put.
    Overwrite,
}

/// What is put: in memory, or a file whose length is known.
#[derive(Clone, Debug)]
pub enum Body {
    /// In memory.
    Bytes(Bytes),
    /// The whole of a staged file.
    File {
        /// Where it lies.
        path: std::path::PathBuf,
        /// Its length in bytes.
        len: u64,
    },
}

/// One put.
#[derive(Clone, Debug)]
pub struct Put {
    /// Where it goes and how (the destination's prefix is already part of `key`).
    pub destination: Destination,
    /// The whole object key.
    pub key: ObjectKey,
    /// The object's bytes.
    pub body: Body,
    /// CRC-32 (IEEE) of the body, sent as the full-object checksum.
    pub crc32: u32,
    /// `Content-Encoding: gzip`, or no header.
    pub content_encoding: Option<&'static str>,
    /// User metadata: names without `x-amz-meta-`, and values.
    pub metadata: Vec<(&'static str, String)>,
    /// Object tags.
    pub tags: Vec<(&'static str, String)>,
    /// Whether an existing object is left alone.
    pub mode: PutMode,
}

/// What a store says of a put that it has taken.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The entity tag, as answered.
    pub etag: Option<String>,
    /// The server-side encryption that the store says it applied; `None` from a store that knows none.
    pub applied: Option<AppliedEncryption>,
    /// The version id, in versioned buckets.
    pub version: Option<String>,
}

/// What a HEAD tells of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Length in bytes.
    pub len: u64,
    /// User metadata by name, without `x-amz-meta-`.
    pub metadata: std::collections::BTreeMap<String, String>,
    /// The server-side encryption that the store names; `None` from a store that knows none.
    pub applied: Option<AppliedEncryption>,
}

/// What kind of failure an answer is; each asks for something else of the one who delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 412: an object with this key exists.
    Exists,
    /// 409: another conditional request is under way.
    Busy,
    /// 404 on HEAD: no such object.
    NotFound,
    /// Refused until somebody changes something: 403, no such bucket, a key that cannot be used, no credentials.
    Refused,
    /// The credentials used have ended before their time; the next try gets new ones.
    Expired,
    /// Nothing was asked: there are no credentials, or the role that opens the bucket is refused.
    NoAccess,
    /// The store received other bytes than were named by the checksum.
    Digest,
    /// Nothing was asked: a local file with the object's bytes cannot be read. That is not the store's fault.
    Local,
    /// The bucket is in another region than the one used; the store's cache of regions has been corrected.
    Region,
    /// Everything else: timeout, reset, 5xx, SlowDown, unknown. Whether the put was applied is not known.
    Transient,
}

/// A failed try. `fault` says what to do; the text says what happened, for a person.
#[derive(Clone, Debug)]
pub struct StoreError {
    /// What kind of failure it is.
    pub fault: Fault,
    /// HTTP status, where there was an answer.
    pub status: Option<u16>,
    /// The store's error code (`AccessDenied`, `SlowDown`, …), where it gave one.
    pub code: Option<String>,
    /// What happened, in one line, at most 256 bytes of outside text.
    pub message: String,
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.status, &self.code) {
            (Some(status), Some(code)) => write!(f, "{status} {code}: {}", self.message),
            (Some(status), None) => write!(f, "{status}: {}", self.message),
            _ => f.write_str(&self.message),
        }
    }
}

impl std::error::Error for StoreError {}

/// An object store, as narrow as Forebay needs it.
pub trait ObjectStore: Send + Sync + fmt::Debug {
    /// Puts one object, in one request, trying once. `Ok` means the store has it durably and its checksum was that sent.
    fn put<'a>(&'a self, put: &'a Put) -> BoxFuture<'a, Result<Stored, StoreError>>;

    /// Asks for an object's metadata, trying once.
    fn head<'a>(
        &'a self,
        destination: &'a Destination,
        key: &'a ObjectKey,
    ) -> BoxFuture<'a, Result<Head, StoreError>>;
}
