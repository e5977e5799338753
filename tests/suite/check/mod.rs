//! `forebay check`: the real program against servers that enforce rights, and against a scripted server for
//! answers that no other server here gives.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::forebay::{command, finished};

mod machine;
mod ministack;
mod quoted;
mod scripted;
mod scripted_aws;
mod stores;

/// A folder with a configuration and a spool, and the credentials to check it with.
#[derive(Debug)]
struct Setup {
    folder: TempDir,
    endpoint: String,
    credentials: Option<(String, String)>,
    /// Additional lines of each section.
    collector: String,
    admin: String,
    spool: String,
    s3: String,
    /// The id and the other lines of each source.
    sources: Vec<(String, String)>,
}

/// The result of a run of the program.
#[derive(Debug)]
struct Ran {
    code: i32,
    json: Value,
    text: String,
}

impl Setup {
    /// A store, its token service and its key service, all at one address, without sources.
    fn new(endpoint: &str, access_key: &str, secret_key: &str) -> Self {
        let free = "listen = \"127.0.0.1:0\"";
        Self {
            folder: tempfile::tempdir().unwrap(),
            endpoint: endpoint.to_owned(),
            credentials: Some((access_key.to_owned(), secret_key.to_owned())),
            collector: free.to_owned(),
            admin: free.to_owned(),
            // The test's folder may be on any file system; this must not fail the test on any machine.
            spool: "unsafe_filesystem = true\nmax_bytes = \"1 GB\"".to_owned(),
            s3: format!("sts_endpoint_url = \"{endpoint}\"\nkms_endpoint_url = \"{endpoint}\""),
            sources: Vec::new(),
        }
    }

    /// Adds a source.
    fn source(mut self, id: &str, lines: &str) -> Self {
        self.sources.push((id.to_owned(), lines.to_owned()));
        self
    }

    /// Adds lines to `[s3]`.
    fn s3(mut self, lines: &str) -> Self {
        write!(self.s3, "\n{lines}").unwrap();
        self
    }

    fn spool_dir(&self) -> PathBuf {
        self.folder.path().join("spool")
    }

    /// Writes the configuration.
    fn file(&self) -> PathBuf {
        let Self { collector, admin, spool, s3, endpoint, .. } = self;
        let mut text = format!(
            "[collector]\n{collector}\n[admin]\n{admin}\n[spool]\ndir = \"{}\"\n{spool}\n[s3]\nendpoint_url = \
             \"{endpoint}\"\n{s3}\n",
            self.spool_dir().display()
        );
        for (id, lines) in &self.sources {
            write!(text, "[[source]]\nid = \"{id}\"\nwrite_keys = [\"{id}-key\"]\n{lines}\n").unwrap();
        }
        let file = self.folder.path().join("forebay.toml");
        fs::write(&file, text).unwrap();
        file
    }

    /// Runs the program with these arguments.
    async fn output(&self, arguments: &[&str]) -> std::process::Output {
        let mut command = command();
        let nowhere = self.folder.path().join("nowhere");
        command.arg("check").arg("--config").arg(self.file()).args(arguments);
        for name in ["AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_REGION", "AWS_DEFAULT_REGION"] {
            command.env_remove(name);
        }
        command.env("AWS_EC2_METADATA_DISABLED", "true");
        command.env("AWS_CONFIG_FILE", &nowhere).env("AWS_SHARED_CREDENTIALS_FILE", &nowhere);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        if let Some((access_key, secret_key)) = &self.credentials {
            command.env("AWS_ACCESS_KEY_ID", access_key).env("AWS_SECRET_ACCESS_KEY", secret_key);
        }
        finished(&mut command).await
    }

    /// Runs the check, and asserts that it prints no secret and creates no spool.
    async fn run(&self) -> Ran {
        self.run_with(&[]).await
    }

    async fn run_with(&self, arguments: &[&str]) -> Ran {
        let was_there = self.spool_dir().exists();
        let output = self.output(&[&["--json"], arguments].concat()).await;
        let stdout = String::from_utf8(output.stdout).unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        let json: Value =
            serde_json::from_str(&stdout).unwrap_or_else(|error| panic!("{error}\n{stdout}{stderr}"));
        let code = output.status.code().unwrap();
        assert_eq!(code == 1, json["summary"]["failed"] != 0, "exit code {code}\n{stdout}{stderr}");
        assert!(self.spool_dir().exists() == was_there, "a spool was created");
        if let Some((_, secret_key)) = self.credentials.as_ref().filter(|(_, secret)| secret.len() > 8) {
            assert!(!format!("{stdout}{stderr}").contains(secret_key.as_str()), "the secret key is shown");
        }
        Ran { code, json, text: stdout }
    }
}

impl Ran {
    fn findings(&self) -> &[Value] {
        self.json["findings"].as_array().unwrap()
    }

    /// A finding about this machine, or about the only destination.
    fn of(&self, check: &str) -> &Value {
        let mut all = self.findings().iter().filter(|finding| finding["check"] == check);
        let found = all.next().unwrap_or_else(|| panic!("no finding {check} in {}", self.text));
        assert!(all.next().is_none(), "several findings {check} in {}", self.text);
        found
    }

    /// A finding about the destination of a source.
    fn for_source(&self, source: &str, check: &str) -> &Value {
        let is_of = |finding: &&Value| {
            let sources = finding["sources"].as_array();
            finding["check"] == check && sources.is_some_and(|all| all.iter().any(|one| one == source))
        };
        self.findings()
            .iter()
            .find(is_of)
            .unwrap_or_else(|| panic!("no finding {check} for {source} in {}", self.text))
    }
}

/// Asserts the outcome of a finding, and words in its text or remedies.
fn expect(finding: &Value, outcome: &str, words: &[&str]) {
    let text = finding.to_string();
    assert_eq!(finding["outcome"], outcome, "{text}");
    for word in words {
        let quoted = Value::String((*word).to_owned()).to_string();
        let inside = quoted.trim_matches('"');
        assert!(text.contains(inside), "{word:?} is missing in {text}");
    }
    let mended = finding["remedies"].as_array().is_some_and(|all| !all.is_empty());
    assert_eq!(mended, matches!(outcome, "failed" | "warning"), "{text}");
}

/// The text to paste, of the remedy whose text has this word.
fn paste<'a>(finding: &'a Value, word: &str) -> &'a str {
    let remedies = finding["remedies"].as_array().unwrap();
    let remedy = remedies.iter().find(|remedy| remedy["text"].as_str().unwrap().contains(word));
    let remedy = remedy.unwrap_or_else(|| panic!("no remedy with {word:?} in {finding}"));
    remedy["paste"].as_str().unwrap_or_else(|| panic!("nothing to paste in {remedy}"))
}
