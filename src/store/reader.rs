//! Reading a store: listings, HEADs, whole objects and ranges of one version. Each is one attempt, without a
//! retry.

use std::fmt;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_checksums::body::validate::Error as ChecksumError;
use bytes::{Bytes, BytesMut};
use tokio::time::timeout;

use super::{Attempted, Fault, Head, ObjectStore, ObjectVersion, Put, StoreError, Stored};
use crate::object::{ObjectKey, S3Location};
use crate::time::UnixMillis;
use crate::words::causes::chain;
use crate::words::{about_seconds, outside_text};

/// How long a body may stall before it is given up. Short stalls are common.
const STALL_MAX: Duration = Duration::from_secs(20);

/// A store that can be read. Delivery needs none of it, so the rights for it may be missing.
pub trait StoreReader: Send + Sync + fmt::Debug {
    /// One page of the bucket's keys. The prefix of the bucket string is not added: `from.prefix` is the full
    /// prefix.
    fn list<'a>(&'a self, location: &'a S3Location, from: ListFrom<'a>) -> Attempted<'a, ListPage>;

    /// What an object is now, or what its version with this id is.
    fn head_of<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: Option<&'a str>,
    ) -> Attempted<'a, Head>;

    /// Requests a whole object. `Ok`: the body follows.
    fn get<'a>(&'a self, location: &'a S3Location, key: &'a ObjectKey) -> Attempted<'a, ObjectBody>;

    /// A range of an object: of this version, or of what is there now. An object that is another one now is
    /// [`Outlook::Changed`](super::Outlook::Changed).
    fn range<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: Option<&'a ObjectVersion>,
        wanted: ByteRange,
    ) -> Attempted<'a, RangeBytes>;
}

/// A store that is read and written, also on a condition.
pub trait Store: StoreReader + ObjectStore {
    /// A put that replaces the version `etag` of the object and no other (`If-Match`); `put.mode` does not
    /// count. [`Fault::Exists`] if the object is another one now.
    fn replace<'a>(&'a self, put: &'a Put, etag: &'a str) -> Attempted<'a, Stored>;
}

/// An object as a listing shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its key.
    pub key: ObjectKey,
    /// Its length in bytes.
    pub len: u64,
    /// When it was stored, as the store says.
    pub last_modified: Option<UnixMillis>,
    /// Its entity tag, with quotes.
    pub etag: Option<String>,
    /// Its storage class, in the words of the store.
    pub storage_class: Option<String>,
    /// Whether an archived object can be read for a while; known only if [`ListFrom::restored`] asked for it.
    pub is_restored: bool,
}

impl Listed {
    /// An object of which only the key is known: what a listing says of it has to be asked for.
    pub fn of_key(key: String) -> Self {
        let key = ObjectKey::listed(key);
        Self { key, len: 0, last_modified: None, etag: None, storage_class: None, is_restored: false }
    }
}

/// One page of a listing: at most 1,000 entries, in the order of their bytes.
#[derive(Clone, Debug, Default)]
pub struct ListPage {
    /// Objects.
    pub objects: Vec<Listed>,
    /// Common prefixes of keys up to the next slash, if requested.
    pub folders: Vec<String>,
    /// The token for the next page; `None` on the last.
    pub next: Option<String>,
}

impl ListPage {
    /// Whether the objects are in the order of their keys. Stores that are not S3 may list in another one.
    pub fn is_sorted(&self) -> bool {
        self.objects.is_sorted_by(|one, other| one.key.as_str() < other.key.as_str())
    }

    /// The object with this key, in a page of a listing whose prefix is the key: in order, it would come
    /// first. `None`: it is not on this page; if it is not known either whether it is on another one,
    /// `is_sure` is false.
    pub fn named(self, key: &str) -> Named {
        let is_sure = self.next.is_none() || self.is_sorted();
        let listed = self.objects.into_iter().find(|listed| listed.key.as_str() == key);
        Named { listed, is_sure }
    }
}

/// An object that was looked for in a listing.
#[derive(Clone, Debug)]
pub struct Named {
    /// The object.
    pub listed: Option<Listed>,
    /// Whether the bucket has none if it was not found.
    pub is_sure: bool,
}

/// Selects a page of a listing.
#[derive(Clone, Copy, Debug, Default)]
pub struct ListFrom<'a> {
    /// Only keys with this prefix.
    pub prefix: &'a str,
    /// Only keys after this one.
    pub after: Option<&'a str>,
    /// [`ListPage::next`] of the previous page.
    pub next: Option<&'a str>,
    /// Whether keys with a further slash are grouped into folders.
    pub folders: bool,
    /// Whether the listing is to say which archived objects can be read.
    pub restored: bool,
}

/// Which bytes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// The first byte.
    pub from: u64,
    /// How many bytes, at most; at least 1.
    pub len: u64,
}

/// Bytes of a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RangeBytes {
    /// Never more than were asked for. They may be fewer: the object ends, or the connection broke or stalled
    /// half-way.
    pub bytes: Bytes,
    /// The length of the whole object, if the answer shows it.
    pub object_len: Option<u64>,
}

impl RangeBytes {
    /// Whether a range from the first byte on has the whole object.
    pub fn is_whole(&self) -> bool {
        self.object_len == Some(self.bytes.len() as u64)
    }
}

/// The body of an object, read in pieces.
#[derive(Debug)]
pub struct ObjectBody {
    stream: ByteStream,
}

impl ObjectBody {
    /// The body of an answer.
    pub(super) fn new(stream: ByteStream) -> Self {
        Self { stream }
    }

    /// The next piece; `None` at the end.
    /// Errors: the connection broke or stalled, or the body does not match the store's checksum
    /// ([`Fault::Digest`]): request the object again.
    pub async fn next(&mut self) -> Result<Option<Bytes>, StoreError> {
        let unread = |error: &(dyn std::error::Error + 'static)| {
            let cause = error.source().map_or_else(String::new, |cause| format!(": {cause}"));
            let what = format!("reading the body failed: {error}{cause}");
            let differs = chain(error).any(|error| error.is::<ChecksumError>());
            let fault = if differs { Fault::Digest } else { Fault::Transient };
            StoreError::local(fault, outside_text(&what).to_string())
        };
        match timeout(STALL_MAX, self.stream.next()).await {
            Ok(piece) => piece.transpose().map_err(|error| unread(&error)),
            Err(_) => {
                let quiet = about_seconds(STALL_MAX.as_secs());
                let what = format!("reading the body failed: no data for {quiet}");
                Err(StoreError::local(Fault::Transient, what))
            }
        }
    }

    /// The first `len` bytes, or fewer if the body ends or breaks before, and whether it ended. A piece that
    /// goes beyond them is not cut off. Errors: as [`ObjectBody::next`], before the first byte.
    pub(super) async fn first(mut self, len: u64) -> Result<(Bytes, bool), StoreError> {
        let mut bytes = BytesMut::with_capacity(usize::try_from(len).unwrap_or(0));
        while bytes.len() as u64 <= len {
            match self.next().await {
                Ok(Some(piece)) => bytes.extend_from_slice(&piece),
                Ok(None) => return Ok((bytes.freeze(), true)),
                Err(_) if !bytes.is_empty() => return Ok((bytes.freeze(), false)),
                Err(error) => return Err(error),
            }
        }
        Ok((bytes.freeze(), false))
    }
}
