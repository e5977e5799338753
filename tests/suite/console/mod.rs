//! The console's page in a real browser, on the real program.

mod access;
mod browser;
mod every_view;
mod find;
mod first_call;
mod imports;
mod outage;
mod partitions;
mod refused;
mod shared_imports;
mod sources;

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use forebay::alarms::AlarmKind;
use tokio::process::Command;

use crate::support::forebay::{Forebay, command};
use crate::support::tools::{on_path, require};

/// One had `destination` as its title.
#[test]
fn each_alarm_has_a_sentence_as_its_title_in_the_console() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/src/admin/console/page/src/problems.ts");
    let page = fs::read_to_string(page).unwrap();
    for kind in AlarmKind::ALL {
        let title = page.lines().find_map(|line| line.trim().strip_prefix(&format!("{}: '", kind.slug())));
        assert!(title.is_some_and(|title| title.contains(' ')), "{}: {title:?}", kind.slug());
    }
}

/// Sends two calls, `First` and `Second`, with the Node SDK. `None` if that is not there.
async fn send_with_sdk(collector: &str, write_key: &str) -> Option<()> {
    let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/sdks/node/server.cjs");
    let status = Command::new(on_path("node")?)
        .args([driver, "analytics-node-3", write_key, collector, "two-calls"])
        .env("NODE_PATH", require("node/node_modules")?)
        .kill_on_drop(true)
        .status()
        .await
        .unwrap();
    assert!(status.success());
    Some(())
}

/// Imports four rows into the source `shop`, of which two are rejected. Returns the file that these are in.
async fn import_some(forebay: &Forebay, folder: &Path) -> PathBuf {
    fs::write(
        folder.join("track_1.csv"),
        "userId,event,timestamp\nu1,e,2026-11-21\nu2,e,soon\nu3,e\nu4,e,2026-11-22\n",
    )
    .unwrap();
    let rejects = folder.join("rejects.ndjson");
    let import = ["import", "csv", "track_1.csv", "--source", "shop", "--on-row-error", "reject", "--admin"];
    let import = import.map(OsStr::new).into_iter();
    let import = import.chain([forebay.console.as_ref(), "--rejects".as_ref(), rejects.as_ref()]);
    // Some rows are rejected.
    run(folder, import, 3).await;
    rejects
}

/// Runs a command of this program to its end in a folder, with its state below it.
async fn run(folder: &Path, arguments: impl IntoIterator<Item = impl AsRef<OsStr>>, code: i32) {
    let output = command()
        .args(arguments)
        .current_dir(folder)
        .env("FOREBAY_STATE", folder.join("state"))
        .kill_on_drop(true)
        .output()
        .await
        .unwrap();
    assert_eq!(output.status.code(), Some(code), "{output:?}");
}
