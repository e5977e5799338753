//! A bit for each row of a job.

/// Rows of one piece: 8 KiB of bits.
const PIECE_ROWS: u64 = 8 * PIECE_BYTES as u64;
const PIECE_BYTES: usize = 8 * 1_024;

/// A bit for each row. At first all are clear. A piece whose bits are all the same takes no memory. So the set is
/// small if tasks end nearly in the order of their rows. In any other order it takes at most one bit a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct RowBits {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    /// No bit is set.
    Clear,
    /// Some are.
    Mixed(Bits),
    /// All are.
    Set,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Bits {
    bytes: Box<[u8]>,
    set: u64,
}

impl Piece {
    fn bits(self) -> Bits {
        let alike = |byte, set| Bits { bytes: vec![byte; PIECE_BYTES].into_boxed_slice(), set };
        match self {
            Self::Clear => alike(0, 0),
            Self::Mixed(bits) => bits,
            Self::Set => alike(u8::MAX, PIECE_ROWS),
        }
    }

    fn of(bits: Bits) -> Self {
        match bits.set {
            0 => Self::Clear,
            PIECE_ROWS => Self::Set,
            _ => Self::Mixed(bits),
        }
    }
}

/// The piece of a row, its byte in there, and its bit.
fn place(row: u64) -> Option<(usize, usize, u8)> {
    let piece = usize::try_from(row / PIECE_ROWS).ok()?;
    let byte = usize::try_from(row % PIECE_ROWS / 8).ok()?;
    Some((piece, byte, 1 << (row % 8)))
}

impl RowBits {
    /// The bit of a row.
    pub(super) fn get(&self, row: u64) -> bool {
        let Some((piece, byte, bit)) = place(row) else { return false };
        match self.pieces.get(piece) {
            None | Some(Piece::Clear) => false,
            Some(Piece::Set) => true,
            Some(Piece::Mixed(bits)) => bits.bytes.get(byte).is_some_and(|byte| byte & bit != 0),
        }
    }

    /// Sets or clears the bit of a row. Whether that changed it.
    pub(super) fn set(&mut self, row: u64, is_set: bool) -> bool {
        if self.get(row) == is_set {
            return false;
        }
        let Some((piece, byte, bit)) = place(row) else { return false };
        let Some(piece) = self.piece(piece) else { return false };
        let mut bits = std::mem::replace(piece, Piece::Clear).bits();
        if let Some(byte) = bits.bytes.get_mut(byte) {
            *byte ^= bit;
        }
        bits.set = if is_set { bits.set + 1 } else { bits.set - 1 };
        *piece = Piece::of(bits);
        true
    }

    /// Sets the bits of as many rows from `row` on as can be set at once, because all of them are clear: a piece, or
    /// eight. Returns how many; 0: none can.
    pub(super) fn set_many(&mut self, row: u64, most: u64) -> u64 {
        let Some((piece, byte, _)) = place(row).filter(|_| row.is_multiple_of(8) && most >= 8) else {
            return 0;
        };
        let Some(piece) = self.piece(piece) else { return 0 };
        if *piece == Piece::Clear && row.is_multiple_of(PIECE_ROWS) && most >= PIECE_ROWS {
            *piece = Piece::Set;
            return PIECE_ROWS;
        }
        if *piece == Piece::Set {
            return 0;
        }
        let mut bits = std::mem::replace(piece, Piece::Clear).bits();
        let mut many = 0;
        if let Some(byte) = bits.bytes.get_mut(byte).filter(|byte| **byte == 0) {
            (*byte, many) = (u8::MAX, 8);
        }
        bits.set += many;
        *piece = Piece::of(bits);
        many
    }

    /// The first row from this one on whose bit is clear, below `end`.
    pub(super) fn first_clear(&self, from: u64, end: u64) -> Option<u64> {
        let mut row = from;
        while row < end {
            let (piece, byte, _) = place(row)?;
            let next_piece = (row / PIECE_ROWS + 1).saturating_mul(PIECE_ROWS);
            match self.pieces.get(piece) {
                None | Some(Piece::Clear) => return Some(row),
                Some(Piece::Set) => row = next_piece,
                Some(Piece::Mixed(bits)) => match bits.bytes.get(byte) {
                    Some(byte) if *byte == u8::MAX => row = (row / 8 + 1) * 8,
                    Some(_) if self.get(row) => row += 1,
                    Some(_) => return Some(row),
                    None => row = next_piece,
                },
            }
        }
        None
    }

    fn piece(&mut self, piece: usize) -> Option<&mut Piece> {
        if piece >= self.pieces.len() {
            self.pieces.resize(piece + 1, Piece::Clear);
        }
        self.pieces.get_mut(piece)
    }

    /// Bytes of the pieces that are not alike.
    #[cfg(test)]
    pub(super) fn bytes(&self) -> usize {
        self.pieces.iter().filter(|piece| matches!(piece, Piece::Mixed(_))).count() * PIECE_BYTES
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rows_in_order_take_the_memory_of_one_piece() {
        let mut bits = RowBits::default();
        for row in 0..3 * PIECE_ROWS {
            assert!(bits.set(row, true) && !bits.set(row, true));
            assert!(bits.bytes() <= PIECE_BYTES);
        }
        assert_eq!((bits.bytes(), bits.first_clear(0, u64::MAX)), (0, Some(3 * PIECE_ROWS)));
        // A bit of a full piece is cleared.
        assert!(bits.set(PIECE_ROWS + 9, false) && !bits.get(PIECE_ROWS + 9) && bits.get(PIECE_ROWS + 8));
        assert_eq!((bits.bytes(), bits.first_clear(0, u64::MAX)), (PIECE_BYTES, Some(PIECE_ROWS + 9)));
        assert!(bits.set(PIECE_ROWS + 9, true));
        assert_eq!(bits.bytes(), 0);
        let mut at_once = RowBits::default();
        assert_eq!(
            [at_once.set_many(0, u64::MAX), at_once.set_many(PIECE_ROWS, PIECE_ROWS - 1)],
            [PIECE_ROWS, 8]
        );
        assert_eq!(
            [at_once.set_many(0, 8), at_once.set_many(3, 99), at_once.set_many(PIECE_ROWS, 8)],
            [0; 3]
        );
        assert!(at_once.get(PIECE_ROWS - 1) && at_once.get(PIECE_ROWS + 7) && !at_once.get(PIECE_ROWS + 8));
    }

    proptest! {
        #[test]
        fn bits_are_those_of_a_set(
            changes in proptest::collection::vec((0_u64..40, 0_u64..3, any::<bool>(), 0_u64..30), 0..200),
        ) {
            let (mut bits, mut set) = (RowBits::default(), BTreeSet::new());
            for (near, piece, is_set, most) in changes {
                // Around the border of two pieces.
                let row = (piece + 1) * PIECE_ROWS - 20 + near;
                if most > 20 {
                    let many = bits.set_many(row, most);
                    prop_assert!(many <= most && (row..row + many).all(|row| set.insert(row)));
                } else if is_set {
                    prop_assert_eq!(bits.set(row, true), set.insert(row));
                } else {
                    prop_assert_eq!(bits.set(row, false), set.remove(&row));
                }
            }
            for row in (PIECE_ROWS - 30..PIECE_ROWS + 30).chain(2 * PIECE_ROWS - 30..2 * PIECE_ROWS + 30) {
                prop_assert_eq!(bits.get(row), set.contains(&row), "{}", row);
                let clear = (row..row + 25).find(|row| !set.contains(row));
                prop_assert_eq!(bits.first_clear(row, row + 25), clear);
            }
        }
    }
}
