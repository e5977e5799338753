//! Why an archive cannot be read.

use std::io;

use crate::words::Told;

/// Stands for the name of an entry where it is private.
const HIDDEN: &str = "[hidden]";

/// Why an archive or an entry of it cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ZipError {
    /// The directory at the end is missing.
    #[error("the zip file is cut off, or is no zip file: its directory is missing at the end")]
    NoDirectory,
    /// The directory contradicts itself or the file.
    #[error("the zip file is damaged: {0}")]
    Damaged(&'static str),
    /// The file is one part of a split archive.
    #[error("the zip file is one part of a split archive; join the parts: zip -s 0 FILE --out NEW")]
    Split,
    /// The archive has too many entries.
    #[error("the zip file has over {0} entries")]
    TooManyEntries(u64),
    /// The name of an entry is too long.
    #[error("the zip file has an entry with a name of {bytes} bytes; at most {max} are allowed")]
    LongName {
        /// The length of the name, in bytes.
        bytes: usize,
        /// The limit, in bytes.
        max: usize,
    },
    /// Two entries have the same name, so they would count as the same file.
    #[error("the zip file has two entries named {0:?}")]
    SameName(String),
    /// An entry is encrypted.
    #[error("the entry {0:?} is encrypted; decrypt the zip file first")]
    Encrypted(String),
    /// An entry is compressed by a method other than deflate and stored; its number.
    #[error(
        "the entry {0:?} is compressed with {method}; only deflate and stored are supported: \
         unpack it and pack it again", method = method_name(*.1)
    )]
    Method(String, u16),
    /// An entry is damaged in this way.
    #[error("the entry {0:?} is damaged: {1}")]
    DamagedEntry(String, &'static str),
    /// The entry is an archive itself.
    #[error("a zip file within a zip file is not read; unpack the outer one")]
    Nested,
}

impl ZipError {
    /// The error as a text in which the names of entries are private.
    pub fn told(&self) -> Told {
        let name = || HIDDEN.to_owned();
        let masked = match self {
            Self::SameName(_) => Self::SameName(name()),
            Self::Encrypted(_) => Self::Encrypted(name()),
            Self::Method(_, method) => Self::Method(name(), *method),
            Self::DamagedEntry(_, what) => Self::DamagedEntry(name(), what),
            Self::NoDirectory
            | Self::Damaged(_)
            | Self::Split
            | Self::TooManyEntries(_)
            | Self::LongName { .. }
            | Self::Nested => return Told::plain(self.to_string()),
        };
        Told::masked_as(self.to_string(), masked.to_string())
    }
}

impl From<ZipError> for io::Error {
    fn from(error: ZipError) -> Self {
        let kind = match &error {
            ZipError::NoDirectory => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

/// The error for one of the crate: `damaged`, unless the file cannot be read.
pub(super) fn of_crate(error: rawzip::Error, damaged: ZipError) -> io::Error {
    match error.into_kind() {
        rawzip::ErrorKind::IO(error) => error,
        _ => damaged.into(),
    }
}

fn method_name(method: u16) -> String {
    let known = match method {
        9 => "deflate64",
        12 => "bzip2",
        14 => "lzma",
        93 => "zstd",
        95 => "xz",
        98 => "ppmd",
        _ => return format!("method {method}"),
    };
    known.to_owned()
}
