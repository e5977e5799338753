//! Commands whose reader leaves early, as `head` does: they end quietly, with the exit code of their work.

use std::fs;
use std::ops::Range;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde_json::json;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::forebay::{Flush, Forebay, binary, closed_pipe, command, without_settings};
use crate::support::http::Http;

const PATIENCE: Duration = Duration::from_secs(30);

/// The line as arguments, with the paths and addresses that its names stand for.
fn words<'a>(line: &'a str, places: &'a [(&'a str, String)]) -> Vec<&'a str> {
    let place =
        |word: &'a str| places.iter().find(|(name, _)| *name == word).map_or(word, |(_, path)| path.as_str());
    line.split(' ').map(place).collect()
}

async fn ended(mut command: Command) -> Output {
    command.stdin(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    command.env("AWS_ACCESS_KEY_ID", "forebay").env("AWS_SECRET_ACCESS_KEY", "forebay-secret");
    // A drain logs each object, and warns of a disk smaller than the spool may become.
    command.env("FOREBAY_LOG", "error");
    let child = command.spawn().unwrap();
    timeout(PATIENCE, child.wait_with_output())
        .await
        .unwrap_or_else(|_| panic!("still running: {command:?}"))
        .unwrap()
}

/// Nobody reads even the first byte.
async fn quiet(line: &str, places: &[(&str, String)], code: i32) {
    let mut command = command();
    command.args(words(line, places)).stdout(closed_pipe());
    let ran = ended(command).await;
    let said = String::from_utf8_lossy(&ran.stderr);
    assert_eq!((ran.status.code(), said.as_ref()), (Some(code), ""), "{line}");
}

#[tokio::test]
async fn help_and_generated_text_end_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().display().to_string();
    let places = [("PAGES", format!("{dir}/pages"))];
    for line in [
        "--help",
        "--version",
        "help import csv",
        "man",
        "man PAGES",
        "completions bash",
        "completions zsh",
        "completions fish",
        "policy --list",
        "policy --list --json",
        "policy collector --bucket lake",
    ] {
        quiet(line, &places, 0).await;
    }
    assert!(fs::exists(folder.path().join("pages/forebay.1")).unwrap(), "the work is done all the same");
}

#[tokio::test]
async fn commands_about_a_node_and_its_objects_end_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let forebay = Forebay::dev(folder.path(), Flush::LATE).await;
    let send = async |requests: Range<usize>| {
        for request in requests {
            let call = |number: usize| json!({"type": "track", "userId": "u1", "event": format!("{request}-{number}")});
            let body = json!({"batch": (0..100).map(call).collect::<Vec<_>>()});
            assert!(Http::new().track(&forebay.collector, "web", &body).await);
        }
    };
    send(0..2).await;
    let csv = folder.path().join("track_1.csv");
    fs::write(&csv, "userId,event\nu1,Hello\n").unwrap();
    let dir = folder.path().display();
    let places = [
        ("ADMIN", forebay.console.clone()),
        ("S3", forebay.s3.clone()),
        ("CSV", csv.display().to_string()),
        ("SPOOL", format!("{dir}/spool")),
        ("OBJECTS", format!("{dir}/objects")),
    ];
    for line in [
        "tail --admin ADMIN",
        "tail --json --admin ADMIN",
        "status --admin ADMIN",
        "status --json --admin ADMIN",
        "status --watch --admin ADMIN",
        "status --watch --json --admin ADMIN",
        "import csv CSV --dry-run",
        "import csv CSV --dry-run --json",
        "flush --admin ADMIN",
        "flush --json --admin ADMIN",
        "verify forebay --endpoint-url S3",
        "verify forebay --endpoint-url S3 --deep --json",
    ] {
        quiet(line, &places, 0).await;
    }
    // What the reader takes is whole lines of calls, and the command ends when it has them.
    let mut head = without_settings(Command::new("sh"));
    head.args(["-c", "\"$0\" tail --admin \"$1\" | head -2"]).arg(binary()).arg(&forebay.console);
    head.stdout(Stdio::piped());
    let ran = ended(head).await;
    assert_eq!(String::from_utf8_lossy(&ran.stderr), "");
    assert_eq!(String::from_utf8_lossy(&ran.stdout).lines().count(), 2);

    // More than a pipe and its writer hold.
    send(2..12).await;
    forebay.kill().await;
    for line in [
        "spool inspect SPOOL",
        "spool inspect SPOOL --json",
        "spool verify SPOOL",
        "spool verify SPOOL --json",
        "spool export SPOOL",
        "spool drain SPOOL --to OBJECTS --json",
        "spool drain SPOOL --to OBJECTS",
    ] {
        quiet(line, &places, 0).await;
    }
    assert!(fs::exists(folder.path().join("objects/segment-logs/web")).unwrap(), "drained all the same");
}

/// A failure is a failure, and still says what it is.
#[tokio::test]
async fn an_unread_failure_is_still_reported() {
    let mut inspect = command();
    inspect.args(["spool", "inspect", "/no/such/spool"]).stdout(closed_pipe());
    let ran = ended(inspect).await;
    assert_eq!(ran.status.code(), Some(1));
    assert!(!ran.stderr.is_empty());
}
