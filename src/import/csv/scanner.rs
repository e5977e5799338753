//! Splits one record byte by byte: records of several lines, and dialects with an escape.
//!
//! The scanner reads as `csv-core` does (anything is some record), with two differences. An escape counts
//! outside of quotes, too, as Python's `csv` writes it; and a quote that cannot have been closed is an error.
//! Every decision is made at a certain byte, so the result depends on the text alone and not on how it
//! arrives.

use std::sync::Arc;

use super::dialect::Dialect;
use super::record::Record;
use super::row_error::{QuoteSign, RowError};

/// Line breaks that one field may hold. A field with more is an unclosed quote.
pub const FIELD_LINE_BREAKS_MAX: u64 = 1_000;

/// A record that is partly read.
#[derive(Debug)]
pub(super) struct Scanner {
    dialect: Dialect,
    record_breaks_max: u64,
    stops: Arc<Stops>,
    state: State,
    /// The next byte of the record, from 0: how many were scanned.
    pub(super) at: usize,
    field_start: usize,
    /// Whether the present field began with a quote.
    quoted: bool,
    field_breaks: u64,
    /// Line breaks in the whole record so far, including the one that ends it.
    pub(super) breaks: u64,
    after_cr: bool,
}

/// Which bytes end a run of plain text. The table is made once for each dialect.
#[derive(Debug)]
pub(super) struct Stops {
    unquoted: [bool; 256],
    quoted: [bool; 256],
}

impl Stops {
    /// The bytes with a meaning in a dialect.
    pub(super) fn of(dialect: &Dialect) -> Self {
        let mut stops = Self { unquoted: [false; 256], quoted: [false; 256] };
        let outside = [Some(b'\r'), Some(b'\n'), Some(dialect.delimiter), dialect.escape];
        let inside = [Some(b'\r'), Some(b'\n'), dialect.quote, dialect.escape];
        for (table, bytes) in [(&mut stops.unquoted, outside), (&mut stops.quoted, inside)] {
            for byte in bytes.into_iter().flatten() {
                if let Some(stop) = table.get_mut(usize::from(byte)) {
                    *stop = true;
                }
            }
        }
        stops
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    FieldStart,
    Unquoted,
    Quoted,
    /// The last byte was a quote inside of quotes: it closes the field, or is the first of two.
    AfterQuote,
    EscapedUnquoted,
    EscapedQuoted,
}

/// The result of a scan.
#[derive(Debug)]
pub(super) enum Scan {
    /// The record continues after the text.
    More,
    /// The record has this many bytes. A line break follows it, unless it ends the file.
    Done(usize),
    /// These bytes are not a record.
    Broken(RowError),
}

impl Scanner {
    /// A scanner at the first byte of a record of at most `record_breaks_max` line breaks.
    pub(super) fn new(dialect: &Dialect, stops: Arc<Stops>, record_breaks_max: u64) -> Self {
        Self {
            dialect: dialect.clone(),
            record_breaks_max,
            stops,
            state: State::FieldStart,
            at: 0,
            field_start: 0,
            quoted: false,
            field_breaks: 0,
            breaks: 0,
            after_cr: false,
        }
    }

    /// Continues with the record. `text` is the record from its first byte on, with at least as much as in
    /// the last call; `at_end` says that nothing follows it. Fields are appended to those of `record`.
    pub(super) fn scan(&mut self, text: &[u8], at_end: bool, record: &mut Record) -> Scan {
        // One byte is added to the limit, for the record's line break.
        let seen = text.get(..self.dialect.record_max().saturating_add(1)).unwrap_or(text);
        while let Some(byte) = seen.get(self.at).copied() {
            match self.step(byte, seen, record) {
                Ok(false) => {}
                Ok(true) => return Scan::Done(self.at - 1),
                Err(error) => return Scan::Broken(error),
            }
        }
        if text.len() > self.dialect.record_max() {
            return Scan::Broken(RowError::RecordTooLarge(self.dialect.record_max() as u64));
        }
        if at_end { self.end_of_file(record) } else { Scan::More }
    }

    fn end_of_file(&mut self, record: &mut Record) -> Scan {
        match self.state {
            State::Quoted | State::EscapedQuoted => {
                let (field, sign) = (field_number(record), QuoteSign::EndOfFile);
                return Scan::Broken(RowError::Quote { field, sign });
            }
            // An escape at the end of the text escapes nothing: it stands for itself.
            State::EscapedUnquoted => record.data.extend(self.dialect.escape),
            State::FieldStart | State::Unquoted | State::AfterQuote => {}
        }
        record.ends.push(record.data.len());
        Scan::Done(self.at)
    }

    /// Takes one byte, or a run of plain bytes. Returns whether it ended the record.
    fn step(&mut self, byte: u8, seen: &[u8], record: &mut Record) -> Result<bool, RowError> {
        match self.state {
            State::FieldStart if Some(byte) == self.dialect.quote => {
                self.quoted = true;
                self.go(State::Quoted);
            }
            // The first field follows no delimiter.
            State::FieldStart if byte == b' ' && self.dialect.skips_blanks && !record.ends.is_empty() => {
                self.go(State::FieldStart);
            }
            State::FieldStart | State::Unquoted | State::AfterQuote
                if byte == self.dialect.delimiter || matches!(byte, b'\r' | b'\n') =>
            {
                record.ends.push(record.data.len());
                self.field_start = record.data.len();
                self.field_breaks = 0;
                self.quoted = false;
                if byte == self.dialect.delimiter {
                    self.go(State::FieldStart);
                } else {
                    self.count_break(byte);
                    self.at += 1;
                    return Ok(true);
                }
            }
            State::AfterQuote if Some(byte) == self.dialect.quote => {
                self.push(byte, record)?;
                self.state = State::Quoted;
            }
            // No writer continues after a closing quote. After line breaks, this is the opening quote of
            // another field: the text between them, perhaps many rows, would be swallowed.
            State::AfterQuote if self.field_breaks > 0 && !matches!(byte, b' ' | b'\t') => {
                self.at += 1;
                return Err(RowError::Quote { field: field_number(record), sign: QuoteSign::TextAfterQuote });
            }
            State::FieldStart | State::Unquoted | State::AfterQuote => {
                if Some(byte) == self.dialect.escape {
                    self.go(State::EscapedUnquoted);
                } else {
                    self.state = State::Unquoted;
                    self.run(seen, false, record)?;
                }
            }
            State::Quoted if Some(byte) == self.dialect.quote => self.go(State::AfterQuote),
            State::Quoted if Some(byte) == self.dialect.escape => self.go(State::EscapedQuoted),
            State::Quoted if matches!(byte, b'\r' | b'\n') => self.push_break(byte, record)?,
            State::Quoted => self.run(seen, true, record)?,
            State::EscapedQuoted | State::EscapedUnquoted => {
                let from_letter = if self.dialect.escape == Some(b'\\') { unescaped(byte) } else { None };
                if matches!(byte, b'\r' | b'\n') {
                    self.push_break(byte, record)?;
                } else if byte == b'N' && self.is_without_value(record) {
                    self.at += 1;
                } else {
                    self.push(from_letter.unwrap_or(byte), record)?;
                }
                self.state = if self.state == State::EscapedQuoted { State::Quoted } else { State::Unquoted };
            }
        }
        Ok(false)
    }

    /// Whether `\N` here is a cell without a value, as databases write it.
    fn is_without_value(&self, record: &Record) -> bool {
        self.dialect.escape == Some(b'\\')
            && self.state == State::EscapedUnquoted
            && record.data.len() == self.field_start
            && !self.quoted
    }

    /// Drops a byte that has a meaning.
    fn go(&mut self, state: State) {
        self.state = state;
        self.at += 1;
        self.after_cr = false;
    }

    /// Copies the text up to the next byte that may have a meaning.
    fn run(&mut self, seen: &[u8], quoted: bool, record: &mut Record) -> Result<(), RowError> {
        let rest = seen.get(self.at..).unwrap_or_default();
        let stops = if quoted { &self.stops.quoted } else { &self.stops.unquoted };
        let is_stop = |byte: &u8| stops.get(usize::from(*byte)).copied().unwrap_or(false);
        // The first byte is never a stop here; `max` lets the scan advance in any dialect.
        let len = rest.iter().position(is_stop).unwrap_or(rest.len()).max(1);
        let room = self.dialect.max_field.saturating_sub(record.data.len() - self.field_start);
        if len > room {
            self.at += room + 1;
            return Err(self.field_too_large(record));
        }
        record.data.extend_from_slice(rest.get(..len).unwrap_or(rest));
        self.at += len;
        self.after_cr = false;
        Ok(())
    }

    fn push(&mut self, byte: u8, record: &mut Record) -> Result<(), RowError> {
        self.at += 1;
        self.after_cr = false;
        self.push_only(byte, record)
    }

    fn push_break(&mut self, byte: u8, record: &mut Record) -> Result<(), RowError> {
        self.at += 1;
        self.count_break(byte);
        for (breaks, max) in
            [(self.field_breaks, FIELD_LINE_BREAKS_MAX), (self.breaks, self.record_breaks_max)]
        {
            if breaks > max {
                let sign = QuoteSign::LineBreaks(max);
                return Err(RowError::Quote { field: field_number(record), sign });
            }
        }
        self.push_only(byte, record)
    }

    fn push_only(&mut self, byte: u8, record: &mut Record) -> Result<(), RowError> {
        if record.data.len() - self.field_start >= self.dialect.max_field {
            return Err(self.field_too_large(record));
        }
        record.data.push(byte);
        Ok(())
    }

    /// Counts the line break of `byte`. CR and LF together are one.
    fn count_break(&mut self, byte: u8) {
        if byte == b'\r' || !self.after_cr {
            self.breaks += 1;
            self.field_breaks += 1;
        }
        self.after_cr = byte == b'\r';
    }

    fn field_too_large(&self, record: &Record) -> RowError {
        let (field, max) = (field_number(record), self.dialect.max_field as u64);
        if self.quoted {
            RowError::Quote { field, sign: QuoteSign::Bytes(max) }
        } else {
            RowError::FieldTooLarge { field, max }
        }
    }
}

/// The number of the present field, from 1.
fn field_number(record: &Record) -> u64 {
    record.ends.len() as u64 + 1
}

/// The byte that databases mean by a letter after a backslash.
pub(super) fn unescaped(letter: u8) -> Option<u8> {
    Some(match letter {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'f' => 0x0C,
        b'v' => 0x0B,
        b'0' => 0,
        b'Z' => 0x1A,
        _ => return None,
    })
}
