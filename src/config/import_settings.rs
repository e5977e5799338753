//! What `[[import]]` says, as values.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::convert::{Converter, DataType, Strategy};
use crate::import::OnRowError;
use crate::object::{BucketString, ExternalId, RoleArn};
use crate::queue::QueueAddress;
use crate::sources::SourceId;
use crate::time::UnixMillis;

use super::values::Endpoint;

/// One import: a bucket of files that become calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportSettings {
    /// Its name; unique.
    pub name: SourceId,
    /// What it is for.
    pub description: String,
    /// Whether it works.
    pub enabled: bool,
    /// The source of its calls.
    pub source: SourceId,
    /// The bucket, without a prefix.
    pub bucket: BucketString,
    /// What the keys of its files begin with; empty: anything.
    pub prefix: String,
    /// The bucket's region; `None`: it is found.
    pub region: Option<String>,
    /// The store, if it is not AWS: its own, or that of `[s3]`.
    pub endpoint: Option<Endpoint>,
    /// The role to assume; `None`: the process's own credentials.
    pub role: Option<RoleArn>,
    /// The external id for the role; only with a role.
    pub external_id: Option<ExternalId>,
    /// Whether the external id is set. If not, it is the import's name.
    pub has_own_external_id: bool,
    /// Files that were last modified before this time are left out.
    pub modified_after: Option<UnixMillis>,
    /// How files are found.
    pub discovery: Discovery,
    /// How often the bucket is listed.
    pub scan_interval: Duration,
    /// How often all of it is listed.
    pub full_scan_every: Duration,
    /// How long rows are compared by their `insert_id` and `device_id`; zero if they are not.
    pub insert_id_window: Duration,
    /// What the rows are.
    pub data_type: DataType,
    /// Whether one file is read at a time, in the order in which they were modified.
    pub serial: bool,
    /// How many files are read at once, unless it is `serial`.
    pub parallel: usize,
    /// How rows become calls. `None` only if it was loaded [without converters](super::Loader::without_converters).
    pub converter: Option<ImportConverter>,
    /// What an object does that is stored again under a known key.
    pub on_change: OnChange,
    /// The least and the most bytes of a file, as stored.
    pub size: std::ops::RangeInclusive<u64>,
    /// What rejected rows lead to.
    pub on_row_error: OnRowError,
    /// Whether a file that is gone fails; if not, it is skipped.
    pub missing_fails: bool,
    /// Whether compressed files may expand more than a thousand times.
    pub allow_expansion: bool,
    /// The folder or `s3://bucket/prefix/` for rejected rows; `None`: in the spool's directory.
    pub rejects: Option<String>,
    /// The most bytes of rejected rows in a folder.
    pub rejects_max: u64,
    /// What happens to a file once its rows are stored.
    pub after: After,
    /// The `s3://bucket/prefix/` of the journal that several instances share, in the store of `[s3]`; `None`:
    /// the import has one instance.
    pub journal: Option<String>,
}

/// What happens to a file once its rows are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing.
    Nothing,
    /// It gets a tag.
    Tag,
    /// It is moved below this prefix, which ends with a slash.
    Move(String),
    /// It is deleted.
    Delete,
}

/// How the files of an import are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Discovery {
    /// By listings of the bucket.
    Scan,
    /// By notifications in this queue. A command lists the bucket, too.
    Queue(QueueAddress),
    /// By both.
    Both(QueueAddress),
}

impl Discovery {
    /// How it is written.
    pub fn word(&self) -> &'static str {
        match self {
            Self::Scan => "scan",
            Self::Queue(_) => "sqs",
            Self::Both(_) => "both",
        }
    }

    /// Whether the bucket is listed from time to time.
    pub fn scans(&self) -> bool {
        !matches!(self, Self::Queue(_))
    }

    /// The queue with notifications, if one is read.
    pub fn queue(&self) -> Option<&QueueAddress> {
        match self {
            Self::Scan => None,
            Self::Queue(queue) | Self::Both(queue) => Some(queue),
        }
    }
}

impl ImportSettings {
    /// The bucket and prefix for rejected rows, if they go to a bucket.
    pub fn rejects_bucket(&self) -> Option<BucketString> {
        BucketString::parse(self.rejects.as_deref()?.strip_prefix("s3://")?).ok()
    }
}

/// What an object does that is stored again under a known key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnChange {
    /// Nothing.
    Ignore,
    /// It is a new file.
    Reprocess,
}

/// A converter file that was loaded. Two are equal if their texts are, and what they are compiled for.
#[derive(Clone, Debug)]
pub struct ImportConverter {
    /// The file, as typed.
    pub path: PathBuf,
    /// Its text.
    pub text: Arc<[u8]>,
    /// The file, compiled for the import's data type and strategy.
    pub compiled: Arc<Converter>,
}

impl ImportConverter {
    /// What the rows are, and what new ones do to earlier ones.
    pub fn kind(&self) -> (DataType, Strategy) {
        (self.compiled.data_type(), self.compiled.strategy())
    }
}

impl PartialEq for ImportConverter {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path && self.text == other.text && self.kind() == other.kind()
    }
}

impl Eq for ImportConverter {}
