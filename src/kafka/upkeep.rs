//! What an owner notes by itself: where a new owner begins to read, days that are settled, and the whole state.

use std::time::Duration;

use super::owner::{End, Owner};
use crate::log::notes::{CallNote, Tally};
use crate::partition::brokers_clock::BrokersClock;
use crate::partition::days::{self, Clocks};
use crate::partition::note::Note;
use crate::partition::open::read_from;
use crate::time::{ReceivedDay, UnixMillis};

/// Notes of this length are replaced by a snapshot.
const SNAPSHOT_AT_BYTES: u64 = 64 * 1_024 * 1_024;
/// So are notes of this age.
const SNAPSHOT_EVERY: Duration = Duration::from_secs(6 * 3_600);
/// How often a base is noted, if there is anything to note. A new owner reads as much again.
const BASE_EVERY: Duration = Duration::from_secs(10);
/// Rows of the ledger in one note: with the longest ids of sources, a megabyte.
const ROWS_OF_NOTE: usize = 2_000;
/// How often days are looked at.
const SETTLE_EVERY: Duration = Duration::from_secs(1);
/// Days that ended longer ago are forgotten once nothing of them waits.
const KEEP_DAYS: Duration = Duration::from_secs(2 * 86_400);

/// When the owner's own work is due, by the monotonic clock.
#[derive(Clone, Copy, Debug)]
pub struct Due {
    base: Duration,
    settle: Duration,
    snapshot: Duration,
}

impl Due {
    /// For a term that begins now.
    pub fn new(now: Duration) -> Self {
        let after = |wait| now.saturating_add(wait);
        Self { base: after(BASE_EVERY), settle: now, snapshot: after(SNAPSHOT_EVERY) }
    }
}

/// Whether it is time, and then the next time.
fn is_due(at: &mut Duration, every: Duration, now: Duration) -> bool {
    let due = now >= *at;
    if due {
        *at = now.saturating_add(every);
    }
    due
}

impl Owner {
    /// Does what is due. Returns the first offset of the notes that are needed, if a snapshot has replaced those
    /// before it.
    /// Errors: [`End`].
    pub fn upkeep(&mut self, due: &mut Due) -> Result<Option<u64>, End> {
        let now = self.shared.clock.monotonic();
        if self.wanted.has_changed().unwrap_or(false) {
            self.note_changed_locations()?;
            self.note_waiting_locations()?;
        }
        if is_due(&mut due.settle, SETTLE_EVERY, now) {
            self.settle()?;
        }
        if is_due(&mut due.base, BASE_EVERY, now) && !self.base()? {
            self.asks_the_brokers()?;
        }
        let is_long = self.notes_bytes >= SNAPSHOT_AT_BYTES;
        if is_long || is_due(&mut due.snapshot, SNAPSHOT_EVERY, now) {
            due.snapshot = now.saturating_add(SNAPSHOT_EVERY);
            return self.snapshot(self.shared.clock.wall().minus(KEEP_DAYS));
        }
        Ok(None)
    }

    /// Notes that all lines of days are in the store.
    fn settle(&mut self) -> Result<(), End> {
        let mut notes = {
            let known = self.shared.read();
            let open = self.shared.cache.open_batches();
            days::to_settle(&known.state, open.iter().map(|batch| &batch.key), known.read_before)
        };
        if notes.is_empty() {
            return Ok(());
        }
        // The marker relies on what was read.
        let covered = self.reader.covered();
        notes.push(Note::Covered(covered.clone()));
        self.note(notes)?;
        self.reader.noted(&covered);
        Ok(())
    }

    /// Notes the last base again if only a note can tell what is to be known. A partition without calls has nothing else to
    /// note, and while the clock is off no day of it ends.
    fn asks_the_brokers(&mut self) -> Result<(), End> {
        let base = {
            let known = self.shared.read();
            if !self.clocks(known.brokers).ask_for_a_note() {
                return Ok(());
            }
            known.state.base.clone()
        };
        self.note(vec![Note::Base(Box::new(base))])
    }

    /// Notes where a new owner begins to read, and what is counted so far. Returns whether there was anything
    /// to note.
    /// Errors: [`End`].
    pub fn base(&mut self) -> Result<bool, End> {
        let firsts = self.cache.firsts();
        let open = firsts.iter().map(|(_, first)| *first);
        let (base, rows, (mut notes, through)) = {
            let known = self.shared.read();
            let from = read_from(open, self.reader.next(), known.state.base.read_from);
            let Some(base) = self.reader.base(from) else { return Ok(false) };
            if base == known.state.base && known.counts.is_empty() {
                return Ok(false);
            }
            (base, known.counts.rows(), self.cache.repeats.notes(&known.state))
        };
        // A note is one record, which has a greatest length.
        let tally = |rows: &[_]| {
            let tally = Tally { through: self.reader.read_before(), rows: rows.to_vec(), ..Tally::default() };
            Note::Call(CallNote::Tallied(tally))
        };
        let tallies: Vec<Note> = match rows.is_empty() {
            true => vec![tally(&[])],
            false => rows.chunks(ROWS_OF_NOTE).map(tally).collect(),
        };
        // If the answer is lost, a later term of this process finds out which of these counts are noted.
        self.shared.write().counts.begin(self.reader.next());
        notes.extend(tallies);
        notes.push(Note::Base(Box::new(base.clone())));
        self.note(notes)?;
        self.cache.repeats.noted(through);
        self.reader.based(&base);
        self.shared.write().counts.clear();
        Ok(true)
    }

    fn clocks(&self, brokers: Option<BrokersClock>) -> Clocks {
        let clock = &self.shared.clock;
        Clocks { wall: clock.wall(), monotonic: clock.monotonic(), brokers }
    }

    /// The last day to end now, if it is over by all clocks.
    pub fn day_to_end(&self, grace: Duration) -> Option<ReceivedDay> {
        let of_open = self.cache.firsts().into_iter().map(|(batch, _)| batch.day);
        let known = self.shared.read();
        let calls = &known.state.calls;
        let of_state = calls.days.keys().map(|place| place.day);
        days::day_to_end(self.clocks(known.brokers), grace, calls.days_over, of_open.chain(of_state))
    }

    /// Ends days at the log's end as it is now. No record is read until the note counts. Returns whether the
    /// end was known.
    /// Errors: [`End`].
    pub fn end_day(&mut self, through: ReceivedDay) -> Result<bool, End> {
        let now = self.shared.clock.monotonic();
        if self.short.is_some_and(|short| short.rests(now)) {
            return Ok(false);
        }
        let Ok((_, end)) = self.log.bounds() else { return Ok(false) };
        // A day that ends before what is read would have other calls for the next owner.
        if !self.is_end(end)? {
            return Ok(false);
        }
        let note = days::end_at(&self.shared.read().state, through, end)?;
        self.note(vec![note])?;
        Ok(true)
    }

    /// Writes the whole state in one transaction. Returns the offset of its first record: what stands before
    /// it in the notes is not needed any more.
    /// Errors: [`End`].
    pub fn snapshot(&mut self, keep_from: UnixMillis) -> Result<Option<u64>, End> {
        // What a new owner would read.
        let mut state = self.shared.read().state.clone();
        self.notes_bytes = 0;
        let snapshot = match state.snapshot(keep_from) {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::error!(%error, "a partition's state cannot be written, so its notes only grow: report this");
                return Ok(None);
            }
        };
        let noted = self.lock.note(&snapshot)?;
        self.shared.write().state = state;
        Ok(noted.first().map(|noted| noted.offset))
    }
}
