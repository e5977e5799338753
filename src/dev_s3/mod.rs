//! The S3 server inside the process, for `forebay dev` and for tests: the S3 protocol of `s3s` over our own
//! backend.
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
//! No file is named by a key: keys are up to 1,024 arbitrary bytes, and `x` and `x/y` may both exist.
//! `<digest>` is the SHA-256 of bucket and key. Before a put is answered with 200, the server syncs the body,
//! then its name in `bodies`, then the object's file, then its name in `objects`. Replacing an object renames
//! one small file that names another body, so after a crash either the old or the new object exists, and at
//! worst a body without an object, which the next start removes.
//!
//! The index in memory is rebuilt at start. A listing is a range of it and does not read the disk. The store
//! is meant for development on one machine: one key pair, one region, no versions, policies or tags. Nothing
//! is encrypted; encryption headers are checked, kept and answered as S3 would.
//!
//! The protocol layer logs requests with their headers at debug level, and every refused request as an error,
//! under the target `s3s`: exclude that target from logs.

mod disk;
mod listing;
mod meta;
mod multipart;
mod objects;
mod receive;
mod service;
mod settings;
mod sums;
mod vault;

use std::net::SocketAddr;
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
pub use self::settings::{
    ACCESS_KEY_ID, BUCKET, CONNECTIONS_MAX, DevS3Error, DevS3Settings, REGION, SECRET_ACCESS_KEY,
};
use self::vault::Vault;
use crate::planted_bugs::{PlantedPanic, panic_if_planted};
use crate::tasks::{Supervised, keep};

/// How long requests may take to finish after [`DevS3Running::stop`]. Then their connections are dropped; an
/// object exists completely or not at all.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// The pause after a failed accept (no file descriptors left), to avoid a tight loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// The server; start it with [`DevS3::start`].
#[derive(Debug)]
pub struct DevS3;

impl DevS3 {
    /// Reads the disk, creates the bucket [`BUCKET`] if missing, and serves on `listener`.
    /// Errors: the directory is in use, cannot be read or written, or contains a damaged file.
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
        let mut builder = S3ServiceBuilder::new(Service::new(Arc::new(vault)));
        builder.set_auth(OneUser);
        let stop = CancellationToken::new();
        let (listener, service, stopped) = (Arc::new(listener), builder.build(), stop.clone());
        let start = move || accept(Arc::clone(&listener), service.clone(), most, stopped.clone());
        let server = tokio::spawn(keep(Supervised::unalarmed(), start));
        Ok(DevS3Running { addr, stop, server })
    }
}

/// A running server. Dropping it without [`DevS3Running::stop`] does not wait for requests.
pub struct DevS3Running {
    addr: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

debug_fields!(DevS3Running { addr });

impl DevS3Running {
    /// The address of the listener.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The endpoint URL for clients.
    pub fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    /// Stops accepting, waits for requests in flight, and unlocks the directory. Not cancel-safe.
    /// Errors: the server ended with a panic.
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
        tracing::warn!("requests to the S3 server did not finish in time and were aborted");
    }
}

async fn serve(stream: tokio::net::TcpStream, service: S3Service, stop: CancellationToken) {
    // Without nodelay, each of many small answers waits for the acknowledgement of the previous one.
    let nodelay = stream.set_nodelay(true);
    let builder = auto::Builder::new(TokioExecutor::new());
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        join_content_encodings(&mut request);
        let expects = request.headers().get(EXPECT).is_some_and(|expect| expect == "100-continue");
        let is_empty = request.body().is_end_stream();
        // Not the method of the same name: its future would borrow the service.
        let answer = hyper::service::Service::call(&service, request);
        async move {
            let mut answer = answer.await?;
            // Boto takes a final answer sent instead of "100 Continue" also for the answer to the next
            // request on the connection, and then waits forever for the rest of that answer.
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
        tracing::debug!(%err, ?nodelay, "a connection to the S3 server failed");
    }
}

/// Some clients send `Content-Encoding` twice, for the object and for `aws-chunked`, which the S3 layer
/// rejects. A list in a single header means the same, and the signature covers that form.
fn join_content_encodings<B>(request: &mut http::Request<B>) {
    let values: Vec<&[u8]> =
        request.headers().get_all(CONTENT_ENCODING).iter().map(http::HeaderValue::as_bytes).collect();
    if values.len() > 1
        && let Ok(joined) = http::HeaderValue::from_bytes(&values.join(&b','))
    {
        request.headers_mut().insert(CONTENT_ENCODING, joined);
    }
}
