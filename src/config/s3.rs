//! The section `[s3]`.

use crate::object::{AccountId, BucketString, Encryption, ExternalId, ObjectTags, RoleArn, StorageClass};
use crate::store::PutMode;
use crate::store::s3::Checksums;

use super::values::{Acl, ContentEncoding, Endpoint};

/// `[s3]`: where objects go. Each source's bucket has the resolved values of settings that a source can
/// override: use those values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3 {
    /// The bucket of every source that sets none.
    pub bucket: Option<BucketString>,
    /// The bucket's region. An unset region is discovered.
    pub region: Option<String>,
    /// The endpoint of a store other than AWS.
    pub endpoint: Option<Endpoint>,
    /// Whether the bucket is part of the path instead of the host name. The default is true with an endpoint,
    /// else false.
    pub path_style: bool,
    /// Whether AWS's FIPS endpoints are used. They cannot be combined with an endpoint.
    pub fips: bool,
    /// Whether AWS's dual-stack endpoints are used. They cannot be combined with an endpoint.
    pub dual_stack: bool,
    /// An STS endpoint other than AWS's own in the region.
    pub sts_endpoint: Option<Endpoint>,
    /// A KMS endpoint other than AWS's own in the region.
    pub kms_endpoint: Option<Endpoint>,
    /// The role of every source that sets none.
    pub role_arn: Option<RoleArn>,
    /// The external id of every source that sets none. `None`: the source id.
    pub external_id: Option<ExternalId>,
    /// The account that must own the bucket, for every source that sets none.
    pub expected_bucket_owner: Option<AccountId>,
    /// Whether the requester pays for requests.
    pub request_payer: bool,
    /// The canned ACL of every object, if any.
    pub acl: Option<Acl>,
    /// The encryption of every source that sets none.
    pub encryption: Encryption,
    /// The storage class of every source that sets none.
    pub storage_class: Option<StorageClass>,
    /// The tags of every object.
    pub object_tags: ObjectTags,
    /// Whether objects are put with `Content-Encoding: gzip`.
    pub content_encoding: ContentEncoding,
    /// When puts carry a checksum.
    pub checksums: Checksums,
    /// Whether a put may replace an object.
    pub put: PutMode,
}

impl Default for S3 {
    fn default() -> Self {
        Self {
            bucket: None,
            region: None,
            endpoint: None,
            path_style: false,
            fips: false,
            dual_stack: false,
            sts_endpoint: None,
            kms_endpoint: None,
            role_arn: None,
            external_id: None,
            expected_bucket_owner: None,
            request_payer: false,
            acl: None,
            encryption: Encryption::SseS3,
            storage_class: None,
            object_tags: ObjectTags::default(),
            content_encoding: ContentEncoding::Gzip,
            checksums: Checksums::Auto,
            put: PutMode::CreateOnly,
        }
    }
}
