//! Replays captured requests of real SDKs, byte for byte except for the address.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::value::to_raw_value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::conformance::{COLLECTORS_OWN, calls_of_body, fresh, text_member};
use crate::support::json::{Members, Numbers, contains, members};

/// One captured request. The answer of the original server is ignored.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Capture {
    sdk: String,
    method: String,
    url: String,
    /// Name, value, name, value, and so on.
    headers: Vec<String>,
    body: String,
    /// The compressed body as sent, if it was compressed.
    body_gzip_base64: Option<String>,
}

/// The write key of all captures; in dev mode it is also the source.
const WRITE_KEY: &str = "WRITEKEY";

#[tokio::test]
async fn node() {
    replay(include_str!("../../fixtures/captures/node.jsonl")).await;
}

#[tokio::test]
async fn python() {
    replay(include_str!("../../fixtures/captures/python.jsonl")).await;
}

#[tokio::test]
async fn browser() {
    replay(include_str!("../../fixtures/captures/browser.jsonl")).await;
}

/// Every request gets its answer. Every call is stored once, even if an SDK sent it again, and keeps its
/// values.
async fn replay(captures: &str) {
    let (forebay, _folder) = fresh().await;
    // The identity of a call: its id, its type and the client's time.
    let mut sent: BTreeMap<[String; 3], Members> = BTreeMap::new();
    for line in captures.lines() {
        let capture: Capture = serde_json::from_str(line).expect("a capture");
        let (status, body) = exchange(&capture, &forebay.collector).await;
        let expected = match capture.method.as_str() {
            "GET" if capture.url.ends_with("/settings") => 200,
            "GET" => 405,
            "OPTIONS" => 204,
            _ => 200,
        };
        assert_eq!(status, expected, "{} {} {}: {body}", capture.sdk, capture.method, capture.url);
        if capture.method != "POST" {
            continue;
        }
        assert_eq!(body, r#"{"success":true}"#, "{} {}", capture.sdk, capture.url);
        for call in calls(&capture) {
            sent.entry(identity(&call)).or_insert(call);
        }
    }
    forebay.flush().await;
    let lines = forebay.bucket().lines(WRITE_KEY).await;
    assert!(!sent.is_empty(), "the file holds no call");
    assert_eq!(lines.len(), sent.len(), "as many lines as different calls:\n{}", lines.join("\n"));
    for line in &lines {
        let stored = members(line);
        let key = [
            text_member(line, "messageId"),
            text_member(line, "type"),
            text_member(line, "originalTimestamp"),
        ];
        let mut call = sent.remove(&key).unwrap_or_else(|| panic!("not sent, or stored twice: {line}"));
        for name in COLLECTORS_OWN {
            call.remove(name);
        }
        assert!(!stored.contains_key("writeKey"), "the write key is in the bucket: {line}");
        let (call, stored) = (to_raw_value(&call).expect("JSON"), to_raw_value(&stored).expect("JSON"));
        contains(&call, &stored, Numbers::AsWritten).unwrap_or_else(|path| panic!("{path}\n{call}\n{line}"));
    }
}

/// The calls of a captured body.
fn calls(capture: &Capture) -> Vec<Members> {
    if capture.url == "/v1/m" { Vec::new() } else { calls_of_body(&capture.body) }
}

fn identity(call: &Members) -> [String; 3] {
    // One SDK sends `originalTimestamp` instead of `timestamp`.
    let time = if call.contains_key("timestamp") { "timestamp" } else { "originalTimestamp" };
    ["messageId", "type", time].map(|name| {
        let value = call.get(name).unwrap_or_else(|| panic!("no {name}: {call:?}"));
        serde_json::from_str(value.get()).expect("a string")
    })
}

/// Sends a request on a new connection. Returns the status and the body of the answer.
async fn exchange(capture: &Capture, collector: &str) -> (u16, String) {
    let address = collector.trim_start_matches("http://");
    let body = match &capture.body_gzip_base64 {
        Some(gzip) => STANDARD.decode(gzip).expect("base64"),
        None => capture.body.clone().into_bytes(),
    };
    let mut request = format!("{} {} HTTP/1.1\r\n", capture.method, capture.url).into_bytes();
    for header in capture.headers.chunks_exact(2) {
        let value = if header[0].eq_ignore_ascii_case("host") { address } else { header[1].as_str() };
        request.extend_from_slice(format!("{}: {value}\r\n", header[0]).as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request.extend_from_slice(&body);
    let mut connection = TcpStream::connect(address).await.expect("a connection");
    connection.write_all(&request).await.expect("the request to be read");
    read_answer(&mut connection).await
}

/// Reads one answer from a connection that may stay open.
async fn read_answer(connection: &mut TcpStream) -> (u16, String) {
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let mut lines = head.lines();
            let status =
                lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|status| status.parse().ok());
            let status = status.unwrap_or_else(|| panic!("no status: {head}"));
            let length = lines
                .filter_map(|line| line.split_once(':'))
                .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
                .map_or(0, |(_, length)| length.trim().parse().expect("a length"));
            if body.len() >= length {
                return (status, body.to_owned());
            }
        }
        let read = connection.read_buf(&mut answer).await.expect("an answer");
        assert!(read > 0, "the connection ended within the answer: {}", String::from_utf8_lossy(&answer));
    }
}
