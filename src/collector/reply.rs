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
use crate::call::{BodyError, RejectReason};
use crate::ingest::{IngestError, Receipts};
use crate::log::{AppendError, LOCATION_FULL, OUTCOME_UNKNOWN, SPOOL_FULL};
use crate::random::Random;
use crate::receipt;

/// An answer. All bodies are small and in one piece.
pub(super) type Reply = Response<AnswerBody>;

/// When a client should retry, in seconds. A value is drawn at random, so that clients do not all retry at
/// once.
const SOON: RangeInclusive<u64> = 1..=5;
/// For causes that take longer to fix.
const LATER: RangeInclusive<u64> = 10..=60;

/// Why a request is not answered 200.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    NotFound,
    Method {
        allow: &'static str,
    },
    UriTooLong {
        limit: usize,
    },
    HeadTooLarge {
        limit: usize,
    },
    UnknownCoding,
    BodyTooLarge {
        limit: usize,
    },
    Decode(DecodeError),
    BodyTimeout,
    BodyBroken,
    Body(BodyError),
    Authorization(AuthError),
    NoWriteKey,
    /// Nothing in a pixel's query can be read, not even a write key.
    UnreadablePixel,
    UnknownWriteKey,
    TooManySources,
    UnknownSettingsKey,
    TooManyBytes,
    Append(AppendError),
    /// This source sends more calls than its limit allows.
    TooFast {
        wait: Duration,
    },
    TooSlow,
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
        let answer = |status, code, message: &str| Answer {
            status,
            code,
            message: message.to_owned(),
            retry_after: None,
            close: false,
        };
        let retry = |answer: Answer, after: &RangeInclusive<u64>| Answer {
            retry_after: Some(after.clone()),
            ..answer
        };
        let close = |answer: Answer| Answer { close: true, ..answer };
        match self {
            Self::NotFound => answer(S::NOT_FOUND, "not_found", "there is no route for this path"),
            Self::Method { allow } => {
                answer(S::METHOD_NOT_ALLOWED, "method_not_allowed", &format!("this route accepts {allow}"))
            }
            Self::UriTooLong { limit } => close(answer(
                S::URI_TOO_LONG,
                "uri_too_long",
                &format!("the path and query are longer than {limit} bytes"),
            )),
            Self::HeadTooLarge { limit } => close(answer(
                S::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "headers_too_large",
                &format!("the headers are longer than {limit} bytes"),
            )),
            Self::UnknownCoding => answer(
                S::BAD_REQUEST,
                "unsupported_encoding",
                "content-encoding must be gzip (one layer) or identity",
            ),
            Self::BodyTooLarge { limit } => close(answer(
                S::BAD_REQUEST,
                "payload_too_large",
                &format!("the body is longer than {limit} bytes"),
            )),
            Self::Decode(error) => decode_answer(*error),
            Self::BodyTimeout => {
                close(answer(S::REQUEST_TIMEOUT, "body_timeout", "the body did not arrive in time"))
            }
            Self::BodyBroken => {
                close(answer(S::BAD_REQUEST, "incomplete_body", "the body ended before it was complete"))
            }
            Self::Body(error) => answer(S::BAD_REQUEST, body_code(error), &error.to_string()),
            Self::Authorization(AuthError::Malformed) => answer(
                S::UNAUTHORIZED,
                "invalid_write_key",
                "the authorization header must be Basic with base64 of the write key and a colon",
            ),
            Self::Authorization(AuthError::Scheme) => {
                answer(S::UNAUTHORIZED, "invalid_write_key", "the authorization scheme must be Basic")
            }
            Self::Authorization(AuthError::Bearer) => answer(
                S::UNAUTHORIZED,
                "invalid_write_key",
                "bearer tokens are not accepted: send a write key",
            ),
            Self::NoWriteKey => answer(S::UNAUTHORIZED, "invalid_write_key", "the request has no write key"),
            Self::UnreadablePixel => {
                answer(S::BAD_REQUEST, "bad_pixel_data", "the query contains no readable call or write key")
            }
            Self::UnknownWriteKey => {
                answer(S::UNAUTHORIZED, "invalid_write_key", "the write key belongs to no source")
            }
            Self::TooManySources => answer(
                S::UNAUTHORIZED,
                "too_many_sources",
                "every write key becomes a source, and the limit of sources is reached",
            ),
            Self::UnknownSettingsKey => {
                answer(S::NOT_FOUND, "invalid_write_key", "the write key belongs to no source")
            }
            Self::TooManyBytes => close(retry(
                answer(S::SERVICE_UNAVAILABLE, "overloaded", "too many requests are being read"),
                &SOON,
            )),
            Self::Append(error) => append_answer(*error),
            Self::TooFast { wait } => {
                let seconds = wait.as_secs().saturating_add(1).clamp(1, *LATER.end());
                let answer = answer(
                    S::TOO_MANY_REQUESTS,
                    "rate_limited",
                    "this source exceeds its rate limit; retry after the time in retry-after",
                );
                retry(answer, &(seconds..=seconds.saturating_add(2).min(*LATER.end())))
            }
            Self::TooSlow => {
                retry(answer(S::SERVICE_UNAVAILABLE, "too_slow", "the calls were not stored in time"), &SOON)
            }
            Self::Draining => close(retry(
                answer(S::SERVICE_UNAVAILABLE, "draining", "the collector is shutting down"),
                &SOON,
            )),
        }
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
        if let Self::Method { allow } = self {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if answer.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        reply
    }
}

fn decode_answer(error: DecodeError) -> Answer {
    let (code, message, close) = match error {
        // Callers that know the limit report it; this arm only gives the code.
        DecodeError::TooLarge => ("payload_too_large", "the body is too long", true),
        DecodeError::BadGzip => ("invalid_gzip", "the body is not gzip, or is damaged", true),
        DecodeError::TruncatedGzip => ("invalid_gzip", "the gzip data ends too early", false),
        DecodeError::DoubleGzip => ("invalid_gzip", "the body is gzip inside gzip; send one layer", false),
    };
    Answer { status: StatusCode::BAD_REQUEST, code, message: message.to_owned(), retry_after: None, close }
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
            IngestError::TooFast { wait } => Self::TooFast { wait },
            IngestError::Append(error) => Self::Append(error),
        }
    }
}

fn append_answer(error: AppendError) -> Answer {
    let (status, code, retry_after) = match error {
        AppendError::TooLarge => (StatusCode::BAD_REQUEST, "payload_too_large", None),
        AppendError::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy", Some(SOON)),
        AppendError::Full => (StatusCode::SERVICE_UNAVAILABLE, SPOOL_FULL, Some(LATER)),
        AppendError::LocationFull => (StatusCode::SERVICE_UNAVAILABLE, LOCATION_FULL, Some(LATER)),
        // Only imports are appended in steps.
        AppendError::OtherRow { .. } => (StatusCode::CONFLICT, "other_row", None),
        AppendError::Known { .. } => (StatusCode::CONFLICT, "id_taken", None),
        AppendError::DayOver => (StatusCode::SERVICE_UNAVAILABLE, "day_over", Some(SOON)),
        AppendError::TooManyStreams => (StatusCode::BAD_REQUEST, "too_many_collections", None),
        AppendError::Unknown => (StatusCode::SERVICE_UNAVAILABLE, OUTCOME_UNKNOWN, Some(LATER)),
        AppendError::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "spool_stopped", Some(LATER)),
    };
    Answer { status, code, message: error.to_string(), retry_after, close: false }
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

/// `reply` with the receipts of the stored calls, if there are any.
pub(super) fn with_receipts(mut reply: Reply, receipts: Option<&Receipts>) -> Reply {
    // They have only characters that a header may have.
    if let Some(Ok(value)) = receipts.map(|receipts| HeaderValue::try_from(receipts.to_string())) {
        reply.headers_mut().insert(receipt::HEADER, value);
    }
    reply
}

/// The answer to `/health`.
pub(super) fn healthy() -> Reply {
    let mut reply = fixed("application/json", Bytes::from_static(b"{\"status\":\"ok\"}"));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// A document that SDKs load first. It may be cached for five minutes: by the client alone, or also by shared
/// caches.
pub(super) fn cached(document: Bytes, by_client_alone: bool) -> Reply {
    let mut reply = fixed("application/json", document);
    let rule = if by_client_alone { "private, max-age=300" } else { "public, max-age=300" };
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(rule));
    reply
}

/// The 42 bytes of a transparent one-pixel GIF, which answers every pixel request.
pub(super) fn image() -> Reply {
    let mut reply = fixed("image/gif", Bytes::from_static(GIF));
    reply.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
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
        check(Refusal::NotFound, 404, "not_found");
        check(Refusal::Method { allow: "POST" }, 405, "method_not_allowed");
        check(Refusal::UriTooLong { limit: 1 }, 414, "uri_too_long");
        check(Refusal::HeadTooLarge { limit: 1 }, 431, "headers_too_large");
        check(Refusal::UnknownCoding, 400, "unsupported_encoding");
        check(Refusal::BodyTooLarge { limit: 1 }, 400, "payload_too_large");
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
        check(Refusal::UnknownWriteKey, 401, "invalid_write_key");
        check(Refusal::TooManySources, 401, "too_many_sources");
        check(Refusal::UnknownSettingsKey, 404, "invalid_write_key");
        check(Refusal::TooManyBytes, 503, "overloaded");
        check(Refusal::TooFast { wait: Duration::ZERO }, 429, "rate_limited");
        check(Refusal::TooFast { wait: Duration::MAX }, 429, "rate_limited");
        check(Refusal::Append(AppendError::TooLarge), 400, "payload_too_large");
        check(Refusal::Append(AppendError::Busy), 503, "busy");
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
