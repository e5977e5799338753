//! `forebay dev`: everything on one machine, without set-up.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use super::args::DevArgs;
use super::failure::Failure;
use super::{demo, dev_folders, say_beside};
use crate::admin::{self, AccessSettings};
use crate::batch::DueRule;
use crate::check::ports::here;
use crate::collector::bounds::CONNECTIONS_MAX;
use crate::collector::{CollectorSettings, Policy};
use crate::config::admin::is_loopback;
use crate::config::watch::{CHECK_EVERY, SETTLED_AFTER};
use crate::config::{self, Environment};
use crate::delivery::DeliverySettings;
use crate::destinations::settings::DestinationSettings;
use crate::dev_s3::{self, DevS3, DevS3Running, DevS3Settings};
use crate::ingest::IngestSettings;
use crate::live::Mode;
use crate::node::connections::fit_connections;
use crate::node::dev_sources::DevSources;
use crate::node::engine::{Engine, Outside};
use crate::node::equipment::NodeEquipment;
use crate::node::error::NodeError;
use crate::node::listeners::{Addresses, Bound};
use crate::node::recovery::Recovery;
use crate::node::running::{Ending, Node};
use crate::node::sdk_keys::{self, SdkKeys};
use crate::node::setup::{Setup, flag};
use crate::node::spool_dir::open_disk;
use crate::object::{BucketString, Destination, Encryption};
use crate::runtime::handles::{Fitted, Wanted};
use crate::runtime::{Background, Shutdown};
use crate::spool::SpoolOptions;
use crate::store::s3::{CredentialsFrom, S3Settings, S3Store};

/// How dev mode ends: without a drain delay, and with everything delivered.
const ENDING: Ending = Ending { deliver: true, drain_delay: Duration::ZERO, grace: Duration::from_secs(25) };

/// Runs until a signal ends it.
///
/// # Errors
/// [`Failure`].
pub async fn run(args: &DevArgs, background: &Background) -> Result<(), Failure> {
    let environment = Environment::of_process();
    let access = access(args, &environment)?;
    let destinations = destinations(args, &environment)?;
    let in_force = destinations.clone();
    let shutdown = Shutdown::new();
    let _signals = shutdown.listen()?;
    let (fitted, fewer_connections) = fit_connections(Wanted {
        connections: CONNECTIONS_MAX,
        admin: admin::server::CONNECTIONS_MAX,
        dev_s3: dev_s3::CONNECTIONS_MAX,
        put_targets: 1,
    })?;
    let outside = Outside::system();
    let listener = std::net::TcpListener::bind(args.s3_listen).map_err(|cause| NodeError::Listen {
        addr: args.s3_listen,
        purpose: "serve S3",
        cause,
    })?;
    let addresses = Addresses {
        public: args.listen,
        tls: None,
        admin: args.admin_listen,
        admin_hosts: Vec::new(),
        admin_connections: fitted.admin,
        access,
    };
    // All ports before anything is deleted: a second `dev` must not delete the data of the first.
    let bound = Bound::bind(&addresses)?;
    if args.reset {
        dev_folders::reset(&args.data_dir)?;
    }
    dev_folders::make(&args.data_dir)?;
    let settings = DevS3Settings {
        data_dir: args.data_dir.join("s3"),
        clock: Arc::clone(&outside.clock),
        random: Arc::clone(&outside.random),
        connections: fitted.dev_s3,
    };
    let s3 = DevS3::start(listener, settings).await?;
    let node = start(args, &outside, &s3, (bound, &addresses), fitted, background, destinations).await?;
    fewer_connections.iter().for_each(|warning| tracing::warn!("{warning}"));
    say_beside(format!(
        "collector http://{}\nconsole {}\ns3 {}\n{}",
        node.public,
        node.console,
        s3.url(),
        welcome(args, &node, &s3)
    ));
    let demo = args.demo.then(|| demo::start(node.public, shutdown.orderly.clone()));
    tokio::select! {
        () = shutdown.orderly.cancelled() => {}
        () = follow_file(args, &environment, &node, in_force) => {}
        reason = node.failed() => {
            tracing::error!(reason, "shutting down, so that a restart can recover");
            shutdown.orderly.cancel();
        }
    }
    let demo_ended = match demo {
        Some(demo) => demo.await,
        None => Ok(()),
    };
    let ended = node.end(ENDING, &shutdown).await;
    s3.stop().await?;
    demo_ended?;
    Ok(ended?)
}

/// Who may use the admin listener: everybody on this machine, unless there is a token.
fn access(args: &DevArgs, environment: &Environment) -> Result<AccessSettings, Failure> {
    let token = environment.admin_token().map_err(|problem| Failure::usage(problem.to_string()))?;
    if token.is_none() && !is_loopback(args.admin_listen) {
        return Err(Failure::usage(format!(
            "--admin-listen {}: other machines can reach this address, so the admin listener needs a token: make one with \
             `openssl rand -hex 24` and set it as FOREBAY_ADMIN_TOKEN in the environment",
            args.admin_listen
        )));
    }
    Ok(AccessSettings { token, live_view: Mode::Full, dev: true, ..AccessSettings::default() })
}

/// The destinations of the file that `--config` names.
fn destinations(args: &DevArgs, environment: &Environment) -> Result<Vec<DestinationSettings>, Failure> {
    let Some(path) = &args.config else { return Ok(Vec::new()) };
    let (destinations, unused) =
        config::destinations_of(path, environment).map_err(|error| Failure::usage(error.to_string()))?;
    if !unused.is_empty() {
        let unused = unused.join(", ");
        tracing::warn!(file = %path.display(), unused, "dev uses only the [[destination]]s of a configuration file");
    }
    Ok(destinations)
}

/// Applies changes of the destinations in the file that `--config` names, as long as the node runs.
async fn follow_file(
    args: &DevArgs,
    environment: &Environment,
    node: &Node,
    mut in_force: Vec<DestinationSettings>,
) {
    let (Some(path), Some(running)) = (&args.config, node.destinations()) else {
        return std::future::pending().await;
    };
    let mut reported = String::new();
    loop {
        tokio::time::sleep(CHECK_EVERY).await;
        let mut next = read_again(path, environment).await;
        // An editor may still be writing it.
        while next.as_ref().ok() != Some(&in_force) {
            tokio::time::sleep(SETTLED_AFTER).await;
            let before = std::mem::replace(&mut next, read_again(path, environment).await);
            if next == before {
                break;
            }
        }
        let set = match next {
            Ok(next) if next == in_force => {
                reported.clear();
                continue;
            }
            Ok(next) => {
                running.set(next.clone()).await.map(|()| in_force = next).map_err(|error| error.to_string())
            }
            Err(what) => Err(what),
        };
        match set {
            Ok(()) => tracing::info!(file = %path.display(), "the changed destinations are in force"),
            Err(what) if what == reported => {}
            Err(what) => {
                tracing::error!("the changed destinations are not in force: {what}");
                reported = what;
            }
        }
    }
}

async fn read_again(path: &Path, environment: &Environment) -> Result<Vec<DestinationSettings>, String> {
    let (path, environment) = (path.to_owned(), environment.clone());
    let read = tokio::task::spawn_blocking(move || config::destinations_of(&path, &environment)).await;
    match read {
        Ok(Ok((destinations, _))) => Ok(destinations),
        Ok(Err(error)) => Err(error.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

async fn start(
    args: &DevArgs,
    outside: &Outside,
    s3: &DevS3Running,
    (bound, addresses): (Bound, &Addresses),
    fitted: Fitted,
    background: &Background,
    destinations: Vec<DestinationSettings>,
) -> Result<Node, Failure> {
    let dir = args.data_dir.join("spool");
    let disk = open_disk(&dir, false)?;
    let store = S3Store::new(S3Settings {
        region: Some(dev_s3::REGION.to_owned()),
        endpoint_url: Some(s3.url()),
        path_style: true,
        credentials: CredentialsFrom::Static {
            access_key_id: dev_s3::ACCESS_KEY_ID.to_owned(),
            secret_access_key: dev_s3::SECRET_ACCESS_KEY.to_owned(),
        },
        ..S3Settings::default()
    })
    .await;
    let rule = DueRule { max_bytes: args.flush_bytes.0, max_age: args.flush_age.get(), align_minute: None };
    let settings = DeliverySettings::new(rule);
    let recovery = Recovery::run(outside.clone(), disk, SpoolOptions::default()).await?;
    let mut engine = Engine::start(recovery, (Arc::new(store), &dir), settings, None, background);
    // The functions are on AWS or on this machine: the credentials of the S3 beside them are for nothing else.
    let equipment = NodeEquipment {
        store: Arc::new(S3Store::new(S3Settings::default()).await),
        environment: Environment::of_process(),
        clock: Arc::clone(&outside.clock),
    };
    engine.destinations(destinations, Arc::new(equipment), fitted.functions).await?;
    let bucket = BucketString::parse(dev_s3::BUCKET)?;
    let destination = Destination {
        region: Some(dev_s3::REGION.to_owned()),
        ..Destination::new(bucket, Encryption::SseS3)
    };
    let sources = Arc::new(DevSources::new(engine.log(), destination));
    let ingest = engine.ingest(IngestSettings { receipts: args.receipts, ..IngestSettings::default() });
    let mut settings = CollectorSettings::default();
    settings.bounds.connections = fitted.connections;
    let importer = engine.importer(&ingest, &dir, Arc::clone(&sources) as _).await?;
    let node = engine.listen((ingest, &importer), settings, Policy::new(sources), bound, addresses)?;
    node.set_setup(Setup {
        spool_dir: Some(dir.display().to_string()),
        config: vec![
            flag("collector.listen", args.listen, "127.0.0.1:8080"),
            flag("collector.receipts", args.receipts, "false"),
            flag("admin.listen", args.admin_listen, "127.0.0.1:9180"),
            flag("admin.live_view", Mode::Full.slug(), Mode::Full.slug()),
            flag("flush.max_age", args.flush_age, "10 s"),
            flag("flush.max_bytes", args.flush_bytes, "100 MB"),
            flag("s3.bucket", dev_s3::BUCKET, dev_s3::BUCKET),
            flag("s3.endpoint_url", s3.url(), &s3.url()),
            flag("s3.region", dev_s3::REGION, dev_s3::REGION),
            flag("s3.encryption", Encryption::SseS3, "sse-s3"),
        ],
        sdk_place: sdk_keys::listening(node.public, false),
        sdk_keys: SdkKeys::Dev,
        dev: true,
    });
    Ok(node)
}

/// The next steps, ready to paste.
fn welcome(args: &DevArgs, node: &Node, s3: &DevS3Running) -> String {
    let (collector, console, s3) = (here(node.public), here(node.admin_addr), s3.url());
    let (id, secret, bucket) = (dev_s3::ACCESS_KEY_ID, dev_s3::SECRET_ACCESS_KEY, dev_s3::BUCKET);
    let age = &args.flush_age;
    format!(
        "
Send a first call:
  curl -u my-app: http://{collector}/v1/track -d '{{\"userId\":\"u1\",\"event\":\"Hello\",\"properties\":{{\"n\":1}}}}'

Point an SDK here (any write key is its own source):
  new Analytics({{ writeKey: 'my-app', host: 'http://{collector}' }})

After {age} (or now, with: forebay flush --admin http://{console}) the calls are objects. Download them:
  AWS_ACCESS_KEY_ID={id} AWS_SECRET_ACCESS_KEY={secret} AWS_DEFAULT_REGION={region} \\
    aws s3 sync s3://{bucket}/segment-logs ./segment-logs --endpoint-url {s3}
  find segment-logs -name '*.gz' | xargs zcat

Stop with Ctrl-C. The data stays in {data_dir}; to start empty, use --reset.",
        region = dev_s3::REGION,
        data_dir = args.data_dir.display(),
    )
}
