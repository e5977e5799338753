//! A spool with delivery running on it, a clock that tests step, and what the store holds in the end.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use forebay::alarms::{AlarmKind, Alarms};
use forebay::batch::DueRule;
use forebay::call::{LineSink, RejectReason};
use forebay::delivery::{
    DayHook, DeliveredList, Delivery, DeliveryDeps, DeliveryEquipment, DeliverySettings, LogDeps,
};
use forebay::disk::Disk;
use forebay::disk::real_disk::RealDisk;
use forebay::log::{AppendError, Appended, Log, PendingSeal, Reports, RequestFrames};
use forebay::metrics::Metrics;
use forebay::object::{BucketString, Encryption, S3Location};
use forebay::random::Random;
use forebay::retry::Backoff;
use forebay::runtime::SystemClock;
use forebay::sources::SourceId;
use forebay::spool::{Recovered, Spool, SpoolOptions};
use forebay::store::ObjectStore;
use forebay::store::fake::{FakeObject, FakeStore};
use forebay::time::{Clock, UnixMillis};
use tokio::task::JoinHandle;

pub(super) use crate::support::crash::copy;
use crate::support::wait::until;

/// 2023-11-14, 22:13:20.
pub(super) const EVENING: i64 = 1_700_000_000_000;
pub(super) const SEGMENT: u64 = 128 * 1_024;
pub(super) const SOON: Duration = Duration::from_secs(20);

/// A wall clock that stands until it is stepped. Monotonic time runs, and jumps as far as the wall clock is
/// stepped on.
#[derive(Debug)]
pub(super) struct StepClock {
    wall: AtomicI64,
    ahead: AtomicU64,
    real: SystemClock,
}

impl StepClock {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { wall: AtomicI64::new(EVENING), ahead: AtomicU64::new(0), real: SystemClock::new() })
    }

    pub(super) fn pass(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap();
        self.ahead.fetch_add(ms, Ordering::SeqCst);
        self.wall.fetch_add(i64::try_from(ms).unwrap(), Ordering::SeqCst);
    }

    pub(super) fn now(&self) -> i64 {
        self.wall.load(Ordering::SeqCst)
    }

    /// Sets the wall clock alone.
    pub(super) fn set_wall(&self, wall: i64) {
        self.wall.store(wall, Ordering::SeqCst);
    }
}

impl Clock for StepClock {
    fn wall(&self) -> UnixMillis {
        UnixMillis(self.wall.load(Ordering::SeqCst))
    }
    fn monotonic(&self) -> Duration {
        self.real.monotonic() + Duration::from_millis(self.ahead.load(Ordering::SeqCst))
    }
}

#[derive(Debug, Default)]
struct Counting(AtomicU64);
impl Random for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)
    }
}

/// Delivers after an hour or 100 MB, and tries again within milliseconds.
pub(super) fn settings() -> DeliverySettings {
    let rule = DueRule { max_bytes: 100_000_000, max_age: Duration::from_secs(3_600), align_minute: None };
    let backoff = Backoff { first: Duration::from_millis(1), cap: Duration::from_millis(20) };
    DeliverySettings { backoff, ..DeliverySettings::new(rule) }
}

pub(super) fn options() -> SpoolOptions {
    SpoolOptions {
        segment_bytes: SEGMENT,
        max_bytes: 400 * SEGMENT,
        manifest_bytes: 4_096,
        dedupe_max: 10_000,
        node: Some("n1".to_owned()),
        ..SpoolOptions::default()
    }
}

pub(super) fn source(name: &str) -> SourceId {
    SourceId::new(name).unwrap()
}

pub(super) fn to(bucket: &str) -> S3Location {
    S3Location::new(BucketString::parse(bucket).unwrap(), Encryption::SseS3)
}

/// What all spools of a process share.
#[derive(Clone)]
pub(super) struct Process {
    pub(super) equipment: Arc<DeliveryEquipment>,
    pub(super) alarms: Arc<Alarms>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) clock: Arc<StepClock>,
    /// Gives each new spool an id of its own.
    ids: Arc<Counting>,
}

impl Process {
    pub(super) fn new(
        store: Arc<dyn ObjectStore>,
        clock: &Arc<StepClock>,
        settings: DeliverySettings,
        hook: Option<Arc<dyn DayHook>>,
        list: Option<Arc<dyn DeliveredList>>,
    ) -> Self {
        let metrics = Arc::new(Metrics::new());
        let alarms = Arc::new(Alarms::new(Arc::<StepClock>::clone(clock), Arc::clone(&metrics)));
        let deps = DeliveryDeps {
            store,
            clock: Arc::<StepClock>::clone(clock),
            random: Arc::new(Counting::default()),
            metrics: Arc::clone(&metrics),
            alarms: Arc::clone(&alarms),
            hook,
            list,
            background: None,
        };
        let equipment = DeliveryEquipment::new(deps, settings);
        Self { equipment, alarms, metrics, clock: Arc::clone(clock), ids: Arc::default() }
    }

    /// Opens a spool on `disk` and begins to deliver it.
    pub(super) fn open(
        &self,
        disk: Arc<dyn Disk>,
        options: SpoolOptions,
        told: impl IntoIterator<Item = (SourceId, S3Location)>,
    ) -> Node {
        let (clock, metrics) = (Arc::<StepClock>::clone(&self.clock), Arc::clone(&self.metrics));
        let (spool, recovered) = Spool::open(disk, options, clock, &*self.ids, metrics).unwrap();
        spool.locations().set_locations(told.into_iter().collect()).unwrap();
        let log = LogDeps { log: spool.log(), staging: spool.staging_disk() };
        let (delivery, scheduler) = Delivery::start(&self.equipment, log);
        let Self { alarms, metrics, clock, .. } = self.clone();
        Node { spool, delivery, alarms, metrics, recovered, clock, scheduler }
    }
}

/// A running spool and its deliveries.
pub(super) struct Node {
    pub(super) spool: Spool,
    pub(super) delivery: Delivery,
    pub(super) alarms: Arc<Alarms>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) recovered: Recovered,
    pub(super) clock: Arc<StepClock>,
    scheduler: JoinHandle<()>,
}

impl Node {
    pub(super) fn open(dir: &Path, store: &FakeStore, clock: &Arc<StepClock>) -> Self {
        Self::open_with(dir, store, clock, options(), settings())
    }

    pub(super) fn open_with(
        dir: &Path,
        store: &FakeStore,
        clock: &Arc<StepClock>,
        options: SpoolOptions,
        settings: DeliverySettings,
    ) -> Self {
        Self::open_on(Arc::new(RealDisk::open(dir).unwrap()), store, clock, (options, settings), None)
    }

    pub(super) fn open_hooked(
        dir: &Path,
        store: &FakeStore,
        clock: &Arc<StepClock>,
        hook: Option<Arc<dyn DayHook>>,
    ) -> Self {
        Self::open_on(Arc::new(RealDisk::open(dir).unwrap()), store, clock, (options(), settings()), hook)
    }

    /// As a process starts: it is told where these sources go before it delivers anything.
    pub(super) fn open_told(
        dir: &Path,
        store: &FakeStore,
        clock: &Arc<StepClock>,
        told: impl IntoIterator<Item = (SourceId, S3Location)>,
    ) -> Self {
        let disk = Arc::new(RealDisk::open(dir).unwrap());
        Self::open_telling(disk, store, clock, (options(), settings()), None, told)
    }

    pub(super) fn open_on(
        disk: Arc<dyn Disk>,
        store: &FakeStore,
        clock: &Arc<StepClock>,
        how: (SpoolOptions, DeliverySettings),
        hook: Option<Arc<dyn DayHook>>,
    ) -> Self {
        Self::open_telling(disk, store, clock, how, hook, [])
    }

    fn open_telling(
        disk: Arc<dyn Disk>,
        store: &FakeStore,
        clock: &Arc<StepClock>,
        (options, settings): (SpoolOptions, DeliverySettings),
        hook: Option<Arc<dyn DayHook>>,
        told: impl IntoIterator<Item = (SourceId, S3Location)>,
    ) -> Self {
        Process::new(Arc::new(store.clone()), clock, settings, hook, None).open(disk, options, told)
    }

    pub(super) fn log(&self) -> Arc<dyn Log> {
        self.spool.log()
    }

    pub(super) fn reports(&self) -> Arc<dyn Reports> {
        self.spool.reports()
    }

    /// Says where a source goes from now on.
    pub(super) fn send(&self, name: &str, bucket: &str) {
        self.spool.locations().set_locations(vec![(source(name), to(bucket))]).unwrap();
    }

    pub(super) async fn append(&self, name: &str, lines: &[String]) -> Appended {
        self.try_append(name, lines).await.unwrap()
    }

    pub(super) async fn try_append(&self, name: &str, lines: &[String]) -> Result<Appended, AppendError> {
        let appended = self.append_to_any(name, lines).await;
        self.assert_runs();
        appended
    }

    /// As [`Node::try_append`], for a spool that may stop.
    pub(super) async fn append_to_any(&self, name: &str, lines: &[String]) -> Result<Appended, AppendError> {
        let mut frames = RequestFrames::new(source(name), self.clock.wall(), 0);
        for line in lines {
            frames.line().extend_from_slice(line.as_bytes());
            frames.call(0);
        }
        self.spool.appender().append(frames).await
    }

    /// A spool that stops refuses all that follows, which alone does not say why.
    fn assert_runs(&self) {
        assert_eq!(*self.log().stopped().borrow(), None, "the spool has stopped");
    }

    pub(super) async fn reject(&self, name: &str, line: &str) {
        let mut frames = RequestFrames::new(source(name), self.clock.wall(), 0);
        frames.line().extend_from_slice(line.as_bytes());
        frames.rejected(RejectReason::UnknownType);
        self.spool.appender().append(frames).await.unwrap();
    }

    /// Makes everything due and waits until it is in the store.
    pub(super) async fn flush(&self) {
        let flushed = self.delivery.flush(None, SOON).await;
        self.assert_runs();
        assert_eq!(flushed.pending, 0, "{flushed:?}: {:?}", self.delivery.progress());
    }

    pub(super) fn pending(&self) -> Vec<PendingSeal> {
        self.log().pending_seals()
    }

    pub(super) fn has_alarm(&self, kind: AlarmKind) -> bool {
        self.alarms.standing().iter().any(|alarm| alarm.kind == kind)
    }

    /// Whether an alarm of this kind says these words.
    pub(super) fn says(&self, kind: AlarmKind, words: &str) -> bool {
        self.alarms.standing().iter().any(|alarm| alarm.kind == kind && alarm.what.contains(words))
    }

    /// Ends it without delivering anything more. Its ledger balances.
    pub(super) async fn halt(self) {
        assert_eq!(self.log().ledger_differences(), []);
        self.end().await;
    }

    /// Ends it, whatever its ledger says.
    pub(super) async fn end(self) {
        self.delivery.shutdown(false, Duration::ZERO).await;
        self.scheduler.await.unwrap();
        tokio::task::spawn_blocking(move || self.spool.close()).await.unwrap();
    }
}

impl Node {
    /// Ends it, while the process goes on: the delivery first.
    pub(super) async fn leave(self) {
        self.delivery.end(false, Duration::ZERO).await;
        self.scheduler.await.unwrap();
        tokio::task::spawn_blocking(move || self.spool.close()).await.unwrap();
    }
}

pub(super) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    until(what, SOON, async || condition().then_some(())).await;
}

/// Distinct lines; the longer, the fewer fit an object.
pub(super) fn lines(from: u32, count: u32) -> Vec<String> {
    (from..from + count).map(|n| format!("{{\"n\":{n},\"x\":\"{}\"}}", "x".repeat(20))).collect()
}

/// Distinct lines of about `len` bytes that compress to about half.
pub(super) fn noisy_lines(from: u32, count: u32, len: usize) -> Vec<String> {
    let noise = |n: u32| {
        let mut state = u64::from(n) << 20 | 1;
        let digit = |_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b"0123456789abcdef"[usize::try_from(state >> 60).unwrap()])
        };
        (0..len).map(digit).collect::<String>()
    };
    (from..from + count).map(|n| format!("{{\"n\":{n},\"x\":\"{}\"}}", noise(n))).collect()
}

/// Every object below `folder` of a bucket: key and object.
pub(super) fn objects(store: &FakeStore, bucket: &str, folder: &str) -> Vec<(String, FakeObject)> {
    let keys = store.keys().into_iter().filter(|(b, key)| b == bucket && key.contains(folder));
    keys.map(|(b, key)| (key.clone(), store.object(&b, &key).unwrap())).collect()
}

/// The lines of an object, proved against its metadata.
pub(super) fn lines_of(object: &FakeObject) -> Vec<String> {
    let mut text = String::new();
    flate2::read::GzDecoder::new(&object.bytes[..]).read_to_string(&mut text).unwrap();
    assert_eq!(object.metadata["forebay-bytes"], text.len().to_string());
    let lines: Vec<String> = text.lines().map(str::to_owned).collect();
    assert_eq!(object.metadata["forebay-calls"], lines.len().to_string());
    lines
}

/// All lines of a source in a bucket, in the order of the objects' first positions; the objects' chain is
/// proved.
pub(super) fn stored(store: &FakeStore, bucket: &str, name: &str) -> Vec<String> {
    let mut by_day: BTreeMap<String, Vec<(u64, FakeObject)>> = BTreeMap::new();
    for (key, object) in objects(store, bucket, &format!("segment-logs/{name}/")) {
        let day = key.rsplit('/').nth(1).unwrap().to_owned();
        let first = object.metadata["forebay-first-position"].parse().unwrap();
        by_day.entry(day).or_default().push((first, object));
    }
    let mut all = Vec::new();
    for objects in by_day.values_mut() {
        objects.sort_by_key(|(first, _)| *first);
        let mut previous: Option<String> = None;
        for (first, object) in objects {
            assert_eq!(object.writes, 1, "position {first}: written once");
            assert_eq!(object.metadata.get("forebay-previous-last-position"), previous.as_ref());
            previous = Some(object.metadata["forebay-last-position"].clone());
            all.extend(lines_of(object));
        }
    }
    all
}

/// Flips a bit behind `needle` in every file of a spool whose name ends in `ending`.
pub(super) fn damage(dir: &Path, ending: &str, needle: &str) {
    let mut hit = false;
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if !path.to_str().unwrap().ends_with(ending) {
            continue;
        }
        let mut bytes = fs::read(&path).unwrap();
        let found: Vec<usize> = memchr::memmem::find_iter(&bytes, needle.as_bytes()).collect();
        for at in &found {
            bytes[at + needle.len() - 2] ^= 0x10;
        }
        if !found.is_empty() {
            fs::write(&path, bytes).unwrap();
            hit = true;
        }
    }
    assert!(hit, "{needle} stands in no {ending} of {}", dir.display());
}
