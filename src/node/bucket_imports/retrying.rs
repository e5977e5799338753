//! Reads the rejected rows of an import again.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::one_import::OneImport;
use super::pass_status::{denied_of, not_done};
use super::resetting::refused;
use crate::admin::{BucketImportError, RejectsRetried};
use crate::import::bucket_import::{PassDeps, RetryReport, retry_rejects};
use crate::import::{Counters, RejectCounts};

impl OneImport {
    /// Reads the rejected rows of the import again, or those of the object with this key. One such work at a
    /// time goes on. Errors: [`BucketImportError`]: no row is read.
    pub(super) async fn retry_rejects(
        self: Arc<Self>,
        key: Option<String>,
        dry_run: bool,
    ) -> Result<RejectsRetried, BucketImportError> {
        let name = self.name().to_owned();
        if !dry_run {
            if !self.plan().settings.enabled {
                return Err(BucketImportError::Paused(name));
            }
            let paused = self.is_paused().await;
            if paused.map_err(|error| BucketImportError::Failed(error.to_string()))? {
                return Err(BucketImportError::OnHold(name));
            }
        }
        let _turn = self.retrying.lock().await;
        let stop = self.begin_retry();
        let import = Arc::new(self.bucket_import().map_err(BucketImportError::Failed)?);
        let deps = self.pass_deps(&self.store().await, None, Counters::default());
        let deps = PassDeps { stop: CancellationToken::clone(&stop), ..deps };
        let report = retry_rejects(import, deps, key.as_deref(), dry_run).await;
        let report = report.map_err(|error| refused(error, self.plan(), self.shows_all()))?;
        if !dry_run {
            self.since_start.retried(&report);
        }
        let remedy = self.plan().granted_by(report.left.iter().find_map(denied_of));
        Ok(RejectsRetried { remedy, ..retried(name, dry_run, &report, self.shows_all()) })
    }
}

fn retried(import: String, dry_run: bool, report: &RetryReport, full: bool) -> RejectsRetried {
    let codes = |counts: &RejectCounts| -> BTreeMap<String, u64> {
        counts.clone().into_rows().into_iter().map(|rows| (rows.code, rows.count)).collect()
    };
    let mut outcome = report.outcome.clone();
    outcome.add(&report.so_far);
    RejectsRetried {
        import,
        dry_run,
        files: report.files,
        settled: outcome.settled,
        settled_by_code: codes(&outcome.settled_by_code),
        rejected: outcome.rejected,
        rejected_by_code: codes(&outcome.rejected_by_code),
        stored: report.stored,
        not_kept: report.not_kept,
        left: report.left.iter().map(|file| not_done(file, full)).collect(),
        left_count: report.left_count,
        remedy: None,
    }
}
