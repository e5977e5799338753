//! What is lost once the log begins after what an owner still needs. It is named, and the owner goes on at
//! the log's start, never at its end.

use sha2::{Digest, Sha256};

use super::note::Note;
use super::position::{before, position};
use crate::log::notes::CallNote;
use crate::log::{Amend, Lost, LostFrames, Range, Seal};
use crate::planted_bugs::{PlantedBug, planted};

/// Where reading goes on, in a log with records from `start` to the one before `end`.
pub fn goes_on_at(start: u64, end: u64) -> u64 {
    if planted(PlantedBug::ResetToTheEnd) { end } else { start }
}

/// The note that the records from `next` to the one before `start` are lost. `None` if there are none.
pub fn open_frames(next: u64, start: u64) -> Option<Note> {
    Range::between(position(next, 1), before(start)).map(Note::Unread)
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

    #[test]
    fn records_before_the_start_are_named_and_no_others() {
        let unread = Range { first: position(3, 1), last: position(6, 4_095) };
        assert_eq!(open_frames(3, 7), Some(Note::Unread(unread)));
        assert_eq!((open_frames(7, 7), open_frames(8, 7)), (None, None));
        assert_eq!(goes_on_at(3, 9), 3);
    }
}
