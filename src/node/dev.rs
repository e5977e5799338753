//! Dev mode: everything on one machine, without set-up.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::bucket_imports::{ImportPlan, ImportStores, OfNode, Puts};
use super::dev_sources::DevSources;
use super::engine::Engine;
use super::equipment::NodeEquipment;
use super::error::NodeError;
use super::jobs::jobs_api::JobsApi;
use super::jobs::served_tools::ServedTools;
use super::jobs::server::{JobsServer, ServerSettings};
use super::listeners::{Addresses, AdminAt, Bound, fit_connections};
use super::outside::Outside;
use super::recovery::Recovery;
use super::reload::{FILE, note_change};
use super::running::{Ending, Node};
use super::sdk_keys::{self, SdkKeys};
use super::settings::dev_store_settings;
use super::setup::{Setup, flag};
use super::spool_dir::open_disk;
use super::{demo, dev_folders};
use crate::admin::{self, AccessSettings};
use crate::batch::DueRule;
use crate::call::Limits;
use crate::collector::{Bounds, CollectorSettings, Policy};
use crate::config::watch::{CHECK_EVERY, SETTLED_AFTER};
use crate::config::{ByteSize, DevFile, Environment, ImportSettings, Period};
use crate::delivery::DeliverySettings;
use crate::dev_s3::{self, DevS3, DevS3Running, DevS3Settings};
use crate::ingest::IngestSettings;
use crate::jobs::job::folder::{JobsFolder, StateOption};
use crate::jobs::named_functions::NamedFunctions;
use crate::live::Mode;
use crate::object::{BucketString, Encryption, S3Location};
use crate::runtime::handles::{Fitted, Wanted};
use crate::runtime::{Background, Shutdown};
use crate::spool::SpoolOptions;
use crate::store::PutMode;
use crate::store::s3::{S3Settings, S3Store};
use crate::words::with_causes;

/// The end of dev mode: without a drain delay, and with everything delivered.
const ENDING: Ending = Ending { deliver: true, drain_delay: Duration::ZERO, grace: Duration::from_secs(25) };

/// Nobody chose how many connections dev mode has; if it has fewer than this, the log says so.
const CONNECTIONS_EXPECTED: usize = 500;
/// Jobs whose tasks run at once.
const ACTIVE_JOBS: usize = 1;
/// How long the invocations of jobs may take to end. Those that are abandoned are repeated at the next start.
const JOBS_GRACE: Duration = Duration::from_secs(10);

/// The settings of dev mode.
#[derive(Clone, Debug)]
pub struct DevSettings {
    /// Where calls are accepted.
    pub listen: SocketAddr,
    /// Where operators are served.
    pub admin_listen: SocketAddr,
    /// Where S3 is served.
    pub s3_listen: SocketAddr,
    /// The directory of the spool and the objects.
    pub data_dir: PathBuf,
    /// Whether the data of earlier runs is deleted first.
    pub reset: bool,
    /// The greatest age of the first call of a batch.
    pub flush_age: Period,
    /// The size of an object.
    pub flush_bytes: ByteSize,
    /// Whether answers to requests have receipts.
    pub receipts: bool,
    /// Who may do what at the admin listener.
    pub access: AccessSettings,
    /// The configuration file with the destinations. Its changes are followed.
    pub config: Option<PathBuf>,
    /// What that file has.
    pub file: DevFile,
    /// The environment, which has the secrets of destinations.
    pub environment: Environment,
    /// Whether sample calls are sent.
    pub demo: bool,
    /// What jobs invoke in place of functions of AWS Lambda.
    pub functions: NamedFunctions,
}

/// Where dev mode is reached.
#[derive(Clone, Copy, Debug)]
pub struct Started<'s> {
    /// The address for calls.
    pub public: SocketAddr,
    /// The address for operators.
    pub admin: SocketAddr,
    /// The console's address for a person.
    pub console: &'s str,
    /// The URL of its S3.
    pub s3: &'s str,
    /// What else there is to know about data that stays, after the name of their directory.
    pub beside_data: &'s str,
}

/// Runs dev mode until a signal ends it. `started` is called once, when the node accepts calls. Errors: [`NodeError`]: the node cannot start, or could not continue.
pub async fn run(
    dev: DevSettings,
    background: &Background,
    started: impl FnOnce(&Started<'_>),
) -> Result<(), NodeError> {
    let shutdown = Shutdown::new();
    let _signals = shutdown.listen()?;
    let (fitted, fewer_connections) = fit_connections(Wanted {
        connections: Bounds::default().connections,
        admin: admin::server::CONNECTIONS_MAX,
        dev_s3: dev_s3::CONNECTIONS_MAX,
        put_locations: 1,
    })?;
    let outside = Outside::system();
    let listener = std::net::TcpListener::bind(dev.s3_listen)
        .map_err(|cause| NodeError::Listen(dev.s3_listen, "serve S3", cause))?;
    let addresses = Addresses {
        public: dev.listen,
        tls: None,
        admin: AdminAt {
            listen: dev.admin_listen,
            hosts: Vec::new(),
            connections: fitted.admin,
            access: dev.access.clone(),
        },
    };
    // All ports are bound before anything is deleted: a second `dev` must not delete the data of the first.
    let bound = Bound::bind(&addresses)?;
    if dev.reset {
        dev_folders::reset(&dev.data_dir)?;
    }
    dev_folders::make(&dev.data_dir)?;
    let settings = DevS3Settings {
        data_dir: dev.data_dir.join("s3"),
        clock: Arc::clone(&outside.clock),
        random: Arc::clone(&outside.random),
        connections: fitted.dev_s3,
    };
    let api = Arc::new(JobsApi::new(Arc::clone(&outside.random)));
    let s3 = DevS3::start_with(listener, settings, Some(Arc::clone(&api) as _)).await?;
    let node = start(&dev, &outside, &s3, (bound, &addresses), fitted, background).await?;
    api.serve(jobs(&dev, &outside, &s3).await?).await;
    if fitted.connections < CONNECTIONS_EXPECTED {
        fewer_connections.iter().for_each(|warning| tracing::warn!("{warning}"));
    }
    let url = s3.url();
    let beside_data = "; to start empty, use --reset";
    let (public, admin, console) = (node.public, node.admin_addr, &*node.console);
    started(&Started { public, admin, console, s3: &url, beside_data });
    let demo = dev.demo.then(|| demo::start(node.public, shutdown.orderly.clone()));
    tokio::select! {
        () = shutdown.orderly.cancelled() => {}
        () = follow_file(&dev, &node) => {}
        reason = node.failed() => {
            tracing::error!(reason, "shutting down, so that a restart can recover");
            shutdown.orderly.cancel();
        }
    }
    let demo_ended = match demo {
        Some(demo) => demo.await,
        None => Ok(()),
    };
    // The functions may send calls to the node and use its S3.
    tokio::select! {
        () = api.stop() => {}
        () = tokio::time::sleep(JOBS_GRACE) => {
            tracing::warn!("invocations of jobs did not end in time; they are repeated at the next start");
        }
        () = shutdown.immediate.cancelled() => {}
    }
    let ended = node.end(ENDING, &shutdown).await;
    s3.stop().await?;
    demo_ended?;
    ended
}

/// The server of jobs, whose store is the S3 of dev mode.
async fn jobs(dev: &DevSettings, outside: &Outside, s3: &DevS3Running) -> Result<JobsServer, NodeError> {
    let store = Arc::new(S3Store::new(dev_store_settings(s3.url())).await);
    let settings = ServerSettings {
        folder: JobsFolder::open(&dev.data_dir).map_err(jobs_unusable)?.named(StateOption::of(&dev.data_dir)),
        active_jobs: ACTIVE_JOBS,
        region: dev_s3::REGION.to_owned(),
        tools: Arc::new(ServedTools::of_dev(dev.functions.clone(), store, &s3.url())),
        clock: Arc::clone(&outside.clock),
        random: Arc::clone(&outside.random),
        metrics: outside.metrics.clone(),
    };
    JobsServer::start(settings).await.map_err(jobs_unusable)
}

fn jobs_unusable(error: impl std::error::Error + 'static) -> NodeError {
    NodeError::Other(with_causes(&error))
}

/// Applies changes of the destinations and imports in the file of `--config`, as long as the node runs.
async fn follow_file(dev: &DevSettings, node: &Node) {
    let (Some(path), Some(running)) = (&dev.config, node.engine.view.destinations.get()) else {
        return std::future::pending().await;
    };
    let (environment, mut in_force) = (&dev.environment, dev.file.clone());
    let mut reported = String::new();
    loop {
        tokio::time::sleep(CHECK_EVERY).await;
        let mut next = read_again(path, environment).await;
        // An editor may still be writing the file.
        while next.as_ref().ok() != Some(&in_force) {
            tokio::time::sleep(SETTLED_AFTER).await;
            let before = std::mem::replace(&mut next, read_again(path, environment).await);
            if next == before {
                break;
            }
        }
        let set = match next {
            Ok(next) if next == in_force => {
                note_change(&node.engine.view.alarms, FILE, None);
                reported.clear();
                continue;
            }
            // The imports only if the destinations worked: what does not work is tried again as a whole.
            Ok(next) => match running.set(next.destinations.clone()).await {
                Ok(()) => {
                    node.set_imports(plans(&next.imports, &dev.data_dir));
                    in_force = next;
                    Ok(())
                }
                Err(error) => Err(error.to_string()),
            },
            Err(what) => Err(what),
        };
        match set {
            Ok(()) => {
                note_change(&node.engine.view.alarms, FILE, None);
                tracing::info!(file = %path.display(), "the changed destinations and imports are in force");
            }
            Err(what) if what == reported => {}
            Err(what) => {
                note_change(&node.engine.view.alarms, FILE, Some(&what));
                tracing::error!("the changed destinations are not in force, nor are changed imports: {what}");
                reported = what;
            }
        }
    }
}

async fn read_again(path: &Path, environment: &Environment) -> Result<DevFile, String> {
    let (path, environment) = (path.to_owned(), environment.clone());
    let read = tokio::task::spawn_blocking(move || DevFile::read(&path, &environment).map(|(file, _)| file));
    let read = read.await.map_err(|error| error.to_string())?;
    read.map_err(|error| error.to_string())
}

/// The imports, with the S3 of dev mode as their store.
fn plans(imports: &[ImportSettings], data_dir: &Path) -> Vec<ImportPlan> {
    let own = BucketString::parse(dev_s3::BUCKET).ok();
    let written: Vec<&BucketString> = own.iter().collect();
    let node = OfNode {
        dir: &data_dir.join("spool"),
        max_event: Limits::default().max_event,
        endpoint: None,
        written: &written,
        puts: Puts { encryption: Encryption::None, mode: PutMode::CreateOnly },
    };
    ImportPlan::all(imports, &node)
}

async fn start(
    dev: &DevSettings,
    outside: &Outside,
    s3: &DevS3Running,
    (bound, addresses): (Bound, &Addresses),
    fitted: Fitted,
    background: &Background,
) -> Result<Node, NodeError> {
    let dir = dev.data_dir.join("spool");
    let disk = open_disk(&dir, false)?;
    let store = S3Store::new(dev_store_settings(s3.url())).await;
    let rule = DueRule { max_bytes: dev.flush_bytes.0, max_age: dev.flush_age.get(), align_minute: None };
    let settings = DeliverySettings::new(rule);
    let recovery = Recovery::run(outside.clone(), disk, SpoolOptions::default()).await?;
    let mut engine = Engine::start(recovery, (Arc::new(store), &dir), settings, None, background);
    // The functions are on AWS or on this machine. The credentials of the S3 of dev mode are for nothing
    // else.
    let equipment = NodeEquipment {
        store: Arc::new(S3Store::new(S3Settings::default()).await),
        environment: dev.environment.clone(),
        clock: Arc::clone(&outside.clock),
    };
    engine.destinations(dev.file.destinations.clone(), Arc::new(equipment), fitted.functions).await?;
    let bucket = BucketString::parse(dev_s3::BUCKET).map_err(|error| NodeError::Other(error.to_string()))?;
    let location =
        S3Location { region: Some(dev_s3::REGION.to_owned()), ..S3Location::new(bucket, Encryption::SseS3) };
    let sources = Arc::new(DevSources::new(engine.spool.locations(), location));
    let ingest = engine.ingest(IngestSettings { receipts: dev.receipts, ..IngestSettings::default() });
    let mut settings = CollectorSettings::default();
    settings.bounds.connections = fitted.connections;
    let importer = engine.importer(&ingest, &dir, Arc::clone(&sources) as _).await?;
    let node = engine.listen((ingest, &importer), settings, Policy::new(sources), bound, addresses)?;
    _ = node.engine.view.dev_s3.set(s3.url());
    dev.config.iter().for_each(|path| node.engine.view.set_config_file(path));
    node.set_setup(Setup {
        spool_dir: Some(dir.display().to_string()),
        config: vec![
            flag("collector.listen", dev.listen, "127.0.0.1:8080"),
            flag("collector.receipts", dev.receipts, "false"),
            flag("admin.listen", dev.admin_listen, "127.0.0.1:9180"),
            flag("admin.live_view", Mode::Full.slug(), Mode::Full.slug()),
            flag("flush.max_age", dev.flush_age, "10 s"),
            flag("flush.max_bytes", dev.flush_bytes, "100 MB"),
            flag("s3.bucket", dev_s3::BUCKET, dev_s3::BUCKET),
            flag("s3.endpoint_url", s3.url(), &s3.url()),
            flag("s3.region", dev_s3::REGION, dev_s3::REGION),
            flag("s3.encryption", Encryption::SseS3, "sse-s3"),
        ],
        sdk_address: sdk_keys::listening(node.public, false),
        sdk_keys: SdkKeys::Dev,
        dev: true,
    });
    let own = Arc::clone(&node.engine.store);
    let stores = ImportStores { own, settings: S3Settings::default() };
    node.start_imports(node.engine.imports_deps(&importer, stores));
    node.set_imports(plans(&dev.file.imports, &dev.data_dir));
    Ok(node)
}
