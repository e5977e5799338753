//! Which partition a call goes to.

use twox_hash::XxHash3_64;

use crate::sources::SourceId;

/// The slot of a call of a source that is spread over so many. Rejected items and object sets have slot 0.
pub fn slot(message_id: &[u8], spread: u32) -> u32 {
    u32::try_from(XxHash3_64::oneshot(message_id) % u64::from(spread.max(1))).unwrap_or(0)
}

/// The partition of a source's slot. The same for every collector that knows the number of partitions.
pub fn partition(source: &SourceId, slot: u32, partitions: u32) -> u32 {
    let key = [source.as_str().as_bytes(), &slot.to_le_bytes()].concat();
    u32::try_from(XxHash3_64::oneshot(&key) % u64::from(partitions.max(1))).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// These values are part of the format: collectors of different releases must agree.
    #[test]
    fn a_call_always_goes_to_the_same_partition() {
        let web = SourceId::new("web").unwrap();
        let found: Vec<u32> = (0..4).map(|slot| partition(&web, slot, 12)).collect();
        assert_eq!((found, slot(b"m-1", 4), slot(b"m-1", 1)), (PARTITIONS.to_vec(), SLOT, 0));
    }

    const PARTITIONS: [u32; 4] = [3, 2, 11, 1];
    const SLOT: u32 = 2;
}
