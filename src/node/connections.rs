//! Fits the number of connections to the number of files that the process may open.

use super::error::NodeError;
use crate::runtime::handles::{self, Fitted, Wanted};

/// Raises the limit of open files, and reduces the number of connections to fit it. If there are fewer
/// connections than wanted, the second value is a warning, to be logged once the spool is open.
/// Errors: [`NodeError`] if the process may open too few files.
pub fn fit_connections(wanted: Wanted) -> Result<(Fitted, Option<String>), NodeError> {
    let limit = handles::raise();
    let fitted = handles::fit(limit, wanted).map_err(|error| NodeError::Other(error.to_string()))?;
    let (allowed, more) = (fitted.connections, wanted.connections.saturating_sub(fitted.connections));
    let fewer = (more > 0).then(|| {
        format!(
            "connections are limited to {allowed}: the process may open {limit} files; for {} connections, set LimitNOFILE to {} or more",
            wanted.connections,
            limit.saturating_add(more as u64)
        )
    });
    Ok((fitted, fewer))
}
