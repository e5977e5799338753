//! A spool on a faulty disk with its real threads, and its real delivery to a store in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use forebay::alarms::Alarms;
use forebay::batch::DueRule;
use forebay::delivery::{Delivery, DeliveryDeps, DeliveryEquipment, DeliverySettings, LogDeps};
use forebay::log::Log;
use forebay::metrics::Metrics;
use forebay::object::{BucketString, Encryption, S3Location};
use forebay::random::Random;
use forebay::retry::Backoff;
use forebay::runtime::SystemClock;
use forebay::sources::SourceId;
use forebay::spool::{Recovered, Spool, SpoolOptions};
use forebay::store::fake::FakeStore;
use forebay::time::{Clock, DAY_MS, UnixMillis};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::faulty::FaultyDisk;

/// The time limit of any step; longer means that it hangs.
pub(super) const HANG: Duration = Duration::from_secs(10);
/// 2023-11-14, 22:13:20.
const EVENING: i64 = 1_700_000_000_000;

/// The wall clock stands still until it is set; monotonic time runs.
#[derive(Debug)]
pub(super) struct StandingClock(AtomicI64, SystemClock);

impl StandingClock {
    pub(super) fn new() -> Self {
        Self(AtomicI64::new(EVENING), SystemClock::new())
    }

    pub(super) fn pass_days(&self, days: i64) {
        self.0.fetch_add(days * DAY_MS, Ordering::SeqCst);
    }
}

impl Clock for StandingClock {
    fn wall(&self) -> UnixMillis {
        UnixMillis(self.0.load(Ordering::SeqCst))
    }
    fn monotonic(&self) -> Duration {
        self.1.monotonic()
    }
}

#[derive(Debug, Default)]
struct Counting(AtomicU64);
impl Random for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)
    }
}

pub(super) fn source(name: &str) -> SourceId {
    SourceId::new(name).unwrap()
}

pub(super) fn location(name: &str) -> S3Location {
    S3Location::new(BucketString::parse(name).unwrap(), Encryption::SseS3)
}

/// One life of the spool.
pub(super) struct Node {
    pub(super) spool: Spool,
    pub(super) disk: FaultyDisk,
    pub(super) delivery: Delivery,
    scheduler: JoinHandle<()>,
    pub(super) log: Arc<dyn Log>,
}

impl Node {
    /// Opens the spool and starts delivery, or returns why that fails.
    pub(super) async fn open(
        disk: &FaultyDisk,
        options: SpoolOptions,
        clock: &Arc<StandingClock>,
        store: &FakeStore,
    ) -> Result<(Self, Recovered), String> {
        let metrics = Arc::new(Metrics::new());
        let (of_spool, counted) = (Arc::new(disk.clone()), Arc::clone(&metrics));
        let of_time = Arc::<StandingClock>::clone(clock);
        let opening = tokio::task::spawn_blocking(move || {
            Spool::open(of_spool, options, of_time, &Counting::default(), counted)
        });
        let opened = timeout(HANG, opening).await.expect("opening hangs").expect("opening panics");
        let (spool, recovered) = opened.map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            format!("{error}: {}", cause.unwrap_or_default())
        })?;
        let log = spool.log();
        let rule =
            DueRule { max_bytes: 100_000_000, max_age: Duration::from_secs(3_600), align_minute: None };
        let backoff = Backoff { first: Duration::from_millis(1), cap: Duration::from_millis(10) };
        let settings =
            DeliverySettings { backoff, park_after: Duration::ZERO, ..DeliverySettings::new(rule) };
        let deps = DeliveryDeps {
            store: Arc::new(store.clone()),
            clock: Arc::<StandingClock>::clone(clock),
            random: Arc::new(Counting::default()),
            metrics: Arc::clone(&metrics),
            alarms: Arc::new(Alarms::new(Arc::<StandingClock>::clone(clock), metrics)),
            hook: None,
            list: None,
            background: None,
        };
        let of_log = LogDeps { log: Arc::clone(&log), staging: spool.staging_disk() };
        let (delivery, scheduler) = Delivery::start(&DeliveryEquipment::new(deps, settings), of_log);
        Ok((Self { spool, disk: disk.clone(), delivery, scheduler, log }, recovered))
    }

    pub(super) fn has_stopped(&self) -> bool {
        self.log.stopped().borrow().is_some()
    }

    /// Ends its threads and tasks.
    pub(super) async fn halt(self) {
        let ending = async move {
            self.delivery.shutdown(false, Duration::ZERO).await;
            self.scheduler.await.expect("the scheduler panics");
            let closing = tokio::task::spawn_blocking(move || self.spool.close());
            closing.await.expect("closing panics");
        };
        timeout(HANG, ending).await.expect("the end hangs");
    }
}
