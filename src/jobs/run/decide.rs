//! What a job does next, and what the end of an invocation changes. Pure: time and chance come in, decisions
//! go out.

use std::collections::BTreeMap;
use std::time::Duration;

use super::lost_rows::LostRows;
use super::past::Past;
use super::throttle::Throttle;
use super::verdict::{Told, Verdict};
use crate::jobs::attempts::group::{Entries, EntryCounts};
use crate::jobs::handlers::Refusal;
use crate::jobs::redrives::{Due, Redrives, WAITING_MAX};
use crate::jobs::task::TaskResult;
use crate::jobs::task_states::{TaskState, TaskStates};
use crate::jobs::threshold::Threshold;
use crate::random::Random;

/// Entries that may wait for the sync that covers them. At the bound no task starts: each has a message of up
/// to 1 KiB.
pub const UNRECORDED_MAX: usize = 8_192;

/// The limits of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Invocations that run at once; at least one.
    pub concurrency: usize,
    /// Tries of a task in all; at least one.
    pub max_attempts: u32,
    /// When the job fails by its failed tasks.
    pub threshold: Threshold,
    /// Tasks that may wait for a redrive before no other task starts.
    pub waiting_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { concurrency: 100, max_attempts: 6, threshold: Threshold::default(), waiting_max: WAITING_MAX }
    }
}

/// One try of one task.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Try {
    /// The row of its object.
    pub row: u64,
    /// Which try it is, from 1.
    pub attempt: u32,
    /// When it was decided, as monotonic time.
    pub at: Duration,
}

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Start this try.
    Start(Try),
    /// Nothing, until an invocation ends, results are recorded, or this time has come.
    Wait(Option<Duration>),
    /// The run has ended: nothing is in flight, and every result is recorded.
    Ended(End),
}

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// Every task has a final result.
    Complete,
    /// Every task has a final result but these.
    RowsLost(LostRows),
    /// Somebody asked for it.
    Stopped,
    /// Too many tasks failed.
    TooManyFailed {
        /// Tasks with a final result when this was decided.
        executed: u64,
        /// Those of them that failed.
        failed: u64,
    },
    /// No task can succeed.
    Refused(Refusal),
}

/// How a run has ended already, if no task of it may start any more.
pub fn end_of(past: &Past, threshold: Threshold) -> Option<End> {
    let (executed, failed) = (past.states.executed(), past.states.failed());
    // A job that had failed before it was started again has still failed.
    if threshold.is_crossed(executed, failed) {
        return Some(End::TooManyFailed { executed, failed });
    }
    (executed == past.states.rows()).then_some(End::Complete)
}

/// How far a job is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Tasks in all.
    pub total: u64,
    /// Tasks whose success is recorded durably.
    pub succeeded: u64,
    /// Tasks whose final failure is recorded durably.
    pub failed: u64,
    /// Invocations that run.
    pub in_flight: u64,
    /// Tasks that wait for a redrive.
    pub waiting: u64,
    /// Tasks that wait because the function took no more requests.
    pub throttled: u64,
    /// Answers so far that the function takes no more requests.
    pub throttles: u64,
    /// Whether this machine had nothing left to run a task with, the last time that one was to start.
    pub starved: bool,
    /// Results so far for tasks that were not asked for, and second ones.
    pub ignored: u64,
}

/// What has to be made durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// A task has its final result.
    Result(TaskResult),
    /// A task was tried, and is tried again.
    Tried {
        /// The row of its object.
        row: u64,
        /// How often it was tried.
        tries: u32,
        /// Why the last try failed.
        cause: String,
    },
}

impl Entry {
    /// Adds it to those that are made durable together.
    pub fn add_to(&self, entries: &mut Entries) {
        match self {
            Self::Result(result) => entries.result(result),
            Self::Tried { row, tries, cause } => entries.attempt(*row, *tries, cause),
        }
    }
}

/// The decisions of one job.
#[derive(Debug)]
pub struct Decisions {
    limits: Limits,
    states: TaskStates,
    /// No waiting row before this one was never started.
    next_row: u64,
    redrives: Redrives,
    /// Tries of tasks that were spent before this run, until the tasks start.
    tried: BTreeMap<u64, u32>,
    /// Tasks that the function did not take. No more of them than run at once.
    throttled: Vec<Due>,
    throttle: Throttle,
    end: Option<End>,
    /// Rows that cannot be read. Their tasks stand among those that failed, so that none of them starts, and are neither
    /// recorded nor counted.
    lost: LostRows,
    /// Entries that are not durable yet.
    unrecorded: usize,
    progress: Progress,
}

impl Decisions {
    /// A job with this past.
    pub fn new(past: Past, limits: Limits) -> Self {
        let end = end_of(&past, limits.threshold);
        let Past { states, tried } = past;
        let progress = Progress {
            total: states.rows(),
            succeeded: states.succeeded(),
            failed: states.failed(),
            ..Progress::default()
        };
        Self {
            limits,
            states,
            next_row: 0,
            redrives: Redrives::default(),
            tried,
            throttled: Vec::new(),
            throttle: Throttle::new(limits.concurrency),
            end,
            lost: LostRows::default(),
            unrecorded: 0,
            progress,
        }
    }

    /// How far the job is.
    pub fn progress(&self) -> Progress {
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Progress {
            in_flight: self.states.in_flight(),
            waiting: count(self.redrives.len()),
            throttled: count(self.throttled.len()),
            ..self.progress
        }
    }

    /// What to do now. The clock is monotonic.
    pub fn next(&mut self, now: Duration) -> Next {
        if self.end.is_none() && self.states.executed() == self.states.rows() {
            self.end = Some(match self.lost.rows {
                0 => End::Complete,
                _ => End::RowsLost(self.lost.clone()),
            });
        }
        if let Some(end) = &self.end {
            let is_over = self.states.in_flight() == 0 && self.unrecorded == 0;
            return if is_over { Next::Ended(end.clone()) } else { Next::Wait(None) };
        }
        if let Some(until) = self.throttle.paused_until(now) {
            return Next::Wait(Some(until));
        }
        let limit = u64::try_from(self.throttle.limit(now)).unwrap_or(u64::MAX);
        if self.states.in_flight() >= limit || self.unrecorded >= UNRECORDED_MAX {
            return Next::Wait(None);
        }
        match self.throttled.pop().or_else(|| self.redrives.take(now)).or_else(|| self.new_row()) {
            Some(Due { row, tries }) => {
                self.states.begin(row);
                Next::Start(Try { row, attempt: tries.saturating_add(1), at: now })
            }
            None => Next::Wait(self.redrives.next_due()),
        }
    }

    /// The next row that was never started, unless too many wait for a redrive.
    fn new_row(&mut self) -> Option<Due> {
        if self.redrives.len() >= self.limits.waiting_max {
            return None;
        }
        // Waiting rows before this one are in `redrives` or `throttled`.
        let row = self.states.next_waiting(self.next_row);
        self.next_row = row.map_or(self.states.rows(), |row| row + 1);
        row.map(|row| Due { row, tries: self.tried.remove(&row).unwrap_or(0) })
    }

    /// A try has ended. What it gives has to be recorded; then [`Decisions::recorded`] is called.
    pub fn ended(
        &mut self,
        ended: Try,
        verdict: Verdict,
        ignored: u64,
        now: Duration,
        random: &dyn Random,
    ) -> Option<Entry> {
        let Try { row, attempt, at } = ended;
        if self.states.get(row) != Some(TaskState::InFlight) {
            return None;
        }
        self.progress.ignored = self.progress.ignored.saturating_add(ignored);
        let was_taken =
            !matches!(verdict, Verdict::Throttled { .. } | Verdict::Starved | Verdict::Refused(_));
        if was_taken && self.throttle.taken(at) {
            self.progress.starved = false;
        }
        match verdict {
            Verdict::Temporary(Told { message, .. }) if attempt < self.limits.max_attempts => {
                self.states.wait(row);
                self.redrives.add(row, attempt, now, random);
                self.unrecorded += 1;
                Some(Entry::Tried { row, tries: attempt, cause: message })
            }
            Verdict::Final(told) | Verdict::Temporary(told) => Some(Entry::Result(self.finish(row, told))),
            Verdict::Throttled { pause } => {
                self.progress.throttles = self.progress.throttles.saturating_add(1);
                self.not_taken(row, attempt);
                self.throttle.refused(at, pause, now, random);
                None
            }
            Verdict::Starved => {
                self.progress.starved = true;
                self.not_taken(row, attempt);
                self.throttle.starved(at, self.states.in_flight(), now);
                None
            }
            Verdict::Refused(refusal) => {
                self.not_taken(row, attempt);
                if matches!(self.end, None | Some(End::Stopped)) {
                    self.end = Some(End::Refused(refusal));
                }
                None
            }
        }
    }

    /// The task waits, and this try does not count.
    fn not_taken(&mut self, row: u64, attempt: u32) {
        self.states.wait(row);
        self.throttled.push(Due { row, tries: attempt.saturating_sub(1) });
    }

    fn finish(&mut self, row: u64, told: Told) -> TaskResult {
        let Told { succeeded, http_status, error_code, message } = told;
        self.states.end(row, succeeded);
        self.unrecorded += 1;
        let lost = self.lost.rows;
        let executed = self.states.executed().saturating_sub(lost);
        let failed = self.states.failed().saturating_sub(lost);
        // A job that is being stopped still fails: its running tasks have shown that it must.
        if matches!(self.end, None | Some(End::Stopped)) && self.limits.threshold.is_crossed(executed, failed)
        {
            self.end = Some(End::TooManyFailed { executed, failed });
        }
        TaskResult { row, succeeded, http_status, error_code: error_code.to_owned(), message }
    }

    /// The row of a task that was to start cannot be read. It never runs, and the others go on.
    pub fn lost(&mut self, row: u64) {
        if self.states.get(row) == Some(TaskState::InFlight) {
            self.states.end(row, false);
            self.lost.add(row);
        }
    }

    /// So many entries are durable.
    pub fn recorded(&mut self, entries: EntryCounts) {
        self.progress.succeeded += entries.succeeded;
        self.progress.failed += entries.failed;
        self.unrecorded =
            self.unrecorded.saturating_sub(usize::try_from(entries.all()).unwrap_or(usize::MAX));
    }

    /// Starts no more tasks: the run ends once those in flight have ended.
    pub fn stop(&mut self) {
        self.end.get_or_insert(End::Stopped);
    }

    /// Goes on after a stop. Tasks keep their tries.
    pub fn go_on(&mut self) {
        if self.end == Some(End::Stopped) {
            self.end = None;
        }
    }
}

#[cfg(test)]
mod tests;
