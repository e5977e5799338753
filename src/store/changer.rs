//! Changing the objects of a bucket that an import has read: tags, copies and deletes. Each is one attempt,
//! without a retry.
//!
//! This is a trait of its own: what reads a store, or writes the archive, cannot delete with it.

use std::collections::BTreeMap;

use super::reader::StoreReader;
use super::{Attempted, KeptHeaders, ObjectVersion};
use crate::object::{AppliedEncryption, ObjectKey, S3Location};

/// The most tags that S3 keeps with an object.
pub const TAGS_MAX: usize = 10;
/// The longest object that one request copies, in bytes.
pub const COPY_BYTES_MAX: u64 = 5_000_000_000;

/// The tags of an object: names and values.
pub type Tags = Vec<(String, String)>;

/// A copy of an object within its bucket. The store keeps its tags; what else the copy is to have is in here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectCopy {
    /// The object's key.
    pub from: ObjectKey,
    /// The key of the copy. An object that is there is replaced.
    pub to: ObjectKey,
    /// The object's entity tag, as answered. Another version is not copied.
    pub etag: String,
    /// The object's length in bytes, at most [`COPY_BYTES_MAX`].
    pub len: u64,
    /// How the object is encrypted, and so the copy.
    pub encryption: Option<AppliedEncryption>,
    /// The storage class; `None`: the standard one.
    pub storage_class: Option<String>,
    /// The `Content-Encoding`.
    pub content_encoding: Option<String>,
    /// The user metadata of the copy, by name.
    pub metadata: BTreeMap<String, String>,
    /// The object's other headers, and so the copy's.
    pub headers: KeptHeaders,
}

/// A store in which imported objects are changed.
pub trait StoreChanger: StoreReader {
    /// Copies an object on the condition that it is still this version.
    /// [`Outlook::Changed`](super::Outlook::Changed) if it is another one now.
    fn copy<'a>(&'a self, location: &'a S3Location, copy: &'a ObjectCopy) -> Attempted<'a, ()>;

    /// Deletes an object on the condition that it is still the version with this entity tag. In a bucket with
    /// versions this one stays below a marker. [`Outlook::Changed`](super::Outlook::Changed) if the object is
    /// another one now.
    fn delete<'a>(&'a self, location: &'a S3Location, key: &'a ObjectKey, etag: &'a str)
    -> Attempted<'a, ()>;

    /// The tags of an object: of this version if it has an id, or of what is there now.
    fn tags<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: &'a ObjectVersion,
    ) -> Attempted<'a, Tags>;

    /// Puts tags in the place of those that an object has: of this version if it has an id, or of what is
    /// there now.
    fn tag<'a>(
        &'a self,
        location: &'a S3Location,
        key: &'a ObjectKey,
        version: &'a ObjectVersion,
        tags: &'a Tags,
    ) -> Attempted<'a, ()>;
}
