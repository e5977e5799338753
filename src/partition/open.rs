//! From which position on an owner needs the log.

use super::position::position;
use crate::planted_bugs::{PlantedBug, planted};

/// The first frame of a batch that is neither released nor left.
#[derive(Clone, Copy, Debug)]
pub struct FirstOpen {
    /// Its position.
    pub position: u64,
    /// Whether it is in a seal.
    pub sealed: bool,
}

/// The first position that is neither released nor left: that of the first open frame, or of the record at
/// `next`, which is the first that is not read.
pub fn read_from(batches: impl Iterator<Item = FirstOpen>, next: u64) -> u64 {
    let counts = |first: &FirstOpen| first.sealed || !planted(PlantedBug::ReadFromPastOpenFrame);
    batches.filter(counts).map(|first| first.position).fold(position(next, 1), u64::min)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_open_frame_is_needed_whether_or_not_it_is_sealed() {
        let first = |position, sealed| FirstOpen { position, sealed };
        let check = |open: &[FirstOpen], expected| {
            assert_eq!(read_from(open.iter().copied(), 10), expected, "{open:?}");
        };
        check(&[], position(10, 1));
        check(&[first(400, true), first(300, false)], 300);
        check(&[first(300, true), first(400, false)], 300);
    }
}
