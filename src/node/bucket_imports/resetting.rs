//! Lets files of an import begin again.

use std::sync::Arc;

use super::one_import::OneImport;
use super::pass_status::error_of;
use crate::admin::{BucketImportError, FileReset, FilesReset};
use crate::import::bucket_import::{
    PassDeps, ResetError, ResetObject, ResetObjects, reset_failed, reset_object,
};
use crate::import::{Counters, FileEnd, FileFault};

impl OneImport {
    /// Lets the object with this key begin again, or all that are given up.
    /// Errors: [`BucketImportError`]: why not, and what to do.
    pub(super) async fn reset(&self, key: Option<&str>) -> Result<FilesReset, BucketImportError> {
        let reset = self.reset_in_journal(key).await;
        // If it failed, some of many may begin again.
        if reset.is_ok() || key.is_none() {
            self.want_full_scan();
        }
        reset
    }

    async fn reset_in_journal(&self, key: Option<&str>) -> Result<FilesReset, BucketImportError> {
        let import = Arc::new(self.import().map_err(BucketImportError::Failed)?);
        let deps: PassDeps = self.pass_deps(&self.store().await, None, Counters::default());
        let name = self.name().to_owned();
        let refused = |error| refused(error, self.shows_all());
        let Some(key) = key else {
            let ResetObjects { count, names } = reset_failed(import, deps).await.map_err(refused)?;
            let (begins, rows, calls) = ("next_row", None, None);
            let file = |name| FileReset { name, begins: begins.to_owned(), rows, calls };
            return Ok(FilesReset { import: name, count, files: names.into_iter().map(file).collect() });
        };
        let ResetObject { name: file, begins, rows, calls } =
            reset_object(import, deps, key).await.map_err(refused)?;
        let begins = begins.slug().to_owned();
        let file = FileReset { name: file, begins, rows: Some(rows), calls: Some(calls) };
        Ok(FilesReset { import: name, count: 1, files: vec![file] })
    }
}

fn refused(error: ResetError, full: bool) -> BucketImportError {
    let what = error.to_string();
    match error {
        ResetError::Refused(_) => BucketImportError::NotPossible(what),
        ResetError::Name(_) | ResetError::Journal(_) => BucketImportError::Failed(what),
        ResetError::Unknown { end, .. } => {
            let is_denied = matches!(&end, Some(FileEnd::Failed(error)) if error.fault == FileFault::Denied);
            let why =
                end.and_then(|end| error_of(&end, full)).map_or_else(String::new, |why| format!(": {why}"));
            let of = if is_denied { BucketImportError::StoreDenied } else { BucketImportError::StoreFailed };
            of(format!("{what}{why}"))
        }
    }
}
