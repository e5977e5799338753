//! What an owner does while its term lasts: read, seal, put, commit, leave, rebuild, end and close days, note
//! bases and snapshots. One call of a broker or the store is one step.
//!
//! The decisions are those of the program ([`forebay::partition`], [`forebay::log::notes`],
//! [`forebay::batch::due`]). Their order is a model of what `delivery` does with any log: seal, put, commit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use forebay::batch::{BatchKey, Deadline, DueRule, Now};
use forebay::log::Seal;
use forebay::log::notes::CallNote;
use forebay::object::{ObjectKey, ObjectName};
use forebay::partition::answer::{Then, then_of_notes};
use forebay::partition::group::{Metadata, refused};
use forebay::partition::left::Pass;
use forebay::partition::lines::Lines;
use forebay::partition::note::{Base, Covered, Note};
use forebay::partition::opening::Stop;
use forebay::partition::position::{before, offset_of};
use forebay::partition::reader::{Reader, Took};
use forebay::partition::state::State;
use forebay::partition::{days, gone};
use forebay::planted_bugs::{PlantedBug, planted};
use forebay::sources::SourceId;
use forebay::time::{ReceivedDay, UnixMillis};

use super::cache::{Cache, Rebuild};
use super::env::{Env, location};
use super::log_topic::{Consumer, Fetched};
use super::owner::ProcessClock;
use super::store::{Object, PutError};

/// How long after a day it ends, here.
pub(super) const GRACE: Duration = Duration::from_secs(20);
/// The age of an object.
const MAX_AGE: Duration = Duration::from_secs(5);
/// How long an object's bucket fails before the object makes way, in milliseconds.
const LEAVES_AFTER_MS: i64 = 20_000;
/// Bytes of a line and its `\n`, at most.
const LINE_BYTES: u64 = 64;

/// What a step comes to.
#[derive(Debug)]
pub(super) enum Step {
    GoesOn,
    TermOver { keeps_cache: bool },
    Stopped(Stop),
}

/// Brokers ended the term.
const TERM_OVER: Step = Step::TermOver { keeps_cache: true };

/// What follows once notes are committed.
#[derive(Clone, Debug)]
enum After {
    Nothing,
    Sealed(Covered),
    Based(Box<Base>, u64),
    Left(Box<Seal>),
    DayEnded,
    /// The offsets of the notes before it are deleted.
    Snapshot,
}

/// Notes on their way.
#[derive(Debug)]
struct Transaction {
    notes: Vec<Note>,
    sent: Option<Vec<u64>>,
    after: After,
}

/// The tries to put an object.
#[derive(Clone, Copy, Debug, Default)]
struct Tries {
    failing_since: Option<i64>,
    not_before: i64,
}

/// What a writer does with a partition in one term.
#[derive(Debug)]
pub(super) struct Live {
    partition: u32,
    pub(super) token: String,
    pub(super) epoch: u64,
    pub(super) state: State,
    pub(super) cache: Cache,
    transaction: Option<Transaction>,
    /// Notes to be committed next.
    next: Option<(Vec<Note>, After)>,
    tries: BTreeMap<u64, Tries>,
    /// Objects that are in the store and not noted as such.
    stored: BTreeSet<u64>,
    /// Left objects that are built again: their lines.
    built: BTreeMap<u64, Vec<(u64, Vec<u8>)>>,
    rebuild: Option<Rebuild>,
    /// The days that end, and the log's end when they did.
    day_end: Option<(ReceivedDay, u64)>,
    deadlines: BTreeMap<BatchKey, Deadline>,
    /// The broker's time of the last own note, and the own time then.
    noted: Option<(UnixMillis, UnixMillis)>,
    at_end: bool,
    notes_since_snapshot: usize,
}

fn cut(offset: u64) -> Step {
    Step::Stopped(Stop::LogCut(offset))
}

/// What a step can be.
#[derive(Clone, Debug)]
enum Action {
    Transaction,
    Read,
    Seal(BatchKey, bool),
    Put(u64),
    Commit(u64),
    Leave(u64),
    Base,
    EndDay(ReceivedDay),
    CloseDay,
    Rebuild,
    Snapshot,
    Report,
}

impl Live {
    pub(super) fn new(partition: u32, token: String, epoch: u64, state: State, cache: Cache) -> Self {
        Self {
            partition,
            token,
            epoch,
            state,
            cache,
            transaction: None,
            next: None,
            tries: BTreeMap::new(),
            stored: BTreeSet::new(),
            built: BTreeMap::new(),
            rebuild: None,
            day_end: None,
            deadlines: BTreeMap::new(),
            noted: None,
            at_end: false,
            notes_since_snapshot: 0,
        }
    }

    /// Whether all of its days are closed.
    pub(super) fn has_closed_all(&self) -> bool {
        self.state.calls.days.is_empty() && self.transaction.is_none() && self.cache.tally().is_empty()
    }

    /// Whether everything is read and delivered.
    pub(super) fn is_idle(&self, env: &Env) -> bool {
        self.cache.reader.next() >= env.log[self.partition as usize].end()
            && self.transaction.is_none()
            && self.next.is_none()
            && self.cache.len() == 0
            && self.state.calls.seals.is_empty()
    }

    pub(super) fn step(&mut self, clock: ProcessClock, env: &mut Env) -> Step {
        let actions = self.actions(clock, env);
        let action = env.dice.of(&actions);
        env.note(
            &format!("{} {action:?}", self.token),
            &[u64::from(self.partition), self.cache.reader.next(), self.cache.len() as u64],
        );
        match action {
            Action::Transaction => return self.go_on(clock, env),
            Action::Read => return self.read(clock, env),
            Action::Seal(batch, whole) => self.seal(&batch, whole, env),
            Action::Put(number) => self.put(number, env),
            Action::Commit(number) => {
                let note = CallNote::Committed { number, applied: None, seal: None, amended: None };
                self.notes(vec![Note::Call(note)], After::Nothing);
            }
            Action::Leave(number) => self.leave(number),
            Action::Base => self.base(),
            Action::EndDay(day) => self.end_day(day, env),
            Action::CloseDay => self.close_day(env),
            Action::Rebuild => self.rebuild(env),
            Action::Snapshot => {
                let notes = self.state.clone().snapshot(UnixMillis(env.now));
                self.notes(notes, After::Snapshot);
            }
            Action::Report => {
                self.report(env);
            }
        }
        Step::GoesOn
    }

    /// Commits to the group what people, tools and collectors want to know.
    fn report(&self, env: &mut Env) {
        let log = &env.log[self.partition as usize];
        let left = self.state.left.keys().filter_map(|number| self.state.calls.seals.get(number));
        let left = left.map(|pending| (pending.seal.batch.source.clone(), pending.seal.first));
        let open = self.cache.firsts().map(|(batch, position)| (batch.source.clone(), position));
        let mut oldest: BTreeMap<SourceId, u64> = BTreeMap::new();
        for (source, position) in left.chain(open) {
            let known = oldest.entry(source).or_insert(position);
            *known = position.min(*known);
        }
        let metadata = Metadata {
            log_id: self.state.identity.log_id.clone(),
            base_at: self.state.base_at,
            // As if half of the retention began in the middle of what a log with many records has.
            refused: match env.plan.refuses && log.end() - log.start > 12 {
                true => refused(oldest, u64::midpoint(log.start, log.end())),
                false => Vec::new(),
            },
        };
        let metadata = Metadata::decode(&metadata.encode()).unwrap();
        env.group.insert(self.partition, (self.state.kept_from(), metadata));
    }

    /// What can be done now. There is always something.
    fn actions(&mut self, clock: ProcessClock, env: &mut Env) -> Vec<Action> {
        if let Some((notes, after)) = self.next.take_if(|_| self.transaction.is_none()) {
            self.transaction = Some(Transaction { notes, sent: None, after });
        }
        let mut actions = vec![Action::Report];
        let may_note = self.transaction.is_none();
        if !may_note {
            actions.extend([Action::Transaction, Action::Transaction]);
        }
        let ends_here = self.day_end.is_some_and(|(_, end)| self.cache.reader.next() >= end);
        let is_full = self.cache.len() >= env.plan.cache_frames;
        if !ends_here && !is_full {
            let reads = if env.healed { 1 } else { env.plan.reads };
            actions.extend(std::iter::repeat_n(Action::Read, reads));
        }
        for (number, pending) in &self.state.calls.seals {
            let tries = self.tries.get(number).copied().unwrap_or_default();
            let is_left = self.state.left.contains_key(number);
            let is_read = offset_of(pending.seal.last) < self.cache.reader.next();
            let has_lines =
                !is_left && is_read || self.built.contains_key(number) || pending.amended.is_some();
            if self.stored.contains(number) {
                if may_note {
                    actions.push(Action::Commit(*number));
                }
            } else if !pending.conflict && has_lines && env.now >= tries.not_before {
                actions.push(Action::Put(*number));
            }
            let fails = tries.failing_since.is_some_and(|since| env.now - since >= LEAVES_AFTER_MS);
            if may_note
                && !is_left
                && pending.amended.is_none()
                && (fails || is_full && tries.failing_since.is_some())
            {
                actions.push(Action::Leave(*number));
            }
        }
        let builds = self.state.left.keys().any(|number| !self.built.contains_key(number));
        if self.rebuild.is_some() || builds && (env.healed || env.dice.chance(200)) {
            actions.push(Action::Rebuild);
        }
        if may_note {
            let due = self.due(clock, env, is_full);
            actions.extend(due.into_iter().map(|(batch, whole)| Action::Seal(batch, whole)));
            if env.dice.chance(300) {
                actions.push(Action::Base);
            }
            if self.notes_since_snapshot > 40 && env.dice.chance(200) {
                actions.push(Action::Snapshot);
            }
            if self.day_end.is_none() {
                let wall = UnixMillis(env.now + clock.skew + clock.stepped);
                let steady = UnixMillis(env.now + clock.skew);
                let clocks = days::Clocks { wall, steady, noted: self.noted };
                let of_open = self.cache.batches().map(|batch| batch.day);
                let of_state = self.state.calls.days.keys().map(|place| place.day);
                let ended = self.state.calls.days_over;
                let day = days::day_to_end(clocks, GRACE, ended, of_open.chain(of_state));
                actions.extend(day.map(Action::EndDay));
            }
            actions.push(Action::CloseDay);
        }
        actions
    }

    /// Due batches, and whether all of each is sealed. Pressure makes any batch due.
    fn due(&mut self, clock: ProcessClock, env: &Env, is_full: bool) -> Vec<(BatchKey, bool)> {
        let max_bytes = env.plan.object_lines * LINE_BYTES;
        let rule = DueRule { max_bytes, max_age: MAX_AGE, align_minute: None };
        let now = Now {
            wall: UnixMillis(env.now + clock.skew + clock.stepped),
            monotonic: Duration::from_millis(u64::try_from(env.now).unwrap()),
            behind: if self.at_end { Duration::ZERO } else { Duration::from_secs(20) },
        };
        let mut due = Vec::new();
        for batch in self.cache.batches() {
            let mut frames = self.cache.unsealed(batch, &self.state).peekable();
            let Some(first) = frames.peek() else { continue };
            let first_received_at = first.received_at;
            let deadline = *self
                .deadlines
                .entry(batch.clone())
                .or_insert_with(|| rule.deadline(first_received_at, &now));
            let bytes = frames.map(|frame| frame.line().len() as u64 + 1).sum();
            let reason = rule.decide(batch.day, deadline, bytes, &now);
            if reason.is_some() || is_full || env.healed && self.at_end {
                due.push((batch.clone(), env.healed));
            }
        }
        due
    }

    /// Notes are committed next.
    fn notes(&mut self, notes: Vec<Note>, after: After) {
        self.transaction = Some(Transaction { notes, sent: None, after });
    }

    /// The next call of the transaction.
    fn go_on(&mut self, clock: ProcessClock, env: &mut Env) -> Step {
        let (partition, epoch) = (self.partition, self.epoch);
        let Some(transaction) = &mut self.transaction else { return Step::GoesOn };
        if planted(PlantedBug::NoteOutsideTransaction) {
            let values: Vec<Vec<u8>> = transaction.notes.iter().map(Note::encode).collect();
            let offsets = env.notes.0.get_mut(&partition).unwrap().plain(epoch, &values, env.now);
            transaction.sent = Some(offsets);
            self.counts(clock, env);
            return Step::GoesOn;
        }
        let answer = match transaction.sent {
            None => env.send(partition, epoch, &transaction.notes).map(|offsets| {
                transaction.sent = Some(offsets);
            }),
            Some(_) => {
                let answer = env.commit(partition, epoch);
                match then_of_notes(answer, true) {
                    Then::Counts => self.counts(clock, env),
                    Then::Again => {}
                    Then::TermOver => return TERM_OVER,
                    Then::Dropped => self.dropped(),
                }
                return Step::GoesOn;
            }
        };
        match then_of_notes(answer, true) {
            Then::Counts if transaction.sent.is_some() => {}
            // Only with a planted bug.
            Then::Counts => self.counts(clock, env),
            Then::Again => {}
            Then::TermOver => return TERM_OVER,
            Then::Dropped => self.dropped(),
        }
        Step::GoesOn
    }

    fn dropped(&mut self) {
        self.transaction = None;
        self.next = None;
        self.day_end = None;
    }

    /// The notes count.
    fn counts(&mut self, clock: ProcessClock, env: &mut Env) {
        let Some(Transaction { notes, sent, after }) = self.transaction.take() else { return };
        let own = UnixMillis(env.now + clock.skew + clock.stepped);
        self.noted = Some((UnixMillis(env.now), own));
        self.notes_since_snapshot += notes.len();
        let first = sent.as_ref().and_then(|sent| sent.first().copied()).unwrap_or(0);
        let offsets = sent.unwrap_or_default().into_iter().chain(std::iter::repeat(0));
        match after {
            After::Snapshot => {
                self.notes_since_snapshot = 0;
                // As a new owner would read it.
                let base_at = self.state.base_at;
                self.state.snapshot(UnixMillis(env.now));
                self.state.base_at = base_at;
                env.notes.0.get_mut(&self.partition).unwrap().delete_before(first);
                return;
            }
            After::Sealed(covered) => self.cache.reader.noted(&covered),
            After::Based(base, tallied) => {
                self.cache.reader.based(&base);
                self.cache.tallied(tallied);
            }
            After::Left(seal) => self.cache.forget(&seal),
            After::DayEnded => self.day_end = None,
            After::Nothing => {}
        }
        for (note, offset) in notes.into_iter().zip(offsets) {
            self.state.apply(note, offset);
        }
        self.cache.release(&self.state);
        let pending = &self.state.calls.seals;
        self.stored.retain(|number| pending.contains_key(number));
        self.built.retain(|number, _| pending.contains_key(number));
        self.tries.retain(|number, _| pending.contains_key(number));
        self.deadlines.retain(|batch, _| self.cache.unsealed(batch, &self.state).next().is_some());
    }

    fn read(&mut self, clock: ProcessClock, env: &mut Env) -> Step {
        if env.fails() {
            return Step::GoesOn;
        }
        let log = &env.log[self.partition as usize];
        let next = self.cache.reader.next();
        match log.fetch(next, &mut self.cache.consumer) {
            Fetched::End if self.cache.reader.ends_short(&self.state) => return cut(next),
            Fetched::End => self.at_end = true,
            Fetched::OutOfRange if next < log.start => {
                env.trace.count("logs whose start has passed");
                if self.transaction.is_none() {
                    let start = log.start;
                    let mut notes = gone::open_frames(&self.state, next, start);
                    // What the cache does not have can no longer be read.
                    let lost = self.state.calls.seals.values().filter(|pending| {
                        pending.amended.is_none()
                            && !self.state.left.contains_key(&pending.seal.number)
                            && gone::is_gone(&pending.seal, start)
                            && !self.cache.lines_of(&pending.seal).1
                    });
                    notes.extend(lost.flat_map(|pending| gone::object(&pending.seal)));
                    if notes.is_empty() {
                        self.cache.reader.skip_to(gone::goes_on_at(start, log.end()));
                    } else {
                        self.notes(notes, After::Nothing);
                    }
                }
            }
            // The log was cut while it was read: a new term finds out.
            Fetched::OutOfRange => return Step::TermOver { keeps_cache: false },
            Fetched::Record(offset, value) => {
                let ends_here = self.day_end.is_some_and(|(_, end)| offset >= end);
                if ends_here {
                    return Step::GoesOn;
                }
                self.at_end = false;
                if planted(PlantedBug::DaysOverByClock) {
                    self.days_over_by_clock(clock, env, offset);
                }
                match self.cache.reader.takes(offset, &value, &self.state) {
                    Took::Block { frames, counts, .. } => {
                        self.cache.takes(offset, frames, counts, &self.state);
                    }
                    Took::Copy(_) => {
                        env.trace.count("second copies");
                        let first = log.records.iter().position(|known| known.as_deref() == Some(&value[..]));
                        if (first.unwrap() as u64) < self.cache.began {
                            env.trace.count("second copies of blocks that the reader has not read");
                        }
                    }
                    Took::Nothing => {}
                    Took::Unreadable(ranges) => {
                        env.trace.count("unreadable records");
                        if self.transaction.is_none() {
                            self.notes(ranges.into_iter().map(Note::Unread).collect(), After::Nothing);
                        }
                    }
                    Took::Cut => return cut(offset),
                    Took::Newer(version) => {
                        return Step::Stopped(Stop::Newer(format!("block version {version}")));
                    }
                }
            }
        }
        Step::GoesOn
    }

    /// With a planted bug: days end for the reader when the clock says so.
    fn days_over_by_clock(&mut self, clock: ProcessClock, env: &Env, offset: u64) {
        let wall = UnixMillis(env.now + clock.skew + clock.stepped);
        let over = UnixMillis(wall.minus(GRACE).0 - forebay::time::DAY_MS).day();
        self.state.calls.apply(CallNote::DaysOver { through: over, from: Some(before(offset)) });
    }

    fn seal(&mut self, batch: &BatchKey, whole: bool, env: &mut Env) {
        let most = env.plan.object_lines;
        let count = if whole { most } else { 1 + env.dice.below(most) };
        let mut lines = Lines::default();
        let unsealed = self.cache.unsealed(batch, &self.state);
        unsealed.take(usize::try_from(count).unwrap()).for_each(|frame| lines.push(frame));
        let encoded = lines.encoded();
        let to = location(&batch.source);
        let identity = &self.state.identity;
        let (node, spool_id) = (identity.node(), identity.spool_id());
        let name = ObjectName {
            first_received_at: encoded.named_at,
            node: &node,
            spool_id: &spool_id,
            first_position: encoded.first,
        };
        let key = ObjectKey::of_batch(&to.bucket, &batch.stream, &batch.source, batch.day, name);
        let Some(seal) = self.state.calls.seal_of(batch, &encoded, to.clone(), key) else {
            return env.is_wrong(format!("a range of {batch} would be sealed twice"));
        };
        let mut notes = Vec::new();
        if self.state.calls.location(&batch.source, seal.first).is_none() {
            let source = batch.source.clone();
            notes.push(Note::Call(CallNote::Location { source, from: 1, location: to }));
        }
        if planted(PlantedBug::PutBeforeSealCommitted) {
            let pending = forebay::log::PendingSeal {
                seal: seal.clone(),
                parked: None,
                conflict: false,
                overwrite: false,
                amended: None,
            };
            let (lines, _) = self.cache.lines_of(&seal);
            // Whatever the answer is.
            drop(env.put(Object::new(&pending, lines)));
        }
        let covered = self.cache.reader.covered();
        notes.extend([Note::Call(CallNote::Sealed(seal)), Note::Covered(covered.clone())]);
        self.notes(notes, After::Sealed(covered));
    }

    fn put(&mut self, number: u64, env: &mut Env) {
        let Some(pending) = self.state.calls.seals.get(&number).cloned() else { return };
        let seal = &pending.seal;
        let (lines, same) = match self.built.get(&number) {
            _ if pending.amended.is_some() => (Vec::new(), true),
            Some(lines) => (lines.clone(), true),
            None => self.cache.lines_of(seal),
        };
        if !same {
            return self.cannot_build(seal.clone(), env);
        }
        let now = env.now;
        let rests = i64::try_from(env.dice.log(5_000)).unwrap();
        match env.put(Object::new(&pending, lines)) {
            Ok(()) => {
                self.stored.insert(number);
            }
            Err(PutError::Exists(sha256)) if sha256 == pending.sha256() => {
                self.stored.insert(number);
            }
            Err(PutError::Exists(sha256)) if sha256 == seal.sha256 => {
                // All of an amended object is there.
                if self.transaction.is_none() {
                    let committed = CallNote::Committed { number, applied: None, seal: None, amended: None };
                    let notes = [CallNote::Restored { number }, committed].map(Note::Call);
                    self.notes(notes.into(), After::Nothing);
                }
            }
            Err(PutError::Exists(_)) => {
                let log = &env.log[self.partition as usize];
                // An owner that slept may find that a later one has put what was left after a loss.
                if !log.lost && !log.was_cut() {
                    env.is_wrong(format!("another object has the key {}", seal.object_key.as_str()));
                }
                if self.transaction.is_none() {
                    self.notes(vec![Note::Call(CallNote::Conflict { number })], After::Nothing);
                }
            }
            Err(PutError::Refused) => {
                let tries = self.tries.entry(number).or_default();
                tries.failing_since.get_or_insert(now);
                tries.not_before = now + 1_000 + rests;
                // It is built again for the next try.
                if self.state.left.contains_key(&number) {
                    self.built.remove(&number);
                }
            }
            Err(PutError::Unknown) => self.tries.entry(number).or_default().not_before = now + rests,
        }
    }

    /// The lines of a seal are not there any more. If the log has lost some of what it needs, that is named.
    fn cannot_build(&mut self, seal: Seal, env: &mut Env) {
        let log = &env.log[self.partition as usize];
        if !log.lost && !log.was_cut() {
            env.is_wrong(format!("object {} cannot be built again", seal.object_key.as_str()));
        }
        if self.transaction.is_none() {
            env.trace.count("objects lost");
            self.notes(gone::object(&seal), After::Nothing);
        }
    }

    fn leave(&mut self, number: u64) {
        let seal = self.state.calls.seals[&number].seal.clone();
        let Some(from) = self.cache.reader.window_from(seal.first) else { return };
        let parked = forebay::log::Parked { len: seal.bytes, crc32: 0 };
        let left = (vec![Note::Left { number, parked, from }], After::Left(Box::new(seal.clone())));
        if planted(PlantedBug::ReadFromBeforeLeft) {
            self.cache.forget(&seal);
            self.base();
            self.next = Some(left);
            return;
        }
        self.notes(left.0, left.1);
    }

    fn base(&mut self) {
        let read_from = self.cache.read_from(&self.state);
        let Some(base) = self.cache.reader.base(read_from) else { return };
        let through = self.cache.reader.read_before();
        let rows = self.cache.tally();
        let tally = forebay::log::notes::Tally { through, rows, ..Default::default() };
        let base = Box::new(base);
        let notes = vec![Note::Call(CallNote::Tallied(tally)), Note::Base(base.clone())];
        self.notes(notes, After::Based(base, through));
    }

    fn end_day(&mut self, day: ReceivedDay, env: &Env) {
        let end = env.log[self.partition as usize].end();
        self.day_end = Some((day, end));
        // A cache that is past it already has read no record after the end.
        self.notes(vec![days::end_at(day, end)], After::DayEnded);
    }

    fn close_day(&mut self, env: &mut Env) {
        let read_before = self.cache.reader.read_before();
        let closable = days::closable(&self.state, self.cache.batches(), read_before);
        let Some(first) = closable.into_iter().next() else {
            let mut notes = days::to_settle(&self.state, self.cache.batches(), read_before);
            if !notes.is_empty() {
                // The marker relies on what was read.
                let covered = self.cache.reader.covered();
                notes.push(Note::Covered(covered.clone()));
                self.notes(notes, After::Sealed(covered));
            }
            return;
        };
        if env.fails() {
            return;
        }
        let key = first.marker.key(&first.location.bucket).as_str().to_owned();
        env.trace.count("days closed");
        if !env.store.put_marker(key.clone(), first.marker) {
            env.is_wrong(format!("another marker is at {key}"));
        }
        self.notes(vec![Note::Call(CallNote::Closed(first.place))], After::Nothing);
    }

    /// The next record of the pass, or a new pass.
    fn rebuild(&mut self, env: &mut Env) {
        let refuses = env.store.refuses.clone();
        let log = &env.log[self.partition as usize];
        let Some(rebuild) = &mut self.rebuild else {
            let takes = |seal: &Seal| !refuses.contains(seal.batch.source.as_str());
            let plan = Pass::plan(&self.state, |seal| takes(seal) && !self.built.contains_key(&seal.number));
            let Some(pass) = plan else { return };
            let gone = pass.seals().find(|seal| gone::is_gone(seal, log.start)).cloned();
            if let Some(seal) = gone {
                return self.cannot_build(seal, env);
            }
            let cut_short = log.start > pass.from;
            let reader = Reader::of_left(&self.state, pass.from.max(log.start));
            self.rebuild = Some(Rebuild { pass, reader, consumer: Consumer::default(), cut_short });
            return;
        };
        if env.plan.faults > 0 && !env.healed && env.dice.chance(50) {
            return;
        }
        let next = rebuild.reader.next();
        if next <= rebuild.pass.through {
            match log.fetch(next, &mut rebuild.consumer) {
                Fetched::Record(offset, value) => match rebuild.reader.takes(offset, &value, &self.state) {
                    Took::Block { frames, .. } => rebuild.pass.takes(&frames),
                    Took::Copy(_) | Took::Nothing => {}
                    Took::Unreadable(_) | Took::Newer(_) | Took::Cut => self.rebuild = None,
                },
                Fetched::End | Fetched::OutOfRange => self.rebuild = None,
            }
            return;
        }
        let Some(Rebuild { pass, cut_short, .. }) = self.rebuild.take() else { return };
        for built in pass.end() {
            match built.frames {
                Some(frames) => {
                    env.trace.count("objects built again");
                    let lines = frames.iter().map(|frame| (frame.position, frame.line().to_vec()));
                    self.built.insert(built.seal.number, lines.collect());
                }
                None if cut_short && self.transaction.is_none() => self.cannot_build(built.seal, env),
                None if cut_short || env.log[self.partition as usize].was_cut() => {}
                None => env.is_wrong(format!("{} is built with other lines", built.seal.object_key.as_str())),
            }
        }
    }
}
