//! The closed-day marker: what one spool has delivered of a source's received-day, and that nothing follows.
//!
//! It is written last and create-only, outside the day folders, so that readers of calls never see it:
//! `{prefix/}segment-logs/_closed/{source}/{received-day}/{node}-{spool id}.json`. It proves where the chain
//! of positions ends. The objects cannot prove this, because none follows the last one.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::metadata::{Metadata, SHA256};
use super::object_key::{below_prefix, is_node, is_spool_id, received_day};
use super::{BucketString, OBJECTS, ObjectKey, Stream};
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};

/// The newest version that is accepted: that of a day with objects or dead letters. A day with calls and
/// rejected items alone is written as [`PLAIN_VERSION`], which older releases accept.
pub const VERSION: u32 = 2;
/// The version of a day with calls and rejected items alone.
pub const PLAIN_VERSION: u32 = 1;
/// The longest marker that is read, in bytes. A stream takes less than 600 bytes.
pub const MARKER_BYTES_MAX: usize = 1_024 * 1_024;

/// What one spool states after it has delivered all of a source's received-day.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ClosedMarker {
    /// [`PLAIN_VERSION`] or [`VERSION`].
    pub version: u32,
    /// The source.
    pub source: SourceId,
    /// The received-day.
    pub day: ReceivedDay,
    /// The node id.
    pub node: String,
    /// The spool id, as 32 hexadecimal digits.
    pub spool: String,
    /// What was delivered, by stream. A stream without objects is omitted.
    pub streams: BTreeMap<Stream, ClosedStream>,
    /// The latest earlier day for which this spool had put objects of this source into this bucket string
    /// when the marker was made. If that day is deleted together with its marker, this one still names it.
    /// `None`: there was none, or an older release made the marker.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_day: Option<ReceivedDay>,
    /// The number of positions within which the log recognises repeats, whenever they come. `None`: it
    /// remembers as many calls as the spool does, for a day.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeats_within: Option<u64>,
}

/// The sums over all objects of one spool, source, received-day and stream.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ClosedStream {
    /// Objects.
    pub objects: u64,
    /// Lines in them.
    pub calls: u64,
    /// Bytes of the lines.
    pub bytes: u64,
    /// The first position of the first object.
    pub first_position: u64,
    /// The last position of the last object.
    pub last_position: u64,
    /// The earliest `receivedAt`.
    #[serde(with = "instant")]
    pub first_received_at: UnixMillis,
    /// The latest `receivedAt`.
    #[serde(with = "instant")]
    pub last_received_at: UnixMillis,
    /// A SHA-256, in hexadecimal, computed object by object in the order of first positions. Each step hashes
    /// three lines: the value before the object (empty before the first), the object's key from
    /// `segment-logs/` on, and the SHA-256 of its lines from its metadata. So the value can be carried from
    /// one object to the next and stored in between.
    pub sha256: String,
}

/// A [`ClosedStream`] in progress, fed object by object in the order of first positions.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct Closing {
    sum: Option<ClosedStream>,
}

impl Closing {
    /// Adds the next object of the stream.
    pub fn push(&mut self, bucket: &BucketString, key: &ObjectKey, object: &Metadata<'_>) {
        let inside = below_prefix(bucket, key.as_str()).unwrap_or(key.as_str());
        let sum = self.sum.get_or_insert_with(|| ClosedStream {
            objects: 0,
            calls: 0,
            bytes: 0,
            first_position: object.first_position,
            last_position: object.last_position,
            first_received_at: object.first_received_at,
            last_received_at: object.last_received_at,
            sha256: String::new(),
        });
        let digest = Sha256::digest(format!("{}\n{inside}\n{}\n", sum.sha256, object.sha256));
        sum.sha256 = hex::encode(digest);
        sum.objects += 1;
        sum.calls = sum.calls.saturating_add(object.calls);
        sum.bytes = sum.bytes.saturating_add(object.bytes);
        sum.last_position = sum.last_position.max(object.last_position);
        sum.first_received_at = sum.first_received_at.min(object.first_received_at);
        sum.last_received_at = sum.last_received_at.max(object.last_received_at);
    }

    /// The stream so far; `None` if it has no object.
    pub fn sum(&self) -> Option<&ClosedStream> {
        self.sum.as_ref()
    }
}

/// Why a marker cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MarkerError {
    /// It is not JSON of this form.
    #[error("it cannot be parsed: {0}")]
    Illegible(#[from] serde_json::Error),
    /// A newer release wrote it.
    #[error("a newer release wrote it (version {0})")]
    Newer(u32),
    /// It contradicts its key.
    #[error("its {0} differs from the one in its key")]
    OtherPlace(&'static str),
}

impl ClosedMarker {
    /// The version to write for a day with these streams.
    pub fn version_for<'s>(mut streams: impl Iterator<Item = &'s Stream>) -> u32 {
        if streams.all(Stream::is_plain) { PLAIN_VERSION } else { VERSION }
    }

    /// Its key in `bucket`.
    pub fn key(&self, bucket: &BucketString) -> ObjectKey {
        let place = ParsedMarkerKey {
            source: self.source.clone(),
            day: self.day,
            node: self.node.clone(),
            spool_id: self.spool.clone(),
        };
        place.key(bucket)
    }

    /// The body. Errors: never for a marker that this program made.
    pub fn body(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(self)
    }

    /// The user metadata, by which a retry of the same put recognises the marker. It is computed without
    /// `previous_day`, because a retry after a restart may know a later previous day.
    /// Errors: as [`Self::body`].
    pub fn metadata(&self) -> Result<Vec<(&'static str, String)>, serde_json::Error> {
        let own = Self { previous_day: None, ..self.clone() };
        Ok(vec![(SHA256, hex::encode(Sha256::digest(own.body()?)))])
    }

    /// Parses the body of the marker at `place`.
    pub fn read(place: &ParsedMarkerKey, body: &[u8]) -> Result<Self, MarkerError> {
        #[derive(serde::Deserialize)]
        struct Versioned {
            version: u32,
        }
        let Versioned { version } = serde_json::from_slice(body)?;
        if !(PLAIN_VERSION..=VERSION).contains(&version) {
            return Err(MarkerError::Newer(version));
        }
        let marker: Self = serde_json::from_slice(body)?;
        let same = [
            ("source", marker.source == place.source),
            ("day", marker.day == place.day),
            ("node", marker.node == place.node),
            ("spool", marker.spool == place.spool_id),
        ];
        match same.into_iter().find(|(_, same)| !same) {
            Some((what, _)) => Err(MarkerError::OtherPlace(what)),
            None => Ok(marker),
        }
    }
}

/// The parts of a marker's key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParsedMarkerKey {
    /// The source.
    pub source: SourceId,
    /// The received-day.
    pub day: ReceivedDay,
    /// The node id.
    pub node: String,
    /// The spool id.
    pub spool_id: String,
}

impl ParsedMarkerKey {
    /// Parses the key of a marker in `bucket`. `None` if it is not the key of a marker.
    pub fn of(bucket: &BucketString, key: &str) -> Option<Self> {
        let inside = below_prefix(bucket, key)?.strip_prefix(OBJECTS)?.strip_prefix("_closed/")?;
        let (source, inside) = inside.split_once('/')?;
        let (day, name) = inside.split_once('/')?;
        let (node, spool_id) = name.strip_suffix(".json")?.rsplit_once('-')?;
        Some(Self {
            source: SourceId::new(source).ok()?,
            day: received_day(day)?,
            node: Some(node).filter(|node| is_node(node))?.to_owned(),
            spool_id: Some(spool_id).filter(|id| is_spool_id(id))?.to_owned(),
        })
    }

    /// The key in `bucket`.
    pub fn key(&self, bucket: &BucketString) -> ObjectKey {
        let Self { source, day, node, spool_id } = self;
        ObjectKey::listed(bucket.below(&format!("{OBJECTS}_closed/{source}/{day}/{node}-{spool_id}.json")))
    }
}

/// Times in the form of lines.
mod instant {
    use serde::{Deserialize, Deserializer, Serializer, de};

    use crate::time::UnixMillis;
    use crate::words::date::{parse_rfc3339, rfc3339};

    pub(super) fn serialize<S: Serializer>(at: &UnixMillis, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(*at))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<UnixMillis, D::Error> {
        let text = String::deserialize(deserializer)?;
        parse_rfc3339(&text)
            .ok_or_else(|| de::Error::custom("expected an RFC 3339 time in UTC with milliseconds"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPOOL: &str = "0123456789abcdef0123456789abcdef";
    const LINES: &str = "00000000000000000000000000000000000000000000000000000000000000ab";

    fn marker() -> ClosedMarker {
        let bucket = BucketString::parse("bucket/a/b").unwrap();
        let mut closing = Closing::default();
        for (first, previous) in [(1, None), (5, Some(4))] {
            let metadata = Metadata {
                calls: 2,
                first_received_at: UnixMillis(1_432_684_812_345),
                last_received_at: UnixMillis(1_432_684_812_400),
                node: "n-1",
                first_position: first,
                last_position: first + 3,
                bytes: 20,
                sha256: LINES,
                previous_last_position: previous,
                lost_calls: 0,
            };
            closing.push(
                &bucket,
                &ObjectKey::listed(format!("a/b/segment-logs/web/1432684800000/{first}.gz")),
                &metadata,
            );
        }
        ClosedMarker {
            version: PLAIN_VERSION,
            source: SourceId::new("web").unwrap(),
            day: UnixMillis(1_432_684_800_000).day(),
            node: "n-1".into(),
            spool: SPOOL.into(),
            streams: closing.sum().map(|stream| (Stream::Calls, stream.clone())).into_iter().collect(),
            previous_day: None,
            repeats_within: None,
        }
    }

    #[test]
    fn the_previous_day_is_last_and_does_not_change_the_metadata() {
        let mut later = marker();
        later.previous_day = Some(UnixMillis(1_432_598_400_000).day());
        let body = String::from_utf8(later.body().unwrap()).unwrap();
        assert!(body.ends_with(r#"}},"previous_day":1432598400000}"#), "{body}");
        assert_ne!(later.body().unwrap(), marker().body().unwrap());
        assert_eq!(later.metadata().unwrap(), marker().metadata().unwrap());
        let place = ParsedMarkerKey::of(
            &BucketString::parse("bucket").unwrap(),
            later.key(&BucketString::parse("bucket").unwrap()).as_str(),
        );
        assert_eq!(ClosedMarker::read(&place.unwrap(), body.as_bytes()).unwrap(), later);
    }

    /// The form is fixed: releases read each other's markers.
    #[test]
    fn a_marker_is_written_in_this_form_and_parsed_back() {
        let first = hex::encode(Sha256::digest(format!("\nsegment-logs/web/1432684800000/1.gz\n{LINES}\n")));
        let sum =
            hex::encode(Sha256::digest(format!("{first}\nsegment-logs/web/1432684800000/5.gz\n{LINES}\n")));
        let marker = marker();
        let body = String::from_utf8(marker.body().unwrap()).unwrap();
        assert_eq!(
            body,
            format!(
                r#"{{"version":1,"source":"web","day":1432684800000,"node":"n-1","spool":"{SPOOL}","streams":{{"calls":{{"objects":2,"calls":4,"bytes":40,"first_position":1,"last_position":8,"first_received_at":"2015-05-27T00:00:12.345Z","last_received_at":"2015-05-27T00:00:12.400Z","sha256":"{sum}"}}}}}}"#
            )
        );
        for bucket in ["bucket", "bucket/a/b"] {
            let bucket = BucketString::parse(bucket).unwrap();
            let key = marker.key(&bucket);
            assert!(
                key.as_str().ends_with(&format!("segment-logs/_closed/web/1432684800000/n-1-{SPOOL}.json"))
            );
            let place = ParsedMarkerKey::of(&bucket, key.as_str()).unwrap();
            assert_eq!(ClosedMarker::read(&place, body.as_bytes()).unwrap(), marker);
        }
    }

    #[test]
    fn an_unusable_marker_gives_the_reason() {
        let bucket = BucketString::parse("bucket").unwrap();
        let marker = marker();
        let place = ParsedMarkerKey::of(&bucket, marker.key(&bucket).as_str()).unwrap();
        let body = String::from_utf8(marker.body().unwrap()).unwrap();
        let check = |from: &str, to: &str, said: &str| {
            let error =
                ClosedMarker::read(&place, body.replace(from, to).as_bytes()).unwrap_err().to_string();
            assert!(error.contains(said), "{from} {to}: {error}");
        };
        check("\"version\":1", "\"version\":3", "a newer release");
        check("n-1", "n-2", "its node differs");
        check("\"web\"", "\"ios\"", "its source differs");
        check("1432684800000", "1432771200000", "its day differs");
        check("2015-05-27T00:00:12.345Z", "yesterday", "expected an RFC 3339 time");
        check("}", "", "cannot be parsed");
    }

    #[test]
    fn an_empty_stream_is_omitted() {
        assert_eq!(Closing::default().sum(), None);
    }
}
