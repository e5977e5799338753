//! What an owner does while its term lasts. One call of a broker or the store is one step.
//!
//! The decisions are those of the program ([`forebay::partition`], [`forebay::log::notes`],
//! [`forebay::batch::due`]). Their order is a model of what `delivery` does with any log: seal, put, commit.

mod bases;
mod ended_days;
mod left;
mod objects;
mod reading;
mod transaction;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use forebay::batch::{BatchKey, Deadline, DueRule, Now};
use forebay::log::notes::CallNote;
use forebay::partition::brokers_clock::BrokersClock;
use forebay::partition::group::{Metadata, refused};
use forebay::partition::note::Note;
use forebay::partition::opening::Stop;
use forebay::partition::position::{before, offset_of};
use forebay::partition::share::{self, Pressure};
use forebay::partition::state::State;
use forebay::partition::{days, destinations};
use forebay::sources::SourceId;
use forebay::time::{ReceivedDay, UnixMillis};

use super::cache::{Cache, Rebuild};
use super::env::Env;
use super::owner::Process;
use objects::Tries;
use transaction::{After, Transaction};

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
    at_end: bool,
    notes_since_snapshot: usize,
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
    /// The destinations of sources change.
    Configure(Vec<Note>),
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
        env.log[self.partition as usize].has_read_all(self.cache.reader.next(), self.cache.consumer)
            && self.transaction.is_none()
            && self.next.is_none()
            && self.cache.len() == 0
            && self.state.calls.seals.is_empty()
    }

    pub(super) fn step(&mut self, process: Process, env: &mut Env) -> Step {
        let actions = self.actions(process, env);
        let action = env.dice.of(&actions);
        env.note(
            &format!("{} {action:?}", self.token),
            &[u64::from(self.partition), self.cache.reader.next(), self.cache.len() as u64],
        );
        match action {
            Action::Transaction => return self.go_on(env),
            Action::Read => return self.read(process, env),
            Action::Seal(batch, whole) => self.seal(&batch, whole, env),
            Action::Put(number) => self.put(number, env),
            Action::Commit(number) => {
                let note = CallNote::Committed { number, applied: None, seal: None, amended: None };
                self.notes(vec![Note::Call(note)], After::Nothing);
            }
            Action::Leave(number) => self.leave(number),
            Action::Base => self.base(),
            Action::Configure(notes) => {
                env.trace.count("destinations noted");
                self.notes(notes, After::Nothing);
            }
            Action::EndDay(day) => return self.end_day(day, env),
            Action::CloseDay => self.close_day(env),
            Action::Rebuild => self.rebuild(env),
            Action::Snapshot => self.snapshot(env),
            Action::Report => self.report(env),
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
        // As if half of the retention began in the middle of what a log with many records has.
        let half_ago = u64::midpoint(log.start, log.end());
        let refuses = env.plan.refuses && log.end() - log.start > 12;
        let named = if refuses { refused(oldest, half_ago) } else { Some(Vec::new()) };
        let metadata = Metadata {
            log_id: self.state.identity.log_id.clone(),
            base_at: self.state.base_at,
            refuses_all: refuses && (self.cache.reader.next() < half_ago || named.is_none()),
            refused: named.unwrap_or_default(),
            owner: None,
        };
        let metadata = Metadata::decode(&metadata.encode()).unwrap();
        env.group.insert(self.partition, (self.state.kept_from(), metadata));
    }

    /// What can be done now. There is always something.
    fn actions(&mut self, process: Process, env: &mut Env) -> Vec<Action> {
        if let Some((notes, after)) = self.next.take_if(|_| self.transaction.is_none()) {
            self.transaction = Some(Transaction { notes, sent: None, after });
        }
        let mut actions = vec![Action::Report];
        let may_note = self.transaction.is_none();
        if !may_note {
            actions.extend([Action::Transaction, Action::Transaction]);
        }
        let ends_here = self.day_end.is_some_and(|(_, end)| self.cache.reader.next() >= end);
        let pressure = share::pressure(self.cache.len() as u64, env.plan.cache_frames);
        let is_full = pressure == Pressure::Full;
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
            // The cache has no room for the rest of an object.
            let has_no_room = is_full && !is_read && env.dice.chance(300);
            if may_note
                && !is_left
                && pending.amended.is_none()
                && (fails || is_full && tries.failing_since.is_some() || has_no_room)
            {
                actions.push(Action::Leave(*number));
            }
        }
        let builds = self.state.left.keys().any(|number| !self.built.contains_key(number));
        if self.rebuild.is_some() || builds && (env.healed || env.dice.chance(200)) {
            actions.push(Action::Rebuild);
        }
        if may_note {
            let due = self.due(process, env, pressure);
            actions.extend(due.into_iter().map(|(batch, whole)| Action::Seal(batch, whole)));
            if env.dice.chance(300) {
                actions.push(Action::Base);
            }
            let wanted = env.destinations(process.config);
            let wanted = wanted.iter().map(|(source, location)| (source, location));
            let notes = destinations::to_note(&self.state, self.cache.reader.next(), wanted);
            if !notes.is_empty() {
                actions.push(Action::Configure(notes));
            }
            if self.notes_since_snapshot > 40 && env.dice.chance(200) {
                actions.push(Action::Snapshot);
            }
            if self.day_end.is_none() {
                let monotonic = env.monotonic();
                let brokers = Some(BrokersClock::told(UnixMillis(env.now), monotonic));
                let clocks = days::Clocks { wall: process.wall(env), monotonic, brokers };
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

    /// Due batches, and whether all of each is sealed.
    fn due(&mut self, process: Process, env: &Env, pressure: Pressure) -> Vec<(BatchKey, bool)> {
        let max_bytes = env.plan.object_lines * LINE_BYTES;
        let rule = DueRule { max_bytes, max_age: MAX_AGE, align_minute: None };
        let now = Now {
            wall: process.wall(env),
            monotonic: env.monotonic(),
            behind: if self.at_end { Duration::ZERO } else { Duration::from_secs(20) },
        };
        let mut due = Vec::new();
        // Each record is a segment here.
        let oldest = self.cache.firsts().map(|(_, position)| position).min();
        let end = oldest.map(|oldest| before(offset_of(oldest) + 1));
        let pinning = share::pinning(self.cache.firsts(), end);
        for batch in self.cache.batches() {
            let mut frames = self.cache.unsealed(batch, &self.state).peekable();
            let Some(first) = frames.peek() else { continue };
            if self.state.calls.location(&batch.source, first.position).is_none() {
                continue;
            }
            let first_received_at = first.received_at;
            let deadline = *self
                .deadlines
                .entry(batch.clone())
                .or_insert_with(|| rule.deadline(first_received_at, &now));
            let bytes = frames.map(|frame| frame.line().len() as u64 + 1).sum();
            let reason = rule.decide(batch.day, deadline, bytes, &now);
            let pins = pressure >= Pressure::Pinned && pinning.contains(batch);
            if reason.is_some() || pins || env.healed && self.at_end {
                due.push((batch.clone(), env.healed));
            }
        }
        due
    }
}
