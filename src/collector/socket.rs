//! What a connection needs from its socket besides bytes.

use std::io;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Bytes of answers that the kernel may keep for one client, as requested; Linux doubles the value for its
/// own bookkeeping. Unbounded, it would keep megabytes for a client that reads nothing.
const SEND_BUFFER: usize = 64 * 1_024;

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
