//! The folders of the caches: one for each partition that is assigned, below `kafka.cache_dir`. What a process left
//! there is of no use to the next one, and would take disk beside `kafka.cache_bytes`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The folder of a partition's cache.
pub(super) fn folder_of(cache_dir: &Path, partition: u32) -> PathBuf {
    cache_dir.join(partition.to_string())
}

/// Removes the cache of a partition, if there is one.
/// Errors: the disk's.
pub(super) fn remove(cache_dir: &Path, partition: u32) -> io::Result<()> {
    fs::remove_dir_all(folder_of(cache_dir, partition)).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    })
}

/// Removes the caches of all partitions. What has another name is not of Forebay, and stays.
/// Errors: the disk's.
pub(super) fn remove_all(cache_dir: &Path) -> io::Result<()> {
    for entry in fs::read_dir(cache_dir)? {
        let name = entry?.file_name();
        let partition = name.to_str().and_then(|name| name.parse::<u32>().ok());
        // "7" is a partition; "07" and "+7" are not.
        if let Some(partition) = partition.filter(|partition| name.to_str() == Some(&partition.to_string())) {
            remove(cache_dir, partition)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A writer that had crashed and came back with other partitions took more disk than it was given.
    #[test]
    fn caches_of_an_earlier_process_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["3", "12", "07", "lock", "4294967296"] {
            fs::create_dir(folder.path().join(name)).unwrap();
            fs::write(folder.path().join(name).join("segment"), "x").unwrap();
        }
        fs::write(folder.path().join("README"), "x").unwrap();
        remove_all(folder.path()).unwrap();
        let left = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut left: Vec<_> = left.map(|name| name.into_string().unwrap()).collect();
        left.sort();
        assert_eq!(left, ["07", "4294967296", "README", "lock"]);
        remove(folder.path(), 3).unwrap();
    }
}
