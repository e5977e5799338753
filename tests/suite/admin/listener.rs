use std::sync::atomic::Ordering;
use std::time::Duration;

use forebay::admin::connection::{HEAD_MAX, HEAD_TIMEOUT};
use forebay::admin::server::{CONNECTIONS_MAX, FLUSH_WAIT, FLUSHES_WAITING_MAX};
use forebay::metrics::SourceLabel;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::{Running, start, until};

pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) head: String,
    pub(super) body: String,
}

impl Answer {
    pub(super) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// Sends a request exactly as given, and reads until the server closes.
async fn exchange(running: &Running, request: &str) -> Answer {
    let mut socket = TcpStream::connect(running.address).await.unwrap();
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let read = socket.read_to_end(&mut bytes);
    tokio::time::timeout(Duration::from_secs(20), read).await.unwrap().unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
}

pub(super) async fn send(running: &Running, method: &str, target: &str, headers: &str) -> Answer {
    exchange(running, &format!("{method} {target} HTTP/1.1\r\nConnection: close\r\n{headers}\r\n")).await
}

async fn get(running: &Running, target: &str) -> Answer {
    send(running, "GET", target, "Host: localhost\r\n").await
}

#[tokio::test]
async fn readiness_gives_its_reasons() {
    let running = start(&[]).await;
    let answer = get(&running, "/ready").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"ready":true,"reasons":[]}"#));
    *running.process.not_ready.lock().unwrap() = vec!["the spool has stopped".into(), "stopping".into()];
    let answer = get(&running, "/ready").await;
    assert_eq!(answer.status, 503);
    assert_eq!(answer.body, r#"{"ready":false,"reasons":["the spool has stopped","stopping"]}"#);
    // The process is alive although it is not ready.
    let answer = get(&running, "/health").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"status":"ok"}"#));
}

#[tokio::test]
async fn metrics_are_refreshed_and_rendered() {
    let running = start(&[]).await;
    running.metrics.received.get_or_create(&SourceLabel { source: "web".into() }).inc_by(3);
    let answer = get(&running, "/metrics").await;
    assert_eq!(answer.status, 200);
    let content_type = "content-type: application/openmetrics-text; version=1.0.0; charset=utf-8";
    assert!(answer.head.contains(content_type), "{}", answer.head);
    assert!(answer.body.contains("forebay_calls_received_total{source=\"web\"} 3\n"), "{}", answer.body);
    assert!(answer.body.ends_with("# EOF\n"));
    assert_eq!(running.process.refreshed.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn status_is_json_and_the_root_lists_the_paths() {
    let running = start(&[]).await;
    let answer = get(&running, "/api/status").await;
    let status = answer.json();
    assert_eq!(answer.status, 200);
    assert_eq!(status["version"], "0.1.0");
    assert_eq!(status["sources"][0]["id"], "web");
    assert_eq!(status["sources"][0]["pending_calls"], 7);
    let root = get(&running, "/").await;
    assert_eq!((root.status, root.body.lines().count()), (200, 1));
    let head = send(&running, "HEAD", "/api/status", "Host: localhost\r\n").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn receipts_are_looked_up_and_other_queries_refused() {
    let running = start(&[]).await;
    let spool = "0123456789abcdef0123456789abcdef";
    let answer = get(&running, &format!("/api/receipt?receipt=web/1763596800000/{spool}/42-44")).await;
    let told = answer.json();
    assert_eq!((answer.status, &told["spool_id"]), (200, &spool.into()));
    assert_eq!((&told["positions"][0]["first"], &told["positions"][0]["last"]), (&42.into(), &44.into()));
    let wrong = get(&running, "/api/receipt?receipt=42").await;
    assert_eq!((wrong.status, &wrong.json()["code"]), (400, &"bad_query".into()));
    assert!(wrong.json()["message"].as_str().unwrap().starts_with("expected a receipt"), "{}", wrong.body);
    running.process.stopped.store(true, Ordering::SeqCst);
    let unread = get(&running, &format!("/api/receipt?receipt=web/1763596800000/{spool}/42")).await;
    assert_eq!((unread.status, &unread.json()["code"]), (503, &"unread".into()));
    let message = "the spool could not be read: no such file";
    assert_eq!(unread.json()["message"], message);
}

#[tokio::test]
async fn flush_waits_and_reports_the_result() {
    let running = start(&[]).await;
    let host = "Host: localhost\r\n";
    running.process.held.store(true, Ordering::SeqCst);
    let waiting = send(&running, "POST", "/api/flush?source=web", host);
    let releasing = async {
        until("the flush has begun", || !running.process.flushes.lock().unwrap().is_empty()).await;
        running.process.release.notify_one();
    };
    let (answer, ()) = tokio::join!(waiting, releasing);
    assert_eq!((answer.status, answer.body.as_str()), (200, r#"{"sealed":3,"delivered":3,"pending":0}"#));
    running.process.held.store(false, Ordering::SeqCst);

    assert_eq!(send(&running, "POST", "/api/flush", host).await.status, 200);
    // A body is no reason to refuse, and is not read.
    let with_body = "Host: localhost\r\nContent-Length: 2\r\n\r\n{}";
    assert_eq!(send(&running, "POST", "/api/flush", with_body).await.status, 200);
    let flushes = running.process.flushes.lock().unwrap().clone();
    assert_eq!(flushes, [(Some("web".to_owned()), FLUSH_WAIT), (None, FLUSH_WAIT), (None, FLUSH_WAIT)]);

    let unknown = send(&running, "POST", "/api/flush?source=ios", host).await;
    assert_eq!((unknown.status, unknown.json()["code"].as_str()), (404, Some("unknown_source")));
    running.process.stopped.store(true, Ordering::SeqCst);
    let stopped = send(&running, "POST", "/api/flush", host).await;
    assert_eq!((stopped.status, stopped.json()["code"].as_str()), (503, Some("stopped")));
}

#[tokio::test]
async fn refused_requests_change_nothing() {
    let running = start(&["forebay.internal"]).await;
    let own = format!("Host: {}\r\n", running.address);
    let check = async |method: &str, target: &str, headers: &str, status: u16, code: &str| {
        let answer = send(&running, method, target, headers).await;
        assert_eq!(answer.status, status, "{method} {target} {headers}");
        assert_eq!(answer.json()["code"], code, "{method} {target} {headers}");
        assert!(answer.head.contains("content-type: application/json"), "{}", answer.head);
        assert!(!answer.head.contains("access-control"), "{}", answer.head);
    };
    for target in ["/", "/metrics", "/health", "/ready", "/api/status", "/nothing"] {
        check("GET", target, "Host: evil.example\r\n", 421, "unknown_host").await;
    }
    check("POST", "/api/flush", "Host: evil.example\r\n", 421, "unknown_host").await;
    check("POST", "/api/flush", "Host: evil.example\r\nOrigin: http://evil.example\r\n", 421, "unknown_host")
        .await;
    check("GET", "/health", "Host: localhost\r\nHost: evil.example\r\n", 400, "bad_host").await;
    check("GET", "/health", "", 400, "bad_host").await;
    check("POST", "/api/flush", &format!("{own}Origin: http://evil.example\r\n"), 403, "cross_site").await;
    check("POST", "/api/flush", &format!("{own}Origin: http://127.0.0.1:1\r\n"), 403, "cross_site").await;
    check("POST", "/api/flush", &format!("{own}Origin: null\r\n"), 403, "cross_site").await;
    check("POST", "/api/flush", &format!("{own}Sec-Fetch-Site: cross-site\r\n"), 403, "cross_site").await;
    check("GET", "/api/flush", &own, 405, "method_not_allowed").await;
    check("OPTIONS", "/api/flush", &own, 405, "method_not_allowed").await;
    check("POST", "/api/flush?sorce=web", &own, 400, "bad_query").await;
    check("POST", "/v1/batch", &own, 404, "not_found").await;
    assert!(running.process.flushes.lock().unwrap().is_empty());

    // Its own page may post.
    let own_page = format!("{own}Origin: http://{}\r\n", running.address);
    assert_eq!(send(&running, "POST", "/api/flush", &own_page).await.status, 200);
    for host in ["localhost", "127.0.0.1:9180", "[::1]", "forebay.internal:80"] {
        assert_eq!(
            send(&running, "GET", "/health", &format!("Host: {host}\r\n")).await.status,
            200,
            "{host}"
        );
    }
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let running = start(&[]).await;
    let long = format!("Host: localhost\r\nX-Long: {}\r\n", "x".repeat(HEAD_MAX));
    let mut socket = TcpStream::connect(running.address).await.unwrap();
    let request = format!("GET /health HTTP/1.1\r\n{long}\r\n");
    // The server may close before all of it is sent.
    let sent = socket.write_all(request.as_bytes()).await;
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap_or_else(|error| panic!("{error} after sending: {sent:?}"));
    assert_eq!(&answer, b"HTTP/1.1 431");
}

/// How soon an operator must be answered, whatever else is connected.
const SOON: Duration = Duration::from_secs(1);

/// Opens so many connections, each of which sends only `bytes`.
async fn crowd(running: &Running, count: usize, bytes: &[u8]) -> Vec<TcpStream> {
    let mut sockets = Vec::new();
    for _ in 0..count {
        let mut socket = TcpStream::connect(running.address).await.unwrap();
        // It may be closed already, for a later one.
        if socket.write_all(bytes).await.is_ok() {
            sockets.push(socket);
        }
    }
    sockets
}

async fn is_closed(socket: &mut TcpStream) -> bool {
    !matches!(
        tokio::time::timeout(Duration::from_secs(5), socket.read(&mut [0; 1])).await,
        Ok(Ok(1..)) | Err(_)
    )
}

#[tokio::test]
async fn an_operator_is_answered_at_once_among_silent_connections() {
    for bytes in [&b""[..], b"GET /ready HTTP/1.1\r\nHost: local"] {
        let running = start(&[]).await;
        let mut idle = crowd(&running, CONNECTIONS_MAX + 50, bytes).await;
        for path in ["/ready", "/health", "/metrics"] {
            let began = Instant::now();
            assert_eq!(get(&running, path).await.status, 200);
            let took = began.elapsed();
            assert!(
                took < SOON,
                "{path} took {took:?} beside {} connections that sent {bytes:?}",
                idle.len()
            );
        }
        // The oldest left, the newest are still there.
        assert!(is_closed(&mut idle[0]).await);
        let newest = idle.last_mut().unwrap();
        newest
            .write_all(if bytes.is_empty() { b"GET /ready HTTP/1.1\r\nHost: local" } else { b"" })
            .await
            .unwrap();
        newest.write_all(b"host\r\n\r\n").await.unwrap();
        let mut answer = [0; 12];
        newest.read_exact(&mut answer).await.unwrap();
        assert_eq!(&answer, b"HTTP/1.1 200");
    }
}

#[tokio::test]
async fn the_connection_that_has_been_idle_longest_goes_first() {
    let running = start(&[]).await;
    let mut asking = TcpStream::connect(running.address).await.unwrap();
    let ask = async |socket: &mut TcpStream| {
        socket.write_all(b"HEAD /health HTTP/1.1\r\nHost: localhost\r\n\r\n").await.unwrap();
        let mut answer = Vec::new();
        while !answer.ends_with(b"\r\n\r\n") {
            answer.push(socket.read_u8().await.unwrap());
        }
        assert!(answer.starts_with(b"HTTP/1.1 200"));
    };
    ask(&mut asking).await;
    // It connected first but keeps sending requests: for every new connection, a silent one leaves.
    for _ in 0..4 {
        drop(crowd(&running, CONNECTIONS_MAX / 2, b"").await);
        ask(&mut asking).await;
    }
    let idle = crowd(&running, 2 * CONNECTIONS_MAX, b"").await;
    assert!(is_closed(&mut asking).await, "beside {} that came later", idle.len());
}

#[tokio::test]
async fn a_head_has_five_seconds() {
    let running = start(&[]).await;
    let began = Instant::now();
    let mut slow = crowd(&running, 1, b"GET /ready HTTP/1.1\r\nHost: ").await;
    let closed = async { slow[0].read(&mut [0; 1]).await };
    let closed = tokio::time::timeout(Duration::from_secs(20), closed).await.unwrap();
    let took = began.elapsed();
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    assert!(took >= HEAD_TIMEOUT && took < HEAD_TIMEOUT * 3, "{took:?}");
}

#[tokio::test]
async fn if_all_have_a_request_in_flight_a_new_connection_waits_for_the_first_to_end() {
    let running = start(&[]).await;
    running.process.held.store(true, Ordering::SeqCst);
    let flush = b"POST /api/flush HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let mut flushing = crowd(&running, CONNECTIONS_MAX, flush).await;
    until("all flushes have begun", || running.process.flushes.lock().unwrap().len() == CONNECTIONS_MAX)
        .await;
    let waiting = get(&running, "/health");
    let releasing = async {
        running.process.release.notify_one();
    };
    let (answer, ()) = tokio::join!(waiting, releasing);
    assert_eq!((answer.status, flushing.len()), (200, CONNECTIONS_MAX));
    flushing.clear();
    // Beyond this number, flushes do not wait.
    let waits = running.process.flushes.lock().unwrap().clone();
    let waits = waits.iter().filter(|(_, wait)| *wait == FLUSH_WAIT).count();
    assert_eq!(waits, FLUSHES_WAITING_MAX);
}

#[tokio::test]
async fn stopping_finishes_requests_in_flight() {
    let running = start(&[]).await;
    running.process.held.store(true, Ordering::SeqCst);
    let waiting = send(&running, "POST", "/api/flush", "Host: localhost\r\n");
    let stopping = async {
        until("the flush has begun", || !running.process.flushes.lock().unwrap().is_empty()).await;
        running.stop.cancel();
        running.process.release.notify_one();
    };
    let (answer, ()) = tokio::join!(waiting, stopping);
    assert_eq!(answer.status, 200);
    tokio::time::timeout(Duration::from_secs(20), running.task).await.unwrap().unwrap();
    assert!(TcpStream::connect(running.address).await.is_err());
}
