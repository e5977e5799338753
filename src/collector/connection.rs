//! One connection: the watched socket, and the HTTP server on it.

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use http::{Request, Version};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::bounds::Bounds;
use super::handle::stream_bytes;
use super::peer::{MakesRoom, OpenRequest, Over, Peer};
use super::shared::Shared;
use super::unread_answers::{Connection as _, Listed};
use super::watched_socket::{Socket, Watched};
use crate::connections::seats::Standing;
use crate::connections::times::{Expired, Timer};

/// Bytes that the HTTP/1 parser may buffer. This is more than a head may have, so that a head slightly over
/// the limit gets an answer with the reason. The parser answers longer heads with a bare 431.
const READ_BUFFER_MAX: usize = 96 * 1_024;
/// Bytes of bodies that an HTTP/2 client may send before the collector reads them: on one stream, and on all
/// streams of a connection.
const HTTP2_STREAM_WINDOW: u32 = 256 * 1_024;
const HTTP2_CONNECTION_WINDOW: u32 = 512 * 1_024;

/// The two signals that every connection watches.
#[derive(Clone, Debug)]
pub(super) struct Signals {
    /// Take no new requests: HTTP/2 gets a GOAWAY, HTTP/1 is answered `Connection: close`.
    pub(super) draining: CancellationToken,
    /// Finish pending writes, and end.
    pub(super) closing: CancellationToken,
}

/// Serves HTTP/1 and HTTP/2 on `stream` until the client leaves, a time limit passes, another connection
/// needs its seat or `signals` end it.
///
/// Dropping the future closes the socket; calls that were already passed to the spool are still stored.
pub(super) async fn serve<S>(
    stream: S,
    address: IpAddr,
    standing: Arc<Standing>,
    shared: Arc<Shared>,
    signals: Signals,
    tasks: TaskTracker,
) where
    S: Socket,
{
    let bounds = shared.settings.bounds.clone();
    if let Err(error) = stream.bound_send_buffer() {
        tracing::debug!(peer = %address, %error, "cannot bound the socket's send buffer");
    }
    let peer = Arc::new(Peer::new(address, stream.is_tls(), standing, &shared));
    let _listed: Listed = shared.unread.list(Arc::<Peer>::downgrade(&peer));
    let watched = Watched::new(stream, &peer, &shared);
    let service = service_fn(|request: Request<Incoming>| {
        let open = OpenRequest::begin(&peer, &shared.requests);
        // In HTTP/1 the connection's own task continues with the request at once.
        let is_http2 = request.version() == Version::HTTP_2;
        let waits = is_http2.then(|| shared.backlog.enter(stream_bytes(request.uri(), request.headers())));
        let (shared, peer) = (Arc::clone(&shared), Arc::clone(&peer));
        async move {
            drop(waits);
            let _open = open?;
            Ok::<_, MakesRoom>(shared.answer(request, &peer).await)
        }
    });
    let server = server(&bounds, tasks);
    let mut connection = pin!(server.serve_connection(TokioIo::new(watched), service));

    let mut timer = Timer::default();
    let mut told_to_drain = false;
    let ended = loop {
        let watch = std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(Ended::Served(result));
            }
            timer.poll_expired(|| peer.now(), |now, cx| peer.verdict(now, cx), cx).map(Ended::Over)
        });
        tokio::select! {
            biased;
            () = signals.closing.cancelled() => break Ended::Closing,
            () = peer.told_to_leave() => break Ended::MakesRoom,
            () = signals.draining.cancelled(), if !told_to_drain => {
                told_to_drain = true;
                // A graceful shutdown would close an idle HTTP/1 connection while a request may be on its
                // way; that request gets 503 instead.
                if peer.is_http2() {
                    connection.as_mut().graceful_shutdown();
                }
            }
            ended = watch => break ended,
        }
    };
    match ended {
        Ended::Served(Ok(())) => {}
        // Clients that hang up or speak another protocol are common, so this is logged only at debug.
        Ended::Served(Err(error)) => tracing::debug!(peer = %address, error, "connection ended early"),
        Ended::Over(Over::Time(Expired::Head)) => {
            tracing::debug!(peer = %address, "request head took too long")
        }
        Ended::Over(Over::Unread) => {
            tracing::debug!(peer = %address, "answers were left unread; connection reset");
            shared.deps.metrics.unread_connections.inc();
            peer.reset_when_closed();
        }
        Ended::MakesRoom => makes_room(&peer),
        Ended::Over(Over::Time(Expired::Idle)) if !peer.is_http2() => {}
        Ended::Over(Over::Time(Expired::Idle)) | Ended::Closing => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                () = peer.told_to_leave() => makes_room(&peer),
                ended = timeout(bounds.linger, connection) => {
                    if let Ok(Err(error)) = ended {
                        tracing::debug!(peer = %address, error, "connection ended early");
                    }
                }
            }
        }
    }
}

enum Ended {
    Served(Result<(), Box<dyn std::error::Error + Send + Sync>>),
    Over(Over),
    MakesRoom,
    Closing,
}

fn makes_room(peer: &Peer) {
    tracing::debug!(peer = %peer.address, "connection closed for a newer one");
    if peer.unread().since.is_some() {
        // Without a reset, the kernel would keep what the client has not read for minutes, and clients could
        // reconnect as fast as they are closed.
        peer.reset_when_closed();
    }
}

fn server(bounds: &Bounds, tasks: TaskTracker) -> Builder<OwnedTasks> {
    let mut server = Builder::new(OwnedTasks(tasks));
    // A client may close its side after sending everything, and still wait for the answer.
    server.http1().header_read_timeout(None).max_buf_size(READ_BUFFER_MAX).half_close(true);
    server
        .http2()
        .max_concurrent_streams(bounds.http2_streams)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(bounds.head_bytes).unwrap_or(u32::MAX));
    server
}

/// Runs HTTP/2 streams as tasks that the collector waits for.
#[derive(Clone, Debug)]
struct OwnedTasks(TaskTracker);

impl<F> Executor<F> for OwnedTasks
where
    F: Future<Output: Send + 'static> + Send + 'static,
{
    fn execute(&self, future: F) {
        self.0.spawn(future);
    }
}
