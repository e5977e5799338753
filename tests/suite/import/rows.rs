//! What the options do with rows: rejected ones, ranges, trials, interruptions.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use forebay::import::csv::{CsvOptions, CsvRows, FileType};
use forebay::import::identity;
use forebay::import::reading::Limits;
use forebay::import::reading::opened::{Opened, Options, open_stream};
use forebay::import::{Row, RowReader as _};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::support::{Ran, Stand, ran, rejects, values};
use crate::support::forebay::finished;
use crate::support::http::Http;
use crate::support::wait;

/// Enough time for a condition on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A table with a bad row at each of these numbers.
fn table(rows: u64, is_bad: impl Fn(u64) -> bool) -> String {
    let mut text = "userId,event\n".to_owned();
    for row in 0..rows {
        text += &if is_bad(row) { format!("u{row}\n") } else { format!("u{row},e\n") };
    }
    text
}

fn kept(stand: &Stand, ran: &Ran) -> PathBuf {
    let json = ran.json();
    let path = json["files"][0]["rejects"].as_str().unwrap_or_else(|| panic!("no rejects: {json}"));
    stand.folder.path().join(path)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_rows_are_kept_with_their_place_and_imported_after_a_correction() {
    let stand = Stand::start().await;
    stand.file("track_1.csv", "userId;event;timestamp\nu0;e;\nu1;e\nu2;\"e\ne\";never\nu3;\"e;1\nu4;e;\n");
    let first = stand.run(&["track_1.csv", "--json", "--source", "shop"]).await.code(3);
    let path = kept(&stand, &first);
    assert!(path.starts_with(stand.state().join("rejects")), "{path:?}");
    let expected = [
        json!({"file": "track_1.csv", "row": 1, "line": 3, "byte": 29, "code": "width",
               "message": "expected 3 fields, got 2", "raw": "u1;e"}),
        json!({"file": "track_1.csv", "row": 2, "line": 4, "byte": 34, "code": "bad-time",
               "message": "column timestamp is not a time: \"never\" (expected ISO 8601 or Unix time)",
               "raw": "u2;\"e\ne\";never"}),
        json!({"file": "track_1.csv", "row": 3, "line": 6, "byte": 49, "code": "quote",
               "message": "field 2 begins with a quote that is not closed: the file ends inside it", "raw": "u3;\"e;1"}),
    ];
    let mut found = rejects(&path);
    for reject in &mut found {
        let hash = reject.as_object_mut().unwrap().remove("content").unwrap();
        assert_eq!(hash.as_str().unwrap().len(), 26);
    }
    assert_eq!(found, expected);
    assert!(first.err.contains("retry-rejects"), "{first:?}");

    // Two are corrected, one is not.
    let corrected: String = rejects(&path)
        .into_iter()
        .map(|mut reject| {
            match reject["row"].as_u64() {
                Some(1) => reject["raw"] = "u1;e;".into(),
                Some(3) => reject["raw"] = "u3;\"e\";".into(),
                _ => {}
            }
            format!("{reject}\n")
        })
        .collect();
    fs::write(&path, corrected).unwrap();
    let retry = async || {
        let mut command = stand.import(&[]);
        let mut again = tokio::process::Command::new(command.as_std().get_program());
        again.args(["import", "retry-rejects", "--json", "--progress", "none"]).arg(&path);
        for (name, value) in command.as_std_mut().get_envs() {
            match value {
                Some(value) => again.env(name, value),
                None => again.env_remove(name),
            };
        }
        again.current_dir(stand.folder.path());
        ran(again).await
    };
    let retried = retry().await.code(3);
    let json = retried.json();
    assert_eq!((&json["rows"], &json["calls"]), (&json!(3), &json!({"track": 2})), "{json}");
    let left = rejects(&kept(&stand, &retried));
    assert_eq!(left.len(), 1, "{left:?}");
    assert_eq!(
        (&left[0]["row"], &left[0]["code"], &left[0]["file"]),
        (&json!(2), &json!("bad-time"), &json!("track_1.csv"))
    );
    assert_eq!(retry().await.code(0).json()["rows"], 0, "the same corrections are imported once");
    let lines = stand.lines("shop").await;
    assert_eq!(values(&lines, "/userId"), ["u0", "u4", "u1", "u3"], "into the source of the import");
    let mut ids = values(&lines, "/messageId");
    ids.sort();
    let rows: Vec<&str> = ids.iter().map(|id| id.rsplit_once('_').unwrap().1).collect();
    assert_eq!(rows, ["0", "1", "3", "4"], "a corrected row has the messageId of its place: {ids:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn too_many_rejected_rows_stop_a_file() {
    let stand = Stand::start().await;
    stand.file("track_1.csv", table(5_000, |row| row % 10 == 9));
    let run = async |source: &str, action: &str| {
        stand.run(&["track_1.csv", "--json", "--source", source, "--on-row-error", action]).await
    };
    let stopped = |ran: Ran, rows: u64, rejected: u64| {
        let ran = ran.code(1);
        let json = ran.json();
        let file = &json["files"][0];
        assert_eq!((&file["error"]["code"], &file["rows"]), (&json!("E-ROWS"), &json!(rows)), "{json}");
        let kept = kept(&stand, &ran);
        assert_eq!(rejects(&kept).len() as u64, rejected, "{json}");
    };
    stopped(run("fail", "fail").await, 0, 1);
    stopped(run("max", "max:3").await, 0, 4);
    stopped(run("more", "max:250").await, 2_000, 251);
    stopped(run("share", "maxpct:9").await, 0, 100);
    assert_eq!(run("share-above", "maxpct:10").await.code(3).json()["calls"], json!({"track": 4_500}));
    assert_eq!(run("all", "reject").await.code(3).json()["rejected"], 500);
    let wrong = run("x", "max").await.code(2);
    assert!(wrong.err.contains("expected reject, fail, max:N or maxpct:P"), "{wrong:?}");
    let plain = ["track_1.csv", "--source", "plain", "--on-row-error", "fail"];
    let failed = stand.run(&plain).await.code(1);
    assert!(failed.out.contains("  rejected: rows of track_1.csv: "), "{failed:?}");
    for _ in 0..2 {
        stand.run(&plain).await.code(1);
    }
    let given_up = stand.run(&plain).await.code(1);
    assert!(given_up.out.contains("failed 3 times"), "{given_up:?}");
    assert_eq!(
        run("plain", "reject").await.code(3).json()["calls"],
        json!({"track": 4_500}),
        "another limit"
    );
    // After the stop, the file can be continued with another limit.
    let json = run("more", "reject").await.code(3).json();
    assert_eq!((&json["files"][0]["rows_before"], &json["rows"]), (&json!(2_000), &json!(3_000)), "{json}");
    assert_eq!(stand.lines("more").await.len(), 4_500);
}

/// Every row is rejected; nothing is stored, so nothing stands in the way of the right options.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_delimiter_can_be_corrected() {
    let stand = Stand::start().await;
    let rows: String = (0..1_500).map(|row| format!("u{row},e\n")).collect();
    stand.file("track_1.csv", rows);
    let run = async |delimiter: &str| {
        stand.run(&["track_1.csv", "--json", "--columns", "userId,event", "--delimiter", delimiter]).await
    };
    for _ in 0..3 {
        assert_eq!(run(";").await.code(1).json()["files"][0]["error"]["code"], "E-ROWS");
    }
    let given_up = run(";").await.code(1).json();
    let message = given_up["files"][0]["error"]["message"].as_str().unwrap();
    assert!(message.contains("failed 3 times") && message.contains("--force"), "{given_up}");
    let right = run(",").await.code(0).json();
    assert_eq!(right["calls"], json!({"track": 1_500}));
    assert_eq!(right["files"][0]["rejects"], json!(null), "the rows of the wrong delimiter are forgotten");
    // Now there is something to lose.
    let other = run("tab").await;
    assert_eq!(other.code(0).json()["files"][0]["ended"], "done before");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn part_of_a_file_is_imported_and_then_the_rest() {
    let stand = Stand::start().await;
    stand.file("track_1.csv", table(100, |row| row == 30));
    let run = async |rows: &[&str]| stand.run(&[&["track_1.csv", "--json"], rows].concat()).await;
    let beyond = run(&["--rows", "100..200"]).await.code(1).json();
    assert_eq!(beyond["files"][0]["error"]["code"], "E-ROWS-RANGE", "{beyond}");
    let tried = stand.run(&["track_1.csv", "--rows", "100..200", "--dry-run"]).await.code(1);
    assert!(tried.out.contains("E-ROWS-RANGE"), "{tried:?}");
    let part = run(&["--rows", "10..20"]).await.code(0).json();
    assert_eq!(
        (&part["calls"], &part["files"][0]["ended"]),
        (&json!({"track": 10}), &json!("range done")),
        "{part}"
    );
    assert_eq!(run(&["--rows", "..15"]).await.code(0).json()["calls"], json!({"track": 0}));
    let rest = run(&["--rows", "25.."]).await.code(3).json();
    assert_eq!((&rest["calls"], &rest["rejected"]), (&json!({"track": 74}), &json!(1)), "{rest}");
    // Only without a range the whole file is known to be imported. Its rejected row counts again.
    assert_eq!(run(&[]).await.code(3).json()["files"][0]["ended"], "done");
    assert_eq!(run(&[]).await.code(0).json()["files"][0]["ended"], "done before");
    let expected: Vec<String> =
        (10..100).filter(|row| *row != 30 && !(20..25).contains(row)).map(|row| format!("u{row}")).collect();
    assert_eq!(values(&stand.lines("csv").await, "/userId"), expected);
    assert!(run(&["--rows", "5..5"]).await.code(2).err.contains("expected A..B"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_writes_nothing() {
    let stand = Stand::start().await;
    stand.file("in/track_1.csv", table(1_200, |row| row == 3));
    stand.file("in/identify_1.csv", "userId,traits.a\nu,1\n");
    let journal = stand.folder.path().join("dev/spool/imports.redb");
    let tried = stand.run(&["in", "--dry-run", "--samples", "2"]).await.code(3);
    let lines: Vec<&str> = tried.out.lines().collect();
    assert_eq!(lines.len(), 2 + 2 + 1 + 1, "{tried:#?}");
    assert!(lines[0].starts_with(r#"{"type":"identify","messageId":"imp_"#), "{tried:?}");
    assert_eq!(lines[1], "in/identify_1.csv: 1 identify, 0 rejected");
    assert!(lines[2].starts_with(r#"{"type":"track","messageId":"imp_"#), "{tried:?}");
    assert_eq!(lines[3], "in/track_1.csv: 1,199 track, 1 rejected");
    assert_eq!(lines[4], "  line 5: width: expected 2 fields, got 1");
    assert_eq!(lines[5], "1,201 rows would become 1 identify, 1,199 track; 1 rejected");

    let json = stand.run(&["in/track_1.csv", "--dry-run", "--json", "--samples", "0"]).await.code(3);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    let file = json!({"name": "in/track_1.csv", "type": "track", "calls": 1_199, "rejected": 1, "repeated": 0,
                      "rejected_by_code": {"width": 1}, "samples": [], "doubts": [], "error": null});
    let expected = json!({"files": [file], "rows": 1_200, "calls": {"track": 1_199}, "rejected": 1,
                          "repeated": 0});
    assert_eq!(json, expected);

    let preview = stand.run(&["in/track_1.csv", "--preview", "--samples", "3"]).await.code(0);
    assert_eq!(
        values(&preview.out.lines().map(str::to_owned).collect::<Vec<_>>(), "/userId"),
        ["u0", "u1", "u2"]
    );
    assert!(!journal.exists() && !stand.state().exists(), "no journal, no rejected rows");
    assert_eq!(stand.lines("csv").await, [""; 0]);

    // No node is needed.
    let mut alone = super::support::import(stand.folder.path(), &["in/identify_1.csv", "--dry-run"]);
    alone.env("FOREBAY_ADMIN_URL", "http://127.0.0.1:1");
    assert_eq!(ran(alone).await.code(0).out.lines().count(), 3);
}

/// A trial fails where the import would, although there are enough good rows afterwards.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trial_stops_where_the_import_would() {
    let stand = Stand::start().await;
    stand.file("track_1.csv", table(4_000, |row| row < 1_000 && row % 3 != 0));
    let tried = stand.run(&["track_1.csv", "--delimiter", ",", "--dry-run"]).await.code(1);
    assert!(tried.out.contains("E-ROWS: 666 of 1000 rows would be rejected"), "{tried:?}");
    let imported = stand.run(&["track_1.csv", "--delimiter", ","]).await.code(1);
    assert!(imported.out.contains("E-ROWS: 666 of 1000 rows are rejected"), "{imported:?}");
}

async fn until_rows_are_stored(stand: &Stand) {
    let url = format!("{}/metrics", stand.node.console);
    wait::until("a row to be stored", PATIENCE, async || {
        let request = http::Request::get(&url).body(http_body_util::Full::default()).unwrap();
        let answer = Http::new().send(request).await.unwrap();
        String::from_utf8_lossy(&answer.body).contains("forebay_import_rows_total{").then_some(())
    })
    .await;
}

/// The rate is so low that the command spends its time waiting, and has to leave that wait.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_interrupted_import_is_continued_by_the_same_command() {
    let stand = Stand::start().await;
    stand.file("track_1.csv", table(7_000, |row| row % 100 == 7));
    let mut slow = stand.import(&["track_1.csv", "--json", "--rate", "10"]);
    slow.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let child = slow.kill_on_drop(true).spawn().unwrap();
    until_rows_are_stored(&stand).await;
    let pid = Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap();
    kill_process(pid, Signal::INT).unwrap();
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    let stopped =
        Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }.code(130);
    assert!(
        stopped.err.contains("forebay: stopped; to continue: ")
            && stopped.err.contains(" import csv --progress none track_1.csv --json --rate 10\n"),
        "{stopped:?}"
    );
    assert!(!stopped.err.contains("delivering buffered calls"), "these are a collector's words: {stopped:?}");
    let first = stopped.json();
    assert_eq!((&first["ended"], &first["rows"]), (&json!("stopped"), &json!(2_000)), "{first}");
    let second = stand.run(&["track_1.csv", "--json"]).await.code(3);
    let json = second.json();
    assert_eq!((&json["files"][0]["rows_before"], &json["rows"]), (&json!(2_000), &json!(5_000)), "{json}");
    let rows: Vec<u64> =
        rejects(&kept(&stand, &second)).iter().map(|reject| reject["row"].as_u64().unwrap()).collect();
    assert_eq!(rows, (0..70).map(|number| number * 100 + 7).collect::<Vec<_>>());
    let ids = values(&stand.lines("csv").await, "/messageId");
    assert_eq!(super::support::counts(ids).into_values().collect::<Vec<_>>(), vec![1; 6_930]);
}

/// Nobody types its end.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_waits_for_standard_input_can_be_interrupted() {
    use tokio::io::AsyncBufReadExt as _;
    let stand = Stand::start().await;
    let mut waiting = stand.import(&["-", "--type", "track"]);
    waiting.stdin(std::process::Stdio::piped());
    waiting.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let mut child = waiting.kill_on_drop(true).spawn().unwrap();
    let stdin = child.stdin.take().unwrap();
    let mut out = tokio::io::BufReader::new(child.stdout.take().unwrap()).lines();
    let first = tokio::time::timeout(PATIENCE, out.next_line()).await.unwrap().unwrap().unwrap();
    assert!(first.starts_with("importing through the node"), "{first}");
    kill_process(Pid::from_raw(i32::try_from(child.id().unwrap()).unwrap()).unwrap(), Signal::INT).unwrap();
    let output = tokio::time::timeout(PATIENCE, child.wait_with_output()).await.expect("it ends").unwrap();
    drop(stdin);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(130), "{err}");
    assert!(
        err.contains(" import csv --progress none - --type track (with the same standard input)"),
        "{err}"
    );
}

/// `forebay import retry-rejects` into a node.
fn retry(stand: &Stand, rejects: &Path, arguments: &[&str]) -> tokio::process::Command {
    let mut command = crate::support::forebay::command();
    command.args(["import", "retry-rejects", "--json", "--progress", "none", "--admin", &stand.node.console]);
    command.arg("--state").arg(stand.state()).arg(rejects).args(arguments);
    command
}

/// The rows that it rejects again have numbers of their first file, which say nothing about its progress.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_that_was_killed_keeps_each_row_that_it_rejects_again() {
    let stand = Stand::start().await;
    // Every second row is bad, so that numbers in the two files differ. A step has 2,000 rows.
    stand.file("track_1.csv", table(10_000, |row| row % 2 == 1));
    let first = stand.run(&["track_1.csv", "--json", "--on-row-error", "reject"]).await.code(3);
    let path = kept(&stand, &first);
    let is_corrected = |place: usize| !place.is_multiple_of(100);
    let corrected: String = rejects(&path)
        .into_iter()
        .enumerate()
        .map(|(place, mut reject)| {
            if is_corrected(place) {
                reject["raw"] = "u,e".into();
            }
            format!("{reject}\n")
        })
        .collect();
    fs::write(&path, corrected).unwrap();
    let mut slow = retry(&stand, &path, &["--rate", "10"]);
    let mut child = slow.kill_on_drop(true).stdout(std::process::Stdio::null()).spawn().unwrap();
    // Those of the second step are kept, and it is not stored: the rate makes it wait.
    let new = || {
        let mut files = fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
        files.find(|file| *file != path && file.extension().unwrap() == "ndjson")
    };
    let rejected = || new().map_or(0, |file| fs::read_to_string(file).unwrap().lines().count());
    wait::until("two steps to be read", PATIENCE, async || (rejected() == 40).then_some(())).await;
    child.kill().await.unwrap();
    let second = ran(retry(&stand, &path, &[])).await.code(3);
    assert_eq!(second.json()["files"][0]["rows_before"], json!(2_000), "{second:?}");
    let again = kept(&stand, &second);
    let rows: Vec<u64> = rejects(&again).iter().map(|reject| reject["row"].as_u64().unwrap()).collect();
    assert_eq!(rows, (0..50).map(|number| number * 200 + 1).collect::<Vec<_>>());
    // They can be retried in their turn, after the file is corrected or not.
    let third = stand.folder.path().join("third.ndjson");
    ran(retry(&stand, &again, &["--rejects", third.to_str().unwrap()])).await.code(3);
    let read = ran(retry(&stand, &again, &["--rejects", again.to_str().unwrap()])).await.code(1);
    assert!(read.out.contains("name another file with --rejects"), "{read:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_commands_do_not_share_a_file_of_rejected_rows() {
    let stand = Stand::start().await;
    stand.file("track_1.csv", table(5_000, |row| row == 7));
    stand.file("track_2.csv", table(5, |row| row == 3));
    let bad = stand.folder.path().join("bad.ndjson");
    let mut slow = stand.import(&["track_1.csv", "--rate", "10", "--rejects", "bad.ndjson"]);
    let mut child = slow.kill_on_drop(true).stdout(std::process::Stdio::null()).spawn().unwrap();
    wait::until("a row to be rejected", PATIENCE, async || (rejects(&bad).len() == 1).then_some(())).await;
    for file in ["track_1.csv", "track_2.csv"] {
        let second = stand.run(&[file, "--rejects", "bad.ndjson"]).await.code(1);
        assert!(second.out.contains("E-REJECTS: bad.ndjson cannot be used"), "{second:?}");
        assert!(second.out.contains("another command uses it"), "{second:?}");
    }
    assert_eq!(rejects(&bad).len(), 1);
    child.kill().await.unwrap();
    stand.run(&["track_1.csv", "--rejects", "bad.ndjson"]).await.code(3);
    assert_eq!(rejects(&bad).len(), 1);
}

/// Rows that an earlier part of the import rejected are still reported, and can be retried.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_rejected_before_an_interruption_can_be_retried() {
    let stand = Stand::start().await;
    stand.file("track_1.csv", table(5_000, |row| row == 7));
    let mut slow = stand.import(&["track_1.csv", "--rate", "10"]);
    let mut child = slow.kill_on_drop(true).stdout(std::process::Stdio::null()).spawn().unwrap();
    until_rows_are_stored(&stand).await;
    child.kill().await.unwrap();
    let second = stand.run(&["track_1.csv", "--json"]).await.code(3);
    let kept = kept(&stand, &second);
    assert_eq!(rejects(&kept).len(), 1);
    let mut retry = crate::support::forebay::command();
    retry
        .args(["import", "retry-rejects", "--admin", &stand.node.console, "--state"])
        .arg(stand.state())
        .arg(&kept);
    let retried = finished(&mut retry).await;
    assert_eq!(retried.status.code(), Some(3), "{retried:?}");
}

/// The file that describes rejected rows never takes the place of the rows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_rows_may_be_kept_under_any_name() {
    let stand = Stand::start().await;
    stand.file("track_1.csv", table(5, |row| row == 2));
    for name in ["bad.json", "bad.tmp", "bad", "bad.ndjson"] {
        let kept = stand.folder.path().join(name);
        stand
            .run(&["track_1.csv", "--source", name.rsplit('.').next().unwrap(), "--rejects", name])
            .await
            .code(3);
        assert_eq!(rejects(&kept).len(), 1, "{name}");
        for file in [&kept, &kept.with_added_extension("how.json")] {
            let mode = fs::metadata(file).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode, 0o600, "{file:?} may hold personal data");
        }
        let mut retry = crate::support::forebay::command();
        retry
            .args(["import", "retry-rejects", "--admin", &stand.node.console, "--state"])
            .arg(stand.state())
            .arg(&kept);
        let retried = finished(&mut retry).await;
        // Other rows of another source: the one that the import named.
        assert_eq!(retried.status.code(), Some(3), "{name}: {retried:?}");
    }
    let mut uploaded = stand.import(&["track_1.csv", "--source", "up", "--rejects", "s3://forebay/bad/"]);
    uploaded.args(["--endpoint-url", &stand.node.s3]);
    ran(uploaded).await.code(3);
    let keys = stand.node.bucket().keys("bad/").await;
    assert!(keys.len() == 1 && keys[0].ends_with(".ndjson"), "{keys:?}");
}

/// The reader alone: a million rows, one in a hundred bad.
#[test]
fn a_million_rows_are_read_and_each_bad_one_is_found() {
    const ROWS: u64 = 1_000_000;
    let folder = tempfile::tempdir().unwrap();
    let text = table(ROWS, |row| row % 100 == 99);
    let size = text.len() as u64;
    let id = identity::of_content(&[1; 32], size);
    let options = Options { encoding: None, limits: Limits::default(), temporary: folder.path().to_owned() };
    let opened = open_stream(std::io::Cursor::new(text), "track_1.csv", None, &options).unwrap();
    let Opened::Text(text) = opened else { panic!("an archive") };
    let kind = forebay::call::CallKind::Track;
    let mut rows = CsvRows::open(
        "track_1.csv",
        (id, FileType::Calls(kind), "track_1.csv"),
        text,
        &CsvOptions::default(),
    )
    .unwrap()
    .rows;
    let (mut call, mut row, mut rejected) = (Vec::new(), 0, 0);
    while let Some(read) = rows.next(&mut call).unwrap() {
        match read {
            Row::Call(_) | Row::Corrected(..) => {
                assert!(call.ends_with(format!("\"userId\":\"u{row}\",\"event\":\"e\"}}").as_bytes()))
            }
            Row::Repeat | Row::Calls(_) | Row::Keyed(..) | Row::Skipped => {
                panic!("row {row} is no call of its own")
            }
            Row::Rejected(reject) => {
                assert_eq!((reject.row, reject.line, &*reject.code), (row, row + 2, "width"));
                assert_eq!(row % 100, 99);
                rejected += 1;
            }
        }
        row += 1;
        call.clear();
    }
    assert_eq!((row, rejected), (ROWS, ROWS / 100));
    assert!(!Path::new(folder.path()).join("tmp").exists());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_rejects_file_is_for_one_file() {
    let stand = Stand::start().await;
    stand.file("track_1.csv", table(10, |row| row == 3));
    stand.file("track_2.csv", "userId,event,properties.a\nu\n");
    stand.run(&["track_1.csv", "--rejects", "kept"]).await.code(3);
    let kept = rejects(&stand.folder.path().join("kept"));
    let other = stand.run(&["track_2.csv", "--rejects", "kept", "--json"]).await.code(1).json();
    assert_eq!(other["files"][0]["error"]["code"], "E-REJECTS", "{other}");
    assert_eq!(rejects(&stand.folder.path().join("kept")), kept);
    // Its own file, named twice, is one.
    stand.run(&["track_1.csv", "track_1.csv", "--rejects", "kept", "--force"]).await.code(3);
    let how = fs::read(stand.folder.path().join("kept.how.json")).unwrap();
    assert_eq!(serde_json::from_slice::<Value>(&how).unwrap()["name"], "track_1.csv");
    // What stands beside it is read as far as it can be what was written.
    let (huge, of_huge) = (stand.folder.path().join("huge"), stand.folder.path().join("huge.how.json"));
    fs::copy(stand.folder.path().join("kept"), &huge).unwrap();
    fs::File::create(&of_huge).unwrap().set_len(1 << 40).unwrap();
    let ran_huge = ran(retry(&stand, &huge, &[])).await.code(1);
    assert!(ran_huge.out.contains("E-REJECTS") && ran_huge.out.contains("more than"), "{ran_huge:?}");
    // Rows that look the same are retried for each of their files, and rejected again into a file for each.
    stand.file("other/track_1.csv", table(10, |row| row == 3));
    stand.run(&["other/track_1.csv", "--rejects", "same"]).await.code(3);
    for (file, again, code) in [("kept", "again", 3), ("same", "again", 1), ("same", "again2", 3)] {
        let (path, again) = (stand.folder.path().join(file), stand.folder.path().join(again));
        let ran = ran(retry(&stand, &path, &["--rejects", again.to_str().unwrap()])).await.code(code);
        assert_eq!(code == 1, ran.out.contains("it is not of this import"), "{ran:?}");
    }
}
