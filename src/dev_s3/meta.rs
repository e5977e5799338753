//! The metadata of buckets, objects and uploads, as kept in memory and on disk.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::sums::Sums;

/// A bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct BucketMeta {
    pub(super) name: String,
    pub(super) created_ms: i64,
}

/// The headers that a client sends for an object, and gets back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Described {
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) cache_control: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) encryption: Option<String>,
    pub(super) kms_key_id: Option<String>,
    pub(super) bucket_key_enabled: Option<bool>,
    /// Earlier releases kept none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) tags: BTreeMap<String, String>,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct ObjectMeta {
    pub(super) bucket: String,
    pub(super) key: String,
    /// The name of its file in `bodies`.
    pub(super) body: String,
    pub(super) len: u64,
    /// Without quotation marks.
    pub(super) etag: String,
    pub(super) modified_ms: i64,
    pub(super) described: Described,
    pub(super) sums: Sums,
    /// Whether the checksums are computed from those of the parts instead of the bytes.
    pub(super) sums_are_composite: bool,
}

/// A part of an upload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct PartMeta {
    pub(super) body: String,
    pub(super) len: u64,
    pub(super) etag: String,
    pub(super) modified_ms: i64,
    pub(super) sums: Sums,
}

/// A multipart upload that is neither completed nor aborted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct UploadMeta {
    pub(super) id: String,
    pub(super) bucket: String,
    pub(super) key: String,
    pub(super) started_ms: i64,
    pub(super) described: Described,
    /// The checksum algorithm that the client named, if any.
    pub(super) algorithm: Option<super::sums::Algorithm>,
    pub(super) full_object_sums: bool,
    pub(super) parts: BTreeMap<i32, PartMeta>,
}
