//! The templates: their names and the embedded files.

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

/// As a managed policy. All inline policies of a role together may have 10,240.
const IDENTITY: Limit = Limit::Characters(6_144);
const TRUST: Limit = Limit::Characters(2_048);
/// "Lambda quotas" has the same limit for the resource policy of a function.
const RESOURCE: Limit = Limit::Bytes(20 << 10);
const KEY: Limit = Limit::Bytes(32 << 10);

/// Makes the templates of a table: variant, name, extension of the file, length limit, description.
macro_rules! templates {
    ($($template:ident, $name:literal, $extension:literal, $limit:expr, $about:literal;)+) => {
        /// A policy that Forebay has a template for.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Template {
            $(#[doc = concat!("`", $name, "`.")] $template,)+
        }

        impl Template {
            /// All templates, in the order of the list.
            pub const ALL: [Self; [$($name),+].len()] = [$(Self::$template),+];

            /// Its name: that of its file under `policies/`, without the extension.
            pub fn name(self) -> &'static str {
                match self { $(Self::$template => $name,)+ }
            }

            /// A description in one line.
            pub fn about(self) -> &'static str {
                match self { $(Self::$template => $about,)+ }
            }

            /// The length limit of a policy made from this template.
            pub(super) fn limit(self) -> Limit {
                match self { $(Self::$template => $limit,)+ }
            }

            /// The embedded file, as it is under `policies/`.
            pub(super) fn text(self) -> &'static str {
                match self {
                    $(Self::$template => include_str!(concat!(
                        env!("CARGO_MANIFEST_DIR"), "/policies/", $name, ".", $extension
                    )),)+
                }
            }
        }
    };
}

templates! {
    Collector, "collector", "json", IDENTITY,
        "identity policy of the collector: put, check, use a key through S3, assume roles";
    Role, "role", "json", IDENTITY, "identity policy of a role that the collector assumes (role_arn)";
    RoleTrust, "role-trust", "json", TRUST, "trust policy of that role: the collector, with one external id";
    RoleTrustMany, "role-trust-many", "json", TRUST,
        "trust policy of that role: the collector, with any of several external ids";
    Bucket, "bucket", "json", RESOURCE, "bucket policy: the collector may only put below segment-logs/";
    BucketCrossAccount, "bucket-cross-account", "json", RESOURCE,
        "bucket policy for a collector of another account that assumes no role";
    BucketEnforceSseS3, "bucket-enforce-sse-s3", "json", RESOURCE,
        "bucket policy that also requires SSE-S3 in every put";
    BucketEnforceSseKms, "bucket-enforce-sse-kms", "json", RESOURCE,
        "bucket policy that also requires SSE-KMS with your key in every put";
    BucketTlsOnly, "bucket-tls-only", "json", RESOURCE, "bucket policy that also requires TLS 1.2 or later";
    BucketCreateOnly, "bucket-create-only", "json", RESOURCE,
        "bucket policy that also refuses puts that could replace an object";
    KmsKey, "kms-key", "json", KEY,
        "key policy of the KMS key: the collector encrypts, readers decrypt, through S3";
    Reader, "reader", "json", IDENTITY,
        "identity policy of people who sync: list and read below segment-logs/";
    Lifecycle, "lifecycle", "json", Limit::None,
        "recommended lifecycle configuration of the bucket (Forebay never deletes)";
    Cloudformation, "cloudformation", "yaml", Limit::None,
        "CloudFormation template of the whole set: bucket, key, role, policies";
    CsvLambdaExecution, "csv-lambda-execution", "json", IDENTITY,
        "identity policy of the function that imports CSV files from a bucket";
    CsvLambdaResource, "csv-lambda-resource", "json", RESOURCE,
        "resource policy of that function: the bucket may invoke it";
    CsvLambdaTrust, "csv-lambda-trust", "json", TRUST,
        "trust policy of that function's role: Lambda may assume it";
    LambdaDestinationInvoke, "lambda-destination-invoke", "json", IDENTITY,
        "identity policy of the role that invokes the functions of a [[destination]]";
    LambdaDestinationTrust, "lambda-destination-trust", "json", TRUST,
        "trust policy of that role: the collector, with one external id";
    LambdaDestinationTrustMany, "lambda-destination-trust-many", "json", TRUST,
        "trust policy of that role: the collector, with any of several external ids";
    LambdaDestinationCloudformation, "lambda-destination-cloudformation", "yaml", Limit::None,
        "CloudFormation template of that role with its policies";
    ImportRead, "import-read", "json", IDENTITY,
        "identity policy of who reads the bucket of an [[import]]: the whole bucket";
    ImportReadPrefix, "import-read-prefix", "json", IDENTITY,
        "identity policy of who reads the bucket of an [[import]]: below its prefix";
    ImportAfter, "import-after", "json", IDENTITY,
        "identity policy of who tags, moves or deletes files that an [[import]] has imported";
    ImportTrust, "import-trust", "json", TRUST,
        "trust policy of the role of an [[import]]: the collector, with the external id";
    ImportBucket, "import-bucket", "json", RESOURCE,
        "bucket policy of the bucket of an [[import]], for a collector of another account";
    ImportSqs, "import-sqs", "json", IDENTITY,
        "identity policy of who reads the queue with notifications of an [[import]]";
    ImportQueue, "import-queue", "json", RESOURCE,
        "policy of that queue: the bucket may send to it";
    ImportNotify, "import-notify", "json", IDENTITY,
        "identity policy of who sets up the notifications of the bucket of an [[import]]";
    ImportJournal, "import-journal", "json", IDENTITY,
        "identity policy of the collector for the journal that instances of an [[import]] share";
    BatchTrust, "batch-trust", "json", TRUST,
        "trust policy of the role of jobs: S3 Batch Operations may assume it, and who runs jobs here";
    BatchRole, "batch-role", "json", IDENTITY,
        "identity policy of that role: read the manifest, invoke the function, write the report";
}

impl Template {
    /// The template of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|template| template.name() == name)
    }

    /// Whether it is a policy of the function that imports CSV files.
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

    /// Whether it is of an import of a bucket.
    pub fn is_of_import(self) -> bool {
        matches!(
            self,
            Self::ImportRead
                | Self::ImportReadPrefix
                | Self::ImportAfter
                | Self::ImportTrust
                | Self::ImportBucket
                | Self::ImportSqs
                | Self::ImportQueue
                | Self::ImportNotify
                | Self::ImportJournal
        )
    }

    /// Whether it is of the role of jobs of S3 Batch Operations.
    pub fn is_of_batch(self) -> bool {
        matches!(self, Self::BatchTrust | Self::BatchRole)
    }

    /// Whether the configuration of a collector has values for it. The configuration names the buckets that a
    /// collector writes to, not those of CSV files or of jobs.
    pub fn is_configured(self) -> bool {
        !self.is_of_function() && !self.is_of_batch()
    }

    /// What makes a policy shorter that AWS does not accept.
    pub fn shorter(self) -> &'static str {
        if self.is_of_destination() {
            "select a destination with --destination, and give it a role of its own"
        } else if self.is_of_import() || self == Self::BatchTrust {
            "give fewer values of --principal"
        } else if self == Self::BatchRole {
            "give fewer values of --function-arn"
        } else {
            "select a part with --bucket or --role, or let sources share a prefix"
        }
    }

    /// Whether it is a template for CloudFormation, in YAML; the others are JSON.
    pub fn is_stack(self) -> bool {
        matches!(self, Self::Cloudformation | Self::LambdaDestinationCloudformation)
    }
}
