//! One connection: the socket, watched, and the HTTP server on it.

use std::io;
use std::net::IpAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use http::{Request, Version};
use hyper::body::Incoming;
use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::handle::{Shared, stream_bytes};
use super::known_key::KnownKey;
use super::outgoing::{Outgoing, UnreadBounds};
use super::settings::Bounds;
use super::socket::Socket;
use super::times::{ConnectionTimes, Expired, Verdict};
use super::unread::{Listed, UnreadAnswers};
use crate::time::Clock;

/// What the HTTP/1 parser may buffer. More than a head may have, so that heads that are somewhat too long are answered with
/// a reason; the rest is answered by the parser, with a bare 431.
const READ_BUFFER_MAX: usize = 96 * 1_024;
/// Bytes of bodies that an HTTP/2 client may send before they are taken from its connection: of one stream, and of all.
const HTTP2_STREAM_WINDOW: u32 = 256 * 1_024;
const HTTP2_CONNECTION_WINDOW: u32 = 512 * 1_024;
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
#[derive(Debug)]
pub(super) struct Peer {
    /// The address of the socket.
    pub(super) address: IpAddr,
    /// The write key that it sent last.
    pub(super) known_key: KnownKey,
    state: Mutex<PeerState>,
    unread: Arc<UnreadAnswers>,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
struct PeerState {
    times: ConnectionTimes,
    outgoing: Outgoing,
    /// Of the connection's task, while something waits for the client.
    waker: Option<Waker>,
    /// The connection ends with a reset.
    reset: bool,
}

/// What a client has not taken yet.
#[derive(Clone, Copy, Debug)]
pub(super) struct Unread {
    /// Bytes of memory.
    pub(super) bytes: usize,
    /// Since when it takes nothing.
    pub(super) since: Option<Duration>,
    /// Whether its connection was told to end.
    pub(super) ending: bool,
}

impl Peer {
    fn new(address: IpAddr, shared: &Shared) -> Self {
        let bounds = &shared.settings.bounds;
        let clock = Arc::clone(&shared.deps.clock);
        let unread = UnreadBounds {
            bytes: bounds.connection_answers_bytes,
            timeout: bounds.unread,
            over: bounds.unread_over,
        };
        let state = PeerState {
            times: ConnectionTimes::new(bounds.head, bounds.idle, clock.monotonic()),
            outgoing: Outgoing::new(unread),
            waker: None,
            reset: false,
        };
        Self {
            address,
            known_key: KnownKey::default(),
            state: Mutex::new(state),
            unread: Arc::clone(&shared.unread),
            clock,
        }
    }

    fn state(&self) -> MutexGuard<'_, PeerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An answer is given before the whole request was read.
    pub(super) fn left_unread(&self) {
        self.state().times.left_unread();
    }

    /// An answer of an HTTP/2 stream, which holds so many bytes, is there to be sent.
    pub(super) fn answered(&self, bytes: usize) {
        self.change(|outgoing| outgoing.answered(bytes));
    }

    /// Such an answer was sent, or its stream is gone.
    pub(super) fn answer_taken(&self, bytes: usize) {
        self.change(|outgoing| outgoing.answer_taken(bytes));
    }

    /// What it has not taken yet.
    pub(super) fn unread(&self) -> Unread {
        let state = self.state();
        let outgoing = &state.outgoing;
        Unread { bytes: outgoing.bytes(), since: outgoing.since(), ending: outgoing.is_given_up() }
    }

    /// Ends its connection: the room is needed for others.
    pub(super) fn give_up(&self) {
        let mut state = self.state();
        state.outgoing.give_up();
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn change(&self, change: impl FnOnce(&mut Outgoing)) {
        let mut state = self.state();
        let before = state.outgoing.bytes();
        change(&mut state.outgoing);
        // Under the lock, so that nothing is taken away before it was added.
        let too_much = self.unread.changed(before, state.outgoing.bytes());
        drop(state);
        if too_much {
            self.unread.make_room(self.clock.monotonic());
        }
    }

    /// Whether the connection may go on, once all that could be sent was sent.
    fn verdict(&self, cx: &Context<'_>) -> Verdict {
        let now = self.clock.monotonic();
        let mut state = self.state();
        state.outgoing.sent_what_could_be(now);
        let unread_until = state.outgoing.until();
        if unread_until.is_some() {
            match &mut state.waker {
                Some(waker) => waker.clone_from(cx.waker()),
                none => *none = Some(cx.waker().clone()),
            }
        }
        let verdict = state.times.verdict(now);
        drop(state);
        let Some(until) = unread_until else { return verdict };
        if now >= until {
            return Verdict::Close(Expired::Unread);
        }
        let until = self.unread.look_again(now).map_or(until, |look_at| until.min(look_at));
        match verdict {
            Verdict::Fine { again_at } => Verdict::Fine { again_at: again_at.min(until) },
            Verdict::Close(_) => verdict,
        }
    }
}

/// A request that is open, for the connection's times and for whoever waits until all are answered.
#[derive(Debug)]
pub(super) struct OpenRequest {
    peer: Arc<Peer>,
    _counted: TaskTrackerToken,
}

impl OpenRequest {
    fn begin(peer: &Arc<Peer>, requests: &TaskTracker) -> Self {
        peer.state().times.request_began();
        Self { peer: Arc::clone(peer), _counted: requests.token() }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let now = self.peer.clock.monotonic();
        self.peer.state().times.request_ended(now);
    }
}

/// Serves HTTP/1 and HTTP/2 on `stream` until the client leaves, a time is over or `signals` say so.
///
/// Dropping it closes the socket; calls that were handed to the spool are finished all the same.
pub(super) async fn serve<S>(
    stream: S,
    address: IpAddr,
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
    let peer = Arc::new(Peer::new(address, &shared));
    let _listed: Listed = shared.unread.list(&peer);
    let watched = Watched::new(stream, &peer, &shared);
    let service = service_fn(|request: Request<Incoming>| {
        let open = OpenRequest::begin(&peer, &shared.requests);
        // In HTTP/1 the connection's own task goes on with it at once.
        let is_http2 = request.version() == Version::HTTP_2;
        let waits = is_http2.then(|| shared.backlog.enter(stream_bytes(request.uri(), request.headers())));
        let (shared, peer) = (Arc::clone(&shared), Arc::clone(&peer));
        async move {
            drop(waits);
            let _open = open;
            Ok::<_, std::convert::Infallible>(shared.answer(request, &peer).await)
        }
    });
    let server = server(&bounds, tasks);
    let mut connection = pin!(server.serve_connection(TokioIo::new(watched), service));

    let mut timer = pin!(sleep(bounds.idle));
    let mut armed = Duration::MAX;
    let mut told_to_drain = false;
    let ended = loop {
        let watch = std::future::poll_fn(|cx| {
            if let Poll::Ready(result) = connection.as_mut().poll(cx) {
                return Poll::Ready(Ended::Served(result));
            }
            poll_times(&peer, timer.as_mut(), &mut armed, cx).map(Ended::Expired)
        });
        tokio::select! {
            biased;
            () = signals.closing.cancelled() => break Ended::Closing,
            () = signals.draining.cancelled(), if !told_to_drain => {
                told_to_drain = true;
                // Told so, HTTP/1 would close while idle, where a request may be on its way; it is answered 503 instead.
                if peer.state().times.is_http2() {
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
        Ended::Expired(Expired::Unread) => {
            tracing::debug!(peer = %address, "answers were left unread; connection reset");
            shared.counters.metrics().unread_connections.inc();
            peer.state().reset = true;
        }
        Ended::Expired(Expired::Idle) if !peer.state().times.is_http2() => {}
        Ended::Expired(Expired::Idle) | Ended::Closing => {
            connection.as_mut().graceful_shutdown();
            if let Ok(Err(error)) = timeout(bounds.linger, connection).await {
                tracing::debug!(peer = %address, error, "connection ended early");
            }
        }
    }
}

enum Ended {
    Served(Result<(), Box<dyn std::error::Error + Send + Sync>>),
    Expired(Expired),
    Closing,
}

fn server(bounds: &Bounds, tasks: TaskTracker) -> Builder<OwnedTasks> {
    let mut server = Builder::new(OwnedTasks(tasks));
    // A client may close its side once it has sent everything, and still waits for the answer.
    server.http1().header_read_timeout(None).max_buf_size(READ_BUFFER_MAX).half_close(true);
    server
        .http2()
        .max_concurrent_streams(bounds.http2_streams)
        .initial_stream_window_size(HTTP2_STREAM_WINDOW)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(bounds.head_bytes).unwrap_or(u32::MAX));
    server
}

/// Ready when a time is over. The timer is only set anew for an earlier time or when it fired, not at every request.
fn poll_times(
    peer: &Peer,
    mut timer: Pin<&mut Sleep>,
    armed: &mut Duration,
    cx: &mut Context<'_>,
) -> Poll<Expired> {
    loop {
        let again_at = match peer.verdict(cx) {
            Verdict::Close(expired) => return Poll::Ready(expired),
            Verdict::Fine { again_at } => again_at,
        };
        if again_at < *armed {
            *armed = again_at;
            timer.as_mut().reset(Instant::now() + again_at.saturating_sub(peer.clock.monotonic()));
        }
        ready!(timer.as_mut().poll(cx));
        *armed = Duration::MAX;
    }
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

/// A socket that tells its [`Peer`] what is read and what is not taken, and that shuts down so that the client still gets its
/// answer.
struct Watched<S: Socket> {
    inner: S,
    peer: Arc<Peer>,
    shared: Arc<Shared>,
    linger: Option<Linger>,
    /// Bytes written and not flushed: TLS keeps some.
    unflushed: usize,
    /// The last write found no room.
    is_full: bool,
    /// The peer knows of bytes that wait.
    is_told: bool,
}

struct Linger {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl<S: Socket> Watched<S> {
    fn new(inner: S, peer: &Arc<Peer>, shared: &Arc<Shared>) -> Self {
        let (peer, shared) = (Arc::clone(peer), Arc::clone(shared));
        Self { inner, peer, shared, linger: None, unflushed: 0, is_full: false, is_told: false }
    }

    fn wrote(&mut self, offered: usize, outcome: &Poll<io::Result<usize>>) {
        match outcome {
            Poll::Pending => {
                self.is_full = true;
                self.waits(self.unflushed + offered);
            }
            Poll::Ready(Ok(taken)) => {
                self.unflushed += taken;
                // Without a write that found no room before, it is only that TLS keeps some more.
                if std::mem::take(&mut self.is_full) {
                    self.peer.change(Outgoing::socket_moved);
                }
            }
            Poll::Ready(Err(_)) => {}
        }
    }

    fn waits(&mut self, bytes: usize) {
        self.is_told = true;
        self.peer.change(|outgoing| outgoing.socket_full(bytes.max(1)));
    }

    fn waits_no_more(&mut self) {
        self.unflushed = 0;
        if std::mem::take(&mut self.is_told) {
            self.peer.change(Outgoing::socket_free);
        }
    }
}

impl<S: Socket> Drop for Watched<S> {
    fn drop(&mut self) {
        self.waits_no_more();
        if self.peer.state().reset
            && let Err(error) = self.inner.reset_when_closed()
        {
            tracing::debug!(peer = %self.peer.address, %error, "cannot reset the connection; it is closed");
        }
    }
}

impl<S: Socket> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.shared.backlog.is_full() && !self.peer.state().times.is_http1() {
            // Again once the threads have come to the tasks that are ready before this one.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if let Some(bytes) = buf.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
            let now = self.peer.clock.monotonic();
            self.peer.state().times.bytes_read(bytes, now);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: Socket> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write(cx, bytes);
        self.wrote(bytes.len(), &outcome);
        outcome
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.inner).poll_flush(cx);
        match &outcome {
            Poll::Pending => {
                let unflushed = self.unflushed;
                self.waits(unflushed);
            }
            Poll::Ready(_) => self.waits_no_more(),
        }
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.inner).poll_write_vectored(cx, slices);
        self.wrote(slices.iter().map(|slice| slice.len()).sum(), &outcome);
        outcome
    }

    // To close a socket with bytes unread makes the kernel send a reset, which takes the answer away from a client that is
    // still sending; it would send again for ever. So the rest is read, within bounds.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let linger = match &mut this.linger {
            Some(linger) => linger,
            None => {
                ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
                if !this.peer.state().times.may_still_send() {
                    return Poll::Ready(Ok(()));
                }
                let bounds = &this.shared.settings.bounds;
                let until = Box::pin(sleep(bounds.linger));
                this.linger.insert(Linger { until, bytes_left: bounds.linger_bytes })
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
