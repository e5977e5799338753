//! `scripts/release/archive`, with a small program in the place of the real one, which would take minutes to
//! build.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::repository;
use crate::support::tools::{extra_on_path, on_path, require, run, stdout_of};

const VERSION: &str = env!("CARGO_PKG_VERSION");
const NAME: &str = concat!("forebay-", env!("CARGO_PKG_VERSION"), "-x86_64-unknown-linux-gnu");

/// A program with debug information that knows its version, and whose commands include `completions` and
/// `man`.
const PROGRAM: &str = r#"
#include <stdio.h>
#include <string.h>
int main(int count, char **arguments) {
    if (count > 1 && !strcmp(arguments[1], "--version")) return puts("forebay VERSION (abc1234567 2026-11-23)"), 0;
    if (count > 1 && !strcmp(arguments[1], "help"))
        return puts("Commands:\n  completions  Print completions\n  man          Write man pages"), 0;
    if (count > 2 && !strcmp(arguments[1], "completions")) return printf("for %s\n", arguments[2]), 0;
    return !(count > 2 && !strcmp(arguments[1], "man"));
}
"#;

fn script() -> Command {
    let mut command = Command::new(repository("scripts/release/archive"));
    command.env_remove("SOURCE_DATE_EPOCH");
    command
}

/// The program, if the tools for archives are installed.
async fn program(folder: &TempDir) -> Option<PathBuf> {
    require("release/bin/cargo-cyclonedx")?;
    let compiler = on_path("cc")?;
    for tool in ["cargo", "git", "objcopy", "python3", "tar", "gzip", "sha256sum"] {
        on_path(tool)?;
    }
    let (source, program) = (folder.path().join("program.c"), folder.path().join("program"));
    fs::write(&source, PROGRAM.replace("VERSION", VERSION)).unwrap();
    let mut compile = Command::new(compiler);
    compile.arg("-g").arg("-o").arg(&program).arg(source);
    stdout_of(compile).await;
    Some(program)
}

async fn archive(program: &Path, out: &Path) {
    let mut archive = script();
    archive.arg("--program").arg(program).arg("--out").arg(out);
    let printed = stdout_of(archive).await;
    let expected = [format!("{NAME}.tar.gz"), format!("{NAME}-debug.tar.gz"), "SHA256SUMS".to_owned()];
    let expected = expected.map(|file| format!("{}\n", out.join(file).display()));
    assert_eq!(printed, expected.concat());
}

#[tokio::test]
async fn the_same_program_gives_the_same_archives_and_they_hold_what_is_needed() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = program(&folder).await else { return };
    let (once, again) = (folder.path().join("once"), folder.path().join("again"));
    archive(&program, &once).await;
    // Another umask and another time must not show.
    let mut touch = Command::new("touch");
    touch.arg("-d").arg("2001-01-01").arg(&program);
    stdout_of(touch).await;
    archive(&program, &again).await;
    for file in [format!("{NAME}.tar.gz"), format!("{NAME}-debug.tar.gz"), "SHA256SUMS".to_owned()] {
        assert!(
            fs::read(once.join(&file)).unwrap() == fs::read(again.join(&file)).unwrap(),
            "{file} differs"
        );
    }
    let mut sums = Command::new("sha256sum");
    sums.args(["--check", "--strict", "SHA256SUMS"]).current_dir(&once);
    assert_eq!(stdout_of(sums).await.lines().count(), 2);

    let unpack = async |file: String| {
        let mut unpack = Command::new("tar");
        unpack.arg("--extract").arg("--file").arg(once.join(file)).arg("--directory").arg(folder.path());
        stdout_of(unpack).await;
    };
    unpack(format!("{NAME}.tar.gz")).await;
    let unpacked = folder.path().join(NAME);
    let mut version = Command::new(unpacked.join("forebay"));
    version.arg("--version");
    assert_eq!(stdout_of(version).await, format!("forebay {VERSION} (abc1234567 2026-11-23)\n"));
    for file in [
        "LICENSE",
        "README.md",
        "CHANGELOG.md",
        "forebay.example.toml",
        "systemd/forebay.service",
        "systemd/forebay.sysusers",
        "prometheus/alerts.yaml",
        "grafana/forebay.json",
        "lambda/csv.yaml",
        "policies/collector.json",
        "completions/forebay.bash",
        "completions/_forebay",
        "completions/forebay.fish",
    ] {
        assert!(unpacked.join(file).is_file(), "{file} is missing");
    }

    unpack(format!("{NAME}-debug.tar.gz")).await;
    let debug = folder.path().join(format!("{NAME}-debug/forebay.debug"));
    let sections = async |file: &Path| {
        let mut sections = Command::new("objdump");
        stdout_of({
            sections.arg("-h").arg(file);
            sections
        })
        .await
    };
    assert!(sections(&debug).await.contains(".debug_info"));
    let stripped = sections(&unpacked.join("forebay")).await;
    assert!(!stripped.contains(".debug_info") && stripped.contains(".gnu_debuglink"), "{stripped}");

    the_lists_agree(&unpacked);
}

/// The SBOM and the licences are of the same packages, and name no path of the machine.
fn the_lists_agree(unpacked: &Path) {
    let sbom = fs::read_to_string(unpacked.join("sbom.cdx.json")).unwrap();
    assert!(!sbom.contains(env!("CARGO_MANIFEST_DIR")) && !sbom.contains("/tmp/"), "a path of this machine");
    let sbom: Value = serde_json::from_str(&sbom).unwrap();
    assert_eq!(sbom["metadata"]["component"]["version"], VERSION);
    let component =
        |one: &Value| format!("{} {}", one["name"].as_str().unwrap(), one["version"].as_str().unwrap());
    let components: BTreeSet<String> = sbom["components"].as_array().unwrap().iter().map(component).collect();
    let licences = fs::read_to_string(unpacked.join("THIRD-PARTY-LICENCES.txt")).unwrap();
    let list = licences.split("\n\n").nth(1).unwrap();
    let named = list.lines().filter(|line| !line.contains("standard library"));
    let named: BTreeSet<String> =
        named.map(|line| line.trim().split(':').next().unwrap().to_owned()).collect();
    assert!(named.len() > 100, "{named:?}");
    // The SBOM also has what only builds use.
    let missing: Vec<_> = named.difference(&components).collect();
    assert!(missing.is_empty(), "not in the SBOM: {missing:?}");
    assert!(named.iter().any(|package| package.starts_with("aws-sdk-s3 ")));
    assert!(!named.iter().any(|package| package.starts_with("criterion ")), "tests are not in the program");
    assert!(licences.contains("Permission is hereby granted, free of charge"), "the texts are there");
    assert!(
        licences.contains("librdkafka - Apache Kafka C driver library"),
        "what a package bundles is there"
    );
}

/// A program as large as it may not be, of which the debug information is not the cause.
#[tokio::test]
async fn a_program_that_is_too_large_is_not_packed() {
    let folder = tempfile::tempdir().unwrap();
    let Some(program) = program(&folder).await else { return };
    let (padding, large) = (folder.path().join("padding"), folder.path().join("large"));
    fs::write(&padding, vec![1; 68_000_000]).unwrap();
    let mut enlarge = Command::new("objcopy");
    let section = format!(".padding={}", padding.display());
    enlarge.args(["--add-section", &section, "--set-section-flags", ".padding=alloc,readonly"]);
    stdout_of({
        enlarge.arg(&program).arg(&large);
        enlarge
    })
    .await;
    let out = folder.path().join("out");
    let mut archive = script();
    archive.arg("--program").arg(&large).arg("--out").arg(&out);
    let ran = run(archive).await;
    let stderr = String::from_utf8_lossy(&ran.stderr);
    assert!(!ran.status.success(), "{stderr}");
    assert!(
        stderr.contains("bytes without its debug information; it must have fewer than 68000000"),
        "{stderr}"
    );
    assert!(!out.exists(), "nothing is packed");
}

#[tokio::test]
async fn wrong_use_is_refused_with_what_is_wrong() {
    for (arguments, said) in [
        (&["--targets", "x"][..], "unknown argument --targets"),
        (&["--target"], "--target needs a value"),
        (&["--program", "/no/such/file"], "there is no file /no/such/file"),
        (&["--program", "/no/such/file", "--target", "riscv64gc-unknown-linux-gnu"], "is NOT TESTED"),
    ] {
        let mut archive = script();
        archive.args(arguments);
        let ran = run(archive).await;
        let stderr = String::from_utf8_lossy(&ran.stderr);
        assert!(!ran.status.success() && stderr.contains(said), "{arguments:?}: {stderr}");
    }
    let mut help = script();
    help.arg("--help");
    assert!(stdout_of(help).await.starts_with("archive: builds the program"));
}

/// Where shellcheck is installed, it finds nothing.
#[tokio::test]
async fn shellcheck_finds_nothing() {
    let Some(shellcheck) = extra_on_path("shellcheck") else { return };
    let mut command = Command::new(shellcheck);
    command
        .args(["--shell=bash", "--external-sources"])
        .arg(format!("--source-path={}", repository("").display()))
        .args(
            ["scripts/release/archive", "scripts/release/lambda", "deploy/container/rootfs", "tests/helm"]
                .map(repository),
        );
    stdout_of(command).await;
}
