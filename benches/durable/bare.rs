//! A server that reads each request and answers 200, and does nothing else: the cost of HTTP alone.

use std::convert::Infallible;
use std::io::{self, Write as _};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Prints its address and serves until it is killed.
pub(crate) fn serve() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        writeln!(io::stdout(), "bare http://{}", listener.local_addr()?)?;
        io::stdout().flush()?;
        loop {
            let (stream, _) = listener.accept().await?;
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answer));
            tokio::spawn(async move {
                if let Err(error) = connection.await {
                    eprintln!("bare server: {error}");
                }
            });
        }
    })
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    // A body that ends early ends the connection, which the load generator notices.
    let read = request.into_body().collect().await;
    let body = if read.is_ok() { "{\"success\":true}" } else { "{\"success\":false}" };
    Ok(Response::new(Full::new(Bytes::from_static(body.as_bytes()))))
}
