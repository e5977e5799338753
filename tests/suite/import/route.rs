//! The route of imports on the admin listener: what it refuses, and that it then changes nothing.

use bytes::Bytes;
use forebay::admin::server::IMPORT_BODY_MAX;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use serde_json::{Value, json};

use super::support::Stand;
use crate::support::http::{Answer, Http};

const PATHS: [&str; 3] = ["/api/import", "/api/import/begin", "/api/import/end"];

async fn send(stand: &Stand, method: Method, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::builder().method(method).uri(format!("{}{path}", stand.node.console));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(Full::new(Bytes::from(body.to_owned()))).unwrap();
    Http::new().send(request).await.unwrap()
}

async fn begun(stand: &Stand, file: &str, force: bool) -> Answer {
    let begin = json!({"file": file, "name": "track_1.csv", "bytes": null, "options": "o", "force": force});
    send(stand, Method::POST, "/api/import/begin", &[], &begin.to_string()).await
}

fn of(answer: &Answer) -> Value {
    serde_json::from_slice(&answer.body).unwrap_or_else(|error| panic!("{error}: {answer:?}"))
}

const FILE: &str = "unw446h7bvkguk7rnc2jjbggs4";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refused_requests_of_imports_change_nothing() {
    let stand = Stand::start().await;
    let begun = of(&begun(&stand, FILE, false).await);
    assert_eq!((&begun["standing"], &begun["source"]), (&json!("new"), &json!("csv")), "{begun}");
    let import = begun["import"].as_str().unwrap().to_owned();
    let calls = r#"{"batch":[{"type":"track","userId":"u","event":"e","messageId":"m"}]}"#;
    let rows = format!("/api/import?import={import}&first=0&rows=1&rejected=0");
    let check = async |path: &str, headers: &[(&str, &str)], body: &str, status: u16, code: &str| {
        let answer = send(&stand, Method::POST, path, headers, body).await;
        assert_eq!(
            (answer.status.as_u16(), of(&answer)["code"].as_str()),
            (status, Some(code)),
            "{path} {headers:?}"
        );
        assert!(answer.headers.keys().all(|name| !name.as_str().starts_with("access-control")), "{answer:?}");
    };
    for path in [&rows, "/api/import/begin", "/api/import/end"] {
        check(path, &[("host", "evil.example")], calls, 421, "unknown_host").await;
        for origin in ["http://evil.example", "http://127.0.0.1:1", "null"] {
            check(path, &[("origin", origin)], calls, 403, "cross_site").await;
        }
        check(path, &[("sec-fetch-site", "cross-site")], calls, 403, "cross_site").await;
    }
    for path in PATHS {
        for method in [Method::GET, Method::HEAD, Method::PUT, Method::DELETE, Method::OPTIONS] {
            let answer = send(&stand, method.clone(), path, &[], "").await;
            assert_eq!(answer.status, StatusCode::METHOD_NOT_ALLOWED, "{method} {path}");
            assert_eq!(answer.headers["allow"], "POST", "{method} {path}");
        }
    }
    for query in [
        "",
        "?",
        "?import=ab",
        "?import=ab&first=0&rows=1",
        "?import=ab&first=0&rows=1&rejected=0&first=0",
        "?import=ab&first=0&rows=1&rejected=0&more=1",
        "?import=xyz&first=0&rows=1&rejected=0",
        "?import=ab&first=-1&rows=1&rejected=0",
        "?import=ab&first=18446744073709551616&rows=1&rejected=0",
    ] {
        check(&format!("/api/import{query}"), &[], calls, 400, "bad_query").await;
    }
    for body in ["", "{", "[]", "null", r#"{"file":"short","name":"n","bytes":1,"options":"o"}"#, "\u{0}"] {
        check("/api/import/begin", &[], body, 400, "bad_body").await;
        check("/api/import/end", &[], body, 400, "bad_body").await;
        check(&rows, &[], body, 400, "refused").await;
    }
    // More calls than rows, no rows, and rows beyond the last number.
    let step = |first: u64, rows: u64, rejected: u64| {
        format!("/api/import?import={import}&first={first}&rows={rows}&rejected={rejected}")
    };
    check(&step(0, 0, 0), &[], calls, 400, "refused").await;
    check(&step(0, 1, 1), &[], calls, 400, "refused").await;
    check(&step(0, u64::MAX, u64::MAX), &[], calls, 400, "refused").await;
    check(&step(u64::MAX, 2, 0), &[], calls, 400, "refused").await;
    check(&step(1, 1, 0), &[], calls, 409, "other_row").await;
    check("/api/import?import=ab&first=0&rows=1&rejected=0", &[], calls, 409, "not_open").await;
    let end = json!({"import": "ab", "outcome": {"state": "done"}}).to_string();
    check("/api/import/end", &[], &end, 409, "not_open").await;
    assert_eq!(stand.lines("csv").await, [""; 0]);

    let stored = send(&stand, Method::POST, &rows, &[], calls).await;
    assert_eq!(
        (stored.status, &of(&stored)["progress"]["next_row"]),
        (StatusCode::OK, &json!(1)),
        "{stored:?}"
    );
    check(&rows, &[], calls, 409, "other_row").await;
    assert_eq!(stand.lines("csv").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_has_a_largest_size() {
    let stand = Stand::start().await;
    let begun = of(&begun(&stand, FILE, false).await);
    let import = begun["import"].as_str().unwrap();
    let path = format!("/api/import?import={import}&first=0&rows=1&rejected=0");
    let call = r#"{"batch":[{"type":"track","userId":"u","event":"e","messageId":"m"}]}"#;
    let padded = |len: usize| format!("{call}{}", " ".repeat(len - call.len()));
    let answer = send(&stand, Method::POST, &path, &[], &padded(IMPORT_BODY_MAX + 1)).await;
    let refused = of(&answer);
    assert_eq!(
        (answer.status, &refused["code"]),
        (StatusCode::PAYLOAD_TOO_LARGE, &json!("large_body")),
        "{answer:?}"
    );
    assert!(refused["message"].as_str().unwrap().contains("more than 2097152 bytes"), "{refused}");
    assert_eq!(stand.lines("csv").await, [""; 0]);
    let answer = send(&stand, Method::POST, &path, &[], &padded(IMPORT_BODY_MAX)).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

/// The bodies of eight clients stall; a ninth imports nevertheless.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_whose_bodies_stall_hold_no_import() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let stand = Stand::start().await;
    let host = stand.node.console.strip_prefix("http://").unwrap();
    let mut stalled = Vec::new();
    for (path, _) in PATHS.iter().cycle().zip(0..8) {
        let path = if *path == PATHS[0] { "/api/import?import=ab&first=0&rows=1&rejected=0" } else { path };
        let mut client = tokio::net::TcpStream::connect(host).await.unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-length: 100\r\nexpect: 100-continue\r\n\r\n"
        );
        client.write_all(head.as_bytes()).await.unwrap();
        // It is asked for as soon as somebody reads the body, which then has its place.
        let mut asked = [0; 25];
        client.read_exact(&mut asked).await.unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        client.write_all(b"{").await.unwrap();
        stalled.push(client);
    }
    let patience = forebay::admin::server::IMPORT_BODY_TIMEOUT / 2;
    let answer = tokio::time::timeout(patience, begun(&stand, FILE, false)).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let mut left = Vec::new();
    stalled[0].read_to_end(&mut left).await.unwrap();
    let left = String::from_utf8(left).unwrap();
    assert!(left.starts_with("HTTP/1.1 503 ") && left.contains("\"busy\""), "{left}");
}
