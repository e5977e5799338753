//! A term by hand, with the real delivery and a store in memory.

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use forebay::alarms::Alarms;
use forebay::batch::DueRule;
use forebay::delivery::{Delivery, DeliveryDeps, DeliveryEquipment, DeliverySettings, Flushed, LogDeps};
use forebay::disk::real_disk::RealDisk;
use forebay::kafka::begin::Term;
use forebay::kafka::cache::CacheDeps;
use forebay::kafka::owner::{End, Kept, Owner, Wanted};
use forebay::kafka::records::{NotRead, Records};
use forebay::kafka::serve::{Served, Serving};
use forebay::kafka::settings::Sees;
use forebay::log::{Rows, Status as _};
use forebay::metrics::Metrics;
use forebay::object::{BucketString, Encryption, S3Location};
use forebay::partition::destinations::Buckets;
use forebay::partition::position::before;
use forebay::partition::state::State;
use forebay::retry::Backoff;
use forebay::runtime::{SystemClock, SystemRandom};
use forebay::sources::SourceId;
use forebay::store::ObjectStore;
use forebay::store::fake::{FakeObject, FakeStore};
use forebay::time::{Clock, UnixMillis};
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::watch;

use crate::partition::Partition;
use crate::support::{CALL, until};

/// Bytes of a cache that nothing fills.
pub(crate) const CACHE: u64 = 150_000_000;

/// A clock whose steady time can be moved on, so that what waits for minutes need not.
#[derive(Debug)]
pub(crate) struct Ahead {
    real: SystemClock,
    ahead: AtomicU64,
}

impl Ahead {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self { real: SystemClock::new(), ahead: AtomicU64::new(0) })
    }

    /// The steady time goes on by this much at once.
    pub(crate) fn pass(&self, time: Duration) {
        self.ahead.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }
}

impl Clock for Ahead {
    fn wall(&self) -> UnixMillis {
        self.real.wall()
    }
    fn monotonic(&self) -> Duration {
        self.real.monotonic() + Duration::from_millis(self.ahead.load(Ordering::SeqCst))
    }
}

pub(crate) fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
    })
}

pub(crate) fn to(bucket: &str) -> S3Location {
    S3Location::new(BucketString::parse(bucket).unwrap(), Encryption::SseS3)
}

pub(crate) fn wanted(sources: &[(&str, &str)]) -> Wanted {
    let of = |(source, bucket): &(&str, &str)| (SourceId::new(source).unwrap(), to(bucket));
    let of = sources.iter().map(of).collect();
    let (sender, wanted) = watch::channel(Arc::new(Buckets { of, others: None }));
    // The configuration of a test never changes.
    drop(sender);
    wanted
}

/// Objects of at most so many bytes, after an hour unless they are asked for, with tries within milliseconds.
pub(crate) fn settings(max_bytes: u64) -> DeliverySettings {
    let rule = DueRule { max_bytes, max_age: Duration::from_secs(3_600), align_minute: None };
    let backoff = Backoff { first: Duration::from_millis(5), cap: Duration::from_millis(200) };
    DeliverySettings { backoff, ..DeliverySettings::new(rule) }
}

pub(crate) struct Process {
    pub(crate) equipment: Arc<DeliveryEquipment>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) alarms: Arc<Alarms>,
}

/// What the logs of one process share.
pub(crate) fn process(
    store: Arc<dyn ObjectStore>,
    settings: DeliverySettings,
    clock: &Arc<dyn Clock>,
) -> Process {
    let metrics = Arc::new(Metrics::new());
    let alarms = Arc::new(Alarms::new(Arc::clone(clock), Arc::clone(&metrics)));
    let deps = DeliveryDeps {
        store,
        clock: Arc::clone(clock),
        random: Arc::new(SystemRandom),
        metrics: Arc::clone(&metrics),
        alarms: Arc::clone(&alarms),
        hook: None,
        list: None,
        background: None,
    };
    Process { equipment: DeliveryEquipment::new(deps, settings), metrics, alarms }
}

/// A process that owns the partition and delivers it, and its disk.
pub(crate) struct Writer {
    pub(crate) partition: Partition,
    pub(crate) served: Served,
    pub(crate) delivery: Delivery,
    pub(crate) folder: Arc<TempDir>,
    process: Arc<Process>,
    stops: Arc<AtomicBool>,
    /// While it is locked, the owner does nothing.
    pub(crate) turns: Arc<Mutex<()>>,
    thread: JoinHandle<(Result<(), End>, Option<Kept>)>,
}

/// Why a term ended, and what the next one of its process may use.
pub(crate) type Ended = (Result<(), End>, Option<(Kept, Arc<TempDir>)>);

/// What a writer is made with.
#[derive(Clone)]
pub(crate) struct Made {
    pub(crate) partition: Partition,
    pub(crate) store: FakeStore,
    pub(crate) settings: DeliverySettings,
    pub(crate) cache_bytes: u64,
    pub(crate) wanted: Wanted,
}

impl Made {
    pub(crate) fn of(partition: &Partition, store: &FakeStore) -> Self {
        Self {
            partition: partition.clone(),
            store: store.clone(),
            settings: settings(1_000_000),
            cache_bytes: CACHE,
            wanted: wanted(&[("web", "bucket"), ("ios", "bucket")]),
        }
    }

    /// The owner of a term, which nobody serves yet.
    pub(crate) fn owner(
        &self,
        term: Term,
        kept: Option<Kept>,
        folder: &TempDir,
        metrics: &Arc<Metrics>,
    ) -> Owner {
        let deps = || {
            Ok(CacheDeps {
                disk: Arc::new(RealDisk::open(folder.path()).unwrap()),
                max_bytes: self.cache_bytes,
                clock: Arc::clone(&self.partition.clock),
                random: Arc::new(SystemRandom),
                metrics: Arc::clone(metrics),
            })
        };
        Owner::new(&self.partition.settings, term, kept, self.wanted.clone(), deps).unwrap()
    }

    pub(crate) fn begin(&self) -> Writer {
        self.begin_with(self.partition.begin(), None)
    }

    pub(crate) fn begin_with(&self, term: Term, kept: Option<(Kept, Arc<TempDir>)>) -> Writer {
        let (kept, folder) = kept.map_or_else(
            || (None, Arc::new(tempfile::tempdir().unwrap())),
            |(kept, folder)| (Some(kept), folder),
        );
        let metrics = Arc::new(Metrics::new());
        let owner = self.owner(term, kept, &folder, &metrics);
        self.serve(owner, folder)
    }

    /// Serves and delivers a term.
    pub(crate) fn serve(&self, owner: Owner, folder: Arc<TempDir>) -> Writer {
        self.serve_to(Arc::new(self.store.clone()), owner, folder)
    }

    /// The same with another store.
    pub(crate) fn serve_to(&self, store: Arc<dyn ObjectStore>, owner: Owner, folder: Arc<TempDir>) -> Writer {
        let process = Arc::new(process(store, self.settings, &self.partition.clock));
        let serving = Serving::new(owner, &self.partition.settings, &Arc::new(Mutex::new(())));
        let served = serving.served();
        let delivery = {
            let _runtime = runtime().enter();
            let log = LogDeps { log: Arc::new(served.log.clone()), staging: served.staging.clone() };
            Delivery::start(&process.equipment, log).0
        };
        let stops = Arc::new(AtomicBool::new(false));
        let turns = Arc::new(Mutex::new(()));
        let thread = std::thread::spawn({
            let (stops, turns) = (Arc::clone(&stops), Arc::clone(&turns));
            move || {
                serving.run(&|| {
                    drop(turns.lock().unwrap());
                    !stops.load(Ordering::Acquire)
                })
            }
        });
        Writer { partition: self.partition.clone(), served, delivery, folder, process, stops, turns, thread }
    }
}

impl Writer {
    fn log(&self) -> Records {
        let settings = &self.partition.settings;
        Records::new(settings, &settings.topic, 0, Sees::All).unwrap()
    }

    pub(crate) fn looks_back(&self) -> LooksBack {
        LooksBack { log: self.log(), minutes: 0 }
    }

    /// Waits until everything is read that the log has now.
    pub(crate) fn read(&self) {
        let (_, end) = self.log().bounds().unwrap();
        until("the end of the log", CALL * 2, || {
            (self.served.progress().read_before >= before(end)).then_some(())
        });
    }

    pub(crate) fn flush(&self, wait: Duration) -> Flushed {
        runtime().block_on(self.delivery.flush(None, wait))
    }

    /// Delivers everything that the log has.
    pub(crate) fn deliver(&self) {
        self.read();
        assert_eq!(self.flush(CALL * 2).pending, 0, "not all is delivered");
        until("the ledger to be even", CALL, || {
            self.served.log.ledger(Rows::None).differences.is_empty().then_some(())
        });
    }

    /// Whether the term is over by itself.
    pub(crate) fn is_over(&self) -> bool {
        self.served.log.stopped().borrow().is_some()
    }

    /// The partition is not assigned any more.
    pub(crate) fn gives_up(&self) {
        self.stops.store(true, Ordering::Release);
    }

    /// Ends the term, or waits for its end. Returns why it ended, and what a next term may use.
    pub(crate) fn end(self) -> Ended {
        self.gives_up();
        let (ended, kept) = self.thread.join().unwrap();
        runtime().block_on(self.delivery.end(false, Duration::ZERO));
        drop(self.process);
        let folder = self.folder;
        (ended, kept.map(|kept| (kept, folder)))
    }
}

/// Looks of another thread whether the log still has what was read, with a minute between each two.
pub(crate) struct LooksBack {
    log: Records,
    minutes: u64,
}

impl LooksBack {
    pub(crate) fn at(&mut self, writer: &Writer) -> Result<bool, NotRead> {
        self.minutes += 1;
        writer.served.looks_back(&mut self.log, Duration::from_secs(60 * self.minutes))
    }
}

/// What the notes of a partition add up to, by a term that does nothing.
pub(crate) fn state(partition: &Partition) -> State {
    partition.begin().state
}

/// The objects of a store that were written once, with their keys.
pub(crate) fn objects(store: &FakeStore) -> Vec<(String, FakeObject)> {
    let lines = store.keys().into_iter().filter(|(_, key)| key.ends_with(".gz"));
    let objects: Vec<_> =
        lines.map(|(bucket, key)| (key.clone(), store.object(&bucket, &key).unwrap())).collect();
    assert!(objects.iter().all(|(_, object)| object.writes == 1), "each is written once");
    objects
}

/// The calls of all objects, in the order of their keys.
pub(crate) fn calls(store: &FakeStore) -> Vec<String> {
    objects(store).iter().flat_map(|(_, object)| calls_of(&object.bytes)).collect()
}

/// The calls of an object.
pub(crate) fn calls_of(gzip: &[u8]) -> Vec<String> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(gzip).read_to_string(&mut text).unwrap();
    let id = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        line["messageId"].as_str().unwrap().to_owned()
    };
    text.lines().map(id).collect()
}

/// The same, sorted.
pub(crate) fn sorted(mut calls: Vec<String>) -> Vec<String> {
    calls.sort();
    calls
}
