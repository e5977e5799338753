//! `forebay serve`: runs the collector with forebay.toml.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use tokio::sync::{Mutex, mpsc};
use tokio_util::task::AbortOnDropHandle;

use super::args::ServeArgs;
use super::equipment::NodeEquipment;
use super::failure::Failure;
use super::import_sources::Configured;
use super::node::{Addresses, Bound, Ending, Engine, Node, Outside, Recovery, fit_connections, open_disk};
use super::say_beside;
use super::sdk_keys::{self, SdkKeys};
use super::setup::Setup;
use crate::admin::{self, AccessSettings};
use crate::alarms::AlarmKind;
use crate::batch::DueRule;
use crate::call::{ClientLibraries, Limits};
use crate::collector::{Bounds, CollectorSettings, Policy, TlsFiles};
use crate::config::{
    Acl, AllowedOrigins, Checksums, ClosedDays, Config, ConfigError, ConfigValue, Environment, Loaded,
    Loader, OnCorruption, Watcher, reload,
};
use crate::delivery::days::closed_day::DayHook;
use crate::delivery::settings::encoders_for;
use crate::delivery::{self, DeliverySettings};
use crate::destinations::runner::CommandError;
use crate::disk::real_disk::RealDisk;
use crate::hook::{Command, Hooks, Webhook};
use crate::import::Importer;
use crate::ingest::IngestSettings;
use crate::log::Log;
use crate::object::Destination;
use crate::planted_bugs::{PlantedPanic, panic_if_planted};
use crate::runtime::handles::Wanted;
use crate::runtime::{Background, Shutdown, SystemClock, shutdown};
use crate::sources::SourceId;
use crate::spool::{SEEN_MAX, SpoolOptions};
use crate::store::s3::{self, S3Settings, S3Store};
use crate::tasks;

/// A hint if the configuration file is missing.
const NO_FILE: &str =
    "\n  use --config for another file; to try Forebay without a configuration: forebay dev";

/// Runs until a signal ends it.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: &ServeArgs, background: &Background) -> Result<(), Failure> {
    let (loader, loaded) = load(&args.config)?;
    let shutdown = Shutdown::new();
    let _signals = shutdown.listen()?;
    let (hangups, _hangup_listener) = shutdown::hangups()?;
    let (node, importer) = start(&loaded, background).await?;
    say_beside(format!("collector http://{}\nconsole {}", node.public, node.console));
    if let Some(tls) = node.tls {
        tracing::info!(addr = %tls, "accepting calls over TLS");
    }
    let (new, mut changed) = mpsc::channel(1);
    let _watching = {
        let watcher = Arc::new(Mutex::new(Watcher::new(loader, &loaded, hangups.clone())));
        let start = move || watch(Arc::clone(&watcher), new.clone());
        AbortOnDropHandle::new(tokio::spawn(tasks::keep(
            Arc::clone(node.alarms()),
            "configuration watcher",
            start,
        )))
    };
    let mut tls_hangups = hangups;
    let mut current = loaded;
    loop {
        tokio::select! {
            () = shutdown.orderly.cancelled() => break,
            reason = node.failed() => {
                tracing::error!(reason, "shutting down, so that a restart can recover");
                break;
            }
            Some(new) = changed.recv() => {
                let before = current.config.destinations.clone();
                current = take_over_caught(&node, &importer, current, new);
                if current.config.destinations != before
                    && let Err(error) = set_destinations(&node, &current).await
                {
                    tracing::error!("the changed destinations are not in force, reload once more (SIGHUP): {error}");
                    current.config.destinations = before;
                }
            }
            Ok(()) = tls_hangups.changed() => {
                if let Err(error) = node.collector().reload_tls() {
                    tracing::error!(%error, "the changed TLS files cannot be used; the previous ones stay in use");
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

/// Sends each change of the configuration.
async fn watch(watcher: Arc<Mutex<Watcher>>, new: mpsc::Sender<Result<Loaded, ConfigError>>) {
    let mut watcher = watcher.lock().await;
    loop {
        panic_if_planted(PlantedPanic::ConfigWatcher);
        if new.send(watcher.next().await).await.is_err() {
            return;
        }
    }
}

/// Reads the configuration, and logs its warnings.
///
/// # Errors
/// [`Failure`] with all problems: exit code 2.
pub(super) fn load(path: &Path) -> Result<(Loader, Loaded), Failure> {
    let loader = Loader::new(path, Environment::of_process());
    let loaded = loader.load().map_err(|error| {
        let hint = if path.exists() { "" } else { NO_FILE };
        Failure::usage(format!("{error}{hint}"))
    })?;
    loaded.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    Ok((loader, loaded))
}

async fn start(loaded: &Loaded, background: &Background) -> Result<(Node, Arc<Importer>), Failure> {
    let config = &loaded.config;
    let (fitted, fewer_connections) = fit_connections(Wanted {
        connections: config.collector.max_connections,
        admin: admin::server::CONNECTIONS_MAX,
        dev_s3: 0,
        put_targets: delivery::put_targets(config.sources.iter().map(|source| &source.destination)),
    })?;
    let disk = open_disk(&config.spool.dir, !config.spool.unsafe_filesystem)?;
    fewer_connections.iter().for_each(|warning| tracing::warn!("{warning}"));
    let (mut engine, proxy) = engine(config, disk, background).await?;
    let equipment = NodeEquipment {
        store: Arc::clone(engine.store()),
        environment: Environment::of_process(),
        clock: Arc::new(SystemClock::new()),
    };
    engine.destinations(config.destinations.clone(), Arc::new(equipment), fitted.functions).await?;
    let addresses = Addresses {
        public: config.collector.listen,
        tls: config.collector.tls.as_ref().map(|tls| tls.listen),
        admin: config.admin.listen,
        admin_hosts: config.admin.allowed_hosts.clone(),
        admin_connections: fitted.admin,
        access: access(config),
    };
    let ingest = engine.ingest(ingest_settings(config));
    let mut settings = collector_settings(config);
    settings.bounds.connections = fitted.connections;
    let bound = Bound::bind(&addresses)?;
    let importer = engine.importer(&ingest, &config.spool.dir, Arc::new(Configured::new(config))).await?;
    let node = engine.listen((ingest, &importer), settings, policy(config), bound, &addresses)?;
    proxy.into_iter().for_each(|proxy| node.set_proxy(proxy));
    node.set_setup(setup(loaded, &node));
    node.set_configured(config.sources.iter().map(|source| source.id.clone()).collect());
    Ok((node, importer))
}

/// How the node was started, for its operator.
fn setup(loaded: &Loaded, node: &Node) -> Setup {
    let config = &loaded.config;
    let shown = |value: ConfigValue| admin::ConfigValue {
        name: value.name,
        value: value.value,
        from: value.from.name().to_owned(),
    };
    Setup {
        spool_dir: Some(config.spool.dir.display().to_string()),
        config: loaded.values().into_iter().map(shown).collect(),
        sdk_place: sdk_keys::place(&config.collector, node.public, node.tls),
        sdk_keys: SdkKeys::of(&config.sources),
        dev: false,
    }
}

/// Opens the spool on `disk` and starts delivery. The second value is the proxy that S3 is reached through.
pub(super) async fn engine(
    config: &Config,
    disk: RealDisk,
    background: &Background,
) -> Result<(Engine, Option<String>), Failure> {
    let recovery = Recovery::run(Outside::system(), disk, spool_options(config)).await?;
    // Before anything is delivered: objects sealed by an earlier process are put as configured now.
    note_destinations(&*recovery.log(), config)?;
    let node = recovery.log().node();
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

/// The hooks that are notified of closed days.
pub(super) fn hooks(config: &ClosedDays) -> Result<Option<Arc<dyn DayHook>>, Failure> {
    let webhook = config.webhook.as_ref().map(|to| Webhook::new(to.uri().clone())).transpose();
    let webhook = webhook.map_err(|error| {
        Failure::failed(format!(
            "closed_days.webhook: the system's trusted certificates cannot be read: {error}"
        ))
    })?;
    let command = Command::new(&config.command);
    if webhook.is_none() && command.is_none() {
        return Ok(None);
    }
    Ok(Some(Arc::new(Hooks::new(webhook, command, config.timeout))))
}

/// How this node connects to the store.
pub(super) fn store_settings(config: &Config, node: &str) -> S3Settings {
    S3Settings {
        region: config.s3.region.clone(),
        endpoint_url: config.s3.endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned()),
        path_style: config.s3.path_style,
        checksums: match config.s3.checksums {
            Checksums::Auto => s3::Checksums::Auto,
            Checksums::WhenRequired => s3::Checksums::WhenRequired,
        },
        fips: config.s3.fips,
        dual_stack: config.s3.dual_stack,
        sts_endpoint_url: config.s3.sts_endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned()),
        session_name: format!("forebay-{node}"),
        bucket_owner_full_control: config.s3.acl == Some(Acl::BucketOwnerFullControl),
        request_payer: config.s3.request_payer,
        ..S3Settings::default()
    }
}

/// The options of the spool.
pub(super) fn spool_options(config: &Config) -> SpoolOptions {
    SpoolOptions {
        max_bytes: config.spool.max_bytes,
        segment_bytes: config.spool.segment_bytes,
        dedupe_window: config.spool.dedupe_window,
        dedupe_max: if config.spool.dedupe_window.is_zero() { 0 } else { SEEN_MAX },
        node: config.spool.node.as_ref().map(|node| node.as_str().to_owned()),
        stop_on_corruption: config.spool.on_corruption == OnCorruption::Stop,
        ..SpoolOptions::default()
    }
}

/// The settings of delivery.
pub(super) fn delivery_settings(config: &Config) -> DeliverySettings {
    let rule = DueRule {
        max_bytes: config.flush.max_bytes,
        max_age: config.flush.max_age,
        align_minute: config.flush.align.map(|minute| minute.get()),
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    DeliverySettings {
        encoders: encoders_for(cores),
        put_mode: config.s3.put,
        content_encoding: config.s3.content_encoding.header().is_some(),
        tags: config.s3.object_tags,
        ..DeliverySettings::new(rule)
    }
}

/// The settings of intake.
pub(super) fn ingest_settings(config: &Config) -> IngestSettings {
    let collector = &config.collector;
    IngestSettings {
        limits: Limits {
            max_event: collector.max_event,
            validation: collector.validation,
            ..Limits::default()
        },
        client_libraries: ClientLibraries::new(collector.client_libraries.clone()),
        calls_per_second: collector.calls_per_second,
        receipts: collector.receipts,
    }
}

fn collector_settings(config: &Config) -> CollectorSettings {
    let collector = &config.collector;
    CollectorSettings {
        max_body: collector.max_body,
        bounds: Bounds::default(),
        tls: collector.tls.as_ref().map(|tls| TlsFiles { cert: tls.cert.clone(), key: tls.key.clone() }),
    }
}

fn access(config: &Config) -> AccessSettings {
    let admin = &config.admin;
    AccessSettings {
        token: admin.token,
        read_token: admin.read_token,
        metrics_without_token: admin.metrics_without_token,
        live_view: admin.live_view,
        dev: false,
    }
}

fn policy(config: &Config) -> Policy {
    let collector = &config.collector;
    Policy {
        sources: Arc::new(config.configured_sources()),
        trusted_proxies: collector.trusted_proxies.clone(),
        allowed_origins: match &collector.allowed_origins {
            AllowedOrigins::Any => None,
            AllowedOrigins::Only(origins) => Some(origins.clone()),
        },
        public_host: collector.public_host.clone(),
        route_prefix: collector.path_prefix.clone(),
        accept_bearer: collector.accept_bearer,
        private_network: collector.private_network,
    }
}

fn note_destinations(log: &dyn Log, config: &Config) -> Result<(), Failure> {
    let wanted = || config.sources.iter().map(|source| (source.id.clone(), source.destination.clone()));
    let same_place = |(source, to): &(SourceId, Destination)| {
        log.current_destination(source).is_some_and(|noted| noted.bucket == to.bucket)
    };
    let staying: BTreeSet<SourceId> = wanted().filter(same_place).map(|(source, _)| source).collect();
    for source in log.set_destinations(wanted().collect())? {
        if staying.contains(&source) {
            tracing::info!(%source, "the settings of the source's destination have changed; they apply to waiting objects, too");
        } else {
            tracing::info!(%source, "the source's destination has changed; earlier calls are delivered to the old destination now");
        }
    }
    Ok(())
}

/// Like [`take_over`], but a panic has no effect: the running configuration stays in force.
fn take_over_caught(
    node: &Node,
    importer: &Importer,
    current: Loaded,
    new: Result<Loaded, ConfigError>,
) -> Loaded {
    const TASK: &str = "configuration";
    let before = current.clone();
    match catch_unwind(AssertUnwindSafe(|| take_over(node, importer, current, new))) {
        Ok(in_force) => {
            node.alarms().clear(AlarmKind::Task, TASK);
            in_force
        }
        Err(_panic) => {
            let what = "the reload of the configuration panicked; this is a bug in Forebay, and the log shows the panic; the \
                        running configuration stays in force, but parts of the changed one may have been applied";
            node.alarms().raise(AlarmKind::Task, TASK, what.to_owned());
            before
        }
    }
}

async fn set_destinations(node: &Node, current: &Loaded) -> Result<(), CommandError> {
    match node.destinations() {
        Some(destinations) => destinations.set(current.config.destinations.clone()).await,
        None => Ok(()),
    }
}

/// Applies a new configuration, as far as possible while running. Returns the configuration in force.
fn take_over(node: &Node, importer: &Importer, current: Loaded, new: Result<Loaded, ConfigError>) -> Loaded {
    let loaded = match new {
        Ok(loaded) => loaded,
        Err(error) => {
            tracing::error!(
                "the changed configuration cannot be used, the running one stays in force: {error}"
            );
            return current;
        }
    };
    let changes = reload::diff(&current.config, &loaded.config);
    if changes.is_empty() {
        return current;
    }
    let after = current.after_reload(loaded);
    let next = &after.config;
    panic_if_planted(PlantedPanic::TakeOver);
    // Destinations are recorded before the first frame for them can arrive, and none of them is forgotten in between.
    let ids = |config: &Config| config.sources.iter().map(|source| source.id.clone()).collect();
    node.keep_sources(ids(next));
    if let Err(failure) = note_destinations(&*node.log(), next) {
        tracing::error!("the changed configuration is not applied: {failure}");
        node.set_configured(ids(&current.config));
        return current;
    }
    node.collector().reload(policy(next));
    node.set_access(access(next));
    importer.set_sources(Arc::new(Configured::new(next)));
    node.set_configured(ids(next));
    node.set_setup(setup(&after, node));
    tracing::info!("configuration reloaded: {changes}");
    after
}
