//! Files that grow while they are read: each row is stored once, by an independent count.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::support::{Ran, Stand, counts, values};
use crate::serve::support::status;
use crate::support::fault_proxy::FaultProxy;
use crate::support::forebay::{Flush, Forebay};
use crate::support::wait;

const PATIENCE: Duration = Duration::from_secs(60);

/// Rows of a table of track calls.
fn rows(of: std::ops::Range<u64>) -> String {
    of.map(|row| format!("u{row},e\n")).collect()
}

fn append(path: &Path, text: &str) {
    OpenOptions::new().append(true).open(path).unwrap().write_all(text.as_bytes()).unwrap();
}

/// Runs an import of so many rows a second, and does something to its file once some rows are stored.
async fn run_and_change(stand: &Stand, rate: u64, arguments: &[&str], change: impl AsyncFnOnce()) -> Ran {
    let before = pending(stand).await;
    let mut slow = stand.import(&[&["--rate", &rate.to_string(), "--json"], arguments].concat());
    slow.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let child = slow.spawn().unwrap();
    wait::until("some rows to be stored", PATIENCE, async || (pending(stand).await > before).then_some(()))
        .await;
    change().await;
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
    let first = run_and_change(&stand, 8_000, &["track_1.csv"], async || {
        append(&path, &format!("{}u20", rows(20_000..20_500)))
    });
    let first = first.await.code(1).json();
    let stored = file_of(&first)["stored"].as_u64().unwrap();
    assert!((1..=20_000).contains(&stored), "{first}");
    let said = file_of(&first)["error"]["message"].as_str().unwrap();
    assert!(said.contains("20,000 rows") && said.contains("continues after them"), "{said}");
    append(&path, &format!("500,e\n{}", rows(20_501..45_000)));
    // It grows again.
    let second =
        run_and_change(&stand, 8_000, &["track_1.csv"], async || append(&path, &rows(45_000..46_000))).await;
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
    let first = run_and_change(&stand, 8_000, &["track_1.csv"], async || append(&path, "u20000"))
        .await
        .code(1)
        .json();
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

/// Rejected rows, ids and a killed command, in a compressed file, through a collector: each row is there
/// once.
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

/// An object of these tests.
const KEY: &str = "in/track_1.csv";

/// Puts an object into the bucket of the stand, beside the folders of calls.
async fn put(stand: &Stand, key: &str, text: &str) {
    let client = stand.node.bucket().client;
    let put = client.put_object().bucket("forebay").key(key).body(text.as_bytes().to_vec().into());
    put.send().await.unwrap();
}

/// An object is read in ranges of 8 MiB, two of them ahead: this one is larger than what is read when it is
/// replaced.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_that_is_replaced_by_a_longer_one_is_stored_once() {
    let stand = Stand::start().await;
    let table = |rows: std::ops::Range<u64>| -> String {
        rows.map(|row| format!("u{row},e,{}\n", "x".repeat(3_000))).collect()
    };
    let first = format!("userId,event,properties.x\n{}", table(0..10_000));
    assert!(first.len() > 27 << 20, "{}", first.len());
    // The first one ends within a row.
    put(&stand, KEY, &format!("{first}u100")).await;
    let arguments = ["s3://forebay/in/track_1.csv", "--endpoint-url", &stand.node.s3, "--json"];
    let longer = format!("{first}u10000,e,x\n{}", table(10_001..10_500));
    let replaced =
        run_and_change(&stand, 700, &arguments[..3], async || put(&stand, KEY, &longer).await).await;
    let changed = replaced.code(1).json();
    assert_eq!(file_of(&changed)["error"]["code"], "E-CHANGED", "{changed}");
    let stored = file_of(&changed)["stored"].as_u64().unwrap();
    assert!((1..10_000).contains(&stored), "{changed}");
    let second = stand.run(&arguments).await.code(0).json();
    assert_eq!(
        (&file_of(&second)["rows_before"], &second["rows"]),
        (&stored.into(), &(10_500 - stored).into()),
        "{second}"
    );
    let again = stand.run(&arguments).await.code(0).json();
    assert_eq!((&again["rows"], &file_of(&again)["ended"]), (&0.into(), &"done before".into()), "{again}");
    let lines = stand.lines("csv").await;
    assert_eq!(values(&lines, "/userId"), (0..10_500).map(|row| format!("u{row}")).collect::<Vec<_>>());
    let ids = counts(values(&lines, "/messageId"));
    assert_eq!((ids.len(), ids.values().max()), (10_500, Some(&1)));
}

/// The types that were found when the first row was imported are those of all rows: one that is added later and
/// has a cell of another type is rejected. A file that is read as a whole has one type that all cells have.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_that_are_added_have_the_types_that_were_found_before() {
    let stand = Stand::start().await;
    let cells: fn(u64) -> &'static str = |row| match (row < 20_000, row % 4) {
        (true, _) => "94103",
        (_, 0) => "02134",
        (_, 1) => "true",
        (_, 2) => "1.5",
        (_, _) => "7",
    };
    let table = |rows: std::ops::Range<u64>| -> String {
        rows.map(|row| format!("u{row},e,{}\n", cells(row))).collect()
    };
    let header = "userId,event,properties.x\n";
    let path = stand.file("track_1.csv", format!("{header}{}", table(0..20_000)));
    let arguments = ["track_1.csv", "--types", "infer"];
    let first =
        run_and_change(&stand, 8_000, &arguments, async || append(&path, &table(20_000..24_000))).await;
    let stored = file_of(&first.code(1).json())["stored"].as_u64().unwrap();
    let arguments = ["track_1.csv", "--types", "infer", "--rejects", "kept", "--json"];
    let second = stand.run(&arguments).await.code(3).json();
    assert_eq!(
        (&file_of(&second)["rows_before"], &second["rejected"]),
        (&stored.into(), &3_000.into()),
        "{second}"
    );
    let kept = super::support::rejects(&stand.folder.path().join("kept"));
    assert!(kept.iter().all(|reject| reject["code"] == "bad-type"), "{kept:?}");
    // What such a row is corrected to is read by the same types.
    let corrected = kept.iter().take(1).map(|reject| {
        let mut reject = reject.clone();
        reject["raw"] = "u20000,e,2134".into();
        format!("{reject}\n")
    });
    std::fs::write(stand.folder.path().join("kept"), corrected.collect::<String>()).unwrap();
    let retry = ["import", "retry-rejects", "kept", "--progress", "none"];
    super::support::ran(stand.beside(&retry)).await.code(0);
    stand.file("whole_1.csv", format!("{header}{}", table(0..24_000)));
    let whole = ["whole_1.csv", "--types", "infer", "--type", "track", "--source", "whole"];
    stand.run(&whole).await.code(0);
    let (mut grown, whole) = (stand.lines("csv").await, stand.lines("whole").await);
    assert_eq!((grown.len(), whole.len()), (21_001, 24_000));
    let value = |line: &String| serde_json::from_str::<Value>(line).unwrap()["properties"]["x"].clone();
    assert_eq!(value(&grown.pop().unwrap()), 2_134);
    assert!(grown.iter().map(value).all(|value| value == 94_103 || value == 7), "numbers");
    assert!(whole.iter().map(value).all(|value| value.is_string()), "texts");
}

/// Copies of a row are counted on where the first version ended.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn equal_rows_of_a_file_that_grows_are_each_stored() {
    let stand = Stand::start().await;
    // Each row twice, and after the growth a third time.
    let path = stand.file("track_1.csv", format!("userId,event\n{}{}", rows(0..8_000), rows(0..8_000)));
    let arguments = ["track_1.csv", "--id-from", "row-hash", "--json"];
    let first = run_and_change(&stand, 8_000, &arguments[..3], async || {
        append(&path, &format!("{}u80", rows(0..8_000)))
    })
    .await;
    let stored = file_of(&first.code(1).json())["stored"].as_u64().unwrap();
    assert!((1..=16_000).contains(&stored), "{stored}");
    append(&path, &format!("00,e\n{}", rows(8_001..8_900)));
    let second = stand.run(&arguments).await.code(0).json();
    let file = file_of(&second);
    assert_eq!((&file["rows_before"], &file["repeated"]), (&stored.into(), &0.into()), "{second}");
    let lines = stand.lines("csv").await;
    let expected = (0..8_900).map(|row| (format!("u{row}"), if row < 8_000 { 3 } else { 1 }));
    assert_eq!(counts(values(&lines, "/userId")), expected.collect());
    let ids = counts(values(&lines, "/messageId"));
    assert_eq!((ids.len(), ids.values().max()), (lines.len(), Some(&1)));
    // What is imported to its end and grows later is known by its rows.
    append(&path, &format!("{}{}", rows(0..10), rows(8_900..9_000)));
    let third = stand.run(&arguments).await.code(0).json();
    let file = file_of(&third);
    assert_eq!((&file["stored"], &file["repeated"]), (&110.into(), &24_900.into()), "{third}");
    let users = counts(values(&stand.lines("csv").await, "/userId"));
    assert_eq!((users["u9"], users["u10"], users["u8999"], users.values().sum::<u64>()), (4, 3, 1, 25_010));
}

/// How a rejected row was read is found out from the object, which is another one when the first row is
/// rejected. That was `E-REJECTS`, and blamed the rejects file.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_is_rejected_after_its_object_grew_waits_for_the_next_import() {
    let stand = Stand::start().await;
    let table = |of: std::ops::Range<u64>| format!("{}u{},\n", rows(of.start..of.end - 1), of.end - 1);
    let text = format!("userId,event\n{}", table(0..9_000));
    put(&stand, KEY, &text).await;
    let longer = format!("{text}{}", table(9_000..10_000));
    let arguments = ["s3://forebay/in/track_1.csv", "--endpoint-url", &stand.node.s3, "--json"];
    let first =
        run_and_change(&stand, 8_000, &arguments[..3], async || put(&stand, KEY, &longer).await).await;
    let first = first.code(1).json();
    let error = &file_of(&first)["error"];
    let said = error["message"].as_str().unwrap();
    assert!(error["code"] == "E-CHANGED" && said.contains("continues after them"), "{first}");
    let stored = file_of(&first)["stored"].as_u64().unwrap();
    let second = stand.run(&arguments).await.code(3).json();
    assert_eq!(
        (&file_of(&second)["rows_before"], &second["rows"]),
        (&stored.into(), &(10_000 - stored).into())
    );
    let kept = super::support::rejects(Path::new(file_of(&second)["rejects"].as_str().unwrap()));
    assert_eq!(kept.iter().map(|reject| reject["row"].clone()).collect::<Vec<_>>(), [8_999, 9_999]);
    let users = (0..10_000).filter(|row| ![8_999, 9_999].contains(row)).map(|row| format!("u{row}"));
    assert_eq!(values(&stand.lines("csv").await, "/userId"), users.collect::<Vec<_>>());
}

/// The node is killed in the middle of an import, and its file grows before the next one: while the command
/// waits for the node, or after the command was killed too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_grew_after_a_kill_of_the_node_is_stored_once() {
    for (how, survives) in [("position", false), ("position", true), ("row-hash", false)] {
        let Stand { folder, node } = Stand::start().await;
        let proxy = FaultProxy::start(&node.console, []).await;
        let stand = Stand { folder, node };
        let path = stand.file("track_1.csv", format!("userId,event\n{}", rows(0..20_000)));
        let mut arguments = vec!["track_1.csv", "--json", "--admin", &proxy.url];
        arguments.extend((how == "row-hash").then_some(["--id-from", "row-hash"]).iter().flatten());
        let mut slow = super::support::import(stand.folder.path(), &arguments);
        slow.args(["--rate", "8000"]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = slow.kill_on_drop(true).spawn().unwrap();
        wait::until("some rows to be stored", PATIENCE, async || {
            (pending(&stand).await >= 4_000).then_some(())
        })
        .await;
        let Stand { folder, node } = stand;
        node.kill().await;
        if !survives {
            child.kill().await.unwrap();
        }
        append(&path, &rows(20_000..25_000));
        let node = Forebay::dev(&folder.path().join("dev"), Flush::LATE).await;
        proxy.pass_to(&node.console);
        let stand = Stand { folder, node };
        if survives {
            let output = child.wait_with_output().await.unwrap();
            let first: Value = serde_json::from_slice(&output.stdout).unwrap();
            assert_eq!(file_of(&first)["error"]["code"], "E-CHANGED", "{first}");
        }
        let second = stand.run(&arguments).await.code(0).json();
        let before = file_of(&second)["rows_before"].as_u64().unwrap();
        // Between the rows of a step and their counts, rows that are known by their content are those of
        // another file.
        assert!(before >= 4_000 || how == "row-hash", "{how}: {second}");
        assert!(file_of(&second)["note"].is_string(), "{how}: {second}");
        assert_eq!(second["rows"], 25_000 - before, "{how}: {second}");
        let lines = stand.lines("csv").await;
        let users: Vec<String> = (0..25_000).map(|row| format!("u{row}")).collect();
        assert_eq!(values(&lines, "/userId"), users, "{how}");
        let ids = counts(values(&lines, "/messageId"));
        assert_eq!((ids.len(), ids.values().max()), (25_000, Some(&1)), "{how}");
    }
}

/// Rows are read ahead of those that are stored: the file grows after its end was read. All rows were stored
/// again if its lines end with CRLF, or blank lines followed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_grows_while_its_last_rows_are_stored_is_stored_once() {
    for (line_break, blank) in [("\n", ""), ("\r\n", ""), ("\r\n", "\r\n\r\n")] {
        let stand = Stand::start().await;
        let of = |range| rows(range).replace('\n', line_break);
        let header = format!("userId,event{line_break}");
        let path = stand.file("track_1.csv", header + &of(0..5_000) + blank);
        let first =
            run_and_change(&stand, 1_500, &["track_1.csv"], async || append(&path, &of(5_000..5_500))).await;
        let first = first.code(1).json();
        let said = file_of(&first)["error"]["message"].as_str().unwrap();
        assert!(said.contains("5,000 rows are imported") && said.contains("continues after them"), "{said}");
        let second = stand.run(&["track_1.csv", "--json"]).await.code(0).json();
        let counted = (&file_of(&second)["rows_before"], &second["rows"]);
        assert_eq!(counted, (&5_000.into(), &500.into()), "{line_break:?}{blank:?}: {second}");
        assert_eq!(values(&stand.lines("csv").await, "/userId").len(), 5_500);
    }
}

/// The writer is in the middle of a row when the file is read, and ends it before the row is stored: both
/// were stored.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_row_that_the_end_of_a_file_cuts_off_is_stored_whole() {
    let stand = Stand::start().await;
    let path = stand.file("track_1.csv", format!("userId,event\n{}cut,fir", rows(0..5_000)));
    let first = run_and_change(&stand, 1_500, &["track_1.csv"], async || append(&path, "st\nlast,e\n")).await;
    first.code(1);
    stand.run(&["track_1.csv"]).await.code(0);
    let lines = stand.lines("csv").await;
    let mut users: Vec<String> = (0..5_000).map(|row| format!("u{row}")).collect();
    users.extend(["cut".to_owned(), "last".to_owned()]);
    assert_eq!(values(&lines, "/userId"), users);
    assert_eq!(values(&lines[5_000..], "/event"), ["first", "e"]);
    // One that stays as it is, is a row.
    append(&path, "end,e");
    stand.run(&["track_1.csv"]).await.code(0);
    assert_eq!(values(&stand.lines("csv").await, "/userId").last().map(String::as_str), Some("end"));
}
