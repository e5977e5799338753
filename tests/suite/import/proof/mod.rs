//! Three instances that import one bucket together, from a real store that notifies real queues: files of all
//! formats with bad ones between them, late, replaced and deleted ones, notifications that come twice, connections
//! that end and answers of 503 at random, and `kill -9` of each instance. Python makes the files and counts what became
//! of their rows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;
use tokio::process::Child;

use super::support::{Ran, ran};
use crate::serve::support::{PATIENCE, Settings};
use crate::support::forebay::{Forebay, command};
use crate::support::ministack::Ministack;
use crate::support::moto::Moto;
use crate::support::tcp_proxy::{Link, TcpProxy};
use crate::support::tools::{require, stdout_within};
use crate::support::wait;

/// Files, unless `FOREBAY_PROOF_FILES` is set.
const FILES: u64 = 90;
/// Kills of each instance, unless `FOREBAY_PROOF_KILLS` is set.
const KILLS: u64 = 5;
const INSTANCES: usize = 3;
const FORMS: [&str; 4] = ["json", "csv", "parquet", "mirror"];
/// What each import has of its own: one hears of its files by notifications alone, one tags them, one mirrors.
const MORE: [&str; 4] = [
    "discovery = \"both\"",
    "discovery = \"sqs\"",
    "discovery = \"both\"\nafter = \"tag\"",
    "discovery = \"both\"\nstrategy = \"mirror\"\nserial = false",
];
const ENVIRONMENT: [(&str, &str); 2] = [("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")];
/// A message that fails is hidden for 10 s, and for longer each time it fails again in the same process, up to 15 minutes.
const GIVEN_BACK: Duration = Duration::from_secs(960);
/// One connection in so many pieces that it passes on ends, or loses an answer.
const CUT_ONE_IN: u32 = 60;

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    let value = std::env::var_os(name)?.into_string().ok()?;
    Some(value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}")))
}

/// A script of this folder, run by the Python that has pyarrow and boto3.
fn script(python: &Path, name: &str) -> Command {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/suite/import/proof").join(name));
    command
}

/// The configuration of one instance.
fn settings(folder: &Path, link: &str, queues: &Value) -> Settings {
    fs::create_dir_all(folder).unwrap();
    let mut settings = Settings::new(folder, link, &FORMS);
    settings.s3.push_str("\nregion = \"us-east-1\"");
    for (form, more) in FORMS.into_iter().zip(MORE) {
        // Rows of the first one repeat the id of an earlier row of their file.
        let (of_rows, window) = match form {
            "json" => (r#","insert_id":["path","i"],"device_id":["path","d"]"#, "7 d"),
            "mirror" => (r#","insert_id":["path","i"]"#, "0 s"),
            _ => ("", "0 s"),
        };
        let file_type = if form == "mirror" { "json" } else { form };
        let converter = format!(
            r#"{{"converterConfig":{{"fileType":"{file_type}","compressionType":"auto","convertToAmplitudeFunc":{{
                "event_type":["path","e"],"user_id":["path","u"]{of_rows}}}}}}}"#
        );
        fs::write(folder.join(format!("{form}.json")), converter).unwrap();
        let queue = queues[form].as_str().unwrap();
        let queue = format!("{link}{}", http::Uri::try_from(queue).unwrap().path());
        settings.imports.push_str(&format!(
            "[[import]]\nname = \"{form}\"\nsource = \"{form}\"\nbucket = \"files\"\nprefix = \"in/{form}/\"\n\
             converter = \"{form}.json\"\ninsert_id_window = \"{window}\"\njournal = \"s3://journal/imports/\"\n\
             {more}\nqueue_url = \"{queue}\"\nregion = \"us-east-1\"\nscan_interval = \"2 s\"\n"
        ));
    }
    settings
}

/// One of the nodes that share the imports.
struct Instance {
    settings: Settings,
    node: Forebay,
    kills: u64,
}

impl Instance {
    async fn start(settings: Settings) -> Self {
        let node = Forebay::serve(settings.write(), &ENVIRONMENT).await;
        Self { settings, node, kills: 0 }
    }

    async fn kill(mut self) -> Self {
        self.node.kill().await;
        let node = Forebay::serve(self.settings.write(), &ENVIRONMENT).await;
        self.kills += 1;
        self.node = node;
        self
    }

    async fn command(&self, words: &[&str]) -> Ran {
        let mut command = command();
        command.arg("import").args(words).args(["--json", "--admin", &self.node.console]);
        ran(command).await
    }

    /// Whether a pass over the bucket finds nothing that this instance has still to do.
    async fn is_through(&self, form: &str) -> Result<(), String> {
        let pass = self.command(&["run", form]).await;
        if !matches!(pass.code, Some(0 | 1 | 3)) {
            return Err(format!("{pass:?}"));
        }
        let pass: Value = serde_json::from_str(&pass.out).map_err(|error| format!("{error}: {pass:?}"))?;
        let open = |state: &str| pass["files"][state].as_u64().unwrap_or(0);
        let open = ["failed", "stopped", "denied", "refused"].into_iter().map(open).sum::<u64>();
        let is_open = open > 0 || pass["not_begun"].as_u64() != Some(0) || !pass["failed"].is_null();
        if is_open { Err(pass.to_string()) } else { Ok(()) }
    }

    /// The keys of files that this instance has given up, or that were replaced while it read them.
    async fn not_done(&self, form: &str) -> Vec<String> {
        let mut files = Vec::new();
        for state in ["given_up", "failed", "stopped", "changed", "replaced", "gone"] {
            let words = ["list", "--import", form, "--only", state, "--limit", "200"];
            let listed = self.command(&words).await.code(0);
            let listed: Value = serde_json::from_str(&listed.out).unwrap();
            files.extend(listed["imports"].as_array().unwrap_or_else(|| panic!("{listed}")).clone());
        }
        let key = |file: &Value| {
            let name = file["what"].as_str().and_then(|name| name.strip_prefix("s3://files/"));
            name.unwrap_or_else(|| panic!("{file}")).split("!one entry").next().unwrap().to_owned()
        };
        files.iter().map(key).collect()
    }
}

fn ended(child: &mut Child) -> bool {
    child.try_wait().unwrap().is_some()
}

/// The whole of it, on the store at this address.
async fn three_instances(store: &str) {
    let Some(python) = require("lambda/bin/python") else { return };
    let seed = setting("FOREBAY_PROOF_SEED").unwrap_or_else(|| u64::from(rand::random::<u32>()));
    let (files, kills) =
        (setting("FOREBAY_PROOF_FILES").unwrap_or(FILES), setting("FOREBAY_PROOF_KILLS").unwrap_or(KILLS));
    // Each of the programs handles all files.
    let limit = Duration::from_secs(120 + files / 2);
    eprintln!("{files} files, {kills} kills of each instance, FOREBAY_PROOF_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let root = tempfile::tempdir().unwrap();
    let made = root.path().join("files");
    let mut make = script(&python, "files.py");
    make.arg(&made).args([files.to_string(), seed.to_string()]);
    stdout_within(make, limit).await;
    let mut make = script(&python, "store.py");
    make.args([store, "make"]);
    let queues: Value = serde_json::from_str(&stdout_within(make, limit).await).unwrap();

    let address = store.strip_prefix("http://").unwrap().parse().unwrap();
    let link = TcpProxy::start(address).await;
    let mut instances = Vec::new();
    for number in 0..INSTANCES {
        let folder = root.path().join(format!("instance-{number}"));
        instances.push(Instance::start(settings(&folder, &link.url, &queues)).await);
    }
    link.set(Link::Flaky { one_in: CUT_ONE_IN });
    let mut put = script(&python, "store.py");
    put.args([store, "put"]).arg(&made);
    let mut putting = tokio::process::Command::from(put).kill_on_drop(true).spawn().unwrap();
    while instances.iter().any(|instance| instance.kills < kills) || !ended(&mut putting) {
        // To vary the moment of the kill.
        tokio::time::sleep(Duration::from_millis(random.random_range(100..1_500))).await;
        let at = random.random_range(0..instances.len());
        if instances[at].kills < kills {
            let killed = instances.swap_remove(at).kill().await;
            instances.push(killed);
        }
    }
    assert!(putting.wait().await.unwrap().success());
    let (cut, overloaded) = (link.broken(), link.overloaded());
    assert!(cut > 0 && overloaded > 0, "{cut} connections were cut, {overloaded} answers were 503");
    link.set(Link::Up);

    // Tables are heard of by notifications alone: each arrives without a pass over the bucket.
    let mut left = String::new();
    wait::until("all tables by their notifications", GIVEN_BACK, async || {
        let mut open = script(&python, "store.py");
        open.args([store, "open"]).arg(&made);
        let open = stdout_within(open, limit).await;
        if open != left {
            eprintln!("tables that are not delivered: {}", open.trim());
            left = open;
        }
        (left.trim() == "0").then_some(())
    })
    .await;
    let mut not_done = Vec::new();
    for instance in &instances {
        for form in FORMS {
            let what = format!("nothing left of {form}");
            wait::until(&what, PATIENCE, async || match instance.is_through(form).await {
                Ok(()) => Some(()),
                Err(why) => {
                    eprintln!("{form}: {why}");
                    None
                }
            })
            .await;
        }
        instance.node.flush().await;
    }
    for instance in &instances {
        for form in FORMS {
            not_done.extend(instance.not_done(form).await);
        }
    }
    fs::write(root.path().join("not-done.json"), serde_json::to_vec(&not_done).unwrap()).unwrap();
    let archive = root.path().join("archive");
    let mut download = script(&python, "store.py");
    download.args([store, "archive"]).arg(&archive);
    stdout_within(download, limit).await;
    let rejects: Vec<PathBuf> =
        instances.iter().map(|instance| instance.settings.spool_dir().join("rejects")).collect();
    let mut count = script(&python, "count.py");
    count.arg(made.join("plan.json")).arg(&archive).arg(root.path().join("not-done.json")).args(&rejects);
    let counted: Value = serde_json::from_str(&stdout_within(count, limit).await).unwrap();
    eprintln!("{counted}, {cut} connections cut, {overloaded} answers of 503");
    assert_eq!(counted["wrong"], serde_json::json!([]), "seed {seed}: {counted}");
    for instance in instances {
        assert!(instance.node.terminate().await.success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_instances_import_each_row_once_from_moto() {
    let folder = tempfile::tempdir().unwrap();
    let Some(moto) = Moto::start(folder.path()).await else { return };
    three_instances(&moto.url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_instances_import_each_row_once_from_ministack() {
    let Some(ministack) = Ministack::start().await else { return };
    three_instances(&ministack.url()).await;
}
