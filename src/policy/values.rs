//! The values that are filled in.

use crate::arn::Arn;
use crate::object::{BucketString, Encryption, S3Location};

/// One place that Forebay writes to, and its identity there: the part of a source's bucket that policies
/// depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyBucket {
    /// Bucket and prefix. `None` if only a role is known.
    pub bucket: Option<BucketString>,
    /// The bucket's region, if known.
    pub region: Option<String>,
    /// The requested KMS key, as configured: ARN, key id or alias. `None`: no key is requested.
    pub kms_key: Option<String>,
    /// Whether SSE-S3 is requested. Without it and without a key, the bucket's default encryption applies.
    pub sse_s3: bool,
    /// The role assumed for writing there. `None`: the collector uses its own identity.
    pub role: Option<Arn>,
    /// The external id with which the role is assumed.
    pub external_id: Option<String>,
    /// Whether objects carry tags.
    pub tags: bool,
    /// Whether objects carry an ACL.
    pub acl: bool,
}

impl PolicyBucket {
    /// For a bucket whose name alone is known: the collector writes with its own identity and the default
    /// encryption, SSE-S3.
    pub fn plain(bucket: Option<BucketString>) -> Self {
        Self { bucket, sse_s3: true, ..Self::default() }
    }

    /// The place of a bucket. `tags`, `acl`: whether objects carry tags, an ACL.
    pub fn of(location: &S3Location, tags: bool, acl: bool) -> Self {
        let role = location.role.as_ref();
        Self {
            bucket: Some(location.bucket.clone()),
            region: location.region.clone(),
            kms_key: location.encryption.kms().map(|kms| kms.key.to_string()),
            sse_s3: location.encryption == Encryption::SseS3,
            role: role.map(|role| role.arn.arn().clone()),
            external_id: role.map(|role| role.external_id.to_string()),
            tags,
            acl,
        }
    }
}

/// The function that imports CSV files from a bucket, which is the place of [`Values`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CsvFunction {
    /// Its name.
    pub name: Option<String>,
    /// Where the progress of files is kept.
    pub journal: Option<BucketString>,
    /// Where it writes objects itself, instead of sending calls to a collector.
    pub output: Option<BucketString>,
    /// Where rejected rows are put.
    pub rejects: Option<BucketString>,
    /// The queue that hands it the bucket's events, if one is in between.
    pub queue: Option<Arn>,
    /// The queue that gets the events that it failed for.
    pub failures: Option<Arn>,
    /// Whether it invokes itself to continue a long file.
    pub invokes_itself: bool,
}

/// A destination whose functions are invoked in AWS Lambda: the part of it that policies depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyDestination {
    /// Its name; empty if flags alone describe it.
    pub name: String,
    /// The ARNs of its functions as configured, so with the version or alias.
    pub functions: Vec<String>,
    /// The role assumed for invoking them. `None`: the collector uses its own identity.
    pub role: Option<Arn>,
    /// The external ids with which the role is assumed: the configured one, or the id of each source.
    pub external_ids: Vec<String>,
}

/// An import of a bucket: the part of it that policies depend on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyImport {
    /// Its name; empty if flags alone describe it.
    pub name: String,
    /// The bucket's name.
    pub bucket: Option<String>,
    /// What the keys begin with, as configured; empty: every key.
    pub prefix: String,
    /// The bucket's region, if known.
    pub region: Option<String>,
    /// The KMS key of the files, as given. Not known from the configuration.
    pub kms_key: Option<String>,
    /// The role assumed for reading. `None`: the collector uses its own identity.
    pub role: Option<Arn>,
    /// The external id with which the role is assumed; `None` if none is set.
    pub external_id: Option<String>,
    /// The queue with its notifications, if it reads one.
    pub queue: Option<Arn>,
    /// Whether that queue is asked for its ARN, because its URL does not have it.
    pub asks_queue: bool,
    /// What happens to files that are imported; `None`: nothing, or not known.
    pub after: Option<PolicyAfter>,
    /// Where the collector itself puts rejected rows, and how it encrypts them, if in a bucket.
    pub rejects: Option<PolicyBucket>,
    /// The bucket and the prefix of the journal that several instances share; `None` if they share none.
    pub journal: Option<(String, String)>,
}

/// What an import does with files once they are imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PolicyAfter {
    /// They are tagged.
    Tag,
    /// They are moved below this prefix.
    Move(String),
    /// They are deleted.
    Delete,
}

/// Values for all placeholders of the templates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Values {
    /// Every place that is written to, without duplicates.
    pub places: Vec<PolicyBucket>,
    /// The roles or users that the collector runs as. Not known from the configuration.
    pub principals: Vec<Arn>,
    /// The principals that may read the delivered objects. Not known from the configuration.
    pub readers: Vec<Arn>,
    /// The account of the KMS key, if its ARN does not name it; for a function, its own account.
    pub account: Option<String>,
    /// The region of bucket and key, if no place and no key names it.
    pub region: Option<String>,
    /// The function that imports CSV files. Not known from the configuration.
    pub function: Option<CsvFunction>,
    /// The destinations that invoke functions.
    pub destinations: Vec<PolicyDestination>,
    /// The imports of buckets.
    pub imports: Vec<PolicyImport>,
}
