//! Valid bodies in every form, and invalid ones with their answers.

use std::io::Write as _;

use super::support::{BASIC, BATCH, CALL, start};
use super::wire::{Wire, bare, once, post};

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A batch whose body has exactly `len` bytes, made of calls within the limit for one call.
pub(crate) fn batch_of(len: usize) -> String {
    let mut body = String::from(r#"{"batch":["#);
    while body.len() + 30_000 < len {
        body.push_str(&format!(r#"{{"type":"page","userId":"u","x":"{}"}},"#, "y".repeat(20_000)));
    }
    let (head, tail) = (r#"{"type":"page","userId":"u","x":""#, r#""}]}"#);
    let rest = len - body.len() - head.len() - tail.len();
    format!("{body}{head}{}{tail}", "y".repeat(rest))
}

fn chunked(chunks: &[&[u8]]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for chunk in chunks {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

const CHUNKED: (&str, &str) = ("transfer-encoding", "chunked");
const GZIP: (&str, &str) = ("content-encoding", "gzip");

#[tokio::test]
async fn valid_bodies_are_accepted_in_every_form() {
    let rig = start().await;
    let mut wire = Wire::connect(rig.address).await;
    let mut check = async |name: &str, request: Vec<u8>| {
        wire.send(request).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.text()), (200, r#"{"success":true}"#), "{name}");
        assert_eq!(answer.header("connection"), None, "{name}");
    };
    let zipped = gzip(BATCH.as_bytes());
    let (first, last) = BATCH.as_bytes().split_at(20);
    let members = [gzip(first), gzip(last)].concat();
    check("plain", post("/v1/batch", &[BASIC], BATCH)).await;
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "nonsense"] {
        check(content_type, post("/v1/batch", &[BASIC, ("content-type", content_type)], BATCH)).await;
    }
    for coding in ["gzip", "GZIP", "x-gzip", "identity, gzip"] {
        check(coding, post("/v1/batch", &[BASIC, ("content-encoding", coding)], &zipped)).await;
    }
    check("identity", post("/v1/batch", &[BASIC, ("content-encoding", "identity")], BATCH)).await;
    check("gzip without the header", post("/v1/batch", &[BASIC], &zipped)).await;
    check(
        "gzip as a form",
        post("/v1/batch", &[BASIC, ("content-type", "application/x-www-form-urlencoded")], &zipped),
    )
    .await;
    check("members", post("/v1/batch", &[BASIC, GZIP], &members)).await;
    let head = bare("POST", "/v1/batch", &[BASIC, CHUNKED]);
    check("chunked", [head, chunked(&[first, last])].concat()).await;
    let head = bare("POST", "/v1/batch", &[BASIC, CHUNKED, GZIP]);
    check("chunked gzip", [head, chunked(&[&zipped[..1], &zipped[1..9], &zipped[9..]])].concat()).await;
    check("a whole megabyte", post("/v1/batch", &[BASIC], batch_of(1 << 20))).await;
    check("a whole megabyte, zipped", post("/v1/batch", &[BASIC, GZIP], gzip(batch_of(1 << 20).as_bytes())))
        .await;
    check("an empty batch", post("/v1/batch", &[BASIC], r#"{"batch":[]}"#)).await;
    check("byte order mark", post("/v1/batch", &[BASIC], format!("\u{feff}{BATCH}"))).await;
}

#[tokio::test]
async fn invalid_bodies_get_400_and_the_connection_stays_open() {
    let rig = start().await;
    let mut wire = Wire::connect(rig.address).await;
    let mut check = async |name: &str, headers: &[(&str, &str)], path: &str, body: &[u8], code: &str| {
        let headers: Vec<_> = [BASIC].iter().chain(headers).copied().collect();
        wire.send(post(path, &headers, body)).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (400, code), "{name}: {}", answer.text());
        assert_eq!(answer.header("connection"), None, "{name}");
    };
    let zipped = gzip(BATCH.as_bytes());
    let batch = "/v1/batch";
    check("cut gzip", &[GZIP], batch, &zipped[..zipped.len() - 3], "invalid_gzip").await;
    check("empty gzip", &[GZIP], batch, b"", "invalid_gzip").await;
    check("gzip in gzip", &[GZIP], batch, &gzip(&zipped), "invalid_gzip").await;
    check("two codings", &[("content-encoding", "gzip, gzip")], batch, &zipped, "unsupported_encoding").await;
    check("brotli", &[("content-encoding", "br")], batch, BATCH.as_bytes(), "unsupported_encoding").await;
    check("empty", &[], batch, b"", "invalid_json").await;
    for text in [
        "null", "[]", "1", "\"x\"", "{\"batch\":[", "{\"batch\":[]} x", "{\"batch\":[NaN]}",
        "{\"batch\":[]/**/}",
    ] {
        check(text, &[], batch, text.as_bytes(), "invalid_json").await;
    }
    check("not UTF-8", &[], batch, b"{\"batch\":[\"\xff\"]}", "invalid_json").await;
    check("deep", &[], batch, "[".repeat(100_000).as_bytes(), "invalid_json").await;
    check("no batch", &[], batch, b"{}", "invalid_batch").await;
    check("batch is not a list", &[], batch, b"{\"batch\":{}}", "invalid_batch").await;
    let long = CALL.replace("\"e\"", &format!("\"{}\"", "e".repeat(32 * 1_024)));
    check("a long call", &[], "/v1/track", long.as_bytes(), "payload_too_large").await;
}

#[tokio::test]
async fn damaged_gzip_and_bodies_over_the_limit_are_answered_and_the_connection_closed() {
    let rig = start().await;
    let zipped = gzip(BATCH.as_bytes());
    let mut flipped = zipped.clone();
    let crc = flipped.len() - 8;
    flipped[crc] ^= 1;
    let check = async |name: &str, headers: &[(&str, &str)], body: Vec<u8>, code: &str| {
        let headers: Vec<_> = [BASIC].iter().chain(headers).copied().collect();
        let mut wire = Wire::connect(rig.address).await;
        wire.send(post("/v1/batch", &headers, body)).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.code().as_str()), (400, code), "{name}");
        assert_eq!(answer.header("connection"), Some("close"), "{name}");
        wire.closed().await;
    };
    check("not gzip", &[GZIP], BATCH.into(), "invalid_gzip").await;
    check("wrong checksum", &[GZIP], flipped, "invalid_gzip").await;
    check("one byte over", &[], batch_of((1 << 20) + 1).into(), "payload_too_large").await;
    check("one byte over, zipped", &[GZIP], gzip(batch_of((1 << 20) + 1).as_bytes()), "payload_too_large")
        .await;
    check("a bomb", &[GZIP], gzip(&vec![b' '; 400 << 20]), "payload_too_large").await;
    // The whole body was sent and read, although the answer came first, so the client is not reset.
    check("far over", &[], vec![b' '; 7 << 20], "payload_too_large").await;
}

#[tokio::test]
async fn an_endless_body_is_refused_at_the_limit() {
    let rig = start().await;
    let mut wire = Wire::connect(rig.address).await;
    wire.send(bare("POST", "/v1/batch", &[BASIC, CHUNKED])).await;
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x1_0000], b"\r\n"].concat();
    let mut sent = 0;
    while sent < 64 << 20 && wire.try_send(&chunk).await {
        sent += chunk.len();
    }
    assert!(sent < 64 << 20, "the collector stopped reading");
}

#[tokio::test]
async fn a_client_with_an_endless_body_gets_its_answer() {
    let rig = start().await;
    let mut wire = Wire::connect(rig.address).await;
    wire.send(bare("POST", "/v1/batch", &[BASIC, CHUNKED])).await;
    let chunk = [b"10000\r\n".as_slice(), &[b' '; 0x1_0000], b"\r\n"].concat();
    for _ in 0..40 {
        wire.send(&chunk).await;
    }
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "payload_too_large"));
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_declared_length_over_the_limit_is_refused_before_the_body_comes() {
    let rig = start().await;
    let mut wire = Wire::connect(rig.address).await;
    wire.send(bare("POST", "/v1/batch", &[BASIC, ("content-length", "1048577")])).await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "payload_too_large"));
    assert_eq!(answer.header("connection"), Some("close"));
}

#[tokio::test]
async fn a_request_with_two_lengths_is_read_as_chunked_answered_and_closed() {
    let rig = start().await;
    for lengths in [
        ["content-length: 7", "transfer-encoding: chunked"],
        ["Transfer-Encoding: chunked", "Content-Length: 7"],
    ] {
        let mut wire = Wire::connect(rig.address).await;
        let head = format!(
            "POST /v1/batch HTTP/1.1\r\nhost: c\r\n{}: {}\r\n{}\r\n\r\n",
            BASIC.0,
            BASIC.1,
            lengths.join("\r\n")
        );
        wire.send([head.as_bytes(), &chunked(&[BATCH.as_bytes()])].concat()).await;
        let answer = wire.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (200, Some("close")), "{lengths:?}");
        assert!(wire.closed().await.is_empty());
    }
}

#[tokio::test]
async fn a_client_that_waits_for_100_continue_gets_it_or_its_refusal() {
    let rig = start().await;
    let expect = ("expect", "100-continue");
    let length = BATCH.len().to_string();
    let length = ("content-length", length.as_str());
    let mut wire = Wire::connect(rig.address).await;
    wire.send(bare("POST", "/v1/batch", &[BASIC, expect, length])).await;
    assert_eq!(wire.answer().await.status, 100);
    wire.send(BATCH).await;
    assert_eq!(wire.answer().await.status, 200);

    let mut wire = Wire::connect(rig.address).await;
    wire.send(bare("POST", "/v1/batch", &[("authorization", "Basic bm9ib2R5Og=="), expect, length])).await;
    let answer = wire.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (401, Some("close")));
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let rig = start().await;
    let mut wire = Wire::connect(rig.address).await;
    let requests = [
        post("/v1/batch", &[BASIC], BATCH),
        bare("GET", "/v1/batch", &[]),
        post("/v1/t", &[BASIC], CALL),
        bare("GET", "/x", &[]),
    ];
    wire.send(requests.concat()).await;
    for status in [200, 405, 200, 404] {
        assert_eq!(wire.answer().await.status, status);
    }
    wire.send(post("/v1/batch", &[BASIC, ("connection", "close")], BATCH)).await;
    assert_eq!(wire.answer().await.status, 200);
    assert!(wire.closed().await.is_empty());
}

#[tokio::test]
async fn a_client_that_leaves_halfway_stores_nothing() {
    let rig = start().await;
    let mut wire = Wire::connect(rig.address).await;
    let request = post("/v1/batch", &[BASIC], BATCH);
    wire.send(&request[..request.len() - 1]).await;
    drop(wire);
    let mut wire = Wire::connect(rig.address).await;
    wire.send([bare("POST", "/v1/batch", &[BASIC, CHUNKED]), b"5\r\n{\"bat".to_vec()].concat()).await;
    drop(wire);
    assert_eq!(once(rig.address, bare("GET", "/health", &[])).await.status, 200);
    super::support::eventually("both connections to end", async || rig.metrics.connections.get() <= 1).await;
    assert!(rig.is_empty());
}

#[tokio::test]
async fn a_client_that_has_closed_its_side_still_gets_its_answer() {
    let rig = start().await;
    let mut wire = Wire::connect(rig.address).await;
    wire.send(post("/v1/batch", &[BASIC], BATCH)).await;
    wire.finish().await;
    assert_eq!(wire.answer().await.status, 200);
    assert!(wire.closed().await.is_empty());
    assert_eq!(rig.metric(r#"forebay_calls_stored_total{source="web"}"#), Some(1));
}

#[tokio::test]
async fn http_1_0_is_supported() {
    let rig = start().await;
    let mut wire = Wire::connect(rig.address).await;
    let length = BATCH.len();
    wire.send(format!(
        "POST /v1/batch HTTP/1.0\r\n{}: {}\r\ncontent-length: {length}\r\n\r\n{BATCH}",
        BASIC.0, BASIC.1
    ))
    .await;
    assert_eq!(wire.answer().await.status, 200);
    assert!(wire.closed().await.is_empty());
}

#[tokio::test]
async fn an_envelope_that_would_multiply_is_refused() {
    let rig = start().await;
    // 2,500 calls that would each repeat 200 KB of context: half a gigabyte of lines.
    let calls = vec![r#"{"type":"page"}"#; 2_500].join(",");
    let body = format!(r#"{{"batch":[{calls}],"context":{{"x":"{}"}}}}"#, "y".repeat(200_000));
    let answer = once(rig.address, post("/v1/batch", &[BASIC], body)).await;
    assert_eq!((answer.status, answer.code().as_str()), (400, "payload_too_large"));
    assert!(rig.is_empty());
}
