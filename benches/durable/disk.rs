//! How much was written to a disk.
//!
//! The kernel's count for a process (`write_bytes` in `/proc/PID/io`) does not help: it counts whole folios
//! of the page cache. Since kernels have large folios for files, these are up to megabytes, of which a sync
//! writes a block or two.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{major, minor};

/// The unit of the kernel's statistics, whatever the disk's own sectors are.
const SECTOR_BYTES: u64 = 512;
/// The index of the number of sectors written.
const SECTORS_WRITTEN: usize = 6;

/// Bytes written to the disk of a directory, by all processes and by the file system itself, since boot.
/// `None` if it is not on one disk: a file system in memory, or on several disks.
pub(crate) fn written(dir: &Path) -> Option<u64> {
    let device = fs::metadata(dir).expect("the directory").dev();
    let statistics = format!("/sys/dev/block/{}:{}/stat", major(device), minor(device));
    let numbers = fs::read_to_string(statistics).ok()?;
    let sectors: u64 = numbers.split_whitespace().nth(SECTORS_WRITTEN)?.parse().ok()?;
    Some(sectors * SECTOR_BYTES)
}
