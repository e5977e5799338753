//! Rejected rows of a function: its disk does not outlive it, so they go to S3, or only their places go to
//! the log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::import::discovery::inputs::{location_of, s3_folder};
use crate::import::{FileError, FileFault, Job, Kept, Reject, RejectSink, Unusable};
use crate::object::{ObjectKey, S3Location};
use crate::store::{ObjectStore, Outlook, Put, PutMode};
use crate::words::Told;

/// The most rejected rows of a file that an invocation logs.
const LOGGED_MAX: u64 = 10;

/// A folder in S3 for rejected rows.
#[derive(Clone, Debug)]
pub(super) struct RejectsInS3 {
    store: Arc<dyn ObjectStore>,
    bucket: S3Location,
    prefix: String,
}

impl RejectsInS3 {
    /// The folder with this name. Errors: [`Unusable`]: the name is no folder in S3.
    pub(super) fn named(name: &str, store: Arc<dyn ObjectStore>) -> Result<Self, Unusable> {
        let wrong = "FOREBAY_CSV_REJECTS: expected s3://bucket/prefix: a function keeps no files";
        let (bucket, prefix) = s3_folder(name).ok_or_else(|| Unusable::Wrong(wrong.to_owned()))?;
        Ok(Self { store, bucket: location_of(bucket)?, prefix })
    }
}

impl RejectSink for RejectsInS3 {
    fn keep<'a>(&'a self, job: &'a Job, first: u64, rejects: &'a [Reject]) -> Kept<'a> {
        Box::pin(async move {
            // The names follow from the rows, so that a retry overwrites. Most files have one step.
            let part = if first == 0 { String::new() } else { format!(".{first:020}") };
            let mut lines = Vec::new();
            for reject in rejects {
                serde_json::to_writer(&mut lines, reject)
                    .map_err(|error| FileError::new(FileFault::Local, "E-REJECTS", error.to_string()))?;
                lines.push(b'\n');
            }
            let key = ObjectKey::listed(format!("{}{}{part}.ndjson", self.prefix, job.begin.file));
            let put = Put::plain(self.bucket.clone(), key, lines, PutMode::Overwrite);
            let stored = self.store.put(&put).await;
            stored.map(drop).map_err(|error| {
                let fault = match error.outlook() {
                    Outlook::Passing => FileFault::Transient,
                    _ => FileFault::Local,
                };
                let what = format!("the rejected rows cannot be put to {}: ", put.key);
                FileError::new(fault, "E-REJECTS", Told::plain(what).and(&error.told()))
            })
        })
    }
}

/// Logs where the first rejected rows are, and nothing of their content: many people read a log.
#[derive(Debug, Default)]
pub(super) struct RejectsInLog {
    logged: AtomicU64,
}

impl RejectSink for RejectsInLog {
    fn keep<'a>(&'a self, job: &'a Job, _first: u64, rejects: &'a [Reject]) -> Kept<'a> {
        Box::pin(async move {
            for reject in rejects {
                if self.logged.fetch_add(1, Ordering::Relaxed) >= LOGGED_MAX {
                    break;
                }
                tracing::warn!(
                    key = job.begin.name,
                    row = reject.row,
                    line = reject.line,
                    code = reject.code,
                    "a row was rejected; FOREBAY_CSV_REJECTS=s3://bucket/prefix keeps such rows"
                );
            }
            Ok(())
        })
    }
}
