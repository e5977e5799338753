//! Object keys: the only place that builds one.

use std::fmt;

use super::BucketString;
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};

/// Calls and what was rejected go to streams of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stream {
    /// Calls: `segment-logs/<source-id>/<received-day>/`.
    Calls,
    /// What came in a request that was answered 200 but is no call: `segment-logs/_rejected/<source-id>/<received-day>/`.
    Rejected,
}

/// What an object's name is made of. It is a function of the batch alone, so a retry writes the same object.
#[derive(Clone, Copy, Debug)]
pub struct ObjectName<'a> {
    /// The `receivedAt` of the batch's first call.
    pub first_received_at: UnixMillis,
    /// The node id: `[a-z0-9-]{1,32}`.
    pub node: &'a str,
    /// The spool id, as 32 hexadecimal digits.
    pub spool_id: &'a str,
    /// The position of the batch's first call.
    pub first_position: u64,
}

/// The key of an object in its bucket.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct ObjectKey(String);

impl ObjectKey {
    /// The key of a batch: `{prefix/}segment-logs/{source}/{day}/{first ms}-{node}-{spool id}-{first position}.gz`,
    /// with `_rejected/` before the source in the rejected stream.
    pub fn of_batch(
        bucket: &BucketString,
        stream: Stream,
        source: &SourceId,
        day: ReceivedDay,
        name: ObjectName<'_>,
    ) -> Self {
        let slash = if bucket.prefix().is_empty() { "" } else { "/" };
        let rejected = match stream {
            Stream::Calls => "",
            Stream::Rejected => "_rejected/",
        };
        Self(format!(
            "{}{slash}segment-logs/{rejected}{source}/{day}/{}-{}-{}-{:020}.gz",
            bucket.prefix(),
            name.first_received_at.0,
            name.node,
            name.spool_id,
            name.first_position,
        ))
    }

    /// The key of a test object: `{prefix/}segment-logs/_check/{node}-{ms}`, which readers skip and the plain policy allows.
    pub fn of_check(bucket: &BucketString, node: &str, at: UnixMillis) -> Self {
        let slash = if bucket.prefix().is_empty() { "" } else { "/" };
        Self(format!("{}{slash}segment-logs/_check/{node}-{}", bucket.prefix(), at.0))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_built_from_the_batch_alone() {
        let name = ObjectName {
            first_received_at: UnixMillis(1_432_684_812_345),
            node: "n1",
            spool_id: "0123456789abcdef0123456789abcdef",
            first_position: 42,
        };
        let source = SourceId::new("checkout-web").unwrap();
        let day = name.first_received_at.day();
        let key = |bucket: &str, stream| {
            ObjectKey::of_batch(&BucketString::parse(bucket).unwrap(), stream, &source, day, name).to_string()
        };
        let tail = "checkout-web/1432684800000/1432684812345-n1-0123456789abcdef0123456789abcdef-00000000000000000042.gz";
        assert_eq!(key("bucket", Stream::Calls), format!("segment-logs/{tail}"));
        assert_eq!(key("bucket/a/b", Stream::Calls), format!("a/b/segment-logs/{tail}"));
        assert_eq!(key("bucket", Stream::Rejected), format!("segment-logs/_rejected/{tail}"));
    }

    #[test]
    fn a_test_object_stands_beside_the_sources() {
        let key = |bucket: &str| {
            ObjectKey::of_check(&BucketString::parse(bucket).unwrap(), "n1", UnixMillis(7)).to_string()
        };
        assert_eq!(key("bucket"), "segment-logs/_check/n1-7");
        assert_eq!(key("bucket/a/b"), "a/b/segment-logs/_check/n1-7");
    }
}
