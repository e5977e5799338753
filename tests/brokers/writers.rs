//! Writers on real brokers, with the real delivery: what was acknowledged is in the store once, whoever takes over
//! and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use forebay::kafka::begin::Began;
use forebay::kafka::owner::End;
use forebay::kafka::reading::Looked;
use forebay::kafka::records::Records;
use forebay::kafka::settings::Sees;
use forebay::kafka::trim::delete_notes_before;
use forebay::log::{Rows, Status as _};
use forebay::metrics::Metrics;
use forebay::partition::answer::TransactionError;
use forebay::partition::days::GRACE;
use forebay::partition::opening::Stop;
use forebay::partition::position::{before, position};
use forebay::store::fake::{FakeStore, Gate, Step};
use forebay::time::{DAY_MS, UnixMillis};
use rdkafka::admin::AdminOptions;

use crate::cluster::{Cluster, cluster, cluster_alone};
use crate::delivered::{Ahead, Made, Writer, calls, calls_of, objects, settings, sorted, state, wanted};
use crate::partition::{Collector, Partition};
use crate::support::{CALL, admin, delete_before, leader, make_anew, until, wait_for};

fn is_over(ended: &Result<(), End>) -> bool {
    matches!(ended, Err(End::Over(TransactionError::Fenced | TransactionError::Unknown)))
}

/// A partition with some calls.
fn with_calls(cluster: &Cluster) -> (Partition, Collector, UnixMillis) {
    let partition = Partition::make(cluster, &[]);
    let mut collector = Collector::new(cluster, &partition, 1);
    let now = partition.clock.wall();
    collector.send("web", &["a", "b"], now);
    collector.send("web", &["c"], now);
    (partition, collector, now)
}

/// Ends a writer whose term is not over.
fn ended(writer: Writer) {
    writer.end().0.unwrap();
}

#[test]
fn calls_are_stored_once_repeats_and_second_copies_not() {
    let Some(cluster) = cluster() else { return };
    let (partition, mut collector, now) = with_calls(&cluster);
    collector.send("web", &["d", "a"], now);
    collector.send_again("web", &["d", "a"], now);
    collector.send("ios", &["e"], now);
    let store = FakeStore::new();
    let made = Made::of(&partition, &store);
    let writer = made.begin();
    writer.deliver();
    assert_eq!(calls(&store), ["e", "a", "b", "c", "d"]);
    ended(writer);
    let state = state(&partition);
    assert_eq!(state.base.read_from, position(5, 1), "everything is released");
    assert_eq!(state.copies, [3].into());
    // The next owner finds the repeat of a call that is delivered long ago.
    collector.send("web", &["b", "f"], now);
    let next = made.begin();
    next.deliver();
    assert_eq!(sorted(calls(&store)), ["a", "b", "c", "d", "e", "f"]);
    ended(next);
}

#[test]
fn of_two_writers_that_contend_only_the_last_one_seals() {
    let Some(cluster) = cluster() else { return };
    let (partition, ..) = with_calls(&cluster);
    let store = FakeStore::new();
    let made = Made::of(&partition, &store);
    let first = made.begin();
    first.read();
    let second = made.begin();
    second.read();
    first.flush(Duration::from_secs(1));
    until("the first to learn that it is not the owner", CALL, || first.is_over().then_some(()));
    assert!(is_over(&first.end().0));
    assert_eq!(store.puts(), 0, "nothing may be put on the strength of it");
    second.deliver();
    assert_eq!(calls(&store), ["a", "b", "c"]);
    ended(second);
}

/// The first writer sleeps at one of the two places where it would do harm, another one takes over and
/// finishes, and the first one wakes.
fn sleeps(has_put: bool, offsets_are_deleted: bool) {
    let Some(cluster) = cluster() else { return };
    let (partition, mut collector, now) = with_calls(&cluster);
    let store = FakeStore::new();
    let made = Made::of(&partition, &store);
    let first = made.begin();
    first.read();
    let gate = Gate::new();
    let sleep = if has_put { Step::HoldAnswer(gate.clone()) } else { Step::HoldRequest(gate.clone()) };
    store.script([sleep]);
    first.flush(Duration::ZERO);
    until("the put", CALL, || gate.is_awaited().then_some(()));
    collector.send("web", &["d"], now);
    if offsets_are_deleted {
        let reader = crate::support::reader(
            &cluster,
            &partition.settings.topic,
            rdkafka::Offset::Beginning,
            &[("group.id", &partition.settings.group)],
        );
        let mut list = rdkafka::TopicPartitionList::new();
        list.add_partition_offset(&partition.settings.topic, 0, rdkafka::Offset::Offset(2)).unwrap();
        rdkafka::consumer::Consumer::commit(&reader, &list, rdkafka::consumer::CommitMode::Sync).unwrap();
        drop(reader);
        let groups = [partition.settings.group.as_str()];
        let deleted = wait_for(admin(&cluster).delete_groups(&groups, &AdminOptions::new())).unwrap();
        assert!(deleted[0].is_ok(), "{deleted:?}");
    }
    let second = made.begin();
    second.deliver();
    assert_eq!(objects(&store).len(), 2);
    // It wakes: the same object again, and no note.
    gate.open();
    until("the first to learn that it is not the owner", CALL, || first.is_over().then_some(()));
    assert!(is_over(&first.end().0));
    assert_eq!(objects(&store).len(), 2);
    assert_eq!(calls(&store), ["a", "b", "c", "d"]);
    second.deliver();
    ended(second);
}

#[test]
fn a_writer_that_sleeps_between_seal_and_put_makes_no_second_object() {
    sleeps(false, false);
}

#[test]
fn a_writer_that_sleeps_between_put_and_commit_makes_no_second_object() {
    sleeps(true, false);
}

#[test]
fn the_same_if_the_offsets_of_the_group_are_deleted() {
    sleeps(false, true);
    sleeps(true, true);
}

#[test]
fn a_writer_that_is_lost_with_its_disk_loses_and_doubles_nothing() {
    let Some(cluster) = cluster() else { return };
    let (partition, mut collector, now) = with_calls(&cluster);
    let store = FakeStore::new();
    let made = Made::of(&partition, &store);
    let mut expected: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
    let mut lost: Vec<Writer> = Vec::new();
    for round in 0..4 {
        let writer = made.begin();
        if round % 2 == 0 {
            writer.deliver();
        }
        let calls: Vec<String> = (0..20).map(|n| format!("call {round} {n}")).collect();
        // Each of them twice.
        for call in calls.chunks(4).flat_map(|some| [some, some]) {
            let call: Vec<&str> = call.iter().map(String::as_str).collect();
            collector.send("web", &call, now);
        }
        expected.extend(calls);
        writer.read();
        // It is lost here, with objects under way. What the store did with some of them nobody hears.
        store.script([Step::LoseAnswer, Step::RESET, Step::LoseAnswer]);
        writer.flush(Duration::from_millis(20 * round));
        lost.push(writer);
    }
    let last = made.begin();
    last.deliver();
    assert_eq!(sorted(calls(&store)), sorted(expected));
    ended(last);
    for writer in lost {
        // One that had nothing more to note never learnt it.
        let (ended, _) = writer.end();
        assert!(ended.is_ok() || is_over(&ended), "{ended:?}");
    }
}

/// The brokers did not answer a note, and the process begins another term with its cache.
#[test]
fn a_process_goes_on_with_its_cache_after_a_term_of_its_own() {
    let Some(cluster) = cluster() else { return };
    let (partition, mut collector, now) = with_calls(&cluster);
    let store = FakeStore::new();
    let made = Made::of(&partition, &store);
    let gate = store.hold_bucket("bucket");
    let first = made.begin();
    first.read();
    first.flush(Duration::ZERO);
    until("the put", CALL, || gate.is_awaited().then_some(()));
    let (ended_by, kept) = first.end();
    ended_by.unwrap();
    gate.open();
    let kept = kept.unwrap();
    let Began::Live(term) = partition.begin_with(None, Some(&kept.0.token)) else { panic!("it begins") };
    assert!(term.keeps_cache);
    let metrics = Arc::new(Metrics::new());
    let owner = made.owner(*term, Some(kept.0), &kept.1, &metrics);
    let second = made.serve(owner, kept.1);
    assert_eq!(second.served.progress().read_before, before(2), "what is in the cache is not read again");
    collector.send("web", &["d", "c"], now);
    second.deliver();
    assert_eq!(calls(&store), ["a", "b", "c", "d"]);
    ended(second);
}

/// The frames of a source's first block were in no cache, and the next term of the process began behind them.
#[test]
fn a_block_whose_bucket_could_not_be_noted_is_not_lost() {
    let Some(cluster) = cluster_alone() else { return };
    let (mut partition, mut collector, now) = with_calls(&cluster);
    partition.settings.transaction_timeout = Duration::from_secs(4);
    collector.send("ios", &["d"], now);
    let store = FakeStore::new();
    let made = Made::of(&partition, &store);
    let (folder, metrics) = (Arc::new(tempfile::tempdir().unwrap()), Arc::new(Metrics::new()));
    let mut owner = made.owner(partition.begin(), None, &folder, &metrics);
    // The library has fetched the third block with the first one.
    for _ in 0..2 {
        until("a record", CALL, || (owner.read(CALL).unwrap() == Looked::Record).then_some(()));
    }
    (1..=3).for_each(|id| cluster.stop(id));
    let answer = owner.read(CALL);
    (1..=3).for_each(|id| cluster.wake(id));
    assert!(matches!(answer, Err(End::Over(TransactionError::Unknown))), "{answer:?}");
    let kept = owner.end().unwrap();
    let Began::Live(term) = partition.begin_with(None, Some(&kept.token)) else { panic!("it begins") };
    assert!(term.keeps_cache);
    let second = made.begin_with(*term, Some((kept, folder)));
    second.deliver();
    assert_eq!(sorted(calls(&store)), ["a", "b", "c", "d"]);
    ended(second);
}

/// Found by a load of 10,000 sources: while the bucket of a new source was noted, its frames were counted and in no
/// cache, and the ledger was not even.
#[test]
fn the_ledger_is_even_while_buckets_of_new_sources_are_noted() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    let mut collector = Collector::new(&cluster, &partition, 1);
    let sources: Vec<String> = (0..40).map(|number| format!("new-{number}")).collect();
    let now = partition.clock.wall();
    for source in &sources {
        let calls: Vec<String> = (0..40).map(|call| format!("{source} {call}")).collect();
        let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
        // Longer than what a cache writes at once.
        collector.send_long(source, &calls, now, 20_000);
    }
    let buckets: Vec<(&str, &str)> = sources.iter().map(|source| (source.as_str(), "bucket")).collect();
    let made = Made { wanted: wanted(&buckets), ..Made::of(&partition, &FakeStore::new()) };
    let writer = made.begin();
    let (log, is_read) = (writer.served.log.clone(), Arc::new(AtomicBool::new(false)));
    let ends = Arc::clone(&is_read);
    let looks = std::thread::spawn(move || {
        let mut looks = 0_u64;
        while !ends.load(Ordering::Acquire) {
            let differences = log.ledger(Rows::None).differences;
            assert!(differences.is_empty(), "after {looks} looks: {differences:?}");
            looks += 1;
        }
        looks
    });
    writer.read();
    is_read.store(true, Ordering::Release);
    assert!(looks.join().unwrap() > 40);
    writer.deliver();
    ended(writer);
}

#[test]
fn an_object_that_was_left_in_the_log_is_built_from_it_by_another_writer() {
    let Some(cluster) = cluster() else { return };
    let (partition, mut collector, now) = with_calls(&cluster);
    let store = FakeStore::new();
    store.refuse_bucket("bucket", true);
    let mut made = Made::of(&partition, &store);
    made.settings.park_after = Duration::from_millis(50);
    let first = made.begin();
    first.read();
    first.flush(Duration::ZERO);
    until("it to be left", CALL, || (first.served.progress().left == 1).then_some(()));
    collector.send("web", &["d", "a"], now);
    first.read();
    ended(first);
    let noted = state(&partition);
    assert_eq!((noted.base.read_from, noted.kept_from()), (position(2, 1), 0));
    let second = made.begin();
    second.read();
    assert_eq!(second.flush(Duration::from_secs(1)).pending, 1);
    store.refuse_bucket("bucket", false);
    second.deliver();
    assert_eq!(calls(&store), ["a", "b", "c", "d"]);
    assert_eq!(second.served.progress().left, 0);
    ended(second);
}

#[test]
fn what_retention_deleted_before_it_was_read_is_named_and_the_rest_is_stored() {
    let Some(cluster) = cluster() else { return };
    let (partition, mut collector, now) = with_calls(&cluster);
    let store = FakeStore::new();
    let made = Made::of(&partition, &store);
    let first = made.begin();
    first.read();
    ended(first);
    collector.send("web", &["lost"], now);
    collector.send("web", &["d"], now);
    delete_before(&cluster, &partition.settings.topic, 3);
    let second = made.begin();
    second.deliver();
    assert_eq!(calls(&store), ["d"]);
    ended(second);
    let lost: Vec<_> = state(&partition).calls.lost.iter().map(|lost| (lost.first, lost.last)).collect();
    assert_eq!(lost, [(position(0, 1), before(3) - 1)], "all that was not delivered");
}

#[test]
fn a_record_that_is_no_block_is_named_once_and_passed() {
    let Some(cluster) = cluster() else { return };
    let (partition, mut collector, now) = with_calls(&cluster);
    collector.send_bytes(b"no block");
    collector.send("web", &["d"], now);
    let store = FakeStore::new();
    let made = Made::of(&partition, &store);
    let first = made.begin();
    first.read();
    ended(first);
    assert_eq!(state(&partition).unread.len(), 1);
    let second = made.begin();
    second.deliver();
    ended(second);
    assert_eq!((calls(&store).len(), state(&partition).unread.len()), (4, 1));
}

/// The first frame of a day stands in the log after the day has ended there.
#[test]
fn a_day_ends_at_an_offset_and_what_comes_later_belongs_to_the_day_after() {
    let Some(cluster) = cluster() else { return };
    let mut partition = Partition::make(&cluster, &[]);
    partition.clock = Ahead::new();
    let mut collector = Collector::new(&cluster, &partition, 1);
    // Long over, at any time of today.
    let today = partition.clock.wall().day();
    let day = UnixMillis(today.start().0 - DAY_MS - 5_000);
    collector.send("web", &["a"], day);
    let store = FakeStore::new();
    let made = Made::of(&partition, &store);
    let (folder, metrics) = (Arc::new(tempfile::tempdir().unwrap()), Arc::new(Metrics::new()));
    let mut owner = made.owner(partition.begin(), None, &folder, &metrics);
    until("the call to be read", CALL, || {
        (owner.read(Duration::from_millis(100)).unwrap() == Looked::Record).then_some(())
    });
    assert_eq!(owner.day_to_end(GRACE), Some(day.day()));
    collector.send("web", &["b"], day);
    assert!(owner.end_day(day.day()).unwrap());
    collector.send("web", &["late"], day);
    let writer = made.serve(owner, folder);
    writer.deliver();
    until("the marker", CALL, || (store.keys().len() > objects(&store).len()).then_some(()));
    let in_day = |key: &str| key.contains(&format!("/{}/", day.day()));
    let mut of: Vec<(String, bool)> = Vec::new();
    for (key, object) in objects(&store) {
        of.extend(calls_of(&object.bytes).into_iter().map(|call| (call, in_day(&key))));
    }
    assert_eq!(of, [("a".into(), true), ("b".into(), true), ("late".into(), false)]);
    until("the day to be closed", CALL, || {
        (!writer.served.log.unclosed_days().keys().any(|(of, _)| *of == day.day())).then_some(())
    });
    ended(writer);
}

#[test]
fn a_snapshot_is_all_that_a_new_owner_needs() {
    let Some(cluster) = cluster() else { return };
    let (partition, mut collector, now) = with_calls(&cluster);
    let store = FakeStore::new();
    let made = Made::of(&partition, &store);
    let first = made.begin();
    first.deliver();
    ended(first);
    let (folder, metrics) = (Arc::new(tempfile::tempdir().unwrap()), Arc::new(Metrics::new()));
    let mut owner = made.owner(partition.begin(), None, &folder, &metrics);
    let from = owner.snapshot(UnixMillis(0)).unwrap().unwrap();
    delete_notes_before(&partition.settings, 0, from).unwrap();
    let notes = Records::new(&partition.settings, &partition.settings.notes_topic, 0, Sees::All).unwrap();
    assert_eq!(notes.bounds().unwrap().0, from);
    collector.send("web", &["a", "d"], now);
    let second = made.begin();
    second.deliver();
    assert_eq!(calls(&store), ["a", "b", "c", "d"]);
    ended(second);
}

/// No note said that they were read: it went on at its place, and the calls of its cache were dropped, or new ones passed by.
#[test]
fn a_log_that_is_cut_before_what_its_owner_has_read_and_not_noted_stops_the_partition() {
    let Some(cluster) = cluster() else { return };
    // Shorter than the old log, as long, and longer, with other blocks.
    for records in [1, 2, 4] {
        let (partition, _, now) = with_calls(&cluster);
        let writer = Made::of(&partition, &FakeStore::new()).begin();
        writer.read();
        let mut looks = writer.looks_back();
        let _nothing_was_seen_before = looks.at(&writer);
        make_anew(&cluster, &partition.settings.topic);
        let mut anew = Collector::new(&cluster, &partition, 2);
        for number in 0..records {
            anew.send("web", &[&format!("new {number}")], now);
        }
        let made = Instant::now();
        until(&format!("the partition to stop with {records} new records"), CALL * 4, || {
            // The log may be there again before the reader hears that it was gone: then only others notice it.
            if made.elapsed() > CALL * 2 {
                let _unknown = looks.at(&writer);
            }
            writer.is_over().then_some(())
        });
        let ended = writer.end().0;
        assert!(matches!(ended, Err(End::Stopped(Stop::LogCut(_)))), "{records}: {ended:?}");
        assert!(matches!(partition.begin_with(None, None), Began::Stopped(Stop::LogCut(_))));
    }
}

/// Its place looks as if the log went on there.
#[test]
fn a_log_that_was_made_anew_before_its_reader_heard_of_it_stops_the_partition() {
    let Some(cluster) = cluster() else { return };
    // As long as the old log, and longer. Its partition may be given up in the same moment.
    for (records, gives_up) in [(3, false), (5, false), (3, true)] {
        let (partition, mut collector, now) = with_calls(&cluster);
        let writer = Made::of(&partition, &FakeStore::new()).begin();
        let mut looks = writer.looks_back();
        writer.read();
        assert!(looks.at(&writer).unwrap());
        collector.send("web", &["d"], now);
        writer.read();
        // The first of these looks takes what the second one compares.
        for _ in 0..2 {
            assert!(until("an answer", CALL, || looks.at(&writer).ok()), "the log has grown");
        }
        let turns = Arc::clone(&writer.turns);
        let held = turns.lock().unwrap();
        make_anew(&cluster, &partition.settings.topic);
        let mut anew = Collector::new(&cluster, &partition, 2);
        for number in 0..records {
            anew.send("web", &[&format!("new {number}")], now);
        }
        until("another block to be seen", CALL * 2, || matches!(looks.at(&writer), Ok(false)).then_some(()));
        if gives_up {
            writer.gives_up();
        }
        drop(held);
        until("the partition to stop", CALL, || writer.is_over().then_some(()));
        let ended = writer.end().0;
        assert!(matches!(ended, Err(End::Stopped(Stop::LogCut(2)))), "{records}: {ended:?}");
        assert!(matches!(partition.begin_with(None, None), Began::Stopped(Stop::LogCut(_))));
    }
}

/// Retention deletes blocks that were read, which is no cut.
#[test]
fn a_block_that_retention_has_deleted_is_not_missed() {
    let Some(cluster) = cluster() else { return };
    let (partition, mut collector, now) = with_calls(&cluster);
    let writer = Made::of(&partition, &FakeStore::new()).begin();
    let mut looks = writer.looks_back();
    writer.deliver();
    let mut look = || assert!(until("an answer", CALL, || looks.at(&writer).ok()));
    look();
    delete_before(&cluster, &partition.settings.topic, 2);
    look();
    collector.send("web", &["d"], now);
    writer.deliver();
    look();
    look();
    assert!(!writer.is_over());
    ended(writer);
}

#[test]
fn a_log_that_was_cut_while_it_is_read_stops_the_partition() {
    let Some(cluster) = cluster() else { return };
    let (partition, _, now) = with_calls(&cluster);
    let made = Made::of(&partition, &FakeStore::new());
    let writer = made.begin();
    writer.deliver();
    ended(writer);
    let topic = &partition.settings.topic;
    make_anew(&cluster, topic);
    let mut anew = Collector::new(&cluster, &partition, 2);
    anew.send("web", &["x"], now);
    assert!(matches!(partition.begin_with(None, None), Began::Stopped(Stop::LogCut(_))));
    // As long as the old one, with other blocks.
    anew.send("web", &["y"], now);
    anew.send("web", &["z"], now);
    assert!(matches!(partition.begin_with(None, None), Began::Stopped(Stop::LogCut(_))));
    // Retention deletes what shows it: only the note of the first of these terms is left.
    anew.send("web", &["later"], now);
    delete_before(&cluster, topic, 3);
    assert!(matches!(partition.begin_with(None, None), Began::Stopped(Stop::LogCut(_))));
}

/// Writers need the right to put, and no other: an object whose answer was lost is put again, the same to the byte.
#[test]
fn a_writer_that_may_only_put_delivers_each_call_once() {
    let Some(cluster) = cluster() else { return };
    let (partition, ..) = with_calls(&cluster);
    let store = FakeStore::new();
    store.refuse_heads(true);
    store.script([Step::LoseAnswer]);
    let writer = Made::of(&partition, &store).begin();
    writer.deliver();
    let objects = store.keys().into_iter().filter(|(_, key)| key.ends_with(".gz"));
    let stored = objects.flat_map(|(bucket, key)| calls_of(&store.object(&bucket, &key).unwrap().bytes));
    assert_eq!(
        (sorted(stored.collect()), store.steps_left()),
        (["a", "b", "c"].map(str::to_owned).into(), 0)
    );
    ended(writer);
}

/// Brokers die under a writer: what it was told counts, and what it was not told is found by its next term.
#[test]
fn brokers_that_are_killed_and_stopped_under_a_writer_lose_and_double_nothing() {
    let Some(mut cluster) = cluster_alone() else { return };
    let (mut partition, mut collector, now) = with_calls(&cluster);
    partition.settings.transaction_timeout = Duration::from_secs(10);
    let store = FakeStore::new();
    let mut made = Made::of(&partition, &store);
    made.settings = settings(2_000);
    let mut expected: Vec<String> = ["a", "b", "c"].map(str::to_owned).into();
    let mut terms_ended = 0;
    for round in 0..3 {
        let writer = made.begin();
        let victim = round % 3 + 1;
        if round == 1 {
            cluster.stop(victim);
        } else {
            cluster.kill(victim);
        }
        for n in 0..10 {
            let call = format!("call {round} {n}");
            collector.send("web", &[&call], now);
            expected.push(call);
        }
        // Its term may end at any of these.
        writer.flush(Duration::from_secs(5));
        terms_ended += usize::from(writer.end().0.is_err());
        cluster.make_whole();
    }
    let last = made.begin();
    last.deliver();
    assert_eq!(sorted(calls(&store)), sorted(expected), "{terms_ended} terms ended");
    ended(last);
}

/// A producer that gives up writes its block again in another epoch, so the log has both.
#[test]
fn copies_of_a_producer_that_gives_up_while_brokers_are_stopped_are_stored_once() {
    let Some(mut cluster) = cluster_alone() else { return };
    let (partition, ..) = with_calls(&cluster);
    let now = partition.clock.wall();
    let mut collector = Collector::giving_up_after("3000", &cluster, &partition, 2);
    collector.send("web", &["d"], now);
    let leader = leader(&cluster, &partition.settings.topic, 0);
    (1..=3).filter(|id| *id != leader).for_each(|id| cluster.stop(id));
    let stopped = Instant::now();
    collector.next_number();
    let mut given_up = 0;
    while collector.try_again("web", &["meanwhile"], now).is_err() {
        given_up += 1;
        if stopped.elapsed() >= Duration::from_secs(20) {
            (1..=3).for_each(|id| cluster.wake(id));
        }
    }
    assert!(given_up >= 2, "it gave up {given_up} times");
    cluster.make_whole();
    collector.send("web", &["after"], now);
    let store = FakeStore::new();
    let writer = Made::of(&partition, &store).begin();
    writer.deliver();
    ended(writer);
    let copies = state(&partition).copies;
    assert!(!copies.is_empty(), "the log has copies");
    assert_eq!(sorted(calls(&store)), ["a", "after", "b", "c", "d", "meanwhile"], "{copies:?}");
}
