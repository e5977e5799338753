//! The validated configuration: every value is checked. All defaults are defined here.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::admin_token::AdminToken;
use crate::call::{CLIENT_LIBRARIES, Validation};
use crate::destinations::settings::DestinationSettings;
use crate::live::Mode;
use crate::sources::ConfiguredSources;

use super::closed_days::ClosedDays;
use super::s3::S3;
use super::sources::Source;
use super::units::ByteSize;
use super::values::{AllowedOrigins, MinuteOfHour, NodeId, OnCorruption, Tls, UnknownKey};

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
    /// Where calls come from; at least one. Ids and write keys are unique.
    pub sources: Vec<Source>,
    /// Where calls go beside the archive: those that are enabled. Names are unique.
    pub destinations: Vec<DestinationSettings>,
}

impl Config {
    /// The table in which the collector looks up the source of a write key.
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
    /// The largest body after decompression, in bytes.
    pub max_body: usize,
    /// The largest call, in bytes; at most `max_body`.
    pub max_event: usize,
    /// Connections open at once, across all listeners.
    pub max_connections: usize,
    /// Calls per second that each source may send; `None` is no limit.
    pub calls_per_second: Option<u32>,
    /// How long calls are still accepted after the stop signal, while `/ready` already reports not ready.
    pub drain_delay: Duration,
    /// Whether incomplete calls are stored.
    pub validation: Validation,
    /// How a request with an unknown write key is answered.
    pub unknown_key: UnknownKey,
    /// Whether an unverified `Authorization: Bearer` is allowed; the write key is then taken from the body.
    pub accept_bearer: bool,
    /// Libraries that run in browsers and apps. A trailing `*` matches any rest of the name.
    pub client_libraries: Vec<String>,
    /// Proxies whose forwarding headers are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Which web pages may send calls.
    pub allowed_origins: AllowedOrigins,
    /// Whether preflights that request access to a private network are allowed.
    pub private_network: bool,
    /// The host (and port) at which SDKs reach the collector, as announced in the settings document.
    pub public_host: Option<String>,
    /// A path before every route: starts with a slash, has none at the end.
    pub path_prefix: Option<String>,
    /// Whether answers carry receipts and lines their positions.
    pub receipts: bool,
}

impl Default for Collector {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 8080),
            tls: None,
            max_body: 1 << 20,
            max_event: 32 << 10,
            max_connections: 20_000,
            calls_per_second: None,
            drain_delay: Duration::from_secs(5),
            validation: Validation::Permissive,
            unknown_key: UnknownKey::Reject,
            accept_bearer: false,
            client_libraries: CLIENT_LIBRARIES.map(str::to_owned).to_vec(),
            trusted_proxies: Vec::new(),
            allowed_origins: AllowedOrigins::Any,
            private_network: false,
            public_host: None,
            path_prefix: None,
            receipts: false,
        }
    }
}

/// `[admin]`: the operator's listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admin {
    /// Where it listens.
    pub listen: SocketAddr,
    /// Host names accepted in requests, besides those of this machine.
    pub allowed_hosts: Vec<String>,
    /// The token of those who may do everything; always set unless the address is loopback.
    pub token: Option<AdminToken>,
    /// The token of those who may only look; only with `token`, and different from it.
    pub read_token: Option<AdminToken>,
    /// Whether `/metrics` needs no token.
    pub metrics_without_token: bool,
    /// What the live view shows.
    pub live_view: Mode,
}

impl Default for Admin {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9180),
            allowed_hosts: Vec::new(),
            token: None,
            read_token: None,
            metrics_without_token: false,
            live_view: Mode::Masked,
        }
    }
}

/// `[spool]`: the durable local log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spool {
    /// Its directory.
    pub dir: PathBuf,
    /// The most bytes it may use, parked objects included; at least four segments.
    pub max_bytes: u64,
    /// Bytes of one segment.
    pub segment_bytes: u64,
    /// This node's name in object keys. If not set: the first 8 digits of the spool id.
    pub node: Option<NodeId>,
    /// Whether memory and network file systems are allowed, although a sync there does not make data durable.
    pub unsafe_filesystem: bool,
    /// What happens when damage is found.
    pub on_corruption: OnCorruption,
    /// How long calls are remembered so that repeats are recognised; zero turns this off.
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

/// `[flush]`: when a batch is due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Flush {
    /// The largest object, in bytes.
    pub max_bytes: u64,
    /// The age at which a batch is due, counted from when its first call was received.
    pub max_age: Duration,
    /// The minute of every hour at which batches are due.
    pub align: Option<MinuteOfHour>,
    /// Whether every batch is due at shutdown.
    pub on_shutdown: bool,
    /// How long deliveries continue after the stop signal; longer than the collector's `drain_delay`.
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
