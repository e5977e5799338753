//! Every bound in time, size and number, on real sockets. Long times are shortened; separate tests check that
//! the defaults are in force.

use std::time::Duration;

use forebay::collector::Bounds;
use forebay::ingest::IngestSettings;
use tokio::time::Instant;

use super::support::{BASIC, BATCH, KEY, start, start_ingesting, start_with};
use super::wire::{Answer, Wire, bare, once, post};
use crate::support::wait;

const SHORT: Duration = Duration::from_millis(300);

/// Sends a byte at a time until the other side closes. Returns how long that took.
async fn trickle(wire: &mut Wire, bytes: &[u8], pause: Duration) -> Duration {
    let began = Instant::now();
    for byte in bytes.chunks(1).cycle() {
        if !wire.try_send(byte).await {
            break;
        }
        tokio::time::sleep(pause).await;
    }
    began.elapsed()
}

#[tokio::test]
async fn a_head_that_trickles_in_is_closed_at_its_time_limit() {
    let rig = start_with(|settings, _| settings.bounds.head = SHORT).await;
    for first in ["", "POST /v1/batch HTTP/1.1\r\nx: "] {
        let mut wire = Wire::connect(rig.address).await;
        wire.send(first).await;
        let took = trickle(&mut wire, b"a", Duration::from_millis(20)).await;
        assert!(took >= SHORT && took < SHORT * 10, "{first:?} {took:?}");
    }
    // The same while the protocol is still unknown.
    let mut wire = Wire::connect(rig.address).await;
    let took = trickle(&mut wire, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", Duration::from_millis(20)).await;
    assert!(took >= SHORT && took < SHORT * 10, "{took:?}");
    // The same after an answered request.
    let mut wire = Wire::connect(rig.address).await;
    wire.send(post("/v1/batch", &[BASIC], BATCH)).await;
    assert_eq!(wire.answer().await.status, 200);
    let took = trickle(&mut wire, b"P", Duration::from_millis(20)).await;
    assert!(took >= SHORT && took < SHORT * 10, "{took:?}");
}

#[tokio::test]
async fn the_default_time_limit_for_a_head_is_in_force() {
    let rig = start().await;
    let mut wire = Wire::connect(rig.address).await;
    let took = trickle(&mut wire, b"a", Duration::from_millis(100)).await;
    let head = Bounds::default().head;
    assert!(took >= head && took < head + Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn an_idle_connection_is_closed_at_its_own_time_limit_not_at_that_for_heads() {
    let rig = start_with(|settings, _| {
        settings.bounds.head = SHORT;
        settings.bounds.idle = SHORT * 4;
    })
    .await;
    let began = Instant::now();
    let mut silent = Wire::connect(rig.address).await;
    let mut answered = Wire::connect(rig.address).await;
    answered.send(post("/v1/batch", &[BASIC], BATCH)).await;
    assert_eq!(answered.answer().await.status, 200);
    tokio::join!(silent.closed(), answered.closed());
    let took = began.elapsed();
    assert!(took >= SHORT * 4 && took < SHORT * 30, "{took:?}");
}

#[tokio::test]
async fn a_body_that_does_not_come_gets_408_and_nothing_is_stored() {
    let rig = start_with(|settings, _| settings.bounds.body = SHORT).await;
    let request = post("/v1/batch", &[BASIC], BATCH);
    let mut wire = Wire::connect(rig.address).await;
    let began = Instant::now();
    wire.send(&request[..request.len() - 1]).await;
    let answer = wire.answer().await;
    assert!(began.elapsed() >= SHORT);
    assert_eq!((answer.status, answer.code().as_str()), (408, "body_timeout"));
    assert_eq!(answer.header("connection"), Some("close"));
    wire.closed().await;
    assert!(rig.is_empty());
}

#[tokio::test]
async fn a_whole_request_has_a_time_limit_too() {
    let rig = start_with(|settings, _| settings.bounds.request = SHORT).await;
    let request = post("/v1/batch", &[BASIC], BATCH);
    let mut wire = Wire::connect(rig.address).await;
    wire.send(&request[..request.len() - 1]).await;
    assert_eq!(wire.answer().await.status, 408);
}

#[tokio::test]
async fn long_heads_are_431_and_long_targets_414() {
    let rig = start().await;
    let header = |len: usize| "h".repeat(len);
    let path = |len: usize| format!("/v1/batch?{}", "q".repeat(len));
    let check = async |name: &str, path: &str, header: &str, expected: u16| -> Answer {
        let mut wire = Wire::connect(rig.address).await;
        wire.send(bare("GET", path, &[("x", header)])).await;
        let answer = wire.answer().await;
        assert_eq!(answer.status, expected, "{name}");
        if expected != 405 {
            assert_eq!(answer.header("connection"), Some("close"), "{name}");
            wire.closed().await;
        }
        answer
    };
    check("a head that fits", "/v1/batch", &header(47 * 1_024), 405).await;
    let answer = check("a head that does not", "/v1/batch", &header(64 * 1_024), 431).await;
    assert_eq!(answer.code(), "headers_too_large");
    check("a head beyond the parser's buffer", "/v1/batch", &header(600 * 1_024), 431).await;
    check("a target that fits", &path(32_000), "", 405).await;
    let answer = check("a target that does not", &path(33_000), "", 414).await;
    assert_eq!(answer.code(), "uri_too_long");
    check("a target beyond the parser's", &path(65_536), "", 414).await;
}

#[tokio::test]
async fn connections_over_the_limit_are_closed_at_once_if_all_have_a_request_in_flight() {
    let rig = start_with(|settings, _| settings.bounds.connections = 2).await;
    let request = post("/v1/batch", &[BASIC, ("expect", "100-continue")], BATCH);
    let (head, body) = request.split_at(request.len() - BATCH.len());
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut wire = Wire::connect(rig.address).await;
        wire.send(head).await;
        assert_eq!(wire.answer().await.status, 100, "its body is expected");
        held.push(wire);
    }
    assert_eq!(rig.metrics.connections.get(), 2);
    let mut third = Wire::connect(rig.address).await;
    assert!(third.closed().await.is_empty());
    for mut wire in held {
        wire.send(body).await;
        assert_eq!(wire.answer().await.status, 200, "a request in flight is answered");
    }
    assert_eq!(once(rig.address, post("/v1/batch", &[BASIC], BATCH)).await.status, 200);
}

/// The number of seats, and of silent connections that want them.
const FEW: usize = 20;
const MANY: usize = 200;
/// How soon a client must be answered, whatever else is connected.
const SOON: Duration = Duration::from_secs(1);

#[tokio::test]
async fn silent_connections_leave_for_new_ones_oldest_first() {
    let silent = ["", "POST /v1/batch HTTP/1.1\r\nx: ", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"];
    for bytes in silent {
        let rig = start_with(|settings, _| settings.bounds.connections = FEW).await;
        let mut idle = Vec::new();
        for _ in 0..MANY {
            let mut wire = Wire::connect(rig.address).await;
            // It may be closed already, for a later one.
            wire.try_send(bytes).await;
            idle.push(wire);
        }
        for _ in 0..5 {
            let began = Instant::now();
            assert_eq!(once(rig.address, post("/v1/batch", &[BASIC], BATCH)).await.status, 200, "{bytes:?}");
            assert!(began.elapsed() < SOON, "{bytes:?} {:?}", began.elapsed());
        }
        assert!(rig.metrics.connections.get() <= i64::try_from(FEW).unwrap());
        idle.remove(0).closed().await;
        if bytes.is_empty() {
            let mut newest = idle.pop().unwrap();
            newest.send(post("/v1/batch", &[BASIC], BATCH)).await;
            assert_eq!(newest.answer().await.status, 200, "the newest keeps its seat");
        }
    }
}

#[tokio::test]
async fn an_active_client_keeps_its_connection_among_silent_ones() {
    let rig = start_with(|settings, _| {
        settings.bounds.connections = FEW;
        settings.bounds.keyed_place = Duration::ZERO;
    })
    .await;
    let mut asking = Wire::connect(rig.address).await;
    let mut idle = Vec::new();
    for _ in 0..MANY / FEW {
        for _ in 0..FEW / 2 {
            idle.push(Wire::connect(rig.address).await);
        }
        asking.send(post("/v1/batch", &[BASIC], BATCH)).await;
        assert_eq!(asking.answer().await.status, 200);
    }
    for _ in 0..2 * FEW {
        idle.push(Wire::connect(rig.address).await);
    }
    asking.closed().await;
}

#[tokio::test]
async fn requests_whose_bodies_do_not_come_leave_for_new_connections() {
    const KEYED_PLACE: Duration = Duration::from_millis(300);
    // Without a key at once; with a key when its protected time is over.
    for key in [None, Some(BASIC)] {
        let rig = start_with(|settings, _| {
            settings.bounds.connections = FEW;
            settings.bounds.keyed_place = KEYED_PLACE;
        })
        .await;
        let headers: Vec<_> = key.into_iter().collect();
        let request = post("/v1/batch", &headers, BATCH);
        let mut stalled = Vec::new();
        for _ in 0..FEW {
            let mut wire = Wire::connect(rig.address).await;
            wire.send(&request[..request.len() - 1]).await;
            stalled.push(wire);
        }
        let all_wait =
            async || (rig.metrics.body_bytes.get() >= (FEW * (BATCH.len() - 1)) as u64).then_some(());
        wait::until("all bodies to come but for their ends", SOON * 10, all_wait).await;
        if key.is_some() {
            assert!(
                Wire::connect(rig.address).await.closed().await.is_empty(),
                "they keep their places for a while"
            );
            assert_eq!(rig.metrics.refused_connections.get(), 1);
            tokio::time::sleep(KEYED_PLACE).await;
        }
        for _ in 0..5 {
            assert_eq!(once(rig.address, post("/v1/batch", &[BASIC], BATCH)).await.status, 200, "{key:?}");
        }
        stalled.remove(0).closed().await;
        let last = stalled.last_mut().unwrap();
        last.send(&request[request.len() - 1..]).await;
        assert_eq!(
            last.answer().await.status,
            if key.is_some() { 200 } else { 401 },
            "the last one keeps its place"
        );
    }
}

#[tokio::test]
async fn bodies_that_trickle_in_leave_for_new_connections_whatever_their_key() {
    const KEYED_PLACE: Duration = Duration::from_millis(500);
    for key in [BASIC, ("x-write-key", KEY)] {
        let rig = start_with(|settings, _| {
            settings.bounds.connections = FEW;
            settings.bounds.keyed_place = KEYED_PLACE;
        })
        .await;
        let request = post("/v1/batch", &[key], BATCH);
        let head = request.len() - BATCH.len();
        let mut dripping = tokio::task::JoinSet::new();
        for _ in 0..FEW {
            let (mut wire, request) = (Wire::connect(rig.address).await, request.clone());
            wire.send(&request[..head]).await;
            dripping.spawn(async move {
                // Each byte within the protected time; the last byte never.
                for byte in request[head..request.len() - 1].chunks(1) {
                    if !wire.try_send(byte).await {
                        return;
                    }
                    tokio::time::sleep(KEYED_PLACE / 5).await;
                }
                wire.closed().await;
            });
        }
        let began = Instant::now();
        wait::until("a request to be answered", KEYED_PLACE * 8, async || {
            let mut wire = Wire::connect(rig.address).await;
            wire.try_send(&request).await;
            wire.closed_or_answered().await.starts_with(b"HTTP/1.1 200").then_some(())
        })
        .await;
        assert!(began.elapsed() >= KEYED_PLACE / 2, "they keep their places for a while");
        dripping.shutdown().await;
    }
}

#[tokio::test]
async fn a_client_with_a_key_keeps_its_connection_among_requests_that_never_end() {
    let rig = start_with(|settings, _| settings.bounds.connections = FEW).await;
    let mut asking = Wire::connect(rig.address).await;
    let mut stalled = Vec::new();
    let request = post("/v1/batch", &[], BATCH);
    for _ in 0..MANY / FEW {
        asking.send(post("/v1/batch", &[BASIC], BATCH)).await;
        assert_eq!(asking.answer().await.status, 200);
        for _ in 0..FEW {
            let mut wire = Wire::connect(rig.address).await;
            wire.try_send(&request[..request.len() - 1]).await;
            stalled.push(wire);
        }
    }
    asking.send(post("/v1/batch", &[BASIC], BATCH)).await;
    assert_eq!(asking.answer().await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_far_too_few_seats_every_client_is_finally_answered_and_every_answered_call_stored() {
    const CLIENTS: usize = 24;
    const CALLS: usize = 20;
    let rig = start_with(|settings, _| settings.bounds.connections = 3).await;
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let address = rig.address;
        clients.spawn(async move {
            for call in 0..CALLS {
                let id = format!("c-{client}-{call}");
                let body = BATCH.replace("\"m\"", &format!("\"{id}\""));
                let request = post("/v1/batch", &[BASIC], &body);
                let mut answer = Vec::new();
                while !answer.starts_with(b"HTTP/1.1 200") {
                    let mut wire = Wire::connect(address).await;
                    wire.try_send(&request).await;
                    answer = wire.closed_or_answered().await;
                }
            }
        });
    }
    tokio::time::timeout(Duration::from_secs(60), clients.join_all())
        .await
        .expect("every client is answered");
    let lines = rig.lines("web", forebay::object::Stream::Calls);
    assert_eq!(lines.len(), CLIENTS * CALLS, "each call is stored once");
}

#[tokio::test]
async fn slow_clients_do_not_delay_others() {
    let rig = start().await;
    let mut slow = Vec::new();
    for _ in 0..500 {
        let mut wire = Wire::connect(rig.address).await;
        wire.send("POST /v1/batch HTTP/1.1\r\ncontent-length: 10\r\n").await;
        slow.push(wire);
    }
    let began = Instant::now();
    for _ in 0..20 {
        assert_eq!(once(rig.address, post("/v1/batch", &[BASIC], BATCH)).await.status, 200);
    }
    assert!(began.elapsed() < Bounds::default().head, "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_source_that_exceeds_its_rate_gets_429_without_affecting_others() {
    let intake = IngestSettings { calls_per_second: Some(1), ..IngestSettings::default() };
    let rig = start_ingesting(intake, |_, _| {}).await;
    let calls = vec![r#"{"type":"page","userId":"u"}"#; 40].join(",");
    let forty = format!(r#"{{"batch":[{calls}]}}"#);
    assert_eq!(once(rig.address, post("/v1/batch", &[BASIC], &forty)).await.status, 200);
    let refused = once(rig.address, post("/v1/batch", &[BASIC], BATCH)).await;
    assert_eq!((refused.status, refused.code().as_str()), (429, "rate_limited"));
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((30..=60).contains(&after), "the debt is 38 calls: {after}");
    let other = r#"{"batch":[{"type":"page","userId":"u"}],"writeKey":"other-key"}"#;
    assert_eq!(once(rig.address, post("/v1/batch", &[], other)).await.status, 200);
    assert_eq!(
        rig.lines("web", forebay::object::Stream::Calls).len(),
        40,
        "nothing of a refused request is stored"
    );
}
