//! Repeated `kill -9` under load on the same data.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::checker;
use super::load::{Journal, Load};
use super::setting;
use crate::support::forebay::{Flush, Forebay, Starting};

/// The number of kills, unless `FOREBAY_KILL_CYCLES` is set.
const CYCLES: u64 = 30;
/// The minimum number of calls acknowledged in the last life.
const LAST_CALLS: usize = 200;
/// So small that seals, uploads and commits are always in progress.
const FLUSH: Flush = Flush { age: "1s", bytes: "200KB" };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_by_kills_under_load() {
    let seed = setting("FOREBAY_KILL_SEED").unwrap_or_else(rand::random);
    let cycles = setting("FOREBAY_KILL_CYCLES").unwrap_or(CYCLES);
    eprintln!("{cycles} kills with FOREBAY_KILL_SEED={seed}");
    let mut random = StdRng::seed_from_u64(seed);
    let folder = tempfile::tempdir().expect("a folder");
    let mut journal = Journal::default();

    for _ in 0..cycles {
        let starting = Starting::dev(folder.path(), FLUSH);
        // One in eight is killed during its recovery.
        if random.random_ratio(1, 8) {
            moment(&mut random, 0..150).await;
            starting.kill().await;
            continue;
        }
        let forebay = starting.dev_ready().await;
        let load = Load::start(&forebay.collector, &mut journal, &mut random);
        moment(&mut random, 50..1_200).await;
        forebay.kill().await;
        load.stop(&mut journal).await;
    }

    // In a last life, calls without an answer are sent again, and everything is delivered.
    let forebay = Forebay::dev(folder.path(), FLUSH).await;
    let load = Load::start(&forebay.collector, &mut journal, &mut random);
    load.until_acknowledged(LAST_CALLS).await;
    load.stop(&mut journal).await;
    forebay.flush().await;
    let report = checker::check(&journal, &forebay.bucket(), "segment-logs/").await;
    eprintln!("{}", report.unwrap_or_default());
    assert!(forebay.terminate().await.success(), "SIGTERM ends it in order");
}

/// Waits for a random time, to vary the moment of the kill.
async fn moment(random: &mut StdRng, milliseconds: std::ops::Range<u64>) {
    tokio::time::sleep(Duration::from_millis(random.random_range(milliseconds))).await;
}
