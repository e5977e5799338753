//! Records which days have a task that closes them, and why days wait.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use crate::alarms::{AlarmKind, Alarms};
use crate::delivery::progress::Repeated;
use crate::delivery::put::put_locations::{PutLocation, put_location};
use crate::lock::lock;
use crate::log::{Closable, DayInBucket};
use crate::object::S3Location;
use crate::sources::SourceId;
use crate::time::ReceivedDay;

/// Maximum number of days of one bucket that are being closed and whose markers are not in the store
/// yet. The limit is per bucket, so that markers that one bucket refuses do not delay those of another.
const CLOSING_PER_LOCATION: usize = 256;

/// All days that tasks are closing. The lock is held while an alarm is raised, and while the log lists the
/// closable days, so that an alarm cannot be cleared between the two steps of raising it.
#[derive(Debug, Default)]
pub(in crate::delivery) struct ClosingDays(Mutex<BTreeMap<DayInBucket, State>>);

#[derive(Debug)]
struct State {
    location: PutLocation,
    /// Its marker is in the store, and the hook is being called.
    calling_hook: bool,
    /// Why it waits, if it does.
    why: Option<String>,
    /// Whether an alarm reports that its marker is not accepted.
    alarmed: bool,
}

impl ClosingDays {
    /// Takes on the days that can be closed, have no task, and are not resting after a panic. `closable` asks
    /// the log for the closable days that the filter passed to it accepts.
    pub(in crate::delivery) fn take_on(
        self: &Arc<Self>,
        rests: impl Fn(&DayInBucket) -> bool,
        closable: impl FnOnce(&mut dyn FnMut(&DayInBucket, &S3Location) -> bool) -> Vec<Closable>,
    ) -> Vec<(Closable, ClosingDay)> {
        let mut days = lock(&self.0);
        let mut putting: BTreeMap<PutLocation, usize> = BTreeMap::new();
        for state in days.values().filter(|state| !state.calling_hook) {
            *putting.entry(state.location.clone()).or_default() += 1;
        }
        let closable = closable(&mut |place, location| {
            if days.contains_key(place) || rests(place) {
                return false;
            }
            let putting = putting.entry(put_location(location)).or_default();
            *putting += 1;
            *putting <= CLOSING_PER_LOCATION
        });
        let take = |closable: Closable| {
            let location = put_location(&closable.location);
            let state = State { location, calling_hook: false, why: None, alarmed: false };
            days.insert(closable.place.clone(), state);
            let day = ClosingDay { days: Arc::clone(self), place: closable.place.clone() };
            (closable, day)
        };
        closable.into_iter().map(take).collect()
    }

    /// The days that wait, and why.
    pub(in crate::delivery) fn waiting(&self) -> BTreeMap<(ReceivedDay, SourceId), String> {
        let days = lock(&self.0);
        let waiting = days.iter().filter_map(|(place, state)| Some((place, state.why.clone()?)));
        waiting.map(|(place, why)| ((place.day, place.source.clone()), why)).collect()
    }
}

/// A day that one task is closing, until this is dropped.
#[derive(Debug)]
pub(in crate::delivery) struct ClosingDay {
    days: Arc<ClosingDays>,
    place: DayInBucket,
}

impl ClosingDay {
    /// Records that its marker is in the store: its place at the bucket is free for another day.
    pub(in crate::delivery) fn is_put(&self) {
        self.change(|state| state.calling_hook = true);
    }

    /// Reports why the day waits. `tries` is the number of tries so far.
    pub(in crate::delivery) fn waits(&self, repeated: &Repeated, why: String, tries: u32) {
        if let Some(line) = repeated.happened("close", self.place.bucket.bucket()) {
            tracing::warn!(
                times = line.times,
                others = line.others,
                tries,
                source = %self.place.source,
                day = %self.place.day,
                "waiting to close a day: {why}"
            );
        }
        self.change(|state| state.why = Some(why));
    }

    /// Raises the alarm of its bucket, which does not accept the marker.
    pub(in crate::delivery) fn raise_alarm(&self, alarms: &Alarms, what: String) {
        let mut days = lock(&self.days.0);
        if let Some(state) = days.get_mut(&self.place) {
            state.alarmed = true;
        }
        alarms.raise(AlarmKind::Closing, &self.place.bucket.to_string(), what);
    }

    /// Clears the alarm of its bucket, unless the bucket still refuses the marker of another source or day.
    pub(in crate::delivery) fn clear_alarm(&self, alarms: &Alarms) {
        let mut days = lock(&self.days.0);
        if let Some(state) = days.get_mut(&self.place) {
            state.alarmed = false;
        }
        let bucket = &self.place.bucket;
        if !days.iter().any(|(other, state)| state.alarmed && other.bucket == *bucket) {
            alarms.clear(AlarmKind::Closing, &bucket.to_string());
        }
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        if let Some(state) = lock(&self.days.0).get_mut(&self.place) {
            change(state);
        }
    }
}

impl Drop for ClosingDay {
    fn drop(&mut self) {
        lock(&self.days.0).remove(&self.place);
    }
}
