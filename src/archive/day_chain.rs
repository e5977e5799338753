//! The days of one source, as their markers chain them: each names the day before it that its spool had put objects on. Pure.
//!
//! A day that vanished with its marker leaves nothing behind but that name. The last day has none, and the first ones of an
//! archive go when they are old: only what is missing behind a day of which the same spool still has calls is found.

use std::collections::{BTreeMap, BTreeSet};

use super::day::Day;
use crate::object::Stream;
use crate::object::closed_marker::MarkerPlace;
use crate::sources::SourceId;
use crate::time::ReceivedDay;

/// A spool that has objects or a marker of a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    spool_id: String,
    /// It has objects with calls.
    calls: bool,
    /// Where its marker stands, and the day before that it names.
    before: Option<(MarkerPlace, ReceivedDay)>,
}

/// What a day has to say of the days before it.
pub fn links(day: &Day) -> Vec<Link> {
    let of_object = |(spool_id, stream): (&String, Stream)| Link {
        spool_id: spool_id.clone(),
        calls: stream == Stream::Calls,
        before: None,
    };
    let spools: BTreeSet<(&String, Stream)> =
        day.objects.iter().map(|object| (&object.at.spool_id, object.at.stream)).collect();
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

/// What went by of one spool.
#[derive(Debug, Default)]
struct Seen {
    /// The first day with calls.
    first: Option<ReceivedDay>,
    days: BTreeSet<ReceivedDay>,
}

/// The days of a source that went by, in order.
#[derive(Debug, Default)]
pub struct DayChain {
    source: Option<SourceId>,
    of_spool: BTreeMap<String, Seen>,
}

impl DayChain {
    /// Takes in the next day. Answers the markers that name a day before it that is not there, although the same spool has
    /// calls of an earlier one.
    pub fn take(
        &mut self,
        source: &SourceId,
        day: ReceivedDay,
        links: &[Link],
    ) -> Vec<(MarkerPlace, ReceivedDay)> {
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
        let at = MarkerPlace { source: web(), day: day(on), node: "n1".into(), spool_id: spool.into() };
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
    fn a_day_that_a_later_marker_names_is_missed() {
        let of_a = |on, before| vec![link("a", on, before)];
        let (first, second, third) = (of_a(1, None), of_a(2, Some(1)), of_a(3, Some(2)));
        let others = vec![link("b", 2, None)];
        let check = |days: [&[Link]; 3], expected: &[(i64, i64)], why: &str| {
            assert_eq!(gone(&days), expected, "{why}");
        };
        check([&first, &second, &third], &[], "all are there");
        check([&first, &[], &third], &[(3, 2)], "the day is gone");
        check([&first, &others, &third], &[(3, 2)], "there is another spool's day");
        check([&[], &second, &third], &[], "the oldest days go by themselves");
        check([&[], &[], &third], &[], "the oldest days go by themselves");
        check([&first, &[], &of_a(3, None)], &[], "nothing was said");
        check(
            [&[link("b", 1, None)], &[], &third],
            &[],
            "another spool's days say nothing of when this one's go",
        );
        let rejected = [Link { calls: false, ..link("a", 1, None) }];
        check([&rejected, &[], &third], &[], "what was rejected may be kept for longer");
    }

    #[test]
    fn each_source_has_its_own() {
        let mut chain = DayChain::default();
        chain.take(&web(), day(1), &[link("a", 1, None)]);
        let other = SourceId::new("shop").unwrap();
        assert_eq!(chain.take(&other, day(3), &[link("a", 3, Some(2))]), []);
    }
}
