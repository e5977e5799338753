//! Unread answers.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, sleep, timeout};

use super::support::{BASIC, BATCH, Rig, eventually, start_with};
use super::wire::{PATIENCE, bare, once, post};
use crate::support::raw_http2::{INITIAL_WINDOW, get, ping, preface, stream_ids, window_update};

const SHORT: Duration = Duration::from_millis(400);
const NEVER: Duration = Duration::from_secs(600);

/// The body of `/health`.
const HEALTHY: &[u8] = br#"{"status":"ok"}"#;

/// An HTTP/2 connection with so many requests, whose client opens no window for the answers.
async fn closed_window(address: SocketAddr, requests: usize) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut bytes = preface(&[(INITIAL_WINDOW, 0)]);
    for id in stream_ids().take(requests) {
        bytes.extend(get(id, "/health"));
    }
    stream.write_all(&bytes).await.unwrap();
    stream
}

/// Reads until the other side ends the connection. Returns what came.
async fn ended(stream: &mut TcpStream) -> Vec<u8> {
    let mut read = Vec::new();
    timeout(PATIENCE, async { while stream.read_buf(&mut read).await.is_ok_and(|read| read > 0) {} })
        .await
        .expect("ended in time");
    read
}

/// A connection with a small receive buffer.
async fn with_little_room(address: SocketAddr) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4 * 1_024).unwrap();
    socket.connect(address).await.unwrap()
}

/// Writes the same bytes until the other side ends the connection. Returns how long it stayed open after the
/// last byte was accepted.
async fn flood(stream: &mut TcpStream, bytes: &[u8]) -> Duration {
    let mut stands_since = Instant::now();
    let flood = async {
        while stream.write_all(bytes).await.is_ok() {
            stands_since = Instant::now();
        }
    };
    timeout(PATIENCE, flood).await.expect("ended in time");
    stands_since.elapsed()
}

fn resets(rig: &Rig) -> u64 {
    rig.metrics.unread_connections.get()
}

#[tokio::test]
async fn a_client_that_opens_no_window_is_reset_in_time_whatever_else_it_does() {
    let rig = start_with(|settings, _| settings.bounds.unread = SHORT).await;
    let began = Instant::now();
    let mut silent = closed_window(rig.address, 5).await;
    let mut pinging = closed_window(rig.address, 5).await;
    let pings = async {
        let mut read = [0; 1_024];
        while pinging.write_all(&ping()).await.is_ok()
            && pinging.read(&mut read).await.is_ok_and(|read| read > 0)
        {
            sleep(SHORT / 20).await;
        }
    };
    let (read, pinged) = tokio::join!(ended(&mut silent), timeout(PATIENCE, pings));
    assert!(pinged.is_ok(), "pings keep it open");
    assert!(began.elapsed() >= SHORT, "{:?}", began.elapsed());
    assert!(!read.windows(HEALTHY.len()).any(|bytes| bytes == HEALTHY));
    assert_eq!(resets(&rig), 2);
    eventually("both to be gone", async || rig.metrics.connections.get() == 0).await;
}

#[tokio::test]
async fn a_client_that_opens_its_window_late_gets_its_answers() {
    let rig = start_with(|settings, _| settings.bounds.unread = SHORT * 2).await;
    let mut stream = closed_window(rig.address, 5).await;
    // Each answer that is read restarts the time for the others.
    for id in stream_ids().take(5) {
        sleep(SHORT).await;
        stream.write_all(&window_update(id, 1_000)).await.unwrap();
        let mut read = Vec::new();
        let answer = async {
            while !read.windows(HEALTHY.len()).any(|bytes| bytes == HEALTHY) {
                assert!(stream.read_buf(&mut read).await.unwrap() > 0, "ended before its answer");
            }
        };
        timeout(PATIENCE, answer).await.unwrap();
    }
    assert_eq!(resets(&rig), 0);
}

#[tokio::test]
async fn a_connection_over_its_limit_of_unread_bytes_ends_sooner() {
    let rig = start_with(|settings, _| {
        settings.bounds.unread = NEVER;
        settings.bounds.unread_over = SHORT;
    })
    .await;
    let few = closed_window(rig.address, 5).await;
    let began = Instant::now();
    ended(&mut closed_window(rig.address, 100).await).await;
    assert!(began.elapsed() >= SHORT, "{:?}", began.elapsed());
    assert_eq!(resets(&rig), 1);
    assert_eq!(rig.metrics.connections.get(), 1);
    drop(few);
}

#[tokio::test]
async fn if_all_together_leave_too_much_unread_those_without_progress_for_longest_go() {
    let rig = start_with(|settings, _| {
        settings.bounds.unread = NEVER;
        settings.bounds.unread_over = NEVER;
        settings.bounds.answers_bytes = 1 << 20;
    })
    .await;
    // About 10 KB.
    let mut early = closed_window(rig.address, 2).await;
    sleep(SHORT).await;
    let mut late = Vec::new();
    for _ in 0..10 {
        // About 500 KB each.
        late.push(closed_window(rig.address, 100).await);
    }
    ended(&mut early).await;
    eventually("memory use to be within the limit", async || rig.metrics.connections.get() <= 3).await;
    let answer = once(rig.address, post("/v1/batch", &[BASIC], BATCH)).await;
    assert_eq!(answer.status, 200);
    let mut last = closed_window(rig.address, 1).await;
    last.write_all(&window_update(1, 1_000)).await.unwrap();
    let mut read = Vec::new();
    let answer = async {
        while !read.windows(HEALTHY.len()).any(|bytes| bytes == HEALTHY) {
            assert!(
                last.read_buf(&mut read).await.unwrap() > 0,
                "a client that reads must keep its connection"
            );
        }
    };
    timeout(PATIENCE, answer).await.unwrap();
}

/// Waits until the heads of so many answers came. Heads need no window.
async fn heads_of_answers(stream: &mut TcpStream, count: usize) {
    let (mut read, mut heads) = (Vec::new(), 0);
    while heads < count {
        while read.len() < 9 || read.len() < 9 + usize::from(read[1]) * 256 + usize::from(read[2]) {
            assert!(stream.read_buf(&mut read).await.unwrap() > 0, "ended before its answers");
        }
        heads += usize::from(read[3] == 1);
        read.drain(..9 + usize::from(read[1]) * 256 + usize::from(read[2]));
    }
}

#[tokio::test]
async fn a_client_that_must_leave_with_unread_answers_is_reset() {
    let rig = start_with(|settings, _| {
        settings.bounds.connections = 1;
        settings.bounds.unread = NEVER;
    })
    .await;
    let mut silent = closed_window(rig.address, 5).await;
    timeout(PATIENCE, heads_of_answers(&mut silent, 5)).await.unwrap();
    assert_eq!(once(rig.address, post("/v1/batch", &[BASIC], BATCH)).await.status, 200);
    let end = timeout(PATIENCE, silent.read(&mut [0; 1_024])).await.unwrap();
    assert!(end.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset), "{end:?}");

    // A connection without pending answers is closed in order.
    eventually("the place to be free", async || rig.metrics.connections.get() == 0).await;
    let mut idle = TcpStream::connect(rig.address).await.unwrap();
    eventually("it to have the place", async || rig.metrics.connections.get() == 1).await;
    assert_eq!(once(rig.address, post("/v1/batch", &[BASIC], BATCH)).await.status, 200);
    let end = timeout(PATIENCE, idle.read(&mut [0; 1_024])).await.unwrap();
    assert!(end.as_ref().is_ok_and(|read| *read == 0), "{end:?}");
}

#[tokio::test]
async fn a_client_that_keeps_sending_but_reads_nothing_is_reset() {
    let rig = start_with(|settings, _| {
        settings.bounds.unread = SHORT;
        settings.bounds.unread_over = SHORT;
    })
    .await;
    let mut pipelining = with_little_room(rig.address).await;
    let took = flood(&mut pipelining, &bare("GET", "/health", &[]).repeat(100)).await;
    assert!(took < SHORT * 20, "{took:?}");
    assert_eq!(resets(&rig), 1);

    let mut stream = with_little_room(rig.address).await;
    stream.write_all(&preface(&[])).await.unwrap();
    let took = flood(&mut stream, &ping().repeat(100)).await;
    assert!(took < SHORT * 20, "{took:?}");
    assert_eq!(resets(&rig), 2);
    eventually("both to be gone", async || rig.metrics.connections.get() == 0).await;
}
