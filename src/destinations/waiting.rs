//! Calls that functions have not finished, counted while no destination runs.

use std::io;
use std::sync::Arc;

use serde::Serialize;

use super::positions::{All, Kept, lanes};
use super::queue::{Queue, QueueReadThrough};
use crate::disk::Disk;
use crate::log::{Follow, Go, Read};
use crate::sources::SourceId;

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
        let pieces = one.and_then(|one| one.pieces.get(&lane.function)).map_or(&[][..], Vec::as_slice);
        let queue = Queue::open(Arc::clone(disk), &lane, (finished, copied), pieces)?;
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
