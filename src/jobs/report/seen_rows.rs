//! The rows that a report has already.

use crate::jobs::row_bits::RowBits;

/// The most rows: 2^32, half a GiB of bits.
pub const ROWS_MAX: u64 = 1 << 32;

/// A set of rows.
#[derive(Debug, Default)]
pub struct SeenRows(RowBits);

impl SeenRows {
    /// Adds a row. `false` if it was there already, or is beyond [`ROWS_MAX`].
    pub fn add(&mut self, row: u64) -> bool {
        row < ROWS_MAX && self.0.set(row, true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_new_once() {
        let mut rows = SeenRows::default();
        for row in [0, 63, 64, 65_535, 65_536, 1_048_576, 1_000_000, 1] {
            assert!(rows.add(row) && !rows.add(row), "{row}");
        }
        assert!(!rows.add(ROWS_MAX));
    }
}
