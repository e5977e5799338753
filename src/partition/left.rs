//! Objects that a bucket refuses stay in the log: the note *left* is committed, the cache forgets their
//! frames, and they are built again from the log once the bucket takes them.

use std::collections::BTreeMap;

use crate::batch::BatchKey;

use super::lines::Lines;
use super::position::offset_of;
use super::reader::ReadFrame;
use super::state::State;
use crate::log::{PendingSeal, Seal};

/// Lines of an object below this many bytes are gathered in memory. A larger one has an encoder for itself.
pub const GATHERED_OBJECT_BYTES: u64 = 1_000_000;
/// Bytes of all objects that are gathered in one pass.
pub const GATHERED_BYTES: u64 = 64 * 1_024 * 1_024;
/// Encoders of one pass.
pub const ENCODERS: usize = 16;

/// Objects of a partition that stay in the log before it is read no more. An owner keeps the note of each in memory, some
/// kilobyte. What is read by then can still be left, so there are as many more as the cache has batches.
pub const LEFT_MAX: usize = 20_000;

/// Whether so many objects stay in the log that reading pauses. An object that may not be left would keep its place at its
/// bucket, which all partitions of a process share.
pub fn are_too_many(state: &State) -> bool {
    state.left.len() >= LEFT_MAX
}

/// One pass over the log that builds left objects.
#[derive(Clone, Debug)]
pub struct Pass {
    /// The record to begin with: the window of each object is complete from there.
    pub from: u64,
    /// The last record that is needed.
    pub through: u64,
    /// By batch and last position: the objects of a batch follow each other.
    objects: BTreeMap<BatchKey, BTreeMap<u64, (Seal, Lines)>>,
    /// The batches of these objects, by last position.
    ends: BTreeMap<u64, BatchKey>,
}

/// What a pass says of an object in the end.
#[derive(Clone, Debug)]
pub struct Built {
    /// Its seal.
    pub seal: Seal,
    /// Whether the lines that were passed are those of the seal. If not, it must not be put.
    pub is_sealed: bool,
}

impl Pass {
    /// A pass that builds left objects for which `takes` says that their destination takes again, oldest first. What does
    /// not fit waits for the next one, and so does what stands elsewhere in the log: a pass reads no record that
    /// none of its objects needs, so that no bucket waits for the days of another one. `None` if there is nothing to build.
    pub fn plan(state: &State, mut takes: impl FnMut(&PendingSeal) -> bool) -> Option<Self> {
        let (mut gathered, mut encoders) = (0, 0);
        let mut pass = Self { from: u64::MAX, through: 0, objects: BTreeMap::new(), ends: BTreeMap::new() };
        for (number, from) in &state.left {
            let Some(pending) = state.calls.seals.get(number) else { continue };
            let waits = pending.amended.is_none() && !pending.conflict;
            if !waits {
                continue;
            }
            let bytes = pending.bytes();
            let fits = match bytes < GATHERED_OBJECT_BYTES {
                true => gathered + bytes <= GATHERED_BYTES,
                false => encoders < ENCODERS,
            };
            let through = offset_of(pending.seal.last);
            let is_near = pass.objects.is_empty() || *from <= pass.through && pass.from <= through;
            if !fits || !is_near || !takes(pending) {
                continue;
            }
            if bytes < GATHERED_OBJECT_BYTES {
                gathered += bytes
            } else {
                encoders += 1
            }
            pass.from = pass.from.min(*from);
            pass.through = pass.through.max(through);
            let of_batch = pass.objects.entry(pending.seal.batch.clone()).or_default();
            of_batch.insert(pending.seal.last, (pending.seal.clone(), Lines::default()));
            pass.ends.insert(pending.seal.last, pending.seal.batch.clone());
        }
        (!pass.objects.is_empty()).then_some(pass)
    }

    /// The seals that it still builds.
    pub fn seals(&self) -> impl Iterator<Item = &Seal> {
        self.objects.values().flat_map(BTreeMap::values).map(|(seal, _)| seal)
    }

    /// Takes the frames of the next block. `line` gets each frame of an object, in order.
    pub fn takes(&mut self, frames: &[ReadFrame<'_>], line: &mut dyn FnMut(&Seal, &ReadFrame<'_>)) {
        for frame in frames.iter().filter(|frame| !frame.repeat) {
            let of_batch = self.objects.get_mut(&frame.batch);
            let Some((_, (seal, lines))) = of_batch.and_then(|of| of.range_mut(frame.position..).next())
            else {
                continue;
            };
            if seal.first <= frame.position {
                lines.push(frame);
                line(seal, frame);
            }
        }
    }

    /// Takes out the objects that end before the record `next`, which is read next, and says what became of each.
    pub fn ended(&mut self, next: u64) -> Vec<Built> {
        let mut ended = Vec::new();
        while let Some(first) = self.ends.first_entry().filter(|first| offset_of(*first.key()) < next) {
            let (last, batch) = first.remove_entry();
            let object = self.objects.get_mut(&batch).and_then(|of| of.remove(&last));
            let built = |(seal, lines): (Seal, Lines)| Built { is_sealed: lines.are_those_of(&seal), seal };
            ended.extend(object.map(built));
        }
        ended
    }

    /// Whether all objects have ended.
    pub fn is_over(&self) -> bool {
        self.ends.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::frame::{self, FrameKind};
    use crate::log::notes::CallNote;
    use crate::log::{Encoded, Parked};
    use crate::object::{BucketString, Encryption, ObjectKey, S3Location, Stream};
    use crate::partition::note::Note;
    use crate::partition::position::position;
    use crate::partition::state::Identity;
    use crate::sources::SourceId;
    use crate::time::UnixMillis;

    fn read(offset: u64, line: &str) -> ReadFrame<'static> {
        let source = SourceId::new("web").unwrap();
        let mut bytes = Vec::new();
        let at = UnixMillis(1_700_000_000_123);
        let start = frame::begin(&mut bytes, FrameKind::Call, (Some(&source), ""), at, None);
        bytes.extend_from_slice(line.as_bytes());
        frame::finish(&mut bytes, start, 1);
        let batch = BatchKey { source, day: at.day(), stream: Stream::Calls };
        let (position, bytes) = (position(offset, 1), bytes.into());
        ReadFrame { position, batch, received_at: at, late: false, repeat: false, bytes }
    }

    /// Objects of one line each, in the records 0, 10, 20 …, all left. The window of each begins with the one before.
    fn left(bytes: &[u64]) -> State {
        let mut state = State::new(Identity::of_tests());
        let location = S3Location::new(BucketString::parse("bucket").unwrap(), Encryption::SseS3);
        for (bytes, number) in bytes.iter().zip(1..) {
            let mut lines = Lines::default();
            let frame = read(10 * (number - 1), "{}");
            lines.push(&frame);
            let encoded = Encoded { bytes: *bytes, ..lines.encoded() };
            let key = ObjectKey::listed(format!("object-{number}"));
            let seal = state.calls.seal_of(&frame.batch, &encoded, location.clone(), key).unwrap();
            state.apply(Note::Call(CallNote::Sealed(seal)), number);
            let parked = Parked { len: 1, crc32: 0 };
            state.apply(Note::Left { number, parked, from: (10 * number).saturating_sub(20) }, number);
        }
        state
    }

    #[test]
    fn so_many_objects_may_stay_in_the_log_while_it_is_read() {
        let mut state = State::new(Identity::of_tests());
        state.left = (0..LEFT_MAX as u64 - 1).map(|number| (number, 0)).collect();
        assert!(!are_too_many(&state));
        state.left.insert(u64::MAX, 0);
        assert!(are_too_many(&state));
    }

    #[test]
    fn a_pass_builds_what_fits_from_the_first_window_to_the_last_line() {
        let numbers = |pass: &Pass| pass.seals().map(|seal| seal.number).collect::<Vec<_>>();
        let pass = Pass::plan(&left(&[3, 3, 3]), |pending| pending.seal.number > 1).unwrap();
        assert_eq!((pass.from, pass.through, numbers(&pass)), (0, 20, vec![2, 3]));
        // Nothing between them is read for another one.
        let pass =
            Pass::plan(&left(&[3, 3, 3, 3, 3]), |pending| ![2, 3].contains(&pending.seal.number)).unwrap();
        assert_eq!((pass.from, pass.through, numbers(&pass)), (0, 0, vec![1]));
        assert!(Pass::plan(&left(&[3]), |_| false).is_none());
        let large = GATHERED_OBJECT_BYTES;
        let many = Pass::plan(&left(&[large; ENCODERS + 2]), |_| true).unwrap();
        assert_eq!(numbers(&many).len(), ENCODERS);
        let small = Pass::plan(&left(&[large - 1; 80]), |_| true).unwrap();
        assert_eq!(numbers(&small).len() as u64, GATHERED_BYTES / (large - 1));
    }

    #[test]
    fn an_object_is_built_only_of_the_sealed_lines() {
        let build = |frames: &[ReadFrame<'_>]| {
            let mut pass = Pass::plan(&left(&[3]), |_| true).unwrap();
            let mut passed = Vec::new();
            pass.takes(frames, &mut |_, frame| passed.push(frame.clone().into_owned()));
            assert!(pass.ended(0).is_empty() && !pass.is_over(), "its record is not read");
            let built = pass.ended(1).remove(0);
            assert!(pass.is_over() && pass.seals().next().is_none());
            built.is_sealed.then_some(passed)
        };
        let same = read(0, "{}");
        assert_eq!(
            build(&[same.clone(), read(1, "{}")]),
            Some(vec![same.clone()]),
            "one is not in its range"
        );
        assert_eq!(build(&[read(0, "{ }")]), None);
        assert_eq!(build(&[ReadFrame { repeat: true, ..same }]), None);
        assert_eq!(build(&[]), None);
    }

    #[test]
    fn what_is_left_keeps_the_log_and_releases_its_frames() {
        let mut state = left(&[3, 3]);
        let batch = read(0, "{}").batch;
        state.base.window_from = 30;
        assert_eq!((state.kept_from(), state.needs(&batch, position(10, 1))), (0, false));
        state.apply(
            Note::Call(CallNote::Committed { number: 1, applied: None, seal: None, amended: None }),
            9,
        );
        assert_eq!(state.kept_from(), 0);
    }
}
