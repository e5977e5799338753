//! What the notes of all partitions begin with, read without taking a lock.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message as _, Offset, TopicPartitionList};

use super::answers::is_denied;
use super::records::NotRead;
use super::settings::{Lines, NoClient, Sees, Settings};
use crate::partition::state::{Identity, Sum, SumError};
use crate::time::Clock;

/// How long one look waits.
const LOOK: Duration = Duration::from_millis(500);
/// How long nothing may come. A transaction that hangs holds readers for as long.
const NOTHING: Duration = Duration::from_secs(60);
/// How long one call of the library waits.
const CALL: Duration = Duration::from_secs(10);

/// What the notes of one partition begin with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FirstNotes {
    /// Whose they are.
    pub identity: Identity,
    /// Whether an owner has written notes: without one, nothing was ever put in the name of this log.
    pub is_used: bool,
}

/// Why the notes could not be read.
#[derive(Debug, thiserror::Error)]
pub enum NotesError {
    /// A client could not be made.
    #[error(transparent)]
    NoClient(#[from] NoClient),
    /// The brokers refuse, or do not answer.
    #[error(transparent)]
    NotRead(#[from] NotRead),
    /// Nothing came.
    #[error(
        "notes of partition {partition} of {topic} do not come within a minute: a transaction may hang; \
         `kafka-transactions.sh find-hanging` names it"
    )]
    Nothing {
        /// The topic of the notes.
        topic: String,
        /// The first such partition.
        partition: u32,
    },
    /// They are no notes, or those of a newer release.
    #[error("read the notes of partition {partition} of {topic}")]
    Unreadable {
        /// The topic of the notes.
        topic: String,
        /// The partition.
        partition: u32,
        /// Why.
        #[source]
        cause: SumError,
    },
}

/// A partition that is being read.
#[derive(Debug, Default)]
struct Reading {
    sum: Sum,
    found: Option<FirstNotes>,
}

/// Reads what the notes of partitions before `partitions` begin with. Those whose notes are empty are missing.
/// Errors: [`NotesError`].
pub fn read(
    settings: &Settings,
    partitions: u32,
    clock: &Arc<dyn Clock>,
) -> Result<BTreeMap<u32, FirstNotes>, NotesError> {
    let topic = &settings.notes_topic;
    let not_read = |partition, cause| NotRead { topic: topic.clone(), partition, cause };
    let made = settings.of_reader(Sees::Committed).create_with_context(Lines);
    let reader: BaseConsumer<Lines> = made.map_err(|cause| settings.no_client(cause))?;
    let mut waits: BTreeMap<u32, Reading> =
        (0..partitions).map(|partition| (partition, Reading::default())).collect();
    let mut list = TopicPartitionList::new();
    for partition in waits.keys() {
        list.add_partition_offset(topic, number(*partition), Offset::Beginning)
            .map_err(|cause| not_read(number(*partition), cause))?;
    }
    reader.assign(&list).map_err(|cause| not_read(0, cause))?;
    let mut found = BTreeMap::new();
    let mut since = clock.monotonic();
    // Leaders of partitions that were made a moment ago may not know them yet.
    let mut last_error = None;
    while let Some(first) = waits.keys().next().copied() {
        let done = match reader.poll(LOOK) {
            None => {
                if clock.monotonic().saturating_sub(since) >= NOTHING {
                    return Err(match last_error {
                        Some(cause) => not_read(number(first), cause).into(),
                        None => NotesError::Nothing { topic: topic.clone(), partition: first },
                    });
                }
                continue;
            }
            Some(Ok(record)) => {
                let partition = u32::try_from(record.partition()).unwrap_or(u32::MAX);
                let offset = u64::try_from(record.offset()).unwrap_or(0);
                let Some(reading) = waits.get_mut(&partition) else { continue };
                let is_done = reading
                    .takes(offset, record.payload().unwrap_or_default())
                    .map_err(|cause| NotesError::Unreadable { topic: topic.clone(), partition, cause })?;
                is_done.then_some(partition)
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => u32::try_from(partition).ok(),
            Some(Err(cause)) if is_denied(&cause) => return Err(not_read(number(first), cause).into()),
            Some(Err(cause)) => {
                last_error = Some(cause);
                continue;
            }
        };
        since = clock.monotonic();
        if let Some(partition) = done
            && let Some(reading) = waits.remove(&partition)
        {
            let mut one = TopicPartitionList::new();
            one.add_partition(topic, number(partition));
            reader.pause(&one).map_err(|cause| not_read(number(partition), cause))?;
            found.extend(reading.found.map(|first| (partition, first)));
        }
    }
    Ok(found)
}

impl Reading {
    /// Takes the next note. Returns whether more would say nothing new.
    fn takes(&mut self, offset: u64, value: &[u8]) -> Result<bool, SumError> {
        if let Some(found) = &mut self.found {
            found.is_used = true;
            return Ok(true);
        }
        self.sum.takes(offset, value)?;
        self.found = self
            .sum
            .state()
            .map(|state| FirstNotes { identity: state.identity.clone(), is_used: state.term.is_some() });
        Ok(self.found.as_ref().is_some_and(|found| found.is_used))
    }
}

/// The first notes that do not belong to the log of all others, or to the name and the group of the settings.
pub fn of_another_log(settings: &Settings, found: &BTreeMap<u32, FirstNotes>) -> Option<Identity> {
    let (_, first) = found.first_key_value()?;
    let expected = (&settings.name, &settings.group, &first.identity.log_id);
    let all = found.values().map(|one| &one.identity);
    all.into_iter().find(|of| (&of.name, &of.group, &of.log_id) != expected).cloned()
}

/// The first offset of partitions of a topic, and that of their next record.
/// Errors: [`NotesError`].
pub fn bounds(
    settings: &Settings,
    topic: &str,
    partitions: impl IntoIterator<Item = u32>,
    clock: &Arc<dyn Clock>,
) -> Result<BTreeMap<u32, (u64, u64)>, NotesError> {
    let made = settings.of_reader(Sees::All).create_with_context(Lines);
    let reader: BaseConsumer<Lines> = made.map_err(|cause| settings.no_client(cause))?;
    let offset = |offset| u64::try_from(offset).unwrap_or(0);
    let mut all = BTreeMap::new();
    for partition in partitions {
        let bounds = patiently(clock, || reader.fetch_watermarks(topic, number(partition), CALL));
        let (start, end) = bounds.map_err(|cause| NotRead {
            topic: topic.to_owned(),
            partition: number(partition),
            cause,
        })?;
        all.insert(partition, (offset(start), offset(end)));
    }
    Ok(all)
}

/// Asks again for a minute: leaders of partitions that were made a moment ago, or that have moved, may not know
/// them yet.
fn patiently<T>(clock: &Arc<dyn Clock>, asks: impl Fn() -> Result<T, KafkaError>) -> Result<T, KafkaError> {
    let until = clock.monotonic().saturating_add(NOTHING);
    loop {
        match asks() {
            Err(error) if !is_denied(&error) && clock.monotonic() < until => std::thread::sleep(LOOK),
            answer => return answer,
        }
    }
}

fn number(partition: u32) -> i32 {
    i32::try_from(partition).unwrap_or(i32::MAX)
}
