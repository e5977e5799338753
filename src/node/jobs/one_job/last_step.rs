//! The last step of a job: its report.

use std::path::Path;
use std::sync::Arc;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use super::{Around, LOOK_EVERY, OneJob, REPORT_NOT_STORED};
use crate::disk::{Disk, is_no_handle, is_no_space};
use crate::jobs::job::state::JobState;
use crate::jobs::job::status::{Failure, FailureClass};
use crate::jobs::job::transition::Event;
use crate::jobs::job::troubles::{NO_HANDLES, TroubleOf};
use crate::jobs::joined::ReportRows;
use crate::jobs::report::write::{Report, remove_staged, write_report};
use crate::jobs::task_rows::{ROWS, TaskRows, TaskRowsError};
use crate::node::jobs::job_error::JobError;
use crate::node::jobs::reporting::{NotStored, ReportStore};
use crate::node::jobs::tools::JobStore;
use crate::store::Outlook;
use crate::words::causes::io_causes;
use crate::words::with_causes;

const NO_SPACE_FOR_REPORT: &str =
    "the disk of the job's folder is full: its report waits; free space, and the job goes on by itself";

impl OneJob {
    /// Writes the report, and puts it into its bucket. What this machine lacks for it is waited for. False: the process
    /// is being ended before it is there.
    pub(super) async fn report(&mut self, state: &JobState) -> Result<bool, JobError> {
        loop {
            let (of, what) = match self.report_once(state).await {
                Err(error) if io_causes(&error).any(is_no_space) => (TroubleOf::Disk, NO_SPACE_FOR_REPORT),
                Err(error) if io_causes(&error).any(is_no_handle) => (TroubleOf::Handles, NO_HANDLES),
                reported => return reported,
            };
            self.troubles.waits(of, what);
            if self.around.stop.run_until_cancelled(sleep(LOOK_EVERY)).await.is_none() {
                return Ok(false);
            }
        }
    }

    async fn report_once(&mut self, state: &JobState) -> Result<bool, JobError> {
        let report = match self.written(state).await {
            Ok(Some(report)) => report,
            Ok(None) => {
                self.apply(state.status, Event::ReportWritten).await?;
                return Ok(true);
            }
            // Tried again it would fail again, and the job would never end.
            Err(JobError::Rows(error @ (TaskRowsError::Missing(_) | TaskRowsError::Damaged { .. }))) => {
                let why = with_causes(&error);
                self.report_failed(state, FailureClass::Other, &why).await?;
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        // What runs tasks may be gone.
        let JobStore { store, role } = self.from.store(&self.held.spec);
        self.troubles.is_over(TroubleOf::Disk);
        self.troubles.is_over(TroubleOf::Handles);
        let Around { clock, random, stop, .. } = &self.around;
        let (store, troubles) = (&*store, &*self.troubles);
        let store = ReportStore { store, clock: &**clock, random: &**random, stop, troubles };
        match store.put(report, role.as_ref(), Arc::clone(&self.held.disk)).await {
            Ok(()) => {}
            Err(NotStored::Stopped) => return Ok(false),
            Err(NotStored::Disk(error)) => return Err(JobError::Staged(error)),
            Err(error @ NotStored::Store { .. }) => {
                let NotStored::Store { cause, .. } = &error else { return Ok(false) };
                let class = match cause.outlook() {
                    Outlook::Passing => FailureClass::Unreachable,
                    _ => FailureClass::Access,
                };
                let why = error.to_string();
                // The file of rows stands in the job's folder, too.
                let folder = self.held.disk.path(ROWS);
                let folder = folder.as_deref().and_then(Path::parent).map_or_else(String::new, |folder| {
                    format!(
                        "; no other try follows, and the CSV files of the report are in {}",
                        folder.display()
                    )
                });
                self.why.get_or_insert(format!("{REPORT_NOT_STORED}: {why}{folder}"));
                self.report_failed(state, class, &why).await?;
                return Ok(true);
            }
        }
        self.apply(state.status, Event::ReportWritten).await?;
        // They would be removed with the job in any case.
        if let Err(error) = remove_staged(&*self.held.disk) {
            tracing::warn!(job = %self.held.id, %error, "files of the report stay in the job's folder");
        }
        Ok(true)
    }

    async fn report_failed(
        &mut self,
        state: &JobState,
        class: FailureClass,
        why: &str,
    ) -> Result<(), JobError> {
        self.why.get_or_insert(format!("{REPORT_NOT_STORED}: {why}"));
        let failure = Failure::new(class, REPORT_NOT_STORED, why);
        self.apply(state.status, Event::ReportFailed(failure)).await
    }

    /// The files of the report; `None`: none is due.
    async fn written(&self, state: &JobState) -> Result<Option<Report>, JobError> {
        let (Some(to), Some(_)) = (self.held.spec.report.clone(), state.total) else { return Ok(None) };
        let (disk, job) = (Arc::clone(&self.held.disk), self.held.id);
        let date = state.report_date.unwrap_or(state.since);
        let written = spawn_blocking(move || {
            let disk: &dyn Disk = &*disk;
            let mut rows = ReportRows::of(TaskRows::open(disk, ROWS)?);
            Ok::<_, JobError>(write_report(disk, job, &to, date, &mut rows)?)
        });
        let report = written.await??;
        if let Some(report) = &report
            && report.left_out > 0
        {
            let first = report.left_out_named.first().map_or("", |(_, why)| why.as_str());
            tracing::warn!(%job, tasks = report.left_out, first, "tasks are left out of the report: their rows are damaged");
        }
        Ok(report)
    }
}
