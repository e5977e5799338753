//! The days of one source, linked by their markers: each marker names the previous day on which its spool put
//! objects. Pure.
//!
//! If a day vanished together with its marker, only that name remains. No marker names the last day, and the
//! oldest days of an archive may expire: so a missing day is found only if the same spool still has calls of
//! an earlier one.

use std::collections::{BTreeMap, BTreeSet};

use super::day::Day;
use crate::object::Stream;
use crate::object::closed_marker::ParsedMarkerKey;
use crate::sources::SourceId;
use crate::time::ReceivedDay;

/// A spool with objects or a marker of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    spool_id: String,
    /// Whether it has objects with calls.
    calls: bool,
    /// The place of its marker, and the previous day that it names.
    before: Option<(ParsedMarkerKey, ReceivedDay)>,
}

/// The spools of a day, with the earlier days that their markers name.
pub fn links(day: &Day) -> Vec<Link> {
    let of_object = |(spool_id, stream): (&String, &Stream)| Link {
        spool_id: spool_id.clone(),
        calls: *stream == Stream::Calls,
        before: None,
    };
    let spools: BTreeSet<(&String, &Stream)> =
        day.objects.iter().map(|object| (&object.at.spool_id, &object.at.stream)).collect();
    let of_markers = day.markers.iter().map(|marker| {
        let before = marker.said.as_ref().ok().and_then(|said| said.previous_day);
        let before = before.filter(|before| *before < marker.at.day);
        Link {
            spool_id: marker.at.spool_id.clone(),
            calls: false,
            before: before.map(|before| (marker.at.clone(), before)),
        }
    });
    spools.into_iter().map(of_object).chain(of_markers).collect()
}

/// The days of one spool so far.
#[derive(Debug, Default)]
struct Seen {
    /// The first day with calls.
    first: Option<ReceivedDay>,
    days: BTreeSet<ReceivedDay>,
}

/// The days of a source so far, in order.
#[derive(Debug, Default)]
pub struct DayChain {
    source: Option<SourceId>,
    of_spool: BTreeMap<String, Seen>,
}

impl DayChain {
    /// Adds the next day. Returns the markers that name an earlier day that is missing although the same
    /// spool has calls of a still earlier one.
    pub fn take(
        &mut self,
        source: &SourceId,
        day: ReceivedDay,
        links: &[Link],
    ) -> Vec<(ParsedMarkerKey, ReceivedDay)> {
        if self.source.as_ref() != Some(source) {
            *self = Self { source: Some(source.clone()), ..Self::default() };
        }
        let mut missing = Vec::new();
        for Link { spool_id, calls, before } in links {
            let seen = self.of_spool.entry(spool_id.clone()).or_default();
            let is_gone = |before: &ReceivedDay| {
                seen.first.is_some_and(|first| first < *before) && !seen.days.contains(before)
            };
            missing.extend(before.as_ref().filter(|(_, before)| is_gone(before)).cloned());
            seen.days.insert(day);
            if *calls {
                seen.first.get_or_insert(day);
            }
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{DAY_MS, UnixMillis};

    fn day(n: i64) -> ReceivedDay {
        UnixMillis((20_000 + n) * DAY_MS).day()
    }

    fn web() -> SourceId {
        SourceId::new("web").unwrap()
    }

    fn link(spool: &str, on: i64, before: Option<i64>) -> Link {
        let at = ParsedMarkerKey { source: web(), day: day(on), node: "n1".into(), spool_id: spool.into() };
        Link { spool_id: spool.into(), calls: true, before: before.map(|before| (at, day(before))) }
    }

    fn gone(days: &[&[Link]]) -> Vec<(i64, i64)> {
        let mut chain = DayChain::default();
        let number = |day: ReceivedDay| day.start().0 / DAY_MS - 20_000;
        let mut all = Vec::new();
        for (links, on) in days.iter().zip(DAYS) {
            let found = chain.take(&web(), day(on), links);
            all.extend(found.into_iter().map(|(_, gone)| (on, number(gone))));
        }
        all
    }

    const DAYS: [i64; 3] = [1, 2, 3];

    #[test]
    fn a_missing_day_that_a_later_marker_names_is_found() {
        let of_a = |on, before| vec![link("a", on, before)];
        let (first, second, third) = (of_a(1, None), of_a(2, Some(1)), of_a(3, Some(2)));
        let others = vec![link("b", 2, None)];
        let check = |days: [&[Link]; 3], expected: &[(i64, i64)], why: &str| {
            assert_eq!(gone(&days), expected, "{why}");
        };
        check([&first, &second, &third], &[], "all days exist");
        check([&first, &[], &third], &[(3, 2)], "the day is gone");
        check([&first, &others, &third], &[(3, 2)], "only another spool has the day");
        check([&[], &second, &third], &[], "the oldest days expire");
        check([&[], &[], &third], &[], "the oldest days expire");
        check([&first, &[], &of_a(3, None)], &[], "the marker names no day");
        check(
            [&[link("b", 1, None)], &[], &third],
            &[],
            "another spool's days prove nothing about this spool",
        );
        let rejected = [Link { calls: false, ..link("a", 1, None) }];
        check([&rejected, &[], &third], &[], "rejected items may be kept longer");
    }

    #[test]
    fn each_source_has_its_own_chain_of_days() {
        let mut chain = DayChain::default();
        chain.take(&web(), day(1), &[link("a", 1, None)]);
        let other = SourceId::new("shop").unwrap();
        assert_eq!(chain.take(&other, day(3), &[link("a", 3, Some(2))]), []);
    }
}
