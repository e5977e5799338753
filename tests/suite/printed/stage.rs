//! A running `dev` with something for each command to find.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use forebay::dev_s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::Command;

use crate::support::forebay::{Flush, Forebay, Starting, binary, command, finished, without_settings};
use crate::support::http::Http;
use crate::support::scripted_http::{Reply, ScriptedHttp};
use crate::support::tools::in_venv;
use crate::support::wait;

const PATIENCE: Duration = Duration::from_secs(60);
const CONVERTER: &str = r#"{"converterConfig":{"fileType":"json","convertToAmplitudeFunc":{
    "event_type":["path","event"],"user_id":["path","user_id"]}}}"#;
/// What S3 Batch Operations gets from a function that did everything.
const FUNCTION: &str = r#"
import json, sys
for line in sys.stdin:
    event = json.loads(line)
    results = [{"taskId": task["taskId"], "resultCode": "Succeeded", "resultString": ""} for task in event["tasks"]]
    print(json.dumps({"invocationSchemaVersion": "1.0", "treatMissingKeysAs": "PermanentFailure",
                      "invocationId": event["invocationId"], "results": results}), flush=True)
"#;

/// What a command printed, and how it ended.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) said: String,
}

/// A folder with a configuration, files and a job, and the `dev` that uses them.
pub(super) struct Stage {
    folder: TempDir,
    pub(super) dev: Forebay,
    mended: Arc<AtomicBool>,
    _server: ScriptedHttp,
    /// What stands for a word that begins with `@`.
    pub(super) values: BTreeMap<&'static str, String>,
}

impl Stage {
    /// With `dev` by this configuration, whose destination refuses calls until [`Stage::mend`].
    pub(super) async fn start(config: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (mended, server) = function().await;
        let files = [
            ("c.json", CONVERTER),
            ("f.py", FUNCTION),
            ("m.csv", "forebay,in/orders-1.json\n"),
            ("track_1.csv", "userId,event\nu1,Signed Up\nu2,\n"),
            ("track_orders.csv", "userId,event\nu1,Order Completed\n"),
        ];
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let config = folder.path().join(config);
        fs::write(&config, places(&server.url())).unwrap();
        let arguments = ["--receipts", "--config", config.to_str().unwrap()];
        let dev = Starting::dev_with(&folder.path().join("dev"), Flush::SOON, &arguments).dev_ready().await;
        let values = BTreeMap::from([
            ("key", "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab".to_owned()),
            ("principal", "arn:aws:iam::444455556666:role/forebay".to_owned()),
            ("console", dev.console.trim_start_matches("http://").to_owned()),
            ("state", folder.path().join("state").display().to_string()),
        ]);
        Self { folder, dev, mended, _server: server, values }
    }

    /// The same with a configuration of `serve`, an imported file, a job that waits, and a spool that nobody
    /// uses.
    pub(super) async fn complete() -> Self {
        let mut stage = Self::start("dev.toml").await;
        stage.configure();
        let receipt = stage.track("web").await;
        stage.has_dead_letter().await;
        stage.put_rows().await;
        for import in ["orders", "shared"] {
            assert_eq!(stage.run(&format!("forebay import run {import}")).await.code, Some(3));
        }
        assert_eq!(stage.run("forebay import csv track_1.csv").await.code, Some(3));
        let list: Value = serde_json::from_str(&stage.run("forebay import list --json").await.said).unwrap();
        let rejects = list.to_string();
        let (_, rejects) = rejects.split_once("\"rejects_file\":\"").unwrap();
        let rejects = rejects.split('"').next().unwrap().to_owned();
        let job = stage.job().await;
        let spool = stage.spool().await;
        stage.mend();
        stage.values.extend([("receipt", receipt), ("rejects", rejects), ("job", job), ("spool", spool)]);
        stage
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// From now on the destination takes calls.
    pub(super) fn mend(&self) {
        self.mended.store(true, Ordering::SeqCst);
    }

    /// Writes forebay.toml, and one with places in AWS for the policies.
    fn configure(&self) {
        let places = fs::read_to_string(self.path("dev.toml")).unwrap();
        let webhook =
            places.lines().find(|line| line.starts_with("url = ")).unwrap().replace("url", "webhook");
        let source = "[[source]]\nid = \"web\"\nwrite_keys = [\"web-key\"]\n";
        let own = format!(
            "[collector]\nlisten = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n[alarm]\n{webhook}\n\
             [spool]\ndir = \"{}\"\nunsafe_filesystem = true\n\
             [s3]\nbucket = \"forebay\"\nendpoint_url = \"{}\"\npath_style = true\n{source}",
            self.path("spool").display(),
            self.dev.s3,
        );
        fs::write(self.path("forebay.toml"), format!("{own}{places}")).unwrap();
        let queue = "bucket = \"lake\"\ndiscovery = \"sqs\"\n\
                     queue_url = \"https://sqs.us-east-1.amazonaws.com/111122223333/q\"";
        let lambda = "[[destination]]\nname = \"fn\"\ntype = \"lambda\"\n\
                      role_arn = \"arn:aws:iam::111122223333:role/invoke\"\n\
                      function = \"arn:aws:lambda:us-east-1:111122223333:function:f\"\n";
        let in_aws = format!(
            "[s3]\nbucket = \"lake\"\nregion = \"us-east-1\"\nrole_arn = \"arn:aws:iam::111122223333:role/put\"\n\
             {source}{lambda}{}{}{}",
            import("orders", "bucket = \"lake\"\nprefix = \"in/\"\nafter = \"tag\""),
            import("shared", "bucket = \"lake\"\nprefix = \"other/\"\njournal = \"s3://lake/journal/\""),
            import("queued", queue),
        );
        fs::write(self.path("policies.toml"), in_aws).unwrap();
    }

    /// Sends a call, and returns its receipt.
    pub(super) async fn track(&self, key: &str) -> String {
        let body = json!({ "batch": [{ "type": "track", "event": "e", "userId": "42" }] }).to_string();
        let url = format!("{}/v1/batch?writeKey={key}", self.dev.collector);
        let answer = Http::new().post(&url, body).await.unwrap();
        answer.headers.get("forebay-receipt").unwrap().to_str().unwrap().to_owned()
    }

    /// Waits until the destination has a dead letter in the bucket.
    pub(super) async fn has_dead_letter(&self) {
        let bucket = self.dev.bucket();
        wait::until("a dead letter", PATIENCE, async || {
            self.dev.flush().await;
            (!bucket.objects("segment-logs/_dlq/").await.is_empty()).then_some(())
        })
        .await;
    }

    /// Puts a file for each import: one row of it is rejected.
    pub(super) async fn put_rows(&self) {
        for key in ["in/orders-1.json", "other/orders-1.json"] {
            let rows = b"{\"event\":\"buy\",\"user_id\":\"u1\"}\n{\"user_id\":\"u2\"}\n".to_vec();
            let put = self.dev.bucket().client.put_object().bucket("forebay").key(key);
            put.body(rows.into()).send().await.unwrap();
        }
    }

    /// A job that waits to be confirmed, and whose process is gone.
    async fn job(&self) -> String {
        let words = ["batch", "run", "--manifest", "m.csv", "--handler", "cmd:python3 f.py", "--confirm"];
        let mut child = self.command(command()).args(words).kill_on_drop(true).spawn().unwrap();
        let job = wait::until("the job to wait", PATIENCE, async || {
            let listed = self.run("forebay batch list").await.said;
            let line = listed.lines().find(|line| line.contains("Suspended"))?;
            Some(line.split_whitespace().next().unwrap().to_owned())
        })
        .await;
        child.kill().await.unwrap();
        job
    }

    /// A spool with calls, whose process was killed.
    async fn spool(&self) -> String {
        let data = self.path("killed");
        let dev = Forebay::dev(&data, Flush::LATE).await;
        assert!(
            Http::new()
                .track(
                    &dev.collector,
                    "web",
                    &json!({ "batch": [{ "type": "track", "event": "e", "userId": "u" }] })
                )
                .await
        );
        dev.kill().await;
        data.join("spool").display().to_string()
    }

    fn command(&self, mut command: Command) -> Command {
        let folder = self.folder.path();
        command.current_dir(folder).env("HOME", folder).env("FOREBAY_STATE", folder.join("state"));
        command.env("FOREBAY_ADMIN_URL", &self.dev.console).env("AWS_ENDPOINT_URL_S3", &self.dev.s3);
        command.env("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID).env("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY);
        command.env("AWS_DEFAULT_REGION", "us-east-1").env("AWS_EC2_METADATA_DISABLED", "true");
        command
    }

    /// Runs a line that begins with `forebay`.
    pub(super) async fn run(&self, line: &str) -> Ran {
        self.run_words(&shlex::split(line).unwrap()).await
    }

    /// The same of its words.
    pub(super) async fn run_words(&self, words: &[String]) -> Ran {
        let mut command = self.command(command());
        if words[1] == "policy" {
            command.env("FOREBAY_CONFIG", self.path("policies.toml"));
        }
        let output = finished(command.args(&words[1..])).await;
        let said = [output.stdout, output.stderr].concat();
        Ran { code: output.status.code(), said: String::from_utf8_lossy(&said).into_owned() }
    }

    /// Runs a line as a shell does whose PATH has the program, and that has no keys of its own: what `dev` has is found by
    /// itself, or stands in the line.
    pub(super) async fn shell(&self, line: &str) -> Ran {
        let folder = |file: std::path::PathBuf| file.parent().unwrap().display().to_string();
        let all = std::env::var_os("PATH").unwrap().into_string().unwrap();
        // The program's folder last: a target of tests/fuzz there has the name `gzip`.
        let path: Vec<String> =
            in_venv("aws").map(folder).into_iter().chain([all, folder(binary())]).collect();
        let mut shell = self.command(without_settings(Command::new("sh")));
        for name in ["AWS_ENDPOINT_URL_S3", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"] {
            shell.env_remove(name);
        }
        let output = finished(shell.args(["-c", line]).env("PATH", path.join(":"))).await;
        let said = [output.stdout, output.stderr].concat();
        Ran { code: output.status.code(), said: String::from_utf8_lossy(&said).into_owned() }
    }
}

/// A function behind a web address: it refuses calls until the value is set.
async fn function() -> (Arc<AtomicBool>, ScriptedHttp) {
    let mended = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&mended);
    let server = ScriptedHttp::elsewhere(move |_| match asked.load(Ordering::SeqCst) {
        true => Reply::status(200),
        false => Reply::status(400),
    })
    .await;
    (mended, server)
}

/// The destination and the imports of both configurations.
fn places(url: &str) -> String {
    let of_dev = "bucket = \"forebay\"\nscan_interval = \"1 h\"\n";
    [
        format!("[[destination]]\nname = \"crm\"\ntype = \"http\"\nurl = \"{url}\"\n"),
        import("orders", &format!("{of_dev}prefix = \"in/\"\nafter = \"tag\"")),
        import("shared", &format!("{of_dev}prefix = \"other/\"\njournal = \"s3://forebay/journal/\"")),
    ]
    .concat()
}

fn import(name: &str, more: &str) -> String {
    format!("[[import]]\nname = \"{name}\"\nconverter = \"c.json\"\ninsert_id_window = \"0 s\"\n{more}\n")
}
