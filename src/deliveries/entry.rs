//! An object in the list, as it is kept.

use std::time::Duration;

use crate::batch::BatchKey;
use crate::delivery::delivered::Delivered;
use crate::object::{AppliedEncryption, BucketString, ObjectKey, Stream};
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};

/// A delivered object.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Entry {
    /// When its commit was noted.
    pub delivered_at: UnixMillis,
    /// The source.
    pub source: SourceId,
    /// The stream.
    pub stream: Stream,
    /// The received-day.
    pub day: ReceivedDay,
    /// Bucket and prefix.
    pub bucket: BucketString,
    /// Its key.
    pub key: ObjectKey,
    /// Lines in it.
    pub calls: u64,
    /// Its bytes as stored.
    pub bytes: u64,
    /// The server-side encryption that the store reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encryption: Option<AppliedEncryption>,
    /// When its first line was received.
    pub first_received_at: UnixMillis,
    /// Milliseconds that the put took; `None` if the store had the object from an earlier try.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub put_ms: Option<u64>,
    /// Why its batch was due, if known: [`crate::batch::Reason::slug`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl From<Delivered> for Entry {
    fn from(object: Delivered) -> Self {
        let BatchKey { source, day, stream } = object.batch;
        let millis = |took: Duration| u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
        Self {
            delivered_at: object.at,
            source,
            stream,
            day,
            bucket: object.bucket,
            key: object.key,
            calls: object.calls,
            bytes: object.bytes,
            encryption: object.encryption,
            first_received_at: object.first_received_at,
            put_ms: object.put.map(millis),
            reason: object.reason.map(|reason| reason.slug().to_owned()),
        }
    }
}
