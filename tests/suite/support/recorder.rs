//! A proxy in front of a store that passes every byte unchanged and records what the program requests. An
//! action that no template under `policies/` grants fails the test.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::actions::actions_of;
use super::granted;
use super::scripted_http::Request;

/// The largest head of a request, in bytes.
const HEAD_BYTES_MAX: usize = 64 * 1_024;
/// The largest body that is kept, in bytes: what STS and KMS receive. Objects are not kept.
const KEPT_BODY_BYTES_MAX: usize = 64 * 1_024;

/// The recorded requests, and the actions that nothing grants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record(Arc<Mutex<Recorded>>);

#[derive(Debug, Default)]
struct Recorded {
    requests: Vec<Request>,
    /// Whether no grant is needed, because the requests go to no AWS service.
    is_free: bool,
    not_granted: BTreeSet<String>,
}

impl Record {
    /// A record for requests that no policy covers, such as those to a webhook.
    pub(crate) fn free() -> Self {
        Self(Arc::new(Mutex::new(Recorded { is_free: true, ..Recorded::default() })))
    }

    /// Records a request.
    pub(crate) fn note(&self, request: Request) {
        let granted = granted_actions();
        let is_free = self.0.lock().unwrap_or_else(PoisonError::into_inner).is_free;
        // `check` asks an endpoint whether it is Forebay itself: without a signature, so it is no action of S3.
        let is_unsigned_health = request.target == "/health" && request.header("authorization").is_none();
        let is_free = is_free || is_unsigned_health;
        let actions = if is_free { Vec::new() } else { actions_of(&request) };
        for action in actions.iter().filter(|action| !granted.contains(*action)) {
            let Request { method, target, .. } = &request;
            eprintln!("*** {action} is granted by no template under policies/: {method} {target}");
            self.refuse(action);
        }
        self.0.lock().unwrap_or_else(PoisonError::into_inner).requests.push(request);
    }

    /// Records something that fails the test.
    fn refuse(&self, what: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).not_granted.insert(what.to_owned());
    }

    /// The requests so far, in order, without the bodies of objects.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).requests.clone()
    }

    /// Must be called at the end of the test, however it ended.
    ///
    /// # Panics
    ///
    /// If an action was not granted and the test has not failed already.
    pub(crate) fn all_was_granted(&self) {
        let recorded = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !std::thread::panicking() {
            let asked = &recorded.not_granted;
            assert!(
                asked.is_empty(),
                "the program requested actions that no template under policies/ grants: {asked:?}"
            );
        }
    }
}

/// The actions that the templates grant to the collector: those of every `Allow`.
fn granted_actions() -> &'static BTreeSet<String> {
    static GRANTED: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
        let mut granted = granted::actions();
        granted.extend(granted::of_destinations());
        granted.extend(granted::of_imports());
        granted.extend(granted::NEED_NO_GRANT.map(str::to_owned));
        granted
    });
    &GRANTED
}

/// The proxy. When dropped, it stops accepting, and fails the test if an action was requested that is not
/// granted.
#[derive(Debug)]
pub(crate) struct Recorder {
    pub(crate) address: SocketAddr,
    record: Record,
    accepting: JoinHandle<()>,
}

impl Recorder {
    /// Starts a proxy in front of `upstream`.
    pub(crate) async fn start(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let record = Record::default();
        let kept = record.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connection(client, upstream, Tap::new(kept.clone())));
            }
        });
        Self { address, record, accepting }
    }

    /// The proxy's base URL.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The requests so far, in order, without the bodies of objects.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.record.requests()
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.accepting.abort();
        self.record.all_was_granted();
    }
}

async fn connection(mut client: TcpStream, upstream: SocketAddr, mut tap: Tap) {
    let Ok(mut server) = TcpStream::connect(upstream).await else { return };
    let ((mut from_client, mut to_client), (mut from_server, mut to_server)) =
        (client.split(), server.split());
    let asked = async {
        let mut bytes = vec![0; 65_536];
        while let Ok(count @ 1..) = from_client.read(&mut bytes).await {
            tap.read(&bytes[..count]);
            if to_server.write_all(&bytes[..count]).await.is_err() {
                break;
            }
        }
        // The client is gone, so answers in flight go nowhere.
    };
    // If either side ends, the other is ended too: neither half-closes.
    tokio::select! {
        () = asked => {}
        _ = copy(&mut from_server, &mut to_client) => {}
    }
}

/// Parses the requests of one connection as they pass.
#[derive(Debug)]
struct Tap {
    record: Record,
    now: Passing,
}

/// What is passing at present.
#[derive(Debug)]
enum Passing {
    /// A head; the part that has arrived.
    Head(Vec<u8>),
    /// A body to keep, and how much of it is missing.
    Kept(Request, usize),
    /// A body that is not kept. Its request is recorded already, because it was sent whatever happens to the
    /// body.
    Skipped(usize),
    /// Something unreadable: nothing after it can be parsed either.
    Lost,
}

impl Tap {
    fn new(record: Record) -> Self {
        Self { record, now: Passing::Head(Vec::new()) }
    }

    fn read(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let (next, rest) = match std::mem::replace(&mut self.now, Passing::Lost) {
                Passing::Head(mut head) => {
                    let before = head.len();
                    head.extend_from_slice(bytes);
                    match memchr::memmem::find(&head, b"\r\n\r\n").map(|at| at + 4) {
                        Some(end) => (self.body_of(&head[..end]), &bytes[end - before..]),
                        None if head.len() > HEAD_BYTES_MAX => (self.lost("a head without an end"), &[][..]),
                        None => (Passing::Head(head), &[][..]),
                    }
                }
                Passing::Kept(mut request, left) => {
                    let (body, rest) = bytes.split_at(left.min(bytes.len()));
                    request.body.extend_from_slice(body);
                    (self.kept(request, left - body.len()), rest)
                }
                Passing::Skipped(left) => {
                    let (body, rest) = bytes.split_at(left.min(bytes.len()));
                    (skipped(left - body.len()), rest)
                }
                Passing::Lost => (Passing::Lost, &[][..]),
            };
            (self.now, bytes) = (next, rest);
        }
    }

    /// Parses a head, and returns what follows it.
    fn body_of(&self, head: &[u8]) -> Passing {
        let head = String::from_utf8_lossy(head);
        let mut lines = head.split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        let mut word = || first.next().unwrap_or_default().to_owned();
        let (method, target) = (word(), word());
        let headers: BTreeMap<String, String> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect();
        let request = Request { method, target, headers, body: Vec::new() };
        // The program sends nothing chunked: the store is given the length of every object.
        let len = request.header("content-length").map_or(Ok(0), str::parse::<usize>);
        match len {
            Ok(len) if request.header("transfer-encoding").is_none() => {
                if request.method == "POST" && len <= KEPT_BODY_BYTES_MAX {
                    return self.kept(request, len);
                }
                self.record.note(request);
                skipped(len)
            }
            _ => self.lost("a body without a length"),
        }
    }

    fn kept(&self, request: Request, left: usize) -> Passing {
        if left > 0 {
            return Passing::Kept(request, left);
        }
        self.record.note(request);
        Passing::Head(Vec::new())
    }

    fn lost(&self, why: &str) -> Passing {
        self.record.refuse(&format!("unreadable: {why}"));
        Passing::Lost
    }
}

fn skipped(left: usize) -> Passing {
    if left > 0 { Passing::Skipped(left) } else { Passing::Head(Vec::new()) }
}

#[test]
fn requests_are_parsed_in_any_pieces() {
    let wire = b"PUT /lake/k HTTP/1.1\r\nContent-Length: 5\r\n\r\nbytes\
        POST / HTTP/1.1\r\ncontent-length: 17\r\n\r\nAction=AssumeRole\
        HEAD /lake/k HTTP/1.1\r\n\r\n";
    for piece in 1..wire.len() {
        let record = Record::default();
        let mut tap = Tap::new(record.clone());
        wire.chunks(piece).for_each(|bytes| tap.read(bytes));
        let seen = record.requests();
        let seen: Vec<_> =
            seen.iter().map(|r| (r.method.as_str(), r.target.as_str(), r.body.as_slice())).collect();
        let expected: [(_, _, &[u8]); 3] =
            [("PUT", "/lake/k", b""), ("POST", "/", b"Action=AssumeRole"), ("HEAD", "/lake/k", b"")];
        assert_eq!(seen, expected, "in pieces of {piece}");
    }
}

#[test]
#[should_panic(expected = "unknown: DELETE /lake?policy")]
fn an_action_that_is_not_granted_fails() {
    let record = Record::default();
    Tap::new(record.clone()).read(b"DELETE /lake?policy HTTP/1.1\r\n\r\n");
    record.all_was_granted();
}

#[test]
#[should_panic(expected = "a body without a length")]
fn an_unreadable_request_fails() {
    let record = Record::default();
    Tap::new(record.clone()).read(b"PUT /lake/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n");
    record.all_was_granted();
}
