//! One kept-alive connection.

use std::io;
use std::net::SocketAddr;

use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::bodies::Bodies;

/// Bytes of an answer read at once; answers have some hundred.
const ANSWER_READ: usize = 4_096;

#[derive(Debug)]
pub(super) struct Connection {
    stream: TcpStream,
    out: Vec<u8>,
    answer: Vec<u8>,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, out: Vec::new(), answer: Vec::with_capacity(ANSWER_READ) })
    }

    /// Sends a request and reads its answer whole. Returns whether it was 200.
    pub(super) async fn exchange(&mut self, head: &str, bodies: &Bodies, ticket: u64) -> io::Result<bool> {
        self.out.clear();
        self.out.extend_from_slice(head.as_bytes());
        bodies.append(ticket, &mut self.out);
        self.stream.write_all(&self.out).await?;
        self.answer.clear();
        loop {
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(status) = whole_answer(&self.answer)? {
                return Ok(status == 200);
            }
        }
    }
}

/// The status of an answer, once all of it is there.
fn whole_answer(bytes: &[u8]) -> io::Result<Option<u16>> {
    let Some(head_end) = memmem::find(bytes, b"\r\n\r\n") else { return Ok(None) };
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "an answer that is no HTTP/1.1 with its length");
    let head = std::str::from_utf8(bytes.get(..head_end).unwrap_or_default()).map_err(|_| bad())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let length = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    let (Some(status), Some(length)) = (status, length) else { return Err(bad()) };
    Ok((bytes.len() >= head_end + 4 + length).then_some(status))
}
