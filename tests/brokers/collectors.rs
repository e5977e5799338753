//! Collectors on real brokers: HTTP requests, blocks in Kafka, writers, and objects in a store. What was answered
//! 200 is in the store once, whatever becomes of collectors and partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use forebay::kafka::appender::Spreads;
use forebay::partition::position::before;
use forebay::receipt::{HEADER, Receipt};
use forebay::store::fake::FakeStore;
use rdkafka::Offset;
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};
use rdkafka::consumer::Consumer as _;

use crate::cluster::cluster;
use crate::delivered::{objects, sorted, state};
use crate::delivers::{Delivers, check, say};
use crate::load::{Load, Pace};
use crate::partition::Partition;
use crate::program::Program;
use crate::served::{Client, Served, Serving, source};
use crate::support::{CALL, admin, reader, until, wait_for};

#[test]
fn calls_that_are_answered_200_are_stored_once() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, 3, &[]);
    let served = Served::start(&partition);
    let delivers = Delivers::start(&partition);
    let load = Load::start(&[served.at], Pace { clients: 8, ..Pace::default() });
    load.answers(1_000);
    let seen = load.end();
    assert!(seen.refused.is_empty() && seen.lost == 0, "{:?}", seen.refused);
    check(&delivers, &seen);
    let counts = served.status().standing.counts;
    say(&format!("{counts:?}"));
    assert_eq!((counts.unknown, counts.refused, counts.producers_failed), (0, 0, 0));
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
    load.answers(300);
    partition.grow(&cluster, 2, 6);
    until("the collector to know the new partitions", CALL, || {
        (served.status().partitions == 6).then_some(())
    });
    until("the writer to own the new partitions", CALL * 4, || {
        let all = delivers.writer.partitions();
        (all.len() == 6 && all.values().all(|one| one.progress.is_some())).then_some(())
    });
    let read = until("calls to come into all partitions", CALL, || {
        let all = delivers.writer.partitions();
        let read: Vec<u64> = all.values().filter_map(|one| Some(one.progress.as_ref()?.bytes)).collect();
        (read.len() == 6 && read.iter().all(|bytes| *bytes > 0)).then_some(read)
    });
    load.answers(300);
    let seen = load.end();
    assert!(seen.refused.is_empty() && seen.lost == 0, "{:?}", seen.refused);
    check(&delivers, &seen);
    say(&format!("bytes read of each partition: {read:?}"));
    served.end();
    delivers.end();
}

#[test]
fn a_collector_that_is_killed_loses_nothing_that_it_answered() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, 3, &[]);
    let delivers = Delivers::start(&partition);
    let mut programs = [Program::start(&partition, ""), Program::start(&partition, "")];
    let load = Load::start(&programs.each_ref().map(Program::at), Pace::default());
    for round in 0..4 {
        load.answers(200);
        let killed = std::mem::replace(&mut programs[round % 2], Program::start(&partition, ""));
        killed.kill();
        *load.at.lock().unwrap() = programs.each_ref().map(Program::at).to_vec();
    }
    load.answers(200);
    // One ends in order under load: every request that it took has its answer.
    let [ends, stays] = programs;
    *load.at.lock().unwrap() = vec![stays.at()];
    let log = ends.end();
    assert!(!log.contains("no answer"), "{log}");
    load.answers(100);
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

/// Kafka itself deletes what waits: nobody asks it to.
#[test]
fn what_a_bucket_refuses_beyond_the_retention_is_refused_then_lost_by_name_and_others_are_whole() {
    const RETENTION: Duration = Duration::from_secs(60);
    let Some(cluster) = cluster() else { return };
    let settings = [("retention.ms", "60000"), ("segment.ms", "2000"), ("segment.bytes", "1048576")];
    let partition = Partition::make_many(&cluster, 1, &settings);
    let (topic, store) = (&partition.settings.topic, FakeStore::new());
    let log = reader(&cluster, topic, Offset::Beginning, &[]);
    let begins_at = || log.fetch_watermarks(topic, 0, CALL).unwrap().0;
    store.refuse_bucket("refuses", true);
    let first = Delivers::to(&partition, store.clone());
    let served = Served::start(&partition);
    let mut client = Client::new(served.at);
    let mut held: Vec<String> = (0..10).map(|n| format!("held-{n}")).collect();
    assert_eq!(client.send("held", &held, 0).unwrap().status, 200);
    // Again and again, until it is refused: one call and its repeats.
    let again = vec!["held-again".to_owned()];
    held.extend(again.clone());
    let (began, mut web) = (Instant::now(), Vec::new());
    // Long enough for a segment to be full now and then: Kafka deletes whole ones.
    let mut sends_web = |client: &mut Client| {
        std::thread::sleep(Duration::from_millis(250));
        let call = vec![format!("web-{}", web.len())];
        assert_eq!(client.send("web", &call, 20_000).unwrap().status, 200, "others are not refused");
        web.extend(call);
    };
    let refused_after = until("its clients to be refused", RETENTION, || {
        sends_web(&mut client);
        let answered = client.send("held", &again, 0).unwrap();
        (answered.status == 503).then(|| {
            assert!(answered.body.contains("destination_full"), "{}", answered.body);
            began.elapsed()
        })
    });
    assert!(refused_after >= RETENTION / 2, "{refused_after:.0?}");
    // Its process is lost with whatever it had at hand.
    first.end();
    let deleted_after = until("Kafka to delete them", RETENTION * 2, || {
        sends_web(&mut client);
        (begins_at() > 0).then(|| began.elapsed())
    });
    let begins = begins_at();
    assert!(deleted_after >= RETENTION, "{deleted_after:.0?}");
    let second = Delivers::to(&partition, store.clone());
    until("the loss to be named", CALL * 3, || {
        let all = second.writer.partitions();
        let lost = all.get(&0).and_then(|one| one.progress.as_ref()).map_or(0, |progress| progress.lost);
        (lost > 0).then_some(())
    });
    let alarm = until("an alarm that names them", CALL * 3, || {
        let all = second.alarms.standing();
        let of = all.iter().find(|alarm| alarm.what.contains("are lost. Offsets 0"))?;
        Some(of.what.clone())
    });
    store.refuse_bucket("refuses", false);
    until("its clients to be taken again", CALL * 3, || {
        sends_web(&mut client);
        client.send("held", &["held-later".to_owned()], 0).unwrap().is_stored().then_some(())
    });
    let expected: Vec<String> = web.iter().cloned().chain(["held-later".to_owned()]).collect();
    let stored = second.has(&expected);
    let lost = held.iter().filter(|call| !stored.contains(call)).count();
    say(&format!(
        "{alarm}\nrefused {refused_after:.0?} after its first call, deleted after {deleted_after:.0?} with a retention of \
         {RETENTION:.0?}; {lost} calls lost, {} of others stored once",
        web.len()
    ));
    assert_eq!(lost, held.len(), "{stored:?}");
    let of_others: Vec<String> = stored.into_iter().filter(|call| call.starts_with("web")).collect();
    assert_eq!(sorted(of_others), sorted(web), "0 missing, 0 doubled");
    served.end();
    second.end();
    let lost = state(&partition).calls.lost;
    let (from, through) =
        (lost.first().map_or(0, |lost| lost.first), lost.last().map_or(0, |lost| lost.last));
    assert!(from == 1 && through < before(u64::try_from(begins).unwrap()), "{lost:?} before {begins}");
    // The chain is whole: the object whose calls are lost is there, without lines, and says how many it had.
    let objects = objects(&store);
    let of_held = objects.iter().find(|(key, _)| key.contains("/held/"));
    let metadata = of_held.map(|(_, object)| &object.metadata);
    say(&format!("{lost:?}, {metadata:?}"));
    let lost_calls = metadata.and_then(|metadata| metadata.get("forebay-lost-calls")?.parse().ok());
    assert!(lost_calls.is_some_and(|lost: usize| (10..=held.len()).contains(&lost)), "{metadata:?}");
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
    let sdk = HttpClient::new(reqwest::Client::new(), format!("http://{}", program.at()));
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
