//! Where a source's objects go.

use super::BucketString;

/// Which server-side encryption a put asks for.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encryption {
    /// No header: the bucket's default encryption applies.
    None,
    /// `x-amz-server-side-encryption: AES256`.
    #[default]
    SseS3,
}

/// Where the objects of a source go: all that is fixed about it when a batch is sealed.
///
/// Endpoint and credentials are not part of it: they always come from the running process.
#[derive(Clone, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub struct Destination {
    /// Bucket and prefix.
    pub bucket: BucketString,
    /// The bucket's region where it is configured; else it is found.
    pub region: Option<String>,
    /// Server-side encryption.
    pub encryption: Encryption,
}
