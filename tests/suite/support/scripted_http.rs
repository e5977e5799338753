//! An HTTP/1.1 server that answers by script and keeps every request as sent. It does what no real server
//! does on demand (redirects between regions, half an answer, none at all), and shows what is visible only on
//! the wire (trailers).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::recorder::Record;

/// The largest request that is read, in bytes.
const REQUEST_BYTES_MAX: usize = 64 * 1024 * 1024;

/// One request as it arrived.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query, undecoded.
    pub(crate) target: String,
    /// By lower-case name.
    pub(crate) headers: BTreeMap<String, String>,
    /// Undecoded: includes chunks and trailers.
    pub(crate) body: Vec<u8>,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// What happens to a request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A whole answer.
    Answer { status: u16, headers: Vec<(String, String)>, body: String },
    /// A whole answer, with this text after the status in its first line.
    Reason { reason: String, status: u16, headers: Vec<(String, String)>, body: String },
    /// The connection is closed without an answer.
    Close,
    /// The first bytes of an answer, then the connection is closed.
    Half,
    /// No answer, while the connection stays open.
    Hang,
    /// The pieces of an event stream, one after the other; then the connection is closed, or stays open.
    Events { pieces: Vec<String>, stays_open: bool },
}

impl Reply {
    pub(crate) fn status(status: u16) -> Self {
        Self::Answer { status, headers: Vec::new(), body: String::new() }
    }

    /// An error in S3's format.
    pub(crate) fn s3_error(status: u16, code: &str) -> Self {
        let body = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code><Message>scripted</Message></Error>"
        );
        Self::Answer { status, headers: vec![("content-type".into(), "application/xml".into())], body }
    }

    pub(crate) fn with(self, name: &str, value: &str) -> Self {
        match self {
            Self::Answer { status, mut headers, body } => {
                headers.push((name.to_owned(), value.to_owned()));
                Self::Answer { status, headers, body }
            }
            other => other,
        }
    }

    /// An answer with this text after the status in its first line.
    pub(crate) fn because(self, reason: &str) -> Self {
        match self {
            Self::Answer { status, headers, body } => {
                Self::Reason { reason: reason.to_owned(), status, headers, body }
            }
            other => other,
        }
    }
}

type Script = Arc<Mutex<dyn FnMut(&Request) -> Reply + Send>>;

/// A running server. It ends when dropped, and fails the test if an action was requested that no template
/// grants.
pub(crate) struct ScriptedHttp {
    addr: SocketAddr,
    record: Record,
    server: JoinHandle<()>,
}

impl ScriptedHttp {
    pub(crate) async fn start(script: impl FnMut(&Request) -> Reply + Send + 'static) -> Self {
        Self::start_with(script, Record::default()).await
    }

    /// A server that stands for no AWS service: every request is allowed.
    pub(crate) async fn elsewhere(script: impl FnMut(&Request) -> Reply + Send + 'static) -> Self {
        Self::start_with(script, Record::free()).await
    }

    async fn start_with(script: impl FnMut(&Request) -> Reply + Send + 'static, record: Record) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let script: Script = Arc::new(Mutex::new(script));
        let server = tokio::spawn({
            let record = record.clone();
            async move {
                // The set ends its connections when it is dropped with this task.
                let mut connections = tokio::task::JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    connections.spawn(serve(stream, Arc::clone(&script), record.clone()));
                }
            }
        });
        Self { addr, record, server }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.addr)
    }

    pub(crate) fn requests(&self) -> Vec<Request> {
        self.record.requests()
    }
}

impl Drop for ScriptedHttp {
    fn drop(&mut self) {
        self.server.abort();
        self.record.all_was_granted();
    }
}

async fn serve(mut stream: TcpStream, script: Script, record: Record) {
    let mut buffer = Vec::new();
    while let Some(request) = read_request(&mut stream, &mut buffer).await {
        let reply = (script.lock().unwrap())(&request);
        let is_head = request.method == "HEAD";
        record.note(request);
        let (reason, status, headers, body) = match reply {
            Reply::Answer { status, headers, body } => ("Scripted".to_owned(), status, headers, body),
            Reply::Reason { reason, status, headers, body } => (reason, status, headers, body),
            Reply::Close => return,
            Reply::Half => {
                // The peer may already be gone, which is fine.
                drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-le").await);
                return;
            }
            Reply::Hang => std::future::pending().await,
            Reply::Events { pieces, stays_open } => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\nconnection: close\r\n\r\n";
                for piece in std::iter::once(head).chain(pieces.iter().map(String::as_str)) {
                    // The peer may have had enough.
                    if stream.write_all(piece.as_bytes()).await.is_err() {
                        return;
                    }
                }
                if stays_open {
                    // Until the peer closes.
                    drop(stream.read(&mut [0; 1]).await);
                }
                return;
            }
        };
        let mut text = format!("HTTP/1.1 {status} {reason}\r\n");
        for (name, value) in &headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        text.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
        if !is_head {
            text.push_str(&body);
        }
        if stream.write_all(text.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// The next request; `None` when the peer has closed.
async fn read_request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Request> {
    let head_len = loop {
        if let Some(at) = find(buffer, b"\r\n\r\n") {
            break at + 4;
        }
        read_more(stream, buffer).await?;
    };
    let head = String::from_utf8(buffer[..head_len].to_vec()).unwrap();
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap().split(' ');
    let (method, target) = (first.next().unwrap().to_owned(), first.next().unwrap().to_owned());
    let headers: BTreeMap<String, String> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    if headers.get("expect").is_some_and(|value| value == "100-continue") {
        stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await.ok()?;
    }
    let end = if headers.get("transfer-encoding").is_some_and(|value| value.contains("chunked")) {
        loop {
            if let Some(at) = find(&buffer[head_len..], b"0\r\n")
                && let Some(last) = find(&buffer[head_len + at..], b"\r\n\r\n")
            {
                break head_len + at + last + 4;
            }
            read_more(stream, buffer).await?;
        }
    } else {
        let len: usize = headers.get("content-length").map_or(0, |len| len.parse().unwrap());
        while buffer.len() < head_len + len {
            read_more(stream, buffer).await?;
        }
        head_len + len
    };
    let body = buffer[head_len..end].to_vec();
    buffer.drain(..end);
    Some(Request { method, target, headers, body })
}

async fn read_more(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<()> {
    assert!(buffer.len() < REQUEST_BYTES_MAX, "the request is larger than the scripted server reads");
    match stream.read_buf(buffer).await {
        Ok(n) if n > 0 => Some(()),
        _ => None,
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}
