//! Days that are over, until they are closed: see [`Days`](crate::log::Days) and
//! [`Status`](crate::log::Status).

use std::collections::{BTreeMap, BTreeSet};

use super::delivered_day::{DeliveredDay, MarkerOf};
use super::keeper::{NoteKeeper, OpenFrames as _};
use super::state::CallState;
use crate::batch::BatchKey;
use crate::log::{Closable, DayInBucket, DayStage};
use crate::object::S3Location;
use crate::sources::SourceId;
use crate::time::ReceivedDay;

pub(crate) fn closable(
    keeper: &impl NoteKeeper,
    log: MarkerOf<'_>,
    wanted: &mut dyn FnMut(&DayInBucket, &S3Location) -> bool,
) -> Vec<Closable> {
    keeper.read(|state| {
        // How far the log is read, and what is open of that, are of one instant.
        let open = keeper.open();
        let read_before = open.read_before();
        state.closable(open.batches().map(|(batch, ..)| batch), read_before, log, wanted)
    })
}

impl CallState {
    /// Days that are over by their notes, and of which it is certain what was delivered.
    fn sure_days(&self) -> impl Iterator<Item = (&DayInBucket, &DeliveredDay)> {
        self.days.iter().filter(|(place, day)| {
            self.days_over >= Some(place.day) && !day.is_unsure() && self.days_unsure < Some(place.day)
        })
    }

    /// Days that may be closed, as in [`Days::closable`](crate::log::Days::closable). `open` are the batches
    /// with frames that are not let go, and `read_before` is the first position that is not read.
    pub fn closable<'b>(
        &'b self,
        open: impl Iterator<Item = &'b BatchKey>,
        read_before: u64,
        log: MarkerOf<'_>,
        wanted: &mut dyn FnMut(&DayInBucket, &S3Location) -> bool,
    ) -> Vec<Closable> {
        // This runs every second, and nearly always finds no such day.
        if self.sure_days().next().is_none() {
            return Vec::new();
        }
        let undelivered: BTreeSet<(ReceivedDay, &SourceId)> = self
            .seals
            .values()
            .map(|pending| &pending.seal.batch)
            .chain(open)
            .map(|batch| (batch.day, &batch.source))
            .collect();
        let is_wanted = |(place, day): &(&DayInBucket, &DeliveredDay)| {
            self.is_over(place.day, read_before)
                && !undelivered.contains(&(place.day, &place.source))
                && wanted(place, &day.location)
        };
        let closable = |(place, day): (&DayInBucket, &DeliveredDay)| {
            Some(Closable {
                place: place.clone(),
                location: day.location.clone(),
                marker: day.marker(place, log, self.previous_day(place))?,
            })
        };
        self.sure_days().filter(is_wanted).filter_map(closable).collect()
    }

    /// The days that are not closed, by source, and their stages, as in
    /// [`Status::unclosed_days`](crate::log::Status::unclosed_days). `open` are the batches with frames that are
    /// not let go, and `read_before` is the first position that is not read.
    pub fn unclosed_days<'b>(
        &self,
        open: impl Iterator<Item = &'b BatchKey>,
        read_before: u64,
    ) -> BTreeMap<(ReceivedDay, SourceId), DayStage> {
        let stage = |day: ReceivedDay, pending: bool, unsure: bool| match () {
            () if !self.is_over(day, read_before) => DayStage::Open,
            () if pending => DayStage::Delivering,
            () if unsure || self.days_unsure >= Some(day) => DayStage::Unsure,
            () => DayStage::Closing,
        };
        let of = |batch: &BatchKey| ((batch.day, batch.source.clone()), stage(batch.day, true, false));
        let mut stages: BTreeMap<(ReceivedDay, SourceId), DayStage> = BTreeMap::new();
        for (place, delivered) in &self.days {
            let stage = stage(place.day, false, delivered.is_unsure());
            // A day can never be closed if any part of it cannot.
            let known = stages.entry((place.day, place.source.clone())).or_insert(stage);
            *known = (*known).max(stage);
        }
        stages.extend(self.seals.values().map(|pending| of(&pending.seal.batch)));
        stages.extend(open.map(of));
        stages
    }
}

pub(crate) fn unclosed_days(keeper: &impl NoteKeeper) -> BTreeMap<(ReceivedDay, SourceId), DayStage> {
    keeper.read(|state| {
        let open = keeper.open();
        let read_before = open.read_before();
        state.unclosed_days(open.batches().map(|(batch, ..)| batch), read_before)
    })
}
