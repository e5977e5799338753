//! Jobs that import the objects of their manifest, in a node, in its spool, and to a collector.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use super::support::{Ran, ran};
use crate::serve::support::{CREDENTIALS, PATIENCE, Rig, Settings};
use crate::support::fault_proxy::FaultProxy;
use crate::support::forebay::{Flush, Forebay, command};
use crate::support::wait;

const CONVERTER: &str = r#"{"converterConfig":{"fileType":"json","convertToAmplitudeFunc":{
    "event_type":["path","e"],"user_id":["path","u"]}}}"#;

/// A store with files, and a node beside it that may be killed.
struct Stand {
    rig: Rig,
    settings: Settings,
}

impl Stand {
    async fn start(imports: &str) -> Self {
        let rig = Rig::start(&["lake", "files"]).await;
        fs::write(rig.folder.path().join("c.json"), CONVERTER).unwrap();
        let mut settings = rig.settings(&["shop"]);
        settings.imports = imports.to_owned();
        Self { rig, settings }
    }

    async fn put(&self, key: &str, body: &str) {
        let client = &self.rig.bucket("files").client;
        let body = body.as_bytes().to_vec().into();
        client.put_object().bucket("files").key(key).body(body).send().await.unwrap();
    }

    /// Puts files with so many rows each, of which the last one is no call. Returns the users of all calls.
    async fn put_tables(&self, files: usize, rows: usize) -> Vec<String> {
        let mut users = Vec::new();
        for file in 0..files {
            let of_file: Vec<String> = (0..rows - 1).map(|row| format!("u{file}-{row}")).collect();
            let lines: String =
                of_file.iter().map(|user| format!("{user},event {}\n", "x".repeat(60))).collect();
            self.put(&format!("in/track_ a+{file}.csv"), &format!("userId,event\n{lines}bad\n")).await;
            users.extend(of_file);
        }
        users.sort();
        users
    }

    fn state(&self) -> PathBuf {
        self.rig.folder.path().join("state")
    }

    /// `forebay batch …`
    fn batch(&self, words: &[&str]) -> Command {
        let mut command = command();
        command.arg("batch").args(words).current_dir(self.rig.folder.path()).envs(CREDENTIALS);
        command.env("AWS_REGION", "us-east-1").env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("FOREBAY_STATE", self.state()).env("AWS_ENDPOINT_URL_S3", self.rig.url());
        command.env("FOREBAY_LOG", "warn");
        command
    }

    async fn run(&self, words: &[&str]) -> Ran {
        ran(self.batch(words), b"").await
    }

    /// Makes a manifest of the files below `in/`.
    async fn manifest(&self) {
        let to = ["manifest", "--bucket", "files", "--prefix", "in/", "--to", "s3://files/m.csv"];
        self.run(&to).await.code(0);
    }

    /// Starts `batch run` with these options, and waits until there is a job.
    async fn started(&self, words: &[&str]) -> (Child, String) {
        let mut command = self.batch(&[&["run"], words].concat());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        let Some(id) = line.as_deref().and_then(|line| line.strip_prefix("job ")).map(str::to_owned) else {
            panic!("{line:?}: {:#?}", child.wait_with_output().await);
        };
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        (child, id)
    }

    async fn described(&self, id: &str) -> Value {
        self.run(&["describe", id, "--json"]).await.code(0).json()
    }

    /// The rows of the reports below a prefix, by their keys: status, error code and message.
    async fn report(&self, prefix: &str) -> BTreeMap<String, String> {
        let mut rows = BTreeMap::new();
        let bucket = self.rig.bucket("files");
        for key in bucket.keys(prefix).await.iter().filter(|key| key.ends_with(".csv")) {
            let text = String::from_utf8(bucket.object(key).await.body.to_vec()).unwrap();
            for line in text.lines() {
                let (_, rest) = line.split_once(',').unwrap();
                let (key, rest) = rest.split_once(',').unwrap();
                assert!(rows.insert(key.to_owned(), rest.to_owned()).is_none(), "twice: {line}");
            }
        }
        rows
    }

    /// The calls in the archive, by a member of them, once so many are there. None may be there twice.
    async fn archived(&self, member: &str, count: usize) -> Vec<String> {
        let all = wait::until("the calls in the archive", PATIENCE, async || {
            let lines = self.rig.bucket("lake").lines("shop").await;
            assert!(lines.len() <= count, "{} calls, and {count} were made", lines.len());
            (lines.len() == count).then_some(lines)
        })
        .await;
        let mut ids = BTreeSet::new();
        let mut values: Vec<String> = all
            .iter()
            .map(|line| {
                let call: Value = serde_json::from_str(line).unwrap();
                assert!(ids.insert(call["messageId"].to_string()), "twice: {line}");
                call[member].as_str().unwrap().to_owned()
            })
            .collect();
        values.sort();
        values
    }
}

const REPORT: [&str; 4] = ["--manifest", "s3://files/m.csv", "--report", "s3://files/reports"];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_and_its_node_are_killed_and_each_row_is_stored_once() {
    const FILES: usize = 6;
    const ROWS: usize = 9_000;
    let stand = Stand::start("").await;
    let users = stand.put_tables(FILES, ROWS).await;
    stand.manifest().await;
    let mut node = stand.settings.serve().await;
    // The job finds each life of the node at the same address.
    let proxy = FaultProxy::start(&node.console, []).await;
    let way = ["--handler", "import", "--admin", &proxy.url, "--concurrency", "2"];
    let (mut child, id) = stand.started(&[&way[..], &REPORT].concat()).await;
    for kill in 1..=5_usize {
        // A step of a file is one request, and there are five for each.
        let requests = || proxy.seen().iter().filter(|seen| seen.path.starts_with("/api/import")).count();
        let wanted = requests() + 4;
        wait::until("some steps", PATIENCE, async || {
            (requests() >= wanted || child.try_wait().unwrap().is_some()).then_some(())
        })
        .await;
        if kill % 2 == 0 {
            node.kill().await;
            node = stand.settings.serve().await;
            proxy.pass_to(&node.console);
        } else if child.try_wait().unwrap().is_none() {
            child.kill().await.unwrap();
            child = stand.started(&["--job", &id]).await.0;
        }
    }
    let ended = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let job = stand.described(&id).await;
    assert_eq!((&job["status"], &job["succeeded"]), (&"Complete".into(), &FILES.into()), "{job}");
    let rows = stand.report("reports/").await;
    assert_eq!(rows.len(), FILES, "{rows:?}");
    let expected = [format!("rows={ROWS} rejected=1"), "rows=0 (imported before)".to_owned()];
    for (key, row) in &rows {
        assert!(key.starts_with("in/track_%20a%2B"), "{key}");
        assert!(row.contains("succeeded,200,,") && expected.iter().any(|text| row.contains(text)), "{row}");
    }
    assert_eq!(stand.archived("userId", users.len()).await, users);

    // Another job, and `import csv`, find all of it imported; rejected rows are where that command keeps them.
    let again = [
        "run", "--handler", "import", "--admin", &node.console, "--manifest", "s3://files/m.csv", "--report",
    ];
    stand.run(&[&again[..], &["s3://files/again"]].concat()).await.code(0);
    for row in stand.report("again/").await.values() {
        assert!(row.contains("succeeded,200,,\"rows=0 (imported before)\""), "{row}");
    }
    let mut csv = command();
    csv.args(["import", "csv", "s3://files/in/", "--json", "--admin", &node.console]).envs(CREDENTIALS);
    csv.env("AWS_ENDPOINT_URL_S3", stand.rig.url()).env("FOREBAY_STATE", stand.state());
    let known = ran(csv, b"").await.code(0).json();
    assert_eq!(known["rows"], 0, "{known}");
    let kept = fs::read_dir(stand.state().join("rejects")).unwrap();
    let kept =
        kept.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|end| end == "ndjson"));
    assert_eq!(kept.count(), FILES);
    assert_eq!(stand.archived("userId", users.len()).await, users);
    assert!(node.terminate().await.success());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_node_the_rows_go_through_its_spool_also_after_kills() {
    const FILES: usize = 8;
    let stand = Stand::start("").await;
    let users = stand.put_tables(FILES, 5_000).await;
    stand.put("in/track_bad.csv", "userId,userId,event\nu,u,e\n").await;
    stand.put("in/other.csv", "userId,event\nu,e\n").await;
    stand.manifest().await;
    let config = stand.settings.write().to_str().unwrap().to_owned();
    let way = ["--handler", "import", "--config", &config, "--source", "shop", "--concurrency", "1"];
    let (mut child, id) = stand.started(&[&way[..], &REPORT].concat()).await;
    for kill in 1..=3_u64 {
        wait::until("some results", PATIENCE, async || {
            let job = stand.described(&id).await;
            (job["succeeded"].as_u64() >= Some(kill * 2)).then_some(())
        })
        .await;
        child.kill().await.unwrap();
        child = stand.started(&["--job", &id]).await.0;
    }
    // The first signal ends it after the step that is being stored. No try is spent by that.
    wait::until("more results", PATIENCE, async || {
        let is_over = child.try_wait().unwrap().is_some();
        (is_over || stand.described(&id).await["succeeded"].as_u64() >= Some(7)).then_some(())
    })
    .await;
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id().unwrap_or(0)).unwrap());
    if let Some(pid) = pid {
        // It may have ended meanwhile.
        rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap_or_default();
    }
    let ended = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    assert!(matches!(ended.status.code(), Some(130 | 3)), "{ended:?}");
    let last = stand.run(&["run", "--job", &id]).await.code(3);
    let job = stand.described(&id).await;
    assert_eq!((&job["succeeded"], &job["failed"]), (&FILES.into(), &2.into()), "{job} {last:?}");
    let rows = stand.report("reports/").await;
    assert!(rows["in/track_bad.csv"].contains("E-CSV-DUPCOL: "), "{rows:?}");
    let other = &rows["in/other.csv"];
    assert!(
        other.contains("E-CSV-TYPE: ") && other.contains("a job takes it from the name alone"),
        "{other}"
    );
    assert!(!other.contains("--type"), "{other}");
    // The command has delivered what was in the spool.
    assert_eq!(stand.archived("userId", users.len()).await, users);
}

/// An import of the bucket `files`.
fn import(name: &str, more: &str) -> String {
    format!(
        "[[import]]\nname = \"{name}\"\nbucket = \"files\"\nprefix = \"in/\"\nconverter = \"c.json\"\ninsert_id_window = \
         \"0 s\"\nscan_interval = \"1 s\"\n{more}\n"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_by_name_shares_its_history_with_the_passes_of_the_node() {
    const FILES: usize = 12;
    const ROWS: usize = 2_500;
    let stand = Stand::start(&import("orders", "")).await;
    let rows = |file: usize| (0..ROWS).map(move |row| format!("{file}-{row}"));
    for file in 0..FILES {
        let lines: String = rows(file).map(|event| format!("{{\"e\":\"{event}\",\"u\":\"u\"}}\n")).collect();
        stand.put(&format!("in/{file} ü+.json"), &lines).await;
    }
    stand.put("in/empty/", "").await;
    stand.put("out/x.json", "{\"e\":\"x\",\"u\":\"u\"}\n").await;
    stand.put("in/gone.json", "x").await;
    let mut manifest = String::new();
    for prefix in ["in/", "out/"] {
        let listed = stand.run(&["manifest", "--bucket", "files", "--prefix", prefix]).await.code(0);
        manifest.push_str(&listed.out);
    }
    stand.put("m.csv", &manifest).await;
    let client = stand.rig.bucket("files").client;
    client.delete_object().bucket("files").key("in/gone.json").send().await.unwrap();

    // The passes of the node and the job import the same files at the same time, and the node is killed meanwhile.
    let mut node = stand.settings.serve().await;
    let proxy = FaultProxy::start(&node.console, []).await;
    let way = ["--handler", "import:orders", "--admin", &proxy.url];
    let (child, id) = stand.started(&[&way[..], &REPORT].concat()).await;
    wait::until("some objects", PATIENCE, async || {
        (proxy.seen().iter().filter(|seen| seen.path.contains("/object")).count() >= 5).then_some(())
    })
    .await;
    node.kill().await;
    node = stand.settings.serve().await;
    proxy.pass_to(&node.console);
    let ended = timeout(PATIENCE, child.wait_with_output()).await.unwrap().unwrap();
    assert_eq!(ended.status.code(), Some(3), "{ended:?}");
    let job = stand.described(&id).await;
    assert_eq!((&job["succeeded"], &job["failed"]), (&(FILES + 1).into(), &2.into()), "{job}");
    let report = stand.report("reports/").await;
    let says = |key: &str, part: &str| assert!(report[key].contains(part), "{key}: {}", report[key]);
    says("out/x.json", "the import does not read it: it is not in s3://files/in/");
    says("in/gone.json", "E-MISSING");
    says("in/empty/", "rows=0 (it stands for a folder)");
    for file in 0..FILES {
        let row = &report[&format!("in/{file}%20%C3%BC%2B.json")];
        let imported = row.contains("rows=2500 rejected=0") || row.contains("rows=0 (imported before)");
        assert!(row.contains("succeeded,200,,") && imported, "{row}");
    }
    let mut events: Vec<String> = (0..FILES).flat_map(rows).collect();
    events.sort();
    assert_eq!(stand.archived("event", events.len()).await, events);

    // A version that is not the current one is not read.
    stand.put("v.csv", "files,in/0%20%C3%BC%2B.json,v7\n").await;
    let versioned = ["--manifest", "s3://files/v.csv", "--report", "s3://files/versions"];
    let at = ["run", "--handler", "import:orders", "--admin", &node.console];
    stand.run(&[&at[..], &versioned].concat()).await.code(3);
    let row = stand.report("versions/").await.into_values().next().unwrap();
    assert!(row.contains("this version is not the current one"), "{row}");

    // Names that are not there are refused before a job is made.
    let unknown =
        ["run", "--handler", "import:order", "--admin", &node.console, "--manifest", "s3://files/m.csv"];
    stand.run(&unknown).await.code(2).says("did you mean orders?");
    assert!(node.terminate().await.success());

    // Without a node, in its spool; a paused import imports nothing.
    stand.put("in/new.json", "{\"e\":\"new\",\"u\":\"u\"}\nno json\n").await;
    stand.put("n.csv", "files,in/new.json\n").await;
    let config = stand.settings.write().to_str().unwrap().to_owned();
    let new = [
        "run", "--handler", "import:orders", "--config", &config, "--manifest", "s3://files/n.csv",
        "--report",
    ];
    stand.run(&[&new[..], &["s3://files/new"]].concat()).await.code(0);
    assert!(stand.report("new/").await["in/new.json"].contains("rows=2 rejected=1"));
    events.push("new".to_owned());
    events.sort();
    assert_eq!(stand.archived("event", events.len()).await, events);
    let mut pause = command();
    pause.args(["import", "pause", "orders", "--config", &config]).envs(CREDENTIALS);
    pause.current_dir(stand.rig.folder.path());
    ran(pause, b"").await.code(0);
    stand.run(&new[..7]).await.code(2).says("`forebay import resume orders` ends that");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_collector_takes_the_rows_and_its_write_key_is_not_kept() {
    let stand = Stand::start("").await;
    let folder = tempfile::tempdir().unwrap();
    let node = Forebay::dev(&folder.path().join("dev"), Flush::LATE).await;
    stand.put("in/track_1.csv", "userId,event\nu1,e\nu2,e\n").await;
    stand.manifest().await;
    let to = ["--handler", "import", "--collector", &node.collector, "--write-key", "shop"];
    let (mut child, id) = stand.started(&[&["--confirm"], &to[..], &REPORT].concat()).await;
    wait::until("the manifest to be read", PATIENCE, async || {
        (stand.described(&id).await["status"] == "Suspended").then_some(())
    })
    .await;
    child.kill().await.unwrap();
    stand.run(&["confirm", &id]).await.code(0);
    assert!(!keeps(&stand.state().join("batch").join(&id), "shop"));
    let key = |key: &'static str| ["run", "--job", id.as_str(), "--write-key", key].map(str::to_owned);
    for words in [key("other").to_vec(), vec!["run".to_owned(), "--job".to_owned(), id.clone()]] {
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        stand.run(&words).await.code(2).says("give the same one with --write-key or FOREBAY_WRITE_KEY");
    }
    let words = key("shop");
    stand.run(&words.each_ref().map(String::as_str)).await.code(0);
    assert!(stand.report("reports/").await["in/track_1.csv"].contains("rows=2 rejected=0"));
    node.flush().await;
    assert_eq!(node.bucket().lines("shop").await.len(), 2);
}

/// Whether a file of a folder has this text.
fn keeps(folder: &Path, text: &str) -> bool {
    let mut files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.any(|file| {
        let bytes = fs::read(file).unwrap();
        bytes.windows(text.len()).any(|window| window == text.as_bytes())
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_imported_is_refused_before_a_job_is_made() {
    let stand = Stand::start("").await;
    stand.put("m.csv", "files,in/track_1.csv\n").await;
    let run =
        async |words: &[&str]| stand.run(&[&["run", "--manifest", "s3://files/m.csv"], words].concat()).await;
    let nowhere = ["--handler", "import", "--admin", "http://127.0.0.1:1"];
    run(&nowhere).await.code(4).says("start `forebay dev` first");
    // The manifest alone is read.
    let looked = run(&[&nowhere[..], &["--dry-run"]].concat()).await.code(0);
    assert!(looked.out.contains("1 task would be run, each by import"), "{looked:?}");
    run(&[&nowhere[..], &["--concurrency", "9"]].concat()).await.code(2).says("concurrency: expected 1 to 8");
    run(&["--handler", "import", "--config", "none.toml"]).await.code(2).says("none.toml");
    run(&["--handler", "import:orders", "--source", "shop"])
        .await
        .code(2)
        .says("source: is for --handler import");
    run(&["--handler", "cmd:true", "--source", "shop"]).await.code(2).says("are for --handler import");
    assert!(stand.run(&["list", "--json"]).await.code(0).json()["jobs"].as_array().unwrap().is_empty());
}
