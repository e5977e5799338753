//! Collectors on real brokers: HTTP requests, blocks in Kafka, writers, and objects in a store. What was answered
//! 200 is in the store once, whatever becomes of brokers and collectors.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use forebay::kafka::appender::Spreads;
use forebay::node::writer::Writer;
use forebay::receipt::{HEADER, Receipt};
use forebay::store::fake::FakeStore;
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};

use crate::cluster::{Cluster, cluster, cluster_alone};
use crate::delivered::{calls, objects, settings, sorted, wanted};
use crate::load::{Load, Pace, Seen};
use crate::partition::Partition;
use crate::process::start;
use crate::program::Program;
use crate::served::{Client, Served, Serving, source};
use crate::support::{CALL, admin, until, wait_for};

/// Bytes of the cache of a writer.
const CACHE: u64 = 500_000_000;

fn say(what: &str) {
    writeln!(std::io::stderr(), "{what}").unwrap_or(());
}

/// A writer of all partitions, whose objects are due after a second.
struct Delivers {
    writer: Writer,
    store: FakeStore,
    _folder: tempfile::TempDir,
}

impl Delivers {
    fn start(partition: &Partition) -> Self {
        let (store, folder) = (FakeStore::new(), tempfile::tempdir().unwrap());
        let mut due_soon = settings(1_000_000);
        due_soon.rule.max_age = Duration::from_secs(1);
        let to = wanted(&[("web", "bucket"), ("ios", "bucket"), ("held", "refuses")]);
        let writer = start(partition, Arc::new(store.clone()), due_soon, to, (folder.path(), CACHE));
        Self { writer, store, _folder: folder }
    }

    /// Waits until these calls are stored, and returns all that are.
    fn has(&self, expected: &[String]) -> Vec<String> {
        let expected: BTreeSet<&String> = expected.iter().collect();
        until("all calls to be delivered", CALL * 6, || {
            std::thread::sleep(Duration::from_millis(500));
            let stored = calls(&self.store);
            let has: BTreeSet<&String> = stored.iter().collect();
            expected.is_subset(&has).then_some(stored.clone())
        })
    }

    fn end(self) {
        assert_eq!(self.writer.ledger_differences(), []);
        self.writer.stop().unwrap();
    }
}

/// 0 missing, 0 doubled. What was never answered 200 may be there too, once.
fn check(delivers: &Delivers, seen: &Seen) {
    let stored = sorted(delivers.has(&seen.stored));
    let twice: Vec<&String> = stored.windows(2).filter(|two| two[0] == two[1]).map(|two| &two[0]).collect();
    assert!(
        twice.is_empty(),
        "{} are stored more than once: {:?}",
        twice.len(),
        twice.iter().take(5).collect::<Vec<_>>()
    );
    let longest = seen.answered.iter().map(|(_, after)| *after).max().unwrap_or_default();
    say(&format!(
        "{} calls answered 200 in {} requests, 0 missing, 0 doubled, {} in the store; {} refused, {} without an answer, \
         {} given up; longest answer {longest:.1?}",
        seen.stored.len(),
        seen.answered.len(),
        stored.len(),
        seen.refused.len(),
        seen.lost,
        seen.given_up,
    ));
}

#[test]
fn calls_that_are_answered_200_are_stored_once() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, 3, &[]);
    let served = Served::start(&partition);
    let delivers = Delivers::start(&partition);
    let load = Load::start(&[served.at], Pace { clients: 8, ..Pace::default() });
    std::thread::sleep(Duration::from_secs(5));
    let seen = load.end();
    assert!(seen.refused.is_empty() && seen.lost == 0, "{:?}", seen.refused);
    check(&delivers, &seen);
    let counts = served.status().standing.counts;
    say(&format!("{counts:?}"));
    assert_eq!((counts.unknown, counts.refused, counts.producers_failed), (0, 0, 0));
    served.end();
    delivers.end();
}

/// The brokers that lead partitions of a topic.
fn leader(cluster: &Cluster, topic: &str, partition: i32) -> usize {
    let client = admin(cluster);
    let metadata = client.inner().fetch_metadata(Some(topic), CALL).unwrap();
    let of = metadata.topics()[0].partitions().iter().find(|one| one.id() == partition).unwrap();
    usize::try_from(of.leader()).unwrap()
}

#[test]
fn a_leader_that_is_killed_loses_and_doubles_nothing() {
    let Some(mut cluster) = cluster_alone() else { return };
    let partition = Partition::make_many(&cluster, 3, &[]);
    let served = Served::start(&partition);
    let delivers = Delivers::start(&partition);
    let load = Load::start(&[served.at], Pace::default());
    std::thread::sleep(Duration::from_secs(3));
    let killed = leader(&cluster, &partition.settings.topic, 0);
    cluster.kill(killed);
    std::thread::sleep(Duration::from_secs(20));
    cluster.make_whole();
    std::thread::sleep(Duration::from_secs(2));
    let seen = load.end();
    check(&delivers, &seen);
    say(&format!("{:?}", served.status().standing));
    served.end();
    delivers.end();
}

#[test]
fn without_two_of_three_brokers_there_is_no_200_and_nothing_is_lost() {
    let Some(mut cluster) = cluster_alone() else { return };
    let partition = Partition::make_many(&cluster, 3, &[]);
    let within = Duration::from_secs(3);
    let served = Served::with(&partition, Serving { answer_within: within, ..Serving::default() });
    let delivers = Delivers::start(&partition);
    let load = Load::start(&[served.at], Pace::default());
    std::thread::sleep(Duration::from_secs(3));
    let stopped = leader(&cluster, &partition.settings.topic, 0);
    let also = stopped % 3 + 1;
    [stopped, also].iter().for_each(|id| cluster.stop(*id));
    let began = Instant::now();
    std::thread::sleep(Duration::from_secs(20));
    let woke = Instant::now();
    [stopped, also].iter().for_each(|id| cluster.wake(*id));
    cluster.make_whole();
    std::thread::sleep(Duration::from_secs(5));
    let seen = load.end();
    // A block whose copies were made before the brokers stopped may still be reported.
    let between = |at: &Instant| *at > began + Duration::from_secs(1) && *at < woke;
    let stored = seen.answered.iter().filter(|(at, _)| between(at)).count();
    let refused: Vec<_> = seen.refused.iter().filter(|(at, ..)| between(at)).collect();
    say(&format!("while two brokers were stopped: {stored} requests got 200, {} got 503", refused.len()));
    assert_eq!(stored, 0);
    assert!(refused.len() > 4 && refused.iter().all(|(_, status, _)| *status == 503), "{refused:?}");
    let late = refused.iter().map(|(.., after)| *after).max().unwrap();
    assert!(late < within + Duration::from_secs(2), "an answer came after {late:?}");
    check(&delivers, &seen);
    say(&format!("{:?}", served.status().standing));
    served.end();
    delivers.end();
}

/// Kilobytes of memory that this process has.
fn resident_kb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// For how long Kafka is away. `FOREBAY_KAFKA_AWAY` sets the seconds.
fn away() -> Duration {
    let seconds = std::env::var("FOREBAY_KAFKA_AWAY").map_or(30, |seconds| seconds.parse().unwrap());
    Duration::from_secs(seconds)
}

#[test]
fn while_kafka_is_away_there_is_503_and_memory_is_flat() {
    let Some(mut cluster) = cluster_alone() else { return };
    let partition = Partition::make_many(&cluster, 3, &[]);
    let within = Duration::from_secs(3);
    let served = Served::with(&partition, Serving { answer_within: within, ..Serving::default() });
    let delivers = Delivers::start(&partition);
    let mut client = Client::new(served.at);
    assert_eq!(client.send("web", &["before".to_owned()], 9).unwrap().status, 200);
    (1..=3).for_each(|id| cluster.stop(id));
    let began = Instant::now();
    // More than fits into the windows of the partitions of these sources.
    let pace = Pace { clients: 24, batch: 20, more: 30_000, pause: Duration::ZERO, ..Pace::default() };
    let load = Load::start(&[served.at], pace);
    let (mut memory, mut most) = (Vec::new(), 0);
    while began.elapsed() < away() {
        memory.push(resident_kb());
        most = most.max(served.status().standing.bytes);
        std::thread::sleep(Duration::from_millis(100));
    }
    let woke = Instant::now();
    cluster.make_whole();
    let seen = load.end();
    let (half, end) = (memory[memory.len() / 2], *memory.last().unwrap());
    let refused: Vec<_> = seen.refused.iter().filter(|(at, ..)| *at < woke).collect();
    let late = refused.iter().map(|(.., after)| *after).max().unwrap();
    say(&format!(
        "Kafka away for {:.0?}: {} requests got 503, the last answer after {late:.1?}; {} MB waited at most; memory \
         {} MB after half of the time, {} MB at its end",
        away(),
        refused.len(),
        most / 1_000_000,
        half / 1_000,
        end / 1_000,
    ));
    assert!(refused.iter().all(|(_, status, _)| *status == 503));
    assert!(late < within + Duration::from_secs(2));
    assert_eq!(seen.answered.iter().filter(|(at, _)| *at < woke).count(), 0);
    assert!(end < half + 100_000, "memory grows");
    check(&delivers, &seen);
    served.end();
    delivers.end();
}

/// The lines of a store, by the log and the position that each of them names.
fn by_position(store: &FakeStore) -> BTreeMap<(String, u64), String> {
    let mut all = BTreeMap::new();
    for (_, object) in objects(store) {
        let log = object.metadata["forebay-node"].clone();
        let mut text = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&object.bytes[..]), &mut text)
            .unwrap();
        for line in text.lines() {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let position = line["forebayPosition"].as_str().unwrap().parse().unwrap();
            let call = line["messageId"].as_str().unwrap().to_owned();
            assert_eq!(all.insert((log.clone(), position), call), None);
        }
    }
    all
}

#[test]
fn each_call_of_a_source_that_is_spread_is_found_by_its_receipt() {
    const PARTITIONS: u32 = 8;
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, PARTITIONS, &[]);
    let delivers = Delivers::start(&partition);
    let spreads: Spreads = [(source("web"), 4)].into();
    let served = Served::with(&partition, Serving { spreads, ..Serving::default() });
    served.knows_log_id();
    let mut client = Client::new(served.at);
    let mut sent: Vec<(Vec<String>, Vec<Receipt>)> = Vec::new();
    for of in ["web", "ios"] {
        for batch in 0..40 {
            let calls: Vec<String> = (0..25).map(|n| format!("{of}-{batch}-{n}")).collect();
            let answered = client.send(of, &calls, 100).unwrap();
            assert_eq!(answered.status, 200, "{}", answered.body);
            let receipts = answered.headers[HEADER].split(',').map(|one| one.parse().unwrap()).collect();
            sent.push((calls, receipts));
        }
    }
    let expected: Vec<String> = sent.iter().flat_map(|(calls, _)| calls.clone()).collect();
    assert_eq!(sorted(delivers.has(&expected)), sorted(expected));
    let spool_ids: BTreeMap<String, String> = objects(&delivers.store)
        .iter()
        .map(|(key, object)| {
            let name = key.rsplit_once('/').unwrap().1;
            let spool_id = name.trim_end_matches(".gz").rsplit('-').nth(1).unwrap();
            (spool_id.to_owned(), object.metadata["forebay-node"].clone())
        })
        .collect();
    let lines = by_position(&delivers.store);
    let mut logs: BTreeMap<&str, BTreeSet<&String>> = BTreeMap::new();
    for (calls, receipts) in &sent {
        let of = if calls[0].starts_with("web") { "web" } else { "ios" };
        let mut found = Vec::new();
        for receipt in receipts {
            logs.entry(of).or_default().insert(&receipt.spool_id);
            let node = &spool_ids[&receipt.spool_id];
            found.extend((receipt.first..=receipt.last).map(|at| lines[&(node.clone(), at)].clone()));
        }
        assert_eq!(sorted(found), sorted(calls.clone()));
    }
    say(&format!(
        "{} requests; web in {} partitions, ios in {}",
        sent.len(),
        logs["web"].len(),
        logs["ios"].len()
    ));
    assert!(logs["web"].len() > 1 && logs["ios"].len() == 1);
    // A repeat meets its first copy at any spread.
    assert_eq!(client.send("web", &sent[3].0, 100).unwrap().status, 200);
    let last = vec!["last".to_owned()];
    client.send("web", &last, 0).unwrap();
    assert_eq!(delivers.has(&last).len(), 2_001);
    served.end();
    delivers.end();
}

#[test]
fn partitions_that_are_added_under_load_lose_and_double_nothing() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, 2, &[]);
    let spreads: Spreads = [(source("web"), 16), (source("ios"), 16)].into();
    let served = Served::with(&partition, Serving { spreads, ..Serving::default() });
    let delivers = Delivers::start(&partition);
    // No batch is sent twice here: a repeat that comes after the change may go to another partition than its first
    // copy, and is stored again.
    let load = Load::start(&[served.at], Pace { again: false, ..Pace::default() });
    std::thread::sleep(Duration::from_secs(3));
    partition.grow(&cluster, 2, 6);
    until("the collector to know the new partitions", CALL, || {
        (served.status().partitions == 6).then_some(())
    });
    until("the writer to own the new partitions", CALL * 4, || {
        let all = delivers.writer.partitions();
        (all.len() == 6 && all.values().all(|one| one.progress.is_some())).then_some(())
    });
    std::thread::sleep(Duration::from_secs(3));
    let seen = load.end();
    assert!(seen.refused.is_empty() && seen.lost == 0, "{:?}", seen.refused);
    check(&delivers, &seen);
    let read: Vec<u64> =
        delivers.writer.partitions().values().map(|one| one.progress.as_ref().unwrap().bytes).collect();
    say(&format!("bytes read of each partition: {read:?}"));
    assert!(read.iter().all(|bytes| *bytes > 0));
    served.end();
    delivers.end();
}

#[test]
fn a_collector_that_is_killed_loses_nothing_that_it_answered() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, 3, &[]);
    let delivers = Delivers::start(&partition);
    let mut programs = [Program::start(&partition, ""), Program::start(&partition, "")];
    let load = Load::start(&programs.each_ref().map(|one| one.at), Pace::default());
    for round in 0..4 {
        std::thread::sleep(Duration::from_secs(2));
        let killed = std::mem::replace(&mut programs[round % 2], Program::start(&partition, ""));
        killed.kill();
        *load.at.lock().unwrap() = programs.each_ref().map(|one| one.at).to_vec();
    }
    std::thread::sleep(Duration::from_secs(2));
    // One ends in order under load: every request that it took has its answer.
    let [ends, stays] = programs;
    *load.at.lock().unwrap() = vec![stays.at];
    let log = ends.end();
    assert!(!log.contains("no answer"), "{log}");
    std::thread::sleep(Duration::from_secs(1));
    let seen = load.end();
    assert!(seen.lost > 0, "no collector was killed under load");
    check(&delivers, &seen);
    let metrics = stays.get("/metrics");
    assert!(
        metrics.contains("forebay_ready 1") && metrics.contains("forebay_calls_stored_total{source=\"web\"}")
    );
    stays.end();
    delivers.end();
}

#[test]
fn a_source_whose_bucket_refuses_for_half_of_the_retention_gets_503_and_others_do_not() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, 2, &[("retention.ms", "120000")]);
    let delivers = Delivers::start(&partition);
    delivers.store.refuse_bucket("refuses", true);
    let served = Served::start(&partition);
    let mut client = Client::new(served.at);
    let held: Vec<String> = (0..10).map(|n| format!("held-{n}")).collect();
    assert_eq!(client.send("held", &held, 0).unwrap().status, 200);
    let began = Instant::now();
    let (mut number, mut web) = (0, Vec::new());
    let refused_after = loop {
        std::thread::sleep(Duration::from_secs(1));
        number += 1;
        let call = vec![format!("web-{number}")];
        assert_eq!(client.send("web", &call, 0).unwrap().status, 200, "others are not refused");
        web.extend(call);
        let answered = client.send("held", &held, 0).unwrap();
        if answered.status == 503 {
            assert!(answered.body.contains("destination_full"), "{}", answered.body);
            break began.elapsed();
        }
        assert!(began.elapsed() < Duration::from_secs(110), "it was never refused");
    };
    say(&format!("refused {refused_after:.0?} after its first call, with a retention of 120 s"));
    assert!(refused_after >= Duration::from_secs(60));
    delivers.store.refuse_bucket("refuses", false);
    let drained = Instant::now();
    until("its calls to be taken again", CALL * 3, || {
        std::thread::sleep(Duration::from_millis(500));
        client.send("held", &held, 0).unwrap().is_stored().then_some(())
    });
    say(&format!("taken again {:.0?} after its bucket took", drained.elapsed()));
    let expected: Vec<String> = held.into_iter().chain(web).collect();
    let stored = delivers.has(&expected);
    assert_eq!(sorted(stored), sorted(expected), "0 missing, 0 doubled");
    served.end();
    delivers.end();
}

#[test]
fn a_block_that_brokers_refuse_ends_its_producer_and_others_are_stored() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, 1, &[]);
    let delivers = Delivers::start(&partition);
    let served = Served::start(&partition);
    let topic = ResourceSpecifier::Topic(&partition.settings.topic);
    let small = AlterConfig::new(topic)
        .set("max.message.bytes", "20000")
        .set("message.timestamp.type", "LogAppendTime");
    let changed = wait_for(admin(&cluster).alter_configs(&[small], &AdminOptions::new()));
    assert!(changed.as_ref().is_ok_and(|changed| changed[0].is_ok()), "{changed:?}");
    let mut client = Client::new(served.at);
    let noise: Vec<String> = (0..900).map(|n| format!("long-{}-{n}", u64::MAX / (n + 1))).collect();
    // Leaders learn of the setting a moment later.
    let refused = until("a block to be refused", CALL, || {
        Some(client.send("web", &noise, 0).unwrap()).filter(|answered| !answered.is_stored())
    });
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("outcome_unknown"), "{}", refused.body);
    assert!(refused.after < Duration::from_secs(5), "{:?}", refused.after);
    let short = vec!["short".to_owned()];
    assert_eq!(client.send("web", &short, 0).unwrap().status, 200, "a new producer takes over");
    delivers.has(&short);
    let standing = served.status().standing;
    assert!(standing.counts.producers_failed >= 1 && standing.error.is_none(), "{standing:?}");
    say(&format!("503 after {:.0?}; {:?}", refused.after, standing.counts));
    served.end();
    delivers.end();
}

/// An SDK as its makers publish it.
#[test]
fn an_unmodified_sdk_sends_through_a_collector() {
    use segment::message::{Batch, BatchMessage, Track, User};
    use segment::{Client as _, HttpClient};
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, 2, &[]);
    let delivers = Delivers::start(&partition);
    let program = Program::start(&partition, "");
    let sdk = HttpClient::new(reqwest::Client::new(), format!("http://{}", program.at));
    let ids: Vec<String> = (0..20).map(|n| format!("sdk-{n}")).collect();
    let track = |id: &String| {
        BatchMessage::Track(Track {
            user: User::UserId { user_id: "u".into() },
            event: "e".into(),
            extra: [("messageId".to_owned(), id.clone().into())].into_iter().collect(),
            ..Track::default()
        })
    };
    let batch = Batch { batch: ids.iter().map(track).collect(), ..Batch::default() };
    for _ in 0..2 {
        let sent = sdk.send("web".to_owned(), segment::message::Message::Batch(batch.clone()));
        crate::delivered::runtime().block_on(sent).unwrap();
    }
    assert_eq!(sorted(delivers.has(&ids)), sorted(ids));
    program.end();
    delivers.end();
}
