//! Refused requests: one log line a minute, and an explanation for the client.

use std::net::IpAddr;
use std::sync::Mutex;

use http::{Response, StatusCode};
use s3s::Body;
use tokio::time::Instant;

use crate::lock::lock;
use crate::once_a_minute::OnceAMinute;

/// The message for a client with a wrong secret; the S3 layer gives the code alone.
const WRONG_SECRET: &str = "<Message>the signature does not fit: the client needs the secret access key of this \
                            server</Message>";

/// The refusals of a server. Whoever reaches it can cause them, so the log has one line a minute.
#[derive(Debug)]
pub(super) struct Refusals {
    began: Instant,
    lines: Mutex<OnceAMinute<()>>,
}

impl Refusals {
    pub(super) fn new() -> Self {
        Self { began: Instant::now(), lines: Mutex::default() }
    }

    /// Logs an answer by which a request of a stranger is refused, or a failure of the server, and explains it.
    pub(super) fn note(&self, answer: &mut Response<Body>, peer: Option<IpAddr>) {
        let status = answer.status();
        if status != StatusCode::FORBIDDEN && !status.is_server_error() {
            return;
        }
        let body = answer.body().bytes().unwrap_or_default();
        let text = String::from_utf8_lossy(&body);
        let code = code(&text).unwrap_or_default();
        if let Some(line) = lock(&self.lines).happened((), self.began.elapsed()) {
            let (status, times) = (status.as_u16(), line.times);
            let peer = peer.map(|peer| peer.to_string()).unwrap_or_default();
            tracing::warn!(times, status, code, peer, "requests are refused; this is the last one");
        }
        if code == "SignatureDoesNotMatch" && !text.contains("<Message>") {
            let told = text.replacen("</Code>", &format!("</Code>{WRONG_SECRET}"), 1);
            *answer.body_mut() = Body::from(told);
        }
    }
}

/// The code of an error.
fn code(xml: &str) -> Option<&str> {
    Some(xml.split_once("<Code>")?.1.split_once("</Code>")?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_secret_is_explained_and_other_answers_stay() {
        let refusals = Refusals::new();
        let unexplained = "<Error><Code>SignatureDoesNotMatch</Code></Error>";
        let explained = format!("<Error><Code>SignatureDoesNotMatch</Code>{WRONG_SECRET}</Error>");
        let stale = "<Error><Code>SignatureDoesNotMatch</Code><Message>the date</Message></Error>";
        let denied = "<Error><Code>AccessDenied</Code></Error>";
        for (status, body, expected) in [
            (403, unexplained, explained.as_str()),
            (403, stale, stale),
            (403, denied, denied),
            (200, unexplained, unexplained),
        ] {
            let mut answer = Response::new(Body::from(body.to_owned()));
            *answer.status_mut() = StatusCode::from_u16(status).unwrap();
            refusals.note(&mut answer, None);
            assert_eq!(answer.body().bytes().unwrap(), expected, "{status} {body}");
        }
    }
}
