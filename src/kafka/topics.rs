//! Topics: whether they are there, with how many partitions and which settings, and how they are made and grow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::admin::{
    AdminClient, AdminOptions, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::types::RDKafkaRespErr;

use super::answers::{NOT_REPORTED, code};
use super::settings::{Lines, NoClient, Sees, Settings};
use crate::partition::topics::{Topic, settings as topic_settings};
use crate::time::Clock;

/// How long the brokers have for one request.
const CALL: Duration = Duration::from_secs(30);
/// How long the partitions of a topic may have no leaders after they were made.
const LEADERS: Duration = Duration::from_secs(60);
/// Time between two looks at them.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Asks for topics, and changes them. Its calls wait for brokers.
pub struct Topics {
    admin: AdminClient<Lines>,
    /// Asks for what is there. A producer's client would make a topic by asking, where brokers allow that.
    asks: BaseConsumer<Lines>,
    settings: Settings,
    clock: Arc<dyn Clock>,
}

debug_fields!(Topics { settings });

/// What the brokers say of one topic.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Described {
    /// Its partitions.
    pub partitions: u32,
    /// Copies of the partition that has the fewest.
    pub replication: u16,
    /// Partitions without a leader: nobody can write to them, or read them.
    pub without_leader: Vec<u32>,
}

/// Why a topic could not be asked for or changed.
#[derive(Debug, thiserror::Error)]
pub enum TopicError {
    /// A client could not be made.
    #[error(transparent)]
    NoClient(#[from] NoClient),
    /// The brokers do not answer, or refuse to.
    #[error("{doing} the topic {topic}: {}", advice(cause))]
    Refused {
        /// What was tried.
        doing: &'static str,
        /// The topic.
        topic: String,
        /// What the library says.
        #[source]
        cause: KafkaError,
    },
    /// Its new partitions have no leaders.
    #[error(
        "partitions of {0} have no leader within a minute: see that all brokers run, then run the command again"
    )]
    NoLeaders(String),
}

/// What a person can do about a refusal.
fn advice(cause: &KafkaError) -> &'static str {
    match code(cause) {
        Some(
            RDKafkaErrorCode::TopicAuthorizationFailed
            | RDKafkaErrorCode::ClusterAuthorizationFailed
            | RDKafkaErrorCode::GroupAuthorizationFailed,
        ) => {
            "the right is missing; `forebay kafka create --partitions COUNT --print` shows the commands for somebody who has it"
        }
        Some(RDKafkaErrorCode::InvalidReplicationFactor) => {
            "there are fewer brokers than copies; --replication sets how many copies there are"
        }
        Some(RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown) => {
            "no broker can be reached; check kafka.brokers and kafka.security"
        }
        _ => "the brokers refuse, or do not answer",
    }
}

impl Topics {
    /// Clients of these brokers.
    /// Errors: [`NoClient`].
    pub fn new(settings: &Settings, clock: &Arc<dyn Clock>) -> Result<Self, NoClient> {
        let no_client = |cause| settings.no_client(cause);
        Ok(Self {
            admin: settings.of_admin().create_with_context(Lines).map_err(no_client)?,
            asks: settings.of_reader(Sees::All).create_with_context(Lines).map_err(no_client)?,
            settings: settings.clone(),
            clock: Arc::clone(clock),
        })
    }

    /// What is there of a topic. `None`: there is no such topic.
    /// Errors: [`TopicError`].
    pub fn describe(&self, topic: &str) -> Result<Option<Described>, TopicError> {
        let failed = |cause| refused("ask for", topic, cause);
        let metadata = self.asks.fetch_metadata(Some(topic), CALL).map_err(failed)?;
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic) else {
            return Ok(None);
        };
        match found.error().map(of_response) {
            None => {}
            Some(RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic) => {
                return Ok(None);
            }
            // One that was made a moment ago.
            Some(RDKafkaErrorCode::LeaderNotAvailable) => {}
            Some(code) => return Err(failed(KafkaError::MetadataFetch(code))),
        }
        if found.partitions().is_empty() {
            return Ok(None);
        }
        let copies = found.partitions().iter().map(|one| one.replicas().len()).min().unwrap_or(0);
        let unled = found.partitions().iter().filter(|one| one.leader() < 0);
        Ok(Some(Described {
            partitions: u32::try_from(found.partitions().len()).unwrap_or(u32::MAX),
            replication: u16::try_from(copies).unwrap_or(u16::MAX),
            without_leader: unled.filter_map(|one| u32::try_from(one.id()).ok()).collect(),
        }))
    }

    /// Makes a topic with its settings, and waits until its partitions have leaders. One that is there stays as it
    /// is.
    /// Errors: [`TopicError`].
    pub fn make(&self, topic: Topic, partitions: u32, replication: u16) -> Result<(), TopicError> {
        let name = self.name(topic);
        let of_topic = topic_settings(topic, replication);
        let mut new = NewTopic::new(
            &name,
            i32::try_from(partitions).unwrap_or(i32::MAX),
            TopicReplication::Fixed(i32::from(replication)),
        );
        for (key, value) in &of_topic {
            new = new.set(key, value);
        }
        let made = wait(self.admin.create_topics([&new], &options()));
        let made = made.and_then(|made| first(made).map_err(|(_, code)| KafkaError::AdminOp(code)));
        match made {
            Err(KafkaError::AdminOp(RDKafkaErrorCode::TopicAlreadyExists)) | Ok(_) => {}
            Err(cause) => return Err(refused("make", &name, cause)),
        }
        self.wait_for_leaders(&name, partitions)
    }

    /// Gives a topic more partitions, and waits until they have leaders.
    /// Errors: [`TopicError`].
    pub fn grow(&self, topic: Topic, partitions: u32) -> Result<(), TopicError> {
        let name = self.name(topic);
        let count = usize::try_from(partitions).unwrap_or(usize::MAX);
        let grown = wait(self.admin.create_partitions(&[NewPartitions::new(&name, count)], &options()));
        let grown = grown.and_then(|grown| first(grown).map_err(|(_, code)| KafkaError::AdminOp(code)));
        grown.map_err(|cause| refused("add partitions to", &name, cause))?;
        self.wait_for_leaders(&name, partitions)
    }

    /// The settings of a topic, by name.
    /// Errors: [`TopicError`]: the right DescribeConfigs may be missing.
    pub fn reported(&self, topic: &str) -> Result<BTreeMap<String, String>, TopicError> {
        let failed = |cause| refused("ask for the settings of", topic, cause);
        let found = wait(self.admin.describe_configs([&ResourceSpecifier::Topic(topic)], &options()));
        let mut found = found.map_err(failed)?;
        let config = match found.pop() {
            Some(Ok(config)) => config,
            Some(Err(code)) => return Err(failed(KafkaError::AdminOp(code))),
            None => return Ok(BTreeMap::new()),
        };
        if config.entries.is_empty() {
            return Err(failed(NOT_REPORTED));
        }
        let entries = config.entries.into_iter();
        Ok(entries.filter_map(|entry| Some((entry.name, entry.value?))).collect())
    }

    fn name(&self, topic: Topic) -> String {
        topic.name(&self.settings.names()).to_owned()
    }

    /// Brokers learn of new partitions one after the other.
    fn wait_for_leaders(&self, topic: &str, partitions: u32) -> Result<(), TopicError> {
        let until = self.clock.monotonic().saturating_add(LEADERS);
        loop {
            let metadata = self.asks.fetch_metadata(Some(topic), CALL);
            let of_topic = metadata.as_ref().ok().and_then(|all| all.topics().first());
            let led = of_topic.map_or(0, |of| of.partitions().iter().filter(|one| one.leader() >= 0).count());
            if led >= usize::try_from(partitions).unwrap_or(usize::MAX) {
                return Ok(());
            }
            if self.clock.monotonic() >= until {
                return Err(TopicError::NoLeaders(topic.to_owned()));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

fn of_response(of: RDKafkaRespErr) -> RDKafkaErrorCode {
    of.into()
}

fn refused(doing: &'static str, topic: &str, cause: KafkaError) -> TopicError {
    TopicError::Refused { doing, topic: topic.to_owned(), cause }
}

fn options() -> AdminOptions {
    AdminOptions::new().request_timeout(Some(CALL)).operation_timeout(Some(CALL))
}

/// The answer about one thing that was asked for.
fn first<T>(mut all: Vec<Result<String, T>>) -> Result<String, T> {
    all.pop().unwrap_or_else(|| Ok(String::new()))
}

/// Waits for what the administrator's client does. The library answers from a thread of its own.
fn wait<T>(doing: impl Future<Output = Result<T, KafkaError>>) -> Result<T, KafkaError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.map_err(|_| KafkaError::Canceled)?.block_on(doing)
}
