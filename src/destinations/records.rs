//! The last deliveries of a destination, for people. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use super::class::Class;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// Deliveries that are kept for each destination.
pub const RECORDS_MAX: usize = 1_000;

/// One invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When it ended.
    pub at: UnixMillis,
    /// The function's ARN, or what stands for it.
    pub function: Arc<str>,
    /// The call's source.
    pub source: SourceId,
    /// The call's type.
    pub kind: String,
    /// The call's messageId.
    pub message_id: String,
    /// How often the call was sent with this time.
    pub attempt: u32,
    /// How long it took, in milliseconds.
    pub millis: u64,
    /// How it failed; `None` if it succeeded.
    pub failed: Option<(Class, String)>,
    /// The service's id of the request.
    pub request_id: Option<String>,
    /// The version of the function that ran.
    pub version: Option<String>,
    /// The end of the function's log, if it was asked for.
    pub log_tail: Option<String>,
}

/// The last invocations, oldest first.
#[derive(Debug, Default)]
pub struct Records(VecDeque<Record>);

impl Records {
    /// Adds one, and drops the oldest beyond [`RECORDS_MAX`].
    pub fn push(&mut self, record: Record) {
        self.0.push_back(record);
        if self.0.len() > RECORDS_MAX {
            self.0.pop_front();
        }
    }

    /// The last ones, newest first: at most `limit`, and only those of a class if one is given (`Some(None)`: successes).
    pub fn last(&self, class: Option<Option<Class>>, limit: usize) -> Vec<Record> {
        let wanted = |record: &&Record| {
            class.is_none_or(|class| record.failed.as_ref().map(|(failed, _)| *failed) == class)
        };
        self.0.iter().rev().filter(wanted).take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_invocations_are_kept_and_found_by_class() {
        let mut records = Records::default();
        for attempt in 0..1_500_u32 {
            let failed = attempt.is_multiple_of(2).then(|| (Class::Timeout, "late".to_owned()));
            records.push(Record {
                at: UnixMillis(0),
                function: "f".into(),
                source: SourceId::new("web").unwrap(),
                kind: "track".to_owned(),
                message_id: attempt.to_string(),
                attempt,
                millis: 5,
                failed,
                request_id: None,
                version: None,
                log_tail: None,
            });
        }
        assert_eq!(records.last(None, 5_000).len(), RECORDS_MAX);
        assert_eq!(records.last(None, 1)[0].attempt, 1_499);
        assert_eq!(records.last(Some(Some(Class::Timeout)), 1)[0].attempt, 1_498);
        assert_eq!(records.last(Some(None), 5_000).len(), RECORDS_MAX / 2);
        assert!(records.last(Some(Some(Class::Throttled)), 9).is_empty());
    }
}
