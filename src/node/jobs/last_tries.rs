//! Why tasks of a job failed or wait, by one example of each: the last one in its log.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::jobs::attempts::LogError;
use crate::jobs::attempts::replay::{Visit, read};
use crate::jobs::job::folder::{JobsFolder, SeenJob};
use crate::jobs::task::MESSAGE_MAX;
use crate::words::{counted, grouped, outside_text, outside_text_within};

/// Results of a log that is read for an example. More would take seconds.
const RESULTS_MAX: u64 = 2_000_000;
/// Results of a log that is read again and again while somebody watches the job.
pub(super) const WATCHED_MAX: u64 = 100_000;
/// Tasks that wait for another try and are counted.
const WAITING_MAX: usize = 1_000_000;

/// The last task that failed, and the last one that is tried again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LastTries {
    /// The last task that failed.
    pub last_failure: Option<LastFailure>,
    /// The last try after which a task was to be tried again, of a job that has not ended.
    pub last_retry: Option<LastRetry>,
    /// Tasks that have been tried and not ended, of a job that has not ended; `None`: more than are counted.
    #[serde(skip)]
    pub waiting: Option<u64>,
}

/// A task that failed, as the report has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastFailure {
    /// The row of the manifest, from 1.
    pub row: u64,
    /// The HTTP status of the last answer.
    pub http_status: Option<u16>,
    /// The error code.
    pub code: String,
    /// What went wrong.
    pub message: String,
}

/// A try that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LastRetry {
    /// The row of the manifest, from 1.
    pub row: u64,
    /// Tries of the task so far.
    pub tries: u32,
    /// Why it failed.
    pub cause: String,
}

impl LastTries {
    /// Those of a job. Its log is read once if there may be any, and it is not too long for that.
    /// Errors: [`LogError`].
    pub fn of(folder: &JobsFolder, seen: &SeenJob) -> Result<Self, LogError> {
        let (now, is_final) = (&seen.now, seen.now.state.status.is_final());
        let mut last = Self::default();
        if now.succeeded.saturating_add(now.failed) > RESULTS_MAX || (is_final && now.failed == 0) {
            return Ok(last);
        }
        let mut waiting = BTreeSet::new();
        read(&folder.disk_to_look(seen.id), seen.id, &mut |visit| {
            match visit {
                Visit::Results(result, count) if !is_final => {
                    // No more rows are looked for than wait.
                    let ended: Vec<u64> =
                        waiting.range(result.row..result.row.saturating_add(count)).copied().collect();
                    ended.iter().for_each(|row| _ = waiting.remove(row));
                }
                Visit::Attempt(attempt) if !is_final && waiting.len() <= WAITING_MAX => {
                    waiting.insert(attempt.row);
                }
                _ => {}
            }
            match visit {
                Visit::Results(result, count) if !result.succeeded => {
                    last.last_failure = Some(LastFailure {
                        // The last one of those that failed alike.
                        row: result.row.saturating_add(count),
                        http_status: result.http_status,
                        code: outside_text(&result.error_code.to_string()).to_string(),
                        message: outside_text_within(&result.message.to_string(), MESSAGE_MAX).to_string(),
                    });
                }
                Visit::Attempt(attempt) if !is_final => {
                    last.last_retry = Some(LastRetry {
                        row: attempt.row.saturating_add(1),
                        tries: attempt.attempts,
                        cause: outside_text_within(&attempt.cause.to_string(), MESSAGE_MAX).to_string(),
                    });
                }
                _ => {}
            }
            Ok(())
        })?;
        last.waiting = u64::try_from(waiting.len()).ok().filter(|_| waiting.len() <= WAITING_MAX);
        Ok(last)
    }

    /// The facts for people: names and texts.
    pub fn facts(&self) -> impl Iterator<Item = (&'static str, String)> {
        let failure = self.last_failure.as_ref().map(|LastFailure { row, http_status, code, message }| {
            let status = http_status.map_or_else(String::new, |status| format!(" ({status})"));
            ("last fail:", format!("row {}: {code}{status}: {message}", grouped(*row)))
        });
        let retry = self.last_retry.as_ref().map(|LastRetry { row, tries, cause }| {
            let tries = counted(u64::from(*tries), "try", "tries");
            ("last try:", format!("row {}, after {tries}: {cause}", grouped(*row)))
        });
        [failure, retry].into_iter().flatten()
    }
}
