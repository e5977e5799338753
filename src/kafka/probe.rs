//! Asks brokers for what a log needs, and tries each right. Nothing stays but an empty block, which owners pass by.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Message as _, Timestamp};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

use super::answers::{code, is_denied};
use super::first_notes::{self, NotesError};
use super::group::Offsets;
use super::records::{Fetched, NotRead, Records};
use super::settings::{Lines, NoClient, Reporting, Sees, Settings, TakesReports};
use super::topics::{TopicError, Topics};
use super::trim::{NotTrimmed, delete_notes_before};
use crate::lock::lock;
use crate::partition::block::{self, CollectorId};
use crate::partition::seen::{FirstNotesSeen, Seen, TopicSeen, Tried};
use crate::partition::topics::{On, Right, Topic, User, rights};
use crate::random::Random;
use crate::time::{Clock, UnixMillis};

/// How long one call waits.
const CALL: Duration = Duration::from_secs(10);
/// Time between two looks for a report.
const POLL: Duration = Duration::from_millis(10);
/// The topic in which Kafka keeps transactions.
const TRANSACTIONS: &str = "__transaction_state";
/// Why something is not tried.
const NO_TOPIC: &str = "the topic is not there";
const NOT_OF_COLLECTOR: &str = "a collector does not need it; check with the configuration of a writer";
const NOT_OF_WRITER: &str = "a writer does not need it; check with the configuration of a collector";

/// What the work needs besides.
#[derive(Clone, Debug)]
pub struct ProbeDeps {
    /// The clock that is compared.
    pub clock: Arc<dyn Clock>,
    /// Where the id of the empty block comes from.
    pub random: Arc<dyn Random>,
}

/// Asks and tries, with the rights of the settings. Waits for brokers; if they are away, for some minutes.
/// Errors: [`NoClient`]. What brokers refuse is in the result.
pub fn probe(settings: &Settings, user: User, deps: &ProbeDeps) -> Result<Seen, NoClient> {
    let topics = Topics::new(settings, &deps.clock)?;
    let names = settings.names();
    let all = Topic::ALL.map(|topic| (topic, described(&topics, topic.name(&names))));
    let of =
        |topic: Topic| all.iter().find(|(one, _)| *one == topic).and_then(|(_, seen)| seen.found()?.clone());
    let (log, notes) = (of(Topic::Log), of(Topic::Notes));
    let mut probe = Probe { settings, deps, clock: Tried::NotTried("no broker gave the time of a record") };
    let empty_block = match (user, &log) {
        (User::Writer, _) => Tried::NotTried(NOT_OF_WRITER),
        (User::Collector, None) => Tried::NotTried(NO_TOPIC),
        (User::Collector, Some(_)) => probe.empty_block(),
    };
    let (first_notes, transaction) = match (user, &notes) {
        (User::Collector, _) => (Tried::NotTried(NOT_OF_COLLECTOR), Tried::NotTried(NOT_OF_COLLECTOR)),
        (User::Writer, None) => (Tried::NotTried(NO_TOPIC), Tried::NotTried(NO_TOPIC)),
        (User::Writer, Some(notes)) => (probe.first_notes(notes.partitions), probe.transaction()),
    };
    let has_log_id = probe.has_log_id(log.as_ref().map_or(1, |log| log.partitions));
    let tried = TriedSoFar {
        log: log.as_ref(),
        notes: notes.as_ref(),
        empty_block: &empty_block,
        transaction: &transaction,
        has_log_id: &has_log_id,
        described: all.iter().find(|(topic, _)| *topic == Topic::Log).map(|(_, seen)| seen),
    };
    let mut of_user = Vec::new();
    for right in rights(user) {
        of_user.push((right, probe.right(right, &tried)));
    }
    Ok(Seen {
        user,
        transactions: described(&topics, TRANSACTIONS),
        topics: all.into_iter().collect(),
        first_notes,
        has_log_id,
        empty_block,
        transaction,
        rights: of_user,
        clock: probe.clock,
    })
}

fn described(topics: &Topics, name: &str) -> Tried<Option<TopicSeen>> {
    let found = match topics.describe(name) {
        Ok(found) => found,
        Err(error) => return of_topic(error),
    };
    Tried::Found(found.map(|found| TopicSeen {
        partitions: found.partitions,
        replication: found.replication,
        without_leader: found.without_leader,
        settings: topics.reported(name).map_or_else(of_topic, Tried::Found),
    }))
}

/// What is known before rights are tried one by one.
struct TriedSoFar<'a> {
    log: Option<&'a TopicSeen>,
    notes: Option<&'a TopicSeen>,
    empty_block: &'a Tried<()>,
    transaction: &'a Tried<()>,
    has_log_id: &'a Tried<bool>,
    described: Option<&'a Tried<Option<TopicSeen>>>,
}

struct Probe<'a> {
    settings: &'a Settings,
    deps: &'a ProbeDeps,
    clock: Tried<(i64, u64)>,
}

impl Probe<'_> {
    fn right(&mut self, right: Right, tried: &TriedSoFar<'_>) -> Tried<()> {
        let topic = match right.on {
            On::Log => tried.log,
            On::Notes => tried.notes,
            On::Group | On::Transactions => None,
        };
        match (right.on, right.operation) {
            (On::Log, "Describe") => match tried.described {
                Some(described) => described.clone().map(drop),
                None => Tried::NotTried(NO_TOPIC),
            },
            (On::Log | On::Notes, _) if topic.is_none() => Tried::NotTried(NO_TOPIC),
            (On::Log, "DescribeConfigs") => match topic {
                Some(topic) => topic.settings.clone().map(drop),
                None => Tried::NotTried(NO_TOPIC),
            },
            (On::Log, "Write") => tried.empty_block.clone(),
            (On::Log, _) => self.reads(&self.settings.topic, Sees::All),
            (On::Notes, "Read") => self.reads(&self.settings.notes_topic, Sees::Committed),
            (On::Notes, "Delete") => self.deletes(),
            (On::Notes, _) => self.writes_note(),
            (On::Group, "Describe") => tried.has_log_id.clone().map(drop),
            (On::Group, _) => self.commits(),
            (On::Transactions, _) => tried.transaction.clone(),
        }
    }

    /// Writes a block without requests. Owners take it as any other, and it has no frames.
    fn empty_block(&mut self) -> Tried<()> {
        let value = block::write(CollectorId(self.deps.random.next_u128()), 1, []);
        let topic = self.settings.topic.clone();
        let producer = match Sender::new(&self.settings.of_producer()) {
            Ok(producer) => producer,
            Err(cause) => return of(&cause),
        };
        let before = self.deps.clock.wall();
        let sent = producer.send(&topic, &value, &*self.deps.clock);
        self.compares(before, sent)
    }

    /// Takes a transactional id that no partition has.
    fn transaction(&self) -> Tried<()> {
        self.owner().map_or_else(|tried| tried, |_| Tried::Found(()))
    }

    /// A producer that has taken `<name>-check`.
    fn owner(&self) -> Result<Sender, Tried<()>> {
        let id = format!("{}-check", self.settings.name);
        let owner = Sender::new(&self.settings.of_owner(&id)).map_err(|cause| of(&cause))?;
        owner.producer.init_transactions(CALL * 2).map_err(|cause| of(&cause))?;
        Ok(owner)
    }

    /// Writes a note in a transaction that is aborted: nobody reads it.
    fn writes_note(&mut self) -> Tried<()> {
        let owner = match self.owner() {
            Ok(owner) => owner,
            Err(Tried::Denied) => return Tried::NotTried("without the rights on transactional ids"),
            Err(other) => return other,
        };
        if let Err(cause) = owner.producer.begin_transaction() {
            return of(&cause);
        }
        let before = self.deps.clock.wall();
        let sent = match owner.send(&self.settings.notes_topic, b"check", &*self.deps.clock) {
            // A transaction that lacks a right purges its records, or reports none; its next call says why.
            Err(
                cause @ (KafkaError::NoMessageReceived
                | KafkaError::MessageProduction(RDKafkaErrorCode::PurgeQueue)),
            ) => Err(self.adds_offset(&owner).err().unwrap_or(cause)),
            sent => sent,
        };
        let tried = self.compares(before, sent);
        match owner.producer.abort_transaction(CALL) {
            Err(cause) if tried == Tried::Found(()) => of(&cause),
            _ => tried,
        }
    }

    /// Adds an offset of the group to a transaction that is aborted.
    fn commits(&self) -> Tried<()> {
        let owner = match self.owner() {
            Ok(owner) => owner,
            Err(Tried::Denied) => return Tried::NotTried("without the rights on transactional ids"),
            Err(other) => return other,
        };
        let tried = owner.producer.begin_transaction().and_then(|()| {
            let added = self.adds_offset(&owner);
            let aborted = owner.producer.abort_transaction(CALL);
            added.and(aborted)
        });
        match tried {
            // Kafka asks for it, too.
            Err(cause) if code(&cause) == Some(RDKafkaErrorCode::TopicAuthorizationFailed) => {
                Tried::NotTried("without Read on the topic of the calls")
            }
            tried => tried.map_or_else(|cause| of(&cause), Tried::Found),
        }
    }

    fn adds_offset(&self, owner: &Sender) -> Result<(), KafkaError> {
        let reader: BaseConsumer<Lines> = self.settings.of_member(None).create_with_context(Lines)?;
        let group = reader.group_metadata().ok_or(KafkaError::Canceled)?;
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(&self.settings.topic, 0, Offset::Offset(0))?;
        owner.producer.send_offsets_to_transaction(&offsets, &group, CALL)
    }

    fn reads(&self, topic: &str, sees: Sees) -> Tried<()> {
        let reads = || -> Result<bool, Tried<()>> {
            let mut records =
                Records::new(self.settings, topic, 0, sees).map_err(|error| of(&error.cause))?;
            let not_read = |error: NotRead| of(&error.cause);
            records.go_to(None).map_err(not_read)?;
            let client = records.client();
            let found = records.fetch(&client, CALL).map_err(not_read)?;
            Ok(!matches!(found, Fetched::Nothing))
        };
        match reads() {
            Ok(false) => Tried::Failed("nothing came within 10 s".to_owned()),
            Ok(true) => Tried::Found(()),
            Err(tried) => tried,
        }
    }

    /// Deletes the notes before the first one: none.
    fn deletes(&self) -> Tried<()> {
        let bounds = first_notes::bounds(self.settings, &self.settings.notes_topic, [0], &self.deps.clock);
        let start = match bounds {
            Ok(bounds) => bounds.get(&0).map_or(0, |(start, _)| *start),
            Err(error) => return of_notes(error),
        };
        match delete_notes_before(self.settings, 0, start) {
            Ok(()) => Tried::Found(()),
            Err(NotTrimmed::NoClient(error)) => of(&error.cause),
            Err(NotTrimmed::Refused { cause, .. }) => of(&cause),
        }
    }

    fn first_notes(&self, partitions: u32) -> Tried<FirstNotesSeen> {
        match first_notes::read(self.settings, partitions, &self.deps.clock) {
            Ok(found) => Tried::Found(FirstNotesSeen {
                without: (0..partitions).filter(|one| !found.contains_key(one)).collect(),
                other: first_notes::of_another_log(self.settings, &found),
            }),
            Err(error) => of_notes(error),
        }
    }

    fn has_log_id(&self, partitions: u32) -> Tried<bool> {
        match Offsets::of_outsider(self.settings) {
            Err(error) => of(&error.cause),
            Ok(offsets) => match offsets.told_of(0..partitions) {
                Ok(told) => Tried::Found(!told.is_empty()),
                Err(error) => of(&offsets.complaint().unwrap_or(error.cause)),
            },
        }
    }

    /// Takes the broker's time of a record.
    fn compares(&mut self, before: UnixMillis, sent: Result<Option<UnixMillis>, KafkaError>) -> Tried<()> {
        match sent {
            Err(cause) => of(&cause),
            Ok(None) => Tried::Found(()),
            Ok(Some(at)) => {
                let after = self.deps.clock.wall();
                // Between the two the broker wrote it.
                let ahead = if before.0 > at.0 { before.0 - at.0 } else { (after.0 - at.0).min(0) };
                let took = after.0.saturating_sub(before.0);
                self.clock = Tried::Found((ahead, u64::try_from(took).unwrap_or(0)));
                Tried::Found(())
            }
        }
    }
}

/// A producer of single records, which waits for the report of each.
struct Sender {
    producer: BaseProducer<Reporting<Reported>>,
}

/// The report of the last record.
#[derive(Debug, Default)]
struct Reported(Mutex<Option<Result<Option<UnixMillis>, KafkaError>>>);

impl TakesReports for Reported {
    type With = ();

    fn takes(&self, report: &DeliveryResult<'_>, (): ()) {
        *lock(&self.0) = Some(match report {
            Ok(message) => Ok(match message.timestamp() {
                Timestamp::LogAppendTime(at) => Some(UnixMillis(at)),
                Timestamp::CreateTime(_) | Timestamp::NotAvailable => None,
            }),
            Err((error, _)) => Err(error.clone()),
        });
    }
}

impl Sender {
    fn new(config: &ClientConfig) -> Result<Self, KafkaError> {
        Ok(Self { producer: config.create_with_context(Reporting::<Reported>::default())? })
    }

    /// Writes a record to partition 0. Returns the broker's time of it, if the topic has the broker's times.
    fn send(&self, topic: &str, value: &[u8], clock: &dyn Clock) -> Result<Option<UnixMillis>, KafkaError> {
        let record = BaseRecord::<(), [u8]>::to(topic).partition(0).payload(value);
        self.producer.send(record).map_err(|(error, _)| error)?;
        let until = clock.monotonic().saturating_add(CALL);
        loop {
            self.producer.poll(POLL);
            let report = lock(&self.producer.context().0.0).take();
            // A producer without any right to write fails, and its records are reported as purged, or never.
            match (self.producer.client().fatal_error(), report) {
                (_, Some(Ok(at))) => return Ok(at),
                (Some((code, _)), _) => return Err(KafkaError::Global(code)),
                (None, Some(Err(cause))) => return Err(cause),
                (None, None) => {}
            }
            if clock.monotonic() >= until {
                return Err(KafkaError::NoMessageReceived);
            }
        }
    }
}

fn of<T>(cause: &KafkaError) -> Tried<T> {
    match cause {
        cause if is_denied(cause) => Tried::Denied,
        KafkaError::NoMessageReceived => Tried::Failed("no broker answered within 10 s".to_owned()),
        cause => Tried::Failed(cause.to_string()),
    }
}

fn of_topic<T>(error: TopicError) -> Tried<T> {
    match error {
        TopicError::NoClient(error) => of(&error.cause),
        TopicError::Refused { cause, .. } => of(&cause),
        TopicError::NoLeaders(_) => Tried::Failed(error.to_string()),
    }
}

fn of_notes<T>(error: NotesError) -> Tried<T> {
    match error {
        NotesError::NoClient(error) => of(&error.cause),
        NotesError::NotRead(error) => of(&error.cause),
        NotesError::Nothing { .. } | NotesError::Unreadable { .. } => Tried::Failed(error.to_string()),
    }
}
