//! What the process uses of the machine, as the kernel shows it.

use std::fs;

use rustix::process::{Resource, getrlimit};

/// Resident memory in bytes. `None` if the system does not say.
pub fn resident_bytes() -> Option<u64> {
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(pages * u64::try_from(rustix::param::page_size()).ok()?)
}

/// Open files. `None` if the system does not say.
pub fn open_files() -> Option<u64> {
    let entries = fs::read_dir("/proc/self/fd").ok()?;
    // The directory is open while it is read.
    u64::try_from(entries.count().saturating_sub(1)).ok()
}

/// The most files that may be open. `None` if there is no limit.
pub fn open_files_max() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_shows_memory_and_files() {
        let memory = resident_bytes().unwrap();
        assert!((1 << 20..1 << 40).contains(&memory), "{memory}");
        let before = open_files().unwrap();
        let _files: Vec<fs::File> = (0..50).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        assert!(open_files().unwrap() >= before.max(40), "{before}");
    }
}
