//! A page in headless Chromium.

use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::time::timeout;

use crate::support::tools::{extra_on_path, on_path, require};

/// Longer than the driver waits for a page.
const PATIENCE: Duration = Duration::from_secs(240);

/// A page in headless Chromium. Killed when dropped.
pub(super) struct Browser {
    _child: Child,
    input: ChildStdin,
    output: Lines<BufReader<ChildStdout>>,
}

impl Browser {
    /// Starts it. `None`, with a message, if something that it needs is missing.
    pub(super) fn start() -> Option<Self> {
        let chromium = extra_on_path("chromium")?;
        let packages = require("console/node_modules")?;
        let driver = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/console/browser.cjs");
        let mut child = Command::new(on_path("node")?)
            .arg(driver)
            .env("NODE_PATH", packages)
            .env("FOREBAY_CHROMIUM", chromium)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Some(Self { _child: child, input, output: BufReader::new(output).lines() })
    }

    /// Does one thing on the page, and returns its result. `what`: see `tests/console/browser.cjs`.
    pub(super) async fn act(&mut self, act: &str, mut what: Value) -> Value {
        what["act"] = act.into();
        self.input.write_all(format!("{what}\n").as_bytes()).await.unwrap();
        let line =
            timeout(PATIENCE, self.output.next_line()).await.unwrap_or_else(|_| panic!("no answer: {what}"));
        let mut answer: Value = serde_json::from_str(&line.unwrap().expect("the driver has ended")).unwrap();
        assert!(answer.get("error").is_none(), "{}", answer["error"].as_str().unwrap());
        answer["ok"].take()
    }

    /// Opens a page.
    pub(super) async fn open(&mut self, url: &str) {
        self.act("open", json!({ "url": url })).await;
    }

    /// Goes to a view of the open page.
    pub(super) async fn go(&mut self, hash: &str) {
        self.act("go", json!({ "hash": hash })).await;
    }

    /// Waits until the page shows a text.
    pub(super) async fn see(&mut self, text: &str) {
        self.act("see", json!({ "text": text })).await;
    }

    /// Waits until an element shows a text.
    pub(super) async fn see_in(&mut self, css: &str, text: &str) {
        self.act("see", json!({ "css": css, "text": text })).await;
    }

    /// Presses a button.
    pub(super) async fn press(&mut self, button: &str) {
        self.act("click", json!({ "role": "button", "name": button })).await;
    }

    /// Clicks the first element with a text.
    pub(super) async fn click_in(&mut self, css: &str, text: &str) {
        self.act("click", json!({ "css": css, "text": text })).await;
    }

    /// Asserts that the page caused no error, broke no rule of its policy and asked no other host.
    pub(super) async fn nothing_wrong(&mut self) {
        assert_eq!(self.act("wrong", json!({})).await, json!([]));
    }

    /// Asserts that axe-core finds nothing to complain about.
    pub(super) async fn accessible(&mut self, view: &str) {
        assert_eq!(self.act("axe", json!({})).await, json!([]), "{view}");
    }
}
