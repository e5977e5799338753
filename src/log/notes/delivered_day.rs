//! What a log has delivered of a source's received-day. It grows with each object and becomes the day's
//! marker.

use std::collections::BTreeMap;

use crate::log::{DayInBucket, PendingSeal, Seal};
use crate::object::closed_marker::{ClosedMarker, Closing};
use crate::object::metadata::Metadata;
use crate::object::{ParsedObjectKey, S3Location, Stream};
use crate::time::ReceivedDay;

/// A day that has sealed objects and is not closed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeliveredDay {
    /// The bucket of its newest object, and of its marker.
    #[serde(rename = "destination")]
    pub location: S3Location,
    /// The node id in the name of the newest object counted here.
    node: String,
    /// Whether one of its objects holds less than was sealed, or a person decided about one. In both cases
    /// the store may hold an object that differs from the one counted here. Such a day is never closed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unsure: bool,
    /// Boxed, because a node of the map reserves space for eleven values and there are rarely more than two.
    streams: BTreeMap<Stream, Box<DeliveredStream>>,
}

/// What a marker says of its log.
#[derive(Clone, Copy, Debug)]
pub struct MarkerOf<'l> {
    /// The log's id, as in the names of its objects.
    pub id: &'l str,
    /// See [`ClosedMarker::repeats_within`].
    pub repeats_within: Option<u64>,
}

/// One stream of the day.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct DeliveredStream {
    /// The last sealed position. The next object names it.
    sealed: u64,
    /// The objects in the store that precede every pending object.
    closing: Closing,
    /// Objects in the store that follow a pending object, by first position.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    ahead: BTreeMap<u64, Seal>,
}

impl DeliveredDay {
    /// A day whose first object goes to `location`.
    pub(crate) fn new(location: S3Location) -> Self {
        Self { location, node: String::new(), unsure: false, streams: BTreeMap::new() }
    }

    /// Records that an object was sealed.
    pub(crate) fn sealed(&mut self, seal: &Seal) {
        self.location = seal.location.clone();
        let stream = self.streams.entry(seal.batch.stream.clone()).or_default();
        stream.sealed = stream.sealed.max(seal.last);
    }

    /// The last sealed position of `stream`; `None` before its first object.
    pub fn sealed_through(&self, stream: &Stream) -> Option<u64> {
        self.streams.get(stream).map(|stream| stream.sealed)
    }

    /// Records that an object is in the store. `oldest_pending` is the first position of the oldest object of
    /// its stream that is not yet in the store. Objects after that one are counted only once it is there,
    /// because the sum is made in the order of positions.
    pub(crate) fn delivered(&mut self, pending: PendingSeal, oldest_pending: Option<u64>) {
        let PendingSeal { mut seal, amended, conflict, overwrite, aside, .. } = pending;
        self.unsure |= amended.is_some() || conflict || overwrite || aside;
        if let Some(amend) = amended {
            (seal.frames, seal.bytes, seal.sha256) = (amend.frames, amend.bytes, amend.sha256);
        }
        let stream = self.streams.entry(seal.batch.stream.clone()).or_default();
        stream.ahead.insert(seal.first, seal);
        while let Some(next) = stream.ahead.first_entry()
            && oldest_pending.is_none_or(|oldest_pending| *next.key() < oldest_pending)
        {
            let seal = next.remove();
            let bucket = &seal.location.bucket;
            if let Some(place) = ParsedObjectKey::of(bucket, seal.object_key.as_str()) {
                self.node = place.node;
            }
            stream.closing.push(bucket, &seal.object_key, &metadata_of(&seal));
        }
        if stream.ahead.is_empty() {
            // An emptied map keeps a node with space for eleven seals: 3 KB for each source and day.
            stream.ahead = BTreeMap::new();
        }
    }

    /// Whether the day can never be closed; see the field.
    pub(crate) fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Whether one of its objects is in the store and counted.
    pub(crate) fn has_objects(&self) -> bool {
        self.streams.values().any(|stream| stream.closing.sum().is_some())
    }

    /// The marker of the day, for use once all its objects are in the store; `None` if there are none.
    pub fn marker(
        &self,
        place: &DayInBucket,
        log: MarkerOf<'_>,
        previous_day: Option<ReceivedDay>,
    ) -> Option<ClosedMarker> {
        let streams: BTreeMap<_, _> = self
            .streams
            .iter()
            .filter_map(|(stream, delivered)| Some((stream.clone(), delivered.closing.sum()?.clone())))
            .collect();
        (!streams.is_empty()).then(|| ClosedMarker {
            version: ClosedMarker::version_for(streams.keys()),
            source: place.source.clone(),
            day: place.day,
            node: self.node.clone(),
            spool: log.id.to_owned(),
            streams,
            previous_day,
            repeats_within: log.repeats_within,
        })
    }
}

/// The part of an object's metadata that a marker is made from: all but the chain and the lost calls.
fn metadata_of(seal: &Seal) -> Metadata<'_> {
    Metadata {
        calls: seal.frames,
        first_received_at: seal.first_received_at,
        last_received_at: seal.last_received_at,
        node: "",
        first_position: seal.first,
        last_position: seal.last,
        bytes: seal.bytes,
        sha256: &seal.sha256,
        previous_last_position: None,
        lost_calls: 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::BatchKey;
    use crate::object::BucketString;
    use crate::object::{Encryption, ObjectKey, ObjectName};
    use crate::sources::SourceId;
    use crate::time::UnixMillis;

    const AT: UnixMillis = UnixMillis(1_432_684_812_345);

    fn seal(number: u64, first: u64, last: u64) -> Seal {
        let bucket = BucketString::parse("bucket").unwrap();
        let source = SourceId::new("web").unwrap();
        let name = ObjectName {
            first_received_at: AT,
            node: "n1",
            spool_id: "0123456789abcdef0123456789abcdef",
            first_position: first,
        };
        Seal {
            number,
            object_key: ObjectKey::of_batch(&bucket, &Stream::Calls, &source, AT.day(), name),
            batch: BatchKey { source, day: AT.day(), stream: Stream::Calls },
            first,
            last,
            frames: last - first + 1,
            bytes: 10 * (last - first + 1),
            sha256: format!("{first:064x}"),
            first_received_at: AT,
            last_received_at: AT,
            encoder: String::new(),
            location: S3Location::new(bucket, Encryption::SseS3),
            previous_last: None,
            hours: Vec::new(),
        }
    }

    fn pending(number: u64, first: u64, last: u64) -> PendingSeal {
        PendingSeal::of(seal(number, first, last))
    }

    fn marker_of(day: &DeliveredDay) -> Option<ClosedMarker> {
        let log = MarkerOf { id: "0123456789abcdef0123456789abcdef", repeats_within: None };
        day.marker(&DayInBucket::of(&seal(1, 1, 1)), log, None)
    }

    #[test]
    fn the_marker_does_not_depend_on_the_order_of_arrival() {
        let objects = || [pending(1, 1, 4), pending(2, 7, 9), pending(3, 12, 12)];
        let mut in_order = DeliveredDay::new(seal(1, 1, 4).location);
        for object in objects() {
            in_order.sealed(&object.seal);
            in_order.delivered(object, None);
        }
        let [first, second, third] = objects();
        let mut late = DeliveredDay::new(seal(1, 1, 4).location);
        late.delivered(third, Some(1));
        assert_eq!(marker_of(&late), None, "an object is not counted before its predecessor");
        late.delivered(first, Some(7));
        let part = marker_of(&late).unwrap();
        assert_eq!(part.streams[&Stream::Calls].objects, 1);
        late.delivered(second, None);
        assert_eq!(marker_of(&late), marker_of(&in_order));
        assert_eq!(marker_of(&late).unwrap().streams[&Stream::Calls].last_position, 12);
    }

    #[test]
    fn a_day_that_lost_calls_is_unsure() {
        let mut amended = pending(1, 1, 4);
        amended.amended = Some(crate::log::Amend {
            frames: 3,
            bytes: 30,
            sha256: "ab".into(),
            lost: vec![crate::log::Range { first: 2, last: 2 }],
            hours: Vec::new(),
        });
        let decided = PendingSeal { conflict: true, ..pending(1, 1, 4) };
        let aside = PendingSeal { aside: true, ..pending(1, 1, 4) };
        for (object, unsure) in [(pending(1, 1, 4), false), (amended, true), (decided, true), (aside, true)] {
            let mut day = DeliveredDay::new(object.seal.location.clone());
            day.delivered(object, None);
            assert_eq!(day.is_unsure(), unsure);
        }
    }
}
