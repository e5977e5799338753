//! Finds out from the bucket whether every spool that wrote to a source's received-day has closed it.

use std::collections::BTreeMap;

use super::bucket::{Archive, ArchiveError, Got};
use crate::object::closed_marker::MarkerPlace;
use crate::object::{ObjectPlace, Stream};
use crate::sources::SourceId;
use crate::store::s3::ListFrom;
use crate::time::ReceivedDay;

/// One spool's part of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Part {
    /// The node id in the newest object or marker name.
    pub node: String,
    /// Objects with calls in the bucket.
    pub objects: u64,
    /// Objects with rejected items in the bucket.
    pub rejected: u64,
    /// Objects of its other streams in the bucket.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<Stream, u64>,
    /// The counts of its marker; `None` without a marker.
    pub closed: Option<Closed>,
}

/// The counts in the marker of a spool's part of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Closed {
    /// Objects with calls.
    pub objects: u64,
    /// Objects with rejected items.
    pub rejected: u64,
    /// Objects of its other streams.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub others: BTreeMap<Stream, u64>,
    /// Calls.
    pub calls: u64,
}

/// The state of a day in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DayStanding {
    /// There are no objects and no markers.
    Empty,
    /// At least one spool has no marker yet.
    Open,
    /// Every spool has closed it, and the numbers of objects match the markers.
    Closed,
    /// It is not closed, and waiting does not help, for this reason.
    Broken(String),
}

/// The parts of a day, by spool id.
pub type Parts = BTreeMap<String, Part>;

/// Judges a day. Pure.
pub fn judge(parts: &Parts) -> DayStanding {
    for (spool, part) in parts {
        let Some(closed) = &part.closed else { continue };
        if let Some((stream, said, found)) = other_stream(closed, part) {
            return DayStanding::Broken(format!(
                "the marker of spool {spool} ({}) counts {said} objects of {stream}, but the bucket has {found}: \
                 `forebay verify` reports which are missing or extra",
                part.node
            ));
        }
        if (closed.objects, closed.rejected) != (part.objects, part.rejected) {
            return DayStanding::Broken(format!(
                "the marker of spool {spool} ({}) counts {} objects with calls and {} with rejected items, but the bucket has \
                 {} and {}: `forebay verify` reports which are missing or extra",
                part.node, closed.objects, closed.rejected, part.objects, part.rejected
            ));
        }
    }
    match () {
        () if parts.is_empty() => DayStanding::Empty,
        () if parts.values().all(|part| part.closed.is_some()) => DayStanding::Closed,
        () => DayStanding::Open,
    }
}

/// The first object or dead-letter stream whose number of objects differs, with both numbers.
fn other_stream<'d>(closed: &'d Closed, part: &'d Part) -> Option<(&'d Stream, u64, u64)> {
    let number = |of: &BTreeMap<Stream, u64>, stream| of.get(stream).copied().unwrap_or(0);
    let streams = closed.others.keys().chain(part.others.keys());
    let mut counted =
        streams.map(|stream| (stream, number(&closed.others, stream), number(&part.others, stream)));
    counted.find(|(_, said, found)| said != found)
}

impl Archive {
    /// Reads a source's day. Markers are listed before objects. So if an object is listed without a marker,
    /// its spool had not closed the day when the markers were listed.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn parts_of(&self, source: &SourceId, day: ReceivedDay) -> Result<Parts, ArchiveError> {
        let mut parts = Parts::new();
        for key in self.keys(&format!("segment-logs/_closed/{source}/{day}/")).await? {
            let Some(at) = MarkerPlace::of(self.bucket(), &key) else { continue };
            // An invalid marker closes nothing; `verify` reports why it is invalid.
            let Got::Read(Ok(marker)) = self.marker(&at).await? else { continue };
            let of = |stream| marker.streams.get(&stream);
            let others = marker.streams.iter().filter(|(stream, _)| !stream.is_plain());
            let closed = Closed {
                objects: of(Stream::Calls).map_or(0, |stream| stream.objects),
                rejected: of(Stream::Rejected).map_or(0, |stream| stream.objects),
                others: others.map(|(stream, sums)| (stream.clone(), sums.objects)).collect(),
                calls: of(Stream::Calls).map_or(0, |stream| stream.calls),
            };
            parts.insert(at.spool_id, Part { node: at.node, closed: Some(closed), ..Part::default() });
        }
        for stream in self.streams().await? {
            for key in self.keys(&format!("segment-logs/{}{source}/{day}/", stream.folder())).await? {
                let Some(at) = ObjectPlace::of(self.bucket(), &key) else { continue };
                let part = parts.entry(at.spool_id).or_default();
                part.node = at.node;
                match at.stream {
                    Stream::Calls => part.objects += 1,
                    Stream::Rejected => part.rejected += 1,
                    stream => *part.others.entry(stream).or_default() += 1,
                }
            }
        }
        Ok(parts)
    }

    /// Every key below `inside`.
    async fn keys(&self, inside: &str) -> Result<Vec<String>, ArchiveError> {
        let (prefix, mut next, mut keys) = (self.key(inside), None, Vec::new());
        loop {
            let from = ListFrom { prefix: &prefix, next: next.as_deref(), ..ListFrom::default() };
            let page = self.list(from).await?;
            keys.extend(page.objects.into_iter().map(|object| object.key.as_str().to_owned()));
            next = page.next;
            if next.is_none() {
                return Ok(keys);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(objects: u64, closed: Option<u64>) -> Part {
        let closed = closed.map(|objects| Closed { objects, ..Closed::default() });
        Part { node: "n1".into(), objects, closed, ..Part::default() }
    }

    #[test]
    fn a_day_is_closed_when_every_spool_has_a_matching_marker() {
        let check = |parts: &[Part], expected: DayStanding| {
            let parts: Parts = (0..).map(|n| format!("{n}")).zip(parts.iter().cloned()).collect();
            assert_eq!(judge(&parts), expected, "{parts:?}");
        };
        check(&[], DayStanding::Empty);
        check(&[part(2, None)], DayStanding::Open);
        check(&[part(2, Some(2)), part(1, None)], DayStanding::Open);
        check(&[part(2, Some(2)), part(1, Some(1))], DayStanding::Closed);
        let parts: Parts = [("s".to_owned(), part(1, Some(2)))].into();
        let DayStanding::Broken(why) = judge(&parts) else { panic!("{parts:?}") };
        assert!(
            why.contains(
                "spool s (n1) counts 2 objects with calls and 0 with rejected items, but the bucket has 1 and 0"
            ),
            "{why}"
        );
    }
}
