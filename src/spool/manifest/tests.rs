//! How notes and states are written, and where.

use std::collections::BTreeSet;

use super::*;
use crate::disk::real_disk::RealDisk;
use crate::log::Range;
use crate::log::notes::CallState;
use crate::spool::capped_disk::CappedDisk;

#[test]
fn on_a_full_disk_a_second_copy_of_the_state_leaves_space_for_notes() {
    let note = vec![7; 10_000];
    let stored_once = |reserve: usize| {
        let dir = tempfile::tempdir().unwrap();
        let real: Arc<dyn Disk> = Arc::new(RealDisk::open(dir.path()).unwrap());
        real.create(RESERVE).unwrap().write_at(&[IoSlice::new(&vec![0; reserve])], 0).unwrap();
        let reserve = reserve as u64;
        let full = CappedDisk::new(real, reserve, 0).unwrap();
        let made = write_state(&full, 1, &note, 4_096).unwrap();
        assert_eq!((made.from.as_str(), made.len), (RESERVE, reserve));
        made.state_stored_once
    };
    assert!(stored_once(14_096) && stored_once(20_100));
    assert!(!stored_once(24_096));
}

#[test]
fn a_borrowed_state_is_encoded_like_an_owned_one() {
    let salt = salt(&[7; 16], 3);
    let state = State { calls: CallState { next_seal: 5, ..CallState::new() }, ..State::new() };
    let note = Note::State(Box::new(state.clone()));
    assert_eq!(encode_state(&state, salt).unwrap(), encode(&note, salt).unwrap());
    assert_eq!(decode(&encode_state(&state, salt).unwrap(), salt).map(|(note, _)| note), Some(note));
}

/// Found by fuzzing: adding one to the highest number overflowed.
#[test]
fn the_highest_numbers_do_not_overflow() {
    let (mut state, number) = (State::new(), u64::MAX);
    state.apply(FileNote::Segment { number });
    state.apply(FileNote::Replaced { old: number, new: number });
    let positions = Some(Range { first: 1, last: number });
    state.apply(FileNote::Released { number, positions });
    assert_eq!((state.files.next_segment, state.calls.next_position), (number, number));
}

/// One note of each kind, with everything that it can have, and last the state that they add up to. The
/// program wrote them before notes about calls and notes about files were two types.
const WRITTEN: &str = include_str!("../../../tests/fixtures/manifest-notes.jsonl");

#[test]
fn notes_and_their_state_are_written_as_ever() {
    let mut kinds = BTreeSet::new();
    let mut state = State::new();
    let (notes, state_line) = WRITTEN.trim_end().rsplit_once('\n').unwrap();
    for line in notes.lines() {
        let note: Note = serde_json::from_str(line).unwrap();
        assert_eq!(serde_json::to_string(&note).unwrap(), line);
        kinds.insert(line.split('"').nth(1).unwrap());
        state.apply(note);
    }
    assert_eq!(kinds.len(), 20, "{kinds:?}");
    let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    let whole = Note::State(Box::new(state));
    let written = serde_json::to_string(&whole).unwrap();
    // Members of the state may be in any order.
    assert_eq!((value(&written), written.len()), (value(state_line), state_line.len()));
    assert_eq!(serde_json::from_str::<Note>(state_line).unwrap(), whole);
}

/// The program writes none, but damage with a right checksum is possible: reading it must need no more stack
/// the deeper it is.
#[test]
fn notes_that_are_several_in_several_cannot_be_read() {
    let nested = |depth: usize| {
        format!(r#"{}{{"segment":{{"number":1}}}}{}"#, r#"{"together":["#.repeat(depth), "]}".repeat(depth))
    };
    for (depth, is_read) in [(0, true), (1, true), (2, false), (100_000, false)] {
        assert_eq!(serde_json::from_str::<Note>(&nested(depth)).is_ok(), is_read, "{depth}");
    }
}
