//! The state that all notes about calls add up to.

use std::collections::{BTreeMap, BTreeSet};

use super::day_ends::DayEnds;
use super::delivered_day::DeliveredDay;
use super::ledger::{Ledger, ROWS_MAX};
use super::note::CallNote;
use crate::batch::BatchKey;
use crate::log::{Amend, DayInBucket, Hour, Lost, Parked, PendingSeal, Report, Rows, Seal};
use crate::object::{BucketString, S3Location};
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};

/// The first position of every log.
pub(crate) const FIRST_POSITION: u64 = 1;

/// The progress of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct Cursor {
    /// Everything up to here is sealed.
    pub sealed: u64,
    /// Everything up to here is in the store or kept apart, so its frames are not needed.
    pub released: u64,
}

/// The state that all notes about calls add up to.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct CallState {
    /// The number of the next seal.
    pub next_seal: u64,
    /// No position below this one is ever assigned again.
    #[serde(default)]
    pub next_position: u64,
    /// Where each source's frames go, by first position, in order.
    #[serde(rename = "destinations")]
    pub locations: BTreeMap<SourceId, Vec<(u64, S3Location)>>,
    /// Sealed objects that are not committed, by number.
    pub seals: BTreeMap<u64, PendingSeal>,
    /// The progress of each batch.
    #[serde(with = "pairs")]
    pub(crate) cursors: BTreeMap<BatchKey, Cursor>,
    /// Days that have sealed objects and are not closed.
    #[serde(default, with = "pairs")]
    pub days: BTreeMap<DayInBucket, DeliveredDay>,
    /// The last closed day of each source in each bucket string.
    #[serde(default, with = "pairs")]
    pub(crate) last_closed: BTreeMap<(SourceId, BucketString), ReceivedDay>,
    /// No more calls are received on this day or an earlier one.
    #[serde(default)]
    pub days_over: Option<ReceivedDay>,
    /// Where days end in the log, in order. Empty in a log that refuses late calls itself.
    #[serde(default, skip_serializing_if = "DayEnds::is_empty")]
    pub(crate) day_ends: DayEnds,
    /// The newest day that lost notes may have referred to. It is uncertain what was delivered of this day
    /// and of earlier days, so none of them is closed.
    #[serde(default)]
    pub(crate) days_unsure: Option<ReceivedDay>,
    /// Positions that can no longer be read.
    pub lost: Vec<Lost>,
    /// The ledger: the tallied counts, and how many of these frames were delivered or lost.
    #[serde(default)]
    pub(crate) ledger: Ledger,
    /// The node id of the process that began this state. Empty if an older release did.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) node: String,
}

impl CallState {
    /// Applies one note.
    pub fn apply(&mut self, note: CallNote) {
        match note {
            CallNote::Location { source, from, location } => {
                let known = self.locations.entry(source).or_default();
                known.retain(|(at, _)| *at < from);
                // Exactly one more is reserved, because there may be ten thousand sources, nearly all with
                // one bucket.
                known.reserve_exact(1);
                known.push((from, location));
            }
            CallNote::Sealed(seal) => self.sealed(seal),
            CallNote::Committed { number, seal, amended, .. } => {
                self.sealed_if_unknown(seal);
                self.amended(number, amended);
                if let Some(pending) = self.seals.remove(&number) {
                    self.ledger.deliver(&pending.seal.batch, &pending.seal.hours(), &pending.hours());
                    self.release(&pending.seal.batch);
                    self.delivered(pending);
                }
            }
            CallNote::Conflict { number } => self.pending(number, |pending| pending.conflict = true),
            CallNote::Retry { number, overwrite, aside } => self.pending(number, |pending| {
                (pending.conflict, pending.overwrite, pending.aside) = (false, overwrite, aside);
            }),
            CallNote::Restored { number } => {
                let amended = self.seals.get_mut(&number).and_then(|pending| pending.amended.take());
                let lost = amended.map(|amend| amend.lost).unwrap_or_default();
                // Only one entry is removed, because other damage may be noted as an equal range.
                for range in lost {
                    self.lost.iter().rposition(|known| known.range() == range).map(|at| self.lost.remove(at));
                }
            }
            CallNote::Amended { number, amend } => self.amended(number, Some(Box::new(amend))),
            CallNote::Lost(lost) => {
                self.assigned_through(lost.last);
                self.lose(lost);
            }
            CallNote::Tallied(tally) => {
                self.assigned_through(tally.through);
                self.ledger.add_tally(&tally);
            }
            CallNote::DaysOver { through, from } => {
                if let Some(from) = from.filter(|_| self.days_over < Some(through)) {
                    self.day_ends.add(through, from);
                }
                self.days_over = self.days_over.max(Some(through));
            }
            CallNote::Closed(place) => {
                self.days.remove(&place);
                let last = self.last_closed.entry((place.source, place.bucket)).or_insert(place.day);
                *last = place.day.max(*last);
            }
            CallNote::Forgotten { sources } => self.forget(sources),
            CallNote::Clock { .. } => {}
        }
    }

    /// The state of a new log.
    pub fn new() -> Self {
        Self { ledger: Ledger::new(), ..Self::default() }
    }

    /// The ledger as of the last tally, for every source.
    pub fn ledger_report(&self) -> Report {
        self.ledger.report(Rows::All)
    }

    /// The sources that have something waiting: an object, or a day that is not closed.
    pub(crate) fn waiting_sources(&self) -> BTreeSet<SourceId> {
        let of_seals = self.seals.values().map(|pending| &pending.seal.batch.source);
        let of_days = self.days.keys().map(|place| &place.source);
        of_seals.chain(of_days).cloned().collect()
    }

    /// Whether a day has ended, and nothing that belongs to it can still be unread. The log is read up to the
    /// position `read_before`, which is the first that is not read.
    pub(crate) fn is_over(&self, day: ReceivedDay, read_before: u64) -> bool {
        self.days_over >= Some(day) && self.day_ends.end_of(day).is_none_or(|end| end <= read_before)
    }

    /// The last day to which no frame at `position` belongs, whatever it is stamped with: a late frame is
    /// stored as of the day after.
    pub fn days_over_at(&self, position: u64) -> Option<ReceivedDay> {
        if self.day_ends.is_empty() { self.days_over } else { self.day_ends.over_at(position) }
    }

    fn forget(&mut self, sources: Vec<SourceId>) {
        let waiting = self.waiting_sources();
        let gone: BTreeSet<SourceId> =
            sources.into_iter().filter(|source| !waiting.contains(source)).collect();
        self.locations.retain(|source, _| !gone.contains(source));
        self.last_closed.retain(|(source, _), _| !gone.contains(source));
        self.ledger.forget(&gone);
    }

    /// Drops accounts and days: the log that a cache holds frames of keeps its own.
    pub(crate) fn drop_accounts(&mut self) {
        self.ledger.drop_accounts();
        self.days.clear();
    }

    /// Whether anything of a source is kept, as in [`CallState::known_sources`].
    pub(crate) fn knows(&self, source: &SourceId) -> bool {
        self.locations.contains_key(source)
            || self.ledger.knows_any_of(source)
            || self.last_closed.keys().any(|(known, _)| known == source)
    }

    /// The sources that the state keeps anything about. Cursors do not count: they go with their frames.
    pub(crate) fn known_sources(&self) -> impl Iterator<Item = &SourceId> {
        let of_days = self.last_closed.keys().map(|(source, _)| source);
        self.locations.keys().chain(of_days).chain(self.ledger.sources())
    }

    /// Records that positions up to this one are assigned.
    pub(crate) fn assigned_through(&mut self, position: u64) {
        self.next_position = self.next_position.max(position.saturating_add(1));
    }

    fn sealed_if_unknown(&mut self, seal: Option<Box<Seal>>) {
        if let Some(seal) = seal.filter(|seal| !self.seals.contains_key(&seal.number)) {
            self.sealed(*seal);
        }
    }

    fn sealed(&mut self, seal: Seal) {
        self.next_seal = self.next_seal.max(seal.number.saturating_add(1));
        self.assigned_through(seal.last);
        let cursor = self.cursors.entry(seal.batch.clone()).or_default();
        cursor.sealed = cursor.sealed.max(seal.last);
        let day = || DeliveredDay::new(seal.location.clone());
        self.days.entry(DayInBucket::of(&seal)).or_insert_with(day).sealed(&seal);
        self.seals.insert(seal.number, PendingSeal::of(seal));
    }

    /// Records that a pending object no longer needs its frames, because it is kept apart from them. `seal`
    /// and `amended` repeat earlier notes, which may be unreadable.
    pub(crate) fn kept_apart(
        &mut self,
        number: u64,
        parked: Parked,
        seal: Option<Box<Seal>>,
        amended: Option<Box<Amend>>,
    ) {
        self.sealed_if_unknown(seal);
        self.amended(number, amended);
        if let Some(pending) = self.seals.get_mut(&number) {
            pending.parked = Some(parked);
            let batch = pending.seal.batch.clone();
            self.release(&batch);
        }
    }

    /// Releases a batch's frames up to the first seal that is neither in the store nor kept apart. Later
    /// seals may already be stored or kept apart, because the note that recorded this for the first one may
    /// be unreadable.
    fn release(&mut self, batch: &BatchKey) {
        let held = self.seals.values().filter(|held| held.parked.is_none() && held.seal.batch == *batch);
        let held = held.map(|pending| pending.seal.first).min();
        let cursor = self.cursors.entry(batch.clone()).or_default();
        let through = held.map_or(cursor.sealed, |first| first.saturating_sub(1));
        cursor.released = cursor.released.max(through);
    }

    /// Records that a pending object no longer needs its frames in memory, because its log keeps them.
    pub fn make_room(&mut self, number: u64, parked: Parked) {
        self.kept_apart(number, parked, None, None);
    }

    /// The last position at which days ended, in a log that others write.
    pub fn last_day_end(&self) -> Option<u64> {
        self.day_ends.last()
    }

    /// Every frame up to here is in a tally.
    pub fn tallied_through(&self) -> u64 {
        self.ledger.tallied_through
    }

    /// Frames of a batch up to this position are in a seal, or were.
    pub fn sealed_through(&self, batch: &BatchKey) -> u64 {
        self.cursors.get(batch).map_or(0, |cursor| cursor.sealed)
    }

    /// Frames of a batch up to this position are not needed.
    pub fn released_through(&self, batch: &BatchKey) -> u64 {
        self.cursors.get(batch).map_or(0, |cursor| cursor.released)
    }

    /// Adds an object that is in the store to its day.
    fn delivered(&mut self, pending: PendingSeal) {
        let (batch, bucket) = (&pending.seal.batch, &pending.seal.location.bucket);
        let oldest_pending = self
            .seals
            .values()
            .filter(|other| other.seal.batch == *batch && other.seal.location.bucket == *bucket)
            .map(|other| other.seal.first)
            .min();
        if let Some(day) = self.days.get_mut(&DayInBucket::of(&pending.seal)) {
            day.delivered(pending, oldest_pending);
        }
    }

    fn amended(&mut self, number: u64, amended: Option<Box<Amend>>) {
        let Some(amended) = amended else { return };
        let Some(pending) = self.seals.get_mut(&number) else { return };
        let known = pending.amended.replace(*amended.clone()).is_some();
        // The note that named these positions may have rotted, and with it what it said of their frames.
        for range in amended.lost.into_iter().filter(|_| !known) {
            if !self.lost.iter().any(|known| known.range() == range) {
                self.lose(range.into());
            }
        }
    }

    /// Notes a range as lost. Positions that are noted already are not counted again: readers and starts name
    /// the same damage in ranges of their own, and a seal that is amended names it once more.
    fn lose(&mut self, lost: Lost) {
        self.ledger.add_lost(lost.beside(self.lost.iter().map(Lost::range)));
        self.lost.push(lost);
    }

    fn pending(&mut self, number: u64, change: impl FnOnce(&mut PendingSeal)) {
        if let Some(pending) = self.seals.get_mut(&number) {
            change(pending);
        }
    }

    /// The bucket of frames of `source` at `position`, and the first position that goes elsewhere.
    pub fn location(&self, source: &SourceId, position: u64) -> Option<(&S3Location, Option<u64>)> {
        let known = self.locations.get(source)?;
        // Positions before the first known bucket also go to that bucket: earlier notes may be
        // unreadable.
        let at = known.iter().rposition(|(from, _)| *from <= position).unwrap_or(0);
        let (_, location) = known.get(at)?;
        Some((location, known.get(at + 1).map(|(from, _)| *from)))
    }

    /// Moves buckets noted for positions after `next`, the next position to be assigned, back to `next`.
    pub fn clamp_locations(&mut self, next: u64) {
        for known in self.locations.values_mut() {
            let last = known.last_mut().filter(|(from, _)| *from > next).map(|(_, to)| (next, to.clone()));
            known.retain(|(from, _)| *from < next || last.is_none());
            known.extend(last);
        }
    }

    /// The latest day of the source before `place` that has objects in its bucket string; see
    /// [`ClosedMarker`].
    ///
    /// [`ClosedMarker`]: crate::object::ClosedMarker
    pub fn previous_day(&self, place: &DayInBucket) -> Option<ReceivedDay> {
        let closed = self.last_closed.get(&(place.source.clone(), place.bucket.clone())).copied();
        let mut before = self.days.range(..place).rev().take_while(|(other, _)| other.source == place.source);
        let delivered = before.find(|(other, day)| other.bucket == place.bucket && day.has_objects());
        closed.filter(|day| *day < place.day).max(delivered.map(|(other, _)| other.day))
    }

    /// The last position of the previous object of `batch` that goes to `bucket`.
    pub fn previous_last(&self, batch: &BatchKey, bucket: &BucketString) -> Option<u64> {
        let place = DayInBucket { source: batch.source.clone(), day: batch.day, bucket: bucket.clone() };
        self.days.get(&place)?.sealed_through(&batch.stream)
    }

    /// Forgets entries that are no longer needed: ends of days before the oldest frame, cursors of days before `keep_from` with nothing pending,
    /// buckets that no undelivered frame uses, and positions before the oldest frame. Lost positions from
    /// `unread` on stay, because the second reader still has to learn of them.
    pub fn prune(&mut self, keep_from: UnixMillis, oldest_position: u64, unread: Option<u64>) {
        let pending: BTreeSet<&BatchKey> = self.seals.values().map(|pending| &pending.seal.batch).collect();
        self.cursors.retain(|batch, cursor| {
            batch.day.end() > keep_from || cursor.released >= oldest_position || pending.contains(batch)
        });
        for known in self.locations.values_mut() {
            let used = known.iter().rposition(|(from, _)| *from <= oldest_position).unwrap_or(0);
            known.drain(..used);
        }
        // A day that can never be closed is reported as long as one of its cursors is kept.
        let unsure = self.days_unsure;
        let kept: BTreeSet<_> = self.cursors.keys().map(|batch| (batch.day, &batch.source)).collect();
        let is_sure = |place: &DayInBucket, day: &DeliveredDay| !day.is_unsure() && unsure < Some(place.day);
        let sure =
            self.days.iter().filter(|(place, day)| is_sure(place, day)).map(|(place, _)| place.day).min();
        let mut forgotten = None;
        self.days.retain(|place, day| {
            let waits = sure.is_some_and(|sure| sure <= place.day);
            let keep = waits || is_sure(place, day) || kept.contains(&(place.day, &place.source));
            if !keep {
                forgotten = forgotten.max(Some(place.day));
            }
            keep
        });
        // A forgotten day leaves no sign that it was uncertain. So if the clock goes back that far, no day up
        // to the newest forgotten one may be closed. None of these days is waiting to be closed now.
        self.days_unsure = unsure.max(forgotten);
        let told_from = oldest_position.min(unread.unwrap_or(u64::MAX));
        self.day_ends.prune(oldest_position);
        self.lost.retain(|lost| lost.last >= told_from);
        self.ledger.fold(Hour::of(keep_from), ROWS_MAX);
    }
}

/// Stores a map whose keys cannot be JSON member names as a list of pairs.
pub(crate) mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<K, V, S>(map: &BTreeMap<K, V>, serializer: S) -> Result<S::Ok, S::Error>
    where
        K: serde::Serialize,
        V: serde::Serialize,
        S: Serializer,
    {
        serializer.collect_seq(map)
    }

    pub(crate) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Deserialize<'de> + Ord,
        V: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        Ok(Vec::<(K, V)>::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::notes::{CallNote, Tally};
    use crate::log::{AccountKey, Range, Row};
    use crate::object::{ObjectKey, Stream};

    /// Found by fuzzing: adding one to the highest number overflowed.
    #[test]
    fn the_highest_numbers_do_not_overflow() {
        let mut state = CallState::new();
        let number = u64::MAX;
        let range = Range { first: 1, last: number };
        state.apply(CallNote::Lost(range.into()));
        assert_eq!(state.next_position, number);

        let seal = seal(number);
        let (batch, bucket) = (seal.batch.clone(), seal.location.bucket.clone());
        state.apply(CallNote::Sealed(seal));
        assert_eq!((state.next_seal, state.previous_last(&batch, &bucket)), (number, Some(number)));
    }

    /// A seal of one frame, whose position is the number of the seal.
    fn seal(number: u64) -> Seal {
        let source = SourceId::new("web").unwrap();
        let bucket = BucketString::parse("bucket").unwrap();
        Seal {
            number,
            batch: BatchKey { source, day: UnixMillis(0).day(), stream: crate::object::Stream::Calls },
            first: number,
            last: number,
            frames: 1,
            bytes: 1,
            sha256: String::new(),
            first_received_at: UnixMillis(0),
            last_received_at: UnixMillis(0),
            encoder: String::new(),
            location: S3Location::new(bucket, crate::object::Encryption::None),
            object_key: ObjectKey::listed("k"),
            previous_last: None,
            hours: vec![(Hour::of(UnixMillis(0)), number)],
        }
    }

    /// Found by the simulation with a clock that went to 2038 and back to 1970: the day was later closed
    /// without its first objects.
    #[test]
    fn a_forgotten_day_with_losses_stays_unsure() {
        let (mut state, seal) = (CallState::new(), seal(1));
        let lost = vec![Range { first: 1, last: 1 }];
        let amend = Amend { frames: 0, bytes: 0, sha256: String::new(), lost, hours: Vec::new() };
        let day = seal.batch.day;
        state.apply(CallNote::Sealed(seal));
        state.apply(CallNote::Amended { number: 1, amend });
        state.apply(CallNote::Committed { number: 1, applied: None, seal: None, amended: None });
        assert!(state.days.values().all(DeliveredDay::is_unsure) && state.days_unsure.is_none());
        state.prune(day.end().plus(std::time::Duration::from_secs(1)), 2, None);
        assert_eq!((state.days.len(), state.days_unsure), (0, Some(day)));
    }

    /// The note of the commit may have rotted: the object is then put again, and needs its bucket and its
    /// account.
    #[test]
    fn a_source_of_which_something_waits_is_not_forgotten() {
        let (mut state, sealed) = (CallState::new(), seal(1));
        let (source, location) = (sealed.batch.source.clone(), sealed.location.clone());
        let place = DayInBucket::of(&sealed);
        let forgotten = || CallNote::Forgotten { sources: vec![SourceId::new("web").unwrap()] };
        state.apply(CallNote::Location { source: source.clone(), from: 1, location });
        let tally =
            vec![(AccountKey::of_calls(source), Hour::of(UnixMillis(0)), Row::stored_in(&Stream::Calls, 1))];
        state.apply(CallNote::Tallied(Tally { through: 1, rows: tally, ..Tally::default() }));
        state.apply(CallNote::Sealed(sealed));
        let known = |state: &CallState| {
            (state.known_sources().count(), state.ledger_report().removed.calls.delivered)
        };
        state.apply(forgotten());
        assert_eq!(known(&state), (2, 0));
        state.apply(CallNote::Committed { number: 1, applied: None, seal: None, amended: None });
        state.apply(forgotten());
        assert_eq!(known(&state), (2, 0), "its day is not closed");
        state.apply(CallNote::Closed(place));
        state.apply(forgotten());
        assert_eq!(known(&state), (0, 1));
        let written = serde_json::to_string(&state).unwrap();
        assert_eq!(serde_json::from_str::<CallState>(&written).unwrap(), state);
    }

    #[test]
    fn positions_that_several_notes_name_as_lost_are_counted_once() {
        let range = |first, last| Range { first, last };
        let amend = |lost| Amend { frames: 0, bytes: 0, sha256: String::new(), lost, hours: Vec::new() };
        let mut state = CallState::new();
        state.apply(CallNote::Sealed(Seal { first: 1, last: 20, ..seal(20) }));
        // A start names damage, a delivery amends its seal, and then finds more damage around it.
        state.apply(CallNote::Lost(range(5, 7).into()));
        for lost in [vec![range(5, 7)], vec![range(4, 8), range(10, 10)]] {
            lost.iter().for_each(|range| state.apply(CallNote::Lost((*range).into())));
            state.apply(CallNote::Amended { number: 20, amend: amend(lost) });
        }
        assert_eq!(state.ledger_report().lost_positions, 6);
        // The same if the notes of the ranges rotted.
        let mut state = CallState::new();
        state.apply(CallNote::Sealed(Seal { first: 1, last: 20, ..seal(20) }));
        state.apply(CallNote::Lost(range(6, 9).into()));
        state.apply(CallNote::Amended { number: 20, amend: amend(vec![range(5, 7)]) });
        assert_eq!(state.ledger_report().lost_positions, 5);
    }

    #[test]
    fn a_day_with_losses_is_kept_until_the_days_up_to_it_are_closed() {
        let mut state = CallState::new();
        let (unsure, mut other) = (seal(1), seal(2));
        other.batch.source = SourceId::new("ios").unwrap();
        let (day, waits) = (unsure.batch.day, DayInBucket::of(&other));
        let amend = Amend { frames: 0, bytes: 0, sha256: String::new(), lost: Vec::new(), hours: Vec::new() };
        state.apply(CallNote::Sealed(unsure));
        state.apply(CallNote::Amended { number: 1, amend });
        state.apply(CallNote::Sealed(other));
        for number in [1, 2] {
            state.apply(CallNote::Committed { number, applied: None, seal: None, amended: None });
        }
        let long_after = day.end().plus(std::time::Duration::from_secs(1));
        state.prune(long_after, 3, None);
        assert_eq!((state.days.len(), state.days_unsure), (2, None));
        state.apply(CallNote::Closed(waits));
        state.prune(long_after, 3, None);
        assert_eq!((state.days.len(), state.days_unsure), (0, Some(day)));
    }

    /// Found by the simulation: the note of a source's first bucket rotted, and frames before its second
    /// bucket waited for ever.
    #[test]
    fn frames_before_the_first_known_bucket_go_to_it() {
        let mut state = CallState::new();
        let (source, location) = (SourceId::new("web").unwrap(), seal(1).location);
        state.apply(CallNote::Location { source: source.clone(), from: 7, location: location.clone() });
        assert_eq!(state.location(&source, 3), Some((&location, None)));
    }
}
