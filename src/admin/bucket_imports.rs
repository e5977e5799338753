//! Imports of buckets: what their passes found, and what an operator can ask of them. They are part of the
//! status; `POST /api/imports/{name}/run`, `/object`, `/reset`, `/retry-rejects`, `/pause`, `/resume`, `/rename` and
//! `/release` change something.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::after_status::AfterStatus;
use super::asked_object::{AskedObject, ObjectImported};
use super::claims::{ClaimsReleased, ClaimsStatus};
use super::file_not_done::FileNotDone;
use super::notifications::NotificationsStatus;
use crate::boxed_future::BoxFuture;
use crate::sources::SourceId;
use crate::words::nearest;

/// One import of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BucketImportStatus {
    /// The import's name.
    pub name: String,
    /// The source of its calls.
    pub source: String,
    /// What is listed: `s3://bucket/prefix`.
    pub place: String,
    /// Whether the configuration enables it. If not, it is paused.
    pub enabled: bool,
    /// Whether a command paused it.
    pub paused: bool,
    /// Since when a pass is under way (Unix milliseconds).
    pub pass_since_ms: Option<i64>,
    /// Rows that the pass under way has read.
    pub pass_rows: u64,
    /// What all passes did since the process started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_start: Option<ImportTotals>,
    /// Requests of listings in the last hour: the store charges for each.
    pub list_requests_hour: u64,
    /// How many columns of its files the converter does not read. Of JSON lines, the first of each file count.
    pub unused_columns: u64,
    /// The first of them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unused_first: Vec<String>,
    /// The last pass that reached its end, since the process started.
    pub last: Option<PassStatus>,
    /// The last pass that listed all keys, if `last` did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub whole: Option<PassStatus>,
    /// When the next pass begins (Unix milliseconds).
    pub next_ms: Option<i64>,
    /// Why the import cannot go on, and what to do.
    pub failing: Option<String>,
    /// Since when (Unix milliseconds).
    pub failing_since_ms: Option<i64>,
    /// What a person should know of the files of the last day, whoever found them: such as another
    /// compression than the converter's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// What its queue brought, if it reads one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notifications: Option<NotificationsStatus>,
    /// What the journal has of its files, if no node works with it that knows more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_journal: Option<FilesInJournal>,
}

/// The files of an import that its journal has, by how far they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FilesInJournal {
    /// Files that are imported.
    pub done: u64,
    /// Files that are given up.
    pub given_up: u64,
    /// Files that have begun, and go on.
    pub begun: u64,
}

/// What the passes of an import did, and what became of rejected rows since. What messages of a queue brought is not
/// among it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ImportTotals {
    /// Files that were imported.
    pub done: u64,
    /// Rows that were read.
    pub rows: u64,
    /// Calls that were stored.
    pub stored: u64,
    /// Rows that were dropped because they repeat others.
    pub repeats: u64,
    /// Rows that were rejected, and calls that the limits of a collector refuse.
    pub rejected: u64,
    /// Rows that the converter left out.
    pub skipped_rows: u64,
    /// Rejected rows, also of before the start, that retries found to be rejected no longer.
    pub settled: u64,
    /// Calls that these retries stored.
    pub stored_again: u64,
    /// Rejected rows, also of before the start, without which a person does.
    pub accepted: u64,
}

/// What a pass over a bucket found and did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PassStatus {
    /// The import's name.
    pub import: String,
    /// When the pass began (Unix milliseconds).
    pub began_ms: i64,
    /// When it ended (Unix milliseconds).
    pub ended_ms: i64,
    /// Objects that the listing showed.
    pub listed: u64,
    /// Requests of the listing.
    pub list_requests: u64,
    /// Objects that were imported before, and were not asked for again.
    pub known: u64,
    /// Objects that were given up before, and were not asked for again. They are among `files`.
    pub given_up: u64,
    /// Objects that are not imported, by the reason.
    pub skipped: BTreeMap<String, u64>,
    /// What became of the files of the other objects.
    pub files: BTreeMap<String, u64>,
    /// Objects that had not begun when the pass ended.
    pub not_begun: u64,
    /// Rows that the pass read.
    pub rows: u64,
    /// Calls that the pass stored.
    pub stored: u64,
    /// Rows that the pass dropped because they repeat others.
    pub repeats: u64,
    /// Rows that the pass rejected, and calls that the limits of a collector refuse.
    pub rejected: u64,
    /// Rows that the converter left out.
    pub skipped_rows: u64,
    /// What a person should know of the files that the pass read, such as another compression than the
    /// converter's. The status has those of the import instead.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The first files that are not done.
    pub not_done: Vec<FileNotDone>,
    /// Whether it listed only keys after the greatest one that was known, and those of files that were not
    /// done.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub part: bool,
    /// Whether the pass was stopped before its end.
    pub stopped: bool,
    /// Files that belong to other instances, if a journal is shared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims: Option<ClaimsStatus>,
    /// Why the pass could not go on.
    pub failed: Option<PassFailure>,
    /// What a pass would do with objects that it did not read, if none was made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub planned: Option<PassPlanned>,
    /// What was done with imported files, and with which ones nothing is done yet, if the import says that
    /// something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<AfterStatus>,
    /// What is wrong with the place of rejected rows, and what to do.
    pub rejects: Option<String>,
    /// What gives access to files that are denied, in a sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
    /// What grants the rights that are denied. Only in the answer to whoever asked for the pass.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
}

/// What grants a right.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Grant {
    /// What to do, without its end.
    pub text: String,
    /// The statement of a policy.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub statement: Option<String>,
}

/// What a pass would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PassPlanned {
    /// How many objects it would `begin`, `go_on` with, import `again`, `reprocess` or `leave_out`.
    pub would: BTreeMap<String, u64>,
    /// Rows of the objects that it would import again.
    pub rows_again: u64,
    /// For how long rows with an `insert_id` are compared with earlier ones (milliseconds); 0: they are not.
    pub insert_id_window_ms: u64,
    /// The first of these objects.
    pub first: Vec<FilePlanned>,
}

/// An object that a pass would do something with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FilePlanned {
    /// Its name.
    pub name: String,
    /// What the pass would do, such as `begin`.
    pub would: String,
}

/// Why a pass could not go on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PassFailure {
    /// The kind: `denied`, `settings`, `journal`, `refused` or `unreachable`.
    pub kind: String,
    /// What happened, and what to do.
    pub what: String,
}

/// The pass that is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedPass {
    /// The import's name.
    pub name: SourceId,
    /// The first key.
    pub from: Option<String>,
    /// The last key.
    pub to: Option<String>,
    /// Whether objects that are done are imported again, from their first row.
    pub again: bool,
    /// Whether nothing is done, and the answer says what a pass would do.
    pub dry_run: bool,
}

impl AskedPass {
    /// Whether only some keys are listed.
    pub fn has_range(&self) -> bool {
        self.from.is_some() || self.to.is_some()
    }
}

/// Which files of an import are reset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AskedReset {
    /// The object with this key; `None`: all that are meant.
    pub key: Option<String>,
    /// Whether files that are done and kept because of rejected rows are meant, and no longer are; if not,
    /// those that are given up, which begin again.
    pub accept_rejects: bool,
}

/// Imports of buckets, for an operator who changes something.
pub trait BucketImportsView: Send + Sync + fmt::Debug {
    /// Makes one pass now, after the one under way, and waits for its end. The pass goes on if the future is
    /// dropped.
    fn run(&self, asked: AskedPass) -> BoxFuture<'_, Result<PassStatus, BucketImportError>>;

    /// Imports the object with a key, as a pass would, within a time. It goes on if the future is dropped.
    fn object(&self, asked: AskedObject) -> BoxFuture<'_, Result<ObjectImported, BucketImportError>>;

    /// Lets files begin again that are given up, or accepts the rejected rows of files that are done.
    fn reset(
        &self,
        name: SourceId,
        asked: AskedReset,
    ) -> BoxFuture<'_, Result<FilesReset, BucketImportError>>;

    /// Reads rejected rows again: of all files, or of the object with this key. `dry_run`: nothing is stored or
    /// changed. It goes on if the future is dropped.
    fn retry_rejects(
        &self,
        name: SourceId,
        key: Option<String>,
        dry_run: bool,
    ) -> BoxFuture<'_, Result<RejectsRetried, BucketImportError>>;

    /// Pauses an import until it is resumed, or resumes it.
    fn pause(&self, name: SourceId, paused: bool) -> BoxFuture<'_, Result<Paused, BucketImportError>>;

    /// Gives the history of the import `old` to the name `new`.
    fn rename(&self, old: SourceId, new: SourceId) -> BoxFuture<'_, Result<Renamed, BucketImportError>>;

    /// Frees the open claims of another instance, whose disk is lost, and begins a pass; with `dry_run`, only
    /// says which claims there are.
    fn release(
        &self,
        name: SourceId,
        instance: String,
        dry_run: bool,
    ) -> BoxFuture<'_, Result<ClaimsReleased, BucketImportError>>;
}

/// An import has another name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Renamed {
    /// The name that its history now has.
    pub name: String,
}

/// An import was paused or resumed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Paused {
    /// The import's name.
    pub name: String,
    /// Whether it is paused now.
    pub paused: bool,
    /// Whether the configuration enables it.
    pub enabled: bool,
}

/// What became of rejected rows that were read again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct RejectsRetried {
    /// The import's name.
    pub import: String,
    /// Whether nothing was stored or changed: the counts say what would become of the rows.
    pub dry_run: bool,
    /// Files with rejected rows that were read.
    pub files: u64,
    /// Rows that are no longer rejected.
    pub settled: u64,
    /// The same by the code that they were rejected with.
    pub settled_by_code: BTreeMap<String, u64>,
    /// Rows that are rejected again.
    pub rejected: u64,
    /// The same by their code now.
    pub rejected_by_code: BTreeMap<String, u64>,
    /// Calls that were stored.
    pub stored: u64,
    /// Rejected rows that cannot be read again, because their numbers were not kept.
    pub not_kept: u64,
    /// The first files whose rows were not all read, and why.
    pub left: Vec<FileNotDone>,
    /// How many such files there are.
    pub left_count: u64,
    /// What grants the right that such a file shows to be missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// Files that the next pass begins again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FilesReset {
    /// The import's name.
    pub import: String,
    /// How many.
    pub count: u64,
    /// The first ones.
    pub files: Vec<FileReset>,
    /// Rejected rows that were accepted, of all of them; then no file begins again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accepted_rows: Option<u64>,
}

/// A file that the next pass begins again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FileReset {
    /// The file's name.
    pub name: String,
    /// Where it begins: `next_row`, or `new_object` if another object is there now; `done` if its rejected rows
    /// were accepted; `gone` if its object is.
    pub begins: String,
    /// Rows that were read of it before, or of the object that was there, if one file was asked for.
    pub rows: Option<u64>,
    /// Calls that are stored of these rows.
    pub calls: Option<u64>,
}

/// Why nothing is done with an import of a bucket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BucketImportError {
    /// The configuration has no import with this name.
    #[error("the configuration has no [[import]] {name}{known}", name = .0, known = known(.0, .1))]
    Unknown(String, Vec<String>),
    /// The import is not enabled.
    #[error("import {0} is paused: set enabled = true for it, and run it again")]
    Paused(String),
    /// A command paused the import.
    #[error("import {0} is paused: `forebay import resume {0}` ends that; then run it again")]
    OnHold(String),
    /// The names do not allow it, in words.
    #[error("{0}")]
    Refused(String),
    /// What is asked for is not possible; the text says what is.
    #[error("{0}")]
    NotPossible(String),
    /// The journal or the settings do not allow it, in words.
    #[error("{0}")]
    Failed(String),
    /// The store refuses, in words.
    #[error("{0}")]
    StoreDenied(String),
    /// The store cannot be reached, in words.
    #[error("{0}")]
    StoreFailed(String),
    /// The process ends, or the import was changed or removed meanwhile.
    #[error("import {0} was stopped, removed or changed before the pass ended: run it again")]
    Stopped(String),
}

fn known(typed: &str, names: &[String]) -> String {
    match nearest(typed, names.iter().map(String::as_str)) {
        Some(near) => format!(": did you mean {near}?"),
        None if names.is_empty() => ", and no other one".to_owned(),
        None => format!("; it has {}", names.join(", ")),
    }
}
