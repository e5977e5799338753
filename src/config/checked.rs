//! The validated configuration: every value is checked. All defaults are defined here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::admin_token::AdminToken;
use crate::call::{CLIENT_LIBRARIES, Validation};
use crate::destinations::settings::DestinationSettings;
use crate::live::Mode;
use crate::object::S3Location;
use crate::sources::ConfiguredSources;

use super::alarm::AlarmSettings;
use super::closed_days::ClosedDays;
use super::import_settings::ImportSettings;
use super::kafka::Kafka;
use super::s3::S3;
use super::sources::Source;
use super::units::ByteSize;
use super::values::{Endpoint, Tls};

/// The largest `collector.max_body`: a rejected item of this size still fits into the spool's longest frame.
pub const MAX_BODY_MAX: ByteSize = ByteSize(2 << 20);
/// The largest `flush.max_bytes`: an object is one put, never a multipart upload.
pub const FLUSH_BYTES_MAX: ByteSize = ByteSize(4_000_000_000);
/// The whole configuration.
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
    /// How the operator is notified of closed days.
    pub closed_days: ClosedDays,
    /// Who is told of alarms.
    pub alarm: AlarmSettings,
    /// Where calls come from; at least one, but in dev mode. Ids and write keys are unique.
    pub sources: Vec<Source>,
    /// Where calls go beside the archive: those that are enabled. Names are unique.
    pub destinations: Vec<DestinationSettings>,
    /// Buckets of files that become calls, whether they are enabled or not. Names are unique.
    pub imports: Vec<ImportSettings>,
    /// Where the log is, if it is not the spool. Only with the feature `kafka`.
    pub kafka: Option<Kafka>,
    /// Where the S3 of dev mode is, if this is what dev mode makes of a file; then there are no sources.
    pub dev_s3: Option<Endpoint>,
}

impl Config {
    /// The table in which the collector looks up the source of a write key.
    pub fn configured_sources(&self) -> ConfiguredSources {
        let keys = self
            .sources
            .iter()
            .flat_map(|source| source.write_keys.iter().map(|hash| (*hash, source.id.clone())));
        ConfiguredSources::new(keys, self.collector.accept_unknown_key)
    }

    /// Where the objects of each source go.
    pub fn locations(&self) -> impl Iterator<Item = &S3Location> {
        self.sources.iter().filter_map(|source| source.location.as_ref())
    }
}

section! {
    /// `[collector]`: the HTTP side that takes calls.
    pub struct Collector {
        /// Where it listens without TLS.
        listen: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080),
        /// TLS on another address.
        tls: Option<Tls> = None,
        /// The largest body after decompression, in bytes.
        max_body: usize = 1 << 20,
        /// The largest call, in bytes; at most `max_body`.
        max_event: usize = 32 << 10,
        /// Connections open at once, across all listeners.
        max_connections: usize = 20_000,
        /// Calls per second that each source may send; `None` is no limit.
        calls_per_second: Option<u32> = None,
        /// How long calls are still accepted after the stop signal, while `/ready` already reports not ready.
        drain_delay: Duration = Duration::from_secs(5),
        /// Whether incomplete calls are stored.
        validation: Validation = Validation::Permissive,
        /// Whether a request with an unknown write key is answered 200 (and nothing is stored), instead of
        /// 401.
        accept_unknown_key: bool = false,
        /// Whether an unverified `Authorization: Bearer` is allowed; the write key then comes from the body.
        accept_bearer: bool = false,
        /// Libraries that run in browsers and apps. A trailing `*` matches any rest of the name.
        client_libraries: Vec<String> = CLIENT_LIBRARIES.map(str::to_owned).to_vec(),
        /// Proxies whose forwarding headers are trusted.
        trusted_proxies: Vec<IpNet> = Vec::new(),
        /// The origins whose web pages may send calls, such as `https://shop.example.com`; `None` is every
        /// page.
        allowed_origins: Option<Vec<String>> = None,
        /// Whether preflights that request access to a private network are allowed.
        private_network: bool = false,
        /// The host (and port) at which SDKs reach the collector, as announced in the settings document.
        public_host: Option<String> = None,
        /// A path before every route: starts with a slash, has none at the end.
        path_prefix: Option<String> = None,
        /// Whether answers carry receipts and lines their positions.
        receipts: bool = false,
    }
}

section! {
    /// `[admin]`: the operator's listener.
    pub struct Admin {
        /// Where it listens.
        listen: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9180),
        /// Host names accepted in requests, besides those of this machine.
        allowed_hosts: Vec<String> = Vec::new(),
        /// The token of those who may do everything; always set unless the address is loopback.
        token: Option<AdminToken> = None,
        /// The token of those who may only look; only with `token`, and different from it.
        read_token: Option<AdminToken> = None,
        /// Whether `/metrics` needs no token.
        metrics_without_token: bool = false,
        /// What the live view shows.
        live_view: Mode = Mode::Masked,
    }
}

section! {
    /// `[spool]`: the durable local log.
    pub struct Spool {
        /// Its directory.
        dir: PathBuf = PathBuf::from("/var/lib/forebay"),
        /// The most bytes it may use, parked objects included; at least four segments.
        max_bytes: u64 = 20_000_000_000,
        /// Bytes of one segment.
        segment_bytes: u64 = 64 << 20,
        /// This node's name in object keys: `[a-z0-9-]{1,32}`. If not set: the first 8 digits of the spool
        /// id.
        node: Option<String> = None,
        /// Whether memory and network file systems are allowed, although a sync there makes nothing durable.
        unsafe_filesystem: bool = false,
        /// Whether the process stops when damage is found. If not, it reports the damaged range, is
        /// degraded and continues.
        stop_on_corruption: bool = false,
        /// How long calls are remembered so that repeats are recognised; zero turns this off.
        dedupe_window: Duration = Duration::from_secs(24 * 3_600),
    }
}

section! {
    /// `[flush]`: when a batch is due.
    pub struct Flush {
        /// The largest object, in bytes.
        max_bytes: u64 = 100_000_000,
        /// The age at which a batch is due, counted from when its first call was received.
        max_age: Duration = Duration::from_secs(3_600),
        /// The minute of every hour at which batches are due, 0 to 59.
        align: Option<u8> = None,
        /// Whether every batch is due at shutdown.
        on_shutdown: bool = true,
        /// How long deliveries continue after the stop signal; longer than the collector's `drain_delay`.
        shutdown_grace: Duration = Duration::from_secs(25),
    }
}
