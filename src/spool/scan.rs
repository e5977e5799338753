//! Reading a segment from its bytes alone: its blocks, and what is damaged between and in them.

use std::io;

use super::disk::{DiskFile, read_noting};
use super::frame::{self, Frame, Salt};
use super::segment::{BLOCK_HEADER, Block, SEGMENT_HEADER};

/// Bytes read at a time when searching for the next block behind damage.
const SEARCH_CHUNK: usize = 1_024 * 1_024;

/// A range of positions, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Range {
    /// First position.
    pub first: u64,
    /// Last position.
    pub last: u64,
}

impl Range {
    /// The positions from `next` to the one before `end`, if there are any.
    pub(super) fn between(next: u64, end: u64) -> Option<Self> {
        (next < end).then(|| Self { first: next, last: end - 1 })
    }

    /// What of it lies within these ends, both included.
    pub(super) fn within(self, first: u64, last: u64) -> Option<Self> {
        Self::between(self.first.max(first), self.last.min(last).saturating_add(1))
    }

    /// Ranges in order, those that touch joined.
    pub(super) fn merge(ranges: impl Iterator<Item = Self>) -> Vec<Self> {
        let mut sorted: Vec<Self> = ranges.collect();
        sorted.sort();
        let mut merged: Vec<Self> = Vec::new();
        for range in sorted {
            match merged.last_mut() {
                Some(last) if range.first <= last.last.saturating_add(1) => {
                    last.last = last.last.max(range.last)
                }
                _ => merged.push(range),
            }
        }
        merged
    }
}

/// A block found in a segment.
#[derive(Clone, Debug)]
pub struct FoundBlock {
    /// Where its header stands.
    pub offset: u64,
    /// Its header.
    pub header: Block,
    /// Positions whose frames are damaged.
    pub lost: Vec<Range>,
}

impl FoundBlock {
    /// The first offset behind the block.
    pub fn end(&self) -> u64 {
        self.offset + BLOCK_HEADER as u64 + u64::from(self.header.body_len)
    }

    /// The block's last position.
    pub fn last_position(&self) -> u64 {
        self.header.first_position + u64::from(self.header.frames) - 1
    }
}

/// Reads every block of a segment and hands each sound frame, with its offset in the file, to `visit`.
///
/// Bytes that are no block are stepped over: the blocks returned tell by their offsets and positions what is missing.
///
/// # Errors
/// What the disk says.
pub fn scan(
    file: &dyn DiskFile,
    salt: Salt,
    visit: &mut dyn FnMut(u64, &Frame<'_>),
) -> io::Result<Vec<FoundBlock>> {
    scan_noting(file, salt, visit, &mut false)
}

/// Like [`scan`]; sets `unreadable` where the disk could not read some of it: behind the last block returned there may then
/// be others.
///
/// # Errors
/// What the disk says.
pub fn scan_noting(
    file: &dyn DiskFile,
    salt: Salt,
    visit: &mut dyn FnMut(u64, &Frame<'_>),
    unreadable: &mut bool,
) -> io::Result<Vec<FoundBlock>> {
    let mut blocks: Vec<FoundBlock> = Vec::new();
    let mut body = Vec::new();
    let mut at = SEGMENT_HEADER;
    while let Some((offset, header)) = find_block(file, salt, at, unreadable)? {
        body.resize(header.body_len as usize, 0);
        let body_at = offset + BLOCK_HEADER as u64;
        let read = read_noting(file, &mut body, body_at, unreadable)?;
        let mut block = FoundBlock { offset, header, lost: Vec::new() };
        for item in Frames::new(body.get(..read).unwrap_or(&[]), header, salt) {
            match item {
                Item::Frame { offset, frame } => visit(body_at + offset as u64, &frame),
                Item::Lost(range) => block.lost.push(range),
            }
        }
        at = block.end();
        blocks.push(block);
    }
    Ok(blocks)
}

/// The first block at or behind `from`.
fn find_block(
    file: &dyn DiskFile,
    salt: Salt,
    from: u64,
    unreadable: &mut bool,
) -> io::Result<Option<(u64, Block)>> {
    let mut header = [0; BLOCK_HEADER];
    if read_noting(file, &mut header, from, unreadable)? == BLOCK_HEADER
        && let Some(block) = Block::decode(&header, salt)
    {
        return Ok(Some((from, block)));
    }
    let magic = memchr::memmem::Finder::new(&Block::magic()).into_owned();
    let rest = usize::try_from(file.len()?.saturating_sub(from)).unwrap_or(usize::MAX);
    let mut chunk = vec![0; rest.min(SEARCH_CHUNK) + BLOCK_HEADER];
    let mut start = from;
    loop {
        let read = read_noting(file, &mut chunk, start, unreadable)?;
        let bytes = chunk.get(..read).unwrap_or(&[]);
        for found in magic.find_iter(bytes) {
            if let Some(block) = bytes.get(found..).and_then(|bytes| Block::decode(bytes, salt)) {
                return Ok(Some((start + found as u64, block)));
            }
        }
        if read <= BLOCK_HEADER {
            return Ok(None);
        }
        start += (read - BLOCK_HEADER + 1) as u64;
    }
}

/// What stands next in a block's body.
#[derive(Debug, PartialEq, Eq)]
pub enum Item<'a> {
    /// A sound frame.
    Frame {
        /// Where it begins, from the beginning of the bytes given.
        offset: usize,
        /// The frame.
        frame: Frame<'a>,
    },
    /// Positions whose frames are damaged.
    Lost(Range),
}

/// Walks the frames in a piece of a segment, stepping over damaged ones.
#[derive(Debug)]
pub struct Frames<'a> {
    bytes: &'a [u8],
    salt: Salt,
    at: usize,
    next: u64,
    end: u64,
}

impl<'a> Frames<'a> {
    /// The frames of a whole block.
    pub fn new(body: &'a [u8], header: Block, salt: Salt) -> Self {
        Self::of_run(body, header.first_position, u64::from(header.frames), salt)
    }

    /// The frames of a run: `frames` of them, one behind the other, beginning with position `first`.
    pub fn of_run(bytes: &'a [u8], first: u64, frames: u64, salt: Salt) -> Self {
        Self { bytes, salt, at: 0, next: first, end: first.saturating_add(frames) }
    }

    fn read_at(&self, at: usize, position: u64) -> Option<(Frame<'a>, usize)> {
        let found = frame::read(self.bytes.get(at..)?, self.salt).ok()?;
        (found.0.position == position).then_some(found)
    }
}

impl<'a> Iterator for Frames<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        if self.next >= self.end {
            return None;
        }
        let (offset, position) = (self.at, self.next);
        if let Some((frame, len)) = self.read_at(offset, position) {
            self.at += len;
            self.next += 1;
            return Some(Item::Frame { offset, frame });
        }
        // Damage inside a frame usually spares its length; then the next frame proves the guess right.
        let after = self.bytes.get(offset..).and_then(frame::length).map(|len| offset + len);
        if let Some(after) = after.filter(|after| self.read_at(*after, position + 1).is_some()) {
            self.at = after;
            self.next += 1;
            return Some(Item::Lost(Range { first: position, last: position }));
        }
        self.next = self.end;
        Some(Item::Lost(Range { first: position, last: self.end - 1 }))
    }
}
