//! What is lost once the log begins after what an owner still needs. It is named, and the owner goes on at
//! the log's start, never at its end.

use sha2::{Digest, Sha256};

use super::note::Note;
use super::position::{before, position};
use super::state::State;
use crate::log::notes::CallNote;
use crate::log::{Amend, Lost, LostFrames, Range, Seal};
use crate::planted_bugs::{PlantedBug, planted};

/// Where reading goes on, in a log with records from `start` to the one before `end`.
pub fn goes_on_at(start: u64, end: u64) -> u64 {
    if planted(PlantedBug::ResetToTheEnd) { end } else { start }
}

/// The notes that positions before the record at `start` are lost, if a reader still needs the record at
/// `next`, and none of it is named yet. What stands before the base was only to fill the windows.
pub fn open_frames(state: &State, next: u64, start: u64) -> Vec<Note> {
    let named = Range::merge(state.unread.iter().copied());
    let needed = Range::between(position(next, 1).max(state.base.read_from), before(start));
    needed.into_iter().flat_map(|needed| needed.outside(&named)).map(Note::Unread).collect()
}

/// Whether a sealed object can no longer be built from a log that begins at `start`.
pub fn is_gone(seal: &Seal, start: u64) -> bool {
    seal.first < before(start)
}

/// The notes that a sealed object is lost: it is put without lines, so that the chain stays whole.
pub fn object(seal: &Seal) -> Vec<Note> {
    let Range { first, last } = seal.range();
    let lost = Lost { first, last, frames: LostFrames::Exactly(seal.frames) };
    let amend = Amend {
        frames: 0,
        bytes: 0,
        sha256: hex::encode(Sha256::digest(b"")),
        lost: vec![seal.range()],
        hours: Vec::new(),
    };
    let amended = CallNote::Amended { number: seal.number, amend };
    [CallNote::Lost(lost), amended].map(Note::Call).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::partition::state::Identity;

    #[test]
    fn positions_before_the_start_are_named_once_and_no_others() {
        let mut state = State::new(Identity::of_tests());
        let unread = |first, last| Note::Unread(Range { first, last });
        let all = unread(position(3, 1), position(6, 4_095));
        assert_eq!(open_frames(&state, 3, 7), [all]);
        assert_eq!(open_frames(&state, 7, 7), []);
        state.unread = vec![Range { first: position(3, 1), last: position(4, 4_095) }];
        assert_eq!(open_frames(&state, 3, 7), [unread(before(5), position(6, 4_095))]);
        state.base.read_from = position(6, 2);
        assert_eq!(open_frames(&state, 3, 7), [unread(position(6, 2), position(6, 4_095))]);
        assert_eq!(goes_on_at(3, 9), 3);
    }
}
