//! Answers: one match gives every refusal its status, code and message.

use std::ops::RangeInclusive;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, RETRY_AFTER,
};
use http::{Response, StatusCode};
use serde::Serialize;

use super::answer_body::AnswerBody;
use super::auth::AuthError;
use super::decode::DecodeError;
use super::nearest_route::ROUTES;
use crate::call::{BodyError, RejectReason};
use crate::ingest::{IngestError, Receipts};
use crate::log::{AppendError, LOCATION_FULL, OUTCOME_UNKNOWN, SPOOL_FULL};
use crate::random::Random;
use crate::receipt;
use crate::sources::{KeyBeginning, SourceId};

/// An answer. All bodies are small and in one piece.
pub(super) type Reply = Response<AnswerBody>;

/// When a client should retry, in seconds. A value is drawn at random, so that clients do not all retry at
/// once.
const SOON: RangeInclusive<u64> = 1..=5;
/// For causes that take longer to fix.
const LATER: RangeInclusive<u64> = 10..=60;

/// Why a request is not answered 200.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// The route that was probably meant, if one is near.
    #[error("there is no route for this path{}; the routes are {}", nearest_in_words(.0), ROUTES)]
    NotFound(Option<&'static str>),
    /// The path needs one of these methods.
    #[error("this route accepts {0}")]
    Method(&'static str),
    #[error("the path and query are longer than {0} bytes")]
    UriTooLong(usize),
    #[error("the headers are longer than {0} bytes")]
    HeadTooLarge(usize),
    #[error("content-encoding must be gzip (one layer) or identity")]
    UnknownCoding,
    #[error("the body is longer than {0} bytes")]
    BodyTooLarge(usize),
    #[error(transparent)]
    Decode(DecodeError),
    #[error("the body did not arrive in time")]
    BodyTimeout,
    #[error("the body ended before it was complete")]
    BodyBroken,
    #[error(transparent)]
    Body(BodyError),
    #[error(transparent)]
    Authorization(AuthError),
    #[error("the request has no write key")]
    NoWriteKey,
    /// Nothing in a pixel's query can be read, not even a write key.
    #[error("the query contains no readable call or write key")]
    UnreadablePixel,
    #[error("the write key belongs to no source")]
    UnknownWriteKey(KeyBeginning),
    /// The key is the id of this source. The client is not told: anybody may ask.
    #[error("the write key belongs to no source")]
    SourceIdAsKey(SourceId, KeyBeginning),
    #[error("every write key becomes a source, and the limit of sources is reached")]
    TooManySources(KeyBeginning),
    #[error("the write key belongs to no source")]
    UnknownSettingsKey(KeyBeginning),
    #[error("too many requests are being read")]
    TooManyBytes,
    #[error(transparent)]
    Append(AppendError),
    /// This source sends more calls than its limit allows.
    #[error("this source exceeds its rate limit; retry after the time in retry-after")]
    TooFast(Duration),
    #[error("the calls were not stored in time")]
    TooSlow,
    #[error("the collector is shutting down")]
    Draining,
}

/// How a refusal appears to the client.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) retry_after: Option<RangeInclusive<u64>>,
    /// Whether the rest of the request is left unread, so that the connection must close.
    pub(super) close: bool,
}

impl Refusal {
    /// The status, code and message of each refusal. There is no wildcard arm: a new refusal must choose.
    pub(super) fn answer(&self) -> Answer {
        use StatusCode as S;
        let keep = |status, code| (status, code, None, false);
        let close = |status, code| (status, code, None, true);
        let retry = |code, after| (S::SERVICE_UNAVAILABLE, code, Some(after), false);
        let (status, code, retry_after, close) = match self {
            Self::NotFound(_) => keep(S::NOT_FOUND, "not_found"),
            Self::Method(_) => keep(S::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::UriTooLong(_) => close(S::URI_TOO_LONG, "uri_too_long"),
            Self::HeadTooLarge(_) => close(S::REQUEST_HEADER_FIELDS_TOO_LARGE, "headers_too_large"),
            Self::UnknownCoding => keep(S::BAD_REQUEST, "unsupported_encoding"),
            Self::BodyTooLarge(_) | Self::Decode(DecodeError::TooLarge) => {
                close(S::BAD_REQUEST, "payload_too_large")
            }
            Self::Decode(DecodeError::BadGzip) => close(S::BAD_REQUEST, "invalid_gzip"),
            Self::Decode(DecodeError::TruncatedGzip | DecodeError::DoubleGzip) => {
                keep(S::BAD_REQUEST, "invalid_gzip")
            }
            Self::BodyTimeout => close(S::REQUEST_TIMEOUT, "body_timeout"),
            Self::BodyBroken => close(S::BAD_REQUEST, "incomplete_body"),
            Self::Body(error) => keep(S::BAD_REQUEST, body_code(error)),
            Self::Authorization(_)
            | Self::NoWriteKey
            | Self::UnknownWriteKey(_)
            | Self::SourceIdAsKey(..) => keep(S::UNAUTHORIZED, "invalid_write_key"),
            Self::UnreadablePixel => keep(S::BAD_REQUEST, "bad_pixel_data"),
            Self::TooManySources(_) => keep(S::UNAUTHORIZED, "too_many_sources"),
            Self::UnknownSettingsKey(_) => keep(S::NOT_FOUND, "invalid_write_key"),
            Self::TooManyBytes => (S::SERVICE_UNAVAILABLE, "overloaded", Some(SOON), true),
            Self::Append(error) => match error {
                AppendError::TooLarge => keep(S::BAD_REQUEST, "payload_too_large"),
                AppendError::Busy => retry("busy", SOON),
                AppendError::NoBroker => retry("no_broker", SOON),
                AppendError::Full => retry(SPOOL_FULL, LATER),
                AppendError::LocationFull => retry(LOCATION_FULL, LATER),
                // Only imports are appended in steps.
                AppendError::OtherRow { .. } => keep(S::CONFLICT, "other_row"),
                AppendError::Known { .. } => keep(S::CONFLICT, "id_taken"),
                AppendError::DayOver => retry("day_over", SOON),
                AppendError::TooManyStreams => keep(S::BAD_REQUEST, "too_many_collections"),
                AppendError::Unknown => retry(OUTCOME_UNKNOWN, LATER),
                AppendError::Stopped => retry("spool_stopped", LATER),
            },
            Self::TooFast(wait) => {
                let seconds = wait.as_secs().saturating_add(1).clamp(1, *LATER.end());
                let after = seconds..=seconds.saturating_add(2).min(*LATER.end());
                (S::TOO_MANY_REQUESTS, "rate_limited", Some(after), false)
            }
            Self::TooSlow => retry("too_slow", SOON),
            Self::Draining => (S::SERVICE_UNAVAILABLE, "draining", Some(SOON), true),
        };
        Answer { status, code, message: self.to_string(), retry_after, close }
    }

    /// The reply. `answer` is [`Refusal::answer`].
    pub(super) fn reply(&self, answer: &Answer, random: &dyn Random) -> Reply {
        let body =
            ErrorBody { success: false, code: answer.code, message: &answer.message, error: &answer.message };
        let mut reply = json(answer.status, &body);
        let headers = reply.headers_mut();
        if let Some(range) = &answer.retry_after {
            headers.insert(RETRY_AFTER, HeaderValue::from(drawn(range, random)));
        }
        if let Self::Method(allow) = self {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if answer.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        reply
    }
}

fn nearest_in_words(nearest: &Option<&'static str>) -> String {
    nearest.map_or_else(String::new, |route| format!(": the nearest is {route}"))
}

fn body_code(error: &BodyError) -> &'static str {
    match error {
        BodyError::InvalidJson { .. } | BodyError::InvalidUtf8 { .. } | BodyError::TooDeep { .. } => {
            "invalid_json"
        }
        BodyError::NoBatch => "invalid_batch",
        BodyError::NoObjects => "invalid_objects",
        BodyError::NoCollection | BodyError::Collection(_) => "invalid_collection",
        BodyError::EventTooLarge { .. } => "payload_too_large",
    }
}

impl From<IngestError> for Refusal {
    fn from(error: IngestError) -> Self {
        match error {
            IngestError::TooFast(wait) => Self::TooFast(wait),
            IngestError::Append(error) => Self::Append(error),
        }
    }
}

fn drawn(range: &RangeInclusive<u64>, random: &dyn Random) -> u64 {
    range.start() + random.next_u64() % (range.end() - range.start() + 1)
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    success: bool,
    code: &'static str,
    message: &'a str,
    error: &'a str,
}

/// The one answer that means: stored.
pub(super) fn success() -> Reply {
    fixed("application/json", Bytes::from_static(b"{\"success\":true}"))
}

/// The header with which a client asks for the items that are stored as rejected. Only such a client gets
/// another body than `{"success":true}`.
pub(super) const NAMES_REJECTED: &str = "x-forebay-name-rejected";

/// One item that was stored as rejected.
#[derive(Serialize)]
struct RejectedItem {
    /// Its index in the batch.
    index: u32,
    reason: &'static str,
    message: &'static str,
}

#[derive(Serialize)]
struct StoredBut {
    success: bool,
    rejected: Vec<RejectedItem>,
}

/// The same for a client that asked which items were rejected.
pub(super) fn success_but(refused: &[(u32, RejectReason)]) -> Reply {
    if refused.is_empty() {
        return success();
    }
    let item = |(index, reason): &(u32, RejectReason)| RejectedItem {
        index: *index,
        reason: reason.slug(),
        message: reason.why(),
    };
    let body = StoredBut { success: true, rejected: refused.iter().map(item).collect() };
    // Serialising numbers and strings cannot fail; without the list, the answer is what others get.
    serde_json::to_vec(&body).map_or_else(|_| success(), |text| fixed("application/json", text.into()))
}

/// Bytes of all receipts of an answer. A proxy that has no room for a header makes an error of the answer, and the client
/// would send the same calls for ever.
const RECEIPTS_BYTES_MAX: usize = 2_048;

/// `reply` with the receipts of the stored calls, if there are any, and not so many that they would not fit.
pub(super) fn with_receipts(mut reply: Reply, receipts: Option<&Receipts>) -> Reply {
    let text = receipts.map(Receipts::to_string).filter(|text| text.len() <= RECEIPTS_BYTES_MAX);
    // They have only characters that a header may have.
    if let Some(Ok(value)) = text.map(HeaderValue::try_from) {
        reply.headers_mut().insert(receipt::HEADER, value);
    }
    reply
}

/// The answer to `/health`.
pub(super) fn healthy() -> Reply {
    with_cache_rule(fixed("application/json", Bytes::from_static(b"{\"status\":\"ok\"}")), "no-store")
}

/// A document that SDKs load first. It may be cached for five minutes: by the client alone, or also by shared
/// caches.
pub(super) fn cached(document: Bytes, by_client_alone: bool) -> Reply {
    let rule = if by_client_alone { "private, max-age=300" } else { "public, max-age=300" };
    with_cache_rule(fixed("application/json", document), rule)
}

/// The 42 bytes of a transparent one-pixel GIF, which answers every pixel request.
pub(super) fn image() -> Reply {
    with_cache_rule(fixed("image/gif", Bytes::from_static(GIF)), "no-store")
}

fn with_cache_rule(mut reply: Reply, rule: &'static str) -> Reply {
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(rule));
    reply
}

/// `reply` with the image as its body: otherwise pages would show a broken image.
pub(super) fn as_image(mut reply: Reply) -> Reply {
    let (parts, body) = image().into_parts();
    *reply.body_mut() = body;
    reply.headers_mut().extend(parts.headers);
    reply
}

/// The answer to a HEAD: as to a GET, without its body. HTTP/1.1 omits the body by itself; HTTP/2 would send
/// it.
pub(super) fn without_body(mut reply: Reply) -> Reply {
    if let Some(len) = hyper::body::Body::size_hint(reply.body()).exact() {
        reply.headers_mut().entry(CONTENT_LENGTH).or_insert(HeaderValue::from(len));
    }
    *reply.body_mut() = AnswerBody::default();
    reply
}

/// 204 without a body, for preflights.
pub(super) fn no_content() -> Reply {
    let mut reply = Response::new(AnswerBody::default());
    *reply.status_mut() = StatusCode::NO_CONTENT;
    reply
}

/// 200 with a body of the given type.
pub(super) fn fixed(content_type: &'static str, body: Bytes) -> Reply {
    let mut reply = Response::new(AnswerBody::new(body));
    reply.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    reply
}

fn json(status: StatusCode, body: &ErrorBody<'_>) -> Reply {
    // Serialising strings and a bool cannot fail; if it did, the status would still be right.
    let text = serde_json::to_vec(body).unwrap_or_default();
    let mut reply = fixed("application/json", Bytes::from(text));
    *reply.status_mut() = status;
    reply
}

const GIF: &[u8] =
    b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff!\xf9\x04\x01\x00\x00\x00\x00,\
\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x01D\x00;";

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    #[derive(Debug)]
    struct Always(u64);
    impl Random for Always {
        fn next_u64(&self) -> u64 {
            self.0
        }
    }

    #[test]
    fn every_refusal_has_the_status_that_sdks_need() {
        let check = |refusal: Refusal, status: u16, code: &str| {
            let answer = refusal.answer();
            assert_eq!((answer.status.as_u16(), answer.code), (status, code), "{refusal:?}");
            assert!(
                include_str!("../../docs/errors.md").contains(&format!("`{code}`")),
                "{code} has no line"
            );
            // Without it, SDKs retry at once, or never.
            assert_eq!(answer.retry_after.is_some(), matches!(status, 429 | 503), "{refusal:?}");
            for seed in [0, 1, 59, u64::MAX] {
                let reply = refusal.reply(&answer, &Always(seed));
                let after =
                    reply.headers().get(RETRY_AFTER).map(|v| v.to_str().unwrap().parse::<u64>().unwrap());
                assert!(after.is_none_or(|after| (1..=60).contains(&after)), "{after:?}");
            }
        };
        check(Refusal::NotFound(None), 404, "not_found");
        check(Refusal::Method("POST"), 405, "method_not_allowed");
        check(Refusal::UriTooLong(1), 414, "uri_too_long");
        check(Refusal::HeadTooLarge(1), 431, "headers_too_large");
        check(Refusal::UnknownCoding, 400, "unsupported_encoding");
        check(Refusal::BodyTooLarge(1), 400, "payload_too_large");
        check(Refusal::Decode(DecodeError::BadGzip), 400, "invalid_gzip");
        check(Refusal::Decode(DecodeError::TruncatedGzip), 400, "invalid_gzip");
        check(Refusal::Decode(DecodeError::DoubleGzip), 400, "invalid_gzip");
        check(Refusal::BodyTimeout, 408, "body_timeout");
        check(Refusal::BodyBroken, 400, "incomplete_body");
        check(Refusal::Body(BodyError::InvalidJson { what: "x", at: 1 }), 400, "invalid_json");
        check(Refusal::Body(BodyError::EventTooLarge { len: 2, limit: 1 }), 400, "payload_too_large");
        check(Refusal::Body(BodyError::NoBatch), 400, "invalid_batch");
        check(Refusal::Authorization(AuthError::Malformed), 401, "invalid_write_key");
        check(Refusal::Authorization(AuthError::Scheme), 401, "invalid_write_key");
        check(Refusal::Authorization(AuthError::Bearer), 401, "invalid_write_key");
        check(Refusal::NoWriteKey, 401, "invalid_write_key");
        check(Refusal::UnreadablePixel, 400, "bad_pixel_data");
        check(Refusal::UnknownWriteKey(KeyBeginning::of("")), 401, "invalid_write_key");
        check(Refusal::TooManySources(KeyBeginning::of("")), 401, "too_many_sources");
        check(Refusal::UnknownSettingsKey(KeyBeginning::of("")), 404, "invalid_write_key");
        check(Refusal::TooManyBytes, 503, "overloaded");
        check(Refusal::TooFast(Duration::ZERO), 429, "rate_limited");
        check(Refusal::TooFast(Duration::MAX), 429, "rate_limited");
        check(Refusal::Append(AppendError::TooLarge), 400, "payload_too_large");
        check(Refusal::Append(AppendError::Busy), 503, "busy");
        check(Refusal::Append(AppendError::NoBroker), 503, "no_broker");
        check(Refusal::Append(AppendError::Full), 503, "spool_full");
        check(Refusal::Append(AppendError::LocationFull), 503, "destination_full");
        check(Refusal::Append(AppendError::DayOver), 503, "day_over");
        check(Refusal::Append(AppendError::Unknown), 503, "outcome_unknown");
        check(Refusal::Append(AppendError::Stopped), 503, "spool_stopped");
        check(Refusal::TooSlow, 503, "too_slow");
        check(Refusal::Draining, 503, "draining");
    }

    #[test]
    fn the_image_matches_the_documented_one() {
        assert_eq!(STANDARD.encode(GIF), "R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7");
    }
}
