//! Secrets of the configuration: typed, or `env:NAME`, or `file:PATH`. What is wrong with one never shows it.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::raw::Typed;
use super::reader;

/// The longest file with a write key or a token, in bytes.
pub(super) const SECRET_FILE_MAX: u64 = 4 << 10;

/// What secrets and converters refer to. The files that are read are added to a digest, so that a changed
/// file counts as a change.
pub(super) struct Outside<'a> {
    /// The environment.
    pub(super) variables: &'a BTreeMap<String, String>,
    /// Whether secrets must be there. If not, a placeholder stands for each.
    pub(super) secrets_needed: bool,
    /// Whether converters must be there. If not, an import may be without one.
    pub(super) converters_needed: bool,
    /// Whether a file may be one that only dev mode takes.
    pub(super) takes_dev_files: bool,
    /// Whether files are read. If not, a secret in a file is a problem.
    pub(super) reads_files: bool,
    pub(super) digest: RefCell<Sha256>,
    /// The folder of the configuration file, to which paths of converters are relative.
    pub(super) folder: &'a Path,
    /// The files, in the order in which they were read.
    pub(super) files: RefCell<Vec<OtherFile>>,
}

/// A file that a configuration refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct OtherFile {
    pub(super) path: PathBuf,
    /// The most bytes that are read of it.
    pub(super) bytes_max: u64,
}

impl Outside<'_> {
    /// The value of an environment variable.
    fn variable(&self, name: &str) -> Option<String> {
        let stands_in = || (!self.secrets_needed).then(|| placeholder(name));
        self.variables.get(name).cloned().or_else(stands_in)
    }

    /// The text of a small file, or the reason why it cannot be read.
    fn file(&self, path: &Path) -> Result<String, String> {
        if !self.reads_files {
            return Err(NOT_READ.to_owned());
        }
        self.text_of(path, SECRET_FILE_MAX).or_else(|what| {
            if self.secrets_needed { Err(what) } else { Ok(placeholder(&path.to_string_lossy())) }
        })
    }

    /// The text of a file below the folder of the configuration, or the reason why it cannot be read.
    pub(super) fn text_below(&self, path: &Path, bytes_max: u64) -> Result<String, String> {
        if !self.reads_files {
            return Err(NOT_READ.to_owned());
        }
        self.text_of(&self.folder.join(path), bytes_max)
    }

    fn text_of(&self, path: &Path, bytes_max: u64) -> Result<String, String> {
        let text = read_text(path, bytes_max);
        add_file(&mut self.digest.borrow_mut(), &text);
        self.files.borrow_mut().push(OtherFile { path: path.to_owned(), bytes_max });
        text
    }
}

/// Why a file is not read at all.
const NOT_READ: &str = "files are not read here";

/// Adds the text of such a file, or the reason why it cannot be read.
pub(super) fn add_file(digest: &mut Sha256, text: &Result<String, String>) {
    digest.update([0]);
    digest.update(text.as_ref().unwrap_or_else(|what| what));
}

/// Stands for the secret of that name or path: valid as a write key and as a token, and different for each.
fn placeholder(of: &str) -> String {
    hex::encode(Sha256::digest(of))
}

pub(super) fn read_text(path: &Path, len_max: u64) -> Result<String, String> {
    let mut bytes = Vec::new();
    let read = |bytes: &mut Vec<u8>| -> io::Result<usize> {
        // Opening a pipe would block until it is written to, at every check.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        File::open(path)?.take(len_max + 1).read_to_end(bytes)
    };
    read(&mut bytes).map_err(|error| match error.kind() {
        io::ErrorKind::PermissionDenied => format!(
            "{error}: its mode must let user {} read it, and each folder above it must let that user in (`namei -l {}` shows \
             them)",
            rustix::process::geteuid(),
            path.display()
        ),
        _ => error.to_string(),
    })?;
    if bytes.len() as u64 > len_max {
        return Err(format!("it is longer than {len_max} bytes"));
    }
    String::from_utf8(bytes)
        .map_err(|error| format!("it is not UTF-8 at byte {}", error.utf8_error().valid_up_to()))
}

/// The secret that a value holds or refers to, and where it is from, to be put before what is wrong with it:
/// `(from "env:NAME") `, or nothing if it is typed.
/// Errors: what is wrong, in words that follow the setting's name; `form` if the value is no text.
pub(super) fn resolve(value: &Typed, form: &str, outside: &Outside<'_>) -> Result<(String, String), String> {
    let typed = reader::text(value).map_err(|_| form.to_owned())?;
    let text = if let Some(name) = typed.strip_prefix("env:") {
        outside.variable(name).ok_or_else(|| format!("is {typed:?}, and that variable is not set"))?
    } else if let Some(path) = typed.strip_prefix("file:") {
        outside.file(Path::new(path)).map_err(|what| format!("is {typed:?}: {what}"))?
    } else {
        return Ok((typed.to_owned(), String::new()));
    };
    Ok((text, format!("(from {typed:?}) ")))
}
