//! The rows that a report has already: one bit for each task.

/// The most rows: 2^32, half a GiB of bits.
pub const ROWS_MAX: u64 = 1 << 32;

/// Words of one piece of a set: half a million rows, 64 KiB.
const PIECE_WORDS: usize = 8 * 1_024;

/// A set of rows, in pieces: a list that grows holds its rows twice while it is moved.
#[derive(Debug, Default)]
pub struct SeenRows {
    pieces: Vec<Vec<u64>>,
}

impl SeenRows {
    /// Adds a row. `false` if it was there already, or is beyond [`ROWS_MAX`].
    pub fn add(&mut self, row: u64) -> bool {
        let word = match usize::try_from(row / 64) {
            Ok(word) if row < ROWS_MAX => word,
            _ => return false,
        };
        let piece = word / PIECE_WORDS;
        if piece >= self.pieces.len() {
            self.pieces.resize_with(piece + 1, || vec![0; PIECE_WORDS]);
        }
        let bit = 1 << (row % 64);
        let word = self.pieces.get_mut(piece).and_then(|piece| piece.get_mut(word % PIECE_WORDS));
        word.is_some_and(|word| {
            let is_new = *word & bit == 0;
            *word |= bit;
            is_new
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_new_once() {
        let mut rows = SeenRows::default();
        for row in [0, 63, 64, 524_287, 524_288, 1_048_576, 1_000_000, 1] {
            assert!(rows.add(row) && !rows.add(row), "{row}");
        }
        assert!(!rows.add(ROWS_MAX));
    }
}
