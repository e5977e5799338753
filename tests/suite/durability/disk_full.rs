//! A disk that repeatedly fills up under load and then gets space again.

use std::fs::{self, File};
use std::io::{ErrorKind, Write as _};
use std::path::Path;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use tokio::time::Instant;

use super::load::{Journal, Load};
use super::setting;
use super::stand::Stand;
use crate::support::loop_disk::{Kind, LoopDisk};
use crate::support::wait;

/// The number of cycles, unless `FOREBAY_DISK_FULL` is set.
const CYCLES: u64 = 2;
const DISK_BYTES: u64 = 96 * 1_024 * 1_024;
/// Otherwise released segments would be reused and the disk would never be full: nothing is delivered until
/// requested.
const SPOOL: &str = "segment_bytes = \"8 MiB\"";
const MAX_AGE: &str = "1 h";
/// The time limit to fill the existing segments.
const FULL_TIMEOUT: Duration = Duration::from_secs(120);
/// The time limit for a refusal.
const REFUSAL_MAX: Duration = Duration::from_secs(1);
/// The time limit to accept calls again after there is space.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_refuses_calls_at_once_and_recovers_soon() {
    let stand = Stand::start().await;
    let Some(disk) = LoopDisk::mount(Kind::Ext4, DISK_BYTES, stand.folder.path()) else { return };
    let cycles = setting("FOREBAY_DISK_FULL").unwrap_or(CYCLES);
    let (mut random, mut journal) = (StdRng::seed_from_u64(5), Journal::default());
    let config = stand.config(&disk.path().join("spool"), SPOOL, MAX_AGE);
    let forebay = stand.serve(&config).await;
    let filler = disk.path().join("filler");
    let (mut slowest_refusal, mut slowest_recovery) = (Duration::ZERO, Duration::ZERO);

    for _ in 0..cycles {
        let load = Load::start_patient(&forebay.collector, &mut journal, &mut random);
        fill_up(&filler);
        wait::until("calls to be refused", FULL_TIMEOUT, async || (load.refused() > 0).then_some(())).await;
        fs::remove_file(&filler).unwrap();
        let (began, before) = (Instant::now(), load.acknowledged());
        wait::until("calls to be accepted again", RECOVERY_MAX, async || {
            (load.acknowledged() > before).then_some(())
        })
        .await;
        slowest_recovery = slowest_recovery.max(began.elapsed());
        let answers = load.stop(&mut journal).await;
        assert_eq!(answers.none, 0, "each request is answered\n{}", forebay.log());
        slowest_refusal = slowest_refusal.max(answers.slowest_refusal);
        forebay.flush().await;
    }
    assert!(slowest_refusal < REFUSAL_MAX, "a refusal took {slowest_refusal:?}");
    assert!(forebay.terminate().await.success(), "SIGTERM ends it in order");
    let report = stand.settle(&config, &mut journal, &mut random).await;
    eprintln!(
        "{cycles} full disks: refused within {slowest_refusal:?}, taken again within {slowest_recovery:?}; {report}"
    );
}

/// Uses up all space.
fn fill_up(file: &Path) {
    let mut file = File::create(file).unwrap();
    let error = loop {
        if let Err(error) = file.write_all(&[1; 64 * 1_024]) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
}
