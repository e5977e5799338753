//! Single cases of a disk without space: a start, a drain, an outage and foreign files.

use std::fs;
use std::time::Duration;

use super::bulk::Text;
use super::full_spool::{FullSpool, Setting, status};
use crate::support::loop_disk::{Kind, take_inodes};
use crate::support::tcp_proxy::Link;
use crate::support::wait;

const MB: u64 = 1_000_000;
const MIB: u64 = 1_024 * 1_024;
/// Small enough to fill within seconds.
const DISK_BYTES: u64 = 100 * MB;
/// The space that other files leave.
const ROOM: u64 = 60 * MB;
/// Only one of them fits.
const LARGE_SEGMENTS: &str = "segment_bytes = \"32 MiB\"";
const SMALL_SEGMENTS: &str = "segment_bytes = \"8 MiB\"";
const SOON: &str = "max_age = \"1 s\"\nshutdown_grace = \"1 s\"";
const LATE: &str = "max_age = \"1 h\"\nshutdown_grace = \"1 s\"";
/// Free bytes at a start: enough for some files, not for all.
const LITTLE_SPACE: [u64; 12] =
    [0, 1_024, 4_096, 8_192, 16_384, 32_768, 65_536, 200_000, MIB, 4 * MIB, 8 * MIB, 0];
/// Text that gzip can hardly compress.
const TEXT: Text = Text { letters: 64, repeats: 1 };
/// The time limit until a full disk has made batches due and they are delivered, on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

fn setting(kind: Kind, disk_bytes: u64, spool: &str, flush: &str) -> Setting {
    let (spool, flush) = (spool.to_owned(), flush.to_owned());
    Setting { seed: 1, kind, mkfs: &[], disk_bytes, room: Some(ROOM), spool, flush, cap: None, text: TEXT }
}

async fn small(spool: &str, flush: &str) -> Option<FullSpool> {
    FullSpool::new(setting(Kind::Ext4, DISK_BYTES, spool, flush)).await
}

/// How a process ends.
enum End {
    Kill,
    Terminate,
}

/// Fills the disk while the store is away, and ends the process while calls are refused.
async fn fill_and_end(spool: &mut FullSpool, end: End) {
    spool.stand.link.set(Link::Cut);
    let forebay = spool.serve().await;
    let load = spool.load(&forebay);
    spool.until_full(&forebay, &load).await;
    spool.answers(&forebay).await;
    match end {
        End::Kill => forebay.kill().await,
        End::Terminate => {
            let ended = forebay.terminate().await;
            assert!(ended.success(), "SIGTERM on a full disk ends with {ended}");
        }
    }
    spool.stop(load).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_kill_with_a_full_last_segment_it_starts_and_delivers() {
    let Some(mut spool) = small(LARGE_SEGMENTS, SOON).await else { return };
    fill_and_end(&mut spool, End::Kill).await;
    spool.stand.link.set(Link::Up);
    let forebay = spool.serve().await;
    spool.deliver(&forebay).await;
    spool.takes_calls(&forebay).await;
    eprintln!("{}", spool.settle(forebay).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_sigterm_on_a_full_disk_it_starts_without_a_free_byte() {
    let Some(mut spool) = small(LARGE_SEGMENTS, LATE).await else { return };
    fill_and_end(&mut spool, End::Terminate).await;
    let filler = spool.fill();
    let forebay = spool.serve().await;
    spool.answers(&forebay).await;
    spool.stand.link.set(Link::Up);
    spool.deliver(&forebay).await;
    spool.takes_calls(&forebay).await;
    filler.remove();
    spool.takes_calls(&forebay).await;
    eprintln!("{}", spool.settle(forebay).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sealed_objects_are_made_again_without_a_free_byte() {
    // Large enough that there is no pressure yet, so that nothing is parked.
    let large = Setting { room: None, ..setting(Kind::Ext4, 2 * DISK_BYTES, SMALL_SEGMENTS, SOON) };
    let Some(mut spool) = FullSpool::new(large).await else { return };
    spool.stand.link.set(Link::Cut);
    let forebay = spool.serve().await;
    let load = spool.load(&forebay);
    spool.until(&forebay, &load, "a few calls", TIMEOUT, |counts| counts.accepted() > 40).await;
    spool.stop(load).await;
    // Objects too large for memory. The start discards their files, but the range of each is fixed.
    wait::until("large objects to be sealed", TIMEOUT, async || {
        let staged = spool.usage().kinds.get("staging/").map_or(0, |(_, bytes)| *bytes);
        (staged > 3 * MIB && forebay.log().contains("waiting to deliver: put")).then_some(())
    })
    .await;
    forebay.kill().await;
    let filler = spool.fill().keep_growing();
    let forebay = spool.serve().await;
    spool.answers(&forebay).await;
    spool.stand.link.set(Link::Up);
    spool.deliver(&forebay).await;
    filler.stop().remove();
    spool.takes_calls(&forebay).await;
    eprintln!("{}", spool.settle(forebay).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn drain_empties_a_spool_that_filled_its_disk() {
    let Some(mut spool) = small(LARGE_SEGMENTS, SOON).await else { return };
    fill_and_end(&mut spool, End::Kill).await;
    let filler = spool.fill();
    spool.stand.link.set(Link::Up);
    spool.drain().await;
    filler.remove();
    let forebay = spool.serve().await;
    spool.takes_calls(&forebay).await;
    eprintln!("{}", spool.settle(forebay).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_working_store_it_starts_without_a_free_byte() {
    for kind in [Kind::Ext4, Kind::Xfs] {
        let bytes = if matches!(kind, Kind::Ext4) { DISK_BYTES } else { 300 * MIB };
        let setting = setting(kind, bytes, SMALL_SEGMENTS, LATE);
        let Some(mut spool) = FullSpool::new(setting).await else { return };
        let forebay = spool.serve().await;
        spool.takes_calls(&forebay).await;
        assert!(forebay.terminate().await.success(), "SIGTERM ends it in order");
        let filler = spool.fill();
        let forebay = spool.serve().await;
        spool.answers(&forebay).await;
        forebay.kill().await;
        // Twice: the first start must leave enough for the second.
        let forebay = spool.serve().await;
        spool.answers(&forebay).await;
        filler.remove();
        spool.takes_calls(&forebay).await;
        eprintln!("{kind:?}: {}", spool.settle(forebay).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repeated_starts_with_little_space_use_none_up() {
    for (kind, bytes) in [(Kind::Ext4, DISK_BYTES), (Kind::Xfs, 300 * MIB)] {
        let Some(mut spool) = FullSpool::new(setting(kind, bytes, SMALL_SEGMENTS, LATE)).await else {
            return;
        };
        fill_and_end(&mut spool, End::Kill).await;
        let mut filler = spool.fill();
        for left in LITTLE_SPACE {
            filler.leave(left);
            let forebay = spool.serve().await;
            spool.answers(&forebay).await;
            forebay.kill().await;
        }
        filler.leave(0);
        spool.stand.link.set(Link::Up);
        let forebay = spool.serve().await;
        spool.deliver(&forebay).await;
        spool.takes_calls(&forebay).await;
        filler.remove();
        spool.takes_calls(&forebay).await;
        eprintln!("{kind:?}: {}", spool.settle(forebay).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_free_inode_it_starts_delivers_and_accepts_calls() {
    // xfs creates inodes as long as there is space.
    let few = Setting { mkfs: &["-N", "24"], ..setting(Kind::Ext4, DISK_BYTES, SMALL_SEGMENTS, LATE) };
    let Some(mut spool) = FullSpool::new(few).await else { return };
    let forebay = spool.serve().await;
    let load = spool.load(&forebay);
    spool.until(&forebay, &load, "a few calls", TIMEOUT, |counts| counts.accepted() > 20).await;
    let inodes = take_inodes(spool.disk.path());
    let many = load.counts.accepted() + 100;
    spool
        .until(&forebay, &load, "deliveries to free inodes", TIMEOUT, |counts| counts.accepted() > many)
        .await;
    spool.stand.link.set(Link::Cut);
    spool.until_full(&forebay, &load).await;
    forebay.kill().await;
    spool.stop(load).await;
    for _ in 0..2 {
        let forebay = spool.serve().await;
        spool.answers(&forebay).await;
        forebay.kill().await;
    }
    spool.stand.link.set(Link::Up);
    let forebay = spool.serve().await;
    spool.deliver(&forebay).await;
    spool.takes_calls(&forebay).await;
    fs::remove_dir_all(inodes).unwrap();
    spool.takes_calls(&forebay).await;
    eprintln!("{}", spool.settle(forebay).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_smaller_than_the_cap_limits_the_spool_and_is_logged() {
    let setting = Setting { room: None, ..setting(Kind::Ext4, DISK_BYTES, SMALL_SEGMENTS, SOON) };
    let Some(mut spool) = FullSpool::new(setting).await else { return };
    let forebay = spool.serve().await;
    let said = forebay.log();
    assert!(said.contains("spool.max_bytes") && said.contains("disk"), "{said}");
    let (cap, size) = (status(&forebay).await["spool"]["max_bytes"].as_u64().unwrap(), spool.disk.size());
    assert!(cap <= size && cap * 10 >= size * 7, "the cap is {cap} bytes on a disk of {size}");
    spool.stand.link.set(Link::Cut);
    let load = spool.load(&forebay);
    spool.until_full(&forebay, &load).await;
    let spool_now = &status(&forebay).await["spool"];
    let (used, max) = (spool_now["used_bytes"].as_u64().unwrap(), spool_now["max_bytes"].as_u64().unwrap());
    // Two and a quarter segments of 8 MiB are reserved for objects and staged files.
    assert!(used * 10 >= max * 6 && used <= max, "full with {used} of {max} bytes");
    spool.stop(load).await;
    spool.stand.link.set(Link::Up);
    eprintln!("{}", spool.settle(forebay).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_file_that_takes_freed_space_stops_nothing_during_an_outage() {
    // The cap is below the disk's size, so that pressure parks at once; small objects produce many notes.
    let lines = format!("{SMALL_SEGMENTS}\nmax_bytes = \"48 MiB\"");
    let Some(mut spool) = small(&lines, &format!("max_bytes = \"1 MB\"\n{LATE}")).await else { return };
    spool.stand.link.set(Link::Cut);
    let forebay = spool.serve().await;
    for _ in 0..2 {
        let load = spool.load(&forebay);
        spool
            .until(&forebay, &load, "the spool to be half full", TIMEOUT, |counts| counts.accepted() > 30)
            .await;
        let filler = spool.fill().keep_growing();
        spool
            .until(&forebay, &load, "calls to be refused for long", TIMEOUT, |counts| counts.refused() > 250)
            .await;
        spool.answers(&forebay).await;
        spool.stop(load).await;
        filler.stop().remove();
        spool.stand.link.set(Link::Up);
        spool.deliver(&forebay).await;
        spool.takes_calls(&forebay).await;
        spool.stand.link.set(Link::Cut);
    }
    spool.stand.link.set(Link::Up);
    eprintln!("{}", spool.settle(forebay).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_filled_by_a_foreign_file_makes_batches_due() {
    let Some(mut spool) = small(SMALL_SEGMENTS, LATE).await else { return };
    let forebay = spool.serve().await;
    let load = spool.load(&forebay);
    spool.until(&forebay, &load, "a few calls", TIMEOUT, |counts| counts.accepted() > 30).await;
    let filler = spool.fill();
    // Many times the capacity of its segments without a delivery.
    let many = load.counts.accepted() + 100;
    spool
        .until(&forebay, &load, "deliveries to free space", TIMEOUT, |counts| counts.accepted() > many)
        .await;
    spool.stop(load).await;
    let keys = spool.stand.bucket().keys("segment-logs/").await;
    assert!(!keys.is_empty(), "no object was put");
    filler.remove();
    spool.takes_calls(&forebay).await;
    eprintln!("{}", spool.settle(forebay).await);
}

/// No segment is full, so none is emptied to free space; but a flush, age and shutdown deliver everything,
/// and the existing segments accept calls.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_free_byte_the_open_segment_is_delivered_and_accepts_calls() {
    let Some(mut spool) = small(SMALL_SEGMENTS, LATE).await else { return };
    let forebay = spool.serve().await;
    let load = spool.load(&forebay);
    spool.until(&forebay, &load, "a few calls", TIMEOUT, |counts| counts.accepted() > 3).await;
    spool.stop(load).await;
    let filler = spool.fill();
    spool.deliver(&forebay).await;
    spool.takes_calls(&forebay).await;
    spool.deliver(&forebay).await;
    assert!(forebay.terminate().await.success(), "SIGTERM ends it in order");
    let forebay = spool.serve().await;
    spool.deliver(&forebay).await;
    filler.remove();
    eprintln!("{}", spool.settle(forebay).await);
}

/// So small a cap leaves no space for another segment next to the reserve for objects.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cap_of_four_segments_is_enough_to_accept_and_deliver_calls() {
    let lines = format!("{SMALL_SEGMENTS}\nmax_bytes = \"32 MiB\"");
    let setting = Setting { cap: Some(32 * MIB), room: None, ..setting(Kind::Ext4, 500 * MB, &lines, LATE) };
    let Some(mut spool) = FullSpool::new(setting).await else { return };
    for _ in 0..2 {
        let forebay = spool.serve().await;
        spool.takes_calls(&forebay).await;
        spool.deliver(&forebay).await;
        forebay.kill().await;
    }
    spool.stand.link.set(Link::Cut);
    fill_and_end(&mut spool, End::Terminate).await;
    spool.stand.link.set(Link::Up);
    spool.drain().await;
    let forebay = spool.serve().await;
    spool.takes_calls(&forebay).await;
    eprintln!("{}", spool.settle(forebay).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_spool_never_exceeds_its_cap() {
    let lines = format!("{SMALL_SEGMENTS}\nmax_bytes = \"64 MiB\"");
    for flush in [SOON, LATE] {
        let setting =
            Setting { cap: Some(64 * MIB), room: None, ..setting(Kind::Ext4, 500 * MB, &lines, flush) };
        let Some(mut spool) = FullSpool::new(setting).await else { return };
        fill_and_end(&mut spool, End::Kill).await;
        let forebay = spool.serve().await;
        let load = spool.load(&forebay);
        spool.until_full(&forebay, &load).await;
        spool.stand.link.set(Link::Up);
        spool
            .until(&forebay, &load, "calls beside deliveries", TIMEOUT, |counts| counts.accepted() > 150)
            .await;
        spool.stop(load).await;
        eprintln!("{}", spool.settle(forebay).await);
    }
}
