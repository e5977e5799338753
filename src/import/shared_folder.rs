//! A folder in S3 where several importers share the progress of imports.

use std::sync::Arc;

use super::discovery::inputs::{location_of, s3_folder};
use super::s3_records::S3Records;
use super::shared_progress::WriteError;
use super::{SharedProgress, Unusable};
use crate::object::S3Location;
use crate::store::reader::Store;
use crate::time::Clock;

/// Where several importers share the progress of imports: `s3://bucket/prefix/`.
#[derive(Debug)]
pub struct SharedFolder {
    store: Arc<dyn Store>,
    bucket: S3Location,
    prefix: String,
}

impl SharedFolder {
    /// The folder in a store with this URL, which `option` has.
    /// Errors: [`Unusable`]: this is not a folder in S3.
    pub fn named(option: &str, name: &str, store: Arc<dyn Store>) -> Result<Self, Unusable> {
        let (bucket, prefix) = s3_folder(name)
            .ok_or_else(|| Unusable::Wrong(format!("{option} {name}: expected s3://bucket/prefix/")))?;
        Ok(Self { store, bucket: location_of(bucket)?, prefix })
    }

    /// Opens the progress of imports to one collector and write key, which `id` stands for. `importer`
    /// distinguishes this process from others. Errors: [`Unusable`]: the store cannot be used.
    pub async fn open(
        self,
        id: &str,
        importer: String,
        clock: Arc<dyn Clock>,
    ) -> Result<Arc<SharedProgress>, Unusable> {
        Ok(SharedProgress::start(self.records(id).await?, clock, importer, None))
    }

    /// Opens the records of these imports. Errors: [`Unusable`]: the store cannot be used.
    pub async fn records(self, id: &str) -> Result<Arc<S3Records>, Unusable> {
        let prefix = format!("{}{id}/", self.prefix);
        let records = S3Records::open(self.store, self.bucket, prefix).await;
        records.map(Arc::new).map_err(|error| match error {
            WriteError::Unknown(_) | WriteError::Changed => {
                Unusable::Unreachable(format!("the journal: {error}"))
            }
            WriteError::Refused(_) => Unusable::Failed(format!("the journal: {error}")),
        })
    }
}
