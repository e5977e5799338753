//! What a connection asks of its socket besides bytes.

use std::io;
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::server::TlsStream;

/// Bytes of answers that the kernel keeps for one client, as it is asked for them; Linux doubles them for its own accounts.
/// Unbounded, it would keep megabytes for a client that reads nothing.
const SEND_BUFFER: usize = 64 * 1_024;

/// A TCP connection, with or without TLS.
pub(super) trait Socket: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    /// The TCP connection.
    fn tcp(&self) -> &TcpStream;

    /// Whether it is encrypted.
    fn is_tls(&self) -> bool;

    /// Bounds what the kernel keeps for a client that does not read.
    ///
    /// # Errors
    /// The system's.
    fn bound_send_buffer(&self) -> io::Result<()> {
        SockRef::from(self.tcp()).set_send_buffer_size(SEND_BUFFER)
    }

    /// Makes closing it a reset, so that the kernel too forgets what the client has not read.
    ///
    /// # Errors
    /// The system's.
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
