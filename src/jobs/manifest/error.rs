//! Why a manifest cannot be read.

use std::fmt;
use std::io;

use crate::import::reading::decompress::DecompressError;
use crate::import::reading::guard::ExpansionError;
use crate::import::reading::{ReadingError, typed};
use crate::import::{FileError, FileFault};
use crate::words::{grouped, outside_key};

/// Why a manifest cannot be read. The job then fails before its first task.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// The manifest, or a file that it names, is not what it has to be.
    #[error("InvalidManifestContent: {0}")]
    Content(ContentError),
    /// The manifest is another one than the job was made for.
    #[error(
        "manifest ETag does not match: the job was made for {wanted}, and {name} is {found} now; make the job again with \
         the manifest as it is"
    )]
    ETag {
        /// The manifest's name.
        name: String,
        /// The ETag that was given.
        wanted: String,
        /// The ETag that the store gives.
        found: String,
    },
    /// An ETag was given for a manifest that has none.
    #[error("{name} has no ETag, since it is not in a store; leave the ETag out")]
    NoETag {
        /// The manifest's name.
        name: String,
    },
    /// The manifest, or an object that it names, cannot be read.
    #[error("read {name}")]
    Unread {
        /// What was read.
        name: String,
        /// Why not.
        #[source]
        cause: ReadingError,
    },
    /// A local file cannot be read to its end.
    #[error("read {name}")]
    Local {
        /// What was read.
        name: String,
        /// Why not.
        #[source]
        cause: io::Error,
    },
    /// The one who takes the tasks failed, or stopped.
    #[error("copy the tasks of the manifest")]
    Taker(#[source] io::Error),
}

/// What is wrong with a manifest, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContentError {
    /// The file, if the manifest has several: the key of an inventory's part, or of a report's file.
    pub part: Option<String>,
    /// The line, from 1.
    pub line: Option<u64>,
    /// What is wrong, and what to do.
    pub what: String,
}

impl fmt::Display for ContentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = self.line.map(grouped);
        match (&self.part, line) {
            (Some(part), Some(line)) => write!(f, "line {line} of {}: ", outside_key(part))?,
            (Some(part), None) => write!(f, "{}: ", outside_key(part))?,
            (None, Some(line)) => write!(f, "line {line}: ")?,
            (None, None) => {}
        }
        f.write_str(&self.what)
    }
}

impl ManifestError {
    /// Wrong content that no line is to blame for.
    pub fn content(what: impl Into<String>) -> Self {
        Self::Content(ContentError { part: None, line: None, what: what.into() })
    }

    /// Wrong content of a line.
    pub fn line(line: u64, what: impl Into<String>) -> Self {
        Self::Content(ContentError { part: None, line: Some(line), what: what.into() })
    }

    /// An error of a reader of the file `name`.
    pub fn of_io(name: &str, cause: io::Error) -> Self {
        if let Some(cause) = typed::<ReadingError>(&cause) {
            return Self::Unread { name: name.to_owned(), cause: cause.clone() };
        }
        if let Some(cause) = typed::<DecompressError>(&cause) {
            return Self::content(cause.to_string());
        }
        if let Some(bomb) = typed::<ExpansionError>(&cause) {
            let ratio = grouped(bomb.ratio_max);
            return Self::content(format!(
                "it expands to more than {ratio} times its length; store it without compression if it is right"
            ));
        }
        Self::Local { name: name.to_owned(), cause }
    }

    /// The same error, of this part of the manifest.
    #[must_use]
    pub fn of_part(self, part: &str) -> Self {
        match self {
            Self::Content(error) => Self::Content(ContentError { part: Some(part.to_owned()), ..error }),
            other => other,
        }
    }

    /// The kind of the failure: content for a manifest that has to be another one.
    pub fn fault(&self) -> FileFault {
        match self {
            Self::Content(_) | Self::ETag { .. } | Self::NoETag { .. } => FileFault::Content,
            Self::Unread { cause, .. } => FileError::unread(cause).fault,
            Self::Local { .. } | Self::Taker(_) => FileFault::Local,
        }
    }

    /// The reason in one word, for the failure reasons of a job.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Content(_) => "InvalidManifestContent",
            Self::ETag { .. } | Self::NoETag { .. } => "ManifestETagMismatch",
            Self::Unread { .. } | Self::Local { .. } => "ManifestUnreadable",
            Self::Taker(_) => "ManifestNotCopied",
        }
    }
}
