//! A function behind a web address: the request is posted, and the answer is that of the function.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::Uri;

use super::{Ended, Failure, FailureKind, Handler};
use crate::boxed_future::BoxFuture;
use crate::destinations::class::Class;
use crate::destinations::web_post::{Posted, WebPost};
use crate::disk::is_no_handle;
use crate::jobs::answer::ANSWER_MAX;
use crate::jobs::invocation::Invocation;
use crate::words::outside_text;

/// A web address that requests are posted to. It may hold a secret, so it is never shown.
pub struct WebHandler {
    to: String,
    timeout: Duration,
    /// `None` after [`Handler::rest`], until the next invocation.
    post: ArcSwapOption<WebPost>,
}

debug_fields!(WebHandler { timeout });

impl WebHandler {
    /// Certificates are checked against those that the system trusts. Answers are waited for as long as
    /// `timeout`.
    /// Errors: the system's trusted certificates cannot be read.
    pub fn new(to: String, timeout: Duration) -> io::Result<Self> {
        let post = WebPost::to_address(&to, timeout)?;
        Ok(Self { to, timeout, post: ArcSwapOption::from_pointee(post) })
    }

    fn post(&self) -> io::Result<Arc<WebPost>> {
        if let Some(post) = self.post.load_full() {
            return Ok(post);
        }
        let post = Arc::new(WebPost::to_address(&self.to, self.timeout)?);
        self.post.store(Some(Arc::clone(&post)));
        Ok(post)
    }
}

impl Handler for WebHandler {
    fn invoke<'a>(&'a self, invocation: &'a Invocation) -> BoxFuture<'a, Ended> {
        Box::pin(async move {
            match self.post() {
                Ok(post) => {
                    ended(post.post(&self.to, None, invocation.body.clone(), ANSWER_MAX).await, &self.to)
                }
                Err(error) if is_no_handle(&error) => Ended::Starved,
                Err(error) => {
                    let what = format!("read the certificates that this system trusts: {error}");
                    Ended::Failed(Failure::new(FailureKind::Unavailable, what))
                }
            }
        })
    }

    fn rest(&self) {
        // The connections end with their client. Another one needs file handles, so it is made when it is used.
        self.post.store(None);
    }
}

/// What a post means for a task. A status says something about the task, not about the job: an endpoint may
/// not know one object and take the next. `to`: the address.
fn ended(posted: Posted, to: &str) -> Ended {
    let Posted { invoked, status, body, lacks_handle } = posted;
    if lacks_handle {
        return Ended::Starved;
    }
    let failure = match (invoked.result, status, body) {
        (Ok(()), Some(status), Some(body)) => return Ended::Answered { status, body },
        (Ok(()), status, _) => return Ended::TooLarge { status: status.unwrap_or(200) },
        (Err(failure), ..) => failure,
    };
    let what = || failure.what.full().to_owned();
    let failed = |kind, what| Ended::Failed(Failure { kind, status, what });
    match failure.class {
        Class::Throttled => Ended::Throttled { pause: failure.pause() },
        Class::ExecutionError => failed(FailureKind::Function, what()),
        Class::Timeout => Ended::Failed(Failure {
            kind: FailureKind::Timeout,
            status,
            what: format!("{}: make the function faster, or raise --task-timeout", what()),
        }),
        Class::Network => failed(FailureKind::Network, no_connection(to, &what())),
        Class::Unanswered => failed(
            FailureKind::Network,
            format!("{}; see in the log of {} why it ended the connection", what(), server(to)),
        ),
        _ if status.is_some_and(|status| (500..600).contains(&status)) => {
            failed(FailureKind::Unavailable, of_server_error(status.unwrap_or_default(), &what()))
        }
        class => Ended::NotTaken(Failure {
            kind: FailureKind::Refused,
            status,
            what: format!("{}; {}", what(), remedy(class)),
        }),
    }
}

/// Nothing was sent. What the client says of itself before the cause says nothing to people.
fn no_connection(to: &str, what: &str) -> String {
    let what = what.strip_prefix("client error (Connect): ").unwrap_or(what);
    format!("cannot connect to {}: {what}; is it running?", server(to))
}

/// The advice stands before what the server says, which may be long.
fn of_server_error(status: u16, what: &str) -> String {
    let said =
        what.strip_prefix(&format!("{status}")).map_or(what, |said| said.trim_start_matches([':', ' ']));
    let advice =
        format!("the address answered {status}; see in its log what failed, or raise --max-attempts");
    if said.is_empty() { advice } else { format!("{advice}; it said: {said}") }
}

/// The host and port of an address. The rest of it may be secret.
fn server(to: &str) -> String {
    let uri: Option<Uri> = to.parse().ok();
    let Some((uri, host)) = uri.as_ref().and_then(|uri| Some((uri, uri.host()?))) else {
        return "the address".to_owned();
    };
    let usual = if uri.scheme_str() == Some("https") { 443 } else { 80 };
    format!("{}:{}", outside_text(host), uri.port_u16().unwrap_or(usual))
}

fn remedy(class: Class) -> &'static str {
    match class {
        Class::Redirected => "give the address that answers itself",
        Class::TooLarge => "let the endpoint take requests of this size",
        _ => "answer 200 with a result for the task, 429 to slow the job down, or 500 to get the task again",
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::super::test_server::{Server, Step};
    use super::*;

    const TIMEOUT: Duration = Duration::from_millis(600);

    fn invocation() -> Invocation {
        Invocation { id: "i".into(), task_id: "t".into(), body: Bytes::from_static(b"{\"a\":1}") }
    }

    async fn post(step: Step) -> Ended {
        let server = Server::start(vec![step]).await;
        let handler = WebHandler::new(server.url("/run"), TIMEOUT).unwrap();
        let ended = handler.invoke(&invocation()).await;
        let requests = server.requests();
        assert_eq!(requests.len(), 1);
        assert_eq!(requests[0].1, "{\"a\":1}");
        ended
    }

    #[tokio::test]
    async fn an_answer_is_handed_on_with_its_status() {
        let ended = post(Step::reply(201, "{\"b\":2}")).await;
        assert_eq!(ended, Ended::Answered { status: 201, body: "{\"b\":2}".into() });
    }

    #[tokio::test]
    async fn an_answer_that_is_too_large_is_not_handed_on() {
        let ended = post(Step::reply(200, &"x".repeat(ANSWER_MAX + 1))).await;
        assert_eq!(ended, Ended::TooLarge { status: 200 });
        let Ended::Answered { body, .. } = post(Step::reply(200, &"x".repeat(ANSWER_MAX))).await else {
            panic!("the largest answer must be taken")
        };
        assert_eq!(body.len(), ANSWER_MAX);
    }

    #[tokio::test]
    async fn a_full_endpoint_says_how_long_to_wait() {
        let ended = post(Step::reply(429, "").with("retry-after", "7")).await;
        assert_eq!(ended, Ended::Throttled { pause: Some(Duration::from_secs(7)) });
        assert_eq!(post(Step::reply(429, "")).await, Ended::Throttled { pause: None });
    }

    #[tokio::test]
    async fn a_status_is_about_the_task() {
        for status in [404, 400, 403, 410, 413, 302, 408] {
            match post(Step::reply(status, "no such row")).await {
                Ended::NotTaken(failure) => {
                    assert_eq!((failure.kind, failure.status), (FailureKind::Refused, Some(status)));
                    assert!(failure.what.contains(&status.to_string()), "{}", failure.what);
                }
                other => panic!("{status}: {other:?}"),
            }
        }
        for status in [500, 502, 503, 599] {
            match post(Step::reply(status, "oh")).await {
                Ended::Failed(failure) => {
                    assert_eq!((failure.kind, failure.status), (FailureKind::Unavailable, Some(status)));
                    let begins = format!("the address answered {status}; see in its log");
                    assert!(failure.what.starts_with(&begins), "{}", failure.what);
                    assert!(failure.what.ends_with("; it said: oh"), "{}", failure.what);
                }
                other => panic!("{status}: {other:?}"),
            }
        }
    }

    #[tokio::test]
    async fn a_function_error_is_one_of_the_function() {
        let body = r#"{"errorType":"KeyError","errorMessage":"'a'"}"#;
        match post(Step::reply(200, body).with("x-amz-function-error", "Unhandled")).await {
            Ended::Failed(Failure { kind: FailureKind::Function, status: Some(200), what }) => {
                assert_eq!(what, "KeyError: 'a'");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_address_is_named_by_its_server_alone() {
        assert_eq!(server("https://u:p@a.example/x?key=secret"), "a.example:443");
        assert_eq!(server("http://a.example"), "a.example:80");
        assert_eq!(server("http://[::1]:9000/x"), "[::1]:9000");
        assert_eq!(server(" "), "the address");
    }

    #[tokio::test]
    async fn hanging_and_broken_connections_are_named() {
        let kind = async |step| match post(step).await {
            Ended::Failed(failure) => failure.kind,
            other => panic!("{other:?}"),
        };
        assert_eq!(kind(Step::Hang).await, FailureKind::Timeout);
        assert_eq!(kind(Step::Reset).await, FailureKind::Network);
        let nobody = WebHandler::new("http://127.0.0.1:9/run?key=secret".into(), TIMEOUT).unwrap();
        match nobody.invoke(&invocation()).await {
            Ended::Failed(failure) => {
                assert_eq!((failure.kind, failure.status), (FailureKind::Network, None));
                let what = failure.what;
                assert!(what.starts_with("cannot connect to 127.0.0.1:9: "), "{what}");
                assert!(what.ends_with("; is it running?") && !what.contains("secret"), "{what}");
            }
            other => panic!("{other:?}"),
        }
    }
}
