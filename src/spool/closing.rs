//! Days that are over: nothing is added to them any more, and each is closed once all of it is in the store.
//!
//! First the end of the day is enforced, and what is on its way to the disk is waited for; then it is noted, durably; only
//! then can everything be in the store and stay all there is. So the promise of a marker, that no call comes after it,
//! holds whatever the clock does later, also after a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;

use super::delivered_day::{DayPlace, DeliveredDay};
use super::note::Note;
use super::outlet::Outlet;
use super::shared::{Stopped, lock};
use crate::batch::BatchKey;
use crate::object::{ClosedMarker, Destination};
use crate::sources::SourceId;
use crate::time::ReceivedDay;

/// How far a day is that has calls in the spool, or objects, and is not closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DayStage {
    /// Calls may still be added to it.
    Open,
    /// It is over, and some of it is not in the store.
    Delivering,
    /// All of it is in the store, but its marker.
    Closing,
    /// What the store has of it is not known for sure: notes of the manifest were lost, calls were lost before they were
    /// put, or a person decided about one of its objects. It is never closed.
    Unsure,
}

impl DayStage {
    /// Its name.
    pub fn slug(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Delivering => "delivering",
            Self::Closing => "closing",
            Self::Unsure => "unsure",
        }
    }
}

/// A day of which everything but the marker is in the store.
#[derive(Clone, Debug)]
pub struct Closable {
    /// Which.
    pub place: DayPlace,
    /// Where its marker goes.
    pub destination: Destination,
    /// What the marker says.
    pub marker: ClosedMarker,
}

impl Outlet {
    /// The last day that is to be ended when all days up to `over` are; `None` where that is done. Not further than there are
    /// calls: where the clock was years ahead, years would be over for good (decision 0109).
    pub fn last_to_end(&self, over: ReceivedDay) -> Option<ReceivedDay> {
        let ended = self.days_over();
        if ended >= Some(over) {
            return None;
        }
        let with_calls = self.unclosed_days().into_keys().map(|(day, _)| day).rfind(|day| *day <= over);
        with_calls.filter(|day| ended < Some(*day))
    }

    /// Ends the days up to `through`: from here on no call is stored in one of them. Does nothing where they have ended.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn end_days(&self, through: ReceivedDay) -> Result<(), Stopped> {
        if self.days_over() >= Some(through) {
            return Ok(());
        }
        self.shared.not_before.fetch_max(through.end().0, Ordering::AcqRel);
        // A group that began before may still be on its way to the disk, and into the index. Until it is there, nobody may
        // take the day for over.
        drop(lock(&self.shared.commit_gate));
        self.shared.note(vec![Note::DaysOver { through }])
    }

    /// The last day that has ended for good.
    pub fn days_over(&self) -> Option<ReceivedDay> {
        self.shared.state().days_over
    }

    /// The days that are not closed, with their sources, and how far each is. One that has calls and no object yet is among
    /// them.
    pub fn unclosed_days(&self) -> BTreeMap<(ReceivedDay, SourceId), DayStage> {
        let state = self.shared.state();
        let stage = |day: ReceivedDay, pending: bool, unsure: bool| match () {
            () if state.days_over < Some(day) => DayStage::Open,
            () if pending => DayStage::Delivering,
            () if unsure || state.days_unsure >= Some(day) => DayStage::Unsure,
            () => DayStage::Closing,
        };
        let of = |batch: &BatchKey| ((batch.day, batch.source.clone()), stage(batch.day, true, false));
        let mut stages: BTreeMap<(ReceivedDay, SourceId), DayStage> = BTreeMap::new();
        for (place, delivered) in &state.days {
            let stage = stage(place.day, false, delivered.is_unsure());
            // One part of it that can never be closed is what there is to say of it.
            let known = stages.entry((place.day, place.source.clone())).or_insert(stage);
            *known = (*known).max(stage);
        }
        stages.extend(state.seals.values().map(|pending| of(&pending.seal.batch)));
        stages.extend(lock(&self.shared.index).batches.keys().map(of));
        stages
    }

    /// Where the newest object of each day goes that is not closed.
    pub fn day_destinations(&self) -> Vec<(SourceId, Destination)> {
        let state = self.shared.state();
        let days = state.days.iter();
        days.map(|(place, day)| (place.source.clone(), day.destination.clone())).collect()
    }

    /// Days that have ended and of which everything is in the store, as far as `wanted`.
    pub fn closable(&self, mut wanted: impl FnMut(&DayPlace, &Destination) -> bool) -> Vec<Closable> {
        let state = self.shared.state();
        let may_close = |(place, day): &(&DayPlace, &DeliveredDay)| {
            state.days_over >= Some(place.day) && !day.is_unsure() && state.days_unsure < Some(place.day)
        };
        // It is asked every second, and nearly always there is none.
        let mut days = state.days.iter().filter(may_close).peekable();
        if days.peek().is_none() {
            return Vec::new();
        }
        let index = lock(&self.shared.index);
        let undelivered: BTreeSet<(ReceivedDay, &SourceId)> = state
            .seals
            .values()
            .map(|pending| &pending.seal.batch)
            .chain(index.batches.keys())
            .map(|batch| (batch.day, &batch.source))
            .collect();
        let is_wanted = |(place, day): &(&DayPlace, &DeliveredDay)| {
            !undelivered.contains(&(place.day, &place.source)) && wanted(place, &day.destination)
        };
        let spool_id = self.spool_id();
        let closable = |(place, day): (&DayPlace, &DeliveredDay)| {
            Some(Closable {
                place: place.clone(),
                destination: day.destination.clone(),
                marker: day.marker(place, &spool_id, state.previous_day(place))?,
            })
        };
        days.filter(is_wanted).filter_map(closable).collect()
    }

    /// Notes, durably, that the marker of a day is in the store and that whoever was to be told has been told.
    ///
    /// # Errors
    /// [`Stopped`].
    pub fn closed(&self, place: &DayPlace) -> Result<(), Stopped> {
        self.shared.note(vec![Note::Closed(place.clone())])
    }
}
