//! A writer's work on one partition: how a term begins and ends. What it does while it lasts is in `live`.

use forebay::partition::answer::{TransactionError, may_begin};
use forebay::partition::note::{Note, TermNote};
use forebay::partition::opening::{Found, Next, Opening, Stop, Who};
use forebay::time::UnixMillis;

use super::cache::Cache;
use super::env::{Env, GROUP, NAME};
use super::live::{Live, Step};
use super::log_topic::{Consumer, Fetched};

/// One writer's work on one partition.
#[derive(Debug)]
pub(super) struct Owner {
    partition: u32,
    pub(super) stage: Stage,
    /// The cache of this process, and the token of the term in which it was filled.
    kept: Option<(String, Cache)>,
}

/// How far a term is.
#[derive(Debug)]
pub(super) enum Stage {
    /// None has begun.
    None,
    Opening {
        opening: Box<Opening>,
        token: String,
        epoch: u64,
        wait_until: i64,
    },
    Live(Box<Live>),
    /// Its last note is being committed.
    Stopping {
        stop: Stop,
        epoch: u64,
    },
    Stopped(Stop),
}

/// What a process has of its own: a clock, and the configuration that it read last.
#[derive(Clone, Copy, Debug)]
pub(super) struct Process {
    /// How far it is off, in milliseconds.
    pub(super) skew: i64,
    /// A step of the wall clock since the process began.
    pub(super) stepped: i64,
    /// The number of the configuration.
    pub(super) config: usize,
}

impl Process {
    /// What its clock says.
    pub(super) fn wall(self, env: &Env) -> UnixMillis {
        UnixMillis(env.now + self.skew + self.stepped)
    }
}

impl Owner {
    pub(super) fn new(partition: u32) -> Self {
        Self { partition, stage: Stage::None, kept: None }
    }

    pub(super) fn is_idle(&self, env: &Env) -> bool {
        match &self.stage {
            Stage::Live(live) => live.is_idle(env),
            Stage::Stopped(_) => true,
            Stage::None | Stage::Opening { .. } | Stage::Stopping { .. } => false,
        }
    }

    pub(super) fn has_closed_all(&self) -> bool {
        match &self.stage {
            Stage::Live(live) => live.has_closed_all(),
            Stage::Stopped(_) => true,
            Stage::None | Stage::Opening { .. } | Stage::Stopping { .. } => false,
        }
    }

    /// One step. Every call of a broker or the store is one.
    pub(super) fn step(&mut self, is_assigned: bool, process: Process, env: &mut Env) {
        match std::mem::replace(&mut self.stage, Stage::None) {
            Stage::None => self.begin(is_assigned, env),
            Stage::Opening { opening, token, epoch, wait_until } => {
                self.stage = Stage::Opening { opening, token, epoch, wait_until };
                self.open(env);
            }
            Stage::Live(mut live) => match live.step(process, env) {
                Step::GoesOn => self.stage = Stage::Live(live),
                Step::TermOver { keeps_cache } => {
                    env.note("a term is over", &[u64::from(self.partition)]);
                    self.kept = keeps_cache.then_some((live.token, live.cache));
                }
                Step::Stopped(stop) => self.stage = Stage::Stopping { stop, epoch: live.epoch },
            },
            Stage::Stopping { stop, epoch } => self.stop(stop, epoch, env),
            stage @ Stage::Stopped(_) => self.stage = stage,
        }
    }

    fn begin(&mut self, is_assigned: bool, env: &mut Env) {
        if !may_begin(is_assigned) {
            return;
        }
        let token = format!("{:016x}", env.dice.next());
        let term = TermNote { token: token.clone(), version: "test".into(), host: "test".into() };
        let who = Who { name: NAME.into(), group: GROUP.into(), term };
        let metadata = env.group.get(&self.partition).map(|(_, metadata)| metadata.clone());
        let opening = Box::new(Opening::new(who, metadata));
        self.stage = Stage::Opening { opening, token, epoch: 0, wait_until: 0 };
    }

    fn open(&mut self, env: &mut Env) {
        let Stage::Opening { opening, epoch, wait_until, .. } = &mut self.stage else { return };
        if env.now < *wait_until {
            return;
        }
        let partition = self.partition;
        match opening.next().clone() {
            Next::ReadNotes(from) => {
                let (mut records, mut end) = env.notes.0[&partition].read(from, env.now);
                // A fetch returns a part of them.
                if records.len() > 3 && !env.healed {
                    records.truncate(1 + env.dice.index(records.len()));
                    end = records.last().unwrap().0 + 1;
                }
                if records.is_empty() {
                    *wait_until = env.now + 500;
                }
                opening.read(&records, end, env.monotonic());
            }
            Next::AskNotesEnd => {
                let notes = &env.notes.0[&partition];
                let (_, stable) = notes.read(None, env.now);
                opening.notes_end(stable, notes.next_offset(), env.monotonic());
            }
            Next::Take(_) => {
                let taken = env.take_id(partition);
                *epoch = taken.unwrap_or(0);
                opening.taken(taken.map(|_| ()), true);
                if env.healed {
                    *env.terms_after.entry(partition).or_default() += 1;
                }
                env.note("a term begins", &[u64::from(partition), *epoch]);
            }
            Next::CommitTerm(term) => {
                let sent = env.send(partition, *epoch, &[Note::Term(term)]);
                let answer = sent.as_ref().map_or_else(
                    |error| Err(*error),
                    |_| {
                        match env.commit(partition, *epoch) {
                            // The call is repeated, not the record.
                            Err(TransactionError::Retriable) => env.commit(partition, *epoch),
                            answer => answer,
                        }
                    },
                );
                let may_repeat = sent == Err(TransactionError::Retriable);
                let offset = sent.ok().and_then(|offsets| offsets.first().copied());
                opening.committed(offset, answer, may_repeat);
            }
            Next::ReadLog(offset) => {
                let found = offset.map(|offset| block_at(env, partition, offset));
                opening.log_read(found, env.log[partition as usize].end());
            }
            Next::Begun => self.begun(env),
            Next::Over => self.stage = Stage::None,
            Next::Stopped(stop) => {
                env.note(&format!("stops: {stop}"), &[u64::from(partition)]);
                self.stage = Stage::Stopping { stop, epoch: *epoch };
            }
        }
        if let Stage::Opening { token, .. } = &self.stage {
            env.note(token, &[]);
        }
    }

    /// Commits what later owners must know. Whatever the answer is, the partition stops.
    fn stop(&mut self, stop: Stop, epoch: u64, env: &mut Env) {
        if let Some(note) = stop.note()
            && env.send(self.partition, epoch, &[note]).is_ok()
        {
            let committed = env.commit(self.partition, epoch).is_ok();
            env.note("its last note", &[u64::from(self.partition), u64::from(committed)]);
        }
        self.stage = Stage::Stopped(stop);
    }

    fn begun(&mut self, env: &mut Env) {
        let Stage::Opening { opening, token, epoch, .. } = std::mem::replace(&mut self.stage, Stage::None)
        else {
            return;
        };
        let kept = self.kept.take().filter(|(earlier, _)| opening.keeps_cache_of(earlier));
        let state = opening.into_state().unwrap();
        env.trace.count(if kept.is_some() { "caches kept" } else { "caches begun" });
        if kept.is_none() && state.base.window_from > 0 {
            env.trace.count("caches begun in the middle of the log");
        }
        if state.calls.days_over.is_some() {
            env.trace.count(if kept.is_some() {
                "caches kept after a day"
            } else {
                "caches begun after a day"
            });
        }
        let cache = match kept {
            Some((_, cache)) => cache.goes_on(&state),
            None => Cache::new(&state),
        };
        self.stage = Stage::Live(Box::new(Live::new(self.partition, token, epoch, state, cache)));
    }
}

fn block_at(env: &Env, partition: u32, offset: u64) -> Found {
    let log = &env.log[partition as usize];
    if offset < log.start {
        return Found::BeforeStart;
    }
    match log.fetch(offset, &mut Consumer::default()) {
        Fetched::Record(at, value) if at == offset => Found::of_record(offset, &value),
        Fetched::Record(..) => Found::Record(None),
        Fetched::End | Fetched::OutOfRange => Found::AfterEnd,
    }
}
