//! `forebay dev`: what a restart keeps, what `--reset` removes, and who may call.

use std::collections::BTreeSet;
use std::path::Path;

use http::StatusCode;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::support::{PATIENCE, ids_below, status};
use crate::support::events::Events;
use crate::support::forebay::{Flush, Forebay, Starting, run};
use crate::support::http::{Http, is_accepted};
use crate::support::tools::{on_path, stdout_of};
use crate::support::wait;

/// Due only on request, or at the end.
const LATE: Flush = Flush { age: "1h", bytes: "100MB" };

async fn start(data: &Path, arguments: &[&str]) -> Forebay {
    Starting::dev_with(data, LATE, arguments).dev_ready().await
}

async fn call(forebay: &Forebay, write_key: &str, id: &str) -> (StatusCode, String) {
    let body = json!({ "event": "e", "userId": "u", "messageId": id, "writeKey": write_key });
    let answer =
        Http::new().post(&format!("{}/v1/track", forebay.collector), body.to_string()).await.unwrap();
    (answer.status, String::from_utf8(answer.body.to_vec()).unwrap())
}

#[tokio::test]
async fn a_restart_keeps_everything_and_reset_removes_it() {
    let folder = tempfile::tempdir().unwrap();
    let ids = async |forebay: &Forebay| ids_below(&forebay.bucket(), "segment-logs/app/").await;
    let forebay = start(folder.path(), &[]).await;
    assert_eq!(call(&forebay, "app", "first").await.0, StatusCode::OK);
    forebay.flush().await;
    assert_eq!(call(&forebay, "app", "second").await.0, StatusCode::OK);
    forebay.kill().await;

    let forebay = start(folder.path(), &[]).await;
    assert_eq!(ids(&forebay).await, ["first"]);
    assert_eq!(call(&forebay, "app", "first").await.0, StatusCode::OK);
    forebay.flush().await;
    assert_eq!(ids(&forebay).await, ["first", "second"], "a repeat is recognised after a restart");

    // Refused while it is in use.
    let data = folder.path().to_str().unwrap();
    let reset = async |collector: &str, console: &str, s3: &str| {
        let ports = ["--listen", collector, "--admin-listen", console, "--s3-listen", s3];
        let again = run(&[&["dev", "--reset", "--data-dir", data], &ports[..]].concat()).await;
        assert_eq!(again.status.code(), Some(1), "{again:?}");
        String::from_utf8(again.stderr).unwrap()
    };
    const ANY: &str = "127.0.0.1:0";
    reset(ANY, ANY, ANY).await;
    assert_eq!(ids(&forebay).await, ["first", "second"]);
    forebay.signal(Signal::INT);
    assert_eq!(forebay.exit().await.code(), Some(0));

    // Also refused if a port is taken.
    let taken = std::net::TcpListener::bind(ANY).unwrap();
    let port = taken.local_addr().unwrap().to_string();
    for [collector, console, s3] in [[&*port, ANY, ANY], [ANY, &port, ANY], [ANY, ANY, &port]] {
        let said = reset(collector, console, s3).await;
        assert!(said.contains(&format!("cannot listen on {port}")), "{said}");
    }
    let forebay = start(folder.path(), &[]).await;
    assert_eq!(ids(&forebay).await, ["first", "second"]);
    assert!(forebay.terminate().await.success());

    let forebay = start(folder.path(), &["--reset"]).await;
    assert_eq!(forebay.bucket().keys("").await, [""; 0]);
    assert_eq!(call(&forebay, "app", "first").await.0, StatusCode::OK);
    forebay.flush().await;
    assert_eq!(ids(&forebay).await, ["first"]);
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn the_printed_first_call_can_be_pasted() {
    let Some(_curl) = on_path("curl") else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut forebay = start(folder.path(), &[]).await;
    let line = forebay.printed("curl ").await;
    let mut shell = std::process::Command::new("sh");
    shell.args(["-c", line.trim()]);
    assert_eq!(stdout_of(shell).await, r#"{"success":true}"#, "{line}");
    let flush = forebay.printed("forebay flush").await;
    assert!(flush.contains(&forebay.console), "{flush}");
    forebay.flush().await;
    let lines = forebay.bucket().lines("my-app").await;
    let [call] = &lines[..] else { panic!("one call: {lines:?}") };
    assert!(call.contains(r#""event":"Hello""#), "{call}");
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn each_write_key_is_a_source_up_to_a_thousand() {
    const MAX: usize = 1_000;
    let folder = tempfile::tempdir().unwrap();
    let forebay = start(folder.path(), &[]).await;
    let http = Http::new();
    let url = format!("{}/v1/batch", forebay.collector);
    // Not a legal source id: it gets an id from its hash.
    let illegal = "key with spaces/é";
    let keys: Vec<String> =
        (1..MAX).map(|number| format!("key-{number}")).chain([illegal.to_owned()]).collect();
    for key in &keys {
        let body = json!({ "writeKey": key, "batch": [{ "type": "track", "event": "e", "userId": "u" }] });
        let answer = http.post(&url, body.to_string()).await.unwrap();
        assert!(is_accepted(&answer), "{key}: {answer:?}");
    }
    let (status_code, body) = call(&forebay, "one-more", "x").await;
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status_code, &body["code"]), (StatusCode::UNAUTHORIZED, &json!("too_many_sources")));
    assert_eq!(call(&forebay, "key-1", "x").await.0, StatusCode::OK, "a known key still works");
    forebay.flush().await;
    let sources: BTreeSet<String> = forebay
        .bucket()
        .keys("segment-logs/")
        .await
        .iter()
        .map(|key| key.split('/').nth(1).unwrap().to_owned())
        .collect();
    assert_eq!(sources.len(), MAX);
    let hashed: Vec<&String> = sources.iter().filter(|source| source.starts_with("k-")).collect();
    let [hashed] = hashed[..] else { panic!("exactly one key is not a legal id: {hashed:?}") };
    let digits = hashed.strip_prefix("k-").unwrap();
    assert!(digits.len() == 16 && digits.bytes().all(|digit| digit.is_ascii_hexdigit()), "{hashed}");
    assert!(forebay.terminate().await.success());
}

/// A browser SDK that knows only this address learns from the settings document where to send its calls.
/// Requesting the document, as any page may, creates no source.
#[tokio::test]
async fn the_settings_document_names_the_collector_and_creates_no_source() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = start(folder.path(), &[]).await;
    let http = Http::new();
    let request = http::Request::get(format!("{}/v1/projects/some-key/settings", forebay.collector));
    let answer = http.send(request.body(http_body_util::Full::default()).unwrap()).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    let document: Value = serde_json::from_slice(&answer.body).unwrap();
    let address = forebay.collector.strip_prefix("http://").unwrap();
    let told = &document["integrations"]["Segment.io"];
    assert_eq!(told["apiHost"], json!(format!("{address}/v1")));
    assert_eq!(told["protocol"], json!("http"));
    assert_eq!(call(&forebay, "real", "x").await.0, StatusCode::OK);
    let said = status(&forebay).await;
    let sources: Vec<&Value> =
        said["sources"].as_array().unwrap().iter().map(|source| &source["id"]).collect();
    assert_eq!(sources, ["real"]);
    assert!(forebay.terminate().await.success());
    let manifest = std::fs::read_dir(folder.path().join("spool")).unwrap().map(|entry| entry.unwrap().path());
    let mut manifests = manifest.filter(|path| path.to_string_lossy().contains("MANIFEST-"));
    assert!(manifests.all(|path| memchr::memmem::find(&std::fs::read(path).unwrap(), b"some-key").is_none()));
}

#[tokio::test]
async fn the_demo_sends_realistic_calls_from_several_sources() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = start(folder.path(), &["--demo"]).await;
    wait::until("calls of all the demo's sources", PATIENCE, async || {
        let said = status(&forebay).await;
        let sources = said["sources"].as_array().unwrap();
        let stored = |source: &Value| source["totals"]["stored"].as_u64().unwrap() >= 10;
        (sources.len() >= 4 && sources.iter().all(stored)).then_some(())
    })
    .await;
    forebay.flush().await;
    let bucket = forebay.bucket();
    let mut kinds = BTreeSet::new();
    for object in bucket.objects("segment-logs/").await {
        for line in object.text().lines() {
            let call: Value = serde_json::from_str(line).unwrap();
            kinds.insert(call["type"].as_str().unwrap().to_owned());
            assert!(call["context"]["library"]["name"].is_string(), "{line}");
        }
    }
    assert!(kinds.len() >= 3, "{kinds:?}");
    assert_eq!(bucket.keys("segment-logs/_rejected/").await, [""; 0], "none of them is rejected");
    forebay.signal(Signal::INT);
    assert_eq!(forebay.exit().await.code(), Some(0));
}

/// A call is seen as it arrives, in an open batch, and as sent by its SDK.
#[tokio::test]
async fn a_call_is_seen_live_with_what_the_collector_added() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = start(folder.path(), &["--receipts"]).await;
    let address = forebay.console.strip_prefix("http://").unwrap();
    let mut events = Events::open(address, "/api/live?source=app").await;
    let calls = json!([
        { "type": "track", "event": "Order Done", "userId": "u1", "messageId": "m1", "timestamp": "2026-11-20T10:00:00Z",
          "context": { "library": { "name": "analytics-x", "version": "3.1" } } },
        { "type": "trak", "userId": "u2" },
    ]);
    let body = json!({ "writeKey": "app", "sentAt": "2026-11-20T10:00:01Z", "batch": calls });
    Http::new().post(&format!("{}/v1/batch", forebay.collector), body.to_string()).await.unwrap();
    let shown = loop {
        let shown = events.next_of("calls").await;
        if shown["calls"].as_array().is_some_and(|calls| !calls.is_empty()) {
            break shown["calls"].clone();
        }
    };
    assert_eq!((&shown[0]["name"], &shown[0]["library"]), (&"Order Done".into(), &"analytics-x 3.1".into()));
    assert_eq!(shown[0]["line"]["userId"], "u1");
    assert!(shown[0]["line"].get("forebayPosition").is_none(), "the position is not known yet");
    let paths = |of: &str| -> BTreeSet<String> {
        shown[0][of].as_array().unwrap().iter().map(|path| path.as_str().unwrap().to_owned()).collect()
    };
    let added = paths("added");
    assert!(
        added.contains("receivedAt") && added.contains("sentAt") && !added.contains("messageId"),
        "{added:?}"
    );
    assert!(paths("changed").contains("timestamp"), "{shown}");
    assert_eq!((&shown[1]["reason"], &shown[1]["type"]), (&"unknown_type".into(), &"trak".into()));

    let status = status(&forebay).await;
    let source = &status["sources"][0];
    assert_eq!(
        (&source["libraries"][0]["name"], &source["batches"][0]["calls"]),
        (&"analytics-x".into(), &1.into())
    );
    assert!(source["last_received_ms"].as_i64().unwrap() > 0);
    assert!(
        source["batches"][0]["due_at_ms"].as_i64() > source["batches"][0]["first_received_at_ms"].as_i64()
    );

    let get = async |path: &str| -> Value {
        let request =
            http::Request::get(format!("{}{path}", forebay.console)).body(http_body_util::Full::default());
        serde_json::from_slice(&Http::new().send(request.unwrap()).await.unwrap().body).unwrap()
    };
    let node = get("/api/node").await;
    assert_eq!((&node["dev_key"], &node["sdk_address"]), (&true.into(), &forebay.collector.as_str().into()));
    assert!(
        node["sync"]["count"].as_u64().unwrap() > 0 && node["sync"]["p99_ms"].as_f64().unwrap() > 0.0,
        "{node}"
    );
    assert!(node["memory_bytes"].as_u64().unwrap() > 1 << 20, "{node}");
    let age =
        node["config"].as_array().unwrap().iter().find(|value| value["name"] == "flush.max_age").unwrap();
    assert_eq!((&age["value"], &age["from"]), (&"1 h".into(), &"flag".into()));
    assert!(node["answers"].as_array().unwrap().contains(&json!({ "status": 200, "count": 1 })), "{node}");
    let sampled = async || {
        let history = get("/api/history").await;
        history["sources"]["app"]
            .as_array()?
            .iter()
            .any(|calls| calls.as_f64() > Some(0.0))
            .then_some(history)
    };
    let history = wait::until("a sample", PATIENCE, sampled).await;
    assert_eq!(history["step_seconds"], 5);
}
