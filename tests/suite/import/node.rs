//! A node with `[[import]]`, and the commands that work with one: files of a bucket become calls once, whatever
//! happens to the node, to the configuration, or to another import.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;

use super::support::{Ran, ran};
use crate::serve::support::{CREDENTIALS, PATIENCE, Rig, Settings, ask, change_alarm, status};
use crate::support::forebay::{Flush, Forebay, Starting, command};
use crate::support::wait;

const CONVERTER: &str = r#"{"converterConfig":{"fileType":"json","convertToAmplitudeFunc":{
    "event_type":["path","e"],"user_id":["path","u"]}}}"#;

/// A bucket with files beside that of the calls, and a configuration with one import of it.
pub(super) struct Stand {
    pub(super) rig: Rig,
    pub(super) settings: Settings,
}

/// An import of the bucket `files`.
pub(super) fn import(name: &str, more: &str) -> String {
    format!(
        "[[import]]\nname = \"{name}\"\nconverter = \"c.json\"\ninsert_id_window = \"0 s\"\nscan_interval = \"1 s\"\n{more}\n"
    )
}

impl Stand {
    pub(super) async fn start(imports: &str) -> Self {
        let rig = Rig::start(&["lake", "files"]).await;
        fs::write(rig.folder.path().join("c.json"), CONVERTER).unwrap();
        let mut settings = rig.settings(&["shop"]);
        settings.imports = imports.to_owned();
        Self { rig, settings }
    }

    /// Puts a file with these rows.
    pub(super) async fn put(&self, key: &str, rows: std::ops::Range<u32>) {
        let lines: String = rows.map(|row| format!("{{\"e\":\"{key} {row}\",\"u\":\"u\"}}\n")).collect();
        self.put_text(key, &lines).await;
    }

    pub(super) async fn put_text(&self, key: &str, text: &str) {
        let client = &self.rig.bucket("files").client;
        let body = text.as_bytes().to_vec().into();
        client.put_object().bucket("files").key(key).body(body).send().await.unwrap();
    }

    /// The events that are in the bucket of the calls, and a check that none is there twice.
    pub(super) async fn events(&self) -> BTreeSet<String> {
        let lines = self.rig.bucket("lake").lines("shop").await;
        let mut ids = BTreeSet::new();
        let mut events = BTreeSet::new();
        for line in &lines {
            let line: Value = serde_json::from_str(line).unwrap();
            let event = line["event"].as_str().unwrap().to_owned();
            assert!(ids.insert(line["messageId"].to_string()), "{line}");
            assert!(events.insert(event), "twice: {line}");
        }
        events
    }

    /// Waits until these files' rows are delivered, and no others.
    pub(super) async fn delivered(&self, files: &[(&str, u32)]) {
        let expected: BTreeSet<String> =
            files.iter().flat_map(|(key, rows)| (0..*rows).map(move |row| format!("{key} {row}"))).collect();
        wait::until("the rows in the bucket", PATIENCE, async || {
            let events = self.events().await;
            assert!(events.is_subset(&expected), "{events:?}");
            (events.len() == expected.len()).then_some(())
        })
        .await;
    }

    /// A command beside the node, with the configuration.
    pub(super) async fn command(&self, words: &[&str], more: &[&str]) -> Ran {
        let mut command = command();
        command.arg("import").args(words).args(more).current_dir(self.rig.folder.path()).envs(CREDENTIALS);
        ran(command).await
    }
}

/// The status of one import.
pub(super) async fn import_status(node: &Forebay, name: &str) -> Value {
    let status = status(node).await;
    let imports = status["imports"].as_array().unwrap();
    imports.iter().find(|import| import["name"] == name).unwrap_or_else(|| panic!("{status}")).clone()
}

/// Waits until a pass that found this has ended.
pub(super) async fn passed(node: &Forebay, name: &str, found: impl Fn(&Value) -> bool) -> Value {
    wait::until("a pass", PATIENCE, async || {
        Some(import_status(node, name).await).filter(|one| found(&one["last"]))
    })
    .await
}

pub(super) async fn reload(settings: &Settings, node: &Forebay) {
    let said = |node: &Forebay| node.log().matches("configuration reloaded").count();
    let before = said(node);
    settings.write();
    node.signal(Signal::HUP);
    wait::until("the reload", PATIENCE, async || (said(node) > before).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_become_calls_once_whatever_happens_to_the_node() {
    let stand = Stand::start(&import("orders", "bucket = \"files\"\nprefix = \"in/\"")).await;
    stand.put("in/a", 0..10).await;
    stand.put("in/big", 0..4_000).await;
    stand.put("other/x", 0..10).await;
    let node = stand.settings.serve().await;
    stand.delivered(&[("in/a", 10), ("in/big", 4_000)]).await;
    stand.put("in/b", 0..20).await;
    stand.delivered(&[("in/a", 10), ("in/big", 4_000), ("in/b", 20)]).await;
    let seen = passed(&node, "orders", |last| last["known"] == 3).await;
    assert_eq!((&seen["place"], &seen["source"]), (&"s3://files/in/".into(), &"shop".into()), "{seen}");
    assert!(seen["next_ms"].is_i64() || seen["pass_since_ms"].is_i64(), "{seen}");
    // Later passes read nothing, and what the first ones did is still there.
    let sum = &seen["since_start"];
    assert_eq!(
        (&sum["done"], &sum["rows"], &sum["rejected"]),
        (&3.into(), &4_030.into(), &0.into()),
        "{seen}"
    );
    let shown = stand.command(&["status", "orders"], &["--admin", node.console.as_str()]).await.code(0);
    assert!(shown.out.contains("since the start: 3 files done; 4,030 rows: 4,030 calls stored"), "{shown:?}");
    let metrics = String::from_utf8(ask(&node, "/metrics").await.body.to_vec()).unwrap();
    for line in [
        "forebay_import_objects{import=\"orders\",became=\"known\"} 3",
        "forebay_import_last_pass_timestamp_seconds{import=\"orders\"} ",
        "forebay_import_passes_total{import=\"orders\",became=\"done\"} ",
    ] {
        assert!(metrics.contains(line), "{line}: {metrics}");
    }
    assert!(node.terminate().await.success());

    let node = stand.settings.serve().await;
    passed(&node, "orders", |last| last["known"] == 3).await;
    // Killed as soon as something of the next file is stored, or before.
    stand.put("in/c", 0..6_000).await;
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    node.kill().await;
    let node = stand.settings.serve().await;
    passed(&node, "orders", |last| last["known"] == 4).await;
    stand.delivered(&[("in/a", 10), ("in/big", 4_000), ("in/b", 20), ("in/c", 6_000)]).await;
    assert!(node.terminate().await.success());
}

/// The page of setup says so: when files get a new column, the status names it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_names_columns_that_no_call_uses_and_counts_requests_of_listings() {
    let stand = Stand::start(&import("orders", "bucket = \"files\"\nprefix = \"in/\"")).await;
    stand.put_text("in/a", "{\"e\":\"x\",\"u\":\"u\"}\n").await;
    let node = stand.settings.serve().await;
    let seen = passed(&node, "orders", |last| last["known"] == 1).await;
    let one = import_status(&node, "orders").await;
    assert_eq!((&one["unused_columns"], &one["unused_first"]), (&0.into(), &Value::Null), "{one}");
    assert!(seen["list_requests_hour"].as_u64() >= Some(1), "{seen}");
    stand.put_text("in/b", "{\"e\":\"y\",\"u\":\"u\",\"plan\":\"pro\",\"mia@example.com\":1}\n").await;
    passed(&node, "orders", |last| last["known"] == 2).await;
    let shown = stand.command(&["status", "orders"], &["--admin", node.console.as_str()]).await.code(0);
    for text in ["LIST requests in the last hour\n", "columns that no call uses: plan\n"] {
        assert!(shown.out.contains(text), "{shown:?}");
    }
    assert!(!shown.out.contains("mia@"), "{shown:?}");
    assert!(node.terminate().await.success());
}

/// Any change of a setting began the counts anew. Without a node, the status knew nothing at all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counts_outlive_a_change_of_settings_and_the_journal_is_counted_without_a_node() {
    let lines = "bucket = \"files\"\nprefix = \"in/\"";
    let mut stand = Stand::start(&import("orders", lines)).await;
    stand.put("in/a", 0..10).await;
    stand.put("in/b", 0..10).await;
    stand.put_text("in/bad", "[1]").await;
    let node = stand.settings.serve().await;
    passed(&node, "orders", |last| last["known"] == 2 && last["given_up"] == 1).await;
    let before = import_status(&node, "orders").await["since_start"].clone();
    assert_eq!((&before["done"], &before["stored"]), (&2.into(), &20.into()), "{before}");
    stand.settings.imports = import("orders", &format!("{lines}\ndescription = \"All of them\""));
    reload(&stand.settings, &node).await;
    passed(&node, "orders", |last| last["known"] == 2).await;
    assert_eq!(import_status(&node, "orders").await["since_start"], before);
    // Commands in the whole status find the node that it was asked of.
    let mut whole = command();
    whole.args(["status", "--admin", &node.console]);
    let whole = super::support::ran(whole).await.code(0).out.replace("\n          ", " ");
    assert!(
        whole.contains("`forebay import") && whole.contains(&format!("--admin {}", node.console)),
        "{whole}"
    );
    // The same if it is gone for a while, or gets another name.
    stand.settings.imports = String::new();
    reload(&stand.settings, &node).await;
    stand.settings.imports = import("orders", lines);
    reload(&stand.settings, &node).await;
    passed(&node, "orders", |last| last["known"] == 2).await;
    assert_eq!(import_status(&node, "orders").await["since_start"], before);
    stand.settings.imports = import("sales", &format!("{lines}\nenabled = false"));
    reload(&stand.settings, &node).await;
    let at = ["--admin", node.console.as_str()];
    stand.command(&["rename", "orders", "sales"], &at).await.code(0);
    stand.settings.imports = import("sales", lines);
    reload(&stand.settings, &node).await;
    passed(&node, "sales", |last| last["known"] == 2).await;
    assert_eq!(import_status(&node, "sales").await["since_start"], before);
    stand.settings.imports = import("orders", &format!("{lines}\nenabled = false"));
    reload(&stand.settings, &node).await;
    stand.command(&["rename", "sales", "orders"], &at).await.code(0);
    stand.settings.imports = import("orders", lines);
    assert!(node.terminate().await.success());
    let own = ["--config", stand.settings.write().to_str().unwrap()];
    let shown = stand.command(&["status", "orders"], &own).await.code(0);
    let files = "into shop: no node runs: 2 files done, 1 given up, 0 begun (journal)";
    assert!(shown.out.contains(files), "{shown:?}");
    let json = stand.command(&["status", "orders", "--json"], &own).await.code(0);
    let json: Value = serde_json::from_str(&json.out).unwrap();
    let counts = serde_json::json!({ "done": 2, "given_up": 1, "begun": 0 });
    assert_eq!(json[0]["in_journal"], counts, "{json}");
}

/// They named the setting that shows everything although it was set, also in alarms, which nothing shows as a whole.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_status_shows_everything_if_the_settings_say_so() {
    let lines = "bucket = \"files\"\nprefix = \"in/\"\non_row_error = \"fail\"";
    let stand = Stand::start(&import("orders", lines)).await;
    stand.put_text("in/bad", "{\"e\":\"e\"}\n").await;
    let how = "admin.live_view";
    for (view, has_hint) in [("full", false), ("masked", true)] {
        let environment: Vec<_> =
            CREDENTIALS.into_iter().chain([("FOREBAY_ADMIN_LIVE_VIEW", view)]).collect();
        let node = Forebay::serve(stand.settings.write(), &environment).await;
        let last = passed(&node, "orders", |last| last["not_done"][0]["error"].is_string()).await;
        let error = last["last"]["not_done"][0]["error"].as_str().unwrap();
        assert!(error.contains("E-ROWS: 1 of 1 rows are rejected"), "{error}");
        assert_eq!(error.contains(how), has_hint, "{view}: {error}");
        let what = wait::until("the alarm", PATIENCE, async || {
            let alarm = alarm_of(&status(&node).await, "orders (files for a person)")?;
            alarm["what"].as_str().map(str::to_owned)
        })
        .await;
        assert!(what.contains("s3://files/in/bad: E-ROWS") && !what.contains(how), "{view}: {what}");
        node.kill().await;
    }
}

/// Rows `n` of a file have the insert_id `n`.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_whose_insert_ids_are_stored_are_dropped_also_by_the_next_process() {
    let keyed = |name: &str, prefix: &str| {
        format!(
            "[[import]]\nname = \"{name}\"\nconverter = \"k.json\"\nscan_interval = \"1 s\"\nbucket = \"files\"\n\
             prefix = \"{prefix}\"\n"
        )
    };
    let stand = Stand::start(&(keyed("orders", "in/") + &keyed("more", "more/"))).await;
    let converter = CONVERTER.replace("\"user_id\"", "\"insert_id\":[\"path\",\"i\"],\"user_id\"");
    fs::write(stand.rig.folder.path().join("k.json"), converter).unwrap();
    let rows = |key: &str, rows: std::ops::Range<u32>| -> String {
        rows.map(|row| format!("{{\"e\":\"{key} {row}\",\"u\":\"u\",\"i\":\"{row}\"}}\n")).collect()
    };
    stand.put_text("in/a", &rows("in/a", 0..3_000)).await;
    let node = stand.settings.serve().await;
    stand.delivered(&[("in/a", 3_000)]).await;
    let remembers = |metrics: &str| metrics.contains("forebay_insert_ids 3000\n");
    let metrics = String::from_utf8(ask(&node, "/metrics").await.body.to_vec()).unwrap();
    assert!(remembers(&metrics), "{metrics}");
    node.kill().await;
    stand.put_text("in/b", &rows("in/b", 1_000..3_000)).await;
    stand.put_text("more/c", &rows("more/c", 0..2_500)).await;
    let node = stand.settings.serve().await;
    passed(&node, "orders", |last| last["known"] == 2).await;
    passed(&node, "more", |last| last["known"] == 1).await;
    let metrics = String::from_utf8(ask(&node, "/metrics").await.body.to_vec()).unwrap();
    let repeated = "forebay_import_rows_total{source=\"shop\",became=\"repeated\"} 4500";
    assert!(metrics.contains(repeated) && remembers(&metrics), "{metrics}");
    assert!(node.terminate().await.success());
    stand.delivered(&[("in/a", 3_000)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_shuts_down_begins_no_more_files() {
    let mut stand = Stand::start(&import("orders", "bucket = \"files\"\nprefix = \"in/\"")).await;
    stand.settings.collector = "drain_delay = \"4 s\"".to_owned();
    stand.put("in/a", 0..10).await;
    let node = stand.settings.serve().await;
    passed(&node, "orders", |last| last["known"] == 1).await;
    node.signal(Signal::TERM);
    wait::until("the drain", PATIENCE, async || (ask(&node, "/ready").await.status != 200).then_some(()))
        .await;
    stand.put("in/b", 0..10).await;
    assert!(node.exit().await.success());
    stand.delivered(&[("in/a", 10)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reload_adds_pauses_and_removes_imports() {
    let mut stand = Stand::start("").await;
    stand.put("in/a", 0..3).await;
    let node = stand.settings.serve().await;
    assert_eq!(status(&node).await.get("imports"), None);
    stand.settings.imports = import("orders", "bucket = \"files\"\nprefix = \"in/\"");
    reload(&stand.settings, &node).await;
    stand.delivered(&[("in/a", 3)]).await;

    stand.settings.imports = import("orders", "bucket = \"files\"\nprefix = \"in/\"\nenabled = false");
    reload(&stand.settings, &node).await;
    stand.put("in/b", 0..3).await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    let paused = import_status(&node, "orders").await;
    assert_eq!((&paused["enabled"], &paused["last"]), (&false.into(), &Value::Null), "{paused}");
    stand.delivered(&[("in/a", 3)]).await;

    stand.settings.imports = import("orders", "bucket = \"files\"\nprefix = \"in/\"");
    reload(&stand.settings, &node).await;
    stand.delivered(&[("in/a", 3), ("in/b", 3)]).await;
    // What decides which files there are cannot change.
    stand.settings.imports = import("orders", "bucket = \"files\"\nprefix = \"other/\"");
    reload(&stand.settings, &node).await;
    wait::until("the alarm", PATIENCE, async || {
        let status = status(&node).await;
        let what = status["alarms"][0]["what"].as_str()?.to_owned();
        what.starts_with("orders: E-IMPORT-FIXED: import orders: prefix was \"in/\" and is \"other/\"")
            .then_some(())
    })
    .await;
    stand.settings.imports = String::new();
    reload(&stand.settings, &node).await;
    wait::until("no import and no alarm", PATIENCE, async || {
        let status = status(&node).await;
        (status.get("imports").is_none() && status["alarms"].as_array().unwrap().is_empty()).then_some(())
    })
    .await;
    assert!(node.terminate().await.success());
}

/// The alarm of an import with this subject.
pub(super) fn alarm_of(status: &Value, subject: &str) -> Option<Value> {
    let mut alarms = status["alarms"].as_array().unwrap().iter();
    alarms.find(|alarm| alarm["kind"] == "bucket_import" && alarm["subject"] == subject).cloned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_that_refuses_is_an_alarm_and_stops_no_other_import() {
    let imports = import("gone", "bucket = \"nowhere\"") + &import("orders", "bucket = \"files\"");
    let stand = Stand::start(&imports).await;
    let says_gzip = CONVERTER.replace("\"fileType\"", "\"compressionType\":\"gzip\",\"fileType\"");
    fs::write(stand.rig.folder.path().join("c.json"), says_gzip).unwrap();
    stand.put("a", 0..3).await;
    stand.put_text("poison", "[{\"e\":1}]\n").await;
    let node = stand.settings.serve().await;
    stand.delivered(&[("a", 3)]).await;
    let alarm = wait::until("the alarm", PATIENCE, async || {
        let status = status(&node).await;
        alarm_of(&status, "gone")
    })
    .await;
    let what = alarm["what"].as_str().unwrap();
    assert!(
        what.starts_with("gone: s3://nowhere/ cannot be listed: 404 NoSuchBucket: ")
            && what.contains("; check the bucket's name, its region and the endpoint; "),
        "{what}"
    );
    assert!(import_status(&node, "gone").await["failing"].as_str().unwrap().contains("NoSuchBucket"));
    // The other goes on, and keeps why a file of it is poison.
    stand.put("b", 0..3).await;
    stand.delivered(&[("a", 3), ("b", 3)]).await;
    let seen = passed(&node, "orders", |last| last["files"]["poison"] == 1).await;
    let seen = match &seen["last"]["not_done"][0] {
        Value::Null => panic!("{seen}"),
        file => file.clone(),
    };
    assert_eq!((&seen["name"], &seen["became"]), (&"s3://files/poison".into(), &"poison".into()));
    assert!(seen["error"].as_str().unwrap().starts_with("E-FORMAT"), "{seen}");
    let shown = ran({
        let mut command = command();
        command.args(["status", "--admin", &node.console]);
        command
    })
    .await
    .code(0);
    for text in [
        "import   gone, s3://nowhere/ into shop: ",
        "  FAILING",
        "import   orders, s3://files/",
        "1 given up",
        "not compressed as the converter says (compressionType is gzip), the first s3://files/",
    ] {
        assert!(shown.out.contains(text), "{text}: {}", shown.out);
    }
    // What is paused needs nobody.
    let at = ["--admin", node.console.as_str()];
    stand.command(&["pause", "gone"], &at).await.code(0);
    let paused = (status(&node).await, import_status(&node, "gone").await);
    assert!(alarm_of(&paused.0, "gone").is_none() && paused.1["failing"].is_null(), "{paused:?}");
    // The other import has given up a file.
    assert!(alarm_of(&paused.0, "orders (files for a person)").is_some(), "{paused:?}");
    stand.command(&["resume", "gone"], &at).await.code(0);
    wait::until("the alarm", PATIENCE, async || alarm_of(&status(&node).await, "gone")).await;
    stand.rig.bucket("nowhere").client.create_bucket().bucket("nowhere").send().await.unwrap();
    wait::until("no alarm", PATIENCE, async || {
        alarm_of(&status(&node).await, "gone").is_none().then_some(())
    })
    .await;
    assert!(node.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_is_made_on_request_by_a_node_or_in_its_spool() {
    let orders = |more: &str| import("orders", &format!("bucket = \"files\"\nprefix = \"in/\"\n{more}"));
    let slow = |text: String| text.replace("\"1 s\"", "\"1 h\"");
    let mut stand =
        Stand::start(&slow(orders("") + &import("paused", "bucket = \"files\"\nenabled = false"))).await;
    stand.put("in/a", 0..3).await;
    stand.put("in/b", 0..3).await;
    stand.put("in/c", 0..3).await;
    let config = stand.settings.write().to_str().unwrap().to_owned();
    let own = ["--config", config.as_str()];

    // No node runs.
    let ran = stand.command(&["run", "orders", "--from", "in/b", "--to", "in/b"], &own).await.code(0);
    assert!(
        ran.out.contains("into the spool") && ran.out.contains("1 object: 0 known, 0 skipped, 1 to import"),
        "{ran:?}"
    );
    stand.delivered(&[("in/b", 3)]).await;
    let ran = stand.command(&["run", "no"], &own).await.code(2);
    assert!(ran.err.contains("the configuration has no [[import]] no; it has orders, paused"), "{ran:?}");
    let ran = stand.command(&["run", "paused"], &own).await.code(2);
    assert!(ran.err.contains("import paused is paused: set enabled = true"), "{ran:?}");
    stand.command(&["run", "orders"], &["--admin", "http://127.0.0.1:1"]).await.code(4);
    stand.put_text("in/bad", "{\"e\":\"bad\"}\n{\"e\":\"in/bad 0\",\"u\":\"u\"}\n").await;
    let ran =
        stand.command(&["run", "orders", "--json", "--from", "in/bad", "--to", "in/bad"], &own).await.code(3);
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(
        (&json["rejected"], &json["stored"], &json["files"]["done"]),
        (&1.into(), &1.into(), &1.into()),
        "{json}"
    );

    // A node runs, and its next pass would begin in an hour.
    let node = stand.settings.serve().await;
    passed(&node, "orders", |last| last["listed"] == 4).await;
    stand.put("in/d", 0..3).await;
    let at = ["--admin", node.console.as_str()];
    let ran = stand.command(&["run", "orders"], &at).await.code(0);
    assert!(
        ran.out.contains("in the node at") && ran.out.contains("5 objects: 4 known, 0 skipped, 1 to import"),
        "{ran:?}"
    );
    stand.put_text("in/array", "[1]").await;
    let ran = stand.command(&["run", "orders"], &at).await.code(1);
    assert!(ran.out.contains("s3://files/in/array failed: E-FORMAT"), "{ran:?}");
    // The environment names the node, unless a configuration is typed.
    let mut by_environment = command();
    by_environment.args(["import", "run", "orders", "--json"]).env("FOREBAY_ADMIN_URL", &node.console);
    let json: Value = serde_json::from_str(&super::support::ran(by_environment).await.code(1).out).unwrap();
    assert_eq!(json["known"], 5, "{json}");
    // A pass over a range does not hide what the last one over all keys found.
    stand.command(&["run", "orders", "--from", "in/a", "--to", "in/a"], &at).await.code(0);
    let ran = stand.command(&["status", "orders"], &at).await.code(0);
    for text in ["last pass: ", "1 object: 1 known", "last full: ", "s3://files/in/array failed: E-FORMAT"] {
        assert!(ran.out.contains(text), "{text}: {ran:?}");
    }
    let ran = stand.command(&["run", "no"], &at).await.code(2);
    assert!(ran.err.contains("the configuration has no [[import]] no; it has orders, paused"), "{ran:?}");
    stand.command(&["run", "paused"], &at).await.code(2);
    stand.delivered(&[("in/a", 3), ("in/b", 3), ("in/c", 3), ("in/d", 3), ("in/bad", 1)]).await;

    // Another name keeps the history.
    let ran = stand.command(&["rename", "orders", "sales"], &at).await.code(2);
    assert!(ran.err.contains("the configuration still has import orders"), "{ran:?}");
    let named = |enabled: bool| slow(orders(&format!("enabled = {enabled}"))).replace("orders", "sales");
    stand.settings.imports = named(false);
    reload(&stand.settings, &node).await;
    let ran = stand.command(&["rename", "orders", "sales"], &at).await.code(0);
    assert!(ran.out.contains("import orders is now sales"), "{ran:?}");
    let ran = stand.command(&["rename", "orders", "sales"], &at).await.code(2);
    assert!(ran.err.contains("no import orders has begun here"), "{ran:?}");
    stand.settings.imports = named(true);
    reload(&stand.settings, &node).await;
    let seen = passed(&node, "sales", |last| last["listed"] == 6).await;
    assert_eq!((&seen["last"]["known"], &seen["last"]["rows"]), (&5.into(), &0.into()), "{seen}");
    assert!(node.terminate().await.success());

    // Without the node, the same way back.
    stand.settings.imports = slow(orders(""));
    stand.settings.write();
    stand.command(&["rename", "sales", "orders"], &own).await.code(0);
    let ran = stand.command(&["run", "orders"], &own).await.code(1);
    assert!(ran.out.contains("6 objects: 5 known"), "{ran:?}");
}

/// A command makes one pass, so it must not promise another one, as the alarm of a node does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pass_in_a_spool_of_its_own_raises_no_alarm() {
    let stand = Stand::start(&import("gone", "bucket = \"nowhere\"")).await;
    let config = stand.settings.write().to_str().unwrap().to_owned();
    let ran = stand.command(&["run", "gone"], &["--config", config.as_str()]).await.code(1);
    assert!(ran.out.contains("s3://nowhere/ cannot be listed: 404 NoSuchBucket"), "{ran:?}");
    assert!(!ran.err.contains("every 1 s") && !ran.err.contains("alarm"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dev_imports_from_its_own_bucket() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("dev.toml");
    fs::write(folder.path().join("c.json"), CONVERTER).unwrap();
    let text =
        |more: &str| import("orders", &format!("bucket = \"forebay\"\n{more}")).replace("\"1 s\"", "\"2 s\"");
    fs::write(&file, text("prefix = \"in/\"")).unwrap();
    let more = ["--config", file.to_str().unwrap()];
    let node = Starting::dev_with(&folder.path().join("dev"), Flush::SOON, &more).dev_ready().await;
    let bucket = node.bucket();
    let put = async |key: &str| {
        let line = format!("{{\"e\":\"{key}\",\"u\":\"u\"}}\n").into_bytes();
        bucket.client.put_object().bucket("forebay").key(key).body(line.into()).send().await.unwrap();
    };
    let events = async |count: usize| {
        wait::until("the events", PATIENCE, async || {
            let lines = bucket.lines("csv").await;
            (lines.len() >= count).then_some(lines.len())
        })
        .await
    };
    put("in/a").await;
    assert_eq!(events(1).await, 1);
    fs::write(&file, text("prefix = \"in/\"\nenabled = false")).unwrap();
    wait::until("the pause", PATIENCE, async || {
        (import_status(&node, "orders").await["enabled"] == false).then_some(())
    })
    .await;
    put("in/b").await;
    // What is wrong in a destination holds back the import, too, and the log says so.
    let wrong = "[[destination]]\nname = \"laptop\"\ntype = \"htp\"\n";
    fs::write(&file, format!("{wrong}{}", text("prefix = \"in/\""))).unwrap();
    let said = "the changed destinations are not in force, nor are changed imports";
    wait::until("the mistake", PATIENCE, async || node.log().contains(said).then_some(())).await;
    assert_eq!(import_status(&node, "orders").await["enabled"], false);
    let alarm = change_alarm(&node).await.unwrap();
    assert!(alarm.starts_with("file: the change is not in force") && alarm.contains("htp"), "{alarm}");
    fs::write(&file, text("prefix = \"in/\"")).unwrap();
    wait::until("no alarm", PATIENCE, async || change_alarm(&node).await.is_none().then_some(())).await;
    assert_eq!(events(2).await, 2);
    assert!(node.terminate().await.success());
}

/// Their reasons were hidden and stood in the status alone, and files that could not be opened were in no
/// list.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_that_are_given_up_are_listed_and_logged_and_an_alarm() {
    let stand = Stand::start(&import("orders", "bucket = \"files\"\nprefix = \"in/\"")).await;
    stand.put("in/a", 0..3).await;
    stand.put_text("in/array", "[1]").await;
    stand.put_text("in/cut", "PK\u{3}\u{4}cut off").await;
    let node = stand.settings.serve().await;
    let at = ["--admin", node.console.as_str()];
    let alarm = async || {
        let status = status(&node).await;
        let all = status["alarms"].as_array().unwrap().iter();
        all.clone().find(|alarm| alarm["subject"] == "orders (files for a person)").cloned()
    };
    let what = wait::until("the alarm", PATIENCE, async || {
        let alarm = alarm().await?;
        let what = alarm["what"].as_str()?.to_owned();
        what.contains("has given up 2 files, the first s3://files/in/").then_some(what)
    })
    .await;
    assert!(
        what.contains("E-FORMAT: the file is one JSON array") || what.contains("E-COMPRESSION: "),
        "{what}"
    );
    let log = node.log();
    for said in [
        "s3://files/in/array is given up: E-FORMAT: the file is one JSON array",
        "s3://files/in/cut is given up: E-",
    ] {
        assert_eq!(log.matches(said).count(), 1, "{said}: {log}");
    }
    let list = ["list", "--import", "orders", "--only", "given_up", "--json"];
    let listed = stand.command(&list, &at).await.code(0);
    let json: Value = serde_json::from_str(&listed.out).unwrap();
    let mut found: Vec<(&str, bool)> = json["imports"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["what"].as_str().unwrap(), one["why"].as_str().unwrap().contains("[hidden]")))
        .collect();
    found.sort_unstable();
    assert_eq!(found, [("s3://files/in/array", false), ("s3://files/in/cut", false)], "{json}");
    assert_eq!(json["total"], 2, "{json}");
    let shown = stand.command(&list[..5], &at).await.code(0).out;
    assert!(
        shown.contains("s3://files/in/cut into shop (import orders): given up") && !shown.contains("1970"),
        "{shown}"
    );
    // Nothing of them is stored, so that what takes their place is read.
    stand.put("in/array", 0..1).await;
    stand.put("in/cut", 0..2).await;
    wait::until("the end of the alarm", PATIENCE, async || alarm().await.is_none().then_some(())).await;
    stand.delivered(&[("in/a", 3), ("in/array", 1), ("in/cut", 2)]).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn files_begin_again_when_a_person_says_so_in_a_node_or_in_its_spool() {
    let slow = |text: String| text.replace("\"1 s\"", "\"1 h\"");
    let stand = Stand::start(&slow(import("orders", "bucket = \"files\"\nprefix = \"in/\""))).await;
    stand.put("in/a", 0..3).await;
    stand.put_text("in/bad", "[1]").await;
    let config = stand.settings.write().to_str().unwrap().to_owned();
    let own = ["--config", config.as_str()];
    let ran = stand.command(&["run", "orders", "--dry-run"], &own).await.code(0);
    assert!(ran.out.contains("would:     2 begin") && ran.out.contains("begin s3://files/in/a"), "{ran:?}");
    for _ in 0..3 {
        stand.command(&["run", "orders"], &own).await.code(1);
    }
    let ran = stand.command(&["reset-file", "orders", "in/a"], &own).await.code(2);
    assert!(ran.err.contains("forebay import run orders --again --from in/a --to in/a"), "{ran:?}");
    let ran = stand.command(&["reset-file", "orders", "--failed"], &own).await.code(0);
    assert!(ran.out.contains("s3://files/in/bad goes on at its next row"), "{ran:?}");
    let ran = stand.command(&["preview", "orders"], &own).await;
    assert!(ran.out.contains("s3://files/in/a"), "{ran:?}");

    let node = stand.settings.serve().await;
    let at = ["--admin", node.console.as_str()];
    passed(&node, "orders", |last| last["files"]["failed"] == 1).await;
    for _ in 0..2 {
        stand.command(&["run", "orders"], &at).await.code(1);
    }
    let listed =
        stand.command(&["list", "--import", "orders", "--only", "given_up", "--json"], &at).await.code(0);
    let json: Value = serde_json::from_str(&listed.out).unwrap();
    assert_eq!(
        (&json["total"], &json["imports"][0]["what"]),
        (&1.into(), &"s3://files/in/bad".into()),
        "{json}"
    );
    stand.command(&["list", "--import", "no"], &at).await.code(2);
    let ran = stand.command(&["reset-file", "orders", "in/bad", "--json"], &at).await.code(0);
    let json: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&json["count"], &json["files"][0]["begins"]), (&1.into(), &"next_row".into()), "{json}");
    stand.command(&["reset-file", "no", "in/bad"], &at).await.code(2);
    stand.command(&["reset-file", "orders", "in/none"], &at).await.code(2);
    // The file is replaced: its rows are stored, those of the first one are stored twice on request.
    stand.put("in/bad", 0..2).await;
    let ran = stand.command(&["run", "orders", "--again"], &at).await.code(0);
    assert!(
        ran.out.contains("1 imported file with 3 rows will be stored again, with the same messageIds")
            && ran.out.contains("2 done"),
        "{ran:?}"
    );
    let lines = wait::until("all rows", PATIENCE, async || {
        let lines = stand.rig.bucket("lake").lines("shop").await;
        (lines.len() >= 8).then_some(lines)
    })
    .await;
    assert_eq!(lines.len(), 8, "{lines:?}");
    assert!(node.terminate().await.success());
}

/// A resumed import waited for its interval.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_is_resumed_makes_a_pass_at_once() {
    let hourly = import("orders", "bucket = \"files\"\nprefix = \"in/\"")
        .replace("scan_interval = \"1 s\"", "scan_interval = \"1 h\"");
    assert!(hourly.contains("1 h"), "{hourly}");
    let stand = Stand::start(&hourly).await;
    stand.put("in/a", 0..3).await;
    let node = stand.settings.serve().await;
    passed(&node, "orders", |last| last["rows"] == 3).await;
    stand.put("in/b", 0..3).await;
    let at = ["--admin", node.console.as_str()];
    stand.command(&["pause", "orders"], &at).await.code(0);
    stand.command(&["resume", "orders"], &at).await.code(0);
    passed(&node, "orders", |last| last["known"] == 1 && last["rows"] == 3).await;
    stand.delivered(&[("in/a", 3), ("in/b", 3)]).await;
    assert!(node.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_lasts_through_a_restart() {
    let stand = Stand::start(&import("orders", "bucket = \"files\"\nprefix = \"in/\"")).await;
    stand.put("in/a", 0..3).await;
    let node = stand.settings.serve().await;
    passed(&node, "orders", |last| last["known"] == 1).await;
    let at = ["--admin", node.console.as_str()];
    let ran = stand.command(&["pause", "orders"], &at).await.code(0);
    assert!(
        ran.out.contains("import orders is paused until `forebay import resume orders --admin http"),
        "{ran:?}"
    );
    stand.command(&["pause", "no"], &at).await.code(2);
    let ran = stand.command(&["run", "orders"], &at).await.code(2);
    assert!(ran.err.contains("forebay import resume orders"), "{ran:?}");
    let ran = stand.command(&["status", "orders"], &at).await.code(0);
    assert!(ran.out.contains("import   orders, s3://files/in/ into shop: paused until"), "{ran:?}");
    stand.put("in/b", 0..3).await;
    assert!(node.terminate().await.success());

    let config = stand.settings.write().to_str().unwrap().to_owned();
    let own = ["--config", config.as_str()];
    stand.command(&["run", "orders"], &own).await.code(2);
    let ran = stand.command(&["status", "--json"], &own).await.code(0);
    let shown: Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&shown[0]["name"], &shown[0]["paused"]), (&"orders".into(), &true.into()), "{shown}");
    let node = stand.settings.serve().await;
    wait::until("the pause", PATIENCE, async || {
        (import_status(&node, "orders").await["paused"] == true).then_some(())
    })
    .await;
    stand.delivered(&[("in/a", 3)]).await;
    let at = ["--admin", node.console.as_str()];
    stand.command(&["resume", "orders"], &at).await.code(0);
    stand.delivered(&[("in/a", 3), ("in/b", 3)]).await;
    let seen = passed(&node, "orders", |last| last["known"] == 2).await;
    assert_eq!(seen["paused"], false, "{seen}");
    assert!(node.terminate().await.success());
}
