//! Writers in a process: what delivery needs, the writers themselves, and the listener for operators.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

use super::view::{WriterView, WriterViewDeps};
use super::{Failed, NotStarted, Writer, WriterDeps};
use crate::admin::AccessSettings;
use crate::admin::history::STEP;
use crate::alarms::Alarms;
use crate::delivery::{DayHook, DeliveryDeps, DeliveryEquipment, DeliverySettings};
use crate::kafka::settings::Settings;
use crate::live::{LiveView, Mode};
use crate::metrics::kafka::WriterMetrics;
use crate::node::error::NodeError;
use crate::node::kafka_process::Operators;
use crate::node::listeners::AdminAt;
use crate::node::outside::Outside;
use crate::node::setup::Setup;
use crate::partition::destinations::Buckets;
use crate::runtime::Shutdown;
use crate::store::ObjectStore;
use crate::tasks::{Supervised, keep};
use crate::version;
use crate::words::with_causes;

/// Where Linux has the name of the machine.
const HOST_NAME: &str = "/proc/sys/kernel/hostname";
/// The longest name of a machine that is noted.
const HOST_MAX: usize = 64;

/// What a writer is started with.
#[derive(Debug)]
pub struct WriterParts {
    /// What it knows of Kafka.
    pub kafka: Settings,
    /// The name under which it is a member of the group, also after a restart.
    pub instance: Option<String>,
    /// How long after a day it is ended.
    pub day_grace: Duration,
    /// A folder for caches, which nobody else uses. There is a writer for each.
    pub cache_dirs: Vec<PathBuf>,
    /// Bytes of the caches of each writer.
    pub cache_bytes: u64,
    /// Where objects go.
    pub store: Arc<dyn ObjectStore>,
    /// The proxy through which it is reached.
    pub proxy: Option<String>,
    /// When and how objects are made.
    pub delivery: DeliverySettings,
    /// Who is told of closed days.
    pub hook: Option<Arc<dyn DayHook>>,
    /// The buckets of sources.
    pub buckets: Buckets,
    /// The runtime of threads of low priority.
    pub background: tokio::runtime::Handle,
}

/// Writers that are members of their group, or want to be: one, but in dev mode.
#[derive(Debug)]
pub struct Writers {
    writers: Vec<Writer>,
    wanted: watch::Sender<Arc<Buckets>>,
    alarms: Arc<Alarms>,
    pub(in crate::node) view: Arc<WriterView>,
    _history: AbortOnDropHandle<()>,
}

impl Writers {
    /// Starts. They own nothing until the group assigns them something. Call it on the runtime on which objects are
    /// to be delivered. `live` has what was seen of calls lately, if they arrive in this process.
    /// Errors: [`NodeError`]: a client of Kafka cannot be made, or another process uses a folder.
    pub fn start(
        parts: WriterParts,
        outside: &Outside,
        alarms: &Arc<Alarms>,
        live: Option<Arc<LiveView>>,
    ) -> Result<Self, NodeError> {
        let metrics = Arc::new(outside.metrics.clone());
        let deps = DeliveryDeps {
            store: parts.store,
            clock: Arc::clone(&outside.clock),
            random: Arc::clone(&outside.random),
            metrics: Arc::clone(&metrics),
            alarms: Arc::clone(alarms),
            hook: parts.hook,
            list: None,
            background: Some(parts.background),
        };
        let max_age = parts.delivery.rule.max_age;
        let (wanted, follows) = watch::channel(Arc::new(parts.buckets));
        let equipment = DeliveryEquipment::new(deps, parts.delivery);
        let of_partitions = WriterMetrics::shown_with(&metrics);
        let start = |cache_dir: PathBuf| {
            Writer::start(WriterDeps {
                settings: parts.kafka.clone(),
                instance: parts.instance.clone(),
                day_grace: parts.day_grace,
                equipment: Arc::clone(&equipment),
                wanted: follows.clone(),
                cache_dir,
                cache_bytes: parts.cache_bytes,
                clock: Arc::clone(&outside.clock),
                random: Arc::clone(&outside.random),
                metrics: Arc::clone(&metrics),
                of_partitions: of_partitions.clone(),
                alarms: Arc::clone(alarms),
                version: version::version().to_owned(),
                host: host(),
                runtime: tokio::runtime::Handle::current(),
            })
        };
        let started: Result<Vec<Writer>, NotStarted> = parts.cache_dirs.into_iter().map(start).collect();
        let writers = started.map_err(|error| NodeError::Other(with_causes(&error).to_string()))?;
        let shared = writers.iter().map(|writer| Arc::clone(&writer.shared)).collect();
        let live =
            live.unwrap_or_else(|| Arc::new(LiveView::new(Mode::default(), outside.clock.monotonic())));
        let of = WriterViewDeps {
            writers: shared,
            wanted: follows.clone(),
            partitions: of_partitions.clone(),
            name: parts.kafka.name,
            proxy: parts.proxy,
            max_age,
            live,
            alarms: Arc::clone(alarms),
        };
        let view = Arc::new(WriterView::new(of, outside));
        let history = {
            let view = Arc::clone(&view);
            let start = move || keep_history(Arc::clone(&view));
            AbortOnDropHandle::new(tokio::spawn(keep(Supervised::new(alarms, "history"), start)))
        };
        Ok(Self { writers, wanted, alarms: Arc::clone(alarms), view, _history: history })
    }

    /// Puts changed buckets into force.
    pub fn reload(&self, buckets: Buckets) {
        self.wanted.send_replace(Arc::new(buckets));
    }

    /// Resolves with the reason when a writer cannot continue: a call of the library hangs, another process has
    /// its `instance`, or a task panics at every start.
    pub async fn failed(&self) -> String {
        let mut any = JoinSet::new();
        for writer in &self.writers {
            any.spawn(has_failed(writer.failed()));
        }
        let mut ending = self.alarms.ending();
        let reason = tokio::select! {
            Some(Ok(reason)) = any.join_next() => Some(reason),
            reason = ending.wait_for(Option::is_some) => reason.ok().and_then(|reason| reason.clone()),
        };
        reason.unwrap_or_default()
    }

    /// Shuts down: reports not ready, delivers everything that is read, for at most as long as `deliver`, stops
    /// reading, and leaves the group. What is not delivered then is delivered by the next owner. At the second
    /// signal it stops at once.
    /// Errors: [`NodeError`]: a writer has failed.
    pub async fn end(self, deliver: Duration, shutdown: &Shutdown) -> Result<(), NodeError> {
        self.view.draining.store(true, Ordering::Release);
        let Self { writers, view, .. } = self;
        let in_order = async {
            if !deliver.is_zero() {
                let left = view.logs().flush(None, deliver).await.pending;
                if left > 0 {
                    tracing::warn!(
                        batches = left,
                        "some calls are not delivered yet; the next owner does it"
                    );
                }
            }
            let (ended, end) = oneshot::channel();
            // A thread of its own: one of the runtime's would keep the process if a call of the library hangs.
            std::thread::Builder::new().name("kafka-end".to_owned()).spawn(move || {
                let all: Vec<Result<(), Failed>> = writers.into_iter().map(Writer::stop).collect();
                if ended.send(all.into_iter().collect::<Result<(), Failed>>()).is_err() {
                    tracing::debug!("nobody waits for the end of the writer");
                }
            })?;
            match end.await {
                Ok(ended) => ended.map_err(|failed| NodeError::Other(failed.to_string())),
                Err(_) => Err(NodeError::Other("the writer panicked while it ended".to_owned())),
            }
        };
        tokio::select! {
            ended = in_order => ended,
            () = shutdown.immediate.cancelled() => {
                tracing::warn!("stopped at once; what is not delivered stays in the log, for the next owner");
                Ok(())
            }
        }
    }
}

/// A writer with a listener for operators.
#[derive(Debug)]
pub struct KafkaWriter {
    writers: Writers,
    operators: Operators,
    /// The address for operators.
    pub admin: SocketAddr,
    /// The console's address for a person.
    pub console: String,
}

impl KafkaWriter {
    /// Starts, as [`Writers::start`] does.
    /// Errors: [`NodeError`]: those of [`Writers::start`], or the listener cannot be used.
    pub fn start(
        parts: WriterParts,
        (listener, at): (TcpListener, &AdminAt),
        outside: &Outside,
    ) -> Result<Self, NodeError> {
        let metrics = Arc::new(outside.metrics.clone());
        let alarms = Arc::new(Alarms::new(Arc::clone(&outside.clock), metrics));
        let writers = Writers::start(parts, outside, &alarms, None)?;
        let shown = Arc::clone(&writers.view) as _;
        let operators = Operators::serve(shown, None, (listener, at), outside, &alarms)?;
        Ok(Self { writers, admin: operators.address, console: operators.console.clone(), operators })
    }

    /// Sets the settings with which it was started, or the changed ones, for its operator.
    pub fn set_setup(&self, setup: Setup) {
        self.writers.view.set_setup(setup);
    }

    /// Puts changed buckets and rights into force.
    pub fn reload(&self, buckets: Buckets, access: AccessSettings) {
        self.writers.reload(buckets);
        self.operators.set_access(access);
    }

    /// Its alarms.
    pub fn alarms(&self) -> &Arc<Alarms> {
        &self.writers.alarms
    }

    /// See [`Writers::failed`].
    pub async fn failed(&self) -> String {
        self.writers.failed().await
    }

    /// Shuts down as [`Writers::end`] does, and ends the listener for operators.
    /// Errors: [`NodeError`]: the writer has failed.
    pub async fn end(self, deliver: Duration, shutdown: &Shutdown) -> Result<(), NodeError> {
        self.writers.end(deliver, shutdown).await.and(self.operators.end().await)
    }
}

/// Resolves with the reason once a writer has failed.
async fn has_failed(mut failed: watch::Receiver<Option<Arc<str>>>) -> String {
    let reason = failed.wait_for(Option::is_some).await;
    reason.ok().and_then(|reason| reason.as_deref().map(str::to_owned)).unwrap_or_default()
}

/// The name of this machine, for people who read the notes; empty if it has none.
fn host() -> String {
    let name = std::fs::read_to_string(HOST_NAME).unwrap_or_default();
    name.trim().chars().take(HOST_MAX).collect()
}

/// Adds a sample to the history every few seconds.
async fn keep_history(view: Arc<WriterView>) {
    let mut steps = tokio::time::interval(STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        steps.tick().await;
        view.sample_history();
    }
}
