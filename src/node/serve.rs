//! Runs a node with a configuration, and applies changes of the file.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::bucket_imports::{ImportStores, plans};
use super::config_changes::watch;
use super::engine::Engine;
use super::equipment::NodeEquipment;
use super::error::NodeError;
use super::import_sources::Configured;
use super::listeners::{Addresses, Bound, fit_connections};
use super::outside::Outside;
use super::recovery::Recovery;
use super::reload::{
    DESTINATIONS, TLS_FILES, note_change, note_locations, setup, supervised_reload, take_over_caught,
};
use super::running::{Ending, Node};
use super::settings::{
    admin_at, alarm_webhook, collector_settings, delivery_settings, hooks, ingest_settings, policy,
    spool_options, store_settings,
};
use super::spool_dir::open_disk;
use crate::admin;
#[cfg(feature = "kafka")]
use crate::config::KafkaRole;
use crate::config::{Config, Environment, Loaded, Loader, Watcher};
use crate::delivery;
use crate::disk::real_disk::RealDisk;
use crate::hook::{AlarmTellerDeps, tell_alarms};
use crate::import::Importer;
use crate::runtime::handles::Wanted;
use crate::runtime::{Background, Shutdown, SystemClock, shutdown};
use crate::store::s3::S3Store;
use crate::tasks::{Supervised, keep};
use crate::words::with_causes;

/// Runs a node with a configuration until a signal ends it, and applies the file's changes. `started` is
/// called once, when the node accepts calls, with the address for calls and that of the console. A process that
/// takes no calls has no address for them.
/// Errors: [`NodeError`]: the node cannot start, or could not continue.
pub async fn run(
    (loader, loaded): (Loader, Loaded),
    background: &Background,
    started: impl FnOnce(Option<SocketAddr>, &str),
) -> Result<(), NodeError> {
    #[cfg(feature = "kafka")]
    let role = loaded.config.kafka.as_ref().map(|kafka| kafka.role);
    #[cfg(feature = "kafka")]
    if role == Some(KafkaRole::Writer) {
        super::writer::variables::begin_anew_with_them(loader.path(), &Environment::of_process())?;
    }
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    #[cfg(feature = "kafka")]
    match role {
        Some(KafkaRole::Collector) => {
            return super::kafka_collector::serve::run((loader, loaded), started).await;
        }
        Some(KafkaRole::Writer) => {
            return super::writer::serve::run((loader, loaded), background, started).await;
        }
        None => {}
    }
    let shutdown = Shutdown::new();
    let _signals = shutdown.listen()?;
    let (hangups, _hangup_listener) = shutdown::hangups()?;
    let (node, importer) = start(&loaded, background).await?;
    node.engine.view.set_config_file(loader.path());
    started(Some(node.public), &node.console);
    if let Some(tls) = node.tls {
        tracing::info!(addr = %tls, "accepting calls over TLS");
    }
    let _telling = telling(&loaded.config, &node)?;
    let (new, mut changed) = mpsc::channel(1);
    let _watching = {
        let watcher = Arc::new(Mutex::new(Watcher::new(loader, &loaded, hangups.clone())));
        let start = move || watch(Arc::clone(&watcher), new.clone());
        let supervised = Supervised::new(&node.engine.view.alarms, "configuration watcher");
        AbortOnDropHandle::new(tokio::spawn(keep(supervised, start)))
    };
    let mut tls_hangups = hangups;
    let (mut current, mut reload) = (loaded, supervised_reload(&node));
    loop {
        tokio::select! {
            () = shutdown.orderly.cancelled() => break,
            reason = node.failed() => {
                tracing::error!(reason, "shutting down, so that a restart can recover");
                break;
            }
            Some(new) = changed.recv() => {
                let before = current.config.destinations.clone();
                current = take_over_caught(&mut reload, &node, &importer, current, new);
                let next = &current.config.destinations;
                if *next != before
                    && let Some(destinations) = node.engine.view.destinations.get()
                {
                    let set = destinations.set(next.clone()).await;
                    let failed = set.err().map(|error| format!("reload once more (SIGHUP): {error}"));
                    note_change(&node.engine.view.alarms, DESTINATIONS, failed.as_deref());
                    if let Some(what) = failed {
                        tracing::error!("the changed destinations are not in force, {what}");
                        current.config.destinations = before;
                    }
                }
            }
            Ok(()) = tls_hangups.changed() => {
                let failed = node.collector.reload_tls().err().map(|error| with_causes(&error).to_string());
                note_change(&node.engine.view.alarms, TLS_FILES, failed.as_deref());
                if let Some(error) = failed {
                    tracing::error!(error, "the changed TLS files cannot be used; the previous ones stay in use");
                }
            }
        }
    }
    let ending = Ending {
        deliver: current.config.flush.on_shutdown,
        drain_delay: current.config.collector.drain_delay,
        grace: current.config.flush.shutdown_grace,
    };
    node.end(ending, &shutdown).await
}

/// Tells of alarms if somebody is to be told, until it is dropped.
/// Errors: [`NodeError`]: the system's certificates cannot be read.
fn telling(config: &Config, node: &Node) -> Result<Option<AbortOnDropHandle<()>>, NodeError> {
    let Some(webhook) = alarm_webhook(&config.alarm)? else { return Ok(None) };
    let engine = &node.engine;
    let deps = AlarmTellerDeps {
        alarms: Arc::clone(&engine.view.alarms),
        disk: Some(Arc::clone(engine.spool.disk())),
        clock: Arc::clone(&engine.outside.clock),
        random: Arc::clone(&engine.outside.random),
        metrics: engine.outside.metrics.clone(),
        node: engine.view.log.node(),
    };
    let start = move || tell_alarms(Arc::clone(&webhook), deps.clone());
    let supervised = Supervised::new(&engine.view.alarms, "notices of alarms");
    Ok(Some(AbortOnDropHandle::new(tokio::spawn(keep(supervised, start)))))
}

async fn start(loaded: &Loaded, background: &Background) -> Result<(Node, Arc<Importer>), NodeError> {
    let config = &loaded.config;
    let (fitted, fewer_connections) = fit_connections(Wanted {
        connections: config.collector.max_connections,
        admin: admin::server::CONNECTIONS_MAX,
        dev_s3: 0,
        put_locations: delivery::put_locations(config.locations()),
    })?;
    let disk = open_disk(&config.spool.dir, !config.spool.unsafe_filesystem)?;
    fewer_connections.iter().for_each(|warning| tracing::warn!("{warning}"));
    let (mut engine, proxy) = engine(config, disk, background).await?;
    let equipment = NodeEquipment {
        store: Arc::clone(&engine.store),
        environment: Environment::of_process(),
        clock: Arc::new(SystemClock::new()),
    };
    engine.destinations(config.destinations.clone(), Arc::new(equipment), fitted.functions).await?;
    let addresses = Addresses {
        public: config.collector.listen,
        tls: config.collector.tls.as_ref().map(|tls| tls.listen),
        admin: admin_at(config, fitted.admin),
    };
    let ingest = engine.ingest(ingest_settings(config));
    let mut settings = collector_settings(config);
    settings.bounds.connections = fitted.connections;
    let bound = Bound::bind(&addresses)?;
    let importer = engine.importer(&ingest, &config.spool.dir, Arc::new(Configured::new(config))).await?;
    let node = engine.listen((ingest, &importer), settings, policy(config), bound, &addresses)?;
    if let Some(proxy) = proxy {
        _ = node.engine.view.proxy.set(proxy);
    }
    node.set_setup(setup(loaded, &node));
    node.set_configured(config.sources.iter().map(|source| source.id.clone()).collect());
    let stores =
        ImportStores { own: Arc::clone(&node.engine.store), settings: store_settings(config, "import") };
    node.start_imports(node.engine.imports_deps(&importer, stores));
    node.set_imports(plans(config));
    Ok((node, importer))
}

/// Opens the spool on `disk` and starts delivery. The second value is the proxy through which S3 is reached.
/// Errors: [`NodeError`]: the spool cannot be opened, or what delivery needs cannot be made.
pub async fn engine(
    config: &Config,
    disk: RealDisk,
    background: &Background,
) -> Result<(Engine, Option<String>), NodeError> {
    let recovery = Recovery::run(Outside::system(), disk, spool_options(config)).await?;
    // The buckets are recorded before anything is delivered: objects sealed by an earlier process are put as
    // configured now.
    note_locations(&*recovery.spool.locations(), config)?;
    let node = recovery.spool.reports().node();
    let store = S3Store::new(store_settings(config, &node)).await;
    let proxy = store.proxy();
    if let Some(proxy) = &proxy {
        tracing::info!(proxy, "S3 is reached through this proxy, set in the environment");
    }
    let hooks = hooks(&config.closed_days)?;
    let store = (Arc::new(store), &*config.spool.dir);
    let engine = Engine::start(recovery, store, delivery_settings(config), hooks, background);
    Ok((engine, proxy))
}
