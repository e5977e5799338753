//! Posting JSON to a web address, and what the answer means.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, Response};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

use super::class::Class;
use super::invoke::Invoked;
use super::outcome::{Answer, Ending, outcome};
use crate::words::{outside_text, with_causes};

/// The most bytes of an answer that are read.
const ANSWER_BYTES_MAX: usize = 64 * 1_024;

/// Posts to web addresses. Certificates are checked against those that the system trusts; redirects are not followed.
#[derive(Clone)]
pub(super) struct WebPost {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    timeout: Duration,
}

impl fmt::Debug for WebPost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebPost").field("timeout", &self.timeout).finish_non_exhaustive()
    }
}

impl WebPost {
    /// Answers are waited for as long as `timeout`.
    pub(super) fn new(timeout: Duration) -> std::io::Result<Self> {
        let connector =
            HttpsConnectorBuilder::new().with_native_roots()?.https_or_http().enable_http1().build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), timeout })
    }

    /// Posts a body with these headers besides the usual ones. The second value is the answer's body.
    pub(super) async fn send(
        &self,
        to: &str,
        headers: impl IntoIterator<Item = (HeaderName, HeaderValue)>,
        body: Bytes,
    ) -> (Invoked, Bytes) {
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
                let what = format!("the address is not valid: {error}");
                return (Invoked::failed(Class::BadRequest, what), Bytes::new());
            }
        };
        let exchange = async {
            let (head, body) =
                self.client.request(request).await.map_err(|error| with_causes(&error))?.into_parts();
            let body = read(body).await?;
            Ok::<_, String>(Response::from_parts(head, body))
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Err(_) => (Invoked::timed_out(self.timeout), Bytes::new()),
            Ok(Err(why)) => (Invoked::failed(Class::Network, outside_text(&why).to_string()), Bytes::new()),
            Ok(Ok(answer)) => (answered(&answer), answer.into_body()),
        }
    }
}

/// The beginning of an answer: a longer one is no error, because the status says what happened.
async fn read(body: Incoming) -> Result<Bytes, String> {
    let mut body = Limited::new(body, ANSWER_BYTES_MAX);
    let mut read = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => {
                if let Some(data) = frame.data_ref() {
                    read.extend_from_slice(data);
                }
            }
            Err(error) if error.is::<http_body_util::LengthLimitError>() => break,
            Err(error) => return Err(with_causes(&*error)),
        }
    }
    Ok(read.into())
}

fn answered(answer: &Response<Bytes>) -> Invoked {
    let text = |name: &str| header(answer.headers(), name);
    let retry_after = text("retry-after").and_then(|seconds| seconds.parse().ok()).map(Duration::from_secs);
    let body = answer.body();
    let said = (!answer.status().is_success()).then(|| String::from_utf8_lossy(body).into_owned());
    let result = outcome(Ending::Answer(Answer {
        status: answer.status().as_u16(),
        code: None,
        message: said.as_deref().filter(|said| !said.is_empty()),
        function_error: text("x-amz-function-error"),
        body,
        retry_after,
    }));
    Invoked {
        request_id: text("x-request-id").or_else(|| text("x-amzn-requestid")).map(str::to_owned),
        version: text("x-amz-executed-version").map(str::to_owned),
        ..Invoked::ended(result)
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
