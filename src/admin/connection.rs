//! One connection of the admin listener: the watched socket, and the HTTP server on it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, AnswerBody};
use crate::connections::seats::Standing;
use crate::connections::timer::Timer;
use crate::connections::times::{ConnectionTimes, Expired};
use crate::lock::lock;

/// The most bytes of a request's head; a longer head gets 431. Only the bodies of imports and logins are
/// read.
pub const HEAD_MAX: usize = 16 << 10;
/// How long a request's head may take, from its first byte.
pub const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection may be idle. Metrics are scraped more often than that.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// How long an answer may stay unread (on Linux), so that a client that stopped reading does not keep its
/// seat.
pub const SEND_TIMEOUT: Duration = Duration::from_secs(30);
/// The most bytes of an answer that wait for the client in this process. Each viewer of the live view has
/// such a buffer.
const BUFFER_MAX: usize = 64 << 10;

/// The state of a connection.
#[derive(Clone)]
struct Watch {
    times: Arc<Mutex<ConnectionTimes>>,
    standing: Arc<Standing>,
    /// The start of monotonic time, for all connections.
    epoch: Instant,
}

/// A request in flight. Dropped when the request is answered.
struct InFlight(Watch);

impl Drop for InFlight {
    fn drop(&mut self) {
        let now = self.0.now();
        self.0.times().request_ended(now);
        self.0.standing.waits(now);
    }
}

/// The body of an answer whose request may be in flight until its end.
struct Tracked {
    body: AnswerBody,
    _in_flight: Option<InFlight>,
}

impl Body for Tracked {
    type Data = Bytes;
    type Error = <AnswerBody as Body>::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Watch {
    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }

    fn times(&self) -> MutexGuard<'_, ConnectionTimes> {
        lock(&self.times)
    }
}

/// Answers requests on `socket` with `answer` until the client leaves, a time limit passes, another
/// connection needs the seat, or `stop` is set and the request in flight is answered.
pub(super) async fn serve<A>(
    socket: TcpStream,
    standing: Arc<Standing>,
    epoch: Instant,
    stop: CancellationToken,
    answer: impl Fn(Request<Incoming>, IpAddr) -> A,
) where
    A: Future<Output = Answer>,
{
    let local = match prepare(&socket) {
        Ok(local) => local,
        Err(error) => {
            tracing::debug!(%error, "an admin connection ended before it began");
            return;
        }
    };
    let times = ConnectionTimes::new(HEAD_TIMEOUT, IDLE_TIMEOUT, epoch.elapsed());
    let watch = Watch { times: Arc::new(Mutex::new(times)), standing, epoch };
    let service = service_fn(|request| {
        let taken = watch.standing.request_began();
        watch.times().request_began();
        let answering = answer(request, local);
        let watch = &watch;
        async move {
            if !taken {
                // The seat was given to another connection, which ends this one.
                std::future::pending::<()>().await;
            }
            let answer = answering.await;
            // A live answer goes on for as long as someone watches.
            let answered = InFlight(watch.clone());
            let is_live = matches!(answer.body(), AnswerBody::Right(_));
            let of_body = if is_live {
                Some(answered)
            } else {
                drop(answered);
                None
            };
            Ok::<_, Infallible>(answer.map(|body| Tracked { body, _in_flight: of_body }))
        }
    });
    let watched = Watched { inner: socket, watch: watch.clone() };
    let mut builder = http1::Builder::new();
    builder.header_read_timeout(None).max_header_size(HEAD_MAX).max_buf_size(BUFFER_MAX);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(watched), service));
    let mut timer = Timer::default();
    let mut stopping = false;
    let ended = loop {
        let ending = poll_fn(|cx| {
            if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
                return Poll::Ready(Ok(ended));
            }
            timer.poll_expired(|| watch.now(), |now, _| watch.times().verdict(now), cx).map(Err)
        });
        tokio::select! {
            biased;
            () = watch.standing.told_to_leave() => {
                tracing::debug!("an admin connection is closed for a newer one");
                return;
            }
            ended = ending => break ended,
            () = stop.cancelled(), if !stopping => {
                stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    };
    match ended {
        Ok(Ok(())) | Err(Expired::Idle) => {}
        Ok(Err(error)) => tracing::debug!(%error, "an admin connection ended early"),
        Err(Expired::Head) => tracing::debug!("the head of an admin request took too long"),
    }
}

/// Bounds how long sent bytes may stay unread. Returns the address that the client connected to.
fn prepare(socket: &TcpStream) -> io::Result<IpAddr> {
    #[cfg(target_os = "linux")]
    socket2::SockRef::from(socket).set_tcp_user_timeout(Some(SEND_TIMEOUT))?;
    socket.set_nodelay(true)?;
    socket.local_addr().map(|address| address.ip())
}

/// A socket that reports reads and writes. Writes count, too, so that a slow operator who is still reading an
/// answer keeps the seat longer than idle connections do.
struct Watched {
    inner: TcpStream,
    watch: Watch,
}

impl Watched {
    fn wrote(&self, written: &Poll<io::Result<usize>>) {
        let times = self.watch.times();
        if matches!(written, Poll::Ready(Ok(_))) && !times.has_open_requests() {
            self.watch.standing.still_active(self.watch.now());
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if let Some(bytes) = buf.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
            let now = self.watch.now();
            self.watch.times().bytes_read(bytes, now);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Watched {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(&written);
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.wrote(&written);
        written
    }
}
