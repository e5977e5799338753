//! What every log does with its notes, on a keeper in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::DerefMut;
use std::sync::Mutex;

use super::*;
use crate::batch::BatchKey;
use crate::log::{AccountKey, Amend, DayStage, Encoded, Hour, Lost, LostFrames, Range, Row, Seal, Stopped};
use crate::object::{BucketString, Encryption, ObjectKey, S3Location, Stream};
use crate::sources::SourceId;
use crate::time::UnixMillis;

const AT: UnixMillis = UnixMillis(1_432_684_812_345);

/// A log of nothing but notes and counts.
#[derive(Default)]
struct Memory {
    written: Mutex<Vec<CallNote>>,
    state: Mutex<CallState>,
    open: Mutex<Counts>,
    stopped: Mutex<Option<String>>,
    /// What it knows of the frames at lost positions.
    lost_frames: Mutex<LostFrames>,
}

/// By batch: frames in no seal, and the last position; the counts; how far the log is read.
struct Counts(BTreeMap<BatchKey, (u64, u64)>, Ledger, u64);

impl Default for Counts {
    fn default() -> Self {
        Self(BTreeMap::new(), Ledger::default(), u64::MAX)
    }
}

impl NoteKeeper for Memory {
    type Open = Counts;

    fn read<T>(&self, read: impl FnOnce(&CallState) -> T) -> T {
        read(&self.state.lock().unwrap())
    }

    fn open(&self) -> impl DerefMut<Target = Counts> + '_ {
        self.open.lock().unwrap()
    }

    fn append_from<D, T>(
        &self,
        decide: impl FnOnce(&CallState) -> (Vec<CallNote>, D),
        then: impl FnOnce(D, &CallState, &mut Counts) -> T,
    ) -> Result<T, Stopped> {
        let mut written = self.written.lock().unwrap();
        if self.stopped.lock().unwrap().is_some() {
            return Err(Stopped);
        }
        let (notes, found) = self.read(decide);
        written.extend(notes.iter().cloned());
        let mut state = self.state.lock().unwrap();
        notes.into_iter().for_each(|note| state.apply(note));
        self.open().ledger().learn_lost(&state.ledger);
        Ok(then(found, &state, &mut self.open()))
    }

    fn lost_at(&self, range: Range) -> Lost {
        Lost { frames: *self.lost_frames.lock().unwrap(), ..range.into() }
    }

    fn stop_for_bug(&self, what: &str) -> Stopped {
        *self.stopped.lock().unwrap() = Some(what.to_owned());
        Stopped
    }
}

impl OpenFrames for Counts {
    fn ledger(&mut self) -> &mut Ledger {
        &mut self.1
    }

    fn batches(&self) -> impl Iterator<Item = (&BatchKey, u64, UnixMillis)> {
        self.0.iter().map(|(key, (frames, _))| (key, *frames, AT))
    }

    fn read_before(&self) -> u64 {
        self.2
    }

    fn holds(&self, batch: &BatchKey, position: u64) -> bool {
        self.0.get(batch).is_some_and(|(_, last)| position <= *last)
    }

    fn sealed(&mut self, seal: &Seal) {
        self.0.get_mut(&seal.batch).unwrap().0 -= seal.frames;
    }

    fn release(&mut self, batch: &BatchKey, through: u64) {
        self.0.retain(|key, (_, last)| key != batch || *last > through);
    }

    fn settle(&mut self, batch: &BatchKey) -> u64 {
        let is_open = self.0.get(batch).is_some_and(|(frames, _)| *frames > 0);
        if is_open { 0 } else { self.1.settle(batch) }
    }

    fn gather(&mut self) {
        self.1.gather(3, Vec::new());
    }
}

impl Memory {
    /// A log with frames 1 to 3 of `web`.
    fn with_frames() -> Self {
        let log = Self::default();
        *log.state.lock().unwrap() = CallState::new();
        assert_eq!(locations::set_locations(&log, vec![(web(), location())], || 1), Ok(Vec::new()));
        let mut open = log.open.lock().unwrap();
        open.0.insert(batch(), (3, 3));
        open.1.count(&AccountKey::of_calls(web()), Hour::of(AT), &Row::stored_in(&Stream::Calls, 3));
        drop(open);
        log
    }

    fn seal(&self, first: u64, last: u64) -> Result<(Seal, u64), Stopped> {
        let frames = last - first + 1;
        let encoded = Encoded {
            first,
            last,
            frames,
            bytes: 10 * frames,
            sha256: "ab".repeat(32),
            named_at: AT,
            first_received_at: AT,
            last_received_at: AT,
            encoder: String::new(),
            next_received_at: None,
            hours: vec![(Hour::of(AT), frames)],
        };
        seals::seal(self, &batch(), &encoded, location(), ObjectKey::listed(format!("object-{first}")))
    }

    fn closable(&self) -> Vec<crate::log::Closable> {
        let log = MarkerOf { id: "0123456789abcdef0123456789abcdef", repeats_within: Some(262_144) };
        days::closable(self, log, &mut |_, _| true)
    }
}

fn web() -> SourceId {
    SourceId::new("web").unwrap()
}

fn batch() -> BatchKey {
    BatchKey { source: web(), day: AT.day(), stream: Stream::Calls }
}

fn location() -> S3Location {
    S3Location::new(BucketString::parse("bucket").unwrap(), Encryption::None)
}

#[test]
fn a_day_is_sealed_committed_closed_and_its_source_forgotten() {
    let log = Memory::with_frames();
    let (first, _) = log.seal(1, 2).unwrap();
    let (second, _) = log.seal(3, 3).unwrap();
    assert_eq!((first.previous_last, second.number, second.previous_last), (None, 2, Some(2)));
    assert_eq!(accounts::undelivered(&log), [(web(), (3, AT))].into());
    log.append(vec![CallNote::DaysOver { through: AT.day(), from: None }]).unwrap();
    seals::commit(&log, &second, None).unwrap();
    assert_eq!(days::unclosed_days(&log), [((AT.day(), web()), DayStage::Delivering)].into());
    assert!(log.closable().is_empty(), "its first object is not in the store");
    assert_eq!(seals::commit(&log, &first, None).unwrap().unwrap().seal, first);
    let day = log.closable().remove(0);
    assert_eq!(day.marker.streams[&Stream::Calls].calls, 3);
    assert_eq!(day.marker.repeats_within, Some(262_144), "readers of the bucket compare within its window");
    log.append(vec![CallNote::Closed(day.place)]).unwrap();
    assert!(log.closable().is_empty() && days::unclosed_days(&log).is_empty());

    let sources = BTreeSet::from([web()]);
    assert_eq!(accounts::forget(&log, &[web()]), Ok(BTreeSet::new()), "its counts are not noted");
    assert_eq!(accounts::forgettable(&log, &sources), (Vec::new(), true), "they are gathered to be noted");
    let tally = log.open().ledger().take_gathered().unwrap();
    log.append(vec![CallNote::Tallied(tally)]).unwrap();
    assert_eq!(accounts::forgettable(&log, &sources), (vec![web()], false));
    assert_eq!(accounts::forget(&log, &[web()]), Ok(sources));
    assert!(accounts::known_sources(&log, &|_| true).is_empty());
    let mut again = CallState::new();
    log.written.lock().unwrap().iter().for_each(|note| again.apply(note.clone()));
    assert_eq!(again, *log.state.lock().unwrap(), "the notes alone give the state");
}

#[test]
fn a_log_stops_before_it_seals_a_frame_twice() {
    let log = Memory::with_frames();
    log.seal(1, 2).unwrap();
    let written = || log.written.lock().unwrap().len();
    let before = written();
    assert_eq!(log.seal(2, 3).unwrap_err(), Stopped);
    assert_eq!(log.seal(3, 3).unwrap_err(), Stopped, "it has stopped");
    assert_eq!(written(), before);
}

#[test]
fn a_position_is_noted_as_lost_once() {
    let (log, reported) = (Memory::with_frames(), Mutex::new(0));
    for _ in 0..2 {
        let lost = [Range { first: 2, last: 2 }];
        seals::note_lost(&log, &lost, |_| *reported.lock().unwrap() += 1).unwrap();
    }
    assert_eq!((*reported.lock().unwrap(), log.read(|state| state.lost.len())), (1, 1));
}

/// The frames of `web`, at positions as the offsets of records give them.
fn with_gaps(frames: LostFrames) -> Memory {
    let log = Memory::with_frames();
    *log.lost_frames.lock().unwrap() = frames;
    log.open.lock().unwrap().0.insert(batch(), (3, 3 * 4_096));
    log
}

const RECORD: Range = Range { first: 4_097, last: 8_191 };

/// A record has room for 4,095 frames, nearly always has fewer, and several batches share it.
#[test]
fn lost_positions_of_a_log_with_gaps_are_not_counted_as_calls() {
    for (frames, counted) in [(LostFrames::Unknown, (0, 4_095)), (LostFrames::Exactly(2), (2, 0))] {
        let log = with_gaps(frames);
        seals::note_lost(&log, &[RECORD], |_| ()).unwrap();
        let report = log.read(CallState::ledger_report);
        assert_eq!((report.lost_positions, report.lost_uncounted), counted, "{frames:?}");
        let written = serde_json::to_string(&*log.state.lock().unwrap()).unwrap();
        assert_eq!(serde_json::from_str::<CallState>(&written).unwrap(), *log.state.lock().unwrap());
    }
}

#[test]
fn frames_are_written_off_only_where_as_many_may_be_lost() {
    let check = |frames: LostFrames, written_off: u64| {
        let log = with_gaps(frames);
        seals::note_lost(&log, &[RECORD], |_| ()).unwrap();
        let mut open = log.open();
        open.0.insert(batch(), (0, 0));
        assert_eq!(open.settle(&batch()), written_off, "{frames:?}");
        assert_eq!(open.ledger().differences(std::iter::empty()).is_empty(), written_off > 0);
    };
    check(LostFrames::Unknown, 3);
    check(LostFrames::Exactly(3), 3);
    check(LostFrames::Exactly(2), 0);
}

/// The other frames stood at positions of which no note says anything.
#[test]
fn a_seal_is_lost_whole_where_too_few_of_its_frames_are_noted() {
    let check = |frames: LostFrames, all: bool| {
        let log = with_gaps(frames);
        let (seal, _) = log.seal(1, 3).unwrap();
        let seal = Seal { last: 3 * 4_096, ..seal };
        seals::note_lost(&log, &[RECORD], |_| ()).unwrap();
        assert_eq!(seals::lost_of(&log, &seal), [if all { seal.range() } else { RECORD }], "{frames:?}");
    };
    check(LostFrames::Unknown, false);
    check(LostFrames::Exactly(3), false);
    check(LostFrames::Exactly(2), true);
}

#[test]
fn an_amended_seal_says_of_its_lost_frames_what_the_log_knows() {
    let log = with_gaps(LostFrames::Unknown);
    let (seal, _) = log.seal(1, 3).unwrap();
    let amend = Amend { frames: 1, bytes: 10, sha256: String::new(), lost: vec![RECORD], hours: Vec::new() };
    seals::amend(&log, &seal, amend).unwrap();
    let lost = Lost { frames: LostFrames::Unknown, ..RECORD.into() };
    assert_eq!(log.read(|state| (state.lost.clone(), state.ledger_report().lost_positions)), (vec![lost], 0));
    seals::commit(&log, &seal, None).unwrap();
    let total = log.open().ledger().report(crate::log::Rows::All).accounts.remove(0).total;
    assert_eq!((total.delivered, total.lost), (1, 2), "the row knows how many");
}

#[test]
fn a_day_is_closed_once_the_log_is_read_to_where_it_ended() {
    let log = Memory::with_frames();
    let (seal, _) = log.seal(1, 3).unwrap();
    seals::commit(&log, &seal, None).unwrap();
    let stage = || days::unclosed_days(&log)[&(AT.day(), web())];
    let read_to = |position| log.open().2 = position;
    read_to(4);
    assert_eq!((log.closable().len(), stage()), (0, DayStage::Open));
    log.append(vec![CallNote::DaysOver { through: AT.day(), from: Some(9) }]).unwrap();
    assert_eq!((log.closable().len(), stage()), (0, DayStage::Open), "calls of it may be unread");
    // A frame of the day, in the part of the log that was read only now.
    log.open().0.insert(batch(), (1, 8));
    read_to(9);
    assert_eq!((log.closable().len(), stage()), (0, DayStage::Delivering));
    log.open().0.clear();
    assert_eq!((log.closable().len(), stage()), (1, DayStage::Closing));
    let known = |position| log.read(|state| state.days_over_at(position));
    assert_eq!((known(8), known(9)), (None, Some(AT.day())));
    let written = log.written.lock().unwrap().clone();
    let json = serde_json::to_string(&written).unwrap();
    assert_eq!(serde_json::from_str::<Vec<CallNote>>(&json).unwrap(), written);
}

/// Before that, the same owner reads the log again from its oldest frame, and must draw the same lines.
#[test]
fn the_end_of_a_day_is_kept_until_no_frame_stands_before_it() {
    let mut state = CallState::new();
    let day = |days: u64| AT.plus(std::time::Duration::from_secs(86_400 * days)).day();
    for (through, from) in [(day(0), 10), (day(0), 11), (day(1), 20)] {
        state.apply(CallNote::DaysOver { through, from: Some(from) });
    }
    let over = |state: &CallState| [9, 10, 19, 20].map(|position| state.days_over_at(position));
    let expected = [None, Some(day(0)), Some(day(0)), Some(day(1))];
    assert_eq!(over(&state), expected, "a day ends once");
    for oldest in [1, 10, 19] {
        state.prune(UnixMillis(0), oldest, None);
        let written = serde_json::to_string(&state).unwrap();
        assert_eq!(over(&serde_json::from_str(&written).unwrap()), expected, "{oldest}");
    }
    state.prune(UnixMillis(0), 20, None);
    assert_eq!(state.days_over_at(20), Some(day(1)));
    assert!(state.is_over(day(0), 20) && state.is_over(day(1), 20) && !state.is_over(day(2), 20));
}

/// A log that refuses late calls has no position at which a day ends.
#[test]
fn a_day_that_ends_without_a_position_is_written_as_ever() {
    let note = CallNote::DaysOver { through: AT.day(), from: None };
    let json = serde_json::to_string(&note).unwrap();
    assert!(!json.contains("from"), "{json}");
    let mut state = CallState::new();
    state.apply(serde_json::from_str(&json).unwrap());
    assert_eq!((state.days_over_at(1), state.is_over(AT.day(), 1)), (Some(AT.day()), true));
    assert!(!serde_json::to_string(&state).unwrap().contains("day_ends"));
}
