//! Dev mode with a log over Kafka: a collector and two writers in one process, as they run on several machines.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::dev::{DevSettings, Started};
use super::dev_kafka_view::DevKafkaView;
use super::dev_sources::DevSources;
use super::error::NodeError;
use super::kafka_collector::intake::{Intake, IntakeParts};
use super::kafka_process::{Operators, TRANSACTION_TIMEOUT};
use super::listeners::{Addresses, AdminAt, Bound, fit_connections};
use super::outside::Outside;
use super::sdk_keys::{self, SdkKeys};
use super::settings::dev_store_settings;
use super::setup::{Setup, flag};
use super::writer::process::{WriterParts, Writers};
use super::{demo, dev_folders};
use crate::admin;
use crate::alarms::Alarms;
use crate::batch::DueRule;
use crate::collector::{Bounds, CollectorSettings, Policy};
use crate::delivery::DeliverySettings;
use crate::dev_s3::{self, DevS3, DevS3Running, DevS3Settings};
use crate::ingest::IngestSettings;
use crate::kafka::create::{CreateDeps, NotCreated, Outcome, Wanted as WantedTopics, create};
use crate::kafka::settings::Settings;
use crate::live::Mode;
use crate::object::{BucketString, Encryption, S3Location};
use crate::partition::days::GRACE;
use crate::partition::destinations::Buckets;
use crate::runtime::handles::Wanted;
use crate::runtime::{Background, Shutdown};
use crate::store::s3::S3Store;
use crate::words::with_causes;

/// The name of the log. No other process should use it.
const NAME: &str = "forebay-dev";
/// Partitions of a log that is made. One that is there keeps its own.
const PARTITIONS: u32 = 4;
/// Bytes of the cache of each writer.
const CACHE_BYTES: u64 = 2_000_000_000;
/// How long a request waits for the brokers.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// How long the end may take, after the last answer.
const DELIVER_WITHIN: Duration = Duration::from_secs(25);

/// Runs dev mode until a signal ends it. `started` is called once, when calls are accepted.
/// Errors: [`NodeError`]: it cannot start, or could not continue.
pub async fn run(
    dev: DevSettings,
    brokers: String,
    background: &Background,
    started: impl FnOnce(&Started<'_>),
) -> Result<(), NodeError> {
    let shutdown = Shutdown::new();
    let _signals = shutdown.listen()?;
    let (fitted, _) = fit_connections(Wanted {
        connections: Bounds::default().connections,
        admin: admin::server::CONNECTIONS_MAX,
        dev_s3: dev_s3::CONNECTIONS_MAX,
        put_locations: 1,
    })?;
    let outside = Outside::system();
    let listener = std::net::TcpListener::bind(dev.s3_listen)
        .map_err(|cause| NodeError::Listen(dev.s3_listen, "serve S3", cause))?;
    let admin = AdminAt {
        listen: dev.admin_listen,
        hosts: Vec::new(),
        connections: fitted.admin,
        access: dev.access.clone(),
    };
    let addresses = Addresses { public: dev.listen, tls: None, admin };
    // All ports are bound before anything is made, so that a second `dev` notices the first.
    let Bound { public, tls, admin } = Bound::bind(&addresses)?;
    dev_folders::make(&dev.data_dir)?;
    let kafka = settings(brokers);
    topics(&kafka, &outside).await?;
    let s3 = DevS3Settings {
        data_dir: dev.data_dir.join("s3"),
        clock: Arc::clone(&outside.clock),
        random: Arc::clone(&outside.random),
        connections: fitted.dev_s3,
    };
    let s3 = DevS3::start_with(listener, s3, None).await?;
    let alarms = Arc::new(Alarms::new(Arc::clone(&outside.clock), Arc::new(outside.metrics.clone())));
    let mut collector = CollectorSettings::default();
    collector.bounds.connections = fitted.connections;
    let parts = IntakeParts {
        kafka: kafka.clone(),
        answer_within: ANSWER_WITHIN,
        spreads: [].into(),
        ingest: IngestSettings { receipts: dev.receipts, ..IngestSettings::default() },
        collector,
        policy: Policy::new(Arc::new(DevSources::of_collector())),
    };
    let intake = Intake::start(parts, (public, tls), &outside, &alarms)?;
    let live = Arc::clone(&intake.view.live);
    live.set_mode(Mode::Full);
    let parts = writer_parts(&dev, &kafka, &s3, background).await?;
    let writers = Writers::start(parts, &outside, &alarms, Some(Arc::clone(&live)))?;
    let view =
        Arc::new(DevKafkaView { intake: Arc::clone(&intake.view), writers: Arc::clone(&writers.view) });
    let operators = Operators::serve(view as _, Some(live), (admin, &addresses.admin), &outside, &alarms)?;
    let setup = setup(&dev, &kafka, &intake, &s3);
    writers.view.set_setup(setup.clone());
    intake.set_setup(setup);
    let (url, console) = (s3.url(), operators.console.clone());
    let beside_data = ", and calls that are not in an object yet in Kafka";
    let (public, admin) = (intake.public, operators.address);
    started(&Started { public, admin, console: &console, s3: &url, beside_data });
    let demo = dev.demo.then(|| demo::start(intake.public, shutdown.orderly.clone()));
    let mut ending = alarms.ending();
    let failed = tokio::select! {
        () = shutdown.orderly.cancelled() => None,
        reason = writers.failed() => Some(reason),
        reason = ending.wait_for(Option::is_some) => reason.ok().and_then(|reason| reason.clone()),
    };
    if let Some(reason) = &failed {
        tracing::error!(reason, "shutting down, so that a restart can recover");
        shutdown.orderly.cancel();
    }
    let demo_ended = match demo {
        Some(demo) => demo.await,
        None => Ok(()),
    };
    let taken = intake.end(Duration::ZERO, &shutdown).await;
    let ended = match failed {
        Some(reason) => Err(NodeError::Other(reason)),
        None => writers.end(DELIVER_WITHIN, &shutdown).await,
    };
    operators.end().await?;
    s3.stop().await?;
    demo_ended?;
    taken.and(ended)
}

fn settings(brokers: String) -> Settings {
    Settings {
        brokers,
        name: NAME.to_owned(),
        group: format!("{NAME}-writers"),
        topic: format!("{NAME}-calls"),
        notes_topic: format!("{NAME}-notes"),
        transaction_timeout: TRANSACTION_TIMEOUT,
        more: Vec::new(),
    }
}

/// Makes the topics that are missing, with one copy of each partition.
async fn topics(kafka: &Settings, outside: &Outside) -> Result<Outcome, NodeError> {
    let (kafka, clock, random) = (kafka.clone(), Arc::clone(&outside.clock), Arc::clone(&outside.random));
    let makes = move |partitions| {
        let wanted = WantedTopics { partitions, replication: 1, new_log: false };
        let deps = CreateDeps { clock: Arc::clone(&clock), random: Arc::clone(&random) };
        create(&kafka, wanted, deps, &mut |step| tracing::info!(?step, "the topics of the log are made"))
    };
    // Its calls wait for brokers.
    let made = tokio::task::spawn_blocking(move || match makes(PARTITIONS) {
        Err(NotCreated::Fewer { has }) => makes(has),
        made => made,
    });
    made.await?.map_err(|error| NodeError::Other(with_causes(&error).to_string()))
}

async fn writer_parts(
    dev: &DevSettings,
    kafka: &Settings,
    s3: &DevS3Running,
    background: &Background,
) -> Result<WriterParts, NodeError> {
    let bucket = BucketString::parse(dev_s3::BUCKET).map_err(|error| NodeError::Other(error.to_string()))?;
    let location =
        S3Location { region: Some(dev_s3::REGION.to_owned()), ..S3Location::new(bucket, Encryption::SseS3) };
    let rule = DueRule { max_bytes: dev.flush_bytes.0, max_age: dev.flush_age.get(), align_minute: None };
    Ok(WriterParts {
        kafka: kafka.clone(),
        instance: None,
        day_grace: GRACE,
        cache_dirs: cache_dirs(dev),
        cache_bytes: CACHE_BYTES,
        store: Arc::new(S3Store::new(dev_store_settings(s3.url())).await),
        proxy: None,
        delivery: DeliverySettings::new(rule),
        hook: None,
        buckets: Buckets { of: [].into(), others: Some(location) },
        background: background.handle().clone(),
    })
}

/// The folder of each writer. What is in them is only a cache.
fn cache_dirs(dev: &DevSettings) -> Vec<PathBuf> {
    ["writer-1", "writer-2"].iter().map(|name| dev.data_dir.join("kafka").join(name)).collect()
}

fn setup(dev: &DevSettings, kafka: &Settings, intake: &Intake, s3: &DevS3Running) -> Setup {
    Setup {
        spool_dir: None,
        config: vec![
            flag("collector.listen", dev.listen, "127.0.0.1:8080"),
            flag("collector.receipts", dev.receipts, "false"),
            flag("admin.listen", dev.admin_listen, "127.0.0.1:9180"),
            flag("flush.max_age", dev.flush_age, "10 s"),
            flag("flush.max_bytes", dev.flush_bytes, "100 MB"),
            flag("kafka.brokers", &kafka.brokers, &kafka.brokers),
            flag("kafka.name", NAME, NAME),
            flag("s3.bucket", dev_s3::BUCKET, dev_s3::BUCKET),
            flag("s3.endpoint_url", s3.url(), &s3.url()),
            flag("s3.region", dev_s3::REGION, dev_s3::REGION),
            flag("s3.encryption", Encryption::SseS3, "sse-s3"),
        ],
        sdk_address: sdk_keys::listening(intake.public, false),
        sdk_keys: SdkKeys::Dev,
        dev: true,
    }
}
