//! The last deliveries of a destination, for people. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use super::class::Class;
use crate::sources::SourceId;
use crate::time::UnixMillis;
use crate::words::Told;

/// Deliveries that are kept for each destination.
pub const RECORDS_MAX: usize = 1_000;
/// Bytes of text in the deliveries that are kept for each destination.
const TEXT_MAX: usize = 1_024 * 1_024;

/// One invocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// When the invocation ended.
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
    /// How long the invocation took, in milliseconds.
    pub millis: u64,
    /// How the invocation failed; `None` if it succeeded.
    pub failed: Option<(Class, Told)>,
    /// The service's id of the request.
    pub request_id: Option<Told>,
    /// The version of the function that ran.
    pub version: Option<Told>,
    /// The end of the function's log, if it was asked for.
    pub log_tail: Option<String>,
}

impl Record {
    /// Bytes of its text.
    fn text(&self) -> usize {
        let failed = self.failed.as_ref().map(|(_, what)| what);
        let said = [failed, self.request_id.as_ref(), self.version.as_ref()];
        let said: usize = said.into_iter().flatten().map(Told::bytes).sum();
        said + self.log_tail.as_ref().map_or(0, String::len) + self.kind.len() + self.message_id.len()
    }
}

/// The last invocations, oldest first, and the bytes of their text.
#[derive(Debug, Default)]
pub struct Records {
    kept: VecDeque<Record>,
    text: usize,
}

impl Records {
    /// Adds an invocation, and drops the oldest beyond [`RECORDS_MAX`] or beyond a megabyte of text.
    pub fn push(&mut self, record: Record) {
        self.text += record.text();
        self.kept.push_back(record);
        while (self.kept.len() > RECORDS_MAX || self.text > TEXT_MAX)
            && let Some(oldest) = self.kept.pop_front()
        {
            self.text -= oldest.text();
        }
    }

    /// The last invocations, newest first: at most `limit`, and only those of `class` if it is set
    /// (`Some(None)`: successes).
    pub fn last(&self, class: Option<Option<Class>>, limit: usize) -> Vec<Record> {
        let wanted = |record: &&Record| {
            class.is_none_or(|class| record.failed.as_ref().map(|(failed, _)| *failed) == class)
        };
        self.kept.iter().rev().filter(wanted).take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(attempt: u32, log_tail: Option<String>) -> Record {
        Record {
            at: UnixMillis(0),
            function: "f".into(),
            source: SourceId::new("web").unwrap(),
            kind: "track".to_owned(),
            message_id: attempt.to_string(),
            attempt,
            millis: 5,
            failed: attempt.is_multiple_of(2).then(|| (Class::Timeout, "late".into())),
            request_id: None,
            version: None,
            log_tail,
        }
    }

    #[test]
    fn long_texts_are_kept_up_to_a_megabyte() {
        let mut records = Records::default();
        for attempt in 0..600 {
            records.push(record(attempt, Some("x".repeat(4_096))));
        }
        let kept = records.last(None, 5_000);
        assert!((250..256).contains(&kept.len()) && kept[0].attempt == 599, "{}", kept.len());
        (600..1_600).for_each(|attempt| records.push(record(attempt, None)));
        assert_eq!((records.last(None, 5_000).len(), records.text), (RECORDS_MAX, 12_600));
    }

    #[test]
    fn the_last_invocations_are_kept_and_found_by_class() {
        let mut records = Records::default();
        (0..1_500).for_each(|attempt| records.push(record(attempt, None)));
        assert_eq!(records.last(None, 5_000).len(), RECORDS_MAX);
        assert_eq!(records.last(None, 1)[0].attempt, 1_499);
        assert_eq!(records.last(Some(Some(Class::Timeout)), 1)[0].attempt, 1_498);
        assert_eq!(records.last(Some(None), 5_000).len(), RECORDS_MAX / 2);
        assert!(records.last(Some(Some(Class::Throttled)), 9).is_empty());
    }
}
