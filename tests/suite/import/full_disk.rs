//! The spool's disk is really full while a file is imported and calls wait for a function. Once there is
//! space, both go on without a restart, and nothing is missing or there twice.

use std::collections::BTreeSet;
use std::fs;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value;

use super::support::import;
use crate::serve::support::{CREDENTIALS, Caller, PATIENCE, Rig, ask, status};
use crate::support::forebay::{Forebay, finished};
use crate::support::http::is_accepted;
use crate::support::loop_disk::{Filler, Kind, LoopDisk};
use crate::support::scripted_http::{Reply, ScriptedHttp};
use crate::support::wait::until;

const DISK_BYTES: u64 = 100_000_000;
/// Far more than the disk has space for.
const ROWS: usize = 120_000;
const MORE_ROWS: usize = 1_000;
/// Letters in a row.
const LETTERS: usize = 900;

fn table(first: usize, rows: usize) -> String {
    let row = |row: usize| format!("row-{row},u{},e,{}\n", row % 97, "x".repeat(LETTERS));
    (first..first + rows)
        .fold("messageId,userId,event,properties.text\n".to_owned(), |table, at| table + &row(at))
}

/// The rows of imports that the node has taken.
async fn rows_taken(forebay: &Forebay) -> u64 {
    let text = ask(forebay, "/metrics").await.body;
    let text = String::from_utf8_lossy(&text).into_owned();
    let rows = text.lines().filter(|line| line.starts_with("forebay_import_rows_total{"));
    rows.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_and_a_queue_outlast_a_full_disk() {
    let rig = Rig::start(&["lake"]).await;
    let Some(disk) = LoopDisk::mount(Kind::Ext4, DISK_BYTES, rig.folder.path()) else { return };
    let works = Arc::new(AtomicBool::new(false));
    let is_working = Arc::clone(&works);
    let function = ScriptedHttp::elsewhere(move |_| {
        Reply::status(if is_working.load(Ordering::SeqCst) { 200 } else { 503 })
    })
    .await;
    let mut settings = rig.settings(&["web", "shop"]);
    let dir = disk.path().join("spool");
    settings.spool = format!("dir = \"{}\"\nsegment_bytes = \"8 MiB\"", dir.display());
    settings.flush = "max_age = \"1 s\"\nmax_bytes = \"1 MB\"\nshutdown_grace = \"1 s\"".to_owned();
    settings.sources[1].1.push_str(&format!(
        "\n[[destination]]\nname = \"crm\"\ntype = \"http\"\nurl = \"{}\"\nsources = [\"web\"]\ntimeout = \"1 s\"",
        function.url()
    ));
    let forebay = Forebay::serve(settings.write(), &CREDENTIALS).await;
    let mut caller = Caller::new();
    // Calls that wait for the function, in the log and in files of their own.
    for _ in 0..20 {
        caller.send(&forebay, "web", 20, 1_000).await;
    }

    let folder = rig.folder.path();
    fs::write(folder.join("track_1.csv"), table(0, ROWS)).unwrap();
    fs::write(folder.join("track_2.csv"), table(ROWS, MORE_ROWS)).unwrap();
    let arguments = ["--source", "shop", "--admin", &forebay.console];
    let importing = {
        let mut command = import(folder, &arguments);
        command.arg("track_1.csv").stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        command.spawn().unwrap()
    };
    until("rows to be taken", PATIENCE, async || (rows_taken(&forebay).await > 0).then_some(())).await;
    let filler = Filler::fill(disk.path()).keep_growing();
    let mut refused = 0;
    until("calls and rows to be refused for long", 2 * PATIENCE, async || {
        let before = rows_taken(&forebay).await;
        for _ in 0..5 {
            let answer = caller.try_send(&forebay, "web", 20, 1_000).await;
            refused = if is_accepted(&answer) { 0 } else { refused + 1 };
        }
        (refused > 100 && before == rows_taken(&forebay).await).then_some(())
    })
    .await;
    filler.stop().remove();
    works.store(true, Ordering::SeqCst);

    let imported = importing.wait_with_output().await.unwrap();
    assert!(imported.status.success(), "{}\n{}", String::from_utf8_lossy(&imported.stderr), forebay.log());
    let again = finished(import(folder, &arguments).args(["track_1.csv", "track_2.csv"])).await;
    assert!(again.status.success(), "{again:?}\n{}", forebay.log());
    caller.note("shop", (0..ROWS + MORE_ROWS).map(|row| format!("row-{row}")).collect());
    caller.send(&forebay, "web", 1, 10).await;
    forebay.flush().await;
    for source in ["web", "shop"] {
        caller.all_arrive(&rig.bucket("lake"), "", source).await;
    }
    let wanted = caller.of("web");
    let id = |call: &Value| call["messageId"].as_str().unwrap().to_owned();
    until("each call to be taken by the function or dead", 2 * PATIENCE, async || {
        let requests = function.requests();
        let got = requests.iter().map(|request| id(&serde_json::from_slice(&request.body).unwrap()));
        let mut got: BTreeSet<String> = got.collect();
        let taken = got.len();
        for object in rig.bucket("lake").objects("segment-logs/_dlq/crm/web/").await {
            let letters = object.text();
            let letters = letters.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
            got.extend(letters.map(|letter| id(&letter["call"])));
        }
        eprintln!("{taken} taken, {} with dead letters, of {}", got.len(), wanted.len());
        assert!(got.is_subset(&wanted), "calls of another source");
        (got == wanted).then_some(())
    })
    .await;
    until("no alarm to stand", PATIENCE, async || {
        let now = status(&forebay).await;
        now["alarms"].as_array().unwrap().is_empty().then_some(())
    })
    .await;
    assert!(forebay.terminate().await.success());
}
