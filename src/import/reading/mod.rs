//! Reads the files of imports: local ones and objects, compressed or not, as UTF-8.
//!
//! All readers are synchronous [`std::io::Read`]s, for a blocking thread. The layers, from below, are the raw
//! bytes ([`local`], [`s3`]), [`counted`], [`decompress`] or [`zip`], [`guard`], [`text`]. [`opened`] puts
//! them together, and [`open_file`] opens what is read in any order: [`parquet`].
//!
//! The end of a reader is the end of the file. Missing or damaged bytes are an error, never an end: rows that
//! are lost in silence are lost for good.
//!
//! Errors are [`std::io::Error`]s that carry a typed one: [`ReadingError`], [`decompress::DecompressError`],
//! [`guard::ExpansionError`], [`text::TextError`], [`zip::ZipError`]. [`typed`] finds it. None of them names
//! the file: the importer does.

pub(in crate::import) mod bytes_of;
pub mod compression;
pub mod counted;
pub mod decompress;
pub mod guard;
pub mod local;
pub mod names;
pub mod open_file;
pub mod opened;
pub mod parquet;
pub mod ranged;
pub mod s3;
pub mod s3_object;
pub mod temporary;
pub mod text;
pub mod zip;

use std::error::Error;
use std::io;

use crate::store::{Outlook, StoreError};
use crate::words::Told;

/// Why a file could not be read to its end, although its bytes are not at fault. The `Display` of it is for
/// the people who have the file; others get [`ReadingError::told`] masked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadingError {
    /// The file changed during the read.
    #[error("it changed while it was read")]
    Changed,
    /// The file does not exist, or no longer does.
    #[error("it does not exist")]
    Missing,
    /// Access to the file is denied.
    #[error("access denied: {}", .0.full())]
    Denied(Told),
    /// The store refuses the request for another reason. A retry does not help.
    #[error("the store refuses to read it: {}", .0.full())]
    Refused(Told),
    /// The store answered a request with an error that a later request may not meet.
    #[error("the store did not answer as it should: {}", .0.full())]
    Unanswered(Told),
    /// The store could not be reached, or it was busy. A later read may succeed.
    #[error("gave up at byte {at} after {tries} tries: {}", last.full())]
    Unreachable {
        /// The first byte that was not read.
        at: u64,
        /// How many tries failed one after the other.
        tries: u32,
        /// The last failure.
        last: Told,
    },
}

impl ReadingError {
    /// The error as a text that marks what the store said as private.
    pub fn told(&self) -> Told {
        let said = match self {
            Self::Changed | Self::Missing => return Told::plain(self.to_string()),
            Self::Denied(said)
            | Self::Refused(said)
            | Self::Unanswered(said)
            | Self::Unreachable { last: said, .. } => said,
        };
        let full = self.to_string();
        let masked = full.strip_suffix(said.full()).map(|before| format!("{before}{}", said.masked()));
        masked.map_or_else(|| Told::private(&*full), |masked| Told::masked_as(&*full, masked))
    }
}

impl From<StoreError> for ReadingError {
    fn from(error: StoreError) -> Self {
        match error.outlook() {
            Outlook::Missing => Self::Missing,
            Outlook::Changed => Self::Changed,
            Outlook::Denied => Self::Denied(error.told()),
            Outlook::Refused => Self::Refused(error.told()),
            Outlook::Passing => Self::Unanswered(error.told()),
        }
    }
}

impl From<ReadingError> for io::Error {
    fn from(error: ReadingError) -> Self {
        let kind = match &error {
            ReadingError::Changed => io::ErrorKind::StaleNetworkFileHandle,
            ReadingError::Missing => io::ErrorKind::NotFound,
            ReadingError::Denied(_) => io::ErrorKind::PermissionDenied,
            ReadingError::Refused(_) => io::ErrorKind::Unsupported,
            ReadingError::Unanswered(_) | ReadingError::Unreachable { .. } => io::ErrorKind::TimedOut,
        };
        Self::new(kind, error)
    }
}

/// The typed error that an I/O error carries.
pub fn typed<E: Error + 'static>(error: &io::Error) -> Option<&E> {
    error.get_ref()?.downcast_ref()
}

/// The limits of readers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The most decoded bytes for each raw byte.
    pub ratio_max: u64,
    /// The number of decoded bytes from which on [`Limits::ratio_max`] counts. Short files may shrink more.
    pub ratio_from_bytes: u64,
    /// Whether [`Limits::ratio_max`] does not count at all: `--allow-expansion`.
    pub allow_expansion: bool,
    /// The longest window of zstd, as a power of two. 27 (128 MiB) is what `zstd -d` reads without an option.
    /// A window is allocated only for a file that declares it: levels 1 to 19 need at most 8 MiB; only
    /// `--ultra` and `--long` need more.
    pub zstd_window_log_max: u32,
    /// The most entries of a zip archive.
    pub zip_entries_max: u64,
    /// The longest name of an entry, in bytes.
    pub zip_name_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            ratio_max: 1_000,
            ratio_from_bytes: 1 << 30,
            allow_expansion: false,
            zstd_window_log_max: 27,
            zip_entries_max: 100_000,
            zip_name_bytes_max: 1_024,
        }
    }
}

/// Bytes for tests.
#[cfg(test)]
pub(crate) mod test_bytes {
    use std::io::{self, Read, Write};

    /// Gives at most so many bytes at a time.
    pub(crate) struct Dribble<R>(pub(crate) R, pub(crate) usize);

    impl<R: Read> Read for Dribble<R> {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            let len = buf.len().min(self.1);
            self.0.read(&mut buf[..len])
        }
    }

    /// Gives some bytes, then fails.
    pub(crate) struct FailsAfter(pub(crate) io::Cursor<Vec<u8>>);

    impl Read for FailsAfter {
        fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
            match self.0.read(buf)? {
                0 => Err(super::ReadingError::Changed.into()),
                read => Ok(read),
            }
        }
    }

    pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Text that compresses to more than one byte in a hundred.
    pub(crate) fn rows(count: u32) -> Vec<u8> {
        let mut text = Vec::new();
        for row in 0..count {
            let mixed = row.wrapping_mul(2_654_435_761);
            writeln!(text, "{row},{mixed},user-{}", mixed >> 7).unwrap();
        }
        text
    }
}
