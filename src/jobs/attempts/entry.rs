//! What a frame of the log says.

use serde::{Deserialize, Serialize};

use super::group::{GROUP, Group};
#[cfg(test)]
use super::logged::{ERROR_CODE_MAX, first_bytes};
use super::logged::{LoggedAttempt, LoggedResult, LoggedText};

use crate::jobs::job::state::JobState;
use crate::jobs::job::wish::{Answer, WishId};
#[cfg(test)]
use crate::jobs::task::{MESSAGE_MAX, TaskResult};
use crate::time::UnixMillis;

const CHANGE: u8 = 1;
const RESULT: u8 = 2;
const ATTEMPT: u8 = 3;
const MARK: u8 = 4;

/// A change of the job: the whole state after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// When.
    pub at: UnixMillis,
    /// The state after it.
    pub state: JobState,
    /// The wish that it obeys or refuses, and the answer to it: a crash may come before the answer is
    /// written.
    pub wish: Option<(WishId, Answer)>,
}

/// The end of what was written at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// When.
    pub at: UnixMillis,
    /// Tasks that succeeded so far.
    pub succeeded: u64,
    /// Tasks that failed so far.
    pub failed: u64,
    /// The place of the last change.
    pub change_at: u64,
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry<'a> {
    /// The state changed.
    Change(Change),
    /// A task ended.
    Result(LoggedResult<'a>),
    /// An attempt failed.
    Attempt(LoggedAttempt<'a>),
    /// What was written at once ends.
    Mark(Mark),
    /// Several results and attempts.
    Group(Group<'a>),
}

/// The body of a result in a log of version 1.
#[cfg(test)]
pub(super) fn result_body(result: &TaskResult) -> Vec<u8> {
    let code = first_bytes(&result.error_code, ERROR_CODE_MAX);
    let message = first_bytes(&result.message, MESSAGE_MAX);
    let mut body = Vec::with_capacity(13 + code.len() + message.len());
    body.push(RESULT);
    body.extend_from_slice(&result.row.to_le_bytes());
    body.push(result.succeeded.into());
    body.extend_from_slice(&result.http_status.unwrap_or(0).to_le_bytes());
    body.push(u8::try_from(code.len()).unwrap_or(u8::MAX));
    body.extend_from_slice(code.as_bytes());
    body.extend_from_slice(message.as_bytes());
    body
}

/// The body of a failed attempt in a log of version 1.
#[cfg(test)]
pub(super) fn attempt_body(attempt: LoggedAttempt<'_>) -> Vec<u8> {
    [&[ATTEMPT], &attempt.row.to_le_bytes()[..], &attempt.attempts.to_le_bytes(), attempt.cause.0].concat()
}

/// The body of a change. Errors: a state that has no JSON.
pub fn change_body(change: &Change) -> serde_json::Result<Vec<u8>> {
    let mut body = vec![CHANGE];
    serde_json::to_writer(&mut body, change)?;
    Ok(body)
}

/// The body of a mark.
pub fn mark_body(mark: Mark) -> Vec<u8> {
    let numbers = [mark.succeeded, mark.failed, mark.change_at].map(u64::to_le_bytes);
    [&[MARK], &mark.at.0.to_le_bytes()[..], &numbers.concat()].concat()
}

/// Cuts values off the front of a body.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (first, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*first)
    }

    fn text(&mut self, len: usize) -> Option<LoggedText<'a>> {
        let (text, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(LoggedText(text))
    }
}

impl<'a> Entry<'a> {
    /// Reads a body. `None` if its checksum is right and its form is not, which counts as damage.
    pub fn of(body: &'a [u8]) -> Option<Self> {
        let mut cursor = Cursor(body);
        let [kind] = cursor.take()?;
        match kind {
            CHANGE => serde_json::from_slice(cursor.0).ok().map(Self::Change),
            RESULT => {
                let row = u64::from_le_bytes(cursor.take()?);
                let succeeded = match cursor.take()? {
                    [0] => false,
                    [1] => true,
                    _ => return None,
                };
                let status = u16::from_le_bytes(cursor.take()?);
                let [code_len] = cursor.take()?;
                let error_code = cursor.text(code_len.into())?;
                let message = cursor.text(cursor.0.len())?;
                let http_status = (status != 0).then_some(status);
                Some(Self::Result(LoggedResult { row, succeeded, http_status, error_code, message }))
            }
            ATTEMPT => {
                let row = u64::from_le_bytes(cursor.take()?);
                let attempts = u32::from_le_bytes(cursor.take()?);
                Some(Self::Attempt(LoggedAttempt { row, attempts, cause: cursor.text(cursor.0.len())? }))
            }
            MARK => {
                let at = UnixMillis(i64::from_le_bytes(cursor.take()?));
                let mut number = || cursor.take().map(u64::from_le_bytes);
                let (succeeded, failed, change_at) = (number()?, number()?, number()?);
                cursor.0.is_empty().then_some(Self::Mark(Mark { at, succeeded, failed, change_at }))
            }
            GROUP => Some(Self::Group(Group::of(cursor.0))),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::jobs::job::state::Priority;

    proptest! {
        #[test]
        fn results_and_attempts_read_back(
            row: u64, succeeded: bool, status in prop::option::of(1_u16..), code in ".{0,80}", message in ".{0,400}",
            attempts: u32,
        ) {
            let cut = |text: &str, max| first_bytes(text, max).to_owned();
            let result = TaskResult {
                row, succeeded, http_status: status, error_code: code.clone(), message: message.clone(),
            };
            let kept = TaskResult {
                error_code: cut(&code, ERROR_CODE_MAX), message: cut(&message, MESSAGE_MAX), ..result.clone()
            };
            let body = result_body(&result);
            match Entry::of(&body) {
                Some(Entry::Result(read)) => prop_assert_eq!(read.to_result(), kept),
                other => prop_assert!(false, "{:?}", other),
            }
            let attempt = LoggedAttempt { row, attempts, cause: LoggedText(message.as_bytes()) };
            let body = attempt_body(attempt);
            prop_assert_eq!(Entry::of(&body), Some(Entry::Attempt(attempt)));
        }

        #[test]
        fn no_bytes_make_it_panic(body: Vec<u8>) {
            let _entry = Entry::of(&body);
        }
    }

    #[test]
    fn changes_and_marks_read_back() {
        let mark = Mark { at: UnixMillis(-1), succeeded: 1, failed: u64::MAX, change_at: 32 };
        assert_eq!(Entry::of(&mark_body(mark)), Some(Entry::Mark(mark)));
        let state = JobState::new(Priority::new(3).unwrap(), UnixMillis(5));
        let id = WishId::parse("00000000000000000007-000000000000000a").unwrap();
        let change = Change { at: UnixMillis(5), state, wish: Some((id, Answer::Done("Ready".to_owned()))) };
        assert_eq!(Entry::of(&change_body(&change).unwrap()), Some(Entry::Change(change)));
    }

    #[test]
    fn texts_are_cut_at_a_character() {
        let check = |text: &str, max, cut: &str| assert_eq!(first_bytes(text, max), cut);
        check("üü", 4, "üü");
        check("üü", 3, "ü");
        check("üü", 1, "");
        let long = TaskResult {
            row: 0,
            succeeded: false,
            http_status: None,
            error_code: "c".repeat(256),
            message: format!("{}ü", "m".repeat(1_023)),
        };
        let body = result_body(&long);
        let Some(Entry::Result(read)) = Entry::of(&body) else { panic!("no result") };
        assert_eq!((read.error_code.0.len(), read.message.0.len()), (255, 1_023));
    }
}
