//! `forebay tail` against a scripted live view.

use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::pty::OnTerminal;
use crate::support::forebay::{Flush, Forebay, command, finished};
use crate::support::http::Http;
use crate::support::scripted_http::{Reply, ScriptedHttp};

const PATIENCE: Duration = Duration::from_secs(80);

fn call(id: u64, name: &str) -> Value {
    json!({
        "id": id, "at_ms": 1_561_134_806_158_u64 + id, "source": "web", "stream": "calls", "type": "track",
        "name": name, "user": "u1", "bytes": 1234, "reason": null, "reason_text": null,
        "library": "analytics-node 3.1.0", "line": { "n": 1.50, "deep": [true] }, "added": [], "changed": [],
        "later": "a field that this version does not know",
    })
}

fn event(kind: &str, data: &Value) -> String {
    format!("event: {kind}\ndata: {data}\n\n")
}

fn hello(view: &str) -> String {
    event("hello", &json!({ "view": view, "per_second": 50 }))
}

fn calls(calls: &[Value]) -> String {
    event("calls", &json!({ "calls": calls }))
}

fn recent(calls: &[Value]) -> String {
    event("calls", &json!({ "calls": calls, "recent": true }))
}

/// A live view that sends these pieces and stays open.
async fn live(pieces: Vec<String>) -> ScriptedHttp {
    ScriptedHttp::elsewhere(move |request| match request.target.as_str() {
        "/api/status" => {
            let sources = json!({ "sources": [{ "id": "checkout-web" }, { "id": "web" }] }).to_string();
            Reply::Answer { status: 200, headers: Vec::new(), body: sources }
        }
        _ => Reply::Events { pieces: pieces.clone(), stays_open: true },
    })
    .await
}

fn tail(server: &ScriptedHttp, arguments: &[&str]) -> Command {
    let mut command = command();
    command.args(["tail", "--admin", &server.url()]).args(arguments);
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

fn spawn(mut command: Command) -> Child {
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

/// The next lines of standard output.
async fn lines(child: &mut Child, count: usize) -> Vec<String> {
    let mut reader = BufReader::new(child.stdout.as_mut().unwrap()).lines();
    let mut lines = Vec::new();
    while lines.len() < count {
        let line = timeout(PATIENCE, reader.next_line()).await.expect("a line in time").unwrap();
        lines.push(line.expect("a line"));
    }
    lines
}

/// Ends it as Ctrl-C does, and returns its standard error.
async fn interrupted(mut child: Child) -> String {
    kill_process(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap(), Signal::INT).unwrap();
    ended(&mut child).await
}

/// Its standard error, after it ended with 0.
async fn ended(child: &mut Child) -> String {
    let mut log = String::new();
    let mut stderr = child.stderr.take().unwrap();
    timeout(PATIENCE, stderr.read_to_string(&mut log)).await.unwrap().unwrap();
    assert_eq!(timeout(PATIENCE, child.wait()).await.unwrap().unwrap().code(), Some(0), "{log}");
    log
}

#[tokio::test]
async fn each_call_is_a_line_and_ctrl_c_ends_with_0() {
    let mut rejected = call(2, "");
    rejected["stream"] = "rejected".into();
    rejected["reason"] = "no_event".into();
    rejected["reason_text"] = "a track call needs an event\u{1b}[31m\u{202e}".into();
    let server =
        live(vec![hello("full"), ": heartbeat\n\n".into(), calls(&[call(1, "Order Completed"), rejected])])
            .await;
    let mut child = spawn(tail(&server, &["--source", "web", "--type", "track", "--grep", "a b&c=d"]));
    let shown = lines(&mut child, 2).await;
    assert_eq!(
        shown[0],
        "16:33:26.159  web     track     Order Completed  u1         1.2 KB  analytics-node 3.1.0"
    );
    assert!(
        shown[1].contains("  rejected  a track call needs an event\\u{1b}[31m\\u{202e}  u1"),
        "{shown:?}"
    );
    let log = interrupted(child).await;
    assert_eq!(log, "");
    let requests: Vec<String> = server.requests().into_iter().map(|request| request.target).collect();
    assert_eq!(requests, ["/api/status", "/api/live?source=web&type=track&text=a+b%26c%3Dd"]);
}

#[tokio::test]
async fn a_source_that_is_not_there_is_said_at_once() {
    let server = live(vec![hello("full")]).await;
    for (source, near) in [("chekout-web", "did you mean checkout-web? "), ("nosuch", "")] {
        let output = finished(&mut tail(&server, &["--source", source])).await;
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), output.stdout.is_empty()), (Some(1), true), "{log}");
        let said = format!("has no source {source}: {near}`forebay status --all` lists them\n");
        assert!(log.ends_with(&said), "{log}");
    }
    assert!(server.requests().iter().all(|request| request.target == "/api/status"));
}

#[tokio::test]
async fn json_lines_are_the_calls_as_sent() {
    let sent = [call(1, "a\u{9b}31m\u{e0041}"), call(2, "b\u{2764}\u{fe0f}")];
    let server = live(vec![hello("full"), calls(&sent)]).await;
    let mut child = spawn(tail(&server, &["--json"]));
    let shown = lines(&mut child, 2).await;
    for (line, sent) in shown.iter().zip(&sent) {
        assert_eq!(serde_json::from_str::<Value>(line).unwrap(), *sent);
        assert!(!line.contains(['\u{9b}', '\u{e0041}', '\u{fe0f}']), "{line:?}");
    }
    interrupted(child).await;
}

#[tokio::test]
async fn hidden_values_samples_and_missed_calls_are_said_on_standard_error() {
    let count = event("count", &json!({ "stored": 9_000, "rejected": 1, "shown": 50 }));
    let missed = event("missed", &json!({ "calls": 7 }));
    let unknown = event("weather", &json!({ "sunny": true }));
    let pieces = vec![hello("masked"), count.clone(), count, missed, unknown, calls(&[call(1, "e")])];
    let server = live(pieces).await;
    let mut child = spawn(tail(&server, &[]));
    lines(&mut child, 1).await;
    let log = interrupted(child).await;
    for said in ["users, traits and addresses are hidden", "this is a sample", "7 calls are not shown"] {
        assert_eq!(log.matches(said).count(), 1, "{said}: {log}");
    }
}

#[tokio::test]
async fn a_lost_connection_is_made_again_and_no_call_is_printed_twice() {
    let mut answers = vec![
        Reply::Events { pieces: vec![hello("full"), calls(&[call(1, "first")])], stays_open: false },
        Reply::Close,
        Reply::status(503),
        Reply::Events {
            pieces: vec![
                hello("full"),
                recent(&[call(1, "first"), call(2, "second")]),
                calls(&[call(3, "third")]),
            ],
            stays_open: true,
        },
    ]
    .into_iter();
    let server = ScriptedHttp::elsewhere(move |_| answers.next().unwrap()).await;
    let mut child = spawn(tail(&server, &[]));
    let shown = lines(&mut child, 3).await;
    for (line, name) in shown.iter().zip(["first", "second", "third"]) {
        assert!(line.contains(name), "{shown:?}");
    }
    let log = interrupted(child).await;
    assert!(log.contains("is lost: the collector ended it; connecting again in 1 s"), "{log}");
    assert!(log.contains("connecting again in 2 s") && log.contains("connecting again in 4 s"), "{log}");
    assert!(log.contains("connected again to"), "{log}");
}

#[tokio::test]
async fn a_reader_that_leaves_ends_it_with_0() {
    // Many calls: the next write fails. One call and then silence: nothing is written any more.
    for count in [10_000, 1] {
        let some: Vec<Value> = (0..count).map(|id| call(id, "e")).collect();
        let server = live(vec![hello("full"), calls(&some)]).await;
        let mut child = spawn(tail(&server, &[]));
        lines(&mut child, 1).await;
        drop(child.stdout.take());
        assert_eq!(ended(&mut child).await, "", "{count}");
    }
}

#[tokio::test]
async fn what_does_not_work_says_why() {
    let refused = |status, code: &str, message: &str| {
        let body = json!({ "success": false, "code": code, "message": message }).to_string();
        Reply::Answer { status, headers: Vec::new(), body }
    };
    let check = async |reply: Reply, said: &str| {
        let server = ScriptedHttp::elsewhere(move |_| reply.clone()).await;
        let output = finished(&mut tail(&server, &[])).await;
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{log}");
        assert!(log.contains(said) && output.stdout.is_empty(), "{log}");
    };
    check(refused(401, "unauthorized", "no"), "wants a token: set FOREBAY_ADMIN_TOKEN").await;
    check(refused(404, "live_off", "the live view is off"), "refused: the live view is off").await;
    check(refused(404, "not_found", "unknown path"), "has no live view: the collector is older").await;
    check(refused(503, "too_many_viewers", "64 viewers"), "refused: 64 viewers").await;
    check(Reply::Close, "did not answer like an admin listener").await;
    let broken = vec![hello("full"), "event: calls\ndata: {\n\n".to_owned()];
    check(Reply::Events { pieces: broken, stays_open: true }, "EOF while parsing").await;
}

#[tokio::test]
async fn lines_fit_a_terminal_and_rejected_ones_are_coloured() {
    let mut rejected = call(2, "");
    rejected["stream"] = "rejected".into();
    rejected["reason_text"] = "why ".repeat(40).into();
    let server = live(vec![hello("full"), calls(&[call(1, &"日本".repeat(60)), rejected])]).await;
    for no_color in [false, true] {
        let mut command = tail(&server, &[]);
        command.env("TERM", "xterm");
        command.env("NO_COLOR", if no_color { "1" } else { "" });
        let mut tail = OnTerminal::start(command, 60, 24);
        tail.shows("why why").await;
        tail.signal(Signal::INT);
        assert!(tail.ended().await.success());
        let shown = tail.written();
        assert!(shown.contains("time (UTC)    source"), "{shown}");
        assert_eq!(shown.contains("\u{1b}[1m\u{1b}[31mrejected\u{1b}[0m"), !no_color, "{shown:?}");
        assert_eq!(shown.contains('\u{1b}'), !no_color, "{shown:?}");
        let plain = shown.replace("\u{1b}[2m", "").replace("\u{1b}[1m", "");
        let plain = plain.replace("\u{1b}[31m", "").replace("\u{1b}[0m", "");
        let wide = plain.lines().find(|line| forebay::words::columns(line) > 60);
        assert_eq!(wide, None);
    }
}

#[tokio::test]
async fn the_columns_use_the_width_that_the_terminal_has() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = Forebay::dev(folder.path(), Flush::LATE).await;
    let name = |n: u8| format!("{n} Subscription Renewal Reminder Scheduled For The Third Time");
    let send = async |n: u8| {
        let call = json!({
            "type": "track", "event": name(n), "userId": "0b7c1f2e-6a53-4f0e-9d0c-1f1d8a1b2c3d",
            "context": { "library": { "name": "analytics-react-native", "version": "2.21.0" } },
        });
        assert!(Http::new().track(&forebay.collector, "checkout-web", &json!({ "batch": [call] })).await);
    };
    send(1).await;
    let mut command = command();
    command.args(["tail", "--admin", &forebay.console]).env("TERM", "dumb");
    let mut tail = OnTerminal::start(command, 200, 24);
    // Wide enough for all, and then for less of each.
    tail.shows("2c3d").await;
    tail.resize(90, 24);
    send(2).await;
    tail.shows("2 Subscr").await;
    tail.resize(200, 24);
    send(3).await;
    tail.shows(&name(3)).await;
    tail.signal(Signal::INT);
    assert!(tail.ended().await.success());
    let shown = tail.written();
    let line = |n: u8| shown.lines().find(|line| line.contains(&format!("  {n} Subscr"))).unwrap().to_owned();
    for n in [1, 3] {
        let rest = "  0b7c1f2e-6a53-4f0e-9d0c-1f1d8a1b2c3d  ";
        assert!(line(n).contains(&(name(n) + rest)) && line(n).contains("react-native 2.21.0"), "{shown}");
    }
    assert_eq!(forebay::words::columns(&line(2)), 90, "{shown}");
    assert!(
        ["  checkout-web  track ", "…  0b7c1f2e", "…  ", "  analytics-"]
            .iter()
            .all(|part| line(2).contains(part)),
        "{shown}"
    );
    assert!(forebay.terminate().await.success());
}
