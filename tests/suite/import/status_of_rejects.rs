//! What a node shows of rejected rows follows what becomes of them: after a retry, after a kill, and of a file that is
//! given up.

use std::fs;
use std::process::Stdio;

use serde_json::{Value, json};

use super::bucket::archive;
use super::node::{Stand, import, import_status, passed, reload};
use super::support::{Ran, ran};
use crate::serve::support::{CREDENTIALS, PATIENCE, ask};
use crate::support::forebay::{Forebay, command};
use crate::support::wait;

/// A converter that takes the user from these columns, and leaves out rows where `skip` is true.
fn converter(columns: &str) -> String {
    let users: Vec<String> = columns.chars().map(|column| format!("[\"path\",\"{column}\"]")).collect();
    format!(
        r#"{{"converterConfig":{{"fileType":"json","ignoreEventFlag":"$ignore","convertToAmplitudeFunc":{{"$ignore":["path","skip"],
            "event_type":["path","e"],"user_id":["any",{}]}}}}}}"#,
        users.join(",")
    )
}

/// Rows of a file, each with its user in the column that `column` gives for its number.
fn rows(key: &str, count: usize, column: impl Fn(usize) -> char) -> String {
    (0..count).map(|row| format!("{{\"e\":\"{key} {row}\",\"{}\":\"u\"}}\n", column(row))).collect()
}

fn write(stand: &Stand, columns: &str) {
    fs::write(stand.rig.folder.path().join("c.json"), converter(columns)).unwrap();
}

/// The files of an import, as the list has them.
async fn list(stand: &Stand, node: &Forebay) -> Vec<Value> {
    let at = ["--admin", node.console.as_str()];
    let list = stand.command(&["list", "--import", "orders", "--json"], &at).await.code(0);
    let list: Value = serde_json::from_str(&list.out).unwrap();
    list["imports"].as_array().unwrap().clone()
}

/// The numbers stayed at those of the passes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_of_rejected_rows_follow_a_retry() {
    let orders = import("orders", "bucket = \"files\"\nprefix = \"in/\"\nafter = \"tag\"");
    let stand = Stand::start(&(orders + &import("copies", "bucket = \"files\"\nprefix = \"in/a\""))).await;
    write(&stand, "u");
    let column = |row: usize| [(3, 'v'), (7, 'w')].iter().find(|of| of.0 == row % 10).map_or('u', |of| of.1);
    stand.put_text("in/a", &(rows("in/a", 20, column) + "{\"e\":\"x\",\"skip\":true}\n")).await;
    let node = stand.settings.serve().await;
    let rejected = |last: &Value| last["after"]["rejected_rows"].as_u64();
    passed(&node, "orders", |last| rejected(last) == Some(4)).await;
    passed(&node, "copies", |last| last["known"] == 1).await;
    let totals = async || {
        let all = import_status(&node, "orders").await["since_start"].clone();
        let of_passes =
            ["rows", "stored", "rejected", "skipped_rows"].map(|name| all[name].as_u64().unwrap());
        assert_eq!(of_passes, [21, 16, 4, 1]);
        ["settled", "stored_again", "accepted"].map(|name| all[name].as_u64().unwrap())
    };
    assert_eq!(totals().await, [0; 3]);
    let metrics = String::from_utf8(ask(&node, "/metrics").await.body.to_vec()).unwrap();
    let left_out = "forebay_import_rows_total{source=\"shop\",became=\"left_out\"} 2";
    assert!(metrics.contains(left_out), "{metrics}");

    write(&stand, "uv");
    reload(&stand.settings, &node).await;
    let at = ["--admin", node.console.as_str()];
    stand.command(&["retry-rejects", "--import", "orders"], &at).await.code(3);
    assert_eq!(totals().await, [2, 2, 0]);
    passed(&node, "orders", |last| rejected(last) == Some(2)).await;
    stand.command(&["retry-rejects", "--import", "orders"], &at).await.code(3);
    // Only places are named that are there, and whose file it is.
    let files = list(&stand, &node).await;
    assert_eq!(files.len(), 3, "{files:?}");
    for file in &files {
        assert_eq!(file["import"], "orders", "{file}");
        assert!(file["rejects_file"].as_str().is_none_or(|path| fs::exists(path).unwrap()), "{file}");
    }
    let shown = stand.command(&["list"], &at).await.code(0);
    for line in ["(import orders): done, but 2 rows are rejected\n", "(import copies): done, but 4 rows are"]
    {
        assert!(shown.out.contains(&format!("s3://files/in/a into shop {line}")), "{shown:?}");
    }
    write(&stand, "uvw");
    reload(&stand.settings, &node).await;
    stand.command(&["retry-rejects", "--import", "orders"], &at).await.code(0);
    assert_eq!(totals().await, [4, 4, 0]);
    passed(&node, "orders", |last| last["after"]["waiting"]["rejected_rows"].is_null()).await;
    let shown = stand.command(&["status", "orders"], &at).await.code(0);
    let words = "21 rows: 16 calls stored, 4 rejected, 1 left out by the converter; 4 rows are no longer rejected (4 calls \
                 stored)";
    assert!(shown.out.replace("\n          ", " ").contains(words), "{shown:?}");
    // The journal of a node that does not run is read in its spool.
    let of_node = list(&stand, &node).await;
    assert!(node.terminate().await.success());
    let config = stand.settings.write();
    let read = ["list", "--import", "orders", "--json"];
    let of_spool = stand.command(&read, &["--config", config.to_str().unwrap()]).await.code(0).out;
    let of_spool: Value = serde_json::from_str(&of_spool).unwrap();
    // The errors quote rows, which only whoever has the spool sees.
    let without_errors = |files: &[Value]| {
        let mut files = files.to_vec();
        files.iter_mut().for_each(|file| file["errors"] = Value::Null);
        files
    };
    assert_eq!(without_errors(of_spool["imports"].as_array().unwrap()), without_errors(&of_node));
}

/// The rows of the step that made it fail were counted among those that are rejected.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_given_up_has_as_many_errors_as_rejected_rows() {
    let stand = Stand::start(&import("orders", "bucket = \"files\"\nprefix = \"in/\"")).await;
    write(&stand, "u");
    // More than half are rejected only in the second step.
    let column = |row: usize| if row < 2_000 && row % 5 > 1 { 'u' } else { 'v' };
    stand.put_text("in/a", &rows("in/a", 4_000, column)).await;
    let node = stand.settings.serve().await;
    passed(&node, "orders", |last| last["given_up"] == 1).await;
    let files = list(&stand, &node).await;
    let [file] = files.as_slice() else { panic!("{files:?}") };
    assert_eq!((&file["state"], &file["rejected"]), (&json!("given_up"), &json!(800)), "{file}");
    let counts =
        |at: usize| (file["errors"][at]["count"].as_u64(), file["errors"][at]["not_stored"].as_bool());
    assert_eq!([counts(0), counts(1)], [(Some(800), None), (Some(401), Some(true))], "{file}");
    let kept = fs::read_to_string(file["rejects_file"].as_str().unwrap()).unwrap().lines().count();
    assert_eq!(kept, 1_201, "{file}");
    let shown = stand.command(&["list"], &["--admin", node.console.as_str()]).await.code(0);
    for text in
        ["1,200 stored, 0 repeated, 0 refused, 800 rejected\n", "rejected: 800 rows missing:user_id, first"]
    {
        assert!(shown.out.contains(text), "{shown:?}");
    }
    assert!(
        shown.out.contains("401 rows missing:user_id of the step that was not stored, first"),
        "{shown:?}"
    );
    assert!(node.terminate().await.success());
}

/// The command had KEY in it, since the name of an entry was taken for no key.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_about_an_entry_of_an_archive_names_the_archive() {
    let stand =
        Stand::start(&import("orders", "bucket = \"files\"\nprefix = \"in/\"\non_row_error = \"fail\""))
            .await;
    write(&stand, "u");
    let body = archive(&[("one!.json", &rows("in/a", 3, |_| 'u')), ("two!.json", &rows("in/b", 3, |_| 'v'))]);
    let client = &stand.rig.bucket("files").client;
    client.put_object().bucket("files").key("in/a b!.zip").body(body.into()).send().await.unwrap();
    let node = stand.settings.serve().await;
    passed(&node, "orders", |last| last["given_up"] == 1).await;
    let files = list(&stand, &node).await;
    let given_up = files.iter().find(|file| file["state"] == "given_up").unwrap();
    assert_eq!(given_up["what"], "s3://files/in/a b!.zip!two!.json", "{given_up}");
    let next = given_up["next"].as_str().unwrap();
    assert!(next.contains("`forebay import reset-file orders 'in/a b!.zip'` lets it begin again"), "{next}");
    let at = ["--admin", node.console.as_str()];
    stand.command(&["reset-file", "orders", "in/a b!.zip"], &at).await.code(0);
    assert!(node.terminate().await.success());
}

/// A command beside a node, until the node has read rows of what it does; then the node is killed.
async fn killed(
    stand: &Stand,
    node: Forebay,
    words: &[&str],
    is_under_way: impl AsyncFn(&Forebay) -> bool,
) -> Ran {
    let mut child = command();
    child.arg("import").args(words).args(["--admin", &node.console]).envs(CREDENTIALS);
    child.current_dir(stand.rig.folder.path()).stdin(Stdio::null());
    let ran = tokio::spawn(ran(child));
    wait::until("the work", PATIENCE, async || is_under_way(&node).await.then_some(())).await;
    node.kill().await;
    ran.await.unwrap()
}

/// It said that no admin listener answers there, that the next pass goes on, and the errors of one of two runs.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_dies_during_a_command_says_what_goes_on_with_it() {
    const ROWS: usize = 120_000;
    let lines = "bucket = \"files\"\nprefix = \"in/\"\non_row_error = \"reject\"";
    let stand = Stand::start(&import("orders", lines).replace("1 s", "1 h")).await;
    write(&stand, "u");
    let node = stand.settings.serve().await;
    passed(&node, "orders", |last| last["listed"] == 0).await;
    stand.put_text("in/a", &rows("in/a", ROWS, |row| if row % 2 == 0 { 'v' } else { 'w' })).await;
    let reads = async |node: &Forebay| import_status(node, "orders").await["pass_rows"].as_u64() > Some(0);
    let run = killed(&stand, node, &["run", "orders"], reads).await.code(4);
    let gone = "went away during the command. Nothing that it has acknowledged is lost: once it runs again, ";
    for text in
        [gone, "its passes go on after the last stored row; `forebay import run orders --admin http://"]
    {
        assert!(run.err.contains(text), "{run:?}");
    }
    let node = stand.settings.serve().await;
    passed(&node, "orders", |last| last["known"] == 1 || last["files"]["done"] == 1).await;
    write(&stand, "uv");
    reload(&stand.settings, &node).await;
    let is_round = |file: &Value| file["what"].as_str().unwrap().contains("rejected rows of s3://files/in/a");
    let retries = async |node: &Forebay| {
        let files = list(&stand, node).await;
        files.iter().any(|file| is_round(file) && file["rows_read"].as_u64() > Some(0))
    };
    let retry = ["retry-rejects", "--import", "orders"];
    let of_node = format!("--import orders --admin {}` goes", node.console);
    let ran = killed(&stand, node, &retry, retries).await.code(4);
    let goes_on =
        "`forebay import retry-rejects --import orders` goes on with the next of these rows; no pass does";
    let at_node = goes_on.replace("--import orders` goes", &of_node);
    assert!(ran.err.contains(&format!("{gone}{at_node}")), "{ran:?}");

    let node = stand.settings.serve().await;
    let round = async || list(&stand, &node).await.into_iter().find(is_round).unwrap();
    let stopped = round().await;
    assert_eq!((&stopped["state"], &stopped["next"]), (&json!("stopped"), &json!(goes_on)), "{stopped}");
    let at = ["--admin", node.console.as_str()];
    stand.command(&retry, &at).await.code(3);
    let done = round().await;
    let half = json!(ROWS / 2);
    assert_eq!(
        (&done["state"], &done["rejected_again"], &done["errors"][0]["count"], &done["rejected"]),
        (&json!("done"), &half, &half, &json!(0)),
        "{done}"
    );
    assert!(node.terminate().await.success());
}
