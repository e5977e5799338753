//! What a reader decides of records, and that a later reader decides the same.

use proptest::prelude::*;

use super::*;
use crate::crc32c;
use crate::log::frame::FrameKind;
use crate::log::notes::CallNote;
use crate::log::{DayInBucket, Encoded};
use crate::object::{BucketString, Encryption, ObjectKey, S3Location, Stream};
use crate::partition::block::{CollectorId, Part};
use crate::partition::days::to_settle;
use crate::partition::note::Note;
use crate::partition::state::Identity;
use crate::sources::SourceId;
use crate::time::DAY_MS;

const NOON: UnixMillis = UnixMillis(20_000 * DAY_MS + DAY_MS / 2);

fn state(window: u64) -> State {
    State::new(Identity { window, ..Identity::of_tests() })
}

/// A block of one request whose frames have these fingerprints.
fn block(collector: u128, number: u64, fingerprints: &[u128]) -> Vec<u8> {
    let source = SourceId::new("web").unwrap();
    let mut bytes = Vec::new();
    for fingerprint in fingerprints {
        let start = frame::begin(&mut bytes, FrameKind::Call, (Some(&source), ""), NOON, None);
        bytes.extend_from_slice(br#"{"receivedAt":"2024-10-04T12:00:00.000Z"}"#);
        frame::finish(&mut bytes, start, *fingerprint);
    }
    let items = u32::try_from(fingerprints.len()).unwrap();
    block::write(CollectorId(collector), number, [&Part::new(source, Stream::Calls, items, bytes)])
}

fn frames(took: Took<'_>) -> Vec<ReadFrame<'_>> {
    match took {
        Took::Block { frames, .. } => frames,
        other => panic!("{other:?}"),
    }
}

fn lines(took: Took<'_>) -> Vec<u64> {
    frames(took).into_iter().filter(|frame| !frame.repeat).map(|frame| frame.position).collect()
}

#[test]
fn repeats_and_second_copies_are_no_lines_and_are_counted() {
    let state = state(4);
    let mut reader = Reader::of_base(&state);
    let first = block(1, 1, &[7, 0, 0]);
    assert_eq!(lines(reader.takes(0, &first, &state)), [1, 2, 3]);
    assert_eq!(reader.takes(1, &first, &state), Took::Copy(1), "frames without ids are found by the number");
    let second = block(1, 2, &[7, 8]);
    let Took::Block { frames, counts, .. } = reader.takes(2, &second, &state) else { panic!() };
    assert_eq!(frames.iter().map(|frame| frame.repeat).collect::<Vec<_>>(), [true, false]);
    let mut sum = Row::default();
    counts.iter().for_each(|(_, _, row)| sum.add(row));
    assert_eq!((sum.received, sum.stored, sum.repeated), (2, 1, 1));
    assert_eq!(reader.covered().copies, [1]);
    assert_eq!((reader.next(), reader.covered().last.unwrap().offset), (3, 2));
}

#[test]
fn what_cannot_be_read_is_read_on_only_once_it_is_noted() {
    let mut state = state(4);
    let mut reader = Reader::of_base(&state);
    let mut half = block(1, 1, &[5, 6]);
    let at = half.len() - 3;
    half[at] ^= 1;
    // The block's own checksum is made right again: the frame is what a collector wrote.
    let crc = crc32c::append(crc32c::crc32c(&half[..8]), &half[12..]);
    half[8..12].copy_from_slice(&crc.to_le_bytes());
    let bad = Range { first: 2, last: 2 };
    assert_eq!(reader.takes(0, &half, &state), Took::Unreadable(vec![bad]));
    assert_eq!(reader.next(), 0);
    state.apply(Note::Unread(bad), 1);
    assert_eq!(lines(reader.takes(0, &half, &state)), [1]);
    let whole = Range { first: position(1, 1), last: position(1, 4_095) };
    assert_eq!(reader.takes(1, b"no block", &state), Took::Unreadable(vec![whole]));
    state.apply(Note::Unread(whole), 2);
    assert_eq!(reader.takes(1, &block(2, 1, &[9]), &state), Took::Nothing, "even if it could be read");
    let missing = Range { first: position(2, 1), last: position(3, 0) - 1 };
    assert_eq!(reader.takes(3, &block(1, 2, &[9]), &state), Took::Unreadable(vec![missing]));
    state.apply(Note::Unread(missing), 3);
    assert_eq!(lines(reader.takes(3, &block(1, 2, &[9]), &state)), [position(3, 1)]);
    let mut newer = block(1, 3, &[1]);
    newer[4] += 1;
    assert_eq!(reader.takes(4, &newer, &state), Took::Newer(2));
}

#[test]
fn a_frame_behind_the_end_of_its_day_is_of_the_day_after() {
    let mut state = state(4);
    state.apply(Note::Call(CallNote::DaysOver { through: NOON.day(), from: Some(before(1)) }), 1);
    let mut reader = Reader::of_base(&state);
    for (offset, late) in [(0, false), (1, true)] {
        let record = block(1, offset + 1, &[offset.into()]);
        let took = reader.takes(offset, &record, &state);
        let Took::Block { counts, .. } = &took else { panic!() };
        let at = if late { NOON.day().end() } else { NOON };
        // Found on real brokers: it was counted as received in one hour, and as stored in another.
        assert!(counts.iter().all(|(_, hour, _)| *hour == Hour::of(at)), "{counts:?}");
        let read = frames(took);
        assert_eq!(read[0].late, late);
        assert_eq!((read[0].received_at, read[0].batch.day), (at, at.day()));
        let said = if late { "2024-10-05T00:00:00.000Z" } else { "2024-10-04T12:00:00.000Z" };
        assert_eq!(std::str::from_utf8(&read[0].line()).unwrap(), format!("{{\"receivedAt\":\"{said}\"}}"));
    }
}

/// Found by the simulation (seed 546): the log was cut while a new owner was still reading what an earlier
/// one had read, and it waited for ever for the rest of a sealed object.
#[test]
fn a_log_that_is_cut_while_an_owner_catches_up_is_noticed() {
    let mut state = state(4);
    let mut earlier = Reader::of_base(&state);
    for offset in 0..3 {
        lines(earlier.takes(offset, &block(1, offset + 1, &[offset.into()]), &state));
    }
    state.apply(Note::Covered(earlier.covered()), 1);
    let mut later = Reader::of_base(&state);
    lines(later.takes(0, &block(1, 1, &[0]), &state));
    assert!(later.ends_short(&state), "the notes name a later block");
    // What it covers itself is less than what the earlier owner did.
    state.apply(Note::Covered(later.covered()), 2);
    assert_eq!(state.covered.unwrap().offset, 2);
    lines(later.takes(1, &block(2, 1, &[1]), &state));
    assert_eq!(later.takes(2, &block(2, 2, &[2]), &state), Took::Cut);
    assert_eq!(lines(later.takes(2, &block(1, 3, &[2]), &state)), [position(2, 1)]);
    assert!(!later.ends_short(&state));
}

/// A reader that goes to an offset anew does not notice that the log was cut before it and has grown again: it passed by
/// calls that were acknowledged.
#[test]
fn whoever_goes_anew_to_a_place_compares_the_last_block() {
    let state = state(4);
    let mut reader = Reader::of_base(&state);
    assert_eq!((reader.goes_anew(0), reader.ends_short(&state)), (0, false), "it has read nothing");
    let log = [block(1, 1, &[7]), block(1, 2, &[8]), block(1, 3, &[9])];
    lines(reader.takes(0, &log[0], &state));
    lines(reader.takes(1, &log[1], &state));
    assert_eq!((reader.expects(), reader.goes_anew(2)), (2, 2), "retention has deleted it");
    for other in [&block(2, 2, &[8])[..], b"no block"] {
        let mut reader = reader.clone();
        assert_eq!((reader.goes_anew(1), reader.next()), (1, 2));
        assert!(reader.ends_short(&state), "a log that ends here was cut");
        assert_eq!(reader.takes(1, other, &state), Took::Cut);
    }
    let mut behind = reader.clone();
    behind.goes_anew(0);
    assert_eq!(behind.takes(2, &log[2], &state), Took::Cut, "nothing stands at its place");
    assert_eq!(reader.goes_anew(0), 1);
    assert_eq!(reader.takes(1, &log[1], &state), Took::Nothing);
    assert_eq!((reader.expects(), reader.ends_short(&state)), (2, false));
    assert_eq!(lines(reader.takes(2, &log[2], &state)), [position(2, 1)]);
}

#[test]
fn a_day_that_ended_beyond_the_end_of_the_log_says_that_it_was_cut() {
    let mut state = state(4);
    let reader = Reader::of_base(&state);
    assert!(!reader.ends_short(&state));
    state.apply(Note::Call(CallNote::DaysOver { through: NOON.day(), from: Some(before(1)) }), 1);
    assert!(reader.ends_short(&state));
}

/// Found by the simulation (seeds 10401, 11246): retention took what filled the windows, a repeat became a
/// line of a day that was closed, and the day's second marker differed from the first.
#[test]
fn a_frame_that_was_left_out_of_a_closed_day_stays_so() {
    let mut state = state(4);
    let log = [block(1, 1, &[7]), block(1, 2, &[7])];
    let mut earlier = Reader::of_base(&state);
    let first = frames(earlier.takes(0, &log[0], &state)).remove(0);
    assert!(lines(earlier.takes(1, &log[1], &state)).is_empty(), "a repeat");

    let location = S3Location::new(BucketString::parse("bucket").unwrap(), Encryption::SseS3);
    let encoded = Encoded { first: first.position, last: first.position, frames: 1, ..Encoded::default() };
    let key = ObjectKey::listed("object");
    let seal = state.calls.seal_of(&first.batch, &encoded, location, key).unwrap();
    let (number, place) = (seal.number, DayInBucket::of(&seal));
    let delivered = [
        CallNote::Sealed(seal),
        CallNote::Committed { number, applied: None, seal: None, amended: None },
        CallNote::DaysOver { through: NOON.day(), from: Some(before(2)) },
    ];
    delivered.into_iter().for_each(|note| state.apply(Note::Call(note), 1));

    let begins_late = |state: &State| {
        let mut later = Reader::of_base(state);
        later.skip_to(1);
        let Took::Block { frames, counts, .. } = later.takes(1, &log[1], state) else { panic!() };
        let mut sum = Row::default();
        counts.iter().for_each(|(_, _, row)| sum.add(row));
        (frames[0].repeat, sum.repeated)
    };
    assert_eq!(begins_late(&state), (false, 0), "nobody can know it");
    let settled = to_settle(&state, [].into_iter(), earlier.read_before()).remove(0);
    state.apply(settled, 2);
    assert_eq!(begins_late(&state), (true, 1), "its marker may be in the store");
    state.apply(Note::Call(CallNote::Closed(place)), 3);
    assert_eq!(begins_late(&state), (true, 1));
}

/// Found by the simulation (seed 63757): an owner that was behind when retention took the middle of its window found a
/// repeat where earlier owners had a line, and named a sealed call as lost.
#[test]
fn a_frame_before_lost_ones_makes_no_repeat() {
    let state = state(2);
    let log = [[7], [8], [9], [7]].iter().zip(1..).map(|(of, number)| block(1, number, of));
    let log: Vec<_> = log.collect();
    let mut earlier = Reader::of_base(&state);
    for (offset, value) in log.iter().enumerate() {
        assert_eq!(lines(earlier.takes(offset as u64, value, &state)).len(), 1, "record {offset}");
    }
    let mut later = Reader::of_base(&state);
    assert_eq!(lines(later.takes(0, &log[0], &state)).len(), 1);
    later.skip_to(3);
    assert_eq!(lines(later.takes(3, &log[3], &state)).len(), 1);
}

proptest! {
    /// An owner notes bases and is followed by one that begins there, and by one that rebuilds objects: all
    /// decide the same.
    #[test]
    fn later_readers_decide_the_same(
        log in prop::collection::vec((0_u128..3, prop::collection::vec(0_u128..6, 0..4), any::<bool>()), 1..25),
        window in 0_u64..8,
        based in 0_usize..25,
        released in 0_usize..25,
    ) {
        let mut state = state(window);
        let (mut numbers, mut records) = ([0; 3], Vec::new());
        for (collector, fingerprints, again) in &log {
            let number = &mut numbers[usize::try_from(*collector).unwrap()];
            *number += 1;
            let value = block(*collector, *number, fingerprints);
            records.extend(std::iter::repeat_n(value, 1 + usize::from(*again)));
        }
        let (based, released) = (based % records.len(), released % records.len());
        let (based, released) = (based.max(released), based.min(released));
        let mut first = Reader::of_base(&state);
        let mut verdicts = Vec::new();
        for (record, offset) in records.iter().zip(0..) {
            verdicts.push(first.takes(offset, record, &state));
            if offset == based as u64 {
                let base = first.base(position(released as u64, 1)).unwrap();
                state.apply(Note::Base(Box::new(base.clone())), offset);
                first.based(&base);
            }
        }
        state.apply(Note::Covered(first.covered()), 99);
        let mut next = Reader::of_base(&state);
        prop_assert!(next.next() <= released as u64);
        let from = usize::try_from(next.next()).unwrap();
        for (record, offset) in records.iter().zip(0_usize..).skip(from) {
            let took = next.takes(offset as u64, record, &state);
            if offset >= released {
                prop_assert_eq!(&took, &verdicts[offset], "offset {}", offset);
            }
        }
        // The copies are in the notes, so a pass finds them without the numbers.
        let mut pass = Reader::of_left(&state, next.next().min(state.base.window_from));
        for (record, offset) in records.iter().zip(0_usize..).skip(from) {
            let took = pass.takes(offset as u64, record, &state);
            if offset >= released {
                prop_assert_eq!(&took, &verdicts[offset], "pass, offset {}", offset);
            }
        }
    }
}
