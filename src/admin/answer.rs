//! Answers: the one place where every refusal gets its status.

use std::fmt::Display;
use std::io::{self, Write};

use bytes::Bytes;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue,
    REFERRER_POLICY, RETRY_AFTER, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{Response, StatusCode};
use http_body_util::{Either, Full};
use serde::Serialize;

use super::access::Refusal;
use super::admin_view::AdminError;
use super::archive_view::NotShown;
use super::bucket_imports::BucketImportError;
use super::conflicts::NotResolved;
use super::destinations::DestinationError;
use super::host::Intruder;
use super::import_code;
use super::live::LiveStream;
use super::no_route::NoRoute;
use crate::import::TargetError;

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
    match in_one_piece(value) {
        Ok(body) => answer(status, JSON, body),
        Err(error) => refused(StatusCode::INTERNAL_SERVER_ERROR, "internal", &error.to_string()),
    }
}

/// JSON in a buffer of its length. One that grows by doubling would take, with ten thousand sources, 12 MB for 4.
fn in_one_piece(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut length = Length(0);
    serde_json::to_writer(&mut length, value)?;
    let mut body = Vec::with_capacity(length.0);
    serde_json::to_writer(&mut body, value)?;
    Ok(body)
}

/// Counts what is written.
struct Length(usize);

impl Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn ok(value: &impl Serialize) -> Answer {
    json(StatusCode::OK, value)
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
    let message = "the live view is off: set admin.live_view to \"masked\" or \"full\"";
    refused(StatusCode::NOT_FOUND, "live_off", message)
}

pub(super) fn too_many_viewers() -> Answer {
    let message = "too many people watch the live view already: close another page of it";
    refused(StatusCode::SERVICE_UNAVAILABLE, "too_many_viewers", message)
}

/// An error that a request is answered with. Its text is the message of the answer.
pub(super) trait Refusing: Display {
    /// The status of the answer, and the error's code.
    fn code(&self) -> (StatusCode, &'static str);

    /// The seconds after which the same request may succeed.
    fn retry_after(&self) -> Option<u64> {
        None
    }

    /// The call of a step that the error is about.
    fn call(&self) -> Option<u32> {
        None
    }
}

impl Refusing for Intruder {
    fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadHost => (StatusCode::BAD_REQUEST, "bad_host"),
            Self::UnknownHost => (StatusCode::MISDIRECTED_REQUEST, "unknown_host"),
            Self::CrossSite => (StatusCode::FORBIDDEN, "cross_site"),
        }
    }
}

impl Refusing for Refusal {
    fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoToken | Self::WrongToken => (StatusCode::UNAUTHORIZED, "unauthorized"),
            Self::ReadOnly => (StatusCode::FORBIDDEN, "read_only"),
            Self::TooManyGuesses(_) => (StatusCode::TOO_MANY_REQUESTS, "too_many_guesses"),
        }
    }

    fn retry_after(&self) -> Option<u64> {
        if let Self::TooManyGuesses(wait) = self { Some(wait.as_secs() + 1) } else { None }
    }
}

impl Refusing for AdminError {
    fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::UnknownSource(_) => (StatusCode::NOT_FOUND, "unknown_source"),
            Self::Stopped => (StatusCode::SERVICE_UNAVAILABLE, "stopped"),
            Self::Unread(_) => (StatusCode::SERVICE_UNAVAILABLE, "unread"),
            Self::OfWriters => (StatusCode::CONFLICT, "of_writers"),
        }
    }
}

impl Refusing for NotResolved {
    fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NoPartitions => (StatusCode::NOT_FOUND, "no_partitions"),
            Self::NotOwned { .. } => (StatusCode::CONFLICT, "not_owned"),
            Self::NoConflict { .. } => (StatusCode::CONFLICT, "no_conflict"),
            Self::NotNow { .. } => (StatusCode::SERVICE_UNAVAILABLE, "not_now"),
        }
    }
}

impl Refusing for NotShown {
    fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::UnknownSource(_) => (StatusCode::NOT_FOUND, "unknown_source"),
            Self::BadKey(_) => (StatusCode::BAD_REQUEST, "bad_key"),
            Self::Off => (StatusCode::NOT_FOUND, "live_off"),
            Self::NoObject(_) => (StatusCode::NOT_FOUND, "no_object"),
            Self::Busy | Self::Searching => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Slow(_) => (StatusCode::GATEWAY_TIMEOUT, "store_slow"),
            Self::Store(_) => (StatusCode::BAD_GATEWAY, "store_failed"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        }
    }

    fn retry_after(&self) -> Option<u64> {
        matches!(self, Self::Busy | Self::Searching).then_some(3)
    }
}

impl Refusing for DestinationError {
    fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unknown(_) => (StatusCode::NOT_FOUND, "unknown_destination"),
            Self::Configured(_) => (StatusCode::CONFLICT, "configured"),
            Self::Failed(_) => (StatusCode::SERVICE_UNAVAILABLE, "failed"),
        }
    }
}

impl Refusing for BucketImportError {
    fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Unknown(..) => (StatusCode::NOT_FOUND, import_code::UNKNOWN_IMPORT),
            Self::Paused(_) | Self::OnHold(_) => (StatusCode::CONFLICT, import_code::PAUSED),
            Self::Refused(_) => (StatusCode::CONFLICT, import_code::NAME_REFUSED),
            Self::NotPossible(_) => (StatusCode::CONFLICT, import_code::NOT_POSSIBLE),
            Self::Failed(_) => (StatusCode::INTERNAL_SERVER_ERROR, "failed"),
            Self::StoreDenied(_) => (StatusCode::BAD_GATEWAY, import_code::STORE_DENIED),
            Self::StoreFailed(_) => (StatusCode::BAD_GATEWAY, import_code::STORE_FAILED),
            Self::Stopped(_) => (StatusCode::SERVICE_UNAVAILABLE, "stopped"),
        }
    }
}

impl Refusing for TargetError {
    fn code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::OtherRow => (StatusCode::CONFLICT, import_code::OTHER_ROW),
            Self::NotOpen => (StatusCode::CONFLICT, import_code::NOT_OPEN),
            Self::OtherOptions => (StatusCode::CONFLICT, import_code::OTHER_OPTIONS),
            Self::IdTaken(_) => (StatusCode::CONFLICT, import_code::ID_TAKEN),
            Self::GivenUp { .. } => (StatusCode::CONFLICT, import_code::GIVEN_UP),
            Self::NoSource(_) => (StatusCode::NOT_FOUND, import_code::NO_SOURCE),
            Self::Later { .. } => (StatusCode::SERVICE_UNAVAILABLE, import_code::LATER),
            Self::Refused(_) => (StatusCode::BAD_REQUEST, import_code::REFUSED),
            Self::Denied(_) => (StatusCode::FORBIDDEN, import_code::DENIED),
        }
    }

    fn retry_after(&self) -> Option<u64> {
        if let Self::Later { after, .. } = self { Some(after.as_secs().max(1)) } else { None }
    }

    fn call(&self) -> Option<u32> {
        if let Self::IdTaken(call) = self { Some(*call) } else { None }
    }
}

/// The answer with a value, or with the error in its place.
pub(super) fn of(result: Result<impl Serialize, impl Refusing>) -> Answer {
    match result {
        Ok(value) => ok(&value),
        Err(why) => refusal(&why),
    }
}

/// The answer to a request that is refused.
pub(super) fn refusal(why: &impl Refusing) -> Answer {
    let (status, code) = why.code();
    let mut answer = refused_for(status, code, &why.to_string(), why.call());
    if status == StatusCode::UNAUTHORIZED {
        answer.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    match why.retry_after() {
        Some(seconds) => retry_after(answer, seconds),
        None => answer,
    }
}

pub(super) fn no_route(why: &NoRoute) -> Answer {
    match why {
        NoRoute::Path => refused(
            StatusCode::NOT_FOUND,
            "not_found",
            "unknown path: use /metrics, /health, /ready, /api/status, /api/history, /api/live, /api/refused, /api/node, \
             /api/days, /api/ledger, /api/receipt, /api/find, /api/deliveries, /api/archive, /api/imports, /api/sdks, \
             /api/session, /api/flush, /api/kafka/resolve or /api/import",
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

/// The answer of a listener that has metrics alone.
pub(super) fn only_metrics() -> Answer {
    refused(StatusCode::NOT_FOUND, "not_found", "unknown path: this listener has /metrics alone")
}

pub(super) fn no_imports() -> Answer {
    refused(StatusCode::NOT_FOUND, "no_imports", "this process takes no imports")
}

pub(super) fn bad_body(error: &dyn Display) -> Answer {
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
