//! The rows in the beginning of a text, looked at before any of them becomes a call.

use super::dialect::{Dialect, LineEnd};
use super::record::Record;
use super::records::{Item, Records};

/// The beginning of a text, without a line that names the delimiter.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample<'t> {
    pub text: &'t [u8],
    /// Whether it is the whole text.
    pub at_end: bool,
}

impl Sample<'_> {
    /// The first record, if it is one: the header.
    pub(super) fn first(&self, dialect: &Dialect) -> Option<Record> {
        let (mut records, mut record) = (Records::new(self.text, dialect.clone()), Record::default());
        // Reading from memory does not fail.
        let read = records.read_header(&mut record).ok()?;
        (read == Some(Item::Record)).then_some(record)
    }

    /// Looks at each row that has `width` cells about which there is no doubt. A sample that is not at the end
    /// of its text may end in the middle of a row, so its last row is left out.
    pub(super) fn each_row(
        &self,
        (dialect, line_end): (&Dialect, Option<LineEnd>),
        (width, has_header): (usize, bool),
        mut look: impl FnMut(&mut Record),
    ) {
        let mut records = Records::new(self.text, dialect.clone()).with_lines(line_end, Some(width));
        let (mut before, mut record) = (None, Record::default());
        if has_header && !matches!(records.read_header(&mut record), Ok(Some(_))) {
            return;
        }
        let mut look = |record: &mut Record| {
            if record.len() == width && record.doubt.is_none() && record.utf8 {
                look(record);
            }
        };
        while let Ok(Some(item)) = records.read(&mut record) {
            if let Some(before) = &mut before {
                look(before);
            }
            before = (item == Item::Record).then(|| std::mem::take(&mut record));
        }
        if let Some(last) = before.as_mut().filter(|_| self.at_end) {
            look(last);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_rows_of_a_sample_are_looked_at() {
        let check = |text: &str, at_end: bool, has_header: bool, expected: &[&str]| {
            let mut found = Vec::new();
            let sample = Sample { text: text.as_bytes(), at_end };
            sample.each_row((&Dialect::default(), None), (2, has_header), |record| {
                found.push(String::from_utf8_lossy(record.get(1).unwrap()).into_owned());
            });
            assert_eq!(found, expected, "{text:?}");
        };
        check("a,b\n1,2\n3,4\n", true, true, &["2", "4"]);
        check("a,b\n1,2\n3,4", false, true, &["2"]);
        check("1,2\n3\n\"5\"x,6\n7,8\n", true, false, &["2", "8"]);
        check("a,b\n1,2\n\"3,4\n5,6\n", true, true, &["2", "6"]);
        check("", true, true, &[]);
        let header = Sample { text: b"a;b\n1;2", at_end: true }
            .first(&Dialect { delimiter: b';', ..Dialect::default() });
        assert_eq!(header.unwrap().len(), 2);
    }
}
