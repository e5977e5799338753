//! The object store: a narrow trait, the S3 client that implements it, and the classification of its answers.
//!
//! A store makes one attempt. `delivery` decides whether and when to retry, because it knows what is sealed.

pub mod changer;
pub mod directory;
#[cfg(any(test, feature = "testing"))]
pub mod fake;
pub mod fault;
pub mod notification_rules;
pub mod reader;
pub mod reason;
pub mod region;
pub mod remedy;
pub mod s3;

use std::fmt;

use bytes::Bytes;

use crate::boxed_future::BoxFuture;
use crate::object::{AppliedEncryption, ObjectKey, S3Location};
use crate::time::UnixMillis;
use crate::words::{Told, outside_text, outside_text_within};

pub use fault::Outlook;
pub use reason::Reason;

/// Whether a put may replace an object of the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutMode {
    /// `If-None-Match: *`: 412 if the key exists.
    CreateOnly,
    /// A plain put.
    Overwrite,
}

/// The bytes of a put: in memory, or in a file of known length.
#[derive(Clone, Debug)]
pub enum Body {
    /// In memory.
    Bytes(Bytes),
    /// The whole of a staged file.
    File {
        /// Its path.
        path: std::path::PathBuf,
        /// Its length in bytes.
        len: u64,
    },
}

/// One put.
#[derive(Clone, Debug)]
pub struct Put {
    /// The bucket (its prefix is already part of `key`).
    pub location: S3Location,
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
    /// Whether the put may replace an object.
    pub mode: PutMode,
}

/// A store's answer to a successful put.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stored {
    /// The entity tag, as answered.
    pub etag: Option<String>,
    /// The server-side encryption that the store reports; `None` if it reports none.
    pub applied: Option<AppliedEncryption>,
    /// The version id, in versioned buckets.
    pub version: Option<String>,
}

/// One version of an object's content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectVersion {
    /// The entity tag, as answered: with its quotes.
    pub etag: String,
    /// The version id; `None` in buckets without versions, where stores leave it out or say `null`.
    pub id: Option<String>,
}

/// A store's answer to a HEAD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Head {
    /// Length in bytes; `None` if the answer names none.
    pub len: Option<u64>,
    /// Its version; `None` if the answer names no entity tag.
    pub version: Option<ObjectVersion>,
    /// When it was stored, as the store says.
    pub last_modified: Option<UnixMillis>,
    /// Its `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// User metadata by name, without `x-amz-meta-`.
    pub metadata: std::collections::BTreeMap<String, String>,
    /// The server-side encryption that the store reports; `None` if it reports none.
    pub applied: Option<AppliedEncryption>,
    /// Its storage class, in the words of the store; `None`: the standard one, or not said.
    pub storage_class: Option<String>,
    /// What a copy of it must have, too.
    pub headers: KeptHeaders,
}

/// Headers that a store keeps with an object, beside `Content-Encoding` and user metadata.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeptHeaders {
    /// `Content-Type`.
    pub content_type: Option<String>,
    /// `Content-Disposition`.
    pub content_disposition: Option<String>,
    /// `Content-Language`.
    pub content_language: Option<String>,
    /// `Cache-Control`.
    pub cache_control: Option<String>,
    /// `Expires`, as it was put.
    pub expires: Option<String>,
    /// Where a website redirects to.
    pub redirect: Option<String>,
    /// Whether there is user metadata that headers cannot show.
    pub lacks_metadata: bool,
}

impl Head {
    /// The length in bytes, for whoever needs it. Errors: [`Fault::Refused`]: the answer names none.
    pub fn length(&self) -> Result<u64, StoreError> {
        self.len.ok_or_else(|| StoreError::local(Fault::Refused, "the answer names no length"))
    }

    /// The version and its length, for whoever reads it.
    /// Errors: [`Fault::Refused`]: the answer lacks one. Without the entity tag a change during the read
    /// could not be noticed.
    pub fn pinned(&self) -> Result<(&ObjectVersion, u64), StoreError> {
        let none = || StoreError::local(Fault::Refused, "the answer names no ETag");
        Ok((self.version.as_ref().ok_or_else(none)?, self.length()?))
    }
}

closed_list! {
    /// The kind of a failure. Delivery reacts differently to each.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Fault by slug {
        /// 412: an object with this key exists.
        Exists = "exists",
        /// 409: another conditional request is in progress.
        Busy = "busy",
        /// 404 on HEAD: no such object.
        NotFound = "not_found",
        /// Refused until a person acts: 403, missing bucket, unusable key.
        Refused = "refused",
        /// The credentials expired early or were revoked; the next attempt uses new ones.
        Expired = "expired",
        /// Nothing was sent: there are no credentials, or the role cannot be assumed.
        NoAccess = "no_access",
        /// The store received bytes that do not match the checksum.
        Digest = "digest",
        /// Nothing was sent: the local file with the object's bytes cannot be read. Not a fault of the store.
        Local = "local",
        /// The bucket is in another region than the one used; the remembered region has been corrected.
        Region = "region",
        /// Everything else: timeout, reset, 5xx, SlowDown, unknown. Whether the put was applied is unknown.
        Transient = "transient",
    }
}

/// The longest error code, in bytes. Longer ones are cut.
const CODE_BYTES_MAX: usize = 64;

/// A failed attempt. `fault` is for the program, the text is for people. What the store said may quote what
/// was sent: the `Display` is for logs and masked views, and has the status and the code without it. Whoever
/// owns the bucket gets [`StoreError::told`].
#[derive(Clone, Debug)]
pub struct StoreError {
    /// The kind of failure.
    pub fault: Fault,
    /// The HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// The store's error code (`AccessDenied`, `SlowDown`, …), if it gave one.
    pub code: Option<String>,
    /// What the failure is about, for the person who fixes it.
    pub reason: Reason,
    /// What happened, in one line; at most 256 bytes of external text, then `…` if more was cut off.
    pub message: Told,
}

impl StoreError {
    /// A failure on this side, before or after the request. `message` is a text of the program: outside text
    /// is made [`Told::private`] by whoever puts it in.
    pub fn local(fault: Fault, message: impl Into<String>) -> Self {
        Self::told_locally(fault, Told::plain(message))
    }

    /// The same with a text that knows its private parts.
    pub fn told_locally(fault: Fault, message: Told) -> Self {
        Self { fault, status: None, code: None, reason: Reason::Other, message }
    }

    /// A failure with an answer.
    pub fn answered(fault: Fault, status: u16, code: Option<&str>, message: &str) -> Self {
        Self {
            fault,
            status: Some(status),
            code: code.map(|code| outside_text_within(code, CODE_BYTES_MAX).to_string()),
            reason: Reason::of_answer(status, code, message),
            message: Told::private(outside_text(message.trim()).to_string()),
        }
    }

    /// What happened: status, code and message.
    pub fn told(&self) -> Told {
        let answer = match (self.status, &self.code) {
            (Some(status), Some(code)) => Told::plain(format!("{status} ")).and(&Told::word(code)),
            (Some(status), None) => Told::plain(status.to_string()),
            _ => return self.message.clone(),
        };
        answer.and(&Told::plain(": ")).and(&self.message)
    }

    /// What happened, and what fixes it if that is known.
    pub fn with_remedy(&self) -> Told {
        match self.remedy() {
            Some(remedy) => self.told().and(&Told::plain(format!("; to fix it: {remedy}"))),
            None => self.told(),
        }
    }
}

impl fmt::Display for StoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.told().masked())
    }
}

impl std::error::Error for StoreError {}

impl Put {
    /// A put of a small object without metadata or tags.
    pub fn plain(location: S3Location, key: ObjectKey, bytes: impl Into<Bytes>, mode: PutMode) -> Self {
        let bytes = bytes.into();
        Self {
            location,
            key,
            crc32: crc32fast::hash(&bytes),
            body: Body::Bytes(bytes),
            content_encoding: None,
            metadata: Vec::new(),
            tags: Vec::new(),
            mode,
        }
    }
}

/// One attempt of a request.
pub type Attempted<'a, T> = BoxFuture<'a, Result<T, StoreError>>;

/// An object store, with only the operations that delivery needs.
pub trait ObjectStore: Send + Sync + fmt::Debug {
    /// Puts one object with one request, without a retry. `Ok`: the store has it durably, with the checksum
    /// that was sent.
    fn put<'a>(&'a self, put: &'a Put) -> Attempted<'a, Stored>;

    /// Reads an object's metadata, without a retry.
    fn head<'a>(&'a self, location: &'a S3Location, key: &'a ObjectKey) -> Attempted<'a, Head>;
}
