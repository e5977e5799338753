//! Nodes and commands that are killed at random moments: each row is imported once all the same.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use super::support::{import, ran, rejects};
use crate::support::fault_proxy::FaultProxy;
use crate::support::forebay::{Flush, Forebay};
use crate::support::tools::{on_path, stdout_of};

/// Kills of each kind, unless `FOREBAY_IMPORT_KILLS` is set.
const KILLS: u64 = 5;
/// Rows of a file. A step has 2,000.
const ROWS: u64 = 9_000;
/// So small that seals, uploads and commits are always in progress.
const FLUSH: Flush = Flush { age: "1s", bytes: "200KB" };

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let value = std::env::var_os(name)?.into_string().ok()?;
    Some(value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}

/// A file whose rows have no messageIds. One in a hundred is bad.
fn write_table(folder: &Path, number: u64) {
    let rows: String = (0..ROWS)
        .map(|row| match row % 100 {
            99 => format!("u{row}\n"),
            _ => format!("u{row},event {},{}\n", row % 7, "x".repeat(100)),
        })
        .collect();
    fs::write(folder.join(format!("track_{number:03}.csv")), format!("userId,event,properties.x\n{rows}"))
        .unwrap();
}

fn command(folder: &Path, admin: &str, state: &str) -> tokio::process::Command {
    let mut command = import(folder, &["in", "--json", "--admin", admin, "--on-row-error", "reject"]);
    command.env("FOREBAY_STATE", folder.join(state));
    command
}

/// The rows that were rejected, by file.
fn rejected(state: &Path) -> BTreeMap<String, Vec<u64>> {
    let mut all: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    for entry in fs::read_dir(state.join("rejects")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "ndjson") {
            for reject in rejects(&path) {
                let rows = all.entry(reject["file"].as_str().unwrap().to_owned()).or_default();
                rows.push(reject["row"].as_u64().unwrap());
            }
        }
    }
    all
}

/// Downloads the objects with the calls of imports.
async fn download(node: &Forebay, to: &Path) {
    for object in node.bucket().objects("segment-logs/csv/").await {
        let file = to.join(&object.key);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, &object.body).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_repeated_by_kills_of_node_and_command() {
    let Some(python) = on_path("python3") else { return };
    let seed = setting("FOREBAY_IMPORT_KILLS_SEED").unwrap_or_else(rand::random);
    let kills = setting("FOREBAY_IMPORT_KILLS").unwrap_or(KILLS);
    eprintln!("{kills} kills of each with FOREBAY_IMPORT_KILLS_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let root = tempfile::tempdir().unwrap();
    let folder = root.path();
    fs::create_dir(folder.join("in")).unwrap();
    let (mut files, mut of_node, mut of_command) = (0, 0, 0);

    let mut node = Forebay::dev(&folder.join("killed"), FLUSH).await;
    // The command finds each life of the node at the same address.
    let proxy = FaultProxy::start(&node.console, []).await;
    while of_node < kills || of_command < kills {
        // There is always something left to import.
        for _ in 0..2 {
            write_table(&folder.join("in"), files);
            files += 1;
        }
        let mut running = command(folder, &proxy.url, "state");
        let mut child =
            running.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        while child.try_wait().unwrap().is_none() {
            // To vary the moment of the kill.
            tokio::time::sleep(Duration::from_millis(random.random_range(100..1_000))).await;
            if child.try_wait().unwrap().is_some() {
                break;
            }
            if of_node < kills && (of_command >= kills || random.random()) {
                node.kill().await;
                node = Forebay::dev(&folder.join("killed"), FLUSH).await;
                proxy.pass_to(&node.console);
                of_node += 1;
            } else if of_command < kills {
                child.kill().await.unwrap();
                of_command += 1;
            } else {
                break;
            }
        }
        child.kill().await.unwrap();
    }
    let last = ran(command(folder, &proxy.url, "state")).await;
    assert!(matches!(last.code, Some(0 | 3)), "{last:?}");
    let again = ran(command(folder, &proxy.url, "state")).await.code(0).json();
    assert_eq!(
        (again["rows"].as_u64(), again["files"].as_array().map(|files| files.len() as u64)),
        (Some(0), Some(files))
    );
    node.flush().await;
    download(&node, &folder.join("bucket-killed")).await;

    let clean = Forebay::dev(&folder.join("clean"), FLUSH).await;
    ran(command(folder, &clean.console, "clean-state")).await.code(3);
    clean.flush().await;
    download(&clean, &folder.join("bucket-clean")).await;

    let mut counted = Command::new(python);
    counted.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/suite/import/count_ids.py"));
    counted.args(["bucket-killed", "bucket-clean"]).current_dir(folder);
    let counted = stdout_of(counted).await;
    let counted: Vec<Value> = counted.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let calls = files * (ROWS - ROWS / 100);
    for of in &counted {
        assert_eq!((of["lines"].as_u64(), of["ids"].as_u64()), (Some(calls), Some(calls)), "{of}");
    }
    assert_eq!(counted[0]["sha256"], counted[1]["sha256"], "the same messageIds: {counted:?}");
    let bad: Vec<u64> = (0..ROWS / 100).map(|number| number * 100 + 99).collect();
    for state in ["state", "clean-state"] {
        let rejected = rejected(&folder.join(state));
        assert_eq!(rejected.len() as u64, files, "{state}");
        assert!(rejected.values().all(|rows| *rows == bad), "{state}: {rejected:?}");
    }
    eprintln!("{files} files, {calls} calls, {of_node} kills of the node, {of_command} of the command");
}
