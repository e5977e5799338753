//! The three ways, and what each failure tells the caller: its exit code and its words.

use std::process::Stdio;
use std::time::Duration;

use serde_json::json;

use super::support::{Stand, counts, environment, import, ran, values};
use crate::serve::support::{CREDENTIALS, Rig};
use crate::support::fault_proxy::{Fault, FaultProxy};
use crate::support::forebay::Forebay;
use crate::support::wait;

const PATIENCE: Duration = Duration::from_secs(60);

/// A table of track calls.
fn table(rows: u64) -> String {
    let rows: String = (0..rows).map(|row| format!("u{row},e\n")).collect();
    format!("userId,event\n{rows}")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_node_the_command_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("track_1.csv"), table(1)).unwrap();
    let ran = ran(import(folder.path(), &["track_1.csv", "--admin", "http://127.0.0.1:1"])).await.code(4);
    assert!(
        ran.err.contains("no node answers at http://127.0.0.1:1")
            && ran.err.contains("start `forebay dev` first")
            && ran.err.contains("--config"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_missing_or_may_not_be_read_has_its_exit_code() {
    let stand = Stand::start().await;
    stand.file("track_1.csv", table(3));
    stand.file("empty/x.md", "");
    let s3 = ["--endpoint-url", stand.node.s3.as_str()];
    let check = async |arguments: &[&str], code: i32, said: &str| {
        let ran = stand.run(arguments).await.code(code);
        assert!(format!("{}{}", ran.out, ran.err).contains(said), "{said}: {ran:?}");
    };
    check(&["nothing.csv"], 2, "no such file or folder: nothing.csv").await;
    check(&["*.tsv"], 2, "no file matches *.tsv").await;
    check(&["empty"], 2, "in the folder empty").await;
    check(&["-"], 1, "E-CSV-TYPE").await;
    check(&["track_1.csv", "--types", "nothing.json"], 2, "--types nothing.json").await;
    check(&["track_1.csv", "--delimiter", "\"", "--quote", "\""], 2, "--delimiter and --quote must differ")
        .await;
    check(&["track_1.csv", "--encoding", "klingon"], 2, "klingon").await;
    check(&["s3://forebay/track_1.csv", s3[0], s3[1]], 1, "E-MISSING").await;
    check(&["s3://forebay/none/", s3[0], s3[1]], 2, "no .csv, .tsv or .txt object in s3://forebay/none/")
        .await;
    // The other files are imported.
    let some =
        stand.run(&["track_1.csv", "s3://forebay/track_2.csv", s3[0], s3[1], "--json"]).await.code(1).json();
    assert_eq!((&some["calls"], &some["ended"]), (&json!({"track": 3}), &json!("failed")), "{some}");
    for place in ["s3://forebay/track_1.csv", "s3://forebay/"] {
        let mut command = stand.import(&[place, s3[0], s3[1]]);
        command.env("AWS_SECRET_ACCESS_KEY", "wrong");
        ran(command).await.code(5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_running_node_the_calls_go_into_the_spool_and_from_there_to_the_bucket() {
    let rig = Rig::start(&["lake"]).await;
    let settings = rig.settings(&["shop"]);
    let config = settings.write().to_str().unwrap().to_owned();
    let folder = rig.folder.path();
    std::fs::write(folder.join("track_1.csv"), table(3_000)).unwrap();
    let own = async |arguments: &[&str]| {
        let mut command = import(folder, arguments);
        command.args(["--config", &config]).envs(CREDENTIALS);
        ran(command).await
    };
    let first = own(&["track_1.csv"]).await.code(0);
    assert!(!first.err.contains("unknown and ignored"), "its variables are known: {first:?}");
    let spool = settings.spool_dir();
    let way =
        format!("importing into the spool {}, and from there to the bucket: exactly once\n", spool.display());
    assert_eq!(first.out, format!("{way}1 file, 3,000 rows\n  calls:    3,000 track\n"));
    let users = values(&rig.bucket("lake").lines("shop").await, "/userId");
    assert_eq!(users, (0..3_000).map(|row| format!("u{row}")).collect::<Vec<_>>());
    let inspected =
        crate::support::forebay::run(&["spool", "inspect", spool.to_str().unwrap(), "--json"]).await;
    let inspected: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!((&inspected["batches"], &inspected["seals"]), (&json!([]), &json!([])), "{inspected}");
    assert_eq!(own(&["track_1.csv", "--json"]).await.code(0).json()["rows"], 0);

    // A node on the same spool knows the file, too, and while it runs the spool is taken.
    let node = settings.serve().await;
    let taken = own(&["track_1.csv"]).await.code(4);
    assert!(
        taken.err.contains("no node answers at") && taken.err.contains("in use by another process"),
        "{taken:?}"
    );
    let through =
        ran(import(folder, &["track_1.csv", "--json", "--admin", &node.console])).await.code(0).json();
    assert_eq!(through["rows"], 0, "{through}");
    assert!(node.terminate().await.success());
    let wrong = own(&["track_1.csv", "--source", "other"]).await.code(2);
    assert!(format!("{wrong:?}").contains("there is no source other; the sources are shop"), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_several_sources_one_must_be_named() {
    let rig = Rig::start(&["lake"]).await;
    let node = rig.settings(&["shop", "app"]).serve().await;
    let folder = rig.folder.path();
    std::fs::write(folder.join("track_1.csv"), table(2)).unwrap();
    let check = async |arguments: &[&str], code: i32, said: &str| {
        let mut command = import(folder, &["track_1.csv", "--admin", &node.console]);
        command.args(arguments);
        let ran = ran(command).await.code(code);
        assert!(format!("{}{}", ran.out, ran.err).contains(said), "{said}: {ran:?}");
    };
    check(&[], 2, "there are several sources (shop, app): name one with --source").await;
    check(&["--source", "other"], 2, "there is no source other; the sources are shop, app").await;
    check(&["--write-key", "other"], 2, "no source has this write key").await;
    check(&["--write-key", "app-key"], 0, "2 track").await;
    check(&["--source", "app"], 0, "1 imported before").await;
    check(&["--source", "shop"], 0, "2 track").await;
    node.flush().await;
    for source in ["shop", "app"] {
        assert_eq!(values(&rig.bucket("lake").lines(source).await, "/userId"), ["u0", "u1"], "{source}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_elsewhere_gets_each_call_once_also_after_a_kill() {
    let stand = Stand::start().await;
    stand.file("track_1.csv", table(9_000));
    let to = ["--collector", &stand.node.collector, "--write-key", "shop"];
    let sent = async |more: &[&str]| {
        let command = import(stand.folder.path(), &[&["track_1.csv", "--json"], &to[..], more].concat());
        ran(command).await
    };
    let mut slow = import(stand.folder.path(), &[&["track_1.csv", "--rate", "1000"], &to[..]].concat());
    let mut child = slow.stdout(Stdio::null()).kill_on_drop(true).spawn().unwrap();
    let journals = stand.state().join("import");
    // Progress is written after a step, so that of the first one is there once rows of the next arrive.
    wait::until("some calls to arrive", PATIENCE, async || {
        let status = crate::serve::support::status(&stand.node).await;
        let pending = status["sources"][0]["pending_calls"].as_u64();
        pending.filter(|pending| *pending > 2_000)
    })
    .await;
    child.kill().await.unwrap();
    let is_journal = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|end| end == "redb");
    assert_eq!(std::fs::read_dir(&journals).unwrap().map(Result::unwrap).filter(is_journal).count(), 1);
    let second = sent(&[]).await.code(0);
    assert!(second.err.contains(&format!("to the collector {}", stand.node.collector)), "{second:?}");
    let json = second.json();
    let before = json["files"][0]["rows_before"].as_u64().unwrap();
    assert!(before >= 2_000, "it continues: {json}");
    assert_eq!(json["rows"].as_u64(), Some(9_000 - before), "{json}");
    assert_eq!(sent(&[]).await.code(0).json()["rows"], 0);
    let ids = counts(values(&stand.lines("shop").await, "/messageId"));
    assert_eq!((ids.len(), ids.values().max()), (9_000, Some(&1)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn machines_that_share_a_journal_in_s3_share_the_files() {
    const FILES: u64 = 8;
    const ROWS: u64 = 3_000;
    let stand = Stand::start().await;
    for number in 0..FILES {
        stand.file(&format!("in/track_{number}.csv"), table(ROWS));
    }
    let journal = ["--journal", "s3://forebay/imports", "--endpoint-url", stand.node.s3.as_str()];
    let to = ["--collector", &stand.node.collector, "--write-key", "shop"];
    let run = async |machine: &str| {
        let mut command = import(stand.folder.path(), &[&["in", "--json"], &to[..], &journal[..]].concat());
        command.env("FOREBAY_STATE", stand.folder.path().join(machine));
        ran(command).await
    };
    let (one, other) = tokio::join!(run("one"), run("other"));
    let (one, other) = (one.code(0).json(), other.code(0).json());
    assert_eq!(
        one["rows"].as_u64().unwrap() + other["rows"].as_u64().unwrap(),
        FILES * ROWS,
        "{one} {other}"
    );
    assert_eq!(run("third").await.code(0).json()["rows"], 0);
    let ids = counts(values(&stand.lines("shop").await, "/messageId"));
    assert_eq!((ids.len() as u64, ids.values().max()), (FILES * ROWS, Some(&1)));
    // Rows known by their content would be known on one machine only.
    let mut command = import(
        stand.folder.path(),
        &[&["in/track_0.csv", "--id-from", "row-hash"], &to[..], &journal[..]].concat(),
    );
    command.env("FOREBAY_STATE", stand.state());
    let refused = ran(command).await.code(1);
    assert!(refused.out.contains("use it without --journal"), "{refused:?}");
    let wrong = stand.run(&["in", "--journal", "s3://forebay/imports"]).await.code(2);
    assert!(wrong.err.contains("--collector"), "{wrong:?}");
}

/// A collector that answered before is waited for; one that never did is probably a wrong URL.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_does_not_answer_at_the_start_is_exit_4() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("track_1.csv"), table(1)).unwrap();
    let arguments = ["track_1.csv", "--collector", "http://127.0.0.1:1", "--write-key", "shop"];
    let ran = ran(import(folder.path(), &arguments)).await.code(4);
    assert!(ran.err.contains("no collector answers at http://127.0.0.1:1"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_typed_displaces_the_environment() {
    let stand = Stand::start().await;
    stand.file("track_1.csv", table(2));
    let arguments = ["track_1.csv", "--collector", &stand.node.collector, "--write-key", "shop"];
    let mut command = stand.import(&arguments);
    command.env("FOREBAY_CONFIG", "missing.toml");
    let sent = ran(command).await.code(0);
    assert!(sent.out.contains("to the collector"), "{sent:?}");
    for (option, value, shown) in
        [("--admin", &*stand.node.console, "--admin <URL>"), ("--config", "x", "--config <FILE>")]
    {
        let both = stand.run(&[&arguments[..], &[option, value]].concat()).await.code(2);
        let said = format!("'--collector <URL>' cannot be used with '{shown}'");
        assert!(both.err.contains(&said), "{both:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_that_refuses_the_key_is_exit_5_and_one_that_is_busy_is_asked_again() {
    let rig = Rig::start(&["lake"]).await;
    let node = rig.settings(&["shop"]).serve().await;
    let folder = rig.folder.path();
    std::fs::write(folder.join("track_1.csv"), table(5_000)).unwrap();
    let refused =
        ran(import(folder, &["track_1.csv", "--collector", &node.collector, "--write-key", "wrong"]))
            .await
            .code(5);
    assert!(refused.out.contains("401"), "{refused:?}");
    let busy = http::StatusCode::SERVICE_UNAVAILABLE;
    let script = [Fault::TooManyRequests, Fault::LostAnswer, Fault::Status(busy), Fault::HangUp];
    let proxy = FaultProxy::start(&node.collector, script).await;
    let done =
        ran(import(folder, &["track_1.csv", "--collector", &proxy.url, "--write-key", "shop-key", "--json"]));
    assert_eq!(done.await.code(0).json()["calls"], json!({"track": 5_000}));
    let largest = proxy.tracking().iter().map(|seen| seen.body.len()).max().unwrap();
    assert!(largest < 500_000, "{largest}");
    node.flush().await;
    let ids = counts(values(&rig.bucket("lake").lines("shop").await, "/messageId"));
    assert_eq!((ids.len(), ids.values().max()), (5_000, Some(&1)));
    // Without a key there is no collector to send to.
    let without = ran(import(folder, &["track_1.csv", "--collector", &proxy.url])).await.code(2);
    assert!(without.err.contains("--write-key"), "{without:?}");
}

/// Whatever becomes of the answers, the node stores each row once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_answers_are_lost_stores_each_row_once() {
    let stand = Stand::start().await;
    stand.file("track_1.csv", table(9_000));
    let busy = http::StatusCode::BAD_GATEWAY;
    let script = [Fault::LostAnswer, Fault::HangUp, Fault::LostAnswer, Fault::Status(busy)];
    let proxy = FaultProxy::start(&stand.node.console, script).await;
    let command = import(stand.folder.path(), &["track_1.csv", "--json", "--admin", &proxy.url]);
    let json = ran(command).await.code(0).json();
    assert_eq!(json["calls"], json!({"track": 9_000}), "{json}");
    assert_eq!(json["repeated"], 0, "{json}");
    assert_eq!(
        values(&stand.lines("csv").await, "/userId"),
        (0..9_000).map(|row| format!("u{row}")).collect::<Vec<_>>()
    );
}

/// The environment of a machine does not stand in the way of an option.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn serve_without_an_admin_url_is_found_by_its_configuration() {
    let rig = Rig::start(&["lake"]).await;
    let settings = rig.settings(&["shop"]);
    // A port that is free now; the configuration names it.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let path = settings.write().to_owned();
    let text = std::fs::read_to_string(&path).unwrap();
    let named =
        text.replace("[admin]\nlisten = \"127.0.0.1:0\"", &format!("[admin]\nlisten = \"127.0.0.1:{port}\""));
    assert_ne!(text, named);
    std::fs::write(&path, named).unwrap();
    let node = Forebay::serve(&path, &CREDENTIALS).await;
    let folder = rig.folder.path();
    std::fs::write(folder.join("track_1.csv"), table(2)).unwrap();
    let mut command = import(folder, &["track_1.csv"]);
    command.arg("--config").arg(&path).envs(environment());
    command.env("FOREBAY_ADMIN_URL", "http://127.0.0.1:1");
    let ran = ran(command).await.code(0);
    assert!(ran.out.starts_with(&format!("importing through the node at {}", node.console)), "{ran:?}");
}
