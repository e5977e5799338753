//! An object that an event names.

/// An object, as an event describes it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Record {
    /// The bucket.
    pub bucket: String,
    /// The key, decoded.
    pub key: String,
    /// The version, in buckets with versions.
    pub version: Option<String>,
    /// The entity tag, without quotes.
    pub etag: Option<String>,
}

impl Record {
    /// Whether both name one object, whatever they say of its content.
    pub fn is_same_object(&self, other: &Self) -> bool {
        (&self.bucket, &self.key, &self.version) == (&other.bucket, &other.key, &other.version)
    }

    /// The place, for people: `s3://bucket/key`.
    pub fn name(&self) -> String {
        format!("s3://{}/{}", self.bucket, self.key)
    }
}
