//! Finds damage in the files that destinations keep, and changes nothing.

use std::io;
use std::sync::Arc;

use super::positions::{Positions, lanes};
use super::queue::Queue;
use crate::disk::Disk;
use crate::words::counted;

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
        let pieces = positions.kept().get(&lane.destination).and_then(|one| one.pieces.get(&lane.function));
        let queue = Queue::look(Arc::clone(disk), &lane, range, pieces.map_or(&[][..], Vec::as_slice));
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
