//! How far functions are, read from the files that destinations keep. It changes nothing.

use std::sync::Arc;

use serde::Serialize;

use super::positions::{LaneId, Positions, lanes};
use crate::disk::Disk;

/// How far a function of a destination is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LaneAbout {
    /// The destination.
    pub destination: String,
    /// Its function.
    pub function: String,
    /// Whether the configuration no longer had the destination.
    pub removed: bool,
    /// It has finished everything up to this position.
    pub finished: u64,
    /// Its lines up to this position are in its queue, if they are not finished.
    pub queued: Option<u64>,
}

/// Each function and how far it is. Errors: why nobody knows it.
pub fn lanes_about(disk: Arc<dyn Disk>) -> Result<Vec<LaneAbout>, String> {
    let positions = Positions::read(disk).map_err(|error| error.to_string())?;
    if positions.is_lost() {
        return Err(positions.damaged().join("; "));
    }
    let kept = positions.kept();
    let about = |(lane, (finished, queued)): (LaneId, (u64, Option<u64>))| LaneAbout {
        removed: kept.get(&lane.destination).is_some_and(|one| one.removed),
        destination: lane.destination.to_string(),
        function: lane.function,
        finished,
        queued,
    };
    Ok(lanes(kept).into_iter().map(about).collect())
}
