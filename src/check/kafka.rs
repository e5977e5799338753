//! `forebay kafka check`: judges what brokers say of the topics of a log, and allow.

use std::time::Duration;

use super::clock;
use super::finding::{CheckFinding, Remedy, Trial};
use super::fix;
use super::report::{CheckReport, Group};
use crate::partition::seen::{FirstNotesSeen, Seen, TopicSeen, Tried};
use crate::partition::share::{asked as cache_asked, least, waits};
use crate::partition::topics::{
    Difference, Names, On, REPLICATION, Right, Standing, Topic, grant, grow, judge, set,
};
use crate::words::{about_bytes, about_duration, counted, grouped};

/// Bytes that a frame has besides a call's line, in percent of it.
const FRAME_PERCENT: u64 = 110;
/// Copies of Kafka's own transactions that must have a record before it is acknowledged.
const TRANSACTIONS_IN_SYNC: i64 = 2;
/// Partitions of a log that is to be made.
const NEW_PARTITIONS: u32 = 12;
/// Above this difference a writer ends no day.
const CLOCKS_DIFFER: Duration = Duration::from_secs(30);

/// What the configuration says, and what is expected.
#[derive(Clone, Debug)]
pub struct KafkaAsked {
    /// Where the log is.
    pub names: Names,
    /// What brokers call this process, such as `User:forebay`.
    pub principal: String,
    /// Whether a password is sent in clear text.
    pub clear_password: bool,
    /// Bytes of the cache of one writer. `None`: this process is none.
    pub cache_bytes: Option<u64>,
    /// Writers that share the log.
    pub writers: u64,
    /// Calls of all sources in a second. `None`: nobody said how many.
    pub calls_per_second: Option<u64>,
    /// Bytes of one call.
    pub call_bytes: u64,
    /// How old a batch may get.
    pub max_age: Duration,
    /// Bytes of an object, at most.
    pub object_bytes: u64,
}

/// Judges it.
pub fn judge_kafka(asked: &KafkaAsked, seen: &Seen) -> CheckReport {
    let names = &asked.names;
    let mut topics: Vec<CheckFinding> =
        Topic::ALL.into_iter().rev().flat_map(|topic| of_topic(names, topic, seen)).collect();
    topics.push(partitions(names, seen));
    topics.extend(transactions(names, &seen.transactions));
    let log = vec![
        snapshots(seen),
        log_id(seen),
        tried("empty_block", "write a block without calls to the log", &seen.empty_block),
        tried(
            "transaction",
            format!("take the transactional id {}-check, which no partition has", names.name),
            &seen.transaction,
        ),
        difference(&seen.clock),
    ];
    let mut rights: Vec<CheckFinding> =
        seen.rights.iter().map(|(right, tried)| of_right(asked, *right, tried)).collect();
    rights.push(password(asked));
    let groups = vec![
        Group::new(&format!("topics at {}", names.brokers), topics),
        Group::new("the log", log),
        Group::new(&format!("rights of {}", asked.principal), rights),
        Group::new("cache", vec![cache(asked, of_log(seen))]),
    ];
    CheckReport { groups, estimate: None }
}

/// `partitions`: how many the topic has.
fn create(partitions: Option<u32>) -> Remedy {
    let partitions = partitions.unwrap_or(NEW_PARTITIONS);
    let command = format!("forebay kafka create --partitions {partitions}");
    Remedy::paste("make it, with the --config of a writer", command)
}

fn denied(what: &str) -> String {
    format!("not tested, because {what} is not allowed here")
}

/// What a topic has, setting by setting.
fn of_topic(names: &Names, topic: Topic, seen: &Seen) -> Vec<CheckFinding> {
    let name = topic.name(names);
    let (check, of_setting) = match topic {
        Topic::Log => ("calls_topic", "calls_topic_setting"),
        Topic::Notes => ("notes_topic", "notes_topic_setting"),
    };
    let trial = Trial::new(check, format!("look for the topic {name}"));
    let found = match seen.topics.get(&topic) {
        Some(Tried::Found(Some(found))) => found,
        Some(Tried::Found(None)) => return vec![trial.failed("there is no such topic", vec![create(None)])],
        Some(Tried::Failed(why)) => return vec![trial.failed(why.clone(), vec![reach()])],
        Some(Tried::NotTried(why)) => return vec![trial.not_tested(*why)],
        // A collector needs no right on the notes.
        Some(Tried::Denied) | None => return vec![trial.not_tested(denied("Describe"))],
    };
    let mut all = vec![copies(trial, names, topic, found)];
    all.extend(leaders(names, topic, found));
    let reported = match &found.settings {
        Tried::Found(reported) => reported.clone(),
        _ => std::collections::BTreeMap::new(),
    };
    let copies = found.replication.min(REPLICATION);
    all.extend(judge(topic, copies, &reported).into_iter().map(|(setting, standing)| {
        let trial = Trial::new(of_setting, format!("read {setting} of {name}"));
        match standing {
            Standing::Right(value) => trial.passed(format!("{setting} is {value}")),
            Standing::NotReported => trial
                .not_tested(format!("{setting} is not reported: the right DescribeConfigs may be missing")),
            Standing::Wrong(wrong) => trial.failed(why(&wrong), vec![change(names, &wrong)]),
        }
    }));
    all
}

fn reach() -> Remedy {
    Remedy::say("see that brokers run, and check kafka.brokers and kafka.security")
}

fn why(wrong: &Difference) -> String {
    let because = match wrong.setting {
        "min.insync.replicas" => "a call may be acknowledged that only one broker has",
        "unclean.leader.election.enable" => "a broker that lacks acknowledged calls may become the leader",
        "cleanup.policy" => "other policies delete records by key, and records here have none",
        "max.message.bytes" => "long requests would be refused",
        "message.timestamp.type" => "clocks of collectors would decide when calls are deleted",
        "retention.ms" if wrong.topic == Topic::Notes => "notes would be deleted, and partitions would stop",
        "retention.ms" => "what a bucket refuses would be deleted too early",
        _ => "records would be deleted by size",
    };
    format!("{} is {}, not {}: {because}", wrong.setting, wrong.found, wrong.expected)
}

/// How a difference is ended.
pub fn change(names: &Names, wrong: &Difference) -> Remedy {
    Remedy::paste("set it", set(names, wrong.topic, wrong.setting, &wrong.expected))
}

fn copies(trial: Trial, names: &Names, topic: Topic, found: &TopicSeen) -> CheckFinding {
    let partitions = counted(u64::from(found.partitions), "partition", "partitions");
    let copies = counted(u64::from(found.replication), "copy", "copies");
    let has = format!("it has {partitions} with {copies} of each");
    if found.replication >= REPLICATION {
        return trial.passed(has);
    }
    let remedy = Remedy::say(format!(
        "give {} {REPLICATION} copies with `kafka-reassign-partitions.sh`",
        topic.name(names)
    ));
    trial.warning(format!("{has}: with fewer than {REPLICATION}, calls end with a broker"), vec![remedy])
}

/// Partitions without a leader. Nothing is said of a topic whose partitions all have one.
fn leaders(names: &Names, topic: Topic, found: &TopicSeen) -> Option<CheckFinding> {
    let first = found.without_leader.first()?;
    let without = counted(found.without_leader.len() as u64, "partition has", "partitions have");
    let what = match topic {
        Topic::Log => "collectors cannot write to it, and calls that only it has wait",
        Topic::Notes => "no writer can own it",
    };
    let trial = Trial::new("leaders", format!("see who leads the partitions of {}", topic.name(names)));
    Some(trial.failed(
        format!("{without} no leader, the first of them partition {first}: {what}"),
        vec![Remedy::say("start the brokers that have its copies: `kafka-topics.sh --describe` names them")],
    ))
}

fn partitions(names: &Names, seen: &Seen) -> CheckFinding {
    let trial = Trial::new("partitions", "compare the numbers of partitions of both topics");
    let count = |topic| match seen.topics.get(&topic)?.found()? {
        Some(found) => Some(found.partitions),
        None => Some(0),
    };
    match (count(Topic::Log), count(Topic::Notes)) {
        (Some(log), Some(notes)) if log == notes => trial.passed(format!("both have {log}")),
        (Some(log), Some(notes)) => {
            let most = log.max(notes);
            let finish = format!("forebay kafka create --partitions {most}");
            let mut remedies = vec![Remedy::paste("finish what was begun", finish)];
            if log < notes {
                let by_hand = grow(names, Topic::Log, most);
                remedies.push(Remedy::paste("it ends with this command", by_hand));
            }
            trial.failed(
                format!(
                    "the calls have {log} partitions, the notes {notes}: what has no notes is not delivered"
                ),
                remedies,
            )
        }
        _ => trial.not_tested(denied("to see both")),
    }
}

/// The topic in which Kafka keeps transactions: the lock of each partition is there.
fn transactions(names: &Names, seen: &Tried<Option<TopicSeen>>) -> Vec<CheckFinding> {
    let trial = |what: &str| Trial::new("transaction_state", format!("read {what} of __transaction_state"));
    let found = match seen {
        Tried::Found(Some(found)) => found,
        Tried::Found(None) => {
            return vec![
                trial("copies").not_tested("not tested, because no transaction was ever begun here"),
            ];
        }
        Tried::Failed(why) => return vec![trial("copies").not_tested(why.clone())],
        Tried::NotTried(why) => return vec![trial("copies").not_tested(*why)],
        Tried::Denied => return vec![trial("copies").not_tested(denied("Describe"))],
    };
    let copies = trial("copies");
    let has = format!("it has {}", counted(u64::from(found.replication), "copy", "copies"));
    let copies = match found.replication {
        REPLICATION.. => copies.passed(has),
        _ => copies.warning(
            format!("{has}: the locks of partitions end with a broker"),
            vec![Remedy::say("give it 3 copies with `kafka-reassign-partitions.sh`")],
        ),
    };
    if found.replication <= 1 {
        // With two that must have a record, no transaction could be written any more.
        return vec![copies];
    }
    let setting = trial("min.insync.replicas");
    let reported = found.settings.found().and_then(|all| all.get("min.insync.replicas"));
    let in_sync = match reported.map(|value| (value, value.parse::<i64>())) {
        None => setting.not_tested("its min.insync.replicas is not reported"),
        Some((_, Ok(count))) if count >= TRANSACTIONS_IN_SYNC => {
            setting.passed(format!("its min.insync.replicas is {count}"))
        }
        Some((value, _)) => {
            let brokers = &names.brokers;
            let command = format!(
                "kafka-configs.sh --bootstrap-server {brokers} --alter --entity-type topics --entity-name \
                 __transaction_state --add-config min.insync.replicas=2"
            );
            setting.warning(
                format!(
                    "its min.insync.replicas is {value}: a lock may be acknowledged that only one broker has"
                ),
                vec![Remedy::paste("set it", command)],
            )
        }
    };
    vec![copies, in_sync]
}

/// How many partitions the log has, as far as it is seen.
fn of_log(seen: &Seen) -> Option<u32> {
    match seen.topics.get(&Topic::Log) {
        Some(Tried::Found(Some(found))) => Some(found.partitions),
        _ => None,
    }
}

fn snapshots(seen: &Seen) -> CheckFinding {
    let trial = Trial::new("first_notes", "read what the notes of each partition begin with");
    match &seen.first_notes {
        Tried::Found(FirstNotesSeen { other: Some(other), .. }) => trial.failed(
            format!(
                "those of partition {} belong to kafka.name {:?}, kafka.group {:?} and log id {}: writers stop there",
                other.partition, other.name, other.group, other.log_id
            ),
            vec![Remedy::say("use the names with which the topics were made, or other topics")],
        ),
        Tried::Found(FirstNotesSeen { without, .. }) => match without.first() {
            None => trial.passed("each partition has them"),
            Some(first) => trial.failed(
                format!(
                    "{} none, the first of them partition {first}: no writer can begin there",
                    counted(without.len() as u64, "partition has", "partitions have")
                ),
                vec![create(of_log(seen))],
            ),
        },
        Tried::Denied => trial.not_tested(denied("Read on the notes")),
        Tried::Failed(why) => trial.failed(why.clone(), vec![reach()]),
        Tried::NotTried(why) => trial.not_tested(*why),
    }
}

fn log_id(seen: &Seen) -> CheckFinding {
    let trial = Trial::new("log_id", "ask the group of the writers for the log id");
    match &seen.has_log_id {
        Tried::Found(true) => trial.passed("it has it"),
        Tried::Found(false) => trial.warning(
            "the group does not have it, so answers of collectors have no receipts yet",
            vec![Remedy::say("start a writer, or run `forebay kafka create` again")],
        ),
        Tried::Denied => trial.not_tested(denied("Describe on the group")),
        Tried::Failed(why) => trial.failed(why.clone(), vec![reach()]),
        Tried::NotTried(why) => trial.not_tested(*why),
    }
}

/// Something that works, or does not. A missing right has a finding of its own.
fn tried(check: &'static str, what: impl Into<String>, tried: &Tried<()>) -> CheckFinding {
    let trial = Trial::new(check, what);
    match tried {
        Tried::Found(()) => trial.passed("it works"),
        Tried::Denied => trial.failed("the brokers refuse it: see the rights below", Vec::new()),
        Tried::Failed(why) => trial.failed(why.clone(), vec![reach()]),
        Tried::NotTried(why) => trial.not_tested(*why),
    }
}

fn of_right(asked: &KafkaAsked, right: Right, tried: &Tried<()>) -> CheckFinding {
    let names = &asked.names;
    let on = match right.on {
        On::Log => format!("the topic {}", names.topic),
        On::Notes => format!("the topic {}", names.notes_topic),
        On::Group => format!("the group {}", names.group),
        On::Transactions => format!("transactional ids {}-*", names.name),
    };
    let what = format!("{} on {on}", right.operation);
    let trial = Trial::new("right", format!("use {what}"));
    let remedy = || {
        let command = grant(names, &asked.principal, right.on, &[right.operation]);
        vec![Remedy::paste("grant it", command)]
    };
    match (tried, right.operation) {
        (Tried::Found(()), _) => trial.passed(what),
        (Tried::Denied, "DescribeConfigs") => trial.warning(
            format!(
                "{what} is missing: a writer does not know for how long the log is kept, so no alarm says in time that \
                 calls are about to be lost"
            ),
            remedy(),
        ),
        (Tried::Denied, "Delete") => {
            trial.warning(format!("{what} is missing: notes are never deleted, and only grow"), remedy())
        }
        (Tried::Denied, _) => trial.failed(format!("{what} is missing"), remedy()),
        (Tried::Failed(why), _) => trial.not_tested(format!("{what} was not tested: {why}")),
        (Tried::NotTried(why), _) => trial.not_tested(format!("{what} was not tested: {why}")),
    }
}

fn password(asked: &KafkaAsked) -> CheckFinding {
    let trial = Trial::new("password", "see how the password goes to brokers");
    match asked.clear_password {
        false => trial.passed("none is sent in clear text"),
        true => trial.warning(
            "it is sent in clear text",
            vec![Remedy::say("set tls = true in kafka.security, in a build with the feature kafka-tls")],
        ),
    }
}

fn difference(seen: &Tried<(i64, u64)>) -> CheckFinding {
    let trial = Trial::new("kafka_clock", "compare a broker's time of a record with this machine's clock");
    let (ahead, took) = match seen {
        Tried::Found(found) => found,
        Tried::Denied => return trial.not_tested(denied("to write")),
        Tried::Failed(why) => return trial.not_tested(why.clone()),
        Tried::NotTried(why) => return trial.not_tested(format!("not tested, because {why}")),
    };
    let off = Duration::from_millis(ahead.unsigned_abs());
    let way = if *ahead > 0 { "ahead of" } else { "behind" };
    let what = format!("this machine's clock is {} {way} the broker's", about_duration(off));
    match off {
        off if off > CLOCKS_DIFFER => {
            trial.failed(format!("{what}: a writer with it ends no day"), vec![fix::set_the_clock()])
        }
        off if off > clock::WARN_ABOVE => trial.warning(what, vec![fix::set_the_clock()]),
        off if off.is_zero() => trial.passed(format!("they agree (within {took} ms)")),
        _ => trial.passed(what),
    }
}

/// A size is advised in whole gigabytes.
const GB: u64 = 1_000_000_000;

/// How many objects an hour a small source gets: the caches hold its calls only for so long.
fn cache(asked: &KafkaAsked, partitions: Option<u32>) -> CheckFinding {
    let trial = Trial::new("cache", "compare kafka.cache_bytes with the rate of calls");
    let Some(cache) = asked.cache_bytes else {
        return trial
            .not_tested("not tested: a collector has no cache; check with the configuration of a writer");
    };
    // One writer may have to own all.
    let least = least(asked.object_bytes).saturating_mul(u64::from(partitions.unwrap_or(1)));
    if cache < least {
        return trial.warning(
            format!(
                "a cache of {} has no room for two objects of {} in each of {}: an object that its bucket refused may not be \
                 built again",
                about_bytes(cache),
                about_bytes(asked.object_bytes),
                counted(u64::from(partitions.unwrap_or(1)), "partition", "partitions")
            ),
            vec![Remedy::say(format!(
                "set kafka.cache_bytes to {} or more, or flush.max_bytes to less",
                about_bytes(least.div_ceil(GB).saturating_mul(GB))
            ))],
        );
    }
    let Some(calls) = asked.calls_per_second else {
        return trial.not_tested("not tested: give --rate, the calls per second of all sources together");
    };
    let rate = calls.saturating_mul(asked.call_bytes).saturating_mul(FRAME_PERCENT) / 100;
    let (max_age, all) = (asked.max_age, cache.saturating_mul(asked.writers));
    let stays = waits(all, rate);
    let caches = format!("{} of {}", counted(asked.writers, "cache", "caches"), about_bytes(cache));
    if stays >= max_age {
        let objects = 3_600_u64.div_ceil(max_age.as_secs().max(1));
        return trial.passed(format!(
            "{caches} hold {} calls/s for {}, so a small source gets {} an hour",
            grouped(calls),
            about_duration(max_age),
            counted(objects, "object", "objects")
        ));
    }
    let objects = 3_600_u64.div_ceil(stays.as_secs().max(1));
    let needed = cache_asked(max_age, asked.object_bytes, &[(0, rate)].into()).div_ceil(asked.writers.max(1));
    // What is printed has to be enough.
    let needed = needed.div_ceil(GB).saturating_mul(GB);
    trial.warning(
        format!(
            "{caches} hold {} calls/s for {}, so a small source gets {} an hour",
            grouped(calls),
            about_duration(stays),
            counted(objects, "object", "objects")
        ),
        vec![Remedy::say(format!(
            "set kafka.cache_bytes of each writer to {} for one object in each {}, or add writers",
            about_bytes(needed),
            about_duration(max_age)
        ))],
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::super::finding::Outcome;
    use super::*;
    use crate::partition::state::Identity;
    use crate::partition::topics::{User, rights, settings};

    fn asked() -> KafkaAsked {
        KafkaAsked {
            names: Names {
                brokers: "kafka-1:9092".into(),
                name: "shop".into(),
                topic: "shop-calls".into(),
                notes_topic: "shop-notes".into(),
                group: "shop-writers".into(),
            },
            principal: "User:shop".into(),
            clear_password: false,
            cache_bytes: Some(50_000_000_000),
            writers: 2,
            calls_per_second: Some(10_000),
            call_bytes: 1_000,
            max_age: Duration::from_secs(3_600),
            object_bytes: 100_000_000,
        }
    }

    fn topic(topic: Topic) -> TopicSeen {
        let settings = settings(topic, 3).into_iter().map(|(name, value)| (name.to_owned(), value));
        TopicSeen {
            partitions: 12,
            replication: 3,
            without_leader: Vec::new(),
            settings: Tried::Found(settings.collect()),
        }
    }

    fn seen() -> Seen {
        let in_sync = BTreeMap::from([("min.insync.replicas".to_owned(), "2".to_owned())]);
        Seen {
            user: User::Writer,
            topics: Topic::ALL.map(|one| (one, Tried::Found(Some(topic(one))))).into(),
            transactions: Tried::Found(Some(TopicSeen {
                partitions: 50,
                replication: 3,
                without_leader: Vec::new(),
                settings: Tried::Found(in_sync),
            })),
            first_notes: Tried::Found(FirstNotesSeen::default()),
            has_log_id: Tried::Found(true),
            empty_block: Tried::NotTried("a writer does not need it"),
            transaction: Tried::Found(()),
            rights: rights(User::Writer).into_iter().map(|right| (right, Tried::Found(()))).collect(),
            clock: Tried::Found((0, 4)),
        }
    }

    /// The outcomes that are not passed, with what was tried.
    fn beside_passed(asked: &KafkaAsked, seen: &Seen) -> Vec<(Outcome, String)> {
        let report = judge_kafka(asked, seen);
        let all = report.groups.into_iter().flat_map(|group| group.findings);
        all.filter(|one| one.outcome != Outcome::Passed).map(|one| (one.outcome, one.tried)).collect()
    }

    fn check(change: impl FnOnce(&mut KafkaAsked, &mut Seen), outcome: Outcome, tried: &str) {
        let (mut asked, mut seen) = (asked(), seen());
        change(&mut asked, &mut seen);
        let found = beside_passed(&asked, &seen);
        assert!(found.iter().any(|one| one.0 == outcome && one.1.contains(tried)), "{tried}: {found:?}");
    }

    #[test]
    fn a_log_as_it_should_be_passes() {
        let found = beside_passed(&asked(), &seen());
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!(found[0].0, Outcome::NotTested);
    }

    #[test]
    fn each_wrong_setting_is_named_with_its_command() {
        for (one, setting, value) in [
            (Topic::Log, "min.insync.replicas", "1"),
            (Topic::Log, "unclean.leader.election.enable", "true"),
            (Topic::Log, "message.timestamp.type", "CreateTime"),
            (Topic::Notes, "cleanup.policy", "compact"),
            (Topic::Notes, "retention.ms", "604800000"),
            (Topic::Log, "max.message.bytes", "1048588"),
            (Topic::Log, "retention.bytes", "1000"),
        ] {
            let mut found = topic(one);
            let Tried::Found(settings) = &mut found.settings else { unreachable!() };
            settings.insert(setting.to_owned(), value.to_owned());
            let mut seen = seen();
            seen.topics.insert(one, Tried::Found(Some(found)));
            let report = judge_kafka(&asked(), &seen);
            assert_eq!(report.summary().failed, 1, "{setting}");
            let text = report.text();
            assert!(text.contains(&format!("{setting} is {value}")), "{text}");
            assert!(text.contains("--add-config"), "{text}");
        }
    }

    #[test]
    fn what_is_missing_is_named() {
        let failed = Outcome::Failed;
        check(|_, seen| drop(seen.topics.insert(Topic::Log, Tried::Found(None))), failed, "shop-calls");
        check(
            |_, seen| {
                let fewer = TopicSeen { partitions: 8, ..topic(Topic::Log) };
                seen.topics.insert(Topic::Log, Tried::Found(Some(fewer)));
            },
            failed,
            "numbers of partitions",
        );
        let of_notes =
            |found| move |_: &mut KafkaAsked, seen: &mut Seen| seen.first_notes = Tried::Found(found);
        let without = FirstNotesSeen { without: vec![3, 4], other: None };
        check(of_notes(without), failed, "notes of each partition");
        let other = Identity {
            name: "old".into(),
            group: "shop-writers".into(),
            log_id: "1".into(),
            partition: 2,
            window: 1,
        };
        let other = FirstNotesSeen { without: Vec::new(), other: Some(other) };
        check(of_notes(other), failed, "notes of each partition");
        for one in Topic::ALL {
            let unled = TopicSeen { without_leader: vec![3], ..topic(one) };
            let unled = |_: &mut KafkaAsked, seen: &mut Seen| {
                seen.topics.insert(one, Tried::Found(Some(unled)));
            };
            check(unled, failed, "who leads the partitions");
        }
        check(|_, seen| seen.clock = Tried::Found((-31_000, 4)), failed, "clock");
        check(|_, seen| seen.clock = Tried::Found((6_000, 4)), Outcome::Warning, "clock");
        check(|_, seen| seen.has_log_id = Tried::Found(false), Outcome::Warning, "log id");
        check(|_, seen| seen.transaction = Tried::Failed("away".into()), failed, "shop-check");
        check(|asked, _| asked.clear_password = true, Outcome::Warning, "password");
        let few = TopicSeen { settings: Tried::Denied, replication: 1, ..topic(Topic::Notes) };
        check(
            |_, seen| seen.transactions = Tried::Found(Some(few.clone())),
            Outcome::Warning,
            "copies of __transaction_state",
        );
        let mut seen = seen();
        seen.transactions = Tried::Found(Some(few));
        let report = judge_kafka(&asked(), &seen).text();
        assert!(report.contains("it has 1 copy:"), "{report}");
        assert!(!report.contains("min.insync.replicas=2"), "it would stop all transactions: {report}");
    }

    #[test]
    fn each_missing_right_is_named_with_the_command_that_grants_it() {
        for user in [User::Collector, User::Writer] {
            for right in rights(user) {
                let mut seen = seen();
                seen.rights = vec![(right, Tried::Denied)];
                let report = judge_kafka(&asked(), &seen);
                let text = report.text();
                assert!(
                    text.contains(&format!("{} on ", right.operation)) && text.contains("is missing"),
                    "{text}"
                );
                let grants = format!("--operation {}", right.operation);
                assert!(text.contains(&grants) && text.contains("User:shop"), "{text}");
                assert_eq!(report.summary().failed + report.summary().warnings, 1, "{text}");
            }
        }
    }

    #[test]
    fn what_brokers_do_not_report_is_not_tested() {
        let not_tested = Outcome::NotTested;
        check(
            |_, seen| {
                let silent = TopicSeen { settings: Tried::Denied, ..topic(Topic::Log) };
                seen.topics.insert(Topic::Log, Tried::Found(Some(silent)));
            },
            not_tested,
            "retention.ms of shop-calls",
        );
        check(|_, seen| drop(seen.topics.insert(Topic::Notes, Tried::Denied)), not_tested, "shop-notes");
        check(|_, seen| seen.transactions = Tried::Found(None), not_tested, "__transaction_state");
        check(|asked, _| asked.calls_per_second = None, not_tested, "cache_bytes");
        check(|asked, _| asked.cache_bytes = None, not_tested, "cache_bytes");
    }

    #[test]
    fn a_small_cache_is_a_warning_with_the_size_that_is_needed() {
        let check = |asked: &KafkaAsked, expected: [&str; 2]| {
            let text = judge_kafka(asked, &seen()).text();
            let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(expected.iter().all(|words| text.contains(words)), "{text}");
        };
        let hot = KafkaAsked { calls_per_second: Some(100_000), ..asked() };
        check(&hot, ["6 objects an hour", "284 GB"]);
        let small = KafkaAsked { cache_bytes: Some(2_000_000_000), ..asked() };
        check(
            &small,
            ["two objects of 100 MB in each of 12 partitions", "kafka.cache_bytes to 4 GB or more"],
        );
    }
}
