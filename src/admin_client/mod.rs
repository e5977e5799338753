//! The client of the admin listener of a running collector, for whoever asks one: a command, or another node.
//!
//! It sends the token only to the URL that it was made for, and follows no redirect.

pub mod activity;
pub mod events;
mod import_target;
pub mod live_lines;
mod token;
mod url;

use std::error::Error;
use std::io;
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::admin::Status;
use crate::reach::client::{self, Names, PlainClient, WebClient};
use crate::words::{about_seconds, causes, nearest, outside_text_within};

pub use import_target::{NoNode, NodeTarget};
pub use token::{AdminToken, TokenError, TokenFrom, VARIABLE};
pub use url::AdminUrl;

/// The most bytes of an answer that are read: several times the status of ten thousand sources.
const ANSWER_MAX: usize = 64 << 20;
/// The most bytes of a refusal's message that are shown: what to do comes last, after the names of sources.
const MESSAGE_SHOWN_MAX: usize = 4_096;
/// The most bytes of a refusal that are read.
const REFUSAL_MAX: usize = 64 << 10;

/// Why a running collector gave no usable answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nothing listens there.
    #[error("no collector answers at {0}")]
    Unreachable(AdminUrl, #[source] io::Error),
    /// Something listens there, and no TLS connection can be made.
    #[error("no TLS connection can be made with {0}")]
    Tls(AdminUrl, #[source] io::Error),
    /// The certificates that the system trusts cannot be read, so no TLS connection can be made.
    #[error("cannot read the certificates that this system trusts, which {0} needs: {1}")]
    Certificates(AdminUrl, String),
    /// No answer came within this time.
    #[error("{} did not answer within {}", .0, about_seconds(.1.as_secs()))]
    TimedOut(AdminUrl, Duration),
    /// The connection broke, or the answer is not that of an admin listener.
    #[error("{0} did not answer like an admin listener of Forebay")]
    Broken(AdminUrl, #[source] Box<dyn Error + Send + Sync>),
    /// It wants a token. The second value is where the token comes from that it does not accept, if one was
    /// sent.
    #[error("{}", wants_token(.0, .1.as_ref()))]
    Unauthorized(AdminUrl, Option<TokenFrom>),
    /// The token may only read.
    #[error(
        "{0} refused: this token may only read; give the token of `admin.token`, not that of `admin.read_token`"
    )]
    ReadOnly(AdminUrl),
    /// The request was refused.
    #[error("{url} refused: {}", outside_text_within(.message, MESSAGE_SHOWN_MAX))]
    Refused {
        /// The URL.
        url: AdminUrl,
        /// The HTTP status.
        status: StatusCode,
        /// The code in the answer.
        code: String,
        /// The reason in the answer.
        message: String,
    },
    /// It has no such source.
    #[error("{}", has_no_source(.url, .id, .near.as_deref(), *.is_dev))]
    NoSource {
        /// The URL.
        url: AdminUrl,
        /// The source that was named.
        id: String,
        /// The source that was probably meant.
        near: Option<String>,
        /// Whether it runs in dev mode, where each write key is a source from its first call on.
        is_dev: bool,
    },
    /// There is no usable token.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The result could not be printed.
    #[error("the result could not be printed")]
    Print(#[source] io::Error),
}

/// What to do about a 401.
fn wants_token(url: &AdminUrl, sent: Option<&TokenFrom>) -> String {
    match sent {
        None => {
            format!("{url} wants a token: set {VARIABLE}, or name a file that contains it with --token-file")
        }
        Some(from) => format!("{url} does not accept the token in {from}: compare it with its `admin.token`"),
    }
}

fn has_no_source(url: &AdminUrl, id: &str, near: Option<&str>, is_dev: bool) -> String {
    let near = near.map(|near| format!("did you mean {near}? ")).unwrap_or_default();
    let yet = if is_dev { "; in dev mode a source begins with its first call" } else { "" };
    format!("{url} has no source {id}: {near}`forebay status --all` lists them{yet}")
}

impl AskError {
    /// Whether it refuses the token, or wants one.
    pub fn wants_other_token(&self) -> bool {
        matches!(self, Self::Unauthorized(..) | Self::ReadOnly(_))
    }

    /// Whether the connection ended before the answer did. Whoever has answered before is gone.
    pub fn is_cut_off(&self) -> bool {
        let Self::Broken(_, cause) = self else { return false };
        causes::chain(&**cause).any(|cause| {
            let of_http = cause.downcast_ref::<hyper::Error>();
            let of_system = cause.downcast_ref::<io::Error>().map(io::Error::kind);
            of_http.is_some_and(|error| error.is_incomplete_message() || error.is_closed())
                || matches!(
                    of_system,
                    Some(
                        io::ErrorKind::ConnectionReset
                            | io::ErrorKind::ConnectionAborted
                            | io::ErrorKind::BrokenPipe
                            | io::ErrorKind::UnexpectedEof
                    )
                )
        })
    }

    /// Whether the same request would fail again until a person does something.
    pub fn is_lasting(&self) -> bool {
        match self {
            Self::Unreachable(..) | Self::Tls(..) | Self::TimedOut(..) | Self::Broken(..) => false,
            Self::Refused { status, .. } => !status.is_server_error(),
            Self::Certificates(..)
            | Self::Unauthorized(..)
            | Self::ReadOnly(_)
            | Self::NoSource { .. }
            | Self::Token(_)
            | Self::Print(_) => true,
        }
    }
}

/// A refusal's body.
#[derive(Default, Deserialize)]
#[serde(default)]
struct RefusedBody {
    code: String,
    message: String,
    /// Which call of a step of an import it is about.
    call: serde_json::Value,
}

/// A client of one admin listener. Cheap to clone; clones share their connections.
#[derive(Clone, Debug)]
pub struct AdminClient {
    url: AdminUrl,
    token: Option<AdminToken>,
    connections: Connections,
}

/// Those to the scheme of the URL.
#[derive(Clone, Debug)]
enum Connections {
    Plain(PlainClient),
    Tls(WebClient),
    /// Why there can be none.
    None(String),
}

impl Connections {
    fn to(url: &AdminUrl) -> Self {
        if !url.is_https() {
            return Self::Plain(client::plain());
        }
        client::web(Names::Any, None).map_or_else(|error| Self::None(error.to_string()), Self::Tls)
    }
}

impl AdminClient {
    /// A client that sends this token, if there is one.
    pub fn new(url: AdminUrl, token: Option<AdminToken>) -> Self {
        Self { connections: Connections::to(&url), url, token }
    }

    /// Where it asks.
    pub fn url(&self) -> &AdminUrl {
        &self.url
    }

    /// Sends one request without a body, and reads the JSON of a 200 answer within `patience`.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        patience: Duration,
    ) -> Result<T, AskError> {
        let answer = self.exchange(method, path, None, patience).await?;
        if answer.status() != StatusCode::OK {
            return Err(self.refusal(answer.status(), answer.body()));
        }
        serde_json::from_slice(answer.body()).map_err(|error| self.broken(error))
    }

    /// Looks for this source in a status that the collector answered. Errors: [`AskError::NoSource`].
    pub fn has_source_in(&self, id: &str, status: &Status) -> Result<(), AskError> {
        let known = status.sources.iter().map(|source| source.id.as_str());
        match known.clone().any(|known| known == id) {
            true => Ok(()),
            false => Err(self.no_source(id, known, status.dev_s3.is_some())),
        }
    }

    /// That it has only other sources than this one. `is_dev`: it runs in dev mode.
    pub fn no_source<'k>(&self, id: &str, known: impl Iterator<Item = &'k str>, is_dev: bool) -> AskError {
        let near = nearest(id, known).map(str::to_owned);
        AskError::NoSource { url: self.url.clone(), id: id.to_owned(), near, is_dev }
    }

    /// Sends one request, with this JSON as its body if there is any, and reads the answer within `patience`,
    /// whatever its status.
    pub async fn exchange(
        &self,
        method: Method,
        path: &str,
        json: Option<Bytes>,
        patience: Duration,
    ) -> Result<Response<Bytes>, AskError> {
        let exchange = async {
            let (head, body) = self.send(method, path, json).await?.into_parts();
            let body = Limited::new(body, ANSWER_MAX).collect().await.map_err(|error| self.broken(error))?;
            Ok(Response::from_parts(head, body.to_bytes()))
        };
        self.within(patience, exchange).await?
    }

    /// Asks for an answer without an end. `patience` is the time limit for its head.
    pub async fn stream(&self, path: &str, patience: Duration) -> Result<Incoming, AskError> {
        let answer = self.within(patience, self.send(Method::GET, path, None)).await??;
        if answer.status() == StatusCode::OK {
            return Ok(answer.into_body());
        }
        let status = answer.status();
        let read = Limited::new(answer.into_body(), REFUSAL_MAX).collect();
        let body = self.within(patience, read).await?.map_err(|error| self.broken(error))?;
        Err(self.refusal(status, &body.to_bytes()))
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        json: Option<Bytes>,
    ) -> Result<Response<Incoming>, AskError> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.url));
        if let Some(token) = &self.token {
            request = request.header(AUTHORIZATION, &token.header);
        }
        if json.is_some() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request =
            request.body(Full::new(json.unwrap_or_default())).map_err(|error| self.broken(error))?;
        let answer = match &self.connections {
            Connections::Plain(client) => client.request(request).await,
            Connections::Tls(client) => client.request(request).await,
            Connections::None(why) => return Err(AskError::Certificates(self.url.clone(), why.clone())),
        };
        answer.map_err(|error| {
            if causes::chain(&error).any(|cause| cause.is::<rustls::Error>()) {
                AskError::Tls(self.url.clone(), io_cause(&error))
            } else if error.is_connect() {
                AskError::Unreachable(self.url.clone(), io_cause(&error))
            } else {
                self.broken(error)
            }
        })
    }

    async fn within<T>(&self, patience: Duration, work: impl Future<Output = T>) -> Result<T, AskError> {
        let timed_out = |_| AskError::TimedOut(self.url.clone(), patience);
        tokio::time::timeout(patience, work).await.map_err(timed_out)
    }

    fn broken(&self, cause: impl Into<Box<dyn Error + Send + Sync>>) -> AskError {
        AskError::Broken(self.url.clone(), cause.into())
    }

    /// Why a request was refused. `body` is that of an answer that is not 200.
    pub fn refusal(&self, status: StatusCode, body: &[u8]) -> AskError {
        let url = self.url.clone();
        let body: Option<RefusedBody> = serde_json::from_slice(body).ok();
        match (status, body) {
            (StatusCode::UNAUTHORIZED, _) => {
                AskError::Unauthorized(url, self.token.as_ref().map(|token| token.from.clone()))
            }
            (StatusCode::FORBIDDEN, Some(body)) if body.code == "read_only" => AskError::ReadOnly(url),
            (_, Some(RefusedBody { code, message, .. })) if !message.is_empty() => {
                AskError::Refused { url, status, code, message }
            }
            _ => self.broken(format!("it answered {status}")),
        }
    }
}

/// The error of the operating system among the causes.
fn io_cause(error: &(dyn Error + 'static)) -> io::Error {
    let Some(found) = causes::chain(error).find_map(|cause| cause.downcast_ref::<io::Error>()) else {
        return io::Error::other(error.to_string());
    };
    // An `io::Error` cannot be cloned; its kind and text are kept.
    match found.raw_os_error() {
        Some(code) => io::Error::from_raw_os_error(code),
        None => io::Error::new(found.kind(), found.to_string()),
    }
}
