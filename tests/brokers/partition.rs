//! A partition of a test: its topics, its first notes, terms, and blocks of calls.

use std::sync::Arc;
use std::time::Duration;

use forebay::kafka::begin::{Began, Beginning, Follows, NotBegun, Term, begin};
use forebay::kafka::create::{Created, first_snapshot};
use forebay::kafka::settings::Settings;
use forebay::log::frame::{self, FrameKind};
use forebay::object::Stream;
use forebay::partition::block::{self, BlockAt, CollectorId, Part};
use forebay::partition::group::Metadata;
use forebay::partition::note::TermNote;
use forebay::partition::state::Identity;
use forebay::receipt;
use forebay::runtime::SystemClock;
use forebay::sources::SourceId;
use forebay::time::{Clock, UnixMillis};

use rdkafka::error::KafkaResult;
use rdkafka::producer::BaseRecord;

use crate::cluster::Cluster;
use crate::support::{CALL, Reporting, grow_topic, make_topic, producer, unique, until};

/// Frames of the window of repeats.
pub(crate) const WINDOW: u64 = 1_000;

/// A partition with its first notes.
#[derive(Clone, Debug)]
pub(crate) struct Partition {
    pub(crate) settings: Settings,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Partition {
    /// New topics, as `forebay kafka create` makes them, with these settings of the log besides.
    pub(crate) fn make(cluster: &Cluster, of_log: &[(&str, &str)]) -> Self {
        Self::make_many(cluster, 1, of_log)
    }

    /// The same with so many partitions.
    pub(crate) fn make_many(cluster: &Cluster, partitions: u32, of_log: &[(&str, &str)]) -> Self {
        let partition = Self::named(&cluster.brokers(), &unique("events"));
        let settings = &partition.settings;
        let all = [("message.timestamp.type", "LogAppendTime"), ("max.message.bytes", "5242880")];
        let count = i32::try_from(partitions).unwrap();
        make_topic(cluster, &settings.topic, count, &[&all, of_log].concat());
        make_topic(cluster, &settings.notes_topic, count, &[&all[..], &[("retention.ms", "-1")]].concat());
        for number in 0..partitions {
            assert_eq!(partition.create_number(number), Created::Written);
        }
        partition
    }

    /// The partition with this name.
    pub(crate) fn named(brokers: &str, name: &str) -> Self {
        let settings = Settings {
            brokers: brokers.to_owned(),
            group: format!("{name}-writers"),
            topic: format!("{name}-calls"),
            notes_topic: format!("{name}-notes"),
            name: name.to_owned(),
            transaction_timeout: Duration::from_secs(10),
            more: Vec::new(),
        };
        Self { settings, clock: Arc::new(SystemClock::new()) }
    }

    /// Writes the first notes, if there are none.
    pub(crate) fn create(&self) -> Created {
        self.create_number(0)
    }

    /// Adds partitions, as `forebay kafka create` does: notes, their snapshots, and then the log.
    pub(crate) fn grow(&self, cluster: &Cluster, from: u32, to: u32) {
        grow_topic(cluster, &self.settings.notes_topic, to);
        for number in from..to {
            assert_eq!(self.create_number(number), Created::Written);
        }
        grow_topic(cluster, &self.settings.topic, to);
    }

    fn create_number(&self, partition: u32) -> Created {
        first_snapshot(&self.settings, self.identity(partition), &self.clock).unwrap()
    }

    /// Whose a partition is.
    pub(crate) fn identity(&self, partition: u32) -> Identity {
        Identity {
            name: self.settings.name.clone(),
            group: self.settings.group.clone(),
            log_id: "0123456789abcdef".repeat(2),
            partition,
            window: WINDOW,
        }
    }

    pub(crate) fn begin_with(&self, metadata: Option<Metadata>, cache_of: Option<&str>) -> Began {
        self.try_number(0, metadata, cache_of)
    }

    fn try_number(&self, partition: u32, metadata: Option<Metadata>, cache_of: Option<&str>) -> Began {
        // After a change of leaders notes or log may not be readable at once.
        until("a term to be tried", CALL * 2, || {
            let note = TermNote { token: unique("term"), version: "test".into(), host: "test".into() };
            let (metadata, cache_of) = (metadata.clone(), cache_of.map(str::to_owned));
            let beginning = Beginning { partition, note, metadata, cache_of };
            begin(&self.settings, beginning, &self.clock, Follows::of(&|| true)).ok()
        })
    }

    /// A term with this token.
    pub(crate) fn try_to_begin(&self, token: &str) -> Result<Began, NotBegun> {
        let note = TermNote { token: token.to_owned(), version: "test".into(), host: "test".into() };
        let beginning = Beginning { partition: 0, note, metadata: None, cache_of: None };
        begin(&self.settings, beginning, &self.clock, Follows::of(&|| true))
    }

    /// A term that begins.
    pub(crate) fn begin(&self) -> Term {
        self.begin_number(0)
    }

    /// A term of this partition.
    pub(crate) fn begin_number(&self, partition: u32) -> Term {
        match self.try_number(partition, None, None) {
            Began::Live(term) => *term,
            other => panic!("{other:?}"),
        }
    }
}

/// A collector with one block in flight.
pub(crate) struct Collector {
    topic: String,
    partition: i32,
    producer: Reporting,
    id: CollectorId,
    number: u64,
    /// Whether records say that they were written when their calls were received.
    backdates: bool,
}

impl Collector {
    pub(crate) fn new(cluster: &Cluster, partition: &Partition, id: u128) -> Self {
        Self::giving_up_after("0", cluster, partition, id)
    }

    /// One whose producer gives up after these milliseconds, which Forebay's never does.
    pub(crate) fn giving_up_after(ms: &str, cluster: &Cluster, partition: &Partition, id: u128) -> Self {
        let settings = [("enable.idempotence", "true"), ("acks", "all"), ("message.timeout.ms", ms)];
        // A broker that is stopped keeps its connections.
        let more = [("compression.type", "lz4"), ("socket.timeout.ms", "5000")];
        let producer = producer(cluster, &[&settings[..], &more].concat());
        let (topic, id) = (partition.settings.topic.clone(), CollectorId(id));
        Self { topic, partition: 0, producer, id, number: 0, backdates: false }
    }

    /// The same for another partition.
    pub(crate) fn in_partition(mut self, partition: i32) -> Self {
        self.partition = partition;
        self
    }

    /// The same for a log whose records have the times of their producers.
    pub(crate) fn backdating(mut self) -> Self {
        self.backdates = true;
        self
    }

    /// The next block is another one.
    pub(crate) fn next_number(&mut self) {
        self.number += 1;
    }

    /// Writes a block with these calls of a source, received at this time. It is acknowledged.
    pub(crate) fn send(&mut self, source: &str, calls: &[&str], at: UnixMillis) -> BlockAt {
        self.number += 1;
        self.send_again(source, calls, at)
    }

    /// The same with the number of the last block: a second copy, as far as a reader can see.
    pub(crate) fn send_again(&mut self, source: &str, calls: &[&str], at: UnixMillis) -> BlockAt {
        self.try_again(source, calls, at).unwrap()
    }

    /// The same, which may fail.
    pub(crate) fn try_again(&mut self, source: &str, calls: &[&str], at: UnixMillis) -> KafkaResult<BlockAt> {
        let part = part(source, calls, at, 0);
        self.try_write(&block::write(self.id, self.number, [&part]), at)
    }

    /// Writes one block with a call of each of these sources.
    pub(crate) fn send_of_each(&mut self, calls: &[(&str, String)], at: UnixMillis) {
        self.number += 1;
        let parts: Vec<Part> = calls.iter().map(|(source, call)| part(source, &[call], at, 0)).collect();
        self.write(&block::write(self.id, self.number, &parts), at);
    }

    /// As [`Collector::send`], with so many more bytes in each line, which hardly compress.
    pub(crate) fn send_long(&mut self, source: &str, calls: &[&str], at: UnixMillis, more: usize) {
        self.number += 1;
        let part = part(source, calls, at, more);
        self.write(&block::write(self.id, self.number, [&part]), at);
    }

    /// Writes a record with this value.
    pub(crate) fn send_bytes(&mut self, value: &[u8]) -> BlockAt {
        self.write(value, UnixMillis(0))
    }

    fn write(&mut self, value: &[u8], at: UnixMillis) -> BlockAt {
        self.try_write(value, at).unwrap()
    }

    fn try_write(&mut self, value: &[u8], at: UnixMillis) -> KafkaResult<BlockAt> {
        let mut record = BaseRecord::to(&self.topic).partition(self.partition).payload(value);
        if self.backdates {
            record = record.timestamp(at.0);
        }
        let offset = crate::support::send_record(&self.producer, record)?;
        let offset = u64::try_from(offset).unwrap();
        Ok(BlockAt { offset, collector: self.id, number: self.number })
    }
}

/// Text that compresses by a quarter at most.
fn noise(bytes: usize, seed: u64) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut state = seed | 1;
    (0..bytes)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            char::from(LETTERS[usize::try_from(state % 64).unwrap()])
        })
        .collect()
}

/// Calls with the messageIds `calls`, and so many more bytes in each.
fn part(source: &str, calls: &[&str], at: UnixMillis, more: usize) -> Part {
    let source = SourceId::new(source).unwrap();
    let mut bytes = Vec::new();
    for call in calls {
        let fingerprint = call.bytes().fold(7_u128, |sum, byte| sum.wrapping_mul(257) + u128::from(byte));
        let seed = u64::try_from(fingerprint & u128::from(u64::MAX)).unwrap();
        let more = noise(more, seed);
        let start = frame::begin(&mut bytes, FrameKind::Call, (Some(&source), ""), at, None);
        bytes.extend_from_slice(format!("{{\"messageId\":\"{call}\",\"more\":\"{more}\"}}").as_bytes());
        // As of a collector that gives receipts.
        if receipt::keep_room(&mut bytes) {
            frame::set_says_position(&mut bytes, start);
        }
        frame::finish(&mut bytes, start, fingerprint);
    }
    Part::new(source, Stream::Calls, u32::try_from(calls.len()).unwrap(), bytes)
}
