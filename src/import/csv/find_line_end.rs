//! Finds how the lines of a text end.

use memchr::memmem;

use super::dialect::{Dialect, LineEnd};
use super::record::Record;
use super::records::{Item, Records};

/// How the lines of a text end that begins with `sample`, if the sample shows it. Of several ends it is the
/// one that gives most rows the right width if the others are in cells. The right width is that of `columns`
/// names, or of the first record.
///
/// A sample that is not `at_end` may end in the middle of a record, so its last record is ignored.
pub(in crate::import) fn detect(
    sample: &[u8],
    at_end: bool,
    dialect: &Dialect,
    columns: Option<usize>,
) -> Option<LineEnd> {
    let count = |byte| memchr::memchr_iter(byte, sample).count();
    let (feeds, returns) = (count(b'\n'), count(b'\r'));
    if returns == 0 {
        return (feeds > 0).then_some(LineEnd::LineFeed);
    }
    if feeds == returns && memmem::find_iter(sample, b"\r\n").count() == feeds {
        return Some(LineEnd::Both);
    }
    // The order counts: of equal ends, the last one wins.
    let mut fits = [LineEnd::CarriageReturn, LineEnd::LineFeed, LineEnd::Both].map(Fit::of);
    let mut records = Records::new(sample, dialect.clone());
    let mut record = Record::default();
    let mut width = columns;
    let at_last = (at_end && sample.ends_with(b"\r")).then_some(LineEnd::CarriageReturn);
    // Reading from memory does not fail.
    while let Ok(Some(item)) = records.read(&mut record) {
        let end = records.ended_by.or(at_last);
        if item != Item::Record {
            continue;
        }
        if end.is_none() && !at_end {
            break;
        }
        let width = *width.get_or_insert(record.len());
        fits.iter_mut().for_each(|fit| fit.add(record.len(), end, width));
    }
    fits.into_iter().filter(|fit| fit.times > 0).max_by_key(Fit::rank).map(|fit| fit.end)
}

/// What a sample looks like if its lines have this end, and all other ends stand in cells.
#[derive(Debug)]
struct Fit {
    end: LineEnd,
    /// How often this end ends a record.
    times: usize,
    /// Delimiters of the present row, if one has begun.
    delimiters: Option<usize>,
    right: usize,
    wrong: usize,
}

impl Fit {
    fn of(end: LineEnd) -> Self {
        Self { end, times: 0, delimiters: None, right: 0, wrong: 0 }
    }

    /// Adds a record of so many cells, with what ends it.
    fn add(&mut self, cells: usize, end: Option<LineEnd>, width: usize) {
        let delimiters = self.delimiters.take().unwrap_or(0) + cells.saturating_sub(1);
        self.times += usize::from(end == Some(self.end));
        if end.is_some_and(|end| end != self.end) {
            self.delimiters = Some(delimiters);
        } else if delimiters + 1 == width {
            self.right += 1;
        } else {
            self.wrong += 1;
        }
    }

    fn rank(&self) -> (usize, usize) {
        let wrong = self.wrong + usize::from(self.delimiters.is_some());
        (self.right.saturating_sub(wrong), self.times)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_that_gives_rows_their_width_is_that_of_the_lines() {
        let check = |text: &str, columns, expected| {
            let found = detect(text.as_bytes(), true, &Dialect::default(), columns);
            assert_eq!(found, expected, "{text:?}");
        };
        let (feed, carriage, both) = (LineEnd::LineFeed, LineEnd::CarriageReturn, LineEnd::Both);
        check("", None, None);
        check("a,b", None, None);
        check("a,b\n1,2\n", None, Some(feed));
        check("a,b\r\n1,\"2\n\"\r\n", None, Some(both));
        check("a,b\r1,2\r", None, Some(carriage));
        // A cell of the first row, of the last row, and of the only one.
        check("1,2\r3\n4,5\n", Some(2), Some(feed));
        check("1,2\r3\r4\n", Some(2), Some(feed));
        check("1,2\n3\r\n", Some(2), Some(both));
        check("1,2\n3\r", Some(2), Some(carriage));
        check("1,2\r\n3\n", Some(2), Some(feed));
        check("a,b\r1,2\n3\r4,5\r", None, Some(carriage));
        check("a,b\r\n1,2\n3\r\n4,5", None, Some(both));
        // All rows are too wide.
        check("a,b\r\n1,2,\r\n1,2\n,\r\n1,2,\r\n", None, Some(both));
        // Two files, one after the other.
        check("a,b\n1,2\n3,4\n5,6\r\n", None, Some(feed));
        // The text goes on.
        let found = detect(b"a,b\r\n1,2\n3\r\n4,5\r", false, &Dialect::default(), None);
        assert_eq!(found, Some(both));
    }
}
