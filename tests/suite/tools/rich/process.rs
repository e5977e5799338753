//! One run of the node: it opens the spool, stores and delivers calls, and is then closed or killed.

use std::collections::BTreeMap;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use forebay::alarms::Alarms;
use forebay::batch::{BatchKey, DueRule};
use forebay::call::{ClientLibraries, Limits, Request, Shape, Stamp};
use forebay::delivery::make::encode::{self, Job, encode};
use forebay::delivery::make::staging::{Staged, Staging, StagingMemory};
use forebay::delivery::{Delivery, DeliveryDeps, DeliveryEquipment, DeliverySettings, LogDeps};
use forebay::disk::real_disk::RealDisk;
use forebay::log::{AppendError, Appended, Log, RequestFrames, Seal, frame::Origin};
use forebay::metrics::Metrics;
use forebay::object::{ObjectKey, ObjectName, Stream};
use forebay::random::Random;
use forebay::retry::Backoff;
use forebay::runtime::SystemClock;
use forebay::sources::SourceId;
use forebay::spool::{Recovered, SpoolOptions, Stepped};

use forebay::time::{Clock, DAY_MS, UnixMillis};
use tokio::task::JoinHandle;

use super::calls;
use super::gate::Gate;
use crate::support::wait::until;

/// Time limit for one step, long enough for a busy machine.
const SOON: Duration = Duration::from_secs(60);
/// Segments are short, so that a small spool has several.
pub(super) const SEGMENT: u64 = 16 * 1_024;

/// A clock whose wall time stands still until it is set. Its monotonic time runs.
#[derive(Debug)]
pub(super) struct SetClock {
    wall: AtomicI64,
    ahead: AtomicU64,
    real: SystemClock,
}

impl SetClock {
    pub(super) fn at(wall: i64) -> Arc<Self> {
        Arc::new(Self { wall: AtomicI64::new(wall), ahead: AtomicU64::new(0), real: SystemClock::new() })
    }

    /// Sets the wall clock.
    pub(super) fn set(&self, wall: i64) {
        self.wall.store(wall, Ordering::SeqCst);
    }

    /// Advances wall time and monotonic time.
    fn pass(&self, seconds: u32) {
        self.ahead.fetch_add(u64::from(seconds) * 1_000, Ordering::SeqCst);
        self.wall.fetch_add(i64::from(seconds) * 1_000, Ordering::SeqCst);
    }
}

impl Clock for SetClock {
    fn wall(&self) -> UnixMillis {
        UnixMillis(self.wall.load(Ordering::SeqCst))
    }

    fn monotonic(&self) -> Duration {
        self.real.monotonic() + Duration::from_millis(self.ahead.load(Ordering::SeqCst))
    }
}

/// A source of numbers that are the same in every run.
#[derive(Debug, Default)]
pub(super) struct Counting(AtomicU64);

impl Random for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)
    }
}

pub(super) fn options() -> SpoolOptions {
    SpoolOptions {
        segment_bytes: SEGMENT,
        max_bytes: 1_000 * SEGMENT,
        manifest_bytes: 8 * 1_024,
        dedupe_max: 10_000,
        node: Some("n1".to_owned()),
        ..SpoolOptions::default()
    }
}

pub(super) fn source(name: &str) -> SourceId {
    SourceId::new(name).unwrap()
}

/// How a request is stored.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct How {
    /// Each line carries its position.
    pub(super) receipts: bool,
    /// The import that the calls come from.
    pub(super) origin: Option<Origin>,
}

/// A process with an open spool. The spool has no threads: the test takes each step, so the notes have the
/// same order in every run. Dropping it acts like a kill.
pub(super) struct Process {
    pub(super) spool: Stepped,
    pub(super) recovered: Recovered,
    pub(super) clock: Arc<SetClock>,
}

impl Process {
    pub(super) fn open(dir: &Path, clock: &Arc<SetClock>) -> Self {
        let disk = Arc::new(RealDisk::open(dir).unwrap());
        let (of_spool, metrics) = (Arc::<SetClock>::clone(clock), Arc::new(Metrics::new()));
        let (spool, recovered) =
            Stepped::open(disk, options(), of_spool, &Counting::default(), metrics).unwrap();
        Self { spool, recovered, clock: Arc::clone(clock) }
    }

    pub(super) fn log(&self) -> Arc<dyn Log> {
        self.spool.log()
    }

    /// Stores calls as the collector does, and runs the housekeeper once.
    pub(super) fn calls(&mut self, name: &str, numbers: Range<u32>, how: How) -> Appended {
        let body = calls::request(name, numbers, self.clock.wall());
        self.store(name, &body, how).unwrap()
    }

    /// The same, for calls that may be refused.
    pub(super) fn try_calls(&mut self, name: &str, numbers: Range<u32>) -> Result<Appended, AppendError> {
        let body = calls::request(name, numbers, self.clock.wall());
        self.store(name, &body, How::default())
    }

    /// Stores items that are not valid calls: two for each number.
    pub(super) fn invalid(&mut self, name: &str, numbers: Range<u32>) {
        let body = calls::invalid(name, numbers, self.clock.wall());
        self.store(name, &body, How::default()).unwrap();
    }

    fn store(&mut self, name: &str, body: &str, how: How) -> Result<Appended, AppendError> {
        let (source, fingerprinter) = (source(name), self.spool.fingerprinter());
        let stamp = Stamp {
            received_at: self.clock.wall(),
            source: &source,
            ip: Some(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 7))),
            client_side: false,
            client_libraries: ClientLibraries::usual(),
            user_agent: None,
            fingerprinter: &fingerprinter,
        };
        let request = Request::parse(body.as_bytes(), Shape::Envelope, &Limits::default()).unwrap();
        let mut frames = RequestFrames::new(source.clone(), stamp.received_at, request.lines_len());
        frames.came(request.lines());
        frames.say_positions(how.receipts);
        frames.set_origin(how.origin);
        request.write_lines(&stamp, &Counting::default(), &mut frames);
        let appended = self.spool.append([frames]);
        self.spool.keep().unwrap();
        appended.map(|mut of_group| of_group.remove(0))
    }

    /// Seals the open calls that a source has of the current day, without a put.
    pub(super) fn seal(&self, name: &str, staging: &Staging) -> (Seal, Staged) {
        let log = self.log();
        let key = BatchKey { source: source(name), day: self.clock.wall().day(), stream: Stream::Calls };
        let batch = log.open_batch(&key).unwrap();
        let job = Job {
            key: key.clone(),
            after: batch.sealed_through,
            through: u64::MAX,
            max_bytes: 1 << 20,
            level: 6,
        };
        let encode::Made::Object(object) = encode(&*log, staging, &*self.clock, &job).unwrap() else {
            panic!("{name} has nothing open")
        };
        let location = log.current_location(&key.source).unwrap();
        let name = ObjectName {
            first_received_at: object.encoded.named_at,
            node: &log.node(),
            spool_id: &log.spool_id(),
            first_position: object.encoded.first,
        };
        let object_key = ObjectKey::of_batch(&location.bucket, &key.stream, &key.source, key.day, name);
        (log.seal(&key, &object.encoded, location, object_key).unwrap(), object.staged)
    }

    /// Staging that keeps objects of up to `in_memory_max` bytes in memory and larger ones in files.
    pub(super) fn staging(&self, in_memory_max: usize) -> Staging {
        Staging::new(self.spool.staging_disk(), StagingMemory::default(), in_memory_max)
    }

    /// Starts delivery. It runs until [`Delivering::end`].
    pub(super) fn deliver(&self, gate: &Gate) -> Delivering {
        let rule =
            DueRule { max_bytes: 100_000_000, max_age: Duration::from_secs(86_400), align_minute: None };
        let settings = DeliverySettings {
            backoff: Backoff { first: Duration::from_millis(1), cap: Duration::from_millis(50) },
            park_after: Duration::MAX,
            ..DeliverySettings::new(rule)
        };
        let (clock, metrics) = (Arc::<SetClock>::clone(&self.clock), Arc::new(Metrics::new()));
        let deps = DeliveryDeps {
            store: Arc::new(gate.clone()),
            clock: Arc::<SetClock>::clone(&clock),
            random: Arc::new(Counting::default()),
            metrics: Arc::clone(&metrics),
            alarms: Arc::new(Alarms::new(clock, metrics)),
            hook: None,
            list: None,
            background: None,
        };
        let of_log = LogDeps { log: self.log(), staging: self.spool.staging_disk() };
        let (delivery, scheduler) = Delivery::start(&DeliveryEquipment::new(deps, settings), of_log);
        Delivering { delivery, scheduler, log: self.log(), clock: Arc::clone(&self.clock) }
    }

    /// Closes the spool cleanly.
    pub(super) fn close(mut self) {
        self.spool.keep().unwrap();
        assert_eq!(self.log().ledger_differences(), []);
        self.spool.close().unwrap();
    }
}

/// Delivery while it runs.
pub(super) struct Delivering {
    delivery: Delivery,
    scheduler: JoinHandle<()>,
    log: Arc<dyn Log>,
    clock: Arc<SetClock>,
}

impl Delivering {
    /// Delivers everything that a source has.
    pub(super) async fn flush(&self, name: &str) {
        let flushed = self.delivery.flush(Some(&source(name)), SOON).await;
        assert_eq!(flushed.pending, 0, "{name}: {:?}", self.delivery.progress());
    }

    /// Makes everything of a source due, then waits for `condition` only.
    pub(super) async fn flush_until(&self, name: &str, condition: impl FnMut() -> bool) {
        self.delivery.flush(Some(&source(name)), Duration::ZERO).await;
        self.eventually(name, condition).await;
    }

    pub(super) async fn eventually(&self, what: &str, mut condition: impl FnMut() -> bool) {
        until(what, SOON, async || condition().then_some(())).await;
    }

    /// Moves the clock past midnight and waits until the day before is closed for these sources.
    pub(super) async fn close_day(&self, names: &[&str]) {
        let day = self.clock.wall().day();
        self.clock.set(day.start().0 + DAY_MS);
        let is_closed = || {
            let unclosed = self.log.unclosed_days();
            names.iter().all(|name| !unclosed.contains_key(&(day, source(name))))
        };
        until("the day to be closed", SOON, async || {
            self.clock.pass(7);
            is_closed().then_some(())
        })
        .await;
    }

    pub(super) async fn end(self) {
        self.delivery.shutdown(false, Duration::ZERO).await;
        self.scheduler.await.unwrap();
    }
}

/// Flips a bit of `text` in the one file of a spool that contains it. `begin` and `end` restrict the file
/// names searched.
pub(super) fn damage(dir: &Path, (begin, end): (&str, &str), text: &str) {
    let mut hits = 0;
    for (name, bytes) in files_of(dir) {
        if !(name.starts_with(begin) && name.ends_with(end)) {
            continue;
        }
        let found: Vec<usize> = memchr::memmem::find_iter(&bytes, text.as_bytes()).collect();
        let mut damaged = bytes;
        for at in &found {
            damaged[at + text.len() - 1] ^= 0x10;
        }
        if !found.is_empty() {
            fs::write(dir.join(name), damaged).unwrap();
            hits += 1;
        }
    }
    assert_eq!(hits, 1, "{text} stands in one {begin}…{end} of {}", dir.display());
}

fn files_of(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    super::super::files(dir).into_iter().filter(|(name, _)| !name.contains('/')).collect()
}

/// Tears the last write, as a power cut can: `to` is an earlier copy of `from`, and one of its files receives
/// only the first half of what the last write changed. `begin` restricts the file names compared.
pub(super) fn tear(from: &Path, to: &Path, begin: &str) {
    let (after, before) = (files_of(from), files_of(to));
    let changed =
        after.iter().filter(|(name, bytes)| name.starts_with(begin) && before.get(*name) != Some(bytes));
    let changed: Vec<_> = changed.collect();
    let [(name, after)] = changed[..] else { panic!("one {begin} was written to: {}", changed.len()) };
    let mut torn = before[name].clone();
    assert_eq!(torn.len(), after.len(), "{name}");
    let differs = |at: &usize| torn[*at] != after[*at];
    let first = (0..torn.len()).find(differs).unwrap();
    let last = (0..torn.len()).rfind(differs).unwrap();
    let half = first..first.midpoint(last);
    torn[half.clone()].copy_from_slice(&after[half]);
    fs::write(to.join(name), torn).unwrap();
}
