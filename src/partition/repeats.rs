//! Repeats that were found, for owners whose windows are shorter: retention deletes the log by age, and the window of
//! a quiet partition may be older than its log. A call that repeats one of a deleted record would be a line for them,
//! although what an earlier owner sealed or counted leaves it out: the object could not be built again.
//!
//! So each note that relies on such verdicts has them with it.

use std::collections::BTreeMap;

use super::note::Note;
use super::reader::ReadFrame;
use super::state::State;
use crate::batch::BatchKey;
use crate::log::Range;
use crate::planted_bugs::{PlantedBug, planted};

/// Runs of repeats of one batch that are noted. Beyond that, an owner whose log is shorter than the window decides for
/// itself: calls that come again in so many pieces come again soon, and their first copies are in its log.
const RUNS_MAX: usize = 1_000;
/// Runs of all batches that wait to be noted.
const WAITING_MAX: usize = 20_000;

/// Repeats that are in no note yet.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    runs: BTreeMap<BatchKey, Vec<Range>>,
    len: usize,
}

impl Repeats {
    /// Sees a frame that was read.
    pub fn sees(&mut self, frame: &ReadFrame<'_>, state: &State) {
        if planted(PlantedBug::RepeatsNotNoted) {
            return;
        }
        let position = frame.position;
        if !frame.repeat
            || !state.has_verdicts(&frame.batch, position)
            || state.is_left_out(&frame.batch, position)
        {
            return;
        }
        let runs = self.runs.entry(frame.batch.clone()).or_default();
        match runs.last_mut() {
            Some(last) if last.last + 1 >= position => last.last = last.last.max(position),
            _ if self.len < WAITING_MAX => {
                runs.push(Range { first: position, last: position });
                self.len += 1;
            }
            _ => {}
        }
    }

    /// The notes of all that it has seen, and the last position among them. They stand before what relies on them, in
    /// the same transaction.
    pub fn notes(&self, state: &State) -> (Vec<Note>, u64) {
        let note = |(batch, runs): (&BatchKey, &Vec<Range>)| {
            let room = RUNS_MAX.saturating_sub(state.repeats.get(batch).map_or(0, Vec::len));
            let ranges: Vec<Range> = runs.iter().take(room).copied().collect();
            (!ranges.is_empty()).then(|| Note::Repeats { batch: batch.clone(), ranges })
        };
        let through = self.runs.values().flatten().map(|run| run.last).max();
        (self.runs.iter().filter_map(note).collect(), through.unwrap_or(0))
    }

    /// The notes were committed.
    pub fn noted(&mut self, through: u64) {
        self.runs.retain(|_, runs| {
            runs.retain_mut(|run| {
                run.first = run.first.max(through.saturating_add(1));
                run.first <= run.last
            });
            !runs.is_empty()
        });
        self.len = self.runs.values().map(Vec::len).sum();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Encoded;
    use crate::log::notes::{CallNote, Tally};
    use crate::object::{BucketString, Encryption, ObjectKey, S3Location, Stream};
    use crate::partition::note::Base;
    use crate::partition::position::{before, position};
    use crate::partition::state::Identity;
    use crate::sources::SourceId;
    use crate::time::UnixMillis;

    fn frame(position: u64) -> ReadFrame<'static> {
        let (source, received_at) = (SourceId::new("web").unwrap(), UnixMillis(7));
        let batch = BatchKey { source, day: received_at.day(), stream: Stream::Calls };
        ReadFrame { position, batch, received_at, late: false, repeat: true, bytes: Vec::new().into() }
    }

    fn seen(frames: &[ReadFrame<'_>], state: &State) -> Repeats {
        let mut repeats = Repeats::default();
        frames.iter().for_each(|frame| repeats.sees(frame, state));
        repeats
    }

    #[test]
    fn a_repeat_is_left_out_by_whoever_knows_its_note_until_it_is_counted_and_released() {
        let mut state = State::new(Identity::of_tests());
        let frames = [frame(position(3, 1)), frame(position(3, 2)), frame(position(5, 1))];
        let mut repeats = seen(&frames, &state);
        let (notes, through) = repeats.notes(&state);
        assert_eq!((notes.len(), through), (1, position(5, 1)));
        repeats.sees(&frame(position(5, 2)), &state);
        repeats.noted(through);
        assert_eq!(repeats.runs.values().flatten().count(), 1, "what came meanwhile is in no note");
        notes.into_iter().for_each(|note| state.apply(note, 1));
        let left_out = |state: &State| frames.clone().map(|of| state.is_left_out(&of.batch, of.position));
        assert_eq!(left_out(&state), [true; 3]);
        assert!(!state.is_left_out(&frames[0].batch, position(4, 1)));
        assert!(seen(&frames, &state).notes(&state).0.is_empty(), "it is noted once");
        state.apply(Note::Call(CallNote::Tallied(Tally { through: before(6), ..Tally::default() })), 2);
        state.apply(Note::Base(Box::new(Base { read_from: before(6), ..Base::default() })), 3);
        assert_eq!(left_out(&state), [true; 3], "a seal may still come, and leaves them out");
        state.apply(Note::Settled { source: frames[0].batch.source.clone(), day: frames[0].batch.day }, 4);
        assert!(state.repeats.is_empty(), "all of the day is in the store");
    }

    /// Seeds 104523, 144023 and 198390: a note about an earlier frame hid those about later ones, so an owner whose log was
    /// shorter than its window made lines of repeats.
    #[test]
    fn repeats_are_known_in_whatever_order_they_are_noted() {
        let mut state = State::new(Identity::of_tests());
        let frames = [frame(position(5, 1)), frame(position(7, 2)), frame(position(3, 1))];
        for repeat in &frames {
            let notes = seen(std::slice::from_ref(repeat), &state).notes(&state).0;
            assert_eq!(notes.len(), 1);
            notes.into_iter().for_each(|note| state.apply(note, 1));
        }
        assert!(frames.iter().all(|of| state.is_left_out(&of.batch, of.position)), "{:?}", state.repeats);
    }

    /// Seed 1753: an owner of a log that had lost the first copy counted the second one as stored.
    #[test]
    fn a_repeat_is_known_until_it_is_counted_although_its_day_is_settled() {
        let mut state = State::new(Identity::of_tests());
        let repeat = frame(position(3, 1));
        seen(std::slice::from_ref(&repeat), &state)
            .notes(&state)
            .0
            .into_iter()
            .for_each(|note| state.apply(note, 1));
        let encoded = Encoded { first: 1, last: position(4, 1), frames: 2, ..Encoded::default() };
        let location = S3Location::new(BucketString::parse("bucket").unwrap(), Encryption::SseS3);
        let seal =
            state.calls.seal_of(&repeat.batch, &encoded, location, ObjectKey::listed("object")).unwrap();
        let committed = CallNote::Committed { number: seal.number, applied: None, seal: None, amended: None };
        let settled = Note::Settled { source: repeat.batch.source.clone(), day: repeat.batch.day };
        for note in [Note::Call(CallNote::Sealed(seal)), Note::Call(committed), settled] {
            state.apply(note, 2);
        }
        assert!(state.is_left_out(&repeat.batch, repeat.position));
        state.apply(Note::Call(CallNote::Tallied(Tally { through: before(5), ..Tally::default() })), 3);
        state.apply(Note::Base(Box::new(Base { read_from: before(5), ..Base::default() })), 4);
        assert!(state.repeats.is_empty(), "it is counted, and in no object");
    }

    #[test]
    fn runs_of_a_batch_are_bounded() {
        let mut state = State::new(Identity::of_tests());
        for first in [1, 10_000] {
            let frames: Vec<ReadFrame<'_>> =
                (first..first + 5_000).map(|at| frame(position(at, 1))).collect();
            let (notes, _) = seen(&frames, &state).notes(&state);
            notes.into_iter().for_each(|note| state.apply(note, first));
        }
        assert_eq!(state.repeats.values().map(Vec::len).sum::<usize>(), RUNS_MAX);
        let more: Vec<ReadFrame<'_>> = (0..30_000).map(|at| frame(position(at, 1))).collect();
        assert_eq!(seen(&more, &State::new(Identity::of_tests())).len, WAITING_MAX);
    }
}
