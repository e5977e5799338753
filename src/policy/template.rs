//! The templates: their names and the embedded files.

use std::str::FromStr;

use crate::words::outside_text_within;

/// A policy that Forebay has a template for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Template {
    /// The identity policy of the collector.
    Collector,
    /// The identity policy of a role that the collector assumes.
    Role,
    /// The trust policy of that role, with one external id.
    RoleTrust,
    /// The same with several external ids.
    RoleTrustMany,
    /// The bucket policy that allows only puts.
    Bucket,
    /// The bucket policy with all rights that the collector's identity policy has in the bucket, for a
    /// collector of another account.
    BucketCrossAccount,
    /// The plain bucket policy, with SSE-S3 enforced.
    BucketEnforceSseS3,
    /// The same, with SSE-KMS and one key enforced.
    BucketEnforceSseKms,
    /// The same, without access over plain HTTP or old TLS.
    BucketTlsOnly,
    /// The same, without puts that could replace an object.
    BucketCreateOnly,
    /// The key policy of the KMS key.
    KmsKey,
    /// The identity policy of people who sync.
    Reader,
    /// A recommended lifecycle configuration of the bucket.
    Lifecycle,
    /// All of these with bucket, role and key, for CloudFormation.
    Cloudformation,
    /// The identity policy of the function that imports CSV files.
    CsvLambdaExecution,
    /// The resource policy of that function.
    CsvLambdaResource,
    /// The trust policy of that function's role.
    CsvLambdaTrust,
    /// The identity policy of the role that invokes the functions of a destination.
    LambdaDestinationInvoke,
    /// The trust policy of that role, with one external id.
    LambdaDestinationTrust,
    /// The same with several external ids.
    LambdaDestinationTrustMany,
    /// That role with its policies, for CloudFormation.
    LambdaDestinationCloudformation,
}

impl Template {
    /// All templates, in the order of the list.
    pub const ALL: [Self; 21] = [
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
        Self::CsvLambdaExecution,
        Self::CsvLambdaResource,
        Self::CsvLambdaTrust,
        Self::LambdaDestinationInvoke,
        Self::LambdaDestinationTrust,
        Self::LambdaDestinationTrustMany,
        Self::LambdaDestinationCloudformation,
    ];

    /// Its name: that of its file under `policies/`, without the extension.
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
            Self::CsvLambdaExecution => "csv-lambda-execution",
            Self::CsvLambdaResource => "csv-lambda-resource",
            Self::CsvLambdaTrust => "csv-lambda-trust",
            Self::LambdaDestinationInvoke => "lambda-destination-invoke",
            Self::LambdaDestinationTrust => "lambda-destination-trust",
            Self::LambdaDestinationTrustMany => "lambda-destination-trust-many",
            Self::LambdaDestinationCloudformation => "lambda-destination-cloudformation",
        }
    }

    /// A description in one line.
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
            Self::Bucket => "bucket policy: the collector may only put below segment-logs/",
            Self::BucketCrossAccount => {
                "bucket policy for a collector of another account that assumes no role"
            }
            Self::BucketEnforceSseS3 => "bucket policy that also requires SSE-S3 in every put",
            Self::BucketEnforceSseKms => {
                "bucket policy that also requires SSE-KMS with your key in every put"
            }
            Self::BucketTlsOnly => "bucket policy that also requires TLS 1.2 or later",
            Self::BucketCreateOnly => "bucket policy that also refuses puts that could replace an object",
            Self::KmsKey => "key policy of the KMS key: the collector encrypts, readers decrypt, through S3",
            Self::Reader => "identity policy of people who sync: list and read below segment-logs/",
            Self::Lifecycle => "recommended lifecycle configuration of the bucket (Forebay never deletes)",
            Self::Cloudformation => "CloudFormation template of the whole set: bucket, key, role, policies",
            Self::CsvLambdaExecution => {
                "identity policy of the function that imports CSV files from a bucket"
            }
            Self::CsvLambdaResource => "resource policy of that function: the bucket may invoke it",
            Self::CsvLambdaTrust => "trust policy of that function's role: Lambda may assume it",
            Self::LambdaDestinationInvoke => {
                "identity policy of the role that invokes the functions of a [[destination]]"
            }
            Self::LambdaDestinationTrust => "trust policy of that role: the collector, with one external id",
            Self::LambdaDestinationTrustMany => {
                "trust policy of that role: the collector, with any of several external ids"
            }
            Self::LambdaDestinationCloudformation => "CloudFormation template of that role with its policies",
        }
    }

    /// Whether it is a policy of the function that imports CSV files. The configuration of a collector has no
    /// values for it.
    pub fn is_of_function(self) -> bool {
        matches!(self, Self::CsvLambdaExecution | Self::CsvLambdaResource | Self::CsvLambdaTrust)
    }

    /// Whether it is of the role that invokes the functions of a destination.
    pub fn is_of_destination(self) -> bool {
        matches!(
            self,
            Self::LambdaDestinationInvoke
                | Self::LambdaDestinationTrust
                | Self::LambdaDestinationTrustMany
                | Self::LambdaDestinationCloudformation
        )
    }

    /// Whether it is a template for CloudFormation, in YAML; the others are JSON.
    pub fn is_stack(self) -> bool {
        matches!(self, Self::Cloudformation | Self::LambdaDestinationCloudformation)
    }
}

/// The length limits of AWS ("IAM and AWS STS quotas", "Bucket policies", "Key policies in AWS KMS").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Limit {
    /// In characters, without white space.
    Characters(usize),
    /// In bytes, with white space.
    Bytes(usize),
    /// None that a policy could reach.
    None,
}

/// The length limit of a policy made from this template.
pub(super) fn limit(template: Template) -> Limit {
    match template {
        // As a managed policy. All inline policies of a role together may have 10,240.
        Template::Collector
        | Template::Role
        | Template::Reader
        | Template::CsvLambdaExecution
        | Template::LambdaDestinationInvoke => Limit::Characters(6_144),
        Template::RoleTrust
        | Template::RoleTrustMany
        | Template::CsvLambdaTrust
        | Template::LambdaDestinationTrust
        | Template::LambdaDestinationTrustMany => Limit::Characters(2_048),
        Template::Bucket
        | Template::BucketCrossAccount
        | Template::BucketEnforceSseS3
        | Template::BucketEnforceSseKms
        | Template::BucketTlsOnly
        | Template::BucketCreateOnly
        // "Lambda quotas" has the same limit for the resource policy of a function.
        | Template::CsvLambdaResource => Limit::Bytes(20 << 10),
        Template::KmsKey => Limit::Bytes(32 << 10),
        Template::Lifecycle | Template::Cloudformation | Template::LambdaDestinationCloudformation => Limit::None,
    }
}

/// The embedded file, as it is under `policies/`.
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
        Template::CsvLambdaExecution => file!("csv-lambda-execution.json"),
        Template::CsvLambdaResource => file!("csv-lambda-resource.json"),
        Template::CsvLambdaTrust => file!("csv-lambda-trust.json"),
        Template::LambdaDestinationInvoke => file!("lambda-destination-invoke.json"),
        Template::LambdaDestinationTrust => file!("lambda-destination-trust.json"),
        Template::LambdaDestinationTrustMany => file!("lambda-destination-trust-many.json"),
        Template::LambdaDestinationCloudformation => file!("lambda-destination-cloudformation.yaml"),
    }
}

/// How much of an unknown name is shown, in bytes.
const SHOWN_MAX: usize = 60;

/// An unknown template name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown policy \"{0}\": `forebay policy --list` lists all")]
pub struct UnknownTemplate(String);

impl FromStr for Template {
    type Err = UnknownTemplate;
    fn from_str(name: &str) -> Result<Self, UnknownTemplate> {
        let found = Self::ALL.into_iter().find(|template| template.name() == name);
        found.ok_or_else(|| UnknownTemplate(outside_text_within(name, SHOWN_MAX).to_string()))
    }
}
