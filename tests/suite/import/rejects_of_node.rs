//! Rejected rows of a node with `[[import]]`: in the node, in its spool, in a bucket; and the query of the page that
//! folds mutations.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::Duration;

use forebay::words::shell_word;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::timeout;

use super::node::{Stand, import, import_status, passed, reload};
use crate::serve::support::{CREDENTIALS, PATIENCE, status};
use crate::support::forebay::command;
use crate::support::tools::{in_venv, stdout_of};
use crate::support::wait;

const PAGE: &str = include_str!("../../../docs/s3-import.md");

const CORRECTED: &str = r#"{"converterConfig":{"fileType":"json","convertToAmplitudeFunc":{
    "event_type":["path","e"],"user_id":["any",["path","u"],["path","v"]]}}}"#;

/// Of ten rows one has its user in another column.
fn rows(key: &str, count: usize) -> String {
    (0..count)
        .map(|row| {
            let user = if row % 10 == 3 { "v" } else { "u" };
            format!("{{\"e\":\"{key} {row}\",\"{user}\":\"u\"}}\n")
        })
        .collect()
}

fn counts(json: &Value) -> [&Value; 4] {
    ["files", "settled", "rejected", "left_count"].map(|name| &json[name])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_rows_are_read_again_in_the_node_and_without_one() {
    let stand = Stand::start(&import("orders", "bucket = \"files\"\nprefix = \"in/\"")).await;
    stand.put_text("in/a", &rows("in/a", 100)).await;
    stand.put_text("in/b", &rows("in/b", 50)).await;
    let node = stand.settings.serve().await;
    passed(&node, "orders", |last| last["known"] == 2).await;
    let at = ["--admin", node.console.as_str()];
    let retry = ["retry-rejects", "--import", "orders"];
    let dry = stand.command(&[&retry[..], &["--dry-run"]].concat(), &at).await.code(3);
    assert_eq!(
        dry.out,
        "15 rejected rows of 2 files: 0 would pass, 15 would be rejected again (15 missing:user_id)\n"
    );
    fs::write(stand.rig.folder.path().join("c.json"), CORRECTED).unwrap();
    reload(&stand.settings, &node).await;
    let dry = stand.command(&[&retry[..], &["--dry-run", "--json"]].concat(), &at).await.code(0);
    let dry: Value = serde_json::from_str(&dry.out).unwrap();
    assert_eq!(
        (counts(&dry), &dry["dry_run"]),
        ([&json!(2), &json!(15), &json!(0), &json!(0)], &json!(true))
    );
    let one = stand.command(&[&retry[..], &["in/b"]].concat(), &at).await.code(0);
    assert_eq!(
        one.out,
        "5 rejected rows of 1 file: 5 passed (5 missing:user_id), 0 rejected again; 5 calls stored\n"
    );
    let again = stand.command(&[&retry[..], &["in/b"]].concat(), &at).await.code(0);
    assert_eq!(again.out, "no row of in/b is rejected\n");
    for (words, code) in [(["in/none"], 2), (["in/"], 2)] {
        stand.command(&[&retry[..], &words].concat(), &at).await.code(code);
    }
    stand.command(&[&retry[..], &["in/a", "in/b"]].concat(), &at).await.code(2);
    stand.command(&["retry-rejects", "--import", "no"], &at).await.code(2);
    let list = stand.command(&["list", "--import", "orders", "--json"], &at).await.code(0);
    let list: Value = serde_json::from_str(&list.out).unwrap();
    let rejected: u64 =
        list["imports"].as_array().unwrap().iter().map(|file| file["rejected"].as_u64().unwrap()).sum();
    assert_eq!(rejected, 10, "{list}");
    node.kill().await;
    // The rest in the spool of the configuration.
    let own = ["--config", stand.settings.write().to_str().unwrap()];
    stand.command(&["retry-rejects", "--import", "orders"], &own).await.code(0);
    assert_eq!(stand.events().await.len(), 150);
    // Without a node, the printed command would not find the import by itself.
    let resume = format!("`forebay import resume orders --config {}`", shell_word(own[1]));
    let paused = stand.command(&["pause", "orders"], &own).await.code(0);
    assert!(paused.out.contains(&resume), "{paused:?}");
    let paused = stand.command(&["retry-rejects", "--import", "orders"], &own).await.code(2);
    assert!(paused.err.contains(&resume), "{paused:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_rows_in_a_bucket_are_not_imported_and_come_back_from_there() {
    let place = "bucket = \"files\"\nrejects = \"s3://files/bad/rows/\"";
    let stand = Stand::start(&import("orders", place)).await;
    stand.put_text("in/a", &rows("in/a", 100)).await;
    let node = stand.settings.serve().await;
    let last = passed(&node, "orders", |last| last["skipped"]["own"] == 1).await;
    assert_eq!(last["last"]["known"], 1, "{last}");
    let objects = stand.rig.bucket("files").objects("bad/rows/").await;
    let [object] = objects.as_slice() else { panic!("{objects:?}") };
    let rows: Vec<u64> = object
        .text()
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["row"].as_u64().unwrap())
        .collect();
    assert_eq!(rows, (0..10).map(|ten| 10 * ten + 3).collect::<Vec<_>>());
    fs::write(stand.rig.folder.path().join("c.json"), CORRECTED).unwrap();
    reload(&stand.settings, &node).await;
    let at = ["--admin", node.console.as_str()];
    stand.command(&["retry-rejects", "--import", "orders"], &at).await.code(0);
    wait::until("all rows", PATIENCE, async || (stand.events().await.len() == 100).then_some(())).await;
    assert!(node.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rejected_rows_without_room_or_store_are_an_alarm_that_ends() {
    let full = "bucket = \"files\"\nprefix = \"in/\"\nrejects_max = \"1 MiB\"\non_row_error = \"reject\"";
    let mut stand = Stand::start(&import("orders", full)).await;
    let long = "x".repeat(60_000);
    let bad: String = (0..40).map(|row| format!("{{\"e\":\"{row}\",\"more\":\"{long}\"}}\n")).collect();
    stand.put_text("in/a", &bad).await;
    let node = stand.settings.serve().await;
    let alarm = async |wanted: bool| {
        wait::until("the alarm", PATIENCE, async || {
            let status = status(&node).await;
            let mut alarms = status["alarms"].as_array().unwrap().iter();
            let found = alarms.find(|alarm| alarm["what"].as_str().unwrap().contains("rejected rows"));
            let what = found.map(|alarm| alarm["what"].as_str().unwrap().to_owned());
            (what.is_some() == wanted).then_some(what.unwrap_or_default())
        })
        .await
    };
    let what = alarm(true).await;
    assert!(
        what.contains("there is no room for rejected rows of import orders in ")
            && what.contains("counted and not kept"),
        "{what}"
    );
    // Other settings give no room, and a pause needs none.
    stand.settings.imports = import("orders", &format!("{full}\nparallel = 2"));
    reload(&stand.settings, &node).await;
    alarm(true).await;
    let at = ["--admin", node.console.as_str()];
    stand.command(&["pause", "orders"], &at).await.code(0);
    alarm(false).await;
    stand.command(&["resume", "orders"], &at).await.code(0);
    alarm(true).await;
    stand.settings.imports = import("orders", &full.replace("1 MiB", "10 MiB"));
    reload(&stand.settings, &node).await;
    alarm(false).await;
    // A bucket that is not there keeps them here.
    let nowhere = full.replace("rejects_max", "rejects = \"s3://nowhere/bad/\"\nrejects_max");
    stand.settings.imports = import("orders", &nowhere);
    reload(&stand.settings, &node).await;
    let what = alarm(true).await;
    assert!(
        what.contains("rejected rows of import orders wait in ") && what.contains("NoSuchBucket"),
        "{what}"
    );
    assert!(import_status(&node, "orders").await["failing"].is_null());
    assert!(node.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_preview_of_an_import_is_renewed_when_its_converter_is_saved() {
    let stand = Stand::start(&import("orders", "bucket = \"files\"\nprefix = \"in/\"")).await;
    stand.put_text("in/a", &rows("in/a", 20)).await;
    let mut watch = command();
    watch.args(["import", "preview", "orders", "--watch", "--json", "--config"]).arg(stand.settings.write());
    watch.current_dir("/").envs(CREDENTIALS).env("FOREBAY_STATE", stand.rig.folder.path().join("state"));
    watch.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut watch = watch.spawn().unwrap();
    let mut lines = BufReader::new(watch.stdout.take().unwrap()).lines();
    let mut problems = BufReader::new(watch.stderr.take().unwrap()).lines();
    let patience = Duration::from_secs(60);
    let mut next = async || -> Value {
        let line = timeout(patience, lines.next_line()).await.unwrap().unwrap().unwrap();
        serde_json::from_str(&line).unwrap()
    };
    assert_eq!(next().await["rejected"], 2);
    let converter = stand.rig.folder.path().join("c.json");
    fs::write(&converter, "{").unwrap();
    // Its first line names the file.
    while !timeout(patience, problems.next_line())
        .await
        .unwrap()
        .unwrap()
        .unwrap()
        .contains("orders.converter")
    {}
    fs::write(&converter, CORRECTED).unwrap();
    assert_eq!(next().await["rejected"], 0);
    watch.kill().await.unwrap();
}

/// Column of the user, user, insert_id, operation and value.
type Mutation = (&'static str, &'static str, u32, &'static str, u32);

/// The query of the page over the files in a folder.
fn query(folder: &std::path::Path) -> String {
    let is_of_block = |line: &&str| line.starts_with("    ");
    let mut lines = PAGE.lines().skip_while(|line| !line.starts_with("    select userId"));
    let block: Vec<&str> = lines.by_ref().take_while(is_of_block).map(str::trim).collect();
    let query = block.join(" ");
    assert!(query.contains("'archive/**/*.gz'"), "{query}");
    query.replace("archive/**/*.gz", &format!("{}/*.gz", folder.display()))
}

/// Mutations of three files, with rows that are read again after those that came later.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_query_of_the_page_folds_an_archive_to_the_newest_state_of_each_key() {
    const RUN: &str = "import duckdb, json, sys; print(json.dumps([list(row) for row in duckdb.sql(sys.argv[1]).fetchall()], default=str))";
    let Some(python) = in_venv("python") else { return };
    let converter = |user: &str| {
        format!(
            r#"{{"converterConfig":{{"fileType":"json","convertToAmplitudeFunc":{{"event_type":["path","e"],
            "user_id":{user},"insert_id":["path","i"],"mutation_type":["path","op"],"event_properties":["path","p"]}}}}}}"#
        )
    };
    let mirror = "[[import]]\nname = \"orders\"\nconverter = \"m.json\"\nscan_interval = \"1 s\"\nstrategy = \"mirror\"\n\
                  bucket = \"files\"\nprefix = \"in/\"\n";
    let stand = Stand::start(mirror).await;
    let path = stand.rig.folder.path().join("m.json");
    fs::write(&path, converter(r#"["path","u"]"#)).unwrap();
    let row = |column: &str, user: &str, id: u32, op: &str, value: u32| {
        format!(
            "{{\"e\":\"order\",\"{column}\":\"{user}\",\"i\":\"{id}\",\"op\":\"{op}\",\"p\":{{\"n\":{value}}}}}\n"
        )
    };
    let (mut all, node) = (Vec::new(), stand.settings.serve().await);
    // Of each file: column, user, insert_id, operation, value. `v` is rejected by the first converter.
    let files: [&[Mutation]; 3] = [
        &[
            ("u", "a", 1, "INSERT", 1),
            ("u", "a", 2, "INSERT", 2),
            ("u", "b", 1, "INSERT", 3),
            ("v", "a", 3, "INSERT", 4),
            ("v", "c", 9, "INSERT", 5),
        ],
        &[
            ("u", "a", 1, "UPDATE", 6),
            ("u", "a", 1, "UPDATE", 7),
            ("u", "a", 2, "DELETE", 8),
            ("u", "a", 3, "UPDATE", 9),
        ],
        &[
            ("u", "a", 2, "INSERT", 10),
            ("u", "b", 1, "DELETE", 11),
            ("v", "c", 9, "DELETE", 12),
            ("u", "d", 1, "UPDATE", 13),
        ],
    ];
    for (number, rows) in files.iter().enumerate() {
        // The store keeps times to the second.
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        let text: String =
            rows.iter().map(|(column, user, id, op, value)| row(column, user, *id, op, *value)).collect();
        stand.put_text(&format!("in/{number}"), &text).await;
        passed(&node, "orders", |last| last["known"] == number + 1).await;
        all.extend_from_slice(rows);
    }
    fs::write(&path, converter(r#"["any",["path","u"],["path","v"]]"#)).unwrap();
    reload(&stand.settings, &node).await;
    let at = ["--admin", node.console.as_str()];
    stand.command(&["retry-rejects", "--import", "orders"], &at).await.code(0);
    assert!(node.terminate().await.success());
    // What is left of each key if the rows are applied in their order.
    let mut expected: BTreeMap<(String, String), u32> = BTreeMap::new();
    for (_, user, id, op, value) in &all {
        let key = ((*user).to_owned(), id.to_string());
        match *op {
            "DELETE" => drop(expected.remove(&key)),
            _ => drop(expected.insert(key, *value)),
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let objects = stand.rig.bucket("lake").objects("segment-logs/").await;
    let lines: usize = objects.iter().map(|object| object.text().lines().count()).sum();
    assert_eq!(lines, all.len(), "each row once");
    for (number, object) in objects.iter().enumerate() {
        fs::write(folder.path().join(format!("{number}.gz")), &object.body).unwrap();
    }
    let mut run = Command::new(python);
    run.args(["-c", RUN]).arg(query(folder.path()));
    let found: Vec<(String, String, Value)> = serde_json::from_str(&stdout_of(run).await).unwrap();
    let found: BTreeMap<(String, String), u32> = found
        .into_iter()
        .map(|(user, id, properties)| {
            let properties: Value = serde_json::from_str(properties.as_str().unwrap()).unwrap();
            ((user, id), u32::try_from(properties["n"].as_u64().unwrap()).unwrap())
        })
        .collect();
    assert_eq!(found, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_is_deleted_once_its_rejected_rows_are_calls() {
    let stand =
        Stand::start(&import("orders", "bucket = \"files\"\nprefix = \"in/\"\nafter = \"delete\"")).await;
    stand.put_text("in/a", &rows("in/a", 20)).await;
    let node = stand.settings.serve().await;
    let waits = |last: &Value| last["after"]["waiting"]["rejected_rows"] == 1;
    let seen = passed(&node, "orders", waits).await;
    assert!(seen.to_string().contains("`forebay import retry-rejects --import orders`"), "{seen}");
    let at = ["--admin", node.console.as_str()];
    stand.command(&["retry-rejects", "--import", "orders"], &at).await.code(3);
    passed(&node, "orders", waits).await;
    fs::write(stand.rig.folder.path().join("c.json"), CORRECTED).unwrap();
    reload(&stand.settings, &node).await;
    stand.command(&["retry-rejects", "--import", "orders"], &at).await.code(0);
    wait::until("the file to be deleted", PATIENCE, async || {
        stand.rig.bucket("files").keys("in/").await.is_empty().then_some(())
    })
    .await;
    stand.delivered(&[("in/a", 20)]).await;
    assert!(node.terminate().await.success());
}
