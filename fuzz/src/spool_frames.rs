//! Scans a segment's bytes. The input chooses blocks of frames, which get correct checksums, and then damage;
//! this way the input gets past the checksums. A header may also get another count, length or position, with
//! a correct checksum.
//!
//! - Everything that was written is read back the same, frame by frame, from every block that damage did not
//!   touch.
//! - No frame is read that was not written, as long as the damage is small enough for a CRC-32C to detect it
//!   for certain.
//! - The frames read and the positions lost of a block together are its positions, each once, and blocks do
//!   not overlap.

use std::io::{self, IoSlice};

use forebay::disk::DiskFile;
use forebay::log::frame::{self, Frame, FrameKind, Origin, Salt};
use forebay::receipt;
use forebay::sources::SourceId;
use forebay::spool::format::{BLOCK_HEADER, Block, FoundBlock, SEGMENT_HEADER, scan};
use forebay::time::UnixMillis;

use super::choices::Choices;

const BLOCKS_MAX: usize = 4;
const FRAMES_MAX: usize = 6;
const DAMAGES_MAX: usize = 6;
/// The number of flipped bits that a CRC-32C always detects, even in texts far longer than a segment.
const SURE_BITS: u32 = 3;
const SOURCES: [&str; 3] = ["web", "a", "0123456789012345678901234567890123456789012345678901234567890123"];

/// A segment in memory.
#[derive(Debug)]
struct Segment(Vec<u8>);

impl DiskFile for Segment {
    fn read_at(&self, buf: &mut [u8], at: u64) -> io::Result<usize> {
        let rest = usize::try_from(at).ok().and_then(|at| self.0.get(at..)).unwrap_or_default();
        let len = rest.len().min(buf.len());
        buf[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }

    fn write_at(&self, _parts: &[IoSlice<'_>], _at: u64) -> io::Result<()> {
        unreachable!("a scan writes nothing")
    }

    fn sync(&self) -> io::Result<()> {
        unreachable!("a scan syncs nothing")
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

/// A written frame, and its place.
struct Written {
    block: usize,
    offset: usize,
    bytes: Vec<u8>,
}

/// What the input builds.
struct Built {
    bytes: Vec<u8>,
    frames: Vec<Written>,
    /// The place of each block, and whether its header is correct.
    blocks: Vec<(usize, usize, bool)>,
    /// The bytes that were changed afterwards, and the number of changed bits.
    changed: Vec<usize>,
    bits: u32,
    /// Whether the end was cut off, or bytes were inserted.
    moved: bool,
}

/// Runs one input.
pub fn run(input: &[u8]) {
    let mut choices = Choices::of(input);
    let salt = Salt::new(&[choices.byte(); 16], u64::from(choices.byte()));
    let built = build(&mut choices, salt);
    let mut seen = Vec::new();
    let file = Segment(built.bytes);
    let blocks =
        scan(&file, salt, &mut |offset, frame| seen.push(noted(offset, frame))).expect("memory never fails");
    let found = Found { blocks: &blocks, seen: &seen };
    found.check_order();
    if !built.moved {
        check_what_was_written(&found, &built.frames, &built.blocks, &built.changed, built.bits, &file.0);
    }
}

/// A frame that was read.
struct Seen {
    offset: usize,
    len: usize,
    position: u64,
}

fn noted(offset: u64, frame: &Frame<'_>) -> Seen {
    Seen { offset: usize::try_from(offset).unwrap(), len: frame.stored_len(), position: frame.position }
}

struct Found<'f> {
    blocks: &'f [FoundBlock],
    seen: &'f [Seen],
}

impl Found<'_> {
    /// Blocks are in order, and each accounts for each of its positions once.
    fn check_order(&self) {
        let mut seen = self.seen.iter().peekable();
        let mut end = SEGMENT_HEADER;
        for block in self.blocks {
            assert!(block.offset >= end, "blocks overlap");
            end = block.end();
            let first = block.header.first_position;
            assert!(block.last_position() >= first);
            let mut next = Some(first);
            let mut lost = block.lost.iter().peekable();
            while let Some(position) = next.filter(|position| *position <= block.last_position()) {
                if let Some(range) = lost.next_if(|range| range.first == position) {
                    assert!(range.last >= range.first && range.last <= block.last_position());
                    next = range.last.checked_add(1);
                } else if seen
                    .next_if(|frame| frame.position == position && (frame.offset as u64) < end)
                    .is_some()
                {
                    next = position.checked_add(1);
                } else {
                    panic!("position {position} is neither read nor lost");
                }
            }
            assert!(lost.next().is_none(), "positions are lost twice");
        }
        assert!(seen.next().is_none(), "a frame outside all blocks");
    }
}

fn check_what_was_written(
    found: &Found<'_>,
    written: &[Written],
    blocks: &[(usize, usize, bool)],
    changed: &[usize],
    bits: u32,
    bytes: &[u8],
) {
    let touched = |from: usize, to: usize| changed.iter().any(|at| (from..to).contains(at));
    if bits <= SURE_BITS {
        for frame in found.seen {
            let same = written.iter().find(|written| written.offset == frame.offset);
            let read = &bytes[frame.offset..frame.offset + frame.len];
            assert!(same.is_some_and(|written| written.bytes == read), "a frame that was never written");
        }
    }
    // Damage may turn any bytes into a block that reaches over those after it, so only what precedes it is
    // certain.
    let first_changed = changed.iter().copied().min().unwrap_or(usize::MAX);
    for frame in written {
        let (start, end, true_header) = blocks[frame.block];
        let earlier_true = blocks[..frame.block].iter().all(|(_, _, is_true)| *is_true);
        let sure = earlier_true && true_header && (frame.offset + frame.bytes.len() <= first_changed);
        let sure =
            sure || (true_header && bits <= SURE_BITS && !touched(start, end) && blocks.iter().all(|b| b.2));
        if sure {
            assert!(
                found.seen.iter().any(|seen| seen.offset == frame.offset),
                "an undamaged frame was not read"
            );
        }
    }
}

fn build(choices: &mut Choices<'_>, salt: Salt) -> Built {
    let head = usize::try_from(SEGMENT_HEADER).unwrap();
    let mut built = Built {
        bytes: vec![0; head],
        frames: Vec::new(),
        blocks: Vec::new(),
        changed: Vec::new(),
        bits: 0,
        moved: false,
    };
    let mut position = choices.number();
    for _ in 0..1 + choices.below(BLOCKS_MAX) {
        position = block(choices, salt, position, &mut built);
        if choices.byte() == 255 {
            // Bytes between blocks belong to no block.
            let len = choices.below(64);
            built.bytes.extend_from_slice(choices.take(len));
        }
    }
    damage(choices, &mut built);
    built
}

/// Writes one block. Returns the next position.
fn block(choices: &mut Choices<'_>, salt: Salt, first: u64, built: &mut Built) -> u64 {
    let start = built.bytes.len();
    let mut body = Vec::new();
    let count = 1 + choices.below(FRAMES_MAX);
    let mut position = first;
    let mut written: u32 = 0;
    for _ in 0..count {
        let at = body.len();
        one_frame(choices, &mut body);
        frame::stamp(&mut body[at..], position, salt);
        let offset = start + BLOCK_HEADER + at;
        built.frames.push(Written { block: built.blocks.len(), offset, bytes: body[at..].to_vec() });
        written += 1;
        match position.checked_add(1) {
            Some(next) => position = next,
            None => break,
        }
    }
    // The highest number is not a position.
    let overflows = first.checked_add(u64::from(written)).is_none();
    let mut header = Block {
        body_len: u32::try_from(body.len()).unwrap(),
        frames: written,
        first_position: first,
        durable_position: choices.number(),
    };
    let truthful = match choices.byte() {
        253 => {
            header.frames = u32::try_from(choices.number() & 0xFFFF_FFFF).unwrap();
            false
        }
        254 => {
            header.body_len = u32::try_from(choices.number() & 0xFFFF_FFFF).unwrap();
            false
        }
        255 => {
            header.first_position = choices.number();
            false
        }
        _ => !overflows,
    };
    built.bytes.extend_from_slice(&header.encode(salt));
    built.bytes.extend_from_slice(&body);
    built.blocks.push((start, built.bytes.len(), truthful));
    position
}

fn one_frame(choices: &mut Choices<'_>, body: &mut Vec<u8>) {
    let (how, kind) = (choices.byte(), choices.below(7));
    let kind = [
        FrameKind::Call,
        FrameKind::Rejected,
        FrameKind::ImportProgress,
        FrameKind::CleanClose,
        FrameKind::Repeats,
        FrameKind::ObjectSet,
        FrameKind::Dead,
    ][kind];
    // Any kind may have a name.
    let name = if how & 16 == 0 { "" } else { choices.one(&["rooms", "a", "to-lambda", "No name"]) };
    let source = (how & 1 == 0).then(|| SourceId::new(choices.one(&SOURCES)).unwrap());
    let origin = (how & 6 == 6).then(|| Origin {
        file: choices.number(),
        first_row: choices.number(),
        last_row: choices.number(),
    });
    let received_at = UnixMillis(choices.number().cast_signed());
    let at = frame::begin(body, kind, (source.as_ref(), name), received_at, origin);
    let len = choices.below(96);
    body.extend_from_slice(choices.take(len));
    if how & 8 != 0 {
        body.extend_from_slice(b"{\"a\":1}");
        assert!(receipt::keep_room(body));
        frame::set_says_position(body, at);
    }
    frame::finish(body, at, u128::from(choices.byte()) << 64);
}

fn damage(choices: &mut Choices<'_>, built: &mut Built) {
    let head = usize::try_from(SEGMENT_HEADER).unwrap();
    for _ in 0..choices.below(DAMAGES_MAX) {
        let len = built.bytes.len() - head;
        let at = head + choices.short() % len.max(1);
        match choices.byte() {
            0..=7 => {
                built.bytes.truncate(at);
                built.moved = true;
            }
            8..=15 => {
                let count = choices.below(64);
                let put_in = choices.take(count).to_vec();
                built.bytes.splice(at..at, put_in);
                built.moved = true;
            }
            how => {
                // Mostly one bit, as disks do.
                let flip = if how < 200 { 1 << (how % 8) } else { choices.byte() };
                if let Some(byte) = built.bytes.get_mut(at) {
                    *byte ^= flip;
                    built.changed.push(at);
                    built.bits += flip.count_ones();
                }
            }
        }
        if built.bytes.len() <= head {
            return;
        }
    }
}
