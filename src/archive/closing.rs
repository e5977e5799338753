//! Whether a source's received-day is closed by every spool that wrote to it, as the bucket tells.

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
    /// The node id, as it stands in the newest name.
    pub node: String,
    /// Objects with calls that are there.
    pub objects: u64,
    /// Objects of what was rejected that are there.
    pub rejected: u64,
    /// What its marker says: objects and lines of both streams. `None` without one.
    pub closed: Option<Closed>,
}

/// What a marker says of a spool's part of a day.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Closed {
    /// Objects with calls.
    pub objects: u64,
    /// Objects of what was rejected.
    pub rejected: u64,
    /// Calls.
    pub calls: u64,
}

/// How a day stands in the bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is neither an object nor a marker.
    Empty,
    /// Some spools have no marker yet.
    Open,
    /// Every spool has closed it, and there are as many objects as they say.
    Closed,
    /// It cannot be called closed, and waiting does not help: why, in words.
    Broken(String),
}

/// The parts of a day, by spool id.
pub type Parts = BTreeMap<String, Part>;

/// Judges a day. Pure.
pub fn judge(parts: &Parts) -> Standing {
    for (spool, part) in parts {
        let Some(closed) = &part.closed else { continue };
        if (closed.objects, closed.rejected) != (part.objects, part.rejected) {
            return Standing::Broken(format!(
                "the marker of spool {spool} ({}) names objects of calls: {}, of what was rejected: {}; there are {} and {}: \
                 `forebay verify` tells which are missing, or too many",
                part.node, closed.objects, closed.rejected, part.objects, part.rejected
            ));
        }
    }
    match () {
        () if parts.is_empty() => Standing::Empty,
        () if parts.values().all(|part| part.closed.is_some()) => Standing::Closed,
        () => Standing::Open,
    }
}

impl Archive {
    /// Looks at a source's day. Markers are listed first: an object that is listed after them and has none is of a spool
    /// that had not closed the day then.
    ///
    /// # Errors
    /// [`ArchiveError`].
    pub async fn parts_of(&self, source: &SourceId, day: ReceivedDay) -> Result<Parts, ArchiveError> {
        let mut parts = Parts::new();
        for key in self.keys(&format!("segment-logs/_closed/{source}/{day}/")).await? {
            let Some(at) = MarkerPlace::of(self.bucket(), &key) else { continue };
            // One that says nothing closes nothing; `verify` says why.
            let Got::Read(Ok(marker)) = self.marker(&at).await? else { continue };
            let of = |stream| marker.streams.get(&stream);
            let closed = Closed {
                objects: of(Stream::Calls).map_or(0, |stream| stream.objects),
                rejected: of(Stream::Rejected).map_or(0, |stream| stream.objects),
                calls: of(Stream::Calls).map_or(0, |stream| stream.calls),
            };
            parts.insert(at.spool_id, Part { node: at.node, closed: Some(closed), ..Part::default() });
        }
        for folder in
            [format!("segment-logs/{source}/{day}/"), format!("segment-logs/_rejected/{source}/{day}/")]
        {
            for key in self.keys(&folder).await? {
                let Some(at) = ObjectPlace::of(self.bucket(), &key) else { continue };
                let part = parts.entry(at.spool_id).or_default();
                part.node = at.node;
                match at.stream {
                    Stream::Calls => part.objects += 1,
                    Stream::Rejected => part.rejected += 1,
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
        Part { node: "n1".into(), objects, rejected: 0, closed }
    }

    #[test]
    fn a_day_is_closed_when_every_spool_that_wrote_to_it_says_so() {
        let check = |parts: &[Part], expected: Standing| {
            let parts: Parts = (0..).map(|n| format!("{n}")).zip(parts.iter().cloned()).collect();
            assert_eq!(judge(&parts), expected, "{parts:?}");
        };
        check(&[], Standing::Empty);
        check(&[part(2, None)], Standing::Open);
        check(&[part(2, Some(2)), part(1, None)], Standing::Open);
        check(&[part(2, Some(2)), part(1, Some(1))], Standing::Closed);
        let parts: Parts = [("s".to_owned(), part(1, Some(2)))].into();
        let Standing::Broken(why) = judge(&parts) else { panic!("{parts:?}") };
        assert!(
            why.contains(
                "spool s (n1) names objects of calls: 2, of what was rejected: 0; there are 1 and 0"
            ),
            "{why}"
        );
    }
}
