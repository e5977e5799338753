//! Hands rows to a running node, over its admin listener.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::de::DeserializeOwned;

use crate::admin::import_code;
use crate::boxed_future::BoxFuture;
use crate::cli::admin_client::AdminUrl;
use crate::import::{Begin, Begun, End, NoSource, Rows, RowsTaken, Target, TargetError};
use crate::words::outside_text;

/// How long a node may take to answer: longer than an append waits for the disk's queue.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long to wait before a node is asked again that did not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// The most bytes of an answer.
const ANSWER_MAX: usize = 64 * 1_024;

/// A running node.
#[derive(Debug)]
pub(super) struct NodeTarget {
    url: AdminUrl,
    client: Client<HttpConnector, Full<Bytes>>,
}

/// A refusal's body.
#[derive(serde::Deserialize)]
struct RefusedBody {
    code: String,
    message: String,
}

impl NodeTarget {
    pub(super) fn new(url: AdminUrl) -> Self {
        Self { url, client: Client::builder(TokioExecutor::new()).build_http() }
    }

    /// Whether something listens at the URL that answers like a node.
    pub(super) async fn answers(&self) -> Result<(), String> {
        let request = Request::get(format!("{}/api/status", self.url)).body(Full::default());
        let request = request.map_err(|error| error.to_string())?;
        let answer = tokio::time::timeout(PATIENCE, self.client.request(request)).await;
        match answer {
            Ok(Ok(answer)) if answer.status() == StatusCode::OK => Ok(()),
            Ok(Ok(answer)) if answer.status() == StatusCode::NOT_FOUND => Err(format!(
                "{} is not an admin listener (the port of `admin.listen`; `dev` prints it as console)",
                self.url
            )),
            Ok(Ok(answer)) => Err(format!("{} answered {}", self.url, answer.status())),
            Ok(Err(error)) => Err(unreachable(&self.url, &error)),
            Err(_) => Err(format!("{} does not answer", self.url)),
        }
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: Bytes) -> Result<T, TargetError> {
        let later = |why: String| TargetError::Later { after: AGAIN, why };
        let request = Request::post(format!("{}{path}", self.url))
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|error| TargetError::Refused(error.to_string()))?;
        let answered = async {
            let answer = self.client.request(request).await;
            let answer = answer.map_err(|error| later(unreachable(&self.url, &error)))?;
            let (head, body) = answer.into_parts();
            let body = Limited::new(body, ANSWER_MAX).collect().await;
            let body = body.map_err(|error| later(format!("{} broke off: {error}", self.url)))?;
            Ok((Response::from_parts(head, ()), body.to_bytes()))
        };
        let (head, body) = tokio::time::timeout(PATIENCE, answered)
            .await
            .unwrap_or_else(|_| Err(later(format!("{} does not answer", self.url))))?;
        if head.status() == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|error| {
                TargetError::Refused(format!("{} did not answer like a node: {error}", self.url))
            });
        }
        Err(self.refusal(&head, &body))
    }

    fn refusal(&self, head: &Response<()>, body: &[u8]) -> TargetError {
        let after = head.headers().get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
        let after = after.map_or(AGAIN, Duration::from_secs);
        let Ok(RefusedBody { code, message }) = serde_json::from_slice(body) else {
            let why = format!("{} answered {}", self.url, head.status());
            return match head.status().is_server_error() {
                true => TargetError::Later { after, why },
                false => TargetError::Refused(why),
            };
        };
        let message = outside_text(&message).to_string();
        match code.as_str() {
            import_code::OTHER_ROW => TargetError::OtherRow,
            import_code::NOT_OPEN => TargetError::NotOpen,
            import_code::OTHER_OPTIONS => TargetError::OtherOptions,
            import_code::LATER => TargetError::Later { after, why: message },
            import_code::NO_SOURCE => TargetError::NoSource(NoSource::Other(message)),
            import_code::DENIED => TargetError::Denied(message),
            _ if head.status().is_server_error() => TargetError::Later { after, why: message },
            _ => TargetError::Refused(message),
        }
    }
}

fn unreachable(url: &AdminUrl, error: &hyper_util::client::legacy::Error) -> String {
    match error.is_connect() {
        true => format!("no node answers at {url}"),
        false => format!("the connection to {url} broke"),
    }
}

fn json(value: &impl serde::Serialize) -> Result<Bytes, TargetError> {
    let json = serde_json::to_vec(value).map_err(|error| TargetError::Refused(error.to_string()))?;
    Ok(json.into())
}

impl Target for NodeTarget {
    fn begin(&self, file: Begin) -> BoxFuture<'_, Result<Begun, TargetError>> {
        Box::pin(async move { self.post("/api/import/begin", json(&file)?).await })
    }

    fn rows(&self, rows: Rows, calls: Bytes) -> BoxFuture<'_, Result<RowsTaken, TargetError>> {
        let Rows { import, first, rows, rejected } = rows;
        let path = format!("/api/import?import={import}&first={first}&rows={rows}&rejected={rejected}");
        Box::pin(async move { self.post(&path, calls).await })
    }

    fn end(&self, end: End) -> BoxFuture<'_, Result<(), TargetError>> {
        Box::pin(async move { self.post("/api/import/end", json(&end)?).await })
    }
}
