//! Power cuts under load, on real file systems: unsynced data is lost, acknowledged calls are not.

use std::fs::{self, File};
use std::io::Write as _;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::load::{Journal, Load};
use super::setting;
use super::stand::Stand;
use crate::support::forebay::Forebay;
use crate::support::loop_disk::{Kind, LoopDisk};

/// The number of power cuts, unless `FOREBAY_POWER_CUTS` is set.
const CYCLES: u64 = 4;
/// A little more than the minimum size for xfs.
const DISK_BYTES: u64 = 512 * 1_024 * 1_024;
/// So small that segments are constantly filled, created, released and reused.
const SPOOL: &str = "segment_bytes = \"8 MiB\"";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_ext4_acknowledged_calls_survive_power_cuts() {
    survives(Kind::Ext4).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_xfs_acknowledged_calls_survive_power_cuts() {
    survives(Kind::Xfs).await;
}

async fn survives(kind: Kind) {
    let stand = Stand::start().await;
    let Some(disk) = LoopDisk::mount(kind, DISK_BYTES, stand.folder.path()) else { return };
    forgets_what_was_not_synced(&disk).await;
    let seed = setting("FOREBAY_POWER_CUT_SEED").unwrap_or_else(rand::random);
    let cycles = setting("FOREBAY_POWER_CUTS").unwrap_or(CYCLES);
    eprintln!("{cycles} power cuts on {kind:?} with FOREBAY_POWER_CUT_SEED={seed}");
    let (mut random, mut journal) = (StdRng::seed_from_u64(seed), Journal::default());
    let config = stand.config(&disk.path().join("spool"), SPOOL, "1 s");

    for _ in 0..cycles {
        let starting = stand.starting(&config);
        // One in eight happens during recovery.
        if random.random_ratio(1, 8) {
            moment(&mut random, 0..150).await;
            disk.cut();
            starting.kill().await;
        } else {
            let forebay = starting.serve_ready().await;
            finds_no_damage(&forebay);
            let load = Load::start(&forebay.collector, &mut journal, &mut random);
            moment(&mut random, 50..1_200).await;
            disk.cut();
            forebay.kill().await;
            load.stop(&mut journal).await;
        }
        disk.restart().await;
    }

    let report = stand.settle(&config, &mut journal, &mut random).await;
    eprintln!("{cycles} power cuts on {kind:?}: {report}");
}

/// Checks that a simulated power cut loses unsynced data, without which the test would prove nothing.
async fn forgets_what_was_not_synced(disk: &LoopDisk) {
    let write = |name: &str| {
        let mut file = File::create(disk.path().join(name)).unwrap();
        file.write_all(name.as_bytes()).unwrap();
        file
    };
    write("synced").sync_all().unwrap();
    File::open(disk.path()).unwrap().sync_all().unwrap();
    drop(write("not synced"));
    disk.cut();
    disk.restart().await;
    let read = |name: &str| fs::read_to_string(disk.path().join(name)).unwrap_or_default();
    assert_eq!((read("synced").as_str(), read("not synced").as_str()), ("synced", ""));
}

/// A power cut leaves torn writes, but no damage.
fn finds_no_damage(forebay: &Forebay) {
    let log = forebay.log();
    let damaged =
        ["damage", "missing", "can no longer be read", "clock"].iter().any(|word| log.contains(word));
    assert!(!damaged, "{log}");
}

/// Waits for a random time, to vary the moment of the cut.
async fn moment(random: &mut StdRng, milliseconds: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(random.random_range(milliseconds))).await;
}
