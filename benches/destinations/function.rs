//! A function of AWS Lambda behind a loopback address: it answers each invocation after a fixed time, or
//! never.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

/// A running function. It ends with the process.
#[derive(Debug)]
pub(crate) struct Function {
    /// Its address.
    pub(crate) address: SocketAddr,
    answered: Arc<AtomicU64>,
}

impl Function {
    /// Starts it. `takes`: how long an invocation takes; `None`: it hangs.
    pub(crate) fn start(takes: Option<Duration>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("its address");
        listener.set_nonblocking(true).expect("a listener");
        let answered = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&answered);
        std::thread::spawn(move || serve(listener, takes, &counted).expect("the function"));
        Self { address, answered }
    }

    /// The number of invocations answered so far.
    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }
}

fn serve(listener: TcpListener, takes: Option<Duration>, answered: &Arc<AtomicU64>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        loop {
            let (stream, _) = listener.accept().await?;
            let answered = Arc::clone(answered);
            let service = service_fn(move |request| invoke(request, takes, Arc::clone(&answered)));
            let connection =
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            // A destination closes its connections when it gives up waiting, or ends.
            tokio::spawn(async move { drop(connection.await) });
        }
    })
}

async fn invoke(
    request: Request<Incoming>,
    takes: Option<Duration>,
    answered: Arc<AtomicU64>,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    request.into_body().collect().await?;
    match takes {
        Some(takes) => tokio::time::sleep(takes).await,
        None => std::future::pending().await,
    }
    answered.fetch_add(1, Ordering::Relaxed);
    Ok(Response::new(Full::new(Bytes::from_static(b"null"))))
}
