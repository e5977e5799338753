//! Where days end in a log that others write: see [`CallNote::DaysOver`](super::CallNote::DaysOver).

use crate::time::ReceivedDay;

/// The ends of days, in order of both day and position.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub(crate) struct DayEnds(Vec<(ReceivedDay, u64)>);

impl DayEnds {
    /// Whether no end is known.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds the end of all days through `through`, which is later than all known ones. `from` is the first
    /// position after it.
    pub(super) fn add(&mut self, through: ReceivedDay, from: u64) {
        // A log only grows. A note that says otherwise ends no day before the ones that ended earlier.
        let from = self.0.last().map_or(from, |(_, last)| from.max(*last));
        self.0.push((through, from));
    }

    /// The first position after the last end.
    pub(super) fn last(&self) -> Option<u64> {
        self.0.last().map(|(_, from)| *from)
    }

    /// The first position after the end of `day`, if its end is known.
    pub(super) fn end_of(&self, day: ReceivedDay) -> Option<u64> {
        self.0.iter().find(|(through, _)| *through >= day).map(|(_, from)| *from)
    }

    /// The last day that has ended at `position`.
    pub(super) fn over_at(&self, position: u64) -> Option<ReceivedDay> {
        self.0.iter().rfind(|(_, from)| *from <= position).map(|(through, _)| *through)
    }

    /// Forgets the ends that no frame from `oldest` on needs. One of those before it stays: it says which
    /// days have ended there.
    pub(super) fn prune(&mut self, oldest: u64) {
        let needed = self.0.iter().rposition(|(_, from)| *from <= oldest).unwrap_or(0);
        self.0.drain(..needed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{DAY_MS, UnixMillis};

    fn day(number: i64) -> ReceivedDay {
        UnixMillis(number * DAY_MS).day()
    }

    fn ends(of: &[(i64, u64)]) -> DayEnds {
        let mut ends = DayEnds::default();
        of.iter().for_each(|(through, from)| ends.add(day(*through), *from));
        ends
    }

    #[test]
    fn a_day_ends_with_the_first_end_that_covers_it() {
        let ends = ends(&[(3, 100), (5, 200)]);
        let found = [2, 3, 4, 5, 6].map(|number| ends.end_of(day(number)));
        assert_eq!(found, [Some(100), Some(100), Some(200), Some(200), None]);
    }

    #[test]
    fn a_late_frame_belongs_to_the_day_after_the_last_end_before_it() {
        let ends = ends(&[(3, 100), (5, 200)]);
        let over = [99, 100, 199, 200].map(|position| ends.over_at(position));
        assert_eq!(over, [None, Some(day(3)), Some(day(3)), Some(day(5))]);
    }

    #[test]
    fn ends_are_kept_while_a_frame_needs_them() {
        let check = |oldest: u64, left: &[(i64, u64)]| {
            let mut kept = ends(&[(3, 100), (5, 200), (6, 300)]);
            kept.prune(oldest);
            assert_eq!(kept, ends(left), "{oldest}");
        };
        check(1, &[(3, 100), (5, 200), (6, 300)]);
        check(100, &[(3, 100), (5, 200), (6, 300)]);
        check(250, &[(5, 200), (6, 300)]);
        check(u64::MAX, &[(6, 300)]);
    }
}
