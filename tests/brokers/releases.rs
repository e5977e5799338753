//! Two releases of the writer in one group, and what a release does with blocks and notes of a newer one.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use forebay::kafka::create::Step;
use forebay::kafka::group::Offsets;
use forebay::kafka::lock::Lock;
use forebay::partition::block::{self, CollectorId};
use forebay::partition::note::{self, Note};
use forebay::partition::state::State;
use forebay::store::fake::FakeStore;
use forebay::time::UnixMillis;
use rdkafka::Offset;
use rdkafka::admin::{AdminOptions, AlterConfig, ResourceSpecifier};

use crate::cluster::cluster;
use crate::create::{make, wanted};
use crate::delivered::{Made, state};
use crate::delivers::{Delivers, say};
use crate::folder_store::stored;
use crate::partition::{Collector, Partition};
use crate::process::{Started, Told, impatient, said};
use crate::support::{CALL, admin, committed, grow_topic, until, wait_for};

/// Waits until these writers own the partitions of a topic, so many each.
fn shared_out(what: &str, writers: &[&Started], expected: &[usize]) {
    until(what, CALL * 3, || {
        let owns: Vec<usize> = writers.iter().map(|writer| writer.owns().len()).collect();
        (owns == expected).then_some(())
    });
}

fn is_stored_once(store: &Path, expected: u64) {
    let calls = until("all calls to be delivered", CALL * 4, || {
        let (calls, _) = stored(store);
        (calls.len() as u64 == expected).then_some(calls)
    });
    let twice: Vec<_> = calls.iter().filter(|(_, times)| **times > 1).collect();
    assert!(twice.is_empty(), "stored more than once: {twice:?}");
}

#[test]
fn two_releases_move_partitions_between_them_and_lose_and_double_nothing() {
    const PARTITIONS: u32 = 4;
    let Some(cluster) = cluster() else { return };
    let mut partition = Partition::make_many(&cluster, PARTITIONS, &[]);
    impatient(&mut partition);
    let store = tempfile::tempdir().unwrap();
    let told = |release: &str| Told { release: release.into(), ..Told::of(&partition, store.path()) };
    let (old, new) = (told("0.1.0"), told("0.2.0"));
    let (stops, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let collectors: Vec<_> = (0..PARTITIONS)
        .map(|number| {
            let to = i32::try_from(number).unwrap();
            let mut collector = Collector::new(&cluster, &partition, u128::from(number) + 1).in_partition(to);
            let (stops, sent, clock) = (Arc::clone(&stops), Arc::clone(&sent), Arc::clone(&partition.clock));
            std::thread::spawn(move || {
                let mut of_this = 0;
                while !stops.load(Ordering::Acquire) {
                    let calls: Vec<String> = (0..10).map(|n| format!("{number} {}", of_this + n)).collect();
                    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
                    collector.send(if of_this % 3 == 0 { "ios" } else { "web" }, &calls, clock.wall());
                    of_this += 10;
                    sent.fetch_add(10, Ordering::AcqRel);
                    std::thread::sleep(Duration::from_millis(50));
                }
            })
        })
        .collect();
    // More calls than those of a moment ago, so that the present owners have work.
    let works = || {
        let before = sent.load(Ordering::Acquire);
        until("calls to come in", CALL, || (sent.load(Ordering::Acquire) >= before + 1_000).then_some(()));
    };
    let began = Instant::now();
    let mut first = old.start();
    shared_out("the old release to own all", &[&first], &[4]);
    for round in 0..3 {
        works();
        // The next release comes, owns some, and is alone. Then the one before it comes back.
        let next = if round % 2 == 0 { &new } else { &old };
        let second = next.start();
        shared_out("both releases to own some", &[&first, &second], &[2, 2]);
        works();
        drop(std::mem::replace(&mut first, second));
        shared_out("one release to own all", &[&first], &[4]);
    }
    works();
    stops.store(true, Ordering::Release);
    collectors.into_iter().for_each(|thread| thread.join().unwrap());
    let sent = sent.load(Ordering::Acquire);
    is_stored_once(store.path(), sent);
    assert!(!first.has_ended() && said(store.path(), "stopped").is_empty());
    drop(first);
    let notes = committed(&cluster, &partition.settings.notes_topic, Offset::Beginning);
    let releases: Vec<String> = notes
        .iter()
        .filter_map(|(_, note)| match Note::decode(note.as_bytes()).unwrap() {
            Note::Term(term) => Some(term.version),
            _ => None,
        })
        .collect();
    let both: BTreeSet<&str> = releases.iter().map(String::as_str).collect();
    assert_eq!(both, ["0.1.0", "0.2.0"].into(), "{releases:?}");
    let last = Made::of(&partition, &FakeStore::new()).begin();
    // Its ledger is even.
    last.deliver();
    last.end().0.unwrap();
    say(&format!(
        "two releases: {sent} calls acknowledged in {:.0?}, 0 missing, 0 doubled, in {} terms; those of partition 0: \
         {releases:?}",
        began.elapsed(),
        said(store.path(), "term").len()
    ));
}

#[test]
fn a_block_of_a_newer_release_stops_its_partition_and_others_go_on() {
    let Some(cluster) = cluster() else { return };
    let mut partition = Partition::make_many(&cluster, 2, &[]);
    impatient(&mut partition);
    let mut collectors = [0, 1]
        .map(|of| Collector::new(&cluster, &partition, of + 1).in_partition(i32::try_from(of).unwrap()));
    let store = tempfile::tempdir().unwrap();
    let mut writer = Told::of(&partition, store.path()).start();
    let now = partition.clock.wall();
    collectors[0].send("web", &["a"], now);
    collectors[1].send("web", &["b"], now);
    is_stored_once(store.path(), 2);
    let mut newer = block::write(CollectorId(9), 1, []);
    newer[4] = block::VERSION + 1;
    let at = collectors[1].send_bytes(&newer).offset;
    let why = until("the partition to stop, or the writer to fail", CALL, || {
        assert!(said(store.path(), "failed").is_empty(), "{:?}", said(store.path(), "failed"));
        said(store.path(), "stopped").remove("1")
    });
    assert!(
        why.starts_with(&format!("a newer release wrote the block at offset {at} (version 2); ")),
        "{why}"
    );
    collectors[0].send("web", &["c"], now);
    collectors[1].send("web", &["behind it"], now);
    is_stored_once(store.path(), 3);
    assert!(!writer.has_ended(), "{:?}", said(store.path(), "failed"));
    assert_eq!(writer.owns(), [0]);
}

/// What had needed nothing was taken for something that never would, and Kafka deleted what came after and was answered 200.
#[test]
fn a_partition_that_stops_after_all_was_delivered_is_refused_once_half_of_the_retention_is_over() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[("retention.ms", "40000")]);
    let mut collector = Collector::new(&cluster, &partition, 1);
    let delivers = Delivers::start(&partition);
    collector.send("web", &["a"], partition.clock.wall());
    delivers.has(&["a".to_owned()]);
    let offsets = Offsets::of_outsider(&partition.settings).unwrap();
    let told = || offsets.told(0).unwrap().map(|(_, metadata)| metadata);
    until("its owner to say that nothing waits", CALL * 2, || {
        let says = told()?.owner?;
        (says.lag_seconds == Some(0) && says.left_seconds.is_none() && says.pin.is_none()).then_some(())
    });
    let mut newer = block::write(CollectorId(9), 1, []);
    newer[4] = block::VERSION + 1;
    collector.send_bytes(&newer);
    until("collectors to be told", CALL * 3, || told()?.refuses_all.then_some(()));
    let standing = delivers.alarms.standing();
    assert!(standing.iter().any(|alarm| alarm.subject == "retention of partition 0"), "{standing:?}");
    // What the alarm says to do. Without a live owner, nobody told collectors that it was done.
    let topic = ResourceSpecifier::Topic(&partition.settings.topic);
    let longer = AlterConfig::new(topic).set("retention.ms", "86400000");
    let changed = wait_for(admin(&cluster).alter_configs(&[longer], &AdminOptions::new()));
    assert!(changed.as_ref().is_ok_and(|changed| changed[0].is_ok()), "{changed:?}");
    until("collectors to be told that it is longer", CALL * 3, || (!told()?.refuses_all).then_some(()));
    delivers.end();
}

/// Puts notes of a newer release into partition 0.
fn newer_notes(partition: &Partition) {
    // What one would write once it was told to go on in its own version.
    let identity = state(partition).identity;
    let id = identity.transactional_id();
    let snapshot =
        State { version: note::VERSION + 1, ..State::new(identity) }.snapshot(UnixMillis(0)).unwrap();
    let lock = Lock::new(&partition.settings, &id, 0, Arc::clone(&partition.clock)).unwrap();
    lock.take().unwrap();
    lock.note(&snapshot).unwrap();
}

/// A process that had never delivered it took the beginning of its windows, which may be as old as the log, for calls that wait: it
/// refused a quiet partition at once.
#[test]
fn a_process_that_finds_a_partition_stopped_refuses_it_only_once_calls_wait_for_half_of_the_retention() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[("retention.ms", "40000")]);
    let mut collector = Collector::new(&cluster, &partition, 1);
    let delivers = Delivers::start(&partition);
    let first = partition.clock.wall();
    collector.send("web", &["a"], first);
    delivers.has(&["a".to_owned()]);
    let offsets = Offsets::of_outsider(&partition.settings).unwrap();
    let told = || offsets.told(0).unwrap().map(|(_, metadata)| metadata);
    until("its owner to say that nothing waits", CALL * 2, || {
        (told()?.owner?.needed_from == Some(1)).then_some(())
    });
    delivers.end();
    newer_notes(&partition);
    until("half of the retention", CALL * 2, || {
        (partition.clock.wall().since(first) > Duration::from_secs(25)).then_some(())
    });
    let fresh = Delivers::start(&partition);
    let alarms = || fresh.alarms.standing();
    until("the partition to stop", CALL * 2, || {
        alarms().iter().any(|alarm| alarm.subject == "partition 0").then_some(())
    });
    let since = Instant::now();
    collector.send("web", &["b"], partition.clock.wall());
    until("collectors to be told", CALL * 3, || told()?.refuses_all.then_some(()));
    assert!(since.elapsed() > Duration::from_secs(18), "refused after {:.0?}", since.elapsed());
    fresh.end();
}

/// By hand, and without `forebay kafka create`. Its writer said "begins" for as long as it lived, and nobody was refused.
#[test]
fn a_partition_without_a_first_note_says_so_and_is_refused_once_half_of_the_retention_is_over() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[("retention.ms", "120000")]);
    let delivers = Delivers::start(&partition);
    grow_topic(&cluster, &partition.settings.notes_topic, 2);
    grow_topic(&cluster, &partition.settings.topic, 2);
    let mut collector = Collector::new(&cluster, &partition, 1).in_partition(1);
    collector.send("web", &["a"], partition.clock.wall());
    let offsets = Offsets::of_outsider(&partition.settings).unwrap();
    let told = || offsets.told(1).unwrap().map(|(_, metadata)| metadata);
    until("the partition to say what it waits for", CALL * 6, || {
        let said = delivers.alarms.standing();
        let said = said.into_iter().find(|alarm| alarm.subject == "partition 1")?;
        said.what.contains("Run `forebay kafka create`").then_some(())
    });
    until("collectors to be told", CALL * 3, || told()?.refuses_all.then_some(()));
    let (steps, _) = make(&partition, wanted(2)).unwrap();
    assert_eq!(steps, [Step::FirstNotes { partition: 1, of: 2 }]);
    delivers.has(&["a".to_owned()]);
    until("collectors to be told that it is delivered", CALL * 3, || {
        let told = told()?;
        (!told.refuses_all && told.owner.is_some()).then_some(())
    });
    assert!(delivers.alarms.standing().iter().all(|alarm| alarm.subject != "partition 1"));
    delivers.end();
}

#[test]
fn notes_of_a_newer_release_stop_their_partition_and_others_go_on() {
    let Some(cluster) = cluster() else { return };
    let mut partition = Partition::make_many(&cluster, 2, &[]);
    impatient(&mut partition);
    let mut collectors = [0, 1]
        .map(|of| Collector::new(&cluster, &partition, of + 1).in_partition(i32::try_from(of).unwrap()));
    let store = tempfile::tempdir().unwrap();
    let now = partition.clock.wall();
    collectors[0].send("web", &["a"], now);
    collectors[1].send("web", &["b"], now);
    newer_notes(&partition);
    let mut writer = Told::of(&partition, store.path()).start();
    let why = until("the partition to stop, or the writer to fail", CALL * 2, || {
        assert!(said(store.path(), "failed").is_empty(), "{:?}", said(store.path(), "failed"));
        said(store.path(), "stopped").remove("0")
    });
    assert_eq!(why, "a newer release wrote the notes (version 2); run that release here too");
    is_stored_once(store.path(), 1);
    collectors[1].send("web", &["c"], now);
    is_stored_once(store.path(), 2);
    assert!(!writer.has_ended(), "{:?}", said(store.path(), "failed"));
    assert_eq!(writer.owns(), [1]);
}
