//! Answers: the one place where every refusal gets its status.

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Response, StatusCode};
use http_body_util::{Either, Full};
use serde::Serialize;

use super::access::Refusal;
use super::admin_view::{FlushError, ReceiptUnread};
use super::archive_view::NotShown;
use super::destinations::DestinationError;
use super::host::Intruder;
use super::import_code;
use super::live::LiveStream;
use super::no_route::NoRoute;
use crate::import::TargetError;
use crate::sources::SourceId;

pub(super) type Answer = Response<AnswerBody>;

/// The body of an answer: complete when the answer begins, or made as time passes.
pub(super) type AnswerBody = Either<Full<Bytes>, Box<LiveStream>>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");
const OPENMETRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// Headers of every answer, unless it sets its own. No page may show an answer in a frame, and an answer that
/// a browser takes for a page can load and run nothing.
const GUARDS: [(HeaderName, HeaderValue); 5] = [
    (CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'")),
    (X_FRAME_OPTIONS, HeaderValue::from_static("DENY")),
    (REFERRER_POLICY, HeaderValue::from_static("no-referrer")),
    (X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff")),
    (HeaderName::from_static("cross-origin-resource-policy"), HeaderValue::from_static("same-origin")),
];

#[derive(Serialize)]
struct Refused<'a> {
    success: bool,
    code: &'static str,
    message: &'a str,
    /// The call of a step that the error is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    call: Option<u32>,
}

pub(super) fn json(status: StatusCode, value: &impl Serialize) -> Answer {
    match serde_json::to_vec(value) {
        Ok(body) => answer(status, JSON, body),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, "internal", &error.to_string()),
    }
}

pub(super) fn text(body: &'static str) -> Answer {
    answer(StatusCode::OK, TEXT, body)
}

pub(super) fn metrics(rendered: Result<String, std::fmt::Error>) -> Answer {
    match rendered {
        Ok(text) => answer(StatusCode::OK, OPENMETRICS, text),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, "internal", &error.to_string()),
    }
}

pub(super) fn live(stream: LiveStream) -> Answer {
    let mut answer = answer(StatusCode::OK, EVENTS, Bytes::new());
    // A proxy that collected the whole answer before it passed it on would show nothing.
    answer.headers_mut().insert("x-accel-buffering", HeaderValue::from_static("no"));
    *answer.body_mut() = Either::Right(Box::new(stream));
    answer
}

pub(super) fn live_off() -> Answer {
    refused(
        StatusCode::NOT_FOUND,
        "live_off",
        "the live view is off: set admin.live_view to \"masked\" or \"full\"",
    )
}

pub(super) fn too_many_viewers() -> Answer {
    refused(
        StatusCode::SERVICE_UNAVAILABLE,
        "too_many_viewers",
        "too many people watch the live view already: close another page of it",
    )
}

pub(super) fn intruder(why: Intruder) -> Answer {
    match why {
        Intruder::BadHost => {
            refused(StatusCode::BAD_REQUEST, "bad_host", "exactly one Host header is required")
        }
        Intruder::UnknownHost => refused(
            StatusCode::MISDIRECTED_REQUEST,
            "unknown_host",
            "unknown host name: use localhost, or add the name to admin.allowed_hosts",
        ),
        Intruder::CrossSite => {
            refused(StatusCode::FORBIDDEN, "cross_site", "requests from pages of other sites are not allowed")
        }
    }
}

/// The answer to a request that is refused.
pub(super) fn refusal(why: Refusal) -> Answer {
    let unauthorized = |message| {
        let mut answer = refused(StatusCode::UNAUTHORIZED, "unauthorized", message);
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        answer
    };
    match why {
        Refusal::NoToken => unauthorized(
            "the admin listener asks for a token: send `Authorization: Bearer TOKEN`, or open / in a browser and log in",
        ),
        Refusal::WrongToken => {
            unauthorized("the token is wrong: compare it with admin.token in forebay.toml")
        }
        Refusal::ReadOnly => refused(
            StatusCode::FORBIDDEN,
            "read_only",
            "this token is for reading only: to change something, use the one of admin.token",
        ),
        Refusal::TooManyGuesses(wait) => {
            let message = "too many wrong tokens came from this address: retry later";
            let answer = refused(StatusCode::TOO_MANY_REQUESTS, "too_many_guesses", message);
            retry_after(answer, wait.as_secs() + 1)
        }
    }
}

pub(super) fn no_route(why: &NoRoute) -> Answer {
    match why {
        NoRoute::Path => refused(
            StatusCode::NOT_FOUND,
            "not_found",
            "unknown path: use /metrics, /health, /ready, /api/status, /api/history, /api/live, /api/node, \
             /api/days, /api/ledger, /api/receipt, /api/deliveries, /api/archive, /api/imports, /api/sdks, \
             /api/session, /api/flush or /api/import",
        ),
        NoRoute::Method { allow } => {
            let message = format!("this path accepts {allow}");
            let mut answer = refused(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", &message);
            answer.headers_mut().insert(ALLOW, HeaderValue::from_static(allow));
            answer
        }
        NoRoute::Query(what) => refused(StatusCode::BAD_REQUEST, "bad_query", what),
    }
}

pub(super) fn unknown_source(source: &SourceId) -> Answer {
    refused(StatusCode::NOT_FOUND, "unknown_source", &format!("there is no source {source}"))
}

pub(super) fn receipt_unread(why: &ReceiptUnread) -> Answer {
    refused(StatusCode::SERVICE_UNAVAILABLE, "unread", &why.to_string())
}

pub(super) fn not_flushed(why: &FlushError) -> Answer {
    let (status, code) = match why {
        FlushError::UnknownSource(_) => (StatusCode::NOT_FOUND, "unknown_source"),
        FlushError::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopped"),
    };
    refused(status, code, &why.to_string())
}

/// The answer about deliveries, the archive or imports.
pub(super) fn shown(result: Result<impl Serialize, NotShown>) -> Answer {
    let why = match result {
        Ok(value) => return json(StatusCode::OK, &value),
        Err(why) => why,
    };
    let (status, code) = match &why {
        NotShown::UnknownSource(_) => (StatusCode::NOT_FOUND, "unknown_source"),
        NotShown::BadKey(_) => (StatusCode::BAD_REQUEST, "bad_key"),
        NotShown::Off => (StatusCode::NOT_FOUND, "live_off"),
        NotShown::NoObject(_) => (StatusCode::NOT_FOUND, "no_object"),
        NotShown::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
        NotShown::Slow(_) => (StatusCode::GATEWAY_TIMEOUT, "store_slow"),
        NotShown::Store(_) => (StatusCode::BAD_GATEWAY, "store_failed"),
        NotShown::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    };
    let answer = refused(status, code, &why.to_string());
    if why == NotShown::Busy { retry_after(answer, 3) } else { answer }
}

/// The answer about a destination.
pub(super) fn destination(result: Result<impl Serialize, DestinationError>) -> Answer {
    let why = match result {
        Ok(value) => return json(StatusCode::OK, &value),
        Err(why) => why,
    };
    let (status, code) = match &why {
        DestinationError::Unknown(_) => (StatusCode::NOT_FOUND, "unknown_destination"),
        DestinationError::Configured(_) => (StatusCode::CONFLICT, "configured"),
        DestinationError::Failed(_) => (StatusCode::SERVICE_UNAVAILABLE, "failed"),
    };
    refused(status, code, &why.to_string())
}

/// The answer to a request of an import.
pub(super) fn import(result: Result<impl Serialize, TargetError>) -> Answer {
    let error = match result {
        Ok(value) => return json(StatusCode::OK, &value),
        Err(error) => error,
    };
    let (status, code) = match &error {
        TargetError::OtherRow => (StatusCode::CONFLICT, import_code::OTHER_ROW),
        TargetError::NotOpen => (StatusCode::CONFLICT, import_code::NOT_OPEN),
        TargetError::OtherOptions => (StatusCode::CONFLICT, import_code::OTHER_OPTIONS),
        TargetError::IdTaken(call) => {
            return refused_for(StatusCode::CONFLICT, import_code::ID_TAKEN, &error.to_string(), Some(*call));
        }
        TargetError::GivenUp { .. } => (StatusCode::CONFLICT, import_code::GIVEN_UP),
        TargetError::NoSource(_) => (StatusCode::NOT_FOUND, import_code::NO_SOURCE),
        TargetError::Later { .. } => (StatusCode::SERVICE_UNAVAILABLE, import_code::LATER),
        TargetError::Refused(_) => (StatusCode::BAD_REQUEST, import_code::REFUSED),
        TargetError::Denied(_) => (StatusCode::FORBIDDEN, import_code::DENIED),
    };
    let answer = refused(status, code, &error.to_string());
    match error {
        TargetError::Later { after, .. } => retry_after(answer, after.as_secs().max(1)),
        _ => answer,
    }
}

pub(super) fn no_imports() -> Answer {
    refused(StatusCode::NOT_FOUND, "no_imports", "this process takes no imports")
}

pub(super) fn bad_body(error: &dyn std::fmt::Display) -> Answer {
    refused(StatusCode::BAD_REQUEST, "bad_body", &format!("the body cannot be used: {error}"))
}

pub(super) fn large_body(max: usize) -> Answer {
    let message = format!("the body has more than {max} bytes, which is the limit");
    refused(StatusCode::PAYLOAD_TOO_LARGE, "large_body", &message)
}

/// The answer to a login while too many others are read.
pub(super) fn busy() -> Answer {
    let message = "too many logins at once: retry in a second";
    retry_after(refused(StatusCode::SERVICE_UNAVAILABLE, "busy", message), 1)
}

/// The answer to a body of an import that came in slowly while others waited.
pub(super) fn gave_way() -> Answer {
    let message = "the body came in slowly while other imports waited: send it again";
    retry_after(refused(StatusCode::SERVICE_UNAVAILABLE, "busy", message), 1)
}

pub(super) fn slow_body() -> Answer {
    refused(StatusCode::REQUEST_TIMEOUT, "slow_body", "the body took too long")
}

fn retry_after(mut answer: Answer, seconds: u64) -> Answer {
    answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    answer
}

fn refused(status: StatusCode, code: &'static str, message: &str) -> Answer {
    refused_for(status, code, message, None)
}

fn refused_for(status: StatusCode, code: &'static str, message: &str, call: Option<u32>) -> Answer {
    let body = serde_json::to_vec(&Refused { success: false, code, message, call }).unwrap_or_default();
    answer(status, JSON, body)
}

/// Makes an answer without CORS headers, so that pages of other sites cannot read it.
fn answer(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Either::Left(Full::new(body.into())));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Adds the headers that every answer must have.
pub(super) fn guard(headers: &mut HeaderMap) {
    for (name, value) in GUARDS {
        headers.entry(name).or_insert(value);
    }
}
