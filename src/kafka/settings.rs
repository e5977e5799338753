//! The clients of the library, with the settings that a promise of exactly once depends on.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::util::IntoOpaque;

use crate::partition::producing::WAITING_BYTES_MAX;
use crate::partition::topics::{Names, RECORD_BYTES_MAX};

/// Kilobytes that a reader of one partition has fetched and not passed on. What it holds beyond that is what one
/// answer of a broker brings. A writer has a reader for each of its partitions.
const FETCHED_KB_MAX: usize = 1_024;
/// Bytes of one answer of a broker, as they stand in the log: a few times as much once they are decompressed. A
/// record that is longer comes alone.
const FETCH_BYTES: &str = "262144";
/// A broker answers a reader of calls once it has so many bytes, or after a time. Otherwise it answers for each block, and many
/// partitions have small ones: eight cost a writer a fifth more CPU than one, now a tenth.
const FETCH_AT_LEAST: [(&str, &str); 2] = [("fetch.min.bytes", "65536"), ("fetch.wait.max.ms", "100")];
/// How soon a reader that had fetched enough looks whether it needs more. The library's own second would leave a
/// reader that has much to read without records most of the time.
const FETCH_AGAIN_MS: &str = "2";

/// How long a reader waits for an answer. A broker that is stopped keeps its connections, and the library's
/// own minute is long for a reader that could ask another one.
const SOCKET_TIMEOUT_MS: &str = "15000";

/// How long a producer waits for the answer of one broker before it asks again.
const ANSWER_MS: &str = "10000";
/// How often a member looks for partitions that were added: their calls wait until somebody owns them.
const REFRESH_MS: &str = "10000";
/// Kilobytes that the library holds for a producer: more than [`WAITING_BYTES_MAX`], so that it never refuses.
const QUEUED_KB_MAX: usize = 4 * WAITING_BYTES_MAX / 1_024;

/// How blocks are compressed.
const COMPRESSION: &str = "compression.type";

/// What a writer or a collector knows of Kafka.
#[derive(Clone)]
pub struct Settings {
    /// Addresses of brokers: `host:port`, separated by commas.
    pub brokers: String,
    /// `kafka.name`, which is part of the transactional ids.
    pub name: String,
    /// The group of the writers.
    pub group: String,
    /// The topic of the calls.
    pub topic: String,
    /// The topic of the notes.
    pub notes_topic: String,
    /// How long a transaction may be open. Beyond it, brokers abort it.
    pub transaction_timeout: Duration,
    /// More settings of the library. Those that this module makes have precedence.
    pub more: Vec<(String, String)>,
}

// What is set besides may hold secrets that must not be logged.
debug_fields!(Settings { brokers, name, group, topic, notes_topic, transaction_timeout });

/// Which records a reader sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// Those of committed transactions: notes.
    Committed,
    /// All: the log has no transactions, and one that a stranger left open must not end the log there.
    All,
}

/// A client could not be made: a setting is wrong, or the process has no threads left.
#[derive(Debug, thiserror::Error)]
#[error("make a client of Kafka at {brokers}: check [kafka]")]
pub struct NoClient {
    /// The brokers' addresses.
    pub brokers: String,
    /// What the library says.
    #[source]
    pub cause: KafkaError,
}

/// The library's own lines go to the log, for people who ask for them.
#[derive(Clone, Copy, Debug)]
pub struct Lines;

impl ClientContext for Lines {
    fn log(&self, _: RDKafkaLogLevel, _: &str, line: &str) {
        tracing::debug!("kafka: {line}");
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::debug!(%error, "kafka: {reason}");
    }
}

/// Takes what brokers report of a producer's records.
pub(super) trait TakesReports: Send + Sync {
    /// What a record is sent with, and its report comes with.
    type With: IntoOpaque;

    /// Takes the report of a record.
    fn takes(&self, report: &DeliveryResult<'_>, with: Self::With);
}

/// What a producer is made with: reports go to the one inside, and the library's own lines to the log.
#[derive(Debug, Default)]
pub(super) struct Reporting<R>(pub(super) R);

impl<R: TakesReports> ClientContext for Reporting<R> {
    fn log(&self, level: RDKafkaLogLevel, of: &str, line: &str) {
        Lines.log(level, of, line);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        Lines.error(error, reason);
    }
}

impl<R: TakesReports> ProducerContext for Reporting<R> {
    type DeliveryOpaque = R::With;

    fn delivery(&self, report: &DeliveryResult<'_>, with: R::With) {
        self.0.takes(report, with);
    }
}

impl Settings {
    /// Where the log is, by name.
    pub fn names(&self) -> Names {
        Names {
            brokers: self.brokers.clone(),
            name: self.name.clone(),
            topic: self.topic.clone(),
            notes_topic: self.notes_topic.clone(),
            group: self.group.clone(),
        }
    }

    /// A client's settings.
    fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        // What it would push takes memory for each connection, and an operator may want it all the same.
        config.set("enable.metrics.push", "false");
        for (key, value) in &self.more {
            config.set(key, value);
        }
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", "forebay")
            // Brokers would make a topic that is not there, with one copy, and calls would be acknowledged in it.
            .set("allow.auto.create.topics", "false");
        config
    }

    /// The settings of the one who writes notes under a transactional id.
    pub(super) fn of_owner(&self, id: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("transactional.id", id)
            .set("transaction.timeout.ms", self.transaction_timeout.as_millis().to_string())
            .set("acks", "all")
            .set("linger.ms", "0")
            .set("message.max.bytes", RECORD_BYTES_MAX.to_string());
        config
    }

    /// The settings of a collector's producer, which belongs to no transaction.
    pub fn of_producer(&self) -> ClientConfig {
        let mut config = self.client();
        // Nothing depends on it, so an operator may want another one.
        if config.get(COMPRESSION).is_none() {
            config.set(COMPRESSION, "lz4");
        }
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // A block that times out here could still be written, and its producer would take a new epoch and
            // write others twice. Requests have a time limit of their own.
            .set("message.timeout.ms", "0")
            // Blocks are batches already.
            .set("linger.ms", "0")
            .set("message.max.bytes", RECORD_BYTES_MAX.to_string())
            .set("queue.buffering.max.kbytes", QUEUED_KB_MAX.to_string())
            // A broker that is stopped keeps its connections, and another one may lead its partitions by now.
            .set("socket.timeout.ms", ANSWER_MS)
            .set("request.timeout.ms", ANSWER_MS)
            .set("reconnect.backoff.max.ms", "1000");
        config
    }

    /// The settings of a reader of one partition. It belongs to no group and commits nothing; the library
    /// wants the name of one nevertheless.
    pub(super) fn of_reader(&self, sees: Sees) -> ClientConfig {
        let isolation = match sees {
            Sees::Committed => "read_committed",
            Sees::All => "read_uncommitted",
        };
        let mut config = self.client();
        config
            .set("group.id", &self.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            // A reader that finds its records gone must not go on at the log's start or end by itself.
            .set("auto.offset.reset", "error")
            .set("enable.partition.eof", "true")
            .set("isolation.level", isolation)
            .set("socket.timeout.ms", SOCKET_TIMEOUT_MS)
            .set("check.crcs", "true")
            .set("fetch.message.max.bytes", FETCH_BYTES)
            .set("fetch.queue.backoff.ms", FETCH_AGAIN_MS)
            .set("queued.max.messages.kbytes", FETCHED_KB_MAX.to_string());
        for (name, value) in FETCH_AT_LEAST {
            // Nothing depends on it, so an operator may want another one.
            if matches!(sees, Sees::All) && config.get(name).is_none() {
                config.set(name, value);
            }
        }
        config
    }

    /// The settings of one who deletes notes.
    pub(super) fn of_admin(&self) -> ClientConfig {
        self.client()
    }

    /// The settings of a member of the group. It fetches nothing. With an `instance` it is a static member.
    pub(super) fn of_member(&self, instance: Option<&str>) -> ClientConfig {
        let mut config = self.client();
        if let Some(instance) = instance {
            config.set("group.instance.id", instance);
        }
        config
            .set("group.id", &self.group)
            .set("enable.auto.commit", "false")
            .set("enable.auto.offset.store", "false")
            .set("auto.offset.reset", "error")
            // Partitions that stay are not taken away and given back at each change.
            .set("partition.assignment.strategy", "cooperative-sticky")
            .set("topic.metadata.refresh.interval.ms", REFRESH_MS)
            .set("queued.max.messages.kbytes", "1");
        config
    }

    /// The error of a client that could not be made.
    pub(super) fn no_client(&self, cause: KafkaError) -> NoClient {
        // The library repeats a value that it does not take, and that may be a secret.
        let cause = match cause {
            KafkaError::ClientConfig(result, why, name, value) => {
                let says_value = !value.is_empty() && why.contains(&value);
                let why = if says_value { "the value cannot be used".to_owned() } else { why };
                KafkaError::ClientConfig(result, why, name, "***".to_owned())
            }
            other => other,
        };
        NoClient { brokers: self.brokers.clone(), cause }
    }
}

#[cfg(test)]
impl Settings {
    /// Those of unit tests, which meet no broker.
    pub(super) fn of_tests() -> Self {
        Self {
            brokers: "127.0.0.1:1".to_owned(),
            name: "lake".to_owned(),
            group: "lake-writers".to_owned(),
            topic: "lake-calls".to_owned(),
            notes_topic: "lake-notes".to_owned(),
            transaction_timeout: Duration::from_secs(30),
            more: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use rdkafka::consumer::BaseConsumer;

    use super::*;

    fn with(name: &str, value: &str) -> Settings {
        Settings { more: vec![(name.to_owned(), value.to_owned())], ..Settings::of_tests() }
    }

    #[test]
    fn a_setting_that_the_library_does_not_take_is_named_without_its_value() {
        for name in ["sasl.pasword", "socket.keepalive.enable"] {
            let settings = with(name, "a secret");
            let made: Result<BaseConsumer<Lines>, KafkaError> =
                settings.of_reader(Sees::All).create_with_context(Lines);
            let error = settings.no_client(made.err().unwrap());
            let said = format!("{error} {} {:?}", error.cause, error);
            assert!(said.contains(name) && !said.contains("a secret"), "{said}");
        }
    }

    /// Brokers make a topic that a client asks for by default.
    #[test]
    fn no_client_makes_a_topic() {
        let settings = with("allow.auto.create.topics", "true");
        let all = [
            settings.of_producer(),
            settings.of_owner("id"),
            settings.of_reader(Sees::All),
            settings.of_member(None),
            settings.of_admin(),
        ];
        assert!(all.iter().all(|config| config.get("allow.auto.create.topics") == Some("false")));
    }
}
