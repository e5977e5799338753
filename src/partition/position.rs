//! Positions of a partition come from the offsets of its records, not from counting: a count would shift for
//! good if one owner could not read a record that the next one can.

/// Positions of one record: index 0 belongs to no frame, so that it can stand for "before the record".
pub const POSITIONS: u64 = 4_096;
/// Maximum number of frames in one block.
pub const FRAMES_MAX: usize = 4_095;

/// The position of the frame with this index, from 1, in the record at `offset`.
pub fn position(offset: u64, index: u64) -> u64 {
    before(offset).saturating_add(index)
}

/// The position before the record at `offset`: after every frame of the records before it.
pub fn before(offset: u64) -> u64 {
    offset.saturating_mul(POSITIONS)
}

/// The offset of the record that a position belongs to.
pub fn offset_of(position: u64) -> u64 {
    position / POSITIONS
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_of_successive_records_do_not_meet() {
        assert_eq!(position(0, 1), 1, "the first position of every log");
        let last = position(7, FRAMES_MAX as u64);
        assert!(last < before(8) && before(8) < position(8, 1));
        assert_eq!([before(7), position(7, 1), last, before(8)].map(offset_of), [7, 7, 7, 8]);
    }
}
