//! Lets files of an import begin again.

use std::sync::Arc;

use super::one_import::OneImport;
use super::pass_status::{denied_of_end, error_of};
use super::plan::ImportPlan;
use super::sharing::refused_claims;
use crate::admin::{AskedReset, BucketImportError, FileReset, FilesReset};
use crate::import::bucket_import::{
    PassDeps, ResetError, ResetObject, ResetObjects, SettledObjects, accept_all_rejects, accept_rejects,
    reset_failed, reset_object,
};
use crate::import::{Counters, FileEnd, FileFault};

impl OneImport {
    /// Lets files begin again, or accepts their rejected rows.
    /// Errors: [`BucketImportError`]: why not, and what to do.
    pub(super) async fn reset(&self, asked: &AskedReset) -> Result<FilesReset, BucketImportError> {
        let key = asked.key.as_deref();
        if asked.accept_rejects {
            return self.accept_rejects(key).await;
        }
        let reset = self.reset_in_journal(key).await;
        // If it failed, some of many may begin again.
        if reset.is_ok() || key.is_none() {
            self.want_full_scan();
        }
        reset
    }

    /// Accepts the rejected rows of the object with this key, or of all that are kept because of them. The next
    /// pass does with them what is to be done with imported files.
    async fn accept_rejects(&self, key: Option<&str>) -> Result<FilesReset, BucketImportError> {
        let import = Arc::new(self.bucket_import().map_err(BucketImportError::Failed)?);
        let deps: PassDeps = self.pass_deps(&self.store().await, None, Counters::default());
        let accepted = match key {
            Some(key) => accept_rejects(import, deps, key).await,
            None => accept_all_rejects(import, deps).await,
        };
        let SettledObjects { count, names, rows } =
            accepted.map_err(|error| refused(error, self.plan(), self.shows_all()))?;
        self.since_start.accepted(rows);
        let file = |name| FileReset { name, begins: "done".to_owned(), rows: None, calls: None };
        let (import, files) = (self.name().to_owned(), names.into_iter().map(file).collect());
        Ok(FilesReset { import, count, files, accepted_rows: Some(rows) })
    }

    async fn reset_in_journal(&self, key: Option<&str>) -> Result<FilesReset, BucketImportError> {
        let import = Arc::new(self.bucket_import().map_err(BucketImportError::Failed)?);
        let deps: PassDeps = self.pass_deps(&self.store().await, None, Counters::default());
        let name = self.name().to_owned();
        let refused = |error| refused(error, self.plan(), self.shows_all());
        let Some(key) = key else {
            let ResetObjects { count, names } = reset_failed(import, deps).await.map_err(refused)?;
            let (begins, rows, calls) = ("next_row", None, None);
            let file = |name| FileReset { name, begins: begins.to_owned(), rows, calls };
            let files = names.into_iter().map(file).collect();
            return Ok(FilesReset { import: name, count, files, accepted_rows: None });
        };
        let ResetObject { name: file, begins, rows, calls } =
            reset_object(import, deps, key).await.map_err(refused)?;
        let begins = begins.slug().to_owned();
        let file = FileReset { name: file, begins, rows: Some(rows), calls: Some(calls) };
        Ok(FilesReset { import: name, count: 1, files: vec![file], accepted_rows: None })
    }
}

pub(super) fn refused(error: ResetError, plan: &ImportPlan, full: bool) -> BucketImportError {
    let what = error.to_string();
    match error {
        ResetError::Refused(_) => BucketImportError::NotPossible(what),
        ResetError::Name(_) | ResetError::Journal(_) => BucketImportError::Failed(what),
        ResetError::Claims(error) => refused_claims(&error, full),
        ResetError::Unknown { end, .. } => {
            let is_denied = matches!(&end, Some(FileEnd::Failed(error)) if error.fault == FileFault::Denied);
            let grant = plan.granted_by(end.as_ref().and_then(denied_of_end));
            let grant = grant.map_or_else(String::new, |grant| format!("; {grant}"));
            let why =
                end.and_then(|end| error_of(&end, full)).map_or_else(String::new, |why| format!(": {why}"));
            let of = if is_denied { BucketImportError::StoreDenied } else { BucketImportError::StoreFailed };
            of(format!("{what}{why}{grant}"))
        }
    }
}
