//! Another object has the key of a sealed one: what a person decides is followed while the writer runs, and by
//! whoever owns the partition after it.

use std::time::Duration;

use forebay::admin::{NotResolved, Resolved};
use forebay::dev_s3::{ACCESS_KEY_ID, BUCKET, SECRET_ACCESS_KEY};
use forebay::kafka::log::NotDecided;
use forebay::log::{Decision, PendingSeal, Status as _};
use forebay::object::{BucketString, Encryption, ObjectKey, ObjectName, S3Location, Stream};
use forebay::receipt::{HEADER, Receipt};
use forebay::store::fake::{FakeStore, Gate, Step};
use forebay::store::s3::{CredentialsFrom, S3Settings, S3Store};
use forebay::store::{Body, ObjectStore, Put, PutMode};
use forebay::time::UnixMillis;

use crate::cluster::{Cluster, cluster};
use crate::delivered::{Made, Writer, calls_of, runtime, to};
use crate::partition::{Collector, Partition};
use crate::program::Program;
use crate::s3::S3;
use crate::served::Client;
use crate::support::{CALL, run_program, until};

/// The lines of the object that is in the way.
const FOREIGN: &str = "{\"messageId\":\"foreign\"}\n";

fn gzip(text: &str) -> Vec<u8> {
    use std::io::Write as _;
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(text.as_bytes()).unwrap();
    gzip.finish().unwrap()
}

/// Puts something else where an object will stand, as a foreign writer might.
fn squat(store: &dyn ObjectStore, location: S3Location, key: ObjectKey) {
    let body = gzip(FOREIGN);
    let crc32 = crc32fast::hash(&body);
    let put = Put {
        location,
        key,
        body: Body::Bytes(body.into()),
        crc32,
        content_encoding: None,
        metadata: vec![],
        tags: Vec::new(),
        mode: PutMode::CreateOnly,
    };
    runtime().block_on(store.put(&put)).unwrap();
}

fn pending(writer: &Writer) -> Vec<PendingSeal> {
    let mut all = Vec::new();
    writer.served.log.each_pending_seal(&mut |pending| all.push(pending.clone()));
    all
}

fn alarm(writer: &Writer) -> Option<String> {
    let standing = writer.delivery.alarms().standing();
    standing.into_iter().find(|alarm| alarm.kind.slug() == "conflict").map(|alarm| alarm.what)
}

/// A partition with the calls a, b and c of a source, whose object is in conflict, and its writer.
fn in_conflict(made: &Made, cluster: &Cluster) -> (Collector, Writer, PendingSeal) {
    let mut collector = Collector::new(cluster, &made.partition, 1);
    collector.send("web", &["a", "b", "c"], made.partition.clock.wall());
    let writer = made.begin();
    writer.read();
    let gate = Gate::new();
    made.store.script([Step::HoldRequest(gate.clone())]);
    writer.flush(Duration::ZERO);
    until("the put", CALL, || gate.is_awaited().then_some(()));
    let seal = pending(&writer).remove(0).seal;
    squat(&made.store, to("bucket"), seal.object_key);
    gate.open();
    let noted = until("the conflict", CALL, || {
        pending(&writer).into_iter().find(|pending| pending.conflict).filter(|_| alarm(&writer).is_some())
    });
    (collector, writer, noted)
}

/// Notes a decision and has the delivery follow it, as the admin side does.
fn decide(writer: &Writer, seal: &PendingSeal, decision: Decision) {
    let decided = writer.served.log.decide(seal.seal.number, decision).unwrap();
    assert!(!decided.conflict);
    writer.delivery.decided(&decided.seal.batch.source);
}

/// The calls of an object, and how often it was written.
fn object(store: &FakeStore, key: &ObjectKey) -> Option<(Vec<String>, u64)> {
    let object = store.object("bucket", key.as_str())?;
    Some((calls_of(&object.bytes), object.writes.into()))
}

fn texts(calls: &[&str]) -> Vec<String> {
    calls.iter().map(|call| (*call).to_owned()).collect()
}

/// All that is stored under keys of calls, the object of the conflict included.
fn keys(store: &FakeStore) -> Vec<String> {
    store.keys().into_iter().map(|(_, key)| key).filter(|key| key.ends_with(".gz")).collect()
}

#[test]
fn a_decision_to_overwrite_is_followed_while_the_writer_runs() {
    let Some(cluster) = cluster() else { return };
    let (store, partition) = (FakeStore::new(), Partition::make(&cluster, &[]));
    let made = Made::of(&partition, &store);
    let (mut collector, writer, seal) = in_conflict(&made, &cluster);
    let number = seal.seal.number;
    let command = format!("`forebay kafka resolve --partition 0 --seal {number} --action ACTION`");
    let alarm_said = alarm(&writer).unwrap();
    assert!(alarm_said.contains(&command) && !alarm_said.contains("spool"), "{alarm_said}");
    let pin = format!("{:?}", writer.served.pin());
    assert!(pin.contains(&command), "{pin}");
    // Its source waits, and no other one.
    collector.send("web", &["d"], partition.clock.wall());
    collector.send("ios", &["e"], partition.clock.wall());
    writer.read();
    let puts = store.puts();
    until("another source to be delivered", CALL, || {
        writer.flush(Duration::from_millis(300));
        (store.puts() == puts + 1).then_some(())
    });
    assert_eq!(object(&store, &seal.seal.object_key), Some((texts(&["foreign"]), 1)));

    let other = writer.served.log.decide(number + 9, Decision::Overwrite);
    assert_eq!(other, Err(NotDecided::NotWaiting(vec![number])));
    decide(&writer, &seal, Decision::Overwrite);
    writer.deliver();
    assert_eq!(object(&store, &seal.seal.object_key), Some((texts(&["a", "b", "c"]), 2)));
    assert_eq!((alarm(&writer), keys(&store).len()), (None, 3), "{:?}", keys(&store));
    let again = writer.served.log.decide(number, Decision::KeepTheirs);
    assert_eq!(again, Err(NotDecided::NotWaiting(vec![])));
    writer.end().0.unwrap();
}

#[test]
fn the_lines_of_an_object_that_gives_way_are_put_beside_it_by_whoever_owns_the_partition() {
    let Some(cluster) = cluster() else { return };
    let (store, partition) = (FakeStore::new(), Partition::make(&cluster, &[]));
    let made = Made::of(&partition, &store);
    let (mut collector, first, seal) = in_conflict(&made, &cluster);
    let beside = seal.seal.object_key.of_conflict(&seal.seal.location.bucket);
    assert!(beside.as_str().starts_with("segment-logs/_conflicts/web/"), "{beside}");
    store.refuse_below("segment-logs/_conflicts/", true);
    let puts = store.puts();
    decide(&first, &seal, Decision::KeepTheirs);
    until("the put to be refused", CALL, || (store.puts() > puts).then_some(()));
    assert_eq!(object(&store, &beside), None);
    // The writer is lost with its disk: what was decided is noted.
    let second = made.begin();
    collector.send("web", &["d"], partition.clock.wall());
    second.read();
    assert!(pending(&second)[0].aside && alarm(&second).is_none());
    store.refuse_below("segment-logs/_conflicts/", false);
    second.deliver();
    assert_eq!(object(&store, &beside), Some((texts(&["a", "b", "c"]), 1)));
    assert_eq!(object(&store, &seal.seal.object_key), Some((texts(&["foreign"]), 1)), "it stays");
    let last = keys(&store).into_iter().filter(|key| *key != beside.as_str()).max().unwrap();
    assert_eq!(object(&store, &ObjectKey::listed(last)), Some((texts(&["d"]), 1)));
    assert_eq!(keys(&store).len(), 3);
    second.end().0.unwrap();
    drop(first.end());
}

/// Nobody decides for so long that the object leaves the cache.
fn decided_late(decision: Decision) {
    let Some(cluster) = cluster() else { return };
    let (store, partition) = (FakeStore::new(), Partition::make(&cluster, &[]));
    let mut made = Made::of(&partition, &store);
    made.settings.park_after = Duration::from_millis(50);
    let (_collector, first, seal) = in_conflict(&made, &cluster);
    until("it to be left", CALL, || (first.served.progress().left == 1).then_some(()));
    first.end().0.unwrap();
    let second = made.begin();
    second.read();
    assert!(alarm(&second).is_some());
    decide(&second, &seal, decision);
    second.deliver();
    let (ours, theirs) = (Some(texts(&["a", "b", "c"])), Some(texts(&["foreign"])));
    let beside = seal.seal.object_key.of_conflict(&seal.seal.location.bucket);
    let [at, beside] =
        [&seal.seal.object_key, &beside].map(|key| object(&store, key).map(|(calls, _)| calls));
    match decision {
        Decision::Overwrite => assert_eq!((at, beside), (ours, None)),
        Decision::KeepTheirs => assert_eq!((at, beside), (theirs, ours)),
    }
    assert_eq!((second.served.progress().left, alarm(&second)), (0, None));
    second.end().0.unwrap();
}

#[test]
fn an_object_that_was_left_in_the_log_meanwhile_is_built_after_the_decision() {
    Decision::ALL.into_iter().for_each(decided_late);
}

/// As a person does it: with programs alone.
#[test]
fn the_command_asks_the_writer_that_owns_the_partition() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, 2, &[]);
    let s3 = S3::start();
    let collector = Program::start(&partition, "");
    let sources = "[[source]]\nid = \"web\"\n[[source]]\nid = \"ios\"\n";
    let writer = Program::writer_due(&partition, &s3.url(), sources, "max_age = \"1h\"");
    until("the collector to know the log id", CALL * 3, || {
        collector.json("/api/status")["kafka"]["log_id"].is_string().then_some(())
    });
    let ids = texts(&["a", "b"]);
    let answered = Client::new(collector.at()).send("ios", &ids, 0).unwrap();
    let receipt: Receipt = answered.headers[HEADER].parse().unwrap();
    // The key of the object that will be made.
    let (at, number) = until("the calls to be read", CALL, || {
        let status = writer.json("/api/status");
        let of_ios = status["sources"].as_array()?.iter().find(|one| one["id"] == "ios")?.clone();
        let owned = status["kafka"]["owned"].as_array()?;
        let owner = owned.iter().find(|one| one["pinned_by"]["source"] == "ios")?;
        Some((of_ios["batches"][0]["first_received_at_ms"].as_i64()?, owner["partition"].as_u64()?))
    });
    let name = ObjectName {
        first_received_at: UnixMillis(at),
        node: &format!("{}-{number}", partition.settings.name),
        spool_id: &receipt.spool_id,
        first_position: receipt.first,
    };
    let bucket = BucketString::parse(BUCKET).unwrap();
    let key = ObjectKey::of_batch(&bucket, &Stream::Calls, &receipt.source, receipt.day, name);
    let settings = S3Settings {
        region: Some("us-east-1".to_owned()),
        endpoint_url: Some(s3.url()),
        path_style: true,
        credentials: CredentialsFrom::Static {
            access_key_id: ACCESS_KEY_ID.to_owned(),
            secret_access_key: SECRET_ACCESS_KEY.to_owned(),
        },
        ..S3Settings::default()
    };
    let store = runtime().block_on(S3Store::new(settings));
    squat(&store, S3Location::new(bucket.clone(), Encryption::SseS3), key.clone());
    let flushed = writer.request("POST", "/api/flush?source=ios");
    assert!(flushed.starts_with("HTTP/1.1 200"), "{flushed}");
    let alarm = until("the alarm", CALL, || {
        let status = writer.json("/api/status");
        let alarm = status["alarms"].as_array()?.iter().find(|one| one["kind"] == "conflict")?.clone();
        Some(alarm["what"].as_str()?.to_owned())
    });
    let said = alarm.split_once("`forebay ").unwrap().1.split_once(" --action").unwrap().0.to_owned();
    assert!(said.starts_with(&format!("kafka resolve --partition {number} --seal ")), "{alarm}");

    let folder = tempfile::tempdir().unwrap();
    let run = |command: &str, at: &str, action: &str| {
        let words = command.split(' ').chain(["--action", action, "--json", "--admin", at]);
        let (code, out, error) = run_program(folder.path(), &words.collect::<Vec<_>>(), "");
        (code, if code == 0 { out } else { error })
    };
    let (of_writer, of_collector) = (writer.admin_url(), collector.admin_url());
    let (code, error) =
        run(&said.replace(&format!("--partition {number}"), "--partition 9"), &of_writer, "overwrite");
    let owned = NotResolved::NotOwned { partition: 9, owned: vec![0, 1] }.to_string();
    assert!(code == 1 && error.contains(&owned), "{error}");
    let (code, error) = run(&said, &of_collector, "overwrite");
    assert!(code == 1 && error.contains(&NotResolved::NoPartitions.to_string()), "{error}");
    let (code, out) = run(&said, &of_writer, "keep-theirs");
    assert_eq!(code, 0, "{out}");
    let resolved: Resolved = serde_json::from_str(&out).unwrap();
    let beside = key.of_conflict(&bucket);
    assert_eq!(
        (resolved.object_key.as_str(), resolved.put_as.as_deref()),
        (key.as_str(), Some(beside.as_str()))
    );
    until("the lines to be stored", CALL, || s3.objects().get(beside.as_str()).map(drop));
    let objects = s3.objects();
    assert_eq!((&objects[key.as_str()], &objects[beside.as_str()]), (&texts(&["foreign"]), &ids));
    until("the alarm to be cleared", CALL, || {
        writer.json("/api/status")["alarms"].as_array()?.is_empty().then_some(())
    });
    let (code, error) = run(&said, &of_writer, "overwrite");
    assert!(code == 1 && error.contains("has no conflict; no seal of this partition has one"), "{error}");
    let log = writer.log();
    assert!(log.contains("a conflict is decided"), "{log}");
    collector.end();
    writer.end();
}
