//! What the tests on brokers share: waiting, skipping, topics, and clients that read or write a partition.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use forebay::dev_s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::{ClientContext, DefaultClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext};
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::cluster::Cluster;

/// The program, without what this run has in its environment for tests. Returns its exit code and what it says.
pub(crate) fn run_program(folder: &Path, words: &[&str], secret: &str) -> (i32, String, String) {
    let mut command = Command::new(program());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FOREBAY_") {
            command.env_remove(name);
        }
    }
    command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
    let ended = command.args(words).current_dir(folder).env("KAFKA_PASSWORD", secret).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended.status.code().unwrap(), text(ended.stdout), text(ended.stderr))
}

/// The program under test: the one that Cargo built, or the one in `FOREBAY_BIN`.
pub(crate) fn program() -> OsString {
    std::env::var_os("FOREBAY_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_forebay").into())
}

/// Time for one call of a broker that answers.
pub(crate) const CALL: Duration = Duration::from_secs(30);

/// Reports that a test was skipped, and why.
///
/// # Panics
///
/// With `FOREBAY_NO_SKIP`, which the commands that run tests on brokers set.
pub(crate) fn skipped(why: &str) {
    assert!(std::env::var_os("FOREBAY_NO_SKIP").is_none(), "this test was asked for, and cannot run: {why}");
    // Bypasses the test runner, which hides the output of passing tests.
    let said = writeln!(std::io::stderr(), "\n*** SKIPPED, NOT PASSED: {why} ***\n");
    said.unwrap();
}

/// Checks `condition` until it returns a value.
///
/// # Panics
///
/// If it returns none within `limit`; the message names `what`.
pub(crate) fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(began.elapsed() < limit, "timed out after {limit:?} waiting for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A time that the environment may set in seconds, so that a command can ask for a longer run.
pub(crate) fn seconds(name: &str, or: u64) -> Duration {
    Duration::from_secs(number(name, or))
}

/// A number that the environment may set.
pub(crate) fn number(name: &str, or: u64) -> u64 {
    std::env::var_os(name).map_or(or, |number| number.into_string().unwrap().parse().unwrap())
}

/// Kilobytes of memory that this process has.
pub(crate) fn resident_kb() -> u64 {
    kilobytes("self", "VmRSS:")
}

/// Kilobytes of memory that the process with this id had at most.
pub(crate) fn most_resident_kb(process: u32) -> u64 {
    kilobytes(&process.to_string(), "VmHWM:")
}

fn kilobytes(process: &str, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// A name that no other test of this run has.
pub(crate) fn unique(what: &str) -> String {
    static LAST: AtomicU32 = AtomicU32::new(0);
    format!("{what}-{}", LAST.fetch_add(1, Ordering::Relaxed))
}

/// Waits for what the administrator's client does.
pub(crate) fn wait_for<T>(doing: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(doing)
}

/// The administrator's client.
pub(crate) fn admin(cluster: &Cluster) -> AdminClient<DefaultClientContext> {
    cluster.config().create().unwrap()
}

/// Makes a topic with three copies of each partition, and waits until it has leaders.
pub(crate) fn make_topic(cluster: &Cluster, name: &str, partitions: i32, settings: &[(&str, &str)]) {
    let mut topic = NewTopic::new(name, partitions, TopicReplication::Fixed(3));
    for (key, value) in settings {
        topic = topic.set(key, value);
    }
    let options = AdminOptions::new().operation_timeout(Some(CALL)).request_timeout(Some(CALL));
    let client = admin(cluster);
    until("the topic to be made", CALL, || {
        let made = wait_for(client.create_topics([&topic], &options)).ok()?;
        match &made[0] {
            Ok(_) | Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => Some(()),
            // One that was deleted a moment ago, or brokers that are about to be there.
            Err(_) => None,
        }
    });
    has_leaders(cluster, name, partitions);
}

/// Deletes a topic, and waits until it is gone.
pub(crate) fn delete_topic(cluster: &Cluster, topic: &str) {
    wait_for(admin(cluster).delete_topics(&[topic], &AdminOptions::new())).unwrap()[0].as_ref().unwrap();
    until("the topic to be gone", CALL, || {
        let metadata = admin(cluster).inner().fetch_metadata(Some(topic), CALL).ok()?;
        metadata.topics()[0].error().map(drop)
    });
}

/// Deletes a topic of one partition, and makes it again without records.
pub(crate) fn make_anew(cluster: &Cluster, topic: &str) {
    delete_topic(cluster, topic);
    make_topic(cluster, topic, 1, &[]);
}

/// Gives a topic more partitions, and waits until they have leaders.
pub(crate) fn grow_topic(cluster: &Cluster, name: &str, partitions: u32) {
    let options = AdminOptions::new().operation_timeout(Some(CALL)).request_timeout(Some(CALL));
    let count = usize::try_from(partitions).unwrap();
    let grown = wait_for(admin(cluster).create_partitions(&[NewPartitions::new(name, count)], &options));
    assert!(grown.as_ref().is_ok_and(|grown| grown[0].is_ok()), "{grown:?}");
    has_leaders(cluster, name, i32::try_from(partitions).unwrap());
}

/// Waits until each partition of a topic has a leader.
pub(crate) fn has_leaders(cluster: &Cluster, name: &str, partitions: i32) {
    let client: BaseConsumer = cluster.config().create().unwrap();
    until("partitions to have leaders", CALL * 2, || {
        let metadata = client.fetch_metadata(Some(name), CALL).ok()?;
        let topic = &metadata.topics()[0];
        let with_leader = topic.partitions().iter().filter(|one| one.leader() >= 0 && one.isr().len() == 3);
        (with_leader.count() == usize::try_from(partitions).unwrap()).then_some(())
    });
}

/// The ends of all partitions of a topic, as the brokers say.
pub(crate) fn ends(cluster: &Cluster, topic: &str, partitions: u32) -> Vec<u64> {
    let client: BaseConsumer = cluster.config().create().unwrap();
    let end = |number: u32| client.fetch_watermarks(topic, number.cast_signed(), CALL).unwrap().1;
    (0..partitions).map(|number| u64::try_from(end(number)).unwrap()).collect()
}

/// The broker that leads a partition.
pub(crate) fn leader(cluster: &Cluster, topic: &str, partition: usize) -> usize {
    let client: BaseConsumer = cluster.config().create().unwrap();
    let metadata = client.fetch_metadata(Some(topic), CALL).unwrap();
    usize::try_from(metadata.topics()[0].partitions()[partition].leader()).unwrap()
}

/// Deletes the records of partition 0 before `offset`.
pub(crate) fn delete_before(cluster: &Cluster, topic: &str, offset: i64) {
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, 0, Offset::Offset(offset)).unwrap();
    let deleted = wait_for(admin(cluster).delete_records(&list, &AdminOptions::new())).unwrap();
    deleted.elements()[0].error().unwrap();
}

/// The reports of records, as they came.
#[derive(Debug, Default)]
pub(crate) struct Reports(Mutex<Vec<Result<i64, RDKafkaErrorCode>>>);

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, report: &DeliveryResult<'_>, (): ()) {
        let report = match report {
            Ok(message) => Ok(message.offset()),
            Err((error, _)) => Err(error.rdkafka_error_code().unwrap()),
        };
        self.0.lock().unwrap().push(report);
    }
}

impl Reports {
    /// The reports since the last time.
    pub(crate) fn take(&self) -> Vec<Result<i64, RDKafkaErrorCode>> {
        std::mem::take(&mut self.0.lock().unwrap())
    }
}

/// A producer.
pub(crate) type Reporting = BaseProducer<Reports>;

/// A producer with these settings.
pub(crate) fn producer(cluster: &Cluster, settings: &[(&str, &str)]) -> Reporting {
    let mut config = cluster.config();
    for (key, value) in settings {
        config.set(*key, *value);
    }
    config.create_with_context(Reports::default()).unwrap()
}

/// A producer under a transactional id, which it has taken.
pub(crate) fn owner(cluster: &Cluster, id: &str, time_out_ms: &str) -> Reporting {
    let owner = producer(cluster, &[("transactional.id", id), ("transaction.timeout.ms", time_out_ms)]);
    owner.init_transactions(CALL).unwrap();
    owner
}

/// Writes a record to partition 0 and waits for its report.
pub(crate) fn send(producer: &Reporting, topic: &str, value: &str) -> KafkaResult<i64> {
    send_bytes(producer, topic, value.as_bytes())
}

/// The same for a value that is no text.
pub(crate) fn send_bytes(producer: &Reporting, topic: &str, value: &[u8]) -> KafkaResult<i64> {
    send_record(producer, BaseRecord::to(topic).partition(0).payload(value))
}

/// Writes a record and waits for its report.
pub(crate) fn send_record(producer: &Reporting, record: BaseRecord<'_, (), [u8]>) -> KafkaResult<i64> {
    producer.send(record).map_err(|(error, _)| error)?;
    // Long enough for a change of leaders.
    let report = until("a report", CALL * 3, || {
        producer.poll(Duration::from_millis(10));
        producer.context().take().pop()
    });
    report.map_err(KafkaError::MessageProduction)
}

/// Writes these records in one transaction.
pub(crate) fn commit(producer: &Reporting, topic: &str, values: &[&str]) -> KafkaResult<()> {
    producer.begin_transaction()?;
    for value in values {
        send(producer, topic, value)?;
    }
    producer.commit_transaction(CALL)
}

/// A reader of partition 0 from an offset on, which says so at its end and at no offset that it cannot have.
pub(crate) fn reader(
    cluster: &Cluster,
    topic: &str,
    from: Offset,
    settings: &[(&str, &str)],
) -> BaseConsumer {
    reader_of(cluster, (topic, 0), from, settings)
}

fn reader_of(
    cluster: &Cluster,
    (topic, partition): (&str, i32),
    from: Offset,
    settings: &[(&str, &str)],
) -> BaseConsumer {
    let mut config = cluster.config();
    config.set("auto.offset.reset", "error").set("enable.partition.eof", "true");
    config.set("group.id", "of-no-group").set("enable.auto.commit", "false");
    for (key, value) in settings {
        config.set(*key, *value);
    }
    let reader: BaseConsumer = config.create().unwrap();
    let mut list = TopicPartitionList::new();
    list.add_partition_offset(topic, partition, from).unwrap();
    reader.assign(&list).unwrap();
    reader
}

/// What a reader meets next: a record, or an error, which `PartitionEOF` is too.
pub(crate) fn next(reader: &BaseConsumer) -> Result<(i64, String), KafkaError> {
    until("a record, an error or the end", CALL, || {
        let next = reader.poll(Duration::from_millis(100))?;
        Some(next.map(|message| {
            (message.offset(), String::from_utf8_lossy(message.payload().unwrap()).into_owned())
        }))
    })
}

/// The committed records of partition 0 from an offset on, to what is its end now.
pub(crate) fn committed(cluster: &Cluster, topic: &str, from: Offset) -> Vec<(i64, String)> {
    committed_to_end(&reader(cluster, topic, from, &[]))
}

/// All committed records of this partition, to what is its end now.
pub(crate) fn committed_in(cluster: &Cluster, topic: &str, partition: u32) -> Vec<(i64, String)> {
    committed_to_end(&reader_of(cluster, (topic, partition.cast_signed()), Offset::Beginning, &[]))
}

fn committed_to_end(reader: &BaseConsumer) -> Vec<(i64, String)> {
    let mut records = Vec::new();
    loop {
        match next(reader) {
            Ok(record) => records.push(record),
            Err(KafkaError::PartitionEOF(_)) => return records,
            // A broker was killed before: the reader goes on with the next leader.
            Err(KafkaError::MessageConsumption(
                RDKafkaErrorCode::BrokerTransportFailure | RDKafkaErrorCode::AllBrokersDown,
            )) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

/// The values of what is committed in partition 0.
pub(crate) fn values(cluster: &Cluster, topic: &str) -> Vec<String> {
    committed(cluster, topic, Offset::Beginning).into_iter().map(|(_, value)| value).collect()
}
