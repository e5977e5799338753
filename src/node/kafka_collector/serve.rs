//! Runs a collector with a configuration, and applies changes of the file.

use std::net::SocketAddr;

use super::{CollectorParts, KafkaCollector};
use crate::admin;
use crate::config::{Config, Loaded, Loader};
use crate::kafka::appender::Spreads;
use crate::node::error::NodeError;
use crate::node::kafka_process::{Changes, settings, take_over, telling};
use crate::node::listeners::{Addresses, Bound, fit_connections};
use crate::node::outside::Outside;
use crate::node::reload::{TLS_FILES, note_change, setup_at};
use crate::node::settings::{access, admin_at, collector_settings, ingest_settings, policy};
use crate::runtime::handles::Wanted;
use crate::runtime::{Shutdown, shutdown};

/// Runs until a signal ends it. `started` is called once, when calls are accepted.
/// Errors: [`NodeError`]: the collector cannot start, or could not continue.
pub async fn run(
    (loader, loaded): (Loader, Loaded),
    started: impl FnOnce(Option<SocketAddr>, &str),
) -> Result<(), NodeError> {
    let shutdown = Shutdown::new();
    let _signals = shutdown.listen()?;
    let (hangups, _hangup_listener) = shutdown::hangups()?;
    let outside = Outside::system();
    let collector = start(&loaded.config, &outside)?;
    collector.set_setup(setup_at(&loaded, Some(collector.public), collector.tls));
    started(Some(collector.public), &collector.console);
    if let Some(tls) = collector.tls {
        tracing::info!(addr = %tls, "accepting calls over TLS");
    }
    let _telling = telling(&loaded.config, collector.alarms(), &outside)?;
    let mut changes = Changes::follow(loader, &loaded, hangups.clone(), collector.alarms());
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
            Some(new) = changes.changed.recv() => {
                current = take_over(collector.alarms(), current, new, |next| apply(&collector, next));
            }
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
        admin: admin_at(config, fitted.admin),
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

fn spreads(config: &Config) -> Spreads {
    let spread = config.sources.iter().filter(|source| source.spread > 1);
    spread.map(|source| (source.id.clone(), source.spread)).collect()
}

/// Puts a changed configuration into force.
fn apply(collector: &KafkaCollector, next: &Loaded) {
    let config = &next.config;
    collector.reload(policy(config), spreads(config), access(config));
    collector.set_setup(setup_at(next, Some(collector.public), collector.tls));
}
