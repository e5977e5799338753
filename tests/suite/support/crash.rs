//! The state that a crash leaves behind.

use std::path::Path;
use std::{fs, io};

/// Copies a directory in its present state, as a kill would leave it.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let to = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to);
        } else {
            match fs::copy(entry.path(), to) {
                // A thread that still runs may remove a file of its own meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                copied => _ = copied.unwrap(),
            }
        }
    }
}
