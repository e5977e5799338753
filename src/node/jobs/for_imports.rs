//! What jobs that import get from their process.

use tokio_util::sync::CancellationToken;

use crate::runtime::Background;

/// What jobs that import get from their process.
#[derive(Clone, Debug)]
pub struct ForImports<'p> {
    /// Runs work of low priority.
    pub background: &'p Background,
    /// The write key, which no job keeps.
    pub write_key: Option<&'p str>,
    /// Stops imports at their next step.
    pub stop: CancellationToken,
}
