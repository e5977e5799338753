//! The rows that a report has already: one bit for each task.

/// The most rows: 2^32, half a GiB of bits.
pub const ROWS_MAX: u64 = 1 << 32;

/// A set of rows.
#[derive(Debug, Default)]
pub struct SeenRows {
    words: Vec<u64>,
}

impl SeenRows {
    /// Adds a row. `false` if it was there already, or is beyond [`ROWS_MAX`].
    pub fn add(&mut self, row: u64) -> bool {
        let word = match usize::try_from(row / 64) {
            Ok(word) if row < ROWS_MAX => word,
            _ => return false,
        };
        if word >= self.words.len() {
            self.words.resize(word + 1, 0);
        }
        let bit = 1 << (row % 64);
        self.words.get_mut(word).is_some_and(|word| {
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
        for row in [0, 63, 64, 1_000_000, 1] {
            assert!(rows.add(row) && !rows.add(row), "{row}");
        }
        assert!(!rows.add(ROWS_MAX));
    }
}
