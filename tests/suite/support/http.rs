//! A small HTTP client.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;

/// Longer than the collector's own limit for a whole request.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(120);

/// An answer with its whole body.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A client with kept-alive connections.
#[derive(Clone, Debug)]
pub(crate) struct Http(Client<HttpConnector, Full<Bytes>>);

impl Http {
    pub(crate) fn new() -> Self {
        Self(Client::builder(TokioExecutor::new()).build_http())
    }

    /// Sends a request. The error says why there was no complete answer.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Answer, String> {
        let exchange = async {
            let answer = self.0.request(request).await.map_err(|error| error.to_string())?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
            Ok(Answer { status: head.status, headers: head.headers, body })
        };
        tokio::time::timeout(REQUEST_TIMEOUT, exchange).await.map_err(|elapsed| elapsed.to_string())?
    }

    /// Posts a body.
    pub(crate) async fn post(&self, url: &str, body: impl Into<Bytes>) -> Result<Answer, String> {
        let request = Request::post(url).body(Full::new(body.into())).map_err(|error| error.to_string())?;
        self.send(request).await
    }

    /// Posts tracking calls with a write key. Returns whether they were accepted: 200 and `{"success":true}`.
    pub(crate) async fn track(&self, collector: &str, write_key: &str, body: &serde_json::Value) -> bool {
        let url = format!("{collector}/v1/batch?writeKey={write_key}");
        self.post(&url, body.to_string()).await.is_ok_and(|answer| is_accepted(&answer))
    }
}

/// Whether an answer means that the calls are on stable storage.
pub(crate) fn is_accepted(answer: &Answer) -> bool {
    answer.status == StatusCode::OK && answer.body == r#"{"success":true}"#
}
