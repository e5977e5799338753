//! Rows that become objects without a collector.

use std::sync::Arc;

use bytes::Bytes;

use crate::boxed_future::BoxFuture;
use crate::import::ProgressKeeper;
use crate::import::file_id::FileId;
use crate::import::part::{self, PartObject, PartsOf};
use crate::import::{AGAIN, Begin, Begun, End, Rows, RowsTaken, Taken, Target, TargetError, blocking};
use crate::lock::lock;
use crate::log::ImportKey;
use crate::object::{S3Location, Stream};
use crate::random::Random;
use crate::sources::SourceId;
use crate::store::{ObjectStore, Outlook, Put, PutMode, StoreError};
use crate::time::UnixMillis;
use crate::words::Told;

/// Where objects go.
#[derive(Clone, Debug)]
pub(super) struct Output {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) location: S3Location,
    /// The source of the calls.
    pub(super) source: SourceId,
}

/// Makes one object of each step of a file, or of the files in an archive. A step is recorded after it is
/// stored, so a crash between the two makes the same object once more.
#[derive(Debug)]
pub(super) struct OutputTarget {
    pub(super) output: Output,
    pub(super) progress: Arc<dyn ProgressKeeper>,
    /// When the file was stored.
    pub(super) received_at: UnixMillis,
    pub(super) files: std::sync::Mutex<Vec<(ImportKey, FileId)>>,
    pub(super) random: Arc<dyn Random>,
}

impl OutputTarget {
    async fn objects(&self, rows: Rows, calls: Bytes) -> Result<Vec<PartObject>, TargetError> {
        let found =
            lock(&self.files).iter().find(|(import, _)| *import == rows.import).map(|(_, file)| *file);
        let file = found.ok_or(TargetError::NotOpen)?;
        let (source, bucket) = (self.output.source.clone(), self.output.location.bucket.clone());
        let (received_at, random) = (self.received_at, Arc::clone(&self.random));
        blocking(move || {
            let of = PartsOf { file, source: &source, received_at };
            part::objects(&of, rows, &calls, &bucket, &*random).map_err(|error| {
                TargetError::Refused(Told::plain("the rows make no object: ").and(&error.to_string().into()))
            })
        })
        .await
    }

    async fn put(&self, object: PartObject) -> Result<(), TargetError> {
        let location = self.output.location.clone();
        let put = Put {
            content_encoding: Some("gzip"),
            metadata: object.metadata,
            ..Put::plain(location, object.key, object.gzip, PutMode::Overwrite)
        };
        let stored = self.output.store.put(&put).await.map_err(|error| refusal(&put, &error))?;
        let applied = stored.applied.unwrap_or_default();
        match put.location.encryption.mismatch(&applied) {
            Some(why) => Err(TargetError::Refused(Told::plain(format!("put {}: {why}", put.key)))),
            None => Ok(()),
        }
    }
}

fn refusal(put: &Put, error: &StoreError) -> TargetError {
    let what = format!("put s3://{}/{}: ", put.location.bucket.bucket(), put.key);
    let why = Told::plain(what).and(&error.with_remedy());
    match error.outlook() {
        Outlook::Denied => TargetError::Denied(why),
        Outlook::Missing | Outlook::Changed | Outlook::Refused => TargetError::Refused(why),
        Outlook::Passing => TargetError::Later { after: AGAIN, why },
    }
}

impl Target for OutputTarget {
    fn begin(&self, file: Begin) -> BoxFuture<'_, Result<Begun, TargetError>> {
        Box::pin(async move {
            let id = file.file;
            let begun = self.progress.begin(file, self.output.source.clone()).await?;
            let mut files = lock(&self.files);
            files.retain(|(import, _)| *import != begun.import);
            files.push((begun.import, id));
            Ok(begun)
        })
    }

    fn rows(&self, rows: Rows, calls: Bytes) -> BoxFuture<'_, Result<RowsTaken, TargetError>> {
        Box::pin(async move {
            self.progress.may_take(rows).await?;
            let mut new = 0;
            for object in self.objects(rows, calls).await? {
                match object.stream {
                    Stream::Calls | Stream::Objects(_) | Stream::Dead(_) => new = object.lines,
                    Stream::Rejected => tracing::warn!(
                        key = %object.key,
                        rows = object.lines,
                        "calls that a collector refuses are put aside, each with its reason"
                    ),
                }
                self.put(object).await?;
            }
            self.progress.taken(rows, Taken { new, ..Taken::default() }).await
        })
    }

    fn end(&self, end: End) -> BoxFuture<'_, Result<(), TargetError>> {
        Box::pin(self.progress.end(end))
    }
}
