//! AWS's runtime interface emulator, which is in AWS's images of runtimes: it runs one function and answers
//! 200 whatever becomes of it. Pure.
//!
//! It knows the one path below, so it is used as a web address. Sources: `internal/lambda/rie/http.go` and
//! `handlers.go` of `aws/aws-lambda-runtime-interface-emulator`; its answers were compared with what a
//! program built from it sends.

use http::Uri;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The path that the emulator serves.
const PATH: &str = "/2015-03-31/functions/function/invocations";

/// What the emulator says about an invocation that was no success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// The function ran and failed.
    Failed,
    /// The function was ended after its timeout.
    TimedOut,
    /// The emulator runs another invocation.
    Busy,
}

/// What the error of a function has.
#[derive(Deserialize)]
struct Failed {
    #[serde(rename = "errorType")]
    _kind: String,
    #[serde(rename = "errorMessage")]
    _message: String,
    #[serde(flatten)]
    _rest: std::collections::BTreeMap<String, IgnoredAny>,
}

/// Whether the emulator answers at this address.
pub(super) fn is_at(to: &str) -> bool {
    to.parse::<Uri>().is_ok_and(|to| to.path() == PATH)
}

/// What the emulator reports by an answer; `None` if the status says what happened.
pub(super) fn said(status: u16, body: &[u8]) -> Option<Said> {
    match status {
        400 if body.is_empty() => Some(Said::Busy),
        200 if is_timeout(body) => Some(Said::TimedOut),
        200 | 502 => serde_json::from_slice::<Failed>(body).is_ok().then_some(Said::Failed),
        _ => None,
    }
}

/// What a function returns is JSON, which this is not.
fn is_timeout(body: &[u8]) -> bool {
    let seconds = body.strip_prefix(b"Task timed out after ").and_then(|rest| rest.strip_suffix(b" seconds"));
    seconds.is_some_and(|text| !text.is_empty() && text.iter().all(|b| b.is_ascii_digit() || *b == b'.'))
}
