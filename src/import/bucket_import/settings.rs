//! The settings of an import of a bucket.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::after::After;
use super::never::Never;
use super::rejected::place::RejectsPlace;
use crate::convert::Converter;
use crate::import::claims::SharedImport;
use crate::import::import_names::FixedSettings;
use crate::import::row_errors::OnRowError;
use crate::object::S3Location;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// What happens if an object no longer exists when it is to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMissing {
    /// It is skipped.
    Skip,
    /// It failed.
    Fail,
}

/// What happens if an object is stored again under the key of one that is imported.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnChange {
    /// Nothing: the first version counts.
    Ignore,
    /// It is a new file.
    Reprocess,
}

/// One import: the objects below a prefix of a bucket become calls of a source, by a converter.
#[derive(Clone, Debug)]
pub struct BucketImport {
    /// The import's name.
    pub name: String,
    /// The bucket, and how it is read. A prefix in it does not count.
    pub location: S3Location,
    /// The endpoint of the store; empty for that of AWS.
    pub endpoint: String,
    /// What the keys begin with.
    pub prefix: String,
    /// What keys in this bucket begin with that are never imported: what Forebay writes there.
    pub never: Never,
    /// The source of the calls.
    pub source: SourceId,
    /// The converter, for the data type and the strategy of the import.
    pub converter: Arc<Converter>,
    /// The text of the converter's file. The journal keeps it for files that have begun with it.
    pub converter_text: Arc<[u8]>,
    /// The longest call, in bytes of JSON, for converters that files were begun with.
    pub max_event: usize,
    /// How long rows are compared by their `insert_id` and `device_id`. `None`: they are not compared.
    pub insert_id_window: Option<Duration>,
    /// The smallest file, in bytes.
    pub min_size: u64,
    /// The largest file, in bytes.
    pub max_size: u64,
    /// What happens to a file with rejected rows.
    pub on_row_error: OnRowError,
    /// Whether a file may unpack to any size.
    pub allow_expansion: bool,
    /// How many files are imported at once, unless `serial`.
    pub parallel: usize,
    /// Whether files are imported one at a time, in the order of the times at which they were stored.
    pub serial: bool,
    /// Objects stored before this time are not imported.
    pub modified_after: Option<UnixMillis>,
    /// What happens if an object no longer exists when it is to be read.
    pub on_missing: OnMissing,
    /// What happens if an object is stored again under the key of one that is imported.
    pub on_change: OnChange,
    /// What happens to an object once all of its rows are stored; `None`: nothing.
    pub after: Option<After>,
    /// What several instances share, if they do.
    pub claims: Option<Arc<SharedImport>>,
    /// Where rejected rows are kept.
    pub rejects: RejectsPlace,
    /// The folder for temporary copies of archives.
    pub temporary: PathBuf,
}

impl BucketImport {
    /// How many files are imported at once.
    pub(super) fn parallel_now(&self) -> usize {
        if self.serial { 1 } else { self.parallel.max(1) }
    }

    /// The settings that cannot change once a file has begun.
    pub fn fixed(&self) -> FixedSettings {
        FixedSettings {
            bucket: self.location.bucket.bucket().to_owned(),
            prefix: self.prefix.clone(),
            endpoint: self.endpoint.clone(),
            role: self.location.role.as_ref().map_or_else(String::new, |role| role.arn.to_string()),
            source: self.source.to_string(),
            data_type: self.converter.data_type().name().to_owned(),
            strategy: self.converter.strategy().name().to_owned(),
            journal: self.claims.as_ref().map_or_else(String::new, |claims| claims.url().to_owned()),
        }
    }
}
