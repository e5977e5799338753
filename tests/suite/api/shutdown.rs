//! The order of shutdown.

use std::time::Duration;

use forebay::collector::Drained;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use super::http2;
use super::support::{BASIC, BATCH, eventually, start};
use super::wire::{PATIENCE, Wire, bare, post};

#[tokio::test]
async fn requests_in_flight_are_answered_and_later_ones_get_503() {
    let rig = start().await;
    let request = post("/v1/batch", &[BASIC], BATCH);
    let (most, last) = request.split_at(request.len() - 1);
    let mut in_flight = Wire::connect(rig.address).await;
    in_flight.send(most).await;
    let mut idle = Wire::connect(rig.address).await;
    idle.send(bare("GET", "/health", &[])).await;
    assert_eq!(idle.answer().await.status, 200);
    eventually("the request to be read", async || rig.metrics.body_bytes.get() > 0).await;

    rig.running.stop_accepting().await;
    assert!(TcpStream::connect(rig.address).await.is_err(), "no new connections");
    let later = async {
        eventually("the drain to begin", async || {
            idle.send(post("/v1/batch", &[BASIC], BATCH)).await;
            let answer = idle.answer().await;
            if answer.status == 200 {
                return false;
            }
            assert_eq!((answer.status, answer.code().as_str()), (503, "draining"));
            assert_eq!(answer.header("connection"), Some("close"));
            assert!(answer.header("retry-after").is_some());
            true
        })
        .await;
        assert!(idle.closed().await.is_empty());
        in_flight.send(last).await;
        let answer = in_flight.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")));
    };
    let (drained, ()) = tokio::join!(rig.running.drain(PATIENCE), later);
    assert_eq!(drained, Drained::AllAnswered);
    timeout(PATIENCE, rig.running.close()).await.unwrap();
}

#[tokio::test]
async fn a_drain_ends_at_its_deadline_and_close_ends_everything() {
    let rig = start().await;
    let request = post("/v1/batch", &[BASIC], BATCH);
    let mut stuck = Wire::connect(rig.address).await;
    stuck.send(&request[..request.len() - 1]).await;
    let mut idle = Wire::connect(rig.address).await;
    idle.send(bare("GET", "/health", &[])).await;
    assert_eq!(idle.answer().await.status, 200);
    eventually("the request to be read", async || rig.metrics.body_bytes.get() > 0).await;
    let drained = rig.running.drain(Duration::from_millis(50)).await;
    assert_eq!(drained, Drained::Unanswered(1));
    let began = Instant::now();
    timeout(PATIENCE, rig.running.close()).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    assert!(idle.closed().await.is_empty());
    stuck.closed().await;
    assert_eq!(rig.metrics.connections.get(), 0);
}

#[tokio::test]
async fn http2_gets_a_goaway() {
    let rig = start().await;
    let (mut sender, connection) = http2::connect(rig.address).await;
    assert_eq!(sender.send_request(http2::batch()).await.unwrap().status(), 200);
    assert_eq!(rig.running.drain(PATIENCE).await, Drained::AllAnswered);
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
    assert!(sender.ready().await.is_err());
    timeout(PATIENCE, rig.running.close()).await.unwrap();
}
