//! `forebay tail` and `forebay status` against the real program.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout};
use tokio::time::timeout;

use crate::support::forebay::{Flush, Forebay, Starting, command};
use crate::support::http::Http;
use crate::support::wait;

const PATIENCE: Duration = Duration::from_secs(80);

type Lines = tokio::io::Lines<BufReader<ChildStdout>>;

fn tail(forebay: &Forebay, arguments: &[&str]) -> (Child, Lines) {
    let mut command = command();
    command.args(["tail", "--admin", &forebay.console]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::inherit()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    (child, lines)
}

async fn next(lines: &mut Lines) -> String {
    timeout(PATIENCE, lines.next_line()).await.expect("a line in time").unwrap().expect("a line")
}

async fn send(forebay: &Forebay, source: &str, call: &Value) {
    assert!(Http::new().track(&forebay.collector, source, &json!({ "batch": [call] })).await);
}

#[tokio::test]
async fn calls_of_the_program_are_shown_as_they_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = Forebay::dev(folder.path(), Flush::LATE).await;
    let call = |event: &str| {
        json!({
            "type": "track", "event": event, "userId": "u1", "properties": { "n": 1 },
            "context": { "library": { "name": "analytics-node", "version": "3.1.0" } },
        })
    };
    // One that came before, which the node still has.
    send(&forebay, "web", &call("Before")).await;
    send(&forebay, "ios", &call("Elsewhere")).await;
    let (mut all, mut text) = tail(&forebay, &[]);
    let shown = next(&mut text).await;
    for part in ["  web ", "  track ", "  Before ", "  u1 ", "  analytics-node 3.1.0"] {
        assert!(shown.contains(part), "{part:?}: {shown}");
    }
    let (mut filtered, mut lines) =
        tail(&forebay, &["--json", "--source", "ios", "--type", "track", "--grep", "ORDER & co"]);
    // Viewers are known once their stream has begun, so these are sent until both show them.
    wait::until("a line of the filtered viewer", PATIENCE, async || {
        send(&forebay, "web", &call("Order & Co")).await;
        send(&forebay, "ios", &call("Other")).await;
        send(&forebay, "ios", &call("Order & Co")).await;
        timeout(Duration::from_millis(500), lines.next_line()).await.ok().map(|line| {
            let line: Value = serde_json::from_str(&line.unwrap().unwrap()).unwrap();
            assert_eq!((&line["source"], &line["name"]), (&"ios".into(), &"Order & Co".into()), "{line}");
            assert_eq!(line["line"]["properties"], json!({ "n": 1 }), "{line}");
        })
    })
    .await;
    send(&forebay, "web", &json!({ "type": "nothing known", "userId": "u" })).await;
    wait::until("the rejected item", PATIENCE, async || {
        next(&mut text).await.contains("  rejected ").then_some(())
    })
    .await;
    for child in [&mut all, &mut filtered] {
        let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
        kill_process(pid, Signal::INT).unwrap();
        assert!(timeout(PATIENCE, child.wait()).await.unwrap().unwrap().success());
    }
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn a_tail_outlives_the_collector_and_shows_the_next_one() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = Forebay::dev(folder.path(), Flush::LATE).await;
    let call = |event: &str| json!({ "type": "track", "event": event, "userId": "u1" });
    send(&forebay, "web", &call("First")).await;
    let (mut child, mut lines) = tail(&forebay, &[]);
    assert!(next(&mut lines).await.contains("First"));
    let address = forebay.console.trim_start_matches("http://").to_owned();
    assert!(forebay.terminate().await.success());
    let again = Starting::dev_with(folder.path(), Flush::LATE, &["--admin-listen", &address]);
    let again = again.dev_ready().await;
    send(&again, "web", &call("Second")).await;
    assert!(next(&mut lines).await.contains("Second"));
    child.kill().await.unwrap();
    assert!(again.terminate().await.success());
}
