//! What the topics of a log are made with, who needs which rights on them, and the commands of Kafka's own tools
//! that give both.

use std::collections::BTreeMap;

/// Bytes of one record, at most: a request that is longer than a block has a block for itself.
pub const RECORD_BYTES_MAX: usize = 5 * 1_024 * 1_024;
/// Copies of each partition, unless somebody asks for another number.
pub const REPLICATION: u16 = 3;
/// Copies that must have a record before it is acknowledged, if there are as many.
const IN_SYNC: u16 = 2;
/// For how long the log keeps its records: 7 days.
const LOG_RETENTION_MS: &str = "604800000";
/// Stands for no limit.
const UNLIMITED: &str = "-1";

/// Where the log is, by name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// Addresses of brokers, separated by commas.
    pub brokers: String,
    /// `kafka.name`.
    pub name: String,
    /// The topic of the calls.
    pub topic: String,
    /// The topic of the notes.
    pub notes_topic: String,
    /// The group of the writers.
    pub group: String,
}

/// One of the two topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Topic {
    /// That of the calls.
    Log,
    /// That of the notes.
    Notes,
}

impl Topic {
    /// Both, the one that is made first at the beginning.
    pub const ALL: [Self; 2] = [Self::Notes, Self::Log];

    /// Its name.
    pub fn name(self, names: &Names) -> &str {
        match self {
            Self::Log => &names.topic,
            Self::Notes => &names.notes_topic,
        }
    }
}

/// The settings of a topic whose partitions have so many copies.
pub fn settings(topic: Topic, replication: u16) -> Vec<(&'static str, String)> {
    let retention = match topic {
        Topic::Log => LOG_RETENTION_MS,
        // Only a snapshot replaces notes.
        Topic::Notes => UNLIMITED,
    };
    vec![
        ("min.insync.replicas", IN_SYNC.min(replication).to_string()),
        ("unclean.leader.election.enable", "false".to_owned()),
        ("cleanup.policy", "delete".to_owned()),
        ("max.message.bytes", RECORD_BYTES_MAX.to_string()),
        // Retention must not depend on the clocks of collectors.
        ("message.timestamp.type", "LogAppendTime".to_owned()),
        ("retention.ms", retention.to_owned()),
        ("retention.bytes", UNLIMITED.to_owned()),
    ]
}

/// A setting of a topic that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The topic.
    pub topic: Topic,
    /// The setting.
    pub setting: &'static str,
    /// What it should be.
    pub expected: String,
    /// What the brokers say.
    pub found: String,
}

/// How a setting of a topic is, by what the brokers report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As it should be, or stronger.
    Right(String),
    /// Not so.
    Wrong(Difference),
    /// The brokers do not report it.
    NotReported,
}

/// How each setting of a topic is. `reported` has the settings that brokers report, by name.
pub fn judge(
    topic: Topic,
    replication: u16,
    reported: &BTreeMap<String, String>,
) -> Vec<(&'static str, Standing)> {
    let one = |(setting, expected): (&'static str, String)| {
        let standing = match reported.get(setting) {
            None => Standing::NotReported,
            Some(found) if is_right(setting, &expected, found) => Standing::Right(found.clone()),
            Some(found) => Standing::Wrong(Difference { topic, setting, expected, found: found.clone() }),
        };
        (setting, standing)
    };
    settings(topic, replication).into_iter().map(one).collect()
}

/// Whether a value is what is asked for, or gives more than that.
fn is_right(setting: &str, expected: &str, found: &str) -> bool {
    let numbers = (expected.parse::<i64>(), found.parse::<i64>());
    match (setting, numbers) {
        // Longer than asked for is what alarms tell people to set.
        ("retention.ms", (Ok(1..), Ok(-1))) => true,
        ("retention.ms", (Ok(expected @ 1..), Ok(found))) => found >= expected,
        ("min.insync.replicas" | "max.message.bytes", (Ok(expected), Ok(found))) => found >= expected,
        _ => expected == found,
    }
}

/// Who uses the topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum User {
    /// A collector.
    Collector,
    /// A writer.
    Writer,
}

/// What a right is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum On {
    /// The topic of the calls.
    Log,
    /// The topic of the notes.
    Notes,
    /// The group of the writers.
    Group,
    /// The transactional ids that begin with the log's name.
    Transactions,
}

/// A right: an operation as Kafka calls it, on something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Right {
    /// What it is on.
    pub on: On,
    /// The operation.
    pub operation: &'static str,
}

/// The least rights of a user.
pub fn rights(user: User) -> Vec<Right> {
    let all: &[(On, &[&'static str])] = match user {
        User::Collector => &[(On::Log, &["Write", "Describe"]), (On::Group, &["Describe"])],
        User::Writer => &[
            // By DescribeConfigs it knows for how long the log is kept: it refuses sources in time, and alarms.
            (On::Log, &["Read", "Describe", "DescribeConfigs"]),
            (On::Notes, &["Read", "Write", "Delete"]),
            (On::Transactions, &["Write", "Describe"]),
            (On::Group, &["Read"]),
        ],
    };
    let rights = all
        .iter()
        .flat_map(|(on, operations)| operations.iter().map(|operation| Right { on: *on, operation }));
    rights.collect()
}

/// The commands that give a user the least rights. `principal` is what brokers call it, such as
/// `User:collector`.
pub fn grants(names: &Names, user: User, principal: &str) -> Vec<String> {
    let mut by_resource: BTreeMap<On, Vec<&str>> = BTreeMap::new();
    for right in rights(user) {
        by_resource.entry(right.on).or_default().push(right.operation);
    }
    by_resource.iter().map(|(on, operations)| grant(names, principal, *on, operations)).collect()
}

/// The command that gives a principal some operations on something.
pub fn grant(names: &Names, principal: &str, on: On, operations: &[&str]) -> String {
    let operations: Vec<String> = operations.iter().map(|one| format!("--operation {one}")).collect();
    let on = match on {
        On::Log => format!("--topic {}", names.topic),
        On::Notes => format!("--topic {}", names.notes_topic),
        On::Group => format!("--group {}", names.group),
        On::Transactions => {
            format!("--transactional-id {}- --resource-pattern-type prefixed", names.name)
        }
    };
    let (brokers, operations) = (&names.brokers, operations.join(" "));
    format!(
        "kafka-acls.sh --bootstrap-server {brokers} --add --allow-principal '{}' {operations} {on}",
        principal.replace('\'', "'\\''")
    )
}

/// The command that makes a topic.
pub fn make(names: &Names, topic: Topic, partitions: u32, replication: u16) -> String {
    let settings: Vec<String> = settings(topic, replication)
        .into_iter()
        .map(|(name, value)| format!(" \\\n  --config {name}={value}"))
        .collect();
    format!(
        "kafka-topics.sh --bootstrap-server {} --create --topic {} --partitions {partitions} --replication-factor {replication}{}",
        names.brokers,
        topic.name(names),
        settings.concat()
    )
}

/// The command that gives a topic more partitions.
pub fn grow(names: &Names, topic: Topic, partitions: u32) -> String {
    let (brokers, topic) = (&names.brokers, topic.name(names));
    format!("kafka-topics.sh --bootstrap-server {brokers} --alter --topic {topic} --partitions {partitions}")
}

/// The command that sets a setting of a topic.
pub fn set(names: &Names, topic: Topic, setting: &str, value: &str) -> String {
    let (brokers, topic) = (&names.brokers, topic.name(names));
    format!(
        "kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type topics --entity-name {topic} \
         --add-config {setting}={value}"
    )
}

/// The command that deletes the topic of the notes.
pub fn delete_notes(names: &Names) -> String {
    format!("kafka-topics.sh --bootstrap-server {} --delete --topic {}", names.brokers, names.notes_topic)
}

/// All commands that make or grow the topics, and give rights, as a text for people who run them themselves.
pub fn commands(names: &Names, partitions: u32, replication: u16) -> String {
    let mut lines = vec![
        "# Nothing was done. These commands are Kafka's own tools.".to_owned(),
        "# 1. Make both topics, the notes first:".to_owned(),
    ];
    lines.extend(Topic::ALL.map(|topic| make(names, topic, partitions, replication)));
    for (user, about) in [(User::Collector, "collectors"), (User::Writer, "writers")] {
        lines.push(format!("# 2. Rights of {about}, where brokers check rights. Put your own principal:"));
        lines.extend(grants(names, user, &format!("User:{about}")));
    }
    lines.push(format!(
        "# 3. With the configuration of a writer, write the first notes, before collectors start:\n\
         forebay kafka create --config writer.toml --partitions {partitions} --replication {replication}"
    ));
    lines.push("# To grow later: the notes first, then `forebay kafka create`, and the log last:".to_owned());
    lines.extend(Topic::ALL.map(|topic| format!("# {}", grow(names, topic, partitions))));
    lines.iter().map(|line| format!("{line}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        Names {
            brokers: "kafka-1:9092".into(),
            name: "shop".into(),
            topic: "shop-calls".into(),
            notes_topic: "shop-notes".into(),
            group: "shop-writers".into(),
        }
    }

    #[test]
    fn settings_that_give_more_are_right_and_what_is_not_reported_is_not_judged() {
        let check = |setting: &str, found: &str, is_right: bool| {
            let reported = BTreeMap::from([(setting.to_owned(), found.to_owned())]);
            let all = judge(Topic::Log, 3, &reported);
            let (_, standing) = all.iter().find(|(name, _)| *name == setting).unwrap();
            assert_eq!(matches!(standing, Standing::Right(_)), is_right, "{setting} {found}");
            let others = all.iter().filter(|(_, standing)| *standing == Standing::NotReported);
            assert_eq!(others.count(), all.len() - 1);
        };
        check("min.insync.replicas", "2", true);
        check("min.insync.replicas", "3", true);
        check("min.insync.replicas", "1", false);
        check("unclean.leader.election.enable", "true", false);
        check("cleanup.policy", "compact,delete", false);
        check("max.message.bytes", "1048588", false);
        check("max.message.bytes", "5242880", true);
        check("message.timestamp.type", "CreateTime", false);
        check("retention.ms", "604800000", true);
        check("retention.ms", "-1", true);
        check("retention.ms", "3600000", false);
        check("retention.bytes", "1000000000", false);
        let notes = |found: &str| {
            let reported = BTreeMap::from([("retention.ms".to_owned(), found.to_owned())]);
            let all = judge(Topic::Notes, 3, &reported);
            matches!(all.iter().find(|(name, _)| *name == "retention.ms").unwrap().1, Standing::Right(_))
        };
        assert!(notes("-1") && !notes("604800000"), "notes are never deleted by age");
    }

    #[test]
    fn one_broker_needs_no_second_copy() {
        let in_sync = |replication| settings(Topic::Log, replication)[0].1.clone();
        assert_eq!([1, 2, 3, 5].map(in_sync), ["1", "2", "2", "2"]);
    }

    #[test]
    fn commands_name_what_they_are_for() {
        let text = commands(&names(), 12, 3);
        for part in [
            "--create --topic shop-notes --partitions 12 --replication-factor 3",
            "--create --topic shop-calls --partitions 12",
            "--config retention.ms=604800000",
            "--config max.message.bytes=5242880",
            "--alter --topic shop-notes --partitions 12",
            "--operation Write --operation Describe --topic shop-calls",
            "--operation Describe --group shop-writers",
            "--operation Read --operation Write --operation Delete --topic shop-notes",
            "--operation Write --operation Describe --transactional-id shop- --resource-pattern-type prefixed",
        ] {
            assert!(text.contains(part), "{part} is not in\n{text}");
        }
        let quoted = grant(&names(), "User:O'Hara", On::Group, &["Read"]);
        assert!(quoted.contains("'User:O'\\''Hara'"), "{quoted}");
    }
}
