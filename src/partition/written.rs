//! What releases before this one have written is read, and what this one writes they can read: blocks, notes, snapshots,
//! and what owners tell the group. Processes of two releases share a log.

use std::collections::BTreeSet;

use super::block::{self, CollectorId, Part};
use super::group::{Metadata, OwnerSays};
use super::note::Note;
use super::state::{Identity, State, Sum};
use crate::log::frame::{self, FrameKind};
use crate::object::Stream;
use crate::sources::SourceId;
use crate::time::UnixMillis;

/// One note of each kind, also of those about calls, and last a snapshot of the state that they add up to.
const NOTES: &str = include_str!("../../tests/fixtures/partition-notes.jsonl");
/// A block of two requests, in hexadecimal digits.
const BLOCK: &str = include_str!("../../tests/fixtures/partition-block.hex");
/// What owners tell the group: with all fields, and as releases before the first field of an owner did.
const METADATA: &str = include_str!("../../tests/fixtures/partition-metadata.txt");

#[test]
fn notes_and_their_snapshot_are_written_as_ever() {
    let mut kinds = BTreeSet::new();
    let (notes, snapshot) = NOTES.trim_end().rsplit_once('\n').unwrap();
    let identity = Identity { log_id: "0123456789abcdef".repeat(2), partition: 3, ..Identity::of_tests() };
    let mut state = State::new(identity);
    for (line, offset) in notes.lines().zip(10..) {
        let note = Note::decode(line.as_bytes()).unwrap();
        assert_eq!(String::from_utf8(note.encode()).unwrap(), line);
        let of_call = line.strip_prefix("{\"call\":");
        kinds.insert(of_call.unwrap_or(line).split('"').nth(1).unwrap());
        state.apply(note, offset);
    }
    assert_eq!(kinds.len(), 21, "all but the snapshot: {kinds:?}");
    let written = state.snapshot(UnixMillis(0)).unwrap();
    let [written] = written.as_slice() else { panic!("{written:?}") };
    assert_eq!(String::from_utf8(written.encode()).unwrap(), snapshot);
    let mut sum = Sum::default();
    sum.takes(99, snapshot.as_bytes()).unwrap();
    assert_eq!(sum.into_state(), Some(state));
}

#[test]
fn a_block_is_written_as_ever() {
    let part = |source: &str, stream, lines: &[&str]| {
        let source = SourceId::new(source).unwrap();
        let (mut bytes, at) = (Vec::new(), UnixMillis(1_764_500_000_123));
        for (line, kind) in lines.iter().zip([FrameKind::Call, FrameKind::Rejected]) {
            let start = frame::begin(&mut bytes, kind, (Some(&source), ""), at, None);
            bytes.extend_from_slice(line.as_bytes());
            frame::finish(&mut bytes, start, u128::MAX / 3);
        }
        Part::new(source, stream, 3, bytes)
    };
    let parts =
        [part("web", Stream::Calls, &["{\"a\":1}", "{\"b\":2}"]), part("ios", Stream::Calls, &["{}"])];
    let written = block::write(CollectorId(0x1234_5678_9abc_def0), 7, &parts);
    assert_eq!(hex::encode(&written), BLOCK.trim_end());
    let read = block::read(&written).unwrap();
    assert_eq!(
        (read.collector, read.number, read.requests.len()),
        (CollectorId(0x1234_5678_9abc_def0), 7, 2)
    );
}

#[test]
fn what_owners_tell_the_group_is_written_as_ever() {
    let [now, second, first] = METADATA.lines().collect::<Vec<_>>().try_into().unwrap();
    let web = SourceId::new("web").unwrap();
    let owner = OwnerSays {
        host: "writer-2".to_owned(),
        at: UnixMillis(1_764_500_000_123),
        lag_seconds: Some(7),
        left_seconds: Some(600),
        pin: Some(("web".to_owned(), UnixMillis(1_764_400_000_000))),
        needed_from: Some(38),
    };
    let earlier = OwnerSays { needed_from: None, ..owner.clone() };
    for (text, owner) in [(now, owner), (second, earlier)] {
        let read = Metadata::decode(text).unwrap();
        assert!(read.refuses(&web) && read.refuses_all && read.base_at == Some(41));
        assert_eq!((read.encode().as_str(), &read.owner), (text, &Some(owner)));
    }
    let read = Metadata::decode(first).unwrap();
    assert!(read.refuses(&web) && !read.refuses_all && read.owner.is_none());
    assert_eq!(read.encode(), first);
}
