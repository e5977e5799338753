//! How a command fails: its message and exit code.

use std::error::Error;
use std::fmt;

use crate::words::with_causes;

/// A command's failure.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    text: String,
}

/// The exit code of a failure.
pub const FAILED: u8 = 1;
/// The exit code of wrong usage or configuration.
pub const WRONG_USAGE: u8 = 2;

impl Failure {
    /// Exit code 1.
    pub fn failed(text: impl Into<String>) -> Self {
        Self { code: FAILED, text: text.into() }
    }

    /// Exit code 2.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { code: WRONG_USAGE, text: text.into() }
    }

    /// The exit code.
    pub fn code(&self) -> u8 {
        self.code
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// An error with all its causes, in one line: exit code 1.
impl<E: Error + 'static> From<E> for Failure {
    fn from(error: E) -> Self {
        Self { code: FAILED, text: with_causes(&error) }
    }
}
