//! One kept-alive connection.

use std::io;

use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::target::{Stream, Target};

/// Bytes of an answer read at once; answers have a few hundred.
const ANSWER_READ: usize = 1_024;
const END_OF_HEAD: &[u8] = b"\r\n\r\n";

pub(super) struct Connection {
    stream: Box<dyn Stream>,
    answer: Vec<u8>,
    closing: bool,
}

/// The relevant parts of an answer's head.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    closing: bool,
}

impl Connection {
    pub(super) async fn open(target: &Target) -> io::Result<Self> {
        Ok(Self { stream: target.connect().await?, answer: Vec::new(), closing: false })
    }

    /// Sends a request and reads its whole answer. Returns whether it was 2xx. If the previous answer
    /// announced a close, reconnects first, as HTTP clients do.
    pub(super) async fn exchange(&mut self, target: &Target, request: &[u8]) -> io::Result<bool> {
        if self.closing {
            *self = Self::open(target).await?;
        }
        self.stream.write_all(request).await?;
        // With TLS, written data may wait for the next flush.
        self.stream.flush().await?;
        self.answer.clear();
        loop {
            self.answer.reserve(ANSWER_READ);
            if self.stream.read_buf(&mut self.answer).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(answer) = whole_answer(&self.answer)? {
                self.closing = answer.closing;
                return Ok((200..300).contains(&answer.status));
            }
        }
    }
}

/// Parses an answer once it is complete.
fn whole_answer(bytes: &[u8]) -> io::Result<Option<Answer>> {
    let Some(head_end) = memmem::find(bytes, END_OF_HEAD) else { return Ok(None) };
    let body = bytes.get(head_end + END_OF_HEAD.len()..).unwrap_or_default();
    let head = std::str::from_utf8(bytes.get(..head_end).unwrap_or_default()).map_err(|_| bad_answer())?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
    let status = status.ok_or_else(bad_answer)?;
    let value_of = |wanted: &str| {
        let mut headers = lines.clone().filter_map(|line| line.split_once(':'));
        headers.find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value.trim())
    };
    let is_whole = match (status, value_of("content-length"), value_of("transfer-encoding")) {
        (204 | 304, ..) => true,
        (_, None, Some(coding)) if coding.eq_ignore_ascii_case("chunked") => ends_its_chunks(body)?,
        (_, Some(length), None) => body.len() >= length.parse().map_err(|_| bad_answer())?,
        _ => return Err(bad_answer()),
    };
    let closing = value_of("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    Ok(is_whole.then_some(Answer { status, closing }))
}

/// Whether a chunked body is complete up to its last chunk. Trailers are not supported.
fn ends_its_chunks(body: &[u8]) -> io::Result<bool> {
    let mut rest = body;
    loop {
        let Some(line_end) = memmem::find(rest, b"\r\n") else { return Ok(false) };
        let line = rest.get(..line_end).and_then(|line| std::str::from_utf8(line).ok());
        let size = line.and_then(|line| line.split(';').next()).ok_or_else(bad_answer)?;
        let size = usize::from_str_radix(size.trim(), 16).map_err(|_| bad_answer())?;
        // The line of the size, the chunk, the end of its line.
        let Some(behind) = rest.get(line_end + 2 + size + 2..) else { return Ok(false) };
        if size == 0 {
            return Ok(true);
        }
        rest = behind;
    }
}

fn bad_answer() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "an answer that is not HTTP/1.1 with a length")
}
