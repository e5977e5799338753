//! The output of the built program.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::tools::run;

/// The result of one `forebay policy`.
#[derive(Debug)]
pub(super) struct Printed {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Printed {
    /// The policy, if the command printed only JSON and succeeded.
    pub(super) fn json(&self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Runs `forebay policy` in an empty directory, with `config` as its forebay.toml if given.
pub(super) async fn policy(arguments: &[&str], config: Option<&str>) -> Printed {
    let dir = TempDir::new().unwrap();
    if let Some(config) = config {
        std::fs::write(dir.path().join("forebay.toml"), config).unwrap();
    }
    policy_in(dir.path(), arguments).await
}

/// The same in a given directory.
pub(super) async fn policy_in(dir: &Path, arguments: &[&str]) -> Printed {
    let mut command = Command::new(env!("CARGO_BIN_EXE_forebay"));
    command.arg("policy").args(arguments).current_dir(dir).env_clear();
    let output = run(command).await;
    Printed {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).unwrap(),
        stderr: String::from_utf8(output.stderr).unwrap(),
    }
}

/// A file or folder of the project.
pub(super) fn project(path: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
