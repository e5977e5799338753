//! Makes the topics of a log, or gives them more partitions, and writes the first notes of each partition.
//!
//! The work is a number of steps. It can end after each of them, or within one, and begin again: what to do next
//! is decided by what the brokers have ([`growth`]).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};

use super::answers::{self, is_denied};
use super::first_notes::{self, FirstNotes, NotesError};
use super::group::Offsets;
use super::lock::Lock;
use super::records::{Fetched, NotRead, Records};
use super::settings::{NoClient, Sees, Settings};
use super::topics::{TopicError, Topics};
use crate::partition::answer::TransactionError;
use crate::partition::group::Metadata;
use crate::partition::growth::{self, CannotGrow, Next};
use crate::partition::note::Note;
use crate::partition::state::{Identity, State};
use crate::partition::topics::{Difference, Standing, Topic, delete_notes, judge};
use crate::partition::window::WINDOW_FRAMES;
use crate::random::Random;
use crate::time::{Clock, UnixMillis};

/// How long one read of notes waits.
const READ: Duration = Duration::from_millis(500);
/// Reads in vain, at most: a minute. A transaction that hangs holds readers.
const LOOKS: u32 = 120;
/// Calls that can be repeated are, so many times.
const REPEATS: usize = 12;

/// What topics are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Partitions of each topic, from 1.
    pub partitions: u32,
    /// Copies of each partition of a topic that is made, from 1.
    pub replication: u16,
    /// Whether the log gets a new id if its notes are gone.
    pub new_log: bool,
}

/// What the work needs besides.
#[derive(Clone, Debug)]
pub struct CreateDeps {
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// Where the log id comes from.
    pub random: Arc<dyn Random>,
}

/// What was done last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A topic was made.
    Made {
        /// Its name.
        topic: String,
        /// Its partitions.
        partitions: u32,
    },
    /// A topic has more partitions.
    Grown {
        /// Its name.
        topic: String,
        /// The partitions that it has now.
        partitions: u32,
    },
    /// The first notes of a partition were written.
    FirstNotes {
        /// The partition.
        partition: u32,
        /// How many partitions there are to be.
        of: u32,
    },
    /// The group of the writers has the log id, for collectors.
    LogIdTold,
}

/// What came of all steps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The log id.
    pub log_id: String,
    /// Partitions of each topic.
    pub partitions: u32,
    /// Settings of topics that were there before and differ from what is promised.
    pub differences: Vec<Difference>,
}

/// What came of writing first notes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Created {
    /// The first snapshot was written.
    Written,
    /// The partition has notes already. Nothing was written.
    HasNotes,
}

/// Why topics or first notes were not made. What was done before stays, and the command can be run again.
#[derive(Debug, thiserror::Error)]
pub enum NotCreated {
    /// A client could not be made.
    #[error(transparent)]
    NoClient(#[from] NoClient),
    /// A topic could not be asked for or changed.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The notes could not be read.
    #[error(transparent)]
    Notes(#[from] NotesError),
    /// One partition of the notes could not be read.
    #[error(transparent)]
    NotRead(#[from] NotRead),
    /// The first notes cannot be written as JSON.
    #[error("the first notes of a partition cannot be written")]
    Unwritable(#[from] serde_json::Error),
    /// Partitions cannot be taken away.
    #[error("the topics have {has} partitions, and Kafka takes none away: give --partitions {has} or more")]
    Fewer {
        /// The most that one of the topics has.
        has: u32,
    },
    /// Notes are gone.
    #[error(
        "partition {partition} of {topic} has no first notes, and its log has records: either the notes were lost, or \
         collectors started before this command. Nothing was changed. With --new-log the log gets a new id, and all \
         calls that it still has are stored again, in objects with new names; stop the writers first"
    )]
    NotesGone {
        /// The first such partition.
        partition: u32,
        /// The topic of the notes.
        topic: String,
    },
    /// A new log was asked for, and there are notes of the old one.
    #[error(
        "--new-log is for a log whose notes are gone, and partition {partition} has, or had, notes that writers have used. \
         Nothing was changed. To give up these notes too, stop the writers, delete the topic (`{delete}`), and run the \
         command again: all calls that the log still has are stored again"
    )]
    HasNotes {
        /// The first partition with notes.
        partition: u32,
        /// The command that deletes the topic.
        delete: String,
    },
    /// The notes belong to another name or group, or partitions differ.
    #[error(
        "the notes of partition {partition} belong to kafka.name {name:?}, kafka.group {group:?} and log id {log_id}: use \
         the names with which the topics were made, or other topics"
    )]
    OtherLog {
        /// The partition.
        partition: u32,
        /// The name in its first notes.
        name: String,
        /// The group there.
        group: String,
        /// The log id there.
        log_id: String,
    },
    /// The brokers refused the transaction, or did not answer.
    #[error("write the first notes of partition {partition} of {topic}; run the command again")]
    NotNoted {
        /// The topic of the notes.
        topic: String,
        /// The partition.
        partition: u32,
        /// What the answer means.
        #[source]
        cause: TransactionError,
    },
    /// The group does not take the log id.
    #[error("tell the group {group} the log id, without which there are no receipts; run the command again")]
    NotTold {
        /// The group.
        group: String,
        /// What the library says.
        #[source]
        cause: KafkaError,
    },
}

/// The work on its way: what the brokers have, and what is wanted.
#[derive(Debug)]
pub struct Creating {
    settings: Settings,
    wanted: Wanted,
    deps: CreateDeps,
    topics: Topics,
    has: growth::Topics,
    log_id: LogId,
    is_told: bool,
    /// Whether nobody has the lock of an earlier log any more.
    is_alone: bool,
    /// Topics that were there before.
    before: Vec<Topic>,
}

/// The id of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
enum LogId {
    /// Notes have it.
    Noted(String),
    /// It was made now, and no note has it yet.
    New(String),
}

impl LogId {
    fn as_str(&self) -> &str {
        match self {
            Self::Noted(id) | Self::New(id) => id,
        }
    }
}

/// Does all steps, and calls `after` after each.
/// Errors: [`NotCreated`].
pub fn create(
    settings: &Settings,
    wanted: Wanted,
    deps: CreateDeps,
    after: &mut dyn FnMut(&Step),
) -> Result<Outcome, NotCreated> {
    let mut creating = Creating::begin(settings, wanted, deps)?;
    while let Some(step) = creating.step()? {
        after(&step);
    }
    creating.outcome()
}

impl Creating {
    /// Looks what there is. Nothing is changed.
    /// Errors: [`NotCreated`].
    pub fn begin(settings: &Settings, wanted: Wanted, deps: CreateDeps) -> Result<Self, NotCreated> {
        let topics = Topics::new(settings, &deps.clock)?;
        let (mut has, mut before) = (growth::Topics::default(), Vec::new());
        for topic in Topic::ALL {
            let found = topics.describe(topic.name(&settings.names()))?;
            before.extend(found.as_ref().map(|_| topic));
            let partitions = found.map_or(0, |found| found.partitions);
            match topic {
                Topic::Log => has.log = partitions,
                Topic::Notes => has.notes = partitions,
            }
        }
        let log_id = LogId::New(new_log_id(&*deps.random));
        let mut creating = Self {
            settings: settings.clone(),
            wanted,
            deps,
            topics,
            has,
            log_id,
            is_told: false,
            is_alone: false,
            before,
        };
        creating.look()?;
        // What cannot be done is said before anything is changed.
        creating.next()?;
        Ok(creating)
    }

    /// Does the next step. `None`: there is none.
    /// Errors: [`NotCreated`].
    pub fn step(&mut self) -> Result<Option<Step>, NotCreated> {
        if !self.is_alone {
            self.takes_from_earlier_logs()?;
            self.is_alone = true;
        }
        let mut had_notes = None;
        loop {
            let partitions = self.wanted.partitions;
            return Ok(Some(match self.next()? {
                Next::GrowNotes(to) => self.grows(Topic::Notes, to)?,
                Next::GrowLog(to) => self.grows(Topic::Log, to)?,
                Next::Snapshot(partition) => match self.first_notes(partition)? {
                    Created::Written => Step::FirstNotes { partition, of: partitions },
                    // They are not the first ones: a process of an earlier log wrote them.
                    Created::HasNotes if had_notes == Some(partition) => {
                        let delete = delete_notes(&self.settings.names());
                        return Err(NotCreated::HasNotes { partition, delete });
                    }
                    // Somebody else runs the command.
                    Created::HasNotes => {
                        had_notes = Some(partition);
                        self.look()?;
                        continue;
                    }
                },
                Next::Done if self.is_told => return Ok(None),
                Next::Done => {
                    self.is_told = true;
                    match self.tell()? {
                        true => Step::LogIdTold,
                        false => return Ok(None),
                    }
                }
            }));
        }
    }

    /// What came of it.
    /// Errors: [`NotCreated`].
    pub fn outcome(&self) -> Result<Outcome, NotCreated> {
        let mut differences = Vec::new();
        for topic in &self.before {
            // Without the right to see settings, `forebay kafka check` says that they are not known.
            let name = topic.name(&self.settings.names()).to_owned();
            let reported = self.topics.reported(&name).unwrap_or_else(|error| {
                tracing::debug!(%error, "the settings of a topic are not known");
                BTreeMap::new()
            });
            let copies = self.topics.describe(&name)?.map_or(self.wanted.replication, |of| of.replication);
            let all = judge(*topic, copies.min(self.wanted.replication), &reported);
            differences.extend(all.into_iter().filter_map(|(_, standing)| match standing {
                Standing::Wrong(difference) => Some(difference),
                Standing::Right(_) | Standing::NotReported => None,
            }));
        }
        let log_id = self.log_id.as_str().to_owned();
        Ok(Outcome { log_id, partitions: self.wanted.partitions, differences })
    }

    fn next(&self) -> Result<Next, NotCreated> {
        growth::next(&self.has, self.wanted.partitions).map_err(|cannot| match cannot {
            CannotGrow::Fewer(has) => NotCreated::Fewer { has },
            CannotGrow::NotesGone(partition) => {
                NotCreated::NotesGone { partition, topic: self.settings.notes_topic.clone() }
            }
        })
    }

    /// Looks which partitions have notes, and which log they are of.
    fn look(&mut self) -> Result<(), NotCreated> {
        let (settings, clock) = (&self.settings, &self.deps.clock);
        let found = first_notes::read(settings, self.has.notes, clock)?;
        if let Some(Identity { name, group, log_id, partition, .. }) =
            first_notes::of_another_log(settings, &found)
        {
            return Err(NotCreated::OtherLog { partition, name, group, log_id });
        }
        if let Some((_, first)) = found.first_key_value() {
            self.log_id = LogId::Noted(first.identity.log_id.clone());
        }
        self.has.snapshots = found.keys().copied().collect();
        let of_log = first_notes::bounds(settings, &settings.topic, 0..self.has.log, clock)?;
        let without = (0..self.has.notes).filter(|partition| !found.contains_key(partition));
        let of_notes = first_notes::bounds(settings, &settings.notes_topic, without, clock)?;
        let never_owned = self.never_owned(&found, &of_notes)?;
        // Partitions that the notes do not have yet lost none: the log was grown before them, or with them by other tools.
        let had_notes = |partition: &u32| {
            found.is_empty() || (*partition < self.has.notes && !never_owned.contains(partition))
        };
        let written = of_log.into_iter().filter(|(_, (_, end))| *end > 0).map(|(partition, _)| partition);
        let written = written.filter(had_notes);
        // Notes that were deleted were notes too.
        let deleted = of_notes.into_iter().filter(|(_, (start, _))| *start > 0);
        let deleted: BTreeSet<u32> = deleted.map(|(partition, _)| partition).collect();
        self.has.with_records = written.chain(deleted.iter().copied()).collect();
        let is_gone = self.has.with_records.iter().any(|partition| !found.contains_key(partition));
        if self.wanted.new_log && is_gone {
            // Notes that no owner has used have named no object: an earlier run was interrupted.
            let used = found.iter().find(|(_, first)| first.is_used).map(|(partition, _)| *partition);
            // And behind what was deleted no first snapshot would be found.
            if let Some(partition) = used.or_else(|| deleted.first().copied()) {
                let delete = delete_notes(&settings.names());
                return Err(NotCreated::HasNotes { partition, delete });
            }
            self.has.with_records.clear();
        }
        Ok(())
    }

    /// Partitions that never had a note, by all that is known: other tools added them behind those that have notes, nothing was
    /// deleted of their notes, and the group, which remembers the owners of others, knows no owner of them.
    fn never_owned(
        &self,
        found: &BTreeMap<u32, FirstNotes>,
        of_notes: &BTreeMap<u32, (u64, u64)>,
    ) -> Result<BTreeSet<u32>, NotCreated> {
        let Some(last) = found.keys().last() else { return Ok(BTreeSet::new()) };
        let is_added = |(partition, (start, _)): &(&u32, &(u64, u64))| *partition > last && *start == 0;
        let added: BTreeSet<u32> =
            of_notes.iter().filter(is_added).map(|(partition, _)| *partition).collect();
        if added.is_empty() {
            return Ok(added);
        }
        let told = Offsets::of_outsider(&self.settings)?.told_of(0..self.has.log)?;
        let is_owned = |metadata: &Metadata| {
            metadata.log_id == self.log_id.as_str()
                && (metadata.owner.is_some() || metadata.base_at.is_some())
        };
        let owned: BTreeSet<u32> =
            told.iter().filter(|(_, (_, metadata))| is_owned(metadata)).map(|(of, _)| *of).collect();
        // A group that remembers nobody proves nothing.
        Ok(if owned.is_empty() { owned } else { &added - &owned })
    }

    fn grows(&mut self, topic: Topic, to: u32) -> Result<Step, NotCreated> {
        let has = match topic {
            Topic::Log => &mut self.has.log,
            Topic::Notes => &mut self.has.notes,
        };
        let name = topic.name(&self.settings.names()).to_owned();
        let step = if *has == 0 {
            self.topics.make(topic, to, self.wanted.replication)?;
            Step::Made { topic: name, partitions: to }
        } else {
            self.topics.grow(topic, to)?;
            Step::Grown { topic: name, partitions: to }
        };
        *has = to;
        Ok(step)
    }

    fn first_notes(&mut self, partition: u32) -> Result<Created, NotCreated> {
        let identity = self.identity(self.log_id.as_str(), partition);
        let created = match &self.log_id {
            // No other process can know the partition's own lock yet, so it keeps nobody out.
            LogId::New(_) => {
                let id = format!("{}-create", self.settings.name);
                first_snapshot_under(&self.settings, &id, identity, &self.deps.clock)?
            }
            LogId::Noted(_) => first_snapshot(&self.settings, identity, &self.deps.clock)?,
        };
        if created == Created::Written {
            self.log_id = LogId::Noted(self.log_id.as_str().to_owned());
            self.has.snapshots.insert(partition);
        }
        Ok(created)
    }

    /// If a new log begins, takes the locks of all logs that the group remembers. A writer that was believed dead, and wakes,
    /// would write its notes of such a log among those of this one.
    fn takes_from_earlier_logs(&self) -> Result<(), NotCreated> {
        let begins = matches!(self.log_id, LogId::New(_)) && (self.wanted.new_log || self.has.notes == 0);
        if !begins || self.has.log == 0 {
            return Ok(());
        }
        let all = 0..self.has.log.max(self.has.notes).max(self.wanted.partitions);
        let told = Offsets::of_outsider(&self.settings)?.told_of(all.clone())?;
        let logs: BTreeSet<String> = told.into_values().map(|(_, metadata)| metadata.log_id).collect();
        for log_id in &logs {
            for partition in all.clone() {
                let id = self.identity(log_id, partition).transactional_id();
                let lock = Lock::new(&self.settings, &id, partition, Arc::clone(&self.deps.clock))?;
                repeated(|| lock.take()).map_err(not_noted(&self.settings, partition))?;
            }
        }
        Ok(())
    }

    fn identity(&self, log_id: &str, partition: u32) -> Identity {
        Identity {
            name: self.settings.name.clone(),
            group: self.settings.group.clone(),
            log_id: log_id.to_owned(),
            partition,
            window: WINDOW_FRAMES,
        }
    }

    /// Tells the group the log id, unless it knows it. Returns whether it was told.
    fn tell(&self) -> Result<bool, NotCreated> {
        let offsets = Offsets::of_outsider(&self.settings)?;
        let log_id = self.log_id.as_str();
        let told = offsets.told_of(0..self.wanted.partitions)?;
        let mut to_tell: BTreeMap<u32, (u64, Metadata)> = BTreeMap::new();
        let metadata = Metadata { log_id: log_id.to_owned(), ..Metadata::default() };
        if told.is_empty() {
            to_tell.insert(0, (0, metadata.clone()));
        }
        for (partition, (offset, known)) in &told {
            if known.log_id != log_id {
                to_tell.insert(*partition, (*offset, metadata.clone()));
            }
        }
        if to_tell.is_empty() {
            return Ok(false);
        }
        match offsets.tell(&to_tell) {
            Ok(()) => Ok(true),
            // The group has members: they tell it themselves.
            Err(error) if is_member_only(&error) => Ok(false),
            Err(cause) => Err(NotCreated::NotTold { group: self.settings.group.clone(), cause }),
        }
    }
}

fn new_log_id(random: &dyn Random) -> String {
    format!("{:032x}", random.next_u128())
}

fn is_member_only(error: &KafkaError) -> bool {
    let code = answers::code(error);
    matches!(code, Some(RDKafkaErrorCode::UnknownMemberId | RDKafkaErrorCode::IllegalGeneration))
}

/// Writes the first snapshot of a partition, under its lock, if its notes are empty. A partition that has notes is
/// left alone.
/// Errors: [`NotCreated`].
pub fn first_snapshot(
    settings: &Settings,
    identity: Identity,
    clock: &Arc<dyn Clock>,
) -> Result<Created, NotCreated> {
    let id = identity.transactional_id();
    first_snapshot_under(settings, &id, identity, clock)
}

fn first_snapshot_under(
    settings: &Settings,
    id: &str,
    identity: Identity,
    clock: &Arc<dyn Clock>,
) -> Result<Created, NotCreated> {
    let partition = identity.partition;
    let mut notes = Records::new(settings, &settings.notes_topic, partition, Sees::Committed)?;
    let patience = || Patience { looks: LOOKS, topic: &settings.notes_topic, partition };
    // To take the lock would end a term.
    if has_notes(&mut notes, &mut patience())? {
        return Ok(Created::HasNotes);
    }
    let lock = Lock::new(settings, id, partition, Arc::clone(clock))?;
    let failed = not_noted(settings, partition);
    repeated(|| lock.take()).map_err(&failed)?;
    let snapshot: Vec<Note> = State::new(identity).snapshot(UnixMillis(0))?;
    let written = lock.write(&snapshot).map_err(&failed)?;
    // What a process before has committed stands before these notes, and nothing of it can follow them. The end
    // that a reader sees trails, but it reaches an open transaction in the end.
    let own = written.first().map_or(0, |noted| noted.offset);
    if own > 0 {
        let mut patience = patience();
        while bounds(&notes, &mut patience)?.1 < own {
            patience.take()?;
            std::thread::sleep(READ);
        }
        if has_notes(&mut notes, &mut patience)? {
            repeated(|| lock.abort()).map_err(&failed)?;
            return Ok(Created::HasNotes);
        }
    }
    repeated(|| lock.commit()).map_err(failed)?;
    Ok(Created::Written)
}

fn not_noted(settings: &Settings, partition: u32) -> impl Fn(TransactionError) -> NotCreated {
    let topic = &settings.notes_topic;
    move |cause| NotCreated::NotNoted { topic: topic.clone(), partition, cause }
}

/// Whether a partition has committed notes, or had some that were deleted.
fn has_notes(notes: &mut Records, patience: &mut Patience<'_>) -> Result<bool, NotCreated> {
    let (start, end) = bounds(notes, patience)?;
    // Records that were deleted were notes too.
    if start > 0 || end == 0 {
        return Ok(start > 0);
    }
    notes.go_to(None)?;
    let client = notes.client();
    loop {
        match notes.fetch(&client, READ)? {
            Fetched::Record { .. } => return Ok(true),
            // Transactions that were aborted, and markers.
            Fetched::End => return Ok(false),
            Fetched::Nothing | Fetched::OutOfRange => patience.take()?,
        }
    }
}

/// The bounds of the notes, once their leader knows them: it may have been made, or moved, a moment ago.
fn bounds(notes: &Records, patience: &mut Patience<'_>) -> Result<(u64, u64), NotCreated> {
    loop {
        match notes.bounds() {
            Err(error) if !is_denied(&error.cause) && patience.take().is_ok() => std::thread::sleep(READ),
            answer => return Ok(answer?),
        }
    }
}

/// Looks in vain that are left.
struct Patience<'a> {
    looks: u32,
    topic: &'a str,
    partition: u32,
}

impl Patience<'_> {
    fn take(&mut self) -> Result<(), NotCreated> {
        self.looks = self
            .looks
            .checked_sub(1)
            .ok_or_else(|| NotesError::Nothing { topic: self.topic.to_owned(), partition: self.partition })?;
        Ok(())
    }
}

/// Calls that can be repeated are.
fn repeated(call: impl Fn() -> Result<(), TransactionError>) -> Result<(), TransactionError> {
    let answer = (0..REPEATS).find_map(|_| match call() {
        Err(TransactionError::Retriable) => None,
        answer => Some(answer),
    });
    answer.unwrap_or(Err(TransactionError::Retriable))
}
