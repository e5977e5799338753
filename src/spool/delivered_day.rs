//! What a spool has delivered of a source's received-day: it grows with each object, and becomes the day's marker.

use std::collections::BTreeMap;

use super::note::{PendingSeal, Seal};
use crate::object::closed_marker::{self, ClosedMarker, Closing};
use crate::object::metadata::Metadata;
use crate::object::{BucketString, Destination, ObjectPlace, Stream};
use crate::sources::SourceId;
use crate::time::ReceivedDay;

/// Which day, and in which bucket string: a source that goes elsewhere in the middle of a day has two parts of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct DayPlace {
    /// The source.
    pub source: SourceId,
    /// The received-day.
    pub day: ReceivedDay,
    /// Bucket and prefix.
    pub bucket: BucketString,
}

impl DayPlace {
    /// The day that a sealed object belongs to.
    pub fn of(seal: &Seal) -> Self {
        let (source, day) = (seal.batch.source.clone(), seal.batch.day);
        Self { source, day, bucket: seal.destination.bucket.clone() }
    }
}

/// A day that has sealed objects and is not closed.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct DeliveredDay {
    /// Where its newest object goes; its marker goes there, too.
    pub destination: Destination,
    /// The node id in the name of the newest object that is counted.
    node: String,
    /// One of its objects holds less than was sealed, or a person decided about it: what the store has under its key may be
    /// another than what is counted here. Such a day is never closed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unsure: bool,
    /// Boxed: a node of the map has room for eleven, and there are at most two.
    streams: BTreeMap<Stream, Box<DeliveredStream>>,
}

/// One stream of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
struct DeliveredStream {
    /// The last position that is sealed: the object that comes next names it.
    sealed: u64,
    /// The objects in the store, up to the first that is not.
    closing: Closing,
    /// Objects in the store behind one that is not, by first position.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    ahead: BTreeMap<u64, Seal>,
}

impl DeliveredDay {
    /// A day whose first object goes to `destination`.
    pub fn new(destination: Destination) -> Self {
        Self { destination, node: String::new(), unsure: false, streams: BTreeMap::new() }
    }

    /// Takes in that an object was sealed.
    pub fn sealed(&mut self, seal: &Seal) {
        self.destination = seal.destination.clone();
        let stream = self.streams.entry(seal.batch.stream).or_default();
        stream.sealed = stream.sealed.max(seal.last);
    }

    /// The last position of `stream` that is sealed; `None` before its first object.
    pub fn sealed_through(&self, stream: Stream) -> Option<u64> {
        self.streams.get(&stream).map(|stream| stream.sealed)
    }

    /// Takes in that an object is in the store. `unput` is the first position of the oldest object of its stream that is
    /// not: what stands behind that one is counted once it is there, since the sum is made in the order of positions.
    pub fn delivered(&mut self, pending: PendingSeal, unput: Option<u64>) {
        let PendingSeal { mut seal, amended, conflict, overwrite, .. } = pending;
        self.unsure |= amended.is_some() || conflict || overwrite;
        if let Some(amend) = amended {
            (seal.frames, seal.bytes, seal.sha256) = (amend.frames, amend.bytes, amend.sha256);
        }
        let stream = self.streams.entry(seal.batch.stream).or_default();
        stream.ahead.insert(seal.first, seal);
        while let Some(next) = stream.ahead.first_entry()
            && unput.is_none_or(|unput| *next.key() < unput)
        {
            let seal = next.remove();
            let bucket = &seal.destination.bucket;
            if let Some(place) = ObjectPlace::of(bucket, seal.object_key.as_str()) {
                self.node = place.node;
            }
            stream.closing.push(bucket, &seal.object_key, &metadata_of(&seal));
        }
        if stream.ahead.is_empty() {
            // A map that was emptied keeps a node with room for eleven seals: 3 KB, for each source and day.
            stream.ahead = BTreeMap::new();
        }
    }

    /// Whether it can never be closed: see the field.
    pub fn is_unsure(&self) -> bool {
        self.unsure
    }

    /// Whether one of its objects is in the store, and counted.
    pub fn has_objects(&self) -> bool {
        self.streams.values().any(|stream| stream.closing.sum().is_some())
    }

    /// What the marker says once everything is in the store; `None` while nothing is.
    pub fn marker(
        &self,
        place: &DayPlace,
        spool_id: &str,
        previous_day: Option<ReceivedDay>,
    ) -> Option<ClosedMarker> {
        let streams: BTreeMap<_, _> = self
            .streams
            .iter()
            .filter_map(|(stream, delivered)| Some((*stream, delivered.closing.sum()?.clone())))
            .collect();
        (!streams.is_empty()).then(|| ClosedMarker {
            version: closed_marker::VERSION,
            source: place.source.clone(),
            day: place.day,
            node: self.node.clone(),
            spool: spool_id.to_owned(),
            streams,
            previous_day,
        })
    }
}

/// What a marker is made of among an object's metadata. The chain and what was lost are not.
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
    use crate::object::{Encryption, ObjectKey, ObjectName};
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
            object_key: ObjectKey::of_batch(&bucket, Stream::Calls, &source, AT.day(), name),
            batch: BatchKey { source, day: AT.day(), stream: Stream::Calls },
            first,
            last,
            frames: last - first + 1,
            bytes: 10 * (last - first + 1),
            sha256: format!("{first:064x}"),
            first_received_at: AT,
            last_received_at: AT,
            encoder: String::new(),
            destination: Destination::new(bucket, Encryption::SseS3),
            previous_last: None,
            hours: Vec::new(),
        }
    }

    fn pending(number: u64, first: u64, last: u64) -> PendingSeal {
        PendingSeal {
            seal: seal(number, first, last),
            parked: None,
            conflict: false,
            overwrite: false,
            amended: None,
        }
    }

    fn marker_of(day: &DeliveredDay) -> Option<ClosedMarker> {
        day.marker(&DayPlace::of(&seal(1, 1, 1)), "0123456789abcdef0123456789abcdef", None)
    }

    #[test]
    fn the_order_in_which_objects_arrive_does_not_show_in_the_marker() {
        let objects = || [pending(1, 1, 4), pending(2, 7, 9), pending(3, 12, 12)];
        let mut in_order = DeliveredDay::new(seal(1, 1, 4).destination);
        for object in objects() {
            in_order.sealed(&object.seal);
            in_order.delivered(object, None);
        }
        let [first, second, third] = objects();
        let mut late = DeliveredDay::new(seal(1, 1, 4).destination);
        late.delivered(third, Some(1));
        assert_eq!(marker_of(&late), None, "nothing is counted before what stands before it");
        late.delivered(first, Some(7));
        let part = marker_of(&late).unwrap();
        assert_eq!(part.streams[&Stream::Calls].objects, 1);
        late.delivered(second, None);
        assert_eq!(marker_of(&late), marker_of(&in_order));
        assert_eq!(marker_of(&late).unwrap().streams[&Stream::Calls].last_position, 12);
    }

    #[test]
    fn a_day_of_which_calls_were_lost_is_unsure() {
        let mut amended = pending(1, 1, 4);
        amended.amended = Some(crate::spool::note::Amend {
            frames: 3,
            bytes: 30,
            sha256: "ab".into(),
            lost: vec![crate::spool::scan::Range { first: 2, last: 2 }],
            hours: Vec::new(),
        });
        let decided = PendingSeal { conflict: true, ..pending(1, 1, 4) };
        for (object, unsure) in [(pending(1, 1, 4), false), (amended, true), (decided, true)] {
            let mut day = DeliveredDay::new(object.seal.destination.clone());
            day.delivered(object, None);
            assert_eq!(day.is_unsure(), unsure);
        }
    }
}
