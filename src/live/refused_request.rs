//! A request that is refused as a whole, as intake hands it over. Pure.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::sources::{KeyBeginning, SourceId};

/// A request that is refused as a whole, as intake hands it over.
#[derive(Debug)]
pub struct RefusedRequest<'r> {
    /// The HTTP status of the answer.
    pub status: u16,
    /// The error code in the answer, such as `invalid_write_key`.
    pub code: &'static str,
    /// Why the request is refused, more exactly than the code says; from a closed list.
    pub cause: &'static str,
    /// The message of the answer.
    pub message: &'r str,
    /// What to change, so that the request is taken.
    pub remedy: &'static str,
    /// The method.
    pub method: &'r str,
    /// The path, with nothing of a write key but its beginning.
    pub route: Cow<'r, str>,
    /// The client's address, if it is known.
    pub address: Option<IpAddr>,
    /// The `User-Agent` header, cut; empty if there is none.
    pub agent: &'r str,
    /// The source, if it is known.
    pub source: Option<SourceId>,
    /// The beginning of the write key, if there is one.
    pub key: Option<KeyBeginning>,
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A request with an unknown key.
    pub(in crate::live) fn request() -> RefusedRequest<'static> {
        RefusedRequest {
            status: 401,
            code: "invalid_write_key",
            cause: "unknown_write_key",
            message: "no source has it",
            remedy: "correct the key",
            method: "POST",
            route: "/v1/batch".into(),
            address: Some("192.0.2.7".parse().unwrap()),
            agent: "analytics-node/2.1.3",
            source: None,
            key: Some(KeyBeginning::of("my-app-1")),
        }
    }
}
