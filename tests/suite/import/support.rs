//! A running node, the command beside it, and what both leave behind.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use forebay::dev_s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;
use tokio::time::timeout;

use crate::support::forebay::{Flush, Forebay, command};

/// Enough time for an import of a test on a busy machine.
const PATIENCE: Duration = Duration::from_secs(120);

/// `forebay dev`, and a folder for the files of a test.
#[derive(Debug)]
pub(super) struct Stand {
    pub(super) folder: TempDir,
    pub(super) node: Forebay,
}

/// The result of one run of the command.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) out: String,
    pub(super) err: String,
}

impl Ran {
    /// What `--json` printed, after a check that its counts add up.
    pub(super) fn json(&self) -> Value {
        let json: Value = serde_json::from_str(&self.out).unwrap_or_else(|error| panic!("{error}: {self:?}"));
        let files = json["files"].as_array().unwrap_or_else(|| panic!("no files: {json}"));
        let sum = |names: &[&str]| -> u64 {
            files.iter().flat_map(|file| names.iter().map(|name| file[*name].as_u64().unwrap())).sum()
        };
        let calls: u64 =
            json["calls"].as_object().unwrap().values().map(|calls| calls.as_u64().unwrap()).sum();
        assert_eq!(json["rows"], sum(&["rows"]), "{json}");
        assert_eq!(json["rejected"], sum(&["rejected", "refused"]), "{json}");
        assert_eq!(json["repeated"], sum(&["repeated"]), "{json}");
        assert_eq!(calls, sum(&["stored"]), "{json}");
        json
    }

    /// Checks the exit code.
    #[track_caller]
    pub(super) fn code(self, expected: i32) -> Self {
        assert_eq!(self.code, Some(expected), "{self:#?}");
        self
    }
}

impl Stand {
    pub(super) async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let node = Forebay::dev(&folder.path().join("dev"), Flush::LATE).await;
        Self { folder, node }
    }

    /// Writes a file of the test.
    pub(super) fn file(&self, name: &str, bytes: impl AsRef<[u8]>) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    /// The folder for rejected rows and progress.
    pub(super) fn state(&self) -> PathBuf {
        self.folder.path().join("state")
    }

    /// `forebay import csv` into this node.
    pub(super) fn import(&self, arguments: &[&str]) -> Command {
        let mut command = import(self.folder.path(), arguments);
        command.env("FOREBAY_ADMIN_URL", &self.node.console);
        command
    }

    /// A command of this node's user.
    pub(super) fn beside(&self, words: &[impl AsRef<OsStr>]) -> Command {
        let mut command = command();
        command.args(words).current_dir(self.folder.path()).envs(environment());
        command.env("FOREBAY_STATE", self.state()).env("FOREBAY_ADMIN_URL", &self.node.console);
        command
    }

    /// Runs `forebay import csv` into this node.
    pub(super) async fn run(&self, arguments: &[&str]) -> Ran {
        ran(self.import(arguments)).await
    }

    /// Delivers everything, and returns the lines of a source.
    pub(super) async fn lines(&self, source: &str) -> Vec<String> {
        self.node.flush().await;
        self.node.bucket().lines(source).await
    }
}

/// `forebay import csv` in a folder, with its state below it, and with the credentials of the S3 server of
/// `dev`.
pub(super) fn import(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = command();
    command
        .args(["import", "csv", "--progress", "none"])
        .args(arguments)
        .current_dir(folder)
        .env("FOREBAY_STATE", folder.join("state"))
        .envs(environment());
    command
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

/// Runs a command to its end.
pub(super) async fn ran(command: Command) -> Ran {
    ran_with(command, b"").await
}

/// The same, with these bytes on its standard input.
pub(super) async fn ran_with(mut command: Command, input: &[u8]) -> Ran {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    // A command that fails early does not read it.
    let written = stdin.write_all(input).await;
    drop((stdin, written));
    let ended = timeout(PATIENCE, child.wait_with_output()).await;
    let output = ended.unwrap_or_else(|_| panic!("{command:?}: still running after {PATIENCE:?}")).unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
}

/// Lines as the tests expect them: with words in place of what differs from import to import.
pub(super) fn normal(line: &str, source: &str) -> String {
    let call: Value = serde_json::from_str(line).unwrap();
    let text = |name: &str| call[name].as_str().unwrap_or_else(|| panic!("no {name}: {line}")).to_owned();
    let id = text("messageId");
    let (prefix, row) = id.rsplit_once('_').unwrap();
    assert!(prefix.starts_with("imp_") && prefix.len() == 30, "{line}");
    line.replace(&format!("\"{id}\""), &format!("\"ID_{row}\""))
        .replace(&text("receivedAt"), "RECEIVED_AT")
        .replace(&format!("\"projectId\":\"{source}\""), "\"projectId\":\"SOURCE\"")
}

/// A value of each line, in order.
pub(super) fn values(lines: &[String], pointer: &str) -> Vec<String> {
    let value = |line: &String| {
        let call: Value = serde_json::from_str(line).unwrap();
        call.pointer(pointer)
            .map_or_else(String::new, |value| value.as_str().map_or(value.to_string(), str::to_owned))
    };
    lines.iter().map(value).collect()
}

/// The rejected rows in a file, and in no file if there is none.
pub(super) fn rejects(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// How often each text occurs.
pub(super) fn counts(texts: impl IntoIterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts = BTreeMap::new();
    for text in texts {
        *counts.entry(text).or_default() += 1;
    }
    counts
}
