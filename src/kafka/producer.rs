//! The producer of a collector: it sends blocks, and passes on what brokers report of them.

use std::fmt;
use std::sync::Weak;
use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use rdkafka::metadata::MetadataTopic;
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _};

use super::lock::broker_time;
use super::settings::{NoClient, Reporting, Settings, TakesReports};
use crate::partition::block::CollectorId;
use crate::partition::producing::ToSend;
use crate::time::UnixMillis;

/// How long one call of the library waits.
const CALL: Duration = Duration::from_secs(10);

/// A block that is in the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct InLog {
    pub(super) offset: u64,
    /// When, by the brokers' clock, if the topic says that.
    pub(super) at: Option<UnixMillis>,
}

/// Who hears the reports.
pub(super) trait Hears: Send + Sync + fmt::Debug {
    /// The block of this producer that was in flight in a partition is in the log, or it is not known whether it
    /// is.
    fn hears(&self, of: CollectorId, partition: u32, report: Result<InLog, KafkaError>);
}

/// A producer, until the first error that it reports.
pub(super) struct Producer {
    producer: BaseProducer<Reporting<Reports>>,
    id: CollectorId,
    topic: String,
}

debug_fields!(Producer { id, topic });

#[derive(Debug)]
struct Reports {
    of: CollectorId,
    // The producer belongs to who hears it.
    to: Weak<dyn Hears>,
}

impl TakesReports for Reports {
    type With = ();

    fn takes(&self, report: &DeliveryResult<'_>, (): ()) {
        let (partition, report) = match report {
            Ok(message) => {
                // A report of success without an offset says nothing of where the block is.
                let offset = u64::try_from(message.offset());
                let in_log = offset.map(|offset| InLog { offset, at: broker_time(message.timestamp()) });
                let unknown = |_| KafkaError::MessageProduction(RDKafkaErrorCode::Unknown);
                (message.partition(), in_log.map_err(unknown))
            }
            Err((error, message)) => (message.partition(), Err(error.clone())),
        };
        if let (Some(to), Ok(partition)) = (self.to.upgrade(), u32::try_from(partition)) {
            to.hears(self.of, partition, report);
        }
    }
}

impl Producer {
    /// A producer under this id.
    /// Errors: [`NoClient`].
    pub(super) fn new(settings: &Settings, id: CollectorId, to: Weak<dyn Hears>) -> Result<Self, NoClient> {
        let producer = settings.of_producer().create_with_context(Reporting(Reports { of: id, to }));
        let producer = producer.map_err(|cause| settings.no_client(cause))?;
        Ok(Self { producer, id, topic: settings.topic.clone() })
    }

    /// Whose blocks it sends.
    pub(super) fn id(&self) -> CollectorId {
        self.id
    }

    /// Sends a block, without waiting. Its report comes in [`Producer::poll`].
    /// Errors: the library's: no report comes.
    pub(super) fn send(&self, block: &ToSend) -> Result<(), KafkaError> {
        let value = block.value();
        let partition = i32::try_from(block.partition).unwrap_or(i32::MAX);
        let record = BaseRecord::<(), [u8]>::to(&self.topic).partition(partition).payload(&value);
        self.producer.send(record).map_err(|(error, _)| error)
    }

    /// Passes on the reports that come within this time.
    pub(super) fn poll(&self, wait: Duration) {
        self.producer.poll(wait);
    }

    /// How many partitions the log has, as the brokers say. From then on blocks can be sent to each.
    /// Errors: the library's.
    pub(super) fn partitions(&self) -> Result<u32, KafkaError> {
        let metadata = self.producer.client().fetch_metadata(Some(&self.topic), CALL)?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.topic);
        // A right that is missing has an error of its own.
        if let Some(error) = topic.and_then(MetadataTopic::error) {
            return Err(KafkaError::MetadataFetch(error.into()));
        }
        let Some(topic) = topic.filter(|topic| !topic.partitions().is_empty()) else {
            return Err(KafkaError::MetadataFetch(RDKafkaErrorCode::UnknownTopicOrPartition));
        };
        Ok(u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX))
    }
}
