//! What metrics have of jobs.

use std::collections::BTreeMap;

use super::known::{KnownJobs, Standing};
use crate::jobs::job::id::JobId;
use crate::jobs::job::slots::Candidate;
use crate::jobs::job::status::STATUS_NAMES;
use crate::jobs::run::decide::Progress;
use crate::metrics::{JobsLabel, Metrics, TasksLabel};
use crate::node::jobs::job_handle::JobHandle;

/// The status of a job that cannot be read.
const DAMAGED: &str = "damaged";

/// Counts one job while it is open, and what was not counted yet when it is not any longer.
#[derive(Debug)]
pub(super) struct Counting {
    metrics: Metrics,
    handle: JobHandle,
    counted: Progress,
}

impl Counting {
    /// Counts what the job does from now on.
    pub(super) fn new(metrics: Metrics, handle: JobHandle) -> Self {
        let counted = Progress { in_flight: 0, ..handle.progress().tasks };
        Self { metrics, handle, counted }
    }

    /// Counts what happened since the last time.
    pub(super) fn count(&mut self) {
        let now = self.handle.progress().tasks;
        let tasks = |outcome, count| {
            if count > 0 {
                self.metrics.batch_tasks.get_or_create(&TasksLabel { outcome }).inc_by(count);
            }
        };
        tasks("succeeded", now.succeeded.saturating_sub(self.counted.succeeded));
        tasks("failed", now.failed.saturating_sub(self.counted.failed));
        // A job that gets its slot again counts them from 0.
        let before = if now.throttles < self.counted.throttles { 0 } else { self.counted.throttles };
        self.metrics.batch_throttles.inc_by(now.throttles.saturating_sub(before));
        self.set_in_flight(now.in_flight);
        self.counted = now;
    }

    fn set_in_flight(&mut self, now: u64) {
        let number = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        self.metrics.batch_invocations.inc_by(number(now).saturating_sub(number(self.counted.in_flight)));
        self.counted.in_flight = now;
    }
}

impl Drop for Counting {
    fn drop(&mut self) {
        self.count();
        self.set_in_flight(0);
    }
}

/// Sets the numbers of jobs: those that are open stand as they are, those of other processes are not counted.
pub(super) fn count_jobs(metrics: &Metrics, known: &KnownJobs, open: &[Candidate]) {
    let open: BTreeMap<JobId, &'static str> = open.iter().map(|job| (job.id, job.status.as_str())).collect();
    let mut counts: BTreeMap<&str, i64> = BTreeMap::new();
    for (id, job) in known.all() {
        let status = match &job.standing {
            Standing::Ended(status) => Some(status.as_str()),
            Standing::Damaged(_) => Some(DAMAGED),
            Standing::Kept { .. } | Standing::Elsewhere | Standing::Stopped(_) => open.get(&id).copied(),
        };
        if let Some(status) = status {
            *counts.entry(status).or_default() += 1;
        }
    }
    for status in STATUS_NAMES.into_iter().chain([DAMAGED]) {
        let count = counts.get(status).copied().unwrap_or(0);
        metrics.batch_jobs.get_or_create(&JobsLabel { status }).set(count);
    }
}
