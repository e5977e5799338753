//! What is filled in.

use crate::object::{BucketString, Destination, Encryption};

use super::Arn;

/// One place that Forebay writes to, and as whom: what a source's destination says, as far as policies speak of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Bucket and prefix. `None` where only a role is known.
    pub bucket: Option<BucketString>,
    /// The bucket's region where it is known.
    pub region: Option<String>,
    /// The KMS key that is asked for, as configured: ARN, key id or alias. `None`: none is asked for.
    pub kms_key: Option<String>,
    /// Whether SSE-S3 is asked for. With no key either, nothing is asked for, and the bucket's default applies.
    pub sse_s3: bool,
    /// The role that is assumed to write there. `None`: the collector writes as itself.
    pub role: Option<Arn>,
    /// The external id with which the role is assumed.
    pub external_id: Option<String>,
    /// Whether objects carry tags.
    pub tags: bool,
    /// Whether objects carry an ACL.
    pub acl: bool,
}

impl Place {
    /// Of this bucket nothing but its name is known: the collector writes as itself, with SSE-S3, the default.
    pub fn plain(bucket: Option<BucketString>) -> Self {
        Self {
            bucket,
            region: None,
            kms_key: None,
            sse_s3: true,
            role: None,
            external_id: None,
            tags: false,
            acl: false,
        }
    }

    /// What a destination says. `tags`, `acl`: whether objects carry tags, an ACL.
    pub fn of(destination: &Destination, tags: bool, acl: bool) -> Self {
        let role = destination.role.as_ref();
        Self {
            bucket: Some(destination.bucket.clone()),
            region: destination.region.clone(),
            kms_key: destination.encryption.kms().map(|kms| kms.key.to_string()),
            sse_s3: destination.encryption == Encryption::SseS3,
            role: role.and_then(|role| role.arn.as_str().parse().ok()),
            external_id: role.map(|role| role.external_id.to_string()),
            tags,
            acl,
        }
    }
}

/// All that the placeholders of the templates can stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Every place that is written to; each once.
    pub places: Vec<Place>,
    /// Who the collector's process runs as: roles or users. The configuration does not say it.
    pub principals: Vec<Arn>,
    /// Who may read what was delivered. The configuration does not say it.
    pub readers: Vec<Arn>,
    /// The account of the KMS key, where its ARN does not say it.
    pub account: Option<String>,
    /// The region of bucket and key, where no place and no key says it.
    pub region: Option<String>,
}
