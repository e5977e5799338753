//! A writer as a process: what delivery needs, the writer itself, and the listener for operators.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio::time::MissedTickBehavior;
use tokio_util::task::AbortOnDropHandle;

use super::view::WriterView;
use super::{Writer, WriterDeps};
use crate::admin::AccessSettings;
use crate::admin::history::STEP;
use crate::alarms::Alarms;
use crate::delivery::{DayHook, DeliveryDeps, DeliveryEquipment, DeliverySettings};
use crate::kafka::settings::Settings;
use crate::lock::lock;
use crate::node::error::NodeError;
use crate::node::kafka_process::Operators;
use crate::node::listeners::AdminAt;
use crate::node::outside::Outside;
use crate::node::setup::Setup;
use crate::object::S3Location;
use crate::runtime::Shutdown;
use crate::sources::SourceId;
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
    /// A folder for caches, which no other process uses.
    pub cache_dir: PathBuf,
    /// Bytes of all caches together.
    pub cache_bytes: u64,
    /// Where objects go.
    pub store: Arc<dyn ObjectStore>,
    /// The proxy through which it is reached.
    pub proxy: Option<String>,
    /// When and how objects are made.
    pub delivery: DeliverySettings,
    /// Who is told of closed days.
    pub hook: Option<Arc<dyn DayHook>>,
    /// The bucket of each source.
    pub locations: BTreeMap<SourceId, S3Location>,
    /// The runtime of threads of low priority.
    pub background: tokio::runtime::Handle,
    /// The listener for operators.
    pub admin: AdminAt,
}

/// A writer that is a member of its group, or wants to be.
#[derive(Debug)]
pub struct KafkaWriter {
    writer: Writer,
    wanted: watch::Sender<Arc<BTreeMap<SourceId, S3Location>>>,
    view: Arc<WriterView>,
    operators: Operators,
    _history: AbortOnDropHandle<()>,
    /// The address for operators.
    pub admin: SocketAddr,
    /// The console's address for a person.
    pub console: String,
}

impl KafkaWriter {
    /// Starts. It owns nothing until the group assigns it something. Call it on the runtime on which objects are to
    /// be delivered.
    /// Errors: [`NodeError`]: a client of Kafka cannot be made, another process uses the folder, or the listener
    /// cannot be used.
    pub fn start(parts: WriterParts, listener: TcpListener, outside: &Outside) -> Result<Self, NodeError> {
        let metrics = Arc::new(outside.metrics.clone());
        let alarms = Arc::new(Alarms::new(Arc::clone(&outside.clock), Arc::clone(&metrics)));
        let deps = DeliveryDeps {
            store: parts.store,
            clock: Arc::clone(&outside.clock),
            random: Arc::clone(&outside.random),
            metrics: Arc::clone(&metrics),
            alarms: Arc::clone(&alarms),
            hook: parts.hook,
            list: None,
            background: Some(parts.background),
        };
        let max_age = parts.delivery.rule.max_age;
        let (wanted, follows) = watch::channel(Arc::new(parts.locations));
        let deps = WriterDeps {
            settings: parts.kafka,
            instance: parts.instance,
            day_grace: parts.day_grace,
            equipment: DeliveryEquipment::new(deps, parts.delivery),
            wanted: follows,
            cache_dir: parts.cache_dir,
            cache_bytes: parts.cache_bytes,
            clock: Arc::clone(&outside.clock),
            random: Arc::clone(&outside.random),
            metrics,
            alarms: Arc::clone(&alarms),
            version: version::version().to_owned(),
            host: host(),
            runtime: tokio::runtime::Handle::current(),
        };
        let started = Writer::start(deps);
        let writer = started.map_err(|error| NodeError::Other(with_causes(&error).to_string()))?;
        let view = Arc::new(WriterView::new(&writer.shared, outside, (parts.proxy, max_age)));
        let shown = Arc::clone(&view) as _;
        let operators = Operators::serve(shown, None, (listener, &parts.admin), outside, &alarms)?;
        let history = {
            let view = Arc::clone(&view);
            let start = move || keep_history(Arc::clone(&view));
            AbortOnDropHandle::new(tokio::spawn(keep(Supervised::new(&alarms, "history"), start)))
        };
        Ok(Self {
            writer,
            wanted,
            view,
            admin: operators.address,
            console: operators.console.clone(),
            operators,
            _history: history,
        })
    }

    /// The writer itself.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Sets the settings with which it was started, or the changed ones, for its operator.
    pub fn set_setup(&self, setup: Setup) {
        *lock(&self.view.setup) = setup;
    }

    /// Puts changed buckets and rights into force.
    pub fn reload(&self, locations: BTreeMap<SourceId, S3Location>, access: AccessSettings) {
        self.wanted.send_replace(Arc::new(locations));
        self.operators.set_access(access);
    }

    /// Its alarms.
    pub fn alarms(&self) -> &Arc<Alarms> {
        &self.writer.shared.deps.alarms
    }

    /// Resolves with the reason when the writer cannot continue: a call of the library hangs, a newer release has
    /// written the log, or a task panics at every start.
    pub async fn failed(&self) -> String {
        let (mut failed, mut ending) = (self.writer.failed(), self.alarms().ending());
        let reason = tokio::select! {
            reason = failed.wait_for(Option::is_some) => {
                reason.ok().and_then(|reason| reason.as_deref().map(str::to_owned))
            }
            reason = ending.wait_for(Option::is_some) => reason.ok().and_then(|reason| reason.clone()),
        };
        reason.unwrap_or_default()
    }

    /// Shuts down: reports not ready, delivers everything that is read, for at most as long as `deliver`, stops
    /// reading, and leaves the group. What is not delivered then is delivered by the next owner. At the second
    /// signal it stops at once.
    /// Errors: [`NodeError`]: the writer has failed.
    pub async fn end(self, deliver: Duration, shutdown: &Shutdown) -> Result<(), NodeError> {
        self.view.draining.store(true, Ordering::Release);
        let Self { writer, operators, .. } = self;
        let in_order = async {
            if !deliver.is_zero() {
                let left = writer.flush(deliver).await.pending;
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
                if ended.send(writer.stop()).is_err() {
                    tracing::debug!("nobody waits for the end of the writer");
                }
            })?;
            match end.await {
                Ok(ended) => ended.map_err(|failed| NodeError::Other(failed.to_string())),
                Err(_) => Err(NodeError::Other("the writer panicked while it ended".to_owned())),
            }
        };
        let ended = tokio::select! {
            ended = in_order => ended,
            () = shutdown.immediate.cancelled() => {
                tracing::warn!("stopped at once; what is not delivered stays in the log, for the next owner");
                Ok(())
            }
        };
        ended.and(operators.end().await)
    }
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
