//! Shows a collector on its admin listener. It has no disk and delivers nothing, so days, ledger and receipts are
//! those of the writers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::watch::{REPLACED_WITHIN, what_is_wrong};
use crate::admin::kafka_status::{KafkaStatus, SendingStatus};
use crate::admin::refused_words::IN_STATUS_MAX;
use crate::admin::{
    self, AdminError, AdminView, ClockStatus, Days, DaysOfLog, FlushOutcome, History, Ledger, NodeStatus,
    OpenFiles, ReceiptStatus, Refused, SdkAddress, SourceStatus, Status, StatusCount, Totals,
};
use crate::alarms::Alarms;
use crate::boxed_future::BoxFuture;
use crate::call::RejectReason;
use crate::kafka::collecting::{Collecting, CollectingStatus};
use crate::live::{Filter, LiveView};
use crate::lock::lock;
use crate::log::LOCATION_FULL;
use crate::metrics::{Metrics, ReasonLabel, SourceLabel, StatusLabel, count};
use crate::node::kafka_owners;
use crate::node::outside::Outside;
use crate::node::setup::Setup;
use crate::receipt::Receipt;
use crate::runtime::{telemetry, usage};
use crate::sources::SourceId;
use crate::time::Clock;
use crate::version;

/// What is shown before a broker has answered.
const NOT_KNOWN: &str =
    "no broker has said yet how many partitions the log has: check kafka.brokers and kafka.topic";

/// Why calls of a source are refused.
const REFUSED: &str = "its calls have waited for their bucket for half of the time for which Kafka keeps them: fix the bucket; \
                       `forebay status` of the writer that has them says what it refuses";

/// How long no block may have been stored, although there were calls, until a balancer should send calls elsewhere.
const FAILS_FOR: Duration = Duration::from_secs(5);
const NOTHING_STORED: &str = "brokers have acknowledged nothing lately, so calls are answered 503";

/// A collector, as shown to its operator.
#[derive(Debug)]
pub(in crate::node) struct CollectorView {
    name: String,
    topic: String,
    group: String,
    metrics: Metrics,
    clock: Arc<dyn Clock>,
    started: Duration,
    collecting: Arc<Collecting>,
    pub(super) alarms: Arc<Alarms>,
    pub(in crate::node) live: Arc<LiveView>,
    pub(super) draining: AtomicBool,
    pub(super) setup: Mutex<Setup>,
}

impl CollectorView {
    pub(super) fn new(
        [name, topic, group]: [String; 3],
        outside: &Outside,
        alarms: &Arc<Alarms>,
        collecting: &Arc<Collecting>,
        live: &Arc<LiveView>,
    ) -> Self {
        Self {
            name,
            topic,
            group,
            metrics: outside.metrics.clone(),
            clock: Arc::clone(&outside.clock),
            started: outside.clock.monotonic(),
            collecting: Arc::clone(collecting),
            alarms: Arc::clone(alarms),
            live: Arc::clone(live),
            draining: AtomicBool::new(false),
            setup: Mutex::default(),
        }
    }

    /// Shows whether the process can take calls.
    pub(in crate::node) fn set_ready(&self, is_ready: bool) {
        self.metrics.ready.set(i64::from(is_ready));
    }

    /// The log as this collector sees it.
    fn kafka(&self) -> KafkaStatus {
        let CollectingStatus { partitions, log_id, owners, standing, .. } = self.collecting.status();
        let counts = standing.counts;
        let (elsewhere, heard_ms) = kafka_owners::elsewhere(partitions, owners, |_| false);
        KafkaStatus {
            role: "collector".to_owned(),
            topic: self.topic.clone(),
            group: self.group.clone(),
            log_id,
            partitions: (partitions > 0).then_some(partitions),
            sending: Some(SendingStatus {
                waiting_bytes: standing.bytes as u64,
                silent: standing.silent,
                blocks: counts.blocks,
                unknown: counts.unknown,
                refused: counts.refused,
                producers_failed: counts.producers_failed,
            }),
            elsewhere,
            heard_ms,
            ..KafkaStatus::default()
        }
    }

    fn sources(&self) -> Vec<SourceId> {
        lock(&self.setup).sdk_keys.sources()
    }

    fn totals(&self, source: &SourceId) -> Totals {
        let label = SourceLabel { source: source.to_string() };
        let rejected = |reason: RejectReason| {
            count(&self.metrics.rejected, &ReasonLabel { source: source.to_string(), reason: reason.slug() })
        };
        Totals {
            received: count(&self.metrics.received, &label),
            stored: count(&self.metrics.stored, &label),
            repeated: count(&self.metrics.repeated, &label),
            rejected: RejectReason::ALL.into_iter().map(rejected).sum(),
            delivered: 0,
        }
    }

    fn source(&self, id: &SourceId) -> SourceStatus {
        let seen = self.live.seen(id);
        let requests = ReasonLabel { source: id.to_string(), reason: LOCATION_FULL };
        let refused = self.collecting.refuses(id);
        SourceStatus {
            refused: refused.then(|| Refused { code: LOCATION_FULL.to_owned(), why: REFUSED.to_owned() }),
            requests_refused: count(&self.metrics.refused, &requests),
            id: id.to_string(),
            totals: self.totals(id),
            last_received_ms: seen.as_ref().and_then(|seen| seen.last_received()).map(|at| at.0),
            libraries: seen.iter().flat_map(|seen| seen.libraries()).collect(),
            ..SourceStatus::default()
        }
    }

    /// Errors: there is no such source.
    fn known(&self, source: Option<&SourceId>) -> Result<(), AdminError> {
        match source.filter(|id| !self.sources().contains(id)) {
            Some(unknown) => Err(AdminError::UnknownSource(unknown.clone())),
            None => Ok(()),
        }
    }
}

impl AdminView for CollectorView {
    fn ready(&self) -> Result<(), Vec<String>> {
        let mut reasons: Vec<String> = self.alarms.ending().borrow().iter().cloned().collect();
        let status = self.collecting.status();
        if status.partitions == 0 {
            reasons.push(NOT_KNOWN.to_owned());
        }
        // While some partitions are silent, the calls of the others are taken.
        let standing = &status.standing;
        if standing.failing >= FAILS_FOR || standing.without_producer >= REPLACED_WITHIN {
            let what = what_is_wrong(&status);
            reasons.push(what.unwrap_or_else(|| NOTHING_STORED.to_owned()));
        }
        if self.draining.load(Ordering::Acquire) {
            reasons.push("shutting down".to_owned());
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons) }
    }

    fn status(&self) -> Status {
        let (now, alarms) = (self.clock.wall(), self.alarms.standing());
        let sources: Vec<SourceStatus> = self.sources().iter().map(|id| self.source(id)).collect();
        let sum = |of: fn(&Totals) -> u64| sources.iter().map(|source| of(&source.totals)).sum();
        Status {
            version: version::version().to_owned(),
            now_ms: now.0,
            uptime_seconds: self.clock.monotonic().saturating_sub(self.started).as_secs(),
            node: self.name.clone(),
            ready: self.ready().is_ok(),
            not_ready: self.ready().err().unwrap_or_default(),
            degraded: alarms.iter().map(|alarm| alarm.what.clone()).collect(),
            alarms: alarms
                .into_iter()
                .map(|alarm| admin::Alarm {
                    kind: alarm.kind.slug().to_owned(),
                    what: format!("{}: {}", alarm.subject, alarm.what),
                    subject: alarm.subject,
                    since_ms: alarm.since.0,
                })
                .collect(),
            totals: Totals {
                received: sum(|totals| totals.received),
                stored: sum(|totals| totals.stored),
                repeated: sum(|totals| totals.repeated),
                rejected: sum(|totals| totals.rejected),
                delivered: 0,
            },
            refusals: self.live.refusals(),
            refused_requests: self.live.refused_groups(&Filter::default(), IN_STATUS_MAX),
            sources,
            kafka: Some(self.kafka()),
            ..Status::default()
        }
    }

    fn history(&self) -> History {
        History::default()
    }

    fn node(&self) -> NodeStatus {
        let (now, setup) = (self.clock.wall(), lock(&self.setup).clone());
        let uptime = self.clock.monotonic().saturating_sub(self.started);
        let answers = (100..600).filter_map(|status| {
            let count = self.metrics.answers.get(&StatusLabel { status })?.get();
            Some(StatusCount { status, count })
        });
        NodeStatus {
            version: version::version().to_owned(),
            commit: version::commit().map(str::to_owned),
            built: version::date().map(str::to_owned),
            os: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            started_ms: now.minus(uptime).0,
            now_ms: now.0,
            uptime_seconds: uptime.as_secs(),
            clock: ClockStatus { wall_ms: now.0, steps: self.metrics.clock_steps.get() },
            answers: answers.collect(),
            connections: self.metrics.connections.get(),
            memory_bytes: usage::resident_bytes(),
            open_files: OpenFiles { used: usage::open_files(), max: usage::open_files_max() },
            config: setup.config,
            sdk_address: setup.sdk_address.address(&Ipv4Addr::LOCALHOST.to_string()),
            ..NodeStatus::default()
        }
    }

    fn sdk_address(&self, source: Option<&SourceId>) -> Result<SdkAddress, AdminError> {
        let setup = lock(&self.setup);
        setup.sdk_keys.address(&setup.sdk_address, source)
    }

    fn days(&self, _: Option<&SourceId>) -> Days {
        let CollectingStatus { partitions, .. } = self.collecting.status();
        let partitions = (partitions > 0).then_some(partitions);
        let kafka = DaysOfLog { topic: self.topic.clone(), partitions, read_through: BTreeMap::new() };
        Days { kafka: Some(kafka), ..Days::default() }
    }

    fn ledger(&self, source: Option<&SourceId>) -> Result<Ledger, AdminError> {
        self.known(source).map(|()| Ledger { balanced: true, ..Ledger::default() })
    }

    fn flush(
        &self,
        source: Option<SourceId>,
        _: Duration,
    ) -> BoxFuture<'_, Result<FlushOutcome, AdminError>> {
        // What it has acknowledged is in Kafka: whoever takes this for an answer would think that all is delivered.
        Box::pin(async move { self.known(source.as_ref()).and(Err(AdminError::OfWriters)) })
    }

    fn receipt(&self, _: Receipt) -> BoxFuture<'_, Result<ReceiptStatus, AdminError>> {
        // The writers know where lines are.
        Box::pin(async { Ok(ReceiptStatus::default()) })
    }

    fn refresh_metrics(&self) {
        self.collecting.refresh_gauges();
        self.set_ready(self.ready().is_ok());
        self.metrics.log_lines_dropped.inner().fetch_max(telemetry::lines_dropped(), Ordering::Relaxed);
    }
}
