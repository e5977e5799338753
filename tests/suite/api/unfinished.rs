//! Unfinished bodies: what they may hold, and which one is refused for another.

use std::io::Write as _;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::bodies::{batch_of, gzip};
use super::support::{BASIC, BATCH, Rig, eventually, start, start_with};
use super::wire::{PATIENCE, Wire, once, post};
use crate::support::raw_http2;

/// A batch of this many bytes whose write key is only in the body.
fn keyless(len: usize) -> Vec<u8> {
    let body = batch_of(len - r#","writeKey":"web-key""#.len());
    post("/v1/batch", &[], format!(r#"{},"writeKey":"web-key"}}"#, body.strip_suffix('}').unwrap()))
}

/// Sends all of a request except its last byte, and waits until it has arrived.
async fn stall(rig: &Rig, request: &[u8]) -> Wire {
    let arrived = rig.metrics.body_bytes.get();
    let mut wire = Wire::connect(rig.address).await;
    wire.send(&request[..request.len() - 1]).await;
    let head = request.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
    let body = u64::try_from(request.len() - 1 - head).unwrap();
    eventually("the body to arrive", async || rig.metrics.body_bytes.get() >= arrived + body).await;
    // The bytes are counted just before the request gets its place. This second request gets its place after
    // the first.
    assert_eq!(once(rig.address, post("/v1/batch", &[BASIC], BATCH)).await.status, 200);
    wire
}

/// Checks that a stalled request was refused because the budget was used up.
async fn is_overloaded(wire: &mut Wire) {
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (503, "overloaded"));
    let after: u64 = answer.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&after));
    assert_eq!(answer.header("connection"), Some("close"));
    wire.closed().await;
}

/// Checks that a stalled request is accepted after its last byte.
async fn ends_well(wire: &mut Wire, request: &[u8]) {
    wire.send(&request[request.len() - 1..]).await;
    assert_eq!(wire.answer().await.status, 200);
}

#[tokio::test]
async fn the_body_without_progress_for_longest_goes_for_a_new_one() {
    // Without a key in the header, 40,000 bytes are available.
    let rig = start_with(|settings, _| settings.bounds.bodies_bytes = 80_000).await;
    let request = keyless(15_000);
    let mut first = stall(&rig, &request).await;
    let mut second = stall(&rig, &request).await;
    let mut third = stall(&rig, &request).await;
    is_overloaded(&mut first).await;
    ends_well(&mut second, &request).await;
    ends_well(&mut third, &request).await;
    // A body that is complete at once does not wait and needs no budget.
    let large = keyless(19_000);
    let mut holders = [stall(&rig, &large).await, stall(&rig, &large).await];
    assert_eq!(once(rig.address, keyless(6_000)).await.status, 200);
    for holder in &mut holders {
        ends_well(holder, &large).await;
    }
}

#[tokio::test]
async fn half_is_reserved_for_clients_with_a_known_key() {
    let rig = start_with(|settings, _| settings.bounds.bodies_bytes = 80_000).await;
    let (keyless, known) = (keyless(25_000), post("/v1/batch", &[BASIC], batch_of(25_000)));
    let by_query = post("/v1/batch?writeKey=web-key", &[], batch_of(25_000));
    let by_unknown = post("/v1/batch?writeKey=nobody", &[], batch_of(25_000));
    let mut stalled = stall(&rig, &keyless).await;
    let mut first = stall(&rig, &known).await;
    let mut second = stall(&rig, &by_query).await;
    let mut unknown = stall(&rig, &by_unknown).await;
    is_overloaded(&mut stalled).await;
    let mut third = stall(&rig, &known).await;
    is_overloaded(&mut unknown).await;
    // Some budget is left, but not enough, and none of the others goes for this one.
    let mut late = Wire::connect(rig.address).await;
    late.send(&keyless[..keyless.len() - 1]).await;
    is_overloaded(&mut late).await;
    for (wire, request) in [(&mut first, &known), (&mut second, &by_query), (&mut third, &known)] {
        ends_well(wire, request).await;
    }
}

#[tokio::test]
async fn an_address_has_its_share() {
    let rig = start_with(|settings, policy| {
        settings.bounds.address_bodies_bytes = 20_000;
        policy.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    })
    .await;
    let of = |address: &str| post("/v1/batch", &[BASIC, ("x-forwarded-for", address)], batch_of(15_000));
    let mut first = stall(&rig, &of("192.0.2.1")).await;
    let mut other = stall(&rig, &of("192.0.2.2")).await;
    let mut second = stall(&rig, &of("192.0.2.1")).await;
    is_overloaded(&mut first).await;
    ends_well(&mut other, &of("192.0.2.2")).await;
    ends_well(&mut second, &of("192.0.2.1")).await;
}

#[tokio::test]
async fn a_private_address_has_no_share_limit_while_no_proxy_is_trusted() {
    let rig = start_with(|settings, _| settings.bounds.address_bodies_bytes = 20_000).await;
    let request = post("/v1/batch", &[BASIC], batch_of(15_000));
    let mut wires = Vec::new();
    for _ in 0..4 {
        wires.push(stall(&rig, &request).await);
    }
    for wire in &mut wires {
        ends_well(wire, &request).await;
    }
}

#[tokio::test]
async fn an_unfinished_body_holds_what_was_sent_not_its_inflated_size() {
    let rig = start_with(|settings, _| settings.bounds.bodies_bytes = 200_000).await;
    let bomb = gzip(batch_of(1_000_000).as_bytes());
    assert!(bomb.len() < 10_000, "{}", bomb.len());
    let request = post("/v1/batch?writeKey=web-key", &[("content-encoding", "gzip")], &bomb);
    let mut wires = Vec::new();
    for _ in 0..10 {
        wires.push(stall(&rig, &request).await);
    }
    // A long body that is only announced.
    let announced = "POST /v1/batch?writeKey=web-key HTTP/1.1\r\nhost: c\r\ncontent-length: 1000000\r\n\r\n{";
    for _ in 0..10 {
        let mut wire = Wire::connect(rig.address).await;
        wire.send(announced).await;
        wires.push(wire);
    }
    let large = post("/v1/batch", &[BASIC], batch_of(30_000));
    let mut known = stall(&rig, &large).await;
    ends_well(&mut known, &large).await;
    for wire in wires.iter_mut().take(10) {
        ends_well(wire, &request).await;
    }
}

/// Reads everything, so that the other side can keep writing; ends with the connection.
async fn drain(stream: &mut (impl tokio::io::AsyncRead + Unpin)) {
    let mut scratch = [0; 16 * 1_024];
    while stream.read(&mut scratch).await.is_ok_and(|read| read > 0) {}
}

fn answered(rig: &Rig, status: u16) -> u64 {
    rig.metric(&format!(r#"forebay_answers_total{{status="{status}"}}"#)).unwrap_or(0)
}

#[tokio::test]
async fn streams_without_a_byte_of_body_count_too() {
    let rig = start_with(|settings, _| settings.bounds.bodies_bytes = 128 * 1_024).await;
    let (mut reading, mut writing) = TcpStream::connect(rig.address).await.unwrap().into_split();
    let reader = tokio::spawn(async move { drain(&mut reading).await });
    let mut bytes = raw_http2::preface(&[]);
    for stream in raw_http2::stream_ids().take(100) {
        bytes.extend(raw_http2::post(stream, "/v1/batch", &[]));
    }
    writing.write_all(&bytes).await.unwrap();
    // 64 KiB are enough for about 13 of them.
    eventually("most to be refused", async || answered(&rig, 503) >= 80).await;
    assert_eq!(once(rig.address, post("/v1/batch", &[BASIC], BATCH)).await.status, 200);
    assert!(answered(&rig, 503) < 95, "some have a place");
    reader.abort();
}

#[tokio::test]
async fn refused_streams_that_keep_sending_count_too() {
    let rig = start_with(|settings, _| settings.bounds.bodies_bytes = 128 * 1_024).await;
    let (mut reading, mut writing) = TcpStream::connect(rig.address).await.unwrap().into_split();
    let reader = tokio::spawn(async move { drain(&mut reading).await });
    let mut bytes = raw_http2::preface(&[]);
    for stream in raw_http2::stream_ids().take(100) {
        bytes.extend(raw_http2::post(stream, "/v1/batch", &[("authorization", "Basic bm9ib2R5Og==")]));
    }
    let began = tokio::time::Instant::now();
    writing.write_all(&bytes).await.unwrap();
    eventually("most to be answered", async || answered(&rig, 401) >= 80).await;
    assert!(
        began.elapsed() < forebay::collector::Bounds::default().linger,
        "the answers must not wait for the bodies"
    );
    reader.abort();
}

#[tokio::test]
async fn a_flood_without_keys_does_not_affect_a_client_with_a_known_key() {
    let rig = start().await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![b' '; 1 << 20]).unwrap();
    let bomb = encoder.finish().unwrap();
    let mut flood = Vec::new();
    for _ in 0..3 {
        let (mut reading, mut writing) = TcpStream::connect(rig.address).await.unwrap().into_split();
        let mut bytes = raw_http2::preface(&[]);
        // As much as may be sent before the collector opens the window further.
        for stream in raw_http2::stream_ids().take(60) {
            bytes.extend(raw_http2::post(stream, "/v1/batch", &[("content-encoding", "gzip")]));
            bytes.extend(raw_http2::data(stream, &bomb[..bomb.len() - 1]));
        }
        writing.write_all(&bytes).await.unwrap();
        flood.push((tokio::spawn(async move { drain(&mut reading).await }), writing));
    }
    let sent = 180 * u64::try_from(bomb.len() - 1).unwrap();
    eventually("the flood to arrive", async || {
        rig.metrics.body_bytes.get() >= sent || answered(&rig, 503) > 0
    })
    .await;
    let request = post("/v1/batch", &[BASIC], batch_of(30_000));
    for _ in 0..20 {
        let mut wire = Wire::connect(rig.address).await;
        let (head, tail) = request.split_at(request.len() / 2);
        wire.send(head).await;
        tokio::task::yield_now().await;
        wire.send(tail).await;
        assert_eq!(wire.answer().await.status, 200);
    }
    for (reader, _) in &flood {
        reader.abort();
    }
}

#[tokio::test]
async fn endless_heads_and_stream_resets_end_their_connection() {
    let rig = start().await;
    let check = async |name: &str, begin: Vec<u8>, mut more: Box<dyn FnMut() -> Vec<u8>>| {
        let (mut reading, mut writing) = TcpStream::connect(rig.address).await.unwrap().into_split();
        let reader = tokio::spawn(async move { drain(&mut reading).await });
        let flood = async {
            writing.write_all(&[raw_http2::preface(&[]), begin].concat()).await?;
            loop {
                writing.write_all(&more()).await?;
            }
        };
        let ended: Result<std::io::Result<()>, _> = timeout(PATIENCE, flood).await;
        assert!(ended.is_ok(), "{name}: the connection never ends");
        timeout(PATIENCE, reader).await.unwrap().unwrap();
    };
    let header = || raw_http2::continuation(1, "x", &"y".repeat(1_000));
    check("a head without end", raw_http2::endless_get(1, "/health"), Box::new(header)).await;
    let mut ids = raw_http2::stream_ids();
    let resets = move || {
        let some = ids.by_ref().take(100);
        some.flat_map(|id| [raw_http2::post(id, "/v1/batch", &[]), raw_http2::reset(id)].concat()).collect()
    };
    check("streams that are reset", Vec::new(), Box::new(resets)).await;
    assert_eq!(once(rig.address, post("/v1/batch", &[BASIC], BATCH)).await.status, 200);
    eventually("both connections to end", async || rig.metrics.connections.get() <= 1).await;
}

#[tokio::test]
async fn a_stalled_body_keeps_its_own_time_limit() {
    let rig = start_with(|settings, _| settings.bounds.body = Duration::from_millis(300)).await;
    let mut stalled = stall(&rig, &keyless(15_000)).await;
    assert_eq!(stalled.answer().await.status, 408);
}
