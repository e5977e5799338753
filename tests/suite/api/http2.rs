//! HTTP/2 on the same port, by prior knowledge, and its bounds.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2::{SendRequest, handshake};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

use super::support::{BASIC, BATCH, start, start_with};
use super::wire::PATIENCE;

pub(crate) type Connection = JoinHandle<hyper::Result<()>>;

/// An HTTP/2 client over `stream`.
pub(crate) async fn over<S>(stream: S) -> (SendRequest<Full<Bytes>>, Connection)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    (sender, tokio::spawn(connection))
}

pub(crate) async fn connect(address: SocketAddr) -> (SendRequest<Full<Bytes>>, Connection) {
    over(TcpStream::connect(address).await.unwrap()).await
}

pub(crate) fn batch() -> Request<Full<Bytes>> {
    let body = Full::new(Bytes::from_static(BATCH.as_bytes()));
    Request::post("http://c/v1/batch").header(BASIC.0, BASIC.1).body(body).unwrap()
}

pub(crate) async fn text(response: Response<hyper::body::Incoming>) -> String {
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

#[tokio::test]
async fn many_requests_share_a_connection() {
    let rig = start().await;
    let (sender, connection) = connect(rig.address).await;
    let mut open = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let mut sender = sender.clone();
        open.spawn(async move {
            sender.ready().await.unwrap();
            sender.send_request(batch()).await.unwrap()
        });
    }
    while let Some(response) = open.join_next().await {
        let response = response.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.headers()["content-type"], "application/json");
        assert_eq!(text(response).await, r#"{"success":true}"#);
    }
    drop(sender);
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
}

#[tokio::test]
async fn refusals_and_bounds_are_the_same_as_in_http1() {
    let rig = start().await;
    let (mut sender, _connection) = connect(rig.address).await;
    let mut check = async |request: http::request::Builder, body: Vec<u8>, status: u16| {
        let request = request.body(Full::new(Bytes::from(body))).unwrap();
        sender.ready().await.unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status().as_u16(), status);
        assert!(!response.headers().contains_key("connection"));
    };
    let post = || Request::post("http://c/v1/batch");
    check(post().header("authorization", "Basic bm9ib2R5Og=="), BATCH.into(), 401).await;
    check(Request::get("http://c/v1/batch"), Vec::new(), 405).await;
    check(Request::get("http://c/none"), Vec::new(), 404).await;
    check(post().header(BASIC.0, BASIC.1).header("content-encoding", "br"), BATCH.into(), 400).await;
    check(post().header(BASIC.0, BASIC.1), vec![b' '; (1 << 20) + 1], 400).await;
    check(Request::get(format!("http://c/v1/batch?{}", "q".repeat(33_000))), Vec::new(), 414).await;
    check(Request::get("http://c/v1/batch").header("x", "h".repeat(64 * 1_024)), Vec::new(), 431).await;
    check(post().header(BASIC.0, BASIC.1), BATCH.into(), 200).await;
}

/// Load balancers use it as a health check.
#[tokio::test]
async fn a_head_is_answered_without_a_body() {
    let rig = start().await;
    for path in ["/health", "/none", "/v1/batch", "/v1/projects/web-key/settings", "/v1/pixel/track"] {
        let (mut sender, _connection) = connect(rig.address).await;
        let request = |method| {
            let body = Full::new(Bytes::new());
            Request::builder().method(method).uri(format!("http://c{path}")).body(body).unwrap()
        };
        let response = sender.send_request(request(Method::HEAD)).await.unwrap();
        let head = response.headers().clone();
        assert_eq!(text(response).await, "", "{path}");
        sender.ready().await.unwrap();
        let response = sender.send_request(request(Method::GET)).await.unwrap();
        assert_eq!(response.headers().get("content-type"), head.get("content-type"), "{path}");
        let len = response.into_body().collect().await.unwrap().to_bytes().len();
        assert_eq!(head["content-length"], len.to_string().as_str(), "{path}");
    }
}

#[tokio::test]
async fn an_answer_without_a_body_has_no_length() {
    let rig = start().await;
    let (mut sender, _connection) = connect(rig.address).await;
    let preflight = Request::options("http://c/v1/batch").header("origin", "http://a");
    let preflight = preflight.header("access-control-request-method", "POST").body(Full::default()).unwrap();
    let response = timeout(PATIENCE, sender.send_request(preflight)).await.unwrap().unwrap();
    assert_eq!(response.status(), StatusCode::NO_CONTENT);
    assert!(!response.headers().contains_key("content-length"), "{response:?}");
    assert_eq!(timeout(PATIENCE, text(response)).await.unwrap(), "");
}

#[tokio::test]
async fn idle_connections_get_a_goaway_even_if_they_ping() {
    let idle = Duration::from_millis(600);
    let rig = start_with(|settings, _| {
        settings.bounds.head = Duration::from_millis(200);
        settings.bounds.idle = idle;
    })
    .await;
    let began = Instant::now();
    let (mut sender, connection) = connect(rig.address).await;
    let response = sender.send_request(batch()).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    drop(response);
    // A GOAWAY ends the client's connection without an error.
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
    assert!(began.elapsed() >= idle, "{:?}", began.elapsed());

    let mut raw = TcpStream::connect(rig.address).await.unwrap();
    raw.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let ping = [[0, 0, 8, 6, 0, 0, 0, 0, 0].as_slice(), &[7; 8]].concat();
    let began = Instant::now();
    while raw.write_all(&ping).await.is_ok() && began.elapsed() < PATIENCE {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() < idle * 10, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_head_that_is_never_finished_is_closed() {
    let rig = start_with(|settings, _| settings.bounds.head = Duration::from_millis(300)).await;
    let mut raw = TcpStream::connect(rig.address).await.unwrap();
    // SETTINGS, then HEADERS of stream 1 without END_HEADERS, with one header (`:method: GET`, from the
    // static table).
    raw.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x01\x01\0\0\0\0\x01\x82")
        .await
        .unwrap();
    let began = Instant::now();
    let mut rest = Vec::new();
    timeout(PATIENCE, async { while raw.read_buf(&mut rest).await.unwrap_or(0) > 0 {} }).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(250), "{:?}", began.elapsed());
}
