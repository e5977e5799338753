//! Makes the settings of the rooms of a node from a configuration.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use super::error::NodeError;
use super::listeners::AdminAt;
use crate::admin::AccessSettings;
use crate::batch::DueRule;
use crate::call::{ClientLibraries, Limits};
use crate::collector::{Bounds, CollectorSettings, Policy, TlsFiles};
use crate::config::{AlarmSettings, ClosedDays, Config, WebAddress};
use crate::delivery::settings::encoders_for;
use crate::delivery::{DayHook, DeliverySettings};
#[cfg(feature = "dev")]
use crate::dev_s3;
use crate::hook::{AlarmWebhook, Command, Hooks, Webhook};
use crate::ingest::IngestSettings;
use crate::object::BucketString;
use crate::spool::{SEEN_MAX, SpoolOptions};
#[cfg(feature = "dev")]
use crate::store::s3::CredentialsFrom;
use crate::store::s3::S3Settings;

/// The node id in the names of test objects, if neither the configuration nor the spool has one.
const NODE: &str = "check";
/// The most bytes of an IDENT file that are read.
const IDENT_MAX: usize = 4_096;

/// The hooks that are notified of closed days.
/// Errors: [`NodeError`] if the system's certificates cannot be read.
pub fn hooks(config: &ClosedDays) -> Result<Option<Arc<dyn DayHook>>, NodeError> {
    let webhook = webhook_of("closed_days.webhook", config.webhook.as_ref())?;
    let command = Command::new(&config.command);
    if webhook.is_none() && command.is_none() {
        return Ok(None);
    }
    Ok(Some(Arc::new(Hooks::new(webhook, command, config.timeout))))
}

/// The web address that is told of alarms, if there is one.
/// Errors: [`NodeError`] if the system's certificates cannot be read.
pub fn alarm_webhook(config: &AlarmSettings) -> Result<Option<Arc<AlarmWebhook>>, NodeError> {
    let webhook = webhook_of("alarm.webhook", config.webhook.as_ref())?;
    Ok(webhook.map(|webhook| Arc::new(AlarmWebhook { webhook, form: config.form.clone() })))
}

fn webhook_of(setting: &str, to: Option<&WebAddress>) -> Result<Option<Webhook>, NodeError> {
    to.map(|to| Webhook::new(to.uri().clone())).transpose().map_err(|error| {
        NodeError::Other(format!("{setting}: the system's trusted certificates cannot be read: {error}"))
    })
}

/// The settings of this node's connection to the store.
pub fn store_settings(config: &Config, node: &str) -> S3Settings {
    #[cfg(feature = "dev")]
    if let Some(endpoint) = &config.dev_s3 {
        return dev_store_settings(endpoint.as_str().to_owned());
    }
    S3Settings {
        region: config.s3.region.clone(),
        endpoint_url: config.s3.endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned()),
        path_style: config.s3.path_style,
        checksums: config.s3.checksums,
        fips: config.s3.fips,
        dual_stack: config.s3.dual_stack,
        sts_endpoint_url: config.s3.sts_endpoint.as_ref().map(|endpoint| endpoint.as_str().to_owned()),
        session_name: format!("forebay-{node}"),
        bucket_owner_full_control: config.s3.bucket_owner_full_control,
        request_payer: config.s3.request_payer,
        ..S3Settings::default()
    }
}

/// The bucket that calls go to in dev mode; `None` for other configurations.
pub(super) fn bucket_of_dev(config: &Config) -> Option<BucketString> {
    #[cfg(feature = "dev")]
    let bucket = config.dev_s3.as_ref().and_then(|_| BucketString::parse(dev_s3::BUCKET).ok());
    #[cfg(not(feature = "dev"))]
    let bucket = config.dev_s3.as_ref().and(None);
    bucket
}

/// The settings of a connection to the S3 of dev mode at this URL.
#[cfg(feature = "dev")]
pub(super) fn dev_store_settings(url: String) -> S3Settings {
    S3Settings {
        region: Some(dev_s3::REGION.to_owned()),
        endpoint_url: Some(url),
        path_style: true,
        credentials: CredentialsFrom::Static {
            access_key_id: dev_s3::ACCESS_KEY_ID.to_owned(),
            secret_access_key: dev_s3::SECRET_ACCESS_KEY.to_owned(),
        },
        ..S3Settings::default()
    }
}

/// The options of the spool.
pub fn spool_options(config: &Config) -> SpoolOptions {
    SpoolOptions {
        max_bytes: config.spool.max_bytes,
        segment_bytes: config.spool.segment_bytes,
        dedupe_window: config.spool.dedupe_window,
        dedupe_max: if config.spool.dedupe_window.is_zero() { 0 } else { SEEN_MAX },
        node: config.spool.node.clone(),
        stop_on_corruption: config.spool.stop_on_corruption,
        ..SpoolOptions::default()
    }
}

/// The settings of delivery.
pub fn delivery_settings(config: &Config) -> DeliverySettings {
    let rule = DueRule {
        max_bytes: config.flush.max_bytes,
        max_age: config.flush.max_age,
        align_minute: config.flush.align,
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    DeliverySettings {
        encoders: encoders_for(cores),
        put_mode: config.s3.put,
        content_encoding: config.s3.content_encoding,
        tags: config.s3.object_tags,
        ..DeliverySettings::new(rule)
    }
}

/// The settings of intake.
pub fn ingest_settings(config: &Config) -> IngestSettings {
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

pub(super) fn collector_settings(config: &Config) -> CollectorSettings {
    let collector = &config.collector;
    CollectorSettings {
        max_body: collector.max_body,
        bounds: Bounds::default(),
        tls: collector.tls.as_ref().map(|tls| TlsFiles { cert: tls.cert.clone(), key: tls.key.clone() }),
    }
}

/// The listener for operators, with at most so many connections.
pub(super) fn admin_at(config: &Config, connections: usize) -> AdminAt {
    AdminAt {
        listen: config.admin.listen,
        hosts: config.admin.allowed_hosts.clone(),
        connections,
        access: access(config),
    }
}

pub(super) fn access(config: &Config) -> AccessSettings {
    let admin = &config.admin;
    AccessSettings {
        token: admin.token,
        read_token: admin.read_token,
        metrics_without_token: admin.metrics_without_token,
        live_view: admin.live_view,
        dev: false,
    }
}

pub(super) fn policy(config: &Config) -> Policy {
    let collector = &config.collector;
    Policy {
        sources: Arc::new(config.configured_sources()),
        trusted_proxies: collector.trusted_proxies.clone(),
        allowed_origins: collector.allowed_origins.clone(),
        public_host: collector.public_host.clone(),
        route_prefix: collector.path_prefix.clone(),
        accept_bearer: collector.accept_bearer,
        private_network: collector.private_network,
    }
}

/// The node id that the collector would choose, as far as it is known without opening the spool.
pub(super) fn node_name(config: &Config) -> String {
    let set = config.spool.node.clone();
    set.or_else(|| node_of_spool(&config.spool.dir)).unwrap_or_else(|| NODE.to_owned())
}

/// The node id of the spool in `dir`. The lock of a running collector is ignored, because the file never
/// changes.
fn node_of_spool(dir: &Path) -> Option<String> {
    #[derive(serde::Deserialize)]
    struct Ident {
        spool_id: String,
    }
    ["IDENT", "IDENT.copy"].iter().find_map(|name| {
        let bytes = fs::read(dir.join(name)).ok().filter(|bytes| bytes.len() <= IDENT_MAX)?;
        let ident: Ident = serde_json::from_slice(&bytes).ok()?;
        let node = ident.spool_id.get(..8)?;
        node.bytes().all(|b| b.is_ascii_hexdigit()).then(|| node.to_owned())
    })
}
