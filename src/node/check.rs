//! Checks a configuration, with what a node with this configuration would use.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinError;

use super::error::NodeError;
use super::settings::{alarm_webhook, node_name, store_settings};
use crate::check::{
    self, CheckReport, Load, LocationUnderCheck, Port, Reach, Settings, Shape, SpoolSettings, TlsSettings,
};
use crate::config::admin::is_loopback;
use crate::config::{Config, Endpoint, KafkaRole};
use crate::hook::Notice;
use crate::object::{ExternalId, RoleArn};
use crate::runtime::SystemClock;
use crate::sources::SourceId;
use crate::store::s3::{Checksums, S3Settings, S3Store, Timeouts};
use crate::time::Clock as _;
use crate::words::counted;

/// Why nothing can be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// The configuration has no such source.
    #[error("the configuration has no source {0}")]
    NoSource(SourceId),
    /// A check panicked.
    #[error(transparent)]
    Task(#[from] JoinError),
    /// The webhook of alarms cannot be used.
    #[error(transparent)]
    Webhook(Box<NodeError>),
}

/// Checks a configuration; of the buckets only that of `source`, if one is named. `timeout` is the time
/// limit of each attempt, and `load` the expected load. `progress` is called with the number of buckets
/// that were checked, and the number of all. Errors: [`CheckError`]: no check is possible. A failed check
/// is in the report.
pub async fn check(
    config: &Config,
    source: Option<&SourceId>,
    timeout: Duration,
    load: Load,
    progress: fn(usize, usize),
) -> Result<CheckReport, CheckError> {
    let node = node_name(config);
    let defaults = Timeouts::default();
    let timeouts = Timeouts { connect: defaults.connect.min(timeout), attempt: timeout, ..defaults };
    let store = S3Store::new(S3Settings { timeouts, ..store_settings(config, &node) }).await;
    let settings = settings(config, node, source, (timeout, load))?;
    Ok(check::run(settings, store, Arc::new(SystemClock::new()), progress).await?)
}

/// Sends a test to the web address that is told of alarms. Errors: [`CheckError`]: it cannot be sent at all.
pub async fn test_alarms(config: &Config) -> Result<CheckReport, CheckError> {
    let webhook = alarm_webhook(&config.alarm).map_err(|error| CheckError::Webhook(Box::new(error)))?;
    let to = webhook.as_ref().map_or_else(String::new, |to| to.webhook.to_string());
    let sent = match &webhook {
        Some(to) => Some(to.post(&Notice::test(&node_name(config), SystemClock::new().wall())).await),
        None => None,
    };
    Ok(check::alarm_test(&to, config.alarm.form.name(), sent))
}

/// What a configuration alone says, on any machine: nothing is asked, opened or bound.
/// Errors: [`CheckError`]: there is no such source.
pub fn check_offline(
    config: &Config,
    source: Option<&SourceId>,
    load: Load,
) -> Result<CheckReport, CheckError> {
    let settings = settings(config, node_name(config), source, (Duration::ZERO, load))?;
    let counts = [
        (config.sources.len(), "source", "sources"),
        (config.destinations.len(), "destination", "destinations"),
        (config.imports.len(), "import", "imports"),
    ];
    let counts = counts.map(|(count, one, many)| counted(count as u64, one, many));
    let needs_token = !is_loopback(config.admin.listen) && config.admin.token.is_none();
    Ok(check::offline(&settings, &counts.join(", "), needs_token.then_some(config.admin.listen)))
}

fn settings(
    config: &Config,
    node: String,
    source: Option<&SourceId>,
    (timeout, load): (Duration, Load),
) -> Result<Settings, CheckError> {
    let role = config.kafka.as_ref().map(|kafka| kafka.role);
    // The file of a collector may have the buckets, too: it does not use them.
    let has_buckets = role != Some(KafkaRole::Collector);
    let sources = config.sources.iter().filter(|known| source.is_none_or(|source| *source == known.id));
    let known_source = sources.clone().next().is_some();
    let sources = sources.filter(|_| has_buckets);
    let locations: Vec<LocationUnderCheck> =
        check::locations(sources.filter_map(|source| Some((source.id.clone(), source.location.clone()?))));
    if let (false, Some(source)) = (known_source, source) {
        return Err(CheckError::NoSource(source.clone()));
    }
    let url = |endpoint: &Option<Endpoint>| endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned());
    let reach = Reach {
        endpoint_url: url(&config.s3.endpoint),
        sts_endpoint_url: url(&config.s3.sts_endpoint),
        kms_endpoint_url: url(&config.s3.kms_endpoint),
        checksums: config.s3.checksums == Checksums::Auto,
        put: config.s3.put,
        content_encoding: config.s3.content_encoding,
        tags: config.s3.object_tags,
        acl: config.s3.bucket_owner_full_control,
    };
    let spool = role.is_none().then(|| SpoolSettings {
        dir: config.spool.dir.clone(),
        max_bytes: config.spool.max_bytes,
        segment_bytes: config.spool.segment_bytes,
        unsafe_filesystem: config.spool.unsafe_filesystem,
    });
    let tls =
        config.collector.tls.as_ref().filter(|_| role != Some(KafkaRole::Writer)).map(|tls| TlsSettings {
            cert: tls.cert.clone(),
            key: tls.key.clone(),
            public_host: config.collector.public_host.clone(),
        });
    let mut external_ids: BTreeMap<RoleArn, BTreeSet<ExternalId>> = BTreeMap::new();
    for role in config.locations().filter_map(|location| location.role.as_ref()) {
        external_ids.entry(role.arn.clone()).or_default().insert(role.external_id.clone());
    }
    Ok(Settings {
        reach,
        locations,
        external_ids,
        session: store_settings(config, &node).session_name,
        node,
        request_payer: config.s3.request_payer,
        timeout,
        spool,
        tls,
        ports: ports(config),
        load,
        shape: shape(config),
    })
}

fn ports(config: &Config) -> Vec<Port> {
    let tls = config.collector.tls.as_ref().map(|tls| tls.listen);
    // The collector's plain listener must come first: `run::listening` uses it to recognise the TLS listener.
    let named = [
        ("listen", "collector.listen", Some(config.collector.listen), false),
        ("tls_listen", "collector.tls_listen", tls, true),
        ("admin_listen", "admin.listen", Some(config.admin.listen), false),
    ];
    let is_writer = config.kafka.as_ref().is_some_and(|kafka| kafka.role == KafkaRole::Writer);
    // A writer takes no calls.
    let named = named.into_iter().filter(|(check, ..)| !is_writer || *check == "admin_listen");
    named.filter_map(|(check, setting, addr, tls)| Some(Port { check, setting, addr: addr?, tls })).collect()
}

fn shape(config: &Config) -> Shape {
    Shape {
        encryptions: config.locations().map(|location| location.encryption.clone()).collect(),
        object_bytes: config.flush.max_bytes,
        max_age_seconds: config.flush.max_age.as_secs(),
        spool_bytes: config.spool.max_bytes,
        disk_bytes: None,
        segment_bytes: config.spool.segment_bytes,
    }
}
