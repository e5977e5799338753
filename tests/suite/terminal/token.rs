//! The admin token: where commands take it from, and where they send it.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use crate::support::forebay::{command, finished};
use crate::support::scripted_http::{Reply, ScriptedHttp};

const STATUS: &str = r#"{"version":"0.1.0","ready":true}"#;

fn answer(status: u16, body: &str) -> Reply {
    Reply::Answer { status, headers: Vec::new(), body: body.to_owned() }
}

/// A listener with this answer for every request.
async fn listener(status: u16, body: &'static str) -> ScriptedHttp {
    ScriptedHttp::elsewhere(move |_| answer(status, body)).await
}

fn token_file(folder: &Path, content: &str) -> PathBuf {
    let path = folder.join("token");
    fs::write(&path, content).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    path
}

async fn run(line: &str, variable: Option<&str>) -> (Option<i32>, String) {
    let mut command = command();
    command.args(line.split_whitespace());
    variable.map(|token| command.env("FOREBAY_ADMIN_TOKEN", token));
    let Output { status, stdout, stderr } = finished(&mut command).await;
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[tokio::test]
async fn every_command_sends_the_token_of_the_file_or_of_the_environment() {
    let folder = tempfile::tempdir().unwrap();
    let file = token_file(folder.path(), "  from-file\nsecond line\n");
    let receipt = "web/1763596800000/0123456789abcdef0123456789abcdef/42";
    let csv = folder.path().join("track_1.csv");
    fs::write(&csv, "userId,event\nu,e\n").unwrap();
    let commands = [
        "status".to_owned(),
        "flush".to_owned(),
        format!("receipt {receipt} --bucket lake --endpoint-url http://127.0.0.1:1"),
        "wait lake --source web --day 2026-01-01 --endpoint-url http://127.0.0.1:1 --timeout 0s".to_owned(),
        format!("import csv {} --source web --state {}", csv.display(), folder.path().display()),
    ];
    for line in commands {
        let server = listener(401, r#"{"code":"unauthorized","message":"no"}"#).await;
        let line = format!("{line} --admin {}", server.url());
        let with_file = format!("{line} --token-file {}", file.display());
        let sent = async |line: &str, variable: Option<&str>| {
            let before = server.requests().len();
            let (code, said) = run(line, variable).await;
            assert_ne!(code, Some(0), "{line}: {said}");
            assert!(!said.contains("from-file") && !said.contains("from-variable"), "{line}: {said}");
            let sent = server.requests().split_off(before);
            assert!(!sent.is_empty(), "{line}: {said}");
            let mut tokens: Vec<_> =
                sent.iter().map(|request| request.header("authorization").map(str::to_owned)).collect();
            tokens.dedup();
            (tokens, said)
        };
        let (tokens, said) = sent(&line, None).await;
        assert_eq!(tokens, [None], "{line}");
        assert!(
            said.contains(
                "wants a token: set FOREBAY_ADMIN_TOKEN, or name a file that contains it with --token-file"
            ),
            "{line}: {said}"
        );
        let (tokens, said) = sent(&line, Some("from-variable")).await;
        assert_eq!(tokens, [Some("Bearer from-variable".to_owned())], "{line}");
        assert!(said.contains("does not accept the token in FOREBAY_ADMIN_TOKEN"), "{line}: {said}");
        let (tokens, said) = sent(&with_file, Some("from-variable")).await;
        assert_eq!(tokens, [Some("Bearer from-file".to_owned())], "{line}");
        assert!(said.contains(&format!("does not accept the token in {}", file.display())), "{line}: {said}");
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_the_token_stays_here() {
    let elsewhere = listener(200, STATUS).await;
    let target = format!("{}/api/status", elsewhere.url());
    for status in [301, 302, 307, 308] {
        let location = target.clone();
        let server = ScriptedHttp::elsewhere(move |_| answer(status, "").with("location", &location)).await;
        let (code, said) = run(&format!("status --admin {}", server.url()), Some("s3cret")).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(&format!("it answered {status}")), "{said}");
        assert_eq!(server.requests().len(), 1);
    }
    assert!(elsewhere.requests().is_empty());
}

#[tokio::test]
async fn a_token_that_may_only_read_is_named_as_the_reason() {
    let server = listener(403, r#"{"code":"read_only","message":"this token may only read"}"#).await;
    let (code, said) = run(&format!("flush --admin {}", server.url()), Some("reader")).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("this token may only read; give the token of `admin.token`"), "{said}");
}

#[tokio::test]
async fn an_import_without_access_is_exit_5() {
    let folder = tempfile::tempdir().unwrap();
    let csv = folder.path().join("track_1.csv");
    fs::write(&csv, "userId,event\nu,e\n").unwrap();
    let line = format!("import csv {} --source web --state {}", csv.display(), folder.path().display());
    let server = listener(401, r#"{"code":"unauthorized","message":"no"}"#).await;
    let (code, said) = run(&format!("{line} --admin {}", server.url()), None).await;
    assert_eq!(code, Some(5), "{said}");
    // The token may read the status, but import nothing.
    let server = ScriptedHttp::elsewhere(|request| match request.method.as_str() {
        "GET" => answer(200, STATUS),
        _ => answer(403, r#"{"code":"read_only","message":"this token may only read"}"#),
    })
    .await;
    let (code, said) = run(&format!("{line} --admin {}", server.url()), Some("reader")).await;
    assert_eq!(code, Some(5), "{said}");
    assert!(said.contains("this token may only read"), "{said}");
}

#[tokio::test]
async fn a_token_file_must_be_usable_and_should_be_private() {
    let folder = tempfile::tempdir().unwrap();
    let server = listener(200, STATUS).await;
    let line = |file: &Path| format!("status --admin {} --token-file {}", server.url(), file.display());
    let file = token_file(folder.path(), "s3cret");
    let (code, said) = run(&line(&file), None).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("every user can read"), "{said}");
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    let (code, said) = run(&line(&file), None).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("every user can read the token in"), "{said}");
    assert!(!said.contains("s3cret"), "{said}");

    fs::write(&file, "\n").unwrap();
    let (code, said) = run(&line(&file), None).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("has no token: its first line is empty"), "{said}");
    let (code, said) = run(&line(Path::new("/nowhere/token")), None).await;
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("read the token in /nowhere/token: No such file"), "{said}");
    // A token is never an argument.
    let (code, said) = run(&format!("status --admin {} --token s3cret", server.url()), None).await;
    assert_eq!(code, Some(2), "{said}");
}
