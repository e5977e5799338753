//! Decides what becomes of the calls of a request, by its write key.

use super::reply::Refusal;
use super::settings::Policy;
use crate::sources::{Found, SourceId, WriteKeyHash};

/// What happens to calls with a valid write key.
pub(super) enum Destiny {
    Store(SourceId),
    Discard,
}

pub(super) fn found(policy: &Policy, write_key: &str) -> Result<Destiny, Refusal> {
    match policy.sources.find(write_key) {
        Found::Source(source) => Ok(Destiny::Store(source)),
        Found::Discard => Ok(Destiny::Discard),
        Found::Unknown => {
            tracing::debug!(hash = ?WriteKeyHash::of(write_key), "a write key belongs to no source");
            Err(Refusal::UnknownWriteKey)
        }
        Found::TooManySources => Err(Refusal::TooManySources),
    }
}
