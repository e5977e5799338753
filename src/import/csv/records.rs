//! Reads a CSV text record by record.
//!
//! The result (records, numbers, lines, bytes, errors) is a function of the text and the dialect alone. A
//! row's number is part of its messageId and of the progress of an import, so a second reading in pieces of
//! other sizes must give the same.
//!
//! Most records are one line: `csv-core` splits them. A record that does not end with its line, or whose
//! dialect has an escape, goes to the scanner, which notices quotes that were never closed. `csv-core`
//! would give the rest of the file as one field.

use std::io::{self, Read};
use std::sync::Arc;

use csv_core::ReadRecordResult;
use memchr::memchr2;

use super::dialect::{Dialect, LineEnd};
use super::doubt;
use super::record::Record;
use super::row_error::RowError;
use super::scanner::{Scan, Scanner, Stops};
use crate::import::file_id::FileId;

/// Bytes that are read from the input at a time.
const READ_BYTES: usize = 128 * 1_024;

/// The most bytes that are kept of the first line of a broken region.
pub const BROKEN_RAW_MAX: usize = 64 * 1_024;

/// Bytes that may be scanned in vain before [`RESCAN_RATIO`] counts.
const RESCAN_FREE: u64 = 16 * 1_024 * 1_024;

/// The most bytes scanned in vain, as a multiple of the text so far. After an unclosed quote the text is
/// scanned again from the next line, and in a hostile file each line may open such a quote. Above this ratio,
/// records have at most [`RECORD_LINE_BREAKS_REDUCED`] line breaks.
const RESCAN_RATIO: u64 = 4;

/// The most line breaks of a record while too much is scanned in vain: no line is then scanned more often
/// than this, and once more.
const RECORD_LINE_BREAKS_REDUCED: u64 = 16;

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Reads records from `R`, a reader of decoded text.
///
/// Blank lines are not records. LF, CR and CRLF each end a record. Memory is bounded by the dialect's longest
/// record, about twice that plus one read.
#[derive(Debug)]
pub struct Records<R> {
    input: R,
    dialect: Dialect,
    stops: Arc<Stops>,
    /// The splitter, at the beginning of a record.
    core: csv_core::Reader,
    /// Whether the splitter reads records of one line: what it does not know, the scanner reads.
    by_line: bool,
    buffer: Vec<u8>,
    /// Where the text that was not returned yet begins and ends in `buffer`.
    start: usize,
    end: usize,
    /// Whether the input has ended.
    at_end: bool,
    begun: bool,
    /// Whether the rest of the present line belongs to a broken region.
    skipping: bool,
    /// Where `start` is in the text, in bytes.
    byte: u64,
    line: u64,
    after_cr: bool,
    /// Whether a line break follows what was read last.
    terminated: bool,
    /// What ends the record that was read last, if anything does.
    pub(super) ended_by: Option<LineEnd>,
    /// `ended_by`, if it may be inside of a cell and cut the row in two.
    cut: Option<LineEnd>,
    /// Whether the first record ended in a carriage return alone. If so, others may, too.
    by_cr: Option<bool>,
    /// How the lines end. Records with another end must have `width` fields.
    line_end: Option<LineEnd>,
    width: Option<usize>,
    number: u64,
    /// Bytes scanned in vain, which are scanned again.
    rescanned: u64,
    /// Where the record that was read last ends in `buffer`, without its line break; 0 if the end is no
    /// longer there.
    given: usize,
    /// `given` as a byte of the text.
    given_byte: u64,
    /// The hash of the text up to `hashed`, and of the delimiter, which decides what the text means.
    hasher: blake3::Hasher,
    /// `hasher`, continued over line breaks that are no longer in `buffer`.
    ahead: Option<blake3::Hasher>,
    /// The end of the hashed text in `buffer`.
    hashed: usize,
}

/// What was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A record.
    Record,
    /// A broken region: bytes that are not a record, such as one whose quote is never closed. The region
    /// takes a number, too. Reading continues after its first line.
    Broken(RowError),
}

impl<R: Read> Records<R> {
    /// A reader at the beginning of a text. A byte order mark there is dropped.
    pub fn new(input: R, dialect: Dialect) -> Self {
        let mut builder = csv_core::ReaderBuilder::new();
        builder.delimiter(dialect.delimiter).quoting(dialect.quote.is_some());
        if let Some(quote) = dialect.quote {
            builder.quote(quote);
        }
        let mut core = builder.build();
        begin_again(&mut core);
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"forebay text 2\0").update(&[dialect.delimiter]);
        Self {
            input,
            stops: Arc::new(Stops::of(&dialect)),
            by_line: dialect.escape.is_none() && !dialect.skips_blanks,
            dialect,
            core,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            at_end: false,
            begun: false,
            skipping: false,
            byte: 0,
            line: 1,
            after_cr: false,
            terminated: true,
            ended_by: None,
            cut: None,
            by_cr: None,
            line_end: None,
            width: None,
            number: 0,
            rescanned: 0,
            given: 0,
            given_byte: 0,
            hasher,
            ahead: None,
            hashed: 0,
        }
    }

    /// This reader, which then knows how the lines of its text end and how many fields its records have.
    /// `None`: the first record shows it.
    #[must_use]
    pub(in crate::import) fn with_lines(self, line_end: Option<LineEnd>, width: Option<usize>) -> Self {
        Self { line_end, width, ..self }
    }

    /// The length of the text up to the end of what was read last, and its id. `None` if that end cannot be
    /// read. The line breaks after it are left out, because a file that grows may begin with more of them.
    pub fn text_so_far(&mut self) -> Option<(u64, FileId)> {
        if self.skipping {
            // An error here comes again with the next read, so it is not lost.
            self.skip_line().ok()?;
        }
        if self.ahead.is_none() {
            self.hash_given();
        }
        Some((self.given_byte, FileId::of_hash(&self.hasher)))
    }

    /// Whether what was read last ends with the text, in the middle of a line.
    pub fn is_cut_off(&self) -> bool {
        !self.terminated
    }

    /// Sets the end of the returned text: that of the consumed text, without its last `but` bytes.
    fn give(&mut self, but: usize) {
        self.given = self.start.saturating_sub(but);
        self.given_byte = self.byte.saturating_sub(but as u64);
        if let Some(ahead) = self.ahead.take() {
            self.hasher = ahead;
        }
    }

    fn hash_given(&mut self) {
        if self.hashed < self.given {
            self.hasher.update(self.buffer.get(self.hashed..self.given).unwrap_or_default());
            self.hashed = self.given;
        }
    }

    /// Hashes the consumed text and removes it from the buffer. Long pieces are hashed faster.
    fn hash(&mut self) {
        self.hash_given();
        if self.hashed < self.start {
            let ahead = self.ahead.get_or_insert_with(|| self.hasher.clone());
            ahead.update(self.buffer.get(self.hashed..self.start).unwrap_or_default());
        }
        (self.given, self.hashed) = (0, 0);
    }

    /// Reads the header, as [`Self::read`] does, but without a number. Errors: an error of the input.
    pub fn read_header(&mut self, record: &mut Record) -> io::Result<Option<Item>> {
        self.next(record)
    }

    /// Reads the next record into `record`. Of a broken region, `record` gets the number, the position, and
    /// the first line. `None` at the end of the text.
    /// Errors: an error of the input. Reading may be retried; nothing is lost.
    pub fn read(&mut self, record: &mut Record) -> io::Result<Option<Item>> {
        let item = self.next(record)?;
        if item.is_some() {
            record.number = self.number;
            self.number += 1;
        }
        Ok(item)
    }

    fn next(&mut self, record: &mut Record) -> io::Result<Option<Item>> {
        let cut_before = self.cut.take();
        self.ended_by = None;
        let item = self.next_item(record)?;
        if item != Some(Item::Record) {
            return Ok(item);
        }
        self.give(usize::from(self.terminated));
        self.ended_by = self.find_end()?;
        self.cut = self.find_cut(record.len())?;
        record.doubt = match cut_before.or(self.cut) {
            Some(by) => Some(RowError::LineBreak(by)),
            None => doubt::of(&record.raw, &self.dialect),
        };
        Ok(item)
    }

    /// What ends the record that was read last. A carriage return at the end of the text may be half of a
    /// CRLF.
    #[inline]
    fn find_end(&mut self) -> io::Result<Option<LineEnd>> {
        if !self.after_cr {
            return Ok(self.terminated.then_some(LineEnd::LineFeed));
        }
        let mut seen = 0;
        loop {
            match self.text().get(seen..).and_then(|rest| rest.iter().find(|byte| **byte != b'\r')) {
                Some(b'\n') => return Ok(Some(LineEnd::Both)),
                Some(_) => return Ok(Some(LineEnd::CarriageReturn)),
                None => {
                    seen = self.text().len();
                    // A long run of carriage returns is no text.
                    if seen > READ_BYTES || !self.fill()? {
                        return Ok(None);
                    }
                }
            }
        }
    }

    /// The end of a record with so many fields, if that end may be inside of a cell.
    ///
    /// A carriage return alone always may, unless the first record has the same end. Another end that differs
    /// from the lines of the file may be that of a second file that was appended: then the records around it
    /// are whole.
    #[inline]
    fn find_cut(&mut self, fields: usize) -> io::Result<Option<LineEnd>> {
        let Some(end) = self.ended_by else { return Ok(None) };
        let is_cr = end == LineEnd::CarriageReturn;
        let by_cr = *self.by_cr.get_or_insert(is_cr);
        let width = *self.width.get_or_insert(fields);
        if is_cr && !by_cr {
            return Ok(Some(end));
        }
        if end == *self.line_end.get_or_insert(end) {
            return Ok(None);
        }
        let next = self.next_width()?;
        Ok(next.filter(|next| *next != width || fields != width).map(|_| end))
    }

    /// How many fields the next record has; 0 if it is broken. `None`: nothing follows. Blank lines are
    /// consumed.
    #[cold]
    fn next_width(&mut self) -> io::Result<Option<usize>> {
        if !self.skip_line_breaks()? {
            return Ok(None);
        }
        let (mut next, mut scanner) = (Record::default(), self.scanner());
        loop {
            let text = self.buffer.get(self.start..self.end).unwrap_or_default();
            match scanner.scan(text, self.at_end, &mut next) {
                Scan::More => {
                    self.fill()?;
                }
                Scan::Done(_) => return Ok(Some(next.ends.len())),
                Scan::Broken(_) => return Ok(Some(0)),
            }
        }
    }

    #[inline]
    fn next_item(&mut self, record: &mut Record) -> io::Result<Option<Item>> {
        if !self.begun {
            self.skip_byte_order_mark()?;
        }
        if self.skipping {
            self.skip_line()?;
        }
        if !self.skip_line_breaks()? {
            record.begin(self.line, self.byte);
            return Ok(None);
        }
        record.begin(self.line, self.byte);
        if self.by_line && self.read_one_line(record)? {
            return Ok(Some(Item::Record));
        }
        self.read_by_scanner(record).map(Some)
    }

    /// Reads a record that is one line. Returns false if the line is not a whole record or is too long;
    /// nothing is then consumed.
    fn read_one_line(&mut self, record: &mut Record) -> io::Result<bool> {
        let mut searched = 0;
        let (len, terminated) = loop {
            let rest = self.text().get(searched..).unwrap_or_default();
            if let Some(found) = memchr2(b'\r', b'\n', rest) {
                break (searched + found, true);
            }
            searched += rest.len();
            if searched > self.dialect.record_max() || !self.fill()? {
                break (searched, false);
            }
        };
        if len > self.dialect.record_max() {
            return Ok(false);
        }
        let with_break = len + usize::from(terminated);
        let line = self.buffer.get(self.start..self.start + with_break).unwrap_or_default();
        if !split(&mut self.core, line, terminated, record) {
            begin_again(&mut self.core);
            return Ok(false);
        }
        // The scanner finds the error of a field that is too long.
        if len > self.dialect.max_field && record.iter().any(|field| field.len() > self.dialect.max_field) {
            record.len = 0;
            return Ok(false);
        }
        record.raw.extend_from_slice(line.get(..len).unwrap_or_default());
        self.after_cr = line.last() == Some(&b'\r');
        self.terminated = terminated;
        self.line += u64::from(terminated);
        self.consume(with_break);
        self.check_utf8(record);
        Ok(true)
    }

    /// A scanner of the record that begins here.
    fn scanner(&self) -> Scanner {
        let may_rescan = RESCAN_FREE.saturating_add(self.byte.saturating_mul(RESCAN_RATIO));
        let reduced = self.rescanned > may_rescan;
        let breaks_max = if reduced { RECORD_LINE_BREAKS_REDUCED } else { u64::MAX };
        Scanner::new(&self.dialect, Arc::clone(&self.stops), breaks_max)
    }

    fn read_by_scanner(&mut self, record: &mut Record) -> io::Result<Item> {
        let mut scanner = self.scanner();
        record.data.clear();
        record.ends.clear();
        loop {
            let text = self.buffer.get(self.start..self.end).unwrap_or_default();
            match scanner.scan(text, self.at_end, record) {
                Scan::More => {
                    self.fill()?;
                }
                Scan::Done(len) => {
                    record.len = record.ends.len();
                    record.raw.extend_from_slice(text.get(..len).unwrap_or_default());
                    self.after_cr = text.get(len) == Some(&b'\r');
                    self.terminated = len < text.len();
                    self.line += scanner.breaks;
                    self.consume(scanner.at);
                    self.check_utf8(record);
                    return Ok(Item::Record);
                }
                Scan::Broken(error) => {
                    self.give_up(scanner.at, record)?;
                    return Ok(Item::Broken(error));
                }
            }
        }
    }

    /// Keeps the first line of a broken region. `scanned` is how many bytes of the region were read to find
    /// that it is broken.
    fn give_up(&mut self, scanned: usize, record: &mut Record) -> io::Result<()> {
        // The part of the line that is kept must be in the buffer, however the text arrives.
        while self.text().len() <= BROKEN_RAW_MAX && memchr2(b'\r', b'\n', self.text()).is_none() {
            if !self.fill()? {
                break;
            }
        }
        let text = self.text();
        let line_end = memchr2(b'\r', b'\n', text);
        let kept = line_end.unwrap_or(text.len()).min(BROKEN_RAW_MAX);
        record.raw.extend_from_slice(text.get(..kept).unwrap_or_default());
        // Only what was scanned counts: how much more of the line has arrived is chance.
        if let Some(in_vain) = line_end.and_then(|end| scanned.checked_sub(end + 1)) {
            self.rescanned = self.rescanned.saturating_add(in_vain as u64);
        }
        // The rest of the line is skipped with the next read: an error of the input must not hide this
        // region's error.
        self.skipping = true;
        Ok(())
    }

    /// Passes over the first line of the text, which is no record.
    /// Errors: an error of the input.
    pub(super) fn pass_first_line(&mut self) -> io::Result<()> {
        self.skip_byte_order_mark()?;
        self.skip_line()
    }

    /// Consumes the text up to and including the next line break.
    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            let text = self.text();
            let len = text.len();
            let end = memchr2(b'\r', b'\n', text).map(|end| (end, text.get(end) == Some(&b'\r')));
            self.terminated = end.is_some();
            if let Some((end, is_cr)) = end {
                self.after_cr = is_cr;
                self.line += 1;
                self.consume(end + 1);
                break;
            }
            self.consume(len);
            if !self.fill()? {
                break;
            }
        }
        self.skipping = false;
        self.give(usize::from(self.terminated));
        Ok(())
    }

    /// Consumes line breaks. Returns whether anything follows them.
    #[inline]
    fn skip_line_breaks(&mut self) -> io::Result<bool> {
        loop {
            match self.text().first().copied() {
                Some(b'\n') => {
                    self.line += u64::from(!self.after_cr);
                    self.after_cr = false;
                    self.consume(1);
                }
                Some(b'\r') => {
                    self.line += 1;
                    self.after_cr = true;
                    self.consume(1);
                }
                Some(_) => {
                    self.after_cr = false;
                    return Ok(true);
                }
                None if self.fill()? => {}
                None => return Ok(false),
            }
        }
    }

    fn skip_byte_order_mark(&mut self) -> io::Result<()> {
        while self.text().len() < BYTE_ORDER_MARK.len() && BYTE_ORDER_MARK.starts_with(self.text()) {
            if !self.fill()? {
                break;
            }
        }
        if self.text().starts_with(BYTE_ORDER_MARK) {
            self.consume(BYTE_ORDER_MARK.len());
        }
        self.begun = true;
        Ok(())
    }

    fn text(&self) -> &[u8] {
        self.buffer.get(self.start..self.end).unwrap_or_default()
    }

    fn consume(&mut self, bytes: usize) {
        self.start += bytes;
        self.byte += bytes as u64;
    }

    fn check_utf8(&self, record: &mut Record) {
        // Fields are cut from the raw text at ASCII bytes, which leaves each of them UTF-8. A check of all
        // fields together would be wrong: two fields may have the halves of one character.
        record.utf8 = if self.dialect.is_ascii() {
            std::str::from_utf8(&record.raw).is_ok()
        } else {
            record.iter().all(|field| std::str::from_utf8(field).is_ok())
        };
    }

    /// Reads more text into the buffer. Returns false at the end of the input.
    fn fill(&mut self) -> io::Result<bool> {
        if self.at_end {
            return Ok(false);
        }
        // Text is moved only if at least as much is free before it, so that each byte is moved rarely.
        if self.start >= self.end - self.start {
            self.hash();
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.buffer.len() - self.end < READ_BYTES / 2 {
            self.buffer.resize(self.end + READ_BYTES, 0);
        }
        loop {
            match self.input.read(self.buffer.get_mut(self.end..).unwrap_or_default()) {
                Ok(0) => {
                    self.at_end = true;
                    return Ok(false);
                }
                Ok(bytes) => {
                    self.end += bytes;
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// Brings a reader to the beginning of a record, from any state. A clone of a new reader is no alternative:
/// in `csv-core` 0.1.13 it loses parts of its tables.
fn begin_again(core: &mut csv_core::Reader) {
    core.reset();
    // A new reader would drop a byte order mark at its first read.
    core.read_record(b"\n", &mut [0], &mut [0]);
}

/// Splits a line with its line break into `record`. Returns whether it is one whole record.
#[inline]
fn split(core: &mut csv_core::Reader, line: &[u8], terminated: bool, record: &mut Record) -> bool {
    // The output has room for the line and one byte more: with a full output `csv-core` would stop early.
    if record.data.len() <= line.len() {
        record.data.resize(line.len() + 64, 0);
    }
    let (mut read, mut written, mut fields) = (0, 0, 0);
    let mut fed_break = terminated;
    loop {
        // An empty input would mean the end of the file. A line break shows whether quotes are open there.
        let input = line.get(read..).filter(|rest| !rest.is_empty()).unwrap_or(b"\n");
        let (result, more_read, more_written, more_fields) = core.read_record(
            input,
            record.data.get_mut(written..).unwrap_or_default(),
            record.ends.get_mut(fields..).unwrap_or_default(),
        );
        read += more_read;
        written += more_written;
        fields += more_fields;
        match result {
            ReadRecordResult::Record => {
                record.len = fields;
                return true;
            }
            ReadRecordResult::OutputEndsFull => record.ends.resize(fields * 2 + 16, 0),
            ReadRecordResult::OutputFull => record.data.resize(written * 2 + 64, 0),
            ReadRecordResult::InputEmpty if !fed_break => fed_break = true,
            ReadRecordResult::InputEmpty | ReadRecordResult::End => return false,
        }
    }
}

#[cfg(test)]
mod tests;
