//! Outside programs that some tests need. Where one is missing the test says so and passes; with `CI` set it fails.

#![expect(
    clippy::disallowed_methods,
    reason = "tests are told by the environment where tools are and whether this is CI"
)]

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a server may take to answer after its start.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A tool, or none with the reason printed.
fn required(what: &str, found: Option<PathBuf>) -> Option<PathBuf> {
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{what} is needed in CI");
        eprintln!("SKIPPED, nothing was tested: {what} is needed");
    }
    found
}

/// A program of the Python environment in `$FOREBAY_TEST_TOOLS/venv` (made by `pip install ministack==1.5.33 boto3`).
pub(crate) fn in_venv(program: &str) -> Option<PathBuf> {
    let found = std::env::var_os("FOREBAY_TEST_TOOLS")
        .map(|dir| Path::new(&dir).join("venv/bin").join(program))
        .filter(|path| path.exists());
    required(&format!("$FOREBAY_TEST_TOOLS/venv/bin/{program}"), found)
}

/// A program on the path.
pub(crate) fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file());
    required(&format!("{program} on the path"), found)
}

/// Runs a command to its end, off the runtime's threads: servers of the test go on meanwhile.
pub(crate) async fn run(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap()
}

/// Standard output of a command that must succeed.
pub(crate) async fn stdout_of(command: Command) -> String {
    let output = run(command).await;
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{stderr}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stdout).unwrap()
}

/// A running ministack, with signatures and policies enforced; it ends when it is dropped.
pub(crate) struct Ministack {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Ministack {
    /// The user that policies do not bind.
    pub(crate) const ROOT: &str = "test";

    pub(crate) async fn start() -> Option<Self> {
        let program = in_venv("ministack")?;
        let dir = tempfile::tempdir().unwrap();
        // The port is free now; should another take it meanwhile, the start below fails by its deadline.
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(program)
            .current_dir(dir.path())
            .env("BIND_HOST", "127.0.0.1")
            .env("AUTH", "true")
            .env("GATEWAY_PORT", port.to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut running = Self { child, port, _dir: dir };
        let deadline = Instant::now() + START_TIMEOUT;
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            assert!(Instant::now() < deadline, "ministack did not start in time");
            assert_eq!(running.child.try_wait().unwrap(), None, "ministack ended");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Some(running)
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Ministack {
    fn drop(&mut self) {
        // It may have ended by itself; there is nobody to tell.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
