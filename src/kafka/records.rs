//! Reads one partition of a topic in order, from an offset on.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Offset, TopicPartitionList};

use super::settings::{Lines, NoClient, Sees, Settings};
use crate::time::UnixMillis;

/// How long one call of the library waits.
const CALL: Duration = Duration::from_secs(10);

impl ConsumerContext for Lines {}

/// A reader of one partition.
pub struct Records {
    client: Client,
    topic: String,
    partition: i32,
    /// The offset after the last record, once reading has begun.
    next: Option<u64>,
    /// Whether the library fetches.
    fetches: bool,
}

debug_fields!(Records { topic, partition, next });
debug_fields!(Client {});

/// The library's part of a reader. The records that it fetches stay in its memory: to copy a megabyte into memory that an
/// allocator has given back before would take longer than to verify its checksum.
#[derive(Clone)]
pub struct Client(Arc<BaseConsumer<Lines>>);

/// The value of a record.
pub struct Value<'c>(BorrowedMessage<'c>);

impl Deref for Value<'_> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.0.payload().unwrap_or_default()
    }
}

impl std::fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} bytes", self.len())
    }
}

/// What stands at the place of the reader.
#[derive(Debug)]
pub enum Fetched<'c> {
    /// The next record. Offsets may be missing before it.
    Record {
        /// Its offset.
        offset: u64,
        /// Its value.
        value: Value<'c>,
        /// When the broker wrote it, if the topic has the broker's times; else when its producer made it.
        at: Option<UnixMillis>,
    },
    /// The end, for now. It may trail what the brokers have acknowledged.
    End,
    /// Nothing came in time.
    Nothing,
    /// The topic does not have this place, or not any more: it begins later, or it ends before. The reader is
    /// nowhere until it is told where to go.
    OutOfRange,
}

/// A partition could not be read at present.
#[derive(Debug, thiserror::Error)]
#[error("read partition {partition} of {topic}")]
pub struct NotRead {
    /// The topic.
    pub topic: String,
    /// The partition.
    pub partition: i32,
    /// What the library says.
    #[source]
    pub cause: KafkaError,
}

impl Records {
    /// A reader that is nowhere yet.
    /// Errors: [`NoClient`].
    pub fn new(settings: &Settings, topic: &str, partition: u32, sees: Sees) -> Result<Self, NoClient> {
        let consumer = settings.of_reader(sees).create_with_context(Lines);
        Ok(Self {
            client: Client(Arc::new(consumer.map_err(|cause| settings.no_client(cause))?)),
            topic: topic.to_owned(),
            partition: i32::try_from(partition).unwrap_or(i32::MAX),
            next: None,
            fetches: false,
        })
    }

    /// Turns to another partition of the topic, and is nowhere in it yet. What was fetched of the one before is
    /// dropped by the next [`Records::go_to`].
    pub fn turn_to(&mut self, partition: u32) {
        self.partition = i32::try_from(partition).unwrap_or(i32::MAX);
        self.next = None;
    }

    /// Goes on at this offset; `None` is the first that the topic has.
    /// Errors: [`NotRead`].
    pub fn go_to(&mut self, offset: Option<u64>) -> Result<(), NotRead> {
        // The library skips what it has fetched for an assignment before.
        let place = match offset {
            Some(offset) => Offset::Offset(i64::try_from(offset).unwrap_or(i64::MAX)),
            None => Offset::Beginning,
        };
        let mut list = TopicPartitionList::new();
        let assigned = list
            .add_partition_offset(&self.topic, self.partition, place)
            .and_then(|()| self.client.0.assign(&list));
        assigned.map_err(|cause| self.not_read(cause))?;
        (self.next, self.fetches) = (offset, true);
        Ok(())
    }

    /// It is nowhere, until it is told where to go: what it was told of its place, an end for example, it is told
    /// again.
    pub fn leaves(&mut self) {
        self.next = None;
    }

    /// It is nowhere, and the library fetches nothing: with a full queue it would look every two milliseconds whether there is
    /// room.
    pub fn rests(&mut self) {
        self.leaves();
        if std::mem::take(&mut self.fetches)
            && let Err(error) = self.client.0.unassign()
        {
            tracing::debug!(%error, "a reader cannot rest");
        }
    }

    /// The offset after the last record. `None` before the first one of a reader that was told to begin at
    /// the start, and of one that is nowhere.
    pub fn next(&self) -> Option<u64> {
        self.next
    }

    /// The library's part of it.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// What comes next, with the [client](Records::client) of this reader. Waits for at most this long.
    /// Errors: [`NotRead`]: the reader is nowhere until it is told where to go, so that nothing is skipped.
    pub fn fetch<'c>(&mut self, client: &'c Client, wait: Duration) -> Result<Fetched<'c>, NotRead> {
        debug_assert!(Arc::ptr_eq(&self.client.0, &client.0), "the client of another reader");
        let found = match client.0.poll(wait) {
            None => return Ok(Fetched::Nothing),
            // Of the partition before.
            Some(Ok(message)) if message.partition() != self.partition => return Ok(Fetched::Nothing),
            Some(Err(KafkaError::PartitionEOF(of))) if of != self.partition => return Ok(Fetched::Nothing),
            Some(Ok(message)) => {
                let at = message.timestamp().to_millis().map(UnixMillis);
                let offset = u64::try_from(message.offset());
                offset.map(|offset| Fetched::Record { offset, value: Value(message), at })
            }
            Some(Err(KafkaError::PartitionEOF(_))) => return Ok(Fetched::End),
            // The library fetches nothing more of a partition after that, and what it does after other errors is not
            // promised.
            Some(Err(cause)) => {
                self.next = None;
                return if is_out_of_range(&cause) {
                    Ok(Fetched::OutOfRange)
                } else {
                    Err(self.not_read(cause))
                };
            }
        };
        let Ok(found) = found else { return Ok(Fetched::Nothing) };
        if let Fetched::Record { offset, .. } = &found {
            self.next = Some(offset + 1);
        }
        Ok(found)
    }

    /// The first offset of the partition, and that of its next record, as its leader says. A leader that does
    /// not know its end yet is asked again by the library, so this end never goes back.
    /// Errors: [`NotRead`].
    pub fn bounds(&self) -> Result<(u64, u64), NotRead> {
        let bounds = self.client.0.fetch_watermarks(&self.topic, self.partition, CALL);
        let (start, end) = bounds.map_err(|cause| self.not_read(cause))?;
        Ok((u64::try_from(start).unwrap_or(0), u64::try_from(end).unwrap_or(0)))
    }

    /// The offset of the first record that was written at a time or later. `None` if there is none.
    /// Errors: [`NotRead`].
    pub fn offset_at(&self, at: UnixMillis) -> Result<Option<u64>, NotRead> {
        // A negative one means something else to Kafka.
        let at = Offset::Offset(at.0.max(0));
        let mut list = TopicPartitionList::new();
        let found = list
            .add_partition_offset(&self.topic, self.partition, at)
            .and_then(|()| self.client.0.offsets_for_times(list, CALL))
            .map_err(|cause| self.not_read(cause))?;
        Ok(found.elements().first().and_then(|one| match one.offset() {
            Offset::Offset(offset) => u64::try_from(offset).ok(),
            _ => None,
        }))
    }

    /// The error of a record that did not come in time.
    pub(super) fn no_answer(&self) -> NotRead {
        self.not_read(KafkaError::MessageConsumption(RDKafkaErrorCode::OperationTimedOut))
    }

    fn not_read(&self, cause: KafkaError) -> NotRead {
        NotRead { topic: self.topic.clone(), partition: self.partition, cause }
    }
}

fn is_out_of_range(error: &KafkaError) -> bool {
    let code = error.rdkafka_error_code();
    matches!(code, Some(RDKafkaErrorCode::AutoOffsetReset | RDKafkaErrorCode::OffsetOutOfRange))
}
