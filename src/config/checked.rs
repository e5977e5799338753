//! The configuration as meant: valid by construction. Defaults stand here and nowhere else.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;

use crate::call::{CLIENT_LIBRARIES, Validation};
use crate::object::{AccountId, BucketString, Encryption, ExternalId, ObjectTags, RoleArn, StorageClass};
use crate::sources::ConfiguredSources;
use crate::store::PutMode;

use super::closed_days::ClosedDays;
use super::sources::Source;
use super::units::ByteSize;
use super::values::{
    Acl, AllowedOrigins, Checksums, ContentEncoding, Endpoint, MinuteOfHour, NodeId, OnCorruption, Tls,
    UnknownKey,
};

/// The largest `collector.max_body`: what the spool's longest frame can hold as one rejected item.
pub const MAX_BODY_MAX: ByteSize = ByteSize(2 << 20);
/// The largest `flush.max_bytes`: one put, never a multipart upload.
pub const FLUSH_BYTES_MAX: ByteSize = ByteSize(4_000_000_000);
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
    /// Who is told that a day is closed.
    pub closed_days: ClosedDays,
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
    /// Calls a second that one source may send; no limit unless set.
    pub calls_per_second: Option<u32>,
    /// How long it goes on accepting after the signal to stop, while `/ready` already says no.
    pub drain_delay: Duration,
    /// Whether incomplete calls are stored.
    pub validation: Validation,
    /// What a write key of no source gets.
    pub unknown_key: UnknownKey,
    /// Whether `Authorization: Bearer` is let through unverified, the write key then being in the body.
    pub accept_bearer: bool,
    /// Libraries whose calls come from browsers and apps; one that ends with `*` stands for all names that begin so.
    pub client_libraries: Vec<String>,
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
    /// Whether answers and lines say the positions of calls.
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

/// `[s3]`: where objects go. What a source may set for itself is also in each source's destination, which is what counts.
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
    /// Whether AWS's FIPS endpoints are used. Not together with an endpoint.
    pub fips: bool,
    /// Whether AWS's dual-stack endpoints are used. Not together with an endpoint.
    pub dual_stack: bool,
    /// A token service that is not AWS's own of the region.
    pub sts_endpoint: Option<Endpoint>,
    /// A key service that is not AWS's own of the region.
    pub kms_endpoint: Option<Endpoint>,
    /// The role of every source that names none.
    pub role_arn: Option<RoleArn>,
    /// The external id of every source that names none; else it is the source id.
    pub external_id: Option<ExternalId>,
    /// The owner that every bucket must have for which a source names none.
    pub expected_bucket_owner: Option<AccountId>,
    /// Whether the requester pays for requests.
    pub request_payer: bool,
    /// The canned ACL of every object, where one is asked for.
    pub acl: Option<Acl>,
    /// Encryption of every source that names none.
    pub encryption: Encryption,
    /// The storage class of every source that names none.
    pub storage_class: Option<StorageClass>,
    /// The tags of every object.
    pub object_tags: ObjectTags,
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
            fips: false,
            dual_stack: false,
            sts_endpoint: None,
            kms_endpoint: None,
            role_arn: None,
            external_id: None,
            expected_bucket_owner: None,
            request_payer: false,
            acl: None,
            encryption: Encryption::SseS3,
            storage_class: None,
            object_tags: ObjectTags::default(),
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
