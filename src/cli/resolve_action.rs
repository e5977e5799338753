//! What a person decides about a conflict, as an argument.

use crate::node::closed_spool::Decision;
use clap::ValueEnum;

/// What to do with a sealed object if another object has its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ResolveAction {
    /// Replace the other object with the sealed one
    Overwrite,
    /// Keep the other object, and count the sealed one as delivered
    KeepTheirs,
}

impl ResolveAction {
    /// What a person decided.
    pub(crate) fn decision(self) -> Decision {
        if self == Self::Overwrite { Decision::Overwrite } else { Decision::KeepTheirs }
    }
}
