//! The names of all that `forebay policy` prints.

use super::template::Template;

/// The rights of a process on the topics of a log in Kafka.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KafkaPolicy {
    /// A collector.
    Collector,
    /// A writer.
    Writer,
}

/// What `forebay policy` prints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyName {
    /// A policy of AWS.
    Aws(Template),
    /// Commands of Kafka's own tool. Only builds with the feature `kafka` have them.
    Kafka(KafkaPolicy),
}

impl KafkaPolicy {
    /// Both.
    const ALL: [Self; 2] = [Self::Collector, Self::Writer];
}

impl PolicyName {
    /// All that this build can print, in the order of the list.
    pub fn all() -> Vec<Self> {
        let of_kafka = KafkaPolicy::ALL.into_iter().filter(|_| cfg!(feature = "kafka"));
        Template::ALL.map(Self::Aws).into_iter().chain(of_kafka.map(Self::Kafka)).collect()
    }

    /// The one with this name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|one| one.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Aws(template) => template.name(),
            Self::Kafka(KafkaPolicy::Collector) => "kafka-collector",
            Self::Kafka(KafkaPolicy::Writer) => "kafka-writer",
        }
    }

    /// A description in one line.
    pub fn about(self) -> &'static str {
        match self {
            Self::Aws(template) => template.about(),
            Self::Kafka(KafkaPolicy::Collector) => {
                "commands of kafka-acls.sh: the least rights of a collector on the topics of a log in Kafka"
            }
            Self::Kafka(KafkaPolicy::Writer) => {
                "commands of kafka-acls.sh: the least rights of a writer on these topics"
            }
        }
    }
}
