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
/// `next`, which is the first that is not read. A reader that only fills its windows is still before `base`,
/// the position of the last base: that one stays, because the windows are not complete before it.
pub fn read_from(batches: impl Iterator<Item = FirstOpen>, next: u64, base: u64) -> u64 {
    let counts = |first: &FirstOpen| first.sealed || !planted(PlantedBug::ReadFromPastOpenFrame);
    batches.filter(counts).map(|first| first.position).fold(position(next, 1), u64::min).max(base)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_open_frame_is_needed_whether_or_not_it_is_sealed() {
        let first = |position, sealed| FirstOpen { position, sealed };
        let check = |open: &[FirstOpen], expected| {
            assert_eq!(read_from(open.iter().copied(), 10, 1), expected, "{open:?}");
        };
        check(&[], position(10, 1));
        check(&[first(400, true), first(300, false)], 300);
        check(&[first(300, true), first(400, false)], 300);
    }

    /// Found by the simulation (seed 236): an owner that was still filling its windows noted a base before the
    /// last one, and the next owner stored repeats.
    #[test]
    fn the_base_does_not_go_back_while_the_windows_fill() {
        let base = position(20, 3);
        assert_eq!(read_from([].into_iter(), 10, base), base);
    }
}
