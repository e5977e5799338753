//! What the collector is given: other rooms, bounds, and the policy that can change while it runs.

use std::path::PathBuf;
use std::sync::Arc;

use ipnet::IpNet;

use super::bounds::Bounds;
use crate::alarms::Alarms;
use crate::ingest::Ingest;
use crate::metrics::Metrics;
use crate::random::Random;
use crate::sources::SourceLookup;
use crate::time::Clock;

/// Bytes of a body after inflating, unless configured.
pub const MAX_BODY_DEFAULT: usize = 1_024 * 1_024;
/// The largest `max_body` that can be configured: what one frame of the spool can hold as a rejected item.
pub const MAX_BODY_LIMIT: usize = 2 * 1_024 * 1_024;

/// The other rooms and outside resources that the collector works with.
#[derive(Clone, Debug)]
pub struct CollectorDeps {
    /// Wall and monotonic time.
    pub clock: Arc<dyn Clock>,
    /// Makes the jitter of `Retry-After`.
    pub random: Arc<dyn Random>,
    /// The metrics.
    pub metrics: Metrics,
    /// The way into the log. Everything else that brings calls into this node's log shares it.
    pub ingest: Arc<Ingest>,
    /// The alarms, raised when a task panics.
    pub alarms: Arc<Alarms>,
}

/// Bounds and files that stay fixed while the collector runs.
#[derive(Clone, Debug)]
pub struct CollectorSettings {
    /// Bytes of a body after inflating, at most 2 MiB. A longer body gets 400.
    pub max_body: usize,
    /// Time limits, counts and sizes that protect the process.
    pub bounds: Bounds,
    /// The certificate and key of the TLS listener.
    pub tls: Option<TlsFiles>,
}

impl Default for CollectorSettings {
    fn default() -> Self {
        Self { max_body: MAX_BODY_DEFAULT, bounds: Bounds::default(), tls: None }
    }
}

/// A PEM certificate chain and its private key. Both are reloaded when they change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain, leaf first.
    pub cert: PathBuf,
    /// The private key: PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
}

/// What can change while the collector runs: [`super::Running::reload`] replaces it whole.
#[derive(Clone)]
pub struct Policy {
    /// Finds the source of a write key.
    pub sources: Arc<dyn SourceLookup>,
    /// Proxies that are trusted to report the client's address.
    pub trusted_proxies: Vec<IpNet>,
    /// The origins that browsers may call from. `None`: all.
    pub allowed_origins: Option<Vec<String>>,
    /// The host (and port) to which SDKs send their calls, according to their settings document; with an
    /// optional `http://` or `https://`.
    pub public_host: Option<String>,
    /// A prefix such as `/proxy` under which all routes are served too.
    pub route_prefix: Option<String>,
    /// Whether `Authorization: Bearer` is accepted unverified; the body's `writeKey` then names the source.
    pub accept_bearer: bool,
    /// Whether preflights that request private-network access get it.
    pub private_network: bool,
}

impl Policy {
    /// The default policy for these sources.
    pub fn new(sources: Arc<dyn SourceLookup>) -> Self {
        Self {
            sources,
            trusted_proxies: Vec::new(),
            allowed_origins: None,
            public_host: None,
            route_prefix: None,
            accept_bearer: false,
            private_network: false,
        }
    }
}

// Lookups may hold secrets that must not be logged; operators need only the rest.
debug_fields!(Policy {
    trusted_proxies,
    allowed_origins,
    public_host,
    route_prefix,
    accept_bearer,
    private_network
});
