//! Files and folders beside a spool that are for their owner only, at paths that others can guess: rejected
//! rows, the data of `dev`, drained objects.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use rustix::fs::OFlags;

use crate::disk::if_there;

/// How often a name is taken again from somebody who keeps planting files there.
const TRIES_MAX: u32 = 8;

/// Makes a folder and the missing ones above it: 0700, whatever the umask.
pub fn make_folders(path: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes an empty file in place of what is at `path`, open for reading and writing. A link that stands there
/// is removed; what it leads to is neither opened nor changed. The umask may take away from `mode`.
/// Errors: the file system's error, such as for a folder at `path`.
pub fn replace(path: &Path, mode: u32) -> io::Result<File> {
    let mut tries = 0;
    loop {
        if_there(fs::remove_file(path))?;
        tries += 1;
        match OpenOptions::new().read(true).write(true).create_new(true).mode(mode).open(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && tries < TRIES_MAX => {}
            made => return made,
        }
    }
}

/// Renames a synced file, for good: without the sync of its folder a power failure can lose the new name.
#[expect(clippy::disallowed_methods, reason = "the folder is synced right after it")]
pub fn rename_durably(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)?;
    sync_folder_of(to)
}

/// Syncs the folder that a file is in.
pub fn sync_folder_of(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

/// Opens what is at `path` with `options`, if it is a regular file, and no link to one. Never waits, as for a
/// pipe. Errors: the file system's error, or it is something else.
pub fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    // Without NONBLOCK a pipe would wait for its other end. Regular files do not know it.
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
    let file = options.custom_flags(i32::try_from(flags).unwrap_or_default()).open(path);
    let file = file.map_err(|error| match error.raw_os_error() {
        Some(code) if code == rustix::io::Errno::LOOP.raw_os_error() => {
            io::Error::other("it is a symbolic link, which is not followed here: name what it leads to")
        }
        _ => error,
    })?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::other("it is not a regular file")),
    }
}

/// The bytes of a regular file of at most `max` bytes. Errors: as [`open`], or it is longer.
pub fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    open(path, OpenOptions::new().read(true))?.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > max {
        true => Err(io::Error::other(format!("it has more than {max} bytes"))),
        false => Ok(bytes),
    }
}

/// The permissions of a folder, if others than its owner may use it: in octal.
pub fn open_to_others(folder: &Path) -> io::Result<Option<String>> {
    let mode = fs::metadata(folder)?.permissions().mode() & 0o777;
    Ok((mode & 0o077 != 0).then(|| format!("{mode:04o}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_planted_link_is_replaced_and_not_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (precious, link) = (dir.path().join("precious"), dir.path().join("link"));
        fs::write(&precious, "precious").unwrap();
        std::os::unix::fs::symlink(&precious, &link).unwrap();
        assert!(
            open(&link, OpenOptions::new().read(true)).unwrap_err().to_string().contains("symbolic link")
        );
        drop(replace(&link, 0o600).unwrap());
        assert_eq!(fs::symlink_metadata(&link).unwrap().permissions().mode(), 0o100_600);
        assert_eq!(fs::read_to_string(&precious).unwrap(), "precious");
        assert!(read(&precious, 7).is_err());
        assert_eq!(read(&precious, 8).unwrap(), b"precious");
        replace(dir.path(), 0o600).unwrap_err();
    }

    #[test]
    fn pipes_and_devices_are_no_files_and_open_without_waiting() {
        let dir = tempfile::tempdir().unwrap();
        let pipe = dir.path().join("pipe");
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, 0o600.into(), 0).unwrap();
        for path in [&*pipe, Path::new("/dev/zero"), dir.path()] {
            assert!(read(path, 10).is_err(), "{}", path.display());
        }
    }

    #[test]
    fn a_folder_that_others_may_use_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("a/b");
        make_folders(&folder).unwrap();
        assert_eq!(open_to_others(&folder).unwrap(), None);
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        make_folders(&folder).unwrap();
        assert_eq!(open_to_others(&folder).unwrap().as_deref(), Some("0755"));
    }
}
