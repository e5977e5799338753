//! The speed of the disk itself: write and sync of one block, in a file of written zeroes, and nothing else.
//!
//! Disks of virtual machines have fast and slow phases that differ tenfold. So a figure of the collector is
//! meaningful only together with one of these, taken in the same minute, with blocks of the same size at the
//! same rate: whether the core slept in between matters too.

use std::fs::OpenOptions;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::load::now;

/// As large as a segment of the spool.
const FILE_BYTES: u64 = 64 * 1_024 * 1_024;
const ZERO_BYTES: usize = 1_024 * 1_024;

/// Writes and syncs a block of `block` bytes at intervals of `every` for `lasting`. Returns the times, in
/// nanoseconds.
pub(crate) fn syncs(dir: &Path, block: usize, every: Duration, lasting: Duration) -> Histogram<u64> {
    let path = dir.join("calibrator");
    let file = OpenOptions::new().create(true).truncate(true).write(true).open(&path).expect("a file");
    let zeroes = vec![0; ZERO_BYTES];
    for at in (0..FILE_BYTES).step_by(ZERO_BYTES) {
        file.write_all_at(&zeroes, at).expect("space for a file");
    }
    file.sync_all().expect("a sync");
    let bytes: Vec<u8> = (0_u8..=250).cycle().take(block).collect();
    let mut took = Histogram::new_with_max(60_000_000_000, 3).expect("valid bounds of a histogram");
    let (began, mut at) = (now(), 0);
    let mut due = Duration::ZERO;
    while began.elapsed() < lasting {
        // A slow sync delays the following ones; they are not caught up.
        std::thread::sleep(due.saturating_sub(began.elapsed()));
        due = began.elapsed() + every;
        let before = now();
        file.write_all_at(&bytes, at).expect("a write");
        file.sync_data().expect("a sync");
        took.saturating_record(u64::try_from(before.elapsed().as_nanos()).unwrap_or(u64::MAX));
        at = (at + block as u64) % (FILE_BYTES - block as u64);
    }
    std::fs::remove_file(&path).expect("to remove the file");
    took
}
