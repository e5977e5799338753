//! Phase 2: the segments on disk, their frames, and the torn write at the end of the last segment.

use super::damaged_manifest::split_off_copies;
use super::found::{Found, cut_torn_write, find_segments};
use super::notes::Notes;
use super::open_error::{OpenError, failed};
use crate::disk::Disk;
use crate::spool::format::ident::Ident;
use crate::time::UnixMillis;

/// The segments on disk.
pub(super) struct Segments {
    /// Segments with frames, by number. The previous process wrote to the last one.
    pub(super) used: Vec<Found>,
    /// Segments that were prepared and never written to.
    pub(super) unused: Vec<Found>,
    /// Copies of other segments, left by an interrupted start, and whether each one is damaged.
    pub(super) copies: Vec<(u64, bool)>,
    /// The last segment, if the disk cannot read all of it. The number of frames that followed is unknown.
    pub(super) unreadable: Option<u64>,
    /// Length of the torn write cut off the last segment. It was never acknowledged.
    pub(super) torn_bytes: u64,
}

impl Segments {
    /// Reads the indexes of closed segments and the frames of all others.
    pub(super) fn find(
        disk: &dyn Disk,
        ident: &Ident,
        notes: &mut Notes,
        stop: bool,
    ) -> Result<Self, OpenError> {
        let mut used = find_segments(disk, ident, &notes.state)?;
        let copies = split_off_copies(&mut used, &mut notes.state, &notes.adopted);
        let is_used = |found: &Found| found.span.0 > 0 || found.unreadable;
        let unused = used.split_off(used.iter().rposition(is_used).map_or(0, |last| last + 1));
        // If any other segment cannot be read to its end, the next segment's first position shows what is
        // missing.
        let unreadable = used.last().filter(|last| last.unreadable).map(|last| last.number);
        if stop && unreadable.is_some() {
            return Err(failed("read the last segment")(rustix::io::Errno::IO.into()));
        }
        let torn_bytes = cut_torn_write(disk, used.last_mut(), notes.state.calls.next_position)
            .map_err(failed("keep the torn write"))?;
        Ok(Self { used, unused, copies, unreadable, torn_bytes })
    }

    /// When the newest frame was received.
    pub(super) fn newest(&self) -> UnixMillis {
        self.used.iter().map(|found| found.newest).max().unwrap_or_default()
    }

    /// The last position of any frame; 0 if there are no frames.
    pub(super) fn last_position(&self) -> u64 {
        self.used.iter().map(|found| found.span.1).max().unwrap_or(0)
    }
}
