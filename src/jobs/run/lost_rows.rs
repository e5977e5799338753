//! Rows whose tasks cannot run, because the copy of the manifest is damaged there. Pure.

use std::fmt;
use std::ops::Range;

use crate::words::{counted, grouped};

/// Ranges of rows that are kept. Rows beyond them are counted.
pub const LOST_RANGES_MAX: usize = 1_024;
/// Ranges that are named.
const NAMED_MAX: usize = 4;

/// The rows, each added once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LostRows {
    /// How many there are.
    pub rows: u64,
    /// Ranges of them in their order, from 0.
    pub ranges: Vec<Range<u64>>,
}

impl LostRows {
    pub(super) fn add(&mut self, row: u64) {
        self.rows += 1;
        let at = self.ranges.partition_point(|range| range.end < row);
        let next_start = self.ranges.get(at + 1).map(|next| next.start);
        match self.ranges.get_mut(at) {
            Some(range) if range.end == row => {
                range.end += 1;
                if next_start == Some(range.end) {
                    let next = self.ranges.remove(at + 1);
                    self.ranges.get_mut(at).into_iter().for_each(|range| range.end = next.end);
                }
            }
            Some(range) if range.start == row + 1 => range.start = row,
            _ => self.ranges.insert(at, row..row + 1),
        }
        self.ranges.truncate(LOST_RANGES_MAX);
    }
}

impl fmt::Display for LostRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges: Vec<String> = self
            .ranges
            .iter()
            .take(NAMED_MAX)
            .map(|rows| match rows.end - rows.start {
                1 => grouped(rows.end),
                _ => format!("{} to {}", grouped(rows.start + 1), grouped(rows.end)),
            })
            .collect();
        let named = self.ranges.iter().take(NAMED_MAX).map(|rows| rows.end - rows.start);
        let more = if named.sum::<u64>() < self.rows { " and more" } else { "" };
        let (count, rows) = (counted(self.rows, "task", "tasks"), ranges.join(", "));
        let word = if self.rows == 1 { "row" } else { "rows" };
        write!(f, "{count} cannot run, of {word} {rows}{more} of the manifest: its copy is damaged there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_named_and_the_others_counted() {
        let check = |rows: &[u64], text: &str| {
            let mut lost = LostRows::default();
            rows.iter().for_each(|row| lost.add(*row));
            assert_eq!(lost.to_string(), format!("{text} of the manifest: its copy is damaged there"));
        };
        check(&[4], "1 task cannot run, of row 5");
        check(&(1_024..2_048).collect::<Vec<_>>(), "1,024 tasks cannot run, of rows 1,025 to 2,048");
        check(&[0, 1, 9], "3 tasks cannot run, of rows 1 to 2, 10");
        check(&[0, 2, 4, 6, 8, 9], "6 tasks cannot run, of rows 1, 3, 5, 7 and more");
        // Rows that are started together come in any order.
        check(&[5, 3, 4, 9, 2, 8], "6 tasks cannot run, of rows 3 to 6, 9 to 10");
    }
}
