//! The section `[s3]`.

use crate::object::{AccountId, BucketString, Encryption, ExternalId, ObjectTags, RoleArn, StorageClass};
use crate::store::PutMode;
use crate::store::s3::Checksums;

use super::values::Endpoint;

section! {
    /// `[s3]`: where objects go. Each source's bucket has the resolved values of settings that a source can
    /// override: use those values.
    pub struct S3 {
        /// The bucket of every source that sets none.
        bucket: Option<BucketString> = None,
        /// The bucket's region. An unset region is discovered.
        region: Option<String> = None,
        /// The endpoint of a store other than AWS.
        endpoint: Option<Endpoint> = None,
        /// Whether the bucket is part of the path instead of the host name. The default is true with an
        /// endpoint, else false.
        path_style: bool = false,
        /// Whether AWS's FIPS endpoints are used. They cannot be combined with an endpoint.
        fips: bool = false,
        /// Whether AWS's dual-stack endpoints are used. They cannot be combined with an endpoint.
        dual_stack: bool = false,
        /// An STS endpoint other than AWS's own in the region.
        sts_endpoint: Option<Endpoint> = None,
        /// A KMS endpoint other than AWS's own in the region.
        kms_endpoint: Option<Endpoint> = None,
        /// The role of every source that sets none.
        role_arn: Option<RoleArn> = None,
        /// The external id of every source that sets none. `None`: the source id.
        external_id: Option<ExternalId> = None,
        /// The account that must own the bucket, for every source that sets none.
        expected_bucket_owner: Option<AccountId> = None,
        /// Whether the requester pays for requests.
        request_payer: bool = false,
        /// Whether each object gets the canned ACL that gives the bucket's owner full control of it: for
        /// buckets of other accounts that still use ACLs.
        bucket_owner_full_control: bool = false,
        /// The encryption of every source that sets none.
        encryption: Encryption = Encryption::SseS3,
        /// The storage class of every source that sets none.
        storage_class: Option<StorageClass> = None,
        /// The tags of every object.
        object_tags: ObjectTags = ObjectTags::default(),
        /// Whether objects are put with the header `Content-Encoding: gzip`. They are gzip either way; some
        /// tools would decompress the download.
        content_encoding: bool = true,
        /// When puts carry a checksum.
        checksums: Checksums = Checksums::Auto,
        /// Whether a put may replace an object.
        put: PutMode = PutMode::CreateOnly,
    }
}
