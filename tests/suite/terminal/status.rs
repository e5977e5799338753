//! `forebay status` on a terminal and elsewhere.

use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

use super::pty::OnTerminal;
use crate::support::forebay::{command, finished};
use crate::support::scripted_http::{Reply, ScriptedHttp};

const PATIENCE: Duration = Duration::from_secs(80);
const ENTER: &str = "\u{1b}[?1049h";
const LEAVE: &str = "\u{1b}[?1049l";

fn status(sources: usize, received: u64) -> Value {
    let source =
        |n: usize| json!({ "id": format!("s{n:03}"), "totals": { "received": received + n as u64 } });
    json!({
        "version": "0.1.0", "ready": true, "node": "n1", "totals": { "received": received },
        "sources": (0..sources).map(source).collect::<Vec<_>>(),
    })
}

fn answer(body: &Value) -> Reply {
    Reply::Answer { status: 200, headers: Vec::new(), body: body.to_string() }
}

/// A collector with so many sources, whose calls grow, and without a history.
async fn growing(sources: usize) -> ScriptedHttp {
    let received = AtomicU64::new(0);
    ScriptedHttp::elsewhere(move |request| match request.target.as_str() {
        "/api/status" => answer(&status(sources, received.fetch_add(1_000, Ordering::SeqCst))),
        _ => Reply::Answer {
            status: 404,
            headers: Vec::new(),
            body: r#"{"code":"not_found","message":"unknown path"}"#.into(),
        },
    })
    .await
}

fn of(server: &ScriptedHttp, arguments: &[&str]) -> Command {
    let mut command = command();
    command.args(["status", "--admin", &server.url()]).args(arguments).env("TERM", "xterm");
    command.env_remove("NO_COLOR");
    command.stdin(Stdio::null()).kill_on_drop(true);
    command
}

async fn printed(server: &ScriptedHttp, arguments: &[&str]) -> String {
    let output = finished(&mut of(server, arguments)).await;
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test]
async fn a_terminal_gets_one_screen_and_a_pipe_gets_everything() {
    let server = growing(500).await;
    let all = printed(&server, &[]).await;
    assert_eq!(all.lines().filter(|line| line.starts_with("s4")).count(), 100, "{all}");
    assert!(!all.contains('\u{1b}') && !all.contains("more:"), "{all}");

    let mut screen = OnTerminal::start(of(&server, &[]), 80, 24);
    screen.shows("more: --source ID, --all or --json").await;
    assert!(screen.ended().await.success());
    let shown = screen.written();
    assert!(shown.lines().count() <= 22, "{shown}");
    assert!(shown.contains("\r\ns499 ") && !shown.contains("\r\ns000 "), "{shown}");
    assert!(shown.contains("\u{1b}[32mready\u{1b}[0m"), "{shown:?}");

    let mut whole = OnTerminal::start(of(&server, &["--all"]), 80, 24);
    whole.shows("\ns499 ").await;
    assert!(whole.ended().await.success());
    assert!(whole.written().contains("\ns000 "));

    let mut no_colour = of(&server, &[]);
    no_colour.env("NO_COLOR", "1");
    let mut plain = OnTerminal::start(no_colour, 80, 24);
    plain.shows("more: --source").await;
    assert!(plain.ended().await.success());
    assert!(!plain.written().contains('\u{1b}'), "{:?}", plain.written());
}

#[tokio::test]
async fn a_history_gives_the_rates() {
    let history = json!({
        "step_seconds": 5, "now_ms": 0, "sources": { "s000": [1.0, 12.0] }, "received": [1.0, 1_234.5],
        "delivered_bytes": [], "spool_bytes": [],
    });
    let server = ScriptedHttp::elsewhere(move |request| match request.target.as_str() {
        "/api/status" => answer(&status(1, 7)),
        _ => answer(&history),
    })
    .await;
    let text = printed(&server, &[]).await;
    assert!(
        text.contains("calls    1,234/s; 7 received") || text.contains("calls    1,235/s; 7 received"),
        "{text}"
    );
    assert!(text.contains("\ns000         12         7"), "{text}");
}

#[tokio::test]
async fn a_watch_redraws_the_terminal_and_restores_it() {
    let server = growing(500).await;
    for how in ["q", "ctrl-c"] {
        let mut watch = OnTerminal::start(of(&server, &["--watch", "--interval", "100ms"]), 100, 24);
        let before = watch.modes();
        watch.shows(ENTER).await;
        // The second snapshot gives rates.
        watch.shows("/s █").await;
        watch.shows("q quits").await;
        match how {
            "q" => watch.press(b"xq"),
            _ => watch.signal(Signal::INT),
        }
        assert!(watch.ended().await.success());
        // What was written may not have been read yet.
        watch.shows(LEAVE).await;
        let shown = watch.written();
        assert!(shown.ends_with(LEAVE), "{shown:?}");
        assert_eq!((shown.matches(ENTER).count(), shown.matches(LEAVE).count()), (1, 1));
        assert_eq!(watch.modes().local_modes, before.local_modes, "{how}");
        // Each picture fits: it never scrolls.
        for picture in shown.split("\u{1b}[H").skip(1) {
            assert!(picture.matches("\r\n").count() < 24, "{picture:?}");
        }
    }
}

#[tokio::test]
async fn a_watch_survives_a_collector_that_does_not_answer() {
    let down = Arc::new(AtomicU64::new(0));
    let is_down = Arc::clone(&down);
    let server = ScriptedHttp::elsewhere(move |request| match request.target.as_str() {
        _ if is_down.load(Ordering::SeqCst) == 1 => Reply::Close,
        "/api/status" => answer(&status(1, 7)),
        _ => Reply::status(404),
    })
    .await;
    let mut watch = OnTerminal::start(of(&server, &["--watch", "--interval", "100ms"]), 100, 24);
    watch.shows("s000").await;
    down.store(1, Ordering::SeqCst);
    watch.shows("what follows is old").await;
    down.store(0, Ordering::SeqCst);
    let length = watch.written().len();
    crate::support::wait::until("a picture without the failure", PATIENCE, async || {
        let shown = watch.written();
        let last = shown.get(length..)?.rsplit("\u{1b}[H").nth(1)?.to_owned();
        (last.contains("s000") && !last.contains("is old")).then_some(())
    })
    .await;
    watch.press(b"q");
    assert!(watch.ended().await.success());
}

#[tokio::test]
async fn a_watch_without_a_terminal_prints_snapshots() {
    let server = growing(1).await;
    let mut child = of(&server, &["--watch", "--interval", "100ms"]);
    let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let seen = Mutex::new(String::new());
    let two = async {
        while seen.lock().unwrap().matches("\n\nforebay ").count() < 2 {
            let line = lines.next_line().await.unwrap().unwrap();
            seen.lock().unwrap().push_str(&(line + "\n"));
        }
    };
    timeout(PATIENCE, two).await.unwrap();
    assert!(!seen.lock().unwrap().contains('\u{1b}'));
    // Its reader leaves.
    drop(lines);
    assert!(timeout(PATIENCE, child.wait()).await.unwrap().unwrap().success());
}

#[tokio::test]
async fn a_watch_can_print_json_lines() {
    let server = growing(2).await;
    let mut child = of(&server, &["--watch", "--json", "--source", "s001", "--interval", "100ms"]);
    let mut child = child.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    for received in [1, 1_001, 2_001] {
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap();
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["sources"], json!([{ "id": "s001", "totals": { "received": received } }]));
    }
    drop(lines);
    assert!(timeout(PATIENCE, child.wait()).await.unwrap().unwrap().success());
}
