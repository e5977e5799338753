//! deploy/systemd/forebay.service: systemd reads it, finds little exposed, and the program runs with what it
//! allows.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;

use super::repository;
use crate::serve::support::{CREDENTIALS, Caller, Rig};
use crate::support::forebay::{Starting, binary, without_settings};
use crate::support::tools::{in_venv, on_path, skipped, stdout_of};

const UNIT: &str = "deploy/systemd/forebay.service";
/// What `systemd-analyze security` may find, of 10: it finds 1.4, for what a collector needs (a network).
const EXPOSURE_MAX: f64 = 2.0;

fn unit() -> String {
    fs::read_to_string(repository(UNIT)).unwrap()
}

fn setting(name: &str) -> String {
    let start = format!("{name}=");
    unit().lines().find_map(|line| line.strip_prefix(&start).map(str::to_owned)).unwrap()
}

/// A copy of the unit whose program exists on this machine.
fn installed(folder: &TempDir) -> std::path::PathBuf {
    let copy = folder.path().join("forebay.service");
    let text = unit().replace("/usr/local/bin/forebay", binary().to_str().unwrap());
    fs::write(&copy, text).unwrap();
    copy
}

#[tokio::test]
async fn systemd_accepts_the_unit_and_finds_little_exposed() {
    let Some(analyze) = on_path("systemd-analyze") else { return };
    let folder = tempfile::tempdir().unwrap();
    let unit = installed(&folder);
    let mut verify = Command::new(&analyze);
    verify.args(["verify", "--man=no", "--recursive-errors=no"]).arg(&unit);
    let said = stdout_of(verify).await;
    assert_eq!(said, "");

    let mut security = Command::new(analyze);
    security.args(["security", "--offline=true", "--no-pager"]).arg(&unit);
    let said = stdout_of(security).await;
    let (_, level) = said.split_once("Overall exposure level for forebay.service: ").unwrap();
    let level: f64 = level.split(' ').next().unwrap().parse().unwrap();
    assert!(level <= EXPOSURE_MAX, "{said}");
}

/// Any other system call, address family or executable memory kills the process.
#[tokio::test]
async fn the_program_runs_with_the_system_calls_that_the_unit_allows() {
    if !cfg!(target_arch = "x86_64") || !Path::new("/usr/include/x86_64-linux-gnu/asm/unistd_64.h").exists() {
        return skipped("the numbers of system calls are not known here (libc6-dev on x86-64 has them)");
    }
    let (Some(python), Some(_)) = (in_venv("python"), on_path("systemd-analyze")) else { return };
    let sandboxed = || {
        let mut command = without_settings(tokio::process::Command::new(&python));
        command.arg(repository("tests/suite/deploy/sandbox.py")).arg(repository(UNIT));
        command
    };
    let forbidden = sandboxed().args(["/usr/sbin/chroot", "/"]).output().await.unwrap();
    assert!(!forbidden.status.success(), "the sandbox holds");

    let rig = Rig::start(&["lake"]).await;
    let settings = rig.settings(&["web"]);
    let mut serve = sandboxed();
    serve.arg(binary()).arg("serve").arg("--config").arg(settings.write()).envs(CREDENTIALS);
    let forebay = Starting::spawn(serve).serve_ready().await;
    let mut caller = Caller::new();
    caller.send(&forebay, "web", 200, 1_000).await;
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    assert!(forebay.terminate().await.success());
}

/// systemd kills what has not ended by then.
#[test]
fn systemd_waits_for_longer_than_a_shutdown_takes() {
    let stop = setting("TimeoutStopSec");
    let stop = Duration::from_secs(stop.strip_suffix('s').unwrap().parse().unwrap());
    let example = fs::read_to_string(repository("forebay.example.toml")).unwrap();
    let grace = example.lines().find_map(|line| line.strip_prefix("shutdown_grace = \"")).unwrap();
    let grace: u64 = grace.split(' ').next().unwrap().parse().unwrap();
    assert!(stop >= Duration::from_secs(grace + 15), "{stop:?} is too short for {grace} s");
}

#[tokio::test]
async fn systemd_makes_the_user_that_the_unit_names() {
    let Some(sysusers) = on_path("systemd-sysusers") else { return };
    let root = tempfile::tempdir().unwrap();
    let installed = root.path().join("usr/lib/sysusers.d");
    fs::create_dir_all(&installed).unwrap();
    fs::create_dir(root.path().join("etc")).unwrap();
    fs::copy(repository("deploy/systemd/forebay.sysusers"), installed.join("forebay.conf")).unwrap();
    let mut command = Command::new(sysusers);
    command.arg("--root").arg(root.path());
    stdout_of(command).await;
    let users = fs::read_to_string(root.path().join("etc/passwd")).unwrap();
    assert!(users.contains(&format!("{}:x:", setting("User"))), "{users}");
    assert!(users.contains("/var/lib/forebay"), "{users}");
    assert_eq!(setting("StateDirectory"), "forebay");
}
