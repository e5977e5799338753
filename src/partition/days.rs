//! When an owner ends days, and where they end in the log. Collectors stamp, owners end: what stands before
//! the end belongs to the day, however late it is read, and nothing after it does.

use std::collections::BTreeSet;
use std::time::Duration;

use super::brokers_clock::{BrokersClock, OFF_MAX};
use super::note::Note;
use super::opening::Stop;
use super::position::{before, offset_of};
use super::state::State;
use crate::batch::BatchKey;
use crate::log::notes::{CallNote, MarkerOf};
use crate::log::{Closable, DayInBucket};
use crate::object::S3Location;
use crate::planted_bugs::{PlantedBug, planted};
use crate::time::{ReceivedDay, UnixMillis};

/// How long after a day it is ended, unless set: far more than a request may wait for its answer.
pub const GRACE: Duration = Duration::from_secs(120);
/// How old the last note of an owner gets. For 12 partitions that is one record every five minutes.
pub const NOTE_EVERY: Duration = Duration::from_secs(3_600);

/// The clocks of a writer.
#[derive(Clone, Copy, Debug)]
pub struct Clocks {
    /// Its wall clock.
    pub wall: UnixMillis,
    /// Its monotonic clock.
    pub monotonic: Duration,
    /// That of the brokers. `None` before its first note.
    pub brokers: Option<BrokersClock>,
}

impl Clocks {
    /// Whether the wall clock is not that of the brokers, as far as is known: a new note tells.
    pub fn are_off(self) -> bool {
        self.brokers.is_some_and(|brokers| brokers.off(self.wall, self.monotonic) > OFF_MAX)
    }

    /// Whether an owner that has nothing to note notes something all the same, to learn what only a note tells: what
    /// time it is for the brokers, and whether its term is over. A process that slept while others owned the partition
    /// does not know that.
    pub fn ask_for_a_note(self) -> bool {
        self.are_off() || self.brokers.is_some_and(|brokers| brokers.age(self.monotonic) >= NOTE_EVERY)
    }
}

/// The last day to end now, if `days` are those of which calls were read. Only days with calls end: if a clock
/// is years ahead, those years must not end (decision 0109).
pub fn day_to_end(
    clocks: Clocks,
    grace: Duration,
    ended: Option<ReceivedDay>,
    days: impl Iterator<Item = ReceivedDay>,
) -> Option<ReceivedDay> {
    let brokers = clocks.brokers.filter(|_| !clocks.are_off())?.time(clocks.monotonic);
    let is_over = |day: ReceivedDay| clocks.wall.min(brokers) >= day.end().plus(grace);
    days.filter(|day| is_over(*day)).max().filter(|day| ended < Some(*day))
}

/// The time of the brokers until which everything that was written is read: that of the last record, or when the log's
/// `end` was asked for, if all before it is read. `None` if neither is known.
pub fn read_through(
    read_before: u64,
    end: Option<(u64, UnixMillis)>,
    read_at: Option<UnixMillis>,
) -> Option<UnixMillis> {
    let whole = end.filter(|(end, _)| offset_of(read_before) >= *end).map(|(_, asked)| asked);
    whole.max(read_at)
}

/// The note that ends days at the log's end, which is the offset of the next record. No record at it or later may be read
/// before the note is committed.
/// Errors: the log was cut: notes say that it reached further.
pub fn end_at(state: &State, through: ReceivedDay, end: u64) -> Result<Note, Stop> {
    if end < state.reaches() && !planted(PlantedBug::CutLogReadOn) {
        // A day would end before an earlier one, and owners would not agree on what came late.
        return Err(Stop::LogCut(end));
    }
    Ok(Note::Call(CallNote::DaysOver { through, from: Some(before(end)) }))
}

/// The notes that all lines of a day are in the store. Its marker is put once its note counts.
///
/// From then on no other frame of the day is a line ([`State::is_left_out`]). Otherwise an owner whose
/// windows are incomplete would store a repeat, and its marker would differ from the one in the store.
pub fn to_settle<'s>(
    state: &'s State,
    open: impl Iterator<Item = &'s BatchKey>,
    read_before: u64,
) -> Vec<Note> {
    // A day in two buckets is one day.
    let mut is_unsettled = |place: &DayInBucket, _: &S3Location| !state.is_settled(&place.source, place.day);
    let delivered = delivered(state, open, read_before, &mut is_unsettled).into_iter();
    let days: BTreeSet<_> = delivered.map(|of| (of.place.source, of.place.day)).collect();
    days.into_iter().map(|(source, day)| Note::Settled { source, day }).collect()
}

/// Days whose markers can be put, and which `wanted` accepts.
pub fn closable<'s>(
    state: &'s State,
    open: impl Iterator<Item = &'s BatchKey>,
    read_before: u64,
    wanted: &mut dyn FnMut(&DayInBucket, &S3Location) -> bool,
) -> Vec<Closable> {
    let mut is_wanted = |place: &DayInBucket, to: &S3Location| {
        state.is_settled(&place.source, place.day) && wanted(place, to)
    };
    delivered(state, open, read_before, &mut is_wanted)
}

/// Days whose objects are all in the store, if the log is read to where they ended.
fn delivered<'s>(
    state: &'s State,
    open: impl Iterator<Item = &'s BatchKey>,
    read_before: u64,
    wanted: &mut dyn FnMut(&DayInBucket, &S3Location) -> bool,
) -> Vec<Closable> {
    let spool_id = state.identity.spool_id();
    let repeats_within = Some(state.identity.window);
    let log = MarkerOf { id: &spool_id, repeats_within };
    let read = if planted(PlantedBug::ClosedBeforeReadToEnd) { u64::MAX } else { read_before };
    state.calls.closable(open, read, log, wanted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::Encoded;
    use crate::object::{BucketString, Encryption, ObjectKey, S3Location, Stream};
    use crate::partition::state::Identity;
    use crate::sources::SourceId;
    use crate::time::DAY_MS;

    #[test]
    fn a_day_ends_when_both_clocks_say_so_and_agree_with_the_broker() {
        let day = |n: i64| UnixMillis(n * DAY_MS).day();
        let over = day(5).end().plus(GRACE);
        let check = |wall, brokers: Option<UnixMillis>, expected: Option<i64>| {
            // The day is over an hour after the note.
            let monotonic = Duration::from_secs(3_600);
            let brokers = brokers.map(|now| BrokersClock::told(now.minus(monotonic), Duration::ZERO));
            let clocks = Clocks { wall, monotonic, brokers };
            let ends = day_to_end(clocks, GRACE, Some(day(3)), [day(3), day(5), day(6)].into_iter());
            assert_eq!(ends, expected.map(day));
        };
        let early = UnixMillis(over.0 - 1);
        check(over, Some(over), Some(5));
        check(early, Some(over), None);
        check(over, Some(early), None);
        check(over, None, None);
        check(over.plus(OFF_MAX), Some(over), Some(5));
        check(over.plus(OFF_MAX).plus(Duration::from_millis(1)), Some(over), None);
        let years = over.plus(Duration::from_secs(86_400 * 4_000));
        check(years, Some(over), None);
        check(years, Some(years), Some(6));
    }

    #[test]
    fn a_log_is_read_until_its_end_was_asked_for_or_until_its_last_record() {
        let at = |ms| Some(UnixMillis(ms));
        let end = |offset, ms| Some((offset, UnixMillis(ms)));
        assert_eq!(read_through(before(7), end(7, 50), at(20)), at(50), "all is read");
        assert_eq!(read_through(before(7), end(7, 50), None), at(50), "of another term");
        assert_eq!(read_through(before(6), end(7, 50), at(20)), at(20), "one is unread");
        assert_eq!(read_through(before(8), end(7, 50), at(60)), at(60), "one came since");
        assert_eq!(read_through(before(6), end(7, 50), None), None);
        assert_eq!(read_through(0, None, None), None);
    }

    /// A process that slept stayed the owner of a partition to which nothing came, although others had fenced it.
    #[test]
    fn an_owner_notes_something_once_an_hour_and_while_its_clock_is_off() {
        let told = UnixMillis(DAY_MS);
        let check = |passed: Duration, off: Duration, expected: bool| {
            let brokers = Some(BrokersClock::told(told, Duration::ZERO));
            let clocks = Clocks { wall: told.plus(passed).plus(off), monotonic: passed, brokers };
            assert_eq!(clocks.ask_for_a_note(), expected, "{passed:?} {off:?}");
        };
        let ms = Duration::from_millis(1);
        check(NOTE_EVERY.saturating_sub(ms), OFF_MAX, false);
        check(NOTE_EVERY, Duration::ZERO, true);
        check(ms, OFF_MAX + ms, true);
        let clocks = Clocks { wall: told, monotonic: NOTE_EVERY, brokers: None };
        assert!(!clocks.ask_for_a_note(), "its first note comes first");
    }

    #[test]
    fn a_day_is_settled_before_its_marker_is_put() {
        let mut state = State::new(Identity::of_tests());
        let day = UnixMillis(DAY_MS).day();
        let batch = BatchKey { source: SourceId::new("web").unwrap(), day, stream: Stream::Calls };
        let location = S3Location::new(BucketString::parse("bucket").unwrap(), Encryption::SseS3);
        let encoded = Encoded { first: 1, last: 1, frames: 1, ..Encoded::default() };
        let seal = state.calls.seal_of(&batch, &encoded, location, ObjectKey::listed("object")).unwrap();
        state.apply(Note::Call(CallNote::Sealed(seal)), 0);
        state.apply(end_at(&state, day, 2).unwrap(), 0);
        let check = |state: &State, open: &[BatchKey], read_before, settles, puts| {
            let notes = to_settle(state, open.iter(), read_before);
            let markers = closable(state, open.iter(), read_before, &mut |_, _| true);
            assert_eq!((notes.len(), markers.len()), (settles, puts));
            notes
        };
        check(&state, &[], before(2), 0, 0);
        let committed = CallNote::Committed { number: 1, applied: None, seal: None, amended: None };
        state.apply(Note::Call(committed), 0);
        check(&state, &[], before(1), 0, 0);
        check(&state, std::slice::from_ref(&batch), before(2), 0, 0);
        let note = check(&state, &[], before(2), 1, 0).remove(0);
        assert_eq!(note, Note::Settled { source: batch.source.clone(), day });
        state.apply(note, 0);
        check(&state, &[], before(2), 0, 1);
        assert!(!state.is_left_out(&batch, 1) && state.is_left_out(&batch, 2));
    }

    /// Found by the simulation, seed 222107: a log was cut to before the end of a day, and the next day ended there.
    #[test]
    fn no_day_ends_before_what_notes_say_that_the_log_reached() {
        let mut state = State::new(Identity::of_tests());
        let day = |number: i64| UnixMillis(number * DAY_MS).day();
        state.apply(end_at(&state, day(1), 13).unwrap(), 0);
        assert!(matches!(end_at(&state, day(2), 6), Err(Stop::LogCut(6))));
        assert!(end_at(&state, day(2), 13).is_ok());
    }

    #[test]
    fn a_day_ends_between_two_records() {
        let note = end_at(&State::new(Identity::of_tests()), UnixMillis(0).day(), 7).unwrap();
        let Note::Call(CallNote::DaysOver { from: Some(from), .. }) = note else { panic!() };
        assert!(crate::partition::position::position(6, 4_095) < from);
        assert!(from < crate::partition::position::position(7, 1));
    }
}
