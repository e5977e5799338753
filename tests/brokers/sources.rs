//! Sources that a writer does not know, clocks that are wrong, and many partitions in one process.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use forebay::kafka::owner::Owner;
use forebay::kafka::reading::Looked;
use forebay::kafka::upkeep::Due;
use forebay::log::Status as _;
use forebay::metrics::Metrics;
use forebay::partition::destinations::Buckets;
use forebay::partition::position::before;
use forebay::partition::share::{asked, shares, waits};
use forebay::runtime::SystemClock;
use forebay::sources::SourceId;
use forebay::store::fake::FakeStore;
use forebay::time::{Clock, DAY_MS, UnixMillis};
use tokio::sync::watch;

use crate::cluster::{Cluster, cluster, cluster_alone};
use crate::delivered::{Made, calls, objects, sorted, state, to};
use crate::delivers::say;
use crate::partition::{Collector, Partition};
use crate::program::Program;
use crate::s3::S3;
use crate::support::{CALL, most_resident_kb, number, seconds, until};

#[test]
fn calls_of_a_source_that_nobody_knows_wait_until_it_is_configured() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    let mut collector = Collector::new(&cluster, &partition, 1);
    let (store, now) = (FakeStore::new(), partition.clock.wall());
    let source = |name: &str| SourceId::new(name).unwrap();
    let mut known = Buckets { of: [(source("web"), to("bucket"))].into(), others: None };
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
    known.of.insert(source("tv"), to("other"));
    configuration.send(Arc::new(known)).unwrap();
    until("its bucket to be noted", CALL, || {
        writer.served.progress().without_bucket.is_empty().then_some(())
    });
    writer.deliver();
    assert_eq!(sorted(calls(&store)), ["a", "b"]);
    writer.end().0.unwrap();
}

/// A record that was read between two looks after the term took the change as seen.
#[test]
fn a_bucket_that_changes_while_records_are_read_is_noted() {
    let Some(cluster) = cluster() else { return };
    let partition = Partition::make(&cluster, &[]);
    let mut collector = Collector::new(&cluster, &partition, 1);
    let web = SourceId::new("web").unwrap();
    let buckets = |bucket| Arc::new(Buckets { of: [(web.clone(), to(bucket))].into(), others: None });
    let (configuration, wanted) = watch::channel(buckets("bucket"));
    let made = Made { wanted, ..Made::of(&partition, &FakeStore::new()) };
    for call in ["a", "b"] {
        collector.send("web", &[call], partition.clock.wall());
    }
    let (folder, metrics) = (tempfile::tempdir().unwrap(), Arc::new(Metrics::new()));
    let mut owner = made.owner(partition.begin(), None, &folder, &metrics);
    let mut due = Due::new(partition.clock.monotonic());
    let read = |owner: &mut Owner| {
        until("a record", CALL, || (owner.read(CALL).unwrap() == Looked::Record).then_some(()));
    };
    read(&mut owner);
    configuration.send(buckets("other")).unwrap();
    read(&mut owner);
    owner.upkeep(&mut due).unwrap();
    let calls = state(&partition).calls;
    let at = |position| calls.location(&web, position).map(|(location, _)| location.clone());
    assert_eq!((at(before(2)), at(u64::MAX)), (Some(to("bucket")), Some(to("other"))));
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
    // A person sets the clock of a writer that runs. No call comes, so nothing else is noted.
    let clock = Arc::new(Off { real: SystemClock::new(), by_ms: AtomicI64::new(-365 * DAY_MS) });
    partition.clock = Arc::clone(&clock) as Arc<dyn Clock>;
    let right = Made::of(&partition, &store).begin();
    right.read();
    // It asks for the time again and again.
    let base_at = || right.served.told(None).1.base_at;
    for _ in 0..3 {
        let before = base_at();
        until("the base to be noted again", CALL, || (base_at() != before).then_some(()));
        assert_eq!(right.served.log.days_over(), None);
    }
    clock.by_ms.store(0, Ordering::SeqCst);
    until("the day to be closed", CALL * 2, || (store.keys().len() > before).then_some(()));
    assert_eq!(right.served.log.days_over(), Some(day.day()));
    assert_eq!(objects(&store).len(), before, "only its marker is new");
    right.end().0.unwrap();
}

const PARTITIONS: u32 = 12;
/// Bytes a second of the hot source, which is in the first partition.
const HOT_RATE: u64 = 1_000_000;
/// Between two calls of each small source.
const CALL_EVERY: Duration = Duration::from_secs(5);
/// What a writer of all partitions takes at most, in KiB: 256 MB.
const WRITER_KB: u64 = 250_000;

/// The day of an object, and the round of its first call.
type Begins = (String, u64);

/// Small sources beside a hot one, in twelve partitions, for a little longer than `max_age`.
struct Many {
    names: Vec<String>,
    max_age: Duration,
}

impl Many {
    fn of(&self, partition: usize) -> &[String] {
        let each = self.names.len() / 12;
        &self.names[partition * each..(partition + 1) * each]
    }

    /// One round: a call of each small source, and what the hot one has in that time.
    fn send(&self, round: u64, collectors: &mut [Collector], now: UnixMillis) -> usize {
        let mut sent = 0;
        for (of, collector) in collectors.iter_mut().enumerate() {
            let calls: Vec<(&str, String)> =
                self.of(of).iter().map(|name| (name.as_str(), format!("{name} {round}"))).collect();
            collector.send_of_each(&calls, now);
            sent += calls.len();
        }
        let blocks = HOT_RATE * CALL_EVERY.as_secs() / 500_000;
        for block in 0..blocks {
            let calls: Vec<String> = (0..10).map(|call| format!("hot {round} {block} {call}")).collect();
            let calls: Vec<&str> = calls.iter().map(String::as_str).collect();
            collectors[0].send_long("hot", &calls, now, 50_000);
            sent += calls.len();
        }
        sent
    }

    /// Sends to a writer with this cache. Returns the day of each object of each small source, and the round of its first
    /// call; and for how long calls came in.
    fn run(&self, cluster: &Cluster, cache_bytes: u64) -> (BTreeMap<String, BTreeSet<Begins>>, Duration) {
        let partition = Partition::make_many(cluster, PARTITIONS, &[]);
        let s3 = S3::start();
        let sources = self.names.iter().map(String::as_str).chain(["hot"]);
        let sources: String = sources.map(|name| format!("[[source]]\nid = \"{name}\"\n")).collect();
        let flush = format!("max_bytes = \"5 MB\"\nmax_age = \"{} s\"", self.max_age.as_secs());
        // The program alone, with nothing of this test in its memory.
        let writer = Program::writer_with(&partition, &s3.url(), &sources, &flush, cache_bytes);
        until("all partitions to be owned", CALL * 4, || {
            let status = writer.json("/api/status");
            let owned = status["kafka"]["owned"].as_array()?;
            (owned.iter().filter(|one| one["standing"] == "delivers").count() == 12).then_some(())
        });
        let owned = most_resident_kb(writer.id());
        let of =
            |of: u32| Collector::new(cluster, &partition, u128::from(of) + 1).in_partition(of.cast_signed());
        let mut collectors: Vec<Collector> = (0..PARTITIONS).map(of).collect();
        let (mut sent, began) = (0, Instant::now());
        let sends_for = self.max_age * 5 / 4;
        for round in 0.. {
            let next = CALL_EVERY * u32::try_from(round).unwrap();
            if next >= sends_for {
                break;
            }
            // The rate of the hot source is what the cache is for.
            std::thread::sleep(next.saturating_sub(began.elapsed()));
            sent += self.send(round, &mut collectors, partition.clock.wall());
        }
        let took = began.elapsed();
        let stored = until("everything to be delivered", self.max_age * 3 + CALL * 2, || {
            assert!(writer.get("/ready").starts_with("HTTP/1.1 200"));
            std::thread::sleep(self.max_age / 10);
            let stored = s3.objects();
            (stored.values().map(Vec::len).sum::<usize>() >= sent).then_some(stored)
        });
        let calls: BTreeSet<&String> = stored.values().flatten().collect();
        let all = stored.values().map(Vec::len).sum::<usize>();
        assert!(calls.len() == sent && all == sent, "missing or doubled");
        let most = most_resident_kb(writer.id());
        drop(writer);
        let mut objects: BTreeMap<String, BTreeSet<Begins>> = BTreeMap::new();
        for (key, calls) in &stored {
            let (source, round) = calls[0].split_once(' ').unwrap();
            if source != "hot" {
                let day = key.split('/').nth(2).unwrap().to_owned();
                let of_source = objects.entry(source.to_owned()).or_default();
                let is_new = of_source.insert((day, round.parse().unwrap()));
                assert!(is_new, "a call in two objects");
            }
        }
        say(&format!(
            "{sent} calls of {} small sources beside a hot one within {took:.0?}, max_age {:.0?}, cache {} MB: 0 \
             missing, 0 doubled; the writer's process had {} MB once it owned all partitions, and at most {} MB",
            self.names.len(),
            self.max_age,
            cache_bytes / 1_000_000,
            owned / 1_000,
            most / 1_000,
        ));
        assert!(most < WRITER_KB, "{most} KB");
        (objects, took)
    }
}

/// The default of `flush.max_bytes`.
const OBJECT_BYTES: u64 = 100_000_000;

/// Small sources wait for their age beside a hot one, and the process stays small. `FOREBAY_KAFKA_SOURCES=10000` and
/// `FOREBAY_KAFKA_MAX_AGE=120` take as many, and seconds.
#[test]
fn small_sources_have_one_object_in_each_age_if_the_cache_has_what_is_asked_for() {
    let Some(cluster) = cluster_alone() else { return };
    // With the hot one they are at most as many as a configuration may have.
    let each = number("FOREBAY_KAFKA_SOURCES", 480) / u64::from(PARTITIONS);
    let names = (0..PARTITIONS).flat_map(|of| (0..each).map(move |n| format!("small-{of}-{n}"))).collect();
    let many = Many { names, max_age: seconds("FOREBAY_KAFKA_MAX_AGE", 30) };
    // A frame of a small source has some 200 bytes.
    let small = each * 200 / CALL_EVERY.as_secs();
    let rates: BTreeMap<u32, u64> =
        (0..PARTITIONS).map(|of| (of, small + if of == 0 { HOT_RATE } else { 0 })).collect();
    let cache = asked(many.max_age, OBJECT_BYTES, &rates);
    let (objects, took) = many.run(&cluster, cache);
    let ages = usize::try_from(took.as_millis() / many.max_age.as_millis()).unwrap() + 1;
    let most = objects.values().map(BTreeSet::len).max().unwrap();
    // A day ends at most once meanwhile.
    let days: BTreeSet<&String> = objects.values().flatten().map(|(day, _)| day).collect();
    assert!(
        objects.len() == many.names.len() && most < ages + days.len(),
        "{most} objects of one source in {took:.0?}"
    );
    // A batch that was cut for room, not for its age, would be followed sooner by the next.
    let begin = objects.values().flat_map(|first| first.iter().zip(first.iter().skip(1)));
    let of_one_day = begin.filter(|((day, _), (next, _))| day == next);
    let rounds = of_one_day.map(|((_, one), (_, next))| next - one).min().unwrap();
    let between = CALL_EVERY * u32::try_from(rounds).unwrap();
    say(&format!("objects of a source begin {between:.0?} after one another, or later"));
    assert!(between + CALL_EVERY >= many.max_age, "{between:.0?}");

    let tenth = cache / 10;
    let (objects, took) = many.run(&cluster, tenth);
    let (beside, alone): (Vec<_>, Vec<_>) = objects.iter().partition(|(name, _)| many.of(0).contains(name));
    let waits = waits(shares(tenth, OBJECT_BYTES, &rates)[&0], rates[&0]);
    let expected = took.div_duration_f64(waits);
    let mean = beside.iter().map(|(_, objects)| objects.len()).sum::<usize>() as f64 / beside.len() as f64;
    say(&format!(
        "with a tenth of the cache, a source beside the hot one has {mean:.1} objects in {took:.0?}; the rule says one in \
         {waits:.1?}, so {expected:.1}"
    ));
    assert!(mean > expected / 2.0 && mean < expected * 2.0 + 1.0);
    assert!(alone.iter().all(|(_, objects)| objects.len() <= ages + 2));
}
