//! Outside programs that some tests need: those that `tests/run` sets up, and those of the system. If one is
//! missing, the test is skipped with a message; in CI it fails.

use std::env;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use tokio::time::timeout;

pub(crate) use super::ministack::Ministack;

/// Time for a program with one short task. Generous, because all other tests may be running.
const PROGRAM_TIMEOUT: Duration = Duration::from_secs(120);

/// A tool in the folder that `tests/run` sets up (`$FOREBAY_TEST_TOOLS`, by default `.tools`), by its
/// relative path.
///
/// # Panics
///
/// If it is missing and `CI` is set.
pub(crate) fn require(relative: &str) -> Option<PathBuf> {
    found(in_folder(relative), relative, "`tests/run` sets it up")
}

/// Like [`require`], for a tool that a separate command sets up: if it is missing the test is skipped, in CI
/// too.
pub(crate) fn extra(relative: &str, command: &str) -> Option<PathBuf> {
    let tool = in_folder(relative);
    if tool.is_none() {
        skipped(&format!("{relative} is missing (`{command}` builds it)"));
    }
    tool
}

fn in_folder(relative: &str) -> Option<PathBuf> {
    let folder = env::var_os("FOREBAY_TEST_TOOLS")
        .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join(".tools"), PathBuf::from);
    let tool = folder.join(relative);
    tool.exists().then_some(tool)
}

/// A program in the Python environment of these tools.
///
/// # Panics
///
/// Like [`require`].
pub(crate) fn in_venv(program: &str) -> Option<PathBuf> {
    require(&format!("venv/bin/{program}"))
}

/// A program of the system.
///
/// # Panics
///
/// Like [`require`].
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    found(path_of(program), program, "install it with the system's packages")
}

fn found(tool: Option<PathBuf>, name: &str, remedy: &str) -> Option<PathBuf> {
    if tool.is_none() {
        assert!(env::var_os("CI").is_none(), "{name} is missing, and in CI that is a failure: {remedy}");
        skipped(&format!("{name} is missing ({remedy})"));
    }
    tool
}

/// Reports that a test was skipped, and why.
///
/// # Panics
///
/// With `FOREBAY_NO_SKIP`, which the commands that run one test set.
pub(crate) fn skipped(why: &str) {
    assert!(env::var_os("FOREBAY_NO_SKIP").is_none(), "this test was asked for, and it cannot be run: {why}");
    // Bypasses the test runner, which hides the output of passing tests.
    let said = writeln!(std::io::stderr(), "\n*** SKIPPED, NOT PASSED: {why} ***\n");
    said.expect("standard error");
}

/// Runs a command to its end on another thread, so that the servers of the test keep running.
///
/// # Panics
///
/// If it cannot be started, or does not end in time.
pub(crate) async fn run(command: Command) -> Output {
    run_within(command, PROGRAM_TIMEOUT).await
}

async fn run_within(command: Command, limit: Duration) -> Output {
    let mut command = tokio::process::Command::from(command);
    command.stdin(Stdio::null()).kill_on_drop(true);
    timeout(limit, command.output())
        .await
        .unwrap_or_else(|_| panic!("{command:?} was not done after {limit:?}"))
        .unwrap_or_else(|error| panic!("{command:?} could not be started: {error}"))
}

/// A program of the system that few machines have: if it is missing the test is skipped, in CI too.
pub(crate) fn extra_on_path(program: &str) -> Option<PathBuf> {
    let file = path_of(program);
    if file.is_none() {
        skipped(&format!("{program} is missing (install it with the system's packages)"));
    }
    file
}

fn path_of(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Standard output of a command that must succeed.
///
/// # Panics
///
/// Like [`run`], and if the command fails or writes invalid UTF-8.
pub(crate) async fn stdout_of(command: Command) -> String {
    stdout_within(command, PROGRAM_TIMEOUT).await
}

/// As [`stdout_of`], for a command that may take so long.
pub(crate) async fn stdout_within(command: Command, limit: Duration) -> String {
    let shown = format!("{command:?}");
    let output = run_within(command, limit).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    let stdout = String::from_utf8(output.stdout).unwrap_or_else(|error| panic!("{shown}: {error}"));
    assert!(output.status.success(), "{shown}: {}\n{stdout}{stderr}", output.status);
    stdout
}
