//! Why an import cannot begin.

use crate::store::{Fault, StoreError};

/// Why an import cannot begin. Each variant stands for what a person, or a program, can do about it.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// What was asked for makes no sense, or is missing.
    #[error("{0}")]
    Wrong(String),
    /// Access is denied.
    #[error("{0}")]
    Denied(String),
    /// Nothing answers at the address.
    #[error("{0}")]
    Unreachable(String),
    /// A store refused a request.
    #[error("{what}: {}", cause.told().full())]
    Store {
        /// The request to the store.
        what: String,
        /// The store's error.
        cause: StoreError,
    },
    /// Another reason.
    #[error("{0}")]
    Failed(String),
}

/// What a person, or a program, can do about an [`Unusable`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnusableKind {
    /// Ask for something else.
    Wrong,
    /// Get access.
    Denied,
    /// Wait, or name another address.
    Unreachable,
    /// Read the text.
    Failed,
}

impl Unusable {
    /// The kind of this reason.
    pub fn kind(&self) -> UnusableKind {
        match self {
            Self::Wrong(_) => UnusableKind::Wrong,
            Self::Denied(_) => UnusableKind::Denied,
            Self::Unreachable(_) => UnusableKind::Unreachable,
            Self::Failed(_) => UnusableKind::Failed,
            Self::Store { cause, .. } => match cause.fault {
                Fault::Refused if cause.status == Some(404) => UnusableKind::Failed,
                Fault::Refused | Fault::NoAccess | Fault::Expired => UnusableKind::Denied,
                Fault::Transient => UnusableKind::Unreachable,
                _ => UnusableKind::Failed,
            },
        }
    }

    /// A refusal of this machine.
    pub fn failed(error: &(dyn std::error::Error + 'static)) -> Self {
        Self::Failed(crate::words::with_causes(error))
    }
}
