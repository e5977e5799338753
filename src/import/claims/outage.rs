//! Why a shared journal cannot be used.

use crate::import::shared_progress::WriteError;
use crate::words::Told;

/// Why a shared journal cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outage {
    /// What its store said.
    pub told: Told,
    /// Whether it may pass by itself: the store could not be reached, or something changed at the same time.
    pub passes: bool,
}

impl Outage {
    /// One that may pass by itself.
    pub(crate) fn passing(told: impl Into<Told>) -> Self {
        Self { told: told.into(), passes: true }
    }
}

impl From<WriteError> for Outage {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Changed => Self::passing("an object of it changes while it is read"),
            WriteError::Unknown(told) => Self { told, passes: true },
            WriteError::Refused(told) => Self { told, passes: false },
        }
    }
}
