//! Compares a new configuration with the running one. Pure.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use crate::destinations::settings::DestinationSettings;
use crate::sources::SourceId;
use crate::words::first_few;

use super::admin::is_loopback;
use super::checked::{Admin, Config};
use super::import_settings::ImportSettings;
use super::s3::S3;
use super::sources::Source;

/// The most source ids shown in one log line.
const NAMES_SHOWN_MAX: usize = 20;

/// The differences. Sources, their settings, destinations, imports and admin access change at run time; other
/// settings need a restart.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// New sources.
    pub added: Vec<SourceId>,
    /// Removed sources. Their buffered calls still go to the old bucket.
    pub removed: Vec<SourceId>,
    /// Sources with another bucket, prefix, region, encryption, role, owner or storage class.
    pub retargeted: Vec<SourceId>,
    /// Sources with changed write keys.
    pub rekeyed: Vec<SourceId>,
    /// Sources whose calls go over another number of partitions.
    pub respread: Vec<SourceId>,
    /// Destinations that are new, removed or have other settings.
    pub destinations: Vec<SourceId>,
    /// Imports that are new, removed or have other settings.
    pub imports: Vec<SourceId>,
    /// Whether the answer to unknown write keys changed.
    pub unknown_key: bool,
    /// Dotted names of changed settings of who may use the admin listener, and for what.
    pub access: Vec<&'static str>,
    /// Dotted names of changed settings that take effect at the next start.
    pub needs_restart: Vec<&'static str>,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// The changes in one line for the log.
impl fmt::Display for Changes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Shortened, so that the log line stays short.
        let parts = [
            ("sources added", &self.added),
            ("sources removed", &self.removed),
            ("sources with a changed bucket", &self.retargeted),
            ("sources with changed write keys", &self.rekeyed),
            ("sources with a changed spread", &self.respread),
            ("destinations changed", &self.destinations),
            ("imports changed", &self.imports),
        ];
        let some = parts.into_iter().filter(|(_, names)| !names.is_empty());
        let mut said: Vec<String> =
            some.map(|(what, names)| format!("{what}: {}", first_few(names, NAMES_SHOWN_MAX))).collect();
        if self.unknown_key {
            said.push("collector.unknown_key changed".to_owned());
        }
        if !self.access.is_empty() {
            said.push(format!("changed: {}", self.access.join(", ")));
        }
        if !self.needs_restart.is_empty() {
            said.push(format!("taking effect at the next start: {}", self.needs_restart.join(", ")));
        }
        f.write_str(if said.is_empty() { "nothing changed" } else { "" })?;
        f.write_str(&said.join("; "))
    }
}

/// Compares the configuration in force with a new one.
pub fn diff(old: &Config, new: &Config) -> Changes {
    let (before, after, next) = (by_id(old), by_id(new), in_force(old, new));
    let mut changes = Changes {
        added: after.keys().filter(|id| !before.contains_key(*id)).copied().cloned().collect(),
        removed: before.keys().filter(|id| !after.contains_key(*id)).copied().cloned().collect(),
        unknown_key: old.collector.accept_unknown_key != new.collector.accept_unknown_key,
        destinations: destinations(old, new),
        imports: imports(old, &next),
        access: access(&old.admin, &next.admin),
        needs_restart: needs_restart(old, new),
        ..Changes::default()
    };
    for (id, to) in after {
        let Some(from) = before.get(id) else { continue };
        if from.location != to.location {
            changes.retargeted.push(id.clone());
        }
        if from.spread != to.spread {
            changes.respread.push(id.clone());
        }
        // The order of write keys has no meaning.
        let same_keys = from.write_keys.len() == to.write_keys.len()
            && from.write_keys.iter().all(|key| to.write_keys.contains(key));
        if !same_keys {
            changes.rekeyed.push(id.clone());
        }
    }
    changes
}

fn by_id(config: &Config) -> BTreeMap<&SourceId, &Source> {
    config.sources.iter().map(|source| (&source.id, source)).collect()
}

/// The configuration in force after a reload: sources and the settings they are made of, destinations,
/// imports unless they wait for the restart, and admin access, from `new`; the rest from `old`.
pub fn in_force(old: &Config, new: &Config) -> Config {
    let mut config = old.clone();
    config.sources.clone_from(&new.sources);
    config.destinations.clone_from(&new.destinations);
    if !keeps_imports(old, new) {
        config.imports.clone_from(&new.imports);
    }
    config.collector.accept_unknown_key = new.collector.accept_unknown_key;
    let admin = &new.admin;
    (config.admin.metrics_without_token, config.admin.live_view) =
        (admin.metrics_without_token, admin.live_view);
    if !keeps_tokens(old, new) {
        (config.admin.token, config.admin.read_token) = (admin.token, admin.read_token);
    }
    config.s3 = S3 {
        bucket: new.s3.bucket.clone(),
        region: new.s3.region.clone(),
        encryption: new.s3.encryption.clone(),
        role_arn: new.s3.role_arn.clone(),
        external_id: new.s3.external_id.clone(),
        expected_bucket_owner: new.s3.expected_bucket_owner.clone(),
        storage_class: new.s3.storage_class,
        ..config.s3
    };
    config
}

fn destinations(old: &Config, new: &Config) -> Vec<SourceId> {
    let changed = |config: &Config, other: &Config| -> Vec<SourceId> {
        let other = |destination: &&DestinationSettings| !other.destinations.contains(destination);
        config.destinations.iter().filter(other).map(|destination| destination.name.clone()).collect()
    };
    let names: BTreeSet<SourceId> = changed(old, new).into_iter().chain(changed(new, old)).collect();
    names.into_iter().collect()
}

fn imports(old: &Config, new: &Config) -> Vec<SourceId> {
    let changed = |config: &Config, other: &Config| -> Vec<SourceId> {
        let other = |import: &&ImportSettings| !other.imports.contains(import);
        config.imports.iter().filter(other).map(|import| import.name.clone()).collect()
    };
    let names: BTreeSet<SourceId> = changed(old, new).into_iter().chain(changed(new, old)).collect();
    names.into_iter().collect()
}

/// Whether the tokens in force stay so: the listener is still open to other machines, and the new
/// configuration, which moves it to loopback, has none.
fn keeps_tokens(old: &Config, new: &Config) -> bool {
    new.admin.token.is_none() && !is_loopback(old.admin.listen)
}

/// Whether the imports in force stay so: the new ones are made for settings that wait for the restart.
fn keeps_imports(old: &Config, new: &Config) -> bool {
    old.s3.endpoint != new.s3.endpoint || old.collector.max_event != new.collector.max_event
}

fn access(old: &Admin, new: &Admin) -> Vec<&'static str> {
    let changed = [
        ("admin.token", old.token != new.token),
        ("admin.read_token", old.read_token != new.read_token),
        ("admin.metrics_without_token", old.metrics_without_token != new.metrics_without_token),
        ("admin.live_view", old.live_view != new.live_view),
    ];
    changed.into_iter().filter(|(_, changed)| *changed).map(|(name, _)| name).collect()
}

fn needs_restart(old: &Config, new: &Config) -> Vec<&'static str> {
    let mut names = Vec::new();
    if keeps_tokens(old, new) {
        names.push("admin.token");
        names.extend((old.admin.read_token != new.admin.read_token).then_some("admin.read_token"));
    }
    if keeps_imports(old, new) && old.imports != new.imports {
        names.push("import");
    }
    if old.kafka != new.kafka {
        names.push("kafka");
    }
    macro_rules! key {
        ($field:ident) => {
            stringify!($field)
        };
        ($field:ident as $key:literal) => {
            $key
        };
    }
    macro_rules! compare {
        ($($section:ident: $($field:ident $(as $key:literal)?),+;)+) => {
            $($(if old.$section.$field != new.$section.$field {
                names.push(concat!(stringify!($section), ".", key!($field $(as $key)?)));
            })+)+
        };
    }
    compare! {
        collector: listen, tls as "tls_listen, tls_cert or tls_key", max_body, max_event, max_connections,
            calls_per_second, drain_delay, validation, accept_bearer, client_libraries, trusted_proxies,
            allowed_origins, private_network, public_host, path_prefix, receipts;
        admin: listen, allowed_hosts;
        spool: dir, max_bytes, segment_bytes, node, unsafe_filesystem,
            stop_on_corruption as "on_corruption", dedupe_window;
        s3: endpoint as "endpoint_url", path_style, fips, dual_stack, sts_endpoint as "sts_endpoint_url",
            kms_endpoint as "kms_endpoint_url", request_payer, bucket_owner_full_control as "acl", object_tags,
            content_encoding, checksums, put;
        flush: max_bytes, max_age, align, on_shutdown, shutdown_grace;
        closed_days: webhook, command, timeout;
        alarm: webhook, form as "form or routing_key";
    }
    names
}
