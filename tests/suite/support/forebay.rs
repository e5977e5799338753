//! The real program, as a process.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::bucket::Bucket;
use super::http::Http;
use super::wait;

/// Time to recover and to open the listeners.
const START_TIMEOUT: Duration = Duration::from_secs(120);
/// Time from the signal to the exit: the grace period of 25 s, and some more.
const EXIT_TIMEOUT: Duration = Duration::from_secs(160);
/// Time to deliver all buffered calls.
const DELIVERY_TIMEOUT: Duration = Duration::from_secs(120);
/// Lines of standard output that may wait to be read. The program prints a handful.
const OUTPUT_LINES_MAX: usize = 1_024;

/// How soon `forebay dev` makes a batch due.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Flush {
    pub(crate) age: &'static str,
    pub(crate) bytes: &'static str,
}

impl Flush {
    /// Every second, and never by size.
    pub(crate) const SOON: Self = Self { age: "1s", bytes: "100MB" };
    /// Only on request, or at the end.
    pub(crate) const LATE: Self = Self { age: "1h", bytes: "100MB" };
}

/// A program that was started but has not printed its addresses yet.
#[derive(Debug)]
pub(crate) struct Starting {
    child: Child,
    output: mpsc::Receiver<String>,
    log: Arc<Mutex<String>>,
}

/// A running program. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Forebay {
    child: Child,
    output: mpsc::Receiver<String>,
    log: Arc<Mutex<String>>,
    /// Base URL of the collector.
    pub(crate) collector: String,
    /// Base URL of the admin listener.
    pub(crate) console: String,
    /// Base URL of the S3 server inside the process; empty in `serve`.
    pub(crate) s3: String,
}

impl Forebay {
    /// Starts `forebay dev` and waits until it accepts.
    pub(crate) async fn dev(data_dir: &Path, flush: Flush) -> Self {
        Starting::dev(data_dir, flush).ready(&["collector", "console", "s3"]).await
    }

    /// Starts `forebay serve` with a configuration file and waits until it accepts.
    pub(crate) async fn serve(config: &Path, environment: &[(&str, &str)]) -> Self {
        Starting::serve(config, environment).serve_ready().await
    }

    /// The bucket of the S3 server inside the process.
    pub(crate) fn bucket(&self) -> Bucket {
        Bucket::new(&self.s3, "forebay", "forebay", "forebay-secret")
    }

    /// Requests flushes until nothing is left to deliver.
    pub(crate) async fn flush(&self) {
        let http = Http::new();
        let url = format!("{}/api/flush", self.console);
        wait::until("everything to be delivered", DELIVERY_TIMEOUT, async || {
            let answer =
                http.post(&url, "").await.unwrap_or_else(|error| panic!("{url}: {error}\n{}", self.log()));
            let text = String::from_utf8_lossy(&answer.body);
            assert!(answer.status.is_success(), "{url}: {} {text}", answer.status);
            let report: serde_json::Value = serde_json::from_slice(&answer.body).expect("a JSON report");
            let pending =
                report["pending"].as_u64().unwrap_or_else(|| panic!("no number in `pending`: {text}"));
            (pending == 0).then_some(())
        })
        .await;
    }

    /// Its standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.lock().expect("the log's lock").clone()
    }

    /// Its standard error, also after this value is dropped.
    pub(crate) fn live_log(&self) -> Arc<Mutex<String>> {
        Arc::clone(&self.log)
    }

    /// Ends it as `kill -9` does.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("SIGKILL");
    }

    /// The next line of its standard output that contains this text.
    pub(crate) async fn printed(&mut self, text: &str) -> String {
        let found = async {
            loop {
                let line = self.output.recv().await?;
                if line.contains(text) {
                    return Some(line);
                }
            }
        };
        let found = timeout(START_TIMEOUT, found).await.ok().flatten();
        found.unwrap_or_else(|| panic!("{text:?} was not printed"))
    }

    /// Whether it is still running.
    pub(crate) fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("its status").is_none()
    }

    /// Its process id.
    pub(crate) fn pid(&self) -> Pid {
        let pid = self.child.id().and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
        pid.expect("a running process")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap_or_else(|error| panic!("{signal:?}: {error}"));
    }

    /// Ends it in order, with SIGTERM.
    pub(crate) async fn terminate(self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.exit().await
    }

    /// Waits for it to end.
    pub(crate) async fn exit(mut self) -> ExitStatus {
        timeout(EXIT_TIMEOUT, self.child.wait())
            .await
            .unwrap_or_else(|_| panic!("still running after {EXIT_TIMEOUT:?}\n{}", self.log()))
            .expect("its exit status")
    }
}

impl Starting {
    /// Starts `forebay dev` on free ports.
    pub(crate) fn dev(data_dir: &Path, flush: Flush) -> Self {
        Self::dev_with(data_dir, flush, &[])
    }

    /// Like [`Starting::dev`], with more arguments.
    pub(crate) fn dev_with(data_dir: &Path, flush: Flush, arguments: &[&str]) -> Self {
        Self::dev_in(data_dir, flush, arguments, &[])
    }

    /// Like [`Starting::dev_with`], with an environment.
    pub(crate) fn dev_in(
        data_dir: &Path,
        flush: Flush,
        arguments: &[&str],
        environment: &[(&str, &str)],
    ) -> Self {
        let mut command = command();
        command.arg("dev").args(arguments).envs(environment.iter().copied());
        let listeners = ["--listen", "--admin-listen", "--s3-listen"].into_iter();
        for listener in listeners.filter(|listener| !arguments.contains(listener)) {
            command.args([listener, "127.0.0.1:0"]);
        }
        command.arg("--data-dir").arg(data_dir);
        command.args(["--flush-age", flush.age, "--flush-bytes", flush.bytes]);
        Self::spawn(command)
    }

    /// Starts `forebay serve` with a configuration file.
    pub(crate) fn serve(config: &Path, environment: &[(&str, &str)]) -> Self {
        let mut command = command();
        command.arg("serve").arg("--config").arg(config).envs(environment.iter().copied());
        Self::spawn(command)
    }

    /// Like [`Starting::serve`], in a process that may open so many files.
    pub(crate) fn serve_with_files(config: &Path, environment: &[(&str, &str)], files: u64) -> Self {
        Self::serve_with_file_limits(config, environment, files, files)
    }

    /// The same, in a process that may raise the first limit to the second.
    pub(crate) fn serve_with_file_limits(
        config: &Path,
        environment: &[(&str, &str)],
        soft: u64,
        hard: u64,
    ) -> Self {
        let mut command = with_file_limits(soft, hard);
        command.arg("serve").arg("--config").arg(config).envs(environment.iter().copied());
        Self::spawn(command)
    }

    /// Like [`Starting::serve`], with its log on `stderr`: [`Forebay::log`] stays empty.
    pub(crate) fn serve_logging_to(config: &Path, environment: &[(&str, &str)], stderr: Stdio) -> Self {
        let mut command = command();
        command.arg("serve").arg("--config").arg(config).envs(environment.iter().copied());
        Self::spawn_logging_to(command, stderr)
    }

    /// Starts a command that ends in the program.
    pub(crate) fn spawn(command: Command) -> Self {
        Self::spawn_logging_to(command, Stdio::piped())
    }

    fn spawn_logging_to(mut command: Command, stderr: Stdio) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(stderr).kill_on_drop(true);
        let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let log = Arc::new(Mutex::new(String::new()));
        let (lines, output) = mpsc::channel(OUTPUT_LINES_MAX);
        let stdout = child.stdout.take().expect("standard output");
        // Output after the addresses is read too, because a full pipe would block the program. It may be
        // dropped.
        tokio::spawn(each_line(stdout, move |line| drop(lines.try_send(line))));
        if let Some(stderr) = child.stderr.take() {
            let kept = Arc::clone(&log);
            tokio::spawn(each_line(stderr, move |line| {
                let mut kept = kept.lock().expect("the log's lock");
                kept.push_str(&line);
                kept.push('\n');
            }));
        }
        Self { child, output, log }
    }

    /// Waits until each of `listeners` accepts.
    async fn ready(self, listeners: &[&str]) -> Forebay {
        self.ready_or_log(listeners).await.unwrap_or_else(|why| panic!("{why}"))
    }

    /// The same; if it ends before, what it said.
    async fn ready_or_log(mut self, listeners: &[&str]) -> Result<Forebay, String> {
        let mut addresses = vec![String::new(); listeners.len()];
        let all = async {
            while addresses.iter().any(String::is_empty) {
                let Some(line) = self.output.recv().await else { return false };
                let Some((name, address)) = line.split_once(" http://") else { continue };
                if let Some(index) = listeners.iter().position(|listener| *listener == name) {
                    addresses[index] = format!("http://{}", address.trim().trim_end_matches('/'));
                }
            }
            true
        };
        let said = timeout(START_TIMEOUT, all).await == Ok(true);
        let log = self.log.lock().expect("the log's lock").clone();
        if !said {
            return Err(format!(
                "it did not print its addresses ({listeners:?}, known: {addresses:?}); its log:\n{log}"
            ));
        }
        let mut addresses = addresses.into_iter();
        let mut next = || addresses.next().unwrap_or_default();
        Ok(Forebay {
            child: self.child,
            output: self.output,
            log: self.log,
            collector: next(),
            console: next(),
            s3: next(),
        })
    }

    /// Like [`Starting::ready`], for `dev`.
    pub(crate) async fn dev_ready(self) -> Forebay {
        self.ready(&["collector", "console", "s3"]).await
    }

    /// Like [`Starting::ready`], for `serve`.
    pub(crate) async fn serve_ready(self) -> Forebay {
        self.ready(&["collector", "console"]).await
    }

    /// Like [`Starting::serve_ready`]; if it ends before, what it said.
    pub(crate) async fn serve_ready_or_log(self) -> Result<Forebay, String> {
        self.ready_or_log(&["collector", "console"]).await
    }

    /// Ends it as `kill -9` does, at any point of its start.
    pub(crate) async fn kill(mut self) {
        self.child.kill().await.expect("SIGKILL");
    }
}

/// The program, without settings from the environment of the tests.
pub(crate) fn command() -> Command {
    without_settings(Command::new(binary()))
}

/// The same, in a process that may open so many files.
pub(crate) fn with_files(files: u64) -> Command {
    with_file_limits(files, files)
}

/// The same, in a process that may open `soft` files, and may raise that to `hard`.
pub(crate) fn with_file_limits(soft: u64, hard: u64) -> Command {
    let mut command = without_settings(Command::new("sh"));
    let limited = format!("ulimit -n {hard} && ulimit -S -n {soft} && exec \"$0\" \"$@\"");
    command.arg("-c").arg(limited).arg(binary());
    command
}

/// The same, in a process with so many KiB of address space.
pub(crate) fn with_addresses(kib: u64) -> Command {
    let mut command = without_settings(Command::new("sh"));
    command.arg("-c").arg(format!("ulimit -v {kib} && exec \"$0\" \"$@\"")).arg(binary());
    command
}

/// Without settings from the environment of the tests.
pub(crate) fn without_settings(mut command: Command) -> Command {
    for (name, _) in env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("FOREBAY_")) {
        command.env_remove(name);
    }
    command
}

/// Runs a command of the program to its end.
pub(crate) async fn run(arguments: &[&str]) -> Output {
    finished(command().args(arguments)).await
}

/// Waits for a command that ends by itself.
pub(crate) async fn finished(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = timeout(EXIT_TIMEOUT, command.output()).await;
    output
        .unwrap_or_else(|_| panic!("{command:?}: still running after {EXIT_TIMEOUT:?}"))
        .expect("the command starts")
}

/// A pipe whose reader has left.
pub(crate) fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

/// The program under test: the one that Cargo built, or the one in `FOREBAY_BIN` (a release build, a
/// package).
pub(crate) fn binary() -> PathBuf {
    env::var_os("FOREBAY_BIN").unwrap_or_else(|| OsString::from(env!("CARGO_BIN_EXE_forebay"))).into()
}

async fn each_line(stream: impl AsyncRead + Unpin, mut take: impl FnMut(String)) {
    let mut lines = BufReader::new(stream).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        take(line);
    }
}
