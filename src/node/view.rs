//! Shows the state of a running node on its admin listener.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use super::bucket_imports::BucketImports;
use super::ledger_gauges::LedgerGauges;
use super::ledger_view;
use super::logs::NodeLogs;
use super::logs_view::{LogsView, alarms_shown, sum_of_totals};
use super::removed_sources::RemovedSources;
use super::setup::Setup;
use crate::admin::refused_words::IN_STATUS_MAX;
use crate::admin::{
    self, AdminError, AdminView, ClockStatus, Days, DestinationBehind, DestinationsView as _, FlushOutcome,
    History, HistoryRing, KindCount, NodeStatus, OpenFiles, Reading, ReceiptStatus, SdkAddress, SourceStatus,
    SpoolStatus, Status, StatusCount,
};
use crate::alarms::Alarms;
use crate::boxed_future::BoxFuture;
use crate::delivery::Delivery;
use crate::destinations::runner::Destinations;
use crate::live::{Filter, LiveView};
use crate::lock::{lock, read};
use crate::log::{Follow, LOCATION_FULL, Reports, Rows, SPOOL_FULL};
use crate::metrics::{KindLabel, Metrics, SourceLabel, StatusLabel, count};
use crate::receipt::Receipt;
use crate::runtime::{telemetry, usage};
use crate::sources::SourceId;
use crate::store::Fault;
use crate::time::Clock;
use crate::version;
use crate::words::count::whole;

/// The time over which the bytes of received lines are counted, to estimate how long the spool lasts.
const RATE_WINDOW: Duration = Duration::from_secs(60);
/// The reason if all requests are refused.
const NO_ROOM: &str =
    "the spool is full: deliveries free space; otherwise raise spool.max_bytes or enlarge the disk";
/// The interval at which the rate is sampled.
const RATE_EVERY: Duration = Duration::from_secs(2);

/// A node, as shown to its operator.
#[derive(Debug)]
pub(super) struct NodeView {
    /// All logs, for what they report together.
    pub(super) logs: NodeLogs,
    /// The spool: it names the node, and takes its calls.
    pub(super) log: Arc<dyn Reports>,
    pub(super) follow: Arc<dyn Follow>,
    /// The delivery of the spool.
    pub(super) delivery: Delivery,
    pub(super) metrics: Metrics,
    pub(super) alarms: Arc<Alarms>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) started: Duration,
    pub(super) draining: AtomicBool,
    /// Held while sources are forgotten, and by those who add up sources.
    pub(super) removed: RwLock<RemovedSources>,
    pub(super) gauges: LedgerGauges,
    pub(super) rate: Mutex<Vec<(Duration, u64)>>,
    /// The proxy for the store, from the environment.
    pub(super) proxy: OnceLock<String>,
    /// The file of the configuration.
    pub(super) config_file: OnceLock<PathBuf>,
    /// The address of the S3 server of dev mode.
    pub(super) dev_s3: OnceLock<String>,
    pub(super) live: Arc<LiveView>,
    pub(super) history: Mutex<HistoryRing>,
    pub(super) destinations: OnceLock<Destinations>,
    pub(super) bucket_imports: OnceLock<BucketImports>,
    pub(super) setup: Mutex<Setup>,
}

impl NodeView {
    /// Notes the file of the configuration: commands that it prints name it.
    pub(super) fn set_config_file(&self, path: &Path) {
        let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        _ = self.config_file.set(path);
    }

    /// Bytes of lines per second, over the last minute; `None` while the samples cover too little time.
    #[expect(clippy::cast_precision_loss, reason = "an estimate for people")]
    fn rate(&self) -> Option<f64> {
        let now = (self.clock.monotonic(), self.metrics.spool_written_bytes.get());
        let mut samples = lock(&self.rate);
        if samples.last().is_none_or(|last| now.0.saturating_sub(last.0) >= RATE_EVERY) {
            samples.push(now);
        }
        samples.retain(|sample| now.0.saturating_sub(sample.0) <= RATE_WINDOW);
        let first = samples.first()?;
        let passed = now.0.saturating_sub(first.0);
        (passed >= RATE_EVERY).then(|| now.1.saturating_sub(first.1) as f64 / passed.as_secs_f64())
    }

    fn shown(&self) -> LogsView<'_> {
        LogsView { logs: &self.logs, metrics: &self.metrics, alarms: &self.alarms, live: &self.live }
    }

    /// The reason why calls are refused while the spool is full.
    fn no_room(&self) -> String {
        match self.logs.what_fails() {
            Some(fails) => format!("{NO_ROOM}; {fails}"),
            None => NO_ROOM.to_owned(),
        }
    }

    fn refused(&self, id: &SourceId, is_full: bool) -> Option<admin::Refused> {
        if is_full {
            return Some(admin::Refused { code: SPOOL_FULL.to_owned(), why: self.no_room() });
        }
        let why = self.logs.why_refused(id)?;
        Some(admin::Refused { code: LOCATION_FULL.to_owned(), why })
    }

    /// Adds a sample to the history.
    pub(super) fn sample_history(&self) {
        // The call keeps the rate known to those who ask less often than once a minute, such as Prometheus.
        self.rate();
        let sources = self.sources().into_iter().map(|id| (id.clone(), self.received(&id)));
        let reading = Reading {
            at: self.clock.monotonic(),
            sources: sources.collect(),
            object_bytes: self.metrics.object_bytes.get(),
            spool_bytes: self.logs.usage().used,
        };
        lock(&self.history).add(reading);
    }

    /// Calls and object sets received from a source since the process started.
    fn received(&self, id: &SourceId) -> u64 {
        let label = SourceLabel { source: id.to_string() };
        count(&self.metrics.received, &label) + count(&self.metrics.object_sets_received, &label)
    }

    /// Every source that is configured or has data in the spool; in dev mode also those that had some.
    pub(super) fn sources(&self) -> BTreeSet<SourceId> {
        self.sources_beside(&read(&self.removed))
    }

    fn sources_beside(&self, removed: &RemovedSources) -> BTreeSet<SourceId> {
        // In dev mode no source is configured, and none is removed.
        let known = || self.logs.known_sources();
        let mut sources = removed.configured().cloned().unwrap_or_else(known);
        sources.extend(self.logs.sources());
        sources
    }
}

impl AdminView for NodeView {
    fn ready(&self) -> Result<(), Vec<String>> {
        let mut reasons = Vec::new();
        if let Some(reason) = self.logs.stopped() {
            reasons.push(format!("the spool has stopped ({reason}); restart to recover"));
        }
        reasons.extend(self.alarms.ending().borrow().clone());
        if self.logs.usage().is_full {
            reasons.push(self.no_room());
        }
        if self.draining.load(Ordering::Acquire) {
            reasons.push("shutting down".to_owned());
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    fn status(&self) -> Status {
        let now = self.clock.wall();
        let usage = self.logs.usage();
        // The lock stays held: a source that is forgotten meanwhile would be missing in one sum and counted
        // in another.
        let removed = read(&self.removed);
        let sources = self.sources_beside(&removed);
        let report = self.logs.ledger(Rows::Totals);
        let ledger = ledger_view::summary(&report);
        let shown = self.shown();
        let waiting = shown.waiting(report);
        let source = |id| shown.source(id, &waiting, self.refused(id, usage.is_full), now);
        let sources: Vec<SourceStatus> = sources.iter().map(source).collect();
        let of_removed = self.metrics.removed_source().map(|name| shown.totals(&name));
        drop(removed);
        let totals = sum_of_totals(sources.iter().map(|source| &source.totals).chain(&of_removed));
        let (alarms, rate) = (self.alarms.standing(), self.rate());
        Status {
            version: version::version().to_owned(),
            now_ms: now.0,
            uptime_seconds: self.clock.monotonic().saturating_sub(self.started).as_secs(),
            node: self.log.node(),
            spool_id: self.log.spool_id(),
            ready: self.ready().is_ok(),
            not_ready: self.ready().err().unwrap_or_default(),
            degraded: alarms.iter().map(|alarm| alarm.what.clone()).collect(),
            alarms: alarms_shown(alarms),
            spool: SpoolStatus {
                used_bytes: usage.used,
                max_bytes: usage.max,
                segments: usage.segments as u64,
                parked_bytes: usage.parked,
                seconds_left: rate.and_then(|rate| usage.time_left(rate)).map(|left| left.as_secs()),
                incoming_bytes_per_second: rate.map(whole),
                is_full: usage.is_full,
            },
            open_batches: waiting.open_batches,
            sealed_objects: waiting.sealed_objects,
            oldest_undelivered_seconds: self.logs.oldest_undelivered().map(|at| now.since(at).as_secs()),
            totals,
            refusals: self.live.refusals(),
            refused_requests: self.live.refused_groups(&Filter::default(), IN_STATUS_MAX),
            s3_proxy: self.proxy.get().cloned(),
            dev_s3: self.dev_s3.get().cloned(),
            ledger: Some(ledger),
            sources,
            destinations: self.destinations().destinations.iter().filter_map(DestinationBehind::of).collect(),
            imports: self.bucket_imports.get().map(BucketImports::shown).unwrap_or_default(),
            kafka: None,
        }
    }

    fn history(&self) -> History {
        lock(&self.history).show(self.clock.wall().0)
    }

    fn node(&self) -> NodeStatus {
        let (now, metrics, setup) = (self.clock.wall(), &self.metrics, lock(&self.setup).clone());
        let uptime = self.clock.monotonic().saturating_sub(self.started);
        let started = now.minus(uptime).0;
        let failures = Fault::ALL.into_iter().filter_map(|fault| {
            let count = metrics.upload_failures.get(&KindLabel { kind: fault.slug() })?.get();
            Some(KindCount { kind: fault.slug().to_owned(), count })
        });
        let answers = (100..600).filter_map(|status| {
            let count = metrics.answers.get(&StatusLabel { status })?.get();
            Some(StatusCount { status, count })
        });
        NodeStatus {
            version: version::version().to_owned(),
            commit: version::commit().map(str::to_owned),
            built: version::date().map(str::to_owned),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            started_ms: started,
            now_ms: now.0,
            uptime_seconds: uptime.as_secs(),
            clock: ClockStatus { wall_ms: now.0, steps: metrics.clock_steps.get() },
            sync: metrics.sync_seconds.recent().into(),
            put: metrics.upload_seconds.recent().into(),
            put_failures: failures.collect(),
            answers: answers.collect(),
            connections: metrics.connections.get(),
            memory_bytes: usage::resident_bytes(),
            open_files: OpenFiles { used: usage::open_files(), max: usage::open_files_max() },
            spool_dir: setup.spool_dir,
            config: setup.config,
            sdk_address: setup.sdk_address.address(&Ipv4Addr::LOCALHOST.to_string()),
            dev_key: setup.dev,
        }
    }

    fn sdk_address(&self, source: Option<&SourceId>) -> Result<SdkAddress, AdminError> {
        let setup = lock(&self.setup);
        setup.sdk_keys.address(&setup.sdk_address, source)
    }

    fn days(&self, source: Option<&SourceId>) -> Days {
        self.logs.days_shown(source)
    }

    fn ledger(&self, source: Option<&SourceId>) -> Result<admin::Ledger, AdminError> {
        let report = self.logs.ledger(source.map_or(Rows::All, Rows::Of));
        match source.filter(|id| report.accounts.is_empty() && !self.sources().contains(id)) {
            Some(unknown) => Err(AdminError::UnknownSource(unknown.clone())),
            None => Ok(ledger_view::ledger(&report, source.is_none().then_some(&report.removed))),
        }
    }

    fn flush(
        &self,
        source: Option<SourceId>,
        wait: Duration,
    ) -> BoxFuture<'_, Result<FlushOutcome, AdminError>> {
        Box::pin(async move {
            if let Some(id) = source.as_ref().filter(|id| !self.sources().contains(id)) {
                return Err(AdminError::UnknownSource(id.clone()));
            }
            if self.logs.stopped().is_some() {
                return Err(AdminError::Stopped);
            }
            Ok(self.logs.flush_shown(source.as_ref(), wait).await)
        })
    }

    fn receipt(&self, receipt: Receipt) -> BoxFuture<'_, Result<ReceiptStatus, AdminError>> {
        Box::pin(self.logs.receipt_shown(receipt, || self.log.spool_id()))
    }

    fn refresh_metrics(&self) {
        self.logs.refresh_gauges();
        self.gauges.refresh(&self.metrics, || self.logs.ledger(Rows::Totals));
        let left = self.rate().and_then(|rate| self.logs.usage().time_left(rate));
        let left = left.map_or(f64::INFINITY, |left| left.as_secs_f64());
        self.metrics.spool_seconds_left.set(left);
        self.metrics.ready.set(i64::from(self.ready().is_ok()));
        self.metrics.log_lines_dropped.inner().fetch_max(telemetry::lines_dropped(), Ordering::Relaxed);
    }
}
