//! Shows the state of a running node on its admin listener.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

use super::bucket_imports::BucketImports;
use super::ledger_view;
use super::logs::{NodeBatch, NodeLog, NodeLogs};
use super::removed_sources::{RemovedSources, removed_name};
use super::setup::Setup;
use crate::admin::refused_words::IN_STATUS_MAX;
use crate::admin::{
    self, AdminError, AdminView, BatchStatus, ClockStatus, Days, DestinationBehind, DestinationsView as _,
    FlushOutcome, History, HistoryRing, KindCount, LedgerCounts, NodeStatus, OpenFiles, PositionsStatus,
    Reading, ReceiptState, ReceiptStatus, SdkAddress, SourceStatus, SpoolStatus, Status, StatusCount, Totals,
    UnclosedDay,
};
use crate::alarms::{Alarm, AlarmKind, Alarms};
use crate::boxed_future::BoxFuture;
use crate::call::RejectReason;
use crate::delivery::Delivery;
use crate::destinations::runner::Destinations;
use crate::live::{Filter, LiveView};
use crate::lock::{lock, read};
use crate::log::{
    AccountKey, Follow, LOCATION_FULL, Located, PendingSeal, Report, Reports, Row, Rows, SPOOL_FULL, Standing,
};
use crate::metrics::{
    AccountLabel, KindLabel, Metrics, ReasonLabel, SourceLabel, StatusLabel, StreamAccountLabel, count,
};
use crate::object::Stream;
use crate::receipt::Receipt;
use crate::runtime::{telemetry, usage};
use crate::sources::SourceId;
use crate::store::Fault;
use crate::time::{Clock, UnixMillis};
use crate::version;
use crate::words::count::whole;
use crate::words::date;

/// The time over which the bytes of received lines are counted, to estimate how long the spool lasts.
const RATE_WINDOW: Duration = Duration::from_secs(60);
/// The reasons for refusing requests because of a lack of space.
pub(super) const REFUSED: [&str; 2] = [SPOOL_FULL, LOCATION_FULL];
/// The reason if all requests are refused.
const NO_ROOM: &str =
    "the spool is full: deliveries free space; otherwise raise spool.max_bytes or enlarge the disk";
/// The most open batches of a source that are shown.
const BATCHES_SHOWN_MAX: usize = 50;
/// The interval at which the rate is sampled.
const RATE_EVERY: Duration = Duration::from_secs(2);

/// The name of a gauge of the ledger: the source, and the stream unless it is that of the calls.
pub(super) type LedgerSeries = (String, Option<String>);

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
    /// The accounts whose gauges exist.
    pub(super) gauges: Mutex<BTreeSet<LedgerSeries>>,
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

    /// The totals of a source, or of the removed sources.
    fn totals(&self, source: &str) -> Totals {
        let label = SourceLabel { source: source.to_string() };
        let rejected = |reason: RejectReason| {
            let label = ReasonLabel { source: source.to_string(), reason: reason.slug() };
            count(&self.metrics.rejected, &label)
        };
        Totals {
            received: count(&self.metrics.received, &label),
            stored: count(&self.metrics.stored, &label),
            repeated: count(&self.metrics.repeated, &label),
            rejected: RejectReason::ALL.into_iter().map(rejected).sum(),
            delivered: count(&self.metrics.delivered, &label),
        }
    }

    fn source(
        &self,
        id: &SourceId,
        rows: &BTreeMap<AccountKey, Row>,
        (undelivered, open): (Option<&(u64, UnixMillis)>, &[NodeBatch<'_>]),
        (now, is_full): (UnixMillis, bool),
    ) -> SourceStatus {
        let of_calls = AccountKey::of_calls(id.clone());
        let progress = self.logs.progress(id);
        let (pending, oldest) = (undelivered.map_or(0, |(calls, _)| *calls), undelivered.map(|(_, at)| *at));
        let to = self.logs.current_location(id);
        let seen = self.live.seen(id);
        let refused = |reason| count(&self.metrics.refused, &ReasonLabel { source: id.to_string(), reason });
        SourceStatus {
            last_received_ms: seen.as_ref().and_then(|seen| seen.last_received()).map(|at| at.0),
            libraries: seen.iter().flat_map(|seen| seen.libraries()).collect(),
            batches: open.iter().take(BATCHES_SHOWN_MAX).map(batch_status).collect(),
            id: id.to_string(),
            bucket: to.as_ref().map_or_else(String::new, |to| to.bucket.to_string()),
            encryption: to.as_ref().map_or_else(String::new, |to| to.encryption.to_string()),
            role: to.and_then(|to| to.role).map(|role| role.arn.to_string()),
            totals: self.totals(id.as_str()),
            ledger: ledger_view::counts(rows.get(&of_calls).unwrap_or(&Row::default())),
            streams: rows
                .range((Bound::Excluded(&of_calls), Bound::Unbounded))
                .take_while(|(account, _)| account.source == *id)
                .map(|(account, row)| admin::StreamStatus {
                    stream: account.stream().to_string(),
                    ledger: ledger_view::counts(row),
                })
                .collect(),
            pending_calls: pending,
            oldest_undelivered_seconds: oldest.map(|at| now.since(at).as_secs()),
            last_object: progress.last_object.map(|object| admin::LastObject {
                key: object.key.to_string(),
                delivered_at_ms: object.delivered_at.0,
                bytes: object.bytes,
                calls: object.calls,
                encryption: object.encryption.map(Into::into),
            }),
            refused: self.refused(id, is_full),
            requests_refused: REFUSED.map(refused).into_iter().sum(),
            waiting: progress.waiting.as_ref().map(|_| self.waits_for(id).to_owned()),
            last_error: progress.waiting,
            last_error_since_ms: progress.waiting_since.map(|at| at.0),
        }
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

    /// What a source waits for after a failed attempt.
    fn waits_for(&self, id: &SourceId) -> &'static str {
        let conflict = |alarm: &Alarm| alarm.kind == AlarmKind::Conflict && alarm.subject == id.as_str();
        if self.alarms.standing().iter().any(conflict) {
            "a decision: see the alarm"
        } else {
            "the next attempt"
        }
    }

    /// The state of positions, for a receipt of a log. `waiting`: the reason why the source's objects wait.
    fn positions(of: &NodeLog, located: Located, waiting: Option<&String>) -> PositionsStatus {
        let Located { first, last, reason, standing } = located;
        let status = PositionsStatus { first, last, reason, ..PositionsStatus::default() };
        let stream = |stream: &Stream| Some(stream.to_string());
        match standing {
            Standing::Open(batch) => PositionsStatus {
                state: ReceiptState::Pending,
                stream: stream(&batch.key.stream),
                since_ms: Some(batch.first_received_at.0),
                batch_lines: Some(batch.frames),
                due_ms: Some(of.delivery.due_at(&batch).0),
                waiting: waiting.cloned(),
                ..status
            },
            Standing::Sealed(seals) => {
                let any = |is: fn(&PendingSeal) -> bool| seals.iter().any(is);
                let state = if any(|pending| pending.conflict) {
                    ReceiptState::Conflict
                } else if any(|pending| pending.parked.is_some()) {
                    ReceiptState::Parked
                } else {
                    ReceiptState::Sealed
                };
                let object = |pending: &PendingSeal| {
                    let seal = &pending.seal;
                    format!("{}/{}", seal.location.bucket.bucket(), seal.object_key)
                };
                let only = if let [one] = &seals[..] { stream(&one.seal.batch.stream) } else { None };
                PositionsStatus {
                    state,
                    stream: only,
                    objects: seals.iter().map(object).collect(),
                    waiting: waiting.cloned(),
                    ..status
                }
            }
            Standing::Lost => PositionsStatus { state: ReceiptState::Lost, ..status },
            Standing::NotGiven => PositionsStatus { state: ReceiptState::NotGiven, ..status },
            Standing::NotHere => PositionsStatus { state: ReceiptState::NotHere, ..status },
        }
    }

    /// Adds a sample to the history.
    pub(super) fn sample_history(&self) {
        // The call keeps the rate known to those who ask less often than once a minute, such as Prometheus.
        self.rate();
        let sources = self.sources().into_iter().map(|id| (id.to_string(), self.received(&id)));
        let reading = Reading {
            at: self.clock.monotonic(),
            sources: sources.collect(),
            object_bytes: self.metrics.object_bytes.get(),
            spool_bytes: self.logs.usage().used,
        };
        lock(&self.history).add(reading);
    }

    /// Shows the ledger as gauges, and removes the gauges of accounts that are forgotten.
    fn refresh_ledger(&self) {
        // The lock stays held, so that of two scrapes at once none shows again what the other has removed.
        let mut shown = lock(&self.gauges);
        let report = self.logs.ledger(Rows::Totals);
        let rows = ledger_series(&report);
        for (source, stream) in shown.iter().filter(|series| !rows.contains_key(*series)) {
            for (account, _) in accounts(&LedgerCounts::default()) {
                let source = source.clone();
                match stream.clone() {
                    None => self.metrics.ledger_calls.remove(&AccountLabel { source, account }),
                    Some(stream) => {
                        self.metrics.ledger_streams.remove(&StreamAccountLabel { source, stream, account })
                    }
                };
            }
        }
        for ((source, stream), row) in &rows {
            for (account, lines) in accounts(&ledger_view::counts(row)) {
                let lines = i64::try_from(lines).unwrap_or(i64::MAX);
                let source = source.clone();
                match stream.clone() {
                    None => {
                        let label = AccountLabel { source, account };
                        self.metrics.ledger_calls.get_or_create(&label).set(lines);
                    }
                    Some(stream) => {
                        let label = StreamAccountLabel { source, stream, account };
                        self.metrics.ledger_streams.get_or_create(&label).set(lines);
                    }
                }
            }
        }
        *shown = rows.into_keys().collect();
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

fn batch_status((batch, delivery): &NodeBatch<'_>) -> BatchStatus {
    BatchStatus {
        stream: batch.key.stream.to_string(),
        day_ms: batch.key.day.start().0,
        calls: batch.frames,
        bytes: batch.bytes,
        object_bytes_estimate: delivery.object_bytes(batch),
        first_received_at_ms: batch.first_received_at.0,
        due_at_ms: delivery.due_at(batch).0,
    }
}

/// The ledger's totals by the gauges that show them. Forgotten sources have a name that no source can have.
fn ledger_series(report: &Report) -> BTreeMap<LedgerSeries, Row> {
    let stream_of = |account: &AccountKey| (!account.is_of_calls()).then(|| account.stream().to_string());
    let of_sources =
        report.accounts.iter().map(|of| ((of.account.source.to_string(), stream_of(&of.account)), of.total));
    let mut rows: BTreeMap<LedgerSeries, Row> = of_sources.collect();
    let removed = &report.removed;
    if !removed.is_none() {
        let name = removed_name(removed.sources);
        let dead = removed.dead.iter().map(|(destination, row)| (Some(format!("dead/{destination}")), row));
        let objects = Some(&removed.objects).filter(|row| !row.is_zero());
        let streams = objects.map(|row| (Some("objects".to_owned()), row)).into_iter().chain(dead);
        let all = std::iter::once((None, &removed.calls)).chain(streams);
        rows.extend(all.map(|(stream, row)| ((name.clone(), stream), *row)));
    }
    rows
}

/// The counts that are gauges, with the names of their accounts.
fn accounts(counts: &LedgerCounts) -> [(&'static str, u64); 8] {
    [
        ("received", counts.received),
        ("stored", counts.stored),
        ("rejected", counts.rejected),
        ("repeated", counts.repeated),
        ("suppressed", counts.suppressed),
        ("delivered", counts.delivered),
        ("pending", counts.pending),
        ("lost", counts.lost),
    ]
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
        let rows: BTreeMap<AccountKey, Row> =
            report.accounts.into_iter().map(|of| (of.account, of.total)).collect();
        // The value is computed once for all sources: there may be ten thousand.
        let undelivered = self.logs.undelivered();
        let (mut open_batches, mut open_of) = (0, BTreeMap::<SourceId, Vec<NodeBatch<'_>>>::new());
        for batch in self.logs.open_batches() {
            open_batches += 1;
            open_of.entry(batch.0.key.source.clone()).or_default().push(batch);
        }
        let sources = sources.iter().map(|id| {
            let open = open_of.remove(id).unwrap_or_default();
            self.source(id, &rows, (undelivered.get(id), &open), (now, usage.is_full))
        });
        let sources: Vec<SourceStatus> = sources.collect();
        let of_removed = self.metrics.removed_source().map(|name| self.totals(&name));
        drop(removed);
        let sum = |of: fn(&Totals) -> u64| {
            sources.iter().map(|source| &source.totals).chain(&of_removed).map(of).sum()
        };
        let (alarms, rate) = (self.alarms.standing(), self.rate());
        let mut sealed_objects = 0;
        self.logs.each_pending_seal(&mut |_, _| sealed_objects += 1);
        Status {
            version: version::version().to_owned(),
            now_ms: now.0,
            uptime_seconds: self.clock.monotonic().saturating_sub(self.started).as_secs(),
            node: self.log.node(),
            spool_id: self.log.spool_id(),
            ready: self.ready().is_ok(),
            not_ready: self.ready().err().unwrap_or_default(),
            degraded: alarms.iter().map(|alarm| alarm.what.clone()).collect(),
            alarms: alarms
                .into_iter()
                .map(|alarm| admin::Alarm {
                    kind: alarm.kind.slug().to_owned(),
                    subject: alarm.subject.clone(),
                    what: format!("{}: {}", alarm.subject, alarm.what),
                    since_ms: alarm.since.0,
                })
                .collect(),
            spool: SpoolStatus {
                used_bytes: usage.used,
                max_bytes: usage.max,
                segments: usage.segments as u64,
                parked_bytes: usage.parked,
                seconds_left: rate.and_then(|rate| usage.time_left(rate)).map(|left| left.as_secs()),
                incoming_bytes_per_second: rate.map(whole),
                is_full: usage.is_full,
            },
            open_batches,
            sealed_objects,
            oldest_undelivered_seconds: self.logs.oldest_undelivered().map(|at| now.since(at).as_secs()),
            totals: Totals {
                received: sum(|totals| totals.received),
                stored: sum(|totals| totals.stored),
                repeated: sum(|totals| totals.repeated),
                rejected: sum(|totals| totals.rejected),
                delivered: sum(|totals| totals.delivered),
            },
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
        let (mut waiting, days) = (self.logs.waiting_to_close(), self.logs.days());
        let (over, unclosed) = (days.over, days.unclosed.into_iter());
        let wanted = unclosed.filter(|((_, id), _)| source.is_none_or(|source| source == id));
        let days = wanted.map(|((day, id), stage)| UnclosedDay {
            day: day.start().0,
            date: date(day),
            stage: stage.slug().to_owned(),
            source: id.to_string(),
            why: waiting.remove(&(day, id)),
        });
        Days { over_through: over.map(|day| day.start().0), unclosed: days.collect() }
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
            let flushed = self.logs.flush(source.as_ref(), wait).await;
            Ok(FlushOutcome {
                sealed: flushed.sealed,
                delivered: flushed.delivered,
                pending: flushed.pending,
            })
        })
    }

    fn receipt(&self, receipt: Receipt) -> BoxFuture<'_, Result<ReceiptStatus, AdminError>> {
        Box::pin(async move {
            let bucket = self.logs.current_location(&receipt.source).map(|to| to.bucket.to_string());
            let Some(of) = self.logs.of_receipt(&receipt) else {
                let spool_id = self.log.spool_id();
                return Ok(ReceiptStatus { spool_id, bucket, positions: Vec::new() });
            };
            let (log, spool_id, source) = (Arc::clone(&of.log), of.log.spool_id(), receipt.source.clone());
            let located = tokio::task::spawn_blocking(move || log.locate(&receipt)).await;
            let located = located.map_err(|error| AdminError::Unread(error.to_string()))?;
            let located = located.map_err(|error| AdminError::Unread(error.to_string()))?;
            let waiting = of.delivery.progress().of(&source).waiting;
            let positions = located.into_iter().map(|located| Self::positions(of, located, waiting.as_ref()));
            Ok(ReceiptStatus { spool_id, bucket, positions: positions.collect() })
        })
    }

    fn refresh_metrics(&self) {
        self.logs.refresh_gauges();
        self.refresh_ledger();
        let left = self.rate().and_then(|rate| self.logs.usage().time_left(rate));
        let left = left.map_or(f64::INFINITY, |left| left.as_secs_f64());
        self.metrics.spool_seconds_left.set(left);
        self.metrics.ready.set(i64::from(self.ready().is_ok()));
        self.metrics.log_lines_dropped.inner().fetch_max(telemetry::lines_dropped(), Ordering::Relaxed);
    }
}
