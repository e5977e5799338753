//! Starting `forebay serve`: without its store, and with refused settings.

use std::fs;
use std::process::Output;

use super::support::{CREDENTIALS, Caller, PATIENCE, Rig, logged};
use crate::support::forebay::{Forebay, command, finished, with_addresses};
use crate::support::tcp_proxy::Link;
use crate::support::wait;

/// Exit code and message of a start that must fail.
async fn refused(config: &std::path::Path) -> (Option<i32>, String) {
    let mut serve = command();
    serve.arg("serve").arg("--config").arg(config).envs(CREDENTIALS);
    let Output { status, stdout, stderr } = finished(&mut serve).await;
    assert_eq!(String::from_utf8_lossy(&stdout), "", "no address is printed");
    (status.code(), String::from_utf8(stderr).unwrap())
}

#[tokio::test]
async fn without_its_store_it_accepts_calls_and_delivers_later() {
    let rig = Rig::start(&["lake"]).await;
    rig.link.set(Link::Cut);
    let forebay = rig.settings(&["web"]).serve().await;
    let mut caller = Caller::new();
    caller.send(&forebay, "web", 10, 0).await;
    wait::until("an attempt", PATIENCE, async || (rig.link.broken() > 0).then_some(())).await;
    caller.send(&forebay, "web", 10, 0).await;
    rig.link.set(Link::Up);
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn an_invalid_configuration_is_refused_with_all_its_problems() {
    let rig = Rig::start(&[]).await;
    let mut settings = rig.settings(&["web"]);
    settings.flush = "max_age = 60\nmax_byte = \"1 MB\"".to_owned();
    settings.s3 = "encryption = \"aes\"".to_owned();
    settings.sources.push(("../x".to_owned(), "write_keys = [\"web-key\"]".to_owned()));
    settings.sources.push(("env".to_owned(), "write_keys = [\"env:NOT_SET_ANYWHERE\"]".to_owned()));
    settings.sources.push(("file".to_owned(), "write_keys = [\"file:/no/such/key\"]".to_owned()));
    let (code, said) = refused(settings.write()).await;
    assert_eq!(code, Some(2), "{said}");
    for expected in [
        "has 7 problems:",
        "flush.max_age = 60: expected a duration with its unit",
        "flush.max_byte is unknown: did you mean flush.max_bytes?",
        "s3.encryption = \"aes\"",
        "s3.bucket",
        "\"../x\"",
        "NOT_SET_ANYWHERE",
        "/no/such/key",
    ] {
        assert!(said.contains(expected), "{expected:?} is not in:\n{said}");
    }
    let missing = rig.folder.path().join("no.toml");
    let (code, said) = refused(&missing).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("no.toml") && said.contains("forebay dev"), "{said}");
}

/// Without enough addresses, the process could fail before it can report anything.
#[tokio::test]
async fn too_low_an_address_limit_is_reported() {
    for arguments in [&["dev"][..], &["serve", "--config", "no.toml"], &["check", "--config", "no.toml"]] {
        let mut limited = with_addresses(600_000);
        let Output { status, stdout, stderr } = finished(limited.args(arguments)).await;
        let said = String::from_utf8_lossy(&stderr);
        assert_eq!(status.code(), Some(1), "{said}");
        assert!(said.contains("585 MiB of address space (RLIMIT_AS) but needs 2048 MiB"), "{said}");
        assert!(said.contains("ulimit -v unlimited"), "{said}");
        assert!(stdout.is_empty());
    }
}

#[tokio::test]
async fn the_environment_overrides_the_file_and_provides_write_keys() {
    let rig = Rig::start(&["lake", "pond"]).await;
    let key_file = rig.folder.path().join("ios.key");
    fs::write(&key_file, "ios-key\n").unwrap();
    let mut settings = rig.settings(&[]);
    settings.flush = "max_age = \"1 h\"".to_owned();
    settings.sources = vec![
        ("web".to_owned(), "write_keys = [\"env:KEY_OF_WEB\"]".to_owned()),
        ("ios".to_owned(), format!("write_keys = [\"file:{}\"]", key_file.display())),
    ];
    let mut environment = CREDENTIALS.to_vec();
    environment.extend([
        ("KEY_OF_WEB", "web-key"),
        ("FOREBAY_FLUSH_MAX_AGE", "1 s"),
        ("FOREBAY_S3_BUCKET", "pond/below"),
        ("FOREBAY_SERVICE_HOST", "10.0.0.1"),
    ]);
    let forebay = Forebay::serve(settings.write(), &environment).await;
    logged(&forebay, "FOREBAY_SERVICE_HOST").await;
    let mut caller = Caller::new();
    for source in ["web", "ios"] {
        caller.send(&forebay, source, 5, 0).await;
        caller.all_arrive(&rig.bucket("pond"), "below/", source).await;
    }
    assert!(!forebay.log().contains("web-key"), "a write key is shown:\n{}", forebay.log());
    assert!(forebay.terminate().await.success());
}

#[tokio::test]
async fn a_spool_in_use_is_refused_in_one_line() {
    let rig = Rig::start(&["lake"]).await;
    let settings = rig.settings(&["web"]);
    let first = settings.serve().await;
    let (code, said) = refused(settings.write()).await;
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(said.lines().count(), 1, "one clear line:\n{said}");
    let spool = rig.folder.path().join("spool").display().to_string();
    assert!(said.contains(&spool) && said.contains("another process"), "{said}");
    assert!(first.terminate().await.success());
}

#[tokio::test]
async fn a_spool_in_memory_is_refused_unless_allowed() {
    let rig = Rig::start(&["lake"]).await;
    let Ok(memory) = tempfile::tempdir_in("/dev/shm") else {
        assert!(std::env::var_os("CI").is_none(), "there is no /dev/shm, and in CI that is a failure");
        eprintln!("\n*** SKIPPED, NOT PASSED: there is no /dev/shm ***\n");
        return;
    };
    let mut settings = rig.settings(&["web"]);
    let dir = format!("segment_bytes = \"8 MiB\"\ndir = \"{}\"", memory.path().join("spool").display());
    settings.spool.clone_from(&dir);
    let (code, said) = refused(settings.write()).await;
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("tmpfs") && said.contains("spool.unsafe_filesystem"), "{said}");
    assert!(!memory.path().join("spool").exists(), "a refused start creates nothing");
    settings.spool = format!("{dir}\nunsafe_filesystem = true");
    let forebay = settings.serve().await;
    logged(&forebay, "tmpfs").await;
    let mut caller = Caller::new();
    caller.send(&forebay, "web", 3, 0).await;
    caller.all_arrive(&rig.bucket("lake"), "", "web").await;
    assert!(forebay.terminate().await.success());
}
