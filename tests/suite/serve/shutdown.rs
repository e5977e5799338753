//! Signals: the first ends everything in order, the second at once; neither loses anything.

use std::time::Duration;

use rustix::process::Signal;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::support::{Caller, PATIENCE, Rig, logged};
use crate::support::tcp_proxy::Link;
use crate::support::wait;

/// The log message after the first signal.
const STOPPING: &str = "finishing requests in flight";

#[tokio::test]
async fn requests_in_flight_are_answered_and_everything_is_delivered() {
    let rig = Rig::start(&["lake"]).await;
    let mut settings = rig.settings(&["web"]);
    settings.flush = "max_age = \"1 h\"".to_owned();
    let forebay = settings.serve().await;
    let mut caller = Caller::new();
    caller.send(&forebay, "web", 20, 0).await;

    let (ids, body) = caller.request(5, 0);
    let address = forebay.collector.strip_prefix("http://").unwrap();
    let mut slow = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /v1/batch?writeKey=web-key HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\nExpect: 100-continue\r\n\r\n",
        body.len()
    );
    slow.write_all(head.as_bytes()).await.unwrap();
    // The server asks for the body: it has accepted the request.
    let mut go_on = [0; 25];
    slow.read_exact(&mut go_on).await.unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100"), "{}", String::from_utf8_lossy(&go_on));
    forebay.signal(Signal::TERM);
    logged(&forebay, STOPPING).await;
    slow.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    slow.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(r#"{"success":true}"#), "{answer}");
    caller.note("web", ids);

    let status = forebay.exit().await;
    assert_eq!(status.code(), Some(0));
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
}

#[tokio::test]
async fn other_signals_are_ignored() {
    let rig = Rig::start(&["lake"]).await;
    let forebay = rig.settings(&["web"]).serve().await;
    let mut caller = Caller::new();
    for signal in [Signal::USR1, Signal::USR2, Signal::ALARM] {
        forebay.signal(signal);
        caller.send(&forebay, "web", 5, 0).await;
    }
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    assert_eq!(forebay.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn during_drain_delay_it_is_not_ready_but_accepts_calls() {
    let rig = Rig::start(&["lake"]).await;
    let mut settings = rig.settings(&["web"]);
    settings.collector = "drain_delay = \"2 s\"".to_owned();
    let forebay = settings.serve().await;
    let mut caller = Caller::new();
    assert_eq!(super::support::ask(&forebay, "/ready").await.status, 200);
    forebay.signal(Signal::TERM);
    wait::until("not to be ready", PATIENCE, async || {
        (super::support::ask(&forebay, "/ready").await.status == 503).then_some(())
    })
    .await;
    caller.send(&forebay, "web", 5, 0).await;
    assert_eq!(forebay.exit().await.code(), Some(0));
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
}

#[tokio::test]
async fn without_its_store_it_ends_within_the_grace_period_and_delivers_after_restart() {
    const GRACE: Duration = Duration::from_secs(4);
    let rig = Rig::start(&["lake"]).await;
    let mut settings = rig.settings(&["web"]);
    settings.flush = format!("max_age = \"1 s\"\nshutdown_grace = \"{} s\"", GRACE.as_secs());
    let forebay = settings.serve().await;
    let mut caller = Caller::new();
    rig.link.set(Link::Cut);
    caller.send(&forebay, "web", 20, 0).await;
    wait::until("an attempt", PATIENCE, async || (rig.link.broken() > 0).then_some(())).await;
    caller.send(&forebay, "web", 20, 0).await;
    let began = Instant::now();
    assert_eq!(forebay.terminate().await.code(), Some(0));
    let took = began.elapsed();
    assert!(took < GRACE + Duration::from_secs(1), "it took {took:?} of {GRACE:?}");

    rig.link.set(Link::Up);
    let forebay = settings.serve().await;
    caller.send(&forebay, "web", 20, 0).await;
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn a_second_signal_ends_the_process_at_once_without_loss() {
    let rig = Rig::start(&["lake"]).await;
    let settings = rig.settings(&["web"]);
    let forebay = settings.serve().await;
    let mut caller = Caller::new();
    rig.link.set(Link::Cut);
    caller.send(&forebay, "web", 20, 0).await;
    forebay.signal(Signal::INT);
    logged(&forebay, STOPPING).await;
    let began = Instant::now();
    forebay.signal(Signal::TERM);
    assert_eq!(forebay.exit().await.code(), Some(0));
    // The first signal would have allowed 25 s.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());

    rig.link.set(Link::Up);
    let forebay = settings.serve().await;
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    assert!(forebay.terminate().await.success());
}
