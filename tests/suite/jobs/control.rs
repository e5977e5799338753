//! Servers of the jobs API, and its clients: the AWS CLI and boto3.

use std::fs::File;
use std::process::Stdio;

use forebay::dev_s3::{ACCESS_KEY_ID, SECRET_ACCESS_KEY};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use super::support::{PATIENCE, Ran, Stand, ran, script};
use crate::support::tools::in_venv;
use crate::support::wait;

/// The account of all requests.
pub(super) const ACCOUNT: &str = "111122223333";

/// The variables that lead a client to a proxy, or past it.
const PROXY_VARIABLES: [&str; 6] =
    ["HTTP_PROXY", "http_proxy", "NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy"];

/// A running `batch serve`. Killed when dropped.
#[derive(Debug)]
pub(super) struct Served {
    pub(super) child: Child,
    pub(super) url: String,
}

impl Served {
    /// Starts it on a free port, beside a stand whose S3 is its store.
    pub(super) async fn start(stand: &Stand, words: &[&str]) -> Self {
        let serve = [&["serve", "--listen", "127.0.0.1:0"], words].concat();
        Self::spawn(stand.batch(&serve), stand).await
    }

    /// The same with a listener for metrics. Their URL, too.
    pub(super) async fn with_metrics(stand: &Stand, words: &[&str]) -> (Self, String) {
        let serve = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
        let (served, mut lines) = Self::spawned(stand.batch(&[&serve, words].concat()), stand).await;
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap_or_default();
        let url = line.strip_prefix("metrics ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
        (served, url)
    }

    /// Waits for the first line of a command that serves.
    pub(super) async fn spawn(command: Command, stand: &Stand) -> Self {
        Self::spawned(command, stand).await.0
    }

    async fn spawned(mut command: Command, stand: &Stand) -> (Self, Lines<BufReader<ChildStdout>>) {
        let log = File::options().create(true).append(true).open(stand.path("serve.log")).unwrap();
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(log).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap().unwrap_or_default();
        let url = line.strip_prefix("batch ").and_then(|rest| rest.split_once(": "));
        let Some((url, how)) = url else {
            panic!("{line:?}: {}", std::fs::read_to_string(stand.path("serve.log")).unwrap())
        };
        // How this machine reaches an address of all networks.
        let url = url.replace("0.0.0.0", "127.0.0.1");
        assert!(how.contains(&format!("HTTP_PROXY={url} aws s3control list-jobs")), "{line}");
        (Self { child, url }, lines)
    }
}

/// The AWS CLI.
#[derive(Debug)]
pub(super) struct Cli<'a> {
    pub(super) url: &'a str,
    pub(super) keys: (&'a str, &'a str),
}

impl<'a> Cli<'a> {
    /// With the keys of `dev`.
    pub(super) fn of(url: &'a str) -> Self {
        Self { url, keys: (ACCESS_KEY_ID, SECRET_ACCESS_KEY) }
    }

    /// Runs `aws s3control …`.
    pub(super) async fn run(&self, words: &[&str]) -> Ran {
        self.aws(&[&["s3control"], words, &["--account-id", ACCOUNT, "--endpoint-url", self.url]].concat())
            .await
    }

    /// Runs the CLI with these words alone, with the server as its proxy.
    pub(super) async fn aws(&self, words: &[&str]) -> Ran {
        let mut command = Command::new(in_venv("aws").unwrap());
        command.args(words).args(["--output", "json"]);
        for name in PROXY_VARIABLES {
            command.env_remove(name);
        }
        command
            .env("HTTP_PROXY", self.url)
            .env("AWS_DEFAULT_REGION", "us-east-1")
            .env("AWS_MAX_ATTEMPTS", "1");
        command.env("AWS_ACCESS_KEY_ID", self.keys.0).env("AWS_SECRET_ACCESS_KEY", self.keys.1);
        command.env("AWS_EC2_METADATA_DISABLED", "true").env("AWS_PAGER", "");
        ran(command, b"").await
    }

    /// The answer to a call that succeeds.
    pub(super) async fn well(&self, words: &[&str]) -> Value {
        self.run(words).await.code(0).json()
    }
}

/// boto3, in a process that makes one call after the other.
#[derive(Debug)]
pub(super) struct Boto {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Boto {
    /// With the keys of `dev`.
    pub(super) fn of(url: &str) -> Self {
        Self::with(url, ACCESS_KEY_ID, SECRET_ACCESS_KEY)
    }

    /// With these keys; an empty secret signs nothing.
    pub(super) fn with(url: &str, key: &str, secret: &str) -> Self {
        Self::signing(url, key, secret, "s3v4")
    }

    /// With another signature: `s3` is the older one.
    pub(super) fn signing(url: &str, key: &str, secret: &str, signature: &str) -> Self {
        let mut command = Command::new(in_venv("python").unwrap());
        command.arg(script("control.py")).args([url, key, secret, signature]).kill_on_drop(true);
        for name in PROXY_VARIABLES {
            command.env_remove(name);
        }
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let output = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { _child: child, input, output }
    }

    /// The answer to a call, or the error, under `Error`.
    pub(super) async fn call(&mut self, operation: &str, parameters: Value) -> Value {
        let line = json!([operation, parameters]).to_string() + "\n";
        self.input.write_all(line.as_bytes()).await.unwrap();
        let answer = timeout(PATIENCE, self.output.next_line()).await.unwrap().unwrap();
        let answer = answer.unwrap_or_else(|| panic!("{operation}: boto3 has ended"));
        serde_json::from_str(&answer).unwrap()
    }

    /// The answer to a call that succeeds.
    pub(super) async fn well(&mut self, operation: &str, parameters: Value) -> Value {
        let answer = self.call(operation, parameters).await;
        assert_eq!(answer["ResponseMetadata"]["HTTPStatusCode"], 200, "{operation}: {answer:#}");
        answer
    }

    /// Checks that a call is refused with this code, and that the message has these words.
    pub(super) async fn refused(&mut self, operation: &str, parameters: Value, code: &str, says: &str) {
        let answer = self.call(operation, parameters).await;
        let message = answer["Error"]["Message"].as_str().unwrap_or_default();
        assert!(answer["Error"]["Code"] == code && message.contains(says), "{code} {says}: {answer:#}");
    }

    /// Makes a job, and returns its id.
    pub(super) async fn make(&mut self, parameters: Value) -> String {
        self.well("create_job", parameters).await["JobId"].as_str().unwrap().to_owned()
    }

    /// Everything about a job.
    pub(super) async fn job(&mut self, id: &str) -> Value {
        self.well("describe_job", json!({ "JobId": id })).await["Job"].take()
    }

    /// Waits until a job is as wanted.
    pub(super) async fn until(&mut self, id: &str, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait::until(what, PATIENCE, async || Some(self.job(id).await).filter(|job| is_so(job))).await
    }
}

/// The parameters of create-job for a function and a manifest in the bucket of `dev`, with a report and without a
/// confirmation.
pub(super) fn create(function: &str, manifest: &str, etag: &str, token: &str) -> Value {
    json!({
        "ConfirmationRequired": false,
        "Operation": { "LambdaInvoke": { "FunctionArn": arn(function) } },
        "Manifest": {
            "Spec": { "Format": "S3BatchOperations_CSV_20180820", "Fields": ["Bucket", "Key"] },
            "Location": { "ObjectArn": format!("arn:aws:s3:::forebay/{manifest}"), "ETag": etag },
        },
        "Report": {
            "Bucket": "arn:aws:s3:::forebay", "Format": "Report_CSV_20180820", "Enabled": true,
            "Prefix": "reports", "ReportScope": "AllTasks",
        },
        "ClientRequestToken": token,
        "Priority": 10,
        "RoleArn": format!("arn:aws:iam::{ACCOUNT}:role/BatchOperationsRole"),
    })
}

/// Such parameters with others in their place.
pub(super) fn with(mut parameters: Value, others: Value) -> Value {
    let others = others.as_object().unwrap().clone();
    parameters.as_object_mut().unwrap().extend(others);
    parameters
}

/// The ARN of a function.
pub(super) fn arn(function: &str) -> String {
    format!("arn:aws:lambda:us-east-1:{ACCOUNT}:function:{function}")
}
