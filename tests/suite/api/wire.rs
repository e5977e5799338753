//! An HTTP/1.1 client that can send arbitrary bytes.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long a test waits for anything expected.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// One connection.
#[derive(Debug)]
pub(crate) struct Wire<S = TcpStream> {
    stream: S,
    buffer: Vec<u8>,
}

/// One answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// The value of a header, by its exact name: names are sent in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// The `code` of an error body. Checks that the body has the form that SDKs need.
    pub(crate) fn code(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(body["success"], serde_json::Value::Bool(false));
        assert!(body["message"].as_str().is_some_and(|message| !message.is_empty()), "{body}");
        assert_eq!(body["message"], body["error"]);
        body["code"].as_str().unwrap().to_owned()
    }
}

impl Wire {
    pub(crate) async fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap())
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub(crate) fn over(stream: S) -> Self {
        Self { stream, buffer: Vec::new() }
    }

    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await.unwrap().unwrap();
    }

    /// Sends, even if the other side has closed. Returns whether that worked.
    pub(crate) async fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        timeout(PATIENCE, self.stream.write_all(bytes.as_ref())).await.unwrap().is_ok()
    }

    /// Closes the sending side.
    pub(crate) async fn finish(&mut self) {
        self.stream.shutdown().await.unwrap();
    }

    pub(crate) async fn answer(&mut self) -> Answer {
        self.answer_to("POST").await
    }

    pub(crate) async fn answer_to(&mut self, method: &str) -> Answer {
        timeout(PATIENCE, self.next_answer(method)).await.expect("an answer in time")
    }

    async fn next_answer(&mut self, method: &str) -> Answer {
        let head_end = loop {
            if let Some(at) = self.buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            assert!(self.read_more().await > 0, "closed before an answer: {:?}", self.buffer);
        };
        let head: Vec<u8> = self.buffer.drain(..head_end).collect();
        let head = String::from_utf8(head).unwrap();
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
        let headers: Vec<(String, String)> = lines
            .map(|line| line.split_once(": ").unwrap())
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        let length = answer.header("content-length").map_or(0, |len| len.parse().unwrap());
        if method != "HEAD" {
            while self.buffer.len() < length {
                assert!(self.read_more().await > 0, "closed within an answer");
            }
            answer.body = self.buffer.drain(..length).collect();
        }
        answer
    }

    /// Waits until the other side closes. Returns what came before.
    pub(crate) async fn closed(&mut self) -> Vec<u8> {
        timeout(PATIENCE, async { while self.read_more().await > 0 {} }).await.expect("closed in time");
        std::mem::take(&mut self.buffer)
    }

    /// Waits for the first bytes, or for the end. Returns what came.
    pub(crate) async fn closed_or_answered(&mut self) -> Vec<u8> {
        timeout(PATIENCE, self.read_more()).await.expect("bytes or the end in time");
        std::mem::take(&mut self.buffer)
    }

    async fn read_more(&mut self) -> usize {
        // A reset counts as an end too: tests only check whether the answer came first.
        self.stream.read_buf(&mut self.buffer).await.unwrap_or(0)
    }
}

/// A POST of `body` with `headers`.
pub(crate) fn post(path: &str, headers: &[(&str, &str)], body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut bytes =
        format!("POST {path} HTTP/1.1\r\nhost: c\r\ncontent-length: {}\r\n", body.len()).into_bytes();
    for (name, value) in headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    bytes
}

/// A request without a body.
pub(crate) fn bare(method: &str, path: &str, headers: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\nhost: c\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    text.into_bytes()
}

/// Sends one request on a new connection.
pub(crate) async fn once(address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut wire = Wire::connect(address).await;
    wire.send(request.as_ref()).await;
    let method = String::from_utf8_lossy(request.as_ref()).split(' ').next().unwrap().to_owned();
    wire.answer_to(&method).await
}
