//! `[kafka]`: the log that takes the place of the spool. Only builds with the feature `kafka` know it.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::kafka_security::{Security, security};
use super::problem::ConfigProblem;
use super::raw::{Entry, Table, Typed};
use super::reader::{self, Reader};
use super::secret::{self, Outside};
use super::values::Words;

/// The longest `kafka.name`: node names of partitions are made of it.
const NAME_MAX: usize = 26;
/// The longest name of a topic or a group.
const TOPIC_MAX: usize = 249;
/// Settings of the client's library that Forebay sets, by all of their names: a promise depends on them, or a bound.
const OWN: [&str; 34] = [
    "bootstrap.servers",
    "metadata.broker.list",
    "client.id",
    "group.id",
    "group.instance.id",
    "transactional.id",
    "transaction.timeout.ms",
    "enable.idempotence",
    "acks",
    "request.required.acks",
    "message.timeout.ms",
    "delivery.timeout.ms",
    "linger.ms",
    "queue.buffering.max.ms",
    "compression.codec",
    "fetch.queue.backoff.ms",
    "message.max.bytes",
    "queue.buffering.max.kbytes",
    "socket.timeout.ms",
    "request.timeout.ms",
    "reconnect.backoff.max.ms",
    "enable.auto.commit",
    "enable.auto.offset.store",
    "auto.offset.reset",
    "enable.partition.eof",
    "isolation.level",
    "check.crcs",
    "fetch.message.max.bytes",
    "max.partition.fetch.bytes",
    "queued.max.messages.kbytes",
    "queue.buffering.max.messages",
    "allow.auto.create.topics",
    "delivery.report.only.error",
    "statistics.interval.ms",
];
/// How names begin that are refused too: settings of the library's own tests, and what the members of a group agree on.
const OWN_BEGIN: [&str; 2] = ["test.", "partition.assignment."];
const ROLE: Words<KafkaRole> = &[("collector", KafkaRole::Collector), ("writer", KafkaRole::Writer)];
const EXTRA_FORM: &str = "expected a table of texts, such as { \"client.rack\" = \"eu-west-1a\" }";

/// The default of `cache_bytes`.
const CACHE_BYTES: u64 = 50_000_000_000;
/// The least `cache_bytes`: segments of one partition.
const CACHE_BYTES_MIN: u64 = 128 << 20;
/// The most `cache_bytes`.
const CACHE_BYTES_MAX: u64 = 100_000_000_000_000;
/// The default of `day_grace`: far more than a request may wait for its answer.
const DAY_GRACE: Duration = Duration::from_secs(120);
/// The longest `day_grace`, in seconds.
const DAY_GRACE_MAX: u64 = 3_600;
/// The longest name of a member.
const INSTANCE_MAX: usize = 100;

/// What a process does with the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KafkaRole {
    /// It takes calls, and needs no disk.
    Collector,
    /// It delivers calls that collectors took.
    Writer,
}

impl KafkaRole {
    /// Its word in a configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Collector => "collector",
            Self::Writer => "writer",
        }
    }
}

/// `[kafka]`: where the log is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kafka {
    /// What this process does.
    pub role: KafkaRole,
    /// Addresses of brokers, separated by commas; at least one.
    pub brokers: String,
    /// The name of the log: `[a-z0-9-]{1,26}`.
    pub name: String,
    /// The topic of the calls.
    pub topic: String,
    /// The topic of the notes.
    pub notes_topic: String,
    /// The group of the writers.
    pub group: String,
    /// How long a request waits until the brokers have its calls. For collectors.
    pub answer_within: Duration,
    /// The folder of the caches. Set in writers.
    pub cache_dir: Option<PathBuf>,
    /// Bytes of all caches together. For writers.
    pub cache_bytes: u64,
    /// How long after a day it is ended. For writers.
    pub day_grace: Duration,
    /// The name under which a writer is a member of the group, also after a restart.
    pub instance: Option<String>,
    /// How it proves to brokers who it is.
    pub security: Security,
    /// More settings of the client's library.
    pub extra: Extra,
}

impl Kafka {
    /// The settings of the client's library that the configuration asks for.
    pub fn client_settings(&self) -> Vec<(String, String)> {
        self.security.client_settings().into_iter().chain(self.extra.0.iter().cloned()).collect()
    }
}

/// Names and values of settings, some of which may be secret.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Extra(pub Vec<(String, String)>);

impl fmt::Debug for Extra {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

/// Reads the section. What only the other role uses is checked and has no effect, so one file can serve both.
pub(super) fn check(
    table: &Table,
    outside: &Outside<'_>,
    problems: &mut Vec<ConfigProblem>,
) -> Option<Kafka> {
    let mut reader = Reader::new(table, problems);
    for (needed, what) in
        [("role", "\"collector\" or \"writer\""), ("brokers", "a list such as [\"kafka-1:9092\"]")]
    {
        if !reader.has(needed) {
            reader.refuse(needed, format!("is not set: expected {what}"));
        }
    }
    let role = reader.optional("role", reader::one_of(ROLE));
    let brokers = reader.optional("brokers", reader::list("a list such as [\"kafka-1:9092\"]", broker));
    if brokers.as_ref().is_some_and(Vec::is_empty) {
        reader.refuse("brokers", "needs at least one address, such as [\"kafka-1:9092\"]");
    }
    let name = reader.get("name", "forebay".to_owned(), reader::formed("1 to 26 of a-z 0-9 -", name));
    let mut topic = |key, suffix: &str| {
        let form = "1 to 249 of A-Z a-z 0-9 . _ -";
        reader.get(key, format!("{name}-{suffix}"), reader::formed(form, topic))
    };
    let [calls, notes, group] = [("topic", "calls"), ("notes_topic", "notes"), ("group", "writers")]
        .map(|(key, suffix)| topic(key, suffix));
    // A whole request may take 30 s.
    let answer_within = reader.seconds("answer_within", Duration::from_secs(15), 1..=25);
    let cache_dir = reader.optional("cache_dir", reader::path);
    if role == Some(KafkaRole::Writer) && !reader.has("cache_dir") {
        reader.refuse(
            "cache_dir",
            "is not set: expected a folder for a writer alone, such as \"/var/lib/forebay\"",
        );
    }
    let cache_bytes = reader.size("cache_bytes", CACHE_BYTES, CACHE_BYTES_MIN..=CACHE_BYTES_MAX);
    // A request may wait 25 s for its answer, and clocks may differ by 30 s.
    let day_grace = reader.seconds("day_grace", DAY_GRACE, 60..=DAY_GRACE_MAX);
    let instance = reader.optional("instance", reader::formed("1 to 100 of A-Z a-z 0-9 . _ -", instance));
    let extra = reader.get("extra", Extra::default(), |value| extra(value, outside));
    let security = reader.get("security", Security::default(), |value| security(value, outside));
    let of_security = security.client_settings();
    if let Some((twice, _)) = extra.0.iter().find(|(name, _)| of_security.iter().any(|(of, _)| of == name)) {
        reader.refuse("extra", format!("must not have {twice:?}, which kafka.security sets"));
    }
    if calls == notes {
        reader.refuse("notes_topic", "is the topic of the calls: give each its own");
    }
    let brokers = brokers?.join(",");
    Some(Kafka {
        role: role?,
        brokers,
        name,
        topic: calls,
        notes_topic: notes,
        group,
        answer_within,
        cache_dir,
        cache_bytes,
        day_grace,
        instance,
        security,
        extra,
    })
}

fn broker(text: &str) -> Result<String, String> {
    let form = || format!("expected host:port, such as \"kafka-1:9092\", found {text:?}");
    let (host, port) = text.rsplit_once(':').ok_or_else(form)?;
    let is_host =
        !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b));
    match port.parse::<u16>() {
        Ok(1..) if is_host => Ok(text.to_owned()),
        _ => Err(form()),
    }
}

fn name(text: &str) -> Option<String> {
    let is_of = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    ((1..=NAME_MAX).contains(&text.len()) && text.bytes().all(is_of)).then(|| text.to_owned())
}

fn topic(text: &str) -> Option<String> {
    let is_of = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    let fits = (1..=TOPIC_MAX).contains(&text.len()) && text != "." && text != "..";
    (fits && text.bytes().all(is_of)).then(|| text.to_owned())
}

fn instance(text: &str) -> Option<String> {
    topic(text).filter(|text| text.len() <= INSTANCE_MAX)
}

fn extra(value: &Typed, outside: &Outside<'_>) -> Result<Extra, String> {
    let Typed::Table(entries) = value else { return Err(EXTRA_FORM.to_owned()) };
    let one = |(name, entry): &(String, Entry)| {
        if OWN.contains(&name.as_str()) || OWN_BEGIN.iter().any(|begin| name.starts_with(begin)) {
            return Err(format!("must not have {name:?}, which Forebay sets"));
        }
        let (text, from) = secret::resolve(&entry.value, EXTRA_FORM, outside)?;
        if text.contains('\0') {
            return Err(format!("{from}{name:?} has a byte 0"));
        }
        Ok((name.clone(), text))
    };
    entries.iter().map(one).collect::<Result<_, _>>().map(Extra)
}
