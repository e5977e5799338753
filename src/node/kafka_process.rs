//! What a collector in front of Kafka and a writer behind it have in common: how they know Kafka, follow their
//! configuration, tell of alarms and serve operators.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::config_changes;
use super::error::NodeError;
use super::listeners::AdminAt;
use super::outside::Outside;
use super::reload::{FILE, note_change};
use super::settings::alarm_webhook;
use crate::admin::host::console_url;
use crate::admin::{AccessSettings, AdminServer, AdminView, AllowedHosts, Gate};
use crate::alarms::Alarms;
use crate::config::{Config, ConfigError, Kafka, Loaded, Loader, Watcher, reload};
use crate::hook::{AlarmTellerDeps, tell_alarms};
use crate::kafka::settings::Settings;
use crate::live::LiveView;
use crate::tasks::{Supervised, keep};

/// How long a transaction of notes may be open. A collector writes none.
pub(super) const TRANSACTION_TIMEOUT: Duration = Duration::from_secs(30);

/// What clients of Kafka are made with.
pub fn settings(kafka: &Kafka) -> Settings {
    Settings {
        brokers: kafka.brokers.clone(),
        name: kafka.name.clone(),
        group: kafka.group.clone(),
        topic: kafka.topic.clone(),
        notes_topic: kafka.notes_topic.clone(),
        transaction_timeout: TRANSACTION_TIMEOUT,
        more: kafka.client_settings(),
    }
}

/// The listener for operators, while it is served.
#[derive(Debug)]
pub(super) struct Operators {
    task: JoinHandle<()>,
    stop: CancellationToken,
    gate: Arc<Gate>,
    /// Where it listens.
    pub(super) address: SocketAddr,
    /// The console's address for a person.
    pub(super) console: String,
}

impl Operators {
    /// Serves `view`, and what is seen `live`, if calls arrive here.
    /// Errors: [`NodeError`]: the listener cannot be used.
    pub(super) fn serve(
        view: Arc<dyn AdminView>,
        live: Option<Arc<LiveView>>,
        (listener, at): (TcpListener, &AdminAt),
        outside: &Outside,
        alarms: &Arc<Alarms>,
    ) -> Result<Self, NodeError> {
        let address = listener.local_addr()?;
        let gate = Gate::new(at.access.clone(), Arc::clone(&outside.random), outside.metrics.clone());
        let gate = Arc::new(gate);
        let hosts = AllowedHosts::new(address, &at.hosts);
        let mut server = AdminServer::new(view, outside.metrics.clone(), hosts, Arc::clone(&gate));
        server.connections = at.connections;
        server.live = live;
        let stop = CancellationToken::new();
        let task = {
            let (server, listener, stop) = (Arc::new(server), Arc::new(listener), stop.clone());
            let start = move || Arc::clone(&server).serve(Arc::clone(&listener), stop.clone());
            tokio::spawn(keep(Supervised::new(alarms, "admin listener"), start))
        };
        Ok(Self { task, stop, gate, address, console: console_url(address, &at.hosts) })
    }

    /// Changes who may use it.
    pub(super) fn set_access(&self, access: AccessSettings) {
        self.gate.set(access);
    }

    /// Ends it.
    /// Errors: [`NodeError`]: it has panicked.
    pub(super) async fn end(self) -> Result<(), NodeError> {
        self.stop.cancel();
        Ok(self.task.await?)
    }
}

/// Counts what asks for the configuration to be read again.
type Hangups = watch::Receiver<u64>;

/// Changes of a configuration.
pub(super) struct Changes {
    /// Each change, or why it cannot be used.
    pub(super) changed: mpsc::Receiver<Result<Loaded, ConfigError>>,
    _watching: AbortOnDropHandle<()>,
}

impl Changes {
    /// Follows the file, until dropped.
    pub(super) fn follow(loader: Loader, loaded: &Loaded, hangups: Hangups, alarms: &Arc<Alarms>) -> Self {
        let (new, changed) = mpsc::channel(1);
        let watcher = Arc::new(Mutex::new(Watcher::new(loader, loaded, hangups)));
        let start = move || config_changes::watch(Arc::clone(&watcher), new.clone());
        let supervised = Supervised::new(alarms, "configuration watcher");
        Self { changed, _watching: AbortOnDropHandle::new(tokio::spawn(keep(supervised, start))) }
    }
}

/// Applies a new configuration, as far as possible while running: `apply` gets it. Returns the configuration in
/// force.
pub(super) fn take_over(
    alarms: &Alarms,
    current: Loaded,
    new: Result<Loaded, ConfigError>,
    apply: impl FnOnce(&Loaded),
) -> Loaded {
    let loaded = match new {
        Ok(loaded) => loaded,
        Err(error) => {
            note_change(alarms, FILE, Some(&error.to_string()));
            tracing::error!(
                "the changed configuration cannot be used, the running one stays in force: {error}"
            );
            return current;
        }
    };
    note_change(alarms, FILE, None);
    let changes = reload::diff(&current.config, &loaded.config);
    if changes.is_empty() {
        return current;
    }
    let after = current.after_reload(loaded);
    apply(&after);
    tracing::info!("configuration reloaded: {changes}");
    after
}

/// Tells of alarms if somebody is to be told, until it is dropped.
/// Errors: [`NodeError`]: the system's certificates cannot be read.
pub(super) fn telling(
    config: &Config,
    alarms: &Arc<Alarms>,
    outside: &Outside,
) -> Result<Option<AbortOnDropHandle<()>>, NodeError> {
    let Some(webhook) = alarm_webhook(&config.alarm)? else { return Ok(None) };
    let deps = AlarmTellerDeps {
        alarms: Arc::clone(alarms),
        disk: None,
        clock: Arc::clone(&outside.clock),
        random: Arc::clone(&outside.random),
        metrics: outside.metrics.clone(),
        node: config.kafka.as_ref().map(|kafka| kafka.name.clone()).unwrap_or_default(),
    };
    let start = move || tell_alarms(Arc::clone(&webhook), deps.clone());
    let supervised = Supervised::new(alarms, "notices of alarms");
    Ok(Some(AbortOnDropHandle::new(tokio::spawn(keep(supervised, start)))))
}
