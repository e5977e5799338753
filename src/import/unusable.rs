//! Why an import cannot begin.

use crate::store::StoreError;

/// Why an import cannot begin. Each stands for what a person, or a program, can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// What was asked for makes no sense, or is not there.
    #[error("{0}")]
    Wrong(String),
    /// Access is denied.
    #[error("{0}")]
    Denied(String),
    /// Nothing answers.
    #[error("{0}")]
    Unreachable(String),
    /// A store refused a request.
    #[error("{what}: {}", cause.told().full())]
    Store {
        /// What was asked of it.
        what: String,
        /// What it said.
        cause: StoreError,
    },
    /// Something else.
    #[error("{0}")]
    Failed(String),
}

impl Unusable {
    /// What this machine refused.
    pub fn failed(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Failed(crate::words::with_causes(error))
    }
}
