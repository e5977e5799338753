//! The bucket of a source's objects.

use std::fmt;

use super::{AccountId, BucketString, Encryption, KmsKey, Role, RoleArn, StorageClass};

/// What can fail for one bucket and not for another: its bucket string, role and key. Sources that differ
/// only in their external id share it, so that many sources do not mean many puts at once.
pub type PutLocation = (BucketString, Option<RoleArn>, Option<KmsKey>);

/// The bucket for a source's objects, how it is reached, and how they are kept there.
///
/// Endpoint and credentials are not part of it: they always come from the running process.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub struct S3Location {
    /// Bucket and prefix.
    pub bucket: BucketString,
    /// The configured region of the bucket; `None`: it is discovered.
    pub region: Option<String>,
    /// Server-side encryption.
    pub encryption: Encryption,
    /// The role to assume; `None`: the process's own credentials are used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<Role>,
    /// The account that must own the bucket. The store checks it at every request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected_bucket_owner: Option<AccountId>,
    /// The storage class; `None`: the store's default.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub storage_class: Option<StorageClass>,
}

impl S3Location {
    /// A bucket and an encryption; everything else is unset.
    pub fn new(bucket: BucketString, encryption: Encryption) -> Self {
        Self {
            bucket,
            region: None,
            encryption,
            role: None,
            expected_bucket_owner: None,
            storage_class: None,
        }
    }
}

/// The bucket string, and the role and key if set: these distinguish buckets.
impl fmt::Display for S3Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.bucket)?;
        if let Some(role) = &self.role {
            write!(f, " as {} ({})", role.arn, role.external_id)?;
        }
        if let Some(kms) = self.encryption.kms() {
            write!(f, " under {}", kms.key)?;
        }
        Ok(())
    }
}
