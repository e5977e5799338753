//! How much memory the process may use, and how much stays resident.

use std::fs;
use std::path::Path;

use rustix::process::{Resource, getrlimit};

const MIB: u64 = 1_024 * 1_024;
/// The least address space to start with, in bytes. Most of it is only reserved, for heaps and stacks of
/// threads: below about 750 MB an allocation fails before the first log line, and 150 clients with requests
/// of 0.9 MB used 1.7 GB of it, with 193 MB resident.
pub const ADDRESS_SPACE_MIN: u64 = 2_048 * MIB;
/// The least memory to start with, in bytes: the process uses about 30 MB before the first call.
pub const MEMORY_MIN: u64 = 64 * MIB;
/// Where the kernel shows control groups.
const GROUPS: &str = "/sys/fs/cgroup";

/// The process may use too little memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TooLittle {
    /// Too little address space: so many bytes.
    #[error(
        "the process may use only {} MiB of address space (RLIMIT_AS) but needs {} MiB to start, most of it \
         never used: lift the limit (`ulimit -v unlimited`, LimitAS=infinity), and limit memory by the control \
         group (MemoryMax=, `docker run --memory`)",
        .0 / MIB, ADDRESS_SPACE_MIN / MIB
    )]
    Addresses(u64),
    /// Too little memory: so many bytes.
    #[error(
        "the process's control group allows only {} MiB of memory (memory.max) but at least {} MiB are needed \
         to start: raise it (MemoryMax=, `docker run --memory`)",
        .0 / MIB, MEMORY_MIN / MIB
    )]
    Memory(u64),
}

/// Checks that the process may use the memory that it needs to start.
pub fn enough() -> Result<(), TooLittle> {
    judge(getrlimit(Resource::As).current, of_groups(Path::new(GROUPS), &own_group()))
}

/// Checks the limits of address space and memory, in bytes; `None` means no limit.
fn judge(addresses: Option<u64>, memory: Option<u64>) -> Result<(), TooLittle> {
    if let Some(limit) = addresses.filter(|limit| *limit < ADDRESS_SPACE_MIN) {
        return Err(TooLittle::Addresses(limit));
    }
    match memory.filter(|limit| *limit < MEMORY_MIN) {
        Some(limit) => Err(TooLittle::Memory(limit)),
        None => Ok(()),
    }
}

/// The control group of the process (version 2), as the kernel names it.
fn own_group() -> String {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or("/").to_owned()
}

/// The lowest memory limit of a group and its ancestors. `None` if there is none, or none can be read.
fn of_groups(root: &Path, group: &str) -> Option<u64> {
    let limit = |dir: &Path| fs::read_to_string(dir.join("memory.max")).ok()?.trim().parse::<u64>().ok();
    let own = root.join(group.trim_start_matches('/'));
    own.ancestors().take_while(|dir| dir.starts_with(root)).filter_map(limit).min()
}

/// Keeps the kernel from giving the process huge pages. Each thread's heap holds a little free memory; in
/// pages of 2 MiB instead of 4 KiB these bits are most of the resident memory after an outage (decision
/// 0075).
pub fn without_huge_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "cannot turn off huge pages: more memory will be resident");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_little_memory_is_refused_with_advice() {
        assert_eq!(judge(None, None), Ok(()));
        assert_eq!(judge(Some(ADDRESS_SPACE_MIN), Some(MEMORY_MIN)), Ok(()));
        let refused = |addresses, memory| judge(addresses, memory).unwrap_err().to_string();
        let addresses = refused(Some(600 * MIB), None);
        assert!(addresses.contains("600 MiB of address space (RLIMIT_AS) but needs 2048 MiB"), "{addresses}");
        let memory = refused(None, Some(32 * MIB));
        assert!(memory.contains("32 MiB of memory (memory.max) but at least 64 MiB"), "{memory}");
    }

    #[test]
    fn the_lowest_limit_of_all_ancestor_groups_counts() {
        let root = tempfile::tempdir().unwrap();
        let inner = root.path().join("system.slice/forebay.service");
        fs::create_dir_all(&inner).unwrap();
        let of = |group: &str| of_groups(root.path(), group);
        assert_eq!(of("/system.slice/forebay.service"), None);
        fs::write(inner.join("memory.max"), "max\n").unwrap();
        assert_eq!(of("/system.slice/forebay.service"), None);
        fs::write(root.path().join("system.slice/memory.max"), "1000\n").unwrap();
        assert_eq!(of("/system.slice/forebay.service"), Some(1_000));
        fs::write(inner.join("memory.max"), "900\n").unwrap();
        assert_eq!(of("/system.slice/forebay.service"), Some(900));
        assert_eq!(of("/elsewhere/that/is/not/there"), None);
    }
}
