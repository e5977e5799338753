//! A store, jobs beside it, and their reports.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use forebay::dev_s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

use crate::support::bucket::Bucket;
use crate::support::forebay::{Flush, Forebay, Starting, command};
use crate::support::tools::stdout_of;
use crate::support::wait;

/// Enough time for a job of a test on a busy machine.
pub(super) const PATIENCE: Duration = Duration::from_secs(120);

/// The S3 server of `forebay dev`, and a folder with the state of jobs.
#[derive(Debug)]
pub(super) struct Stand {
    pub(super) folder: TempDir,
    pub(super) node: Forebay,
    /// The state folder whose jobs the commands see.
    pub(super) state: PathBuf,
}

/// The result of one run of a command.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ran {
    /// Checks the exit code.
    #[track_caller]
    pub(super) fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, Some(expected), "{self:#?}");
        self
    }

    /// Checks that standard error has these words.
    #[track_caller]
    pub(super) fn says(self, words: &str) -> Self {
        assert!(self.err.contains(words), "{words}: {self:#?}");
        self
    }

    /// What `--json` printed.
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:#?}"))
    }
}

/// A job that runs in a process of its own.
pub(super) struct Running {
    pub(super) child: Child,
    pub(super) id: String,
}

impl Running {
    /// Waits for its end.
    pub(super) async fn ended(self) -> Ran {
        ended(self.child).await
    }
}

impl Stand {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = Forebay::dev(&folder.path().join("dev"), Flush::LATE).await;
        let state = folder.path().join("state");
        Self { folder, node, state }
    }

    /// The same with more arguments of `dev`, whose jobs the commands see.
    pub(super) async fn with_jobs_of_dev(arguments: impl Fn(&Path) -> Vec<String>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = dev(&folder, arguments).await;
        let state = folder.path().join("dev");
        Self { folder, node, state }
    }

    /// Ends `dev` in order, or as `kill -9` does, and starts it again with these arguments.
    pub(super) async fn restart_dev(self, in_order: bool, arguments: impl Fn(&Path) -> Vec<String>) -> Self {
        let Self { folder, node, state } = self;
        match in_order {
            true => assert!(node.terminate().await.success()),
            false => node.kill().await,
        }
        let node = dev(&folder, arguments).await;
        Self { folder, node, state }
    }

    /// Writes a file of the test.
    pub(super) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> String {
        let path = self.folder.path().join(name);
        fs::write(&path, bytes).unwrap();
        path.into_os_string().into_string().unwrap()
    }

    /// A path in the folder of the test.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Puts an object into the bucket. Its ETag.
    pub(super) async fn put(&self, key: &str, bytes: impl AsRef<[u8]>) -> String {
        let (body, client) = (bytes.as_ref().to_vec().into(), self.node.bucket().client);
        let put = client.put_object().bucket("forebay").key(key).body(body).send().await.unwrap();
        put.e_tag.unwrap().trim_matches('"').to_owned()
    }

    /// `forebay batch …` with the store of `dev`.
    pub(super) fn batch(&self, words: &[impl AsRef<OsStr>]) -> Command {
        self.batch_of(command(), words)
    }

    /// The same with this command of the program.
    pub(super) fn batch_of(&self, mut command: Command, words: &[impl AsRef<OsStr>]) -> Command {
        command.arg("batch").args(words).current_dir(self.folder.path()).envs(environment());
        command.env("FOREBAY_STATE", &self.state).env("AWS_ENDPOINT_URL_S3", &self.node.s3);
        command.env("FOREBAY_LOG", "warn");
        command
    }

    /// Runs it to its end.
    pub(super) async fn run(&self, words: &[&str]) -> Ran {
        ran(self.batch(words), b"").await
    }

    /// Starts `batch run` with these options, and waits until the job is made.
    pub(super) async fn started(&self, words: &[&str]) -> Running {
        let mut command = self.batch(&[&["run"], words].concat());
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
        let Some(id) = line.as_deref().and_then(|line| line.strip_prefix("job ")) else {
            panic!("{line:?}: {:#?}", ended(child).await);
        };
        let id = id.to_owned();
        // What it prints at its end is not needed, but a full pipe would block it.
        tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
        Running { child, id }
    }

    /// What `batch describe --json` says.
    pub(super) async fn described(&self, id: &str) -> Value {
        self.run(&["describe", id, "--json"]).await.code(0).json()
    }

    /// Waits until a job is as wanted.
    pub(super) async fn until(&self, id: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait::until(what, PATIENCE, async || Some(self.described(id).await).filter(|job| is_so(job))).await
    }

    /// The rows of the report of a job, as Python's csv reads them, by their keys. Each key must be there
    /// once.
    pub(super) async fn report(&self, id: &str) -> BTreeMap<String, Vec<String>> {
        let report = self.run(&["report", id, "--json"]).await.code(0).json();
        report_of(&self.node.bucket(), report["report"].as_str().unwrap()).await
    }
}

/// The rows of the report at this place in the bucket `forebay` of a store.
pub(super) async fn report_of(bucket: &Bucket, place: &str) -> BTreeMap<String, Vec<String>> {
    let place = place.strip_prefix("s3://forebay/").unwrap();
    let prefix = place.strip_suffix("manifest.json").unwrap();
    let folder = tempfile::tempdir().unwrap();
    for key in bucket.keys(prefix).await {
        let path = folder.path().join(&key);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bucket.object(&key).await.body).unwrap();
    }
    let mut python = std::process::Command::new("python3");
    python.arg(script("read_report.py")).arg(folder.path());
    let rows: Vec<Vec<String>> = serde_json::from_str(&stdout_of(python).await).unwrap();
    let count = rows.len();
    let by_key: BTreeMap<_, _> = rows.into_iter().map(|row| (row[1].clone(), row)).collect();
    assert_eq!(by_key.len(), count, "a task is there twice");
    by_key
}

async fn dev(folder: &TempDir, arguments: impl Fn(&Path) -> Vec<String>) -> Forebay {
    let arguments = arguments(folder.path());
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    Starting::dev_with(&folder.path().join("dev"), Flush::LATE, &words).dev_ready().await
}

/// A script of these tests.
pub(super) fn script(name: &str) -> String {
    format!("{}/tests/suite/jobs/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A manifest of these keys, as they are.
pub(super) fn manifest(keys: impl IntoIterator<Item = impl AsRef<str>>) -> String {
    keys.into_iter().map(|key| format!("forebay,{}\n", key.as_ref())).collect()
}

/// The credentials of the S3 server of `dev`, and nothing that would be asked of the machine.
pub(super) fn environment() -> [(&'static str, &'static str); 4] {
    [
        ("AWS_ACCESS_KEY_ID", ACCESS_KEY_ID),
        ("AWS_SECRET_ACCESS_KEY", SECRET_ACCESS_KEY),
        ("AWS_REGION", "us-east-1"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
    ]
}

/// Runs a command to its end, with these bytes on its standard input.
pub(super) async fn ran(mut command: Command, input: &[u8]) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that fails early does not read it.
    let written = stdin.write_all(input).await;
    drop((stdin, written));
    ended(child).await
}

/// Waits for the end of a command.
pub(super) async fn ended(child: Child) -> Ran {
    let output = timeout(PATIENCE, child.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("still running after {PATIENCE:?}")).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}
