//! What every log does with its notes, on a keeper in memory.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::DerefMut;
use std::sync::Mutex;

use super::*;
use crate::batch::BatchKey;
use crate::log::{AccountKey, DayStage, Encoded, Hour, Row, Seal, Stopped};
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
}

/// By batch: frames in no seal, and the last position.
#[derive(Default)]
struct Counts(BTreeMap<BatchKey, (u64, u64)>, Ledger);

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
        Ok(then(found, &state, &mut self.open()))
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
        days::closable(self, "0123456789abcdef0123456789abcdef", &mut |_, _| true)
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
    log.append(vec![CallNote::DaysOver { through: AT.day() }]).unwrap();
    seals::commit(&log, &second, None).unwrap();
    assert_eq!(days::unclosed_days(&log), [((AT.day(), web()), DayStage::Delivering)].into());
    assert!(log.closable().is_empty(), "its first object is not in the store");
    assert_eq!(seals::commit(&log, &first, None).unwrap().unwrap().seal, first);
    let day = log.closable().remove(0);
    assert_eq!(day.marker.streams[&Stream::Calls].calls, 3);
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
        let lost = [crate::log::Range { first: 2, last: 2 }];
        seals::note_lost(&log, &lost, |_| *reported.lock().unwrap() += 1).unwrap();
    }
    assert_eq!((*reported.lock().unwrap(), log.read(|state| state.lost.len())), (1, 1));
}
