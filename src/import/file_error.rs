//! Why a file cannot be imported as it stands.

use std::io;

use super::reading::ReadingError;
use crate::words::Told;

/// The kind of a failure to read a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileFault {
    /// The file or its options are wrong; reading it again fails again.
    Content,
    /// The file changed while it was read, so rows before and after the change may not belong together.
    Changed,
    /// There is no such file.
    Missing,
    /// Access to the file is denied.
    Denied,
    /// The file may be readable later.
    Transient,
    /// Something else on this machine is wrong.
    Local,
}

/// Why a file cannot be read to its end. The `Display` of it is for the people who have the file; logs and
/// masked views take [`FileError::masked`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {}", message.full())]
pub struct FileError {
    /// The kind.
    pub fault: FileFault,
    /// The code for programs, such as `E-CSV-HEADER`.
    pub code: String,
    /// The text for people.
    pub message: Told,
}

impl FileError {
    /// A failure of this kind.
    pub fn new(fault: FileFault, code: &str, message: impl Into<Told>) -> Self {
        Self { fault, code: code.to_owned(), message: message.into() }
    }

    /// A failure of the file's content or its options.
    pub fn content(code: &str, message: impl Into<Told>) -> Self {
        Self::new(FileFault::Content, code, message)
    }

    /// The code and the text without what the file contains.
    pub fn masked(&self) -> String {
        format!("{}: {}", self.code, self.message.masked())
    }

    /// A failure to read the bytes of a file.
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
        // Texts of the operating system quote nothing of the file. Texts of readers may.
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
