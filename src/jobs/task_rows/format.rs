//! The bytes of a copy: its header, heads of blocks, index and trailer.

use std::ops::Range;

use super::block::TaskBlock;
use super::row_code::ROW_BYTES_MAX;
use crate::crc32c;

/// A block of rows ends after so many bytes.
pub const BLOCK_BYTES: usize = 64 * 1_024;
/// A block of rows ends after so many rows.
pub const BLOCK_ROWS: u32 = 1_024;

const MAGIC: &[u8; 8] = b"FBTASKS\0";
const END_MAGIC: &[u8; 8] = b"FBTASKE\0";
pub(super) const VERSION: u32 = 1;
pub(super) const HEADER_BYTES: usize = 16;
const BLOCK_HEAD_BYTES: usize = 20;
pub(super) const INDEX_ENTRY_BYTES: usize = 16;
pub(super) const TRAILER_BYTES: usize = 32;

/// Where a block is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct BlockPlace {
    pub(super) first_row: u64,
    pub(super) offset: u64,
}

/// The end of a copy.
pub(super) struct Trailer {
    pub(super) blocks: u64,
    pub(super) rows: u64,
    pub(super) index_crc: u32,
}

impl Trailer {
    /// `None` if these bytes are none.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (covered, crc) = bytes.split_last_chunk()?;
        let is_whole = bytes.len() == TRAILER_BYTES && crc32c::crc32c(covered) == u32::from_le_bytes(*crc);
        let rest = covered.strip_prefix(END_MAGIC).filter(|_| is_whole)?;
        let (blocks, rest) = rest.split_first_chunk()?;
        let (rows, rest) = rest.split_first_chunk()?;
        let (index_crc, _) = rest.split_first_chunk()?;
        Some(Self {
            blocks: u64::from_le_bytes(*blocks),
            rows: u64::from_le_bytes(*rows),
            index_crc: u32::from_le_bytes(*index_crc),
        })
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = END_MAGIC.to_vec();
        bytes.extend_from_slice(&self.blocks.to_le_bytes());
        bytes.extend_from_slice(&self.rows.to_le_bytes());
        bytes.extend_from_slice(&self.index_crc.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes
    }
}

impl BlockPlace {
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let (first_row, rest) = bytes.split_first_chunk()?;
        let (offset, _) = rest.split_first_chunk()?;
        Some(Self { first_row: u64::from_le_bytes(*first_row), offset: u64::from_le_bytes(*offset) })
    }
}

/// The header of a copy.
pub(super) fn header() -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&VERSION.to_le_bytes());
    bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
    bytes
}

/// The version of a copy, by its header. `None`: it is damaged, or of another file.
pub(super) fn header_version(bytes: &[u8]) -> Option<u32> {
    let (covered, crc) = bytes.split_last_chunk()?;
    let version = covered.strip_prefix(MAGIC)?.try_into().ok()?;
    (crc32c::crc32c(covered) == u32::from_le_bytes(*crc)).then_some(u32::from_le_bytes(version))
}

/// Whether an index covers all rows and bytes, in order and without a gap between the rows.
pub(super) fn is_index(blocks: &[BlockPlace], rows: u64, blocks_end: u64) -> bool {
    let first = BlockPlace { first_row: 0, offset: HEADER_BYTES as u64 };
    let end = BlockPlace { first_row: rows, offset: blocks_end };
    let longest = (BLOCK_HEAD_BYTES + BLOCK_BYTES + ROW_BYTES_MAX) as u64;
    let places = || blocks.iter().chain(std::iter::once(&end));
    let follows = |(one, next): (&BlockPlace, &BlockPlace)| {
        one.first_row < next.first_row && one.offset < next.offset && next.offset - one.offset <= longest
    };
    places().next() == Some(blocks.first().map_or(&end, |_| &first))
        && blocks.iter().zip(places().skip(1)).all(follows)
}

/// The block of these rows. `None`: it is damaged.
pub(super) fn parse_block(mut bytes: Vec<u8>, rows: &Range<u64>) -> Option<TaskBlock> {
    let (head, body) = bytes.split_at_checked(BLOCK_HEAD_BYTES)?;
    let (covered, crc) = head.split_last_chunk()?;
    let crc_of = crc32c::append(crc32c::crc32c(covered), body);
    let count = u32::try_from(rows.end - rows.start).ok()?;
    if crc_of != u32::from_le_bytes(*crc) || covered != block_head(body.len(), rows.start, count)? {
        return None;
    }
    bytes.drain(..BLOCK_HEAD_BYTES);
    TaskBlock::of(rows.start, bytes, count)
}

/// The beginning of a block, without its checksum. `None` if it is longer than a block can be.
pub(super) fn block_head(len: usize, first_row: u64, rows: u32) -> Option<Vec<u8>> {
    let mut head = u32::try_from(len).ok()?.to_le_bytes().to_vec();
    head.extend_from_slice(&first_row.to_le_bytes());
    head.extend_from_slice(&rows.to_le_bytes());
    Some(head)
}
