//! The rows of one file, as the importer reads them.

use std::io;

use super::earlier::Prefix;
use super::reading::ReadingError;
use super::reject::Reject;
use super::row_hash::RowHash;
use crate::object::Collection;
use crate::words::Told;

/// What a row is.
#[derive(Debug)]
pub enum Row {
    /// A call, with its hash if rows are known by their content.
    Call(Option<RowHash>),
    /// A call of a corrected row whose id is from a column, with its hash. If another call has the id, the row is
    /// rejected instead.
    Corrected(RowHash, Box<Reject>),
    /// No call.
    Rejected(Reject),
    /// A call that an earlier row of the same file is, too: both have the same id and the same cells.
    Repeat,
}

/// Reads the rows of a file in order. The same file gives the same rows, whenever it is read.
pub trait RowReader: Send {
    /// Reads the next row. If it is a call (or an object), its JSON object is appended to `out`. `None` at the end.
    ///
    /// # Errors
    /// [`FileError`]: no further row can be read.
    fn next(&mut self, out: &mut Vec<u8>) -> Result<Option<Row>, FileError>;

    /// The collection, if rows become objects and not calls.
    fn collection(&self) -> Option<&Collection> {
        None
    }

    /// Reads over rows that were imported before, without making calls of them: later rows are compared with them.
    /// Returns how many there were, which is less than `rows` only at the end.
    ///
    /// # Errors
    /// As [`RowReader::next`].
    fn skip(&mut self, rows: u64) -> Result<u64, FileError>;

    /// The same with rows that are not wanted. They do not count.
    ///
    /// # Errors
    /// As [`RowReader::next`].
    fn pass_over(&mut self, rows: u64) -> Result<u64, FileError> {
        self.skip(rows)
    }

    /// What the file begins with, up to the end of the row that was read last. `None` if the reader does not know it.
    fn prefix(&mut self) -> Option<Prefix> {
        None
    }

    /// Whether the row that was read last ends with the file, in the middle of a line: if the file grows, it is another row.
    fn is_cut_off(&self) -> bool {
        false
    }
}

/// The kind of a failure to read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFault {
    /// The file or its options are wrong; reading it again fails again.
    Content,
    /// It changed while it was read, so rows before and after may not belong together.
    Changed,
    /// There is no such file.
    Missing,
    /// It may not be read.
    Denied,
    /// It may be readable later.
    Transient,
    /// Something else on this machine is wrong.
    Local,
}

/// Why a file cannot be read to its end. Its `Display` is for whoever has the file; logs and masked views take
/// [`FileError::masked`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {}", message.full())]
pub struct FileError {
    /// The kind.
    pub fault: FileFault,
    /// For programs, such as `E-CSV-HEADER`.
    pub code: String,
    /// For people.
    pub message: Told,
}

impl FileError {
    /// A failure of a kind.
    pub fn new(fault: FileFault, code: &str, message: impl Into<Told>) -> Self {
        Self { fault, code: code.to_owned(), message: message.into() }
    }

    /// A failure of the content.
    pub fn content(code: &str, message: impl Into<Told>) -> Self {
        Self::new(FileFault::Content, code, message)
    }

    /// The code and the text without what the file contains.
    pub fn masked(&self) -> String {
        format!("{}: {}", self.code, self.message.masked())
    }

    /// A failure to read a source.
    pub fn unread(error: &ReadingError) -> Self {
        let (fault, code) = match error {
            ReadingError::Changed => (FileFault::Changed, "E-CHANGED"),
            ReadingError::Missing => (FileFault::Missing, "E-MISSING"),
            ReadingError::Denied(_) => (FileFault::Denied, "E-DENIED"),
            ReadingError::Refused(_) => (FileFault::Denied, "E-REFUSED"),
            ReadingError::Unanswered(_) | ReadingError::Unreachable { .. } => {
                (FileFault::Transient, "E-UNREACHABLE")
            }
        };
        Self::new(fault, code, error.told())
    }

    /// A failure to read a local file.
    pub fn of_io(error: &io::Error) -> Self {
        // The system's own texts quote nothing. Those of readers above it may.
        let message = match error.raw_os_error() {
            Some(_) => Told::plain(error.to_string()),
            None => Told::private(error.to_string()),
        };
        match error.kind() {
            io::ErrorKind::NotFound => Self::new(FileFault::Missing, "E-MISSING", message),
            io::ErrorKind::PermissionDenied => Self::new(FileFault::Denied, "E-DENIED", message),
            _ => Self::content("E-READ", message),
        }
    }
}
