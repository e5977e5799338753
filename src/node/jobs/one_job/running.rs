//! The middle step of a job: its tasks run.

use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::{LOOK_EVERY, OneJob, due};
use crate::jobs::invocation::JobCall;
use crate::jobs::job::spec::JobSpec;
use crate::jobs::job::status::{Failure, FailureClass, Status};
use crate::jobs::job::transition::Event;
use crate::jobs::job::troubles::{NO_HANDLES, THROTTLED, TroubleOf};
use crate::jobs::joined::{StoredRows, past_of};
use crate::jobs::run::decide::{End, Limits, Progress, end_of};
use crate::jobs::run::past::Past;
use crate::jobs::run::{Parts, Runner};
use crate::jobs::task_rows::{ROWS, TaskRows, TaskRowsError};
use crate::jobs::threshold::Threshold;
use crate::node::jobs::job_error::JobError;
use crate::words::{counted, grouped, with_causes};

/// The code of a job that failed because rows of the copy of its manifest are lost.
const COPY_DAMAGED: &str = "ManifestCopyDamaged";

impl OneJob {
    /// Runs tasks until all have ended, the job has to stop, or a person wants it to.
    pub(super) async fn run_tasks(&mut self) -> Result<(), JobError> {
        let mut runner = match self.runner.take() {
            Some(runner) => runner,
            None => {
                let (rows, past) = match self.rows_and_past().await {
                    Ok(both) => both,
                    // Tried again it would fail again, and the job would never end.
                    Err(JobError::Rows(
                        error @ (TaskRowsError::Missing(_) | TaskRowsError::Damaged { .. }),
                    )) => {
                        let status = self.state().status;
                        return match status {
                            Status::Active | Status::Pausing(_) => {
                                self.copy_lost(status, &with_causes(&error)).await
                            }
                            // A person cancelled it meanwhile.
                            _ => Ok(()),
                        };
                    }
                    Err(error) => return Err(error),
                };
                // A job that needs nothing but its end ends also if what runs its tasks is gone.
                if let Some(end) = end_of(&past, self.threshold()) {
                    self.rows = Some(rows);
                    return self.tasks_ended(end).await;
                }
                self.new_runner(rows, past).await?
            }
        };
        let mut progress = runner.progress();
        let end = {
            let (halt, halted) = watch::channel(self.state().status != Status::Active);
            let running = runner.run(halted);
            tokio::pin!(running);
            let mut look = interval(LOOK_EVERY);
            look.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                tokio::select! {
                    end = &mut running => break end?,
                    () = due(&mut look, &self.handle) => {
                        self.obey().await?;
                        let status = self.state().status;
                        self.shown.send_modify(|shown| shown.status = status);
                        let is_over = status != Status::Active;
                        halt.send_if_modified(|halt| is_over && !std::mem::replace(halt, true));
                        let Progress { starved, throttled, .. } = *progress.borrow();
                        self.tell_of_want(starved);
                        self.tell_of_throttle(throttled > 0);
                    }
                    () = self.around.stop.cancelled(), if !*halt.borrow() => {
                        halt.send_replace(true);
                    }
                    Ok(()) = progress.changed() => {
                        let tasks = *progress.borrow_and_update();
                        self.show(tasks);
                    }
                }
            }
        };
        let tasks = *progress.borrow_and_update();
        self.show(tasks);
        self.troubles.is_over(TroubleOf::Handles);
        self.troubles.forget(TroubleOf::Throttle);
        if let Some(tools) = &self.tools {
            tools.handler.rest();
        }
        self.runner = Some(runner);
        self.tasks_ended(end).await
    }

    async fn tasks_ended(&mut self, end: End) -> Result<(), JobError> {
        let status = self.state().status;
        // A cancelled job stays cancelled, however its last tasks ended.
        let event = match (end, status) {
            (End::Complete, Status::Active | Status::Pausing(_)) => Event::AllTasksEnded,
            (End::TooManyFailed { executed, failed }, Status::Active | Status::Pausing(_)) => {
                let failure = self.too_many_failed(executed, failed);
                self.why = Some(failure.to_string());
                Event::ThresholdPassed(failure)
            }
            (End::RowsLost(lost), Status::Active | Status::Pausing(_)) => {
                return self.copy_lost(status, &format!("{lost}; make a job of these rows")).await;
            }
            (End::Refused(refusal), Status::Active | Status::Pausing(_)) => {
                self.why = Some(refusal.to_string());
                let reason = format!("{}; {}", refusal.what, refusal.remedy);
                Event::AccessFailed(Failure::new(FailureClass::Access, refusal.class.slug(), &reason))
            }
            (End::Stopped, Status::Pausing(_)) => Event::TasksAtRest,
            _ => return Ok(()),
        };
        self.apply(status, event).await
    }

    /// Rows of the copy of the manifest are lost.
    async fn copy_lost(&mut self, decided_in: Status, why: &str) -> Result<(), JobError> {
        let failure = Failure::new(FailureClass::Other, COPY_DAMAGED, why);
        self.why = Some(failure.to_string());
        self.apply(decided_in, Event::RowsLost(failure)).await
    }

    async fn new_runner(&mut self, rows: Arc<TaskRows>, past: Past) -> Result<Runner, JobError> {
        let tools = self.tools().await?;
        self.rows = Some(Arc::clone(&rows));
        let JobSpec { schema, user_arguments, concurrency, max_attempts, .. } = &self.held.spec;
        let limits = Limits {
            concurrency: usize::try_from(*concurrency).unwrap_or(usize::MAX),
            max_attempts: *max_attempts,
            threshold: self.threshold(),
            ..Limits::default()
        };
        let parts = Parts {
            call: JobCall {
                job: self.held.id.to_string(),
                schema: *schema,
                arguments: user_arguments.clone(),
            },
            handler: tools.handler,
            rows: Arc::new(StoredRows(rows)),
            results: Arc::new(self.results.clone()),
            clock: Arc::clone(&self.around.clock),
            random: Arc::clone(&self.around.random),
        };
        Ok(Runner::new(parts, past, limits))
    }

    pub(super) fn threshold(&self) -> Threshold {
        Threshold {
            min_tasks: self.held.spec.failure_min_tasks,
            percent: u8::try_from(self.held.spec.failure_percent).unwrap_or(100),
        }
    }

    /// The copy of the manifest, and what the log has of its tasks.
    async fn rows_and_past(&mut self) -> Result<(Arc<TaskRows>, Past), JobError> {
        if let (Some(rows), Some(past)) = (self.rows.take(), self.past.take()) {
            return Ok((rows, past));
        }
        let (disk, id) = (Arc::clone(&self.held.disk), self.held.id);
        let read = spawn_blocking(move || {
            let rows = TaskRows::open(&*disk, ROWS)?;
            let past = past_of(&*disk, id, rows.len())?;
            Ok::<_, JobError>((Arc::new(rows), past))
        });
        read.await?
    }

    fn show(&self, tasks: Progress) {
        let was_starved = self.shown.borrow().tasks.starved;
        self.shown.send_modify(|shown| shown.tasks = tasks);
        if was_starved != tasks.starved {
            self.tell_of_want(tasks.starved);
        }
    }

    fn tell_of_want(&self, is_starved: bool) {
        match is_starved {
            true => _ = self.troubles.waits(TroubleOf::Handles, NO_HANDLES),
            false => self.troubles.is_over(TroubleOf::Handles),
        }
    }

    /// A function that is asked for all that it takes refuses again and again: no line for each end of it.
    fn tell_of_throttle(&self, is_throttled: bool) {
        match is_throttled {
            true => _ = self.troubles.waits(TroubleOf::Throttle, THROTTLED),
            false => self.troubles.forget(TroubleOf::Throttle),
        }
    }

    fn too_many_failed(&self, executed: u64, failed: u64) -> Failure {
        let reason = format!(
            "{} of {} failed, more than {} %; no more were started",
            grouped(failed),
            counted(executed, "task", "tasks"),
            self.held.spec.failure_percent
        );
        Failure::new(FailureClass::Other, "TooManyTasksFailed", &reason)
    }
}
