//! A function behind HTTP that answers at once, in a process of its own.

use std::convert::Infallible;
use std::net::TcpListener;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

/// The argument with which this program is the server.
pub(crate) const SERVE: &str = "--serve-answers";

/// The text of a member of an event, as our events are written.
fn text_of<'a>(event: &'a str, member: &str) -> &'a str {
    let (_, rest) = event.split_once(member).expect("a member of an event");
    rest.split('"').nth(2).expect("a text")
}

/// The answer to an event: its task succeeded.
pub(crate) fn answer(event: &[u8]) -> Bytes {
    let event = std::str::from_utf8(event).expect("UTF-8");
    answer_with(text_of(event, "\"invocationId"), text_of(event, "\"taskId"))
}

/// The same for an event with these ids.
pub(crate) fn answer_with(invocation: &str, task: &str) -> Bytes {
    format!(
        "{{\"invocationSchemaVersion\":\"1.0\",\"treatMissingKeysAs\":\"PermanentFailure\",\"invocationId\":\
         \"{invocation}\",\"results\":[{{\"taskId\":\"{task}\",\"resultCode\":\"Succeeded\",\"resultString\":\
         \"done\"}}]}}"
    )
    .into()
}

async fn answered(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let event = request.into_body().collect().await.expect("a whole request").to_bytes();
    Ok(Response::new(Full::new(answer(&event))))
}

/// Is the server, until the process is killed.
pub(crate) fn serve() -> ! {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        println!("http://{}/run", listener.local_addr().expect("its address"));
        listener.set_nonblocking(true).expect("a listener");
        let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("a connection");
            let connection = hyper::server::conn::http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service_fn(answered));
            tokio::spawn(async move { drop(connection.await) });
        }
    })
}
