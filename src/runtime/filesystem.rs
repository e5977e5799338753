//! The file system under a directory: whether a sync on it can be trusted.

use std::io;
use std::path::Path;

/// How far a file system can be trusted with a spool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trust {
    /// ext4 and xfs: tested.
    Tested,
    /// Not tested: causes a warning.
    Unknown,
    /// Memory and network file systems: a sync promises little.
    Unsafe,
}

/// The name and trust of a file system, by its magic number (`statfs(2)`).
pub fn judge(magic: u32) -> (&'static str, Trust) {
    match magic {
        0xEF53 => ("ext4", Trust::Tested),
        0x5846_5342 => ("xfs", Trust::Tested),
        0x0102_1994 => ("tmpfs", Trust::Unsafe),
        0x8584_58F6 => ("ramfs", Trust::Unsafe),
        0x6969 => ("nfs", Trust::Unsafe),
        0xFF53_4D42 | 0xFE53_4D42 => ("smb", Trust::Unsafe),
        0x6573_5546 => ("fuse", Trust::Unsafe),
        0x0102_1997 => ("9p", Trust::Unsafe),
        0x794C_7630 => ("overlay", Trust::Unknown),
        0x9123_683E => ("btrfs", Trust::Unknown),
        0x2FC1_2FC1 => ("zfs", Trust::Unknown),
        _ => ("unknown", Trust::Unknown),
    }
}

/// Examines the file system of a directory.
pub fn of(dir: &Path) -> io::Result<(&'static str, Trust)> {
    let about = rustix::fs::statfs(dir)?;
    // The magic number is 32 bits wide on every Linux; the field is wider on some.
    let magic = u32::try_from(u64::try_from(about.f_type).unwrap_or(0) & 0xFFFF_FFFF).unwrap_or(0);
    Ok(judge(magic))
}

/// The same for a directory that may not exist yet: examines the nearest existing ancestor.
pub fn of_nearest(dir: &Path) -> io::Result<(&'static str, Trust)> {
    let mut looked = of(dir);
    for above in dir.ancestors().skip(1) {
        if !matches!(&looked, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            break;
        }
        looked = of(if above.as_os_str().is_empty() { Path::new(".") } else { above });
    }
    looked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_and_network_are_unsafe_and_untested_ones_unknown() {
        assert_eq!(judge(0xEF53), ("ext4", Trust::Tested));
        assert_eq!(judge(0x0102_1994).1, Trust::Unsafe);
        assert_eq!(judge(0x6969).1, Trust::Unsafe);
        assert_eq!(judge(1), ("unknown", Trust::Unknown));
        assert!(of(Path::new("/")).is_ok());
        assert!(of(Path::new("/no/such/place")).is_err());
        assert_eq!(of_nearest(Path::new("/no/such/place")).unwrap(), of(Path::new("/")).unwrap());
        assert_eq!(of_nearest(Path::new("no-such/place")).unwrap(), of(Path::new(".")).unwrap());
    }
}
