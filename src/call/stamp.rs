//! The additions of the collector to each call of a request, and the counts made meanwhile.

use std::net::IpAddr;

use super::{ClientLibraries, Fingerprinter};
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// The additions of the collector to each call of a request.
#[derive(Clone, Copy, Debug)]
pub struct Stamp<'a> {
    /// When the request's body was complete.
    pub received_at: UnixMillis,
    /// The source, which becomes `projectId`.
    pub source: &'a SourceId,
    /// The client's address: `context.ip` of client-side calls that have none.
    pub ip: Option<IpAddr>,
    /// Whether the request shows that a client sent it: by a route that only client-side libraries use
    /// (letter routes, `/v1/b`, the pixel), or by an `Origin` header.
    pub client_side: bool,
    /// Libraries whose calls come from clients, regardless of what the request shows.
    pub client_libraries: &'a ClientLibraries,
    /// `context.userAgent` for calls that have none: pixels only.
    pub user_agent: Option<&'a str>,
    /// Makes the dedupe fingerprints.
    pub fingerprinter: &'a Fingerprinter,
}

/// Counts made while lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Calls that were stored although strict validation would reject them.
    pub incomplete: u32,
    /// Lone surrogate escapes replaced by `\ufffd`.
    pub surrogates_replaced: u32,
}
