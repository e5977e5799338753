//! Calls that functions have not finished, counted while no destination runs.

use std::io;
use std::sync::Arc;

use super::positions::{All, Kept, LaneId};
use super::queue::{Queue, QueuePlace};
use crate::disk::Disk;
use crate::log::{Follow, Go, Read};

/// The calls that each function has not finished, if it has not finished all.
///
/// # Errors
/// The disk's error.
pub fn waiting(kept: &All, disk: &Arc<dyn Disk>, log: &dyn Follow) -> io::Result<Vec<(LaneId, u64)>> {
    let mut waiting = Vec::new();
    for (name, one) in kept {
        for (function, finished) in &one.lanes {
            let lane = LaneId { destination: name.clone(), function: function.clone() };
            let queue = Queue::open(Arc::clone(disk), &lane, *finished, one.copied.get(function).copied())?;
            let mut calls = 0;
            queue.follow(log, &mut QueuePlace::after(*finished), &mut |read| {
                if let Read::Frame(frame) = read {
                    calls += u64::from(Kept::call_for(&frame, &one.routes, function).is_some());
                }
                Ok(Go::On)
            })?;
            if calls > 0 {
                waiting.push((lane, calls));
            }
        }
    }
    Ok(waiting)
}
