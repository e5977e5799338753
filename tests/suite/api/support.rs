//! A collector on a loopback port, with a real spool.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use forebay::alarms::Alarms;
use forebay::collector::{Collector, CollectorDeps, CollectorSettings, Listeners, Policy, Running};
use forebay::disk::real_disk::RealDisk;
use forebay::ingest::{Ingest, IngestDeps, IngestSettings};
use forebay::metrics::Metrics;
use forebay::object::Stream;
use forebay::random::Random;
use forebay::sources::{Found, SourceId, SourceLookup, WriteKeyHash};
use forebay::spool::{Spool, SpoolOptions};
use forebay::time::{Clock, UnixMillis};
use tempfile::TempDir;
use tokio::net::TcpListener;

use crate::support::doubtful::Doubtful;
use crate::support::stored::stored;

/// The write key of the source `web`.
pub(crate) const KEY: &str = "web-key";
/// `Basic` of that key.
pub(crate) const BASIC: (&str, &str) = ("authorization", "Basic d2ViLWtleTo=");
/// A body with one call, for batch routes.
pub(crate) const BATCH: &str = r#"{"batch":[{"type":"track","event":"e","userId":"u","messageId":"m"}]}"#;
/// A body that is a single call.
pub(crate) const CALL: &str = r#"{"event":"e","userId":"u","groupId":"g","previousId":"p"}"#;

/// Knows one key for each outcome.
#[derive(Debug)]
pub(crate) struct TestSources;

impl SourceLookup for TestSources {
    fn find(&self, write_key: &str) -> Found {
        match write_key {
            KEY => Found::Source(SourceId::new("web").unwrap()),
            "other-key" => Found::Source(SourceId::new("other").unwrap()),
            "one-too-many" => Found::TooManySources,
            "discard" => Found::Discard,
            _ => {
                assert!(write_key.len() < 100_000, "keys that are too long must not be looked up");
                assert_ne!(WriteKeyHash::of(write_key), WriteKeyHash::of(KEY));
                Found::Unknown
            }
        }
    }
}

#[derive(Debug)]
struct RealClock(Instant);

impl RealClock {
    #[expect(clippy::disallowed_methods, reason = "the tests run on real sockets, in real time")]
    fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "the tests run on real sockets, in real time")]
    fn wall(&self) -> UnixMillis {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        UnixMillis(i64::try_from(since.as_millis()).unwrap())
    }

    fn monotonic(&self) -> Duration {
        self.0.elapsed()
    }
}

#[derive(Debug, Default)]
struct Counting(AtomicU64);

impl Random for Counting {
    fn next_u64(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Bytes of a segment: small, because every test creates some.
const SEGMENT_BYTES: u64 = 8 * 1_024 * 1_024;

/// A running collector with a real spool.
#[derive(Debug)]
pub(crate) struct Rig {
    pub(crate) running: Running,
    pub(crate) spool: Spool,
    _dir: TempDir,
    pub(crate) address: SocketAddr,
    pub(crate) tls: Option<SocketAddr>,
    pub(crate) metrics: Metrics,
    pub(crate) doubtful: Arc<Doubtful>,
}

impl Rig {
    /// The lines stored for a source, in order.
    pub(crate) fn lines(&self, source: &str, stream: Stream) -> Vec<String> {
        let stored = stored(&*self.spool.log(), source).into_iter();
        stored.filter(|stored| stored.stream == stream).map(|stored| stored.line).collect()
    }

    /// Whether nothing is stored at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.spool.log().open_batches().is_empty()
    }

    /// The value of a counter or gauge, as in `/metrics`; `None` if there is no such series.
    pub(crate) fn metric(&self, series: &str) -> Option<u64> {
        let text = self.metrics.render().unwrap();
        let line = text.lines().find(|line| line.rsplit_once(' ').is_some_and(|(name, _)| name == series))?;
        line.rsplit_once(' ').unwrap().1.parse().ok()
    }
}

/// A policy with the test's sources.
pub(crate) fn policy() -> Policy {
    Policy::new(Arc::new(TestSources))
}

/// Starts a collector with all defaults.
pub(crate) async fn start() -> Rig {
    start_with(|_, _| {}).await
}

/// Starts a collector with settings and policy changed by a test.
pub(crate) async fn start_with(change: impl FnOnce(&mut CollectorSettings, &mut Policy)) -> Rig {
    start_ingesting(IngestSettings::default(), change).await
}

/// As [`start_with`], with a test's own intake.
pub(crate) async fn start_ingesting(
    intake: IngestSettings,
    change: impl FnOnce(&mut CollectorSettings, &mut Policy),
) -> Rig {
    let (mut settings, mut policy) = (CollectorSettings::default(), policy());
    change(&mut settings, &mut policy);
    let metrics = Metrics::new();
    let clock: Arc<dyn Clock> = Arc::new(RealClock::new());
    let random = Arc::new(Counting::default());
    let dir = tempfile::tempdir().unwrap();
    let (spool, _) = Spool::open(
        Arc::new(RealDisk::open(dir.path()).unwrap()),
        SpoolOptions { segment_bytes: SEGMENT_BYTES, ..SpoolOptions::default() },
        Arc::clone(&clock),
        &*random,
        Arc::new(metrics.clone()),
    )
    .unwrap();
    let alarms = Arc::new(Alarms::new(Arc::clone(&clock), Arc::new(metrics.clone())));
    let doubtful = Doubtful::new(spool.appender());
    let ingest = IngestDeps {
        clock: Arc::clone(&clock),
        random: Arc::clone(&random) as _,
        metrics: metrics.clone(),
        appender: Arc::clone(&doubtful) as _,
        fingerprinter: spool.fingerprinter(),
        live: Arc::default(),
    };
    let ingest = Arc::new(Ingest::new(ingest, intake));
    let deps = CollectorDeps { clock, random, metrics: metrics.clone(), ingest, alarms };
    let plain = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = plain.local_addr().unwrap();
    let mut listeners = Listeners { plain: vec![plain], tls: Vec::new() };
    let mut tls = None;
    if settings.tls.is_some() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        tls = Some(listener.local_addr().unwrap());
        listeners.tls.push(listener);
    }
    let running = Collector::start(deps, settings, policy, listeners).unwrap();
    Rig { running, spool, _dir: dir, address, tls, metrics, doubtful }
}

/// Waits until `condition` holds.
pub(crate) async fn eventually(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(super::wire::PATIENCE, waited).await.unwrap_or_else(|_| panic!("timed out: {what}"));
}
