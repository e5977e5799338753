//! Sources that a writer does not know, clocks that are wrong, and many partitions in one process.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use forebay::log::Status as _;
use forebay::runtime::SystemClock;
use forebay::sources::SourceId;
use forebay::store::fake::FakeStore;
use forebay::time::{Clock, DAY_MS, UnixMillis};
use tokio::sync::watch;

use crate::cluster::{cluster, cluster_alone};
use crate::delivered::{Made, calls, objects, settings, sorted, to, wanted};
use crate::partition::{Collector, Partition};
use crate::process::start;
use crate::support::{CALL, resident_kb, until};

#[test]
fn calls_of_a_source_that_nobody_knows_wait_until_it_is_configured() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    let mut collector = Collector::new(&cluster, &partition, 1);
    let (store, now) = (FakeStore::new(), partition.clock.wall());
    let source = |name: &str| SourceId::new(name).unwrap();
    let mut known = BTreeMap::from([(source("web"), to("bucket"))]);
    let (configuration, wanted) = watch::channel(Arc::new(known.clone()));
    let made = Made { wanted, ..Made::of(&partition, &store) };
    let writer = made.begin();
    collector.send("tv", &["a"], now);
    collector.send("web", &["b"], now);
    writer.read();
    assert_eq!(writer.flush(Duration::from_secs(2)).pending, 1);
    assert_eq!(
        (calls(&store), writer.served.progress().without_bucket),
        (vec!["b".into()], [source("tv")].into())
    );
    known.insert(source("tv"), to("other"));
    configuration.send(Arc::new(known)).unwrap();
    until("its bucket to be noted", CALL, || {
        writer.served.progress().without_bucket.is_empty().then_some(())
    });
    writer.deliver();
    assert_eq!(sorted(calls(&store)), ["a", "b"]);
    writer.end().0.unwrap();
}

/// A clock that is wrong.
#[derive(Debug)]
struct Off {
    real: SystemClock,
    by_ms: AtomicI64,
}

impl Clock for Off {
    fn wall(&self) -> UnixMillis {
        UnixMillis(self.real.wall().0 + self.by_ms.load(Ordering::SeqCst))
    }
    fn monotonic(&self) -> Duration {
        // Whatever waits for a minute of steady time need not.
        self.real.monotonic() * 30
    }
}

#[test]
fn a_writer_whose_clock_is_wrong_delivers_once_and_ends_no_day() {
    let Some(cluster) = cluster() else { return };
    let mut partition = Partition::make(&cluster, &[]);
    let mut collector = Collector::new(&cluster, &partition, 1);
    let day = UnixMillis(partition.clock.wall().day().start().0 - DAY_MS - 5_000);
    let store = FakeStore::new();
    let mut expected = Vec::new();
    for (writer, by_ms) in [3_600_000, -365 * DAY_MS, 365 * DAY_MS].into_iter().enumerate() {
        partition.clock = Arc::new(Off { real: SystemClock::new(), by_ms: AtomicI64::new(by_ms) });
        let made = Made::of(&partition, &store);
        let one = made.begin();
        let call = format!("call {writer}");
        collector.send("web", &[&call, "always"], day);
        expected.push(call);
        one.deliver();
        // Delivery has asked for the end of the day many times.
        std::thread::sleep(Duration::from_secs(6));
        assert_eq!(one.served.log.days_over(), None, "by {by_ms} ms");
        one.end().0.unwrap();
    }
    expected.push("always".into());
    assert_eq!(sorted(calls(&store)), sorted(expected));
    let before = store.keys().len();
    partition.clock = Arc::new(Off { real: SystemClock::new(), by_ms: AtomicI64::new(0) });
    let right = Made::of(&partition, &store).begin();
    right.read();
    until("the day to be closed", CALL * 2, || (store.keys().len() > before).then_some(()));
    assert_eq!(right.served.log.days_over(), Some(day.day()));
    assert_eq!(objects(&store).len(), before, "only its marker is new");
    right.end().0.unwrap();
}

/// Small sources wait for their age beside a hot one, and the process stays small.
#[test]
fn a_writer_of_many_partitions_is_small_and_small_sources_get_one_object_each() {
    const PARTITIONS: u32 = 12;
    const SOURCES: usize = 40;
    const MAX_AGE: Duration = Duration::from_secs(30);
    let Some(cluster) = cluster_alone() else { return };
    let partition = Partition::make_many(&cluster, PARTITIONS, &[]);
    let store = FakeStore::new();
    let names: Vec<String> =
        (0..PARTITIONS).flat_map(|of| (0..SOURCES).map(move |n| format!("small-{of}-{n}"))).collect();
    let mut all: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "bucket")).collect();
    all.push(("hot", "bucket"));
    let mut settings = settings(5_000_000);
    settings.rule.max_age = MAX_AGE;
    let before = resident_kb();
    let folder = tempfile::tempdir().unwrap();
    let cache = (folder.path(), 3_000_000_000);
    let writer = start(&partition, Arc::new(store.clone()), settings, wanted(&all), cache);
    until("all partitions to be owned", CALL * 4, || {
        let owned = writer.partitions().values().filter(|status| status.progress.is_some()).count();
        (owned == 12).then_some(())
    });
    let owned = resident_kb() - before;
    let mut collectors: Vec<Collector> = (0..PARTITIONS)
        .map(|of| {
            let to = i32::try_from(of).unwrap();
            Collector::new(&cluster, &partition, u128::from(of) + 1).in_partition(to)
        })
        .collect();
    let (mut most, mut sent, began) = (0, 0, Instant::now());
    for round in 0..5 {
        for (of, collector) in collectors.iter_mut().enumerate() {
            let now = partition.clock.wall();
            for name in &names[of * SOURCES..(of + 1) * SOURCES] {
                collector.send(name, &[&format!("{name} {round}")], now);
            }
            if of == 0 {
                for n in 0..5 {
                    let calls: Vec<String> = (0..10).map(|call| format!("hot {round} {n} {call}")).collect();
                    let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
                    collector.send_long("hot", &calls, now, 60_000);
                    sent += 10;
                }
            }
            sent += SOURCES;
        }
        most = most.max(resident_kb() - before);
    }
    let took = began.elapsed();
    until("everything to be delivered", CALL * 4, || {
        std::thread::sleep(Duration::from_millis(500));
        most = most.max(resident_kb() - before);
        (calls(&store).len() >= sent).then_some(())
    });
    let found = calls(&store);
    assert_eq!(sorted(found.clone()).len(), sent);
    let of_small = objects(&store).iter().filter(|(key, _)| key.contains("/small-")).count();
    eprintln!(
        "{PARTITIONS} partitions take {} MB, with the load and a store in memory {} MB; {} small sources have {of_small} \
         objects",
        owned / 1_000,
        most / 1_000,
        names.len()
    );
    assert!(owned < 256_000, "{owned} KB");
    let ages = usize::try_from(took.as_secs() / MAX_AGE.as_secs()).unwrap() + 1;
    assert!(of_small <= names.len() * ages, "{of_small} objects in {took:.0?}");
    assert_eq!(writer.ledger_differences(), []);
    writer.stop().unwrap();
}
