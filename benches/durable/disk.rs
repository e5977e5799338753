//! What a disk was given to write.
//!
//! The kernel's count for a process (`write_bytes` in `/proc/PID/io`) is of no use here: it counts whole folios of the page
//! cache, which are up to megabytes since kernels have large ones for files, where a sync writes a block or two of them.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{major, minor};

/// Sectors of the kernel's statistics, whatever the disk's own are.
const SECTOR_BYTES: u64 = 512;
/// Which of the numbers counts sectors written.
const SECTORS_WRITTEN: usize = 6;

/// Bytes written to the disk that a directory is on, by everybody and by the file system itself, since the machine's start.
/// `None` where that is no disk: a file system in memory, or one of several disks.
pub(crate) fn written(dir: &Path) -> Option<u64> {
    let device = fs::metadata(dir).expect("the directory").dev();
    let statistics = format!("/sys/dev/block/{}:{}/stat", major(device), minor(device));
    let numbers = fs::read_to_string(statistics).ok()?;
    let sectors: u64 = numbers.split_whitespace().nth(SECTORS_WRITTEN)?.parse().ok()?;
    Some(sectors * SECTOR_BYTES)
}
