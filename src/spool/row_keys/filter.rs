//! A filter that says of most keys that a run does not have them, without reading its file.
//!
//! It is a Bloom filter in blocks of 256 bits: a key sets one bit in each of the eight words of one block, so
//! a question costs one wait for memory. With 23 keys a block it takes 1.4 bytes a key, and says of less than
//! one key in a hundred that it may be there although it is not.

use crate::spool::format::key_run::beginning;

/// Keys of a block.
const BLOCK_KEYS: u64 = 23;
/// Odd numbers without a pattern: those of the same filter in the format Parquet.
const FACTORS: [u32; 8] =
    [0x47b6_137b, 0x4497_4d91, 0x8824_ad5b, 0xa2b7_289d, 0x7054_95c7, 0x2df1_424b, 0x9efc_4947, 0x5c6b_fb31];

/// The filter of one run.
#[derive(Debug)]
pub(super) struct Filter {
    blocks: Vec<[u32; 8]>,
}

impl Filter {
    /// An empty filter for at most so many keys.
    pub(super) fn for_keys(keys: u64) -> Self {
        let blocks = usize::try_from(keys.div_ceil(BLOCK_KEYS).max(1)).unwrap_or(usize::MAX);
        Self { blocks: vec![[0; 8]; blocks] }
    }

    /// Adds a key.
    pub(super) fn add(&mut self, key: u128) {
        let at = self.block_of(key);
        if let Some(block) = self.blocks.get_mut(at) {
            block.iter_mut().zip(bits(key)).for_each(|(word, bit)| *word |= bit);
        }
    }

    /// Whether the key may be among those that were added. If not, it is not.
    pub(super) fn may_have(&self, key: u128) -> bool {
        let block = self.blocks.get(self.block_of(key));
        block.is_none_or(|block| block.iter().zip(bits(key)).all(|(word, bit)| word & bit != 0))
    }

    /// Its memory, in bytes.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.blocks.len() * size_of::<[u32; 8]>()
    }

    /// Keys are hashes, so their first bits choose a block evenly.
    #[expect(clippy::cast_possible_truncation, reason = "less than the number of blocks")]
    fn block_of(&self, key: u128) -> usize {
        ((u128::from(beginning(key)) * self.blocks.len() as u128) >> 64) as usize
    }
}

/// The bit of each word that belongs to a key, by bits that do not choose its block.
#[expect(clippy::cast_possible_truncation, reason = "32 bits of the key")]
fn bits(key: u128) -> impl Iterator<Item = u32> {
    let by = (key >> 32) as u32;
    FACTORS.into_iter().map(move |factor| 1 << (by.wrapping_mul(factor) >> 27))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key as a hash gives it.
    fn key(number: u64) -> u128 {
        let mut bits = [0; 16];
        blake3::Hasher::new().update(&number.to_le_bytes()).finalize_xof().fill(&mut bits);
        u128::from_le_bytes(bits)
    }

    #[test]
    fn it_has_all_its_keys_few_others_and_little_memory() {
        const KEYS: u64 = 100_000;
        let mut filter = Filter::for_keys(KEYS);
        (0..KEYS).for_each(|number| filter.add(key(number)));
        assert!((0..KEYS).all(|number| filter.may_have(key(number))));
        let wrong = (KEYS..2 * KEYS).filter(|number| filter.may_have(key(*number))).count() as u64;
        assert!(wrong < KEYS / 100, "{wrong} of {KEYS}");
        assert!(filter.bytes() as u64 * 10 <= KEYS * 14, "{}", filter.bytes());
        assert!(!Filter::for_keys(0).may_have(key(1)));
    }
}
