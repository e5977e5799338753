//! What an operator can ask of the imports of a running node.

use crate::admin::{
    AskedObject, AskedPass, AskedReset, BucketImportError, BucketImportsView, ClaimsReleased, FilesReset,
    ObjectImported, PassStatus, Paused, RejectsRetried, Renamed,
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

    fn object(&self, asked: AskedObject) -> BoxFuture<'_, Result<ObjectImported, BucketImportError>> {
        Box::pin(async move {
            let stopped = || BucketImportError::Stopped(asked.name.to_string());
            let import = self.bucket_imports.get().ok_or_else(stopped)?.named(&asked.name)?;
            // Who asked may end first. The work is then stopped in time, never dropped in the middle.
            let imported = tokio::spawn(async move { import.object(&asked).await });
            imported.await.unwrap_or_else(|error| Err(BucketImportError::Failed(error.to_string())))
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
