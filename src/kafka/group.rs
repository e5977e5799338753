//! The group of the writers: a hint of who should own what, and what owners tell people, tools and
//! collectors.
//!
//! Kafka's group fences members, not owners: a member that has lost a partition can still commit for it. So
//! nothing is decided by it. A member fetches nothing; its partitions are paused.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::topic_partition_list::Offset;

use super::records::NotRead;
use super::settings::{Lines, NoClient, Sees, Settings};
use crate::partition::group::Metadata;

/// How long one call of the library waits.
const CALL: Duration = Duration::from_secs(10);

/// How long a complaint may take to come: the library asks for the group's broker twice a second.
const COMPLAINT: Duration = Duration::from_secs(2);

/// A member of the group.
pub struct Member {
    consumer: Arc<BaseConsumer<Lines>>,
    topic: String,
    /// Partitions that are assigned and paused.
    paused: BTreeSet<u32>,
}

debug_fields!(Member { topic, paused });

impl Member {
    /// Joins the group, under a name that the group knows again after a restart if `instance` is one. Which
    /// partitions it should own is known once [`Member::turn`] has been called for a while.
    /// Errors: [`NoClient`].
    pub fn join(settings: &Settings, instance: Option<&str>) -> Result<Self, NoClient> {
        let made = settings.of_member(instance).create_with_context(Lines);
        let consumer: BaseConsumer<Lines> = made.map_err(|cause| settings.no_client(cause))?;
        consumer.subscribe(&[&settings.topic]).map_err(|cause| settings.no_client(cause))?;
        let consumer = Arc::new(consumer);
        Ok(Self { consumer, topic: settings.topic.clone(), paused: BTreeSet::new() })
    }

    /// Keeps the membership, and returns the partitions that this process should own now. Call it at least
    /// every few seconds: returning calls keep a partition, so a process that hangs gives it up.
    pub fn turn(&mut self, wait: Duration) -> BTreeSet<u32> {
        match self.consumer.poll(wait) {
            // What came before it was paused. Others read it by the notes.
            None | Some(Ok(_)) => {}
            Some(Err(error)) => tracing::debug!(%error, "the group of the writers"),
        }
        let assigned = self.assigned();
        let new: Vec<u32> = assigned.difference(&self.paused).copied().collect();
        if !new.is_empty()
            && let Err(error) = self.consumer.pause(&self.list(&new))
        {
            tracing::debug!(%error, "pause partitions that others read");
            return assigned;
        }
        self.paused.clone_from(&assigned);
        assigned
    }

    /// Why it can never be a member again, if that is so: another process has its `instance`, for example.
    pub fn failed(&self) -> Option<String> {
        self.consumer.client().fatal_error().map(|(_, what)| what)
    }

    fn assigned(&self) -> BTreeSet<u32> {
        let Ok(assigned) = self.consumer.assignment() else { return self.paused.clone() };
        if self.consumer.assignment_lost() {
            return BTreeSet::new();
        }
        let partitions = assigned.elements();
        partitions.iter().filter_map(|one| u32::try_from(one.partition()).ok()).collect()
    }

    fn list(&self, partitions: &[u32]) -> TopicPartitionList {
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, i32::try_from(*partition).unwrap_or(i32::MAX));
        }
        list
    }

    /// The group's offsets, for another thread.
    pub fn offsets(&self) -> Offsets {
        Offsets { consumer: Arc::clone(&self.consumer), topic: self.topic.clone() }
    }
}

/// The offsets of the group, with what owners say beside them. Cheap to clone.
#[derive(Clone)]
pub struct Offsets {
    consumer: Arc<BaseConsumer<Lines>>,
    topic: String,
}

debug_fields!(Offsets { topic });

impl Offsets {
    /// For a process that does not join the group.
    /// Errors: [`NoClient`].
    pub fn of_outsider(settings: &Settings) -> Result<Self, NoClient> {
        let made = settings.of_reader(Sees::All).create_with_context(Lines);
        let consumer = made.map_err(|cause| settings.no_client(cause))?;
        Ok(Self { consumer: Arc::new(consumer), topic: settings.topic.clone() })
    }

    /// How many partitions the log has, as a broker says; 0 if it does not know the topic.
    /// Errors: the library's.
    pub fn partitions(&self) -> Result<u32, KafkaError> {
        let known = self.consumer.fetch_metadata(Some(&self.topic), CALL)?;
        let topic = known.topics().iter().find(|topic| topic.name() == self.topic);
        Ok(topic.map_or(0, |topic| u32::try_from(topic.partitions().len()).unwrap_or(u32::MAX)))
    }

    /// Tells the group how far partitions are and what else owners say of them, and waits for its answer: for as long as
    /// the group's session lasts, if no broker has the group. Kafka takes it of a process outside of the group only while
    /// the group has no members. (The library says nothing of the answer to a call that does not wait.)
    /// Errors: the library's. No call depends on it.
    pub fn tell(&self, partitions: &BTreeMap<u32, (u64, Metadata)>) -> Result<(), KafkaError> {
        let mut list = TopicPartitionList::new();
        for (partition, (kept_from, metadata)) in partitions {
            let mut one = list.add_partition(&self.topic, i32::try_from(*partition).unwrap_or(i32::MAX));
            one.set_offset(Offset::Offset(i64::try_from(*kept_from).unwrap_or(i64::MAX)))?;
            one.set_metadata(metadata.encode());
        }
        self.consumer.commit(&list, CommitMode::Sync)
    }

    /// Takes what the library has to say, which it would keep otherwise.
    pub(super) fn take_events(&self) {
        while let Some(Err(error)) = self.consumer.poll(Duration::ZERO) {
            tracing::debug!(%error, "the offsets of the group");
        }
    }

    /// What the library says beside its answers: a missing right on the group only makes calls time out.
    pub(super) fn complaint(&self) -> Option<KafkaError> {
        self.consumer.poll(COMPLAINT)?.err()
    }

    /// What the last owner said of a partition. `None` if nobody has, or if what was said has expired.
    /// Errors: [`NotRead`].
    pub fn told(&self, partition: u32) -> Result<Option<(u64, Metadata)>, NotRead> {
        Ok(self.told_of(partition..partition.saturating_add(1))?.remove(&partition))
    }

    /// What the last owners said of partitions, without those of which nobody has.
    /// Errors: [`NotRead`].
    pub fn told_of(
        &self,
        partitions: std::ops::Range<u32>,
    ) -> Result<BTreeMap<u32, (u64, Metadata)>, NotRead> {
        let number = |partition| i32::try_from(partition).unwrap_or(i32::MAX);
        let first = number(partitions.start);
        let mut list = TopicPartitionList::new();
        for partition in partitions {
            list.add_partition(&self.topic, number(partition));
        }
        let found = self.consumer.committed_offsets(list, CALL);
        let found = found.map_err(|cause| NotRead { topic: self.topic.clone(), partition: first, cause })?;
        let elements = found.elements();
        let told = elements.iter().filter_map(|one| match one.offset() {
            Offset::Offset(offset) => {
                let told = (u64::try_from(offset).unwrap_or(0), Metadata::decode(one.metadata())?);
                Some((u32::try_from(one.partition()).ok()?, told))
            }
            _ => None,
        });
        Ok(told.collect())
    }
}
