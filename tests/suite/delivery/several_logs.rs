//! Two spools in one process, whose deliveries share one equipment.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use forebay::alarms::AlarmKind;
use forebay::delivery::settings::{PUTS_PER_LOCATION, SEALED_PER_LOCATION};
use forebay::delivery::{Delivered, DeliveredList, DeliverySettings};
use forebay::disk::Disk;
use forebay::disk::real_disk::RealDisk;
use forebay::log::AppendError;
use forebay::object::{ObjectKey, S3Location};
use forebay::retry::Backoff;
use forebay::store::fake::FakeStore;
use forebay::store::{Attempted, Head, ObjectStore, Put, Stored};
use tempfile::TempDir;

use super::node::*;
use crate::support::hooked_disk::{Change, hooked_disk};

/// A store that counts the puts in flight.
#[derive(Clone, Debug)]
struct Counted {
    store: FakeStore,
    /// Now, and at most.
    puts: Arc<[AtomicUsize; 2]>,
}

struct InFlight(Arc<[AtomicUsize; 2]>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0[0].fetch_sub(1, Ordering::SeqCst);
    }
}

impl Counted {
    fn new(store: &FakeStore) -> Self {
        Self { store: store.clone(), puts: Arc::default() }
    }

    fn in_flight(&self) -> usize {
        self.puts[0].load(Ordering::SeqCst)
    }

    fn most(&self) -> usize {
        self.puts[1].load(Ordering::SeqCst)
    }
}

impl ObjectStore for Counted {
    fn put<'a>(&'a self, put: &'a Put) -> Attempted<'a, Stored> {
        Box::pin(async move {
            let now = self.puts[0].fetch_add(1, Ordering::SeqCst) + 1;
            let _in_flight = InFlight(Arc::clone(&self.puts));
            self.puts[1].fetch_max(now, Ordering::SeqCst);
            self.store.put(put).await
        })
    }

    fn head<'a>(&'a self, location: &'a S3Location, key: &'a ObjectKey) -> Attempted<'a, Head> {
        self.store.head(location, key)
    }
}

/// The sources of objects in the order of their deliveries.
#[derive(Debug, Default)]
struct InOrder(Mutex<Vec<String>>);

impl DeliveredList for InOrder {
    fn add(&self, object: Delivered) {
        self.0.lock().unwrap().push(object.source.to_string());
    }
}

/// Two spools of one process over one store.
struct Two {
    store: FakeStore,
    counted: Counted,
    order: Arc<InOrder>,
    process: Process,
    dirs: [TempDir; 2],
}

impl Two {
    fn new(settings: DeliverySettings) -> Self {
        let store = FakeStore::new();
        let (counted, order) = (Counted::new(&store), Arc::new(InOrder::default()));
        let list: Arc<dyn DeliveredList> = Arc::<InOrder>::clone(&order);
        let process = Process::new(Arc::new(counted.clone()), &StepClock::new(), settings, None, Some(list));
        Self { store, counted, order, process, dirs: [(); 2].map(|()| tempfile::tempdir().unwrap()) }
    }

    fn open(&self, log: usize) -> Node {
        self.open_on(Arc::new(RealDisk::open(self.dirs[log].path()).unwrap()))
    }

    fn open_on(&self, disk: Arc<dyn Disk>) -> Node {
        self.process.open(disk, options(), [])
    }

    fn standing(&self) -> Vec<(AlarmKind, String)> {
        self.process.alarms.standing().into_iter().map(|alarm| (alarm.kind, alarm.subject)).collect()
    }
}

/// Lines of one source in several spools: their objects are of several chains, so their order is not proved.
fn all_stored(store: &FakeStore, bucket: &str, name: &str) -> Vec<String> {
    let objects = objects(store, bucket, &format!("segment-logs/{name}/"));
    assert!(objects.iter().all(|(_, object)| object.writes == 1), "each is written once");
    let mut lines: Vec<String> = objects.iter().flat_map(|(_, object)| lines_of(object)).collect();
    lines.sort();
    lines
}

fn sorted(mut lines: Vec<String>) -> Vec<String> {
    lines.sort();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spool_ends_and_begins_again_beside_another_and_each_call_is_stored_once() {
    let two = Two::new(settings());
    let (mut one, other) = (two.open(0), two.open(1));
    for node in [&one, &other] {
        node.send("web", "bucket");
        node.send("held", "refuses");
    }
    two.store.refuse_bucket("refuses", true);
    for round in 0..5 {
        let from = round * 200;
        one.append("web", &lines(from, 50)).await;
        other.append("web", &lines(from + 50, 50)).await;
        one.append("held", &lines(from, 50)).await;
        one.delivery.flush(None, Duration::ZERO).await;
        // It ends wherever it is, with objects in flight, sealed and refused, and with calls that are in none.
        one.append("web", &lines(from + 100, 50)).await;
        eventually("an alarm", || two.standing() == [(AlarmKind::Refused, "refuses".to_owned())]).await;
        let last = one.delivery.alarms().subjects(&[AlarmKind::Refused]);
        assert_eq!(last.len(), 1, "the other has nothing for this bucket");
        one.leave().await;
        assert_eq!(two.standing(), []);
        assert_eq!(other.delivery.what_fails(), None);
        other.append("web", &lines(from + 150, 50)).await;
        other.flush().await;
        one = two.open(0);
        eventually("it knows what waits", || one.metrics.open_batches.get() > 0).await;
    }
    two.store.refuse_bucket("refuses", false);
    one.flush().await;
    other.flush().await;
    assert_eq!(all_stored(&two.store, "bucket", "web"), sorted(lines(0, 1_000)));
    let held = (0..5).flat_map(|round| lines(round * 200, 50)).collect();
    assert_eq!(all_stored(&two.store, "refuses", "held"), sorted(held));
    eventually("no alarm", || two.standing().is_empty()).await;
    one.leave().await;
    other.leave().await;
    let metrics = &two.process.metrics;
    assert_eq!((metrics.spool_bytes.get(), metrics.open_batches.get()), (0, 0), "no log is left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_spool_whose_disk_fails_ends_alone_and_begins_again() {
    let two = Two::new(settings());
    let fails = Arc::<AtomicBool>::default();
    // Once it fails, nothing can be written or synced.
    let failing = hooked_disk(Arc::new(RealDisk::open(two.dirs[0].path()).unwrap()), {
        let fails = Arc::clone(&fails);
        move |change| match change {
            Change::Write | Change::Sync(_) | Change::SyncDir if fails.load(Ordering::SeqCst) => {
                Err(io::Error::other("the disk fails"))
            }
            _ => Ok(()),
        }
    });
    let (one, other) = (two.open_on(failing), two.open(1));
    for node in [&one, &other] {
        node.send("web", "bucket");
    }
    let gate = two.store.hold_bucket("bucket");
    one.append("web", &lines(0, 50)).await;
    other.append("web", &lines(50, 50)).await;
    for node in [&one, &other] {
        node.delivery.flush(None, Duration::ZERO).await;
    }
    eventually("both put", || two.counted.in_flight() == 2).await;
    fails.store(true, Ordering::SeqCst);
    let failed = one.append_to_any("web", &lines(100, 50)).await;
    assert!(matches!(failed, Err(AppendError::Stopped | AppendError::Unknown)), "{failed:?}");
    eventually("its put has ended, and its slot is free", || two.counted.in_flight() == 1).await;
    // What the owner of the log would say of it.
    one.delivery.alarms().raise(AlarmKind::Task, "spool", "the spool has stopped".to_owned());
    assert_eq!(two.standing().len(), 1);
    one.leave().await;
    assert_eq!(two.standing(), []);
    gate.open();
    other.append("web", &lines(150, 50)).await;
    other.flush().await;
    let one = two.open(0);
    one.append("web", &lines(200, 50)).await;
    one.flush().await;
    let mut stored = all_stored(&two.store, "bucket", "web");
    // Whoever got no answer does not know.
    stored.retain(|line| !lines(100, 50).contains(line));
    let acknowledged = [lines(0, 100), lines(150, 100)].concat();
    assert_eq!(stored, sorted(acknowledged));
    one.leave().await;
    other.leave().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bounds_of_a_bucket_hold_over_both_and_who_ends_gives_its_part_to_the_other() {
    let two = Two::new(DeliverySettings { park_after: Duration::from_secs(3_600), ..settings() });
    let (one, other) = (two.open(0), two.open(1));
    let gate = two.store.hold_bucket("bucket");
    for n in 0..100 {
        for (node, name) in [(&one, format!("a{n}")), (&other, format!("b{n}"))] {
            node.send(&name, "bucket");
            node.append(&name, &lines(n, 1)).await;
        }
    }
    one.delivery.flush(None, Duration::ZERO).await;
    eventually("one has all places", || one.pending().len() == SEALED_PER_LOCATION).await;
    eventually("and all slots", || two.counted.in_flight() == PUTS_PER_LOCATION).await;
    other.delivery.flush(None, Duration::ZERO).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!((one.pending().len(), other.pending().len()), (SEALED_PER_LOCATION, 0));
    one.leave().await;
    eventually("the other has them", || other.pending().len() == SEALED_PER_LOCATION).await;
    eventually("and all slots", || two.counted.in_flight() == PUTS_PER_LOCATION).await;
    let one = two.open(0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(one.pending().len(), SEALED_PER_LOCATION, "as it ended");
    assert_eq!((other.pending().len(), two.counted.in_flight()), (SEALED_PER_LOCATION, PUTS_PER_LOCATION));
    gate.open();
    one.flush().await;
    other.flush().await;
    assert_eq!((two.store.keys().len(), two.counted.most()), (200, PUTS_PER_LOCATION));
    one.leave().await;
    other.leave().await;
}

/// A place, an encoder and a put: for each, a log waits for one turn of each other log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_of_one_spool_does_not_delay_the_other() {
    const BACKLOG: u32 = 600;
    let two = Two::new(DeliverySettings { park_after: Duration::from_secs(3_600), ..settings() });
    let (one, other) = (two.open(0), two.open(1));
    let gate = two.store.hold_bucket("bucket");
    for n in 0..BACKLOG {
        one.send(&format!("a{n}"), "bucket");
        one.append(&format!("a{n}"), &lines(n, 1)).await;
    }
    one.delivery.flush(None, Duration::ZERO).await;
    eventually("it has all places", || one.pending().len() == SEALED_PER_LOCATION).await;
    eventually("and all slots", || two.counted.in_flight() == PUTS_PER_LOCATION).await;
    other.send("late", "bucket");
    other.append("late", &lines(0, 1)).await;
    other.delivery.flush(None, Duration::ZERO).await;
    // Long enough to be asked for, and for its task to wait for a place.
    tokio::time::sleep(Duration::from_secs(2)).await;
    gate.open();
    one.flush().await;
    other.flush().await;
    // An object is in the store, and its flush over, a moment before it is listed.
    let all = usize::try_from(BACKLOG).unwrap() + 1;
    eventually("each to be listed", || two.order.0.lock().unwrap().len() == all).await;
    let order = two.order.0.lock().unwrap().clone();
    let before = order.iter().position(|source| source == "late").unwrap();
    // Those that were sealed already may all come before it; what comes while its own object is made is some
    // more.
    assert!(before < 2 * SEALED_PER_LOCATION, "{before} objects of the other spool came first");
    one.leave().await;
    other.leave().await;
}

/// What one log learns of a bucket holds for the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_takes_an_object_of_one_spool_is_tried_again_by_the_other() {
    let backoff = Backoff { first: Duration::from_millis(1), cap: Duration::from_secs(600) };
    let two = Two::new(DeliverySettings { backoff, ..settings() });
    let (one, other) = (two.open(0), two.open(1));
    two.store.refuse_bucket("bucket", true);
    for n in 0..5 {
        one.send(&format!("early{n}"), "bucket");
        one.append(&format!("early{n}"), &lines(n, 1)).await;
    }
    one.delivery.flush(None, Duration::ZERO).await;
    eventually("each was refused and waits for minutes", || two.store.puts() >= 5).await;
    two.store.refuse_bucket("bucket", false);
    other.send("late", "bucket");
    other.append("late", &lines(100, 1)).await;
    other.flush().await;
    eventually("the first spool's objects", || two.store.keys().len() == 6).await;
    one.leave().await;
    other.leave().await;
}
