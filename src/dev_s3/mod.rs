//! The S3 server inside the process, for `forebay dev` and for tests: the S3 protocol of `s3s` over a backend of our own.
//!
//! On disk, below the data directory:
//!
//! ```text
//! lock                     held while a server uses the directory
//! buckets/<name>.json      one for each bucket
//! objects/<digest>.json    one for each object: bucket, key, headers, metadata, and the name of its body
//! uploads/<id>.json        one for each multipart upload: headers and parts
//! bodies/<id>              bytes of an object or a part, never changed once it is here
//! tmp/<id>                 bytes that are being received; removed at start
//! ```
//!
//! No file is named by a key: keys are up to 1,024 bytes of anything, and `x` and `x/y` may both exist. `<digest>` is the
//! SHA-256 of bucket and key. An answer of 200 means: the body is synced, then its name in `bodies`, then the object's
//! file, then its name in `objects`. Replacing an object is one rename of a small file that names another body, so a
//! crash leaves the old object or the new one, and at worst a body that nothing names, which the next start removes.
//!
//! The index in memory is rebuilt at start; a listing is a range of it and touches no disk. It is a store for one machine
//! in development: one set of keys, one region, no versions, policies or tags; nothing is encrypted, the headers that ask
//! for encryption are checked, kept and answered as S3 would.
//!
//! The protocol layer logs requests, with their headers, at debug level and every refused request as an error, under the
//! target `s3s`: a program that logs should leave that target out.

mod disk;
mod listed;
mod listing;
mod meta;
mod multipart;
mod objects;
mod receive;
mod service;
mod sums;
mod vault;

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_ENCODING, EXPECT};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use s3s::auth::{S3Auth, SecretKey};
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s::{S3Result, s3_error};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::CancellationToken;

use self::service::Service;
use self::vault::Vault;
use crate::planted::{PlantedPanic, panic_if_planted};
use crate::random::Random;
use crate::tasks;
use crate::time::Clock;

/// The bucket that is there from the start.
pub const BUCKET: &str = "forebay";
/// The region that every bucket is in.
pub const REGION: &str = "us-east-1";
/// The access key id of the one user.
pub const ACCESS_KEY_ID: &str = "forebay";
/// The secret access key of the one user. It protects nothing: the server is for loopback.
pub const SECRET_ACCESS_KEY: &str = "forebay-secret";

/// Connections served at once, where there are handles for them. At the limit new ones wait to be accepted.
pub const CONNECTIONS_MAX: usize = 512;

/// How long requests may take to end after [`DevS3Running::stop`]. Then their connections are dropped; an object is there
/// whole or not at all.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// Wait after a failed accept (out of file descriptors), so that it is not tried in a tight loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where the server keeps its files, and its clock and chance.
#[derive(Debug)]
pub struct DevS3Settings {
    /// The directory of its files; made if it is not there.
    pub data_dir: PathBuf,
    /// For `LastModified`.
    pub clock: Arc<dyn Clock>,
    /// For names of bodies and ids of uploads.
    pub random: Arc<dyn Random>,
    /// Connections served at once: [`CONNECTIONS_MAX`], or what there are handles for.
    pub connections: usize,
}

/// Why the server does not start, or cannot be reset.
#[derive(Debug, thiserror::Error)]
pub enum DevS3Error {
    /// The directory is in use.
    #[error("the S3 data directory {} is in use by another process", .0.display())]
    InUse(PathBuf),
    /// Something below the directory cannot be read, written or synced.
    #[error("{what} {}", .path.display())]
    Disk {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What went wrong.
        #[source]
        cause: std::io::Error,
    },
    /// A file says nothing that can be understood.
    #[error("{} is damaged: remove it, or the whole S3 data directory", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        cause: serde_json::Error,
    },
    /// The listener cannot be used.
    #[error("serve S3 on this address")]
    Listener(#[source] std::io::Error),
    /// A task of the server did not end by itself.
    #[error("the S3 server ended unexpectedly")]
    Task(#[source] tokio::task::JoinError),
}

/// The server: [`DevS3::start`] is its only door.
#[derive(Debug)]
pub struct DevS3;

impl DevS3 {
    /// Reads what is on disk, makes the bucket [`BUCKET`] if it is not there, and serves on `listener`.
    ///
    /// # Errors
    /// The directory is in use, cannot be read or written, or holds a damaged file.
    pub async fn start(
        listener: std::net::TcpListener,
        settings: DevS3Settings,
    ) -> Result<DevS3Running, DevS3Error> {
        listener.set_nonblocking(true).map_err(DevS3Error::Listener)?;
        let addr = listener.local_addr().map_err(DevS3Error::Listener)?;
        let listener = TcpListener::from_std(listener).map_err(DevS3Error::Listener)?;
        let most = settings.connections;
        let vault =
            tokio::task::spawn_blocking(move || Vault::open(settings)).await.map_err(DevS3Error::Task)??;
        let vault = Arc::new(vault);
        let mut builder = S3ServiceBuilder::new(Service::new(Arc::clone(&vault)));
        builder.set_auth(OneUser);
        let stop = CancellationToken::new();
        let (listener, service, stopped) = (Arc::new(listener), builder.build(), stop.clone());
        let start = move || accept(Arc::clone(&listener), service.clone(), most, stopped.clone());
        let server = tokio::spawn(tasks::restart(start));
        Ok(DevS3Running { addr, vault, stop, server })
    }
}

/// A running server. Dropping it without [`DevS3Running::stop`] ends it without waiting for requests.
pub struct DevS3Running {
    addr: SocketAddr,
    vault: Arc<Vault>,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl fmt::Debug for DevS3Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DevS3Running").field("addr", &self.addr).finish_non_exhaustive()
    }
}

impl DevS3Running {
    /// The address it serves on.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The endpoint URL for clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Removes everything but the empty bucket [`BUCKET`].
    ///
    /// # Errors
    /// A file could not be removed.
    pub async fn reset(&self) -> Result<(), DevS3Error> {
        let vault = Arc::clone(&self.vault);
        tokio::task::spawn_blocking(move || vault.reset()).await.map_err(DevS3Error::Task)?
    }

    /// Accepts nothing more, lets requests end, and gives the directory free. Not cancel-safe.
    ///
    /// # Errors
    /// The server had ended by a panic.
    pub async fn stop(mut self) -> Result<(), DevS3Error> {
        self.stop.cancel();
        (&mut self.server).await.map_err(DevS3Error::Task)
    }
}

impl Drop for DevS3Running {
    fn drop(&mut self) {
        self.server.abort();
    }
}

/// The one user, whose requests must be signed.
struct OneUser;

#[async_trait::async_trait]
impl S3Auth for OneUser {
    async fn get_secret_key(&self, access_key: &str) -> S3Result<SecretKey> {
        if access_key == ACCESS_KEY_ID {
            return Ok(SecretKey::from(SECRET_ACCESS_KEY));
        }
        Err(s3_error!(InvalidAccessKeyId, "the access key id of the dev server is {ACCESS_KEY_ID}"))
    }
}

async fn accept(listener: Arc<TcpListener>, service: S3Service, most: usize, stop: CancellationToken) {
    let mut connections = JoinSet::new();
    loop {
        panic_if_planted(PlantedPanic::DevS3);
        tokio::select! {
            () = stop.cancelled() => break,
            _ = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < most => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, service.clone(), stop.clone()));
                }
                Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(STOP_GRACE, ended).await.is_err() {
        tracing::warn!("requests to the S3 server were cut off: they did not end in time");
    }
}

async fn serve(stream: tokio::net::TcpStream, service: S3Service, stop: CancellationToken) {
    // Answers are small and many: without this each waits for the acknowledgement of the one before it.
    let nodelay = stream.set_nodelay(true);
    let builder = auto::Builder::new(TokioExecutor::new());
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        join_content_encodings(&mut request);
        let expects = request.headers().get(EXPECT).is_some_and(|expect| expect == "100-continue");
        let is_empty = request.body().is_end_stream();
        // Not the method of the same name, whose future would borrow the service.
        let answer = hyper::service::Service::call(&service, request);
        async move {
            let mut answer = answer.await?;
            // Boto takes a final answer that comes in place of "100 Continue" for the answer to the next request on the
            // connection, too, and then waits in vain for the rest of that one.
            if expects && (is_empty || !answer.status().is_success()) {
                answer.headers_mut().insert(CONNECTION, http::HeaderValue::from_static("close"));
            }
            Ok::<_, s3s::HttpError>(answer)
        }
    });
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(err) = ended {
        tracing::debug!(%err, ?nodelay, "a connection to the S3 server broke off");
    }
}

/// Some clients send `Content-Encoding` once for the object and once for `aws-chunked`, which the S3 layer takes for an
/// error. A list in one header means the same, and is what the signature is made over.
fn join_content_encodings<B>(request: &mut http::Request<B>) {
    let values: Vec<&[u8]> =
        request.headers().get_all(CONTENT_ENCODING).iter().map(http::HeaderValue::as_bytes).collect();
    if values.len() > 1
        && let Ok(joined) = http::HeaderValue::from_bytes(&values.join(&b','))
    {
        request.headers_mut().insert(CONTENT_ENCODING, joined);
    }
}
