//! A run: keys of imported rows in order, with the second in which their row was received. See
//! [`RowKeys`](crate::spool::row_keys::RowKeys).
//!
//! ```text
//! run   := page+
//! page  := entry * 255 | tail          4,096 bytes
//! entry := key 12 bytes | second u32   big-endian, so that entries are in the order of their bytes
//! tail  := crc u32 | count u16 | level u8 | last u8 | day u32 | 0 u32
//! ```
//!
//! The places after the first `count` entries are zeros. Only the last page has `last` = 1. `crc` is salted
//! with the number of the file, and covers everything else in the page. Integers of the tail are
//! little-endian.

use crate::log::frame::Salt;
use crate::spool::format::Cursor;
use crate::spool::format::segment::number_in;

/// Bytes of a page.
pub(crate) const PAGE: usize = 4_096;
/// Entries of a page.
pub(crate) const PAGE_ENTRIES: usize = 255;
/// Bytes of an entry.
const ENTRY: usize = 16;
const ENTRIES: usize = PAGE_ENTRIES * ENTRY;

/// A key of 96 bits, above the second in which its row was received.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KeyEntry(u128);

impl KeyEntry {
    /// A key with a second. The lowest 32 bits of the key do not count.
    pub(crate) fn new(key: u128, second: u32) -> Self {
        Self((key & !u128::from(u32::MAX)) | u128::from(second))
    }

    /// The key; its lowest 32 bits are 0.
    pub(crate) fn key(self) -> u128 {
        self.0 & !u128::from(u32::MAX)
    }

    /// When its row was received, in seconds since 1970.
    #[expect(clippy::cast_possible_truncation, reason = "the lower bits")]
    pub(crate) fn second(self) -> u32 {
        self.0 as u32
    }

    /// The first 64 bits of the key.
    pub(crate) fn beginning(self) -> u64 {
        beginning(self.0)
    }
}

/// The first 64 bits of a key.
pub(crate) fn beginning(key: u128) -> u64 {
    (key >> 64) as u64
}

/// The tail of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PageTail {
    /// Its entries.
    pub(crate) count: u16,
    /// How often the run was made of others.
    pub(crate) level: u8,
    /// Whether it is the last page.
    pub(crate) is_last: bool,
    /// The day of the run, counted from 1970.
    pub(crate) day: u32,
}

/// The bytes of a page of at most [`PAGE_ENTRIES`] entries.
pub(crate) fn encode_page(entries: &[KeyEntry], tail: PageTail, salt: Salt) -> [u8; PAGE] {
    let mut page = [0; PAGE];
    for (place, entry) in page.chunks_exact_mut(ENTRY).zip(entries) {
        place.copy_from_slice(&entry.0.to_be_bytes());
    }
    let mut rest = [0; ENTRY - 4];
    rest[..2].copy_from_slice(&tail.count.to_le_bytes());
    rest[2] = tail.level;
    rest[3] = u8::from(tail.is_last);
    rest[4..8].copy_from_slice(&tail.day.to_le_bytes());
    let (places, tail) = page.split_at_mut(ENTRIES);
    let crc = salt.checksum(places, &rest);
    if let Some((first, others)) = tail.split_first_chunk_mut::<4>() {
        *first = crc.to_le_bytes();
        others.copy_from_slice(&rest);
    }
    page
}

/// The entries of a page, in order, and its tail. `None` if it is damaged.
pub(crate) fn decode_page(
    page: &[u8],
    salt: Salt,
) -> Option<(impl Iterator<Item = KeyEntry> + '_, PageTail)> {
    let (places, tail) = page.get(..PAGE)?.split_at_checked(ENTRIES)?;
    let (crc, rest) = tail.split_first_chunk::<4>()?;
    if salt.checksum(places, rest) != u32::from_le_bytes(*crc) {
        return None;
    }
    let mut rest = Cursor { bytes: rest };
    let count = u16::from_le_bytes(rest.array()?);
    let [level, last] = rest.array()?;
    let tail = PageTail { count, level, is_last: last == 1, day: rest.u32()? };
    let (places, _) = places.as_chunks::<ENTRY>();
    let entries = places.get(..usize::from(count))?;
    Some((entries.iter().map(|entry| KeyEntry(u128::from_be_bytes(*entry))), tail))
}

/// Bytes of the file of a run of so many keys.
pub(crate) fn run_len(keys: u64) -> u64 {
    keys.div_ceil(PAGE_ENTRIES as u64).saturating_mul(PAGE as u64)
}

/// The name of the file of a run. Nothing else builds it.
pub(crate) fn run_name(number: u64) -> String {
    format!("keys-{number:020}")
}

/// The number in the name of the file of a run.
pub(crate) fn run_number(name: &str) -> Option<u64> {
    number_in(name, "keys-", "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_reads_back_and_every_flipped_bit_is_found() {
        let salt = Salt::new(&[1; 16], 3);
        let entries: Vec<KeyEntry> = (1..=100).map(|n: u32| KeyEntry::new(u128::from(n) << 40, n)).collect();
        let tail = PageTail { count: 100, level: 2, is_last: true, day: 20_000 };
        let page = encode_page(&entries, tail, salt);
        let (read, found) = decode_page(&page, salt).unwrap();
        assert_eq!((read.collect::<Vec<_>>(), found), (entries, tail));
        for bit in (0..PAGE * 8).step_by(61) {
            let mut flipped = page;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(decode_page(&flipped, salt).is_none(), "bit {bit}");
        }
        assert!(decode_page(&page, Salt::new(&[1; 16], 4)).is_none());
        assert!(decode_page(&page[1..], salt).is_none());
    }

    #[test]
    fn entries_are_in_the_order_of_keys_and_then_of_seconds() {
        let entry = |key: u128, second| KeyEntry::new(key << 32, second);
        assert!(entry(1, u32::MAX) < entry(2, 0) && entry(2, 0) < entry(2, 1));
        let one = KeyEntry::new((7 << 100) | 5, 9);
        assert_eq!((one.key(), one.second(), one.beginning()), (7 << 100, 9, 7 << 36));
        assert_eq!((run_len(0), run_len(1), run_len(255), run_len(256)), (0, 4_096, 4_096, 8_192));
    }
}
