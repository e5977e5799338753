//! Finds the delimiter of a text.

use super::blanks::names_follow_blanks;
use super::dialect::{Dialect, MAX_FIELD};
use super::record::Record;
use super::records::{Item, Records};
use super::sample_rows::Sample;
use crate::import::file_error::FileError;
use crate::words::Told;

/// The most records of a sample that are compared.
const SAMPLE_RECORDS: usize = 50;

/// The delimiters that are tried.
const DELIMITERS: [u8; 4] = [b',', b';', b'\t', b'|'];

/// The error of an unknown delimiter: none, or more than one, explains the sample.
fn ambiguous(why: &str) -> FileError {
    let what = format!("cannot tell the delimiter: {why} (pass --delimiter)");
    FileError::content("E-CSV-DELIMITER", Told::plain(what))
}

/// The delimiter of a text that begins with `sample`: of comma, semicolon, tab and bar the one that gives the
/// same number of columns, above one, in each of the first 50 records.
///
/// Rows of a wrong width must not prevent an answer. If no delimiter gives a constant width, the answer is
/// the one that gives the header's number of columns in at least half of the rows, and clearly more often
/// than any other; or the only one in the header, if no other separates more rows. A text without any of them
/// in its header has one column: the answer is a comma, unless the rows all have more columns.
///
/// A sample that is not `at_end` may end in the middle of a record, so its last record is ignored.
/// Errors: [`FileError`]: two delimiters fit equally well, or none.
pub(in crate::import) fn detect_delimiter(
    sample: &[u8],
    at_end: bool,
    quote: Option<u8>,
    escape: Option<u8>,
) -> Result<u8, FileError> {
    best(sample, at_end, &Dialect { quote, escape, ..Dialect::default() })
}

/// The dialect of a text with a header, with its delimiter found. `dialect` has all that is known of it.
/// Errors: as for [`detect_delimiter`].
pub(super) fn with_delimiter(sample: Sample<'_>, dialect: &Dialect) -> Result<Dialect, FileError> {
    let of = |skips_blanks: bool| {
        let dialect = Dialect { skips_blanks, ..dialect.clone() };
        best(sample.text, sample.at_end, &dialect).map(|delimiter| Dialect { delimiter, ..dialect })
    };
    let error = match of(dialect.skips_blanks) {
        Ok(found) => return Ok(with_blanks(sample, found)),
        Err(error) => error,
    };
    // Quotes after blanks mean nothing unless the blanks are skipped, so delimiters within them are in the way.
    match of(true).map(|found| with_blanks(sample, Dialect { skips_blanks: false, ..found })) {
        Ok(found) if found.skips_blanks => Ok(found),
        _ => Err(error),
    }
}

/// The dialect of a text with this delimiter, which skips blanks if the header shows that they belong to the
/// delimiter: each of its names but the first follows one.
pub(super) fn with_blanks(sample: Sample<'_>, dialect: Dialect) -> Dialect {
    let follow = || sample.first(&dialect).is_some_and(|header| names_follow_blanks(&header));
    Dialect { skips_blanks: dialect.skips_blanks || follow(), ..dialect }
}

fn best(sample: &[u8], at_end: bool, dialect: &Dialect) -> Result<u8, FileError> {
    // The limit of a field is at least the default one: the sample is small.
    let max_field = sample.len().max(MAX_FIELD);
    let fits = DELIMITERS
        .map(|delimiter| Fit::of(sample, at_end, Dialect { delimiter, max_field, ..dialect.clone() }));
    let in_header: Vec<&Fit> = fits.iter().filter(|fit| fit.columns > 1).collect();
    let constant: Vec<&Fit> = in_header.iter().copied().filter(|fit| fit.agreeing == fit.rows).collect();
    match (constant.as_slice(), in_header.as_slice()) {
        ([one], _) => Ok(one.delimiter),
        ([_, _, ..], _) => Err(tie(&constant)),
        ([], []) => one_column(&fits),
        ([], some) => {
            let mut by_share: Vec<&Fit> = some.to_vec();
            by_share.sort_by_key(|fit| std::cmp::Reverse(fit.share()));
            match by_share.as_slice() {
                [best, rest @ ..]
                    if best.share() >= 50
                        && rest.first().is_none_or(|next| best.share() >= next.share() + 25) =>
                {
                    Ok(best.delimiter)
                }
                // Only this delimiter can be meant; rows of a wrong width are rejected one by one.
                [only] if fits.iter().all(|fit| fit.split <= only.split) => Ok(only.delimiter),
                _ => Err(tie(&by_share)),
            }
        }
    }
}

/// The delimiter if the header has none. Such a text has one column, unless most rows say otherwise.
fn one_column(fits: &[Fit]) -> Result<u8, FileError> {
    let split: Vec<&Fit> = fits.iter().filter(|fit| fit.rows > 0 && fit.split * 2 > fit.rows).collect();
    match split.as_slice() {
        [] => Ok(b','),
        [first, ..] => {
            Err(ambiguous(&format!("{} separates most rows, but is not in the header", first.shown())))
        }
    }
}

fn tie(fits: &[&Fit]) -> FileError {
    let shown = |fit: &&Fit| {
        format!("{} gives {} columns in {} of {} rows", fit.shown(), fit.columns, fit.agreeing, fit.rows)
    };
    ambiguous(&fits.iter().map(shown).collect::<Vec<_>>().join(", "))
}

/// How a sample looks with one delimiter.
#[derive(Debug)]
struct Fit {
    delimiter: u8,
    /// Columns in the header.
    columns: usize,
    /// Rows without the header.
    rows: usize,
    /// Rows with as many columns as the header.
    agreeing: usize,
    /// Rows with more than one column.
    split: usize,
}

impl Fit {
    fn of(sample: &[u8], at_end: bool, dialect: Dialect) -> Self {
        let delimiter = dialect.delimiter;
        let mut records = Records::new(sample, dialect);
        let mut record = Record::default();
        let mut widths = Vec::with_capacity(SAMPLE_RECORDS + 1);
        let mut bad = 0;
        while widths.len() + bad <= SAMPLE_RECORDS {
            match records.read(&mut record) {
                Ok(Some(Item::Record)) => widths.push(record.len()),
                // A quote that is open at the end of a cut sample may well be closed later.
                Ok(Some(Item::Broken(_))) if at_end => bad += 1,
                Ok(Some(Item::Broken(_))) => {
                    widths.push(0);
                    break;
                }
                Ok(None) | Err(_) => break,
            }
        }
        if !at_end && widths.len() + bad <= SAMPLE_RECORDS {
            widths.pop();
        }
        widths.truncate(SAMPLE_RECORDS);
        let columns = widths.first().copied().unwrap_or(0);
        let rows = widths.get(1..).unwrap_or_default();
        Self {
            delimiter,
            columns,
            rows: rows.len(),
            agreeing: rows.iter().filter(|width| **width == columns).count(),
            split: rows.iter().filter(|width| **width > 1).count(),
        }
    }

    /// Rows that agree with the header, in per cent.
    fn share(&self) -> usize {
        self.agreeing * 100 / self.rows.max(1)
    }

    fn shown(&self) -> &'static str {
        match self.delimiter {
            b'\t' => "TAB",
            b';' => "\";\"",
            b'|' => "\"|\"",
            _ => "\",\"",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn detected(sample: &str) -> Option<char> {
        detect_delimiter(sample.as_bytes(), true, Some(b'"'), None).ok().map(char::from)
    }

    #[test]
    fn the_delimiter_with_a_constant_count_is_found() {
        let check =
            |sample: &str, expected: Option<char>| assert_eq!(detected(sample), expected, "{sample:?}");
        check("a,b\n1,2\n", Some(','));
        check("a;b\n1,5;2\n", Some(';'));
        check("a\tb\n1\t2", Some('\t'));
        check("a|b\r1|2", Some('|'));
        check("a,b,c", Some(','));
        check("a,b\n\"1;2;3\",\"x\ny\"\n", Some(','));
        check("a,b;c\n1,2;3\n", None);
        check("a,b;c\n1,2;3\n1,2\n", Some(','));
    }

    #[test]
    fn rows_of_a_wrong_width_do_not_prevent_it() {
        let mut sample = "a,b;x,c\n".to_owned();
        for row in 0..100 {
            sample.push_str(if row % 10 == 3 { "1,2\n" } else { "1,2,3\n" });
        }
        assert_eq!(detected(&sample), Some(','));
        assert_eq!(detected("a,b,c\n1,2\n1,2,3,4\n1\n"), Some(','));
        assert_eq!(detected("a,b\n1\n"), Some(','));
        assert_eq!(detected("May, 2026\na;b\n1;2\n"), None);
    }

    #[test]
    fn one_column_has_no_delimiter() {
        let check =
            |sample: &str, expected: Option<char>| assert_eq!(detected(sample), expected, "{sample:?}");
        check("", Some(','));
        check("id\n1\n2\n", Some(','));
        check("id\n1\n2,3\n4\n5\n", Some(','));
        check("id\n\"1,2\"\n\"2,3\"\n", Some(','));
        // A title above the header, perhaps.
        check("Report of May\na;b\n1;2\n", None);
    }

    #[test]
    fn the_last_record_of_a_cut_sample_is_ignored() {
        let check = |sample: &str, at_end: bool, expected: Option<u8>| {
            let found = detect_delimiter(sample.as_bytes(), at_end, Some(b'"'), None).ok();
            assert_eq!(found, expected, "{sample:?}");
        };
        check("a,b,c;d\n1,2,3;4\n1,2,3", false, None);
        check("a,b,c\n1,2,3\n1,2", false, Some(b','));
        check("a,b,c\n1,2,3\n1,\"2;\n;;\n;", false, Some(b','));
        let long: String = (0..60).map(|row| if row < 50 { "1,2\n" } else { "1;2;3\n" }).collect();
        check(&long, false, Some(b','));
    }

    #[test]
    fn a_header_shows_that_blanks_belong_to_the_delimiter() {
        let check = |text: &str, expected: Option<(char, bool)>| {
            let sample = Sample { text: text.as_bytes(), at_end: true };
            let found = with_delimiter(sample, &Dialect::default()).ok();
            let found = found.map(|dialect| (char::from(dialect.delimiter), dialect.skips_blanks));
            assert_eq!(found, expected, "{text:?}");
        };
        check("a, b\n1, 2\n", Some((',', true)));
        check("a; b; c\n1; 2,5; 3\n", Some((';', true)));
        check("a, b\n1, \"x, y\"\n2, \"z; w\"\n", Some((',', true)));
        check("\"a\", \"b\"\n1, \"2; 3\"\n", Some((',', true)));
        check("a,b\n1, 2\n", Some((',', false)));
        check("a, b,c\n1, 2,3\n", Some((',', false)));
        check("a,b;c\n1,2;3\n", None);
        check("a\n 1\n", Some((',', false)));
    }

    #[test]
    fn the_error_asks_for_the_delimiter() {
        let error = detect_delimiter(b"a,b;c\n1,2;3\n", true, Some(b'"'), None).unwrap_err();
        assert_eq!(
            error.to_string(),
            "E-CSV-DELIMITER: cannot tell the delimiter: \",\" gives 2 columns in 1 of 1 rows, \
             \";\" gives 2 columns in 1 of 1 rows (pass --delimiter)"
        );
    }
}
