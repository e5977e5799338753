//! A term of a partition, while it lasts: what is read, sealed, noted and forgotten. Every note counts before
//! anything is done on its strength; a note that the brokers refused, or did not answer, ends the term.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::begin::Term;
use super::cache::{Cache, CacheDeps, Full, Unusable};
use super::lock::Lock;
use super::records::{Fetched, NotRead, Records};
use super::settings::{NoClient, Sees, Settings};
use crate::batch::BatchKey;
use crate::log::notes::{CallNote, Tally};
use crate::log::{AccountKey, Closable, Hour, OpenBatch, Parked, Range, Row, Seal};
use crate::object::{ObjectKey, ObjectName, S3Location};
use crate::partition::answer::TransactionError;
use crate::partition::days::{self, Clocks};
use crate::partition::gone;
use crate::partition::left::{Built, Pass};
use crate::partition::lines::Lines;
use crate::partition::note::Note;
use crate::partition::open::read_from;
use crate::partition::opening::Stop;
use crate::partition::position::{before, offset_of};
use crate::partition::reader::{ReadFrame, Reader, Took};
use crate::partition::state::State;
use crate::sources::SourceId;
use crate::time::{ReceivedDay, UnixMillis};

/// How long a pass over left objects waits for a record before it looks whether it may go on.
const PASS_WAIT: Duration = Duration::from_millis(500);

/// Why a term is over.
#[derive(Debug, thiserror::Error)]
pub enum End {
    /// The brokers ended it: if the partition is still assigned, begin another one.
    #[error("the term is over")]
    Over(#[from] TransactionError),
    /// The partition stops until a person acts.
    #[error(transparent)]
    Stopped(#[from] Stop),
    /// The cache cannot be used: begin a term without it.
    #[error(transparent)]
    Cache(#[from] Unusable),
    /// The log does not have the place of the reader any more: begin a term without the cache, which finds
    /// out why.
    #[error("the log has moved away from offset {0}")]
    Moved(u64),
}

/// What became of one look at the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looked {
    /// A record was read.
    Record,
    /// There is none, for now.
    End,
    /// None came in time.
    Nothing,
    /// The cache is full: nothing is read until something is forgotten.
    Full,
    /// The log cannot be read at present. Nothing is skipped.
    NotRead,
}

/// What is counted and in no tally.
type Counts = BTreeMap<(AccountKey, Hour), Row>;

/// What a process keeps of a term that is over, for its next one.
#[derive(Debug)]
pub struct Kept {
    /// The term's token.
    pub token: String,
    cache: Cache,
    reader: Reader,
    counts: Vec<(u64, Counts)>,
}

/// A term of a partition.
#[derive(Debug)]
pub struct Owner {
    settings: Settings,
    lock: Lock,
    state: State,
    cache: Cache,
    reader: Reader,
    log: Records,
    /// Counts, each with the offset before which it is of. A tally that did not count leaves its own here.
    counts: Vec<(u64, Counts)>,
    /// The broker's time of the last note, and the own time then.
    noted: Option<(UnixMillis, UnixMillis)>,
    /// The wall clock and the steady one when the term began.
    began: (UnixMillis, Duration),
    at_end: bool,
    notes_since_snapshot: u64,
}

/// Why the work of a term could not begin.
#[derive(Debug, thiserror::Error)]
pub enum NotOwned {
    /// A client could not be made.
    #[error(transparent)]
    NoClient(#[from] NoClient),
    /// The cache could not be made.
    #[error(transparent)]
    Cache(#[from] Unusable),
}

impl Owner {
    /// Works on a term that has begun. A cache that was kept is used only if the term says so; else `deps`
    /// make a new one, from an empty folder.
    /// Errors: [`NotOwned`].
    pub fn new(
        settings: &Settings,
        term: Term,
        kept: Option<Kept>,
        deps: impl FnOnce() -> CacheDeps,
    ) -> Result<Self, NotOwned> {
        let Term { lock, state, keeps_cache } = term;
        let log = Records::new(settings, &settings.topic, state.identity.partition, Sees::All)?;
        let (cache, reader, counts) = match kept.filter(|_| keeps_cache) {
            Some(Kept { cache, mut reader, counts, .. }) => {
                reader.based(&state.base);
                (cache, reader, counts)
            }
            None => (Cache::new(deps())?, Reader::of_base(&state), Vec::new()),
        };
        let clock = &cache.deps().clock;
        let began = (clock.wall(), clock.monotonic());
        let settings = settings.clone();
        let mut owner = Self {
            settings,
            lock,
            state,
            cache,
            reader,
            log,
            counts,
            noted: None,
            began,
            at_end: false,
            notes_since_snapshot: 0,
        };
        owner.drop_tallied();
        owner.follow_state()?;
        Ok(owner)
    }

    /// Ends the work on a term. What is kept serves the next term of this process, if nobody else has owned
    /// the partition in between.
    pub fn end(self) -> Option<Kept> {
        let token = self.state.term.clone()?;
        Some(Kept { token, cache: self.cache, reader: self.reader, counts: self.counts })
    }

    /// The state.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The first position that is not read.
    pub fn read_before(&self) -> u64 {
        self.reader.read_before()
    }

    /// Whether everything that the log has is read.
    pub fn is_at_end(&self) -> bool {
        self.at_end
    }

    /// Commits notes. They count once this has succeeded, and only then does the state change.
    /// Errors: [`End`].
    fn note(&mut self, notes: Vec<Note>) -> Result<(), End> {
        let noted = self.lock.note(&notes)?;
        if let Some(at) = noted.last().and_then(|noted| noted.at) {
            self.noted = Some((at, self.cache.deps().clock.wall()));
        }
        self.notes_since_snapshot += notes.len() as u64;
        for (note, noted) in notes.into_iter().zip(noted) {
            self.state.apply(note, noted.offset);
        }
        Ok(())
    }

    /// Reads the next record into the cache.
    /// Errors: [`End`].
    pub fn read(&mut self, wait: Duration) -> Result<Looked, End> {
        if self.cache.waits_from().is_some() {
            if self.cache.makes_way()? == Err(Full) {
                return Ok(Looked::Full);
            }
            self.follow_state()?;
        }
        let next = self.reader.next();
        if self.log.next() != Some(next) && self.log.go_to(Some(next)).is_err() {
            return Ok(Looked::NotRead);
        }
        match self.log.fetch(wait) {
            Ok(Fetched::Record { offset, value }) => {
                self.at_end = false;
                self.takes(offset, &value)
            }
            Ok(Fetched::End) => self.ends(),
            // The library reports an end once.
            Ok(Fetched::Nothing) if self.at_end => Ok(Looked::End),
            Ok(Fetched::Nothing) => Ok(Looked::Nothing),
            Ok(Fetched::OutOfRange) => self.out_of_range(),
            Err(error) => {
                tracing::debug!(%error, cause = ?error.cause, "the log cannot be read at present");
                Ok(Looked::NotRead)
            }
        }
    }

    fn takes(&mut self, offset: u64, value: &[u8]) -> Result<Looked, End> {
        loop {
            match self.reader.takes(offset, value, &self.state) {
                Took::Block { frames, counts, .. } => {
                    self.counts(offset, counts);
                    let frames = frames.into_iter().filter(|frame| self.is_open(frame)).collect();
                    let took = self.cache.takes(frames)?;
                    self.follow_state()?;
                    return Ok(if took == Err(Full) { Looked::Full } else { Looked::Record });
                }
                Took::Copy(_) | Took::Nothing => return Ok(Looked::Record),
                Took::Unreadable(ranges) => {
                    for range in &ranges {
                        let (first, last) = (range.first, range.last);
                        let from = offset_of(first);
                        tracing::error!(
                            first,
                            last,
                            offset = from,
                            "a record of the log cannot be read: lost"
                        );
                    }
                    // The note is final, and it stands before any seal that covers a later position.
                    self.note(ranges.into_iter().map(Note::Unread).collect())?;
                }
                Took::Newer(version) => return Err(Stop::Newer(format!("block version {version}")).into()),
                Took::Cut => return Err(Stop::LogCut(offset).into()),
            }
        }
    }

    /// Whether a frame is a line that is neither released nor left.
    fn is_open(&self, frame: &ReadFrame) -> bool {
        !frame.repeat
            && frame.position >= self.state.base.read_from
            && self.state.needs(&frame.batch, frame.position)
    }

    fn counts(&mut self, offset: u64, counts: Vec<(AccountKey, Hour, Row)>) {
        if before(offset) < self.state.calls.tallied_through() {
            return;
        }
        if self.counts.last().is_none() {
            self.counts.push((0, Counts::new()));
        }
        let Some((through, sums)) = self.counts.last_mut() else { return };
        *through = offset + 1;
        for (account, hour, row) in counts {
            sums.entry((account, hour)).or_default().add(&row);
        }
    }

    /// Forgets counts that a tally has.
    fn drop_tallied(&mut self) {
        let through = self.state.calls.tallied_through();
        self.counts.retain(|(end, _)| before(*end) > through);
    }

    /// What the reader met as the end may trail. The leader knows whether it is.
    fn ends(&mut self) -> Result<Looked, End> {
        if self.reader.ends_short(&self.state) {
            let Ok((_, end)) = self.log.bounds() else { return Ok(Looked::NotRead) };
            if end < self.state.reaches() {
                return Err(Stop::LogCut(end).into());
            }
            return Ok(Looked::Nothing);
        }
        self.at_end = true;
        Ok(Looked::End)
    }

    /// The log begins after the next record, or ends before it.
    fn out_of_range(&mut self) -> Result<Looked, End> {
        let next = self.reader.next();
        let Ok((start, end)) = self.log.bounds() else { return Ok(Looked::NotRead) };
        if next >= start {
            return Err(End::Moved(next));
        }
        let mut notes = gone::open_frames(&self.state, next, start);
        let waits = self.state.calls.seals.values().filter(|pending| {
            let is_left = self.state.left.contains_key(&pending.seal.number);
            pending.amended.is_none() && !is_left && gone::is_gone(&pending.seal, start)
        });
        for pending in waits {
            // What is in the cache can be put all the same.
            if !self.cache.read_sealed(&pending.seal, &mut |_| {})? {
                notes.extend(gone::object(&pending.seal));
            }
        }
        if !notes.is_empty() {
            tracing::error!(from = next, to = start, "the log has lost records that were not delivered");
            self.note(notes)?;
        }
        self.reader.skip_to(gone::goes_on_at(start, end));
        Ok(Looked::Record)
    }

    /// Brings the cache to what the notes say: seals whose frames it has read, and what is released.
    fn follow_state(&mut self) -> Result<(), Unusable> {
        let (pending, left) = (&self.state.calls.seals, &self.state.left);
        let waits = |number: &u64| pending.contains_key(number) && !left.contains_key(number);
        for number in self.cache.sealed().filter(|number| !waits(number)).collect::<Vec<_>>() {
            self.cache.forget(number)?;
        }
        // What waits for space is read, and not in the cache.
        let read = self.cache.waits_from().unwrap_or(u64::MAX).min(self.reader.read_before());
        let mut seals: Vec<Seal> = Vec::new();
        for pending in self.state.calls.seals.values() {
            let seal = &pending.seal;
            let is_here = seal.last < read && self.state.needs(&seal.batch, seal.last);
            if is_here && !self.cache.has_sealed(seal.number) {
                seals.push(seal.clone());
            }
        }
        seals.iter().try_for_each(|seal| self.cache.seal(seal))?;
        Ok(())
    }

    /// Batches with seals whose frames are not all read: those frames look unsealed in the cache.
    fn half_read(&self) -> BTreeSet<&BatchKey> {
        let pending = self.state.calls.seals.values().map(|pending| &pending.seal);
        let unknown = pending
            .filter(|seal| !self.cache.has_sealed(seal.number) && self.state.needs(&seal.batch, seal.last));
        unknown.map(|seal| &seal.batch).collect()
    }

    /// Batches with frames that can be sealed.
    pub fn open(&self) -> Vec<OpenBatch> {
        self.cache.open(&self.half_read())
    }

    /// Seals the next object of a batch: as many of its first lines as have at most `max_bytes`, at least
    /// one. `to` is noted as the source's bucket if it has none. The seal counts, so its object may be put.
    /// `None` if there is nothing to seal.
    /// Errors: [`End`].
    pub fn seal(
        &mut self,
        batch: &BatchKey,
        max_bytes: u64,
        to: &S3Location,
        encoder: &str,
    ) -> Result<Option<Seal>, End> {
        if self.half_read().contains(batch) {
            return Ok(None);
        }
        let mut lines = Lines::default();
        let after = self.state.calls.sealed_through(batch);
        let positions = Range { first: after + 1, last: u64::MAX };
        // The first position that has another bucket.
        let mut until = u64::MAX;
        self.cache.read(batch, positions, &mut |position, at, line| {
            let (has, adds) = (lines.bytes(), line.len() as u64 + 1);
            if has == 0 {
                let known = self.state.calls.location(&batch.source, position);
                until = known.and_then(|(_, until)| until).unwrap_or(u64::MAX);
            }
            let fits = position < until && (has == 0 || has + adds <= max_bytes);
            if fits {
                lines.push_line(position, at, line);
            }
            fits
        })?;
        let mut encoded = lines.encoded();
        if encoded.frames == 0 {
            return Ok(None);
        }
        encoded.encoder = encoder.to_owned();
        let mut notes = Vec::new();
        let known = self.state.calls.location(&batch.source, encoded.first);
        let to = if let Some((location, _)) = known {
            location.clone()
        } else {
            let (source, location) = (batch.source.clone(), to.clone());
            notes.push(Note::Call(CallNote::Location { source, from: 1, location }));
            to.clone()
        };
        let (node, spool_id) = (self.state.identity.node(), self.state.identity.spool_id());
        let name = ObjectName {
            first_received_at: encoded.named_at,
            node: &node,
            spool_id: &spool_id,
            first_position: encoded.first,
        };
        let key = ObjectKey::of_batch(&to.bucket, &batch.stream, &batch.source, batch.day, name);
        let Some(seal) = self.state.calls.seal_of(batch, &encoded, to, key) else {
            return Err(Unusable(format!("it has frames of {batch} that are sealed already")).into());
        };
        let covered = self.reader.covered();
        notes.extend([Note::Call(CallNote::Sealed(seal.clone())), Note::Covered(covered.clone())]);
        self.note(notes)?;
        self.reader.noted(&covered);
        self.follow_state()?;
        Ok(Some(seal))
    }

    /// Passes the lines of a pending object that is in the cache. Returns whether they are those of its
    /// seal: if not, nothing of it may be put. An amended object has none.
    /// Errors: [`End`].
    pub fn lines(&self, number: u64, visit: &mut dyn FnMut(&[u8])) -> Result<bool, End> {
        let Some(pending) = self.state.calls.seals.get(&number) else { return Ok(false) };
        if pending.amended.is_some() {
            return Ok(true);
        }
        if !self.cache.has_sealed(number) {
            return Ok(false);
        }
        Ok(self.cache.read_sealed(&pending.seal, visit)?)
    }

    /// The store has an object, verified: its frames are released once this has succeeded.
    /// Errors: [`End`].
    pub fn stored(&mut self, number: u64) -> Result<(), End> {
        let note = CallNote::Committed { number, applied: None, seal: None, amended: None };
        self.note(vec![Note::Call(note)])?;
        self.cache.forget(number)?;
        Ok(())
    }

    /// The store has another object under the key: a person must decide.
    /// Errors: [`End`].
    pub fn conflict(&mut self, number: u64) -> Result<(), End> {
        self.note(vec![Note::Call(CallNote::Conflict { number })])
    }

    /// An object stays in the log, because its bucket refuses it, and the cache forgets it. `parked` is its
    /// length and checksum as it was to be put. Returns whether it did.
    /// Errors: [`End`].
    pub fn leave(&mut self, number: u64, parked: Parked) -> Result<bool, End> {
        let Some(pending) = self.state.calls.seals.get(&number) else { return Ok(false) };
        let may = pending.amended.is_none() && !self.state.left.contains_key(&number);
        let from = self.reader.window_from(pending.seal.first);
        let Some(from) = from.filter(|_| may && self.cache.has_sealed(number)) else { return Ok(false) };
        self.note(vec![Note::Left { number, parked, from }])?;
        self.cache.forget(number)?;
        Ok(true)
    }

    /// Builds left objects for which `takes` says that their bucket takes again, as many as one pass has room
    /// for. `None` of an object's frames means that it must not be put. `goes_on` is asked between records.
    /// Errors: [`End`].
    pub fn build_left(
        &mut self,
        takes: impl Fn(&Seal) -> bool,
        goes_on: &dyn Fn() -> bool,
    ) -> Result<Vec<Built>, End> {
        let Some(mut pass) = Pass::plan(&self.state, takes) else { return Ok(Vec::new()) };
        let partition = self.state.identity.partition;
        let log = Records::new(&self.settings, &self.settings.topic, partition, Sees::All);
        let Ok(mut log) = log else { return Ok(Vec::new()) };
        let Ok((start, _)) = log.bounds() else { return Ok(Vec::new()) };
        let gone: Vec<Seal> = pass.seals().filter(|seal| gone::is_gone(seal, start)).cloned().collect();
        if !gone.is_empty() {
            // Named, and put without lines: the next pass builds the others.
            self.note(gone.iter().flat_map(gone::object).collect())?;
            return Ok(Vec::new());
        }
        let mut reader = Reader::of_left(&self.state, pass.from.max(start));
        if log.go_to(Some(reader.next())).is_err() {
            return Ok(Vec::new());
        }
        while reader.next() <= pass.through {
            match log.fetch(PASS_WAIT) {
                Ok(Fetched::Record { offset, value }) => match reader.takes(offset, &value, &self.state) {
                    Took::Block { frames, .. } => pass.takes(&frames),
                    Took::Copy(_) | Took::Nothing => {}
                    // The owner's own reading names it, or stops for it.
                    Took::Unreadable(_) | Took::Newer(_) | Took::Cut => return Ok(Vec::new()),
                },
                Ok(Fetched::Nothing | Fetched::End) if goes_on() => {}
                Ok(Fetched::Nothing | Fetched::End | Fetched::OutOfRange) | Err(NotRead { .. }) => {
                    return Ok(Vec::new());
                }
            }
        }
        Ok(pass.end().collect())
    }

    /// Notes where a new owner begins to read, and what is counted so far. Returns whether there was anything
    /// to note.
    /// Errors: [`End`].
    pub fn base(&mut self) -> Result<bool, End> {
        let firsts = self.cache.firsts();
        let open = firsts.iter().map(|(_, first)| *first);
        let from = read_from(open, self.reader.next(), self.state.base.read_from);
        let Some(base) = self.reader.base(from) else { return Ok(false) };
        let through = self.reader.read_before();
        let mut sums = Counts::new();
        for ((account, hour), row) in self.counts.iter().flat_map(|(_, sums)| sums) {
            sums.entry((account.clone(), *hour)).or_default().add(row);
        }
        let rows = sums.into_iter().map(|((account, hour), row)| (account, hour, row)).collect();
        let tally = Tally { through, rows, ..Tally::default() };
        // If the answer is lost, a later term of this process finds out which of these counts are noted.
        self.counts.push((self.reader.next(), Counts::new()));
        self.note(vec![Note::Call(CallNote::Tallied(tally)), Note::Base(Box::new(base.clone()))])?;
        self.reader.based(&base);
        self.counts.clear();
        Ok(true)
    }

    /// The last day to end now, if it is over by all clocks.
    pub fn day_to_end(&self, grace: Duration) -> Option<ReceivedDay> {
        let clock = &self.cache.deps().clock;
        let (wall, monotonic) = self.began;
        let steady = wall.plus(clock.monotonic().saturating_sub(monotonic));
        let clocks = Clocks { wall: clock.wall(), steady, noted: self.noted };
        let of_open = self.cache.firsts().into_iter().map(|(batch, _)| batch.day);
        let of_state = self.state.calls.days.keys().map(|place| place.day);
        days::day_to_end(clocks, grace, self.state.calls.days_over, of_open.chain(of_state))
    }

    /// Ends days at the log's end as it is now. No record is read until the note counts. Returns whether the
    /// end was known.
    /// Errors: [`End`].
    pub fn end_day(&mut self, through: ReceivedDay) -> Result<bool, End> {
        let Ok((_, end)) = self.log.bounds() else { return Ok(false) };
        self.note(vec![days::end_at(through, end)])?;
        Ok(true)
    }

    /// Days whose objects are all in the store, and to whose end the log is read.
    pub fn closable(&self) -> Vec<Closable> {
        let firsts = self.cache.firsts();
        days::closable(&self.state, firsts.iter().map(|(batch, _)| batch), self.reader.read_before())
    }

    /// The marker of a day is in the store.
    /// Errors: [`End`].
    pub fn closed(&mut self, day: &Closable) -> Result<(), End> {
        let covered = self.reader.covered();
        // The marker relies on what was read.
        self.note(vec![Note::Call(CallNote::Closed(day.place.clone())), Note::Covered(covered.clone())])?;
        self.reader.noted(&covered);
        Ok(())
    }

    /// Notes that were committed since the last snapshot of this term.
    pub fn notes_since_snapshot(&self) -> u64 {
        self.notes_since_snapshot
    }

    /// Writes the whole state in one transaction. Returns the offset of its first record: what stands before
    /// it in the notes is not needed any more.
    /// Errors: [`End`].
    pub fn snapshot(&mut self, keep_from: UnixMillis) -> Result<Option<u64>, End> {
        // What a new owner would read.
        let mut state = self.state.clone();
        let notes = state.snapshot(keep_from);
        let noted = self.lock.note(&notes)?;
        self.state = state;
        self.notes_since_snapshot = 0;
        Ok(noted.first().map(|noted| noted.offset))
    }

    /// For each source, the first position that is in no object in the store.
    pub fn oldest(&self) -> BTreeMap<SourceId, u64> {
        let left = self.state.left.keys().filter_map(|number| self.state.calls.seals.get(number));
        let left = left.map(|pending| (pending.seal.batch.source.clone(), pending.seal.first));
        let open = self.cache.firsts().into_iter().map(|(batch, first)| (batch.source, first.position));
        let mut oldest = BTreeMap::new();
        for (source, position) in left.chain(open) {
            let known = oldest.entry(source).or_insert(position);
            *known = position.min(*known);
        }
        oldest
    }

    /// Whether the cache is so full that batches which hold its oldest frames are due.
    pub fn is_under_pressure(&self) -> bool {
        self.cache.is_under_pressure()
    }
}
