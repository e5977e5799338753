//! Runs a writer with a configuration, and applies changes of the file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::process::{KafkaWriter, WriterParts};
use crate::admin;
use crate::config::{Config, Kafka, Loaded, Loader};
use crate::delivery;
use crate::node::error::NodeError;
use crate::node::kafka_process::{Changes, settings, take_over, telling};
use crate::node::listeners::fit_connections;
use crate::node::outside::Outside;
use crate::node::reload::setup_at;
use crate::node::settings::{access, admin_at, delivery_settings, hooks, store_settings};
use crate::object::S3Location;
use crate::runtime::handles::Wanted;
use crate::runtime::{Background, Shutdown, shutdown};
use crate::sources::SourceId;
use crate::store::s3::S3Store;

/// Runs until a signal ends it, or it has failed. `started` is called once, when it has joined the group.
/// Errors: [`NodeError`]: the writer cannot start, or could not continue. Then a call of the library may hang, and
/// the process must end.
pub async fn run(
    (loader, loaded): (Loader, Loaded),
    background: &Background,
    started: impl FnOnce(Option<SocketAddr>, &str),
) -> Result<(), NodeError> {
    let shutdown = Shutdown::new();
    let _signals = shutdown.listen()?;
    let (hangups, _hangup_listener) = shutdown::hangups()?;
    let outside = Outside::system();
    let writer = start(&loaded.config, background, &outside).await?;
    writer.set_setup(setup_at(&loaded, None, None));
    started(None, &writer.console);
    let _telling = telling(&loaded.config, writer.alarms(), &outside)?;
    let mut changes = Changes::follow(loader, &loaded, hangups, writer.alarms());
    let mut current = loaded;
    let failed = loop {
        tokio::select! {
            () = shutdown.orderly.cancelled() => break None,
            reason = writer.failed() => break Some(reason),
            Some(new) = changes.changed.recv() => {
                current = take_over(writer.alarms(), current, new, |next| apply(&writer, next));
            }
        }
    };
    if let Some(reason) = failed {
        tracing::error!(reason, "the process ends, so that other writers own its partitions");
        return Err(NodeError::Other(reason));
    }
    let flush = &current.config.flush;
    let deliver = if flush.on_shutdown { flush.shutdown_grace } else { Duration::ZERO };
    writer.end(deliver, &shutdown).await
}

async fn start(
    config: &Config,
    background: &Background,
    outside: &Outside,
) -> Result<KafkaWriter, NodeError> {
    let of_kafka = config.kafka.as_ref().and_then(|kafka| Some((kafka, kafka.cache_dir.clone()?)));
    let Some((kafka, cache_dir)) = of_kafka else {
        return Err(NodeError::Other("the configuration has no [kafka] with a cache_dir".to_owned()));
    };
    let (fitted, _) = fit_connections(Wanted {
        connections: 0,
        admin: admin::server::CONNECTIONS_MAX,
        dev_s3: 0,
        put_locations: delivery::put_locations(config.locations()),
    })?;
    let at = admin_at(config, fitted.admin);
    // The port is bound before anything is joined or removed, so that a second process notices the first.
    let listener = at.bind()?;
    let store = S3Store::new(store_settings(config, &kafka.name)).await;
    let proxy = store.proxy();
    if let Some(proxy) = &proxy {
        tracing::info!(proxy, "S3 is reached through this proxy, set in the environment");
    }
    let Kafka { instance, day_grace, cache_bytes, .. } = kafka.clone();
    let parts = WriterParts {
        kafka: settings(kafka),
        instance,
        day_grace,
        cache_dir,
        cache_bytes,
        store: Arc::new(store),
        proxy,
        delivery: delivery_settings(config),
        hook: hooks(&config.closed_days)?,
        locations: locations(config),
        background: background.handle().clone(),
        admin: at,
    };
    KafkaWriter::start(parts, listener, outside)
}

/// The bucket of each source.
fn locations(config: &Config) -> BTreeMap<SourceId, S3Location> {
    let of = config.sources.iter().filter_map(|source| Some((source.id.clone(), source.location.clone()?)));
    of.collect()
}

/// Puts a changed configuration into force.
fn apply(writer: &KafkaWriter, next: &Loaded) {
    writer.reload(locations(&next.config), access(&next.config));
    writer.set_setup(setup_at(next, None, None));
}
