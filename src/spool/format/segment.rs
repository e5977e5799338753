//! Segment files: their names, their header, and the block that each group commit writes.
//!
//! ```text
//! segment := header (64 bytes, the rest of the first 4,096 zero) | block*
//! header  := magic "FOREBAYS" | major u16 | minor u16 | 0 u32 | spool id 16 bytes | number u64 | crc u32
//! block   := magic u32 | crc u32 | body_len u32 | frames u32 | first_position u64 | durable_position u64 | frame*
//! ```
//!
//! A block's `crc` covers its header from `body_len` on. Each frame has its own checksum, and together these
//! cover the body. All of them begin with the segment's salt.

use crate::log::frame::Salt;
use crate::spool::format::Cursor;

/// The offset of the first block.
pub const SEGMENT_HEADER: u64 = 4_096;
/// Bytes of a block's header.
pub const BLOCK_HEADER: usize = 32;
/// The maximum body length of a block, which is what one group commit writes.
pub(crate) const BLOCK_BODY_MAX: usize = crate::log::REQUEST_BYTES_MAX;
/// Format of the segments written by this release. Readers refuse a newer major version. Version 2 added
/// frames that count repeats, which earlier releases would take for damage.
pub(crate) const FORMAT: (u16, u16) = (2, 0);
/// The previous format, which can be read too.
const FORMAT_BEFORE: (u16, u16) = (1, 0);

const SEGMENT_MAGIC: [u8; 8] = *b"FOREBAYS";
const BLOCK_MAGIC: u32 = 0x4B_4C_42_46;

/// The file name of a segment. Nothing else builds this name.
pub fn segment_name(number: u64) -> String {
    format!("wal-{number:020}.seg")
}

/// The file name of a closed segment's index.
pub fn index_name(number: u64) -> String {
    format!("wal-{number:020}.idx")
}

/// The file name of the fingerprints of a closed segment.
pub fn seen_name(number: u64) -> String {
    format!("seen-{number:020}")
}

/// The file name of a spare: a released segment that can be used again.
pub fn spare_name(number: u64) -> String {
    format!("spare-{number:020}")
}

/// The number in a name made by one of these functions.
pub fn number_in(name: &str, before: &str, after: &str) -> Option<u64> {
    let digits = name.strip_prefix(before)?.strip_suffix(after)?;
    (digits.len() == 20).then(|| digits.parse().ok()).flatten()
}

/// A segment's header.
pub(crate) fn encode_header(spool_id: &[u8; 16], number: u64) -> [u8; 64] {
    header_of(FORMAT, spool_id, number)
}

fn header_of(format: (u16, u16), spool_id: &[u8; 16], number: u64) -> [u8; 64] {
    let mut header = [0_u8; 64];
    header[..8].copy_from_slice(&SEGMENT_MAGIC);
    header[8..10].copy_from_slice(&format.0.to_le_bytes());
    header[10..12].copy_from_slice(&format.1.to_le_bytes());
    header[16..32].copy_from_slice(spool_id);
    header[32..40].copy_from_slice(&number.to_le_bytes());
    let crc = header_checksum(&header, spool_id, number);
    header[40..44].copy_from_slice(&crc.to_le_bytes());
    header
}

/// The checksum of a header. It has the same place and covers the same bytes in every format, so that a
/// damaged format number is not taken for a newer release.
fn header_checksum(header: &[u8; 64], spool_id: &[u8; 16], number: u64) -> u32 {
    Salt::new(spool_id, number).checksum(&header[..40], &[])
}

/// The result of checking a segment's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderCheck {
    /// It belongs to this segment of this spool.
    Good,
    /// It was written by a newer release with another format.
    Newer(u16),
    /// It is damaged, or belongs to another spool or segment.
    Bad,
}

/// Checks a segment's header.
pub(crate) fn check_header(bytes: &[u8], spool_id: &[u8; 16], number: u64) -> HeaderCheck {
    let Some(header) = bytes.first_chunk::<64>() else { return HeaderCheck::Bad };
    let major = u16::from_le_bytes([header[8], header[9]]);
    if [FORMAT, FORMAT_BEFORE].iter().any(|format| *header == header_of(*format, spool_id, number)) {
        HeaderCheck::Good
    } else if header[..8] == SEGMENT_MAGIC
        && header[40..44] == header_checksum(header, spool_id, number).to_le_bytes()
        && major > FORMAT.0
    {
        HeaderCheck::Newer(major)
    } else {
        HeaderCheck::Bad
    }
}

/// A block's header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Bytes of its frames.
    pub body_len: u32,
    /// The number of its frames.
    pub frames: u32,
    /// The position of its first frame.
    pub first_position: u64,
    /// The highest position that was synced when this block was written. Requests up to it had been answered.
    pub durable_position: u64,
}

impl Block {
    /// The offset after it, if its header is at `offset`.
    pub fn end(&self, offset: u64) -> u64 {
        offset + BLOCK_HEADER as u64 + u64::from(self.body_len)
    }

    /// The position of its last frame.
    pub fn last_position(&self) -> u64 {
        self.first_position + u64::from(self.frames) - 1
    }

    /// The header's bytes.
    pub fn encode(&self, salt: Salt) -> [u8; BLOCK_HEADER] {
        let mut bytes = [0_u8; BLOCK_HEADER];
        bytes[..4].copy_from_slice(&BLOCK_MAGIC.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.body_len.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.frames.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.first_position.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.durable_position.to_le_bytes());
        let crc = salt.checksum(&[], &bytes[8..]);
        bytes[4..8].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads a block's header. `None` if the bytes are not a block header of this segment.
    pub(crate) fn decode(bytes: &[u8], salt: Salt) -> Option<Self> {
        let mut cursor = Cursor { bytes: bytes.get(..BLOCK_HEADER)? };
        let (magic, crc) = (cursor.u32()?, cursor.u32()?);
        let sound = magic == BLOCK_MAGIC && crc == salt.checksum(&[], cursor.bytes);
        let block = Self {
            body_len: cursor.u32()?,
            frames: cursor.u32()?,
            first_position: cursor.u64()?,
            durable_position: cursor.u64()?,
        };
        let counted = block.frames > 0 && block.first_position.checked_add(u64::from(block.frames)).is_some();
        (sound && counted && block.body_len as usize <= BLOCK_BODY_MAX).then_some(block)
    }

    /// The magic number as stored in the file, for searching.
    pub(crate) fn magic() -> [u8; 4] {
        BLOCK_MAGIC.to_le_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn file_names_contain_their_number() {
        assert_eq!(segment_name(7), "wal-00000000000000000007.seg");
        assert_eq!(number_in(&segment_name(7), "wal-", ".seg"), Some(7));
        assert_eq!(number_in(&index_name(7), "wal-", ".seg"), None);
        assert_eq!(number_in("wal-7.seg", "wal-", ".seg"), None);
        assert_eq!(number_in(&seen_name(u64::MAX), "seen-", ""), Some(u64::MAX));
    }

    #[test]
    fn a_header_is_good_for_one_spool_and_one_segment_only() {
        let id = [3; 16];
        let mut header = encode_header(&id, 9);
        assert_eq!(check_header(&header, &id, 9), HeaderCheck::Good);
        assert_eq!(check_header(&header, &id, 8), HeaderCheck::Bad);
        assert_eq!(check_header(&header, &[4; 16], 9), HeaderCheck::Bad);
        assert_eq!(check_header(&[0; 64], &id, 9), HeaderCheck::Bad);
        assert_eq!(
            check_header(&header_of((1, 0), &id, 9), &id, 9),
            HeaderCheck::Good,
            "the previous format"
        );
        header[8] = 3;
        assert_eq!(
            check_header(&header, &id, 9),
            HeaderCheck::Bad,
            "a flipped bit is not taken for a newer release"
        );
        let crc = header_checksum(&header, &id, 9);
        header[40..44].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(check_header(&header, &id, 9), HeaderCheck::Newer(3));
    }

    /// Found by fuzzing: counting such a block's positions overflowed.
    #[test]
    fn a_block_whose_positions_overflow_is_refused() {
        let salt = Salt::new(&[3; 16], 9);
        let decoded = |first_position: u64, frames: u32| {
            let block = Block { body_len: 100, frames, first_position, durable_position: 0 };
            Block::decode(&block.encode(salt), salt)
        };
        assert!(decoded(u64::MAX - 2, 2).is_some());
        assert_eq!(decoded(u64::MAX - 2, 3), None);
        assert_eq!(decoded(u64::MAX, 1), None);
    }

    #[test]
    fn a_block_header_round_trips_and_every_flipped_bit_is_detected() {
        let salt = Salt::new(&[3; 16], 9);
        let block = Block { body_len: 100, frames: 2, first_position: 1 << 40, durable_position: 77 };
        let bytes = block.encode(salt);
        assert_eq!(Block::decode(&bytes, salt), Some(block));
        assert_eq!(Block::decode(&bytes, Salt::new(&[3; 16], 8)), None);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Block::decode(&flipped, salt), None, "bit {bit}");
        }
    }
}
