//! What is outside of all processes: brokers, store, time, and what goes wrong.

use std::collections::BTreeMap;
use std::time::Duration;

use forebay::object::{BucketString, Encryption, S3Location};
use forebay::partition::answer::TransactionError;
use forebay::partition::group::Metadata;
use forebay::partition::growth::{self, Next, Topics};
use forebay::partition::note::Note;
use forebay::partition::state::{Identity, State};
use forebay::sources::SourceId;
use forebay::time::UnixMillis;

use super::log_topic::LogPartition;
use super::notes_topic::{Notes, NotesTopic};
use super::plan::Plan;
use super::store::{Object, PutError, SimStore};
use crate::support::dice::Dice;
use crate::support::trace::Trace;

/// What is applied later, although its caller was told that it is unknown.
#[derive(Clone, Debug)]
enum Delayed {
    Produce(u32, Vec<u8>),
    Commit(u32, u64),
    Put(Box<Object>),
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Done,
    AnswerLost,
    NotDone,
    Late,
    Retriable,
}

/// The outside.
#[derive(Debug)]
pub(super) struct Env {
    pub(super) plan: Plan,
    pub(super) dice: Dice,
    pub(super) trace: Trace,
    /// The true time, and that of brokers, in milliseconds.
    pub(super) now: i64,
    pub(super) healed: bool,
    pub(super) log: Vec<LogPartition>,
    pub(super) notes: NotesTopic,
    /// Offset and metadata that the last member committed.
    pub(super) group: BTreeMap<u32, (u64, Metadata)>,
    pub(super) store: SimStore,
    /// All configurations that ever were: how often the bucket of each source has changed.
    configs: Vec<BTreeMap<String, u32>>,
    delayed: Vec<(i64, Delayed)>,
    /// Terms that began after the world was healed, by partition.
    pub(super) terms_after: BTreeMap<u32, u64>,
    /// What no process may do.
    pub(super) wrong: Option<String>,
    ids: u64,
}

/// One minute before a midnight.
pub(super) const BEGIN: i64 = 20_000 * forebay::time::DAY_MS - 60_000;
/// The name of all writers.
pub(super) const NAME: &str = "events";
pub(super) const GROUP: &str = "forebay";
/// The sources of a world with as many.
pub(super) const SOURCES: [&str; 3] = ["web", "ios", "shop"];

impl Env {
    pub(super) fn new(plan: Plan, dice: Dice, trace: Trace) -> Self {
        let mut env = Self {
            log: Vec::new(),
            plan,
            dice,
            trace,
            now: BEGIN,
            healed: false,
            notes: NotesTopic::default(),
            group: BTreeMap::new(),
            store: SimStore::default(),
            configs: vec![BTreeMap::new()],
            delayed: Vec::new(),
            terms_after: BTreeMap::new(),
            wrong: None,
            ids: 0,
        };
        while env.grow(env.plan.partitions) {}
        env
    }

    /// Takes the next step to so many partitions. Returns `false` once there are so many.
    pub(super) fn grow(&mut self, wanted: u32) -> bool {
        let has_snapshot = |(_, notes): &(&u32, &Notes)| notes.history().next().is_some();
        let has_records = |(_, log): &(u32, &LogPartition)| log.end() > 0;
        let topics = Topics {
            log: self.partitions(),
            notes: u32::try_from(self.notes.0.len()).unwrap(),
            snapshots: self.notes.0.iter().filter(has_snapshot).map(|(partition, _)| *partition).collect(),
            with_records: (0..).zip(&self.log).filter(has_records).map(|(partition, _)| partition).collect(),
        };
        let now = self.now;
        match growth::next(&topics, wanted).unwrap() {
            Next::GrowNotes(to) => (topics.notes..to).for_each(|partition| {
                self.notes.0.entry(partition).or_default();
            }),
            Next::Snapshot(partition) => {
                let mut state = State::new(self.identity(partition));
                let first: Vec<Vec<u8>> =
                    state.snapshot(UnixMillis(0)).unwrap().iter().map(Note::encode).collect();
                let notes = self.notes.0.get_mut(&partition).unwrap();
                let epoch = notes.init(now);
                notes.send(epoch, &first, now).unwrap();
                notes.commit(epoch, now, 0).unwrap();
            }
            Next::GrowLog(to) => self.log.resize(to as usize, LogPartition::default()),
            Next::Done => return false,
        }
        true
    }

    /// Partitions of the log.
    pub(super) fn partitions(&self) -> u32 {
        u32::try_from(self.log.len()).unwrap()
    }

    /// A person changes the bucket of a source.
    pub(super) fn moves(&mut self, source: &str) {
        let mut config = self.configs[self.newest_config()].clone();
        *config.entry(source.to_owned()).or_default() += 1;
        self.configs.push(config);
    }

    /// The number of the configuration as it is now.
    pub(super) fn newest_config(&self) -> usize {
        self.configs.len() - 1
    }

    /// Where the objects of each source go, by a configuration.
    pub(super) fn destinations(&self, config: usize) -> Vec<(SourceId, S3Location)> {
        let sources = SOURCES.into_iter().take(self.plan.spread.len());
        let destination = |name: &str| {
            let bucket = match self.configs[config].get(name) {
                // Back and forth.
                Some(moved) if moved % 3 > 0 => format!("{name}-{}", moved % 3),
                _ => name.to_owned(),
            };
            S3Location::new(BucketString::parse(&bucket).unwrap(), Encryption::SseS3)
        };
        sources.map(|name| (SourceId::new(name).unwrap(), destination(name))).collect()
    }

    pub(super) fn identity(&self, partition: u32) -> Identity {
        Identity {
            name: NAME.into(),
            group: GROUP.into(),
            log_id: "000102030405060708090a0b0c0d0e0f".into(),
            partition,
            window: self.plan.window,
        }
    }

    /// A number that no other has.
    pub(super) fn id(&mut self) -> u64 {
        self.ids += 1;
        self.ids
    }

    pub(super) fn note(&self, what: &str, numbers: &[u64]) {
        self.trace.note(what, "", numbers);
    }

    pub(super) fn is_wrong(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }

    pub(super) fn chance(&mut self, per_mille: u64) -> bool {
        self.dice.chance(per_mille)
    }

    /// Whether something goes wrong now.
    pub(super) fn fails(&mut self) -> bool {
        let faults = self.plan.faults;
        !self.healed && self.chance(faults)
    }

    fn fate(&mut self) -> Fate {
        if !self.fails() {
            return Fate::Done;
        }
        let fates = [Fate::AnswerLost, Fate::AnswerLost, Fate::NotDone, Fate::Late, Fate::Retriable];
        let fate = self.dice.of(&fates);
        self.trace.count(match fate {
            Fate::Done | Fate::Retriable => "calls that are repeated",
            Fate::AnswerLost => "answers lost",
            Fate::NotDone => "calls that did nothing",
            Fate::Late => "calls that do something later",
        });
        fate
    }

    fn later(&mut self, what: Delayed) {
        let at = self.now + i64::try_from(self.dice.log(60_000)).unwrap();
        self.delayed.push((at, what));
    }

    /// The monotonic clock of every process.
    pub(super) fn monotonic(&self) -> Duration {
        Duration::from_millis(u64::try_from(self.now).unwrap())
    }

    /// Lets time pass, and applies what was late.
    pub(super) fn pass(&mut self, ms: i64) {
        self.now += ms;
        let now = self.now;
        let due: Vec<Delayed> =
            self.delayed.extract_if(.., |(at, _)| *at <= now).map(|(_, what)| what).collect();
        for what in due {
            match what {
                Delayed::Produce(partition, value) => {
                    self.note("a late record", &[u64::from(partition)]);
                    self.log[partition as usize].append(Some(value));
                }
                Delayed::Commit(partition, epoch) => {
                    let committed = self.notes.0.get_mut(&partition).unwrap().commit(epoch, now, 0);
                    if committed.is_err() {
                        self.trace.count("late commits refused");
                    }
                    self.note("a late commit", &[u64::from(partition), epoch, u64::from(committed.is_ok())]);
                }
                Delayed::Put(object) => {
                    let stored = self.store.put(*object).is_ok();
                    if stored {
                        self.trace.count("late puts stored");
                    }
                    self.note("a late put", &[u64::from(stored)]);
                }
            }
        }
        self.notes.0.values_mut().for_each(|notes| notes.time_out(now));
    }

    /// Applies everything that is late.
    pub(super) fn all_arrives(&mut self) {
        self.delayed.iter_mut().for_each(|(at, _)| *at = 0);
        self.pass(0);
    }

    pub(super) fn take_id(&mut self, partition: u32) -> Result<u64, TransactionError> {
        let (fate, now) = (self.fate(), self.now);
        let mut init = || self.notes.0.get_mut(&partition).unwrap().init(now);
        match fate {
            Fate::Done => Ok(init()),
            Fate::AnswerLost => {
                init();
                Err(TransactionError::Unknown)
            }
            Fate::NotDone | Fate::Late => Err(TransactionError::Unknown),
            Fate::Retriable => Err(TransactionError::Retriable),
        }
    }

    pub(super) fn send(
        &mut self,
        partition: u32,
        epoch: u64,
        notes: &[Note],
    ) -> Result<Vec<u64>, TransactionError> {
        let (fate, now) = (self.fate(), self.now);
        let values: Vec<Vec<u8>> = notes.iter().map(Note::encode).collect();
        for value in &values {
            self.trace.note("sends", &String::from_utf8_lossy(value), &[u64::from(partition), epoch]);
        }
        let mut send = || self.notes.0.get_mut(&partition).unwrap().send(epoch, &values, now);
        match fate {
            Fate::Done => send(),
            Fate::AnswerLost | Fate::Late => send().and(Err(TransactionError::Unknown)),
            Fate::NotDone => Err(TransactionError::Unknown),
            Fate::Retriable => Err(TransactionError::Retriable),
        }
    }

    pub(super) fn commit(&mut self, partition: u32, epoch: u64) -> Result<(), TransactionError> {
        let (fate, now) = (self.fate(), self.now);
        let trails = if !self.healed && self.chance(200) { self.dice.log(8_000) } else { 0 };
        let trails = i64::try_from(trails).unwrap();
        let owned = self.notes.0[&partition].is_owned_by(epoch);
        if !owned {
            self.trace.count("commits of an owner that another one follows");
        }
        let mut commit = || self.notes.0.get_mut(&partition).unwrap().commit(epoch, now, trails);
        if trails > 0 {
            self.trace.count("commits that readers see later");
        }
        match fate {
            Fate::Done => commit(),
            Fate::AnswerLost => commit().and(Err(TransactionError::Unknown)),
            Fate::NotDone => Err(TransactionError::Unknown),
            Fate::Late => {
                self.later(Delayed::Commit(partition, epoch));
                Err(TransactionError::Unknown)
            }
            Fate::Retriable => Err(TransactionError::Retriable),
        }
    }

    /// A record of a producer. `Err`: the report is an error.
    pub(super) fn produce(&mut self, partition: u32, value: Vec<u8>) -> Result<u64, ()> {
        let fate = self.fate();
        let log = &mut self.log[partition as usize];
        match fate {
            Fate::Done | Fate::Retriable => Ok(log.append(Some(value))),
            Fate::AnswerLost => {
                log.append(Some(value));
                Err(())
            }
            Fate::NotDone => Err(()),
            Fate::Late => {
                self.later(Delayed::Produce(partition, value));
                Err(())
            }
        }
    }

    /// The idempotent producer writes a record again.
    pub(super) fn produce_again(&mut self, partition: u32, value: Vec<u8>) {
        let offset = self.log[partition as usize].append(Some(value));
        self.note("a second copy", &[u64::from(partition), offset]);
    }

    /// A copy that is written although its producer is gone.
    pub(super) fn produce_late(&mut self, partition: u32, value: Vec<u8>) {
        self.later(Delayed::Produce(partition, value));
    }

    pub(super) fn put(&mut self, object: Object) -> Result<(), PutError> {
        let (key, size) = (object.seal.object_key.as_str().to_owned(), object.lines.len() as u64);
        let put = self.put_now(object);
        self.trace.note("puts", &key, &[size, u64::from(put.is_ok())]);
        put
    }

    fn put_now(&mut self, object: Object) -> Result<(), PutError> {
        if self.store.refuses.contains(object.seal.batch.source.as_str()) {
            return Err(PutError::Refused);
        }
        match self.fate() {
            Fate::Done => self.store.put(object),
            Fate::AnswerLost => self.store.put(object).and(Err(PutError::Unknown)),
            Fate::NotDone | Fate::Retriable => Err(PutError::Unknown),
            Fate::Late => {
                self.later(Delayed::Put(Box::new(object)));
                Err(PutError::Unknown)
            }
        }
    }
}
