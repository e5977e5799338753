//! The state of a job, as its log keeps it: each change writes the whole state.

use serde::{Deserialize, Serialize};

use super::status::{Failure, Status};
use crate::time::UnixMillis;

/// The most failures that a job keeps: why it failed, and why its report could not be written.
pub const FAILURES_MAX: usize = 2;

/// The priority of a job: higher goes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
pub struct Priority(u32);

impl Priority {
    /// The highest (`JobPriority` of the API).
    pub const MAX: u32 = 2_147_483_647;

    /// A priority. Errors: the allowed range.
    pub fn new(number: u32) -> Result<Self, String> {
        let wrong = || format!("expected a priority from 0 to {}, not {number}", Self::MAX);
        if number <= Self::MAX { Ok(Self(number)) } else { Err(wrong()) }
    }

    /// The number.
    pub const fn number(self) -> u32 {
        self.0
    }
}

impl TryFrom<u32> for Priority {
    type Error = String;
    fn try_from(number: u32) -> Result<Self, String> {
        Self::new(number)
    }
}

impl From<Priority> for u32 {
    fn from(priority: Priority) -> Self {
        priority.0
    }
}

/// The state of a job.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobState {
    /// Where it stands.
    pub status: Status,
    /// Its priority now.
    pub priority: Priority,
    /// The number of tasks, once the manifest is copied.
    pub total: Option<u64>,
    /// The reason that a person gave with the last request (`StatusUpdateReason`).
    pub update_reason: Option<String>,
    /// Why it failed: at most [`FAILURES_MAX`].
    pub failures: Vec<Failure>,
    /// When the present status began.
    pub since: UnixMillis,
    /// How long it was Active before that, in milliseconds.
    pub active_ms: u64,
    /// When it was suspended, if it ever was.
    pub suspended_at: Option<UnixMillis>,
    /// When its report was begun: the date in the report, so that a report that is written again is the same.
    pub report_date: Option<UnixMillis>,
    /// When it ended (`TerminationDate`).
    pub ended_at: Option<UnixMillis>,
}

impl JobState {
    /// The state of a new job.
    pub fn new(priority: Priority, at: UnixMillis) -> Self {
        Self {
            status: Status::New,
            priority,
            total: None,
            update_reason: None,
            failures: Vec::new(),
            since: at,
            active_ms: 0,
            suspended_at: None,
            report_date: None,
            ended_at: None,
        }
    }

    /// How long it was Active until `now`, in milliseconds.
    pub fn active_ms_until(&self, now: UnixMillis) -> u64 {
        let running = match self.status {
            Status::Active => crate::time::whole_millis(now.since(self.since)),
            _ => 0,
        };
        self.active_ms.saturating_add(running)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_priority_has_the_bounds_of_the_api() {
        assert_eq!(Priority::new(2_147_483_647).map(Priority::number), Ok(2_147_483_647));
        assert!(Priority::new(2_147_483_648).is_err());
        assert!(serde_json::from_str::<Priority>("2147483648").is_err());
    }
}
