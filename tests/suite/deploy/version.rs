//! `build.rs`, compiled and run in repositories of its own, and what the program prints.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::repository;
use crate::support::forebay;
use crate::support::tools::{on_path, stdout_of};

/// The build script, and a folder to run it in.
struct Build {
    script: PathBuf,
    folder: TempDir,
}

impl Build {
    async fn compile() -> Option<Self> {
        let rustc = on_path("rustc")?;
        on_path("git")?;
        let folder = tempfile::tempdir().unwrap();
        let script = folder.path().join("script");
        let mut command = Command::new(rustc);
        command.args(["--edition=2024", "-o"]).arg(&script).arg(repository("build.rs"));
        stdout_of(command).await;
        fs::create_dir_all(folder.path().join("root/src")).unwrap();
        fs::write(folder.path().join("root/src/main.rs"), "fn main() {}\n").unwrap();
        Some(Self { script, folder })
    }

    fn root(&self) -> PathBuf {
        self.folder.path().join("root")
    }

    async fn git(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("git");
        command.current_dir(self.root()).args(["-c", "user.name=a", "-c", "user.email=a@example.com"]);
        command.args(arguments).env("GIT_CONFIG_GLOBAL", "/dev/null").env("TZ", "Pacific/Auckland");
        // A minute before midnight in UTC: another day where the committer was.
        command.env("GIT_COMMITTER_DATE", "2026-11-24T12:59:00+1300");
        stdout_of(command).await.trim().to_owned()
    }

    /// A repository with one commit.
    async fn commit(&self) {
        self.git(&["init", "-q", "-b", "main"]).await;
        self.git(&["add", "."]).await;
        self.git(&["commit", "-q", "-m", "first"]).await;
    }

    /// What it tells cargo: the variables for the program, and the files to watch.
    async fn run(&self, at: &Path, profile: &str, variables: &[(&str, &str)]) -> Told {
        let mut command = Command::new(&self.script);
        command.current_dir(at).env("CARGO_MANIFEST_DIR", at).env("CARGO_PKG_VERSION", "1.2.3");
        command.env("PROFILE", profile).env_remove("FOREBAY_COMMIT").env_remove("FOREBAY_COMMIT_DATE");
        command.envs(variables.iter().copied());
        let said = stdout_of(command).await;
        let after = |key: &str| -> Vec<String> {
            said.lines().filter_map(|line| line.strip_prefix(key)).map(str::to_owned).collect()
        };
        let set = after("cargo::rustc-env=");
        let set = set.iter().map(|set| set.split_once('=').unwrap());
        Told {
            set: set.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            watched: after("cargo::rerun-if-changed="),
        }
    }
}

struct Told {
    set: BTreeMap<String, String>,
    watched: Vec<String>,
}

impl Told {
    fn version(&self) -> &str {
        &self.set["BUILD_OF_VERSION"]
    }
}

#[tokio::test]
async fn a_release_build_knows_its_commit_and_a_debug_build_does_not_ask() {
    let Some(build) = Build::compile().await else { return };
    build.commit().await;
    let commit = build.git(&["rev-parse", "--short=10", "HEAD"]).await;
    let root = build.root();
    let told = build.run(&root, "release", &[]).await;
    assert_eq!(told.version(), format!("1.2.3 ({commit} 2026-11-23)"));
    assert_eq!(told.set["BUILD_OF_COMMIT"], commit);
    assert_eq!(told.set["BUILD_OF_DATE"], "2026-11-23");
    for watched in &told.watched {
        assert!(
            watched == "build.rs" || root.join(watched).exists(),
            "{watched} would always count as changed"
        );
    }

    let told = build.run(&root, "debug", &[]).await;
    assert_eq!(told.version(), "1.2.3");
    assert_eq!(told.watched, ["build.rs"], "a commit compiles nothing again");
    assert!(!told.set.contains_key("BUILD_OF_COMMIT"));

    fs::write(root.join("src/main.rs"), "fn main() { }\n").unwrap();
    let told = build.run(&root, "release", &[]).await;
    assert_eq!(told.version(), format!("1.2.3 ({commit}-modified 2026-11-23)"));
}

/// Cargo runs the script again exactly if a watched file has changed.
#[tokio::test]
async fn a_commit_and_a_checkout_change_a_watched_file() {
    let Some(build) = Build::compile().await else { return };
    build.commit().await;
    for (log, change) in [
        ("true", &["commit", "-q", "--allow-empty", "-m", "second"][..]),
        ("true", &["checkout", "-q", "--detach", "HEAD~1"]),
        // Without a log of HEAD, as in a clone with `core.logAllRefUpdates` off.
        ("false", &["checkout", "-q", "-B", "main"]),
        ("false", &["commit", "-q", "--allow-empty", "-m", "third"]),
    ] {
        if log == "false" {
            build.git(&["config", "core.logAllRefUpdates", "false"]).await;
            fs::remove_dir_all(build.root().join(".git/logs")).unwrap_or_default();
        }
        let root = build.root();
        let watched = build.run(&root, "release", &[]).await.watched;
        let content = || -> Vec<Option<Vec<u8>>> {
            watched.iter().map(|file| fs::read(root.join(file)).ok()).collect()
        };
        let before = content();
        build.git(change).await;
        assert_ne!(before, content(), "{change:?} changed none of {watched:?}");
    }
}

#[tokio::test]
async fn sources_without_git_take_the_commit_from_variables() {
    let Some(build) = Build::compile().await else { return };
    let root = build.root();
    assert_eq!(build.run(&root, "release", &[]).await.version(), "1.2.3");
    let given = [("FOREBAY_COMMIT", "abc1234567"), ("FOREBAY_COMMIT_DATE", "2026-11-23")];
    assert_eq!(build.run(&root, "release", &given).await.version(), "1.2.3 (abc1234567 2026-11-23)");
    // In a folder of another project's repository.
    build.commit().await;
    let inside = root.join("vendor");
    fs::create_dir(&inside).unwrap();
    assert_eq!(build.run(&inside, "release", &[]).await.version(), "1.2.3");
}

#[tokio::test]
async fn the_program_prints_its_version_and_so_does_each_command() {
    let version = |output: std::process::Output| String::from_utf8(output.stdout).unwrap();
    let said = version(forebay::run(&["--version"]).await);
    let number = said.trim().strip_prefix("forebay ").unwrap();
    assert!(number.starts_with(env!("CARGO_PKG_VERSION")), "{said}");
    if let Some((_, rest)) = number.split_once(" (") {
        let (commit, date) = rest.strip_suffix(')').unwrap().split_once(' ').unwrap();
        assert!(commit.len() >= 10 && date.len() == 10, "{said}");
    }
    assert_eq!(version(forebay::run(&["-V"]).await), said);
    assert_eq!(
        version(forebay::run(&["serve", "--version"]).await).trim(),
        format!("forebay-serve {number}")
    );
}
