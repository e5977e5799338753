//! No space left: the spool reaches its cap, or the disk is full.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use tokio::time::Instant;

use super::support::{Caller, PATIENCE, Rig, ask};
use crate::support::forebay::Forebay;
use crate::support::http::{Answer, is_accepted};
use crate::support::tcp_proxy::Link;
use crate::support::wait;

/// The most requests until the space must be used up: 400 KB each.
const REQUESTS_MAX: usize = 400;
/// The time limit for a refusal.
const REFUSAL_MAX: Duration = Duration::from_secs(1);
/// The time limit to serve again after space is available.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

/// The pause between two requests of 400 KB of a source that is served: 4 MB/s, so that its objects are put
/// meanwhile.
const PACE: Duration = Duration::from_millis(100);

/// Enough sources that none reaches the quarter of the spool at which it is refused alone.
const SOURCES: [&str; 6] = ["a", "b", "c", "d", "e", "f"];

/// Sends until refused; returns the refusal and how long it took.
async fn fill(caller: &mut Caller, forebay: &Forebay) -> (Answer, Duration) {
    for source in SOURCES.into_iter().cycle().take(REQUESTS_MAX) {
        let began = Instant::now();
        let answer = caller.try_send(forebay, source, 20, 20_000).await;
        if !is_accepted(&answer) {
            return (answer, began.elapsed());
        }
    }
    panic!("{REQUESTS_MAX} requests, and still space left\n{}", forebay.log());
}

async fn is_refused_for_now(caller: &mut Caller, forebay: &Forebay) {
    let (answer, took) = fill(caller, forebay).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE, "{answer:?}");
    assert!(took < REFUSAL_MAX, "the refusal took {took:?}");
    let seconds: u64 = answer.headers[RETRY_AFTER].to_str().unwrap().parse().unwrap();
    assert!(seconds > 0, "{answer:?}");
    let ready = wait::until("not to be ready", PATIENCE, async || {
        let answer = ask(forebay, "/ready").await;
        (answer.status == StatusCode::SERVICE_UNAVAILABLE).then_some(answer)
    })
    .await;
    assert!(String::from_utf8_lossy(&ready.body).contains("the spool is full"), "{ready:?}");
}

async fn serves_again(caller: &mut Caller, forebay: &Forebay) {
    // The store is retried after 60 s at the latest.
    wait::until("calls to be accepted again", 2 * PATIENCE, async || {
        is_accepted(&caller.try_send(forebay, SOURCES[0], 1, 0).await).then_some(())
    })
    .await;
    wait::until("to be ready", PATIENCE, async || {
        (ask(forebay, "/ready").await.status == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test]
async fn at_the_cap_calls_are_refused_until_the_store_is_back() {
    let rig = Rig::start(&["lake"]).await;
    let mut settings = rig.settings(&SOURCES);
    settings.spool.push_str("\nsegment_bytes = \"8 MiB\"\nmax_bytes = \"64 MiB\"");
    let forebay = settings.serve().await;
    let mut caller = Caller::new();
    rig.link.set(Link::Cut);
    is_refused_for_now(&mut caller, &forebay).await;
    let used: u64 = super::support::status(&forebay).await["spool"]["used_bytes"].as_u64().unwrap();
    let cap = 64 * 1_024 * 1_024;
    // Some space is kept free for the objects whose delivery frees space.
    assert!(used * 2 >= cap && used <= cap, "{used} of {cap} bytes are used");
    rig.link.set(Link::Up);
    serves_again(&mut caller, &forebay).await;
    forebay.flush().await;
    for source in SOURCES {
        caller.all_arrive(&rig.bucket("lake"), "", source).await;
    }
    assert!(forebay.terminate().await.success());
}

/// A small file system in memory. It is unmounted on drop.
#[derive(Debug)]
pub(super) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// `None`, with a message, if this user may not mount.
    pub(super) fn mount(at: PathBuf) -> Option<Self> {
        fs::create_dir(&at).unwrap();
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(&at).output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(at)),
            other => {
                eprintln!("\n*** SKIPPED, NOT PASSED: only root can mount a file system ({other:?}) ***\n");
                None
            }
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Detached at once, although the program may still be ending.
        let ended = Command::new("umount").arg("--lazy").arg(&self.0).status();
        if !ended.as_ref().is_ok_and(std::process::ExitStatus::success) {
            eprintln!("{} stays mounted: {ended:?}", self.0.display());
        }
    }
}

/// Uses up all space.
pub(super) fn fill_up(file: &Path) {
    let mut file = fs::File::create(file).unwrap();
    let error = loop {
        if let Err(error) = file.write_all(&[1; 64 * 1_024]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
}

#[tokio::test]
async fn on_a_full_disk_calls_are_refused_until_there_is_space() {
    let rig = Rig::start(&["lake"]).await;
    let Some(disk) = SmallDisk::mount(rig.folder.path().join("disk")) else { return };
    let mut settings = rig.settings(&SOURCES);
    settings.spool = format!(
        "dir = \"{}\"\nunsafe_filesystem = true\nsegment_bytes = \"8 MiB\"",
        disk.path().join("spool").display()
    );
    settings.flush = "max_age = \"1 h\"".to_owned();
    let forebay = settings.serve().await;
    let mut caller = Caller::new();
    let filler = disk.path().join("filler");
    for _ in 0..3 {
        fill_up(&filler);
        is_refused_for_now(&mut caller, &forebay).await;
        fs::remove_file(&filler).unwrap();
        let began = Instant::now();
        serves_again(&mut caller, &forebay).await;
        let took = began.elapsed();
        assert!(took < RECOVERY_MAX, "it served again only {took:?} after space was available");
        forebay.flush().await;
    }
    for source in SOURCES {
        caller.all_arrive(&rig.bucket("lake"), "", source).await;
    }
    assert!(forebay.terminate().await.success());
}

fn is_destination_full(answer: &Answer) -> bool {
    answer.status == StatusCode::SERVICE_UNAVAILABLE
        && String::from_utf8_lossy(&answer.body).contains("destination_full")
}

#[tokio::test]
async fn a_source_that_cannot_be_delivered_is_refused_alone() {
    let rig = Rig::start(&["lake"]).await;
    let mut settings = rig.settings(&["stuck", "other"]);
    settings.sources[0].1.push_str("\nbucket = \"nowhere\"");
    settings.spool.push_str("\nsegment_bytes = \"8 MiB\"\nmax_bytes = \"128 MiB\"");
    settings.flush.push_str("\nshutdown_grace = \"2 s\"");
    let forebay = settings.serve().await;
    let mut caller = Caller::new();
    // A second source, for which part of the spool is kept.
    caller.send(&forebay, "other", 1, 0).await;
    let refused = wait::until("its share to be used", PATIENCE, async || {
        let answer = caller.try_send(&forebay, "stuck", 20, 20_000).await;
        (!is_accepted(&answer)).then_some(answer)
    })
    .await;
    assert!(is_destination_full(&refused), "{refused:?}");
    assert!(refused.headers.contains_key(RETRY_AFTER), "{refused:?}");
    for _ in 0..60 {
        caller.send(&forebay, "other", 20, 20_000).await;
        tokio::time::sleep(PACE).await;
    }
    caller.all_arrive(&rig.bucket("lake"), "", "other").await;
    assert!(forebay.terminate().await.success());
}
