//! What an operator can ask of the imports of a running node.

use crate::admin::{
    AskedPass, AskedReset, BucketImportError, BucketImportsView, ClaimsReleased, FilesReset, PassStatus,
    Paused, RejectsRetried, Renamed,
};
use crate::boxed_future::BoxFuture;
use crate::node::view::NodeView;
use crate::sources::SourceId;

impl BucketImportsView for NodeView {
    fn run(&self, asked: AskedPass) -> BoxFuture<'_, Result<PassStatus, BucketImportError>> {
        Box::pin(async move {
            let imports = self.bucket_imports.get();
            imports.ok_or_else(|| BucketImportError::Stopped(asked.name.to_string()))?.run(asked).await
        })
    }

    fn reset(
        &self,
        name: SourceId,
        asked: AskedReset,
    ) -> BoxFuture<'_, Result<FilesReset, BucketImportError>> {
        Box::pin(async move {
            let imports = self.bucket_imports.get();
            let imports = imports.ok_or_else(|| BucketImportError::Stopped(name.to_string()))?;
            imports.named(&name)?.reset(&asked).await
        })
    }

    fn retry_rejects(
        &self,
        name: SourceId,
        key: Option<String>,
        dry_run: bool,
    ) -> BoxFuture<'_, Result<RejectsRetried, BucketImportError>> {
        Box::pin(async move {
            let stopped = || BucketImportError::Stopped(name.to_string());
            let import = self.bucket_imports.get().ok_or_else(stopped)?.named(&name)?;
            // It goes on if nobody waits for the answer any more.
            let retried = tokio::spawn(import.retry_rejects(key, dry_run)).await;
            retried.unwrap_or_else(|error| Err(BucketImportError::Failed(error.to_string())))
        })
    }

    fn pause(&self, name: SourceId, paused: bool) -> BoxFuture<'_, Result<Paused, BucketImportError>> {
        Box::pin(async move {
            let imports = self.bucket_imports.get();
            let imports = imports.ok_or_else(|| BucketImportError::Stopped(name.to_string()))?;
            imports.named(&name)?.pause(paused).await
        })
    }

    fn rename(&self, old: SourceId, new: SourceId) -> BoxFuture<'_, Result<Renamed, BucketImportError>> {
        Box::pin(async move {
            let imports = self.bucket_imports.get();
            imports.ok_or_else(|| BucketImportError::Stopped(old.to_string()))?.rename(old, new).await
        })
    }

    fn release(
        &self,
        name: SourceId,
        instance: String,
        dry_run: bool,
    ) -> BoxFuture<'_, Result<ClaimsReleased, BucketImportError>> {
        Box::pin(async move {
            let imports = self.bucket_imports.get();
            let imports = imports.ok_or_else(|| BucketImportError::Stopped(name.to_string()))?;
            imports.release(&name, &instance, dry_run).await
        })
    }
}
