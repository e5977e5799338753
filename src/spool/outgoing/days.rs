//! Days that are over: nothing is added to them any more. Each one is closed once all of it is in the store.
//!
//! First, calls on the day are refused, and commits in flight are awaited. Then the end of the day is noted
//! durably. Only after that are the day's contents final. So a marker's promise that no call comes after it
//! holds whatever the clock does later, even after a restart.

use std::sync::atomic::Ordering;

use super::SpoolLog;
use crate::log::notes::{CallNote, MarkerOf, NoteKeeper as _, days};
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
        self.shared.append(vec![CallNote::DaysOver { through, from: None }])
    }

    fn day_locations(&self) -> Vec<(SourceId, S3Location)> {
        self.shared.read(|state| {
            let days = state.days.iter();
            days.map(|(place, day)| (place.source.clone(), day.location.clone())).collect()
        })
    }

    fn closable(&self, wanted: &mut dyn FnMut(&DayInBucket, &S3Location) -> bool) -> Vec<Closable> {
        let log = MarkerOf { id: &self.spool_id(), repeats_within: None };
        days::closable(&*self.shared, log, wanted)
    }

    fn note_clock(&self, from: UnixMillis, to: UnixMillis) -> Result<(), Stopped> {
        self.shared.append(vec![CallNote::Clock { from, to }])
    }

    fn closed(&self, place: &DayInBucket) -> Result<(), Stopped> {
        self.shared.append(vec![CallNote::Closed(place.clone())])
    }
}
