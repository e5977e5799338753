//! Days that are over: nothing is added to them any more. Each one is closed once all of it is in the store.
//!
//! First, calls on the day are refused, and commits in flight are awaited. Then the end of the day is noted
//! durably. Only after that are the day's contents final. So a marker's promise that no call comes after it
//! holds whatever the clock does later, even after a restart.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

use super::SpoolLog;
use crate::log::notes::{CallNote, DeliveredDay};
use crate::log::{Closable, DayInBucket, Days, Status as _, Stopped};
use crate::object::S3Location;
use crate::sources::SourceId;
use crate::spool::shared::lock;
use crate::time::{ReceivedDay, UnixMillis};

impl Days for SpoolLog {
    fn end_days(&self, through: ReceivedDay) -> Result<(), Stopped> {
        if self.days_over() >= Some(through) {
            return Ok(());
        }
        self.shared.not_before.fetch_max(through.end().0, Ordering::AcqRel);
        // A group whose commit began earlier may not yet be on disk and in the index. The day is not over
        // until it is.
        drop(lock(&self.shared.commit_gate));
        self.shared.note(vec![CallNote::DaysOver { through }])
    }

    fn day_locations(&self) -> Vec<(SourceId, S3Location)> {
        let state = self.shared.state();
        let days = state.calls.days.iter();
        days.map(|(place, day)| (place.source.clone(), day.location.clone())).collect()
    }

    fn closable(&self, wanted: &mut dyn FnMut(&DayInBucket, &S3Location) -> bool) -> Vec<Closable> {
        let state = self.shared.state();
        let may_close = |(place, day): &(&DayInBucket, &DeliveredDay)| {
            state.calls.days_over >= Some(place.day)
                && !day.is_unsure()
                && state.calls.days_unsure < Some(place.day)
        };
        // This runs every second, and nearly always finds no such day.
        let mut days = state.calls.days.iter().filter(may_close).peekable();
        if days.peek().is_none() {
            return Vec::new();
        }
        let index = lock(&self.shared.index);
        let undelivered: BTreeSet<(ReceivedDay, &SourceId)> = state
            .calls
            .seals
            .values()
            .map(|pending| &pending.seal.batch)
            .chain(index.batches.keys())
            .map(|batch| (batch.day, &batch.source))
            .collect();
        let is_wanted = |(place, day): &(&DayInBucket, &DeliveredDay)| {
            !undelivered.contains(&(place.day, &place.source)) && wanted(place, &day.location)
        };
        let spool_id = self.spool_id();
        let closable = |(place, day): (&DayInBucket, &DeliveredDay)| {
            Some(Closable {
                place: place.clone(),
                location: day.location.clone(),
                marker: day.marker(place, &spool_id, state.calls.previous_day(place))?,
            })
        };
        days.filter(is_wanted).filter_map(closable).collect()
    }

    fn note_clock(&self, from: UnixMillis, to: UnixMillis) -> Result<(), Stopped> {
        self.shared.note(vec![CallNote::Clock { from, to }])
    }

    fn closed(&self, place: &DayInBucket) -> Result<(), Stopped> {
        self.shared.note(vec![CallNote::Closed(place.clone())])
    }
}
