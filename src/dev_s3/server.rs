//! The connections of an S3 service: how many there are at once, and how they end.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::header::{CONNECTION, CONTENT_ENCODING, EXPECT};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use s3s::service::S3Service;
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::refusals::Refusals;
use super::settings::DevS3Error;
use crate::planted_bugs::{PlantedPanic, panic_if_planted};
use crate::tasks::{Supervised, keep};

/// How long requests may take to finish after [`DevS3Running::stop`]. Then their connections are dropped; an
/// object exists completely or not at all.
const STOP_GRACE: Duration = Duration::from_secs(5);

/// The pause after a failed accept (no file descriptors left), to avoid a tight loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// How long the head of a request may take, on a connection that has a lifetime.
const HEAD_WITHIN: Duration = Duration::from_secs(10);

/// The bounds of connections.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    /// The most connections at once. At the limit, new ones wait to be accepted.
    pub(super) connections: usize,
    /// How long a connection takes new requests, and then how long its last one may still take. `None`: as long as
    /// the client likes, for clients on this machine that send and read large objects.
    pub(super) lifetime: Option<(Duration, Duration)>,
}

/// A running server. Dropping it without [`DevS3Running::stop`] does not wait for requests.
pub struct DevS3Running {
    addr: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

debug_fields!(DevS3Running { addr });

impl DevS3Running {
    /// Serves connections of `listener` from now on.
    /// Errors: the listener is unusable.
    pub(super) fn start(
        listener: std::net::TcpListener,
        service: S3Service,
        bounds: Bounds,
    ) -> Result<Self, DevS3Error> {
        listener.set_nonblocking(true).map_err(DevS3Error::Listener)?;
        let addr = listener.local_addr().map_err(DevS3Error::Listener)?;
        let listener = Arc::new(TcpListener::from_std(listener).map_err(DevS3Error::Listener)?);
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let start = move || accept(Arc::clone(&listener), service.clone(), bounds, stopped.clone());
        let server = tokio::spawn(keep(Supervised::unalarmed(), start));
        Ok(Self { addr, stop, server })
    }

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

async fn accept(listener: Arc<TcpListener>, service: S3Service, bounds: Bounds, stop: CancellationToken) {
    let (mut connections, refusals) = (JoinSet::new(), Arc::new(Refusals::new()));
    loop {
        panic_if_planted(PlantedPanic::DevS3);
        tokio::select! {
            () = stop.cancelled() => break,
            _ = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < bounds.connections => match accepted {
                Ok((stream, _)) => {
                    let refusals = Arc::clone(&refusals);
                    connections.spawn(serve(stream, service.clone(), refusals, bounds.lifetime, stop.clone()));
                }
                Err(_) => sleep(ACCEPT_PAUSE).await,
            },
        }
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if timeout(STOP_GRACE, ended).await.is_err() {
        tracing::warn!("requests to the S3 server did not finish in time and were aborted");
    }
}

async fn serve(
    stream: tokio::net::TcpStream,
    service: S3Service,
    refusals: Arc<Refusals>,
    lifetime: Option<(Duration, Duration)>,
    stop: CancellationToken,
) {
    // Without nodelay, each of many small answers waits for the acknowledgement of the previous one.
    let nodelay = stream.set_nodelay(true);
    let peer = stream.peer_addr().ok().map(|peer| peer.ip());
    let mut builder = auto::Builder::new(TokioExecutor::new());
    if lifetime.is_some() {
        builder.http1().timer(TokioTimer::new()).header_read_timeout(HEAD_WITHIN);
    }
    // Before its first bytes a connection has no protocol, and the bound above does not hold.
    let has_asked = Arc::new(AtomicBool::new(false));
    let asks = Arc::clone(&has_asked);
    let service = service_fn(move |mut request: http::Request<Incoming>| {
        asks.store(true, Ordering::Relaxed);
        join_content_encodings(&mut request);
        let expects = request.headers().get(EXPECT).is_some_and(|expect| expect == "100-continue");
        let is_empty = request.body().is_end_stream();
        // Not the method of the same name: its future would borrow the service.
        let answer = hyper::service::Service::call(&service, request);
        let refusals = Arc::clone(&refusals);
        async move {
            let mut answer = answer.await?;
            refusals.note(&mut answer, peer);
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
        () = asked_nothing(&has_asked), if lifetime.is_some() => return,
        () = lived(lifetime.map(|(takes, _)| takes)) => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                ended = connection => ended,
                () = lived(lifetime.map(|(_, ends)| ends)) => return,
            }
        }
    };
    if let Err(err) = ended {
        tracing::debug!(%err, ?nodelay, "a connection to the S3 server failed");
    }
}

/// Returns if no request has begun in time, else never.
async fn asked_nothing(has_asked: &AtomicBool) {
    sleep(HEAD_WITHIN).await;
    if has_asked.load(Ordering::Relaxed) {
        std::future::pending().await
    }
}

/// Waits for a time; without one, forever.
async fn lived(time: Option<Duration>) {
    match time {
        Some(time) => sleep(time).await,
        None => std::future::pending().await,
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

#[cfg(test)]
mod tests {
    use s3s::service::S3ServiceBuilder;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpStream;
    use tokio::time::Instant;

    use super::super::beside::NoObjects;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_that_ends_no_request_leaves_its_place_to_the_next_one() {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let lifetime = (Duration::from_secs(60), Duration::from_secs(30));
        let bounds = Bounds { connections: 1, lifetime: Some(lifetime) };
        let server = DevS3Running::start(listener, S3ServiceBuilder::new(NoObjects).build(), bounds).unwrap();
        // The last one is answered before its body is there, so it need not last that long.
        let unfinished = "PUT /b/k HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n123";
        for (sent, least, most) in [
            ("", HEAD_WITHIN, HEAD_WITHIN * 2),
            ("GET / HT", HEAD_WITHIN, HEAD_WITHIN * 2),
            (unfinished, Duration::ZERO, lifetime.0 + lifetime.1 * 2),
        ] {
            let began = Instant::now();
            let mut client = TcpStream::connect(server.addr()).await.unwrap();
            client.write_all(sent.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            // Ended or reset, either way it is over.
            drop(client.read_to_end(&mut answer).await);
            let took = began.elapsed();
            assert!(took >= least && took <= most, "{sent}: {took:?}");
        }
        server.stop().await.unwrap();
    }
}
