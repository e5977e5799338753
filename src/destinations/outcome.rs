//! What became of one invocation: from the answer to success or a [`Failure`]. Pure.
//!
//! Sources: Lambda API Reference, `Invoke`, errors; the answer's headers `X-Amz-Function-Error` and
//! `X-Amz-Log-Result`.

use std::time::Duration;

use serde::Deserialize;

use super::class::Class;
use crate::store::reason::is_throttling;
use crate::words::{Told, outside_text_within};

/// The most bytes of a function's error that are kept.
const ERROR_BYTES_MAX: usize = 1_024;

/// How an invocation ended.
#[derive(Clone, Copy, Debug)]
pub enum Ending<'a> {
    /// The service answered.
    Answer(Answer<'a>),
    /// No answer came within the destination's timeout. The function may have run.
    TimedOut,
    /// The service could not be reached, so nothing was sent, and why.
    NoAnswer(&'a Told),
    /// The connection broke after the call was sent, and why. The function may have run.
    Broken(&'a Told),
    /// Nothing was sent: there are no credentials, or the role cannot be assumed, and why.
    NoCredentials(&'a Told),
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
    /// The service's id of the request, if it gave one.
    pub request_id: Option<&'a str>,
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
    /// What happened, in one bounded line. What the function or the service said is private: it may quote the
    /// call.
    pub what: Told,
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

/// What Lambda answers if it ended the function. Errors of runtimes have more members.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Ended {
    #[serde(rename = "errorType")]
    kind: Option<String>,
    #[serde(rename = "errorMessage")]
    message: String,
}

/// The error type of a function that Lambda ended after its timeout.
const TIMED_OUT: &str = "Sandbox.Timedout";

impl Ended {
    /// After how many seconds Lambda ended the function, and its id of the request, if this is what Lambda
    /// says: today `RequestId: ID Error: Task timed out after 3.00 seconds`, in older answers and emulators
    /// `2023-06-04T12:04:07Z ID Task timed out after 3.00 seconds`. The whole text is compared, because a
    /// function may say these words, too.
    fn timed_out(&self) -> Option<(&str, &str)> {
        let (before, seconds) = self.message.split_once(" Task timed out after ")?;
        let seconds = seconds.strip_suffix(" seconds")?;
        if self.kind.as_deref().is_some_and(|kind| kind != TIMED_OUT) {
            return None;
        }
        let id = match before.strip_prefix("RequestId: ") {
            Some(rest) => rest.strip_suffix(" Error:")?,
            None => before.split_once(' ').filter(|(at, _)| is_utc(at))?.1,
        };
        let is_number = (1..=9).contains(&seconds.len()) && seconds.parse::<f64>().is_ok_and(f64::is_finite);
        let is_id = id.len() == 36 && id.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b'-');
        (is_number && is_id).then_some((seconds, id))
    }
}

fn is_utc(text: &str) -> bool {
    text.ends_with('Z') && chrono::DateTime::parse_from_rfc3339(text).is_ok()
}

/// What became of an invocation.
pub fn outcome(ending: Ending<'_>) -> Result<(), Failure> {
    let failed = |class, what: &Told, retry_after| {
        let what = what.map(|text| outside_text_within(text, ERROR_BYTES_MAX).to_string());
        Err(Failure { class, what, retry_after })
    };
    let answer = match ending {
        Ending::TimedOut => return failed(Class::Timeout, &"no answer within the timeout".into(), None),
        Ending::NoAnswer(why) => return failed(Class::Network, why, None),
        Ending::Broken(why) => return failed(Class::Unanswered, why, None),
        Ending::NoCredentials(why) => return failed(Class::InvalidCredentials, why, None),
        Ending::Answer(answer) => answer,
    };
    if (200..300).contains(&answer.status) {
        let Some(kind) = answer.function_error else { return Ok(()) };
        let (class, what) = function_failed(kind, &answer);
        return failed(class, &what, None);
    }
    let said = answer.message.map_or_else(|| "no reason was given".into(), Told::private);
    let what = match answer.code {
        Some(code) => Told::plain(format!("{} ", answer.status)).and(&Told::word(code)),
        None => Told::plain(answer.status.to_string()),
    };
    let what = what.and(&": ".into()).and(&said);
    failed(class_of(answer.status, answer.code.unwrap_or("")), &what, answer.retry_after)
}

/// The function ran and failed.
fn function_failed(kind: &str, answer: &Answer<'_>) -> (Class, Told) {
    if let Some(seconds) = timed_out(kind, answer) {
        // This text is shown where the words of functions are hidden, so it quotes nothing of the answer.
        let what = format!("Lambda ended the function: it timed out after {seconds} seconds");
        return (Class::Timeout, Told::plain(what));
    }
    let Ok(FunctionError { kind: error, message }) = serde_json::from_slice(answer.body) else {
        let said = format!("{kind}: {}", String::from_utf8_lossy(answer.body));
        return (Class::ExecutionError, Told::private(said));
    };
    let message = message.unwrap_or_else(|| "no message".to_owned());
    (Class::ExecutionError, Told::private(format!("{}: {message}", error.as_deref().unwrap_or(kind))))
}

/// After how many seconds Lambda ended the function, if it did. The service has one id for a request, which a
/// function knows but another function's error that it hands on has not.
fn timed_out(kind: &str, answer: &Answer<'_>) -> Option<String> {
    let ended: Ended = serde_json::from_slice(answer.body).ok().filter(|_| kind == "Unhandled")?;
    let (seconds, id) = ended.timed_out()?;
    answer.request_id.is_none_or(|request| request == id).then(|| seconds.to_owned())
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
        _ if is_throttling(status, code) => Class::Throttled,
        "ServiceUnavailable" | "ServiceUnavailableException" | "InternalFailure" => Class::Unavailable,
        "RequestTooLargeException" => Class::TooLarge,
        "InvalidRequestContentException"
        | "InvalidParameterValueException"
        | "UnsupportedMediaTypeException" => Class::BadRequest,
        // A function that is not ready answers 408, 409 or 410: SnapStart, EFS, an update under way.
        _ => match status {
            401 | 403 => Class::AccessDenied,
            404 => Class::NotFound,
            413 => Class::TooLarge,
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
        for code in ["Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequestsException"]
        {
            check(400, code, Class::Throttled);
        }
        check(400, "ServiceUnavailable", Class::Unavailable);
    }

    #[test]
    fn a_function_that_fails_says_why() {
        let body = br#"{"errorType":"KeyError","errorMessage":"'event'","requestId":"1","stackTrace":["a"]}"#;
        let failed =
            failure(Answer { status: 200, function_error: Some("Unhandled"), body, ..Answer::default() });
        assert_eq!((failed.class, failed.what.full()), (Class::ExecutionError, "KeyError: 'event'"));
        let odd = failure(Answer {
            status: 200,
            function_error: Some("Handled"),
            body: b"oh\x1b",
            ..Answer::default()
        });
        assert_eq!((odd.class, odd.what.full()), (Class::ExecutionError, "Handled: oh\\u{1b}"));
    }

    /// The error of a function may have any words. It was retried as a time-out, and shown to everybody.
    #[test]
    fn only_lambda_itself_says_that_a_function_timed_out() {
        const ID: &str = "698aba69-5b39-49c9-a1e3-5b0965917cc4";
        let of = |function_error, request_id, body: &str| {
            failure(Answer {
                status: 200,
                function_error: Some(function_error),
                request_id,
                body: body.as_bytes(),
                ..Answer::default()
            })
        };
        let today = format!(
            r#"{{"errorType":"Sandbox.Timedout","errorMessage":"RequestId: {ID} Error: Task timed out after 3.00 seconds"}}"#
        );
        let before =
            format!(r#"{{"errorMessage":"2023-06-04T12:04:07Z {ID} Task timed out after 3.00 seconds"}}"#);
        let typed = before.replacen('{', r#"{"errorType":"Sandbox.Timedout","#, 1);
        for body in [&today, &before, &before.replace("07Z", "07.123Z"), &typed] {
            for request_id in [None, Some(ID)] {
                let failed = of("Unhandled", request_id, body);
                assert_eq!(failed.class, Class::Timeout, "{body}");
                assert_eq!(
                    failed.what.masked(),
                    "Lambda ended the function: it timed out after 3.00 seconds"
                );
            }
        }
        let counterfeit = |function_error, request_id, body: &str| {
            assert_eq!(of(function_error, request_id, body).class, Class::ExecutionError, "{body}");
        };
        counterfeit("Handled", None, &today);
        counterfeit("Unhandled", Some("another"), &today);
        counterfeit("Unhandled", Some("another"), &before);
        for (from, to) in [
            ("3.00", "me@example.com"),
            ("3.00 seconds", "3.00 seconds for me@example.com"),
            ("RequestId", "me@example.com RequestId"),
            (ID, "me@example.com"),
            ("Sandbox.Timedout", "TimeoutError"),
            ("}", r#","stackTrace":[]}"#),
            ("}", r#","requestId":"1"}"#),
        ] {
            counterfeit("Unhandled", None, &today.replace(from, to));
        }
        counterfeit("Unhandled", None, &before.replace("2023-06-04T12:04:07Z", "me@example.com"));
        counterfeit(
            "Unhandled",
            None,
            r#"{"errorType":"E","errorMessage":"Task timed out after 3.00 seconds"}"#,
        );
        counterfeit("Unhandled", None, r#"{"errorMessage":"Task timed out after 3.00 seconds"}"#);
        counterfeit("Unhandled", None, r#""Task timed out after 3.00 seconds""#);
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
        assert!(failure(answer).what.full().len() <= ERROR_BYTES_MAX + "…".len());
    }
}
