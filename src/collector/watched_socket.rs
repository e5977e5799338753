//! A connection's socket, which reports to its peer what happens on it.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};
use tokio_rustls::server::TlsStream;

use super::peer::Peer;
use super::shared::Shared;
use super::unread_bytes::Outgoing;

/// Bytes of answers that the kernel may keep for one client, as requested; Linux doubles the value for its
/// own bookkeeping. Unbounded, it would keep megabytes for a client that reads nothing.
const SEND_BUFFER: usize = 64 * 1_024;
/// Bytes to read and discard in one step.
const DISCARD_STEP: usize = 16 * 1_024;

/// A TCP connection, with or without TLS.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The TCP connection.
    fn tcp(&self) -> &TcpStream;

    /// Whether it is encrypted.
    fn is_tls(&self) -> bool;

    /// Bounds what the kernel keeps for a client that does not read.
    fn bound_send_buffer(&self) -> io::Result<()> {
        SockRef::from(self.tcp()).set_send_buffer_size(SEND_BUFFER)
    }

    /// Makes the close a reset, so that the kernel also drops what the client has not read.
    fn reset_when_closed(&self) -> io::Result<()> {
        SockRef::from(self.tcp()).set_linger(Some(Duration::ZERO))
    }
}

impl Socket for TcpStream {
    fn tcp(&self) -> &TcpStream {
        self
    }

    fn is_tls(&self) -> bool {
        false
    }
}

impl Socket for TlsStream<TcpStream> {
    fn tcp(&self) -> &TcpStream {
        self.get_ref().0
    }

    fn is_tls(&self) -> bool {
        true
    }
}

/// A socket that reports to its [`Peer`] which bytes are read and which the client does not take. On shutdown
/// it still lets the client receive the answer.
pub(super) struct Watched<S: Socket> {
    inner: S,
    peer: Arc<Peer>,
    shared: Arc<Shared>,
    linger: Option<Linger>,
    /// Bytes written but not flushed: TLS keeps some.
    unflushed: usize,
    /// The socket's buffer was full at the last write.
    is_full: bool,
    /// The peer was told of waiting bytes.
    is_told: bool,
}

struct Linger {
    until: Pin<Box<Sleep>>,
    bytes_left: usize,
}

impl<S: Socket> Watched<S> {
    /// The socket of `peer`.
    pub(super) fn new(inner: S, peer: &Arc<Peer>, shared: &Arc<Shared>) -> Self {
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
                // If the socket was not full before, TLS has only buffered more.
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
        if self.peer.is_reset_when_closed()
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
        if self.shared.backlog.is_full() && !self.peer.is_http1() {
            // Poll again after the tasks that are ready before this one have run.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let before = buf.filled().len();
        ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        if let Some(bytes) = buf.filled().get(before..).filter(|bytes| !bytes.is_empty()) {
            self.peer.bytes_read(bytes);
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

    // Closing a socket with unread bytes makes the kernel send a reset. A client that is still sending then
    // loses the answer and would retry forever. So the rest is read, within bounds.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let linger = match &mut this.linger {
            Some(linger) => linger,
            None => {
                ready!(Pin::new(&mut this.inner).poll_shutdown(cx))?;
                if !this.peer.may_still_send() {
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
