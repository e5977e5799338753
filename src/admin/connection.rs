//! One connection of the admin listener: the watched socket, and the HTTP server on it.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::Instant;
use tokio_util::io::{InspectReader, InspectWriter};
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, AnswerBody};
use crate::connections::seats::Standing;
use crate::connections::times::{ConnectionTimes, Expired, Timer};
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
        lock(&self.0.times).request_ended(now);
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

    fn read(&self, bytes: &[u8]) {
        // At the end of the stream, nothing was read.
        if !bytes.is_empty() {
            let now = self.now();
            lock(&self.times).bytes_read(bytes, now);
        }
    }

    fn wrote(&self) {
        let times = lock(&self.times);
        if !times.has_open_requests() {
            self.standing.still_active(self.now());
        }
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
        lock(&watch.times).request_began();
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
            let of_body = matches!(answer.body(), AnswerBody::Right(_)).then_some(answered);
            Ok::<_, Infallible>(answer.map(|body| Tracked { body, _in_flight: of_body }))
        }
    });
    let (reading, writing) = (watch.clone(), watch.clone());
    // Writes count, too, so that a slow operator who is still reading an answer keeps the seat longer than
    // idle connections do.
    let watched = InspectWriter::new(socket, move |_| writing.wrote());
    let watched = InspectReader::new(watched, move |bytes| reading.read(bytes));
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
            timer.poll_expired(|| watch.now(), |now, _| lock(&watch.times).verdict(now), cx).map(Err)
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
