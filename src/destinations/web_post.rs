//! Posting JSON to a web address, and what the answer means.

use std::error::Error;
use std::time::Duration;

use bytes::Bytes;
use chrono::DateTime;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_util::client::legacy::Error as ClientError;

use super::class::Class;
use super::invoke::{Invoked, connect_timeout};
use super::outcome::{Answer, Ending, outcome};
use super::runtime_emulator::{self, Said};
use super::secrets::Secrets;
use crate::disk::is_no_handle;
use crate::reach::client::{self, Names, WebClient};
use crate::words::causes::io_causes;
use crate::words::{Told, outside_text, with_causes};

/// The most bytes of an answer that are read if only its beginning matters.
pub(super) const BEGINNING: usize = 64 * 1_024;
/// The most bytes of an answer that names calls of a batch: ten thousand long messageIds.
pub(super) const NAMES: usize = 4 * 1_024 * 1_024;

/// What became of a post.
#[derive(Clone, Debug)]
pub struct Posted {
    /// How the invocation ended.
    pub invoked: Invoked,
    /// The HTTP status, if an answer came.
    pub status: Option<u16>,
    /// The answer's body; `None` without one, or if it is longer than was asked for.
    pub body: Option<Bytes>,
    /// Nothing was sent: this process has no file handle left for a connection.
    pub lacks_handle: bool,
}

impl Posted {
    fn unanswered(invoked: Invoked) -> Self {
        Self { invoked, status: None, body: None, lacks_handle: false }
    }
}

/// Posts to web addresses.
#[derive(Clone)]
pub struct WebPost {
    client: WebClient,
    timeout: Duration,
    secrets: Secrets,
}

debug_fields!(WebPost { timeout });

impl WebPost {
    /// Answers are waited for as long as `timeout`. Of what they say, `secrets` are hidden.
    pub(super) fn new(timeout: Duration, secrets: Secrets) -> std::io::Result<Self> {
        let client = client::web(Names::NotLinkLocal, Some(connect_timeout(timeout)))?;
        Ok(Self { client, timeout, secrets })
    }

    /// Posts to one address, whose secrets are hidden. Answers are waited for as long as `timeout`.
    /// Errors: the system's trusted certificates cannot be read.
    pub fn to_address(to: &str, timeout: Duration) -> std::io::Result<Self> {
        Self::new(timeout, Secrets::of_address(to))
    }

    /// What a server said, without secrets.
    pub(super) fn shown(&self, said: &str) -> String {
        outside_text(&self.secrets.hide(said)).to_string()
    }

    /// As [`WebPost::post`]. The second value is the answer's body; `None` if it is longer than `answer_max`.
    pub(super) async fn send(
        &self,
        to: &str,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
        body: Bytes,
        answer_max: usize,
    ) -> (Invoked, Option<Bytes>) {
        let Posted { invoked, body, .. } = self.post(to, headers, body, answer_max).await;
        (invoked, body)
    }

    /// Posts a body with these headers besides the usual ones. At most `answer_max` bytes of the answer are
    /// read.
    pub async fn post(
        &self,
        to: &str,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
        body: Bytes,
        answer_max: usize,
    ) -> Posted {
        let mut request = Request::builder()
            .method(Method::POST)
            .uri(to)
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, HeaderValue::from_static(concat!("forebay/", env!("CARGO_PKG_VERSION"))));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = match request.body(Full::new(body)) {
            Ok(request) => request,
            Err(error) => {
                let what = Told::plain(format!("the address is not valid: {error}"));
                return Posted::unanswered(Invoked::failed(Class::BadRequest, what));
            }
        };
        let exchange = async {
            let answer = self.client.request(request).await;
            let (head, body) = answer
                .map_err(|error| {
                    (class_of_broken(&error), with_causes(&error), io_causes(&error).any(is_no_handle))
                })?
                .into_parts();
            let (body, is_whole) =
                read(body, answer_max).await.map_err(|why| (Class::Unanswered, why, false))?;
            Ok::<_, (Class, String, bool)>((Response::from_parts(head, body), is_whole))
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Err(_) => Posted::unanswered(Invoked::timed_out(self.timeout)),
            Ok(Err((class, why, lacks_handle))) => {
                // Errors of this machine's libraries: they quote no answer.
                let invoked = Invoked::failed(class, Told::plain(self.shown(&why)));
                Posted { lacks_handle, ..Posted::unanswered(invoked) }
            }
            Ok(Ok((answer, is_whole))) => Posted {
                invoked: answered(to, &answer, &self.secrets),
                status: Some(answer.status().as_u16()),
                body: is_whole.then(|| answer.into_body()),
                lacks_handle: false,
            },
        }
    }
}

/// Whether a call was sent before the connection broke: it was, unless it is known that it was not.
pub(super) fn class_of_broken(error: &(dyn Error + 'static)) -> Class {
    let mut causes = std::iter::successors(Some(error), |error| (*error).source());
    let was_not_sent = causes.any(|cause: &(dyn Error + 'static)| {
        cause.downcast_ref::<ClientError>().is_some_and(ClientError::is_connect)
            || cause.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_canceled)
    });
    if was_not_sent { Class::Network } else { Class::Unanswered }
}

/// The beginning of an answer, and whether that is all: a longer one is no error, because the status says
/// what happened.
async fn read(body: Incoming, most: usize) -> Result<(Bytes, bool), String> {
    let mut body = Limited::new(body, most);
    // Most answers are one piece, which is not copied.
    let (mut first, mut read) = (Bytes::new(), Vec::new());
    let is_whole = loop {
        match body.frame().await {
            None => break true,
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) if first.is_empty() && read.is_empty() => first = data,
                Ok(data) => {
                    read.extend_from_slice(&std::mem::take(&mut first));
                    read.extend_from_slice(&data);
                }
                Err(_trailers) => {}
            },
            Some(Err(error)) if error.is::<http_body_util::LengthLimitError>() => break false,
            Some(Err(error)) => return Err(with_causes(&*error)),
        }
    };
    Ok((if read.is_empty() { first } else { read.into() }, is_whole))
}

fn answered(to: &str, answer: &Response<Bytes>, secrets: &Secrets) -> Invoked {
    let text = |name: &str| header(answer.headers(), name);
    let status = answer.status().as_u16();
    if answer.status().is_redirection() {
        // Every call would be redirected.
        let target = redirect_target(to, text("location"), secrets);
        let what = Told::plain(format!("{status}: redirected to ")).and(&target);
        return Invoked::failed(Class::Redirected, what.and(&"; redirects are not followed".into()));
    }
    let emulated =
        runtime_emulator::is_at(to).then(|| runtime_emulator::said(status, answer.body())).flatten();
    let (status, function_error) = match emulated {
        None => (status, text("x-amz-function-error")),
        Some(Said::Failed) => (200, Some("Unhandled")),
        Some(Said::TimedOut) => {
            let what = "the emulator ended the function after AWS_LAMBDA_FUNCTION_TIMEOUT";
            return Invoked::failed(Class::Timeout, what);
        }
        Some(Said::Busy) => {
            let what = "the emulator runs one invocation at a time: set concurrency = 1";
            return Invoked::failed(Class::Throttled, what);
        }
    };
    let retry_after = text("retry-after").and_then(|asked| pause(asked, text("date")));
    // Secrets are hidden before anything is cut, so that no part of one is left. A success shows nothing.
    let has_failed = !(200..300).contains(&status) || function_error.is_some();
    let said = if has_failed { secrets.hide(&String::from_utf8_lossy(answer.body())) } else { String::new() };
    let mut result = outcome(Ending::Answer(Answer {
        status,
        code: None,
        message: Some(&*said).filter(|said| !said.is_empty()),
        function_error,
        request_id: None,
        body: said.as_bytes(),
        retry_after,
    }));
    if let Err(failure) = &mut result {
        failure.class = match status {
            // A web server answers these statuses about a request, not about itself.
            410 => Class::NotFound,
            402..=499 if failure.class == Class::Unavailable && !matches!(status, 408 | 425) => {
                Class::AccessDenied
            }
            _ => failure.class,
        };
        // A string of JSON has other forms before it is read.
        failure.what = failure.what.map(|what| secrets.hide(what));
    }
    // Secrets are hidden before anything is cut, so that no part of one is left.
    // A server may put any text into these headers.
    let shown =
        |name: &str| text(name).map(|said| Told::private(outside_text(&secrets.hide(said)).to_string()));
    Invoked {
        request_id: shown("x-request-id").or_else(|| shown("x-amzn-requestid")),
        version: shown("x-amz-executed-version"),
        ..Invoked::ended(result)
    }
}

/// Where an answer of `from` redirects to: nothing but the host of another server, because the rest may be
/// personal or secret. That host is private, too: some services have one for each customer.
fn redirect_target(from: &str, location: Option<&str>, secrets: &Secrets) -> Told {
    let nowhere = || "no address".into();
    let (Ok(from), Some(location)) = (from.parse::<Uri>(), location) else { return nowhere() };
    // An address without its scheme has that of the request.
    let with_scheme =
        location.starts_with("//").then(|| format!("{}:{location}", from.scheme_str().unwrap_or("http")));
    let location = with_scheme.as_deref().unwrap_or(location);
    let Ok(to) = location.parse::<Uri>() else {
        // A path may be relative to that of the request (RFC 9110, 10.2.2).
        return if location.contains("://") { nowhere() } else { elsewhere() };
    };
    let Some(authority) = to.authority().filter(|_| to.scheme().is_some()) else {
        return same_server(&from, &to);
    };
    let host = authority.as_str().rsplit_once('@').map_or(authority.as_str(), |(_, host)| host);
    if from.scheme() == to.scheme() && from.authority().is_some_and(|it| it.as_str() == host) {
        return same_server(&from, &to);
    }
    let scheme = to.scheme_str().unwrap_or_default();
    let shown = outside_text(&secrets.hide(&format!("{scheme}://{host}/…"))).to_string();
    let same_host = from.host().zip(to.host()).is_some_and(|(from, to)| from.eq_ignore_ascii_case(to));
    if same_host { Told::plain(shown) } else { Told::masked_as(shown, "another server") }
}

fn same_server(from: &Uri, to: &Uri) -> Told {
    let is_slash_alone = from.query() == to.query() && to.path().strip_suffix('/') == Some(from.path());
    if is_slash_alone { "the same address with a / at its end".into() } else { elsewhere() }
}

fn elsewhere() -> Told {
    "another path of the same server".into()
}

/// The pause that a Retry-After asks for: seconds, or a date (RFC 9110, 10.2.3). A date is compared with that
/// of the answer, because clocks differ.
fn pause(asked: &str, answered_at: Option<&str>) -> Option<Duration> {
    if let Ok(seconds) = asked.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = |text: &str| DateTime::parse_from_rfc2822(text.trim()).ok();
    (date(asked)? - date(answered_at?)?).to_std().ok()
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_is_in_seconds_or_ends_at_a_date() {
        let noon = Some("Tue, 24 Nov 2026 12:00:00 GMT");
        assert_eq!(pause(" 3", None), Some(Duration::from_secs(3)));
        assert_eq!(pause("Tue, 24 Nov 2026 12:01:30 GMT", noon), Some(Duration::from_secs(90)));
        assert_eq!(pause("Tue, 24 Nov 2026 11:00:00 GMT", noon), None, "it is over");
        assert_eq!(pause("Tue, 24 Nov 2026 12:01:30 GMT", None), None);
        assert_eq!((pause("soon", noon), pause("-1", noon)), (None, None));
    }
}
