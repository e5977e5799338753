//! Refused requests, as `tail`, `status` and the admin listener of the real program show them.

use std::process::Stdio;
use std::time::Duration;

use http::Request;
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use crate::serve::support::Rig;
use crate::support::forebay::{Flush, Forebay, command, finished};
use crate::support::http::{Answer, Http};

const PATIENCE: Duration = Duration::from_secs(80);
const AGENT: &str = "analytics-node/2.1.3";
/// A key whose first quarter is longer than what is ever shown.
const UNKNOWN: &str = "Abcdefghijklmnopqrstuvwxyz012345";

async fn send(forebay: &Forebay, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = Request::post(format!("{}{path}", forebay.collector)).header("user-agent", AGENT);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    Http::new().send(request.body(Full::new(body.to_owned().into())).unwrap()).await.unwrap()
}

/// One request of each of five causes; three of them have one code.
async fn be_refused(forebay: &Forebay) {
    let call = r#"{"type":"track","event":"e","userId":"u"}"#;
    let unknown = format!("/v1/track?writeKey={UNKNOWN}");
    assert_eq!(send(forebay, &unknown, &[], call).await.status, 401);
    let bearer = [("authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.abcdefgh.ijklmnop")];
    assert_eq!(send(forebay, "/v1/track", &bearer, call).await.status, 401);
    assert_eq!(send(forebay, "/v1/track", &[], call).await.status, 401);
    assert_eq!(send(forebay, "/v1/batch?writeKey=web-key", &[], "{\"batch\":[").await.status, 400);
    let answer = send(forebay, &format!("/v1/project/{UNKNOWN}/trak"), &[], call).await;
    assert_eq!(answer.status, 404);
    let answer: Value = serde_json::from_slice(&answer.body).unwrap();
    let message = answer["message"].as_str().unwrap();
    assert!(
        message.contains("the nearest is /v1/track;") && message.contains("POST /v1/batch, "),
        "{message}"
    );
}

async fn groups(forebay: &Forebay, query: &str) -> Value {
    let request = Request::get(format!("{}/api/refused{query}", forebay.console)).body(Full::default());
    serde_json::from_slice(&Http::new().send(request.unwrap()).await.unwrap().body).unwrap()
}

fn tail(forebay: &Forebay, arguments: &[&str]) -> (Child, tokio::io::Lines<BufReader<ChildStdout>>) {
    let mut command = command();
    command.args(["tail", "--admin", &forebay.console]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

#[tokio::test]
async fn each_cause_and_client_is_shown_with_what_to_change() {
    let rig = Rig::start(&["lake"]).await;
    let forebay = rig.settings(&["web"]).serve().await;
    be_refused(&forebay).await;
    let list = groups(&forebay, "").await;
    let all = list["groups"].as_array().unwrap();
    let seen: Vec<Value> = all
        .iter()
        .map(|group| json!([group["status"], group["cause"], group["method"], group["route"], group["key"]]))
        .collect();
    assert_eq!(
        seen,
        [
            json!([404, "not_found", "POST", "/v1/project/Abcdef…/trak", null]),
            json!([400, "invalid_json", "POST", "/v1/batch", "w…"]),
            json!([401, "no_write_key", "POST", "/v1/track", null]),
            json!([401, "bearer_token", "POST", "/v1/track", "eyJhbG…"]),
            json!([401, "unknown_write_key", "POST", "/v1/track", "Abcdef…"]),
        ],
        "{list:#}"
    );
    for group in all {
        // `masked` is the default.
        assert_eq!((&group["agent"], &group["address"]), (&AGENT.into(), &"[hidden]".into()), "{group}");
        assert!(!group["remedy"].as_str().unwrap().is_empty() && group["requests"] == 1, "{group}");
    }
    assert_eq!(all[1]["source"], "web", "a known key names the source, whatever the body is");
    assert!(!list.to_string().contains("Abcdefg"), "no more of a key: {list}");
    for (query, count) in [("?source=web", 1), ("?type=track", 0), ("?text=bearer", 1), ("?type=refused", 5)]
    {
        assert_eq!(groups(&forebay, query).await["groups"].as_array().unwrap().len(), count, "{query}");
    }
    be_refused(&forebay).await;
    let counted = groups(&forebay, "").await;
    assert!(counted["groups"].as_array().unwrap().iter().all(|group| group["requests"] == 2), "{counted:#}");

    let status = finished(command().args(["status", "--admin", &forebay.console])).await;
    let status = String::from_utf8(status.stdout).unwrap();
    for part in [
        "refused  2 requests with 404 not_found, POST /v1/project/Abcdef…/trak, analytics-node/2.1.3 from [hidden], the last ",
        "the nearest is /v1/track. To change: send to a route that there is; to an SDK give this collector's address alone",
        "2 requests with 400 invalid_json, POST /v1/batch, source web, key w…, ",
        "2 requests with 401 no_write_key, POST /v1/track, ",
        "and 2 more groups: `forebay tail --type refused`",
    ] {
        assert!(status.contains(part), "{part}: {status}");
    }
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn a_tail_shows_refused_requests_as_they_come_and_filters_them() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = Forebay::dev(folder.path(), Flush::LATE).await;
    let bearer = [("authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.abcdefgh.ijklmnop")];
    send(&forebay, "/v1/track", &bearer, "{}").await;
    let (_all, mut lines) = tail(&forebay, &[]);
    let (_typed, mut typed) = tail(&forebay, &["--json", "--type", "refused", "--grep", "NOT_FOUND"]);
    let next = async |lines: &mut tokio::io::Lines<BufReader<ChildStdout>>| {
        timeout(PATIENCE, lines.next_line()).await.expect("a line in time").unwrap().expect("a line")
    };
    let before = next(&mut lines).await;
    let words = "  refused  401 bearer_token, POST /v1/track, key eyJhbG…, analytics-node/2.1.3 from 127.0.0.1, 1 request: ";
    assert!(before.contains(words) && before.contains("To change: send the write key"), "{before}");
    send(&forebay, "/v1/track", &bearer, "{}").await;
    let again = next(&mut lines).await;
    assert!(again.ends_with("from 127.0.0.1: 2 requests now"), "{again}");
    send(&forebay, "/v1/trak", &[], "{}").await;
    assert!(next(&mut lines).await.contains("the nearest is /v1/track"));
    let shown: Value = serde_json::from_str(&next(&mut typed).await).unwrap();
    assert_eq!((&shown["type"], &shown["cause"]), (&"refused".into(), &"not_found".into()), "{shown}");
    assert!(forebay.terminate().await.success());
}
