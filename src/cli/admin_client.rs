//! A client for the admin listener of a running collector.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::uri::Authority;
use http::{Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Empty, Limited};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpStream;
use tokio_util::task::AbortOnDropHandle;

use crate::words::url::bare_host;
use crate::words::{about_seconds, outside_text};

/// The most bytes of an answer that are read: several times the status of ten thousand sources.
const ANSWER_MAX: usize = 64 << 20;

/// The address of an admin listener: `http://host:port`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminUrl(Authority);

impl FromStr for AdminUrl {
    type Err = &'static str;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const FORM: &str = "expected a URL such as http://127.0.0.1:9180";
        let uri: Uri = text.parse().map_err(|_| FORM)?;
        if uri.scheme_str() == Some("https") {
            return Err("the admin listener speaks plain HTTP: expected a URL such as http://127.0.0.1:9180");
        }
        let authority = uri.authority().filter(|authority| !authority.as_str().contains('@')).ok_or(FORM)?;
        let bare = uri.scheme_str() == Some("http") && uri.path() == "/" && uri.query().is_none();
        if bare { Ok(Self(authority.clone())) } else { Err(FORM) }
    }
}

impl fmt::Display for AdminUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}", self.0)
    }
}

/// Why a running collector gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing listens there.
    #[error("no collector answers at {url}: is it running, and is this its admin address? (see --admin)")]
    Unreachable {
        /// The URL.
        url: AdminUrl,
        /// The error of the operating system.
        #[source]
        cause: std::io::Error,
    },
    /// No answer came in time.
    #[error("{url} did not answer within {}", about_seconds(.waited.as_secs()))]
    TimedOut {
        /// The URL.
        url: AdminUrl,
        /// The time limit.
        waited: Duration,
    },
    /// The connection broke, or the answer is not that of an admin listener.
    #[error("{url} did not answer like an admin listener of Forebay")]
    Broken {
        /// The URL.
        url: AdminUrl,
        /// The error.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The request was refused.
    #[error("{url} refused: {}", outside_text(.message))]
    Refused {
        /// The URL.
        url: AdminUrl,
        /// The HTTP status.
        status: StatusCode,
        /// The reason in the answer.
        message: String,
    },
    /// The result could not be printed.
    #[error("the result could not be printed")]
    Print(#[source] std::io::Error),
}

/// A refusal's body.
#[derive(Deserialize)]
struct RefusedBody {
    message: String,
}

/// Sends one request without a body, and reads the JSON of a 200 answer within `patience`.
///
/// # Errors
/// [`AskError`].
pub async fn ask<T: DeserializeOwned>(
    url: &AdminUrl,
    method: Method,
    path: &str,
    patience: Duration,
) -> Result<T, AskError> {
    let broken =
        |cause: Box<dyn std::error::Error + Send + Sync>| AskError::Broken { url: url.clone(), cause };
    let (status, body) = tokio::time::timeout(patience, exchange(url, method, path))
        .await
        .map_err(|_| AskError::TimedOut { url: url.clone(), waited: patience })??;
    if status == StatusCode::OK {
        return serde_json::from_slice(&body).map_err(|error| broken(error.into()));
    }
    match serde_json::from_slice::<RefusedBody>(&body) {
        Ok(refused) => Err(AskError::Refused { url: url.clone(), status, message: refused.message }),
        Err(_) => Err(broken(format!("it answered {status}").into())),
    }
}

async fn exchange(url: &AdminUrl, method: Method, path: &str) -> Result<(StatusCode, Bytes), AskError> {
    let broken =
        |cause: Box<dyn std::error::Error + Send + Sync>| AskError::Broken { url: url.clone(), cause };
    let host = bare_host(url.0.host());
    let socket = TcpStream::connect((host, url.0.port_u16().unwrap_or(80)))
        .await
        .map_err(|cause| AskError::Unreachable { url: url.clone(), cause })?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake::<_, Empty<Bytes>>(TokioIo::new(socket))
            .await
            .map_err(|error| broken(error.into()))?;
    // Its result adds nothing to the answer; dropping the handle closes the connection.
    let _connection = AbortOnDropHandle::new(tokio::spawn(connection));
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header(HOST, url.0.as_str())
        .body(Empty::new())
        .map_err(|error| broken(error.into()))?;
    let answer = sender.send_request(request).await.map_err(|error| broken(error.into()))?;
    let status = answer.status();
    let body = Limited::new(answer.into_body(), ANSWER_MAX).collect().await.map_err(broken)?;
    Ok((status, body.to_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_url_is_plain_http_and_a_host() {
        for text in ["http://127.0.0.1:9180", "http://localhost:9180/", "http://[::1]:9180", "http://forebay"]
        {
            assert_eq!(text.parse::<AdminUrl>().unwrap().to_string(), text.trim_end_matches('/'));
        }
        for text in [
            "",
            "127.0.0.1:9180",
            "localhost",
            "https://localhost",
            "http://localhost/x",
            "http://a@b",
            "http://a?x",
        ] {
            assert!(text.parse::<AdminUrl>().is_err(), "{text:?}");
        }
    }
}
