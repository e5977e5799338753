//! Shows a writer on its admin listener. What its partitions report is added up.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::place::{Live, Standing};
use super::shared::Shared;
use super::shown;
use crate::admin::{
    self, AdminError, AdminView, AskedDecision, ClockStatus, Days, FlushOutcome, History, HistoryRing,
    KindCount, NodeStatus, NotResolved, OpenFiles, Reading, ReceiptStatus, Resolved, SdkAddress,
    SourceStatus, SpoolStatus, Status,
};
use crate::alarms::Alarms;
use crate::boxed_future::BoxFuture;
use crate::kafka::log::NotDecided;
use crate::kafka::owner::Wanted;
use crate::live::LiveView;
use crate::lock::lock;
use crate::log::Rows;
use crate::metrics::kafka::{PartitionLabel, WriterMetrics};
use crate::metrics::{KindLabel, Metrics};
use crate::node::ledger_gauges::LedgerGauges;
use crate::node::ledger_view;
use crate::node::logs::{NodeLog, NodeLogs};
use crate::node::logs_view::{LogsView, alarms_shown, sum_of_totals};
use crate::node::outside::Outside;
use crate::node::setup::Setup;
use crate::partition::position::offset_of;
use crate::receipt::Receipt;
use crate::runtime::{telemetry, usage};
use crate::sources::SourceId;
use crate::store::Fault;
use crate::time::Clock;
use crate::version;

/// What is shown before a broker has answered.
const NOT_KNOWN: &str =
    "no broker has said yet how many partitions the log has: check kafka.brokers and kafka.topic";

/// What is shown.
pub(super) struct WriterViewDeps {
    /// The writers of the process.
    pub(super) writers: Vec<Arc<Shared>>,
    /// The buckets of sources.
    pub(super) wanted: Wanted,
    /// Gauges of partitions.
    pub(super) partitions: WriterMetrics,
    /// `kafka.name`.
    pub(super) name: String,
    /// The proxy through which the store is reached.
    pub(super) proxy: Option<String>,
    /// The age at which batches are due.
    pub(super) max_age: Duration,
    /// What was seen of calls lately: nothing, unless they arrive in this process.
    pub(super) live: Arc<LiveView>,
    /// Alarms of the process.
    pub(super) alarms: Arc<Alarms>,
}

/// The writers of a process, as shown to their operator.
pub(in crate::node) struct WriterView {
    of: WriterViewDeps,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    started: Duration,
    gauges: LedgerGauges,
    history: Mutex<HistoryRing>,
    pub(super) draining: AtomicBool,
    setup: Mutex<Setup>,
}

debug_fields!(WriterView { started });

impl WriterView {
    pub(super) fn new(of: WriterViewDeps, outside: &Outside) -> Self {
        Self {
            of,
            metrics: outside.metrics.clone(),
            clock: Arc::clone(&outside.clock),
            started: outside.clock.monotonic(),
            gauges: LedgerGauges::default(),
            history: Mutex::default(),
            draining: AtomicBool::new(false),
            setup: Mutex::default(),
        }
    }

    /// Sets the settings that are in force.
    pub(in crate::node) fn set_setup(&self, setup: Setup) {
        *lock(&self.setup) = setup;
    }

    /// The partitions that are delivered now.
    pub(super) fn logs(&self) -> NodeLogs {
        logs_of(self.of.writers.iter().flat_map(|writer| writer.live()).map(|(_, _, live)| live))
    }

    /// Sources that are configured or have calls here.
    fn sources(&self, logs: &NodeLogs) -> std::collections::BTreeSet<SourceId> {
        let wanted = Arc::clone(&self.of.wanted.borrow());
        wanted.of.keys().cloned().chain(logs.sources()).collect()
    }

    /// Errors: there is no such source.
    fn known(&self, source: Option<&SourceId>, logs: &NodeLogs) -> Result<(), AdminError> {
        match source.filter(|id| !self.sources(logs).contains(id)) {
            Some(unknown) => Err(AdminError::UnknownSource(unknown.clone())),
            None => Ok(()),
        }
    }

    /// The term of a partition.
    /// Errors: [`NotResolved`]: no term of the partition is delivered here.
    fn owned(&self, partition: u32) -> Result<Live, NotResolved> {
        let (mut owned, mut why_not) = (Vec::new(), None);
        for (number, place) in self.of.writers.iter().flat_map(|writer| writer.places()) {
            owned.push(number);
            if number != partition {
                continue;
            }
            match place.standing() {
                Standing::Live(live) => return Ok(*live),
                Standing::Begins => why_not = Some("its term begins; retry in a moment".to_owned()),
                Standing::Waits(why) => why_not = Some(why.to_string()),
                Standing::Stopped(stop) => why_not = Some(format!("it has stopped: {stop}")),
            }
        }
        Err(match why_not {
            Some(why) => NotResolved::NotNow { partition, why },
            None => NotResolved::NotOwned { partition, owned },
        })
    }

    /// Adds a sample to the history.
    pub(super) fn sample_history(&self) {
        let (logs, metrics) = (self.logs(), &self.metrics);
        let shown = LogsView { logs: &logs, metrics, alarms: &self.of.alarms, live: &self.of.live };
        let received = |id: SourceId| (id.clone(), shown.received(id.as_str()));
        let reading = Reading {
            at: self.clock.monotonic(),
            sources: self.sources(&logs).into_iter().map(received).collect(),
            object_bytes: metrics.object_bytes.get(),
            spool_bytes: logs.usage().used,
        };
        lock(&self.history).add(reading);
    }

    /// The gauges of each partition.
    fn refresh_partitions(&self) {
        let metrics = &self.of.partitions;
        let (mut owned, mut stopped) = (0, 0);
        let shown = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for (partition, place) in self.of.writers.iter().flat_map(|writer| writer.places()) {
            let (label, seen) = (PartitionLabel { partition }, *lock(&place.seen));
            if let Some(left) = seen.time_left {
                let left = left.map_or(f64::INFINITY, |left| left.as_secs_f64());
                metrics.time_left_seconds.get_or_create(&label).set(left);
            } else {
                metrics.time_left_seconds.remove(&label);
            }
            let standing = place.standing();
            stopped += i64::from(matches!(standing, Standing::Waits(_) | Standing::Stopped(_)));
            let Standing::Live(live) = standing else {
                metrics.pause(partition);
                continue;
            };
            owned += 1;
            let progress = live.served.progress();
            if let Some(took) = *lock(&place.takeover) {
                metrics.takeover_seconds.get_or_create(&label).set(took.as_secs_f64());
            }
            if let Some(end) = seen.end {
                let lag = end.saturating_sub(offset_of(progress.read_before));
                metrics.lag_records.get_or_create(&label).set(shown(lag));
            } else {
                metrics.lag_records.remove(&label);
            }
            if progress.behind == Duration::MAX {
                // Not known, which is not what it was.
                metrics.lag_seconds.remove(&label);
            } else {
                metrics.lag_seconds.get_or_create(&label).set(progress.behind.as_secs_f64());
            }
            metrics.left_objects.get_or_create(&label).set(shown(progress.left as u64));
            metrics.forgotten.get_or_create(&label).set(shown(progress.forgotten));
            let used = crate::log::Status::usage(&live.served.log).used;
            metrics.cache_bytes.get_or_create(&label).set(shown(used));
        }
        metrics.owned.set(owned);
        metrics.stopped.set(stopped);
    }
}

/// These terms as logs.
fn logs_of(live: impl Iterator<Item = Box<Live>>) -> NodeLogs {
    let of = |live: Box<Live>| NodeLog { log: Arc::new(live.served.log), delivery: live.delivery };
    NodeLogs::new(live.map(of).collect())
}

/// Notes a decision, and has the delivery follow it.
fn decide(live: &Live, asked: AskedDecision) -> Result<Resolved, NotResolved> {
    let AskedDecision { partition, seal, action } = asked;
    let decided = live.served.log.decide(seal, action).map_err(|why| match why {
        NotDecided::NotWaiting(waiting) => NotResolved::NoConflict { partition, seal, waiting },
        NotDecided::Stopped => {
            let why = "its term has ended, so the decision may be noted or not; ask again: a conflict that is \
                       decided is one no more";
            NotResolved::NotNow { partition, why: why.to_owned() }
        }
    })?;
    live.delivery.decided(&decided.seal.batch.source);
    let (bucket, object_key) = (decided.seal.location.bucket.bucket(), &decided.seal.object_key);
    tracing::info!(partition, seal, action = action.slug(), key = %object_key, "a conflict is decided");
    Ok(Resolved {
        partition,
        seal,
        action: action.slug().to_owned(),
        bucket: bucket.to_owned(),
        object_key: object_key.to_string(),
        put_as: decided.aside.then(|| decided.object_key().to_string()),
    })
}

impl AdminView for WriterView {
    fn ready(&self) -> Result<(), Vec<String>> {
        let mut reasons: Vec<String> = self.of.alarms.ending().borrow().iter().cloned().collect();
        let writers = &self.of.writers;
        reasons
            .extend(writers.iter().filter_map(|writer| writer.failed.borrow().as_deref().map(str::to_owned)));
        if writers.iter().all(|writer| lock(&writer.of_log).partitions.is_none()) {
            reasons.push(NOT_KNOWN.to_owned());
        }
        if self.draining.load(Ordering::Acquire) {
            reasons.push("shutting down".to_owned());
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    fn status(&self) -> Status {
        let now = self.clock.wall();
        let alarms = &self.of.alarms;
        let (logs, standing) = (self.logs(), alarms.standing());
        let shown = LogsView { logs: &logs, metrics: &self.metrics, alarms, live: &self.of.live };
        let report = logs.ledger(Rows::Totals);
        let ledger = ledger_view::summary(&report);
        let (waiting, usage) = (shown.waiting(report), logs.usage());
        let sources = self.sources(&logs);
        let sources: Vec<SourceStatus> =
            sources.iter().map(|id| shown.source(id, &waiting, None, now)).collect();
        Status {
            version: version::version().to_owned(),
            now_ms: now.0,
            uptime_seconds: self.clock.monotonic().saturating_sub(self.started).as_secs(),
            node: self.of.name.clone(),
            ready: self.ready().is_ok(),
            not_ready: self.ready().err().unwrap_or_default(),
            degraded: standing.iter().map(|alarm| alarm.what.clone()).collect(),
            alarms: alarms_shown(standing),
            // The caches take the place of a spool: they are never what stops calls.
            spool: SpoolStatus {
                used_bytes: usage.used,
                max_bytes: shown::cache_bytes(&self.of.writers),
                segments: usage.segments as u64,
                ..SpoolStatus::default()
            },
            open_batches: waiting.open_batches,
            sealed_objects: waiting.sealed_objects,
            oldest_undelivered_seconds: logs.oldest_undelivered().map(|at| now.since(at).as_secs()),
            totals: sum_of_totals(sources.iter().map(|source| &source.totals)),
            s3_proxy: self.of.proxy.clone(),
            ledger: Some(ledger),
            sources,
            kafka: Some(shown::kafka(&self.of.writers, self.of.max_age)),
            ..Status::default()
        }
    }

    fn history(&self) -> History {
        lock(&self.history).show(self.clock.wall().0)
    }

    fn node(&self) -> NodeStatus {
        let (now, metrics) = (self.clock.wall(), &self.metrics);
        let uptime = self.clock.monotonic().saturating_sub(self.started);
        let failures = Fault::ALL.into_iter().filter_map(|fault| {
            let count = metrics.upload_failures.get(&KindLabel { kind: fault.slug() })?.get();
            Some(KindCount { kind: fault.slug().to_owned(), count })
        });
        NodeStatus {
            version: version::version().to_owned(),
            commit: version::commit().map(str::to_owned),
            built: version::date().map(str::to_owned),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            started_ms: now.minus(uptime).0,
            now_ms: now.0,
            uptime_seconds: uptime.as_secs(),
            clock: ClockStatus { wall_ms: now.0, steps: metrics.clock_steps.get() },
            put: metrics.upload_seconds.recent().into(),
            put_failures: failures.collect(),
            memory_bytes: usage::resident_bytes(),
            open_files: OpenFiles { used: usage::open_files(), max: usage::open_files_max() },
            config: lock(&self.setup).config.clone(),
            ..NodeStatus::default()
        }
    }

    fn sdk_address(&self, source: Option<&SourceId>) -> Result<SdkAddress, AdminError> {
        // Collectors have the address.
        let setup = lock(&self.setup);
        setup.sdk_keys.address(&setup.sdk_address, source)
    }

    fn days(&self, source: Option<&SourceId>) -> Days {
        // The same terms twice: one that ended in between would be said to be read, and its days would not be listed.
        let live: Vec<_> = self.of.writers.iter().flat_map(|writer| writer.live()).collect();
        // What is read is asked first: a call that is read afterwards was written later.
        let kafka = Some(shown::days_of_log(&self.of.writers, &live));
        Days { kafka, ..logs_of(live.into_iter().map(|(_, _, live)| live)).days_shown(source) }
    }

    fn ledger(&self, source: Option<&SourceId>) -> Result<admin::Ledger, AdminError> {
        let logs = self.logs();
        let report = logs.ledger(source.map_or(Rows::All, Rows::Of));
        if report.accounts.is_empty() {
            self.known(source, &logs)?;
        }
        Ok(ledger_view::ledger(&report, source.is_none().then_some(&report.removed)))
    }

    fn flush(
        &self,
        source: Option<SourceId>,
        wait: Duration,
    ) -> BoxFuture<'_, Result<FlushOutcome, AdminError>> {
        Box::pin(async move {
            let logs = self.logs();
            self.known(source.as_ref(), &logs)?;
            if self.of.writers.iter().any(|writer| writer.ends() || writer.failed.borrow().is_some()) {
                return Err(AdminError::Stopped);
            }
            Ok(logs.flush_shown(source.as_ref(), wait).await)
        })
    }

    fn receipt(&self, receipt: Receipt) -> BoxFuture<'_, Result<ReceiptStatus, AdminError>> {
        Box::pin(async move {
            let shown = self.logs().receipt_shown(receipt, String::new).await?;
            Ok(ReceiptStatus { repeats_have_positions: true, ..shown })
        })
    }

    fn resolve(&self, asked: AskedDecision) -> BoxFuture<'_, Result<Resolved, NotResolved>> {
        Box::pin(async move {
            let live = self.owned(asked.partition)?;
            // On a thread that ends even if nobody waits for the answer any more: a decision that is noted is
            // followed.
            let decided = tokio::task::spawn_blocking(move || decide(&live, asked)).await;
            let not_now = |error: &dyn std::fmt::Display| NotResolved::NotNow {
                partition: asked.partition,
                why: error.to_string(),
            };
            decided.map_err(|error| not_now(&error))?
        })
    }

    fn refresh_metrics(&self) {
        let logs = self.logs();
        logs.refresh_gauges();
        self.gauges.refresh(&self.metrics, || logs.ledger(Rows::Totals));
        self.refresh_partitions();
        self.metrics.ready.set(i64::from(self.ready().is_ok()));
        self.metrics.log_lines_dropped.inner().fetch_max(telemetry::lines_dropped(), Ordering::Relaxed);
    }
}
