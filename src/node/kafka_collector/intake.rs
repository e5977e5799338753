//! What takes calls in front of Kafka: the public listeners, and what sends calls to the log.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use super::view::CollectorView;
use super::watch;
use crate::alarms::Alarms;
use crate::call::Fingerprinter;
use crate::collector::{Collector, CollectorDeps, CollectorSettings, Drained, Listeners, Policy, Running};
use crate::ingest::{Ingest, IngestDeps, IngestSettings};
use crate::kafka::appender::Spreads;
use crate::kafka::collecting::{Collecting, CollectingDeps, CollectingStatus};
use crate::kafka::settings::Settings;
use crate::live::{LiveView, Mode};
use crate::lock::lock;
use crate::node::error::NodeError;
use crate::node::outside::Outside;
use crate::node::setup::Setup;
use crate::partition::fingerprints;
use crate::runtime::Shutdown;
use crate::tasks::{Supervised, keep};
use crate::words::with_causes;

/// Time for answers that are ready once the last report has come.
const ANSWERING: Duration = Duration::from_secs(2);

/// What takes calls is started with this.
#[derive(Debug)]
pub struct IntakeParts {
    /// What it knows of Kafka.
    pub kafka: Settings,
    /// How long a request waits for the reports of its blocks.
    pub answer_within: Duration,
    /// Over how many partitions the calls of sources go.
    pub spreads: Spreads,
    /// The settings of intake.
    pub ingest: IngestSettings,
    /// Bounds of the public listeners.
    pub collector: CollectorSettings,
    /// What may change while it runs.
    pub policy: Policy,
}

/// What takes calls.
#[derive(Debug)]
pub struct Intake {
    collecting: Arc<Collecting>,
    running: Running,
    pub(in crate::node) view: Arc<CollectorView>,
    answer_within: Duration,
    _watch: AbortOnDropHandle<()>,
    /// The address for calls.
    pub public: SocketAddr,
    /// The address for calls over TLS.
    pub tls: Option<SocketAddr>,
}

impl Intake {
    /// Starts, with a listener for calls and perhaps one for calls over TLS. Calls get 503 until a broker has said
    /// how many partitions the log has.
    /// Errors: [`NodeError`]: a client of Kafka cannot be made, or a listener cannot be used.
    pub fn start(
        parts: IntakeParts,
        (public, tls): (TcpListener, Option<TcpListener>),
        outside: &Outside,
        alarms: &Arc<Alarms>,
    ) -> Result<Self, NodeError> {
        let IntakeParts { kafka, answer_within, spreads, ingest, collector, policy } = parts;
        let key = fingerprints::key(&kafka.name, &kafka.topic);
        let names = [&kafka.name, &kafka.topic, &kafka.group].map(String::clone);
        let deps = CollectingDeps {
            settings: kafka,
            answer_within,
            spreads,
            clock: Arc::clone(&outside.clock),
            random: Arc::clone(&outside.random),
            metrics: outside.metrics.clone(),
        };
        let collecting = Collecting::start(deps);
        let collecting =
            Arc::new(collecting.map_err(|error| NodeError::Other(with_causes(&error).to_string()))?);
        let live = Arc::new(LiveView::new(Mode::default(), outside.clock.monotonic()));
        let ingest = Arc::new(Ingest::new(
            IngestDeps {
                clock: Arc::clone(&outside.clock),
                random: Arc::clone(&outside.random),
                metrics: outside.metrics.clone(),
                appender: Arc::new(collecting.appender()),
                fingerprinter: Fingerprinter::new(key),
                live: Arc::clone(&live),
            },
            ingest,
        ));
        let public_addr = public.local_addr()?;
        let tls_addr = tls.as_ref().map(tokio::net::TcpListener::local_addr).transpose()?;
        let deps = CollectorDeps {
            clock: Arc::clone(&outside.clock),
            random: Arc::clone(&outside.random),
            metrics: outside.metrics.clone(),
            ingest,
            alarms: Arc::clone(alarms),
        };
        let listeners = Listeners { plain: vec![public], tls: tls.into_iter().collect() };
        let running = Collector::start(deps, collector, policy, listeners)?;
        let view = Arc::new(CollectorView::new(names, outside, alarms, &collecting, &live));
        let watch = {
            let of = (Arc::clone(&collecting), Arc::clone(alarms));
            let start = move || watch::watch(Arc::clone(&of.0), Arc::clone(&of.1));
            AbortOnDropHandle::new(tokio::spawn(keep(Supervised::new(alarms, "alarms of Kafka"), start)))
        };
        Ok(Self {
            collecting,
            running,
            view,
            answer_within,
            _watch: watch,
            public: public_addr,
            tls: tls_addr,
        })
    }

    /// How sending goes.
    pub fn status(&self) -> CollectingStatus {
        self.collecting.status()
    }

    /// Sets the settings with which the collector was started, or the changed ones, for its operator.
    pub fn set_setup(&self, setup: Setup) {
        *lock(&self.view.setup) = setup;
    }

    /// Puts changed sources into force.
    pub fn reload(&self, policy: Policy, spreads: Spreads) {
        self.collecting.appender().set_spreads(spreads);
        self.running.reload(policy);
    }

    /// Reads the TLS certificate and key again.
    /// Errors: those of [`Running::reload_tls`], in words; the previous ones stay in force.
    pub fn reload_tls(&self) -> Result<(), String> {
        self.running.reload_tls().map_err(|error| with_causes(&error).to_string())
    }

    /// What stands for its alarms.
    pub fn alarms(&self) -> &Arc<Alarms> {
        &self.view.alarms
    }

    /// Shuts down: reports not ready, accepts no more connections, waits until each request has its answer from
    /// the brokers or its time is over, and closes. At the second signal it stops at once: requests without an
    /// answer get none, and their clients send them again.
    /// Errors: [`NodeError`]: a step of the shutdown failed.
    pub async fn end(self, drain_delay: Duration, shutdown: &Shutdown) -> Result<(), NodeError> {
        self.view.draining.store(true, Ordering::Release);
        let in_order = async {
            tokio::time::sleep(drain_delay).await;
            self.running.stop_accepting().await;
            self.running.drain(self.answer_within + ANSWERING).await
        };
        tokio::select! {
            drained = in_order => if let Drained::Unanswered(requests) = drained {
                tracing::warn!(requests, "some requests have no answer; their clients send them again");
            },
            () = shutdown.immediate.cancelled() => {}
        }
        let collecting = Arc::clone(&self.collecting);
        let at_once = shutdown.immediate.is_cancelled();
        if at_once {
            collecting.give_up();
        }
        self.running.close().await;
        // Its threads may wait for brokers.
        tokio::select! {
            stopped = tokio::task::spawn_blocking(move || collecting.stop()) => Ok(stopped?),
            () = shutdown.immediate.cancelled() => Ok(()),
        }
    }
}
