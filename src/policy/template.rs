//! The templates: their names, and the files that the program carries.

use std::str::FromStr;

/// A policy that Forebay has a template for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Template {
    /// What the collector's own identity may do.
    Collector,
    /// What a role that the collector assumes may do.
    Role,
    /// Who may assume that role, by one external id.
    RoleTrust,
    /// The same with several external ids.
    RoleTrustMany,
    /// The bucket policy that allows the puts, and nothing else.
    Bucket,
    /// All that the collector's identity policy says of the bucket, for a collector of another account.
    BucketCrossAccount,
    /// The plain one, with SSE-S3 enforced.
    BucketEnforceSseS3,
    /// The same, with SSE-KMS and one key enforced.
    BucketEnforceSseKms,
    /// Refuses what comes without TLS.
    BucketTlsOnly,
    /// Refuses puts that could replace an object.
    BucketCreateOnly,
    /// The policy of the KMS key.
    KmsKey,
    /// What people who sync may do.
    Reader,
    /// Advice for the bucket's lifecycle.
    Lifecycle,
    /// All of it, with bucket, role and key, for CloudFormation.
    Cloudformation,
}

impl Template {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 14] = [
        Self::Collector,
        Self::Role,
        Self::RoleTrust,
        Self::RoleTrustMany,
        Self::Bucket,
        Self::BucketCrossAccount,
        Self::BucketEnforceSseS3,
        Self::BucketEnforceSseKms,
        Self::BucketTlsOnly,
        Self::BucketCreateOnly,
        Self::KmsKey,
        Self::Reader,
        Self::Lifecycle,
        Self::Cloudformation,
    ];

    /// Its name: that of its file under `policies/`, without the ending.
    pub fn name(self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Role => "role",
            Self::RoleTrust => "role-trust",
            Self::RoleTrustMany => "role-trust-many",
            Self::Bucket => "bucket",
            Self::BucketCrossAccount => "bucket-cross-account",
            Self::BucketEnforceSseS3 => "bucket-enforce-sse-s3",
            Self::BucketEnforceSseKms => "bucket-enforce-sse-kms",
            Self::BucketTlsOnly => "bucket-tls-only",
            Self::BucketCreateOnly => "bucket-create-only",
            Self::KmsKey => "kms-key",
            Self::Reader => "reader",
            Self::Lifecycle => "lifecycle",
            Self::Cloudformation => "cloudformation",
        }
    }

    /// What it is, in one line.
    pub fn about(self) -> &'static str {
        match self {
            Self::Collector => {
                "identity policy of the collector: put, check, use a key through S3, assume roles"
            }
            Self::Role => "identity policy of a role that the collector assumes (role_arn)",
            Self::RoleTrust => "trust policy of that role: the collector, with one external id",
            Self::RoleTrustMany => {
                "trust policy of that role: the collector, with any of several external ids"
            }
            Self::Bucket => "bucket policy: the collector may put below segment-logs/, nothing else",
            Self::BucketCrossAccount => {
                "bucket policy for a collector of another account that writes without a role"
            }
            Self::BucketEnforceSseS3 => "bucket policy, and every put must ask for SSE-S3",
            Self::BucketEnforceSseKms => "bucket policy, and every put must ask for SSE-KMS with your key",
            Self::BucketTlsOnly => "bucket policy, and nothing without TLS 1.2 or later",
            Self::BucketCreateOnly => "bucket policy, and no put may replace an object",
            Self::KmsKey => "key policy of the KMS key: the collector encrypts, readers decrypt, through S3",
            Self::Reader => "identity policy of people who sync: list and read below segment-logs/",
            Self::Lifecycle => "lifecycle configuration of the bucket: advice, Forebay never deletes",
            Self::Cloudformation => "CloudFormation template of the whole set: bucket, key, roles, policies",
        }
    }
}

/// What AWS takes at most ("IAM and AWS STS quotas", "Bucket policies", "Key policies in AWS KMS").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// Characters, white space not counted.
    Characters(usize),
    /// Bytes, all counted.
    Bytes(usize),
    /// Nothing that a policy could reach.
    None,
}

/// The limit of a policy made from this template.
pub(super) fn limit(template: Template) -> Limit {
    match template {
        // A managed policy. All inline policies of a role together may have 10,240.
        Template::Collector | Template::Role | Template::Reader => Limit::Characters(6_144),
        Template::RoleTrust | Template::RoleTrustMany => Limit::Characters(2_048),
        Template::Bucket
        | Template::BucketCrossAccount
        | Template::BucketEnforceSseS3
        | Template::BucketEnforceSseKms
        | Template::BucketTlsOnly
        | Template::BucketCreateOnly => Limit::Bytes(20 << 10),
        Template::KmsKey => Limit::Bytes(32 << 10),
        Template::Lifecycle | Template::Cloudformation => Limit::None,
    }
}

/// The file, as it stands under `policies/`.
pub(super) fn text(template: Template) -> &'static str {
    macro_rules! file {
        ($name:literal) => {
            include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/policies/", $name))
        };
    }
    match template {
        Template::Collector => file!("collector.json"),
        Template::Role => file!("role.json"),
        Template::RoleTrust => file!("role-trust.json"),
        Template::RoleTrustMany => file!("role-trust-many.json"),
        Template::Bucket => file!("bucket.json"),
        Template::BucketCrossAccount => file!("bucket-cross-account.json"),
        Template::BucketEnforceSseS3 => file!("bucket-enforce-sse-s3.json"),
        Template::BucketEnforceSseKms => file!("bucket-enforce-sse-kms.json"),
        Template::BucketTlsOnly => file!("bucket-tls-only.json"),
        Template::BucketCreateOnly => file!("bucket-create-only.json"),
        Template::KmsKey => file!("kms-key.json"),
        Template::Reader => file!("reader.json"),
        Template::Lifecycle => file!("lifecycle.json"),
        Template::Cloudformation => file!("cloudformation.yaml"),
    }
}

/// There is no template of this name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no policy {0:?}: `forebay policy --list` names them all")]
pub struct UnknownTemplate(String);

impl FromStr for Template {
    type Err = UnknownTemplate;
    fn from_str(name: &str) -> Result<Self, UnknownTemplate> {
        let found = Self::ALL.into_iter().find(|template| template.name() == name);
        found.ok_or_else(|| UnknownTemplate(name.chars().take(60).collect()))
    }
}
