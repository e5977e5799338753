//! Converts each section into validated settings, and checks settings that depend on each other.

use crate::object::{ExternalId, ObjectTags, RoleArn, StorageClass};

use super::admin::{self, same_address};
use super::alarm;
use super::checked::{Collector, Config, FLUSH_BYTES_MAX, Flush, MAX_BODY_MAX, Spool};
use super::closed_days;
use super::destinations::{self, Around};
use super::imports;
use super::kafka::{self, KafkaRole};
use super::problem::{ConfigProblem, SettingPlace};
use super::raw::{Raw, Table, Typed};
use super::reader::{self, Reader};
use super::s3::S3;
use super::s3_location;
use super::secret::Outside;
use super::sources::{self, Uses};
use super::values::{self, Endpoint, Tls};

/// The form of a minute of every hour.
const MINUTE_FORM: &str = "a minute of the hour, from \":00\" to \":59\"";
/// One MiB.
const MIB: u64 = 1_024 * 1_024;
/// The fewest segments that a spool needs: one being filled, one prepared, one in delivery and one in
/// reserve.
const SEGMENTS_MIN: u64 = 4;

/// Validates the configuration. All problems are reported at once, in the order of the file.
pub(super) fn check(mut raw: Raw, outside: &Outside<'_>) -> Result<Config, Vec<ConfigProblem>> {
    let mut problems = std::mem::take(&mut raw.problems);
    let tables = ["collector", "admin", "spool", "s3", "flush", "closed_days", "alarm"]
        .map(|name| raw.take_section(name));
    let [collector_table, admin_table, spool_table, s3_table, flush_table, closed_days_table, alarm_table] =
        &tables;

    let collector = collector(collector_table, &mut problems);
    let admin = admin::check(admin_table, &collector, outside, &mut problems);
    let spool = spool(spool_table, &mut problems);
    let s3 = s3(s3_table, &mut problems);
    let has_kafka = raw.has_section("kafka");
    let kafka_table = raw.take_section("kafka");
    let kafka = has_kafka.then(|| kafka::check(&kafka_table, outside, &mut problems)).flatten();
    let role = kafka.as_ref().map(|kafka| kafka.role);
    let flush = flush(flush_table, (&collector, role), &mut problems);
    let closed_days = closed_days::check(closed_days_table, &mut problems);
    let alarm = alarm::check(alarm_table, outside, &mut problems);
    let bucket_wrong = s3_table.entries.contains_key("bucket") && s3.bucket.is_none();
    let uses = match role {
        None => Uses::Both,
        Some(KafkaRole::Collector) => Uses::Takes,
        Some(KafkaRole::Writer) => Uses::Puts,
    };
    let sources = sources::check(&raw.sources, (&s3, bucket_wrong), uses, outside, &mut problems);
    let mut locations = sources.iter().filter_map(|source| source.location.as_ref());
    if s3.external_id.is_some() && uses != Uses::Takes && locations.all(|to| to.role.is_none()) {
        let what = "is used only with a role: set role_arn, or remove external_id".to_owned();
        Reader::new(s3_table, &mut problems).refuse("external_id", what);
    }
    let around = Around { sources: Some(&sources), spool_bytes: spool.max_bytes, outside };
    let destinations = destinations::check(&raw.destinations, &around, &mut problems);
    let max_event = collector.max_event;
    let (endpoint, scan_interval) = (s3.endpoint.as_ref(), imports::SCAN_INTERVAL);
    let around = imports::Around { sources: Some(&sources), endpoint, scan_interval, max_event, outside };
    let imports = imports::check(&raw.imports, &around, &mut problems);
    if let Some(kafka) = &kafka {
        let role = kafka.role.name();
        let mut refuse = |list: &str, what: &str| {
            let what = format!("is not possible with kafka.role = \"{role}\": {what}");
            problems.push(ConfigProblem::new(SettingPlace::Nowhere, list, what));
        };
        if !destinations.is_empty() {
            refuse("destination", "functions are called by a node with a spool");
        }
        if !imports.is_empty() {
            refuse("import", "imports run on a node with a spool");
        }
    }
    if problems.is_empty() {
        return Ok(Config {
            collector,
            admin,
            spool,
            s3,
            flush,
            closed_days,
            alarm,
            sources,
            destinations,
            imports,
            kafka,
            dev_s3: None,
        });
    }
    problems.sort_by(|a, b| a.place.cmp(&b.place));
    Err(problems)
}

fn collector(table: &Table, problems: &mut Vec<ConfigProblem>) -> Collector {
    let default = Collector::default();
    let mut reader = Reader::new(table, problems);
    let libraries =
        reader::list("a list of names, such as [\"analytics.js\", \"analytics-ios*\"]", values::library);
    let proxies = reader::list("a list of address ranges, such as [\"10.0.0.0/8\"]", values::address_range);
    let to_usize = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let collector = Collector {
        listen: reader.get("listen", default.listen, reader::address),
        tls: tls(&mut reader),
        max_body: to_usize(reader.size("max_body", default.max_body as u64, 1 << 10..=MAX_BODY_MAX.0)),
        max_event: to_usize(reader.size("max_event", default.max_event as u64, 1 << 10..=MAX_BODY_MAX.0)),
        max_connections: reader.get("max_connections", default.max_connections, reader::count(1, 1_000_000)),
        calls_per_second: reader
            .optional("calls_per_second", reader::count(1, 100_000_000))
            .and_then(|rate| u32::try_from(rate).ok()),
        drain_delay: reader.seconds("drain_delay", default.drain_delay, 0..=600),
        validation: reader.word("validation", default.validation, values::VALIDATION),
        accept_unknown_key: reader.word("unknown_key", default.accept_unknown_key, values::UNKNOWN_KEY),
        accept_bearer: reader.flag("accept_bearer", default.accept_bearer),
        client_libraries: reader.get("client_libraries", default.client_libraries, libraries),
        trusted_proxies: reader.get("trusted_proxies", default.trusted_proxies, proxies),
        allowed_origins: reader.get("allowed_origins", default.allowed_origins, allowed_origins),
        private_network: reader.flag("private_network", default.private_network),
        public_host: reader.optional("public_host", reader::from_text(|text| values::host(text, true))),
        path_prefix: reader.optional("path_prefix", reader::from_text(values::path_prefix)),
        receipts: reader.flag("receipts", default.receipts),
    };
    if collector.max_event > collector.max_body {
        let key = if reader.has("max_event") { "max_event" } else { "max_body" };
        reader.refuse(key, "max_event cannot be more than max_body");
    }
    if collector.tls.as_ref().is_some_and(|tls| same_address(tls.listen, collector.listen)) {
        reader.refuse("tls_listen", "is the address of collector.listen: give each its own port");
    }
    collector
}

fn tls(reader: &mut Reader<'_>) -> Option<Tls> {
    const KEYS: [&str; 3] = ["tls_listen", "tls_cert", "tls_key"];
    let listen = reader.optional("tls_listen", reader::address);
    let [cert, key] = ["tls_cert", "tls_key"].map(|key| reader.optional(key, reader::path));
    if KEYS.iter().any(|key| reader.has(key)) {
        for missing in KEYS.iter().filter(|key| !reader.has(key)).collect::<Vec<_>>() {
            reader.refuse(missing, "is not set: TLS needs tls_listen, tls_cert and tls_key");
        }
    }
    Some(Tls { listen: listen?, cert: cert?, key: key? })
}

fn spool(table: &Table, problems: &mut Vec<ConfigProblem>) -> Spool {
    let default = Spool::default();
    let mut reader = Reader::new(table, problems);
    let spool = Spool {
        dir: reader.get("dir", default.dir, reader::path),
        max_bytes: reader.size("max_bytes", default.max_bytes, 32 << 20..=100_000_000_000_000),
        segment_bytes: reader.size("segment_bytes", default.segment_bytes, 8 << 20..=1 << 30),
        node: reader.optional("node", reader::formed("1 to 32 of a-z 0-9 -", values::node)),
        unsafe_filesystem: reader.flag("unsafe_filesystem", default.unsafe_filesystem),
        stop_on_corruption: reader.word("on_corruption", default.stop_on_corruption, values::ON_CORRUPTION),
        dedupe_window: reader.seconds("dedupe_window", default.dedupe_window, 0..=7 * 86_400),
    };
    if spool.max_bytes / SEGMENTS_MIN < spool.segment_bytes {
        let key = if reader.has("max_bytes") { "max_bytes" } else { "segment_bytes" };
        let least = (spool.segment_bytes * SEGMENTS_MIN).div_ceil(MIB);
        let most = spool.max_bytes / SEGMENTS_MIN / MIB;
        let what = format!(
            "max_bytes must be at least {SEGMENTS_MIN} times segment_bytes: set max_bytes = \"{least} MiB\" or more, or \
             segment_bytes = \"{most} MiB\" or less"
        );
        reader.refuse(key, what);
    }
    spool
}

fn s3(table: &Table, problems: &mut Vec<ConfigProblem>) -> S3 {
    let default = S3::default();
    let mut reader = Reader::new(table, problems);
    let endpoint_of = reader::from_text(Endpoint::parse);
    let endpoint = reader.optional("endpoint_url", &endpoint_of);
    let fips = reader.flag("fips", default.fips);
    let dual_stack = reader.flag("dual_stack", default.dual_stack);
    let custom =
        ["endpoint_url", "sts_endpoint_url", "kms_endpoint_url"].into_iter().find(|key| reader.has(key));
    for (key, on) in [("fips", fips), ("dual_stack", dual_stack)] {
        if let (true, Some(custom)) = (on, custom) {
            let what = format!("selects an AWS endpoint, but {custom} is set: remove one of them");
            reader.refuse(key, what);
        }
    }
    let bucket = reader.optional("bucket", s3_location::bucket);
    if let (Some(bucket), Some(endpoint)) = (&bucket, &endpoint)
        && let Some(what) = s3_location::twice(endpoint, bucket)
    {
        reader.refuse("endpoint_url", what);
    }
    S3 {
        bucket,
        region: reader.optional("region", reader::from_text(values::region)),
        // Few stores other than AWS have a host name for each bucket.
        path_style: reader.flag("path_style", endpoint.is_some()),
        endpoint,
        fips,
        dual_stack,
        sts_endpoint: reader.optional("sts_endpoint_url", &endpoint_of),
        kms_endpoint: reader.optional("kms_endpoint_url", &endpoint_of),
        role_arn: reader.optional("role_arn", reader::from_text(RoleArn::parse)),
        external_id: reader.optional("external_id", reader::from_text(ExternalId::parse)),
        expected_bucket_owner: reader.optional("expected_bucket_owner", s3_location::account),
        request_payer: reader.flag("request_payer", default.request_payer),
        bucket_owner_full_control: reader.word("acl", default.bucket_owner_full_control, values::ACL),
        encryption: reader.get("encryption", default.encryption, s3_location::encryption),
        storage_class: reader.optional("storage_class", reader::from_text(StorageClass::parse)),
        object_tags: reader.get("object_tags", default.object_tags, object_tags),
        content_encoding: reader.word("content_encoding", default.content_encoding, values::CONTENT_ENCODING),
        checksums: reader.word("checksums", default.checksums, values::CHECKSUMS),
        put: reader.word("put", default.put, values::PUT),
    }
}

fn object_tags(value: &Typed) -> Result<ObjectTags, String> {
    let form = "a list of \"source\" and \"day\"";
    let item = |text: &str| match text.trim() {
        "source" => Ok(ObjectTags { source: true, day: false }),
        "day" => Ok(ObjectTags { source: false, day: true }),
        _ => Err(format!("expected {form}")),
    };
    let each = reader::list(form, item)(value)?;
    Ok(ObjectTags { source: each.iter().any(|tags| tags.source), day: each.iter().any(|tags| tags.day) })
}

fn flush(
    table: &Table,
    (collector, role): (&Collector, Option<KafkaRole>),
    problems: &mut Vec<ConfigProblem>,
) -> Flush {
    let is_writer = role == Some(KafkaRole::Writer);
    // What a writer has not delivered is in the log, and the next owner delivers full objects of it.
    let default = Flush { on_shutdown: !is_writer, ..Flush::default() };
    let mut reader = Reader::new(table, problems);
    let flush = Flush {
        max_bytes: reader.size("max_bytes", default.max_bytes, 1_000..=FLUSH_BYTES_MAX.0),
        max_age: reader.seconds("max_age", default.max_age, 1..=24 * 3_600),
        align: reader.optional("align", reader::formed(MINUTE_FORM, values::minute_of_hour)),
        on_shutdown: reader.flag("on_shutdown", default.on_shutdown),
        shutdown_grace: reader.seconds("shutdown_grace", default.shutdown_grace, 1..=3_600),
    };
    if flush.shutdown_grace <= collector.drain_delay && !is_writer {
        let what = "must be longer than collector.drain_delay: both count from the signal to stop";
        reader.refuse("shutdown_grace", what);
    }
    flush
}

/// `None`: every origin.
fn allowed_origins(value: &Typed) -> Result<Option<Vec<String>>, String> {
    let item = |text: &str| if text.trim() == "*" { Ok(None) } else { values::origin(text).map(Some) };
    let origins = reader::list("a list of origins, such as [\"https://www.example.com\"]", item)(value)?;
    Ok(origins.into_iter().collect())
}
