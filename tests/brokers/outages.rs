//! Buckets that refuse, a store that is away, a writer that is hours behind, and partitions that move, with the
//! real delivery.

use std::collections::BTreeMap;
use std::fs;
use std::ops::Range;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use forebay::delivery::DeliverySettings;
use forebay::log::{LostFrames, Status as _};
use forebay::metrics::Metrics;
use forebay::object::{ObjectKey, S3Location};
use forebay::partition::position::before;
use forebay::sources::SourceId;
use forebay::store::fake::{FakeStore, Step};
use forebay::store::{Attempted, Head, ObjectStore, Put, Stored};
use forebay::time::{Clock, DAY_MS, UnixMillis};

use crate::cluster::cluster;
use crate::delivered::{Ahead, Made, calls, calls_of, objects, settings, sorted, state, wanted};
use crate::partition::{Collector, Partition};
use crate::process::start;
use crate::support::{CALL, delete_before, resident_kb, seconds, until};

/// Bytes of an object.
const OBJECT: u64 = 10_000_000;
/// How much of that a full object has at least. The last one of a source has what is left.
const FULL: usize = 9_000_000;
/// The cache of a writer, which the calls of one test do not fit in by far. With less than some ten objects of
/// each source, objects would be cut early.
const SMALL_CACHE: u64 = 200_000_000;
/// The same, for a run that takes long.
const LARGE_CACHE: u64 = 1_000_000_000;

/// Sends records of 600 KB to these sources in turn, within this time or longer, stamped as they come: a batch of old
/// calls would be due for its age. Returns the calls.
fn send_many(
    collector: &mut Collector,
    sources: &[&str],
    records: Range<usize>,
    within: Duration,
    clock: &dyn Clock,
) -> Vec<String> {
    let pause = within / u32::try_from(records.len() * sources.len()).unwrap();
    let mut all = Vec::new();
    for record in records {
        for source in sources {
            std::thread::sleep(pause);
            let calls: Vec<String> = (0..10).map(|n| format!("{source} {record:04} {n}")).collect();
            let names: Vec<&str> = calls.iter().map(String::as_str).collect();
            collector.send_long(source, &names, clock.wall(), 60_000);
            all.extend(calls);
        }
    }
    all
}

/// Bytes of all files in a folder.
fn bytes_in(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).unwrap().filter_map(Result::ok);
    files
        .map(|file| match file.metadata() {
            Ok(of) if of.is_dir() => bytes_in(&file.path()),
            Ok(of) => of.len(),
            // It was removed since.
            Err(_) => 0,
        })
        .sum()
}

/// The bytes of each source's objects, in order, without the last one.
fn full_objects(store: &FakeStore, source: &str) -> Vec<usize> {
    let of_source = |key: &str| key.contains(&format!("/{source}/"));
    let mut bytes: Vec<usize> = objects(store)
        .iter()
        .filter(|(key, _)| of_source(key))
        .map(|(_, object)| object.bytes.len())
        .collect();
    bytes.pop();
    bytes
}

fn of_two(partition: &Partition, store: &FakeStore) -> Made {
    let mut made = Made::of(partition, store);
    made.settings = DeliverySettings { park_after: Duration::from_secs(2), ..settings(OBJECT) };
    made.wanted = wanted(&[("web", "bucket"), ("held", "refuses")]);
    made
}

/// `FOREBAY_BUCKET_REFUSES` seconds: as long, with a cache of a gigabyte.
#[test]
fn a_bucket_that_refuses_for_long_stops_no_other_and_its_calls_stay_in_the_log() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    let mut collector = Collector::new(&cluster, &partition, 1);
    let store = FakeStore::new();
    store.refuse_bucket("refuses", true);
    let mut made = of_two(&partition, &store);
    let within = seconds("FOREBAY_BUCKET_REFUSES", 0);
    let (records, cache_bytes) = if within.is_zero() { (400, SMALL_CACHE) } else { (2_000, LARGE_CACHE) };
    made.cache_bytes = cache_bytes;
    let first = made.begin();
    let expected = send_many(&mut collector, &["held", "web"], 0..records, within, &*partition.clock);
    let mut most = 0;
    until("everything to be read", CALL * 8, || {
        most = most.max(bytes_in(first.folder.path()));
        (first.served.progress().read_before >= before(2 * records as u64)).then_some(())
    });
    assert!(most <= cache_bytes, "the cache had {most} bytes");
    let left = first.served.progress().left;
    assert!(left >= 5, "{left} objects stay in the log");
    // Others are delivered meanwhile, in full objects.
    let web = full_objects(&store, "web");
    assert!(web.len() >= 10 && web.iter().all(|bytes| *bytes >= FULL), "{web:?}");
    // It is lost with its disk: another process takes over.
    let second = made.begin();
    second.read();
    until("the first to learn it", CALL, || {
        first.flush(Duration::ZERO);
        first.is_over().then_some(())
    });
    drop(first.end());
    assert!(calls(&store).iter().all(|call| call.starts_with("web")));
    store.refuse_bucket("refuses", false);
    let began = Instant::now();
    until("everything to be delivered", CALL * 8, || {
        (second.flush(Duration::from_secs(5)).pending == 0).then_some(())
    });
    eprintln!(
        "{left} objects were left; all was delivered {:.0?} after the bucket took again",
        began.elapsed()
    );
    second.deliver();
    assert!(sorted(calls(&store)) == sorted(expected), "calls are missing or doubled");
    let held = full_objects(&store, "held");
    eprintln!("objects of the bucket that refused: {held:?}, of the other one: {web:?}");
    // Each of the two writers has sealed what was open in the end.
    assert!(held.iter().filter(|bytes| **bytes < FULL).count() <= 2, "{held:?}");
    let progress = second.served.progress();
    assert_eq!((progress.left, progress.lost), (0, 0));
    second.end().0.unwrap();
}

#[test]
fn what_a_bucket_refuses_longer_than_the_log_keeps_it_is_lost_by_name_and_others_are_whole() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    let mut collector = Collector::new(&cluster, &partition, 1);
    let now = partition.clock.wall();
    let store = FakeStore::new();
    store.refuse_bucket("refuses", true);
    let mut made = of_two(&partition, &store);
    made.settings.park_after = Duration::from_millis(50);
    let writer = made.begin();
    collector.send("held", &["lost 1", "lost 2"], now);
    collector.send("web", &["a"], now);
    writer.read();
    writer.flush(Duration::from_secs(1));
    until("it to be left", CALL, || (writer.served.progress().left == 1).then_some(()));
    collector.send("held", &["kept"], now);
    collector.send("web", &["b"], now);
    writer.read();
    // Half of the retention ago the second record was the next one: who waits for longer is refused.
    let (kept_from, metadata) = writer.served.told(Some(1));
    let refuses = |source: &str| metadata.refuses(&SourceId::new(source).unwrap());
    assert_eq!((kept_from, refuses("held"), refuses("web")), (0, true, false));
    writer.end().0.unwrap();
    delete_before(&cluster, &partition.settings.topic, 2);
    // The next one has nothing at hand.
    let writer = made.begin();
    until("the loss to be noted", CALL, || (writer.served.progress().lost == 1).then_some(()));
    store.refuse_bucket("refuses", false);
    writer.deliver();
    assert_eq!(sorted(calls(&store)), ["a", "b", "kept"]);
    let keys = objects(&store);
    let held: Vec<_> = keys.iter().filter(|(key, _)| key.contains("/held/")).collect();
    // The chain is whole: the object that is lost is there, without lines.
    assert_eq!(held.iter().map(|(_, of)| calls_of(&of.bytes).len()).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(held[0].1.metadata["forebay-lost-calls"], "2");
    writer.end().0.unwrap();
    let lost = state(&partition).calls.lost;
    assert_eq!(lost.len(), 1);
    assert_eq!((lost[0].first, lost[0].last, lost[0].frames), (1, 2, LostFrames::Exactly(2)));
}

/// It was declared lost, and put without its lines.
#[test]
fn an_object_at_hand_is_delivered_although_the_log_has_lost_its_calls() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    let mut collector = Collector::new(&cluster, &partition, 1);
    let now = partition.clock.wall();
    let store = FakeStore::new();
    store.refuse_bucket("refuses", true);
    let mut made = of_two(&partition, &store);
    made.settings.park_after = Duration::from_millis(50);
    let writer = made.begin();
    collector.send("held", &["at hand 1", "at hand 2"], now);
    writer.read();
    writer.flush(Duration::from_secs(1));
    until("it to be left", CALL, || (writer.served.progress().left == 1).then_some(()));
    collector.send("web", &["a"], now);
    delete_before(&cluster, &partition.settings.topic, 1);
    // The start of the log is compared with what is left every ten seconds: the second of these is left after the first
    // look at least.
    let asked = Instant::now();
    until("a look at the log's start", CALL, || (asked.elapsed() > Duration::from_secs(12)).then_some(()));
    assert_eq!(writer.served.progress().lost, 0);
    store.refuse_bucket("refuses", false);
    writer.deliver();
    assert_eq!(sorted(calls(&store)), ["a", "at hand 1", "at hand 2"]);
    assert_eq!(writer.served.progress().lost, 0);
    writer.end().0.unwrap();
}

/// A small source has a line in each segment of a cache, its object is sealed, and another owner with less room goes on:
/// it has no room to read to the object's end, and can free none before.
#[test]
fn an_object_that_needs_more_room_than_its_next_owner_has_is_built_from_the_log() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    let mut collector = Collector::new(&cluster, &partition, 1);
    let store = FakeStore::new();
    store.script(std::iter::repeat_n(Step::RESET, 1_000_000));
    let mut made = of_two(&partition, &store);
    made.settings.park_after = Duration::from_secs(3_600);
    made.wanted = wanted(&[("web", "bucket"), ("small", "bucket")]);
    made.cache_bytes = 2 * SMALL_CACHE;
    let first = made.begin();
    let mut expected = Vec::new();
    for record in 0..200 {
        expected.extend(send_many(
            &mut collector,
            &["web"],
            record..record + 1,
            Duration::ZERO,
            &*partition.clock,
        ));
        let call = format!("small {record}");
        collector.send("small", &[&call], partition.clock.wall());
        expected.push(call);
    }
    first.read();
    first.flush(Duration::ZERO);
    until("the small object to be sealed", CALL, || {
        let mut sealed = 0;
        first.served.log.each_pending_seal(&mut |pending| {
            sealed += u32::from(pending.seal.batch.source.as_str() == "small");
        });
        (sealed == 1).then_some(())
    });
    assert_eq!(first.served.progress().left, 0);
    drop(first.end());
    collector.send("web", &["nobody has read it"], partition.clock.wall());
    expected.push("nobody has read it".to_owned());
    store.clear_script();
    made.cache_bytes = SMALL_CACHE / 4;
    let second = made.begin();
    // What nobody has read may be of any source. Once it has used up half of the retention, collectors refuse them all.
    let refuses_all = |half_ago| second.served.told(Some(half_ago)).1.refuses_all;
    until("a pause", CALL, || second.served.progress().is_full.then_some(()));
    assert!(refuses_all(401) && !refuses_all(400), "the first owner had read 400 records");
    until("everything to be read", CALL * 4, || {
        (second.served.progress().read_before >= before(401)).then_some(())
    });
    second.deliver();
    assert!(sorted(calls(&store)) == sorted(expected), "calls are missing or doubled");
    assert_eq!(second.served.progress().lost, 0);
    until("the end of the log", CALL, || (!refuses_all(u64::MAX / 4_096)).then_some(()));
    second.end().0.unwrap();
}

/// Records of 600 KB that come in while the store is away, at most: several times the cache, however long it lasts.
const RECORDS_AWAY: u32 = 1_500;

#[test]
fn a_store_that_is_away_uses_the_log_and_neither_disk_nor_memory() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    let mut collector = Collector::new(&cluster, &partition, 1);
    let store = FakeStore::new();
    // More puts than anyone tries meanwhile.
    store.script(std::iter::repeat_n(Step::RESET, 1_000_000));
    let mut made = of_two(&partition, &store);
    made.cache_bytes = SMALL_CACHE;
    let writer = made.begin();
    let away = seconds("FOREBAY_STORE_AWAY", 40);
    let began = Instant::now();
    let (mut expected, mut most, mut memory) = (Vec::new(), 0, Vec::new());
    let mut record = 0;
    while began.elapsed() < away {
        let names: Vec<String> = (0..10).map(|n| format!("{record:05} {n}")).collect();
        let calls: Vec<&str> = names.iter().map(String::as_str).collect();
        collector.send_long("web", &calls, partition.clock.wall(), 60_000);
        expected.extend(names);
        record += 1;
        most = most.max(bytes_in(writer.folder.path()));
        memory.push(resident_kb());
        std::thread::sleep(away / RECORDS_AWAY);
    }
    let (half, end) = (memory[memory.len() / 2], *memory.last().unwrap());
    eprintln!(
        "{} MB of calls while the store was away for {:.0?}: cache at most {} MB, memory {} MB after half of the \
         time and {} MB at its end, {} objects left",
        record * 600_000 / 1_000_000,
        began.elapsed(),
        most / 1_000_000,
        half / 1_000,
        end / 1_000,
        writer.served.progress().left
    );
    assert!(most <= SMALL_CACHE);
    // Other tests run in this process, unless this one was asked for.
    let growth = if away > Duration::from_secs(60) { 15_000 } else { 100_000 };
    assert!(end < half + growth, "memory grows from {half} to {end} KB");
    assert_eq!(store.keys(), []);
    store.clear_script();
    until("everything to be delivered", CALL * 8, || {
        (writer.flush(Duration::from_secs(5)).pending == 0).then_some(())
    });
    writer.deliver();
    assert!(sorted(calls(&store)) == sorted(expected), "calls are missing or doubled");
    let bytes = full_objects(&store, "web");
    let full = bytes.iter().filter(|bytes| **bytes >= FULL).count();
    eprintln!("{full} of {} objects are full", bytes.len());
    assert_eq!(full, bytes.len(), "{bytes:?}");
    writer.end().0.unwrap();
}

/// A store that knows in which order it took its objects.
#[derive(Clone, Debug)]
struct InOrder {
    store: FakeStore,
    taken: Arc<Mutex<Vec<String>>>,
}

impl ObjectStore for InOrder {
    fn put<'a>(&'a self, put: &'a Put) -> Attempted<'a, Stored> {
        Box::pin(async move {
            let answer = self.store.put(put).await;
            if answer.is_ok() {
                self.taken.lock().unwrap().push(put.key.as_str().to_owned());
            }
            answer
        })
    }

    fn head<'a>(&'a self, location: &'a S3Location, key: &'a ObjectKey) -> Attempted<'a, Head> {
        self.store.head(location, key)
    }
}

#[test]
fn a_partition_that_is_hours_behind_at_midnight_puts_each_call_into_its_own_day() {
    let Some(cluster) = cluster() else { return };
    let mut partition = Partition::make(&cluster, &[("message.timestamp.type", "CreateTime")]);
    let clock = Ahead::new();
    partition.clock = Arc::<Ahead>::clone(&clock) as Arc<_>;
    let mut collector = Collector::new(&cluster, &partition, 1).backdating();
    // The writer begins days later. Three hours before a midnight and two after it are in the log.
    let midnight = partition.clock.wall().day().start().0 - DAY_MS;
    let (day, next) = (UnixMillis(midnight - 1).day(), UnixMillis(midnight).day());
    let mut expected: BTreeMap<String, bool> = BTreeMap::new();
    let mut send = |collector: &mut Collector, minute: i64, of_day: bool| {
        let names: Vec<String> = (0..10).map(|n| format!("{minute:04} {n}")).collect();
        let calls: Vec<&str> = names.iter().map(String::as_str).collect();
        collector.send_long("web", &calls, UnixMillis(midnight + minute * 60_000), 20_000);
        expected.extend(names.into_iter().map(|name| (name, of_day)));
    };
    for minute in (-180..120).step_by(3) {
        // Clocks of collectors differ: some calls of the day stand after some of the next one.
        send(&mut collector, minute, minute < 0);
        if minute == 30 {
            send(&mut collector, -1, true);
        }
    }
    let store = InOrder { store: FakeStore::new(), taken: Arc::default() };
    let mut made = Made::of(&partition, &store.store);
    made.settings = settings(1_000_000);
    made.cache_bytes = SMALL_CACHE;
    let (folder, metrics) = (Arc::new(tempfile::tempdir().unwrap()), Arc::new(Metrics::new()));
    let owner = made.owner(partition.begin(), None, &folder, &metrics);
    let writer = made.serve_to(Arc::new(store.clone()), owner, folder);
    until("the reader to begin", CALL, || (writer.served.progress().bytes > 0).then_some(()));
    // Both clocks show for a minute that the day is over.
    until("the day to end", CALL, || {
        clock.pass(Duration::from_secs(61));
        std::thread::sleep(Duration::from_millis(1_200));
        (writer.served.log.days_over() >= Some(day)).then_some(())
    });
    // What a collector still sends of the day is of the next one; or of the one after, if that one has ended too.
    send(&mut collector, -2, false);
    writer.deliver();
    let in_day = |key: &str, of: &str| key.contains(&format!("/{of}/"));
    let (of_day, of_next, of_after) = (day.to_string(), next.to_string(), next.end().day().to_string());
    let mut found: BTreeMap<String, bool> = BTreeMap::new();
    for (key, object) in objects(&store.store) {
        let is_of_day = in_day(&key, &of_day);
        let is_of_after = in_day(&key, &of_after);
        assert!(is_of_day || is_of_after || in_day(&key, &of_next), "{key}");
        for call in calls_of(&object.bytes) {
            assert!(!is_of_after || call.starts_with("-002"), "{call} in {key}");
            assert_eq!(found.insert(call, is_of_day), None, "doubled");
        }
    }
    assert_eq!(found, expected);
    until("the marker", CALL, || {
        let taken = store.taken.lock().unwrap();
        taken.iter().any(|key| !key.ends_with(".gz") && key.contains(&of_day)).then_some(())
    });
    let taken = store.taken.lock().unwrap().clone();
    let marker = taken.iter().position(|key| !key.ends_with(".gz") && key.contains(&of_day)).unwrap();
    let last = taken.iter().rposition(|key| key.ends_with(".gz") && in_day(key, &of_day)).unwrap();
    assert!(last < marker, "a call of the day came after its marker");
    // Whoever catches up makes full objects.
    for of in [&of_day, &of_next] {
        let bytes: Vec<usize> = objects(&store.store)
            .iter()
            .filter(|(key, _)| in_day(key, of))
            .map(|(_, object)| object.bytes.len())
            .collect();
        let full = bytes.iter().filter(|bytes| **bytes >= 900_000).count();
        eprintln!("{of}: {full} of {} objects are full", bytes.len());
        assert!(bytes.len() > 3 && full + 3 >= bytes.len(), "{bytes:?}");
    }
    writer.end().0.unwrap();
}

#[test]
fn partitions_that_move_between_writers_under_load_lose_and_double_nothing() {
    const PARTITIONS: u32 = 4;
    let Some(cluster) = cluster() else { return };
    let mut partition = Partition::make_many(&cluster, PARTITIONS, &[]);
    let more = [("session.timeout.ms", "6000"), ("heartbeat.interval.ms", "1000")];
    partition.settings.more = more.map(|(key, value)| (key.to_owned(), value.to_owned())).into();
    let store = FakeStore::new();
    let folders: Vec<_> = (0..4).map(|_| tempfile::tempdir().unwrap()).collect();
    let mut due_soon = settings(1_000_000);
    due_soon.rule.max_age = Duration::from_secs(1);
    let writer = |number: usize| {
        let store = Arc::new(store.clone());
        let cache = (folders[number].path(), 4 * SMALL_CACHE);
        start(&partition, store, due_soon, wanted(&[("web", "bucket"), ("ios", "bucket")]), cache)
    };
    let (stops, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let collectors: Vec<_> = (0..PARTITIONS)
        .map(|number| {
            let to = i32::try_from(number).unwrap();
            let mut collector = Collector::new(&cluster, &partition, u128::from(number) + 1).in_partition(to);
            let (stops, sent, clock) = (Arc::clone(&stops), Arc::clone(&sent), Arc::clone(&partition.clock));
            std::thread::spawn(move || {
                let mut all = Vec::new();
                while !stops.load(Ordering::Acquire) {
                    let calls: Vec<String> =
                        (0..10).map(|n| format!("call {number} {}", all.len() + n)).collect();
                    let names: Vec<&str> = calls.iter().map(String::as_str).collect();
                    collector.send(if all.len() % 3 == 0 { "ios" } else { "web" }, &names, clock.wall());
                    all.extend(calls);
                    sent.fetch_add(10, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(20));
                }
                all
            })
        })
        .collect();
    let owned = |writer: &forebay::node::writer::Writer| {
        writer.partitions().values().filter(|status| status.progress.is_some()).count()
    };
    let works = || std::thread::sleep(Duration::from_secs(4));
    let first = writer(0);
    until("the first to own all", CALL * 2, || (owned(&first) == 4).then_some(()));
    works();
    let second = writer(1);
    until("the second to own two", CALL * 2, || ((owned(&first), owned(&second)) == (2, 2)).then_some(()));
    works();
    first.stop().unwrap();
    until("the second to own all", CALL * 2, || (owned(&second) == 4).then_some(()));
    works();
    let (third, fourth) = (writer(2), writer(3));
    until("all to own some", CALL * 2, || {
        let of = [owned(&second), owned(&third), owned(&fourth)];
        (of.iter().sum::<usize>() == 4 && of.iter().all(|owned| *owned > 0)).then_some(())
    });
    works();
    second.stop().unwrap();
    works();
    stops.store(true, Ordering::Release);
    let expected: Vec<String> = collectors.into_iter().flat_map(|thread| thread.join().unwrap()).collect();
    until("everything to be delivered", CALL * 3, || {
        std::thread::sleep(Duration::from_millis(500));
        (calls(&store).len() >= expected.len()).then_some(())
    });
    eprintln!(
        "{} calls acknowledged in {PARTITIONS} partitions, in {} objects",
        expected.len(),
        objects(&store).len()
    );
    assert!(sorted(calls(&store)) == sorted(expected), "calls are missing or doubled");
    for writer in [third, fourth] {
        assert_eq!(writer.ledger_differences(), []);
        writer.stop().unwrap();
    }
}
