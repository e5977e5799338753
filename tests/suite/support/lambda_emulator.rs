//! The emulator of cargo-lambda, which hands invocations to functions that run here.

use std::net::{Ipv4Addr, TcpListener};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::tools::{self, in_venv, require};
use super::wait;

/// Such servers load their programs first.
const START_TIMEOUT: Duration = Duration::from_secs(60);

/// A port that no one listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|free| free.local_addr()).unwrap().port()
}

/// Waits until a server accepts connections.
pub(crate) async fn accepting(name: &str, child: &mut Child, port: u16) {
    wait::until(name, START_TIMEOUT, async || {
        assert_eq!(child.try_wait().unwrap(), None, "{name} ended");
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok().map(drop)
    })
    .await;
}

/// Starts a program whose output nobody reads.
pub(crate) fn quiet(mut command: Command) -> Child {
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().unwrap()
}

/// The emulator of cargo-lambda, which serves the runtime API, and the invocations of clients.
pub(crate) struct Emulator {
    _child: Child,
    folder: tempfile::TempDir,
    port: u16,
}

impl Emulator {
    /// Starts it for functions with these names; `None` if it is not installed.
    pub(crate) async fn start(functions: &[&str]) -> Option<Self> {
        let program = require("lambda/bin/cargo-lambda")?;
        let folder = tempfile::tempdir().unwrap();
        // It reads the package of the folder that it is started in, even if it builds nothing.
        let programs: String = functions
            .iter()
            .map(|name| format!("[[bin]]\nname = \"{name}\"\npath = \"src/main.rs\"\n"))
            .collect();
        let package = format!(
            "[package]\nname = \"functions\"\nversion = \"0.0.0\"\nedition = \"2024\"\n[workspace]\n{programs}"
        );
        std::fs::write(folder.path().join("Cargo.toml"), package).unwrap();
        std::fs::create_dir(folder.path().join("src")).unwrap();
        std::fs::write(folder.path().join("src/main.rs"), "fn main() {}\n").unwrap();
        let port = free_port();
        let mut command = Command::new(program);
        command.args([
            "lambda", "watch", "--only-lambda-apis", "--invoke-address", "127.0.0.1", "--invoke-port",
        ]);
        command.arg(port.to_string()).current_dir(folder.path());
        let mut child = quiet(command);
        accepting("cargo-lambda", &mut child, port).await;
        Some(Self { _child: child, folder, port })
    }

    /// For `AWS_LAMBDA_RUNTIME_API`, of the only function.
    pub(crate) fn runtime_api(&self) -> String {
        format!("127.0.0.1:{}/.rt", self.port)
    }

    /// The address that invocations go to. The runtime API of each function is below `/.rt/` and its name.
    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What the AWS CLI writes into its output file, or the error that it reports.
    pub(crate) async fn invoke(&self, function: &str, event: &str) -> Result<Value, String> {
        let out = self.folder.path().join("output.txt");
        let mut command = std::process::Command::new(in_venv("aws").unwrap());
        command
            .args(["lambda", "invoke", "--function-name", function, "--payload", event, "--endpoint-url"])
            .arg(self.url())
            .arg(&out)
            .envs([
                ("AWS_ACCESS_KEY_ID", "x"),
                ("AWS_SECRET_ACCESS_KEY", "x"),
                ("AWS_DEFAULT_REGION", "us-east-1"),
            ])
            .env("AWS_MAX_ATTEMPTS", "1");
        let ran = tools::run(command).await;
        match ran.status.success() {
            true => Ok(serde_json::from_slice(&std::fs::read(&out).unwrap()).unwrap()),
            false => Err(String::from_utf8_lossy(&ran.stderr).into_owned()),
        }
    }
}
