//! The configuration as meant: valid by construction. Defaults stand here and nowhere else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::call::Validation;
use crate::object::{BucketString, Encryption};
use crate::sources::ConfiguredSources;
use crate::store::PutMode;

use super::problem::Problem;
use super::raw::{Raw, Table, Typed};
use super::reader::{self, Reader};
use super::sources::{self, Outside, Source};
use super::units::{ByteSize, Period};
use super::values::{
    self, AllowedOrigins, Checksums, ContentEncoding, Endpoint, MinuteOfHour, NodeId, OnCorruption, Tls,
    UnknownKey,
};

/// The largest `collector.max_body`: what the spool's longest frame can hold as one rejected item.
pub const MAX_BODY_MAX: ByteSize = ByteSize(2 << 20);
/// The largest `flush.max_bytes`: one put, never a multipart upload.
pub const FLUSH_BYTES_MAX: ByteSize = ByteSize(4_000_000_000);
/// Segments that a spool needs to turn over: one being filled, one prepared, one in delivery, one in reserve.
const SEGMENTS_MIN: u64 = 4;

const ADDRESS_FORM: &str = "an address and a port, such as \"127.0.0.1:8080\" or \"[::]:8080\"";

/// A whole configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The HTTP side that takes calls.
    pub collector: Collector,
    /// The operator's listener.
    pub admin: Admin,
    /// The durable local log.
    pub spool: Spool,
    /// Where objects go.
    pub s3: S3,
    /// When batches are due.
    pub flush: Flush,
    /// Where calls come from; at least one, with ids and write keys that are each given once.
    pub sources: Vec<Source>,
}

impl Config {
    /// The table by which the collector finds the source of a write key.
    pub fn configured_sources(&self) -> ConfiguredSources {
        let keys = self
            .sources
            .iter()
            .flat_map(|source| source.write_keys.iter().map(|hash| (*hash, source.id.clone())));
        ConfiguredSources::new(keys, self.collector.unknown_key == UnknownKey::Accept)
    }
}

/// `[collector]`: the HTTP side that takes calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Collector {
    /// Where it listens without TLS.
    pub listen: SocketAddr,
    /// TLS on another address.
    pub tls: Option<Tls>,
    /// Bytes of an inflated body.
    pub max_body: usize,
    /// Bytes of one call; never more than `max_body`.
    pub max_event: usize,
    /// Connections open at once, over all listeners.
    pub max_connections: usize,
    /// How long it goes on accepting after the signal to stop, while `/ready` already says no.
    pub drain_delay: Duration,
    /// Whether incomplete calls are stored.
    pub validation: Validation,
    /// What a write key of no source gets.
    pub unknown_key: UnknownKey,
    /// Whether `Authorization: Bearer` is let through unverified, the write key then being in the body.
    pub accept_bearer: bool,
    /// Whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// Which web pages may call.
    pub allowed_origins: AllowedOrigins,
    /// Whether preflights that ask for access to a private network are allowed.
    pub private_network: bool,
    /// The host (and port) by which SDKs reach the collector, told to them in the settings document.
    pub public_host: Option<String>,
    /// What comes before every route: begins with a slash, does not end with one.
    pub path_prefix: Option<String>,
}

impl Default for Collector {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080),
            tls: None,
            max_body: 1 << 20,
            max_event: 32 << 10,
            max_connections: 20_000,
            drain_delay: Duration::from_secs(5),
            validation: Validation::Permissive,
            unknown_key: UnknownKey::Reject,
            accept_bearer: false,
            trusted_proxies: Vec::new(),
            allowed_origins: AllowedOrigins::Any,
            private_network: false,
            public_host: None,
            path_prefix: None,
        }
    }
}

/// `[admin]`: the operator's listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Names, besides this machine's own, by which it may be called.
    pub allowed_hosts: Vec<String>,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9180), allowed_hosts: Vec::new() }
    }
}

/// `[spool]`: the durable local log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spool {
    /// Its directory.
    pub dir: PathBuf,
    /// Bytes it may take, parked objects included; at least four segments.
    pub max_bytes: u64,
    /// Bytes of one segment.
    pub segment_bytes: u64,
    /// This node's name in object keys; the first 8 digits of the spool id where it is not set.
    pub node: Option<NodeId>,
    /// Whether memory and network file systems are taken although a sync there promises little.
    pub unsafe_filesystem: bool,
    /// What happens when damage is met.
    pub on_corruption: OnCorruption,
    /// How long a call is remembered, to recognise its repeats; zero: never.
    pub dedupe_window: Duration,
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            dir: PathBuf::from("/var/lib/forebay"),
            max_bytes: 20_000_000_000,
            segment_bytes: 64 << 20,
            node: None,
            unsafe_filesystem: false,
            on_corruption: OnCorruption::Continue,
            dedupe_window: Duration::from_secs(24 * 3_600),
        }
    }
}

/// `[s3]`: where objects go. Bucket, region and encryption are also in each source's destination, which is what counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3 {
    /// The bucket of every source that names none.
    pub bucket: Option<BucketString>,
    /// The bucket's region; else it is found.
    pub region: Option<String>,
    /// A store that is not AWS's own.
    pub endpoint: Option<Endpoint>,
    /// Whether the bucket goes into the path rather than into the host name. On with an endpoint, unless set.
    pub path_style: bool,
    /// Encryption of every source that names none.
    pub encryption: Encryption,
    /// Whether objects say that they are gzip.
    pub content_encoding: ContentEncoding,
    /// When puts carry a checksum.
    pub checksums: Checksums,
    /// Whether a put may replace an object.
    pub put: PutMode,
}

impl Default for S3 {
    fn default() -> Self {
        Self {
            bucket: None,
            region: None,
            endpoint: None,
            path_style: false,
            encryption: Encryption::SseS3,
            content_encoding: ContentEncoding::Gzip,
            checksums: Checksums::Auto,
            put: PutMode::CreateOnly,
        }
    }
}

/// `[flush]`: when a batch is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flush {
    /// Bytes that no object passes.
    pub max_bytes: u64,
    /// How long after its first call was received.
    pub max_age: Duration,
    /// At this minute of every hour.
    pub align: Option<MinuteOfHour>,
    /// Whether everything is due at shutdown.
    pub on_shutdown: bool,
    /// How long after the signal to stop deliveries go on; longer than the collector's `drain_delay`.
    pub shutdown_grace: Duration,
}

impl Default for Flush {
    fn default() -> Self {
        Self {
            max_bytes: 100_000_000,
            max_age: Duration::from_secs(3_600),
            align: None,
            on_shutdown: true,
            shutdown_grace: Duration::from_secs(25),
        }
    }
}

/// Understands what was typed. Everything that is wrong is reported at once, in the order it stands in.
pub(super) fn check(mut raw: Raw, outside: &dyn Outside) -> Result<Config, Vec<Problem>> {
    let mut problems = std::mem::take(&mut raw.problems);
    let tables = ["collector", "admin", "spool", "s3", "flush"].map(|name| raw.take_section(name));
    let [collector_table, admin_table, spool_table, s3_table, flush_table] = &tables;

    let collector = collector(collector_table, &mut problems);
    let admin = admin(admin_table, &collector, &mut problems);
    let spool = spool(spool_table, &mut problems);
    let s3 = s3(s3_table, &mut problems);
    let flush = flush(flush_table, &collector, &mut problems);
    let bucket_wrong = s3_table.entries.contains_key("bucket") && s3.bucket.is_none();
    let sources = sources::check(&raw.sources, &s3, bucket_wrong, outside, &mut problems);
    if problems.is_empty() {
        return Ok(Config { collector, admin, spool, s3, flush, sources });
    }
    problems.sort_by(|a, b| a.place.cmp(&b.place));
    Err(problems)
}

fn collector(table: &Table, problems: &mut Vec<Problem>) -> Collector {
    let default = Collector::default();
    let mut reader = Reader::new(table, problems);
    let to_usize = |size: u64| usize::try_from(size).unwrap_or(usize::MAX);
    let collector = Collector {
        listen: reader.get("listen", default.listen, reader::parsed(ADDRESS_FORM)),
        tls: tls(&mut reader),
        max_body: reader.get("max_body", default.max_body, |value| {
            reader::size(ByteSize(1 << 10), MAX_BODY_MAX)(value).map(to_usize)
        }),
        max_event: reader.get("max_event", default.max_event, |value| {
            reader::size(ByteSize(1 << 10), MAX_BODY_MAX)(value).map(to_usize)
        }),
        max_connections: reader.get("max_connections", default.max_connections, reader::count(1, 1_000_000)),
        drain_delay: reader.get(
            "drain_delay",
            default.drain_delay,
            reader::period(Period::from_secs(0), Period::from_secs(600)),
        ),
        validation: reader.get(
            "validation",
            default.validation,
            reader::one_of(&[("permissive", Validation::Permissive), ("strict", Validation::Strict)]),
        ),
        unknown_key: reader.get(
            "unknown_key",
            default.unknown_key,
            reader::one_of(&[("reject", UnknownKey::Reject), ("accept", UnknownKey::Accept)]),
        ),
        accept_bearer: reader.get("accept_bearer", default.accept_bearer, reader::boolean),
        trusted_proxies: reader.get(
            "trusted_proxies",
            default.trusted_proxies,
            reader::list("a list of address ranges, such as [\"10.0.0.0/8\"]", values::address_range),
        ),
        allowed_origins: reader.get("allowed_origins", default.allowed_origins, allowed_origins),
        private_network: reader.get("private_network", default.private_network, reader::boolean),
        public_host: reader
            .optional("public_host", |value| reader::text(value).and_then(|text| values::host(text, true))),
        path_prefix: reader
            .optional("path_prefix", |value| reader::text(value).and_then(values::path_prefix)),
    };
    if collector.max_event > collector.max_body {
        let key = if reader.has("max_event") { "max_event" } else { "max_body" };
        reader.refuse(key, "max_event cannot be more than max_body".to_owned());
    }
    if collector.tls.as_ref().is_some_and(|tls| same_address(tls.listen, collector.listen)) {
        reader.refuse("tls_listen", "is the address of collector.listen: give each its own port".to_owned());
    }
    collector
}

fn tls(reader: &mut Reader<'_>) -> Option<Tls> {
    const KEYS: [&str; 3] = ["tls_listen", "tls_cert", "tls_key"];
    let listen = reader.optional("tls_listen", reader::parsed(ADDRESS_FORM));
    let [cert, key] = ["tls_cert", "tls_key"].map(|key| reader.optional(key, path));
    if KEYS.iter().any(|key| reader.has(key)) {
        for missing in KEYS.iter().filter(|key| !reader.has(key)).collect::<Vec<_>>() {
            reader.refuse(missing, "is not set: TLS needs tls_listen, tls_cert and tls_key".to_owned());
        }
    }
    Some(Tls { listen: listen?, cert: cert?, key: key? })
}

fn admin(table: &Table, collector: &Collector, problems: &mut Vec<Problem>) -> Admin {
    let default = Admin::default();
    let mut reader = Reader::new(table, problems);
    let admin = Admin {
        listen: reader.get("listen", default.listen, reader::parsed(ADDRESS_FORM)),
        allowed_hosts: reader.get(
            "allowed_hosts",
            default.allowed_hosts,
            reader::list("a list of host names, such as [\"forebay.internal\"]", |text| {
                values::host(text, false)
            }),
        ),
    };
    let public = [Some(collector.listen), collector.tls.as_ref().map(|tls| tls.listen)];
    if public.into_iter().flatten().any(|listen| same_address(listen, admin.listen)) {
        reader.refuse(
            "listen",
            "is an address of the collector: the admin side is never on a public port".to_owned(),
        );
    }
    admin
}

fn spool(table: &Table, problems: &mut Vec<Problem>) -> Spool {
    let default = Spool::default();
    let mut reader = Reader::new(table, problems);
    let spool = Spool {
        dir: reader.get("dir", default.dir, path),
        max_bytes: reader.get(
            "max_bytes",
            default.max_bytes,
            reader::size(ByteSize(32 << 20), ByteSize(100_000_000_000_000)),
        ),
        segment_bytes: reader.get(
            "segment_bytes",
            default.segment_bytes,
            reader::size(ByteSize(8 << 20), ByteSize(1 << 30)),
        ),
        node: reader.optional("node", reader::parsed(NodeId::FORM)),
        unsafe_filesystem: reader.get("unsafe_filesystem", default.unsafe_filesystem, reader::boolean),
        on_corruption: reader.get(
            "on_corruption",
            default.on_corruption,
            reader::one_of(&[("continue", OnCorruption::Continue), ("stop", OnCorruption::Stop)]),
        ),
        dedupe_window: reader.get(
            "dedupe_window",
            default.dedupe_window,
            reader::period(Period::from_secs(0), Period::from_secs(7 * 86_400)),
        ),
    };
    if spool.max_bytes / SEGMENTS_MIN < spool.segment_bytes {
        let key = if reader.has("max_bytes") { "max_bytes" } else { "segment_bytes" };
        reader.refuse(key, format!("max_bytes must hold at least {SEGMENTS_MIN} times segment_bytes"));
    }
    spool
}

fn s3(table: &Table, problems: &mut Vec<Problem>) -> S3 {
    let default = S3::default();
    let mut reader = Reader::new(table, problems);
    let endpoint = reader.optional("endpoint_url", |value| reader::text(value).and_then(Endpoint::parse));
    S3 {
        bucket: reader.optional("bucket", sources::bucket),
        region: reader.optional("region", |value| reader::text(value).and_then(values::region)),
        // Few stores behind an endpoint of their own have a host name for each bucket.
        path_style: reader.get("path_style", endpoint.is_some(), reader::boolean),
        endpoint,
        encryption: reader.get("encryption", default.encryption, sources::encryption),
        content_encoding: reader.get(
            "content_encoding",
            default.content_encoding,
            reader::one_of(&[("gzip", ContentEncoding::Gzip), ("none", ContentEncoding::None)]),
        ),
        checksums: reader.get(
            "checksums",
            default.checksums,
            reader::one_of(&[("auto", Checksums::Auto), ("when-required", Checksums::WhenRequired)]),
        ),
        put: reader.get(
            "put",
            default.put,
            reader::one_of(&[("create-only", PutMode::CreateOnly), ("overwrite", PutMode::Overwrite)]),
        ),
    }
}

fn flush(table: &Table, collector: &Collector, problems: &mut Vec<Problem>) -> Flush {
    let default = Flush::default();
    let mut reader = Reader::new(table, problems);
    let flush = Flush {
        max_bytes: reader.get("max_bytes", default.max_bytes, reader::size(ByteSize(1_000), FLUSH_BYTES_MAX)),
        max_age: reader.get(
            "max_age",
            default.max_age,
            reader::period(Period::from_secs(1), Period::from_secs(24 * 3_600)),
        ),
        align: reader.optional("align", reader::parsed(MinuteOfHour::FORM)),
        on_shutdown: reader.get("on_shutdown", default.on_shutdown, reader::boolean),
        shutdown_grace: reader.get(
            "shutdown_grace",
            default.shutdown_grace,
            reader::period(Period::from_secs(1), Period::from_secs(3_600)),
        ),
    };
    if flush.shutdown_grace <= collector.drain_delay {
        reader.refuse(
            "shutdown_grace",
            "must be longer than collector.drain_delay: both count from the signal to stop".to_owned(),
        );
    }
    flush
}

fn allowed_origins(value: &Typed) -> Result<AllowedOrigins, String> {
    let item = |text: &str| if text.trim() == "*" { Ok(None) } else { values::origin(text).map(Some) };
    let origins = reader::list("a list of origins, such as [\"https://www.example.com\"]", item)(value)?;
    Ok(match origins.into_iter().collect::<Option<Vec<_>>>() {
        Some(origins) => AllowedOrigins::Only(origins),
        None => AllowedOrigins::Any,
    })
}

fn path(value: &Typed) -> Result<PathBuf, String> {
    match reader::text(value)? {
        "" => Err("expected a path".to_owned()),
        path if path.contains('\0') => Err("expected a path without NUL".to_owned()),
        path => Ok(path.into()),
    }
}

/// Port 0 is another port each time.
fn same_address(a: SocketAddr, b: SocketAddr) -> bool {
    a == b && a.port() != 0
}
