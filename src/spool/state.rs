//! What all notes of a manifest together make.

use std::collections::{BTreeMap, BTreeSet};

use super::delivered_day::{DayPlace, DeliveredDay};
use super::ledger::{Hour, Ledger, ROWS_MAX};
use super::note::{Amend, Note, Parked, PendingSeal, Seal};
use super::scan::Range;
use crate::batch::BatchKey;
use crate::object::{BucketString, Destination};
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};

/// The first position of every spool.
pub const FIRST_POSITION: u64 = 1;

/// How far a batch has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Cursor {
    /// Everything up to here is sealed.
    pub sealed: u64,
    /// Everything up to here is in the store or parked.
    pub released: u64,
}

/// What all notes of a spool say together.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct State {
    /// The number of the next seal.
    pub next_seal: u64,
    /// The number of the next segment.
    pub next_segment: u64,
    /// No position below this one is ever given again.
    #[serde(default)]
    pub next_position: u64,
    /// Every position before this one was let go of or noted as lost. 0 where a release wrote it that did not note this.
    #[serde(default)]
    pub kept_from: u64,
    /// Where each source's frames go, by first position, in order.
    pub destinations: BTreeMap<SourceId, Vec<(u64, Destination)>>,
    /// Sealed, not committed, by number.
    pub seals: BTreeMap<u64, PendingSeal>,
    /// How far each batch has come.
    #[serde(with = "pairs")]
    pub cursors: BTreeMap<BatchKey, Cursor>,
    /// Days that have sealed objects and are not closed.
    #[serde(default, with = "pairs")]
    pub days: BTreeMap<DayPlace, DeliveredDay>,
    /// The last day that was closed, of each source in each bucket string.
    #[serde(default, with = "pairs")]
    pub last_closed: BTreeMap<(SourceId, BucketString), ReceivedDay>,
    /// No call is received in this day or one before it any more.
    #[serde(default)]
    pub days_over: Option<ReceivedDay>,
    /// Notes were lost that may have spoken of this day or one before it: what was delivered of them is not known for sure,
    /// so none of them is closed.
    #[serde(default)]
    pub days_unsure: Option<ReceivedDay>,
    /// Segments that must be there.
    pub segments: BTreeSet<u64>,
    /// Positions of released segments that lie between segments that must be there.
    pub released: Vec<Range>,
    /// Positions that can no longer be read.
    pub lost: Vec<Range>,
    /// What was tallied, and what became of it.
    #[serde(default)]
    pub ledger: Ledger,
}

impl State {
    /// The state of a spool that is new.
    pub fn new() -> Self {
        Self { kept_from: FIRST_POSITION, ledger: Ledger::new(), ..Self::default() }
    }

    /// Takes in one note.
    pub fn apply(&mut self, note: Note) {
        match note {
            Note::State(state) => *self = *state,
            Note::Together(notes) => notes.into_iter().for_each(|note| self.apply(note)),
            Note::Destination { source, from, destination } => {
                let known = self.destinations.entry(source).or_default();
                known.retain(|(at, _)| *at < from);
                // There may be ten thousand sources, and nearly all have one destination.
                known.reserve_exact(1);
                known.push((from, destination));
            }
            Note::Segment { number } => {
                self.next_segment = self.next_segment.max(number.saturating_add(1));
                self.segments.insert(number);
            }
            Note::Sealed(seal) => self.sealed(seal),
            Note::Committed { number, seal, amended, .. } => {
                self.sealed_if_unknown(seal);
                self.amended(number, amended);
                if let Some(pending) = self.seals.remove(&number) {
                    self.ledger.deliver(&pending.seal.batch, &pending.seal.hours(), &pending.hours());
                    self.release(&pending.seal.batch);
                    self.delivered(pending);
                }
            }
            Note::Parked { number, parked, seal, amended } => {
                self.sealed_if_unknown(seal);
                self.amended(number, amended);
                self.parked(number, parked);
            }
            Note::Conflict { number } => self.pending(number, |pending| pending.conflict = true),
            Note::Retry { number, overwrite } => {
                self.pending(number, |pending| (pending.conflict, pending.overwrite) = (false, overwrite));
            }
            Note::Restored { number } => {
                let amended = self.seals.get_mut(&number).and_then(|pending| pending.amended.take());
                let lost = amended.map(|amend| amend.lost).unwrap_or_default();
                // Damage that others met, too, may be noted as the same range, and stays.
                for range in lost {
                    self.lost.iter().rposition(|known| *known == range).map(|at| self.lost.remove(at));
                }
            }
            Note::Amended { number, amend } => self.amended(number, Some(Box::new(amend))),
            Note::Lost(range) => {
                self.next_position = self.next_position.max(range.last.saturating_add(1));
                self.lose(range);
            }
            Note::Tallied(tally) => {
                self.next_position = self.next_position.max(tally.through.saturating_add(1));
                self.ledger.take_in(&tally);
            }
            Note::Released { number, positions } => {
                self.segments.remove(&number);
                self.next_segment = self.next_segment.max(number.saturating_add(1));
                self.next_position =
                    self.next_position.max(positions.map_or(0, |range| range.last.saturating_add(1)));
                self.released.extend(positions);
            }
            Note::Replaced { old, new } => {
                self.segments.remove(&old);
                self.segments.insert(new);
                self.next_segment = self.next_segment.max(new.saturating_add(1));
            }
            Note::DaysOver { through } => self.days_over = self.days_over.max(Some(through)),
            Note::Closed(place) => {
                self.days.remove(&place);
                let last = self.last_closed.entry((place.source, place.bucket)).or_insert(place.day);
                *last = place.day.max(*last);
            }
            Note::Clock { .. } => {}
        }
    }

    fn sealed_if_unknown(&mut self, seal: Option<Box<Seal>>) {
        if let Some(seal) = seal.filter(|seal| !self.seals.contains_key(&seal.number)) {
            self.sealed(*seal);
        }
    }

    fn sealed(&mut self, seal: Seal) {
        self.next_seal = self.next_seal.max(seal.number.saturating_add(1));
        self.next_position = self.next_position.max(seal.last.saturating_add(1));
        let cursor = self.cursors.entry(seal.batch.clone()).or_default();
        cursor.sealed = cursor.sealed.max(seal.last);
        let day = || DeliveredDay::new(seal.destination.clone());
        self.days.entry(DayPlace::of(&seal)).or_insert_with(day).sealed(&seal);
        let pending = PendingSeal { seal, parked: None, conflict: false, overwrite: false, amended: None };
        self.seals.insert(pending.seal.number, pending);
    }

    /// Notes that a pending object has a file of its own, so that its frames can go.
    pub(super) fn parked(&mut self, number: u64, parked: Parked) {
        if let Some(pending) = self.seals.get_mut(&number) {
            pending.parked = Some(parked);
            let batch = pending.seal.batch.clone();
            self.release(&batch);
        }
    }

    /// Lets go of a batch's frames up to the first seal that has neither an object in the store nor a parked one. There may
    /// be one before seals that have, where the note of what became of it cannot be read.
    fn release(&mut self, batch: &BatchKey) {
        let held = self.seals.values().filter(|held| held.parked.is_none() && held.seal.batch == *batch);
        let held = held.map(|pending| pending.seal.first).min();
        let cursor = self.cursors.entry(batch.clone()).or_default();
        let through = held.map_or(cursor.sealed, |first| first.saturating_sub(1));
        cursor.released = cursor.released.max(through);
    }

    /// Frames of a batch up to here need no segment.
    pub fn released_through(&self, batch: &BatchKey) -> u64 {
        self.cursors.get(batch).map_or(0, |cursor| cursor.released)
    }

    /// Counts an object that is in the store for its day.
    fn delivered(&mut self, pending: PendingSeal) {
        let (batch, bucket) = (&pending.seal.batch, &pending.seal.destination.bucket);
        let unput = self
            .seals
            .values()
            .filter(|other| other.seal.batch == *batch && other.seal.destination.bucket == *bucket)
            .map(|other| other.seal.first)
            .min();
        if let Some(day) = self.days.get_mut(&DayPlace::of(&pending.seal)) {
            day.delivered(pending, unput);
        }
    }

    fn amended(&mut self, number: u64, amended: Option<Box<Amend>>) {
        let Some(amended) = amended else { return };
        let Some(pending) = self.seals.get_mut(&number) else { return };
        let known = pending.amended.replace(*amended.clone()).is_some();
        // The note that named them may have rotted.
        for range in amended.lost.into_iter().filter(|_| !known) {
            if !self.lost.contains(&range) {
                self.lose(range);
            }
        }
    }

    fn lose(&mut self, range: Range) {
        self.ledger.lost(range.last.saturating_sub(range.first).saturating_add(1));
        self.lost.push(range);
    }

    fn pending(&mut self, number: u64, change: impl FnOnce(&mut PendingSeal)) {
        if let Some(pending) = self.seals.get_mut(&number) {
            change(pending);
        }
    }

    /// Where frames of `source` at `position` go, and the first position that goes elsewhere.
    pub fn destination(&self, source: &SourceId, position: u64) -> Option<(&Destination, Option<u64>)> {
        let known = self.destinations.get(source)?;
        // A first place is for all. One that begins later stands first only where the notes before it cannot be read.
        let at = known.iter().rposition(|(from, _)| *from <= position).unwrap_or(0);
        let (_, destination) = known.get(at)?;
        Some((destination, known.get(at + 1).map(|(from, _)| *from)))
    }

    /// Takes back destinations to `next`, the next position that is given: what was noted for a later one is for it.
    pub fn clamp_destinations(&mut self, next: u64) {
        for known in self.destinations.values_mut() {
            let last = known.last_mut().filter(|(from, _)| *from > next).map(|(_, to)| (next, to.clone()));
            known.retain(|(from, _)| *from < next || last.is_none());
            known.extend(last);
        }
    }

    /// The latest day before `place` that has objects in its bucket string, of its source; see [`ClosedMarker`].
    ///
    /// [`ClosedMarker`]: crate::object::ClosedMarker
    pub fn previous_day(&self, place: &DayPlace) -> Option<ReceivedDay> {
        let closed = self.last_closed.get(&(place.source.clone(), place.bucket.clone())).copied();
        let mut before = self.days.range(..place).rev().take_while(|(other, _)| other.source == place.source);
        let delivered = before.find(|(other, day)| other.bucket == place.bucket && day.has_objects());
        closed.filter(|day| *day < place.day).max(delivered.map(|(other, _)| other.day))
    }

    /// The last position of the object before one of `batch` that goes to `bucket`.
    pub fn previous_last(&self, batch: &BatchKey, bucket: &BucketString) -> Option<u64> {
        let place = DayPlace { source: batch.source.clone(), day: batch.day, bucket: bucket.clone() };
        self.days.get(&place)?.sealed_through(batch.stream)
    }

    /// Forgets what nothing can ask for any more: cursors of days before `keep_from` with nothing pending, destinations
    /// that no undelivered frame uses, positions before the oldest frame.
    pub fn prune(&mut self, keep_from: UnixMillis, oldest_position: u64) {
        let pending: BTreeSet<&BatchKey> = self.seals.values().map(|pending| &pending.seal.batch).collect();
        self.cursors.retain(|batch, cursor| {
            batch.day.end() > keep_from || cursor.released >= oldest_position || pending.contains(batch)
        });
        for known in self.destinations.values_mut() {
            let used = known.iter().rposition(|(from, _)| *from <= oldest_position).unwrap_or(0);
            known.drain(..used);
        }
        // What can never be closed is told for as long as a cursor of it is kept.
        let unsure = self.days_unsure;
        let kept: BTreeSet<_> = self.cursors.keys().map(|batch| (batch.day, &batch.source)).collect();
        let is_sure = |place: &DayPlace, day: &DeliveredDay| !day.is_unsure() && unsure < Some(place.day);
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
        // Should the clock go back so far, nothing tells any more what such a day had. No day up to it is still to be closed.
        self.days_unsure = unsure.max(forgotten);
        self.released.retain(|range| range.last >= oldest_position);
        self.lost.retain(|range| range.last >= oldest_position);
        self.kept_from = self.kept_from.max(oldest_position);
        self.ledger.fold(Hour::of(keep_from), ROWS_MAX);
    }
}

/// A map with keys that JSON cannot have as names, as a list of pairs.
mod pairs {
    use std::collections::BTreeMap;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<K, V, S>(map: &BTreeMap<K, V>, serializer: S) -> Result<S::Ok, S::Error>
    where
        K: serde::Serialize,
        V: serde::Serialize,
        S: Serializer,
    {
        serializer.collect_seq(map)
    }

    pub(super) fn deserialize<'de, K, V, D>(deserializer: D) -> Result<BTreeMap<K, V>, D::Error>
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
    use crate::object::ObjectKey;

    /// Found by fuzzing: the number after the highest one overflowed.
    #[test]
    fn the_highest_numbers_are_taken_in() {
        let mut state = State::new();
        let number = u64::MAX;
        let range = Range { first: 1, last: number };
        state.apply(Note::Segment { number });
        state.apply(Note::Replaced { old: number, new: number });
        state.apply(Note::Released { number, positions: Some(range) });
        state.apply(Note::Lost(range));
        assert_eq!((state.next_segment, state.next_position), (number, number));

        let seal = seal(number);
        let (batch, bucket) = (seal.batch.clone(), seal.destination.bucket.clone());
        state.apply(Note::Sealed(seal));
        assert_eq!((state.next_seal, state.previous_last(&batch, &bucket)), (number, Some(number)));
    }

    /// One frame, sealed, at a position that is the number of its seal.
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
            destination: Destination::new(bucket, crate::object::Encryption::None),
            object_key: ObjectKey::listed("k"),
            previous_last: None,
            hours: vec![(Hour::of(UnixMillis(0)), number)],
        }
    }

    /// The simulation found it, with a clock that went to 2038 and back to 1970: the day was closed later, without its first
    /// objects.
    #[test]
    fn a_day_with_a_hole_that_is_forgotten_stays_unsure() {
        let (mut state, seal) = (State::new(), seal(1));
        let lost = vec![Range { first: 1, last: 1 }];
        let amend = Amend { frames: 0, bytes: 0, sha256: String::new(), lost, hours: Vec::new() };
        let day = seal.batch.day;
        state.apply(Note::Sealed(seal));
        state.apply(Note::Amended { number: 1, amend });
        state.apply(Note::Committed { number: 1, applied: None, seal: None, amended: None });
        assert!(state.days.values().all(DeliveredDay::is_unsure) && state.days_unsure.is_none());
        state.prune(day.end().plus(std::time::Duration::from_secs(1)), 2);
        assert_eq!((state.days.len(), state.days_unsure), (0, Some(day)));
    }

    #[test]
    fn a_day_with_a_hole_is_not_forgotten_before_those_up_to_it_are_closed() {
        let mut state = State::new();
        let (unsure, mut other) = (seal(1), seal(2));
        other.batch.source = SourceId::new("ios").unwrap();
        let (day, waits) = (unsure.batch.day, DayPlace::of(&other));
        let amend = Amend { frames: 0, bytes: 0, sha256: String::new(), lost: Vec::new(), hours: Vec::new() };
        state.apply(Note::Sealed(unsure));
        state.apply(Note::Amended { number: 1, amend });
        state.apply(Note::Sealed(other));
        for number in [1, 2] {
            state.apply(Note::Committed { number, applied: None, seal: None, amended: None });
        }
        let long_after = day.end().plus(std::time::Duration::from_secs(1));
        state.prune(long_after, 3);
        assert_eq!((state.days.len(), state.days_unsure), (2, None));
        state.apply(Note::Closed(waits));
        state.prune(long_after, 3);
        assert_eq!((state.days.len(), state.days_unsure), (0, Some(day)));
    }

    /// The simulation found it: the note of a source's first place rotted, and what came before its second one waited for
    /// ever.
    #[test]
    fn what_is_before_the_first_place_that_is_known_goes_there() {
        let mut state = State::new();
        let (source, destination) = (SourceId::new("web").unwrap(), seal(1).destination);
        state.apply(Note::Destination { source: source.clone(), from: 7, destination: destination.clone() });
        assert_eq!(state.destination(&source, 3), Some((&destination, None)));
    }
}
