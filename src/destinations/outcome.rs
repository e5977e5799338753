//! What became of one invocation: from the answer to success or a [`Failure`]. Pure.
//!
//! Sources: Lambda API Reference, `Invoke`, errors; the answer's headers `X-Amz-Function-Error` and `X-Amz-Log-Result`.

use std::time::Duration;

use serde::Deserialize;

use super::class::Class;
use crate::words::outside_text_within;

/// The most bytes of a function's error that are kept.
const ERROR_BYTES_MAX: usize = 1_024;

/// How an invocation ended.
#[derive(Clone, Copy, Debug)]
pub enum Ending<'a> {
    /// The service answered.
    Answer(Answer<'a>),
    /// No answer came within the destination's timeout. The function may have run.
    TimedOut,
    /// The service could not be reached, or the connection broke.
    NoAnswer {
        /// Why.
        why: &'a str,
    },
    /// Nothing was sent: there are no credentials, or the role cannot be assumed.
    NoCredentials {
        /// Why.
        why: &'a str,
    },
}

/// An answer of the service.
#[derive(Clone, Copy, Debug, Default)]
pub struct Answer<'a> {
    /// The HTTP status.
    pub status: u16,
    /// The service's error code, if it gave one.
    pub code: Option<&'a str>,
    /// The service's message, if it gave one.
    pub message: Option<&'a str>,
    /// `X-Amz-Function-Error`: the function ran and failed.
    pub function_error: Option<&'a str>,
    /// What the function answered.
    pub body: &'a [u8],
    /// When to try again, if the service says.
    pub retry_after: Option<Duration>,
}

/// The longest pause that a service's Retry-After gets.
const PAUSE_MAX: Duration = Duration::from_secs(300);

/// A failed invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The class.
    pub class: Class,
    /// What happened, in one bounded line.
    pub what: String,
    /// When to try again, if the service says.
    pub retry_after: Option<Duration>,
}

impl Failure {
    /// How long the service asks not to be called: at most five minutes are followed.
    pub fn pause(&self) -> Option<Duration> {
        self.retry_after.map(|after| after.min(PAUSE_MAX))
    }
}

/// What a function of any runtime answers if it fails.
#[derive(Deserialize)]
struct FunctionError {
    #[serde(rename = "errorType")]
    kind: Option<String>,
    #[serde(rename = "errorMessage")]
    message: Option<String>,
}

/// What became of an invocation.
///
/// # Errors
/// [`Failure`].
pub fn outcome(ending: Ending<'_>) -> Result<(), Failure> {
    let failed = |class, what: &str, retry_after| {
        Err(Failure { class, what: outside_text_within(what, ERROR_BYTES_MAX).to_string(), retry_after })
    };
    let answer = match ending {
        Ending::TimedOut => return failed(Class::Timeout, "no answer within the timeout", None),
        Ending::NoAnswer { why } => return failed(Class::Network, why, None),
        Ending::NoCredentials { why } => return failed(Class::InvalidCredentials, why, None),
        Ending::Answer(answer) => answer,
    };
    if (200..300).contains(&answer.status) {
        let Some(kind) = answer.function_error else { return Ok(()) };
        let (class, what) = function_failed(kind, answer.body);
        return failed(class, &what, None);
    }
    let said = answer.message.unwrap_or("no reason was given");
    let what = match answer.code {
        Some(code) => format!("{} {code}: {said}", answer.status),
        None => format!("{}: {said}", answer.status),
    };
    failed(class_of(answer.status, answer.code.unwrap_or("")), &what, answer.retry_after)
}

/// The function ran and failed.
fn function_failed(kind: &str, body: &[u8]) -> (Class, String) {
    let Ok(FunctionError { kind: error, message }) = serde_json::from_slice(body) else {
        return (Class::ExecutionError, format!("{kind}: {}", String::from_utf8_lossy(body)));
    };
    let message = message.unwrap_or_else(|| "no message".to_owned());
    let timed_out = error.as_deref() == Some("Sandbox.Timedout") || message.contains("Task timed out after");
    let class = if timed_out { Class::Timeout } else { Class::ExecutionError };
    (class, format!("{}: {message}", error.as_deref().unwrap_or(kind)))
}

/// Codes of credentials that are not accepted, with any status.
const CREDENTIALS: [&str; 8] = [
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationTokenException",
    "UnrecognizedClientException",
];

fn class_of(status: u16, code: &str) -> Class {
    match code {
        _ if CREDENTIALS.contains(&code) => Class::InvalidCredentials,
        "RecursiveInvocationException" => Class::Recursive,
        "AccessDeniedException" => Class::AccessDenied,
        "ResourceNotFoundException" | "NoPublishedVersionException" => Class::NotFound,
        "TooManyRequestsException" | "ThrottlingException" => Class::Throttled,
        "RequestTooLargeException" => Class::TooLarge,
        "InvalidRequestContentException"
        | "InvalidParameterValueException"
        | "UnsupportedMediaTypeException" => Class::BadRequest,
        // 408, 409 and 410 are what a function says that is not ready: SnapStart, EFS, an update under way.
        _ => match status {
            401 | 403 => Class::AccessDenied,
            404 => Class::NotFound,
            413 => Class::TooLarge,
            429 => Class::Throttled,
            400 | 415 | 422 => Class::BadRequest,
            _ => Class::Unavailable,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failure(answer: Answer<'_>) -> Failure {
        outcome(Ending::Answer(answer)).unwrap_err()
    }

    #[test]
    fn answers_are_classified_as_the_service_documents_them() {
        let check = |status, code: &str, class| {
            let code = Some(code).filter(|code| !code.is_empty());
            assert_eq!(
                failure(Answer { status, code, ..Answer::default() }).class,
                class,
                "{status} {code:?}"
            );
        };
        check(403, "AccessDeniedException", Class::AccessDenied);
        check(403, "", Class::AccessDenied);
        check(403, "UnrecognizedClientException", Class::InvalidCredentials);
        check(403, "InvalidSignatureException", Class::InvalidCredentials);
        check(400, "ExpiredTokenException", Class::InvalidCredentials);
        check(404, "ResourceNotFoundException", Class::NotFound);
        check(404, "NoPublishedVersionException", Class::NotFound);
        check(429, "TooManyRequestsException", Class::Throttled);
        check(413, "RequestTooLargeException", Class::TooLarge);
        check(400, "InvalidRequestContentException", Class::BadRequest);
        check(415, "UnsupportedMediaTypeException", Class::BadRequest);
        check(400, "RecursiveInvocationException", Class::Recursive);
        check(500, "ServiceException", Class::Unavailable);
        check(502, "EC2AccessDeniedException", Class::Unavailable);
        check(502, "KMSDisabledException", Class::Unavailable);
        check(502, "ENILimitReachedException", Class::Unavailable);
        check(409, "ResourceConflictException", Class::Unavailable);
        check(408, "SnapStartTimeoutException", Class::Unavailable);
        check(410, "EFSMountFailureException", Class::Unavailable);
        check(503, "", Class::Unavailable);
    }

    #[test]
    fn a_function_that_fails_says_why() {
        let body = br#"{"errorType":"KeyError","errorMessage":"'event'","requestId":"1","stackTrace":["a"]}"#;
        let failed =
            failure(Answer { status: 200, function_error: Some("Unhandled"), body, ..Answer::default() });
        assert_eq!((failed.class, failed.what.as_str()), (Class::ExecutionError, "KeyError: 'event'"));
        let slow = br#"{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: 1 Error: Task timed out after 3.00 seconds"}"#;
        let failed = failure(Answer {
            status: 200,
            function_error: Some("Unhandled"),
            body: slow,
            ..Answer::default()
        });
        assert_eq!(failed.class, Class::Timeout);
        let odd = failure(Answer {
            status: 200,
            function_error: Some("Handled"),
            body: b"oh\x1b",
            ..Answer::default()
        });
        assert_eq!((odd.class, odd.what.as_str()), (Class::ExecutionError, "Handled: oh\\u{1b}"));
    }

    #[test]
    fn success_is_any_status_of_200_without_a_function_error() {
        for status in [200, 202, 204] {
            assert_eq!(outcome(Ending::Answer(Answer { status, ..Answer::default() })), Ok(()));
        }
    }

    #[test]
    fn what_a_function_says_is_bounded() {
        let body = format!(r#"{{"errorType":"E","errorMessage":"{}"}}"#, "x".repeat(100_000));
        let answer = Answer {
            status: 200,
            function_error: Some("Unhandled"),
            body: body.as_bytes(),
            ..Answer::default()
        };
        assert!(failure(answer).what.len() <= ERROR_BYTES_MAX + "…".len());
    }
}
