//! A place to follow the page in: ministack, an `aws` that records how it is called, and a function that only
//! logs.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::deploy::repository;
use crate::support::ministack::Ministack;
use crate::support::tools::{in_venv, on_path, run};
use crate::support::wait;

/// For a function to be invoked and its log to be there. ministack starts it in the background.
const INVOCATION_TIMEOUT: Duration = Duration::from_secs(60);

/// A function that logs each event and the names of its variables. `PYTHON` is filled in.
const BOOTSTRAP: &str = r#"#!PYTHON
import json, os, urllib.request
base = f"http://{os.environ['AWS_LAMBDA_RUNTIME_API']}/2018-06-01/runtime/invocation/"
while True:
    with urllib.request.urlopen(base + "next") as answer:
        invocation, event = answer.headers["lambda-runtime-aws-request-id"], json.load(answer)
    print("event", json.dumps(event), flush=True)
    print("variables", *sorted(name for name in os.environ if name.startswith("FOREBAY_")), flush=True)
    urllib.request.urlopen(urllib.request.Request(f"{base}{invocation}/response", data=b"null")).close()
"#;

/// Packs its second argument as `bootstrap` into the zip file that is its first.
const PACK: &str = r#"
import sys, zipfile
entry = zipfile.ZipInfo("bootstrap")
entry.create_system, entry.external_attr = 3, 0o100755 << 16
with zipfile.ZipFile(sys.argv[1], "w") as packed:
    packed.writestr(entry, open(sys.argv[2], "rb").read())
"#;

/// What a command did.
#[derive(Debug)]
pub(super) struct Ran {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Ran {
    /// The same, if the command succeeded.
    pub(super) fn well(self) -> Self {
        assert_eq!(self.code, Some(0), "{self:?}");
        self
    }

    /// Asserts that the command refused, with this message.
    pub(super) fn refused(self, code: i32, said: &str) {
        assert_eq!(self.code, Some(code), "{self:?}");
        assert!(self.stderr.contains(said), "{said}: {self:?}");
    }
}

/// Runs commands in a folder of its own, with programs of its own before those of the system.
#[derive(Debug)]
pub(super) struct Folder {
    dir: TempDir,
    variables: BTreeMap<String, OsString>,
}

impl Folder {
    pub(super) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let own = dir.path().join("bin");
        std::fs::create_dir(&own).unwrap();
        symlink(env!("CARGO_BIN_EXE_forebay"), own.join("forebay")).unwrap();
        let mut path = own.into_os_string();
        path.push(":");
        path.push(std::env::var_os("PATH").unwrap());
        let home = dir.path().as_os_str().to_owned();
        Self { dir, variables: [("PATH".to_owned(), path), ("HOME".to_owned(), home)].into() }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Sets a variable for the commands.
    pub(super) fn set(&mut self, name: &str, value: impl Into<OsString>) {
        self.variables.insert(name.to_owned(), value.into());
    }

    pub(super) fn unset(&mut self, name: &str) {
        self.variables.remove(name);
    }

    /// A program before those of the system.
    pub(super) fn program(&self, name: &str, text: &str) {
        self.executable(&format!("bin/{name}"), text);
    }

    pub(super) fn executable(&self, name: &str, text: &str) {
        let file = self.path(name);
        std::fs::write(&file, text).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// Runs `scripts/release/lambda`.
    pub(super) async fn script(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(repository("scripts/release/lambda"));
        command.args(arguments);
        self.run(command).await
    }

    /// Runs a command with the variables alone.
    pub(super) async fn run(&self, mut command: Command) -> Ran {
        command.current_dir(self.dir.path()).env_clear().envs(&self.variables);
        let output = run(command).await;
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Ran { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }
}

/// A folder with ministack behind the AWS CLI.
#[derive(Debug)]
pub(super) struct Workshop {
    pub(super) folder: Folder,
    _ministack: Ministack,
    python: PathBuf,
}

impl Workshop {
    /// The account of ministack's administrator.
    pub(super) const ACCOUNT: &str = "000000000000";
    pub(super) const REGION: &str = "us-east-1";

    /// `None` if a tool is missing.
    pub(super) async fn open() -> Option<Self> {
        let (aws, python) = (in_venv("aws")?, in_venv("python")?);
        on_path("bash")?;
        let ministack = Ministack::start().await?;
        let mut folder = Folder::new();
        let (url, calls) = (ministack.url(), folder.path("calls"));
        // SQS has an old address in the CLI that AWS_ENDPOINT_URL does not change.
        let recorded = format!(
            "#!/bin/sh\nprintf '%s\\n' \"$*\" >>'{}'\n[ \"$1\" != sqs ] || set -- \"$@\" --endpoint-url '{url}'\n\
             exec '{}' \"$@\"\n",
            calls.display(),
            aws.display()
        );
        folder.program("aws", &recorded);
        folder.set("AWS_ENDPOINT_URL", url);
        folder.set("AWS_DEFAULT_REGION", Self::REGION);
        folder.set("AWS_ACCESS_KEY_ID", Ministack::ROOT);
        folder.set("AWS_SECRET_ACCESS_KEY", Ministack::ROOT);
        let bootstrap = BOOTSTRAP.replace("PYTHON", python.to_str().unwrap());
        folder.executable("bootstrap", &bootstrap);
        Some(Self { folder, _ministack: ministack, python })
    }

    /// Every call of the CLI, with its arguments.
    pub(super) fn calls(&self) -> String {
        std::fs::read_to_string(self.folder.path("calls")).unwrap()
    }

    /// Runs the AWS CLI.
    pub(super) async fn try_aws(&self, arguments: &[&str]) -> Ran {
        let mut command = Command::new(self.folder.path("bin/aws"));
        command.args(arguments).args(["--output", "json"]);
        self.folder.run(command).await
    }

    /// The answer of the AWS CLI, which must succeed.
    pub(super) async fn aws(&self, arguments: &[&str]) -> Value {
        let ran = self.try_aws(arguments).await.well();
        if ran.stdout.trim().is_empty() { Value::Null } else { serde_json::from_str(&ran.stdout).unwrap() }
    }

    /// The configuration of the function.
    pub(super) async fn function(&self) -> Value {
        self.aws(&["lambda", "get-function-configuration", "--function-name", "forebay-csv"]).await
    }

    /// The variables of the function that are set: an empty one is not.
    pub(super) async fn environment(&self) -> Value {
        let mut variables = self.function().await["Environment"]["Variables"].clone();
        variables.as_object_mut().unwrap().retain(|_, value| *value != "");
        variables
    }

    /// Packs the function that only logs.
    pub(super) async fn pack(&self) {
        let mut command = Command::new(&self.python);
        command.args(["-c", PACK, "forebay-lambda.zip", "bootstrap"]);
        self.folder.run(command).await.well();
    }

    /// Waits until the log of the function has a line with `text`; returns the lines.
    pub(super) async fn logged(&self, text: &str) -> String {
        let read = ["logs", "filter-log-events", "--log-group-name", "/aws/lambda/forebay-csv"];
        wait::until(&format!("{text} in the log"), INVOCATION_TIMEOUT, async || {
            let log = self.aws(&read).await;
            let lines = log["events"].as_array().unwrap().iter();
            let lines: Vec<&str> = lines.map(|line| line["message"].as_str().unwrap().trim_end()).collect();
            let log = lines.join("\n");
            log.contains(text).then_some(log)
        })
        .await
    }
}

/// The event in the last line of a log that has one.
pub(super) fn last_event(log: &str) -> Value {
    let line = log.lines().rev().find_map(|line| line.strip_prefix("event ")).unwrap();
    serde_json::from_str(line).unwrap()
}

/// A policy statement as Lambda prints it, as `forebay policy` prints it: other case of condition keys, no
/// Sid.
pub(super) fn comparable(statement: &Value) -> Value {
    let mut statement = statement.clone();
    statement.as_object_mut().unwrap().remove("Sid");
    let text = statement.to_string().replace("\"AWS:Source", "\"aws:Source");
    let statement: Value = serde_json::from_str(&text).unwrap();
    assert_ne!(statement["Condition"], json!(null), "{statement}");
    statement
}
