//! Rows that were given ids, and rejected rows that were corrected: each is stored once, and none is lost.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use super::support::{Ran, Stand, ran, rejects, values};
use crate::support::forebay::{Flush, Forebay};
use crate::support::wait;

const PATIENCE: Duration = Duration::from_secs(60);

/// Line items of orders: two of order 1, one of them twice, and one of order 2.
const ITEMS: &str = "userId,event,order,properties.item\nu,Sold,1,a\nu,Sold,1,b\nu,Sold,1,a\nu,Sold,2,a\n";
const BY_ORDER: [&str; 5] = ["--type", "track", "--id-from", "column:order", "--json"];

fn counts(json: &Value) -> [u64; 4] {
    let file = &json["files"][0];
    ["rows", "stored", "repeated", "rejected"].map(|name| file[name].as_u64().unwrap())
}

fn kept(ran: &Ran, stand: &Stand) -> PathBuf {
    let path = ran.json()["files"][0]["rejects"].as_str().unwrap_or_else(|| panic!("{ran:?}")).to_owned();
    stand.folder.path().join(path)
}

/// The items that were stored, in no order.
async fn items(stand: &Stand) -> Vec<String> {
    let mut items = values(&stand.lines("csv").await, "/properties/item");
    items.sort();
    items
}

/// Writes `raw` of each row anew.
fn correct(path: &Path, corrected: impl Fn(&str) -> String) {
    let lines = rejects(path).into_iter().map(|mut reject| {
        reject["raw"] = corrected(reject["raw"].as_str().unwrap()).into();
        reject.to_string() + "\n"
    });
    let text: String = lines.collect();
    fs::write(path, text).unwrap();
}

async fn retry(stand: &Stand, rejects: &Path) -> Ran {
    let rejects = rejects.to_str().unwrap();
    ran(stand.beside(&["import", "retry-rejects", "--json", "--progress", "none", rejects])).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn different_rows_with_one_id_are_rejected_and_equal_ones_are_repeats() {
    let stand = Stand::start().await;
    stand.file("items.csv", ITEMS);
    let dry = stand.run(&[&["items.csv", "--dry-run"], &BY_ORDER[..]].concat()).await.code(3);
    let dry: Value = serde_json::from_str(&dry.out).unwrap();
    assert_eq!((&dry["rejected"], &dry["repeated"]), (&1.into(), &1.into()), "{dry}");
    let first = stand.run(&[&["items.csv"], &BY_ORDER[..]].concat()).await.code(3);
    let json = first.json();
    assert_eq!(counts(&json), [4, 2, 1, 1], "{json}");
    assert_eq!(json["files"][0]["equal_rows"], 1);
    assert_eq!(json["files"][0]["rejected_by_code"], serde_json::json!({"id-taken": 1}));
    let path = kept(&first, &stand);
    let rows = rejects(&path);
    assert_eq!((&rows[0]["row"], &rows[0]["code"]), (&1.into(), &"id-taken".into()), "{rows:?}");
    assert!(rows[0]["message"].as_str().unwrap().contains("the id \"1\" of column order"), "{rows:?}");
    assert_eq!(items(&stand).await, ["a", "a"]);

    // As it is, it is the same again: nothing becomes a repeat without a word.
    let again = retry(&stand, &path).await.code(3);
    assert_eq!(counts(&again.json()), [1, 0, 0, 1]);
    let again = kept(&again, &stand);
    correct(&again, |raw| raw.replace(",1,", ",1-b,"));
    assert_eq!(counts(&retry(&stand, &again).await.code(0).json()), [1, 1, 0, 0]);
    assert_eq!(items(&stand).await, ["a", "a", "b"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_summary_says_what_was_repeated_and_why() {
    let stand = Stand::start().await;
    stand.file("track_1.csv", "messageId,userId,event\na,u,e\na,u,e\nb,u,e\nb,u,f\n");
    let first = stand.run(&["track_1.csv"]).await.code(3);
    assert!(first.out.contains("repeated: 1 (equal to an earlier row with the same id"), "{first:?}");
    assert!(first.out.contains("1 of them id-taken: an earlier row has the same id"), "{first:?}");
    // Another file is another import: what the repeat window knows was stored before.
    stand.file("track_2.csv", "messageId,userId,event\nb,u,g\nc,u,e\nc,u,e\n");
    let second = stand.run(&["track_2.csv"]).await.code(0);
    let why = "repeated: 2 (1 equal to an earlier row with the same id, 1 stored before";
    assert!(second.out.contains(why), "{second:?}");
}

/// The one that has the id and the one that is rejected are in different parts, and between them the command
/// dies.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ids_are_known_after_a_kill_and_in_s3() {
    let stand = Stand::start().await;
    let table: String = (0..5_000)
        .map(|row| match row {
            4_998 => "id3,u,other,x\n".to_owned(),
            4_999 => "id3,u,e,3\n".to_owned(),
            row => format!("id{row},u,e,{row}\n"),
        })
        .collect();
    let text = format!("messageId,userId,event,properties.item\n{table}");
    stand.file("track_1.csv", &text);
    let mut slow = stand.import(&["track_1.csv", "--rate", "1000"]);
    let mut child = slow.kill_on_drop(true).stdout(Stdio::null()).spawn().unwrap();
    wait::until("rows to be stored", PATIENCE, async || {
        let list = ran(stand.beside(&["import", "list", "--json"])).await;
        list.out.contains("\"next_row\":2000").then_some(()).or_else(|| {
            let json: Value = serde_json::from_str(&list.out).ok()?;
            let stored = json["imports"][0]["stored"].as_u64()?;
            (stored > 0).then_some(())
        })
    })
    .await;
    child.kill().await.unwrap();
    let second = stand.run(&["track_1.csv", "--json"]).await.code(3);
    let path = kept(&second, &stand);
    assert_eq!(rejects(&path).iter().map(|row| row["row"].as_u64().unwrap()).collect::<Vec<_>>(), [4_998]);
    assert_eq!(second.json()["files"][0]["equal_rows"], 1);
    let ids: BTreeSet<String> = values(&stand.lines("csv").await, "/messageId").into_iter().collect();
    assert_eq!(ids.len(), 4_998);

    let put = stand.node.bucket();
    put.client
        .put_object()
        .bucket("forebay")
        .key("track_1.csv")
        .body(text.into_bytes().into())
        .send()
        .await
        .unwrap();
    let s3 = ["s3://forebay/track_1.csv", "--endpoint-url", &stand.node.s3, "--source", "other", "--json"];
    let json = stand.run(&s3).await.code(3).json();
    assert_eq!(counts(&json), [5_000, 4_998, 1, 1], "{json}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_outside_of_the_wanted_ones_have_no_ids() {
    let stand = Stand::start().await;
    stand.file("items.csv", ITEMS);
    let json = stand.run(&[&["items.csv", "--rows", "1..3"], &BY_ORDER[..]].concat()).await.code(3).json();
    assert_eq!(counts(&json), [2, 1, 0, 1], "{json}");
    assert_eq!(items(&stand).await, ["b"]);
}

/// A bad row has one field; a person adds the event.
const WITH_E: fn(&str) -> String = |raw| format!("{raw},e");
const BY_CONTENT: [&str; 5] = ["--type", "track", "--id-from", "row-hash", "--json"];

async fn rejected(stand: &Stand, rows: &str, arguments: &[&str]) -> PathBuf {
    stand.file("grows.csv", format!("userId,event\n{rows}"));
    let ran = stand.run(&[&["grows.csv"], arguments].concat()).await.code(3);
    kept(&ran, stand)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_corrected_row_is_stored_also_if_it_equals_another_one() {
    let stand = Stand::start().await;
    let path = rejected(&stand, "u,e\nu\nu\nv,f\n", &BY_CONTENT).await;
    correct(&path, WITH_E);
    assert_eq!(counts(&retry(&stand, &path).await.code(0).json()), [2, 2, 0, 0]);
    let lines = stand.lines("csv").await;
    let mut users = values(&lines, "/userId");
    users.sort();
    assert_eq!(users, ["u", "u", "u", "v"]);
    let ids: BTreeSet<String> = values(&lines, "/messageId").into_iter().collect();
    assert_eq!(ids.len(), 4, "{lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_row_of_a_file_that_grows_is_stored_once() {
    let mut stand = Stand::start().await;
    let path = rejected(&stand, "u\nv,f\n", &BY_CONTENT).await;
    correct(&path, WITH_E);
    assert_eq!(counts(&retry(&stand, &path).await.code(0).json()), [1, 1, 0, 0]);
    // For good: also after the repeat window was lost.
    for (more, how) in [("w,f\n", WITH_E), ("w,f\nx,f\n", |raw| format!("{raw},corrected"))] {
        let path = rejected(&stand, &format!("u\nv,f\n{more}"), &BY_CONTENT).await;
        correct(&path, how);
        assert_eq!(counts(&retry(&stand, &path).await.code(0).json()), [1, 0, 1, 0], "{more}");
        let Stand { folder, node } = stand;
        node.kill().await;
        let node = Forebay::dev(&folder.path().join("dev"), Flush::LATE).await;
        stand = Stand { folder, node };
    }
    let mut users = values(&stand.lines("csv").await, "/userId");
    users.sort();
    assert_eq!(users, ["u", "v", "w", "x"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejects_that_are_sent_in_parts_are_stored_once() {
    for arguments in [&["--type", "track", "--json"][..], &BY_CONTENT] {
        let stand = Stand::start().await;
        let path = rejected(&stand, "a\nb\nc\nd,f\n", arguments).await;
        correct(&path, WITH_E);
        let text = fs::read_to_string(&path).unwrap();
        let how = fs::read(path.with_added_extension("how.json")).unwrap();
        let sent = async |name: &str, text: &str, expected| {
            let part = stand.file(name, text);
            fs::write(part.with_added_extension("how.json"), &how).unwrap();
            assert_eq!(counts(&retry(&stand, &part).await.code(0).json()), expected, "{name}");
        };
        let lines: Vec<&str> = text.lines().collect();
        sent("one", &(lines[..2].join("\n") + "\n\n"), [2, 2, 0, 0]).await;
        sent("two", &(lines[1..].join("\r\n") + "\n  \n"), [2, 1, 1, 0]).await;
        sent("twice", &[&lines[..], &lines[..]].concat().join("\n"), [6, 0, 6, 0]).await;
        assert_eq!(stand.lines("csv").await.len(), 4);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_corrections_of_one_row_are_not_both_stored() {
    let stand = Stand::start().await;
    let path = rejected(&stand, "a\nd,f\n", &BY_CONTENT).await;
    let line = fs::read_to_string(&path).unwrap();
    fs::write(
        &path,
        line.replace("\"raw\":\"a\"", "\"raw\":\"a,e\"") + &line.replace("\"raw\":\"a\"", "\"raw\":\"a,f\""),
    )
    .unwrap();
    let ran = retry(&stand, &path).await.code(3);
    assert_eq!(counts(&ran.json()), [2, 1, 0, 1]);
    assert_eq!(rejects(&kept(&ran, &stand))[0]["code"], "raw");
}

/// The row that was stored first keeps the id. The other one is not lost: it is rejected by name until its id
/// is its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_corrected_row_with_the_id_of_another_call_stays_rejected_until_it_has_its_own() {
    let stand = Stand::start().await;
    stand.file(
        "items.csv",
        "userId,event,order,properties.item\nu,Sold,1,apple,extra\nu,Sold,1,pear\nu,Sold,2,plum\n",
    );
    let first = stand.run(&[&["items.csv"], &BY_ORDER[..]].concat()).await.code(3);
    assert_eq!(counts(&first.json()), [3, 2, 0, 1]);
    let mut path = kept(&first, &stand);
    for taken in ["u,Sold,1,apple", "u,Sold,2,apple"] {
        correct(&path, |_| taken.to_owned());
        let again = retry(&stand, &path).await.code(3);
        assert_eq!(counts(&again.json()), [1, 0, 0, 1], "{taken}");
        path = kept(&again, &stand);
        let reject = &rejects(&path)[0];
        assert_eq!((&reject["code"], &reject["raw"]), (&"id-taken".into(), &taken.into()));
    }
    correct(&path, |raw| raw.replace(",2,", ",1-apple,"));
    assert_eq!(counts(&retry(&stand, &path).await.code(0).json()), [1, 1, 0, 0]);
    assert_eq!(items(&stand).await, ["apple", "pear", "plum"]);
    // Whatever it is corrected to later, it is stored.
    correct(&path, |raw| raw.replace(",1-apple,", ",1,"));
    assert_eq!(counts(&retry(&stand, &path).await.code(0).json()), [1, 0, 1, 0]);
}
