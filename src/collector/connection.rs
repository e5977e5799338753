//! One connection: the socket, watched, and the HTTP server on it.

use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use http::Request;
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::handle::Shared;
use super::known_key::KnownKey;
use super::settings::Bounds;
use crate::connections::seats::Standing;
use crate::connections::timer::Timer;
use crate::connections::times::{ConnectionTimes, Expired};
use crate::time::Clock;

/// What the HTTP/1 parser may buffer. More than a head may have, so that heads that are somewhat too long are answered with
/// a reason; the rest is answered by the parser, with a bare 431.
const READ_BUFFER_MAX: usize = 96 * 1_024;
const DISCARD_STEP: usize = 16 * 1_024;

/// The two signals that every connection listens to.
#[derive(Clone, Debug)]
pub(super) struct Signals {
    /// No new requests: HTTP/2 is told to go away, HTTP/1 is answered `Connection: close`.
    pub(super) draining: CancellationToken,
    /// Finish what is being written, and end.
    pub(super) closing: CancellationToken,
}

/// The other end of a connection, as requests see it.
#[derive(Clone, Debug)]
pub(super) struct Peer {
    /// The address of the socket.
    pub(super) address: IpAddr,
    /// The write key that it sent last.
    pub(super) known_key: KnownKey,
    times: Arc<Mutex<ConnectionTimes>>,
    standing: Arc<Standing>,
    clock: Arc<dyn Clock>,
}

impl Peer {
    fn times(&self) -> MutexGuard<'_, ConnectionTimes> {
        self.times.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer is given before the whole request was read.
    pub(super) fn left_unread(&self) {
        self.times().left_unread();
    }
}

/// The connection was told to make room for another one just before the request came.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the connection makes room for another one")]
struct MakesRoom;

/// A request that is open, for the connection's times and for whoever waits until all are answered.
#[derive(Debug)]
pub(super) struct OpenRequest {
    peer: Peer,
    _counted: TaskTrackerToken,
}

impl OpenRequest {
    fn begin(peer: &Peer, requests: &TaskTracker) -> Result<Self, MakesRoom> {
        let mut times = peer.times();
        if !times.has_open_requests() && !peer.standing.request_began() {
            return Err(MakesRoom);
        }
        times.request_began();
        drop(times);
        Ok(Self { peer: peer.clone(), _counted: requests.token() })
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let now = self.peer.clock.monotonic();
        let mut times = self.peer.times();
        times.request_ended(now);
        if !times.has_open_requests() {
            self.peer.standing.waits(now);
        }
    }
}

/// Serves HTTP/1 and HTTP/2 on `stream` until the client leaves, a time is over, another connection needs its seat or
/// `signals` say so.
///
/// Dropping it closes the socket; calls that were handed to the spool are finished all the same.
pub(super) async fn serve<S>(
    stream: S,
    address: IpAddr,
    standing: Arc<Standing>,
    shared: Arc<Shared>,
    signals: Signals,
    tasks: TaskTracker,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let bounds = shared.settings.bounds.clone();
    let clock = Arc::clone(&shared.deps.clock);
    let times = ConnectionTimes::new(bounds.head, bounds.idle, clock.monotonic());
    let times = Arc::new(Mutex::new(times));
    let peer = Peer { address, known_key: KnownKey::default(), times, standing, clock };
    let watched = Watched { inner: stream, peer: peer.clone(), bounds: bounds.clone(), linger: None };
    let service = service_fn(|request: Request<Incoming>| {
        let open = OpenRequest::begin(&peer, &shared.requests);
        let (shared, peer) = (Arc::clone(&shared), peer.clone());
        async move {
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
            let expired = timer.poll_expired(|| peer.clock.monotonic(), |now| peer.times().verdict(now), cx);
            expired.map(Ended::Expired)
        });
        tokio::select! {
            biased;
            () = signals.closing.cancelled() => break Ended::Closing,
            () = peer.standing.told_to_leave() => break Ended::MakesRoom,
            () = signals.draining.cancelled(), if !told_to_drain => {
                told_to_drain = true;
                // Told so, HTTP/1 would close while idle, where a request may be on its way; it is answered 503 instead.
                if peer.times().is_http2() {
                    connection.as_mut().graceful_shutdown();
                }
            }
            ended = watch => break ended,
        }
    };
    match ended {
        Ended::Served(Ok(())) => {}
        // Clients that hang up or speak something else are everyday; who looks for one turns debug on.
        Ended::Served(Err(error)) => tracing::debug!(peer = %address, error, "connection ended early"),
        Ended::Expired(Expired::Head) => tracing::debug!(peer = %address, "request head took too long"),
        Ended::MakesRoom => tracing::debug!(peer = %address, "connection closed for a newer one"),
        Ended::Expired(Expired::Idle) if !peer.times().is_http2() => {}
        Ended::Expired(Expired::Idle) | Ended::Closing => {
            connection.as_mut().graceful_shutdown();
            tokio::select! {
                () = peer.standing.told_to_leave() => {}
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
    Expired(Expired),
    MakesRoom,
    Closing,
}

fn server(bounds: &Bounds, tasks: TaskTracker) -> Builder<OwnedTasks> {
    let mut server = Builder::new(OwnedTasks(tasks));
    // A client may close its side once it has sent everything, and still waits for the answer.
    server.http1().header_read_timeout(None).max_buf_size(READ_BUFFER_MAX).half_close(true);
    server
        .http2()
        .max_concurrent_streams(bounds.http2_streams)
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

/// A socket that tells [`ConnectionTimes`] what is read, and that shuts down so that the client still gets its answer.
struct Watched<S> {
    inner: S,
    peer: Peer,
    bounds: Bounds,
    linger: Option<Linger>,
}

struct Linger {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if let Some(bytes) = buf.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
            let now = self.peer.clock.monotonic();
            self.peer.times().bytes_read(bytes, now);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.inner).poll_write_vectored(cx, slices)
    }

    // To close a socket with bytes unread makes the kernel send a reset, which takes the answer away from a client that is
    // still sending; it would send again for ever. So the rest is read, within bounds.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let linger = match &mut this.linger {
            Some(linger) => linger,
            None => {
                ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
                if !this.peer.times().may_still_send() {
                    return Poll::Ready(Ok(()));
                }
                let until = Box::pin(sleep(this.bounds.linger));
                this.linger.insert(Linger { until, bytes_left: this.bounds.linger_bytes })
            }
        };
        let mut scratch = [0; DISCARD_STEP];
        loop {
            let mut buf = ReadBuf::new(&mut scratch);
            if linger.until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let read = ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buf));
            let len = buf.filled().len();
            // An error or the end: the client has gone.
            if read.is_err() || len == 0 || len > linger.bytes_left {
                return Poll::Ready(Ok(()));
            }
            linger.bytes_left -= len;
        }
    }
}
