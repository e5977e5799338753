//! How a command fails: its message and exit code.

use std::error::Error;
use std::fmt;

use crate::store::{Fault, StoreError};
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
/// The exit code of an import some of whose rows were rejected.
pub const SOME_REJECTED: u8 = 3;
/// The exit code of an import whose target or files cannot be reached.
pub const UNREACHABLE: u8 = 4;
/// The exit code of an import that is denied access.
pub const DENIED: u8 = 5;
/// The exit code after an interrupt.
pub const INTERRUPTED: u8 = 130;

impl Failure {
    /// Exit code 1.
    pub fn failed(text: impl Into<String>) -> Self {
        Self { code: FAILED, text: text.into() }
    }

    /// Exit code 2.
    pub fn usage(text: impl Into<String>) -> Self {
        Self { code: WRONG_USAGE, text: text.into() }
    }

    /// Exit code 4.
    pub fn unreachable(text: impl Into<String>) -> Self {
        Self { code: UNREACHABLE, text: text.into() }
    }

    /// A given exit code.
    pub fn with_code(code: u8, text: impl Into<String>) -> Self {
        Self { code, text: text.into() }
    }

    /// A failed request to a store.
    pub fn of_store(what: &str, error: &StoreError) -> Self {
        let code = match error.fault {
            Fault::Refused if error.status == Some(404) => FAILED,
            Fault::Refused | Fault::NoAccess | Fault::Expired => DENIED,
            Fault::Transient => UNREACHABLE,
            _ => FAILED,
        };
        Self { code, text: format!("{what}: {error}") }
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
