//! What a log has of tasks.

use std::fmt;

use crate::jobs::task::TaskResult;

/// The longest error code of a task, in bytes.
pub const ERROR_CODE_MAX: usize = 255;

/// How a task ended, as the log has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedResult<'a> {
    /// The row of the manifest, from 0.
    pub row: u64,
    /// Whether it succeeded.
    pub succeeded: bool,
    /// The HTTP status of the last answer, if there was one.
    pub http_status: Option<u16>,
    /// Why it failed. Empty if it succeeded.
    pub error_code: LoggedText<'a>,
    /// The function's result, or what went wrong.
    pub message: LoggedText<'a>,
}

/// A text as the log has it. It is looked at only where it is needed.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct LoggedText<'a>(pub(super) &'a [u8]);

impl fmt::Display for LoggedText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(self.0))
    }
}

impl fmt::Debug for LoggedText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", String::from_utf8_lossy(self.0))
    }
}

/// An attempt that failed, and after which the task is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoggedAttempt<'a> {
    /// The row of the manifest, from 0.
    pub row: u64,
    /// Attempts of the task so far.
    pub attempts: u32,
    /// Why it failed.
    pub cause: LoggedText<'a>,
}

/// The beginning of a text, at most `max` bytes of whole characters.
pub fn first_bytes(text: &str, max: usize) -> &str {
    text.get(..text.floor_char_boundary(max)).unwrap_or_default()
}

impl<'a> LoggedResult<'a> {
    /// The results of so many rows from this one on, each like this one.
    pub fn of_rows(self, count: u64) -> impl Iterator<Item = LoggedResult<'a>> {
        (0..count).map(move |after| LoggedResult { row: self.row.wrapping_add(after), ..self })
    }

    /// The result as a value of its own.
    pub fn to_result(&self) -> TaskResult {
        TaskResult {
            row: self.row,
            succeeded: self.succeeded,
            http_status: self.http_status,
            error_code: self.error_code.to_string(),
            message: self.message.to_string(),
        }
    }
}

/// What a visitor sees, in the order of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Visit<'a> {
    /// The final result of a task, and of so many in all on the rows from there on, which end alike. If a row has two
    /// results, the first one counts.
    Results(LoggedResult<'a>, u64),
    /// An attempt after which the task is tried again.
    Attempt(LoggedAttempt<'a>),
}
