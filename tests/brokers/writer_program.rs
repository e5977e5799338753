//! Collectors and writers as users run them: programs with configurations, a store that speaks S3, and what their
//! admin listeners say beside what the brokers and the store have.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use forebay::dev_s3::BUCKET;
use forebay::receipt::HEADER;
use forebay::runtime::SystemClock;
use forebay::time::{Clock as _, DAY_MS, UnixMillis};
use rdkafka::producer::Producer as _;
use serde_json::Value;

use crate::cluster::cluster;
use crate::delivers::say;
use crate::load::{Load, Pace};
use crate::partition::{Collector, Partition};
use crate::program::Program;
use crate::s3::S3;
use crate::served::Client;
use crate::support::{CALL, ends, make_anew, owner, run_program, send, unique, until};

/// The sources of load, which go to the bucket of dev mode.
const SOURCES: &str = "[[source]]\nid = \"web\"\n[[source]]\nid = \"ios\"\n";

/// The partitions that a writer owns, once it delivers all of these.
fn owns(writer: &Program, partitions: usize) -> Vec<Value> {
    until("the writer to deliver its partitions", CALL * 4, || {
        let owned = writer.json("/api/status")["kafka"]["owned"].as_array().unwrap().clone();
        let all = owned.len() == partitions && owned.iter().all(|one| one["standing"] == "delivers");
        all.then_some(owned)
    })
}

/// Waits until the store has these calls, each once, and nothing else but what was never answered.
fn stored_once(s3: &S3, expected: &[String]) -> Vec<String> {
    let expected: BTreeSet<&String> = expected.iter().collect();
    let stored = until("all calls to be stored", CALL * 6, || {
        std::thread::sleep(Duration::from_millis(500));
        let stored = s3.calls();
        let has: BTreeSet<&String> = stored.iter().collect();
        expected.is_subset(&has).then_some(stored.clone())
    });
    assert!(stored.windows(2).all(|two| two[0] != two[1]), "0 doubled");
    stored
}

/// Each partition is here, or an owner elsewhere has told of it lately.
fn names_owners(node: &Program, partitions: usize) {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    until("all owners to be known", CALL * 4, || {
        let kafka = &node.json("/api/status")["kafka"];
        let of = |what: &str| kafka[what].as_array().unwrap().clone();
        let elsewhere = of("elsewhere");
        let heard = kafka["heard_ms"].as_i64()?;
        let told = elsewhere.iter().all(|one| {
            let is_fresh = one["told_ms"].as_i64().is_some_and(|told| heard - told < 60_000);
            is_fresh && one["owner"] == host.trim() && one["lag_seconds"].is_u64()
        });
        (told && of("owned").len() + elsewhere.len() == partitions).then_some(())
    });
}

/// Not yesterday: in the first minutes of a day that one cannot be closed.
fn ended_day() -> UnixMillis {
    UnixMillis(SystemClock::new().wall().day().start().0 - 2 * DAY_MS)
}

/// What `forebay wait` says at once of this day of a source, if these nodes are asked.
fn wait_for_day(s3: &S3, nodes: &[&Program], day: UnixMillis) -> (i32, String, String) {
    let (url, day) = (s3.url(), day.0.to_string());
    let mut words = vec!["wait", BUCKET, "--source", "web", "--day", &day, "--timeout", "0 s"];
    words.extend(["--path-style", "--region", "us-east-1", "--endpoint-url", &url]);
    let urls: Vec<String> = nodes.iter().map(|node| node.admin_url()).collect();
    words.extend(urls.iter().flat_map(|url| ["--admin", url]));
    run_program(tempfile::tempdir().unwrap().path(), &words, "")
}

/// A day without calls is closed once all writers say so: one of them, or a collector, does not know.
fn waits_for_all_writers(s3: &S3, collector: &Program, writers: &[Program; 2]) {
    let wait = |nodes: &[&Program]| wait_for_day(s3, nodes, ended_day());
    for some in [&[collector][..], &[&writers[0]], &[collector, &writers[1]]] {
        let (code, said, why) = wait(some);
        assert!(code == 1 && why.contains("none of these nodes delivers partition"), "{said} {why}");
    }
    // Their terms begin, and each asks for the end of its partitions after some seconds.
    until("the day to be closed", CALL * 2, || {
        let (code, said, why) = wait(&[collector, &writers[0], &writers[1]]);
        let waits = ["delivers partition", "not read yet"].iter().any(|words| why.contains(words));
        assert!(code == 0 || waits, "{said} {why}");
        (code == 0).then(|| assert!(said.contains("nothing was received"), "{said}"))
    });
}

#[test]
fn a_writer_that_is_killed_loses_nothing_and_the_other_one_says_what_the_brokers_and_the_store_have() {
    const PARTITIONS: u32 = 3;
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, 3, &[]);
    let s3 = S3::start();
    let collector = Program::start(&partition, "");
    let writers = [(); 2].map(|()| Program::writer(&partition, &s3.url(), SOURCES));
    for writer in &writers {
        let environment = std::fs::read(format!("/proc/{}/environ", writer.id())).unwrap();
        let mut set = environment.split(|byte| *byte == 0);
        assert!(set.any(|one| one == b"MIMALLOC_PURGE_DELAY=0"), "it began anew as the same process");
    }
    let load = Load::start(&[collector.at()], Pace::default());
    until("each writer to own something", CALL * 4, || {
        let owned = |writer: &Program| writer.json("/api/status")["kafka"]["owned"].as_array().unwrap().len();
        (owned(&writers[0]) + owned(&writers[1]) == 3).then_some(())
    });
    waits_for_all_writers(&s3, &collector, &writers);
    for node in [&writers[0], &writers[1], &collector] {
        names_owners(node, PARTITIONS as usize);
    }
    load.answers(200);
    let [killed, stays] = writers;
    killed.kill();
    let began = Instant::now();
    let owned = owns(&stays, 3);
    say(&format!("the other one delivers all partitions {:.1?} after the kill", began.elapsed()));
    load.answers(100);
    let seen = load.end();
    assert!(seen.refused.is_empty() && seen.lost == 0, "{:?}", seen.refused);
    let stored = stored_once(&s3, &seen.stored);
    say(&format!("{} calls answered 200, {} stored, 0 missing, 0 doubled", seen.stored.len(), stored.len()));
    assert!(owned.iter().any(|one| one["takeover_seconds"].is_u64()), "{owned:?}");

    // What it says of the log is what the brokers say.
    let ends = ends(&cluster, &partition.settings.topic, PARTITIONS);
    let status = until("the status to have the end of the log", CALL * 2, || {
        let status = stays.json("/api/status");
        let read = status["kafka"]["owned"].as_array()?.iter().map(|one| one["read_offset"].as_u64());
        let seen = status["kafka"]["owned"].as_array()?.iter().map(|one| one["end_offset"].as_u64());
        let all = ends.iter().map(|end| Some(*end));
        (read.eq(all.clone()) && seen.eq(all) && status["ledger"]["totals"]["pending"] == 0)
            .then_some(status.clone())
    });
    let kafka = &status["kafka"];
    assert_eq!((kafka["role"].as_str(), kafka["partitions"].as_u64()), (Some("writer"), Some(3)), "{kafka}");
    assert_eq!(kafka["log_id"].as_str().unwrap().len(), 32);
    let lag = kafka["owned"].as_array().unwrap().iter().all(|one| one["lag_seconds"] == 0);
    assert!(lag && kafka["cache"]["max_bytes"] == 500_000_000, "{kafka}");
    // Its ledger has what the store has, whoever of the two has delivered it.
    let totals = &status["ledger"]["totals"];
    assert_eq!(status["ledger"]["balanced"], true, "{status}");
    assert_eq!(totals["stored"].as_u64(), Some(stored.len() as u64), "{totals}");
    assert_eq!(totals["delivered"], totals["stored"], "{totals}");
    let of_sources: u64 = status["sources"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| one["ledger"]["delivered"].as_u64().unwrap())
        .sum();
    assert_eq!(of_sources, stored.len() as u64);
    assert_eq!(status["alarms"].as_array().unwrap().len(), 0, "{status}");

    // So do the metrics, as soon as the brokers were asked whether anything waits, and those of the collector count what stands in the log.
    let metric =
        |name: &str| stays.metric(name).unwrap_or_else(|| panic!("{name}: {}", stays.get("/metrics")));
    until("nothing to wait in any partition", CALL * 2, || {
        let left = |number| metric(&format!("forebay_kafka_time_left_seconds{{partition=\"{number}\"}}"));
        (0..PARTITIONS).all(|number| left(number).is_infinite()).then_some(())
    });
    assert_eq!(metric("forebay_kafka_partitions_owned"), 3.0);
    // It answers no clients, so it shows nothing about what they sent but its ledger.
    let (shown, source) = (stays.get("/metrics"), "source=\"web\"");
    for of_clients in ["calls_received", "calls_stored", "calls_repeated"] {
        assert!(!shown.contains(&format!("forebay_{of_clients}_total{{")), "{shown}");
    }
    for account in ["received", "stored", "delivered"] {
        let series = format!("forebay_ledger_calls{{{source},account=\"{account}\"}}");
        assert!(stays.metric(&series).is_some_and(|calls| calls > 0.0), "{series}: {shown}");
    }
    let (_, said, _) =
        run_program(tempfile::tempdir().unwrap().path(), &["status", "--admin", &stays.admin_url()], "");
    assert!(
        said.contains(" delivered since this start") && !said.contains("received since this start"),
        "{said}"
    );
    assert!(said.contains("in the partitions that are here, since the log was made"), "{said}");
    assert_eq!(metric("forebay_kafka_partitions_stopped"), 0.0);
    for number in 0..PARTITIONS {
        assert_eq!(metric(&format!("forebay_kafka_lag_records{{partition=\"{number}\"}}")), 0.0);
        assert_eq!(
            metric(&format!("forebay_kafka_time_left_seconds{{partition=\"{number}\"}}")),
            f64::INFINITY
        );
        assert!(metric(&format!("forebay_kafka_terms_total{{partition=\"{number}\"}}")) >= 1.0);
        assert!(metric(&format!("forebay_kafka_takeover_seconds{{partition=\"{number}\"}}")) > 0.0);
    }
    let blocks: u64 = ends.iter().sum();
    let of_collector = collector.json("/api/status");
    assert_eq!(of_collector["kafka"]["sending"]["blocks"].as_u64(), Some(blocks), "{of_collector}");
    assert_eq!(collector.metric("forebay_kafka_blocks_total"), Some(blocks as f64));
    assert_eq!(collector.metric("forebay_kafka_produce_seconds_count"), Some(blocks as f64));
    let frames = collector.metric("forebay_kafka_frames_total").unwrap();
    assert!(frames >= stored.len() as f64, "{frames}");
    let in_ledger = totals["stored"].as_u64().unwrap() + totals["repeated"].as_u64().unwrap();
    assert_eq!(frames, in_ledger as f64, "{totals}");
    for none in ["unknown", "refused", "producers_failed"] {
        assert_eq!(collector.metric(&format!("forebay_kafka_{none}_total")), Some(0.0));
    }
    collector.end();
    let log = stays.end();
    assert!(!log.contains("panicked"), "{log}");
}

/// The threads of a process that have this name.
fn threads(process: u32, name: &str) -> Vec<String> {
    let of = format!("/proc/{process}/task");
    let all = std::fs::read_dir(&of).unwrap().map(|one| one.unwrap().file_name().into_string().unwrap());
    all.filter(|id| std::fs::read_to_string(format!("{of}/{id}/comm")).is_ok_and(|of| of.trim() == name))
        .collect()
}

#[test]
#[ignore = "takes six minutes: tests/kafka library_hangs --ignored"]
fn a_writer_whose_library_hangs_gives_up_its_partitions_and_the_other_one_delivers_them() {
    hangs("kafka");
}

#[test]
#[ignore = "takes six minutes: tests/kafka library_hangs --ignored"]
fn so_does_one_whose_library_hangs_while_it_looks_for_left_objects() {
    hangs("kafka-left");
}

/// Holds the thread of a process with this name in its next system call.
fn hold(process: &Program, name: &str) -> (std::process::Child, tempfile::TempDir) {
    let found = threads(process.id(), name);
    let [thread] = found.as_slice() else { panic!("{found:?} have the name {name}") };
    let folder = tempfile::tempdir().unwrap();
    let strace = std::process::Command::new("strace")
        .args(["-p", thread, "-e", "inject=all:delay_enter=1800s", "-o"])
        .arg(folder.path().join("calls"))
        .spawn()
        .expect("strace starts");
    (strace, folder)
}

/// How long a call of the library may take.
const HANGS_AFTER: Duration = Duration::from_secs(300);

/// It would take calls for a bucket that refuses for as long as Kafka keeps them, or answer nobody in time.
#[test]
#[ignore = "takes five minutes: tests/kafka library_hangs --ignored"]
fn a_collector_whose_library_hangs_ends() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, 1, &[]);
    let mut hangs = Program::start(&partition, "");
    let (mut strace, _calls) = hold(&hangs, "kafka-hints");
    until("it to say why it ends", HANGS_AFTER + CALL * 2, || {
        std::thread::sleep(Duration::from_secs(1));
        hangs.log().contains("does not return (thread kafka-hints)").then_some(())
    });
    // While the thread is held: all others have ended.
    let status = format!("/proc/{}/status", hangs.id());
    until("it to end", CALL, || std::fs::read_to_string(&status).ok()?.contains("State:\tZ").then_some(()));
    strace.kill().unwrap();
    strace.wait().unwrap();
    until("its parent to learn it", CALL, || (!hangs.runs()).then_some(()));
}

/// strace holds the thread of a partition with this name in its next system call, so the call of Kafka's library there does
/// not return. The process has others that do, answers its operator, and the library goes on telling the group that it
/// lives.
fn hangs(thread: &str) {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, 3, &[]);
    let s3 = S3::start();
    let collector = Program::start(&partition, "");
    let load = Load::start(&[collector.at()], Pace::default());
    let mut hangs = Program::writer(&partition, &s3.url(), SOURCES);
    owns(&hangs, 3);
    let other = Program::writer(&partition, &s3.url(), SOURCES);
    let held = until("both to own something", CALL * 4, || {
        let owned = |writer: &Program| {
            let owned = writer.json("/api/status")["kafka"]["owned"].as_array().unwrap().clone();
            let numbers: Option<Vec<u64>> = owned
                .iter()
                .map(|one| one["partition"].as_u64().filter(|_| one["standing"] == "delivers"))
                .collect();
            numbers.unwrap_or_default()
        };
        let (first, second) = (owned(&hangs), owned(&other));
        first.first().copied().filter(|_| first.len() + second.len() == 3 && !second.is_empty())
    });
    load.answers(100);
    let name = format!("{thread}-{held}");
    let (mut strace, _calls) = hold(&hangs, &name);
    let began = Instant::now();
    let why = format!("a call of Kafka's library or of the disk for partition {held} does not return");
    until("it to say why it ends", HANGS_AFTER + CALL * 2, || {
        std::thread::sleep(Duration::from_secs(1));
        hangs.log().contains(&why).then_some(())
    });
    let held_for = began.elapsed();
    assert!(held_for >= HANGS_AFTER - CALL, "after {held_for:?}: {}", hangs.log());
    // Its parent learns of its end once strace lets go of the thread.
    strace.kill().unwrap();
    strace.wait().unwrap();
    until("it to end", CALL, || (!hangs.runs()).then_some(()));
    owns(&other, 3);
    say(&format!(
        "it ended after {held_for:.0?}; the other one delivers all {:.0?} after it was held",
        began.elapsed()
    ));
    load.answers(100);
    let seen = load.end();
    assert!(seen.refused.is_empty() && seen.lost == 0, "{:?}", seen.refused);
    let stored = stored_once(&s3, &seen.stored);
    say(&format!("{} calls answered 200, {} stored, 0 missing, 0 doubled", seen.stored.len(), stored.len()));
    collector.end();
    other.end();
}

#[test]
fn a_writer_that_ends_in_order_hands_over_at_once_and_one_with_on_shutdown_delivers_first() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, 2, &[]);
    let s3 = S3::start();
    let collector = Program::start(&partition, "");
    let first = Program::writer(&partition, &s3.url(), SOURCES);
    owns(&first, 2);
    let second = Program::writer(&partition, &s3.url(), SOURCES);
    let load = Load::start(&[collector.at()], Pace::default());
    load.answers(100);
    let log = first.end();
    assert!(!log.contains("panicked"), "{log}");
    let ended = Instant::now();
    owns(&second, 2);
    let after = ended.elapsed();
    say(&format!("the other one delivers all partitions {after:.1?} later"));
    // Kafka's session lasts 45 s.
    assert!(after < Duration::from_secs(20), "{after:?}");
    let seen = load.end();
    stored_once(&s3, &seen.stored);
    second.end();
    // Objects are due after an hour, unless the process ends.
    let waits = Program::writer_due(&partition, &s3.url(), SOURCES, "max_age = \"1h\"\non_shutdown = true");
    owns(&waits, 2);
    let mut client = Client::new(collector.at());
    let calls = vec!["the last one".to_owned()];
    assert_eq!(client.send("web", &calls, 0).unwrap().status, 200);
    until("the call to be read", CALL, || {
        (waits.json("/api/status")["ledger"]["totals"]["pending"] == 1).then_some(())
    });
    assert!(!s3.calls().contains(&calls[0]));
    waits.end();
    assert!(s3.calls().contains(&calls[0]));
    collector.end();
}

#[test]
fn a_source_that_is_added_by_a_reload_is_delivered_and_a_receipt_says_where_a_call_is() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, 2, &[]);
    let s3 = S3::start();
    let collector = Program::start(&partition, "");
    let of_web = "[[source]]\nid = \"web\"\n";
    let writer = Program::writer_due(&partition, &s3.url(), of_web, "max_age = \"1h\"");
    owns(&writer, 2);
    until("the collector to know the log id", CALL * 2, || {
        collector.json("/api/status")["kafka"]["log_id"].is_string().then_some(())
    });
    let mut client = Client::new(collector.at());
    let calls = |of: &str| (0..10).map(|n| format!("{of}-{n}")).collect::<Vec<_>>();
    let answered = client.send("ios", &calls("ios"), 0).unwrap();
    let receipt = answered.headers[HEADER].clone();
    let of_spread = client.send("web", &calls("web"), 0).unwrap().headers[HEADER].clone();
    assert!(of_spread.contains(','), "{of_spread}");
    let alarm = until("the alarm that nobody knows the source", CALL, || {
        let status = writer.json("/api/status");
        let alarm = status["alarms"].as_array()?.iter().find(|one| one["kind"] == "configuration")?.clone();
        Some(alarm["what"].as_str()?.to_owned())
    });
    assert!(
        alarm.contains("ios") && alarm.contains("the configuration does not have this source"),
        "{alarm}"
    );
    let status = writer.json("/api/status");
    let owned = status["kafka"]["owned"].as_array().unwrap();
    assert!(owned.iter().any(|one| one["without_bucket"] == serde_json::json!(["ios"])), "{owned:?}");
    assert!(owned.iter().any(|one| one["pinned_by"]["source"] == "ios"), "{owned:?}");
    writer.reload(|text| format!("{text}[[source]]\nid = \"ios\"\n"));
    until("the alarm to be cleared", CALL * 2, || {
        writer.json("/api/status")["alarms"].as_array()?.is_empty().then_some(())
    });
    let where_is =
        |receipt: &str| writer.json(&format!("/api/receipt?receipt={receipt}"))["positions"].clone();
    let found = where_is(&receipt);
    assert_eq!(found[0]["state"], "pending", "{found}");
    let found = found.as_array().unwrap();
    let count: u64 =
        found.iter().map(|one| one["last"].as_u64().unwrap() - one["first"].as_u64().unwrap() + 1).sum();
    assert_eq!(count, 10, "{found:?}");
    let flushed = writer.request("POST", "/api/flush");
    assert!(flushed.starts_with("HTTP/1.1 200"), "{flushed}");
    stored_once(&s3, &[calls("ios"), calls("web")].concat());
    assert_eq!(where_is(&receipt)[0]["state"], "not_here");
    // A repeat has positions that no line has.
    let again = client.send("ios", &calls("ios"), 0).unwrap().headers[HEADER].clone();
    assert_ne!(again, receipt);
    until("the repeat to be read", CALL, || {
        (writer.json("/api/status")["ledger"]["totals"]["repeated"] == 10).then_some(())
    });
    assert_eq!(where_is(&again)[0]["state"], "not_here");
    let (folder, admin) = (tempfile::tempdir().unwrap(), writer.admin_url());
    let bucket = ["--bucket", BUCKET, "--path-style", "--endpoint-url", &s3.url()];
    let asks = |receipt| {
        let words = [&["receipt", receipt, "--admin", &admin, "--region", "us-east-1"], &bucket[..]].concat();
        run_program(folder.path(), &words, "")
    };
    let (code, out, error) = asks(&receipt);
    assert!(code == 0 && out.contains("delivered in s3://"), "{out}{error}");
    let (code, out, error) = asks(&of_spread);
    assert!(code == 0 && out.matches("messageId web-").count() == 10, "{out}{error}");
    let (code, out, error) = asks(&again);
    assert!(code == 1 && out.contains("it repeats a call that was sent before"), "{out}{error}");
    let days = writer.json("/api/days");
    assert_eq!(days["unclosed"][0]["source"], "ios", "{days}");
    let ledger = writer.json("/api/ledger?source=ios");
    assert_eq!(ledger["totals"]["delivered"], 10, "{ledger}");
    collector.end();
    writer.end();
}

#[test]
fn notes_that_an_open_transaction_hides_make_their_partition_wait_and_no_other() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, 2, &[]);
    let s3 = S3::start();
    // Nobody but writers should have the right to do this.
    let stranger = owner(&cluster, &unique("stranger"), "600000");
    stranger.begin_transaction().unwrap();
    let hides = send(&stranger, &partition.settings.notes_topic, "no note").unwrap();
    let writer = Program::writer(&partition, &s3.url(), SOURCES);
    let of = |number: usize| writer.json("/api/status")["kafka"]["owned"][number].clone();
    let began = Instant::now();
    let waits =
        until("partition 0 to wait", CALL * 6, || Some(of(0)).filter(|one| one["standing"] == "waits"));
    say(&format!("it waits, and says so after {:.0?}", began.elapsed()));
    let why = waits["why"].as_str().unwrap();
    for expected in ["notes_unreadable", "kafka-transactions.sh", &format!("--start-offset {hides}")] {
        assert!(why.contains(expected), "{expected}: {why}");
    }
    let status = writer.json("/api/status");
    let alarm =
        status["alarms"].as_array().unwrap().iter().find(|one| one["subject"] == "notes of partition 0");
    assert!(alarm.unwrap()["what"].as_str().unwrap().contains("notes_unreadable"), "{status}");
    assert_eq!(of(1)["standing"], "delivers");
    assert_eq!(writer.metric("forebay_kafka_partitions_stopped"), Some(1.0));
    let now = partition.clock.wall();
    Collector::new(&cluster, &partition, 1).send("web", &["a"], now);
    Collector::new(&cluster, &partition, 2).in_partition(1).send("web", &["b"], now);
    stored_once(&s3, &["b".to_owned()]);
    assert_eq!(s3.calls(), ["b"]);
    stranger.abort_transaction(CALL).unwrap();
    stored_once(&s3, &["a".to_owned(), "b".to_owned()]);
    assert_eq!(of(0)["standing"], "delivers");
    until("the alarm to be cleared", CALL, || {
        writer.json("/api/status")["alarms"].as_array()?.is_empty().then_some(())
    });
    writer.end();
}

#[test]
fn a_log_that_is_made_anew_under_a_writer_stops_its_partition_and_says_so() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    let s3 = S3::start();
    let writer = Program::writer(&partition, &s3.url(), SOURCES);
    owns(&writer, 1);
    let now = partition.clock.wall();
    let calls = ["a", "b"];
    let mut collector = Collector::new(&cluster, &partition, 1);
    for call in calls {
        collector.send("web", &[call], now);
    }
    stored_once(&s3, &calls.map(str::to_owned));
    make_anew(&cluster, &partition.settings.topic);
    // As long as the old log.
    let mut anew = Collector::new(&cluster, &partition, 2);
    for _ in calls {
        anew.send("web", &["new"], now);
    }
    let began = Instant::now();
    until("the partition to stop", CALL * 4, || {
        let owned = writer.json("/api/status")["kafka"]["owned"][0].clone();
        (owned["standing"] == "stopped").then_some(())
    });
    say(&format!("it stops after {:.0?}", began.elapsed()));
    let status = writer.json("/api/status");
    let alarm = status["alarms"].as_array().unwrap().iter().find(|one| one["subject"] == "partition 0");
    let what = alarm.unwrap()["what"].as_str().unwrap();
    assert!(what.contains("log_cut") && what.contains("docs/scale.md"), "{what}");
    assert_eq!(writer.metric("forebay_kafka_partitions_stopped"), Some(1.0));
    assert_eq!(s3.calls(), calls, "nothing of the new log is delivered as if it followed");
    writer.end();
}

#[test]
fn calls_that_come_after_the_end_of_their_day_raise_an_alarm() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, 1, &[]);
    let s3 = S3::start();
    let writer = Program::writer(&partition, &s3.url(), SOURCES);
    owns(&writer, 1);
    // A day that is over by all clocks, however soon after a midnight this runs.
    let then = UnixMillis(partition.clock.wall().0 - 2 * DAY_MS);
    let mut collector = Collector::new(&cluster, &partition, 1);
    collector.send("web", &["in time"], then);
    stored_once(&s3, &["in time".to_owned()]);
    until("the day to be over in the log", CALL * 6, || {
        let through = writer.json("/api/days")["over_through"].as_i64()?;
        (through >= then.day().start().0).then_some(())
    });
    collector.send("web", &["too late"], then);
    let alarm = until("the alarm about late calls", CALL * 6, || {
        let status = writer.json("/api/status");
        let subject = "late calls of partition 0";
        let alarm = status["alarms"].as_array()?.iter().find(|one| one["subject"] == subject)?.clone();
        Some(alarm["what"].as_str()?.to_owned())
    });
    assert!(alarm.contains("1 of 2 calls") && alarm.contains("clocks of collectors"), "{alarm}");
    assert_eq!(writer.metric("forebay_kafka_late_frames_total{partition=\"0\"}"), Some(1.0));
    stored_once(&s3, &["in time".to_owned(), "too late".to_owned()]);
    writer.end();
}

/// Each partition has a marker of its own. Before it is there, its writer says that the day is not closed.
#[test]
fn a_day_with_calls_in_several_partitions_is_closed_once_each_of_them_has_its_marker() {
    const PARTITIONS: i32 = 3;
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, 3, &[]);
    let (s3, day) = (S3::start(), ended_day());
    let mut sent = Vec::new();
    for number in 0..PARTITIONS {
        let id = u128::from(number.unsigned_abs()) + 1;
        let mut collector = Collector::new(&cluster, &partition, id).in_partition(number);
        let calls: Vec<String> = (0..=number).map(|call| format!("{number} {call}")).collect();
        collector.send(
            "web",
            &calls.iter().map(String::as_str).collect::<Vec<_>>(),
            UnixMillis(day.0 + 5_000),
        );
        sent.extend(calls);
    }
    let writers = [(); 2].map(|()| Program::writer(&partition, &s3.url(), SOURCES));
    let both = [&writers[0], &writers[1]];
    let said = until("the day to be closed in all partitions", CALL * 12, || {
        std::thread::sleep(Duration::from_secs(1));
        let (code, said, _) = wait_for_day(&s3, &both, day);
        (code == 0).then_some(said)
    });
    assert!(said.contains("is closed: 6 calls in 3 objects") && said.contains("by 3 "), "{said}");
    let (code, _, why) = wait_for_day(&s3, &both[..1], day);
    assert!(code == 1 && why.contains("none of these nodes delivers partition"), "{why}");
    stored_once(&s3, &sent);
    for writer in writers {
        writer.end();
    }
}

#[test]
fn a_second_writer_does_not_use_the_cache_of_the_first() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make_many(&cluster, 1, &[]);
    let s3 = S3::start();
    let writer = Program::writer(&partition, &s3.url(), SOURCES);
    let said = writer.refuses_another();
    assert!(said.contains("kafka.cache_dir") && said.contains("in use by another process"), "{said}");
    writer.end();
}
