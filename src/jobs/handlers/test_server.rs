//! An HTTP server for tests that answers each request by the next step of a script, and the last one again.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::lock::lock;

/// What the server does with one request.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// It answers with this status, these headers and this body.
    Reply(u16, Vec<(&'static str, String)>, Bytes),
    /// It never answers.
    Hang,
    /// It ends the connection.
    Reset,
}

impl Step {
    pub(crate) fn reply(status: u16, body: &str) -> Self {
        Self::Reply(status, Vec::new(), Bytes::copy_from_slice(body.as_bytes()))
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        if let Self::Reply(_, headers, _) = &mut self {
            headers.push((name, value.to_owned()));
        }
        self
    }
}

/// A running server. It ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    address: String,
    requests: Arc<Mutex<Vec<(String, String)>>>,
    _tasks: JoinSet<()>,
}

impl Server {
    pub(crate) async fn start(script: Vec<Step>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::<Mutex<Vec<(String, String)>>>::default();
        let (seen, script) = (Arc::clone(&requests), Arc::new(script));
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (seen, script) = (Arc::clone(&seen), Arc::clone(&script));
                connections.spawn(async move {
                    let service = service_fn(|request| answer(request, &seen, &script));
                    // A test that ends its connection is no failure of the server.
                    let served = hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service);
                    drop(served.await);
                });
            }
        });
        Self { address, requests, _tasks: tasks }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// The paths and bodies of the requests so far.
    pub(crate) fn requests(&self) -> Vec<(String, String)> {
        lock(&self.requests).clone()
    }
}

async fn answer(
    request: Request<Incoming>,
    seen: &Mutex<Vec<(String, String)>>,
    script: &[Step],
) -> Result<Response<Full<Bytes>>, std::io::Error> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let number = {
        let mut seen = lock(seen);
        seen.push((path, String::from_utf8(body.to_vec()).unwrap()));
        seen.len()
    };
    match script.get(number - 1).or(script.last()).unwrap().clone() {
        Step::Hang => std::future::pending().await,
        Step::Reset => Err(std::io::Error::other("the script ends the connection")),
        Step::Reply(status, headers, body) => {
            let mut response = Response::builder().status(status);
            for (name, value) in headers {
                response = response.header(name, value);
            }
            Ok(response.body(Full::new(body)).unwrap())
        }
    }
}
