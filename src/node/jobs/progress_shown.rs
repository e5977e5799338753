//! How far a job is, as people and programs see it.

use serde::Serialize;

use super::job_progress::JobProgress;
use super::last_tries::LastRetry;
use crate::runtime::progress::Progress;
use crate::words::count::percent;
use crate::words::{about_bytes, counted, grouped, if_any, outside_text_within};

/// The progress of a job, for a line or a program.
#[derive(Clone, Debug, Serialize)]
pub struct ProgressShown {
    /// The status of the job.
    pub status: &'static str,
    /// How far the reading of the manifest is; `None` where another process reads it.
    #[serde(flatten)]
    pub reading: Option<ReadingShown>,
    /// The number of tasks.
    pub total: u64,
    /// Tasks that succeeded.
    pub succeeded: u64,
    /// Tasks that failed.
    pub failed: u64,
    /// What is under way; `None` where another process runs it.
    #[serde(flatten)]
    pub under_way: Option<UnderWay>,
    /// What another process waits for, if none of its tasks ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits: Option<Waits>,
}

/// How much of a cause is shown in a line of progress, in bytes.
const CAUSE_MAX: usize = 160;

/// Tasks that were tried and are tried again.
#[derive(Clone, Debug, Serialize)]
pub struct Waits {
    /// How many.
    pub tasks: u64,
    /// The row of the last one, from 1.
    pub last_row: u64,
    /// The beginning of why its try failed.
    pub last_cause: String,
}

impl Waits {
    /// So many, and the last of them.
    pub fn of(tasks: u64, last: &LastRetry) -> Self {
        let last_cause = outside_text_within(&last.cause, CAUSE_MAX).to_string();
        Self { tasks, last_row: last.row, last_cause }
    }
}

/// How far the reading of a manifest is.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct ReadingShown {
    /// Rows of the manifest that were read.
    pub rows_read: u64,
    /// Bytes of the manifest that were read.
    pub bytes_read: u64,
    /// All bytes of the manifest, as far as known.
    pub bytes_total: u64,
}

/// Tasks that have begun and not ended.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct UnderWay {
    /// Invocations that run.
    pub in_flight: u64,
    /// Tasks that wait for another try.
    pub waiting: u64,
    /// Tasks that wait because the function takes no more.
    pub throttled: u64,
}

impl ProgressShown {
    /// What a running job says.
    pub fn of(now: &JobProgress) -> Self {
        let JobProgress { status, reading, tasks } = now;
        Self {
            status: status.as_str(),
            reading: Some(ReadingShown {
                rows_read: reading.rows(),
                bytes_read: reading.bytes(),
                bytes_total: reading.bytes_expected(),
            }),
            total: tasks.total,
            succeeded: tasks.succeeded,
            failed: tasks.failed,
            under_way: Some(UnderWay {
                in_flight: tasks.in_flight,
                waiting: tasks.waiting,
                throttled: tasks.throttled,
            }),
            waits: None,
        }
    }
}

impl Progress for ProgressShown {
    fn done_of(&self) -> (u64, u64) {
        match self.total {
            0 => self.reading.map_or((0, 0), |reading| (reading.bytes_read, reading.bytes_total)),
            total => (self.succeeded.saturating_add(self.failed), total),
        }
    }

    fn place(&self) -> String {
        match self.done_of() {
            (done, total) if self.total > 0 => {
                format!("{}, {} of {} tasks", self.status, grouped(done), grouped(total))
            }
            (_, 0) if self.reading.is_none() => self.status.to_owned(),
            (done, 0) => format!("{}, {} read", self.status, about_bytes(done)),
            (done, total) => {
                format!(
                    "{}, {} of {} ({} %)",
                    self.status,
                    about_bytes(done),
                    about_bytes(total),
                    percent(done, total)
                )
            }
        }
    }

    fn below(&self) -> String {
        if self.total == 0 {
            return self.reading.map_or_else(String::new, |now| counted(now.rows_read, "row", "rows"));
        }
        let failed = format!("{} failed", grouped(self.failed));
        let Some(UnderWay { in_flight, waiting, throttled }) = self.under_way else {
            let Some(Waits { tasks, last_row, last_cause }) = self.waits.as_ref().filter(|of| of.tasks > 0)
            else {
                return failed;
            };
            let (tasks, row) = (grouped(*tasks), grouped(*last_row));
            return format!("{failed}, {tasks} wait for another try, last: row {row}: {last_cause}");
        };
        format!(
            "{failed}, {} in flight{}{}",
            grouped(in_flight),
            if_any(waiting, |tasks| format!(", {} wait for another try", grouped(tasks))),
            if_any(throttled, |tasks| format!(", {} are throttled", grouped(tasks)))
        )
    }

    fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::jobs::job::status::Status;

    #[test]
    fn progress_is_that_of_the_manifest_and_then_of_the_tasks() {
        let mut now = ProgressShown::of(&JobProgress {
            status: Status::Preparing,
            reading: Default::default(),
            tasks: Default::default(),
        });
        assert_eq!((now.place().as_str(), now.below().as_str()), ("Preparing, 0 B read", "0 rows"));
        (now.status, now.total, now.succeeded, now.failed) = ("Active", 1_000, 500, 1);
        now.under_way = Some(UnderWay { in_flight: 8, waiting: 2, throttled: 0 });
        assert_eq!(now.place(), "Active, 501 of 1,000 tasks");
        assert_eq!(now.below(), "1 failed, 8 in flight, 2 wait for another try");
        let json: serde_json::Value = serde_json::from_str(&now.json()).unwrap();
        assert_eq!((&json["rows_read"], &json["in_flight"]), (&0.into(), &8.into()), "{json}");
        // Nobody says zero of what another process knows.
        (now.reading, now.under_way) = (None, None);
        assert_eq!((now.place().as_str(), now.below().as_str()), ("Active, 501 of 1,000 tasks", "1 failed"));
        assert!(!now.json().contains("in_flight"), "{}", now.json());
        let last = LastRetry { row: 1_007, tries: 2, cause: "no answer within 1 s".to_owned() };
        now.waits = Some(Waits::of(13, &last));
        let waits = "1 failed, 13 wait for another try, last: row 1,007: no answer within 1 s";
        assert_eq!(now.below(), waits);
        now.waits = Some(Waits::of(0, &last));
        assert_eq!(now.below(), "1 failed");
        now.waits = None;
        (now.status, now.total) = ("Preparing", 0);
        assert_eq!((now.place().as_str(), now.below().as_str()), ("Preparing", ""));
    }
}
