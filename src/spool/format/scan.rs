//! Reads a segment without its index: its blocks, and the damage in and between them.

use std::io;

use crate::disk::{DiskFile, read_noting};
use crate::log::Range;
use crate::log::frame::{self, Frame, Salt};
use crate::spool::format::segment::{BLOCK_HEADER, Block, SEGMENT_HEADER};

/// Bytes read at a time when searching for the next block after damage.
const SEARCH_CHUNK: usize = 1_024 * 1_024;

/// A block found in a segment.
#[derive(Clone, Debug)]
pub struct FoundBlock {
    /// The offset of its header.
    pub offset: u64,
    /// Its header.
    pub header: Block,
    /// Positions of damaged frames.
    pub lost: Vec<Range>,
}

impl FoundBlock {
    /// The offset after the block.
    pub fn end(&self) -> u64 {
        self.header.end(self.offset)
    }

    /// The block's last position.
    pub fn last_position(&self) -> u64 {
        self.header.last_position()
    }
}

/// Reads every block of a segment and passes each sound frame, with its offset in the file, to `visit`.
///
/// Skips bytes that are not a block: gaps between the returned blocks' offsets and positions show what is
/// missing.
pub fn scan(
    file: &dyn DiskFile,
    salt: Salt,
    visit: &mut dyn FnMut(u64, &Frame<'_>),
) -> io::Result<Vec<FoundBlock>> {
    scan_noting(file, salt, visit, &mut false)
}

/// Like [`scan`], and sets `unreadable` if the disk could not read part of the segment. Other blocks may then
/// have followed the last one returned.
pub(crate) fn scan_noting(
    file: &dyn DiskFile,
    salt: Salt,
    visit: &mut dyn FnMut(u64, &Frame<'_>),
    unreadable: &mut bool,
) -> io::Result<Vec<FoundBlock>> {
    let mut blocks: Vec<FoundBlock> = Vec::new();
    let mut body = Vec::new();
    let mut at = SEGMENT_HEADER;
    while let Some((offset, header)) = find_block(file, salt, at, unreadable)? {
        let body_at = offset + BLOCK_HEADER as u64;
        block_body(file, offset, header, &mut body, unreadable)?;
        let mut block = FoundBlock { offset, header, lost: Vec::new() };
        for item in Frames::new(&body, header, salt) {
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

/// Reads the frames of the block at `offset` into `body`. They are fewer bytes than the header says, and
/// `unreadable` is set, if the disk cannot read them all.
pub(crate) fn block_body(
    file: &dyn DiskFile,
    offset: u64,
    header: Block,
    body: &mut Vec<u8>,
    unreadable: &mut bool,
) -> io::Result<()> {
    body.resize(header.body_len as usize, 0);
    let read = read_noting(file, body, offset + BLOCK_HEADER as u64, unreadable)?;
    body.truncate(read);
    Ok(())
}

/// The first block at `from` or after it, and its offset. `None` if there is none up to the end of the file.
/// Sets `unreadable` if the disk could not read part of it.
pub(crate) fn find_block(
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

/// The next item in a block's body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    /// A sound frame.
    Frame {
        /// Its offset in the bytes given.
        offset: usize,
        /// The frame.
        frame: Frame<'a>,
    },
    /// Positions of damaged frames.
    Lost(Range),
}

/// Iterates over the frames in a piece of a segment, skipping damaged ones.
#[derive(Debug)]
pub(crate) struct Frames<'a> {
    bytes: &'a [u8],
    salt: Salt,
    at: usize,
    next: u64,
    end: u64,
}

impl<'a> Frames<'a> {
    /// The frames of a whole block.
    pub(crate) fn new(body: &'a [u8], header: Block, salt: Salt) -> Self {
        Self::of_run(body, header.first_position, u64::from(header.frames), salt)
    }

    /// The frames of a run: `frames` consecutive frames that begin with position `first`.
    pub(crate) fn of_run(bytes: &'a [u8], first: u64, frames: u64, salt: Salt) -> Self {
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
        // A damaged frame's length field is usually intact. If so, a sound frame begins after that length.
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
