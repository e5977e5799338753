//! Finds out from the bucket whether every spool that wrote to a source's received-day has closed it.

use std::collections::BTreeMap;

use super::bucket::{Archive, ArchiveError, Got};
use crate::object::closed_marker::ParsedMarkerKey;
use crate::object::{OBJECTS, ParsedObjectKey, Stream};
use crate::sources::SourceId;
use crate::store::reader::ListFrom;
use crate::time::ReceivedDay;

/// What one spool has of a day in the bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct SpoolDay {
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

/// The counts in the marker of a spool's day.
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

/// What each spool has of a day, by spool id.
pub type SpoolDays = BTreeMap<String, SpoolDay>;

/// Judges a day. Pure.
pub fn judge(spools: &SpoolDays) -> DayStanding {
    for (spool, spool_day) in spools {
        let Some(closed) = &spool_day.closed else { continue };
        if let Some((stream, said, found)) = other_stream(closed, spool_day) {
            return DayStanding::Broken(format!(
                "the marker of spool {spool} ({}) counts {said} objects of {stream}, but the bucket has {found}: \
                 `forebay verify BUCKET` reports which are missing or extra",
                spool_day.node
            ));
        }
        if (closed.objects, closed.rejected) != (spool_day.objects, spool_day.rejected) {
            return DayStanding::Broken(format!(
                "the marker of spool {spool} ({}) counts {} objects with calls and {} with rejected items, but the bucket has \
                 {} and {}: `forebay verify BUCKET` reports which are missing or extra",
                spool_day.node, closed.objects, closed.rejected, spool_day.objects, spool_day.rejected
            ));
        }
    }
    match () {
        () if spools.is_empty() => DayStanding::Empty,
        () if spools.values().all(|spool_day| spool_day.closed.is_some()) => DayStanding::Closed,
        () => DayStanding::Open,
    }
}

/// The first object or dead-letter stream whose number of objects differs, with both numbers.
fn other_stream<'d>(closed: &'d Closed, spool_day: &'d SpoolDay) -> Option<(&'d Stream, u64, u64)> {
    let number = |of: &BTreeMap<Stream, u64>, stream| of.get(stream).copied().unwrap_or(0);
    let streams = closed.others.keys().chain(spool_day.others.keys());
    let mut counted =
        streams.map(|stream| (stream, number(&closed.others, stream), number(&spool_day.others, stream)));
    counted.find(|(_, said, found)| said != found)
}

impl Archive {
    /// Reads a source's day. Markers are listed before objects. So if an object is listed without a marker,
    /// its spool had not closed the day when the markers were listed.
    pub async fn spool_days(&self, source: &SourceId, day: ReceivedDay) -> Result<SpoolDays, ArchiveError> {
        let mut spools = SpoolDays::new();
        for key in self.keys(&format!("{OBJECTS}_closed/{source}/{day}/")).await? {
            let Some(at) = ParsedMarkerKey::of(self.bucket(), &key) else { continue };
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
            spools
                .insert(at.spool_id, SpoolDay { node: at.node, closed: Some(closed), ..SpoolDay::default() });
        }
        for stream in self.streams().await? {
            for key in self.keys(&format!("{OBJECTS}{}{source}/{day}/", stream.folder())).await? {
                let Some(at) = ParsedObjectKey::of(self.bucket(), &key) else { continue };
                let spool_day = spools.entry(at.spool_id).or_default();
                spool_day.node = at.node;
                match at.stream {
                    Stream::Calls => spool_day.objects += 1,
                    Stream::Rejected => spool_day.rejected += 1,
                    stream => *spool_day.others.entry(stream).or_default() += 1,
                }
            }
        }
        Ok(spools)
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

    fn spool_day(objects: u64, closed: Option<u64>) -> SpoolDay {
        let closed = closed.map(|objects| Closed { objects, ..Closed::default() });
        SpoolDay { node: "n1".into(), objects, closed, ..SpoolDay::default() }
    }

    #[test]
    fn a_day_is_closed_when_every_spool_has_a_matching_marker() {
        let check = |spools: &[SpoolDay], expected: DayStanding| {
            let spools: SpoolDays = (0..).map(|n| format!("{n}")).zip(spools.iter().cloned()).collect();
            assert_eq!(judge(&spools), expected, "{spools:?}");
        };
        check(&[], DayStanding::Empty);
        check(&[spool_day(2, None)], DayStanding::Open);
        check(&[spool_day(2, Some(2)), spool_day(1, None)], DayStanding::Open);
        check(&[spool_day(2, Some(2)), spool_day(1, Some(1))], DayStanding::Closed);
        let spools: SpoolDays = [("s".to_owned(), spool_day(1, Some(2)))].into();
        let DayStanding::Broken(why) = judge(&spools) else { panic!("{spools:?}") };
        assert!(
            why.contains(
                "spool s (n1) counts 2 objects with calls and 0 with rejected items, but the bucket has 1 and 0"
            ),
            "{why}"
        );
    }
}
