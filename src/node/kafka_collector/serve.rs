//! Runs a collector with a configuration, and applies changes of the file.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::{CollectorParts, KafkaCollector};
use crate::admin;
use crate::config::{Config, ConfigError, Kafka, Loaded, Loader, Watcher, reload};
use crate::hook::{AlarmTellerDeps, tell_alarms};
use crate::kafka::appender::Spreads;
use crate::kafka::settings::Settings;
use crate::node::config_changes::watch;
use crate::node::error::NodeError;
use crate::node::listeners::{Addresses, Bound, fit_connections};
use crate::node::outside::Outside;
use crate::node::reload::{FILE, TLS_FILES, note_change, setup_at};
use crate::node::settings::{access, alarm_webhook, collector_settings, ingest_settings, policy};
use crate::runtime::handles::Wanted;
use crate::runtime::{Shutdown, shutdown};
use crate::tasks::{Supervised, keep};

/// How long a transaction of notes may be open. A collector writes none.
const NO_TRANSACTION: std::time::Duration = std::time::Duration::from_secs(30);

/// Runs until a signal ends it. `started` is called once, when calls are accepted.
/// Errors: [`NodeError`]: the collector cannot start, or could not continue.
pub async fn run(
    (loader, loaded): (Loader, Loaded),
    started: impl FnOnce(SocketAddr, &str),
) -> Result<(), NodeError> {
    let shutdown = Shutdown::new();
    let _signals = shutdown.listen()?;
    let (hangups, _hangup_listener) = shutdown::hangups()?;
    let outside = Outside::system();
    let collector = start(&loaded.config, &outside)?;
    collector.set_setup(setup_at(&loaded, collector.public, collector.tls));
    started(collector.public, &collector.console);
    if let Some(tls) = collector.tls {
        tracing::info!(addr = %tls, "accepting calls over TLS");
    }
    let _telling = telling(&loaded.config, &collector, &outside)?;
    let (new, mut changed) = mpsc::channel(1);
    let _watching = {
        let watcher = Arc::new(Mutex::new(Watcher::new(loader, &loaded, hangups.clone())));
        let start = move || watch(Arc::clone(&watcher), new.clone());
        let supervised = Supervised::new(collector.alarms(), "configuration watcher");
        AbortOnDropHandle::new(tokio::spawn(keep(supervised, start)))
    };
    let (mut current, mut tls_hangups) = (loaded, hangups);
    let mut ending = collector.alarms().ending();
    let mut failed = None;
    loop {
        tokio::select! {
            () = shutdown.orderly.cancelled() => break,
            reason = ending.wait_for(Option::is_some) => {
                failed = reason.ok().and_then(|reason| reason.clone());
                tracing::error!(reason = failed, "shutting down, so that a restart can recover");
                break;
            }
            Some(new) = changed.recv() => current = take_over(&collector, current, new),
            Ok(()) = tls_hangups.changed() => {
                let failed = collector.reload_tls().err();
                note_change(collector.alarms(), TLS_FILES, failed.as_deref());
                if let Some(error) = failed {
                    tracing::error!(error, "the changed TLS files cannot be used; the previous ones stay in use");
                }
            }
        }
    }
    let ended = collector.end(current.config.collector.drain_delay, &shutdown).await;
    match failed {
        Some(reason) => Err(NodeError::Other(reason)),
        None => ended,
    }
}

fn start(config: &Config, outside: &Outside) -> Result<KafkaCollector, NodeError> {
    let Some(kafka) = &config.kafka else {
        return Err(NodeError::Other("the configuration has no [kafka]".to_owned()));
    };
    let (fitted, fewer_connections) = fit_connections(Wanted {
        connections: config.collector.max_connections,
        admin: admin::server::CONNECTIONS_MAX,
        dev_s3: 0,
        put_locations: 0,
    })?;
    fewer_connections.iter().for_each(|warning| tracing::warn!("{warning}"));
    let addresses = Addresses {
        public: config.collector.listen,
        tls: config.collector.tls.as_ref().map(|tls| tls.listen),
        admin: config.admin.listen,
        admin_hosts: config.admin.allowed_hosts.clone(),
        admin_connections: fitted.admin,
        access: access(config),
    };
    let bound = Bound::bind(&addresses)?;
    let mut collector = collector_settings(config);
    collector.bounds.connections = fitted.connections;
    let parts = CollectorParts {
        kafka: settings(kafka),
        answer_within: kafka.answer_within,
        spreads: spreads(config),
        ingest: ingest_settings(config),
        collector,
        policy: policy(config),
        addresses,
    };
    KafkaCollector::start(parts, bound, outside.clone())
}

/// What clients of Kafka are made with.
fn settings(kafka: &Kafka) -> Settings {
    Settings {
        brokers: kafka.brokers.clone(),
        name: kafka.name.clone(),
        group: kafka.group.clone(),
        topic: kafka.topic.clone(),
        notes_topic: kafka.notes_topic.clone(),
        transaction_timeout: NO_TRANSACTION,
        more: kafka.extra.0.clone(),
    }
}

fn spreads(config: &Config) -> Spreads {
    let spread = config.sources.iter().filter(|source| source.spread > 1);
    spread.map(|source| (source.id.clone(), source.spread)).collect()
}

/// Applies a new configuration, as far as possible while running. Returns the configuration in force.
fn take_over(collector: &KafkaCollector, current: Loaded, new: Result<Loaded, ConfigError>) -> Loaded {
    let alarms = collector.alarms();
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
    collector.reload(policy(&after.config), spreads(&after.config), access(&after.config));
    collector.set_setup(setup_at(&after, collector.public, collector.tls));
    tracing::info!("configuration reloaded: {changes}");
    after
}

/// Tells of alarms if somebody is to be told, until it is dropped.
/// Errors: [`NodeError`]: the system's certificates cannot be read.
fn telling(
    config: &Config,
    collector: &KafkaCollector,
    outside: &Outside,
) -> Result<Option<AbortOnDropHandle<()>>, NodeError> {
    let Some(webhook) = alarm_webhook(&config.alarm)? else { return Ok(None) };
    let deps = AlarmTellerDeps {
        alarms: Arc::clone(collector.alarms()),
        disk: None,
        clock: Arc::clone(&outside.clock),
        random: Arc::clone(&outside.random),
        metrics: outside.metrics.clone(),
        node: config.kafka.as_ref().map(|kafka| kafka.name.clone()).unwrap_or_default(),
    };
    let start = move || tell_alarms(Arc::clone(&webhook), deps.clone());
    let supervised = Supervised::new(collector.alarms(), "notices of alarms");
    Ok(Some(AbortOnDropHandle::new(tokio::spawn(keep(supervised, start)))))
}
