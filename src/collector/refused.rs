//! What people are shown of a refused request. Nothing here is on the way of a request that is taken.

use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderValue, USER_AGENT};
use http::request::Parts;

use super::auth;
use super::client_address::client_address;
use super::peer::Peer;
use super::reply::{Answer, Refusal};
use super::settings::Policy;
use super::shown_path::shown_path;
use crate::live::RefusedRequest;
use crate::sources::{KeyBeginning, SourceId};

/// The most bytes of a `User-Agent` that are shown.
const AGENT_MAX: usize = 120;
/// The most bytes of a method that are shown: a client may make up its own.
const METHOD_MAX: usize = 16;

/// A refused request as people are shown it. `source`: as far as the body was read.
pub(super) fn refused_request<'r>(
    (refusal, answer): (&Refusal, &'r Answer),
    head: &'r Parts,
    (peer, policy): (&Peer, &Arc<Policy>),
    source: Option<SourceId>,
) -> RefusedRequest<'r> {
    let (cause, remedy) = refusal.cause();
    let is_key = |text: &str| policy.sources.known(text).is_some();
    let agent = head.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok()).unwrap_or_default();
    let method = head.method.as_str();
    let (key, source) = match refusal {
        Refusal::UnknownWriteKey(key) | Refusal::TooManySources(key) | Refusal::UnknownSettingsKey(key) => {
            (Some(key.clone()), source)
        }
        Refusal::SourceIdAsKey(id, key) => (Some(key.clone()), Some(id.clone())),
        Refusal::Authorization(_) => (header_beginning(head), source),
        // Many of them cost the sender little: nothing is looked up.
        Refusal::NotFound(_) | Refusal::Method(_) | Refusal::Draining | Refusal::TooManyBytes => {
            (None, source)
        }
        _ => {
            let key = key_in_head(head, policy);
            let of_key = || key.as_deref().and_then(|key| policy.sources.known(key));
            (key.as_deref().map(KeyBeginning::of), source.or_else(of_key))
        }
    };
    RefusedRequest {
        status: answer.status.as_u16(),
        code: answer.code,
        cause,
        message: &answer.message,
        remedy,
        method: method.get(..METHOD_MAX).unwrap_or(method),
        route: shown_path(head.uri.path(), is_key),
        address: client_address(peer.address, &head.headers, &policy.trusted_proxies),
        // The text of a header has only ASCII, as has a method, so they can be cut anywhere.
        agent: agent.get(..AGENT_MAX).unwrap_or(agent),
        source,
        key,
    }
}

/// The write key outside the body.
fn key_in_head(head: &Parts, policy: &Policy) -> Option<String> {
    let header = |name| head.headers.get(name).map(HeaderValue::as_bytes);
    let basic = auth::basic_key(header(AUTHORIZATION.as_str()), policy.accept_bearer).ok().flatten();
    basic.or_else(|| auth::query_key(head.uri.query())).or_else(|| auth::plain_key(header("x-write-key")))
}

/// The beginning of what an `Authorization` header has after its scheme: of a bearer token, or of whatever
/// stands where a write key was expected.
fn header_beginning(head: &Parts) -> Option<KeyBeginning> {
    let value = head.headers.get(AUTHORIZATION)?.to_str().ok()?.trim();
    let credentials = value.split_once([' ', '\t']).map_or(value, |(_, rest)| rest.trim());
    Some(KeyBeginning::of(credentials))
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn a_header_shows_the_beginning_of_its_credentials() {
        let check = |header: &str, shown: &str| {
            let head = Request::builder().header(AUTHORIZATION, header).body(()).unwrap().into_parts().0;
            assert_eq!(header_beginning(&head).unwrap().to_string(), shown, "{header}");
        };
        check("Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.x", "eyJhbG…");
        check("Digest  abcdefgh", "ab…");
        check("abcdefgh", "ab…");
        check("Basic %%%%", "%…");
    }
}
