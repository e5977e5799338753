//! Rows of a CSV file, with the line where each begins.
//!
//! Fields are as RFC 4180 has them: a field that begins with a quote ends with one, and two quotes within are
//! one. A quote elsewhere is a character like any other, as for Python's `csv`. Lines end with LF or CR LF;
//! the last one may have no end. An empty line is no row. A byte order mark of UTF-8 is skipped.
//!
//! csv-core is not used here: it hides whether the last quote was closed, and so whether a file is whole, and
//! on which line a row began.

use std::io::{BufRead, Read};

use memchr::memchr;

use super::error::ManifestError;

/// The most bytes of a row, with its quotes and line ends. Rows of inventories have access control lists.
pub const ROW_BYTES_MAX: usize = 256 * 1_024;
/// The most columns of a row.
pub const COLUMNS_MAX: usize = 64;

/// Reads rows. Their memory is used again.
#[derive(Debug)]
pub(super) struct CsvReader<R> {
    input: Lines<R>,
    /// The fields, one after the other.
    text: Vec<u8>,
    /// Where each field ends in `text`.
    ends: Vec<usize>,
}

/// A row: its fields, and the line where it begins, from 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Row<'a> {
    pub(super) line: u64,
    text: &'a str,
    ends: &'a [usize],
}

impl<R: BufRead> CsvReader<R> {
    pub(super) fn new(name: &str, input: R) -> Self {
        Self { input: Lines::new(name, input), text: Vec::new(), ends: Vec::new() }
    }

    /// The next row; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<Row<'_>>, ManifestError> {
        let Some(line) = self.input.next()? else { return Ok(None) };
        loop {
            self.text.clear();
            self.ends.clear();
            match split(self.input.line(), &mut self.text, &mut self.ends) {
                Ok(Split::Whole) => break,
                Ok(Split::Open) => {
                    if !self.input.until_quote()? {
                        let what = "a quote is not closed, so the file is not whole, or a quote in it is not doubled; write \
                                    the manifest again";
                        return Err(ManifestError::line(line, what));
                    }
                }
                Err(what) => return Err(ManifestError::line(line, what)),
            }
        }
        let text = std::str::from_utf8(&self.text)
            .map_err(|_| ManifestError::line(line, "it is not UTF-8; save the manifest as UTF-8"))?;
        Ok(Some(Row { line, text, ends: &self.ends }))
    }
}

impl<'a> Row<'a> {
    /// The number of fields.
    pub(super) fn width(self) -> usize {
        self.ends.len()
    }

    /// A field, from 0. Errors: the row is too short, or the field is not UTF-8.
    pub(super) fn field(self, at: usize) -> Result<&'a str, ManifestError> {
        let begin = match at.checked_sub(1) {
            None => 0,
            Some(before) => self.ends.get(before).copied().unwrap_or(usize::MAX),
        };
        let end = self.ends.get(at).copied().unwrap_or(usize::MAX);
        let none = || ManifestError::line(self.line, format!("column {} is missing or not UTF-8", at + 1));
        self.text.get(begin..end).ok_or_else(none)
    }
}

/// How far a row goes.
enum Split {
    /// It ends with the line.
    Whole,
    /// A quote is open, so the row goes on with the next line.
    Open,
}

/// Splits a row into its fields. Errors: what is wrong with it.
fn split(row: &[u8], text: &mut Vec<u8>, ends: &mut Vec<usize>) -> Result<Split, &'static str> {
    let mut rest = row;
    loop {
        if ends.len() == COLUMNS_MAX {
            return Err("it has more than 64 columns; leave out those that are not needed");
        }
        rest = match rest.split_first() {
            Some((b'"', quoted)) => match unquoted(quoted, text) {
                Some(after) => after,
                None => return Ok(Split::Open),
            },
            _ => {
                let (field, after) = rest.split_at(memchr(b',', rest).unwrap_or(rest.len()));
                text.extend_from_slice(field);
                after
            }
        };
        ends.push(text.len());
        rest = match rest.split_first() {
            None => return Ok(Split::Whole),
            Some((b',', after)) => after,
            Some(_) => return Err("text follows a closing quote; double the quotes within a quoted field"),
        };
    }
}

/// Adds a field that is read up to its closing quote. What follows that quote; `None` if there is none.
fn unquoted<'a>(mut rest: &'a [u8], text: &mut Vec<u8>) -> Option<&'a [u8]> {
    loop {
        let (before, quote) = rest.split_at(memchr(b'"', rest)?);
        text.extend_from_slice(before);
        let (_, after) = quote.split_first()?;
        match after.split_first() {
            Some((b'"', after)) => {
                text.push(b'"');
                rest = after;
            }
            _ => return Some(after),
        }
    }
}

/// Lines, each bounded and with its number.
#[derive(Debug)]
pub(super) struct Lines<R> {
    name: String,
    input: R,
    /// The number of lines that were read.
    read: u64,
    raw: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    pub(super) fn new(name: &str, input: R) -> Self {
        Self { name: name.to_owned(), input, read: 0, raw: Vec::new() }
    }

    /// Reads the next line that is not empty, and returns its number, from 1; `None` at the end.
    pub(super) fn next(&mut self) -> Result<Option<u64>, ManifestError> {
        loop {
            self.raw.clear();
            if !self.more()? {
                return Ok(None);
            }
            if self.read == 1 && self.raw.starts_with(b"\xEF\xBB\xBF") {
                self.raw.drain(..3);
            }
            if !self.line().is_empty() {
                return Ok(Some(self.read));
            }
        }
    }

    /// The line without its end.
    pub(super) fn line(&self) -> &[u8] {
        let line = self.raw.strip_suffix(b"\n").unwrap_or(&self.raw);
        line.strip_suffix(b"\r").unwrap_or(line)
    }

    /// Adds lines up to the next one that has a quote. Whether there is one.
    fn until_quote(&mut self) -> Result<bool, ManifestError> {
        loop {
            let before = self.raw.len();
            if !self.more()? {
                return Ok(false);
            }
            if self.raw.get(before..).is_some_and(|line| memchr(b'"', line).is_some()) {
                return Ok(true);
            }
        }
    }

    /// Adds a line. Whether there is one.
    fn more(&mut self) -> Result<bool, ManifestError> {
        let begin = self.raw.len();
        let left = ROW_BYTES_MAX.saturating_add(1).saturating_sub(begin);
        let read = self.input.by_ref().take(left as u64).read_until(b'\n', &mut self.raw);
        let read = read.map_err(|cause| ManifestError::of_io(&self.name, cause))?;
        if self.raw.len() > ROW_BYTES_MAX {
            let what = "the row has more than 262,144 bytes; a quote in it may not be closed";
            return Err(ManifestError::line(self.read + 1, what));
        }
        self.read += u64::from(read > 0);
        Ok(read > 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &[u8]) -> Result<Vec<(u64, Vec<String>)>, ManifestError> {
        let (mut reader, mut found) = (CsvReader::new("m.csv", text), Vec::new());
        while let Some(row) = reader.next()? {
            let fields = (0..row.width()).map(|at| row.field(at).map(str::to_owned));
            found.push((row.line, fields.collect::<Result<Vec<_>, _>>()?));
        }
        Ok(found)
    }

    #[test]
    fn rows_have_their_fields_and_lines() {
        let check = |text: &str, expected: &[(u64, &[&str])]| {
            let found = rows(text.as_bytes()).unwrap();
            let found: Vec<(u64, Vec<&str>)> =
                found.iter().map(|(line, row)| (*line, row.iter().map(String::as_str).collect())).collect();
            let expected: Vec<_> = expected.iter().map(|(line, row)| (*line, row.to_vec())).collect();
            assert_eq!(found, expected, "{text:?}");
        };
        check("", &[]);
        check("a,b", &[(1, &["a", "b"])]);
        check("a,b\n", &[(1, &["a", "b"])]);
        check("a,b\r\nc,d\r\n", &[(1, &["a", "b"]), (2, &["c", "d"])]);
        check("\u{feff}a,b\n", &[(1, &["a", "b"])]);
        check("\u{feff}", &[]);
        check("\n\r\na,b\n\nc,d\n\n", &[(3, &["a", "b"]), (5, &["c", "d"])]);
        check("a,\n,b\n,", &[(1, &["a", ""]), (2, &["", "b"]), (3, &["", ""])]);
        check("\"a\",\"b,c\"\n", &[(1, &["a", "b,c"])]);
        check("\"a\"\"b\",\"\"\n\"\"\"\"", &[(1, &["a\"b", ""]), (2, &["\""])]);
        check("a,\"x\ny\r\n\nz\"\nc,d", &[(1, &["a", "x\ny\r\n\nz"]), (5, &["c", "d"])]);
        check("a,b\"c\"d\ne,f\"\n", &[(1, &["a", "b\"c\"d"]), (2, &["e", "f\""])]);
        check("a,ü\n", &[(1, &["a", "ü"])]);
    }

    #[test]
    fn rows_that_are_none_are_refused_with_their_line() {
        let check = |text: &[u8], says: &str| {
            let error = rows(text).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        };
        check(b"a,b\nc,\"d\n", "line 2: a quote is not closed");
        check(b"a,\"", "line 1: a quote is not closed");
        check(b"a,b\n\nc,\"d\"e\n", "line 3: text follows a closing quote");
        check(b"a,b\xFF\n", "line 1: it is not UTF-8");
        // Together the two fields would be UTF-8.
        check(b"a\xC3,\xBCb\n", "line 1: column");
        check(&[b"x,y\n".as_slice(), &b",".repeat(64)].concat(), "line 2: it has more than 64 columns");
        assert_eq!(rows(&b",".repeat(63)).unwrap()[0].1.len(), COLUMNS_MAX);
    }

    #[test]
    fn a_row_is_bounded() {
        let row = |len: usize| [vec![b'x'; len - 1], b"\n".to_vec()].concat();
        assert_eq!(rows(&row(ROW_BYTES_MAX)).unwrap().len(), 1);
        let error = rows(&[b"a\n".to_vec(), row(ROW_BYTES_MAX + 1)].concat()).unwrap_err().to_string();
        assert!(error.contains("line 2: the row has more than 262,144 bytes"), "{error}");
        // A quote that is never closed takes no more memory than one row, and not forever.
        let endless = [b"a,\"b\n".to_vec(), b"c,d\n".repeat(ROW_BYTES_MAX)].concat();
        let error = rows(&endless).unwrap_err().to_string();
        assert!(error.contains("a quote in it may not be closed"), "{error}");
    }

    use proptest::prelude::*;

    proptest! {
        /// What another program writes is read as it was meant, whatever it quotes.
        #[test]
        fn rows_of_another_writer_are_read_back(
            written in prop::collection::vec(prop::collection::vec("[a,\"\r\n ü]{0,8}", 2..5), 0..8),
            always_quotes in any::<bool>(),
            crlf in any::<bool>(),
            piece in 1_usize..9,
        ) {
            let quotes = if always_quotes { csv::QuoteStyle::Always } else { csv::QuoteStyle::Necessary };
            let ends = if crlf { csv::Terminator::CRLF } else { csv::Terminator::Any(b'\n') };
            let mut writer = csv::WriterBuilder::new().quote_style(quotes).terminator(ends).flexible(true)
                .from_writer(Vec::new());
            written.iter().for_each(|row| writer.write_record(row).unwrap());
            let text = writer.into_inner().unwrap();
            let input = std::io::BufReader::with_capacity(piece, text.as_slice());
            let (mut reader, mut found) = (CsvReader::new("m", input), Vec::new());
            while let Some(row) = reader.next().unwrap() {
                found.push((0..row.width()).map(|at| row.field(at).unwrap().to_owned()).collect::<Vec<_>>());
            }
            prop_assert_eq!(found, written);
        }

        /// A row is a row of Python's `csv` and of the csv crate too, or it is refused.
        #[test]
        fn any_text_is_read_as_others_read_it_or_refused(text in "[a,\"\r\n]{0,24}") {
            // A lone CR ends a line for the csv crate, and is a character here: manifests refuse it.
            prop_assume!(!text.replace("\r\n", "").contains('\r'));
            if let Ok(found) = rows(text.as_bytes()) {
                let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true)
                    .from_reader(text.as_bytes());
                let others: Vec<Vec<String>> = reader.records()
                    .map(|row| row.unwrap().iter().map(str::to_owned).collect()).collect();
                let found: Vec<Vec<String>> = found.into_iter().map(|(_, row)| row).collect();
                prop_assert_eq!(found, others);
            }
        }
    }
}
