//! Rows that are known by their content.

use std::collections::BTreeSet;

use serde_json::json;

use super::support::Stand;
use crate::support::forebay::{Flush, Forebay};

const HEADER: &str = "userId,event\n";

async fn imported(stand: &Stand, name: &str, scope: &str) -> (u64, u64) {
    let ran =
        stand.run(&[name, "--type", "track", "--id-from", "row-hash", "--id-scope", scope, "--json"]).await;
    let json = ran.code(0).json();
    let stored = json["calls"]["track"].as_u64().unwrap();
    (stored, json["repeated"].as_u64().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_has_grown_adds_only_its_new_rows() {
    let stand = Stand::start().await;
    let twice = "1,a\n1,a\n2,b\n";
    stand.file("track_1.csv", format!("{HEADER}{twice}"));
    assert_eq!(
        imported(&stand, "track_1.csv", "file").await,
        (3, 0),
        "equal rows of one file are both stored"
    );
    stand.file("track_1.csv", format!("{HEADER}{twice}1,a\n3,c\n"));
    assert_eq!(imported(&stand, "./track_1.csv", "file").await, (2, 3), "the third copy is new");
    let Stand { folder, node } = stand;
    node.kill().await;
    let node = Forebay::dev(&folder.path().join("dev"), Flush::LATE).await;
    let stand = Stand { folder, node };
    stand.file("track_1.csv", format!("{HEADER}4,d\n{twice}1,a\n3,c\n"));
    assert_eq!(imported(&stand, "track_1.csv", "file").await, (1, 5), "also after a restart of the node");
    let lines = stand.lines("csv").await;
    let ids: BTreeSet<String> = lines
        .iter()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["messageId"].to_string())
        .collect();
    assert_eq!((lines.len(), ids.len()), (6, 6), "each has an id of its own: {lines:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_of_other_files_count_only_if_asked_for() {
    let stand = Stand::start().await;
    for name in ["a.csv", "b.csv", "c.csv", "d.csv"] {
        stand.file(name, format!("{HEADER}1,{name}\n2,same\n"));
    }
    assert_eq!(imported(&stand, "a.csv", "source").await, (2, 0));
    assert_eq!(imported(&stand, "b.csv", "source").await, (1, 1));
    assert_eq!(imported(&stand, "c.csv", "file").await, (2, 0));
    let all = ["--type", "track", "--id-from", "row-hash", "--parallel", "8", "--json", "--force"];
    let again = stand.run(&[&["a.csv", "b.csv", "c.csv", "d.csv"], &all[..]].concat()).await.code(0).json();
    assert_eq!((&again["calls"]["track"], &again["repeated"]), (&json!(6), &json!(2)), "{again}");
}
