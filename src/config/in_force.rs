//! The configuration in force, as names and values for an operator to read. Secrets are hidden.

use std::collections::BTreeMap;
use std::fmt::Display;

use crate::destinations::settings::{AtLambda, DestinationSettings, ExternalIds, FunctionsAt};
use crate::time::whole_millis;
use crate::words::rfc3339;

use crate::hook::NoticeForm;

use super::checked::Config;
use super::import_settings::ImportSettings;
use super::imports::{ON_CHANGE, ON_MISSING};
use super::problem::SettingPlace;
use super::raw::{DESTINATION_KEYS, IMPORT_KEYS, Raw};
use super::sources::Source;
use super::units::{ByteSize, Period};
use super::values::{self as setting, Words};

/// The most sources whose values are listed.
pub(super) const SOURCES_LISTED_MAX: usize = 200;

/// What stands for a secret that is set.
const HIDDEN: &str = "(hidden)";
/// What stands for a value that is not set and has no default.
const NOT_SET: &str = "(not set)";

/// A setting in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigValue {
    /// The dotted name, such as `flush.max_age` or `source.web.bucket`.
    pub name: String,
    /// The value as a file would have it, texts without quotes; `(hidden)` or `(not set)`.
    pub value: String,
    /// Where it is from.
    pub from: Origin,
}

closed_list! {
    /// Where a value is from.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Origin by name {
        /// Nobody set it.
        Default = "default",
        /// The configuration file.
        File = "file",
        /// The environment.
        Environment = "environment",
    }
}

/// Where the values of a configuration are from, by dotted name. Values that are not in it are defaults.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Origins(BTreeMap<String, Origin>);

impl Origins {
    pub(super) fn of(raw: &Raw) -> Self {
        let origin = |place: &SettingPlace| match place {
            SettingPlace::Variable(_) => Origin::Environment,
            SettingPlace::Line(_) | SettingPlace::Nowhere => Origin::File,
        };
        let tables = raw.tables().chain(raw.sources.iter().take(SOURCES_LISTED_MAX));
        let tables = tables.chain(&raw.destinations).chain(&raw.imports);
        let settings = tables.flat_map(|table| {
            table
                .entries
                .iter()
                .map(move |(key, entry)| (format!("{}.{key}", table.name), origin(&entry.place)))
        });
        Self(settings.collect())
    }

    fn origin(&self, name: &str) -> Origin {
        self.0.get(name).copied().unwrap_or(Origin::Default)
    }
}

/// Every setting of every section, in their order, and then those of the first sources and of all
/// destinations and imports.
pub(super) fn values(config: &Config, origins: &Origins) -> Vec<ConfigValue> {
    let value = |(name, shown): (String, Option<String>)| ConfigValue {
        from: origins.origin(&name),
        value: shown.unwrap_or_else(|| NOT_SET.to_owned()),
        name,
    };
    let settings = of_sections(config).into_iter().map(|(name, shown)| (name.to_owned(), shown));
    let sources = config.sources.iter().take(SOURCES_LISTED_MAX).flat_map(|source| {
        of_source(source).into_iter().map(move |(key, shown)| (format!("source.{}.{key}", source.id), shown))
    });
    let destinations = config.destinations.iter().flat_map(|destination| {
        let keys = DESTINATION_KEYS.iter().filter(|key| **key != "name");
        keys.map(move |key| {
            (format!("destination.{}.{key}", destination.name), of_destination(destination, key))
        })
    });
    let imports = config.imports.iter().flat_map(|import| {
        let keys = IMPORT_KEYS.iter().filter(|key| **key != "name");
        keys.map(move |key| (format!("import.{}.{key}", import.name), of_import(import, key)))
    });
    settings.chain(sources).chain(destinations).chain(imports).map(value).collect()
}

/// Where the values are from after a reload that put `next` into force: a setting that differs from the new
/// configuration waits for a restart, and its value is still from where the old one was.
pub(super) fn origins_after_reload(
    (old, from_old): (&Config, &Origins),
    next: &Config,
    (new, from_new): (&Config, &Origins),
) -> Origins {
    let by_name = |config: &Config, origins: &Origins| -> BTreeMap<String, ConfigValue> {
        values(config, origins).into_iter().map(|value| (value.name.clone(), value)).collect()
    };
    let (old, new) = (by_name(old, from_old), by_name(new, from_new));
    let origin = |value: ConfigValue| {
        let waits = new.get(&value.name).is_some_and(|new| new.value != value.value);
        let kept = if waits { old.get(&value.name) } else { new.get(&value.name) };
        Some((value.name, kept?.from))
    };
    Origins(values(next, from_new).into_iter().filter_map(origin).collect())
}

/// The name and the value of each setting of the sections. The address and the arguments of hooks may hold
/// tokens.
fn of_sections(config: &Config) -> Vec<(&'static str, Option<String>)> {
    let Config { collector, admin, spool, s3, flush, closed_days, alarm, .. } = config;
    let tls = collector.tls.as_ref();
    let tags = [("source", s3.object_tags.source), ("day", s3.object_tags.day)];
    let tags: Vec<&str> = tags.into_iter().filter(|(_, on)| *on).map(|(tag, _)| tag).collect();
    let command = match closed_days.command.split_first() {
        Some((program, [_, ..])) => Some(format!("[{program:?}, {HIDDEN}]")),
        _ => list(&closed_days.command),
    };
    vec![
        ("collector.listen", text(collector.listen)),
        ("collector.tls_listen", tls.map(|tls| tls.listen.to_string())),
        ("collector.tls_cert", tls.map(|tls| tls.cert.display().to_string())),
        ("collector.tls_key", tls.map(|tls| tls.key.display().to_string())),
        ("collector.max_body", bytes(collector.max_body as u64)),
        ("collector.max_event", bytes(collector.max_event as u64)),
        ("collector.max_connections", text(collector.max_connections)),
        ("collector.calls_per_second", collector.calls_per_second.and_then(text)),
        ("collector.drain_delay", period(collector.drain_delay)),
        ("collector.validation", word_of(setting::VALIDATION, collector.validation)),
        ("collector.unknown_key", word_of(setting::UNKNOWN_KEY, collector.accept_unknown_key)),
        ("collector.accept_bearer", text(collector.accept_bearer)),
        ("collector.client_libraries", list(&collector.client_libraries)),
        ("collector.trusted_proxies", list(&collector.trusted_proxies)),
        ("collector.allowed_origins", list_or_all(collector.allowed_origins.as_deref())),
        ("collector.private_network", text(collector.private_network)),
        ("collector.public_host", collector.public_host.clone()),
        ("collector.path_prefix", collector.path_prefix.clone()),
        ("collector.receipts", text(collector.receipts)),
        ("admin.listen", text(admin.listen)),
        ("admin.allowed_hosts", list(&admin.allowed_hosts)),
        ("admin.token", admin.token.and_then(|_| word(HIDDEN))),
        ("admin.read_token", admin.read_token.and_then(|_| word(HIDDEN))),
        ("admin.metrics_without_token", text(admin.metrics_without_token)),
        ("admin.live_view", word(admin.live_view.slug())),
        ("spool.dir", text(spool.dir.display())),
        ("spool.max_bytes", bytes(spool.max_bytes)),
        ("spool.segment_bytes", bytes(spool.segment_bytes)),
        ("spool.node", spool.node.clone()),
        ("spool.unsafe_filesystem", text(spool.unsafe_filesystem)),
        ("spool.on_corruption", word_of(setting::ON_CORRUPTION, spool.stop_on_corruption)),
        ("spool.dedupe_window", period(spool.dedupe_window)),
        ("s3.bucket", s3.bucket.as_ref().and_then(text)),
        ("s3.region", s3.region.clone()),
        ("s3.endpoint_url", s3.endpoint.as_ref().and_then(text)),
        ("s3.path_style", text(s3.path_style)),
        ("s3.fips", text(s3.fips)),
        ("s3.dual_stack", text(s3.dual_stack)),
        ("s3.sts_endpoint_url", s3.sts_endpoint.as_ref().and_then(text)),
        ("s3.kms_endpoint_url", s3.kms_endpoint.as_ref().and_then(text)),
        ("s3.role_arn", s3.role_arn.as_ref().and_then(text)),
        ("s3.external_id", s3.external_id.as_ref().and_then(text)),
        ("s3.expected_bucket_owner", s3.expected_bucket_owner.as_ref().and_then(text)),
        ("s3.request_payer", text(s3.request_payer)),
        ("s3.acl", word_of(setting::ACL, s3.bucket_owner_full_control)),
        ("s3.encryption", text(&s3.encryption)),
        ("s3.storage_class", s3.storage_class.and_then(text)),
        ("s3.object_tags", list(&tags)),
        ("s3.content_encoding", word_of(setting::CONTENT_ENCODING, s3.content_encoding)),
        ("s3.checksums", word_of(setting::CHECKSUMS, s3.checksums)),
        ("s3.put", word_of(setting::PUT, s3.put)),
        ("flush.max_bytes", bytes(flush.max_bytes)),
        ("flush.max_age", period(flush.max_age)),
        ("flush.align", flush.align.map(|minute| format!(":{minute:02}"))),
        ("flush.on_shutdown", text(flush.on_shutdown)),
        ("flush.shutdown_grace", period(flush.shutdown_grace)),
        ("closed_days.webhook", closed_days.webhook.as_ref().and_then(|_| word(HIDDEN))),
        ("closed_days.command", command),
        ("closed_days.timeout", period(closed_days.timeout)),
        ("alarm.webhook", alarm.webhook.as_ref().and_then(|_| word(HIDDEN))),
        ("alarm.form", word(alarm.form.name())),
        ("alarm.routing_key", matches!(alarm.form, NoticeForm::PagerDuty { .. }).then(|| HIDDEN.to_owned())),
    ]
}

/// What is in force for a source, whether it or `[s3]` sets it.
fn of_source(source: &Source) -> Vec<(&'static str, Option<String>)> {
    let to = source.location.as_ref();
    let role = to.and_then(|to| to.role.as_ref());
    vec![
        ("write_keys", text(format_args!("{HIDDEN}: {}", source.write_keys.len()))),
        ("bucket", to.and_then(|to| text(&to.bucket))),
        ("region", to.and_then(|to| to.region.clone())),
        ("encryption", to.and_then(|to| text(&to.encryption))),
        ("role_arn", role.and_then(|role| text(&role.arn))),
        ("external_id", role.and_then(|role| text(&role.external_id))),
        ("expected_bucket_owner", to.and_then(|to| text(to.expected_bucket_owner.as_ref()?))),
        ("storage_class", to.and_then(|to| text(to.storage_class?))),
    ]
}

fn of_destination(destination: &DestinationSettings, key: &str) -> Option<String> {
    let batch = destination.batch;
    match key {
        "type" => word(destination.functions_at.kind()),
        "enabled" => text(true),
        "sources" => list_or_all(destination.selection.sources.as_deref()),
        "timeout" => period(destination.timeout),
        "concurrency" => text(destination.concurrency),
        "max_age" => period(destination.max_age),
        "max_queue" => bytes(destination.max_queue),
        "retry_execution_errors" => text(destination.retry_execution_errors),
        "respect_integrations" => text(destination.selection.respect_integrations),
        "order_by" => word_of(setting::ORDER_BY, destination.in_order),
        "mode" => word_of(setting::MODE, batch.is_some()),
        "batch_max_calls" => batch.and_then(|batch| text(batch.calls)),
        "batch_max_bytes" => batch.and_then(|batch| bytes(batch.bytes as u64)),
        _ => match &destination.functions_at {
            FunctionsAt::Lambda(lambda) => of_lambda(lambda, destination, key),
            FunctionsAt::Url(_) if key == "url" => word(HIDDEN),
            FunctionsAt::Forward { to, .. } if key == "forward" => text(to),
            FunctionsAt::Forward { .. } if key == "write_key" => word(HIDDEN),
            FunctionsAt::Url(_) | FunctionsAt::Forward { .. } => None,
        },
    }
}

fn of_lambda(lambda: &AtLambda, destination: &DestinationSettings, key: &str) -> Option<String> {
    let selection = &destination.selection;
    match key {
        "function" => selection.function.clone(),
        "functions" => inline_table(&selection.functions),
        "region" => lambda.region.clone(),
        "role_arn" => lambda.role.as_ref().and_then(text),
        "external_id" => match &lambda.external_ids {
            ExternalIds::OneForAll(id) => text(id),
            ExternalIds::OfSources(ids) => inline_table(ids),
        },
        "log_type" => word_of(setting::LOG_TYPE, lambda.log_tail),
        "invocation" => word_of(setting::INVOCATION, lambda.invocation),
        "max_payload" => bytes(lambda.payload_max as u64),
        "endpoint_url" => lambda.endpoint_url.clone(),
        _ => None,
    }
}

fn of_import(import: &ImportSettings, key: &str) -> Option<String> {
    let (data_type, strategy) = import.converter.as_ref()?.kind();
    match key {
        "description" => text(&import.description),
        "enabled" => text(import.enabled),
        "source" => text(&import.source),
        "bucket" => text(&import.bucket),
        "prefix" => text(&import.prefix),
        "region" => import.region.clone(),
        "endpoint_url" => import.endpoint.as_ref().and_then(text),
        "role_arn" => import.role.as_ref().and_then(text),
        "external_id" => import.external_id.as_ref().and_then(text),
        "modified_after" => import.modified_after.map(rfc3339),
        "discovery" => word(import.discovery.word()),
        // What is not built has its only value.
        "journal" => word("local"),
        "after" => word("none"),
        "insert_id_window" if import.insert_id_window.is_zero() => text("0 s"),
        "insert_id_window" => period(import.insert_id_window),
        "queue_url" => import.discovery.queue().map(|queue| queue.url().to_owned()),
        "scan_interval" => period(import.scan_interval),
        "full_scan_every" => period(import.full_scan_every),
        "serial" => text(import.serial),
        "parallel" => text(import.parallel),
        "converter" => text(import.converter.as_ref()?.path.display()),
        "data_type" => word(data_type.name()),
        "strategy" => word(strategy.name()),
        "on_change" => word_of(ON_CHANGE, import.on_change),
        "min_size" => bytes(*import.size.start()),
        "max_size" => bytes(*import.size.end()),
        "on_row_error" => text(import.on_row_error),
        "on_missing" => word_of(ON_MISSING, import.missing_fails),
        "allow_expansion" => text(import.allow_expansion),
        "rejects" => import.rejects.clone(),
        "rejects_max" => bytes(import.rejects_max),
        _ => None,
    }
}

fn text(value: impl Display) -> Option<String> {
    Some(value.to_string())
}

fn word(value: &str) -> Option<String> {
    Some(value.to_owned())
}

/// The word that means `value`.
fn word_of<T: Copy + PartialEq>(words: Words<T>, value: T) -> Option<String> {
    words.iter().find(|(_, meaning)| *meaning == value).and_then(|(text, _)| word(text))
}

fn bytes(count: u64) -> Option<String> {
    text(ByteSize(count))
}

fn period(length: std::time::Duration) -> Option<String> {
    text(Period::from_millis(whole_millis(length)))
}

/// As in the file. `None` if it is empty.
fn inline_table(entries: &BTreeMap<impl Display, impl Display>) -> Option<String> {
    let pairs: Vec<String> =
        entries.iter().map(|(key, value)| format!("{key} = {:?}", value.to_string())).collect();
    (!pairs.is_empty()).then(|| format!("{{ {} }}", pairs.join(", ")))
}

/// `["*"]` stands for all, which is `None`.
fn list_or_all<T: Display>(items: Option<&[T]>) -> Option<String> {
    items.map_or_else(|| list(&["*"]), list)
}

fn list<T: Display>(items: &[T]) -> Option<String> {
    let items: Vec<String> = items.iter().map(|item| format!("{:?}", item.to_string())).collect();
    Some(format!("[{}]", items.join(", ")))
}
