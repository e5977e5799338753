//! Files that grow while they are read: each row is stored once, by an independent count.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::support::{Ran, Stand, counts, values};
use crate::serve::support::status;
use crate::support::wait;

const PATIENCE: Duration = Duration::from_secs(60);

/// Rows of a table of track calls.
fn rows(of: std::ops::Range<u64>) -> String {
    of.map(|row| format!("u{row},e\n")).collect()
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Runs a slow import, and does something to its file once some rows are stored.
async fn run_and_change(stand: &Stand, arguments: &[&str], change: impl FnOnce()) -> Ran {
    let before = pending(stand).await;
    let mut slow = stand.import(&[&["--rate", "8000", "--json"], arguments].concat());
    slow.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = slow.spawn().unwrap();
    wait::until("some rows to be stored", PATIENCE, async || {
        (pending(stand).await >= before + 2_000).then_some(())
    })
    .await;
    change();
    let output = child.wait_with_output().await.unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

async fn pending(stand: &Stand) -> u64 {
    status(&stand.node).await["sources"][0]["pending_calls"].as_u64().unwrap_or_default()
}

fn file_of(json: &Value) -> &Value {
    &json["files"][0]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_grows_while_it_is_read_is_stored_once() {
    let stand = Stand::start().await;
    let path = stand.file("track_1.csv", format!("userId,event\n{}", rows(0..20_000)));
    // The writer is in the middle of a row when the first import ends.
    let first =
        run_and_change(&stand, &["track_1.csv"], || append(&path, &format!("{}u20", rows(20_000..20_500))));
    let first = first.await.code(1).json();
    let stored = file_of(&first)["stored"].as_u64().unwrap();
    assert!((2_000..=20_000).contains(&stored), "{first}");
    let said = file_of(&first)["error"]["message"].as_str().unwrap();
    assert!(said.contains("20,000 rows") && said.contains("continues after them"), "{said}");
    append(&path, &format!("500,e\n{}", rows(20_501..45_000)));
    // It grows again.
    let second = run_and_change(&stand, &["track_1.csv"], || append(&path, &rows(45_000..46_000))).await;
    let second = second.code(1).json();
    assert_eq!(file_of(&second)["rows_before"], stored, "{second}");
    let third = stand.run(&["track_1.csv", "--json"]).await.code(0).json();
    assert!(file_of(&third)["note"].as_str().unwrap().contains("not stored again"), "{third}");
    let again = stand.run(&["track_1.csv", "--json"]).await.code(0).json();
    assert_eq!((&again["rows"], &file_of(&again)["ended"]), (&0.into(), &"done before".into()), "{again}");
    let lines = stand.lines("csv").await;
    let users: Vec<String> = (0..46_000).map(|row| format!("u{row}")).collect();
    assert_eq!(values(&lines, "/userId"), users);
    let ids = counts(values(&lines, "/messageId"));
    assert_eq!((ids.len(), ids.values().max()), (46_000, Some(&1)));
}

/// Changes that are not a growth, and what the next import makes of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_begins_otherwise_is_another_file() {
    let stand = Stand::start().await;
    let path = stand.file("track_1.csv", format!("userId,event\n{}", rows(0..20_000)));
    let first = run_and_change(&stand, &["track_1.csv"], || append(&path, "u20000")).await.code(1).json();
    let stored = file_of(&first)["stored"].as_u64().unwrap();
    // One letter of the first row.
    stand.file("track_1.csv", format!("userId,event\nU0,e\n{}", rows(1..20_000)));
    let second = stand.run(&["track_1.csv", "--json"]).await.code(0).json();
    let note = file_of(&second)["note"].as_str().unwrap();
    assert!(note.contains("it does not begin with them: all of its rows are imported"), "{note}");
    assert_eq!((&file_of(&second)["stored"], &file_of(&second)["rows_before"]), (&20_000.into(), &0.into()));
    assert_eq!(stand.lines("csv").await.len() as u64, stored + 20_000);
    // What is imported to its end is another file when it grows later.
    append(&path, "u20000,e\n");
    let third = stand.run(&["track_1.csv", "--json"]).await.code(0).json();
    assert_eq!((&file_of(&third)["stored"], &file_of(&third)["note"]), (&20_001.into(), &Value::Null));
}

/// Rejected rows, ids and a killed command, in a compressed file, through a collector: each row is there once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejects_ids_and_a_kill_stay_with_the_first_version() {
    let stand = Stand::start().await;
    let table = |users: std::ops::Range<u64>| {
        let row = |row: u64| match row % 1_000 {
            7 => format!("u{row},,{row}\n"),
            _ => format!("u{row},e,{row}\n"),
        };
        format!("userId,event,properties.order\n{}", users.map(row).collect::<String>())
    };
    let gzip = |text: &str| {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(text.as_bytes()).unwrap();
        encoder.finish().unwrap()
    };
    stand.file("track_1.csv.gz", gzip(&table(0..9_000)));
    let arguments =
        ["track_1.csv.gz", "--id-from", "column:properties.order", "--rejects", "rejected", "--json"];
    let to = ["--collector", &stand.node.collector, "--write-key", "shop"];
    for (way, source) in [(&to[..], "shop"), (&[], "csv")] {
        let arguments = [&arguments[..], way].concat();
        let mut slow =
            super::support::import(stand.folder.path(), &[&arguments[..], &["--rate", "6000"]].concat());
        slow.env("FOREBAY_ADMIN_URL", &stand.node.console);
        let mut child = slow.stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true).spawn().unwrap();
        let before = pending(&stand).await;
        wait::until("some rows to be stored", PATIENCE, async || {
            (pending(&stand).await >= before + 3_900).then_some(())
        })
        .await;
        child.kill().await.unwrap();
        stand.file("track_1.csv.gz", gzip(&table(0..12_000)));
        let second = stand.run(&arguments).await.code(3).json();
        let before = file_of(&second)["rows_before"].as_u64().unwrap();
        assert!(before >= 4_000 && file_of(&second)["note"].is_string(), "{second}");
        assert_eq!(second["rows"], 12_000 - before, "{second}");
        let orders = counts(values(&stand.lines(source).await, "/properties/order"));
        assert_eq!((orders.len(), orders.values().max()), (12_000 - 12, Some(&1)), "{source}");
        let rejected: Vec<u64> = super::support::rejects(&stand.folder.path().join("rejected"))
            .iter()
            .map(|reject| reject["row"].as_u64().unwrap())
            .collect();
        assert_eq!(rejected, (0..12).map(|thousand| thousand * 1_000 + 7).collect::<Vec<_>>());
        std::fs::remove_file(stand.folder.path().join("rejected")).unwrap();
        stand.file("track_1.csv.gz", gzip(&table(0..9_000)));
    }
}
