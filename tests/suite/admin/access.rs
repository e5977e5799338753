//! Tokens, sessions and what they open, on a real socket.

use std::time::Duration;

use forebay::admin::AccessSettings;
use forebay::admin::logins::LOGINS_OF_PEER_MAX;
use forebay::admin::server::LOGIN_BODY_MAX;
use forebay::admin_token::AdminToken;
use forebay::live::Mode;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::listener::{Answer, send};
use super::{Running, start, start_with};

const ADMIN: &str = "an-admin-token-of-a-test";
const READ: &str = "a-read-token-of-a-test";
const HOST: &str = "Host: localhost\r\n";

fn settings() -> AccessSettings {
    AccessSettings {
        token: AdminToken::of(ADMIN).ok(),
        read_token: AdminToken::of(READ).ok(),
        ..AccessSettings::default()
    }
}

fn bearing(token: &str) -> String {
    format!("{HOST}Authorization: Bearer {token}\r\n")
}

async fn log_in(running: &Running, body: &str, headers: &str) -> Answer {
    let headers = format!("{HOST}{headers}Content-Length: {}\r\n\r\n{body}", body.len());
    send(running, "POST", "/api/session", &headers).await
}

/// The headers of a request in the session that a token opens.
async fn session(running: &Running, token: &str) -> String {
    let answer = log_in(running, &format!("{{\"token\":\"{token}\"}}"), "").await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let cookie = header(&answer, "set-cookie").unwrap();
    format!("{HOST}Cookie: {}\r\n", cookie.split(';').next().unwrap())
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

fn code(answer: &Answer) -> String {
    answer.json()["code"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn every_answer_of_the_api_needs_a_token() {
    let running = start_with(&[], settings()).await;
    let all = [
        ("GET", "/api/status"),
        ("HEAD", "/api/status"),
        ("GET", "/api/ledger"),
        ("GET", "/api/not-there"),
        ("GET", "/metrics"),
        ("POST", "/api/flush"),
        ("POST", "/api/import/begin"),
        ("DELETE", "/api/not-there"),
    ];
    for (method, target) in all {
        let answer = send(&running, method, target, HOST).await;
        assert_eq!((answer.status, header(&answer, "www-authenticate")), (401, Some("bearer")), "{target}");
        if method != "HEAD" {
            assert_eq!(code(&answer), "unauthorized", "{target}");
        }
        let answer = send(&running, method, target, &bearing("a-wrong-token-of-a-test")).await;
        assert_eq!(answer.status, 401, "{target}");
        assert!(!answer.body.contains("a-wrong-token"), "{}", answer.body);
    }
    assert!(running.process.flushes.lock().unwrap().is_empty());
    for target in ["/", "/health", "/ready"] {
        assert_eq!(send(&running, "GET", target, HOST).await.status, 200, "{target}");
    }
    for target in ["/api/status", "/api/ledger", "/metrics"] {
        for token in [ADMIN, READ] {
            assert_eq!(send(&running, "GET", target, &bearing(token)).await.status, 200, "{target}");
        }
    }
    assert_eq!(send(&running, "POST", "/api/flush", &bearing(ADMIN)).await.status, 200);
    // The wrong ones are counted; requests without a token are not.
    assert_eq!(running.metrics.admin_unauthorized.get(), all.len() as u64);
}

#[tokio::test]
async fn the_token_for_reading_changes_nothing() {
    let running = start_with(&[], settings()).await;
    let by_cookie = session(&running, READ).await;
    for headers in [bearing(READ), by_cookie] {
        assert_eq!(send(&running, "GET", "/api/status", &headers).await.status, 200);
        for target in ["/api/flush", "/api/import/begin", "/api/import", "/api/import/end", "/api/not-there"]
        {
            let answer = send(&running, "POST", target, &headers).await;
            assert_eq!((answer.status, code(&answer).as_str()), (403, "read_only"), "{target}");
        }
    }
    assert!(running.process.flushes.lock().unwrap().is_empty());
}

#[tokio::test]
async fn metrics_can_be_open() {
    let running = start_with(&[], AccessSettings { metrics_without_token: true, ..settings() }).await;
    assert_eq!(send(&running, "GET", "/metrics", HOST).await.status, 200);
    assert_eq!(send(&running, "GET", "/api/status", HOST).await.status, 401);
}

#[tokio::test]
async fn the_page_trades_a_token_for_a_session() {
    let running = start_with(&[], AccessSettings { live_view: Mode::Full, ..settings() }).await;
    let status = async |headers: &str| {
        let answer = send(&running, "GET", "/api/session", headers).await;
        assert_eq!(answer.status, 200);
        answer.body
    };
    let told =
        |role: &str| format!(r#"{{"role":"{role}","needs_token":true,"live_view":"full","dev":false}}"#);
    assert_eq!(status(HOST).await, told("none"));
    assert_eq!(status(&bearing("a-wrong-token-of-a-test")).await, told("none"));
    assert_eq!(status(&bearing(READ)).await, told("read"));

    let answer = log_in(&running, &format!(r#"{{"token":"{ADMIN}","more":1}}"#), "").await;
    assert_eq!((answer.status, answer.body.as_str()), (200, told("admin").as_str()));
    let cookie = header(&answer, "set-cookie").unwrap();
    let (value, rest) = cookie.split_once("; ").unwrap();
    let id = value.strip_prefix("forebay_session=").unwrap();
    assert!(id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()), "{id}");
    assert_eq!(rest, "httponly; samesite=strict; path=/; max-age=43200");
    let own = format!("{HOST}Cookie: other=1; {value}\r\n");
    assert_eq!(status(&own).await, told("admin"));
    assert_eq!(send(&running, "POST", "/api/flush", &own).await.status, 200);
    // The cookie alone does not let the page of another site in.
    let other = format!("{own}Origin: http://evil.example\r\n");
    assert_eq!(send(&running, "POST", "/api/flush", &other).await.status, 403);
    assert_eq!(send(&running, "DELETE", "/api/session", &other).await.status, 403);

    let again = session(&running, ADMIN).await;
    assert!(!again.contains(id), "each login has an id of its own");
    let answer = send(&running, "DELETE", "/api/session", &own).await;
    assert_eq!((answer.status, answer.body.as_str()), (200, told("none").as_str()));
    assert!(header(&answer, "set-cookie").unwrap().contains("max-age=0"));
    assert_eq!(send(&running, "GET", "/api/status", &own).await.status, 401);
    assert_eq!(send(&running, "GET", "/api/status", &again).await.status, 200);
}

#[tokio::test]
async fn over_tls_the_cookie_is_for_tls_alone() {
    let running = start_with(&[], settings()).await;
    let body = format!(r#"{{"token":"{ADMIN}"}}"#);
    for (headers, secure) in [
        ("Origin: https://localhost\r\n", true),
        ("Origin: http://localhost\r\n", false),
        ("X-Forwarded-Proto: https\r\n", false),
        ("", false),
    ] {
        let answer = log_in(&running, &body, headers).await;
        let cookie = header(&answer, "set-cookie").unwrap();
        assert_eq!(cookie.ends_with("; secure"), secure, "{headers}");
    }
    assert_eq!(log_in(&running, &body, "Origin: https://evil.example\r\n").await.status, 403);
}

#[tokio::test]
async fn without_a_token_there_is_nothing_to_log_in_to() {
    let running = start_with(&[], AccessSettings { dev: true, ..AccessSettings::default() }).await;
    let open = r#"{"role":"admin","needs_token":false,"live_view":"masked","dev":true}"#;
    assert_eq!(send(&running, "GET", "/api/session", HOST).await.body, open);
    let answer = log_in(&running, r#"{"token":"anything"}"#, "").await;
    assert_eq!((answer.status, answer.body.as_str(), header(&answer, "set-cookie")), (200, open, None));
    assert_eq!(send(&running, "DELETE", "/api/session", HOST).await.body, open);
}

#[tokio::test]
async fn a_login_is_short_and_what_it_says_is_not_repeated() {
    let running = start_with(&[], settings()).await;
    for body in ["", "{}", "secret-of-a-test", r#""secret-of-a-test""#, r#"{"token":["secret-of-a-test"]}"#] {
        let answer = log_in(&running, body, "").await;
        assert_eq!((answer.status, code(&answer).as_str()), (400, "bad_body"), "{body}");
        assert!(!answer.body.contains("secret"), "{}", answer.body);
    }
    let long = format!(r#"{{"token":"{}"}}"#, "x".repeat(LOGIN_BODY_MAX));
    let answer = log_in(&running, &long, "").await;
    assert_eq!((answer.status, code(&answer).as_str()), (413, "large_body"));
    let answer = log_in(&running, r#"{"token":"secret-of-a-test"}"#, "").await;
    assert_eq!((answer.status, code(&answer).as_str()), (401, "unauthorized"));
    assert!(header(&answer, "set-cookie").is_none() && !answer.body.contains("secret"), "{}", answer.body);
}

/// Anyone may begin a login: that must not take the places of others.
#[tokio::test]
async fn logins_that_send_nothing_do_not_shut_operators_out() {
    let running = start_with(&[], settings()).await;
    let mut waiting = Vec::new();
    for _ in 0..LOGINS_OF_PEER_MAX {
        let mut socket = TcpStream::connect(running.address).await.unwrap();
        let request = "POST /api/session HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n";
        socket.write_all(request.as_bytes()).await.unwrap();
        waiting.push(socket);
    }
    let busy = async || {
        let answer = log_in(&running, "{}", "").await;
        (answer.status, code(&answer))
    };
    let ended = tokio::time::timeout(Duration::from_secs(4), async {
        while busy().await != (503, "busy".to_owned()) {}
    });
    ended.await.unwrap();
    assert_eq!(send(&running, "GET", "/api/status", &bearing(ADMIN)).await.status, 200);
    // They end by themselves.
    let mut bytes = Vec::new();
    let read = waiting[0].read_to_end(&mut bytes);
    tokio::time::timeout(Duration::from_secs(20), read).await.unwrap().unwrap();
    assert!(bytes.starts_with(b"HTTP/1.1 408"), "{}", String::from_utf8_lossy(&bytes));
    assert_eq!(log_in(&running, "{}", "").await.status, 400);
}

#[tokio::test]
async fn guessing_is_slow_and_sessions_are_not_disturbed() {
    let running = start_with(&[], settings()).await;
    let own = session(&running, READ).await;
    let mut statuses = Vec::new();
    while statuses.last() != Some(&429) {
        assert!(statuses.len() < 1_000, "{statuses:?}");
        statuses.push(send(&running, "GET", "/api/status", &bearing("a-wrong-token-of-a-test")).await.status);
    }
    assert!(
        statuses.len() > 10 && statuses.iter().rev().skip(1).all(|status| *status == 401),
        "{statuses:?}"
    );
    // Now not even the right one is looked at: the answer must not tell it from a wrong one.
    let guess = send(&running, "GET", "/api/session", &bearing("a-wrong-token-of-a-test")).await;
    assert_eq!((guess.status, code(&guess).as_str()), (429, "too_many_guesses"));
    assert_eq!(header(&guess, "retry-after"), Some("1"));
    assert_eq!(send(&running, "GET", "/api/status", &own).await.status, 200);
    assert!(running.metrics.admin_unauthorized.get() >= statuses.len() as u64);
    // It passes.
    let right = tokio::time::timeout(Duration::from_secs(20), async {
        while send(&running, "GET", "/api/status", &bearing(ADMIN)).await.status != 200 {}
    });
    right.await.unwrap();
}

#[tokio::test]
async fn another_token_ends_sessions_and_takes_effect_at_once() {
    let running = start_with(&[], settings()).await;
    let own = session(&running, ADMIN).await;
    running.gate.set(AccessSettings { live_view: Mode::Off, ..settings() });
    assert_eq!(send(&running, "GET", "/api/status", &own).await.status, 200);
    let other = "another-token-of-a-test";
    running.gate.set(AccessSettings { token: AdminToken::of(other).ok(), ..settings() });
    for headers in [own, bearing(ADMIN)] {
        assert_eq!(send(&running, "GET", "/api/status", &headers).await.status, 401);
    }
    assert_eq!(send(&running, "GET", "/api/status", &bearing(other)).await.status, 200);
}

#[tokio::test]
async fn every_answer_keeps_pages_from_framing_and_embedding_it() {
    let running = start(&[]).await;
    for (method, target, host) in [
        ("GET", "/api/status", HOST),
        ("GET", "/metrics", HOST),
        ("GET", "/nothing", HOST),
        ("POST", "/api/flush", HOST),
        ("GET", "/health", "Host: evil.example\r\n"),
    ] {
        let answer = send(&running, method, target, host).await;
        let check = |name: &str, value: &str| assert_eq!(header(&answer, name), Some(value), "{target}");
        check("x-frame-options", "deny");
        check("content-security-policy", "default-src 'none'; frame-ancestors 'none'");
        check("referrer-policy", "no-referrer");
        check("x-content-type-options", "nosniff");
        check("cross-origin-resource-policy", "same-origin");
        check("cache-control", "no-store");
    }
}

/// Other sites cannot read the answers, but asking alone costs places and reads of the store.
#[tokio::test]
async fn pages_of_other_sites_cannot_even_ask() {
    let running = start(&[]).await;
    let get = async |target: &str, headers: &str| {
        send(&running, "GET", target, &format!("{HOST}{headers}")).await.status
    };
    for headers in
        ["Sec-Fetch-Site: cross-site\r\nSec-Fetch-Mode: no-cors\r\n", "Origin: http://evil.example\r\n"]
    {
        assert_eq!(get("/api/status", headers).await, 403, "{headers}");
        assert_eq!(get("/health", headers).await, 200, "{headers}");
    }
    let visit = |site: &str, to: &str| {
        format!("Sec-Fetch-Site: {site}\r\nSec-Fetch-Mode: navigate\r\nSec-Fetch-Dest: {to}\r\n")
    };
    for target in ["/api/status", "/api/live", "/api/archive/days?source=web", "/api/nothing"] {
        for (site, to) in [("cross-site", "iframe"), ("cross-site", "document"), ("same-site", "document")] {
            assert_eq!(get(target, &visit(site, to)).await, 403, "{target} {site} {to}");
        }
        let twice = "Sec-Fetch-Site: same-origin\r\nSec-Fetch-Site: cross-site\r\n";
        assert_eq!(get(target, twice).await, 403, "{target}");
    }
    // The address typed, a link of the console, and a program that is no browser.
    for own in [visit("none", "document"), visit("same-origin", "document"), String::new()] {
        assert_eq!(get("/api/status", &own).await, 200, "{own}");
    }
    // A link to the page itself works from everywhere.
    assert_eq!(get("/", &visit("cross-site", "document")).await, 200);
}
