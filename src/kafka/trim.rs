//! Deletes notes that a snapshot has replaced. Kafka itself never deletes notes.

use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;

use super::settings::{Lines, NoClient, Settings};

/// How long the brokers have.
const CALL: Duration = Duration::from_secs(30);

/// Notes were not deleted: they only grow until it succeeds. The right to delete them may be missing.
#[derive(Debug, thiserror::Error)]
pub enum NotTrimmed {
    /// A client could not be made.
    #[error(transparent)]
    NoClient(#[from] NoClient),
    /// The brokers refused.
    #[error(
        "delete notes of partition {partition} of {topic} before offset {before}: is the right Delete there?"
    )]
    Refused {
        /// The topic of the notes.
        topic: String,
        /// The partition.
        partition: u32,
        /// The first offset that stays.
        before: u64,
        /// What the library says.
        #[source]
        cause: KafkaError,
    },
}

/// Deletes the notes before an offset: that of the first record of a snapshot that counts. Waits for the
/// brokers, so do not call it on the runtime's threads.
/// Errors: [`NotTrimmed`].
pub fn delete_notes_before(settings: &Settings, partition: u32, before: u64) -> Result<(), NotTrimmed> {
    let refused =
        |cause| NotTrimmed::Refused { topic: settings.notes_topic.clone(), partition, before, cause };
    let admin: AdminClient<Lines> =
        settings.of_admin().create_with_context(Lines).map_err(|cause| settings.no_client(cause))?;
    let (number, offset) = (i32::try_from(partition), i64::try_from(before));
    let mut list = TopicPartitionList::new();
    let place = Offset::Offset(offset.unwrap_or(i64::MAX));
    list.add_partition_offset(&settings.notes_topic, number.unwrap_or(i32::MAX), place).map_err(refused)?;
    let options = AdminOptions::new().request_timeout(Some(CALL));
    // The library answers from a thread of its own; nothing is needed but to wait.
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let runtime = runtime.map_err(|_| refused(KafkaError::Canceled))?;
    let deleted = runtime.block_on(admin.delete_records(&list, &options)).map_err(refused)?;
    deleted.elements().iter().try_for_each(|one| one.error()).map_err(refused)
}
