//! An HTTP proxy in front of the collector that answers the first tracking requests itself, by a script.

use std::collections::VecDeque;
use std::io::{self, Read as _};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE,
    ORIGIN,
};
use http::header::{RETRY_AFTER, TRANSFER_ENCODING};
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

use super::http::Http;

/// What a tracking request gets instead of the collector's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// This status.
    Status(StatusCode),
    /// 429 with `Retry-After: 1`.
    TooManyRequests,
    /// The connection ends without an answer.
    HangUp,
    /// The request is passed on, but the connection ends without the answer.
    LostAnswer,
}

/// A request, and the fault that it met: `None` if it was passed on.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) fault: Option<Fault>,
    /// Without its gzip.
    pub(crate) body: Bytes,
}

/// The proxy. When dropped, it stops accepting.
#[derive(Debug)]
pub(crate) struct FaultProxy {
    /// The proxy's base URL.
    pub(crate) url: String,
    state: Arc<State>,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    upstream: Mutex<String>,
    /// The connections of tracking requests end without an answer.
    down: Mutex<bool>,
    http: Http,
    script: Mutex<VecDeque<Fault>>,
    seen: Mutex<Vec<Seen>>,
}

impl FaultProxy {
    /// Starts a proxy whose tracking requests fail until [`Self::pass_to`]; other requests go to `upstream`.
    pub(crate) async fn start_down(upstream: &str) -> Self {
        let proxy = Self::start(upstream, []).await;
        *proxy.state.down.lock().expect("the state's lock") = true;
        proxy
    }

    /// From now on, requests go to `upstream`.
    pub(crate) fn pass_to(&self, upstream: &str) {
        upstream.clone_into(&mut self.state.upstream.lock().expect("the state's lock"));
        *self.state.down.lock().expect("the state's lock") = false;
    }

    /// Starts a proxy in front of `upstream`, a base URL.
    pub(crate) async fn start(upstream: &str, script: impl IntoIterator<Item = Fault>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let state = Arc::new(State {
            upstream: Mutex::new(upstream.to_owned()),
            down: Mutex::new(false),
            http: Http::new(),
            script: Mutex::new(script.into_iter().collect()),
            seen: Mutex::default(),
        });
        let accepting = tokio::spawn(accept(listener, Arc::clone(&state)));
        Self { url, state, accepting }
    }

    /// All requests, in order.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().expect("the list's lock").clone()
    }

    /// All tracking requests, in order.
    pub(crate) fn tracking(&self) -> Vec<Seen> {
        self.seen().into_iter().filter(|seen| is_tracking(&seen.method, &seen.path)).collect()
    }
}

impl Drop for FaultProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The SDKs' own counters (`/v1/m`) are not calls.
fn is_tracking(method: &Method, path: &str) -> bool {
    *method == Method::POST && path != "/v1/m"
}

async fn accept(listener: TcpListener, state: Arc<State>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(serve(stream, Arc::clone(&state)));
    }
}

async fn serve(stream: TcpStream, state: Arc<State>) {
    let service = service_fn(|request| state.answer(request));
    // An error is how a scripted hang-up, or one by the SDK, ends.
    drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
}

impl State {
    async fn answer(&self, request: Request<Incoming>) -> io::Result<Response<Full<Bytes>>> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let scripted = is_tracking(&method, &path);
        let next = || self.script.lock().expect("the script's lock").pop_front();
        let fault = match (scripted, *self.down.lock().expect("the state's lock")) {
            (false, _) => None,
            (true, true) => Some(Fault::HangUp),
            (true, false) => next(),
        };
        let (head, body) = request.into_parts();
        // Read whole even if it is not passed on, like a server that answers after reading.
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let seen = Seen { method, path, fault, body: plain(&head.headers, &body)? };
        self.seen.lock().expect("the list's lock").push(seen);
        match fault {
            Some(Fault::HangUp) => Err(io::Error::other("hung up by the script")),
            Some(Fault::Status(status)) => Ok(scripted_answer(status, &head.headers)),
            Some(Fault::TooManyRequests) => {
                let mut answer = scripted_answer(StatusCode::TOO_MANY_REQUESTS, &head.headers);
                answer.headers_mut().insert(RETRY_AFTER, http::HeaderValue::from_static("1"));
                Ok(answer)
            }
            None | Some(Fault::LostAnswer) => {
                let path = head.uri.path_and_query().map_or("/", |path| path.as_str());
                let upstream = self.upstream.lock().expect("the state's lock").clone();
                let mut onward = Request::builder().method(head.method).uri(format!("{upstream}{path}"));
                onward.headers_mut().expect("a URI that parses").extend(end_to_end(head.headers));
                let onward = onward.body(Full::new(body)).map_err(io::Error::other)?;
                let answer = self.http.send(onward).await.map_err(io::Error::other)?;
                if fault.is_some() {
                    return Err(io::Error::other("the answer is lost by the script"));
                }
                let mut passed_on = Response::new(Full::new(answer.body));
                *passed_on.status_mut() = answer.status;
                passed_on.headers_mut().extend(end_to_end(answer.headers));
                Ok(passed_on)
            }
        }
    }
}

fn plain(headers: &HeaderMap, body: &Bytes) -> io::Result<Bytes> {
    if headers.get(CONTENT_ENCODING).is_none_or(|coding| coding != "gzip") {
        return Ok(body.clone());
    }
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&**body).read_to_end(&mut plain)?;
    Ok(plain.into())
}

/// Removes the headers that apply only between neighbours.
fn end_to_end(mut headers: HeaderMap) -> HeaderMap {
    for name in [CONNECTION, TRANSFER_ENCODING] {
        headers.remove(name);
    }
    headers
}

/// Like the collector's own errors: JSON, and readable by a page of another origin.
fn scripted_answer(status: StatusCode, request: &HeaderMap) -> Response<Full<Bytes>> {
    let body = r#"{"success":false,"code":"scripted","message":"scripted","error":"scripted"}"#;
    let mut answer = Response::new(Full::new(Bytes::from_static(body.as_bytes())));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    if let Some(origin) = request.get(ORIGIN) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, http::HeaderValue::from_static("Retry-After"));
    }
    answer
}
