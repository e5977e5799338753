//! Views of the operator: `/metrics`, `/api/status`, `forebay status` and `forebay flush`.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};

use super::support::{CREDENTIALS, Caller, PATIENCE, Rig, ask, logged, status};
use crate::support::forebay::{Forebay, run};
use crate::support::http::{Http, is_accepted};
use crate::support::tcp_proxy::Link;
use crate::support::wait;

/// Every series of `/metrics` with its value. Also checks that the text is well-formed.
async fn metrics(forebay: &Forebay) -> BTreeMap<String, f64> {
    let answer = ask(forebay, "/metrics").await;
    let text = String::from_utf8(answer.body.to_vec()).unwrap();
    let (mut series, mut described) = (BTreeMap::new(), Vec::new());
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            described.push(rest.split(' ').next().unwrap().to_owned());
        }
        if line.starts_with('#') {
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap();
        assert!(
            described.iter().any(|known| name.starts_with(known.as_str())),
            "{line}: its metric is not described"
        );
        let value: f64 = value.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
        assert_eq!(series.insert(name.to_owned(), value), None, "{name} appears twice");
    }
    assert!(text.ends_with("# EOF\n"));
    series
}

/// Posts a body to the collector, which must accept it.
async fn post(forebay: &Forebay, source: &str, body: &Value) {
    let url = format!("{}/v1/batch?writeKey={source}-key", forebay.collector);
    let answer = Http::new().post(&url, body.to_string()).await.unwrap();
    assert!(is_accepted(&answer), "{answer:?}");
}

#[tokio::test]
async fn counters_match_the_requests_sent() {
    let rig = Rig::start(&["lake"]).await;
    let mut settings = rig.settings(&["web", "ios"]);
    settings.flush = "max_age = \"1 h\"".to_owned();
    let forebay = settings.serve().await;
    let mut caller = Caller::new();
    caller.send(&forebay, "web", 12, 100).await;
    caller.send(&forebay, "ios", 5, 100).await;
    let repeated = json!({ "batch": [
        { "type": "track", "event": "e", "userId": "u", "messageId": "again" },
        { "type": "track", "event": "e", "userId": "u", "messageId": "again" },
        { "type": "track", "event": "e", "userId": "u", "messageId": "again" },
        { "type": "nothing known", "userId": "u" },
        17,
    ] });
    post(&forebay, "web", &repeated).await;
    let unknown = caller.try_send(&forebay, "nobody", 1, 0).await;
    assert_eq!(unknown.status, 401);

    let before = metrics(&forebay).await;
    let check = |series: &BTreeMap<String, f64>, name: &str, expected: f64| {
        assert_eq!(series.get(name).copied().unwrap_or_default(), expected, "{name}: {series:#?}");
    };
    check(&before, r#"forebay_calls_received_total{source="web"}"#, 17.0);
    check(&before, r#"forebay_calls_received_total{source="ios"}"#, 5.0);
    check(&before, r#"forebay_calls_stored_total{source="web"}"#, 13.0);
    check(&before, r#"forebay_calls_stored_total{source="ios"}"#, 5.0);
    check(&before, r#"forebay_calls_repeated_total{source="web"}"#, 2.0);
    let rejected = before.iter().filter(|(name, _)| name.starts_with("forebay_calls_rejected_total"));
    assert_eq!(rejected.map(|(_, value)| value).sum::<f64>(), 2.0, "{before:#?}");
    check(&before, r#"forebay_answers_total{status="200"}"#, 3.0);
    check(&before, r#"forebay_answers_total{status="401"}"#, 1.0);
    check(&before, r#"forebay_calls_delivered_total{source="web"}"#, 0.0);
    check(&before, "forebay_open_batches", 3.0);
    check(&before, "forebay_objects_total", 0.0);
    assert!(before["forebay_sync_seconds_count"] >= 3.0, "at least one sync for each request");
    assert!(before["forebay_spool_bytes"] > 0.0 && before["forebay_body_bytes_total"] > 1_700.0);

    let said = run(&["flush", "--admin", &forebay.console]).await;
    assert_eq!(said.status.code(), Some(0), "{said:?}");
    assert_eq!(String::from_utf8_lossy(&said.stdout), "objects: 3 sealed, 3 delivered\n");
    let after = metrics(&forebay).await;
    check(&after, r#"forebay_calls_delivered_total{source="web"}"#, 13.0);
    check(&after, r#"forebay_calls_delivered_total{source="ios"}"#, 5.0);
    check(&after, "forebay_objects_total", 3.0);
    check(&after, "forebay_upload_seconds_count", 3.0);
    check(&after, "forebay_open_batches", 0.0);
    check(&after, "forebay_oldest_undelivered_seconds", 0.0);
    for (name, value) in before.iter().filter(|(name, _)| name.contains("_total")) {
        assert!(after[name] >= *value, "{name} went back");
    }
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn status_and_flush_report_the_backlog() {
    let rig = Rig::start(&["lake"]).await;
    let mut settings = rig.settings(&["web", "ios"]);
    settings.flush = "max_age = \"1 h\"\nshutdown_grace = \"2 s\"".to_owned();
    let forebay = settings.serve().await;
    let mut caller = Caller::new();
    caller.send(&forebay, "web", 12, 0).await;
    caller.send(&forebay, "ios", 3, 0).await;
    let console = forebay.console.clone();
    let admin = ["--admin", console.as_str()];
    let text = async |arguments: &[&str]| {
        let output = run(&[arguments, &admin].concat()).await;
        let told = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), told)
    };

    let (code, told) = text(&["status"]).await;
    assert_eq!(code, Some(0), "{told}");
    for expected in [
        "ready\n",
        "15 calls in 2 batches",
        "15 received since this start: 15 stored",
        "web",
        "ios",
        "none yet",
    ] {
        assert!(told.contains(expected), "{expected:?} is not in:\n{told}");
    }
    let (code, told) = text(&["flush", "--source", "ios"]).await;
    assert_eq!((code, told.as_str()), (Some(0), "objects: 1 sealed, 1 delivered\n"));
    caller.all_arrive(&rig.bucket("lake"), "", "ios").await;
    let (code, told) = text(&["flush", "--source", "nobody"]).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains("nobody"), "{told}");
    let (code, told) = text(&["status", "--json"]).await;
    let json: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((code, &json["totals"]["delivered"]), (Some(0), &json!(3)));
    let key = json["sources"][0]["last_object"]["key"].as_str().unwrap();
    assert_eq!(rig.bucket("lake").keys("segment-logs/ios/").await, [key]);

    // An outage is reported.
    rig.link.set(Link::Cut);
    let asked = Http::new();
    let url = format!("{}/api/flush?source=web", forebay.console);
    let flush = tokio::spawn(async move { asked.post(&url, "").await });
    wait::until("the failure in the status", PATIENCE, async || {
        status(&forebay).await["sources"][1]["last_error"].as_str().map(drop)
    })
    .await;
    let (_, told) = text(&["status"]).await;
    assert!(told.contains("last error: put segment-logs/web/"), "{told}");
    rig.link.set(Link::Up);
    assert!(flush.await.unwrap().unwrap().status.is_success());
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    let (_, told) = text(&["status"]).await;
    assert!(told.contains("nothing: everything is delivered") && !told.contains("last error"), "{told}");
    assert!(forebay.terminate().await.success());

    let (code, told) = text(&["status"]).await;
    assert_eq!(code, Some(1), "{told}");
    assert!(told.contains(&console), "{told}");
}

#[tokio::test]
async fn the_admin_listener_accepts_only_its_own_host_names() {
    let rig = Rig::start(&["lake"]).await;
    let forebay = Forebay::serve(rig.settings(&["web"]).write(), &CREDENTIALS).await;
    let http = Http::new();
    for (host, expected) in [("evil.example", 421), ("localhost", 200)] {
        let request = Request::get(format!("{}/api/status", forebay.console)).header("host", host);
        let answer = http.send(request.body(Full::default()).unwrap()).await.unwrap();
        assert_eq!(answer.status, expected, "{host}: {answer:?}");
    }
    // The public port serves none of it.
    for path in ["/metrics", "/api/status", "/ready"] {
        let request = Request::get(format!("{}{path}", forebay.collector)).body(Full::default()).unwrap();
        assert_eq!(http.send(request).await.unwrap().status, 404, "{path}");
    }
    assert!(forebay.terminate().await.success());
}

/// Open files of a removed directory can still be written: it was ready and answered 200 for a minute.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "an operator's `mv` syncs nothing either")]
async fn a_spool_whose_files_are_removed_or_replaced_stops_at_once() {
    // Renamed first: while files are removed one by one, a missing segment may be what is noticed.
    let remove: fn(&Path) = |spool| {
        let aside = spool.with_extension("aside");
        fs::rename(spool, &aside).unwrap();
        fs::remove_dir_all(aside).unwrap();
    };
    let replace: fn(&Path) = |spool| {
        let aside = spool.with_extension("aside");
        fs::rename(spool, &aside).unwrap();
        fs::create_dir(spool).unwrap();
        for file in fs::read_dir(&aside).unwrap().map(Result::unwrap) {
            if file.metadata().unwrap().is_file() {
                fs::copy(file.path(), spool.join(file.file_name())).unwrap();
            }
        }
    };
    let remove_segments: fn(&Path) = |spool| {
        for entry in fs::read_dir(spool).unwrap().map(Result::unwrap) {
            // Not the one that is being made, `wal-….seg.tmp`: the spool stops for that one with other words.
            let name = entry.file_name().into_string().unwrap();
            if name.starts_with("wal-") && name.ends_with(".seg") {
                fs::remove_file(entry.path()).unwrap();
            }
        }
    };
    for (lose, what) in
        [(remove, "the spool's directory"), (replace, "the spool's directory"), (remove_segments, "wal-")]
    {
        let rig = Rig::start(&["lake"]).await;
        let settings = rig.settings(&["web"]);
        let forebay = settings.serve().await;
        let mut caller = Caller::new();
        caller.send(&forebay, "web", 1, 0).await;
        lose(&settings.spool_dir());
        logged(&forebay, &format!("the spool has stopped: find {what}")).await;
        let ended = forebay.exit().await;
        assert!(!ended.success(), "{ended}");
    }
}
