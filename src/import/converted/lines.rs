//! Splits a text into lines, in bounded memory.
//!
//! The result is a function of the text alone, whatever the sizes of the reads: the number of a row is part of
//! its messageId and of the progress of its file.

use std::io::{self, Read};

use crate::import::reject::RAW_MAX;

/// Bytes that are read at a time.
const READ_BYTES: usize = 128 * 1_024;

/// The longest line, in bytes. A call has at most 32 KiB, and the columns that no call uses must fit, too.
pub const LINE_BYTES_MAX: usize = 4 * 1_024 * 1_024;

/// Reads the lines of decoded text. Blank lines are left out. LF ends a line, and a CR before it is no part of
/// the line.
#[derive(Debug)]
pub(in crate::import) struct Lines<R> {
    input: R,
    longest: usize,
    buffer: Vec<u8>,
    /// Where the text that was not returned yet begins in `buffer`.
    start: usize,
    at_end: bool,
    /// The number of the line at `start`, and its byte in the text.
    number: u64,
    byte: u64,
    /// The beginning of a line that is too long.
    beginning: Vec<u8>,
}

/// One line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::import) struct Line<'l> {
    /// The line; of one that is too long, the first [`RAW_MAX`] bytes.
    pub(in crate::import) bytes: &'l [u8],
    /// Whether it has more than [`LINE_BYTES_MAX`] bytes.
    pub(in crate::import) is_too_long: bool,
    /// Its number, from 1. Blank lines are counted.
    pub(in crate::import) number: u64,
    /// The byte of the text at which it begins, from 0.
    pub(in crate::import) byte: u64,
}

/// Where a line is.
enum Found {
    /// So many bytes from `start` on.
    InBuffer(usize),
    /// In `beginning`, as far as it is kept.
    TooLong,
}

impl<R: Read> Lines<R> {
    /// Lines of at most [`LINE_BYTES_MAX`] bytes.
    pub(in crate::import) fn new(input: R) -> Self {
        Self::within(LINE_BYTES_MAX, input)
    }

    fn within(longest: usize, input: R) -> Self {
        Self {
            input,
            longest,
            buffer: Vec::new(),
            start: 0,
            at_end: false,
            number: 1,
            byte: 0,
            beginning: Vec::new(),
        }
    }

    /// The next line that is not blank; `None` at the end. Errors: an error of the input.
    pub(in crate::import) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        loop {
            let (number, byte) = (self.number, self.byte);
            let Some((found, is_blank)) = self.find()? else { return Ok(None) };
            if is_blank {
                continue;
            }
            let line = match found {
                Found::InBuffer(len) => {
                    let end = self.start;
                    let line = self.buffer.get(end.saturating_sub(len)..end).unwrap_or_default();
                    let line = line.strip_suffix(b"\n").unwrap_or(line);
                    Line { bytes: line.strip_suffix(b"\r").unwrap_or(line), is_too_long: false, number, byte }
                }
                Found::TooLong => Line { bytes: &self.beginning, is_too_long: true, number, byte },
            };
            return Ok(Some(line));
        }
    }

    /// Consumes the next line with what ends it. Says whether it is blank.
    fn find(&mut self) -> io::Result<Option<(Found, bool)>> {
        let mut searched = 0;
        loop {
            let text = self.buffer.get(self.start..).unwrap_or_default();
            let rest = text.get(searched..).unwrap_or_default();
            let end = memchr::memchr(b'\n', rest).map(|at| searched + at);
            let len = end.unwrap_or(text.len());
            if len > self.longest {
                return self.pass_over_long().map(Some);
            }
            if end.is_none() && !self.at_end {
                searched = text.len();
                self.fill()?;
                continue;
            }
            let with_break = len + usize::from(end.is_some());
            if with_break == 0 {
                return Ok(None);
            }
            let is_blank = text.get(..len).unwrap_or_default().iter().all(u8::is_ascii_whitespace);
            self.consume(with_break);
            self.number += 1;
            return Ok(Some((Found::InBuffer(with_break), is_blank)));
        }
    }

    /// Consumes a line that is too long, and keeps its beginning.
    fn pass_over_long(&mut self) -> io::Result<(Found, bool)> {
        self.beginning.clear();
        let mut is_blank = true;
        loop {
            let text = self.buffer.get(self.start..).unwrap_or_default();
            let end = memchr::memchr(b'\n', text);
            let line = text.get(..end.unwrap_or(text.len())).unwrap_or_default();
            is_blank &= line.iter().all(u8::is_ascii_whitespace);
            let room = RAW_MAX.saturating_sub(self.beginning.len());
            self.beginning.extend_from_slice(line.get(..room).unwrap_or(line));
            let len = line.len() + usize::from(end.is_some());
            self.consume(len);
            if end.is_some() || (self.at_end && self.start == self.buffer.len()) {
                self.number += 1;
                return Ok((Found::TooLong, is_blank));
            }
            self.fill()?;
        }
    }

    fn consume(&mut self, len: usize) {
        self.start += len;
        self.byte += len as u64;
    }

    /// Reads more of the text.
    fn fill(&mut self) -> io::Result<()> {
        self.buffer.drain(..self.start);
        self.start = 0;
        let read = self.input.by_ref().take(READ_BYTES as u64).read_to_end(&mut self.buffer)?;
        self.at_end |= read < READ_BYTES;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::import::reading::test_bytes::{Dribble, FailsAfter};

    /// The lines of a text, of at most eight bytes: number, byte, content; `!` after those that are too long.
    fn lines(text: &str) -> Vec<String> {
        let all = |input: &mut dyn Read| {
            let mut lines = Lines::within(8, input);
            let mut all = Vec::new();
            while let Some(line) = lines.next().unwrap() {
                let (shown, long) =
                    (str::from_utf8(line.bytes).unwrap(), if line.is_too_long { "!" } else { "" });
                all.push(format!("{} {} {shown}{long}", line.number, line.byte));
            }
            assert!(lines.next().unwrap().is_none());
            all
        };
        let whole = all(&mut text.as_bytes());
        for size in 1..4 {
            assert_eq!(all(&mut Dribble(text.as_bytes(), size)), whole);
        }
        whole
    }

    #[test]
    fn blank_lines_are_none_and_are_counted() {
        let none = Vec::<String>::new();
        for text in ["", "\n", "\n\n", " \t\r\n", "  ", "             \n", "             "] {
            assert_eq!(lines(text), none, "{text:?}");
        }
        assert_eq!(lines("a"), ["1 0 a"]);
        assert_eq!(lines("a\n"), ["1 0 a"]);
        assert_eq!(lines("a\r\n\r\n  \nb \n\nc\r"), ["1 0 a", "4 8 b ", "6 12 c"]);
        assert_eq!(lines("a\rb\n"), ["1 0 a\rb"]);
    }

    #[test]
    fn a_line_that_is_too_long_is_passed_over() {
        assert_eq!(lines("12345678\nb"), ["1 0 12345678", "2 9 b"]);
        assert_eq!(lines("123456789\nb"), ["1 0 123456789!", "2 10 b"]);
        assert_eq!(lines("a\n123456789"), ["1 0 a", "2 2 123456789!"]);
        let long = format!("{}\nb\n", "x".repeat(3 * READ_BYTES));
        let mut lines = Lines::within(8, long.as_bytes());
        let first = lines.next().unwrap().unwrap();
        assert_eq!((first.bytes.len(), first.is_too_long), (RAW_MAX, true));
        let next = lines.next().unwrap().unwrap();
        assert_eq!((next.bytes, next.number, next.byte), (&b"b"[..], 2, 3 * READ_BYTES as u64 + 1));
        assert!(lines.buffer.capacity() < 3 * READ_BYTES);
    }

    #[test]
    fn a_line_that_is_not_whole_is_an_error_and_no_line() {
        let mut lines = Lines::new(FailsAfter(io::Cursor::new(b"a\nhalf".to_vec())));
        // The error comes with the first read that meets it, and never a shorter line.
        let mut read = 0;
        let error = loop {
            match lines.next() {
                Ok(Some(line)) => {
                    assert_eq!(line.bytes, b"a");
                    read += 1;
                }
                Ok(None) => panic!("the text has not ended"),
                Err(error) => break error,
            }
        };
        assert!(
            read <= 1
                && crate::import::reading::typed::<crate::import::reading::ReadingError>(&error).is_some()
        );
    }
}
