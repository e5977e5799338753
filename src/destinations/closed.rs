//! Reads what destinations keep in the spool's directory while none of them runs: how far functions are,
//! damaged files, and calls that functions have not finished. [`lanes_about`] and [`faults`] change nothing;
//! [`waiting`] removes what is queued for functions that are not kept.

use std::io;
use std::sync::Arc;

use serde::Serialize;

use super::positions::{All, Kept, LaneId, Positions, lanes, pieces};
use super::queue::{Queue, QueueReadThrough};
use crate::disk::Disk;
use crate::log::{Follow, Go, Read};
use crate::sources::SourceId;
use crate::words::counted;

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

/// One damaged file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The file, in the spool's directory.
    pub file: String,
    /// What is wrong.
    pub what: String,
}

/// Reads every file that destinations keep.
/// Errors: the disk's error; `InvalidData` if a newer release wrote the file of positions.
pub fn faults(disk: &Arc<dyn Disk>) -> io::Result<Vec<Fault>> {
    let positions = Positions::read(Arc::clone(disk))?;
    let copy = |what: &String| {
        let (file, what) = what.split_once(' ').unwrap_or((what, ""));
        Fault { file: file.to_owned(), what: what.to_owned() }
    };
    let mut faults: Vec<Fault> = positions.damaged().iter().map(copy).collect();
    for (lane, range) in lanes(positions.kept()) {
        let queue = Queue::look(Arc::clone(disk), &lane, range, pieces(positions.kept(), &lane));
        for (first, loss) in queue.check()? {
            faults.push(Fault {
                file: queue.name(first.saturating_sub(1)),
                what: format!(
                    "{} for {} of the destination {}, from the positions {first} to {}, cannot be read",
                    counted(loss.calls, "call", "calls"),
                    lane.function,
                    lane.destination,
                    loss.last
                ),
            });
        }
    }
    Ok(faults)
}

/// Calls that a function has not finished.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Waiting {
    /// The destination.
    pub destination: SourceId,
    /// The function.
    pub function: String,
    /// How many calls, at least one.
    pub calls: u64,
}

/// The calls that each function has not finished, if it has not finished all. What is queued for functions
/// that are not kept is removed.
pub fn waiting(kept: &All, disk: &Arc<dyn Disk>, log: &dyn Follow) -> io::Result<Vec<Waiting>> {
    let lanes = lanes(kept);
    Queue::sweep(&**disk, lanes.keys())?;
    let mut waiting = Vec::new();
    for (lane, (finished, copied)) in lanes {
        let one = kept.get(&lane.destination);
        let queue = Queue::open(Arc::clone(disk), &lane, (finished, copied), pieces(kept, &lane))?;
        let routes = one.map_or(&[][..], |one| &one.routes);
        let (queued, mut calls) = (queue.copied_through(), 0);
        let ahead = one.and_then(|one| one.ahead.get(&lane.function));
        queue.follow(log, &mut QueueReadThrough::after(finished), &mut |read| {
            if let Read::Frame(frame) = read {
                let is_finished = ahead.is_some_and(|ahead| ahead.is_finished(frame.position));
                let is_own =
                    !is_finished && Kept::waiting_call_for(&frame, routes, &lane.function, queued).is_some();
                calls += u64::from(is_own);
            }
            Ok(Go::On)
        })?;
        if calls > 0 {
            waiting.push(Waiting { destination: lane.destination, function: lane.function, calls });
        }
    }
    Ok(waiting)
}
