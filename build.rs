//! Tells the program which commit it is built from, and of which date: `FOREBAY_COMMIT` and
//! `FOREBAY_COMMIT_DATE` if they are set (for sources without git), else what git says.
//!
//! Debug builds do not ask git: each commit would compile them again.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Digits of the commit that are shown.
const COMMIT_DIGITS: &str = "--short=10";

/// What is compiled: a change of it that is not committed is told too.
const SOURCES: [&str; 4] = ["src", "build.rs", "Cargo.toml", "Cargo.lock"];

fn main() {
    let variable = |name: &str| {
        println!("cargo::rerun-if-env-changed={name}");
        env::var_os(name).and_then(|value| value.into_string().ok()).filter(|value| !value.is_empty())
    };
    println!("cargo::rerun-if-changed=build.rs");
    let given = variable("FOREBAY_COMMIT").zip(variable("FOREBAY_COMMIT_DATE"));
    let is_debug = env::var_os("PROFILE").is_none_or(|profile| profile == "debug");
    let known = given.or_else(|| if is_debug { None } else { of_git() });
    let number = env::var_os("CARGO_PKG_VERSION").unwrap_or_default();
    let number = number.to_string_lossy();
    let Some((commit, date)) = known else {
        println!("cargo::rustc-env=BUILD_OF_VERSION={number}");
        return;
    };
    println!("cargo::rustc-env=BUILD_OF_COMMIT={commit}");
    println!("cargo::rustc-env=BUILD_OF_DATE={date}");
    println!("cargo::rustc-env=BUILD_OF_VERSION={number} ({commit} {date})");
}

/// The commit and its date, `2026-11-23` in UTC. `None` without git, and if the sources are not the root of a
/// repository: the commit of a repository around them would be another project's.
fn of_git() -> Option<(String, String)> {
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    // Each commit and each checkout appends to the log of HEAD. Without such a log the ref tells, or the file
    // with all packed refs.
    let reference = git(&["symbolic-ref", "--quiet", "HEAD"]);
    let files = ["HEAD", "logs/HEAD", reference.as_deref().unwrap_or("HEAD"), "packed-refs"];
    let files = files.iter().filter_map(|name| git(&["rev-parse", "--git-path", name])).map(PathBuf::from);
    // A file that does not exist would count as changed in each build.
    for file in files.chain(SOURCES.map(PathBuf::from)).filter(|file| file.exists()) {
        println!("cargo::rerun-if-changed={}", file.display());
    }
    let commit = git(&["rev-parse", COMMIT_DIGITS, "HEAD"])?;
    let date = git(&["show", "--no-patch", "--date=format-local:%Y-%m-%d", "--format=%cd", "HEAD"])?;
    let mut changes = vec!["status", "--porcelain", "--untracked-files=no", "--"];
    changes.extend(SOURCES);
    let modified = if git(&changes)?.is_empty() { "" } else { "-modified" };
    Some((format!("{commit}{modified}"), date))
}

/// What a git command prints, without the end of the line.
fn git(arguments: &[&str]) -> Option<String> {
    let folder = env::var_os("CARGO_MANIFEST_DIR")?;
    // Without a lock on the index, which another git may hold.
    let mut command = Command::new("git");
    command.arg("--no-optional-locks").args(arguments).current_dir(Path::new(&folder)).env("TZ", "UTC");
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim_end().to_owned())
}
