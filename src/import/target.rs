//! The contract between the reading side and the taking side of an import.
//!
//! [`Target::begin`] names a file and returns its progress. [`Target::rows`] hands over the next rows.
//! [`Target::end`] records how the import ended. After any failure the reading side begins again: the
//! progress says which rows are stored.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use http::header::{HeaderMap, RETRY_AFTER};

use super::csv::FoundTypes;
use super::end::End;
use super::file_id::FileId;
use super::import_id::ImportId;
use super::import_sources::{NoSource, WantedSource};
use super::journal::JournalError;
use super::options_hash::OptionsHash;
use super::prefix::Prefix;
use crate::boxed_future::BoxFuture;
use crate::log::{ImportKey, ImportProgress};
use crate::sources::SourceId;
use crate::words::Told;

/// The wait before a retry of what needs time: another importer has the file, or the disk is full.
pub(super) const LATER: Duration = Duration::from_secs(10);
/// The wait before a retry of what may work soon: a store failed, or an answer names no wait.
pub const AGAIN: Duration = Duration::from_secs(1);

/// A file to import.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct Begin {
    /// The file's id.
    pub file: FileId,
    /// The file's name, for people.
    pub name: String,
    /// The file's length in bytes, as stored; `None` if it is not known.
    pub bytes: Option<u64>,
    /// The source of the calls.
    #[serde(default)]
    pub source: WantedSource,
    /// The import that reads the file by rules, so that a row may give several calls. `None`: each row is one
    /// call, and the file's key is that of the file and the source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub import: Option<ImportId>,
    /// How long after a row was received another one that is named alike is dropped. `None`: rows are not
    /// compared, and are not remembered for a comparison.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub insert_id_window: Option<Duration>,
    /// The options that decide how rows become calls. An import is continued only with the same options.
    #[serde(flatten)]
    pub options: OptionsHash,
    /// The types that were found for the columns of the file, if they were asked for. If rows of it are
    /// imported, those count that were found before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<FoundTypes>,
    /// A hash of the options that decide whether the file fails, and not how rows become calls. If they
    /// change, a file that failed too often is retried.
    #[serde(default)]
    pub limits: String,
    /// Whether rows are known by their content: each call then comes with a hash.
    #[serde(default)]
    pub by_content: bool,
    /// The file whose import rejected these rows, if they are read again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<FileId>,
    /// Whether to import the file from its first row again, whatever was imported before.
    #[serde(default)]
    pub force: bool,
    /// The id of where the file is: the same for all of its versions. `None`: the file has no versions, or
    /// they do not matter.
    pub place: Option<FileId>,
    /// The later version of the file that is read, if it continues the import of `file`, an earlier version.
    pub version: Option<Version>,
}

/// A later version of a file, which continues the import of the first one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Version {
    /// The id of this version.
    pub file: FileId,
    /// What this version begins with, as was just verified; `None`: the target knows the version.
    pub prefix: Option<Prefix>,
}

/// What was imported of an earlier version of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(tag = "earlier", rename_all = "snake_case")]
pub enum Earlier {
    /// This version was found to continue the import of another one.
    Known {
        /// The first version.
        file: FileId,
    },
    /// The import of another version did not reach the end.
    Unfinished {
        /// The first version.
        file: FileId,
        /// How many rows were imported.
        rows: u64,
        /// The header and rows that were imported; `None` if they are not known.
        prefix: Option<Prefix>,
        /// Whether the rows were imported with other options.
        other_options: bool,
    },
}

/// Where an import stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// No row was imported before.
    New,
    /// An earlier import did not reach the end of the file.
    Continued,
    /// The whole file was imported before.
    Done,
}

/// An import that has begun.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Begun {
    /// The import's key, for the requests that follow.
    pub import: ImportKey,
    /// The source of the calls.
    pub source: SourceId,
    /// How far the import is.
    pub standing: Standing,
    /// The progress that is stored.
    pub progress: ImportProgress,
    /// The row to read from. It is before the next row only if rows are known by their content and were
    /// stored without being counted. Such rows are handed over again, in steps that end at the next row at
    /// the latest.
    pub read_from: u64,
    /// Whether the whole file was imported before with other options, which are not applied now.
    #[serde(default)]
    pub other_options: bool,
    /// Whether steps should come with [`Rows::prefix`]. Older nodes do not know prefixes.
    #[serde(default)]
    pub keeps_prefix: bool,
    /// Whether `types` is known. Older nodes keep no types.
    #[serde(default)]
    pub keeps_types: bool,
    /// The types that were found when the first row was imported; `None`: none were found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub types: Option<FoundTypes>,
    /// What the file has to begin with, as far as that is known.
    pub prefix: Option<Prefix>,
}

/// The next rows of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Rows {
    /// The import.
    pub import: ImportKey,
    /// The first row that is covered.
    pub first: u64,
    /// The number of rows that are covered; at least one. Rows that are neither calls nor rejected are passed
    /// over.
    pub rows: u64,
    /// The number of rejected rows.
    pub rejected: u64,
    /// The number of rows that equal an earlier row of the file with the same id. These rows are not handed
    /// over.
    #[serde(default)]
    pub repeats: u64,
    /// What the file begins with, up to the end of these rows.
    pub prefix: Option<Prefix>,
}

/// Rows that are on stable storage.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct RowsTaken {
    /// The file's progress.
    pub progress: ImportProgress,
}

/// Why a target did not do what it was asked. The `Display` of it is for the people who have the file; logs
/// and masked views take [`TargetError::masked`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// The rows are not the next ones. The reading side begins again.
    #[error("these rows are not the next ones of their file")]
    OtherRow,
    /// The target does not know the import, because it was restarted or others took its place. The reading
    /// side begins again.
    #[error("the import is not open")]
    NotOpen,
    /// A call that must have an id of its own has the id of another call; its number in the step, from 0. The
    /// reading side hands over the rows without this call: see [`Row::Corrected`](super::Row::Corrected).
    #[error("another call has the id of call {0} of these rows")]
    IdTaken(u32),
    /// There is no such source.
    #[error(transparent)]
    NoSource(NoSource),
    /// Part of the file was imported with other options.
    #[error(
        "rows of this file were imported with other options; use the same options again to continue, or --force to import \
         all of its rows again with these"
    )]
    OtherOptions,
    /// The file failed too often.
    #[error(
        "this file failed {attempts} times, the last time with {code}: {}; change it or the options, or use --force",
        message.full()
    )]
    GivenUp {
        /// The number of failures.
        attempts: u32,
        /// The code of the last failure.
        code: String,
        /// The text of the last failure.
        message: Told,
    },
    /// The request failed now, but may succeed later.
    #[error("{}", why.full())]
    Later {
        /// How long to wait.
        after: Duration,
        /// Why the target waits, for a person.
        why: Told,
    },
    /// The request is refused for good.
    #[error("{}", .0.full())]
    Refused(Told),
    /// Access is denied.
    #[error("{}", .0.full())]
    Denied(Told),
}

impl TargetError {
    /// The error of an answer of a collector or a node that is not a success.
    pub fn of_answer(status: StatusCode, headers: &HeaderMap, why: Told) -> Self {
        match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Self::Denied(why),
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => Self::asked_later(headers, why),
            status if status.is_server_error() => Self::asked_later(headers, why),
            _ => Self::Refused(why),
        }
    }

    /// The error of a request that may succeed after the time that the answer names.
    pub fn asked_later(headers: &HeaderMap, why: Told) -> Self {
        let after = headers.get(RETRY_AFTER).and_then(|after| after.to_str().ok()?.parse().ok());
        Self::Later { after: after.map_or(AGAIN, Duration::from_secs), why }
    }

    /// The error if nothing answered, or not as a collector or node does.
    pub fn unanswered(why: String) -> Self {
        Self::Later { after: AGAIN, why: Told::plain(why) }
    }

    /// The text without what the file contains and without what a store or a collector said.
    pub fn masked(&self) -> String {
        match self {
            Self::OtherRow | Self::NotOpen | Self::OtherOptions | Self::IdTaken(_) => self.to_string(),
            Self::NoSource(error) => error.to_string(),
            Self::GivenUp { attempts, code, message } => {
                let (attempts, code, message) = (*attempts, code.clone(), Told::plain(message.masked()));
                Self::GivenUp { attempts, code, message }.to_string()
            }
            Self::Later { why: told, .. } | Self::Refused(told) | Self::Denied(told) => {
                told.masked().to_owned()
            }
        }
    }
}

/// Where rows go.
pub trait Target: Send + Sync + fmt::Debug {
    /// What was imported of an earlier version of a file that was not imported itself. `None` also if the
    /// target keeps nothing of that. Errors: [`TargetError`]: the target could not look, now or for good.
    fn earlier(&self, _file: Begin) -> BoxFuture<'_, Result<Option<Earlier>, TargetError>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Begins to import a file, or continues it.
    /// Errors: [`TargetError`]: the import cannot begin, now or for good.
    fn begin(&self, file: Begin) -> BoxFuture<'_, Result<Begun, TargetError>>;

    /// Stores rows. `calls` is a tracking API envelope, `{"batch":[…]}`, whose calls name their types. `Ok`:
    /// they are on stable storage.
    /// Errors: [`TargetError`]: none of the rows is stored; after a lost connection, nobody knows whether
    /// they are.
    fn rows(&self, rows: Rows, calls: Bytes) -> BoxFuture<'_, Result<RowsTaken, TargetError>>;

    /// Counts rows of stored steps that are left out on purpose, where somebody counts them.
    fn left_out(&self, _source: &SourceId, _rows: u64) {}

    /// Records how an import ended. Errors: [`TargetError`]: the end is not recorded.
    fn end(&self, end: End) -> BoxFuture<'_, Result<(), TargetError>>;
}

/// Runs the work of a target on a thread that may block.
/// Errors: those of the work, and [`TargetError`] if the work panicked.
pub async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, TargetError> + Send + 'static,
) -> Result<T, TargetError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(broken(&error)))
}

/// The error of a task that panicked.
pub(super) fn broken(error: &tokio::task::JoinError) -> TargetError {
    // The text of a panic may quote what a row contains, so it is private.
    let what = Told::plain("the importer failed: ").and(&error.to_string().into());
    TargetError::Refused(what.and(&"; this is a bug in Forebay".into()))
}

/// The error of an import whose journal cannot be written or read.
pub(super) fn unwritten(error: JournalError) -> TargetError {
    match error.needs_a_person() {
        true => TargetError::Refused(Told::plain(error.to_string())),
        false => TargetError::Later { after: LATER, why: Told::plain(error.to_string()) },
    }
}
